package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	// A line that was up this long was a good one: the next failure starts from firstPause.
	goodLine     = time.Minute
	authPatience = 20 * time.Second
)

// ErrProof says that the relay is not the one that the person's chain names.
var ErrProof = errors.New("the relay could not prove that it is ours")

// Config is what a link needs. All fields are due.
type Config struct {
	UID      protocol.UID
	Keys     *ident.DeviceKeys
	Instance protocol.ID    // of this process: two that use one device are told apart by it
	Host     string         // as dialled, as protocol.ParseHost writes it
	RelayKey protocol.Key32 // from the person's own chain
	Dial     func(ctx context.Context) (Socket, error)
	Clock    clock.Clock
	Random   io.Reader // secret randomness
	Jitter   *rand.Rand
	Log      *slog.Logger
	Dropped  func()             // counts a live envelope that nobody took in time
	State    func(State, error) // told about every change, with the failure when Waiting
	// FramesPerSecond that this side sends; 0: what a relay reads (section 12).
	FramesPerSecond float64
}

// State is what a link is doing.
type State int

// The states of a link.
const (
	Connecting State = iota
	Up
	Waiting // until the next attempt
)

// Link keeps a line up.
type Link struct{ c Config }

// New makes a link; Run does the work.
func New(c Config) *Link { return &Link{c} }

// Run connects, hands each line to serve and connects again, until ctx ends.
// serve's context ends with the line; Run waits for serve before it goes on.
// Between attempts it pauses, longer each time up to half a minute.
func (l *Link) Run(ctx context.Context, serve func(ctx context.Context, line *Line)) {
	for failures := 0; ctx.Err() == nil; {
		l.c.State(Connecting, nil)
		started := l.c.Clock.Now()
		err := l.once(ctx, serve)
		if ctx.Err() != nil {
			return
		}
		if l.c.Clock.Now().Sub(started) >= goodLine {
			failures = 0
		}
		pause := clock.Backoff(firstPause, lastPause, failures, l.c.Jitter)
		failures++
		l.c.Log.Info("relay: not connected", "error", err, "next", pause.Round(time.Millisecond))
		l.c.State(Waiting, err)
		if l.c.Clock.Wait(ctx, pause) != nil {
			return
		}
	}
}

func (l *Link) once(ctx context.Context, serve func(ctx context.Context, line *Line)) error {
	dialling, stop := context.WithTimeout(ctx, authPatience)
	defer stop()
	socket, err := l.c.Dial(dialling)
	if err != nil {
		return err
	}
	defer socket.Close()
	ready, err := l.prove(dialling, socket)
	stop()
	if err != nil {
		return err
	}
	line := newLine(socket, ready, l.c.Clock.Now(), l.c.FramesPerSecond, l.c.Dropped)
	l.c.Log.Info("relay: connected")
	l.c.State(Up, nil)
	return line.run(ctx, serve)
}

// run reads, pings and serves until one of the three ends, then waits for all.
func (l *Line) run(ctx context.Context, serve func(ctx context.Context, line *Line)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	all.Go(func() { cancel(fmt.Errorf("%w: %w", ErrLost, l.read(ctx))) })
	all.Go(func() {
		if err := l.ping(ctx); err != nil {
			cancel(fmt.Errorf("%w: %w", ErrLost, err))
		}
	})
	all.Go(func() {
		defer l.end()
		<-ctx.Done()
	})
	serve(ctx, l)
	cancel(ErrLost)
	all.Wait()
	return context.Cause(ctx)
}

// ping notices a connection that died without a word, as they do behind NAT.
func (l *Line) ping(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		patience, stop := context.WithTimeout(ctx, pingPatience)
		err := l.socket.Ping(patience)
		stop()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// prove does the three frames of section 12: the relay's challenge, our
// signature over it and over the host that we dialled, the relay's proof.
func (l *Link) prove(ctx context.Context, socket Socket) (handshake.Ready, error) {
	raw, err := socket.Read(ctx)
	if err != nil {
		return handshake.Ready{}, err
	}
	challenge, err := handshake.ParseChallenge(raw)
	if err != nil {
		return handshake.Ready{}, err
	}
	if challenge.Key != l.c.RelayKey {
		return handshake.Ready{}, ErrProof
	}
	nonce, err := protocol.NewNonce(l.c.Random)
	if err != nil {
		return handshake.Ready{}, err
	}
	id := l.c.Keys.ID()
	auth, err := protocol.Marshal(handshake.Auth{
		Op: handshake.OpAuth, UID: l.c.UID, Device: id, Nonce: nonce, Instance: l.c.Instance,
		Sig: handshake.AuthSign(l.c.Keys, challenge.Nonce, l.c.RelayKey, l.c.Host, l.c.UID, id),
	})
	if err != nil {
		return handshake.Ready{}, err
	}
	if err := socket.Write(ctx, auth); err != nil {
		return handshake.Ready{}, err
	}
	if raw, err = socket.Read(ctx); err != nil {
		return handshake.Ready{}, err
	}
	ready, err := handshake.ParseReady(raw)
	if err != nil {
		var f frame
		if protocol.DecodeOpen(raw, &f, 8) == nil && f.Code != "" {
			return handshake.Ready{}, refusal(f)
		}
		return handshake.Ready{}, err
	}
	if !handshake.ReadyVerify(l.c.RelayKey, ready.Proof, nonce, l.c.UID) {
		return handshake.Ready{}, ErrProof
	}
	return ready, nil
}

// Dialer opens the websocket of the relay behind g.
func Dialer(g *gate.Gate) func(ctx context.Context) (Socket, error) {
	return func(ctx context.Context) (Socket, error) {
		c, answer, err := websocket.Dial(ctx, g.Place().URL("ws", "/api/1/socket"), &websocket.DialOptions{
			HTTPClient:      &http.Client{Transport: g.Client().Transport, CheckRedirect: g.Client().CheckRedirect},
			CompressionMode: websocket.CompressionDisabled, // sealed bytes do not get smaller
		})
		if err != nil {
			code := protocol.CodeUnavailable
			if answer != nil && answer.StatusCode == http.StatusTooManyRequests {
				code = protocol.CodeRateLimited
			}
			return nil, &protocol.Error{Op: "link.Dial", Code: code, Cause: err}
		}
		c.SetReadLimit(maxFrame)
		return &socket{c}, nil
	}
}

type socket struct{ c *websocket.Conn }

func (s *socket) Read(ctx context.Context) ([]byte, error) {
	kind, raw, err := s.c.Read(ctx)
	if err == nil && kind != websocket.MessageText {
		err = errors.New("a binary frame")
	}
	return raw, err
}

func (s *socket) Write(ctx context.Context, frame []byte) error {
	return s.c.Write(ctx, websocket.MessageText, frame)
}

func (s *socket) Ping(ctx context.Context) error { return s.c.Ping(ctx) }

func (s *socket) Close() { s.c.CloseNow() } //nolint:errcheck // it is gone either way
