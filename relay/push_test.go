package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// woken is a courtyard where Tomás' phone is subscribed and away.
type woken struct {
	*relaytest.Courtyard
	vendor   *vendor
	mei, tom *relaytest.Person
	phone    *relaytest.Socket // Mei's
	token    string            // of Tomás' phone
	browser  *browser          // on it
}

func sleeping(t *testing.T, v *vendor, c *relaytest.Courtyard) *woken {
	t.Helper()
	w := &woken{Courtyard: c, vendor: v, mei: c.Owner("mei")}
	w.phone = c.Connect(w.mei, w.mei.Phone)
	w.tom = c.Guest(w.phone, "tom")
	w.browser = v.Browser()
	s := c.Connect(w.tom, w.tom.Phone)
	w.token = s.Ready.Token
	c.Well("PUT", "/api/1/push", w.token, w.browser.Body(), nil)
	w.leaves(s)
	return w
}

// leaves closes a socket and waits until the relay has noticed.
func (w *woken) leaves(s *relaytest.Socket) {
	before := w.sockets()
	s.Close()
	w.until(func() bool { return w.sockets() < before })
}

// sockets is how many the relay has.
func (w *woken) sockets() int {
	var n int
	_, text, _ := strings.Cut(w.counters(), "\ncourtyard_sockets ")
	if _, err := fmt.Sscan(text, &n); err != nil {
		panic(err)
	}
	return n
}

// says sends Tomás something from Mei, and to herself, as apps do.
func (w *woken) says(kind string) {
	w.phone.Sends(w.Envelope(w.mei, w.tom, kind, 600), w.tom, w.mei)
}

func (w *woken) saysQuietly() {
	e := w.Envelope(w.mei, w.tom, protocol.TypeChat, 600)
	w.phone.Write(`{"op":"put","quiet":true,"for":["` + w.tom.UID.String() + `"],"env":` + string(e.Marshal()) + `}`)
	if f := w.phone.Answer(e.ID); f.Op != "accepted" {
		panic(f.Code)
	}
}

// passes moves the clock and lets the relay look.
func (w *woken) passes(d time.Duration) {
	w.Clock.Move(d)
	w.Sweep()
}

func (w *woken) subscribed(token string) bool {
	var answer struct {
		Key        protocol.Bytes `json:"key"`
		Subscribed bool           `json:"subscribed"`
		Muted      []protocol.UID `json:"muted"`
	}
	w.Well("GET", "/api/1/push", token, nil, &answer)
	if len(answer.Key) != 65 {
		panic("no key")
	}
	return answer.Subscribed
}

func eachAsleep(t *testing.T, o relaytest.Options, story func(t *testing.T, w *woken)) {
	v := newVendor(t)
	o.Config.PushHost, o.Config.Metrics = []string{v.host}, "127.0.0.1:0"
	eachDatabase(t, o, func(t *testing.T, c *relaytest.Courtyard) { story(t, sleeping(t, v, c)) })
}

func TestALetterWakesADeviceThatIsAway(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		w.says(protocol.TypeChat)
		p := w.browser.Woken()
		if p.V != 1 || p.Kind != "chat" || p.N != 1 || *p.UID != w.mei.UID || *p.To != w.tom.UID || p.ttl != "86400" {
			t.Fatalf("push says %+v", p)
		}
		// What says nothing to anybody, a receipt, and Tomás' own copy of what he wrote wake nobody.
		w.saysQuietly()
		w.says(protocol.TypeReceipt)
		laptop := w.AddDevice(w.tom, ident.RoleAdmin, 0)
		other := w.Connect(w.tom, laptop)
		other.Sends(w.Envelope(w.tom, w.mei, protocol.TypeChat, 600), w.mei, w.tom)
		w.says(protocol.TypeChat)
		w.passes(11 * time.Second)
		if p := w.browser.Woken(); p.N != 2 || p.Kind != "chat" || *p.UID != w.mei.UID {
			t.Fatalf("second push says %+v", p)
		}
		// Once the phone has been here it begins anew, at once.
		s := w.Connect(w.tom, w.tom.Phone)
		w.leaves(s)
		w.says(protocol.TypeFriend)
		if p := w.browser.Woken(); p.N != 1 || p.Kind != "friend" {
			t.Fatalf("third push says %+v", p)
		}
	})
}

