package relay_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

func TestForeignOriginsChangeNothing(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{Config: relaytest.Config{AllowOrigin: []string{"https://app.example"}}})
	token := c.ClaimToken()
	app := c.Person("mei").Application(nil, &token)
	for _, origin := range []string{"https://evil.example", "null", "http://127.0.0.1:9", "https://app.example.evil", "http://" + c.Host + "@evil.example"} {
		a := c.Refused(protocol.CodeOrigin, "POST", "/api/1/join", "", app, "Origin", origin)
		if a.Status != 403 || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Error(origin, a.Status, a.Header)
		}
		c.Refused(protocol.CodeOrigin, "OPTIONS", "/api/1/join", "", nil, "Origin", origin, "Access-Control-Request-Method", "POST")
		// Reading is for the browser to refuse, and it sees no permission.
		if a := c.Call("GET", "/api/1/relay", "", nil, "Origin", origin); a.Status != 200 || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Error(origin, a.Status)
		}
	}
	a := c.Call("OPTIONS", "/api/1/join", "", nil, "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
	if a.Status != 204 || a.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Error(a.Status, a.Header)
	}
	if a.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed across origins")
	}
	c.Well("POST", "/api/1/join", "", app, nil)
	for _, path := range []string{"/api/1/relay", "/app/", "/i/claim"} {
		if got := c.Call("GET", path, "", nil).Header.Get("Set-Cookie"); got != "" {
			t.Error(path, "sets a cookie:", got)
		}
	}
}

func TestFormsOfAnotherSiteAreRefused(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "", "text/json", "application/jsonx"} {
		for _, path := range []string{"/api/1/join", "/api/1/chains/" + protocol.UID{}.String(), "/api/1/pair/" + protocol.ID{}.String() + "/a1"} {
			method := "POST"
			if strings.Contains(path, "pair") {
				method = "PUT"
			}
			req, err := http.NewRequest(method, c.URL+path, strings.NewReader(`{"username":"mei"}`))
			must(t, err)
			req.Header.Set("Content-Type", kind)
			res, err := http.DefaultClient.Do(req)
			must(t, err)
			raw, err := io.ReadAll(res.Body)
			must(t, err)
			must(t, res.Body.Close())
			if res.StatusCode != 400 || !bytes.Contains(raw, []byte(protocol.CodeBadRequest)) {
				t.Errorf("%s as %q: %d %s", path, kind, res.StatusCode, raw)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestNobodyIsShownJSON: what a browser opens is a page of words, with the right
// status; the interface answers as it always does.
func TestNobodyIsShownJSON(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for path, status := range map[string]int{
		"/i/%ff": 400, "/i/" + strings.Repeat("a", 2000): 400, "/nonsense": 404, "/app//x": 400, "/app/..%2f": 400, "/i": 404, "/app/gone.js": 404,
	} {
		a := c.Call("GET", path, "", nil, "Accept", browser)
		if a.Status != status || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || !bytes.Contains(a.Body, []byte("There is nothing at this address")) {
			t.Errorf("%.20s: %d %s %s", path, a.Status, a.Header.Get("Content-Type"), a.Body)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%.20s: %s %q", path, name, got)
			}
		}
		if got := a.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; script-src 'self'") {
			t.Errorf("%.20s: policy %q", path, got)
		}
	}
	for _, path := range []string{"/api/1/nonsense", "/api/1/invites/%ff"} {
		if a := c.Call("GET", path, "", nil, "Accept", browser); a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
	if a := c.Call("GET", "/nonsense", "", nil); a.Status != 404 || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Error("a program got a page:", a.Header)
	}
}

// raw speaks HTTP/1.1 by hand, as no client library would.
func raw(t *testing.T, c *relaytest.Courtyard, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", c.Host)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, request)
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	return res
}

func TestCrookedPathsLeadNowhere(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	for _, path := range []string{
		"/app/../api/1/relay", "/app/..%2fapi", "//api/1/relay", "/api//1/relay", "/api/1/./relay", "/api/1/%72elay%2f", "/app/%2e%2e/%2e%2e/etc/passwd",
		"/app/..\\..\\etc", "/app/%5c..%5cetc", "/app/\x7f", "/app/%00", "/app/%0d%0aSet-Cookie:x", "/api/1/relay/..", "/app/....//etc", "/app/%c0%ae%c0%ae/x",
		"http://evil.example//api", "/" + strings.Repeat("a", 2000),
	} {
		res := raw(t, c, "GET "+path+" HTTP/1.1\r\nHost: "+c.Host+"\r\n\r\n")
		body, err := io.ReadAll(res.Body)
		must(t, err)
		if res.StatusCode != 400 || bytes.Contains(body, []byte("root:")) || res.Header.Get("Location") != "" {
			t.Errorf("%q: %d %s", path, res.StatusCode, body)
		}
	}
	for _, path := range []string{"/.git/config", "/etc/passwd", "/api/1", "/api/2/relay", "/api/1/relay/", "/metrics", "/debug/pprof", "/app.js", "/evil.example/"} {
		res := raw(t, c, "GET "+path+" HTTP/1.1\r\nHost: "+c.Host+"\r\n\r\n")
		if res.StatusCode != 404 {
			t.Errorf("%q: %d", path, res.StatusCode)
		}
	}
	if a := c.Call("DELETE", "/api/1/relay", "", nil); a.Status != 405 {
		t.Error(a.Status)
	}
	if a := c.Call("TRACE", "/api/1/relay", "", nil); a.Status != 405 {
		t.Error(a.Status)
	}
}

func TestWhatIsTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	// Announced too large, and not announced at all.
	res := raw(t, c, "POST /api/1/join HTTP/1.1\r\nHost: "+c.Host+"\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n{")
	if res.StatusCode != 413 {
		t.Fatal(res.StatusCode)
	}
	body := strings.Repeat("x", 1<<20)
	res = raw(t, c, "POST /api/1/join HTTP/1.1\r\nHost: "+c.Host+"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body))
	if res.StatusCode != 413 {
		t.Fatal(res.StatusCode)
	}
	res = raw(t, c, "GET /api/1/relay HTTP/1.1\r\nHost: "+c.Host+"\r\nX-Long: "+strings.Repeat("x", 30<<10)+"\r\n\r\n")
	if res.StatusCode != 431 {
		t.Fatal(res.StatusCode)
	}
	// A depth bomb, a duplicate key, and numbers that are none.
	for _, body := range []string{strings.Repeat(`{"a":`, 100_000), `{"username":"a","username":"b"}`, `{"username":1}`, `[]`, ``, `{"username":"mei"}x`} {
		a := raw(t, c, fmt.Sprintf("POST /api/1/join HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", c.Host, len(body), body))
		if a.StatusCode != 400 && a.StatusCode != 413 {
			t.Errorf("%.40q: %d", body, a.StatusCode)
		}
	}
}

func TestSlowClientsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the relay's patience of 10 and 20 seconds to end")
	}
	c := relaytest.Start(t, relaytest.Options{})
	ended := make(chan string, 2)
	for what, begin := range map[string]string{
		"header": "POST /api/1/join HTTP/1.1\r\nHost: " + c.Host + "\r\n",
		"body":   "POST /api/1/join HTTP/1.1\r\nHost: " + c.Host + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
	} {
		conn, err := net.Dial("tcp", c.Host)
		must(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, begin)
		must(t, err)
		go func() {
			err := conn.SetReadDeadline(time.Now().Add(40 * time.Second))
			if err == nil {
				_, err = io.Copy(io.Discard, conn)
			}
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Error(what, err)
			}
			ended <- what
		}()
	}
	<-ended
	<-ended
}

