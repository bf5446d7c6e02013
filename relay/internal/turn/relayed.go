package turn

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/courtyard-social/courtyard/relay/internal/batch"
	pion "github.com/pion/turn/v5"
)

// tries is how many ports are tried for an allocation before it is refused.
const tries = 32

var (
	errNoRelay = errors.New("turn: only UDP is relayed")
	errQuota   = errors.New("turn: too many allocations")
	errFull    = errors.New("turn: no free port")
	errRevoked = errors.New("turn: the device was revoked")
	errPacket  = errors.New("turn: not a UDP address")
)

// flow is what went in one direction, and when something did last (the outbox's
// clock); at first, when the allocation was made.
type flow struct{ packets, bytes, last atomic.Int64 }

func (f *flow) count(n int, now int64) {
	f.packets.Add(1)
	f.bytes.Add(int64(n))
	f.last.Store(now)
}

func (f *flow) merge(other *flow) {
	f.packets.Add(other.packets.Load())
	f.bytes.Add(other.bytes.Load())
}

// relayed is the socket of an allocation: what pion/turn sends to peers, and
// receives from them, passes here, and with it a port below 1024, too much at
// once, and this machine's own services do not.
type relayed struct {
	*batch.Conn
	server *Server
	at     *address
	port   uint16
	device device
	person *person
	began  time.Time

	out, in   flow  // to peers, from them
	collected int64 // guarded by the ledger's mu: what of both it has added up
	closing   sync.Once
	ending    sync.Once

	// whom the client has asked for: read for each packet, replaced while the server's mu is held
	permitted atomic.Pointer[map[netip.Addr]bool]

	// guarded by the server's mu
	left     bool
	channels int

	// Owned by the receiver: peers heard of lately, in the form that pion/turn wants.
	peers [2]peer
	next  int
}

type peer struct {
	from netip.AddrPort
	addr *net.UDPAddr
}

func (r *relayed) bytes() int64 { return r.out.bytes.Load() + r.in.bytes.Load() }

// WriteTo implements net.PacketConn: to a peer. What may not pass is dropped, as a
// network does.
func (r *relayed) WriteTo(p []byte, addr net.Addr) (int, error) {
	peer, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, errPacket
	}
	to := peer.AddrPort()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if to.Port() < lowestPort {
		r.server.dropped.add(droppedPort)
		return len(p), nil
	}
	if at := r.server.addresses.seen[to.Addr()]; at != nil {
		switch {
		case at.open(to.Port()): // another allocation here: the short way, also behind a NAT
			to = netip.AddrPortFrom(at.bound, to.Port())
		case !r.server.policy.names(to.Addr()):
			r.server.dropped.add(droppedOwn)
			return len(p), nil
		}
	}
	now := r.server.outbox.Now()
	if !r.pass(len(p), now) {
		return len(p), nil
	}
	r.out.count(len(p), now)
	return len(p), r.Send(p, to)
}

// ReadFrom implements net.PacketConn: from a peer. One goroutine reads. Here each
// allocation waits, so what is done with a packet has a stack frame of its own.
func (r *relayed) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := r.Receive(p)
		if err != nil {
			r.ending.Do(r.server.busy.Done)
			return 0, nil, err
		}
		if peer := r.heard(n, from); peer != nil {
			return n, peer, nil
		}
	}
}

// heard counts a packet from a peer, and says who that is as pion/turn wants it; nil
// if it is dropped.
//
//go:noinline
func (r *relayed) heard(n int, from netip.AddrPort) *net.UDPAddr {
	if from.Port() < lowestPort {
		r.server.dropped.add(droppedPort)
		return nil
	}
	if at := r.server.addresses.hidden[from.Addr()]; at != nil && at.open(from.Port()) {
		from = netip.AddrPortFrom(at.seen, from.Port())
	}
	if !(*r.permitted.Load())[from.Addr()] { // pion/turn would drop it, too, but nobody pays for what strangers send
		r.server.dropped.add(droppedStranger)
		return nil
	}
	now := r.server.outbox.Now()
	if !r.pass(n, now) {
		return nil
	}
	r.in.count(n, now)
	return r.known(from)
}

// permit replaces whom the client has asked for. The caller holds the server's mu.
func (r *relayed) permit(peer netip.Addr, now bool) {
	next := maps.Clone(*r.permitted.Load())
	if now {
		next[peer] = true
	} else {
		delete(next, peer)
	}
	r.permitted.Store(&next)
}

