package lan_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/homedb/internal/lan"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visit is a browser in front of a home's page.
type visit struct {
	*testing.T
	server  *httptest.Server
	browser *http.Client
	refused map[string]int
}

func open(t *testing.T, h lan.Household) *visit {
	t.Helper()
	v := &visit{T: t, refused: map[string]int{}}
	page, err := lan.New(h, []string{"my-nas.lan"}, rand.Reader, slog.New(slog.DiscardHandler), func(reason string) { v.refused[reason]++ })
	if err != nil {
		t.Fatal(err)
	}
	v.server = httptest.NewUnstartedServer(page)
	v.server.Listener = lan.Bounded(v.server.Listener)
	v.server.Start()
	t.Cleanup(v.server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v.browser = v.server.Client()
	v.browser.Jar = jar
	v.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return v
}

// asks sends a request with changes and returns status, headers and page.
func (v *visit) asks(method, path string, form url.Values, changes ...func(*http.Request)) (int, http.Header, string) {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), method, v.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", v.server.URL)
	}
	for _, change := range changes {
		change(r)
	}
	answer, err := v.browser.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		v.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(raw)
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (v *visit) token() string {
	v.Helper()
	_, _, page := v.asks("GET", "/", nil)
	m := tokenField.FindStringSubmatch(page)
	if m == nil {
		v.Fatalf("no token in %s", page)
	}
	return m[1]
}

// quiet is a household of nobody that notes what it is asked.
type quiet struct {
	people []household.Person
	offer  *household.Offer
	asked  []string
}

func (q *quiet) Residents() []household.Person { return q.people }
func (q *quiet) Offered() *household.Offer     { return q.offer }
func (q *quiet) Stage(protocol.ID) household.Stage {
	return household.Waiting
}
func (q *quiet) Ask(code string) (*household.Attempt, error) {
	q.asked = append(q.asked, code)
	return &household.Attempt{ID: [16]byte{1}}, nil
}

func host(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestOnlyByItsOwnNames(t *testing.T) {
	v := open(t, &quiet{})
	_, port, err := net.SplitHostPort(v.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "192.168.1.7", "[::1]", "[fe80::1]", "localhost", "LOCALHOST", "nas.local", "nas.local.", "my-nas.lan"} {
		if status, _, _ := v.asks("GET", "/", nil, host(name+":"+port)); status != http.StatusOK {
			t.Errorf("%s: %d", name, status)
		}
	}
	for _, name := range []string{"evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "nas.local.evil.example", ".local", "nas", "my-nas.lan.evil.example", "xlocalhost", "0x7f000001", "127.1"} {
		for _, method := range []string{"GET", "POST"} {
			if status, _, page := v.asks(method, "/", nil, host(name+":"+port)); status != http.StatusMisdirectedRequest || strings.Contains(page, "<form") {
				t.Errorf("%s %s: %d", method, name, status)
			}
		}
	}
	if v.refused["host"] != 20 {
		t.Errorf("counted %v", v.refused)
	}
}

func TestFormsOfOtherSites(t *testing.T) {
	q := &quiet{}
	v := open(t, q)
	token := v.token()
	form := url.Values{"code": {"c"}, "token": {token}}
	for name, test := range map[string]struct {
		form   url.Values
		change func(*http.Request)
	}{
		"foreign origin":    {form, header("Origin", "http://evil.example")},
		"no origin":         {form, func(r *http.Request) { r.Header.Del("Origin") }},
		"null origin":       {form, header("Origin", "null")},
		"another port":      {form, header("Origin", "http://127.0.0.1:1")},
		"no token":          {url.Values{"code": {"c"}}, func(*http.Request) {}},
		"another's token":   {url.Values{"code": {"c"}, "token": {strings.Repeat("A", 43)}}, func(*http.Request) {}},
		"another's cookie":  {form, header("Cookie", "courtyard-home=AAAAAAAAAAAAAAAAAAAAAA")},
		"rebinding as well": {form, func(r *http.Request) { r.Host = "evil.example"; r.Header.Set("Origin", "http://evil.example") }},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, _ := v.asks("POST", "/pair", test.form, test.change); status != http.StatusForbidden && status != http.StatusMisdirectedRequest {
				t.Errorf("status %d", status)
			}
		})
	}
	if status, _, _ := v.asks("POST", "/pair", url.Values{"code": {strings.Repeat("x", 8<<10)}, "token": {token}}); status != http.StatusBadRequest {
		t.Errorf("a huge form: %d", status)
	}
	if status, _, _ := v.asks("GET", "/pair", nil); status != http.StatusNotFound {
		t.Errorf("GET /pair: %d", status)
	}
	for _, path := range []string{"/people", "/../etc/passwd", "/%2e%2e/", "/pair/x"} {
		if status, _, _ := v.asks("GET", path, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if len(q.asked) != 0 {
		t.Fatalf("asked for %v", q.asked)
	}
	status, h, _ := v.asks("POST", "/pair", form)
	if status != http.StatusSeeOther || !strings.HasPrefix(h.Get("Location"), "/?attempt=") || len(q.asked) != 1 {
		t.Errorf("the page's own form: %d %v", status, h)
	}
}

func TestThePage(t *testing.T) {
	code, err := handshake.NewCode(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	q := &quiet{offer: &household.Offer{Code: code, Place: gate.Place{Host: "courtyard.example", Secure: true}}}
	v := open(t, q)
	_, h, page := v.asks("GET", "/", nil)
	if link := "https://courtyard.example/app/#pair.courtyard.example/" + code.Text(); !strings.Contains(page, `href="`+link+`"`) {
		t.Errorf("no link %s in %s", link, page)
	}
	if !strings.Contains(page, "<h2>Or enter a code</h2>") {
		t.Error("beside the link the code is not said to be the other way")
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "{{") {
		t.Error("a script, or a hole")
	}
	policy := h.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("policy %q lacks %q", policy, part)
		}
	}
	if c := h.Get("Set-Cookie"); c != "" && (!strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict")) {
		t.Errorf("cookie %q", c)
	}
	for language, want := range map[string]string{
		"": `lang="en"`, "fr, en;q=0.5": `lang="en"`, "zh-TW,zh;q=0.9": `lang="zh-Hant"`, "zh-CN": `lang="zh-Hans"`, "zh": `lang="zh-Hans"`,
		"en;q=0.1, zh-Hant-HK;q=0.8": `lang="zh-Hant"`, "zh-HK;q=0": `lang="en"`, "xx;q=nonsense": `lang="en"`,
	} {
		if _, _, page := v.asks("GET", "/", nil, header("Accept-Language", language)); !strings.Contains(page, want) {
			t.Errorf("%q: not %s", language, want)
		}
	}
	// Once somebody is here the page offers no code, and still names nobody.
	q.people = []household.Person{{Username: "wei-the-secret", Host: "courtyard.example"}}
	_, _, page = v.asks("GET", "/", nil)
	if strings.Contains(page, "#pair.") || strings.Contains(page, "wei-the-secret") || strings.Contains(page, "courtyard.example") {
		t.Errorf("the page says too much: %s", page)
	}
	if !strings.Contains(page, "<h2>Enter a code</h2>") {
		t.Error("the only way is said to be another one")
	}
	if !strings.Contains(page, "looks after one person") {
		t.Error("the page does not say how it is")
	}
}

