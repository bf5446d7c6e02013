package relay_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// caller is a relay of the test's own that says what it likes.
type caller struct {
	t       *testing.T
	key     protocol.SignSecret
	host    string
	conn    *websocket.Conn
	session *link.Session
	n       int64
	numbers map[protocol.ID]int64 // what was put once goes under the same number again
}

func newCaller(t *testing.T) *caller {
	t.Helper()
	key, err := protocol.NewSignSecret(rand.Reader)
	must(t, err)
	return &caller{t: t, key: key, host: "relay.example", numbers: map[protocol.ID]int64{}}
}

func (c *caller) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	c.t.Cleanup(cancel)
	return ctx
}

// dial opens a websocket to the link's call, without a word.
func (c *caller) dial(to *relaytest.Courtyard) {
	c.t.Helper()
	conn, _, err := websocket.Dial(c.ctx(), "ws://"+to.Host+"/api/1/link", nil)
	must(c.t, err)
	conn.SetReadLimit(link.MaxFrame)
	c.conn = conn
	c.t.Cleanup(func() { _ = conn.CloseNow() })
}

func (c *caller) calls(to *relaytest.Courtyard) *caller {
	c.t.Helper()
	c.dial(to)
	d, hello, err := link.Dial(rand.Reader, c.key, c.host, to.Host)
	must(c.t, err)
	must(c.t, c.conn.Write(c.ctx(), websocket.MessageText, hello))
	_, answer, err := c.conn.Read(c.ctx())
	must(c.t, err)
	proof, session, peer, err := d.Finish(answer)
	must(c.t, err)
	if peer.Key != to.Key {
		c.t.Fatal("another relay answered")
	}
	must(c.t, c.conn.Write(c.ctx(), websocket.MessageText, proof))
	c.session = session
	return c
}

func (c *caller) write(r link.Request) {
	c.t.Helper()
	seals(c.t, c.ctx(), c.conn, c.session, r)
}

// seals writes a frame of a link.
func seals(t *testing.T, ctx context.Context, conn *websocket.Conn, session *link.Session, frame any) {
	t.Helper()
	plaintext, err := protocol.Marshal(frame)
	must(t, err)
	sealed, err := session.Seal(plaintext)
	must(t, err)
	must(t, conn.Write(ctx, websocket.MessageBinary, sealed))
}

func (c *caller) read() link.Response {
	c.t.Helper()
	_, frame, err := c.conn.Read(c.ctx())
	must(c.t, err)
	plaintext, err := c.session.Open(frame)
	must(c.t, err)
	r, err := link.ParseResponse(plaintext)
	must(c.t, err)
	return r
}

// puts says what becomes of e: "accepted", or a code.
func (c *caller) puts(e *protocol.Envelope) string {
	c.t.Helper()
	n, known := c.numbers[e.ID]
	if !known {
		c.n++
		n = c.n
		c.numbers[e.ID] = n
	}
	c.write(link.Request{Op: link.OpPut, N: n, Env: e.Marshal()})
	r := c.read()
	if r.N != n {
		c.t.Fatal("an answer to", r.N)
	}
	if r.Op == link.OpAccepted {
		return "accepted"
	}
	return r.Code
}

func (c *caller) shows(uid protocol.UID, records []protocol.Signed) {
	c.write(link.Request{Op: link.OpChain, UID: uid, Records: records})
}

// person makes somebody who lives at the caller's.
func (c *caller) person(name string) *relaytest.Person {
	return relaytest.NewPerson(c.t, name, ident.Relay{Key: c.key.Public(), Host: c.host, Port: 443}, time.Now())
}

// writes is a letter to somebody at a courtyard.
func (c *caller) writes(from *relaytest.Person, at *relaytest.Courtyard, to *relaytest.Person, kind string) *protocol.Envelope {
	return at.Envelope(from, to, kind, 100)
}

// friend calls at a courtyard and brings the first letter of eve, whom the person
// connected by phone has allowed: from then on she is known there.
func (c *caller) friend(at *relaytest.Courtyard, to *relaytest.Person, phone *relaytest.Socket) (eve *relaytest.Person, first *protocol.Envelope) {
	c.t.Helper()
	eve = c.person("eve")
	at.Allow(phone, eve)
	c.calls(at)
	first = c.writes(eve, at, to, protocol.TypeChat)
	if code := c.puts(first); code != protocol.CodeChainNeeded {
		c.t.Fatal(code)
	}
	c.shows(eve.UID, eve.Chain.Records(0))
	if code := c.puts(first); code != "accepted" {
		c.t.Fatal(code)
	}
	return eve, first
}

