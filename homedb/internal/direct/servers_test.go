package direct_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
)

// TestTheCourtyardsServers: a courtyard may name its own host, and what is public or
// named by the operator; a home is not sent into its own network by a relay.
func TestTheCourtyardsServers(t *testing.T) {
	counted := map[string]int{}
	n, err := direct.Open(context.Background(), direct.Settings{Logger: slog.New(slog.DiscardHandler), Counted: func(what string) { counted[what]++ }, Open: func(int) {},
		Named: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	s := direct.Servers{
		STUN: []string{"stun:127.0.0.1:3478", "stun:192.168.7.1:3478", "stun:10.0.0.5:3479", "http://127.0.0.1/", "stun:127.0.0.1:99999", "stun:" + strings.Repeat("x", 400), "turn:127.0.0.1:3478"},
		URLs: []string{"turn:127.0.0.1:3478?transport=udp", "turn:169.254.169.254:80?transport=udp", "turns:10.0.0.5:443?transport=tcp", "stun:127.0.0.1:3478"},
	}
	got, relays, _ := direct.Chosen(context.Background(), n, s, "10.0.0.5", time.Now())
	if fmt.Sprint(got, relays) != "[127.0.0.1:3478 10.0.0.5:3479] [127.0.0.1 10.0.0.5]" {
		t.Error(got, relays)
	}
	many := direct.Servers{}
	for i := range 100 {
		many.STUN = append(many.STUN, fmt.Sprintf("stun:127.0.0.1:%d", 4000+i))
	}
	if got, _, _ := direct.Chosen(context.Background(), n, many, "", time.Now()); len(got) != 8 {
		t.Error(len(got))
	}
	if n.Port() != 0 {
		t.Error("it listens")
	}
}

// TestAnAllocationOnlyWhereUDPIsBlocked: and that is found out once in ten minutes.
func TestAnAllocationOnlyWhereUDPIsBlocked(t *testing.T) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	server := conn.LocalAddr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 2000); ; {
			size, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			m := &stun.Message{Raw: append([]byte{}, buffer[:size]...)}
			if m.Decode() != nil {
				continue
			}
			answer := stun.MustBuild(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}, stun.Fingerprint)
			conn.WriteToUDPAddrPort(answer.Raw, from) //nolint:errcheck // lost, as datagrams are
		}
	}()
	open := func() *direct.Network {
		n, err := direct.Open(context.Background(), direct.Settings{Logger: slog.New(slog.DiscardHandler), Counted: func(string) {}, Open: func(int) {},
			Named: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s := direct.Servers{STUN: []string{"stun:" + server}, URLs: []string{"turn:127.0.0.1:3478?transport=udp", "turn:127.0.0.1:3478?transport=tcp", "turns:127.0.0.1:443?transport=tcp"}}
	n, now := open(), time.Now()
	if _, _, urls := direct.Chosen(context.Background(), n, s, "", now); fmt.Sprint(urls) != "[stun:"+server+"]" {
		t.Error(urls)
	}
	conn.Close() //nolint:errcheck // it is over
	<-done
	if _, _, urls := direct.Chosen(context.Background(), n, s, "", now.Add(9*time.Minute)); fmt.Sprint(urls) != "[stun:"+server+"]" {
		t.Errorf("asked again: %q", urls)
	}
	for _, n := range []*direct.Network{n, open()} {
		if _, _, urls := direct.Chosen(context.Background(), n, s, "", now.Add(11*time.Minute)); fmt.Sprint(urls) != "[turns:127.0.0.1:443?transport=tcp]" {
			t.Errorf("no UDP: %q", urls)
		}
	}
}
