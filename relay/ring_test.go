package relay_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// fleeting makes a letter out of e that is worthless after ten seconds.
func fleeting(e *protocol.Envelope) *protocol.Envelope {
	e.Type, e.Exp = protocol.TypeLive, e.TS+10_000
	return e
}

// putting is a put with a key more, such as "ring".
func putting(key string, e *protocol.Envelope) string {
	return fmt.Sprintf(`{"op":"put","%s":true,"env":%s}`, key, e.Marshal())
}

func (w *woken) call() *protocol.Envelope {
	return fleeting(w.Envelope(w.mei, w.tom, protocol.TypeLive, 300))
}

// rings calls Tomás, as an app does with the first of its letters.
func (w *woken) rings() { w.phone.Write(putting("ring", w.call())) }

func TestACallWakesADeviceThatIsAway(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		w.rings()
		p := w.browser.Woken()
		ttl, err := strconv.Atoi(p.ttl)
		if err != nil || p.V != 1 || p.Kind != "call" || *p.UID != w.mei.UID || *p.To != w.tom.UID || ttl < 40 || ttl > 45 {
			t.Fatalf("push says %+v", p)
		}
		// Rung again at once, he is not woken again; the letters after the first never ask for it.
		w.rings()
		w.phone.Put(w.call())
		w.passes(20 * time.Second)
		w.rings()
		w.says(protocol.TypeChat)
		if p := w.browser.Woken(); p.Kind != "chat" {
			t.Fatalf("push says %+v", p)
		}
		w.passes(11 * time.Second)
		w.rings()
		if p := w.browser.Woken(); p.Kind != "call" {
			t.Fatalf("push says %+v", p)
		}
		// Nothing of it waits for him.
		s := w.Connect(w.tom, w.tom.Phone)
		last := w.Envelope(w.mei, w.tom, protocol.TypeChat, 10)
		w.phone.Sends(last, w.tom)
		s.Sees(last)
		if n := s.Pending(func(f relaytest.Frame) bool { return f.Op == "live" }); n != 0 {
			t.Fatal(n, "letters of calls were kept")
		}
	})
}

func TestACallWakesAPageThatSleepsAndNotOneThatAnswers(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		s := w.Connect(w.tom, w.tom.Phone)
		w.rings()
		s.Live()
		// The page is looked at: it says that it is there.
		here := fleeting(w.Envelope(w.tom, w.mei, protocol.TypeLive, 10))
		s.Put(here)
		for w.phone.Live().ID != here.ID {
		}
		w.passes(4 * time.Second)
		w.passes(31 * time.Second)
		// Now it sleeps with its socket open.
		w.rings()
		s.Live()
		w.passes(4 * time.Second)
		if p := w.browser.Woken(); p.Kind != "call" {
			t.Fatalf("push says %+v", p)
		}
		if n := len(w.browser.pushes); n != 0 {
			t.Fatal("woken", n, "times more")
		}
	})
}

func TestAThousandRingsAreOnePush(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	c := relaytest.Start(t, relaytest.Options{
		Config: relaytest.Config{PushHost: []string{v.host}, Metrics: "127.0.0.1:0"}, Limits: relaytest.Limits{Frames: 1_000_000_000},
	})
	w := sleeping(t, v, c)
	for range 1000 {
		w.rings()
	}
	if p := w.browser.Woken(); p.Kind != "call" {
		t.Fatalf("push says %+v", p)
	}
	w.says(protocol.TypeChat) // answered behind all of them
	if n := w.phone.Pending(func(f relaytest.Frame) bool { return f.Op == "refused" && f.Code == protocol.CodeRateLimited }); n < 900 {
		t.Fatal("only", n, "were too many")
	}
	if p := w.browser.Woken(); p.Kind != "chat" {
		t.Fatalf("push says %+v", p)
	}
}

func TestWhoMayNotRing(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		wei := w.Guest(w.phone, "wei") // Mei's friend, no friend of Tomás
		weisPhone := w.Connect(wei, wei.Phone)
		rings := func(code string) {
			t.Helper()
			e := fleeting(w.Envelope(wei, w.tom, protocol.TypeLive, 300))
			weisPhone.Write(putting("ring", e))
			if f := weisPhone.Answer(e.ID); f.Op != "refused" || f.Code != code {
				t.Fatal(f.Op, f.Code)
			}
		}
		rings(protocol.CodeNotContact)
		w.befriends(weisPhone, w.tom)
		w.Well("PUT", "/api/1/contacts/"+wei.UID.String(), w.token, map[string]string{"state": "block"}, nil)
		rings(protocol.CodeNotContact)
		// In another's name, for something that is kept, and too late: refused.
		forged := w.call()
		weisPhone.Write(putting("ring", forged))
		if f := weisPhone.Answer(forged.ID); f.Code != protocol.CodeNotAllowed {
			t.Fatal(f.Code)
		}
		for _, key := range []string{"ring", "reach"} {
			kept := w.Envelope(w.mei, w.tom, protocol.TypeChat, 300)
			w.phone.Write(putting(key, kept))
			if f := w.phone.Answer(kept.ID); f.Code != protocol.CodeBadRequest {
				t.Fatal(f.Code)
			}
		}
		late := w.call()
		late.Exp = late.TS - 1
		w.phone.Write(putting("ring", late))
		if f := w.phone.Answer(late.ID); f.Code != protocol.CodeExpired {
			t.Fatal(f.Code)
		}
		// One who is muted rings, and wakes nobody.
		w.Well("PUT", "/api/1/push/muted", w.token, muting{[]protocol.UID{w.mei.UID}}, nil)
		w.rings()
		w.passes(time.Minute)
		w.Well("PUT", "/api/1/push/muted", w.token, muting{[]protocol.UID{}}, nil)
		w.rings()
		if p := w.browser.Woken(); p.Kind != "call" || *p.UID != w.mei.UID {
			t.Fatalf("push says %+v", p)
		}
		if n := len(w.browser.pushes); n != 0 {
			t.Fatal("woken", n, "times more")
		}
	})
}

