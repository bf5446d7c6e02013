package link_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is a socket in memory; the test holds the relay's end.
type pipe struct {
	in, out chan []byte
	once    sync.Once
	closed  chan struct{}
}

func newPipe() *pipe {
	return &pipe{in: make(chan []byte, 200), out: make(chan []byte, 200), closed: make(chan struct{})}
}

func (p *pipe) Read(ctx context.Context) ([]byte, error) {
	select {
	case b := <-p.in:
		return b, nil
	case <-p.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) Write(ctx context.Context, b []byte) error {
	select {
	case p.out <- b:
		return nil
	case <-p.closed:
		return io.EOF
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipe) Ping(ctx context.Context) error { return ctx.Err() }
func (p *pipe) Close()                         { p.once.Do(func() { close(p.closed) }) }

// gatehouse is the relay's side.
type gatehouse struct {
	*testing.T
	key   protocol.SignSecret
	keys  *ident.DeviceKeys
	uid   protocol.UID
	host  string
	lines chan *link.Line
}

func newGatehouse(t *testing.T) *gatehouse {
	t.Helper()
	key, err := protocol.NewSignSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ident.GenerateDeviceKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &gatehouse{T: t, key: key, keys: keys, uid: protocol.UID{7}, host: "courtyard.example", lines: make(chan *link.Line, 4)}
}

func (g *gatehouse) config(dial func(context.Context) (link.Socket, error)) link.Config {
	return link.Config{UID: g.uid, Keys: g.keys, Host: g.host, RelayKey: g.key.Public(), Dial: dial, Clock: clock.System{}, Random: rand.Reader,
		Jitter: mathrand.New(mathrand.NewPCG(1, 2)), Log: slog.New(slog.DiscardHandler), Dropped: func() {}, State: func(link.State, error) {}}
}

// serve hands the line to the test until it ends.
func (g *gatehouse) serve(ctx context.Context, l *link.Line) {
	g.lines <- l
	<-ctx.Done()
}

// greets plays the relay's part of the first three frames; lies change it.
func (g *gatehouse) greets(p *pipe, lie func(*handshake.Challenge, *handshake.Ready)) error {
	challenge := handshake.Challenge{Op: handshake.OpChallenge, Nonce: protocol.Key32{1}, Key: g.key.Public(), Host: g.host}
	ready := handshake.Ready{Op: handshake.OpReady, Token: "t", Time: 1, Host: g.host, Username: "wei"}
	lie(&challenge, &ready)
	raw, err := protocol.Marshal(challenge)
	if err != nil {
		return err
	}
	p.in <- raw
	var answer []byte
	select {
	case answer = <-p.out:
	case <-p.closed:
		return errors.New("the home has left")
	}
	auth, err := handshake.ParseAuth(answer)
	if err != nil {
		return err
	}
	if !handshake.AuthVerify(g.keys.Public(), auth.Sig, challenge.Nonce, g.key.Public(), g.host, g.uid, g.keys.ID()) {
		return errors.New("the home's signature does not fit")
	}
	if ready.Proof == (protocol.Signature{}) {
		ready.Proof = handshake.ReadySign(g.key, auth.Nonce, g.uid)
	}
	if raw, err = protocol.Marshal(ready); err != nil {
		return err
	}
	p.in <- raw
	return nil
}

func honest(*handshake.Challenge, *handshake.Ready) {}

// TestAnHourOfRefusals: attempts grow rarer up to half a minute, never stop, and
// never come in step.
func TestAnHourOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGatehouse(t)
		began := time.Now()
		var attempts []time.Time
		ctx, stop := context.WithCancel(t.Context())
		up := newPipe()
		c := g.config(func(context.Context) (link.Socket, error) {
			attempts = append(attempts, time.Now())
			if time.Since(began) < time.Hour {
				return nil, errors.New("connection refused")
			}
			return up, nil
		})
		done := make(chan struct{})
		go func() { defer close(done); link.New(c).Run(ctx, g.serve) }()
		if err := g.greets(up, honest); err != nil {
			t.Fatal(err)
		}
		<-g.lines
		if late := time.Since(began) - time.Hour; late > 31*time.Second {
			t.Errorf("back %v after the relay", late)
		}
		if n := len(attempts); n < 3600/30 || n > 3600/15+10 {
			t.Errorf("%d attempts in an hour", n)
		}
		steps := map[time.Duration]int{}
		for i := 1; i < len(attempts); i++ {
			d := attempts[i].Sub(attempts[i-1])
			if d > 30*time.Second || d < 500*time.Millisecond {
				t.Errorf("a pause of %v", d)
			}
			steps[d.Round(time.Millisecond)]++
		}
		for d, n := range steps {
			if n > 5 {
				t.Errorf("%d pauses of %v: homes would come in step", n, d)
			}
		}
		stop()
		<-done
	})
}

