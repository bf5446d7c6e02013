package turn

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// message is a STUN message with a body of zeros.
func message(kind uint16, length int) []byte {
	m := make([]byte, stunHead+length)
	binary.BigEndian.PutUint16(m, kind)
	binary.BigEndian.PutUint16(m[2:], uint16(length))
	binary.BigEndian.PutUint32(m[4:], stunCookie)
	return m
}

// data is channel data as it stands on a stream.
func data(channel uint16, length int) []byte {
	m := make([]byte, frameHead+(length+3)&^3)
	binary.BigEndian.PutUint16(m, channel)
	binary.BigEndian.PutUint16(m[2:], uint16(length))
	return m
}

func TestFrameSizes(t *testing.T) {
	for _, v := range []struct {
		head [frameHead]byte
		size int // 0: refused
	}{
		{[4]byte{0x00, 0x01, 0x00, 0x00}, 20},
		{[4]byte{0x00, 0x03, 0x00, 0x08}, 28},
		{[4]byte{0x3F, 0xFF, 0x06, 0x28}, 1596},
		{[4]byte{0x00, 0x01, 0x06, 0x2C}, 0}, // 1,600
		{[4]byte{0x00, 0x01, 0x00, 0x03}, 0}, // not a multiple of four
		{[4]byte{0x00, 0x01, 0xFF, 0xEC}, 0}, // 65,536: with these pion/turn spins
		{[4]byte{0x00, 0x01, 0xFF, 0xFC}, 0},
		{[4]byte{0x40, 0x00, 0x00, 0x00}, 4},
		{[4]byte{0x40, 0x00, 0x00, 0x05}, 12},
		{[4]byte{0x4F, 0xFF, 0x06, 0x38}, 1596},
		{[4]byte{0x40, 0x00, 0x06, 0x39}, 0}, // 1,600 with its padding
		{[4]byte{0x40, 0x00, 0xFF, 0xFC}, 0},
		{[4]byte{0x40, 0x00, 0xFF, 0xFF}, 0},
		{[4]byte{0x7F, 0xFF, 0x00, 0x04}, 8},
		{[4]byte{'G', 'E', 'T', ' '}, 0},     // a channel of 21,536 bytes
		{[4]byte{0x16, 0x03, 0x01, 0x02}, 0}, // TLS, of odd length
		{[4]byte{0x80, 0x00, 0x00, 0x04}, 0},
		{[4]byte{0xFF, 0xFF, 0xFF, 0xFF}, 0},
	} {
		size, err := frameSize(v.head)
		if size != v.size || (err == nil) != (v.size > 0) {
			t.Errorf("% x is %d (%v), want %d", v.head, size, err, v.size)
		}
	}
}

// guarded is a guard and the client's end of its connection.
type guarded struct {
	*guard
	client  net.Conn
	reasons []string
	holding atomic.Bool
	closed  int
}

func newGuarded() *guarded {
	here, client := net.Pipe()
	g := &guarded{client: client}
	g.guard = newGuard(here, func() {}, func() bool { return g.holding.Load() }, func(reason string) { g.reasons = append(g.reasons, reason) }, func() { g.closed++ })
	return g
}

// refuses reads until an error and checks that it is for one reason.
func (g *guarded) refuses(t *testing.T, reason string) {
	t.Helper()
	_, err := io.Copy(io.Discard, onlyRead{g.guard})
	if len(g.reasons) != 1 || g.reasons[0] != reason {
		t.Fatalf("refused for %v (%v), want %s", g.reasons, err, reason)
	}
	if _, err := g.client.Write([]byte{0}); err == nil {
		t.Fatal("the connection is open")
	}
}

type onlyRead struct{ io.Reader }

func TestTheGuardHandsOutWholeFrames(t *testing.T) {
	g := newGuarded()
	frames := [][]byte{message(1, 0), data(0x4000, 1), message(0x0003, 1576), data(0x4FFF, 1592), data(0x4001, 0), message(1, 4)}
	go func() {
		all := bytes.Join(frames, nil)
		for len(all) > 0 { // in pieces that have nothing to do with them
			n := min(len(all), 7)
			if _, err := g.client.Write(all[:n]); err != nil {
				return
			}
			all = all[n:]
		}
		_ = g.client.Close()
	}()
	p := make([]byte, frameLimit)
	for i, want := range frames {
		n, err := g.Read(p)
		if err != nil || !bytes.Equal(p[:n], want) {
			t.Fatalf("frame %d: %d bytes, %v", i, n, err)
		}
	}
	if _, err := g.Read(p); err == nil || len(g.reasons) > 0 { // the client has gone, which is nobody's fault
		t.Fatal(err, g.reasons)
	}
	_ = g.Close()
	_ = g.Close()
	if g.closed != 1 {
		t.Fatal("closed", g.closed, "times")
	}
}