// pass takes from what the person may have relayed a second.
func (r *relayed) pass(n int, now int64) bool {
	if r.person.bucket.take(now, int64(n), r.server.config.BytesPerSecond) {
		return true
	}
	r.server.dropped.add(droppedRate)
	return false
}

// known finds the form of a peer's address, which is not made anew for each packet.
func (r *relayed) known(from netip.AddrPort) *net.UDPAddr {
	for i := range r.peers {
		if r.peers[i].from == from {
			return r.peers[i].addr
		}
	}
	r.next = (r.next + 1) % len(r.peers)
	r.peers[r.next] = peer{from, net.UDPAddrFromAddrPort(from)}
	return r.peers[r.next].addr
}

// Close implements net.PacketConn: the allocation has ended, or shall.
func (r *relayed) Close() error {
	r.closing.Do(func() {
		r.server.leave(r)
		if err := r.Conn.Close(); err != nil {
			r.server.config.Log.Warn("a relaying socket did not close well", "err", err)
		}
		r.server.settle(r)
	})
	return nil
}

// generator makes the sockets of the allocations of one listener.
type generator struct {
	server *Server
	here   netip.Addr // where it listens; none: nowhere in particular
}

// Validate implements pion's RelayAddressGenerator.
func (g *generator) Validate() error { return nil }

// AllocatePacketConn implements pion's RelayAddressGenerator. Without a user it is
// asked for an even port that is free, to which it may come back (EVEN-PORT).
func (g *generator) AllocatePacketConn(wanted pion.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	at := g.server.addresses.of(wanted.Network == "udp6", g.here)
	if at == nil {
		return nil, nil, errNoRelay
	}
	if wanted.UserID == "" {
		udp, port, err := g.listen(wanted.Network, at, g.server.config.Ports.even)
		if err != nil {
			return nil, nil, err
		}
		return udp, net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.seen, port)), nil
	}
	d, ok := deviceFrom(wanted.UserID)
	if !ok {
		return nil, nil, errNoRelay
	}
	r := &relayed{server: g.server, at: at, device: d, began: g.server.config.Now()}
	r.permitted.Store(&map[netip.Addr]bool{})
	r.out.last.Store(g.server.outbox.Now())
	r.in.last.Store(g.server.outbox.Now())
	if r.person, ok = g.server.ledger.begin(d.uid, r); !ok {
		g.server.refused.add(refusedQuota)
		return nil, nil, errQuota
	}
	if g.server.credentials.isDenied(d) { // meanwhile: Revoke has looked before this was there
		g.server.ledger.end(r.person, r)
		g.server.refused.add(refusedRevoked)
		return nil, nil, errRevoked
	}
	if err := g.open(r, wanted); err != nil {
		g.server.ledger.end(r.person, r)
		g.server.refused.add(refusedPorts)
		return nil, nil, err
	}
	g.server.remember(r)
	return r, net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.seen, r.port)), nil
}

func (g *generator) open(r *relayed, wanted pion.AllocateListenerConfig) error {
	choose := g.server.config.Ports.any
	if wanted.RequestedPort != 0 {
		choose = func() uint16 { return uint16(wanted.RequestedPort) }
		if !g.server.config.Ports.has(wanted.RequestedPort) {
			return errFull
		}
	}
	udp, port, err := g.listen(wanted.Network, r.at, choose)
	if err != nil {
		return err
	}
	if r.Conn, err = batch.New(udp, g.server.outbox); err != nil {
		return errors.Join(err, udp.Close())
	}
	r.port = port
	return nil
}

// listen takes one of the ports that choose suggests.
func (g *generator) listen(network string, at *address, choose func() uint16) (*net.UDPConn, uint16, error) {
	for range tries {
		port := choose()
		if udp, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.bound, port))); err == nil {
			return udp, port, nil
		}
	}
	return nil, 0, errFull
}

// AllocateListener implements pion's RelayAddressGenerator: TCP is not relayed.
func (g *generator) AllocateListener(pion.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errNoRelay
}

// AllocateConn implements pion's RelayAddressGenerator: nor is anything dialled.
func (g *generator) AllocateConn(pion.AllocateConnConfig) (net.Conn, error) { return nil, errNoRelay }
