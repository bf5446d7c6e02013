// Package batch is a UDP socket for many small packets: it takes from the kernel
// what is there with one system call, and hands it what was written in between
// with another, neighbours of one size to one address as a single piece that the
// kernel cuts up (segmentation offload). Where the kernel has none of this it is
// a plain socket.
//
// It must never keep a packet back: what a goroutine has sent leaves at the latest
// when that goroutine receives again. It must never wait for room in the kernel,
// nor end because of what came in or could not go out.
package batch

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// Largest is what is received; larger packets are dropped. It is more than any
	// path of the internet takes, and what pion/turn has room for.
	Largest = 1600
	// most packets of one socket wait to be sent; then their writer sends them.
	most = 128
	// pause after the kernel could not give a packet and said neither why nor when.
	pause = 10 * time.Millisecond
)

// Outbox is what sockets that are used together have to send. Safe for use by
// several goroutines.
type Outbox struct {
	large, unsent atomic.Int64
	whole         atomic.Bool // segmentation offload does not work here
	now           atomic.Int64
	any           atomic.Bool

	mu      sync.Mutex
	waiting []*Conn // guarded by mu; may have sent everything since
	spare   []*Conn // guarded by mu; the former waiting, for its memory
}

// NewOutbox makes an empty one.
func NewOutbox() *Outbox {
	o := &Outbox{}
	o.Tick()
	return o
}

// Flush sends everything that any socket of the outbox has to send. Whoever sends
// and receives elsewhere than on such a socket calls it before it waits there.
func (o *Outbox) Flush() {
	if !o.any.Load() {
		return
	}
	o.mu.Lock()
	conns := o.waiting
	o.waiting, o.spare = o.spare[:0], nil
	o.any.Store(false)
	o.mu.Unlock()
	for i, c := range conns {
		c.flush()
		conns[i] = nil
	}
	o.mu.Lock()
	o.spare = conns[:0]
	o.mu.Unlock()
}

// note remembers that c has something to send.
func (o *Outbox) note(c *Conn) {
	o.mu.Lock()
	o.waiting = append(o.waiting, c)
	o.any.Store(true)
	o.mu.Unlock()
}

// Tick looks at the clock. Sockets do when they receive.
func (o *Outbox) Tick() { o.now.Store(time.Now().UnixNano()) }

// Now is when something was last received, ns: good enough for a rate, and
// cheaper than a clock for each packet.
func (o *Outbox) Now() int64 { return o.now.Load() }

// Large and Unsent are how many packets were dropped because they were larger
// than Largest, and because the kernel did not take them.
func (o *Outbox) Large() int64  { return o.large.Load() }
func (o *Outbox) Unsent() int64 { return o.unsent.Load() }

// Conn is a UDP socket. One goroutine receives; any may send.
type Conn struct {
	udp *net.UDPConn
	raw syscall.RawConn
	out *Outbox

	in   *inbox // owned by the receiver: packets received and not yet handed out
	take func(fd uintptr) bool
	err  error // owned by the receiver: what take met

	sending sync.Mutex // held while the kernel takes packets, which keeps their order

	mu          sync.Mutex
	first, last *packet // guarded by mu: to be sent
	waiting     int     // guarded by mu
	closed      bool    // guarded by mu
}

// packet is one to be sent, from a pool.
type packet struct {
	next *packet
	to   name
	size int
	data [roomy]byte
}

// roomy holds a packet that was received and what TURN puts before it; with the
// rest of the struct it makes 2 KiB.
const roomy = 2000

var packets = sync.Pool{New: func() any { return new(packet) }}

var errTooLong = errors.New("batch: a packet of more than 2000 bytes")

// New takes over udp. Close closes it.
func New(udp *net.UDPConn, out *Outbox) (*Conn, error) {
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{udp: udp, raw: raw, out: out}
	c.take = c.receive
	return c, nil
}

// Receive waits for a packet. An error means that the socket is closed, or that
// the read deadline has passed.
func (c *Conn) Receive(p []byte) (int, netip.AddrPort, error) {
	if !batching() {
		return c.receivePlain(p)
	}
	for {
		if n, from, ok := c.next(p); ok {
			return n, from, nil
		}
		c.out.Flush()
		c.err = nil
		err := c.raw.Read(c.take)
		switch {
		case err != nil:
			return 0, netip.AddrPort{}, err
		case c.err != nil:
			time.Sleep(pause) // the kernel has no memory, say; the socket lives
		default:
			c.out.Tick()
		}
	}
}

// Send takes a packet to be sent; p is the caller's again. An error means that
// the socket is closed or the packet too long; what the kernel does not take is lost.
func (c *Conn) Send(p []byte, to netip.AddrPort) error {
	if len(p) > roomy {
		return errTooLong
	}
	if !batching() {
		return c.sendPlain(p, to)
	}
	k := packets.Get().(*packet)
	k.size = copy(k.data[:], p)
	k.to.set(to)
	k.next = nil
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		packets.Put(k)
		return net.ErrClosed
	}
	if c.last == nil {
		c.first = k
	} else {
		c.last.next = k
	}
	c.last = k
	c.waiting++
	waiting := c.waiting
	c.mu.Unlock()
	switch waiting {
	case 1:
		c.out.note(c)
	case most:
		c.flush()
	}
	return nil
}

// flush sends what waits.
func (c *Conn) flush() {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	first := c.first
	c.first, c.last, c.waiting = nil, nil, 0
	c.mu.Unlock()
	if first != nil {
		c.transmit(first)
	}
}

// Close implements net.PacketConn; what waits is lost.
func (c *Conn) Close() error {
	c.mu.Lock()
	first := c.first
	c.first, c.last, c.waiting, c.closed = nil, nil, 0, true
	c.mu.Unlock()
	recycle(first)
	return c.udp.Close()
}

func recycle(first *packet) {
	for k := first; k != nil; {
		next := k.next
		packets.Put(k)
		k = next
	}
}

// LocalAddr, SetDeadline, SetReadDeadline and SetWriteDeadline are those of net.PacketConn.
func (c *Conn) LocalAddr() net.Addr                { return c.udp.LocalAddr() }
func (c *Conn) SetDeadline(t time.Time) error      { return c.udp.SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.udp.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.udp.SetWriteDeadline(t) }

func (c *Conn) receivePlain(p []byte) (int, netip.AddrPort, error) {
	for {
		c.out.Flush() // other sockets may batch
		n, _, flags, from, err := c.udp.ReadMsgUDPAddrPort(p, nil)
		if err == nil && flags&syscall.MSG_TRUNC != 0 {
			c.out.large.Add(1)
			continue
		}
		if err == nil {
			c.out.Tick()
			return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
		}
		if timeout := net.Error(nil); errors.Is(err, net.ErrClosed) || errors.As(err, &timeout) && timeout.Timeout() {
			return 0, netip.AddrPort{}, err
		}
		time.Sleep(pause)
	}
}

func (c *Conn) sendPlain(p []byte, to netip.AddrPort) error {
	_, err := c.udp.WriteToUDPAddrPort(p, to)
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	if err != nil {
		c.out.unsent.Add(1)
	}
	return nil
}