// TestTheGuardRefusesWhatSpins: each of these, in 24 bytes and without any
// credential, keeps an unguarded pion/turn busy for ever.
func TestTheGuardRefusesWhatSpins(t *testing.T) {
	for _, head := range [][4]byte{{0x00, 0x01, 0xFF, 0xEC}, {0x40, 0x00, 0xFF, 0xFC}, {0x40, 0x00, 0xFF, 0xFF}, {0x40, 0x00, 0xFF, 0xFD}, {0x00, 0x01, 0xFF, 0xF0}} {
		g := newGuarded()
		go func() {
			m := message(1, 4)
			copy(m, head[:])
			_, _ = g.client.Write(m) // it hangs up in the middle
		}()
		g.refuses(t, refusedFrame)
	}
	g := newGuarded()
	go func() {
		m := message(1, 0)
		m[4]++ // no cookie
		_, _ = g.client.Write(m)
	}()
	g.refuses(t, refusedFrame)
}

func TestWhoSaysNothingLosesTheConnection(t *testing.T) {
	after := func(t *testing.T, want time.Duration, reason string, does func(g *guarded)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			g, began := newGuarded(), time.Now()
			go does(g)
			g.refuses(t, reason)
			if got := time.Since(began); got != want {
				t.Fatal("after", got, "and not", want)
			}
		})
	}
	write := func(g *guarded, m []byte) { _, _ = g.client.Write(m) }
	after(t, firstFrame, refusedIdle, func(*guarded) {})
	after(t, firstFrame, refusedIdle, func(g *guarded) { write(g, []byte{0}) })
	after(t, wholeFrame, refusedIdle, func(g *guarded) { write(g, message(1, 0)[:19]) })
	after(t, idle, refusedIdle, func(g *guarded) { write(g, message(1, 0)) })
	// A byte a second never makes a frame.
	after(t, firstFrame, refusedIdle, func(g *guarded) {
		for range 3 {
			write(g, []byte{0})
			time.Sleep(time.Second)
		}
	})
	// With an allocation silence is allowed, and half a frame is not.
	after(t, idle*10, refusedIdle, func(g *guarded) {
		g.holding.Store(true)
		write(g, message(1, 0))
		time.Sleep(idle*9 + idle/2)
		g.holding.Store(false)
	})
	after(t, 90*time.Second+wholeFrame, refusedIdle, func(g *guarded) {
		g.holding.Store(true)
		write(g, message(1, 0))
		time.Sleep(90 * time.Second)
		write(g, data(0x4000, 100)[:50])
	})
}

func TestWhoDoesNotReadLosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, began := newGuarded(), time.Now()
		if _, err := g.Write(message(1, 0)); err == nil || time.Since(began) != taken {
			t.Fatal(err, time.Since(began))
		}
		if _, err := g.client.Read(make([]byte, 1)); err == nil {
			t.Fatal("the connection is open")
		}
	})
}

// FuzzGuard: whatever comes, what is handed out are whole frames that pion/turn can
// hold, and together the beginning of what came.
func FuzzGuard(f *testing.F) {
	for _, seed := range [][]byte{
		message(1, 0), data(0x4000, 7), bytes.Join([][]byte{message(3, 8), data(0x4FFF, 1500), message(4, 4)}, nil),
		{0x00, 0x01, 0xFF, 0xEC}, {0x40, 0x00, 0xFF, 0xFC}, []byte("GET / HTTP/1.1\r\n\r\n"), {}, {0x40}, data(0x4000, 7)[:9],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		g := newGuarded()
		go func() {
			_, _ = g.client.Write(in)
			_ = g.client.Close()
		}()
		out, p := []byte{}, make([]byte, frameLimit)
		for {
			n, err := g.Read(p)
			if err != nil {
				break
			}
			size, err := frameSize([frameHead]byte(p))
			if err != nil || n != size || n >= frameLimit {
				t.Fatalf("% x… of %d bytes is no frame: %v", p[:4], n, err)
			}
			out = append(out, p[:n]...)
		}
		if !bytes.HasPrefix(in, out) {
			t.Fatal("not what came")
		}
		_ = g.Close()
	})
}
