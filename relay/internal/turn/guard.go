package turn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// firstFrame is how long a connection may take to say something, and wholeFrame
	// how long a frame that has begun may take to come whole.
	firstFrame = 10 * time.Second
	wholeFrame = 10 * time.Second
	// idle is how long one without an allocation may be silent. With one it lives
	// as long as that, which a client has to refresh.
	idle = 60 * time.Second
	// taken is how long a client may leave what it is sent.
	taken = 10 * time.Second
	// frameLimit is the size from which on a frame is refused: pion/turn reads into
	// this much, and spins for ever on a length that runs over 16 bits.
	frameLimit = 1600
)

const (
	frameHead  = 4 // type or channel, and length
	stunHead   = 20
	stunCookie = 0x2112A442
)

var (
	errFrame = errors.New("turn: not a frame")
	errIdle  = errors.New("turn: idle")
)

// frameSize is the length of the frame that begins with these four bytes, on a
// stream (RFC 8656, section 12). Error: no frame begins so, or a larger one.
func frameSize(head [frameHead]byte) (int, error) {
	length, size := int(binary.BigEndian.Uint16(head[2:])), 0
	switch {
	case head[0] < 0x40: // STUN
		if length%4 != 0 {
			return 0, errFrame
		}
		size = stunHead + length
	case head[0] < 0x80: // channel data, padded on a stream; RFC 5766 had more channels
		size = frameHead + (length+3)&^3
	default:
		return 0, errFrame
	}
	if size >= frameLimit {
		return 0, errFrame
	}
	return size, nil
}

// guard is a connection from which pion/turn reads whole frames alone, each of
// which it can hold: without it a single one keeps a core busy for ever.
type guard struct {
	net.Conn
	in       *bufio.Reader
	left     int           // of the frame that is being handed out
	patience time.Duration // until the next one has to begin
	flush    func()        // sends what this goroutine has written elsewhere
	holds    func() bool   // whether there is an allocation on the connection
	refused  func(reason string)
	done     func() // called once, when pion/turn has closed it
}

func newGuard(conn net.Conn, flush func(), holds func() bool, refused func(string), done func()) *guard {
	return &guard{
		Conn: conn, in: bufio.NewReaderSize(conn, frameLimit), patience: firstFrame,
		flush: flush, holds: holds, refused: refused, done: sync.OnceFunc(done),
	}
}

// Read implements net.Conn. One goroutine reads.
func (g *guard) Read(p []byte) (int, error) {
	if g.left == 0 {
		size, err := g.frame()
		if err != nil {
			if reason := reasonOf(err); reason != "" {
				g.refused(reason)
			}
			_ = g.Conn.Close() // also for whoever is writing
			return 0, err
		}
		g.left = size
	}
	whole, err := g.in.Peek(min(g.left, len(p))) // it is there
	if err != nil {
		return 0, err
	}
	n := copy(p, whole)
	g.left -= n
	_, err = g.in.Discard(n)
	return n, err
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, errFrame):
		return refusedFrame
	case errors.Is(err, errIdle):
		return refusedIdle
	}
	return "" // the client has gone
}

// frame waits until a whole frame is in the buffer and says how long it is.
func (g *guard) frame() (int, error) {
	if err := g.await(frameHead, g.patience, g.holds); err != nil {
		return 0, err
	}
	head, err := g.in.Peek(frameHead)
	if err != nil {
		return 0, err
	}
	size, err := frameSize([frameHead]byte(head))
	if err != nil {
		return 0, err
	}
	if err := g.await(size, wholeFrame, nil); err != nil {
		return 0, err
	}
	if head[0] < 0x40 {
		whole, err := g.in.Peek(2 * frameHead)
		if err != nil {
			return 0, err
		}
		if binary.BigEndian.Uint32(whole[frameHead:]) != stunCookie {
			return 0, errFrame
		}
	}
	g.patience = idle
	return size, nil
}

// await waits until n bytes are in the buffer. When the time is up more decides
// whether there is as much again.
func (g *guard) await(n int, within time.Duration, more func() bool) error {
	if g.in.Buffered() >= n {
		return nil
	}
	g.flush()
	for {
		if err := g.Conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			return err
		}
		_, err := g.in.Peek(n)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if more == nil || !more() {
			return errIdle
		}
	}
}

// Write implements net.Conn. A client that does not take what it is sent, or only
// a part, loses the connection: the rest would be no frame.
func (g *guard) Write(p []byte) (int, error) {
	err := g.Conn.SetWriteDeadline(time.Now().Add(taken))
	n := 0
	if err == nil {
		n, err = g.Conn.Write(p)
	}
	if err != nil {
		_ = g.Conn.Close() // this ends the read
	}
	return n, err
}

// Close implements net.Conn.
func (g *guard) Close() error {
	defer g.done()
	return g.Conn.Close()
}
