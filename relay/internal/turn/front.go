package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/batch"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// front is a UDP socket at which clients come in, as pion/turn wants it.
type front struct {
	*batch.Conn
	ended func() // called once, when it is no longer read
	last  peer   // owned by the receiver: the client with an allocation that sent last
	// admits reports whether somebody without an allocation is answered now.
	admits func(from netip.Addr) bool

	mu    sync.RWMutex
	known map[netip.AddrPort]*net.UDPAddr // guarded by mu; clients with an allocation
}

func (s *Server) front(udp *net.UDPConn) (*front, error) {
	// As much as the system allows, which may be less.
	if err := errors.Join(udp.SetReadBuffer(receiveBuffer), udp.SetWriteBuffer(receiveBuffer)); err != nil {
		return nil, err
	}
	conn, err := batch.New(udp, s.outbox)
	if err != nil {
		return nil, err
	}
	f := &front{Conn: conn, ended: sync.OnceFunc(s.busy.Done), admits: s.admits, known: map[netip.AddrPort]*net.UDPAddr{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fronts[conn.LocalAddr()] = f
	return f, nil
}

// ReadFrom implements net.PacketConn. An error ends pion/turn's listening, so there
// is none before the socket is closed.
func (f *front) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := f.Receive(p)
		if err != nil {
			f.ended()
			return 0, nil, err
		}
		if f.last.from == from {
			return n, f.last.addr, nil
		}
		f.mu.RLock()
		addr := f.known[from]
		f.mu.RUnlock()
		if addr != nil {
			f.last = peer{from, addr}
			return n, addr, nil
		}
		if f.admits(from.Addr().Unmap()) {
			return n, net.UDPAddrFromAddrPort(from), nil
		}
	}
}

// admits is asked for each packet of somebody without an allocation. Networks that the
// owner has named flood nobody.
func (s *Server) admits(from netip.Addr) bool {
	if protocol.Within(s.config.Reach, from) || s.strangers.Allow(limit.Address(from.String())) == nil {
		return true
	}
	s.dropped.add(droppedOften)
	return false
}

// WriteTo implements net.PacketConn.
func (f *front) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, errPacket
	}
	return len(p), f.Send(p, to.AddrPort())
}

// keep and drop remember a client's address in the form that pion/turn wants, as
// long as it has an allocation.
func (f *front) keep(client net.Addr) {
	if a, ok := client.(*net.UDPAddr); ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.known[a.AddrPort()] = a
	}
}

func (f *front) drop(client net.Addr) {
	if a, ok := client.(*net.UDPAddr); ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.known, a.AddrPort())
	}
}

// stream is a listener whose connections pion/turn may read.
type stream struct {
	net.Listener
	server *Server
	ended  func()
}

func (s *Server) stream(l net.Listener) *stream {
	limited := limit.Connections(l, streams, s.config.Proxies, func() { s.refused.add(refusedConnections) })
	return &stream{Listener: limited, server: s, ended: sync.OnceFunc(s.busy.Done)}
}

// Accept implements net.Listener.
func (l *stream) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		l.ended()
		return nil, err
	}
	return l.server.admit(conn), nil
}

// admit puts the guard before a connection.
func (s *Server) admit(conn net.Conn) *guard {
	c := clientOf(conn.RemoteAddr(), conn.LocalAddr())
	var g *guard
	s.busy.Add(1)
	g = newGuard(conn, s.flush, func() bool { return s.holds(c) }, s.refused.add, func() {
		s.mu.Lock()
		delete(s.open, g)
		s.mu.Unlock()
		s.busy.Done()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[g] = struct{}{}
	if s.stopped {
		_ = conn.Close() // pion/turn notices, and closes the guard
	}
	return g
}

// flush is called by a goroutine that is about to wait for a stream.
func (s *Server) flush() {
	s.outbox.Flush()
	s.outbox.Tick()
}
