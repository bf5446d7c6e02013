package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/pion/stun/v4"
)

func TestSomebodyOutsideIsReachedThroughTheRelay(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, calling("127.0.0.0/8"))
	mei := c.Owner("mei")
	offer := c.Connect(mei, mei.Phone).Turn()
	for _, how := range []string{"turn udp", "turn tcp"} {
		l, tom := allocates(t, offer, how), friend(t)
		for range 3 { // in an indication at first, then over a channel
			l.says("hello tom", tom.LocalAddr(), hears(tom))
			_, err := tom.WriteTo([]byte("hello mei"), l.at.LocalAddr())
			must(t, err)
			if got := hears(l.at)(10 * time.Second); got != "hello mei" {
				t.Fatalf("%s: mei heard %q", how, got)
			}
		}
	}
	// Who relays to whom is nobody's business, also when it is over.
	c.Stop()
	if log := c.Log.String(); !strings.Contains(log, "relayed") || strings.Count(log, "127.0.0.1") != 1 || strings.Contains(log, mei.UID.String()) {
		t.Fatal("the log says\n" + log)
	}
}

// TestTwoPeopleMeetAtTheRelay: to each other's allocations alone they may relay,
// though the relay is on this very machine.
func TestTwoPeopleMeetAtTheRelay(t *testing.T) {
	t.Parallel()
	behindNAT := calling()
	behindNAT.Config.PublicIP = []string{"203.0.113.7"} // which this machine has not got
	for what, o := range map[string]relaytest.Options{"of its own address": calling(), "behind a 1:1 NAT": behindNAT} {
		t.Run(what, func(t *testing.T) {
			p := newPair(t, o)
			mei, tom := allocates(t, atHome(p.meiPhone.Turn()), "turn udp"), allocates(t, atHome(p.tomPhone.Turn()), "turn tcp")
			if want := "127.0.0.1:"; what == "behind a 1:1 NAT" {
				want = "203.0.113.7:"
				if !strings.HasPrefix(mei.String(), want) || !strings.HasPrefix(tom.String(), want) {
					t.Fatal("they are at", mei, tom)
				}
			}
			must(t, tom.CreatePermission(mei.at.LocalAddr()))
			mei.says("hello tom", tom.at.LocalAddr(), hears(tom.at))
			must(t, mei.CreatePermission(tom.at.LocalAddr()))
			tom.says("hello mei", mei.at.LocalAddr(), hears(mei.at))
		})
	}
}

// atHome is an offer as this machine can follow it: the public address leads nowhere here.
func atHome(offer handshake.Turn) handshake.Turn {
	offer.URLs = slices.Clone(offer.URLs)
	for i, u := range offer.URLs {
		offer.URLs[i] = strings.ReplaceAll(u, "203.0.113.7", "127.0.0.1")
	}
	return offer
}

func TestTwoPortsTellTheSameAddress(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, calling())
	mei := c.Owner("mei")
	offer := c.Connect(mei, mei.Phone).Turn()
	if len(offer.STUN) != 2 || offer.STUN[0] == offer.STUN[1] {
		t.Fatal("STUN at", offer.STUN)
	}
	conn := friend(t)
	for _, u := range offer.STUN {
		to, err := net.ResolveUDPAddr("udp", strings.TrimPrefix(u, "stun:"))
		must(t, err)
		_, err = conn.WriteTo(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw, to)
		must(t, err)
		answer := &stun.Message{Raw: []byte(hears(conn)(10 * time.Second))}
		must(t, answer.Decode())
		var seen stun.XORMappedAddress
		must(t, seen.GetFrom(answer))
		if seen.String() != conn.LocalAddr().String() {
			t.Fatal("seen as", seen)
		}
	}
	// The second one relays nothing, whoever asks.
	second := strings.TrimPrefix(offer.STUN[1], "stun:")
	offer.URLs = []string{"turn:" + second + "?transport=udp"}
	r := handmade(t, offer)
	if code := errorOf(r.asks(stun.MethodAllocate, requestedUDP)); code != stun.CodeBadRequest {
		t.Fatal("it answers", code)
	}
}

