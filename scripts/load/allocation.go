package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v5"
	"golang.org/x/net/ipv4"
)

const (
	channelHead = 4    // bytes of channel data before what it carries: channel and length (RFC 8656, section 12.4)
	atOnce      = 16   // packets that are read with one system call at most
	readRoom    = 1500 // bytes, for any packet that is sent here
	// turnWithin bounds how long a TURN server may take to answer.
	turnWithin = 20 * time.Second
)

// intake counts packets of one size that have come through a TURN server, to
// whichever of its clients and their peers. For several goroutines.
type intake struct {
	size    atomic.Int64 // of what is counted, bytes
	packets atomic.Int64
	last    atomic.Int64  // when one came, ns of the clock
	more    chan struct{} // says that there are more
}

func newIntake() *intake { return &intake{more: make(chan struct{}, 1)} }

func (in *intake) add(n int) {
	in.packets.Add(int64(n))
	in.last.Store(int64(clock()))
	select {
	case in.more <- struct{}{}:
	default: // it is said already
	}
}

// socket is a connected UDP socket that reads and writes in batches, so that each
// packet costs this generator little.
type socket struct {
	*net.UDPConn
	batch *ipv4.PacketConn
	in    *intake
}

func dialUDP(to net.Addr, in *intake) (*socket, error) {
	at, err := net.ResolveUDPAddr("udp4", to.String())
	if err != nil {
		return nil, err
	}
	udp, err := net.DialUDP("udp4", nil, at)
	if err != nil {
		return nil, err
	}
	if err := udp.SetReadBuffer(4 << 20); err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	return &socket{UDPConn: udp, batch: ipv4.NewPacketConn(udp), in: in}, nil
}

// room is for packets that are read at once.
func room() []ipv4.Message {
	messages := make([]ipv4.Message, atOnce)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, readRoom)}
	}
	return messages
}

// count reads until the socket is closed: what a peer does.
func (s *socket) count() {
	messages := room()
	for {
		n, err := s.batch.ReadBatch(messages, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if came := s.counted(messages[:max(n, 0)], 0); came > 0 {
			s.in.add(came)
		}
	}
}

// counted is how many of some packets are of the size in question behind a head.
func (s *socket) counted(messages []ipv4.Message, head int) (came int) {
	for i := range messages {
		if messages[i].N-head == int(s.in.size.Load()) {
			came++
		}
	}
	return came
}

// tap is the socket of a TURN client. The client speaks STUN over it; what comes
// over a channel is only counted, and of what goes out over one the channel is noted.
type tap struct {
	*socket
	channel atomic.Uint32 // 0: none is bound yet

	// Owned by the receiver: packets that were read and not yet looked at.
	messages []ipv4.Message
	left     []ipv4.Message
}

// onChannel reports whether a packet is channel data, and no STUN.
func onChannel(p []byte) bool { return len(p) >= channelHead && p[0]>>6 == 1 }

// ReadFrom implements net.PacketConn, for STUN.
func (t *tap) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		for len(t.left) > 0 {
			m := t.left[0]
			t.left = t.left[1:]
			if raw := m.Buffers[0][:m.N]; !onChannel(raw) {
				return copy(p, raw), t.RemoteAddr(), nil
			}
		}
		n, err := t.batch.ReadBatch(t.messages, 0)
		if err != nil {
			return 0, nil, err
		}
		t.left = t.messages[:n]
		if came := t.counted(t.left, channelHead); came > 0 {
			t.in.add(came)
		}
	}
}

// WriteTo implements net.PacketConn: to the server alone.
func (t *tap) WriteTo(p []byte, _ net.Addr) (int, error) {
	if onChannel(p) {
		t.channel.Store(uint32(binary.BigEndian.Uint16(p)))
	}
	return t.Write(p)
}

// login is what a TURN server admits.
type login struct{ user, password string }

// allocation is one on a TURN server: its client, and after bind a peer and a channel to him.
type allocation struct {
	client  *turn.Client
	tap     *tap
	relayed net.PacketConn
	peer    *socket
}

// allocate makes one at a server on this machine.
func allocate(ctx context.Context, at net.Addr, as login, in *intake) (*allocation, error) {
	ctx, stop := context.WithTimeout(ctx, turnWithin)
	defer stop()
	s, err := dialUDP(at, in)
	if err != nil {
		return nil, err
	}
	a := &allocation{tap: &tap{socket: s, messages: room()}}
	a.client, err = turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: at.String(), Conn: a.tap, Username: as.user, Password: as.password, Realm: "courtyard", RTO: time.Second,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err = a.client.Listen(); err == nil {
		a.relayed, err = a.client.AllocateWithContext(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("an allocation: %w", err), a.close())
	}
	return a, nil
}

// bind makes a peer and, as browsers do when they say something, a permission and a channel.
func (a *allocation) bind(ctx context.Context) (err error) {
	ctx, stop := context.WithTimeout(ctx, turnWithin)
	defer stop()
	if a.peer, err = dialUDP(a.relayed.LocalAddr(), a.tap.in); err != nil {
		return err
	}
	go a.peer.count()
	for a.tap.channel.Load() == 0 {
		if _, err := a.relayed.WriteTo([]byte("hello"), a.peer.LocalAddr()); err != nil {
			return err
		}
		if err := idleFor(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("no channel: %w", err)
		}
	}
	return nil
}

// close gives the allocation back.
func (a *allocation) close() error {
	var errs []error
	if a.relayed != nil {
		errs = append(errs, a.relayed.Close())
	}
	if a.client != nil {
		a.client.Close()
	}
	if a.peer != nil {
		errs = append(errs, a.peer.Close())
	}
	return errors.Join(append(errs, a.tap.Close())...)
}

// source sends the same packet as often as is wanted.
type source struct {
	batch   *ipv4.PacketConn
	packets []ipv4.Message
}

// source is of packets with size bytes to be relayed: up, from the client to the
// peer, or down.
func (a *allocation) source(up bool, size int) *source {
	from, packet := a.peer, make([]byte, 0, channelHead+size)
	if up {
		from = a.tap.socket
		packet = binary.BigEndian.AppendUint16(packet, uint16(a.tap.channel.Load()))
		packet = binary.BigEndian.AppendUint16(packet, uint16(size))
	}
	packet = append(packet, make([]byte, size)...)
	s := &source{batch: from.batch}
	for range turnBurst {
		s.packets = append(s.packets, ipv4.Message{Buffers: [][]byte{packet}})
	}
	return s
}

// send writes n packets, turnBurst at most.
func (s *source) send(n int) error {
	for left := s.packets[:n]; len(left) > 0; {
		sent, err := s.batch.WriteBatch(left, 0)
		if err != nil {
			return err
		}
		left = left[sent:]
	}
	return nil
}
