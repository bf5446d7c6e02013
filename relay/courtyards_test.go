package relay_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// puts writes on a list at a courtyard.
func puts(at *relaytest.Courtyard, s *relaytest.Socket, host, whose, state string) {
	at.Well("PUT", "/api/1/courtyards/"+host, s.Ready.Token, map[string]string{"for": whose, "state": state}, nil)
}

type listed struct {
	Host  string `json:"host"`
	State string `json:"state"`
	Since int64  `json:"since"`
}

type neighbours struct {
	Mine  []listed `json:"mine"`
	Only  bool     `json:"only"`
	All   []listed `json:"all"`
	Known []struct {
		Host    string `json:"host"`
		People  int    `json:"people"`
		Waiting int    `json:"waiting"`
		In      int    `json:"in"`
		Out     int    `json:"out"`
		Seen    int64  `json:"seen"`
	} `json:"known"`
}

func sees(at *relaytest.Courtyard, s *relaytest.Socket) (n neighbours) {
	at.Well("GET", "/api/1/courtyards", s.Ready.Token, nil, &n)
	return n
}

// turnedAway is what a courtyard answers to the caller's proof.
func (c *caller) turnedAway(by *relaytest.Courtyard) string {
	c.t.Helper()
	c.calls(by)
	_, frame, err := c.conn.Read(c.ctx())
	must(c.t, err)
	return protocol.CodeOf(link.Refused(frame))
}

// welcome makes sure that the caller is let in: something is answered, sealed.
func (c *caller) welcome(by *relaytest.Courtyard) {
	c.t.Helper()
	c.calls(by)
	c.n++
	c.write(link.Request{Op: "what-is-to-come", N: c.n})
	if r := c.read(); r.N != c.n {
		c.t.Fatal(r)
	}
}

// ended waits until the link is closed.
func (c *caller) ended() {
	c.t.Helper()
	ctx := c.ctx()
	for {
		if _, _, err := c.conn.Read(ctx); err != nil {
			if ctx.Err() != nil {
				c.t.Fatal("it goes on")
			}
			return
		}
	}
}

func TestWhomTheOwnerRefuses(t *testing.T) {
	t.Parallel()
	var dials atomic.Int64
	w := newStreet(t, relaytest.Options{}, relaytest.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}})
	there, back := w.chat(10), w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)
	w.meiPhone.Sends(there)
	w.tomPhone.Sees(there)
	w.tomPhone.Sends(back)
	w.meiPhone.Sees(back)
	w.tomPhone.Event("carried")
	if n := sees(w.b, w.tomPhone); len(n.Known) != 1 || n.Known[0].Host != w.a.Host || n.Known[0].People != 1 || n.Known[0].In != 1 || n.Known[0].Out != 1 || n.Known[0].Seen == 0 || n.Only || len(n.All) != 0 {
		t.Fatalf("%+v", n)
	}
	puts(w.b, w.tomPhone, w.a.Host, "all", "block")
	e := w.chat(10)
	w.meiPhone.Sends(e) // over the link that was open, which has ended
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeNotAllowed)
	before := dials.Load()
	e = w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)
	w.tomPhone.Sends(e)
	w.comesBack(w.tomPhone, w.b.Key, e, protocol.CodeNotAllowed)
	if n := dials.Load() - before; n != 0 {
		t.Fatal(n, "calls there")
	}
	// Under another name it is found out by its key.
	e = w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)
	e.To.IP = "localhost"
	w.tomPhone.Sends(e)
	w.comesBack(w.tomPhone, w.b.Key, e, protocol.CodeNotAllowed)
	w.b.Refused(protocol.CodeNotAllowed, "GET", "/api/1/chains/"+w.mei.UID.String()+"?host="+w.a.Host, w.tomPhone.Ready.Token, nil)
	w.b.Refused(protocol.CodeNotAllowed, "POST", "/api/1/invites/"+relaytest.NewID(t).String()+"/spend?host="+w.a.Host, w.tomPhone.Ready.Token, nil)
	if n := sees(w.b, w.tomPhone); len(n.All) != 1 || n.All[0].Host != w.a.Host || n.All[0].State != "block" || n.Known[0].In != 0 || n.Known[0].Out != 0 {
		t.Fatalf("%+v", n)
	}
	w.b.Restart()
	w.tomPhone = w.b.Connect(w.tom, w.tom.Phone)
	e = w.chat(10)
	w.meiPhone.Sends(e)
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeNotAllowed)
	puts(w.b, w.tomPhone, w.a.Host, "all", "none")
	e = w.chat(10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
}