// TestByThePage plays the whole story with a real household: the first person
// comes by the page's own code, the second only with consent.
func TestByThePage(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home()
	v := open(t, home.Household)
	home.Offer()
	_, _, page := v.asks("GET", "/", nil)
	m := regexp.MustCompile(`#pair\.([^/"]+/[0-9A-Z-]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal(page)
	}
	_, code, err := handshake.ParsePairing(m[1])
	if err != nil {
		t.Fatal(err)
	}
	wei.Approves(code)
	wei.TakenOver(home)
	form := func(text string) url.Values { return url.Values{"code": {text}, "token": {v.token()}} }
	if status, _, page := v.asks("POST", "/pair", form("nonsense")); status != http.StatusUnprocessableEntity || !strings.Contains(page, "That is not a code") {
		t.Errorf("nonsense: %d", status)
	}
	next, err := handshake.NewCode(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	status, h, _ := v.asks("POST", "/pair", form(" http://"+handshake.PairingText(c.Place.Host, next)+" "))
	if status != http.StatusSeeOther {
		t.Fatalf("status %d", status)
	}
	if _, _, page := v.asks("GET", h.Get("Location"), nil); !strings.Contains(page, "Waiting for a yes") {
		t.Error("the page does not say what it waits for")
	}
	log := wei.Links()
	var asks struct{ Asks []struct{ ID string } }
	if err := log.Asks("asks", nil, &asks); err != nil || len(asks.Asks) != 1 {
		t.Fatal(asks, err)
	}
	if err := log.Asks("allow", map[string]any{"id": asks.Asks[0].ID, "yes": true}, nil); err != nil {
		t.Fatal(err)
	}
	mei.Approves(next)
	mei.TakenOver(home)
	hometest.Until(t, "the page says so", func() bool {
		_, _, page := v.asks("GET", h.Get("Location"), nil)
		return strings.Contains(page, "Connected. You can close this page.")
	})
	// Guests cannot fill the household's ears.
	for range 5 {
		another, err := handshake.NewCode(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, _ := v.asks("POST", "/pair", form(handshake.PairingText(c.Place.Host, another))); status != http.StatusSeeOther {
			t.Fatalf("status %d", status)
		}
	}
	if status, _, page := v.asks("POST", "/pair", form(handshake.PairingText(c.Place.Host, next))); status != http.StatusUnprocessableEntity || !strings.Contains(page, "try again in ten minutes") {
		t.Errorf("a sixth: %d", status)
	}
}

// TestEveryLanguageIsComplete: no word may be missing in one of them.
func TestEveryLanguageIsComplete(t *testing.T) {
	for _, language := range []string{"en", "zh-CN", "zh-TW"} {
		w := reflect.ValueOf(lan.Speak(language))
		for i := range w.NumField() {
			if f := w.Field(i); f.Kind() == reflect.String && f.String() == "" {
				t.Errorf("%s lacks %s", language, w.Type().Field(i).Name)
			}
		}
		for _, stage := range []household.Stage{household.Waiting, household.Begun, household.Paired, household.Refused, household.Used, household.TimedOut,
			household.Failed, household.Asking, household.Declined} {
			if lan.Speak(language).Stages[stage] == "" {
				t.Errorf("%s lacks %s", language, stage)
			}
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"", "zh-TW,zh;q=0.9,en;q=0.1", ";;q=", strings.Repeat("zh,", 1000)} {
		f.Add(s, "localhost:1")
	}
	page, err := lan.New(&quiet{}, nil, rand.Reader, slog.New(slog.DiscardHandler), func(string) {})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, language, host string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", language)
		r.Host = host
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		if w.Code == http.StatusOK && !regexp.MustCompile(`<html lang="(en|zh-Hans|zh-Hant)">`).MatchString(w.Body.String()) {
			t.Error(fmt.Sprint("no language for ", language))
		}
	})
}
