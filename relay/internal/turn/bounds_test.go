package turn

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
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
	began, ahead := time.Now(), atomic.Int64{}
	s, err := New(t.Context(), Config{Sockets: []*Sockets{sockets}, Ports: Ports{20_000, 60_000}, Key: key, Store: newBook(),
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return began.Add(time.Duration(ahead.Load())) }, Random: rand.Reader,
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
	ahead.Store(int64(strangers.Per))
	if !answered() {
		t.Error("for ever")
	}
	c.end()
	must(t, s.Stop())
}

// TestNobodyPaysForStrangers: what comes from whom the client has not asked for is
// neither counted nor takes from what he may have relayed a second.
func TestNobodyPaysForStrangers(t *testing.T) {
	s := serve(t)
	s.config.BytesPerSecond = 100_000
	c := s.call(t, mei, "udp")
	defer c.end()
	friend, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	must(t, err)
	defer friend.Close() //nolint:errcheck // it has done its work
	stranger, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 3)})
	must(t, err)
	defer stranger.Close() //nolint:errcheck // likewise
	must(t, c.CreatePermission(friend.LocalAddr()))
	const flood = 500
	for sent := 0; s.dropped[droppedStranger].Load() < flood; sent++ {
		if sent == 100*flood {
			t.Fatal(s.dropped[droppedStranger].Load(), "of a stranger's packets were dropped")
		}
		_, err := stranger.WriteTo(make([]byte, 1000), c.at.LocalAddr())
		must(t, err)
	}
	if _, bytes := s.ledger.used(mei); bytes != 0 {
		t.Error(bytes, "bytes of a stranger's are counted")
	}
	_, err = friend.WriteTo([]byte("hello"), c.at.LocalAddr())
	must(t, err)
	must(t, c.at.SetReadDeadline(time.Now().Add(10*time.Second)))
	p := make([]byte, 1500)
	n, _, err := c.at.ReadFrom(p)
	must(t, err)
	if string(p[:n]) != "hello" || s.dropped[droppedRate].Load() != 0 {
		t.Errorf("%q, %d dropped for their rate", p[:n], s.dropped[droppedRate].Load())
	}
	c.end()
	must(t, s.Stop())
}
