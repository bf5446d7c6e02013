package relaytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// within bounds every waiting of a test; what is waited for is the thing itself.
const within = 30 * time.Second

// Frame is anything the relay sends after ready.
type Frame struct {
	Op     string          `json:"op"`
	ID     protocol.ID     `json:"id"`
	Kept   []protocol.UID  `json:"kept"`
	Code   string          `json:"code"`
	Params map[string]any  `json:"params"`
	N      int64           `json:"n"`
	Env    json.RawMessage `json:"env"`
	What   string          `json:"what"`
	Raw    []byte          `json:"-"`
}

// Socket is a connected device.
type Socket struct {
	t      testing.TB
	Person *Person
	Keys   *ident.DeviceKeys
	Ready  handshake.Ready
	conn   *websocket.Conn

	mu     sync.Mutex
	frames []Frame       // guarded by mu: seen and not yet asked for
	err    error         // guarded by mu: how the connection ended
	news   chan struct{} // guarded by mu: closed and replaced when something came
}

// Dialling is how to connect; the zero value is right.
type Dialling struct {
	Instance protocol.ID       // zero: a new one
	Host     string            // signed instead of the one dialled
	Header   http.Header       // of the upgrade
	Sign     protocol.Signer   // signs instead of the device
	Device   protocol.DeviceID // claimed instead of the device's own
}

// Connect connects a device of p; it must succeed.
func (c *Courtyard) Connect(p *Person, keys *ident.DeviceKeys) *Socket {
	c.t.Helper()
	s, err := c.Dial(p, keys, Dialling{})
	must(c.t, err)
	return s
}

// Dial connects a device of p. An error is what the relay said, code first.
func (c *Courtyard) Dial(p *Person, keys *ident.DeviceKeys, d Dialling) (*Socket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.URL, "http")+"/api/1/socket", &websocket.DialOptions{HTTPClient: c.client, HTTPHeader: d.Header})
	if err != nil {
		if res != nil {
			return nil, fmt.Errorf("status %d: %w", res.StatusCode, err)
		}
		return nil, err
	}
	conn.SetReadLimit(1 << 20)
	s := &Socket{t: c.t, Person: p, Keys: keys, conn: conn, news: make(chan struct{})}
	if err := s.greet(ctx, c, d); err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read()
	}()
	c.t.Cleanup(func() {
		_ = conn.CloseNow()
		<-done
	})
	return s, nil
}

func (s *Socket) greet(ctx context.Context, c *Courtyard, d Dialling) error {
	_, raw, err := s.conn.Read(ctx)
	if err != nil {
		return err
	}
	challenge, err := handshake.ParseChallenge(raw)
	if err != nil {
		return err
	}
	host, sign, device := d.Host, d.Sign, d.Device
	if host == "" {
		host = c.Host
	}
	if sign == nil {
		sign = s.Keys
	}
	if device.IsZero() {
		device = s.Keys.ID()
	}
	if d.Instance.IsZero() {
		d.Instance = NewID(s.t)
	}
	nonce := protocol.Key32(protocol.Hash("test", d.Instance[:]))
	auth, err := protocol.Marshal(handshake.Auth{
		Op: handshake.OpAuth, UID: s.Person.UID, Device: device, Nonce: nonce, Instance: d.Instance,
		Sig: handshake.AuthSign(sign, challenge.Nonce, challenge.Key, host, s.Person.UID, device),
	})
	if err != nil {
		return err
	}
	if err := s.conn.Write(ctx, websocket.MessageText, auth); err != nil {
		return err
	}
	if _, raw, err = s.conn.Read(ctx); err != nil {
		return err
	}
	var f Frame
	if json.Unmarshal(raw, &f) == nil && f.Op == "refused" {
		return fmt.Errorf("%s", f.Code)
	}
	if s.Ready, err = handshake.ParseReady(raw); err != nil {
		return err
	}
	if !handshake.ReadyVerify(c.Key, s.Ready.Proof, nonce, s.Person.UID) {
		return fmt.Errorf("the relay has not proven itself")
	}
	return nil
}