// TestARelayThatDropsEverybody does not get a storm either.
func TestARelayThatDropsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGatehouse(t)
		ctx, stop := context.WithCancel(t.Context())
		attempts := 0
		c := g.config(func(context.Context) (link.Socket, error) {
			attempts++
			p := newPipe()
			go func() {
				if g.greets(p, honest) == nil {
					p.Close()
				}
			}()
			return p, nil
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			link.New(c).Run(ctx, func(ctx context.Context, _ *link.Line) { <-ctx.Done() })
		}()
		time.Sleep(time.Hour)
		stop()
		<-done
		if attempts > 3600/15+10 {
			t.Errorf("%d connections in an hour", attempts)
		}
	})
}

func TestOnlyTheRelayOfTheChain(t *testing.T) {
	other, err := protocol.NewSignSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*handshake.Challenge, *handshake.Ready){
		"another key": func(c *handshake.Challenge, _ *handshake.Ready) { c.Key = other.Public() },
		"another's proof": func(_ *handshake.Challenge, r *handshake.Ready) {
			r.Proof = handshake.ReadySign(other, protocol.Key32{}, protocol.UID{7})
		},
		"no proof":          func(_ *handshake.Challenge, r *handshake.Ready) { r.Proof = protocol.Signature{1} },
		"an earlier proof":  func(_ *handshake.Challenge, r *handshake.Ready) { r.Proof = protocol.Signature{2} },
		"something else op": func(c *handshake.Challenge, _ *handshake.Ready) { c.Op = "welcome" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGatehouse(t)
				ctx, stop := context.WithCancel(t.Context())
				p := newPipe()
				failed := make(chan error, 100)
				c := g.config(func(context.Context) (link.Socket, error) { return p, nil })
				c.State = func(s link.State, err error) {
					if s == link.Waiting {
						failed <- err
					}
				}
				done := make(chan struct{})
				go func() { defer close(done); link.New(c).Run(ctx, g.serve) }()
				g.greets(p, func(c *handshake.Challenge, r *handshake.Ready) { //nolint:errcheck // the home leaves when it notices
					lie(c, r)
				})
				select {
				case err := <-failed:
					if err == nil || name != "something else op" && !errors.Is(err, link.ErrProof) {
						t.Errorf("the home stayed: %v", err)
					}
				case <-g.lines:
					t.Error("a line came up")
				}
				stop()
				<-done
			})
		})
	}
}

// up gives a line and the relay's end of it.
func up(t *testing.T, do func(t *testing.T, l *link.Line, p *pipe)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGatehouse(t)
		ctx, stop := context.WithCancel(t.Context())
		p := newPipe()
		dialled := false
		done := make(chan struct{})
		go func() {
			defer close(done)
			link.New(g.config(func(ctx context.Context) (link.Socket, error) {
				if dialled {
					return nil, errors.New("once is enough")
				}
				dialled = true
				return p, nil
			})).Run(ctx, g.serve)
		}()
		if err := g.greets(p, honest); err != nil {
			t.Fatal(err)
		}
		do(t, <-g.lines, p)
		stop()
		<-done
	})
}

func envelope(n byte) *protocol.Envelope {
	a := protocol.Address{IP: "courtyard.example", Port: 443}
	return &protocol.Envelope{V: 1, ID: protocol.ID{n}, TS: 1, From: a, To: a, Type: "chat", Data: []byte{1}}
}

func TestPuts(t *testing.T) {
	up(t, func(t *testing.T, l *link.Line, p *pipe) {
		answers := make(chan error, 3)
		for n := range byte(3) {
			go func() {
				_, err := l.Put(t.Context(), []protocol.UID{{1}, {2}}, link.Marks{Quiet: n%2 == 0, Unsure: n%3 == 0}, envelope(n+1))
				answers <- err
			}()
			var f struct {
				Op    string
				For   []protocol.UID
				Quiet bool
				Env   json.RawMessage
			}
			raw := <-p.out
			if err := json.Unmarshal(raw, &f); err != nil || f.Op != "put" || len(f.For) != 2 || f.Quiet != (n%2 == 0) {
				t.Fatalf("%s, %v", raw, err)
			}
			if e, err := protocol.ParseEnvelope(f.Env); err != nil || e.ID != (protocol.ID{n + 1}) {
				t.Fatal(err)
			}
		}
		p.in <- fmt.Appendf(nil, `{"op":"refused","id":"%s","code":"space-full","params":{"limit":5}}`, protocol.ID{2})
		if err := <-answers; protocol.CodeOf(err) != protocol.CodeSpaceFull {
			t.Error(err)
		}
		p.in <- fmt.Appendf(nil, `{"op":"accepted","id":"%s","kept":[]}`, protocol.ID{9}) // nobody asked
		p.in <- fmt.Appendf(nil, `{"op":"accepted","id":"%s","kept":["%s"],"tomorrow":{}}`, protocol.ID{1}, protocol.UID{1})
		if err := <-answers; err != nil {
			t.Error(err)
		}
		p.Close()
		if err := <-answers; !errors.Is(err, link.ErrLost) {
			t.Error("the line is gone: ", err)
		}
		if _, err := l.Put(t.Context(), nil, link.Marks{}, envelope(4)); !errors.Is(err, link.ErrLost) {
			t.Error("and stays so: ", err)
		}
	})
}