func TestNobodySendsAsSomebodyOfAnotherCourtyard(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	evil := newCaller(t).calls(w.b)
	forged := w.chat(100)
	for _, records := range [][]protocol.Signed{
		w.mei.Chain.Records(0),              // names her own relay
		evil.person("mei").Chain.Records(0), // somebody else's
		nil,
	} {
		if records != nil {
			evil.shows(w.mei.UID, records)
		}
		code := evil.puts(forged)
		if code != protocol.CodeChainNeeded && code != protocol.CodeNotAllowed {
			t.Fatal(code)
		}
	}
	// Also after tom's relay has come to know mei.
	e := w.chat(10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
	again := newCaller(t).calls(w.b)
	if code := again.puts(forged); code != protocol.CodeChainNeeded {
		t.Fatal(code)
	}
	again.shows(w.mei.UID, w.mei.Chain.Records(0))
	if code := again.puts(forged); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	// And as somebody who lives here.
	ann := w.b.Guest(w.tomPhone, "ann")
	again.shows(ann.UID, ann.Chain.Records(0))
	if code := again.puts(w.b.Envelope(ann, w.tom, protocol.TypeChat, 10)); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	last := w.chat(10)
	w.meiPhone.Sends(last)
	w.tomPhone.Sees(last)
	if n := w.tomPhone.Pending(relaytest.IsRow); n != 0 {
		t.Fatal(n, "forged rows")
	}
}

func TestAChainThatGoesBackIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := relaytest.Start(t, relaytest.Options{})
	tom := b.Owner("tom")
	phone := b.Connect(tom, tom.Phone)
	home := newCaller(t)
	eve := home.person("eve")
	b.Allow(phone, eve)
	old := eve.Chain.Records(0)
	extra := relaytest.NewDevice(t)
	rec, err := eve.Chain.NewDeviceAdd(eve.Phone, extra.Device(ident.RoleAdmin, 0), time.Now().UnixMilli())
	must(t, err)
	must(t, eve.Chain.Append(rec))
	home.calls(b)
	e := home.writes(eve, b, tom, protocol.TypeChat)
	if code := home.puts(e); code != protocol.CodeChainNeeded {
		t.Fatal(code)
	}
	home.shows(eve.UID, eve.Chain.Records(0))
	if code := home.puts(e); code != "accepted" {
		t.Fatal(code)
	}
	phone.Sees(e)
	// She moves to another relay, which shows it; the old one is no longer believed.
	next := newCaller(t)
	moved, err := eve.Chain.NewRelay(eve.Phone, ident.Relay{Key: next.key.Public(), Host: "next.example", Port: 443}, time.Now().UnixMilli())
	must(t, err)
	before := eve.Chain.Records(0)
	must(t, eve.Chain.Append(moved))
	next.calls(b)
	e2 := next.writes(eve, b, tom, protocol.TypeChat)
	next.puts(e2)
	next.shows(eve.UID, eve.Chain.Records(0))
	if code := next.puts(e2); code != "accepted" {
		t.Fatal(code)
	}
	back := newCaller(t)
	back.key = home.key
	back.calls(b)
	for _, records := range [][]protocol.Signed{before, old, eve.Chain.Records(0)} {
		back.shows(eve.UID, records)
		if code := back.puts(back.writes(eve, b, tom, protocol.TypeChat)); code != protocol.CodeNotAllowed {
			t.Fatal(code)
		}
	}
}