func (s *Socket) read() {
	for {
		_, raw, err := s.conn.Read(context.Background())
		var f Frame
		if err == nil {
			err = json.Unmarshal(raw, &f)
			f.Raw = raw
		}
		s.mu.Lock()
		if err != nil {
			s.err = err
		} else {
			s.frames = append(s.frames, f)
		}
		close(s.news)
		s.news = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Write sends a frame as it is.
func (s *Socket) Write(frame string) {
	s.t.Helper()
	must(s.t, s.TryWrite(frame))
}

// TryWrite is Write of a frame in the midst of which the relay may hang up.
func (s *Socket) TryWrite(frame string) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, []byte(frame))
}

// WriteBinary sends bytes where text is due.
func (s *Socket) WriteBinary(b []byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	must(s.t, s.conn.Write(ctx, websocket.MessageBinary, b))
}

// Await waits for the first frame that fits and takes it. ok is false when the
// connection ended before one came.
func (s *Socket) Await(fits func(Frame) bool) (Frame, bool) {
	s.t.Helper()
	late := time.After(within)
	for {
		s.mu.Lock()
		for i, f := range s.frames {
			if fits(f) {
				s.frames = append(s.frames[:i], s.frames[i+1:]...)
				s.mu.Unlock()
				return f, true
			}
		}
		err, news, have := s.err, s.news, len(s.frames)
		s.mu.Unlock()
		if err != nil {
			return Frame{}, false
		}
		select {
		case <-news:
		case <-late:
			s.t.Fatalf("nothing fitting came; %d other frames did", have)
		}
	}
}

// Pending counts the frames that fit and have come so far.
func (s *Socket) Pending(fits func(Frame) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.frames {
		if fits(f) {
			n++
		}
	}
	return n
}

// Put sends an envelope for people (none: to.id) without waiting.
func (s *Socket) Put(e *protocol.Envelope, people ...*Person) {
	s.t.Helper()
	s.PutRaw(e.Marshal(), people...)
}

// PutRaw is Put for bytes.
func (s *Socket) PutRaw(env []byte, people ...*Person) {
	s.t.Helper()
	uids := []string{}
	for _, p := range people {
		uids = append(uids, `"`+p.UID.String()+`"`)
	}
	list := ""
	if len(uids) > 0 {
		list = `"for":[` + strings.Join(uids, ",") + `],`
	}
	s.Write(`{"op":"put",` + list + `"env":` + string(env) + `}`)
}