func TestACallOfAnHourAgoRingsNobody(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		w.vendor.Answers(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		defer w.vendor.Answers(nil)
		w.rings()
		w.counts("later", 1)
		w.vendor.Answers(nil)
		w.passes(time.Hour)
		w.says(protocol.TypeChat)
		if p := w.browser.Woken(); p.Kind != "chat" {
			t.Fatalf("push says %+v", p)
		}
	})
}

func TestACallOpensALinkAndKeepsIt(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	w := newStreet(t, relaytest.Options{}, relaytest.Options{Config: relaytest.Config{PushHost: []string{v.host}, Metrics: "127.0.0.1:0"}})
	tablet, browser := w.b.AddDevice(w.tom, ident.RoleAdmin, 0), v.Browser()
	s := w.b.Connect(w.tom, tablet)
	w.b.Well("PUT", "/api/1/push", s.Ready.Token, browser.Body(), nil)
	s.Close()
	// Mei's relay is known there: she has written before, and he to her.
	for _, say := range []struct {
		from, to *relaytest.Socket
		e        *protocol.Envelope
	}{
		{w.meiPhone, w.tomPhone, w.chat(10)},
		{w.tomPhone, w.meiPhone, w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)},
	} {
		say.from.Sends(say.e)
		say.to.Sees(say.e)
	}
	if p := browser.Woken(); p.Kind != "chat" {
		t.Fatalf("push says %+v", p)
	}
	for range 2 {
		// Without a link typing finds none; a call opens one.
		w.a.Clock.Move(time.Minute)
		w.a.Restart()
		w.meiPhone = w.a.Connect(w.mei, w.mei.Phone)
		typing := fleeting(w.chat(20))
		w.meiPhone.Put(typing)
		ring := fleeting(w.chat(300))
		w.meiPhone.Write(putting("ring", ring))
		if got := w.tomPhone.Live(); got.ID != ring.ID {
			t.Fatal("another frame")
		}
		if p := browser.Woken(); p.Kind != "call" || *p.UID != w.mei.UID {
			t.Fatalf("push says %+v", p)
		}
		answer := fleeting(w.b.Across(w.tom, w.a, w.mei, protocol.TypeLive, 300))
		w.tomPhone.Write(putting("reach", answer))
		if got := w.meiPhone.Live(); got.ID != answer.ID {
			t.Fatal("another frame")
		}
	}
	// Nobody makes a relay call where he has allowed nobody.
	w.a.Well("PUT", "/api/1/contacts/"+w.tom.UID.String(), w.meiPhone.Ready.Token, map[string]string{"state": "none"}, nil)
	for _, key := range []string{"ring", "reach"} {
		e := fleeting(w.chat(300))
		w.meiPhone.Write(putting(key, e))
		if f := w.meiPhone.Answer(e.ID); f.Code != protocol.CodeNotContact {
			t.Fatal(f.Code)
		}
	}
}

func TestACallToACourtyardThatIsAwayIsNotKept(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{Config: relaytest.Config{Metrics: "127.0.0.1:0"}}, relaytest.Options{})
	known := w.chat(10)
	w.meiPhone.Sends(known)
	w.tomPhone.Sees(known)
	w.meiPhone.Event("carried")
	w.b.Stop()
	for range 3 {
		w.meiPhone.Write(putting("ring", fleeting(w.chat(300))))
	}
	if rows := w.waiting(); len(rows) != 0 {
		t.Fatal(rows)
	}
	w.b.Restart()
	w.tomPhone = w.b.Connect(w.tom, w.tom.Phone)
	w.a.Clock.Move(20 * time.Minute)
	ring := fleeting(w.chat(300))
	w.meiPhone.Write(putting("ring", ring))
	if got := w.tomPhone.Live(); got.ID != ring.ID {
		t.Fatal("a call of before was kept")
	}
}

func TestWhatALinkMayNotRing(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	b := relaytest.Start(t, relaytest.Options{Config: relaytest.Config{PushHost: []string{v.host}, Metrics: "127.0.0.1:0"}})
	w := sleeping(t, v, b)
	c := newCaller(t)
	// A relay that nobody here knows: not for its own people, not in the name of people of this one.
	mallory := c.person("mallory")
	c.calls(b)
	rings := func(from *relaytest.Person) {
		c.write(link.Request{Op: link.OpLive, Env: fleeting(c.writes(from, b, w.tom, protocol.TypeLive)).Marshal(), Ring: true})
	}
	rings(mallory)
	rings(w.mei)
	c.shows(mallory.UID, mallory.Chain.Records(0))
	rings(mallory) // known by her chain, and nobody's friend
	s := b.Connect(w.tom, w.tom.Phone)
	eve, first := c.friend(b, w.tom, s)
	s.Confirm(s.Sees(first))
	s.Sends(b.Envelope(w.tom, w.mei, protocol.TypeChat, 10), w.mei) // behind the confirmation
	w.leaves(s)
	rings(eve)
	if p := w.browser.Woken(); p.Kind != "call" || *p.UID != eve.UID {
		t.Fatalf("push says %+v", p)
	}
	for range 500 {
		rings(eve)
	}
	w.passes(20 * time.Second)
	w.says(protocol.TypeChat)
	if p := w.browser.Woken(); p.Kind != "chat" || *p.UID != w.mei.UID {
		t.Fatalf("push says %+v", p)
	}
}
