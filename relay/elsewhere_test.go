package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// two are two relays on one machine, at one port as scripts/run two has them,
// each with an owner who is connected.
type two struct {
	here, there *relaytest.Courtyard
	mei, tom    *relaytest.Person // mei lives here, tom there
	meis, toms  *relaytest.Socket
}

func startTwo(t *testing.T, here relaytest.Options) two {
	t.Helper()
	w := two{here: relaytest.Start(t, here)}
	listen := strings.Replace(w.here.Host, "127.0.0.1", "127.0.0.2", 1)
	w.there = relaytest.Start(t, relaytest.Options{Config: relaytest.Config{Listen: listen, Metrics: "127.0.0.1:0"}})
	w.mei, w.tom = w.here.Owner("mei"), w.there.Owner("tom")
	w.meis, w.toms = w.here.Connect(w.mei, w.mei.Phone), w.there.Connect(w.tom, w.tom.Phone)
	return w
}

type records struct {
	Records []protocol.Signed `json:"records"`
}

type somebody struct {
	UID      protocol.UID `json:"uid"`
	Username string       `json:"username"`
	Host     string       `json:"host"`
}

// Section 14, lookups: a client asks its own relay, which asks the other.
func TestLookupsElsewhere(t *testing.T) {
	t.Parallel()
	w := startTwo(t, relaytest.Options{})
	token, at := w.meis.Ready.Token, "host="+w.there.Host
	tablet := w.there.AddDevice(w.tom, ident.RoleAdmin, 0)

	var all, rest, none records
	w.here.Well("GET", "/api/1/chains/"+w.tom.UID.String()+"?"+at, token, nil, &all)
	chain, err := ident.ParseChain(all.Records)
	must(t, err)
	if chain.UID() != w.tom.UID || chain.Head() != w.tom.Chain.Head() || chain.Relay().Address() != w.there.Host {
		t.Errorf("the chain is another: %v", chain.UID())
	}
	w.here.Well("GET", "/api/1/chains/"+w.tom.UID.String()+"?after=0&"+at, token, nil, &rest)
	w.here.Well("GET", "/api/1/chains/"+w.tom.UID.String()+"?after=1&"+at, token, nil, &none)
	if len(rest.Records) != 1 || len(none.Records) != 0 {
		t.Errorf("after 0 %d, after 1 %d", len(rest.Records), len(none.Records))
	}
	var back records
	w.there.Well("GET", "/api/1/chains/"+w.mei.UID.String()+"?host="+w.here.Host, w.toms.Ready.Token, nil, &back)
	if len(back.Records) != 1 {
		t.Errorf("the other way round %d", len(back.Records))
	}
	// What grew a moment ago is seen at once: a letter by the new device may be on its way.
	w.there.Revoke(w.tom, tablet.ID())
	w.here.Well("GET", "/api/1/chains/"+w.tom.UID.String()+"?after=1&"+at, token, nil, &none)
	if len(none.Records) != 1 {
		t.Errorf("the revocation is not seen")
	}

	var uek protocol.Signed
	w.here.Well("GET", "/api/1/ueks/"+w.tom.UID.String()+"?"+at, token, nil, &uek)
	if _, err := ident.VerifyUEK(uek, w.tom.Chain); err != nil {
		t.Error(err)
	}
	id := w.there.Invite(w.toms)
	relayed := w.here.Call("GET", "/api/1/invites/"+id.String()+"?"+at, token, nil)
	direct := w.there.Call("GET", "/api/1/invites/"+id.String(), "", nil)
	if relayed.Status != http.StatusOK || string(relayed.Body) != string(direct.Body) || !strings.Contains(string(direct.Body), w.tom.UID.String()) {
		t.Errorf("%s, there %s", relayed.Body, direct.Body)
	}

	// Names: only those who want to be found.
	w.there.Well("PUT", "/api/1/settings", w.toms.Ready.Token, map[string]bool{"findable": false}, nil)
	w.here.Refused(protocol.CodeNotFound, "GET", "/api/1/people/tom?"+at, token, nil)
	w.there.Well("PUT", "/api/1/settings", w.toms.Ready.Token, map[string]bool{"findable": true}, nil)
	for range 2 {
		var found somebody
		w.here.Well("GET", "/api/1/people/tom?"+at, token, nil, &found)
		if found != (somebody{w.tom.UID, "tom", w.there.Host}) {
			t.Errorf("%+v", found)
		}
	}
	if n := answered(t, w.there, "/.well-known/webfinger"); n != 2 {
		t.Errorf("asked %d times: a name that was found is remembered, one that was not is not", n)
	}
	w.here.Refused(protocol.CodeNotFound, "GET", "/api/1/people/Tom?"+at, token, nil) // no name
	w.here.Clock.Move(31 * time.Second)
	w.there.Well("PUT", "/api/1/settings", w.toms.Ready.Token, map[string]bool{"findable": false}, nil)
	w.here.Refused(protocol.CodeNotFound, "GET", "/api/1/people/tom?"+at, token, nil)

	// What is not there.
	nobody := w.here.Person("nobody").UID.String()
	w.here.Refused(protocol.CodeNotFound, "GET", "/api/1/chains/"+nobody+"?"+at, token, nil)
	w.here.Refused(protocol.CodeNotFound, "GET", "/api/1/ueks/"+nobody+"?"+at, token, nil)
	w.here.Refused(protocol.CodeInviteUnknown, "GET", "/api/1/invites/"+relaytest.NewID(t).String()+"?"+at, token, nil)
	w.here.Refused(protocol.CodeNotFound, "GET", "/api/1/people/nobody?"+at, token, nil)
	w.there.Stop()
	for _, path := range lookups(w.tom.UID, id) {
		w.here.Refused(protocol.CodePeerAway, "GET", path+"?"+at, token, nil)
	}
	// With the own host the calls are what they are without, for anybody.
	var own records
	w.here.Well("GET", "/api/1/chains/"+w.mei.UID.String()+"?host="+w.here.Host, "", nil, &own)
	if len(own.Records) != 1 {
		t.Errorf("%+v", own)
	}
}

