package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/pion/turn/v5"
)

// Packets through any TURN server are counted, once each, whichever way they go;
// those that nobody takes do not keep a round from ending.
func TestRelayedPacketsAreCounted(t *testing.T) {
	listener, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "courtyard",
		AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
			return r.Username, turn.GenerateAuthKey(r.Username, r.Realm, "word"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: listener, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	in := newIntake()
	a, err := allocate(t.Context(), listener.LocalAddr(), login{"somebody", "word"}, in)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n, size = 10 * turnBurst, 160
	in.size.Store(size)
	relay := func(up bool, send func(context.Context, []*source, int) error, want int64) int64 {
		t.Helper()
		before := in.packets.Load()
		if err := send(t.Context(), []*source{a.source(up, size)}, n); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); in.packets.Load()-before < want && time.Now().Before(deadline); {
			if _, err := in.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return in.packets.Load() - before
	}
	for _, up := range []bool{true, false} {
		if flooded, poured := relay(up, in.flood, n), relay(up, in.pour, n); flooded != n || poured != n {
			t.Errorf("up %v: of %d each %d and %d came", up, n, flooded, poured)
		}
	}
	// Of another size: they come, and are not what was asked for.
	if in.size.Store(size + 1); relay(true, in.flood, 0) != 0 {
		t.Error("the wrong packets are counted")
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
}

func TestWhatGotLostIsSaid(t *testing.T) {
	of := func(s *turnServer) rounds { return s.full[0] }
	servers := []*turnServer{{name: "a", full: []rounds{{lost: []float64{0, 0}}}}, {name: "b", full: []rounds{{lost: []float64{0, 0.25}}}}}
	if got := lost(servers, of); got != "; dropped at most: b 25.0 %" {
		t.Errorf("%q", got)
	}
	if got := lost(servers[:1], of); got != "" {
		t.Errorf("%q", got)
	}
}
