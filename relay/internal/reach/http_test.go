package reach_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"crypto/tls"
	"crypto/x509"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
)

func TestBase(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"A.Example": "https://a.example", "a.example:443": "https://a.example", "a.example:8443": "https://a.example:8443", "93.184.216.34": "https://93.184.216.34",
		"[2A00:0::1]:8443": "https://[2a00::1]:8443", "localhost:8787": "http://localhost:8787", "127.0.0.2:8787": "http://127.0.0.2:8787",
		"[::1]:8787": "http://[::1]:8787", "localhost": "http://localhost:443", "[::1]": "http://[::1]:443", "10.0.0.1:8787": "https://10.0.0.1:8787",
		"localhost.example": "https://localhost.example",
		"":                  "", "a b": "", "a.example/x": "", "u@a.example": "", "2130706433": "", "a.example:0": "", "a.example?": "", "a.example#b": "", "::1": "",
	} {
		got, err := reach.Base(host)
		if got != want || (want == "") != (protocol.CodeOf(err) == protocol.CodeBadRequest) {
			t.Errorf("%q: %q %v, want %q", host, got, err, want)
		}
	}
}

// machine is a server of this machine, a world that leads to it, and what it was asked.
type machine struct {
	*world
	server *httptest.Server
	asked  atomic.Int32
	host   string
}

func serve(t *testing.T, handle http.HandlerFunc) *machine {
	m := &machine{world: &world{}}
	m.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		handle(w, r)
	}))
	t.Cleanup(m.server.Close)
	m.host = m.server.Listener.Addr().String()
	m.dial = (&net.Dialer{}).DialContext
	return m
}

const loopback = "127.0.0.0/8"

func TestGet(t *testing.T) {
	t.Parallel()
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/a?b=c" || r.Header.Get("Accept") != "application/json" || len(r.Cookies()) != 0 || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		_, err := io.WriteString(w, `{"a":1}`)
		if err != nil {
			t.Error(err)
		}
	})
	d := m.dialer(t, loopback)
	for range 2 { // the second time without the cookie
		a, err := d.Get(t.Context(), m.host, "/a?b=c", "application/json", 7)
		if err != nil || a.Status != http.StatusTeapot || string(a.Body) != `{"a":1}` || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%+v %v", a, err)
		}
	}
	if len(m.dialled) != 1 {
		t.Errorf("dialled %v: the connection is for both", m.dialled)
	}
	if _, err := d.Get(t.Context(), m.host, "/a?b=c", "application/json", 6); protocol.CodeOf(err) != protocol.CodePeerAway {
		t.Errorf("beyond the bound: %v", err)
	}
	if _, err := d.Get(t.Context(), "a b", "/", "", 6); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Errorf("no host: %v", err)
	}
	if _, err := m.dialer(t).Get(t.Context(), m.host, "/a?b=c", "application/json", 7); protocol.CodeOf(err) != protocol.CodeAddressRefused {
		t.Errorf("not named: %v", err)
	}
	if m.asked.Load() != 3 {
		t.Errorf("asked %d times", m.asked.Load())
	}
}

func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	inner := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	stop := make(chan struct{})
	flood := strings.Repeat("x", 64<<10)
	for name, v := range map[string]struct {
		code   string
		handle http.HandlerFunc
	}{
		"a redirect inside": {protocol.CodeAddressRefused, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+inner.host+"/", http.StatusFound)
		}},
		"a redirect to a file": {protocol.CodeAddressRefused, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusPermanentRedirect)
		}},
		"a redirect to nowhere": {protocol.CodeAddressRefused, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(301) }},
		"ten megabytes": {protocol.CodePeerAway, func(w http.ResponseWriter, _ *http.Request) {
			for range 160 {
				if _, err := io.WriteString(w, flood); err != nil {
					return // it was hung up on
				}
			}
		}},
		"a length that is a lie": {protocol.CodePeerAway, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "900")
			w.WriteHeader(200)
		}},
		"a long head": {protocol.CodePeerAway, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", flood)
			w.WriteHeader(200)
		}},
		"a body that never ends": {protocol.CodePeerAway, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		}},
		"no answer": {protocol.CodePeerAway, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		}},
		"a slap": {protocol.CodePeerAway, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := serve(t, v.handle)
			began := time.Now()
			a, err := m.dialer(t, loopback).Get(t.Context(), m.host, "/", "application/json", 1000)
			if protocol.CodeOf(err) != v.code {
				t.Errorf("%+v %v", a, err)
			}
			if took := time.Since(began); took > 30*time.Second { // patience is two; the rest is a busy machine's
				t.Errorf("took %v", took)
			}
		})
	}
	t.Cleanup(func() { close(stop) })
}