// answered is how many requests a relay has answered on a route.
func answered(t *testing.T, c *relaytest.Courtyard, route string) int {
	t.Helper()
	res, err := http.Get(c.Relay.MetricsURL())
	must(t, err)
	raw, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	n := 0
	for line := range strings.Lines(string(raw)) {
		var k int
		if strings.HasPrefix(line, "courtyard_http_answers_total{") && strings.Contains(line, `route="`+route+`"`) {
			_, count, _ := strings.Cut(line, "} ")
			if _, err := fmt.Sscan(count, &k); err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}
	return n
}

func lookups(uid protocol.UID, id protocol.ID) []string {
	return []string{"/api/1/chains/" + uid.String(), "/api/1/ueks/" + uid.String(), "/api/1/invites/" + id.String(), "/api/1/people/tom"}
}

func TestWhoMayLookElsewhereAndWhere(t *testing.T) {
	t.Parallel()
	w := startTwo(t, relaytest.Options{Config: relaytest.Config{Reach: []string{"127.0.0.2/32"}}})
	token := w.meis.Ready.Token
	for _, path := range lookups(w.tom.UID, relaytest.NewID(t)) {
		w.here.Refused(protocol.CodeUnauthorized, "GET", path+"?host="+w.there.Host, "", nil)
		for _, host := range []string{"a%20b", "http://a.example", "a.example/x", "u@a.example", "2130706433", "a.example:0", "[::1"} {
			w.here.Refused(protocol.CodeBadRequest, "GET", path+"?host="+host, token, nil)
		}
		for _, host := range []string{"127.0.0.3:8787", "169.254.169.254", "10.0.0.1:8080", "[::1]:9187", "8.8.8.8:22", "[::ffff:127.0.0.2]:8787"} {
			w.here.Refused(protocol.CodeAddressRefused, "GET", path+"?host="+host, token, nil)
		}
	}
}

// The other side is whatever a stranger likes to run.
func TestAHostileCourtyardElsewhere(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei := c.Owner("mei")
	token := c.Connect(mei, mei.Phone).Ready.Token
	var (
		mu     sync.Mutex
		handle http.HandlerFunc
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		do := handle
		mu.Unlock()
		if r.Header.Get("Authorization") != "" || len(r.Cookies()) != 0 || r.Referer() != "" {
			t.Errorf("it learns %v", r.Header)
		}
		do(w, r)
	}))
	t.Cleanup(server.Close)
	host := server.Listener.Addr().String()
	tom, eve := c.Person("tom"), c.Person("eve")
	say := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text) // it may have been hung up on
		}
	}
	write := func(v any) string {
		raw, err := protocol.Marshal(v)
		must(t, err)
		return string(raw)
	}
	chain, uek := "/api/1/chains/"+tom.UID.String(), "/api/1/ueks/"+tom.UID.String()
	invite, person := "/api/1/invites/"+relaytest.NewID(t).String(), "/api/1/people/tom"
	everywhere := []string{chain, uek, invite, person}
	jrd := `{"subject":"acct:%s","properties":{"urn:courtyard:uid":"` + tom.UID.String() + `"},"links":[{"rel":"urn:courtyard:relay","href":"%s"}]}`
	flood := strings.Repeat(" ", 10<<20)
	second := *tom.Chain.Clone()
	rec, err := second.NewDeviceAdd(tom.Phone, relaytest.NewDevice(t).Device(ident.RoleAdmin, 0), c.Clock.Now().UnixMilli())
	must(t, err)
	type try struct {
		what, code string
		paths      []string
		do         http.HandlerFunc
	}
	away := protocol.CodePeerAway
	tries := []try{
		{"a redirect", protocol.CodeAddressRefused, everywhere, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+c.Host+"/api/1/relay", http.StatusTemporaryRedirect)
		}},
		{"ten megabytes", away, everywhere, say(200, `{"records":[]`+flood+`}`)},
		{"garbage", away, everywhere, say(200, "<script>alert(1)</script>")},
		{"nothing", away, everywhere, say(200, "")},
		{"other JSON", away, everywhere, say(200, `{"a":1}`)},
		{"null", away, everywhere, say(200, `null`)},
		{"a page that says 404", away, everywhere, say(404, "<h1>Not found</h1>")},
		{"a code it may not say", away, everywhere, say(403, `{"code":"not-allowed","params":{}}`)},
		{"a code that does not fit", away, everywhere, say(500, `{"code":"not-found","params":{}}`)},
		{"slow down", protocol.CodeRateLimited, everywhere, say(429, `{"code":"rate-limited","params":{"wait":2000}}`)},
		{"not there", protocol.CodeNotFound, everywhere, say(404, `{"code":"not-found","params":{}}`)},
		{"no record", away, []string{chain}, say(200, `{"records":[]}`)},
		{"another person's chain", away, []string{chain}, say(200, write(records{[]protocol.Signed{eve.Genesis}}))},
		{"a forged genesis", away, []string{chain}, say(200, write(records{[]protocol.Signed{{Payload: tom.Genesis.Payload, By: tom.Genesis.By}}}))},
		{"a chain with a hole", away, []string{chain}, say(200, write(records{[]protocol.Signed{rec}}))},
		{"a chain twice", away, []string{chain}, say(200, write(records{[]protocol.Signed{tom.Genesis, tom.Genesis}}))},
		{"somebody else's second record", away, []string{chain}, say(200, write(records{[]protocol.Signed{tom.Genesis, other(t, c, eve)}}))},
		{"from another place", away, []string{chain + "?after=3"}, say(200, write(records{[]protocol.Signed{rec}}))},
		{"another person's uek", away, []string{uek}, say(200, write(eve.UEK))},
		{"a name that is none", away, []string{invite}, say(200, `{"uid":"`+tom.UID.String()+`","username":"<b>","card":""}`)},
		{"another scheme", away, []string{person}, say(200, fmt.Sprintf(jrd, "tom@a.example", "javascript://a.example"))},
		{"a path", away, []string{person}, say(200, fmt.Sprintf(jrd, "tom@a.example", "https://a.example/evil"))},
		{"http on the net", away, []string{person}, say(200, fmt.Sprintf(jrd, "tom@a.example", "http://a.example"))},
		{"a subject that is none", away, []string{person}, say(200, fmt.Sprintf(jrd, "<b>@a.example", "https://a.example"))},
		{"a stranger of the fediverse", away, []string{person}, say(200, `{"subject":"acct:tom@a.example","links":[{"rel":"self","href":"https://a.example/users/tom"}]}`)},
		{"well", "", []string{chain}, say(200, write(records{[]protocol.Signed{tom.Genesis, rec}}))},
		{"well", "", []string{chain + "?after=0"}, say(200, write(records{[]protocol.Signed{rec}}))},
		{"well", "", []string{uek}, say(200, write(tom.UEK))},
		{"well, and more", "", []string{invite}, say(200, `{"uid":"`+tom.UID.String()+`","username":"tom","card":"AAAA","html":"<b>"}`)},
		{"well, at another place", "", []string{person}, say(200, fmt.Sprintf(jrd, "tom@a.example", "https://b.example:8443"))},
	}
	for _, v := range tries {
		mu.Lock()
		handle = v.do
		mu.Unlock()
		for _, path := range v.paths {
			mark := "?"
			if strings.Contains(path, "?") {
				mark = "&"
			}
			a := c.Call("GET", path+mark+"host="+host, token, nil)
			if a.Code != v.code || (v.code == "") != (a.Status == http.StatusOK) {
				t.Errorf("%s, %s: %d %.200s, want %s", v.what, path, a.Status, a.Body, v.code)
			}
			if strings.Contains(string(a.Body), "<") {
				t.Errorf("%s, %s: passed on %.200s", v.what, path, a.Body)
			}
			if v.code == "" && a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s, %s: %v", v.what, path, a.Header)
			}
		}
	}
	var found somebody
	c.Well("GET", person+"?host="+host, token, nil, &found)
	if found != (somebody{tom.UID, "tom", "b.example:8443"}) {
		t.Errorf("%+v", found)
	}
}