// TryPut is Put over a connection that may be broken.
func (s *Socket) TryPut(e *protocol.Envelope, people ...*Person) error {
	uids := []string{}
	for _, p := range people {
		uids = append(uids, `"`+p.UID.String()+`"`)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	frame := `{"op":"put","for":[` + strings.Join(uids, ",") + `],"env":` + string(e.Marshal()) + `}`
	return s.conn.Write(ctx, websocket.MessageText, []byte(frame))
}

// TryAnswer is Answer over a connection that may break: false then.
func (s *Socket) TryAnswer(id protocol.ID) (Frame, bool) {
	s.t.Helper()
	return s.Await(func(f Frame) bool { return (f.Op == "accepted" || f.Op == "refused") && f.ID == id })
}

// TryConfirm is Confirm over a connection that may be broken.
func (s *Socket) TryConfirm(n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"op":"confirm","n":%d}`, n))
}

// Answer waits for the answer to the put of id.
func (s *Socket) Answer(id protocol.ID) Frame {
	s.t.Helper()
	f, ok := s.Await(func(f Frame) bool { return (f.Op == "accepted" || f.Op == "refused") && f.ID == id })
	if !ok {
		s.t.Fatalf("connection ended before an answer: %v", s.Ended())
	}
	return f
}

// Sends puts an envelope, which must be accepted.
func (s *Socket) Sends(e *protocol.Envelope, people ...*Person) Frame {
	s.t.Helper()
	s.Put(e, people...)
	f := s.Answer(e.ID)
	if f.Op != "accepted" {
		s.t.Fatalf("refused: %s %v", f.Code, f.Params)
	}
	return f
}

// IsRefused puts an envelope, which must be refused with code.
func (s *Socket) IsRefused(code string, e *protocol.Envelope, people ...*Person) Frame {
	s.t.Helper()
	s.Put(e, people...)
	f := s.Answer(e.ID)
	if f.Op != "refused" || f.Code != code {
		s.t.Fatalf("%s %s, want refused %s", f.Op, f.Code, code)
	}
	return f
}

// Row waits for the next delivered row.
func (s *Socket) Row() (int64, *protocol.Envelope) {
	s.t.Helper()
	f, ok := s.Await(IsRow)
	if !ok {
		s.t.Fatalf("connection ended before a row: %v", s.Ended())
	}
	e, err := protocol.ParseEnvelope(f.Env)
	must(s.t, err)
	return f.N, e
}

// IsRow fits delivered rows.
func IsRow(f Frame) bool { return f.Op == "deliver" }

// Sees waits for the row of e and returns its number. Rows before it are passed over.
func (s *Socket) Sees(e *protocol.Envelope) int64 {
	s.t.Helper()
	for {
		if n, row := s.Row(); row.ID == e.ID {
			return n
		}
	}
}

// Confirm says that rows up to n are on disk.
func (s *Socket) Confirm(n int64) {
	s.t.Helper()
	s.Write(fmt.Sprintf(`{"op":"confirm","n":%d}`, n))
}

// Event waits for an event.
func (s *Socket) Event(what string) map[string]any {
	s.t.Helper()
	f, ok := s.Await(func(f Frame) bool { return f.Op == "event" && f.What == what })
	if !ok {
		s.t.Fatalf("connection ended before the event %s: %v", what, s.Ended())
	}
	return f.Params
}

// Live waits for a live frame.
func (s *Socket) Live() *protocol.Envelope {
	s.t.Helper()
	f, ok := s.Await(func(f Frame) bool { return f.Op == "live" })
	if !ok {
		s.t.Fatalf("connection ended before a live frame: %v", s.Ended())
	}
	e, err := protocol.ParseEnvelope(f.Env)
	must(s.t, err)
	return e
}

// Ended waits until the connection has ended and says how.
func (s *Socket) Ended() error {
	s.t.Helper()
	s.Await(func(Frame) bool { return false })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// EndedWith waits until the relay has closed the connection with a reason.
func (s *Socket) EndedWith(reason string) {
	s.t.Helper()
	var closed websocket.CloseError
	err := s.Ended()
	if c, ok := asClose(err); ok {
		closed = c
	}
	if closed.Reason != reason {
		s.t.Fatalf("ended with %v, want %q", err, reason)
	}
}

// Close closes the connection politely.
func (s *Socket) Close() {
	s.t.Helper()
	_ = s.conn.Close(websocket.StatusNormalClosure, "") // it may be gone already
	s.Ended()
}

func asClose(err error) (websocket.CloseError, bool) { return errors.AsType[websocket.CloseError](err) }

// Silent connects a device that never reads after its greeting; end it with the
// function returned.
func (c *Courtyard) Silent(p *Person, keys *ident.DeviceKeys) (end func()) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.URL, "http")+"/api/1/socket", &websocket.DialOptions{HTTPClient: c.client})
	must(c.t, err)
	s := &Socket{t: c.t, Person: p, Keys: keys, conn: conn, news: make(chan struct{})}
	must(c.t, s.greet(ctx, c, Dialling{}))
	return func() { _ = conn.CloseNow() }
}

// Now takes the first frame that fits and has come already.
func (s *Socket) Now(fits func(Frame) bool) (Frame, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.frames {
		if fits(f) {
			s.frames = append(s.frames[:i], s.frames[i+1:]...)
			return f, true
		}
	}
	return Frame{}, false
}