func TestSchemes(t *testing.T) {
	t.Parallel()
	w := &world{names: map[string][]string{"a.example": {"93.184.216.34"}}}
	d := w.dialer(t, loopback)
	for _, url := range []string{"http://a.example/", "http://a.example:8080/", "http://93.184.216.34:8080/", "ftp://a.example/", "file:///etc/passwd", "http://10.0.0.1:8080/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := d.Client().Do(r)
		if protocol.CodeOf(err) != protocol.CodeAddressRefused {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil {
			res.Body.Close() //nolint:errcheck // it should not have come
		}
	}
	if len(w.dialled) != 0 {
		t.Errorf("dialled %v", w.dialled)
	}
}

// Between courtyards on the net: the certificate must be the name's.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	at := server.Listener.Addr().String()
	for name, want := range map[string]string{"example.com": "", "other.test": protocol.CodePeerAway} { // httptest's certificate is for example.com
		w := &world{names: map[string][]string{name: {"93.184.216.34"}}}
		d := reach.New(reach.Config{Resolver: w, Roots: roots, Counts: w, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "93.184.216.34:443" {
				t.Errorf("dialled %s", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, at)
		}})
		t.Cleanup(d.Close)
		a, err := d.Get(t.Context(), name, "/", "*/*", 10)
		if protocol.CodeOf(err) != want || err == nil && a.Status != http.StatusNoContent {
			t.Errorf("%s: %+v %v", name, a, err)
		}
	}
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = nil
	old.StartTLS()
	t.Cleanup(old.Close)
	w := &world{names: map[string][]string{"example.com": {"93.184.216.34"}}}
	w.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, old.Listener.Addr().String())
	}
	d := reach.New(reach.Config{Resolver: w, Roots: roots, Counts: w, Dial: w.Dial})
	t.Cleanup(d.Close)
	if a, err := d.Get(t.Context(), "example.com", "/", "*/*", 100); protocol.CodeOf(err) != protocol.CodePeerAway {
		t.Errorf("TLS 1.1: %+v %v", a, err)
	}
}

func TestWebsocketsGoThroughIt(t *testing.T) {
	t.Parallel()
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow() //nolint:errcheck // the other side is gone
		kind, said, err := conn.Read(r.Context())
		if err == nil {
			err = conn.Write(r.Context(), kind, said)
		}
		if err != nil {
			t.Error(err)
		}
		conn.CloseRead(r.Context())
	})
	base, err := reach.Base(m.host)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		named []string
		code  string
	}{{[]string{loopback}, ""}, {nil, protocol.CodeAddressRefused}} {
		conn, _, err := websocket.Dial(t.Context(), base+"/api/1/link", &websocket.DialOptions{HTTPClient: m.dialer(t, v.named...).Client()})
		if protocol.CodeOf(err) != v.code {
			t.Errorf("%v: %v", v.named, err)
		}
		if err != nil {
			continue
		}
		if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Error(err)
		}
		if _, said, err := conn.Read(t.Context()); string(said) != "hello" {
			t.Errorf("%s %v", said, err)
		}
		if err := conn.CloseNow(); err != nil {
			t.Error(err)
		}
	}
}