func TestANewNameDoesNotHelpWhoIsRefused(t *testing.T) {
	t.Parallel()
	b := relaytest.Start(t, relaytest.Options{})
	tom := b.Owner("tom")
	phone := b.Connect(tom, tom.Phone)
	evil := newCaller(t)
	eve := evil.person("eve")
	evil.calls(b)
	e := evil.writes(eve, b, tom, protocol.TypeFriend)
	evil.puts(e)
	evil.shows(eve.UID, eve.Chain.Records(0))
	if code := evil.puts(e); code != "accepted" {
		t.Fatal(code)
	}
	puts(b, phone, evil.host, "all", "block")
	evil.ended()
	renamed := newCaller(t)
	renamed.key, renamed.host = evil.key, "another.example"
	if code := renamed.turnedAway(b); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	// One that comes for the first time under the refused name is known from then on.
	second := newCaller(t)
	if code := second.turnedAway(b); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	second.host = "third.example"
	if code := second.turnedAway(b); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	other := newCaller(t)
	other.host = "another.example"
	other.welcome(b)
	// That it has come before under another name does not help either.
	early, again := newCaller(t), newCaller(t)
	early.host = "early.example"
	early.welcome(b)
	again.key = early.key
	if code := again.turnedAway(b); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	early.ended()
}

func TestOnlyThoseOnTheList(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	only := func(yes bool) {
		w.b.Well("PUT", "/api/1/courtyards", w.tomPhone.Ready.Token, map[string]bool{"only": yes}, nil)
	}
	open := newCaller(t)
	open.welcome(w.b)
	only(true)
	open.ended()
	e := w.chat(10)
	w.meiPhone.Sends(e)
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeNotAllowed)
	back := w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)
	w.tomPhone.Sends(back)
	w.comesBack(w.tomPhone, w.b.Key, back, protocol.CodeNotAllowed)
	puts(w.b, w.tomPhone, w.a.Host, "all", "allow")
	e, back = w.chat(10), w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
	w.tomPhone.Sends(back)
	w.meiPhone.Sees(back)
	// The name is public; the key is not.
	thief := newCaller(t)
	thief.host = w.a.Host
	if code := thief.turnedAway(w.b); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	w.a.Stop()
	if code := thief.turnedAway(w.b); code != protocol.CodeUnavailable {
		t.Fatal(code)
	}
	if code := newCaller(t).turnedAway(w.b); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	only(false)
	newCaller(t).welcome(w.b)
}

func TestWhomAPersonRefuses(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	ann := w.b.Guest(w.tomPhone, "ann")
	annPhone := w.b.Connect(ann, ann.Phone)
	w.a.Allow(w.meiPhone, ann)
	w.b.Allow(annPhone, w.mei)
	first := w.a.Across(w.mei, w.b, ann, protocol.TypeChat, 10)
	w.meiPhone.Sends(first)
	annPhone.Sees(first)
	puts(w.b, annPhone, w.a.Host, "me", "block")
	// To the writer it is as if she had never been one's contact.
	for _, kind := range []string{protocol.TypeChat, protocol.TypeFriend, protocol.TypeReceipt} {
		e := w.a.Across(w.mei, w.b, ann, kind, 10)
		w.meiPhone.Sends(e)
		w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeNotContact)
	}
	typing := w.a.Across(w.mei, w.b, ann, protocol.TypeLive, 10)
	typing.Exp = typing.TS + 10_000
	w.meiPhone.Put(typing)
	invite := w.b.Invite(annPhone)
	w.a.Refused(protocol.CodeInviteUnknown, "POST", "/api/1/invites/"+invite.String()+"/spend?host="+w.b.Host, w.meiPhone.Ready.Token, nil)
	id := relaytest.NewID(t)
	w.a.Well("PUT", fmt.Sprintf("/api/1/files/%s?offset=0&size=10&for=%s,%s@%s", id, w.mei.UID, ann.UID, w.b.Host), w.meiPhone.Ready.Token, make([]byte, 10), nil)
	e := w.a.Across(w.mei, w.b, ann, protocol.TypeChat, 10)
	w.meiPhone.Sends(e)
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeNotContact)
	w.b.Refused(protocol.CodeNotFound, "GET", "/api/1/files/"+id.String(), annPhone.Ready.Token, nil)
	// The others of that courtyard, and she herself, go on as before.
	e = w.chat(10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
	e = w.b.Across(ann, w.a, w.mei, protocol.TypeChat, 10)
	annPhone.Sends(e)
	w.meiPhone.Sees(e)
	if n := annPhone.Pending(func(f relaytest.Frame) bool { return f.Op == "live" }); n != 0 {
		t.Fatal(n, "live frames")
	}
	own := w.b.Call("GET", "/api/1/courtyards", annPhone.Ready.Token, nil)
	var n struct {
		Mine []listed `json:"mine"`
	}
	must(t, protocol.DecodeClosed(own.Body, &n, 4)) // nothing of what only the owner sees
	if len(n.Mine) != 1 || n.Mine[0].Host != w.a.Host || n.Mine[0].State != "block" || n.Mine[0].Since == 0 {
		t.Fatalf("%+v", n)
	}
	puts(w.b, annPhone, w.a.Host, "me", "none")
	e = w.a.Across(w.mei, w.b, ann, protocol.TypeChat, 10)
	w.meiPhone.Sends(e)
	annPhone.Sees(e)
}