func TestADeviceThatIsThereIsNotWokenUnlessItSleeps(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		s := w.Connect(w.tom, w.tom.Phone)
		hello := w.Envelope(w.mei, w.tom, protocol.TypeChat, 600)
		w.phone.Sends(hello, w.tom)
		s.Confirm(s.Sees(hello))
		s.Sends(w.Envelope(w.tom, w.mei, protocol.TypeChat, 10), w.mei) // behind the confirmation
		w.passes(30 * time.Second)
		// The page sleeps now, its socket is open: it takes what comes and says nothing.
		w.says(protocol.TypeChat)
		w.passes(30 * time.Second)
		if p := w.browser.Woken(); p.N != 1 {
			t.Fatalf("push says %+v: the first letter had been confirmed", p)
		}
	})
}

func TestWhatADeviceHasHadDoesNotWakeIt(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		wei := w.Guest(w.phone, "wei")
		weisPhone := w.Connect(wei, wei.Phone)
		w.befriends(weisPhone, w.tom)
		s := w.Connect(w.tom, w.tom.Phone)
		hello := w.Envelope(w.mei, w.tom, protocol.TypeChat, 600)
		w.phone.Sends(hello, w.tom)
		s.Confirm(s.Sees(hello))
		s.Sends(w.Envelope(w.tom, w.mei, protocol.TypeChat, 10), w.mei) // behind the confirmation
		w.leaves(s)
		w.passes(30 * time.Second)
		weisPhone.Sends(w.Envelope(wei, w.tom, protocol.TypeChat, 600), w.tom)
		if p := w.browser.Woken(); *p.UID != wei.UID {
			t.Fatalf("push says %+v", p)
		}
	})
}

func TestWhoHasJustLeftIsToldAtOnce(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		tablet, other := w.AddDevice(w.tom, ident.RoleAdmin, 0), w.vendor.Browser()
		s := w.Connect(w.tom, tablet)
		w.Well("PUT", "/api/1/push", s.Ready.Token, other.Body(), nil)
		w.leaves(s)
		s = w.Connect(w.tom, w.tom.Phone)
		w.says(protocol.TypeChat)
		other.Woken() // so it has been decided that the phone has time
		w.leaves(s)   // before the letter was on its disk
		began := time.Now()
		w.says(protocol.TypeChat)
		if p, took := w.browser.Woken(), time.Since(began); p.N != 2 || took >= 20*time.Second {
			t.Fatalf("push says %+v after %v", p, took)
		}
	})
}

func TestTenThousandLettersAreFewPushes(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	c := relaytest.Start(t, relaytest.Options{
		Config: relaytest.Config{PushHost: []string{v.host}, Metrics: "127.0.0.1:0"}, Limits: relaytest.Limits{Frames: 1_000_000_000},
	})
	w := sleeping(t, v, c)
	const letters = 10_000
	written := make(chan protocol.ID, 32)
	go func() {
		defer close(written)
		for range letters {
			e := w.Envelope(w.mei, w.tom, protocol.TypeChat, 10)
			w.phone.Put(e, w.tom)
			written <- e.ID
		}
	}()
	for id := range written {
		if f := w.phone.Answer(id); f.Op != "accepted" {
			t.Fatal(f.Code)
		}
	}
	first := w.browser.Woken()
	said, pushes := first.N, 1
	for said < letters {
		w.passes(time.Hour)
		said = w.browser.Woken().N
		pushes++
	}
	if said != letters || pushes > 3 {
		t.Fatalf("%d pushes say %d letters", pushes, said)
	}
}

