package relay_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// pair is a courtyard with two friends, both connected.
type pair struct {
	*relaytest.Courtyard
	mei, tom           *relaytest.Person
	meiPhone, tomPhone *relaytest.Socket
}

func newPair(t *testing.T, o relaytest.Options) *pair {
	t.Helper()
	c := relaytest.Start(t, o)
	p := &pair{Courtyard: c, mei: c.Owner("mei")}
	p.meiPhone = c.Connect(p.mei, p.mei.Phone)
	p.tom = c.Guest(p.meiPhone, "tom")
	p.tomPhone = c.Connect(p.tom, p.tom.Phone)
	return p
}

func (p *pair) chat(size int) *protocol.Envelope {
	return p.Envelope(p.mei, p.tom, protocol.TypeChat, size)
}

func TestOnlyTheDeviceItselfGetsIn(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei := c.Owner("mei")
	stranger := relaytest.NewDevice(t)
	nobody := c.Person("nobody")
	for what, dial := range map[string]func() error{
		"another host, as a relay in the middle has": func() error {
			_, err := c.Dial(mei, mei.Phone, relaytest.Dialling{Host: "evil.example"})
			return err
		},
		"another key": func() error {
			_, err := c.Dial(mei, mei.Phone, relaytest.Dialling{Sign: stranger, Device: mei.Phone.ID()})
			return err
		},
		"an unknown device": func() error { _, err := c.Dial(mei, stranger, relaytest.Dialling{}); return err },
		"an unknown person": func() error { _, err := c.Dial(nobody, nobody.Phone, relaytest.Dialling{}); return err },
	} {
		if err := dial(); err == nil || err.Error() != protocol.CodeUnauthorized {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The three names of this machine are one.
	_, port, _ := strings.Cut(c.Host, ":")
	if _, err := c.Dial(mei, mei.Phone, relaytest.Dialling{Host: "localhost:" + port}); err != nil {
		t.Error("localhost:", err)
	}
}

func TestAForeignPageGetsNoSocket(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{Config: relaytest.Config{AllowOrigin: []string{"https://app.example"}}})
	mei := c.Owner("mei")
	_, port, _ := strings.Cut(c.Host, ":")
	for origin, well := range map[string]bool{
		"http://" + c.Host: true, "https://" + c.Host: true, "http://localhost:" + port: true, "https://app.example": true,
		"https://evil.example": false, "null": false, "https://app.example.evil": false, "http://app.example": false,
		"http://" + c.Host + ".evil": false, "file://": false, "http://127.0.0.1:1": false,
	} {
		_, err := c.Dial(mei, mei.Phone, relaytest.Dialling{Header: http.Header{"Origin": {origin}}})
		if (err == nil) != well {
			t.Errorf("%s: %v", origin, err)
		}
		if !well && (err == nil || !strings.Contains(err.Error(), "403")) {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

func TestGarbageEndsOnlyItsSocket(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	for _, frame := range []string{
		``, `{`, `[]`, `null`, `"put"`, `{"op":"nothing"}`, `{"op":1}`, `{"env":{}}`, `{"op":"put"}`, `{"op":"put","op":"put","env":{}}`,
		`{"op":"put","for":"x","env":{}}`, `{"op":"confirm"}`, `{"op":"confirm","n":-1}`, `{"op":"confirm","n":1.5}`, `{"op":"confirm","n":1e3}`,
		`{"op":"confirm","n":9007199254740993}`, `{"op":"put","env":{}} trailing`, strings.Repeat("[", 1000), "\x00", "{\"op\":\"\xff\"}",
	} {
		s := p.Connect(p.mei, p.mei.Phone)
		s.Write(frame)
		f, ok := s.Await(func(f relaytest.Frame) bool { return f.Op == "refused" })
		if !ok || f.Code != protocol.CodeBadRequest || !f.ID.IsZero() {
			t.Errorf("%q: %+v %v", frame, f, s.Ended())
		}
		s.EndedWith(protocol.CodeBadRequest)
	}
	binary := p.Connect(p.mei, p.mei.Phone)
	binary.WriteBinary([]byte(`{"op":"confirm","n":1}`))
	binary.EndedWith(protocol.CodeBadRequest)

	large := p.Connect(p.mei, p.mei.Phone)
	if err := large.TryWrite(`{"op":"put","env":"` + strings.Repeat("x", 300<<10) + `"}`); err != nil {
		t.Log("the relay did not hear it out: ", err)
	}
	large.Ended()

	p.meiPhone.Sends(p.chat(10)) // the first socket has not noticed
}

func TestWhatIsWrongWithAnEnvelopeIsAnswered(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	now := p.Clock.Now().UnixMilli()
	for what, v := range map[string]struct {
		code string
		edit func(*protocol.Envelope)
	}{
		"in somebody else's name": {protocol.CodeNotAllowed, func(e *protocol.Envelope) { e.From.ID = p.tom.UID }},
		"from the future":         {protocol.CodeClockAhead, func(e *protocol.Envelope) { e.TS = now + 6*60*1000 }},
		"a chat that expires":     {protocol.CodeBadRequest, func(e *protocol.Envelope) { e.Exp = now + 1000 }},
		"typing for ever":         {protocol.CodeBadRequest, func(e *protocol.Envelope) { e.Type = protocol.TypeLive }},
		"typing too long":         {protocol.CodeBadRequest, func(e *protocol.Envelope) { e.Type = protocol.TypeLive; e.Exp = e.TS + 61_000 }},
		"typing too late":         {protocol.CodeExpired, func(e *protocol.Envelope) { e.Type = protocol.TypeLive; e.TS = now - 60_000; e.Exp = now - 1 }},
		"to nobody":               {protocol.CodeNotContact, func(e *protocol.Envelope) { e.To.ID = protocol.UID{7} }},
		"typing to nobody":        {protocol.CodeNotContact, func(e *protocol.Envelope) { e.To.ID = protocol.UID{7}; e.Type = protocol.TypeLive; e.Exp = e.TS + 1000 }},
		"link of another device":  {protocol.CodeNotAllowed, func(e *protocol.Envelope) { e.Type = protocol.TypeLink; e.Exp = e.TS + 1000 }},
	} {
		e := p.chat(10)
		v.edit(e)
		p.meiPhone.Put(e)
		if f := p.meiPhone.Answer(e.ID); f.Op != "refused" || f.Code != v.code {
			t.Errorf("%s: %s %s, want %s", what, f.Op, f.Code, v.code)
		}
	}
	// An envelope that does not parse is answered by its id if it has one.
	e := p.chat(10)
	p.meiPhone.PutRaw([]byte(strings.Replace(string(e.Marshal()), `"v":1`, `"v":2`, 1)))
	if f := p.meiPhone.Answer(e.ID); f.Code != protocol.CodeBadRequest {
		t.Fatal(f)
	}
	e = p.chat(100 << 10)
	p.meiPhone.PutRaw(e.Marshal())
	if f := p.meiPhone.Answer(e.ID); f.Code != protocol.CodeTooLarge {
		t.Fatal(f)
	}
	p.meiPhone.IsRefused(protocol.CodeBadRequest, p.chat(10), p.tom, p.mei, p.mei)
	p.meiPhone.IsRefused(protocol.CodeBadRequest, p.chat(10), p.Person("third"))
	// Types that this relay does not know pass.
	e = p.chat(10)
	e.Type = "post.new"
	p.meiPhone.Sends(e)
	p.tomPhone.Sees(e)
}

func TestBytesAreForwardedAsTheyCame(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	e := p.chat(40)
	raw := strings.Replace(string(e.Marshal()), `,"id"`, ` ,  "id"`, 1)
	p.meiPhone.PutRaw([]byte(raw))
	p.meiPhone.Answer(e.ID)
	f, _ := p.tomPhone.Await(relaytest.IsRow)
	if string(f.Env) != raw {
		t.Fatalf("came as %s, left as %s", raw, f.Env)
	}
}

func TestTheWindow(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	for range 70 {
		p.meiPhone.Sends(p.chat(10))
	}
	s := p.Connect(p.tom, p.tom.Phone)
	last := int64(0)
	for range 64 {
		n, _ := s.Row()
		if n <= last {
			t.Fatal("row", n, "after", last)
		}
		last = n
	}
	// A put's answer overtakes rows, so after it anything beyond the window would be here.
	s.Sends(p.Envelope(p.tom, p.tom, protocol.TypeChat, 10))
	if n := s.Pending(relaytest.IsRow); n != 0 {
		t.Fatal(n, "rows beyond the window")
	}
	s.Confirm(last - 60)
	for range 4 {
		s.Row()
	}
	s.Confirm(last)
	for range 3 { // two more of mei's and the own one
		s.Row()
	}
}

func TestTheWindowCountsBytes(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	const size = 90 << 10 // 120 KiB as an envelope: 17 of them are 2 MiB
	for range 24 {
		p.meiPhone.Sends(p.chat(size))
	}
	s := p.Connect(p.tom, p.tom.Phone)
	total, last := 0, int64(0)
	for range 17 {
		f, _ := s.Await(relaytest.IsRow)
		total += len(f.Env)
		last = f.N
	}
	if total > 2<<20 {
		t.Fatal(total, "bytes in flight")
	}
	s.Sends(p.Envelope(p.tom, p.tom, protocol.TypeChat, 10))
	if n := s.Pending(relaytest.IsRow); n != 0 {
		t.Fatal(n, "rows beyond the window")
	}
	s.Confirm(last)
	for range 8 {
		s.Row()
	}
}

func TestAHomeConfirmsOnlyWhatItWasGiven(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	homeKeys := p.AddDevice(p.tom, ident.RoleHome, 0)
	e := p.chat(10)
	p.meiPhone.Sends(e)
	home := p.Connect(p.tom, homeKeys)
	home.Sees(e)
	home.Confirm(2)
	home.EndedWith(protocol.CodeBadRequest)
	home = p.Connect(p.tom, homeKeys)
	home.Sees(e) // still there
}

func TestTabsShareOneCursor(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	second := p.Connect(p.tom, p.tom.Phone)
	for range 64 {
		p.meiPhone.Sends(p.chat(10))
	}
	last := int64(0)
	for range 64 {
		last, _ = p.tomPhone.Row()
		second.Row()
	}
	p.tomPhone.Confirm(last)
	e := p.chat(10)
	p.meiPhone.Sends(e)
	second.Sees(e) // its window has opened as well
}

func TestEightTabsAndTheOldestMakesRoom(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	tabs := []*relaytest.Socket{p.tomPhone}
	for range 7 {
		tabs = append(tabs, p.Connect(p.tom, p.tom.Phone))
	}
	p.Connect(p.tom, p.tom.Phone)
	tabs[0].EndedWith("replaced")
	// The same tab again takes its own place.
	instance := relaytest.NewID(t)
	first, err := p.Dial(p.tom, p.tom.Phone, relaytest.Dialling{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	tabs[1].EndedWith("replaced")
	if _, err := p.Dial(p.tom, p.tom.Phone, relaytest.Dialling{Instance: instance}); err != nil {
		t.Fatal(err)
	}
	first.EndedWith("replaced")
	tabs[2].Sends(p.Envelope(p.tom, p.mei, protocol.TypeChat, 10)) // the others live on
}

func TestASecondHomeIsTurnedAwayWhileTheFirstAnswers(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	keys := p.AddDevice(p.tom, ident.RoleHome, 0)
	instance := relaytest.NewID(t)
	first, err := p.Dial(p.tom, keys, relaytest.Dialling{Instance: instance})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Dial(p.tom, keys, relaytest.Dialling{}); err == nil || err.Error() != protocol.CodeHomeExists {
		t.Fatal(err)
	}
	p.tomPhone.Event("home-twice")
	// The same process reconnecting is no second home, and no news.
	if _, err := p.Dial(p.tom, keys, relaytest.Dialling{Instance: instance}); err != nil {
		t.Fatal(err)
	}
	first.EndedWith("replaced")
	e := p.chat(10)
	p.meiPhone.Sends(e)
	p.tomPhone.Sees(e)
	if n := p.tomPhone.Pending(func(f relaytest.Frame) bool { return f.What == "home" && f.Params["state"] == "away" }); n != 1 { // when it was added
		t.Fatal("the home was away", n, "times")
	}
}

func TestASilentHomeIsReplaced(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the five seconds that a home has to answer")
	}
	p := newPair(t, relaytest.Options{})
	keys := p.AddDevice(p.tom, ident.RoleHome, 0)
	// A home that greets and then never reads again, so it answers no ping.
	silent := p.Silent(p.tom, keys)
	defer silent()
	second, err := p.Dial(p.tom, keys, relaytest.Dialling{})
	if err != nil {
		t.Fatal(err)
	}
	e := p.chat(10)
	p.meiPhone.Sends(e)
	second.Sees(e)
}

func TestRevokingEndsADeviceAtOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	tablet := p.AddDevice(p.tom, ident.RoleAdmin, 0)
	s := p.Connect(p.tom, tablet)
	p.Well("GET", "/api/1/vault", s.Ready.Token, nil, nil)
	p.Revoke(p.tom, tablet.ID())
	s.EndedWith(protocol.CodeUnauthorized)
	p.Refused(protocol.CodeUnauthorized, "GET", "/api/1/vault", s.Ready.Token, nil)
	if _, err := p.Dial(p.tom, tablet, relaytest.Dialling{}); err == nil || err.Error() != protocol.CodeUnauthorized {
		t.Fatal(err)
	}
	p.tomPhone.Event("chain")
	p.Well("GET", "/api/1/vault", p.tomPhone.Ready.Token, nil, nil)
}

func TestABorrowedBrowserExpires(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	session := p.AddDevice(p.tom, ident.RoleSession, p.Clock.Now().Add(time.Hour).UnixMilli())
	s := p.Connect(p.tom, session)
	p.Well("GET", "/api/1/people/mei", s.Ready.Token, nil, nil)
	p.Refused(protocol.CodeNotAllowed, "GET", "/api/1/vault", s.Ready.Token, nil)
	p.Refused(protocol.CodeNotAllowed, "PUT", "/api/1/settings", s.Ready.Token, settings{true})
	p.Clock.Move(2 * time.Hour)
	p.Refused(protocol.CodeUnauthorized, "GET", "/api/1/people/mei", s.Ready.Token, nil)
	if _, err := p.Dial(p.tom, session, relaytest.Dialling{}); err == nil || err.Error() != protocol.CodeUnauthorized {
		t.Fatal(err)
	}
}

func TestATokenLivesADayWithoutASocket(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	home := p.Connect(p.tom, p.AddDevice(p.tom, ident.RoleHome, 0))
	becomes := func(state string) {
		for p.tomPhone.Event("home")["state"] != state {
		}
	}
	becomes("online")
	token := home.Ready.Token
	p.Clock.Move(48 * time.Hour)
	p.Well("GET", "/api/1/people/mei", token, nil, nil) // connected all the time
	home.Close()
	becomes("away") // the relay has seen it go: the day runs from here
	p.Clock.Move(23 * time.Hour)
	p.Well("GET", "/api/1/people/mei", token, nil, nil)
	p.Clock.Move(2 * time.Hour)
	p.Refused(protocol.CodeUnauthorized, "GET", "/api/1/people/mei", token, nil)
}

func TestLiveAndLinkPassAtOnceAndAreKeptNowhere(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	typing := p.chat(20)
	typing.Type, typing.Exp = protocol.TypeLive, typing.TS+10_000
	p.meiPhone.Put(typing)
	if e := p.tomPhone.Live(); e.ID != typing.ID {
		t.Fatal("another frame")
	}
	homeKeys := p.AddDevice(p.tom, ident.RoleHome, 0)
	link := func(from, to *ident.DeviceKeys, size int) *protocol.Envelope {
		e := p.Envelope(p.tom, p.tom, protocol.TypeLink, size)
		e.From.ID, e.To.ID, e.Exp = protocol.UID(from.ID()), protocol.UID(to.ID()), e.TS+30_000
		return e
	}
	p.tomPhone.IsRefused(protocol.CodeHomeAway, link(p.tom.Phone, homeKeys, 50))
	home := p.Connect(p.tom, homeKeys)
	hello := link(p.tom.Phone, homeKeys, 50)
	p.tomPhone.Put(hello)
	if e := home.Live(); e.ID != hello.ID {
		t.Fatal("another frame")
	}
	answer := link(homeKeys, p.tom.Phone, 60<<10)
	home.Put(answer)
	if e := p.tomPhone.Live(); e.ID != answer.ID {
		t.Fatal("another frame")
	}
	// Another person's device is not reached, whoever knows its id.
	foreign := link(p.tom.Phone, p.mei.Phone, 50)
	p.tomPhone.IsRefused(protocol.CodeHomeAway, foreign)
	var keep struct {
		Rows []json.RawMessage `json:"rows"`
	}
	p.Well("GET", "/api/1/keep", p.tomPhone.Ready.Token, nil, &keep)
	if len(keep.Rows) != 0 {
		t.Fatal(len(keep.Rows), "live frames were kept")
	}
}

func TestMoreFramesThanAllowedAreReadLater(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{Limits: relaytest.Limits{Frames: 60 * 50}})
	began, ids := time.Now(), []protocol.ID{}
	for range 3100 { // 3,000 at once, then 50 a second
		e := p.Envelope(p.mei, p.mei, protocol.TypeChat, 1)
		ids = append(ids, e.ID)
		p.meiPhone.Put(e)
	}
	for _, id := range ids {
		if f := p.meiPhone.Answer(id); f.Op != "accepted" {
			t.Fatal(f.Code)
		}
	}
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Fatal("took only", took)
	}
}

// TestWhoReadsIsNotTooSlow: however fast frames come, a socket that takes its
// answers gets all of them.
func TestWhoReadsIsNotTooSlow(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{Limits: relaytest.Limits{Frames: 60 * 1000}})
	ids := []protocol.ID{}
	for range 3000 {
		e := p.Envelope(p.tom, p.mei, protocol.TypeChat, 1) // not mei's to send
		ids = append(ids, e.ID)
		p.meiPhone.Put(e)
	}
	for _, id := range ids {
		if f := p.meiPhone.Answer(id); f.Code != protocol.CodeNotAllowed {
			t.Fatal(f)
		}
	}
}

func TestAnAddressOpensTwentySocketsAMinute(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{Limits: relaytest.Limits{Sockets: 20}})
	for range 18 { // two are open
		p.Connect(p.mei, p.mei.Phone)
	}
	_, err := p.Dial(p.mei, p.mei.Phone, relaytest.Dialling{})
	if err == nil || !strings.Contains(err.Error(), "status 429") {
		t.Fatal(err)
	}
	a := p.Refused(protocol.CodeRateLimited, "GET", "/api/1/socket", "", nil)
	if a.Header.Get("Retry-After") == "" {
		t.Fatal("no Retry-After")
	}
	p.Clock.Move(time.Minute)
	p.Connect(p.mei, p.mei.Phone)
}

func TestARestartLosesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	homeKeys := p.AddDevice(p.tom, ident.RoleHome, 0)
	home := p.Connect(p.tom, homeKeys)
	sent := []*protocol.Envelope{}
	for range 20 {
		e := p.chat(100)
		sent = append(sent, e)
		p.meiPhone.Sends(e, p.tom, p.mei)
	}
	home.Confirm(home.Sees(sent[4]))
	home.Sends(p.Envelope(p.tom, p.mei, protocol.TypeChat, 10), p.mei) // its answer comes after the confirmation is written
	if n := len(keptBy(t, p.Courtyard, p.tomPhone)); n != 15 {
		t.Fatal(n, "rows kept")
	}
	p.Restart()
	home.Ended()
	p.meiPhone = p.Connect(p.mei, p.mei.Phone)
	p.tomPhone = p.Connect(p.tom, p.tom.Phone)
	if s := p.tomPhone.Ready.Home.State; s != "away" {
		t.Fatal("after a restart the home is", s)
	}
	p.meiPhone.Sends(sent[19], p.tom, p.mei) // its answer was lost, say
	home = p.Connect(p.tom, homeKeys)
	for i := 5; i < 20; i++ {
		if _, e := home.Row(); e.ID != sent[i].ID {
			t.Fatal("row", i, "is another")
		}
	}
	if n := home.Pending(relaytest.IsRow); n != 0 {
		t.Fatal(n, "rows more")
	}
}

