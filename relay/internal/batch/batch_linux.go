package batch

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batching reports whether the kernel has recvmmsg and sendmmsg: Linux since 3.0,
// but not every sandbox that looks like it.
var batching = sync.OnceValue(func() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written to it
	var none unix.Mmsghdr
	_, _, in := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&none)), 0, unix.MSG_DONTWAIT, 0, 0)
	_, _, out := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&none)), 0, unix.MSG_DONTWAIT, 0, 0)
	return in != unix.ENOSYS && out != unix.ENOSYS
})

// segmenting reports whether it can cut up what is sent: Linux since 4.18.
var segmenting = sync.OnceValue(func() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written to it
	_, err = unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	return err == nil
})

// name is an address as the kernel writes it. The IPv4 form is shorter, and what
// stands behind it is zero: two names can be compared.
type name struct {
	sa   unix.RawSockaddrInet6
	size uint32
}

func (n *name) set(a netip.AddrPort) {
	ip := a.Addr()
	if ip.Is4() || ip.Is4In6() {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&n.sa))
		n.sa = unix.RawSockaddrInet6{}
		four.Family, four.Addr, n.size = unix.AF_INET, ip.As4(), unix.SizeofSockaddrInet4
	} else {
		n.sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: ip.As16()}
		n.size = unix.SizeofSockaddrInet6
	}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&n.sa.Port))[:], a.Port())
}

func (n *name) get() netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&n.sa.Port))[:])
	if n.sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&n.sa)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(n.sa.Addr).Unmap(), port)
}

// inSlots is how many packets are received at once.
const inSlots = 64

// inbox is what packets are received into, from a pool: a socket that waits has
// none, so an idle one costs little.
type inbox struct {
	headers [inSlots]unix.Mmsghdr
	names   [inSlots]name
	pieces  [inSlots]unix.Iovec
	data    [inSlots][Largest]byte
	next, n int
}

var inboxes = sync.Pool{New: func() any {
	in := &inbox{}
	for i := range in.headers {
		in.pieces[i].Base = &in.data[i][0]
		in.pieces[i].SetLen(Largest)
		h := &in.headers[i].Hdr
		h.Iov = &in.pieces[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&in.names[i].sa))
		h.Namelen = unix.SizeofSockaddrInet6
	}
	return in
}}

// receive is what the runtime calls when there may be something to receive. Its system
// call, and that of sendMessages, cannot wait, so the runtime is not told of it: with
// packets that come one by one, the thread that watches over system calls would be
// woken for each of them, which is a fifth of what a packet costs.
func (c *Conn) receive(fd uintptr) bool {
	in := inboxes.Get().(*inbox)
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.headers[0])), inSlots, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			in.next, in.n = 0, int(n)
			c.in = in
			return true
		case unix.EINTR:
			continue
		}
		inboxes.Put(in)
		if errno == unix.EAGAIN {
			return false
		}
		c.err = errno
		return true
	}
}

// next hands out a packet that was received, if there is one.
func (c *Conn) next(p []byte) (n int, from netip.AddrPort, ok bool) {
	in := c.in
	if in == nil {
		return 0, from, false
	}
	for in.next < in.n {
		i := in.next
		in.next++
		h := &in.headers[i]
		h.Hdr.Namelen = unix.SizeofSockaddrInet6
		if h.Hdr.Flags&unix.MSG_TRUNC != 0 || int(h.Len) > len(p) {
			c.out.large.Add(1)
			continue
		}
		return copy(p, in.data[i][:h.Len]), in.names[i].get(), true
	}
	c.in = nil
	inboxes.Put(in)
	return 0, from, false
}

const (
	outMessages = 64
	outPieces   = most
	// mostSegments and mostBytes are what kernels take as one piece; segmentMost
	// is what fits the internet's paths: a larger segment would be refused.
	mostSegments = 64
	mostBytes    = 64_000
	segmentMost  = 1452
	// lookBack is among how many of the last messages one to the same address is
	// looked for.
	lookBack = 8
)

// message is what goes to the kernel as one: a packet, or neighbours.
type message struct {
	first, last *packet
	n, size     int  // packets, and their size; the last may be shorter
	bytes       int  // all together
	full        bool // nothing may follow
}

// sender is what messages are written in for the kernel, from a pool.
type sender struct {
	conn     *Conn
	control  func(fd uintptr) // run, made once
	messages [outMessages]message
	n        int // messages
	packets  int // in them
	headers  [outMessages]unix.Mmsghdr
	pieces   [outPieces]unix.Iovec
	cuts     [outMessages]cut
}