func TestMutedChatsWakeNobody(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		w.Well("PUT", "/api/1/push/muted", w.token, muting{[]protocol.UID{w.mei.UID, w.mei.UID}}, nil)
		var answer struct {
			Muted []protocol.UID `json:"muted"`
		}
		w.Well("GET", "/api/1/push", w.token, nil, &answer)
		if len(answer.Muted) != 1 || answer.Muted[0] != w.mei.UID {
			t.Fatal("muted are", answer.Muted)
		}
		w.says(protocol.TypeChat)
		wei := w.Guest(w.phone, "wei")
		weisPhone := w.Connect(wei, wei.Phone)
		w.befriends(weisPhone, w.tom)
		weisPhone.Sends(w.Envelope(wei, w.tom, protocol.TypeChat, 600), w.tom)
		if p := w.browser.Woken(); *p.UID != wei.UID {
			t.Fatal("the muted one woke Tomás")
		}
		w.Well("PUT", "/api/1/push/muted", w.token, muting{[]protocol.UID{}}, nil)
		w.says(protocol.TypeChat)
		if p := w.browser.Woken(); *p.UID != w.mei.UID || p.N != 1 {
			t.Fatalf("push says %+v", p)
		}
		many := make([]protocol.UID, 1001)
		for i := range many {
			many[i] = protocol.UID{byte(i), byte(i >> 8)}
		}
		w.Refused(protocol.CodeTooLarge, "PUT", "/api/1/push/muted", w.token, muting{many})
	})
}

// befriends makes the person of s and other contacts of each other.
func (w *woken) befriends(s *relaytest.Socket, other *relaytest.Person) {
	invite := w.Invite(s)
	o := w.Connect(other, other.Phone)
	w.Well("POST", "/api/1/invites/"+invite.String()+"/spend", o.Ready.Token, struct{}{}, nil)
	w.leaves(o)
}

func TestASubscriptionGoesWithItsDevice(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		laptop := w.AddDevice(w.tom, ident.RoleAdmin, 0)
		s := w.Connect(w.tom, laptop)
		second := w.vendor.Browser()
		w.Well("PUT", "/api/1/push", s.Ready.Token, second.Body(), nil)
		w.leaves(s)
		w.says(protocol.TypeChat)
		w.browser.Woken()
		second.Woken()
		// Signed out there: a record of the chain, and nothing else.
		w.Revoke(w.tom, laptop.ID())
		// Nothing of it is left: its address is anybody's.
		another := w.vendor.Browser().Body()
		another.Endpoint = second.Endpoint
		w.Well("PUT", "/api/1/push", w.phone.Ready.Token, another, nil)
		w.Well("DELETE", "/api/1/push", w.phone.Ready.Token, nil, nil)
		w.passes(time.Minute)
		w.says(protocol.TypeChat)
		w.browser.Woken()
		tablet := w.AddDevice(w.tom, ident.RoleAdmin, 0)
		s = w.Connect(w.tom, tablet)
		third := w.vendor.Browser()
		w.Well("PUT", "/api/1/push", s.Ready.Token, third.Body(), nil)
		w.leaves(s)
		w.Well("DELETE", "/api/1/push", w.token, nil, nil)
		if w.subscribed(w.token) {
			t.Fatal("still subscribed")
		}
		w.says(protocol.TypeChat)
		third.Woken() // so it has been decided whom to wake
		w.Well("PUT", "/api/1/push", w.token, w.browser.Body(), nil)
		w.says(protocol.TypeChat)
		if p := w.browser.Woken(); p.N != 1 {
			t.Fatalf("push says %+v: the one before was not for us", p)
		}
		if n := len(second.pushes); n != 0 {
			t.Fatal("the revoked device was woken", n, "times")
		}
		home := w.AddDevice(w.tom, ident.RoleHome, 0)
		h := w.Connect(w.tom, home)
		w.Refused(protocol.CodeNotAllowed, "PUT", "/api/1/push", h.Ready.Token, w.vendor.Browser().Body())
	})
}

func TestNobodyTakesAnothersSubscription(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		wei := w.Guest(w.phone, "wei")
		s := w.Connect(wei, wei.Phone)
		// Knowing the address is not having the browser.
		stolen := w.vendor.Browser().Body()
		stolen.Endpoint = w.browser.Endpoint
		w.Refused(protocol.CodeNotAllowed, "PUT", "/api/1/push", s.Ready.Token, stolen)
		for _, auth := range [][]byte{nil, make([]byte, 16), w.browser.auth[:15]} {
			w.Refused(protocol.CodeNotFound, "POST", "/api/1/push/moved", "", w.vendor.Browser().Moved(w.browser.Endpoint, auth))
		}
		w.says(protocol.TypeChat)
		w.browser.Woken()
		// The browser itself gives it up and says where it is now.
		next := w.vendor.Browser()
		w.Well("POST", "/api/1/push/moved", "", next.Moved(w.browser.Endpoint, w.browser.auth), nil)
		w.passes(time.Minute)
		w.says(protocol.TypeChat)
		if p := next.Woken(); p.N != 2 {
			t.Fatalf("push says %+v", p)
		}
		// Somebody else signs in with the same browser: it is hers now, and Tomás' letters do not come there.
		w.Well("PUT", "/api/1/push", s.Ready.Token, next.Body(), nil)
		if w.subscribed(w.token) {
			t.Fatal("two people have one browser")
		}
		w.leaves(s)
		w.passes(time.Hour)
		w.says(protocol.TypeChat)
		w.phone.Sends(w.Envelope(w.mei, wei, protocol.TypeChat, 600), wei)
		if p := next.Woken(); *p.To != wei.UID {
			t.Fatal("a push for Tomás came to Wei")
		}
	})
}

