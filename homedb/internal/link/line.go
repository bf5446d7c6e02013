// Package link is the one connection between a home and its person's relay: an
// outbound websocket, proven in both directions (section 12), kept up through
// restarts and refusals. It must never confirm or put anything on its own, and
// never listen.
package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

const (
	// maxFrame is an envelope and its frame; coder/websocket would stop at 32 KiB.
	maxFrame = 256 << 10
	// window is how many deliveries a relay may have unconfirmed (section 12). One
	// that sends more breaks the protocol, and the line is closed.
	window = 64
	// maxLive bounds the link and live envelopes that wait to be read. They are worth
	// nothing later: past it they are dropped and counted.
	maxLive = 128
	// maxPuts bounds what is under way to the relay; others wait for their turn.
	maxPuts = 32
	// A relay reads 600 frames a minute from a socket and leaves the others for later,
	// pings among them. We stay a little below, so that nothing piles up.
	framesPerSecond = 9
	framesAtOnce    = 60

	writePatience = 30 * time.Second
	pingEvery     = 30 * time.Second
	pingPatience  = 20 * time.Second
)

// ErrLost says that the connection ended before the answer came.
var ErrLost = errors.New("the connection to the relay was lost")

// Socket is a websocket that carries text frames.
type Socket interface {
	Read(ctx context.Context) ([]byte, error)
	Write(ctx context.Context, frame []byte) error
	Ping(ctx context.Context) error
	// Close ends the socket at once.
	Close()
}

// Delivery is a row of the queue.
type Delivery struct {
	N   int64
	Raw []byte // the envelope as it came
}

// Notice is an event frame.
type Notice struct {
	What   string
	Params json.RawMessage
}

// Line is one connection that is up: both sides have proven themselves.
type Line struct {
	// Ready is what the relay said first, and At when.
	Ready handshake.Ready
	At    time.Time
	// Deliveries are ascending; all that have come are to be confirmed in time.
	Deliveries <-chan Delivery
	// Live are link and live envelopes as they came.
	Live <-chan []byte
	// Notices must be taken quickly: while they wait nothing else is read.
	Notices <-chan Notice

	socket     Socket
	pace       *rate.Limiter
	deliveries chan Delivery
	live       chan []byte
	notices    chan Notice
	slots      chan struct{}
	dropped    func()

	writing sync.Mutex // one frame at a time

	mu      sync.Mutex // guards what follows
	waiting map[protocol.ID]chan answer
	asking  []*asked // the earliest first
	ended   bool
}

// asked is a question about the courtyard itself, not about an envelope.
type asked struct {
	op     string
	device string // "": the question names none
	answer chan reply
}

type reply struct {
	raw []byte
	err error
}

type answer struct {
	kept []protocol.UID
	err  error
}

func newLine(socket Socket, ready handshake.Ready, at time.Time, pace float64, dropped func()) *Line {
	if pace == 0 {
		pace = framesPerSecond
	}
	l := &Line{
		Ready: ready, At: at, socket: socket, dropped: dropped, pace: rate.NewLimiter(rate.Limit(pace), framesAtOnce),
		deliveries: make(chan Delivery, window), live: make(chan []byte, maxLive), notices: make(chan Notice, 16),
		slots: make(chan struct{}, maxPuts), waiting: map[protocol.ID]chan answer{},
	}
	l.Deliveries, l.Live, l.Notices = l.deliveries, l.live, l.notices
	return l
}