func TestTheKeepInPages(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	sent := []*protocol.Envelope{}
	for range 7 {
		e := p.chat(10)
		sent = append(sent, e)
		p.meiPhone.Sends(e)
	}
	seen, before := 0, int64(0)
	for {
		var page struct {
			Rows []struct {
				N   int64           `json:"n"`
				Env json.RawMessage `json:"env"`
			} `json:"rows"`
			More bool `json:"more"`
		}
		p.Well("GET", fmt.Sprintf("/api/1/keep?before=%d&limit=3", before), p.tomPhone.Ready.Token, nil, &page)
		for _, row := range page.Rows {
			seen++
			if want := sent[len(sent)-seen]; !bytes.Equal(row.Env, want.Marshal()) {
				t.Fatal("row", row.N, "is another")
			}
			before = row.N
		}
		if !page.More {
			break
		}
	}
	if seen != 7 {
		t.Fatal("saw", seen)
	}
}

type settings struct {
	Findable bool `json:"findable"`
}

// deaf connects a home of Tom's that does not read, and sends to it until the relay
// takes no more for it.
func (p *pair) deaf(t *testing.T) (end func()) {
	t.Helper()
	keys := p.AddDevice(p.tom, ident.RoleHome, 0)
	end = p.Silent(p.tom, keys)
	for range 400 { // 2 MiB wait at the relay, a few more in the sockets of both ends
		e := p.Envelope(p.tom, p.tom, protocol.TypeLink, 60<<10)
		e.From.ID, e.To.ID, e.Exp = protocol.UID(p.tom.Phone.ID()), protocol.UID(keys.ID()), e.TS+30_000
		p.tomPhone.Put(e)
		if f, ok := p.tomPhone.Now(func(f relaytest.Frame) bool { return f.Op == "refused" }); ok {
			if f.Code != protocol.CodeUnavailable {
				t.Fatal(f.Code)
			}
			return end
		}
	}
	end()
	t.Fatal("everything was taken for a home that does not read")
	return nil
}

func TestAHomeThatDoesNotReadCostsLittleAndTheSenderIsTold(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	defer p.deaf(t)()
	p.meiPhone.Sends(p.chat(10)) // nobody else is kept waiting
}

// Its writer stands in a write of up to half a minute.
func TestARelayDoesNotWaitToStopForAHomeThatDoesNotRead(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	defer p.deaf(t)()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.Stop()
	}()
	select {
	case <-stopped:
	case <-time.After(15 * time.Second): // when systemd and scripts/chaos lose patience
		t.Fatal("it still waits")
	}
}