func TestWhereAPushMayNotGo(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	// Named as a push service, and this machine may still not be reached.
	o := relaytest.Options{Config: relaytest.Config{PushHost: []string{v.host, "localhost:22"}, Metrics: "127.0.0.1:0", Reach: []string{}}}
	c := relaytest.Start(t, o)
	w := sleeping(t, v, c)
	key := v.Browser()
	for endpoint, code := range map[string]string{
		"https://169.254.169.254/latest/meta-data/": protocol.CodeAddressRefused,
		"http://169.254.169.254/latest/meta-data/":  protocol.CodeAddressRefused,
		"https://127.0.0.1/x":                       protocol.CodeAddressRefused,
		"http://127.0.0.1:1/x":                      protocol.CodeAddressRefused,
		"https://fcm.googleapis.com:8080/x":         protocol.CodeAddressRefused,
		"https://evil.example/x":                    protocol.CodeAddressRefused,
		"javascript:alert(1)":                       protocol.CodeBadRequest,
	} {
		body := key.Body()
		body.Endpoint = endpoint
		w.Refused(code, "PUT", "/api/1/push", w.token, body)
	}
	for _, bad := range []browserKeys{{make([]byte, 65), key.auth}, {key.key.PublicKey().Bytes(), make([]byte, 8)}, {nil, nil}} {
		w.Refused(protocol.CodeBadRequest, "PUT", "/api/1/push", w.token, subscribing{Endpoint: key.Endpoint, Keys: bad})
	}
	w.Refused(protocol.CodeUnauthorized, "PUT", "/api/1/push", "", key.Body())
	w.Refused(protocol.CodeAddressRefused, "POST", "/api/1/push/test", w.token, nil)
	w.says(protocol.TypeChat)
	w.until(func() bool { return strings.Contains(w.Log.String(), "a push was refused") })
	if _, secret, _ := strings.Cut(w.browser.Endpoint, "/push/"); strings.Contains(w.Log.String(), secret) {
		t.Fatal("the log has somebody's endpoint")
	}
	body := key.Body()
	body.Endpoint = "http://localhost:22/x"
	w.Well("PUT", "/api/1/push", w.token, body, nil)
	w.Refused(protocol.CodeAddressRefused, "POST", "/api/1/push/test", w.token, nil)
	if n := v.Tries(); n != 0 {
		t.Fatal("the vendor was reached", n, "times")
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		inside := newVendor(t)
		w.vendor.Answers(func(rw http.ResponseWriter, r *http.Request) bool {
			http.Redirect(rw, r, inside.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		})
		defer w.vendor.Answers(nil)
		w.Refused(protocol.CodeNotAllowed, "POST", "/api/1/push/test", w.token, nil)
		if inside.Tries() != 0 {
			t.Fatal("followed")
		}
	})
}

func TestAVendorThatIsOutOfOrderIsTriedAgain(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		tried := make(chan int, 16)
		status := http.StatusServiceUnavailable
		w.vendor.Answers(func(rw http.ResponseWriter, r *http.Request) bool {
			if status == http.StatusTooManyRequests {
				rw.Header().Set("Retry-After", "120")
			}
			rw.WriteHeader(status)
			tried <- status
			status = http.StatusTooManyRequests
			return true
		})
		defer w.vendor.Answers(nil)
		w.says(protocol.TypeChat)
		<-tried
		// The relay has the answer when its counter says so; only then is there something to wait for.
		w.counts("later", 1)
		w.says(protocol.TypeChat)
		w.passes(3 * time.Second)
		<-tried
		w.counts("later", 2)
		w.vendor.Answers(nil)
		w.passes(time.Minute) // the vendor has asked for two
		w.says(protocol.TypeChat)
		w.passes(2 * time.Minute)
		if p := w.browser.Woken(); p.N != 3 {
			t.Fatalf("push says %+v", p)
		}
	})
}