// frame is any frame of the relay after ready; which keys it has follows from op.
type frame struct {
	Op     string          `json:"op"`
	N      int64           `json:"n,omitempty"`
	Env    json.RawMessage `json:"env,omitempty"`
	ID     protocol.ID     `json:"id,omitempty"`
	Kept   []protocol.UID  `json:"kept,omitempty"`
	Code   string          `json:"code,omitempty"`
	What   string          `json:"what,omitempty"`
	Device string          `json:"device,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
}

// read takes frames until the connection ends. Frames with an op that is not
// known here are left alone: a newer relay may have more to say.
func (l *Line) read(ctx context.Context) error {
	for {
		raw, err := l.socket.Read(ctx)
		if err != nil {
			return err
		}
		var f frame
		if err := protocol.DecodeOpen(raw, &f, 8); err != nil {
			return fmt.Errorf("a frame of the relay: %w", err)
		}
		switch f.Op {
		case "deliver":
			select {
			case l.deliveries <- Delivery{f.N, f.Env}:
			default:
				return errors.New("the relay sends more than may be unconfirmed")
			}
		case "live":
			select {
			case l.live <- f.Env:
			default:
				l.dropped()
			}
		case "accepted":
			l.resolve(f.ID, answer{kept: f.Kept})
		case "turn", "where":
			r := reply{raw: raw}
			if f.Code != "" {
				r = reply{err: refusal(f)}
			}
			l.tell(f.Op, f.Device, r)
		case "refused":
			if f.ID.IsZero() { // not about a put: the relay says why it is about to close
				return refusal(f)
			}
			l.resolve(f.ID, answer{err: refusal(f)})
		case "event":
			select {
			case l.notices <- Notice{f.What, f.Params}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func refusal(f frame) error {
	var params map[string]any
	if len(f.Params) > 0 {
		if err := json.Unmarshal(f.Params, &params); err != nil {
			params = nil // the code alone decides what is done
		}
	}
	code := f.Code
	if code == "" || len(code) > 40 {
		code = protocol.CodeInternal
	}
	return &protocol.Error{Op: "link.Put", Code: code, Params: params, Cause: errors.New("refused by the relay")}
}

func (l *Line) resolve(id protocol.ID, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.waiting[id]; ok {
		delete(l.waiting, id)
		c <- a // holds one, and only this sends
	}
}

// Ask puts a question about the courtyard: `turn`, or `where` about a device (""
// for turn). The error has the relay's code, or is ErrLost. Answers come in the
// order of the questions.
func (l *Line) Ask(ctx context.Context, op, device string) ([]byte, error) {
	a := &asked{op: op, device: device, answer: make(chan reply, 1)}
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil, ErrLost
	}
	if len(l.asking) >= maxPuts {
		l.mu.Unlock()
		return nil, &protocol.Error{Op: "link.Ask", Code: protocol.CodeRateLimited, Cause: errors.New("too many questions at once")}
	}
	l.asking = append(l.asking, a)
	l.mu.Unlock()
	frame := fmt.Appendf(nil, `{"op":%q}`, op)
	if device != "" {
		frame = fmt.Appendf(nil, `{"op":%q,"device":%q}`, op, device)
	}
	if err := l.write(ctx, frame); err != nil {
		l.forget(a)
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	select {
	case r := <-a.answer:
		return r.raw, r.err
	case <-ctx.Done():
		l.forget(a)
		return nil, ctx.Err()
	}
}

// tell hands an answer to the earliest who has asked for it.
func (l *Line) tell(op, device string, r reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range l.asking {
		if a.op == op && a.device == device {
			l.asking = slices.Delete(l.asking, i, i+1)
			a.answer <- r // holds one, and only this sends
			return
		}
	}
}

func (l *Line) forget(a *asked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking = slices.DeleteFunc(l.asking, func(b *asked) bool { return a == b })
}

// end lets everybody who waits for an answer know that none will come.
func (l *Line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for id, c := range l.waiting {
		delete(l.waiting, id)
		c <- answer{err: ErrLost}
	}
	for _, a := range l.asking {
		a.answer <- reply{err: ErrLost}
	}
	l.asking = nil
}

func (l *Line) write(ctx context.Context, frame []byte) error {
	if err := l.pace.Wait(ctx); err != nil {
		return err
	}
	return l.writeNow(ctx, frame)
}

func (l *Line) writeNow(ctx context.Context, frame []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	// A write that is cut short breaks the socket, so it is not bound to the caller's patience.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer stop()
	return l.socket.Write(ctx, frame)
}

// Marks are what a put says of its letter besides.
type Marks struct {
	Quiet  bool // nobody is to be woken for it (section 16)
	Unsure bool // by this machine's clock it is dated ahead (section 14)
}

// Put gives an envelope to the relay and waits until it is on the relay's disk
// for everybody in to. kept are those for whom the relay keeps it. The error has
// the relay's code, or is ErrLost: then it may or may not have been taken, and
// the same bytes may be put again.
func (l *Line) Put(ctx context.Context, to []protocol.UID, marks Marks, envelope *protocol.Envelope) (kept []protocol.UID, err error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := make(chan answer, 1)
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil, ErrLost
	}
	l.waiting[envelope.ID] = c
	l.mu.Unlock()
	if err := l.write(ctx, putFrame(to, marks, envelope)); err != nil {
		l.resolve(envelope.ID, answer{err: fmt.Errorf("%w: %w", ErrLost, err)})
	}
	select {
	case a := <-c:
		return a.kept, a.err
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, envelope.ID)
		return nil, ctx.Err()
	}
}

// Send gives an envelope that is never queued, and waits for no answer.
func (l *Line) Send(ctx context.Context, envelope *protocol.Envelope) error {
	return l.write(ctx, putFrame(nil, Marks{}, envelope))
}

func putFrame(to []protocol.UID, marks Marks, envelope *protocol.Envelope) []byte {
	raw := envelope.Marshal()
	out := make([]byte, 0, len(raw)+64+48*len(to))
	out = append(out, `{"op":"put",`...)
	if len(to) > 0 {
		out = append(out, `"for":[`...)
		for i, uid := range to {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, '"')
			out = append(out, uid.String()...)
			out = append(out, '"')
		}
		out = append(out, `],`...)
	}
	if marks.Quiet {
		out = append(out, `"quiet":true,`...)
	}
	if marks.Unsure {
		out = append(out, `"unsure":true,`...)
	}
	out = append(out, `"env":`...)
	out = append(out, raw...)
	return append(out, '}')
}

// Confirm tells the relay that all up to n is on this home's disk and may be
// forgotten there. Nothing is ever confirmed before its commit, nor what this
// line has not delivered. Confirming a delivered row does not count as a frame.
func (l *Line) Confirm(ctx context.Context, n int64) error {
	return l.writeNow(ctx, fmt.Appendf(nil, `{"op":"confirm","n":%d}`, n))
}
