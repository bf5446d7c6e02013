// Package web serves the app: one page for /app/ and /i/…, and its assets, with
// headers that let nothing but the relay's own files run; and a few words for a
// person who came to an address where nothing is.
//
// It must never serve what a user has written, never name a third party, and
// never see what follows a # in an address.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/courtyard-social/courtyard/protocol"
)

// asset is a file of the app, kept ready in memory.
type asset struct {
	kind  string
	etag  string
	cache string
	plain []byte
	gzip  func() []byte // nil if it would not be smaller; made when it is first asked for
}

// Site is an http.Handler for the app's pages.
type Site struct {
	assets map[string]*asset // by path below /app/
	policy string
}

const (
	forever = "public, max-age=31536000, immutable"
	ask     = "no-cache"
	// worthGzip: below this the header costs more than it saves.
	worthGzip = 1024
)

// kinds that a browser must not guess and the system may not know.
var kinds = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8",
	".svg": "image/svg+xml", ".wasm": "application/wasm", ".webmanifest": "application/manifest+json",
	".json": "application/json", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8",
}

// New reads the app from dist. hosts are the relay's own, for the socket in the
// content security policy. Without an app (built is false) a page says how to build it.
func New(dist fs.FS, built bool, hosts []string) (*Site, error) {
	s := &Site{assets: map[string]*asset{}, policy: policy(hosts)}
	if !built {
		s.assets["index.html"] = newAsset("index.html", []byte(unbuilt), nil)
		return s, nil
	}
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path.Base(name), ".") || strings.HasSuffix(name, ".gz") {
			return err
		}
		plain, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		packed, err := fs.ReadFile(dist, name+".gz")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.assets[name] = newAsset(name, plain, packed)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the app's files: %w", err)
	}
	return s, nil
}

func newAsset(name string, plain, packed []byte) *asset {
	kind := kinds[path.Ext(name)]
	if kind == "" {
		if kind = mime.TypeByExtension(path.Ext(name)); kind == "" {
			kind = "application/octet-stream"
		}
	}
	a := &asset{kind: kind, etag: fmt.Sprintf(`"%s"`, protocol.EncodeBytes(hash(plain))), cache: ask, plain: plain}
	// Only names that change with their content may be kept for ever.
	if strings.HasPrefix(name, "assets/") {
		a.cache = forever
	}
	a.gzip = sync.OnceValue(func() []byte {
		squeezed := packed
		if squeezed == nil && len(plain) >= worthGzip && !compressed(kind) {
			squeezed = squeeze(plain)
		}
		if len(squeezed) >= len(plain) {
			return nil
		}
		return squeezed
	})
	return a
}

func hash(b []byte) []byte { h := sha256.Sum256(b); return h[:18] }

func compressed(kind string) bool {
	return strings.HasPrefix(kind, "image/") && kind != "image/svg+xml" || strings.HasPrefix(kind, "font/")
}

func squeeze(plain []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil { // the level is a constant
		panic(err)
	}
	if _, err := w.Write(plain); err != nil {
		panic(err) // memory does not fail to be written
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// policy allows the relay's own files and sockets, pictures that the app has
// opened itself, and nothing else. Svelte sets styles on elements and makes
// templates through a trusted type of its own.
func policy(hosts []string) string {
	sockets := []string{}
	for _, host := range hosts {
		if strings.HasPrefix(host, "[") {
			continue // a policy cannot name an IPv6 literal (CSP 3, host-source); 'self' serves there
		}
		sockets = append(sockets, "ws://"+host, "wss://"+host)
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' 'wasm-unsafe-eval'",
		"style-src 'self'",
		"style-src-attr 'unsafe-inline'",
		"connect-src 'self' " + strings.Join(sockets, " "),
		"img-src 'self' blob: data:",
		"media-src 'self' blob:",
		"font-src 'self'",
		"manifest-src 'self'",
		"worker-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types svelte-trusted-html courtyard",
	}, "; ")
}

// ServeHTTP implements http.Handler for GET and HEAD.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		w.Header().Set("Cache-Control", ask)
		http.Redirect(w, r, "/app/", http.StatusFound)
		return
	}
	name, below := strings.CutPrefix(r.URL.Path, "/app/")
	a := s.assets[name]
	switch {
	case below && a != nil:
	case below && strings.HasPrefix(name, "assets/"), below && path.Ext(name) != "", strings.Contains(r.URL.Path, "/i/") && path.Ext(r.URL.Path) != "":
		if !s.Lost(w, r, http.StatusNotFound) {
			http.NotFound(w, r) // a file that is not there is no page
		}
		return
	default: // every address of the app is the same page
		name, a = "index.html", s.assets["index.html"]
	}
	h := w.Header()
	s.protect(h)
	h.Set("Cache-Control", a.cache)
	h.Set("ETag", a.etag)
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	if name == "sw.js" {
		h.Set("Service-Worker-Allowed", "/app/")
	}
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.plain
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		if squeezed := a.gzip(); squeezed != nil {
			body = squeezed
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the client may go away at any time; nothing is owed to it
}

// protect says what a page of ours may do, and that nobody may frame it.
func (s *Site) protect(h http.Header) {
	h.Set("Content-Security-Policy", s.policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()")
	h.Set("X-Frame-Options", "DENY")
}

// acceptsGzip reads an Accept-Encoding header as far as it concerns gzip.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}

const unbuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Courtyard</title>
<h1>This courtyard is running, but its app has not been built.</h1>
<p>Whoever runs it: <code>scripts/build</code> in the checkout builds the app and the relay around it;
<code>cd frontend &amp;&amp; npm ci &amp;&amp; npm run build</code> builds the app alone, then build the relay again.</p>
</html>
`
