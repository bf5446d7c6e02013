package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/courtyard-social/courtyard/relay/internal/web"
)

var script = strings.Repeat("console.log('courtyard');\n", 200)

func site(t *testing.T) *web.Site {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, "packed by the build"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := web.New(fstest.MapFS{
		"index.html":               {Data: []byte("<!doctype html><script src=/app/assets/app-1234.js></script>")},
		"sw.js":                    {Data: []byte("self.x = 1")},
		"manifest.webmanifest":     {Data: []byte("{}")},
		"assets/app-1234.js":       {Data: []byte(script)},
		"assets/other-5678.css":    {Data: []byte(strings.Repeat("a{color:red}", 200))},
		"assets/other-5678.css.gz": {Data: packed.Bytes()},
		"icon.png":                 {Data: bytes.Repeat([]byte{1, 2, 3}, 1000)},
		".keep":                    {},
	}, true, []string{"courtyard.example"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(s http.Handler, path string, headers ...string) *http.Response {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func TestAssets(t *testing.T) {
	s := site(t)
	for path, want := range map[string]struct {
		status      int
		kind, cache string
	}{
		"/app/":                         {200, "text/html; charset=utf-8", "no-cache"},
		"/app":                          {200, "text/html; charset=utf-8", "no-cache"},
		"/app/chats/abc":                {200, "text/html; charset=utf-8", "no-cache"},
		"/i/claim":                      {200, "text/html; charset=utf-8", "no-cache"},
		"/app/assets/app-1234.js":       {200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		"/app/assets/other-5678.css":    {200, "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
		"/app/sw.js":                    {200, "text/javascript; charset=utf-8", "no-cache"},
		"/app/manifest.webmanifest":     {200, "application/manifest+json", "no-cache"},
		"/app/icon.png":                 {200, "image/png", "no-cache"},
		"/app/assets/gone-0000.js":      {404, "", ""},
		"/app/gone.js":                  {404, "", ""},
		"/app/.keep":                    {404, "", ""},
		"/app/assets/other-5678.css.gz": {404, "", ""},
	} {
		res := get(s, path)
		if res.StatusCode != want.status {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		if want.status == 200 && (res.Header.Get("Content-Type") != want.kind || res.Header.Get("Cache-Control") != want.cache || res.Header.Get("ETag") == "") {
			t.Errorf("%s: %v", path, res.Header)
		}
	}
	if got := get(s, "/app/sw.js").Header.Get("Service-Worker-Allowed"); got != "/app/" {
		t.Error("service worker allowed for", got)
	}
	if got := get(s, "/app/").Header.Get("Content-Security-Policy"); !strings.Contains(got, "connect-src 'self' ws://courtyard.example wss://courtyard.example;") {
		t.Error(got)
	}
}

func TestGzipAndETags(t *testing.T) {
	s := site(t)
	res := get(s, "/app/assets/app-1234.js", "Accept-Encoding", "br, gzip;q=0.8")
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatal(res.Header)
	}
	unpacked, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(unpacked); err != nil || string(text) != script {
		t.Fatal(err)
	}
	for _, refused := range []string{"", "br", "gzip;q=0", "gzip; q=0.0", "xgzip"} {
		res := get(s, "/app/assets/app-1234.js", "Accept-Encoding", refused)
		if text, err := io.ReadAll(res.Body); err != nil || string(text) != script || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q: %v", refused, res.Header)
		}
	}
	res = get(s, "/app/assets/other-5678.css", "Accept-Encoding", "gzip")
	if unpacked, err = gzip.NewReader(res.Body); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(unpacked); err != nil || string(text) != "packed by the build" {
		t.Fatalf("%q %v", text, err)
	}
	if res := get(s, "/app/icon.png", "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") != "" {
		t.Error("a picture is packed again")
	}
	tag := get(s, "/app/").Header.Get("ETag")
	if res := get(s, "/app/", "If-None-Match", tag); res.StatusCode != 304 {
		t.Error(res.StatusCode)
	}
	if res := get(s, "/app/", "If-None-Match", `"another"`); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
}

func TestWithoutAnAppAPageSaysHowToBuildIt(t *testing.T) {
	s, err := web.New(fstest.MapFS{".keep": {}}, false, []string{"courtyard.example"})
	if err != nil {
		t.Fatal(err)
	}
	res := get(s, "/app/")
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "scripts/build") || res.StatusCode != 200 {
		t.Fatal(res.StatusCode, err)
	}
}

// TestAPersonGetsWords: whoever opens an address in a browser reads a page, with
// the headers of every page; a program does not.
func TestAPersonGetsWords(t *testing.T) {
	s := site(t)
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for status, words := range map[int]string{
		400: "There is nothing at this address", 404: "這個網址沒有內容", 429: "Wait a minute", 500: "院子出了点小事故", 503: "had a mishap",
	} {
		r := httptest.NewRequest("GET", "/i/%3Cb%3E", nil)
		r.Header.Set("Accept", browser)
		w := httptest.NewRecorder()
		if !s.Lost(w, r, status) || w.Code != status || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d: %d %v", status, w.Code, w.Header())
		}
		if w.Header().Get("Content-Security-Policy") != get(s, "/app/").Header.Get("Content-Security-Policy") || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%d: not the headers of a page: %v", status, w.Header())
		}
		if text := w.Body.String(); !strings.Contains(text, words) || strings.Contains(text, "<b>") || strings.Contains(text, "{{") {
			t.Errorf("%d: %s", status, text)
		}
	}
	for _, not := range []*http.Request{
		httptest.NewRequest("GET", "/nonsense", nil), httptest.NewRequest("POST", "/nonsense", nil), httptest.NewRequest("GET", "/api/1/nonsense", nil),
	} {
		if not.Method != "GET" || not.URL.Path != "/nonsense" {
			not.Header.Set("Accept", browser)
		}
		if w := httptest.NewRecorder(); s.Lost(w, not, 404) || w.Body.Len() > 0 {
			t.Errorf("%s %s got a page", not.Method, not.URL)
		}
	}
	if res := get(s, "/app/gone.js", "Accept", browser); res.StatusCode != 404 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Error(res.StatusCode, res.Header)
	}
	r := httptest.NewRequest("HEAD", "/nonsense", nil)
	r.Header.Set("Accept", browser)
	if w := httptest.NewRecorder(); !s.Lost(w, r, 404) || w.Code != 404 || w.Body.Len() != 0 {
		t.Error("HEAD", w.Code, w.Body)
	}
}
