package limit

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Share is how many connections one address may hold at once, and all together.
type Share struct{ Each, All int }

// HTTP is for browsers, homes and other relays: of one address a family's behind
// one router; in all as many as memory allows, 12 KiB for an idle websocket and
// more for a request.
var HTTP = Share{Each: 256, All: 20_000}

const (
	// pauseFirst and pauseMost are how long nothing is accepted when the system has
	// nothing to accept with, no file descriptor say; each time twice as long.
	pauseFirst = 5 * time.Millisecond
	pauseMost  = time.Second
)

// Connections closes connections beyond the share, as they come. Proxies that the
// operator trusts hold those of many. refused is called for each that is closed so.
// Its Accept fails only when the listener is closed.
func Connections(l net.Listener, share Share, trusted []netip.Prefix, refused func()) net.Listener {
	return &listener{Listener: l, share: share, trusted: trusted, refused: refused, held: map[string]int{}, closed: make(chan struct{})}
}

type listener struct {
	net.Listener
	share   Share
	trusted []netip.Prefix
	refused func()
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	held map[string]int // guarded by mu; at most all keys
	all  int            // guarded by mu
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	pause := pauseFirst
	for {
		conn, err := l.Listener.Accept()
		if err != nil && !errors.Is(err, net.ErrClosed) {
			select {
			case <-time.After(pause):
				pause = min(2*pause, pauseMost)
				continue
			case <-l.closed:
				return nil, net.ErrClosed
			}
		}
		if err != nil {
			return nil, err
		}
		pause = pauseFirst
		key, exempt := l.key(conn)
		if l.take(key, exempt) {
			return &counted{Conn: conn, done: sync.OnceFunc(func() { l.give(key) })}, nil
		}
		l.refused()
		_ = conn.Close() // there is no room to say why
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
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
	if l.all >= l.share.All || !exempt && l.held[key] >= l.share.Each {
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