// other is the second record of p.
func other(t *testing.T, c *relaytest.Courtyard, p *relaytest.Person) protocol.Signed {
	t.Helper()
	rec, err := p.Chain.Clone().NewDeviceAdd(p.Phone, relaytest.NewDevice(t).Device(ident.RoleAdmin, 0), c.Clock.Now().UnixMilli())
	must(t, err)
	return rec
}

// A courtyard that never answers holds up only those who ask it, and not for long.
func TestAHangingCourtyardElsewhere(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the patience of the dialer, 10 s")
	}
	w := startTwo(t, relaytest.Options{})
	tim := w.here.Guest(w.meis, "tim")
	tims := w.here.Connect(tim, tim.Phone)
	asked, stop := make(chan struct{}, 64), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(stop) })
	var all sync.WaitGroup
	const many = 6
	codes := make(chan string, many)
	began := time.Now()
	for range many {
		all.Go(func() {
			a, err := w.here.Try("GET", "/api/1/ueks/"+w.tom.UID.String()+"?host="+server.Listener.Addr().String(), w.meis.Ready.Token, nil)
			if err != nil {
				t.Error(err)
			}
			codes <- a.Code
		})
	}
	for range 4 { // the most that one person may have under way
		<-asked
	}
	// Meanwhile everybody else is served.
	w.here.Well("GET", "/api/1/ueks/"+w.tom.UID.String()+"?host="+w.there.Host, tims.Ready.Token, nil, nil)
	if len(codes) != 0 {
		t.Errorf("%d ended before", len(codes))
	}
	all.Wait()
	close(codes)
	count := map[string]int{}
	for code := range codes {
		count[code]++
	}
	if count[protocol.CodePeerAway] != 4 || count[protocol.CodeRateLimited] != many-4 || len(asked) != 0 {
		t.Errorf("%v, and %d more were asked", count, len(asked))
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestOnePersonsLookupsAreLimited(t *testing.T) {
	t.Parallel()
	w := startTwo(t, relaytest.Options{})
	tim := w.here.Guest(w.meis, "tim")
	tims := w.here.Connect(tim, tim.Phone)
	path := "/api/1/ueks/" + w.tom.UID.String() + "?host=" + w.there.Host
	for asked := 0; w.here.Call("GET", path, w.meis.Ready.Token, nil).Code != protocol.CodeRateLimited; asked++ {
		if asked > 1000 {
			t.Fatal("no limit")
		}
	}
	// It is the limit of lookups elsewhere, and hers.
	w.here.Well("GET", "/api/1/people/mei", w.meis.Ready.Token, nil, nil)
	w.here.Well("GET", path, tims.Ready.Token, nil, nil)
}

// RFC 7033, for anybody: also for other software, and for pages of other origins.
func TestWebFinger(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei := c.Owner("mei")
	meis := c.Connect(mei, mei.Phone)
	tom := c.Guest(meis, "tom")
	toms := c.Connect(tom, tom.Phone)
	c.Well("PUT", "/api/1/settings", meis.Ready.Token, map[string]bool{"findable": true}, nil)
	c.Well("PUT", "/api/1/settings", toms.Ready.Token, map[string]bool{"findable": false}, nil)
	ask := func(resource string) relaytest.Answer {
		t.Helper()
		return c.Call("GET", "/.well-known/webfinger?resource="+resource, "", nil, "Origin", "https://reader.example")
	}
	want := `{"subject":"acct:mei@` + c.Host + `","properties":{"urn:courtyard:uid":"` + mei.UID.String() + `"},"links":[{"rel":"urn:courtyard:relay","href":"http://` + c.Host + `"}]}`
	a := ask("acct:mei@" + c.Host)
	if a.Status != http.StatusOK || string(a.Body) != want || a.Header.Get("Content-Type") != "application/jrd+json" || a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v %s, want %s", a.Status, a.Header, a.Body, want)
	}
	if b := ask("acct%3AMei%40" + strings.Replace(c.Host, "127.0.0.1", "localhost", 1)); string(b.Body) != want {
		t.Errorf("another spelling: %s", b.Body)
	}
	// Private, unknown, and at another courtyard: one answer.
	first := ask("acct:tom@" + c.Host)
	for _, name := range []string{"nobody@" + c.Host, "mei@a.example", "mei@127.0.0.1", "tom@a.example"} {
		b := ask("acct:" + name)
		if b.Status != http.StatusNotFound || b.Code != protocol.CodeNotFound || string(b.Body) != string(first.Body) || b.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", name, b.Status, b.Body)
		}
	}
	for _, text := range []string{"", "mei@" + c.Host, "acct:mei", "https://" + c.Host + "/@mei", "acct:mei@" + c.Host + "/x", "acct:@"} {
		if b := ask(text); b.Code != protocol.CodeBadRequest {
			t.Errorf("%s: %d %s", text, b.Status, b.Body)
		}
	}
	asked := 13
	for ; ask("acct:mei@"+c.Host).Status == http.StatusOK; asked++ {
		if asked > 40 {
			t.Fatal("no limit")
		}
	}
	if asked < 30 {
		t.Errorf("refused after %d", asked)
	}
	c.Refused(protocol.CodeRateLimited, "GET", "/.well-known/webfinger?resource=acct:mei@"+c.Host, "", nil)
}