// cut tells the kernel the size of segments: a control message, as it must be
// aligned and padded.
type cut struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte
}

var senders = sync.Pool{New: func() any {
	s := &sender{}
	s.control = s.run
	for i := range s.cuts {
		h := &s.cuts[i].header
		h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		h.SetLen(unix.CmsgLen(2))
	}
	return s
}}

// transmit sends a list of packets. The caller holds sending.
func (c *Conn) transmit(first *packet) {
	s := senders.Get().(*sender)
	s.conn = c
	cutting := segmenting() && !c.out.whole.Load()
	for k := first; k != nil; {
		next := k.next
		k.next = nil
		if !s.add(k, cutting) {
			s.send()
			s.add(k, cutting)
		}
		k = next
	}
	s.send()
	s.conn = nil
	senders.Put(s)
}

// add puts a packet into a message; false if there is no room for it.
func (s *sender) add(k *packet, cutting bool) bool {
	if s.packets == outPieces {
		return false
	}
	if cutting && k.size <= segmentMost && k.size > 0 {
		for i := s.n - 1; i >= max(0, s.n-lookBack); i-- {
			m := &s.messages[i]
			if m.first.to != k.to {
				continue
			}
			// Only the newest to this address: what is older must arrive before it.
			if m.full || k.size > m.size || m.n == mostSegments || m.bytes+k.size > mostBytes {
				break
			}
			m.last.next = k
			m.last = k
			m.n++
			m.bytes += k.size
			m.full = k.size < m.size
			s.packets++
			return true
		}
	}
	if s.n == outMessages {
		return false
	}
	s.messages[s.n] = message{first: k, last: k, n: 1, size: k.size, bytes: k.size, full: !cutting || k.size > segmentMost || k.size == 0}
	s.n++
	s.packets++
	return true
}

// send hands the kernel all messages and gives the packets back.
func (s *sender) send() {
	if s.n == 0 {
		return
	}
	piece := 0
	for i := range s.n {
		m, h := &s.messages[i], &s.headers[i].Hdr
		*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&m.first.to.sa)), Namelen: m.first.to.size, Iov: &s.pieces[piece]}
		h.SetIovlen(m.n)
		for k := m.first; k != nil; k = k.next {
			s.pieces[piece].Base = &k.data[0]
			s.pieces[piece].SetLen(k.size)
			piece++
		}
		if m.n > 1 {
			s.cuts[i].size = uint16(m.size)
			h.Control = (*byte)(unsafe.Pointer(&s.cuts[i]))
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
	if s.conn.raw.Control(s.control) != nil { // closed
		s.conn.out.unsent.Add(int64(s.packets))
	}
	for i := range s.n {
		recycle(s.messages[i].first)
		s.messages[i] = message{}
		s.headers[i].Hdr = unix.Msghdr{}
	}
	for i := range piece {
		s.pieces[i].Base = nil
	}
	s.n, s.packets = 0, 0
}

// run is what the runtime calls with the socket.
func (s *sender) run(fd uintptr) {
	lost := &s.conn.out.unsent
	for i := 0; i < s.n; {
		n, errno := sendMessages(fd, s.headers[i:s.n])
		switch m := &s.messages[i]; {
		case errno == 0:
			i += n
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			// As a network that is full does: no packet is worth waiting for.
			for ; i < s.n; i++ {
				lost.Add(int64(s.messages[i].n))
			}
		case m.n > 1:
			if errno == unix.EIO { // this network card cannot
				s.conn.out.whole.Store(true)
			}
			lost.Add(int64(s.separately(fd, m)))
			i++
		default: // no route, a firewall: this packet alone
			lost.Add(1)
			i++
		}
	}
}

// separately sends the packets of a message that was refused as one; it says how
// many were lost.
func (s *sender) separately(fd uintptr, m *message) (lost int) {
	var one [1]unix.Mmsghdr
	var piece unix.Iovec
	for k := m.first; k != nil; k = k.next {
		piece.Base = &k.data[0]
		piece.SetLen(k.size)
		h := &one[0].Hdr
		*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&k.to.sa)), Namelen: k.to.size, Iov: &piece}
		h.SetIovlen(1)
		if _, errno := sendMessages(fd, one[:]); errno != 0 {
			lost++
		}
	}
	return lost
}

func sendMessages(fd uintptr, headers []unix.Mmsghdr) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
