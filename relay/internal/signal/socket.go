package signal

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/tokens"
	"golang.org/x/time/rate"
)

const (
	maxFrame    = 256 << 10 // an envelope of 128 KiB, `for`, and room to spare
	writeWithin = 30 * time.Second
	partWithin  = 5 * time.Second // what is still to be written when a socket ends
	pingEvery   = 30 * time.Second
	pongWithin  = 15 * time.Second
	unanswered  = 64      // puts whose answer is not yet written; then a socket is not read
	outFrames   = 256     // frames waiting to be written; beyond it the socket is dropped
	outBytes    = 4 << 20 // likewise
	liveBytes   = 2 << 20 // live frames wait only while less than this does
	windowRows  = 64      // delivered and not confirmed (section 12)
	windowBytes = 2 << 20
)

// parting is why the relay closes a socket.
type parting struct {
	status websocket.StatusCode
	reason string
}

var (
	closeReplaced = parting{websocket.StatusNormalClosure, "replaced"}
	closeSilent   = parting{websocket.StatusPolicyViolation, "silent"}
	closeRevoked  = parting{websocket.StatusPolicyViolation, protocol.CodeUnauthorized}
	closeSlow     = parting{websocket.StatusPolicyViolation, "slow"}
	closeStopping = parting{websocket.StatusGoingAway, protocol.CodeUnavailable}
)

// socket is one connection. It arrives within its request; then the reader owns
// it, with a small stack of its own. The writer runs only while there is
// something to write: idle sockets are many, and each shall cost little.
type socket struct {
	hub  *Hub
	conn *websocket.Conn
	// ctx ends when the socket has to go. Reads and writes of the connection
	// never see it: a cancelled read would close the connection without a word.
	ctx context.Context
	end context.CancelFunc

	// Set before the socket is seated, never changed.
	ip       string // from where it came
	uid      protocol.UID
	device   protocol.DeviceID
	instance protocol.ID
	role     string
	exp      int64

	seated uint64 // written by the socket itself under the hub's mu; 0: has no seat
	known  bool   // has a token

	allowance *rate.Limiter // owned by the reader
	heard     atomic.Uint64 // frames that the reader has read
	puts      chan struct{} // one for each put until its answer is written
	heart     *time.Timer   // set before the first writer, then the writers'
	pings     sync.WaitGroup
	parted    chan struct{} // closed when the last writer has ended

	mu       sync.Mutex // all below
	writing  bool       // there is a writer, or it is too early or too late for one
	look     bool       // there may be rows, or room in the window
	beat     bool       // it is time for a ping
	out      []outgoing // frames for the writer; a channel would cost each idle socket 6 KiB
	waiting  int        // bytes in out
	parting  *parting
	sent     int64 // highest row written
	flight   []flying
	inFlight int // bytes
}

// outgoing is a frame for the writer; the answer to a put gives its place in puts
// back when it is written.
type outgoing struct {
	frame  []byte
	answer bool
}

type flying struct {
	n    int64
	size int
}

// Route is the websocket call of section 12.
func (h *Hub) Route() gate.Route {
	return gate.Route{Method: http.MethodGet, Path: "/api/1/socket", PerAddress: limit.Rate{N: h.config.SocketsPerMinute, Per: time.Minute}, Handle: h.serve}
}

// serve lets a socket in. The handler returns when it is there: what HTTP keeps for
// a request, and a stack that checking signatures and SQL have grown, go with it.
func (h *Hub) serve(call *gate.Call) error {
	if !h.enter() {
		return &protocol.Error{Op: "signal.serve", Code: protocol.CodeUnavailable}
	}
	var s *socket
	defer func() {
		if s == nil {
			h.all.Done()
		}
	}()
	if call.Request().Header.Get("Upgrade") == "" {
		return protocol.Refuse("signal.serve", protocol.CodeBadRequest, "not a websocket")
	}
	conn, err := websocket.Accept(upgrade{call.Writer()}, call.Request(), &websocket.AcceptOptions{OriginPatterns: h.config.Origins})
	if err != nil {
		// Accept has answered. What it refuses is a broken request or a foreign page.
		h.config.Counts.Refused(protocol.CodeBadRequest)
		return nil
	}
	s = h.socket(conn, call.IP())
	arrived := false
	defer func() {
		if !arrived {
			s.depart()
		}
	}()
	if err := s.arrive(); err != nil {
		s.excuse(err)
		return nil
	}
	arrived = true
	go s.live()
	return nil
}

