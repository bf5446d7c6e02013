package turn

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/pion/stun/v4"
)

// TestPeersOfAnAllocation: no more than so many, and those that it has may be asked for
// again, as clients do every few minutes.
func TestPeersOfAnAllocation(t *testing.T) {
	s := serve(t)
	c := s.call(t, mei, "udp")
	defer c.end()
	at := func(n int) net.Addr { return &net.UDPAddr{IP: net.IPv4(127, 0, 1, byte(n)), Port: 4000} }
	for n := range perAllocation {
		must(t, c.CreatePermission(at(n)))
	}
	if err := c.CreatePermission(at(perAllocation)); err == nil {
		t.Error("one more peer is allowed")
	}
	for n := range perAllocation {
		if err := c.CreatePermission(at(n)); err != nil {
			t.Fatalf("peer %d cannot be asked for again: %v", n, err)
		}
	}
	c.end()
	must(t, s.Stop())
}

// TestAnAddressIsNotFloodedWithAnswers: whoever writes somebody else's address on a
// question gets them a few hundred answers. Who has an allocation is not held up.
func TestAnAddressIsNotFloodedWithAnswers(t *testing.T) {
	sockets, err := Listen(Place{Bound: netip.MustParseAddrPort("127.0.0.1:0"), Seen: netip.MustParseAddr("127.0.0.1")})
	must(t, err)
	key, err := protocol.NewSignSecret(rand.Reader)
	must(t, err)
	now := time.Now()
	s, err := New(t.Context(), Config{Sockets: []*Sockets{sockets}, Ports: Ports{20_000, 60_000}, Key: key, Store: newBook(),
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }, Random: rand.Reader,
		Offered: Offered{URLs: []string{"turn:" + sockets.Bound.String() + "?transport=udp"}}})
	must(t, err)
	must(t, s.Start())
	c := s.call(t, mei, "udp")
	stranger, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(sockets.Bound))
	must(t, err)
	defer stranger.Close() //nolint:errcheck // it has done its work
	ask := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	answers := 0
	answered := func() bool {
		before := s.dropped[droppedOften].Load()
		_, err := stranger.Write(ask.Raw)
		must(t, err)
		must(t, stranger.SetReadDeadline(time.Now().Add(10*time.Second)))
		for s.dropped[droppedOften].Load() == before { // dropped, or answered
			must(t, stranger.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
			if _, err := stranger.Read(make([]byte, 1500)); err == nil {
				answers++
				return true
			}
		}
		return false
	}
	for range 2 * strangers.N {
		answered()
	}
	if answers == 0 || answers > strangers.N {
		t.Error(answers, "answers")
	}
	if _, err := c.SendBindingRequestTo(net.UDPAddrFromAddrPort(sockets.Bound)); err != nil {
		t.Error("somebody with an allocation is held up:", err)
	}
	if got := fmt.Sprint(s.Totals().Dropped["often"]); got != fmt.Sprint(2*strangers.N-answers) {
		t.Error("counted", got)
	}
	now = now.Add(strangers.Per)
	if !answered() {
		t.Error("for ever")
	}
	c.end()
	must(t, s.Stop())
}