func TestWhatIsRelayedIsCountedForEachPerson(t *testing.T) {
	t.Parallel()
	o := calling()
	o.Config.TurnMonthGiB, o.Config.TurnBandwidth, o.Config.Metrics = 3, 40, "127.0.0.1:0"
	eachDatabase(t, o, func(t *testing.T, c *relaytest.Courtyard) {
		mei := c.Owner("mei")
		meiPhone := c.Connect(mei, mei.Phone)
		tom := c.Guest(meiPhone, "tom")
		tomPhone := c.Connect(tom, tom.Phone)
		type amount struct {
			Username    string `json:"username,omitempty"`
			Allocations int    `json:"allocations"`
			Bytes       int64  `json:"bytes"`
		}
		var seen struct {
			On     bool     `json:"on"`
			Month  string   `json:"month"`
			Limit  int64    `json:"limit"`
			Second int64    `json:"second"`
			Mine   amount   `json:"mine"`
			All    []amount `json:"all,omitempty"`
		}
		look := func(s *relaytest.Socket) {
			t.Helper()
			seen.All = nil
			c.Well("GET", "/api/1/traffic", s.Ready.Token, nil, &seen)
		}
		look(meiPhone)
		if seen.Month != c.Clock.Now().UTC().Format("2006-01") || seen.Limit != 3<<30 || seen.Second != 5e6 || !seen.On || seen.Mine != (amount{}) || seen.All == nil || len(seen.All) != 0 {
			t.Fatalf("before anything: %+v", seen)
		}
		a := allocates(t, meiPhone.Turn(), "turn udp")
		if look(meiPhone); !slices.Equal(seen.All, []amount{{"mei", 1, 0}}) {
			t.Fatalf("before anything passed: %+v", seen)
		}
		b := allocates(t, tomPhone.Turn(), "turn udp")
		must(t, b.CreatePermission(a.at.LocalAddr()))
		a.says(strings.Repeat("x", 1000), b.at.LocalAddr(), hears(b.at))
		look(meiPhone)
		if seen.Mine.Allocations != 1 || seen.Mine.Bytes < 1000 {
			t.Fatalf("mei sees %+v", seen)
		}
		slices.SortFunc(seen.All, func(a, b amount) int { return strings.Compare(a.Username, b.Username) })
		if len(seen.All) != 2 || seen.All[0].Username != "mei" || seen.All[1].Username != "tom" || seen.All[1].Allocations != 1 || seen.All[1].Bytes < 1000 {
			t.Fatalf("the owner sees %+v", seen.All)
		}
		look(tomPhone)
		if seen.Mine.Bytes < 1000 || seen.All != nil {
			t.Fatalf("tom sees %+v", seen)
		}
		if a := c.Call("GET", "/api/1/traffic", tomPhone.Ready.Token, nil); bytes.Contains(a.Body, []byte("mei")) || bytes.Contains(a.Body, []byte(`"all"`)) {
			t.Fatalf("tom is told %s", a.Body)
		}
		c.Refused(protocol.CodeUnauthorized, "GET", "/api/1/traffic", "", nil)
		res, err := http.Get(c.Relay.MetricsURL())
		must(t, err)
		text, err := io.ReadAll(res.Body)
		must(t, errors.Join(err, res.Body.Close()))
		for _, want := range []string{"courtyard_turn_allocations 2", `courtyard_turn_packets_total{direction="out"}`, `courtyard_turn_dropped_total{reason="own"} 0`, `courtyard_turn_refused_total{reason="peer"} 0`} {
			if !strings.Contains(string(text), want) {
				t.Error("no", want)
			}
		}
		// What was counted is there after a restart, though it came in the last minute.
		before := seen.Mine.Bytes
		c.Restart()
		look(c.Connect(tom, tom.Phone))
		if seen.Mine.Bytes < before || seen.Mine.Allocations != 0 {
			t.Fatalf("after a restart tom sees %+v", seen)
		}
	})
}

// TestACallGoesOn: a credential is for an hour, and nobody rings off after one.
func TestACallGoesOn(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, calling())
	mei := c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	offer := phone.Turn()
	if want := c.Clock.Now().Add(time.Hour).UnixMilli(); offer.Until > want || offer.Until < want-60_000 {
		t.Fatal("until", offer.Until)
	}
	r := handmade(t, offer)
	if code := errorOf(r.asks(stun.MethodAllocate, requestedUDP)); code != 0 {
		t.Fatal(code)
	}
	c.Clock.Move(time.Hour)
	if code := errorOf(r.asks(stun.MethodRefresh)); code != 0 {
		t.Fatal("the call is cut:", code)
	}
	if code := errorOf(r.asks(stun.MethodCreatePermission, peerAt([]byte{8, 8, 8, 8}, 1))); code != 0 {
		t.Fatal("the call is cut:", code)
	}
	late := handmade(t, offer)
	if code := errorOf(late.asks(stun.MethodAllocate, requestedUDP)); code != stun.CodeBadRequest {
		t.Fatal("with an expired credential:", code)
	}
	again := handmade(t, phone.Turn())
	if code := errorOf(again.asks(stun.MethodAllocate, requestedUDP)); code != 0 {
		t.Fatal("with a new one:", code)
	}
	c.Clock.Move(24 * time.Hour)
	if code := errorOf(r.asks(stun.MethodRefresh)); code != stun.CodeBadRequest {
		t.Fatal("for ever:", code)
	}
}

// TestARestartCutsNobodyOff: what a device was given before is good after.
func TestARestartCutsNobodyOff(t *testing.T) {
	t.Parallel()
	o := calling()
	c := relaytest.Start(t, o)
	mei := c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	tablet := c.AddDevice(mei, ident.RoleAdmin, 0)
	lost := c.Connect(mei, tablet).Turn()
	kept := phone.Turn()
	c.Revoke(mei, tablet.ID())
	c.Restart()
	now := c.Connect(mei, mei.Phone).Turn()
	kept.URLs, lost.URLs = now.URLs, now.URLs // on another port, in this test
	allocates(t, kept, "turn udp")
	if _, err := dial(t, lost, "turn udp").Allocate(); err == nil {
		t.Fatal("a revoked device's is good again")
	}
}