func TestASubscriptionThatIsGoneIsForgotten(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		w.Well("POST", "/api/1/push/test", w.token, nil, nil)
		if p := w.browser.Woken(); p.Kind != "test" || p.UID != nil {
			t.Fatalf("test says %+v", p)
		}
		w.vendor.Answers(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.WriteHeader(http.StatusGone)
			return true
		})
		w.says(protocol.TypeChat)
		w.counts("gone", 1)
		w.vendor.Answers(nil)
		w.until(func() bool { return !w.subscribed(w.token) })
		w.Refused(protocol.CodeNotFound, "POST", "/api/1/push/test", w.token, nil)
	})
}

func TestSubscriptionsSurviveARestart(t *testing.T) {
	t.Parallel()
	eachAsleep(t, relaytest.Options{}, func(t *testing.T, w *woken) {
		w.Restart()
		w.phone = w.Connect(w.mei, w.mei.Phone)
		w.says(protocol.TypeChat)
		if p := w.browser.Woken(); p.N != 1 {
			t.Fatalf("push says %+v", p)
		}
	})
}

// counts waits until so many pushes have come to this.
func (w *woken) counts(what string, n int) {
	line := fmt.Sprintf("\ncourtyard_pushes_total{what=%q} %d\n", what, n)
	w.until(func() bool { return strings.Contains(w.counters(), line) })
}

// counters is what the relay tells its operator.
func (w *woken) counters() string {
	res, err := http.Get(w.Relay.MetricsURL())
	if err != nil {
		panic(err)
	}
	defer res.Body.Close() //nolint:errcheck // it has been read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (w *woken) until(so func() bool) {
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			panic(fmt.Sprint("waited in vain; the vendor was asked ", w.vendor.Tries(), " times"))
		}
	}
}

func TestWhatIsQuietIsQuietInAnotherCourtyardToo(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	w := newStreet(t, relaytest.Options{}, relaytest.Options{Config: relaytest.Config{PushHost: []string{v.host}}})
	tom := v.Browser()
	w.b.Well("PUT", "/api/1/push", w.tomPhone.Ready.Token, tom.Body(), nil)
	w.tomPhone.Close()
	w.tomPhone.Ended() //nolint:errcheck // that it ended is the point
	quiet, loud := w.chat(100), w.chat(100)
	w.meiPhone.Write(`{"op":"put","quiet":true,"for":["` + w.tom.UID.String() + `"],"env":` + string(quiet.Marshal()) + `}`)
	if f := w.meiPhone.Answer(quiet.ID); f.Op != "accepted" {
		t.Fatal(f.Code)
	}
	w.meiPhone.Sends(loud, w.tom)
	// In their order, so the quiet one was there first.
	if p := tom.Woken(); p.N != 1 || *p.UID != w.mei.UID {
		t.Fatalf("push says %+v", p)
	}
	again := w.b.Connect(w.tom, w.tom.Phone)
	again.Sees(quiet)
	again.Sees(loud)
}

func TestAFullDiskTakesNoSubscriptions(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	var free atomic.Int64
	free.Store(1 << 40)
	c := relaytest.Start(t, relaytest.Options{
		Config: relaytest.Config{PushHost: []string{v.host}, Metrics: "127.0.0.1:0", ReserveMiB: 64}, Free: func() (int64, error) { return free.Load(), nil },
	})
	w := sleeping(t, v, c)
	free.Store(1 << 20)
	w.Clock.Move(time.Minute) // the disk is not measured all the time
	w.Refused(protocol.CodeRelayFull, "PUT", "/api/1/push", w.token, v.Browser().Body())
	w.Refused(protocol.CodeRelayFull, "PUT", "/api/1/push/muted", w.token, muting{[]protocol.UID{w.mei.UID}})
	w.Well("DELETE", "/api/1/push", w.token, nil, nil)
}
