package direct

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// firstWord is how long a TCP connection may take to say whose it is.
	firstWord = 10 * time.Second
	// maxVisitors and maxEach bound the TCP connections, and those of one address
	// (IPv6: a /64): the port is open to everybody.
	maxVisitors = 64
	maxEach     = 8
)

// door is a listener that lets in as many as there is room for; the others are
// closed at once.
type door struct {
	net.Listener
	counted func(string)

	mu     sync.Mutex // guards what follows
	all    int
	guests map[netip.Prefix]int
}

func newDoor(l net.Listener, counted func(string)) *door {
	return &door{Listener: l, counted: counted, guests: map[netip.Prefix]int{}}
}

func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := whence(c.RemoteAddr())
		if d.enter(from) {
			return &guest{Conn: c, leave: sync.OnceFunc(func() { d.leaves(from) })}, nil
		}
		d.counted("door-full")
		if err := c.Close(); err != nil {
			d.counted("door-close") // nothing is owed to it
		}
	}
}

func (d *door) enter(from netip.Prefix) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= maxVisitors || d.guests[from] >= maxEach {
		return false
	}
	d.all++
	d.guests[from]++
	return true
}

func (d *door) leaves(from netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.guests[from]--; d.guests[from] == 0 {
		delete(d.guests, from)
	}
}

func whence(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(addr.WithZone(""), bits).Masked()
}

type guest struct {
	net.Conn
	leave func()
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
