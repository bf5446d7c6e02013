package direct_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
)

// TestAPortThatIsFreeForOneTransportOnly: what is free for TCP another program may have
// for UDP, and then another port is taken.
func TestAPortThatIsFreeForOneTransportOnly(t *testing.T) {
	const here, busy, rounds = "127.0.0.78:0", 3000, 200 // of some 28,000 ports that Linux gives out
	for range busy {
		conn, err := net.ListenPacket("udp", here)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range rounds {
		n, err := direct.Open(context.Background(), direct.Settings{Listen: here, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