func TestForwardedAddressesAreBelievedOnlyFromTheProxy(t *testing.T) {
	t.Parallel()
	ask := func(c *relaytest.Courtyard, from string) int {
		return c.Call("GET", "/api/1/names/mei", "", nil, "X-Forwarded-For", from).Status
	}
	direct := relaytest.Start(t, relaytest.Options{})
	for i := range 30 {
		ask(direct, fmt.Sprintf("198.51.100.%d", i))
	}
	if got := ask(direct, "198.51.100.200"); got != 429 {
		t.Fatal("a client chose its own address:", got)
	}
	proxied := relaytest.Start(t, relaytest.Options{Config: relaytest.Config{TrustProxy: []string{"127.0.0.0/8"}}})
	for range 30 {
		ask(proxied, "198.51.100.1")
	}
	if got := ask(proxied, "198.51.100.1"); got != 429 {
		t.Fatal(got)
	}
	if got := ask(proxied, "10.1.1.1, 198.51.100.1"); got != 429 { // what the client claims further left counts nothing
		t.Fatal(got)
	}
	if got := ask(proxied, "198.51.100.2"); got != 200 {
		t.Fatal(got)
	}
	// A /64 is one address.
	for i := range 30 {
		ask(proxied, fmt.Sprintf("2001:db8:1:2::%x", i))
	}
	if got := ask(proxied, "2001:db8:1:2:ffff::1"); got != 429 {
		t.Fatal(got)
	}
	if got := ask(proxied, "2001:db8:1:3::1"); got != 200 {
		t.Fatal(got)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	if a := c.Call("GET", "/", "", nil); a.Status != 302 || a.Header.Get("Location") != "/app/" {
		t.Fatal(a.Status, a.Header)
	}
	for _, path := range []string{"/app/", "/app/chats/x", "/i/claim", "/i/abc"} {
		a := c.Call("GET", path, "", nil)
		if a.Status != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			t.Error(path, a.Status, a.Header)
		}
		policy := a.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "ws://" + c.Host} {
			if !strings.Contains(policy, want) {
				t.Error(path, "policy lacks", want)
			}
		}
		if strings.Contains(policy, "unsafe-inline") && !strings.Contains(policy, "style-src-attr 'unsafe-inline'") {
			t.Error("inline allowed:", policy)
		}
	}
}

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 40)
	c := relaytest.Start(t, relaytest.Options{Config: relaytest.Config{Metrics: "127.0.0.1:0", ReserveMiB: 64}, Free: func() (int64, error) { return free.Load(), nil }})
	mei := c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	c.Well("GET", "/api/1/health", "", nil, nil)
	phone.Sends(c.Envelope(mei, mei, protocol.TypeChat, 10))
	c.Clock.Move(2 * time.Second) // an answer of the file system is believed for one
	free.Store(10 << 20)
	phone.IsRefused(protocol.CodeRelayFull, c.Envelope(mei, mei, protocol.TypeChat, 10))
	c.Refused(protocol.CodeRelayFull, "GET", "/api/1/health", "", nil)
	res, err := http.Get(c.Relay.MetricsURL())
	must(t, err)
	text, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	for _, want := range []string{`courtyard_refused_total{code="relay-full"} 2`, "courtyard_sockets 1", `courtyard_refused_total{code="origin"} 0`, "courtyard_commit_jobs_total"} {
		if !strings.Contains(string(text), want) {
			t.Error("metrics lack", want)
		}
	}
	for _, secret := range []string{"mei", mei.UID.String(), "127.0.0.1", phone.Ready.Token} {
		if strings.Contains(string(text), secret) {
			t.Error("metrics tell", secret)
		}
		if secret != "127.0.0.1" && strings.Contains(c.Log.String(), secret) {
			t.Error("the log tells", secret)
		}
	}
}