func TestARenamedCourtyardIsStillRefusedByAPerson(t *testing.T) {
	t.Parallel()
	b := relaytest.Start(t, relaytest.Options{})
	tom := b.Owner("tom")
	phone := b.Connect(tom, tom.Phone)
	home := newCaller(t)
	eve, _ := home.friend(b, tom, phone)
	puts(b, phone, home.host, "me", "block")
	for _, host := range []string{home.host, "another.example"} {
		home.host = host
		home.calls(b)
		if code := home.puts(home.writes(eve, b, tom, protocol.TypeChat)); code != protocol.CodeNotContact {
			t.Fatal(host, code)
		}
	}
}

func TestARefusedCourtyardDoesNotComeRound(t *testing.T) {
	t.Parallel()
	d := newDetour(t)
	d.grant(d.now()+3600_000, 10<<20)
	d.close()
	e := d.chat(10)
	d.meiPhone.Sends(e)
	d.tomPhone.Sees(e)
	d.meiPhone.Event("carried") // or it would go again, and come back
	puts(d.b, d.tomPhone, d.a.Host, "all", "block")
	e = d.chat(10)
	d.meiPhone.Sends(e)
	d.comesBack(d.meiPhone, d.a.Key, e, protocol.CodeNotAllowed)
}

func TestWhoWritesOnTheLists(t *testing.T) {
	t.Parallel()
	b := relaytest.Start(t, relaytest.Options{})
	tom := b.Owner("tom")
	phone := b.Connect(tom, tom.Phone)
	ann := b.Guest(phone, "ann")
	annPhone := b.Connect(ann, ann.Phone)
	list := func(code string, s *relaytest.Socket, host, whose, state string) {
		t.Helper()
		b.Refused(code, "PUT", "/api/1/courtyards/"+host, s.Ready.Token, map[string]string{"for": whose, "state": state})
	}
	list(protocol.CodeNotAllowed, annPhone, "c.example", "all", "block")
	b.Refused(protocol.CodeNotAllowed, "PUT", "/api/1/courtyards", annPhone.Ready.Token, map[string]bool{"only": true})
	list(protocol.CodeBadRequest, annPhone, "c.example", "me", "allow")
	list(protocol.CodeBadRequest, phone, "c.example", "all", "perhaps")
	list(protocol.CodeBadRequest, phone, "c.example", "us", "block")
	list(protocol.CodeBadRequest, phone, "no_host", "all", "block")
	list(protocol.CodeBadRequest, phone, b.Host, "all", "block")
	puts(b, phone, "C.example:443", "all", "block")
	puts(b, phone, "%5B2001:db8::1%5D:8443", "all", "allow")
	puts(b, phone, "c.example", "me", "block")
	n := sees(b, phone)
	if len(n.All) != 2 || n.All[0].Host != "[2001:db8::1]:8443" || n.All[0].State != "allow" || n.All[1].Host != "c.example" || n.All[1].State != "block" || len(n.Mine) != 1 {
		t.Fatalf("%+v", n)
	}
	borrowed := b.AddDevice(ann, "session", b.Clock.Now().UnixMilli()+3600_000)
	list(protocol.CodeNotAllowed, b.Connect(ann, borrowed), "c.example", "me", "block")
}