func TestADeviceThatIsRevokedIsCutOffAtOnce(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, calling("127.0.0.0/8"))
	mei := c.Owner("mei")
	tablet := c.AddDevice(mei, ident.RoleAdmin, 0)
	l := allocates(t, c.Connect(mei, tablet).Turn(), "turn udp")
	offer := c.Connect(mei, mei.Phone).Turn()
	other := allocates(t, offer, "turn udp")
	tom := friend(t)
	l.says("hello", tom.LocalAddr(), hears(tom))
	c.Revoke(mei, tablet.ID())
	_, err := l.at.WriteTo([]byte("still here"), tom.LocalAddr())
	if got := hears(tom)(300 * time.Millisecond); got != "" {
		t.Fatal("tom hears", got, err)
	}
	other.says("hello from another device", tom.LocalAddr(), hears(tom))
}

func TestASessionsCredentialEndsWithIt(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, calling())
	mei := c.Owner("mei")
	exp := c.Clock.Now().Add(10 * time.Minute).UnixMilli()
	session := c.AddDevice(mei, ident.RoleSession, exp)
	offer := c.Connect(mei, session).Turn()
	if offer.Until != exp {
		t.Fatal("until", offer.Until)
	}
	r := handmade(t, offer)
	if code := errorOf(r.asks(stun.MethodAllocate, requestedUDP)); code != 0 {
		t.Fatal(code)
	}
	c.Clock.Move(10 * time.Minute)
	if code := errorOf(r.asks(stun.MethodRefresh)); code != stun.CodeBadRequest {
		t.Fatal("it is refreshed:", code)
	}
}

func TestADeviceLearnsFromWhereItsOwnDevicesAreConnected(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{Config: relaytest.Config{TrustProxy: []string{"127.0.0.0/8"}}})
	home := p.AddDevice(p.mei, ident.RoleHome, 0)
	if got := p.meiPhone.Where(home.ID()); got.Code != protocol.CodeNotFound || got.IP != "" || got.Device != home.ID() {
		t.Fatalf("not connected: %+v", got)
	}
	for _, from := range []string{"192.0.2.10", "2001:db8::7", "::ffff:192.0.2.11"} {
		s, err := p.Dial(p.mei, home, relaytest.Dialling{Header: http.Header{"X-Forwarded-For": {from}}})
		must(t, err)
		if got := p.meiPhone.Where(home.ID()); got.IP != strings.TrimPrefix(from, "::ffff:") || got.Code != "" {
			t.Fatalf("%s: %+v", from, got)
		}
		s.Close()
	}
	if got := p.meiPhone.Where(p.mei.Phone.ID()); got.IP != "127.0.0.1" {
		t.Fatalf("its own: %+v", got)
	}
	for _, s := range []*relaytest.Socket{p.tomPhone, p.meiPhone} {
		if got := s.Where(home.ID()); s == p.tomPhone && got.Code != protocol.CodeNotFound {
			t.Fatalf("tom learns where mei's home is: %+v", got)
		}
	}
	// Too many questions are answered too, and the socket stays.
	refused := false
	for range 80 {
		refused = refused || p.tomPhone.Turn().Code == protocol.CodeRateLimited
	}
	if !refused {
		t.Fatal("there is no end to it")
	}
	p.tomPhone.Sends(p.Envelope(p.tom, p.mei, protocol.TypeChat, 10))
}

func TestWithoutTURNOrWithAnothers(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei := c.Owner("mei")
	s := c.Connect(mei, mei.Phone)
	if o := s.Turn(); len(o.STUN)+len(o.URLs) != 0 || o.Username != "" || o.Code != "" {
		t.Fatalf("without: %+v", o)
	}
	if a := c.Call("GET", "/api/1/traffic", s.Ready.Token, nil); a.Status != 200 || !bytes.Contains(a.Body, []byte(`"on":false`)) {
		t.Fatalf("without: %d %s", a.Status, a.Body)
	}
	urls := []string{"turn:turn.example:5000?transport=udp", "turn:turn.example", "turns:turn.example:443?transport=tcp"}
	c = relaytest.Start(t, relaytest.Options{Config: relaytest.Config{CallsConfig: relay.CallsConfig{Turn: "auto", TurnServer: urls, TurnSecret: "north"}}})
	mei = c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	o := phone.Turn()
	if !slices.Equal(o.URLs, urls) || !slices.Equal(o.STUN, []string{"stun:turn.example:5000", "stun:turn.example:3478"}) {
		t.Fatalf("another's: %+v", o)
	}
	exp, alias, ok := strings.Cut(o.Username, ":")
	if exp != fmt.Sprint(o.Until/1000) || !ok || len(alias) != 11 || len(o.Credential) != 28 {
		t.Fatalf("another's: %+v", o)
	}
	if _, again, _ := strings.Cut(phone.Turn().Username, ":"); again != alias {
		t.Fatal("it cannot count by person")
	}
}