// TestQuestions: answers find who has asked, a refusal ends nothing, and what the
// line does not bring any more is ErrLost.
func TestQuestions(t *testing.T) {
	g := newGatehouse(t)
	p := newPipe()
	l := link.New(g.config(func(context.Context) (link.Socket, error) { return p, nil }))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx, g.serve) }()
	defer func() { stop(); <-done }()
	if err := g.greets(p, honest); err != nil {
		t.Fatal(err)
	}
	line := <-g.lines
	type answer struct {
		raw []byte
		err error
	}
	asks := func(op, device, frame string) <-chan answer {
		t.Helper()
		c := make(chan answer, 1)
		go func() {
			raw, err := line.Ask(ctx, op, device)
			c <- answer{raw, err}
		}()
		if got := string(<-p.out); got != frame {
			t.Errorf("asked %s, not %s", got, frame)
		}
		return c
	}
	turn := asks("turn", "", `{"op":"turn"}`)
	phone := asks("where", "AAAA", `{"op":"where","device":"AAAA"}`)
	tab := asks("where", "BBBB", `{"op":"where","device":"BBBB"}`)
	p.in <- []byte(`{"op":"where","device":"CCCC","ip":"1.2.3.4"}`) // nobody has asked
	p.in <- []byte(`{"op":"where","device":"BBBB","code":"not-found","params":{}}`)
	if a := <-tab; protocol.CodeOf(a.err) != protocol.CodeNotFound {
		t.Error(a.err)
	}
	p.in <- []byte(`{"op":"where","device":"AAAA","ip":"5.6.7.8"}`)
	if a := <-phone; a.err != nil || !strings.Contains(string(a.raw), "5.6.7.8") {
		t.Errorf("%s %v", a.raw, a.err)
	}
	p.in <- []byte(`{"op":"turn","stun":["stun:h:3478"],"urls":[]}`)
	if a := <-turn; a.err != nil || !strings.Contains(string(a.raw), "stun:h:3478") {
		t.Errorf("%s %v", a.raw, a.err)
	}
	turn = asks("turn", "", `{"op":"turn"}`)
	given, giveUp := context.WithCancel(ctx)
	giveUp()
	if _, err := line.Ask(given, "turn", ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.Close()
	if a := <-turn; !errors.Is(a.err, link.ErrLost) {
		t.Error(a.err)
	}
	if _, err := line.Ask(ctx, "turn", ""); !errors.Is(err, link.ErrLost) {
		t.Error(err)
	}
}

func TestARelayThatSendsTooMuch(t *testing.T) {
	up(t, func(t *testing.T, l *link.Line, p *pipe) {
		for n := range 66 {
			p.in <- fmt.Appendf(nil, `{"op":"deliver","n":%d,"env":{}}`, n+1)
		}
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if _, err := l.Put(ctx, nil, link.Marks{}, envelope(1)); !errors.Is(err, link.ErrLost) {
			t.Error("the line was kept: ", err)
		}
	})
}

func TestFramesOfTomorrowAndRubbish(t *testing.T) {
	up(t, func(t *testing.T, l *link.Line, p *pipe) {
		p.in <- []byte(`{"op":"weather","n":1,"what":"rain"}`)
		p.in <- []byte(`{"op":"event","what":"vault","params":{"version":3}}`)
		if n := <-l.Notices; n.What != "vault" {
			t.Error(n)
		}
		for range 300 { // live frames that nobody takes are dropped, and nothing else suffers
			p.in <- []byte(`{"op":"live","env":{}}`)
		}
		p.in <- []byte(`{"op":"deliver","n":5,"env":{"x":1}}`)
		if d := <-l.Deliveries; d.N != 5 || string(d.Raw) != `{"x":1}` {
			t.Error(d)
		}
		p.in <- []byte(`not json`)
		synctest.Wait()
		if _, err := l.Put(t.Context(), nil, link.Marks{}, envelope(1)); !errors.Is(err, link.ErrLost) {
			t.Error("a relay that sends rubbish was kept: ", err)
		}
	})
}

func TestFramesKeepBelowTheRelaysPace(t *testing.T) {
	up(t, func(t *testing.T, l *link.Line, p *pipe) {
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range p.out { // the relay reads
			}
		}()
		for i := range 1000 { // for what was delivered they are free
			if err := l.Confirm(t.Context(), int64(i)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("confirming took %v", took)
		}
		const n = 1200
		for i := range n {
			if err := l.Send(t.Context(), envelope(byte(i))); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 2*time.Minute {
			t.Errorf("%d frames in %v: a relay reads 600 a minute", n, took)
		}
		close(p.out)
		<-done
	})
}