func TestWhatALinkMayNotBring(t *testing.T) {
	t.Parallel()
	b := relaytest.Start(t, relaytest.Options{})
	tom := b.Owner("tom")
	phone := b.Connect(tom, tom.Phone)
	ann := b.Guest(phone, "ann")
	c := newCaller(t)
	eve, good := c.friend(b, tom, phone)
	for what, want := range map[string]struct {
		alter func(*protocol.Envelope)
		code  string
	}{
		"a row of the relay's own":   {func(e *protocol.Envelope) { e.Type = protocol.TypeReturned }, protocol.CodeBadRequest},
		"a link frame":               {func(e *protocol.Envelope) { e.Type, e.Exp = protocol.TypeLink, e.TS+1000 }, protocol.CodeBadRequest},
		"typing, to be kept":         {func(e *protocol.Envelope) { e.Type, e.Exp = protocol.TypeLive, e.TS+1000 }, protocol.CodeBadRequest},
		"a chat with an end":         {func(e *protocol.Envelope) { e.Exp = e.TS + 1000 }, protocol.CodeBadRequest},
		"a chat to a stranger":       {func(e *protocol.Envelope) { e.To.ID = ann.UID }, protocol.CodeNotContact},
		"to somebody who lives away": {func(e *protocol.Envelope) { e.To.ID = eve.UID }, protocol.CodeNotContact},
		"the same id, other bytes":   {func(e *protocol.Envelope) { e.ID = good.ID }, protocol.CodeIDReused},
	} {
		e := c.writes(eve, b, tom, protocol.TypeChat)
		want.alter(e)
		if code := c.puts(e); code != want.code {
			t.Errorf("%s: %s, want %s", what, code, want.code)
		}
	}
	// A clock that is ahead may be right tomorrow. It holds up nobody's letters.
	ahead := c.writes(eve, b, tom, protocol.TypeChat)
	ahead.TS += 10 * 60 * 1000
	if code := c.puts(ahead); code != protocol.CodeClockAhead {
		t.Fatal(code)
	}
	after := c.writes(eve, b, tom, protocol.TypeChat)
	if code := c.puts(after); code != "accepted" {
		t.Fatal(code)
	}
	if code := c.puts(c.writes(eve, b, ann, protocol.TypeFriend)); code != "accepted" {
		t.Fatal(code)
	}
	b.Clock.Move(time.Hour)
	if code := c.puts(ahead); code != "accepted" {
		t.Fatal(code)
	}
	phone.Sees(good)
	phone.Sees(after)
	phone.Sees(ahead)
	// A part of a file that nobody began, and an op that is to come.
	c.write(link.Request{Op: link.OpPart, N: 99, Data: []byte("x")})
	if r := c.read(); r.Code != protocol.CodeBadRequest || r.N != 99 {
		t.Fatal(r)
	}
	c.write(link.Request{Op: "what-is-to-come", N: 100})
	if r := c.read(); r.Code != protocol.CodeBadRequest || r.N != 100 {
		t.Fatal(r)
	}
	if code := c.puts(good); code != "accepted" {
		t.Fatal(code)
	}
}

func TestBrokenLinksEndAlone(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	long := make([]byte, link.MaxFrame+100)
	for what, spoil := range map[string]func(*caller){
		"a hello too long": func(c *caller) {
			c.dial(w.b)
			// It may be refused before all of it is written.
			_ = c.conn.Write(c.ctx(), websocket.MessageText, long)
		},
		"no hello": func(c *caller) {
			c.dial(w.b)
			must(t, c.conn.Write(c.ctx(), websocket.MessageText, []byte(`{"op":"put"}`)))
		},
		"a hello for another": func(c *caller) {
			c.dial(w.b)
			_, hello, err := link.Dial(rand.Reader, c.key, c.host, "another.example")
			must(t, err)
			must(t, c.conn.Write(c.ctx(), websocket.MessageText, hello))
		},
		"another version": func(c *caller) {
			c.dial(w.b)
			_, hello, err := link.Dial(rand.Reader, c.key, c.host, w.b.Host)
			must(t, err)
			newer := strings.Replace(string(hello), `"versions":[1]`, `"versions":[2]`, 1)
			must(t, c.conn.Write(c.ctx(), websocket.MessageText, []byte(newer)))
		},
		"garbage": func(c *caller) {
			c.calls(w.b)
			must(t, c.conn.Write(c.ctx(), websocket.MessageBinary, []byte("garbage")))
		},
		"in the clear": func(c *caller) {
			c.calls(w.b)
			must(t, c.conn.Write(c.ctx(), websocket.MessageText, []byte(`{"op":"put","n":1,"env":{}}`)))
		},
		"a put without a letter": func(c *caller) {
			c.calls(w.b)
			c.write(link.Request{Op: link.OpPut, N: 1})
		},
	} {
		c := newCaller(t)
		spoil(c)
		ctx := c.ctx()
		for {
			_, frame, err := c.conn.Read(ctx)
			if err != nil {
				break
			}
			if !strings.Contains(string(frame), `"refused"`) {
				t.Error(what, "was answered")
			}
		}
		if ctx.Err() != nil {
			t.Error(what, "goes on")
		}
	}
	e := w.chat(10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
}
