// Package share lets HTTPS and TURN over TLS have one port, 443: networks that
// allow nothing else allow that. What a connection is shows once TLS is unwrapped:
// a client that has agreed on a protocol (ALPN) has said it, any other shows it by
// its first byte, which in TURN is below 0x40 and in HTTP a letter.
//
// It must never let one connection wait for another, nor look at more than that byte.
package share

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// patience is how long a connection may take for its handshake, and then for its
// first byte.
const patience = 10 * time.Second

// What a connection may agree on, the likeliest to be meant first: RFC 7443 has a
// name for TURN, which browsers do not use; coturn's client names HTTP besides.
const (
	protocolTURN  = "stun.turn"
	protocolHTTP2 = "h2"
	protocolHTTP1 = "http/1.1"
)

// Port is a port that is shared. Run it.
type Port struct {
	raw        net.Listener
	config     *tls.Config
	http, turn *side
	ctx        context.Context // ends when the port is closed
	end        context.CancelFunc
	all        sync.WaitGroup
}

// New shares a listener. certificate is asked for each connection.
func New(raw net.Listener, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *Port {
	ctx, end := context.WithCancel(context.Background())
	p := &Port{raw: raw, ctx: ctx, end: end, config: &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: certificate,
		NextProtos:     []string{protocolTURN, protocolHTTP2, protocolHTTP1},
	}}
	p.http, p.turn = newSide(raw.Addr()), newSide(raw.Addr())
	return p
}

// HTTP brings the connections that speak HTTP; those that have agreed on HTTP/2
// are *tls.Conn, as net/http wants them.
func (p *Port) HTTP() net.Listener { return p.http }

// TURN brings the others.
func (p *Port) TURN() net.Listener { return p.turn }

// Run accepts until Close, and returns when nothing of it is left.
func (p *Port) Run() error {
	defer p.all.Wait()
	for {
		conn, err := p.raw.Accept()
		if p.ctx.Err() != nil {
			if err == nil {
				return conn.Close()
			}
			return nil
		}
		if err != nil {
			return err
		}
		p.all.Go(func() { p.sort(conn) })
	}
}

// Close ends the listening. Connections that have been handed on are others'.
func (p *Port) Close() error {
	p.end()
	return p.raw.Close()
}

// sort finds out what a connection is and hands it on.
func (p *Port) sort(raw net.Conn) {
	conn, to := p.look(raw)
	if to == nil || !to.hand(p.ctx, conn) {
		_ = raw.Close() // who says nothing we know needs no answer
	}
}

func (p *Port) look(raw net.Conn) (net.Conn, *side) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	conn := tls.Server(raw, p.config)
	if conn.HandshakeContext(ctx) != nil {
		return nil, nil
	}
	agreed := conn.ConnectionState().NegotiatedProtocol
	var known net.Conn = conn
	if agreed == "" {
		p := &peeked{Conn: conn}
		if !p.peek(ctx) {
			return nil, nil
		}
		known = p
		agreed = protocolOf(p.first[0])
	}
	if agreed == protocolTURN {
		return known, p.turn
	}
	return known, p.http
}

// protocolOf says what begins with a byte: STUN's first two bits are zero (RFC
// 8489), and no method of HTTP begins so.
func protocolOf(first byte) string {
	if first < 0x40 {
		return protocolTURN
	}
	return protocolHTTP1
}

// peeked is a connection whose first byte has been looked at.
type peeked struct {
	net.Conn
	first [1]byte
	left  bool
}

// peek waits for the first byte.
func (p *peeked) peek(ctx context.Context) bool {
	until, _ := ctx.Deadline()
	if p.Conn.SetReadDeadline(until) != nil {
		return false
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Conn.SetReadDeadline(time.Now()) }) // the port is closed
	n, err := p.Conn.Read(p.first[:])
	if !stop() || err != nil || n != 1 {
		return false
	}
	p.left = true
	return p.Conn.SetReadDeadline(time.Time{}) == nil
}

// Read implements net.Conn. One goroutine reads.
func (p *peeked) Read(b []byte) (int, error) {
	if !p.left || len(b) == 0 {
		return p.Conn.Read(b)
	}
	p.left = false
	return copy(b, p.first[:]), nil
}

// side is a listener to which connections are handed.
type side struct {
	addr net.Addr
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func newSide(addr net.Addr) *side {
	return &side{addr: addr, in: make(chan net.Conn), done: make(chan struct{})}
}

// hand waits until somebody takes the connection; false: nobody will.
func (s *side) hand(ctx context.Context, conn net.Conn) bool {
	select {
	case s.in <- conn:
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	return false
}

// Accept implements net.Listener.
func (s *side) Accept() (net.Conn, error) {
	select {
	case conn := <-s.in:
		return conn, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (s *side) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// Addr implements net.Listener.
func (s *side) Addr() net.Addr { return s.addr }
