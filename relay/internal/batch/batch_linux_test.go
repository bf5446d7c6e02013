package batch

import (
	"math"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWhereTheKernelCannot: the same promises hold on a plain socket, and where
// nothing can be cut up.
func TestWhereTheKernelCannot(t *testing.T) {
	can, cut := batching, segmenting
	defer func() { batching, segmenting = can, cut }()
	segmenting = func() bool { return false }
	t.Run("cut", func(t *testing.T) { exchange(t, "udp4", "127.0.0.1:0") })
	batching = func() bool { return false }
	t.Run("batch", func(t *testing.T) { exchange(t, "udp4", "127.0.0.1:0") })
	t.Run("sizes", TestAnEmptyAndAFullPacket)
	t.Run("deadlines", func(t *testing.T) { TestNoPacketEndsASocket(t) })
}

// TestNeighboursTravelTogether: what makes the difference is there at all.
func TestNeighboursTravelTogether(t *testing.T) {
	if !batching() || !segmenting() {
		t.Skip("this kernel cuts nothing up")
	}
	s := senders.New().(*sender)
	add := func(to byte, size int) {
		k := &packet{size: size}
		k.to.sa.Addr[0] = to
		if !s.add(k, true) {
			t.Fatal("no room")
		}
	}
	for range 5 {
		add(1, 1000)
		add(2, 500)
	}
	add(1, 900) // shorter: the last of its message
	add(1, 1000)
	add(1, 1000)
	add(2, 501) // longer: another message
	add(3, segmentMost+1)
	add(3, segmentMost+1)
	want := []struct{ n, size, bytes int }{{6, 1000, 5900}, {5, 500, 2500}, {2, 1000, 2000}, {1, 501, 501}, {1, 1453, 1453}, {1, 1453, 1453}}
	if s.n != len(want) {
		t.Fatal(s.n, "messages")
	}
	for i, w := range want {
		if m := s.messages[i]; m.n != w.n || m.size != w.size || m.bytes != w.bytes {
			t.Errorf("message %d: %d of %d, %d bytes", i, m.n, m.size, m.bytes)
		}
	}
}

// TestOnePieceIsNoMoreThanTheKernelTakes.
func TestOnePieceIsNoMoreThanTheKernelTakes(t *testing.T) {
	s := senders.New().(*sender)
	for range most {
		if !s.add(&packet{size: 1200}, true) {
			t.Fatal("no room")
		}
	}
	if s.add(&packet{size: 1200}, true) {
		t.Fatal("more pieces than there is room for")
	}
	for i := range s.n {
		if m := s.messages[i]; m.n > mostSegments || m.bytes > mostBytes {
			t.Fatal(m.n, m.bytes)
		}
	}
	if s.n != 3 { // 53 of 1,200 bytes are 63,600
		t.Fatal(s.n, "messages")
	}
}

// TestAnIdleSocketIsSmall: that is what an allocation mostly is.
func TestAnIdleSocketIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory")
	}
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	n := min(500, int(limit.Cur)/2)
	out := NewOutbox()
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	conns := make([]*Conn, n)
	heard, ended := make(chan struct{}, n), make(chan struct{}, n)
	for i := range conns {
		conns[i] = socket(t, out, "udp4", "127.0.0.1:0")
		go func() {
			p := make([]byte, 8)
			for {
				if _, _, err := conns[i].Receive(p); err != nil {
					ended <- struct{}{}
					return
				}
				heard <- struct{}{}
			}
		}()
		// It has received and sent, so all that it will ever need it has had.
		must(t, conns[i].Send([]byte("x"), conns[i].at()))
	}
	out.Flush()
	for range n {
		<-heard
	}
	each := int64(math.MaxInt64)
	for looks := 0; each > idleMost && looks < 100; looks++ { // until all of them are idle
		time.Sleep(time.Millisecond)
		each = (int64(memory()) - int64(before)) / int64(n)
	}
	for _, c := range conns {
		must(t, c.Close())
	}
	for range conns {
		<-ended
	}
	if each > idleMost {
		t.Fatal(each, "bytes each")
	}
	t.Log(each, "bytes each")
}
