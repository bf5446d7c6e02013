package limit

import (
	"net"
	"net/netip"
	"sync"
)

const (
	// connections of one address: a family's browsers and homes behind one router.
	connections = 256
	// allConnections bounds the relay's; an idle websocket costs about 12 KiB, a request more.
	allConnections = 20_000
)

// Connections closes connections beyond what one address may hold at once, and
// beyond what the relay may, as they come. Proxies that the operator trusts hold
// those of many. refused is called for each that is closed so.
func Connections(l net.Listener, trusted []netip.Prefix, refused func()) net.Listener {
	return &listener{Listener: l, trusted: trusted, refused: refused, held: map[string]int{}}
}

type listener struct {
	net.Listener
	trusted []netip.Prefix
	refused func()

	mu   sync.Mutex
	held map[string]int // guarded by mu; at most all keys
	all  int            // guarded by mu
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		key, exempt := l.key(conn)
		if l.take(key, exempt) {
			return &counted{Conn: conn, done: sync.OnceFunc(func() { l.give(key) })}, nil
		}
		l.refused()
		_ = conn.Close() // there is no room to say why
	}
}

func (l *listener) key(conn net.Conn) (key string, exempt bool) {
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return "unknown", false
	}
	for _, prefix := range l.trusted {
		if prefix.Contains(peer.Addr().Unmap()) {
			exempt = true
		}
	}
	return Address(peer.Addr().String()), exempt
}

func (l *listener) take(key string, exempt bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= allConnections || !exempt && l.held[key] >= connections {
		return false
	}
	l.all++
	l.held[key]++
	return true
}

func (l *listener) give(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.held[key]--; l.held[key] == 0 {
		delete(l.held, key)
	}
}

type counted struct {
	net.Conn
	done func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.done()
	return c.Conn.Close()
}