// socket makes one of a connection; depart must follow.
func (h *Hub) socket(conn *websocket.Conn, ip string) *socket {
	h.config.Counts.Connected(1)
	// Not the request's context: it is no longer ours after the upgrade.
	ctx, end := context.WithCancel(h.ctx)
	return &socket{
		hub: h, conn: conn, ctx: ctx, end: end, ip: ip,
		allowance: limit.Rate{N: h.config.FramesPerMinute, Per: time.Minute}.Bucket(),
		puts:      make(chan struct{}, unanswered),
		parted:    make(chan struct{}),
		writing:   true, // nothing may be written before the ready frame
	}
}

// arrive takes a socket from its challenge to its ready frame. An error is one
// that the client has not been told.
func (s *socket) arrive() error {
	h := s.hub
	auth, err := s.meet()
	if err != nil {
		return err
	}
	if err := h.seat(s); err != nil {
		return err
	}
	token, err := h.config.Tokens.Open(tokens.Caller{UID: s.uid, Device: s.device, Role: s.role, Exp: s.exp})
	if err != nil {
		return err
	}
	s.known = true
	if err := s.welcome(auth, token); err != nil {
		if protocol.CodeOf(err) == protocol.CodeUnauthorized {
			// Revoked while it was coming in, perhaps just before its token was made.
			h.config.Tokens.Revoke(s.uid, s.device)
		}
		return err
	}
	if s.role == ident.RoleHome {
		h.present(s.uid, s.device)
	}
	if h.config.Present != nil {
		h.config.Present(s.uid, s.device)
	}
	return nil
}

// live runs a socket that has arrived to its end.
func (s *socket) live() {
	defer s.depart()
	defer func() {
		if trouble := recover(); trouble != nil { // as the gate does for requests
			s.hub.config.Log.Error("panic on a socket", "what", trouble, "stack", string(debug.Stack()))
		}
	}()
	s.heart = time.AfterFunc(pingEvery, s.pulse)
	context.AfterFunc(s.ctx, s.farewell)
	s.poke() // writing is true, so this starts nobody
	go s.write()
	defer func() {
		s.end()
		<-s.parted
		s.heart.Stop()
		s.pings.Wait()
	}()
	s.read()
}

// farewell starts the last writer, which says goodbye; a client that does not
// read is not waited for.
func (s *socket) farewell() {
	s.wake()
	impatient := time.NewTimer(partWithin)
	defer impatient.Stop()
	select {
	case <-s.parted:
	case <-impatient.C:
		s.conn.CloseNow() //nolint:errcheck // ends what is being written, and the read
	}
}

// depart gives back what a socket holds, however far it came.
func (s *socket) depart() {
	s.end()
	if s.known {
		s.hub.config.Tokens.Close(s.uid, s.device)
	}
	if s.seated > 0 {
		s.hub.vacate(s)
	}
	s.conn.CloseNow() //nolint:errcheck // closed already, unless something failed before
	s.hub.config.Counts.Connected(-1)
	s.hub.all.Done()
}

// vacate gives the seat back.
func (h *Hub) vacate(s *socket) {
	h.unseat(s)
	if s.role == ident.RoleHome {
		h.present(s.uid, s.device)
	}
}

// excuse tells the client of an error before the writer runs, and closes.
func (s *socket) excuse(err error) {
	if errors.Is(err, errGone) {
		return
	}
	s.report(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, refusedFrame(protocol.ID{}, err)) == nil {
		s.close(parting{websocket.StatusPolicyViolation, protocol.CodeOf(err)})
	}
}

// fail ends the socket because of what the client sent.
func (s *socket) fail(err error) {
	s.report(err)
	s.offer(outgoing{frame: refusedFrame(protocol.ID{}, err)})
	s.leave(parting{websocket.StatusPolicyViolation, protocol.CodeOf(err)})
}

// report counts a refusal; only what is the relay's own trouble is logged.
func (s *socket) report(err error) {
	code := protocol.CodeOf(err)
	s.hub.config.Counts.Refused(code)
	if code == protocol.CodeInternal {
		s.hub.config.Log.Error("socket failed", "err", err)
	}
}

// leave makes the socket end, with a reason for the client; the first one counts.
func (s *socket) leave(why parting) {
	s.mu.Lock()
	if s.parting == nil {
		s.parting = &why
	}
	s.mu.Unlock()
	s.end()
}

func (s *socket) close(why parting) {
	if why == closeSilent {
		return // nobody is there to say goodbye to
	}
	if err := s.conn.Close(why.status, why.reason); err != nil {
		s.hub.config.Log.Debug("the client was gone already", "err", err)
	}
}

// errGone: the connection broke or the client closed it, which is nobody's error.
var errGone = errors.New("client gone")

func gone(err error) error { return errors.Join(errGone, err) }

func asError(err error) (*protocol.Error, bool) { return errors.AsType[*protocol.Error](err) }
