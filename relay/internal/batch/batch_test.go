package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

// socket is one on this machine.
func socket(t testing.TB, out *Outbox, network, address string) *Conn {
	t.Helper()
	at, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP(network, at)
	if err != nil {
		t.Skip("no ", network, " here: ", err)
	}
	c, err := New(udp, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (c *Conn) at() netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// payload is a packet that says where in the order it stands.
func payload(n uint32, size int) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint32(p, n)
	for i := 4; i < size; i++ {
		p[i] = byte(n) + byte(i)
	}
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPacketsArriveAsTheyWereSent: of whatever sizes, from several senders to several
// receivers, each in its order, though neighbours of one size travel as one piece.
func TestPacketsArriveAsTheyWereSent(t *testing.T) {
	for _, family := range [][2]string{{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}} {
		t.Run(family[0], func(t *testing.T) { exchange(t, family[0], family[1]) })
	}
}

func exchange(t *testing.T, network, address string) {
	const rounds, each = 40, 50 // each: what a receiver's buffer surely holds
	out := NewOutbox()
	from := []*Conn{socket(t, out, network, address), socket(t, out, network, address)}
	to := []*Conn{socket(t, NewOutbox(), network, address), socket(t, NewOutbox(), network, address), socket(t, NewOutbox(), network, address)}
	sizes := rand.New(rand.NewPCG(1, 2))
	size := 1200
	p := make([]byte, Largest)
	for round := range rounds {
		sent := map[[2]int][]([]byte){}
		for i := range uint32(each) {
			if sizes.IntN(3) == 0 {
				size = 4 + sizes.IntN(Largest-3)
			}
			a, b := sizes.IntN(len(from)), sizes.IntN(len(to))
			m := payload(uint32(round)<<16|i, size)
			must(t, from[a].Send(m, to[b].at()))
			sent[[2]int{a, b}] = append(sent[[2]int{a, b}], m)
		}
		out.Flush()
		for b, c := range to {
			want := 0
			for a := range from {
				want += len(sent[[2]int{a, b}])
			}
			must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
			for range want {
				n, sender, err := c.Receive(p)
				must(t, err)
				a := 0
				if sender == from[1].at() {
					a = 1
				} else if sender != from[0].at() {
					t.Fatal("from", sender)
				}
				key := [2]int{a, b}
				if len(sent[key]) == 0 || !bytes.Equal(p[:n], sent[key][0]) {
					t.Fatalf("round %d: out of order, or altered", round)
				}
				sent[key] = sent[key][1:]
			}
		}
	}
	if out.Unsent() != 0 {
		t.Fatal(out.Unsent(), "were not sent")
	}
}

// TestAnEmptyAndAFullPacket: the smallest and the largest pass, a larger one is
// dropped and counted, and the next one passes.
func TestAnEmptyAndAFullPacket(t *testing.T) {
	out := NewOutbox()
	c := socket(t, out, "udp4", "127.0.0.1:0")
	plain, err := net.DialUDP("udp4", nil, c.LocalAddr().(*net.UDPAddr))
	must(t, err)
	defer plain.Close()
	for _, size := range []int{0, Largest, Largest + 1, 9000, 1} {
		_, err := plain.Write(make([]byte, size))
		must(t, err)
	}
	p := make([]byte, Largest)
	must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	for _, want := range []int{0, Largest, 1} {
		n, from, err := c.Receive(p)
		if err != nil || n != want || from != plain.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Fatal(n, from, err)
		}
	}
	if out.Large() != 2 {
		t.Fatal(out.Large(), "were too large")
	}
	must(t, c.Send(nil, plain.LocalAddr().(*net.UDPAddr).AddrPort()))
	must(t, c.Send(p, plain.LocalAddr().(*net.UDPAddr).AddrPort()))
	out.Flush()
	for _, want := range []int{0, Largest} {
		must(t, plain.SetReadDeadline(time.Now().Add(10*time.Second)))
		if n, err := plain.Read(make([]byte, 2000)); err != nil || n != want {
			t.Fatal(n, err)
		}
	}
}

// TestWhoReceivesSends: what a goroutine has sent on any socket of the outbox leaves
// when it waits for the next packet, without anybody else's doing.
func TestWhoReceivesSends(t *testing.T) {
	out := NewOutbox()
	middle, far := socket(t, out, "udp4", "127.0.0.1:0"), socket(t, out, "udp4", "127.0.0.1:0")
	done := make(chan error, 1)
	go func() {
		p := make([]byte, Largest)
		for {
			n, from, err := middle.Receive(p)
			if err != nil {
				done <- err
				return
			}
			if err := far.Send(p[:n], from); err != nil { // back, by another way
				done <- err
				return
			}
		}
	}()
	plain, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer plain.Close()
	for i := range uint32(300) {
		m := payload(i, 500)
		_, err := plain.WriteToUDPAddrPort(m, middle.at())
		must(t, err)
		got := make([]byte, 600)
		must(t, plain.SetReadDeadline(time.Now().Add(10*time.Second)))
		n, from, err := plain.ReadFromUDPAddrPort(got)
		if err != nil || !bytes.Equal(got[:n], m) || from != far.at() {
			t.Fatal(i, n, from, err)
		}
	}
	must(t, middle.Close())
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	must(t, far.Close())
	if err := far.Send([]byte("x"), plain.LocalAddr().(*net.UDPAddr).AddrPort()); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	out.Flush()
}

// TestNoPacketEndsASocket: what the kernel does not take is counted, and the packets
// around it arrive.
func TestNoPacketEndsASocket(t *testing.T) {
	out := NewOutbox()
	from, to := socket(t, out, "udp4", "127.0.0.1:0"), socket(t, NewOutbox(), "udp4", "127.0.0.1:0")
	bad := []netip.AddrPort{
		netip.MustParseAddrPort("[::1]:9"),           // another family
		netip.MustParseAddrPort("127.0.0.1:0"),       // no port
		netip.MustParseAddrPort("255.255.255.255:9"), // not without asking for it
	}
	for i := range uint32(30) {
		for _, b := range bad {
			must(t, from.Send(payload(i, 700), b))
			must(t, from.Send(payload(i, 700), b))
		}
		must(t, from.Send(payload(i, 700), to.at()))
	}
	out.Flush()
	p := make([]byte, Largest)
	must(t, to.SetReadDeadline(time.Now().Add(10*time.Second)))
	for i := range uint32(30) {
		if n, _, err := to.Receive(p); err != nil || !bytes.Equal(p[:n], payload(i, 700)) {
			t.Fatal(i, n, err)
		}
	}
	if out.Unsent() < 120 {
		t.Fatal(out.Unsent(), "were not sent")
	}
	must(t, to.SetReadDeadline(time.Now().Add(-time.Second)))
	if _, _, err := to.Receive(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	must(t, to.SetReadDeadline(time.Time{}))
	must(t, from.Send(payload(1, 8), to.at()))
	out.Flush()
	if _, _, err := to.Receive(p); err != nil {
		t.Fatal("after a deadline:", err)
	}
	if err := from.Send(make([]byte, roomy+1), to.at()); err == nil {
		t.Fatal("a packet without end was taken")
	}
}

// TestManySendersAtOnce is for the race detector, and for the order of each.
func TestManySendersAtOnce(t *testing.T) {
	out := NewOutbox()
	middle := socket(t, out, "udp4", "127.0.0.1:0")
	to := socket(t, NewOutbox(), "udp4", "127.0.0.1:0")
	must(t, to.udp.SetReadBuffer(4<<20))
	const senders, each = 8, 200
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range uint32(each) {
				m := payload(i, 300)
				m[299] = byte(s)
				if err := middle.Send(m, to.at()); err != nil {
					t.Error(err)
				}
				if i%7 == 0 {
					out.Flush()
				}
			}
			out.Flush()
		})
	}
	next := [senders]uint32{}
	p := make([]byte, Largest)
	must(t, to.SetReadDeadline(time.Now().Add(20*time.Second)))
	for range senders * each {
		n, _, err := to.Receive(p)
		must(t, err)
		s := p[299]
		if got := binary.BigEndian.Uint32(p); n != 300 || got != next[s] {
			t.Fatalf("sender %d: %d after %d", s, got, next[s])
		}
		next[s]++
	}
	all.Wait()
}
