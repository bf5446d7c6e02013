// Package lan is the home's own small page, for whoever stands in front of it:
// how it is doing, and a way to connect somebody. It is reachable by everybody
// in the house, guests included, so it names nobody, shows nothing of what is
// kept here, and once somebody lives here it does nothing without their consent.
//
// It must never answer a page of another site (Host and Origin are checked, DNS
// rebinding included) and never need a script.
package lan

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/homedb/internal/person"
	"github.com/courtyard-social/courtyard/protocol"
)

const (
	maxForm     = 4 << 10
	maxHeader   = 16 << 10
	maxVisitors = 64 // connections at a time; further ones wait in the kernel
	patience    = 10 * time.Second
	cookieName  = "courtyard-home"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Household is what the page shows and sets off.
type Household interface {
	Residents() []household.Person
	Offered() *household.Offer
	Ask(code string) (*household.Attempt, error)
	Stage(id protocol.ID) household.Stage
}

// Page answers requests.
type Page struct {
	household Household
	names     []string // by which this machine may be called, besides addresses, localhost and *.local
	secret    []byte   // of this process: form tokens are MACs under it
	random    io.Reader
	logger    *slog.Logger
	refused   func(reason string)
}

// New makes the page. names are further host names, lower case, without port.
func New(h Household, names []string, random io.Reader, logger *slog.Logger, refused func(reason string)) (*Page, error) {
	p := &Page{household: h, names: names, secret: make([]byte, 32), random: random, logger: logger, refused: refused}
	_, err := io.ReadFull(random, p.secret)
	return p, err
}

// Server makes the HTTP server of the page.
func (p *Page) Server() *http.Server {
	return &http.Server{
		Handler: p, ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(p.logger.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP answers GET / and POST /pair; anything else is not there.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer a browser posts the form with Origin: null
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if !p.called(r.Host) {
		p.refuse(w, r, "host", http.StatusMisdirectedRequest)
		return
	}
	switch {
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		p.show(w, r, "")
	case r.URL.Path == "/pair" && r.Method == http.MethodPost:
		p.pair(w, r)
	default:
		http.Error(w, "not here", http.StatusNotFound)
	}
}

func (p *Page) refuse(w http.ResponseWriter, r *http.Request, reason string, status int) {
	p.refused(reason)
	http.Error(w, speak(r.Header.Get("Accept-Language")).Refused, status)
}

// called reports whether this machine may be called so. A page of another site
// that points its own name at this address (DNS rebinding) comes with that name.
func (p *Page) called(host string) bool {
	name := strings.ToLower(host)
	if bare, _, err := net.SplitHostPort(name); err == nil {
		name = bare
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.TrimSuffix(name, ".")
	return name == "localhost" || strings.HasSuffix(name, ".local") && len(name) > len(".local") || slices.Contains(p.names, name)
}

// view is what the template shows.
type view struct {
	Words                      words
	Nonce, Token, Link         string
	Stage, Problem             string
	People, Refresh            int
	AllFine, Away, Twice, Gone bool
}

func (p *Page) show(w http.ResponseWriter, r *http.Request, problem string) {
	v := view{Words: speak(r.Header.Get("Accept-Language")), Problem: problem}
	for _, one := range p.household.Residents() {
		if one.State.Trouble == person.Revoked {
			v.Gone = true
			continue
		}
		v.People++
		v.Away = v.Away || !one.State.Connected || one.State.Trouble != person.None
		v.Twice = v.Twice || one.State.Twice
	}
	v.AllFine = v.People > 0 && !v.Away
	if o := p.household.Offered(); o != nil && v.People == 0 {
		v.Link = o.Link()
	}
	if id, err := protocol.ParseID(r.URL.Query().Get("attempt")); err == nil {
		stage := p.household.Stage(id)
		v.Stage = v.Words.Stages[stage]
		if stage == household.Waiting || stage == household.Begun || stage == household.Asking {
			v.Refresh = 2
		}
	}
	cookie, err := p.visitor(w, r)
	if err == nil {
		v.Token = p.token(cookie)
		v.Nonce, err = p.draw()
	}
	if err != nil {
		p.logger.Error("page: no randomness", "error", err)
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'none'; style-src 'nonce-%s'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", v.Nonce))
	if problem != "" {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	if r.Method == http.MethodHead {
		return
	}
	if err := page.Execute(w, v); err != nil {
		p.logger.Debug("page: the visitor went away", "error", err)
	}
}

func (p *Page) draw() (string, error) {
	var b [16]byte
	_, err := io.ReadFull(p.random, b[:])
	return base64.RawURLEncoding.EncodeToString(b[:]), err
}

// visitor gives a browser a cookie that its form tokens belong to.
func (p *Page) visitor(w http.ResponseWriter, r *http.Request) (string, error) {
	if c, err := r.Cookie(cookieName); err == nil && len(c.Value) == 22 {
		return c.Value, nil
	}
	value, err := p.draw()
	if err == nil {
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	return value, err
}

func (p *Page) token(cookie string) string {
	m := hmac.New(sha256.New, p.secret)
	m.Write([]byte(cookie))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// own reports whether a form comes from this page: sent by the same origin, with
// the token that belongs to the browser's cookie.
func (p *Page) own(r *http.Request) (reason string, ok bool) {
	origin := strings.ToLower(r.Header.Get("Origin"))
	host := strings.ToLower(r.Host)
	if origin != "http://"+host && origin != "https://"+host {
		return "origin", false
	}
	c, err := r.Cookie(cookieName)
	if err != nil || !hmac.Equal([]byte(p.token(c.Value)), []byte(r.PostForm.Get("token"))) {
		return "token", false
	}
	return "", true
}

func (p *Page) pair(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.refuse(w, r, "form", http.StatusBadRequest)
		return
	}
	if reason, ok := p.own(r); !ok {
		p.refuse(w, r, reason, http.StatusForbidden)
		return
	}
	say := speak(r.Header.Get("Accept-Language"))
	attempt, err := p.household.Ask(strings.TrimSpace(r.PostForm.Get("code")))
	var e *protocol.Error
	switch {
	case err == nil:
		http.Redirect(w, r, "/?attempt="+attempt.ID.String(), http.StatusSeeOther)
	case errors.As(err, &e) && e.Code == protocol.CodeRateLimited:
		p.show(w, r, say.Busy)
	case errors.As(err, &e) && e.Code == protocol.CodeBadRequest:
		p.show(w, r, say.BadCode)
	default:
		p.logger.Error("page: a pairing did not begin", "error", err)
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
	}
}

// Bounded lets at most maxVisitors connections in at a time.
func Bounded(l net.Listener) net.Listener {
	return &bounded{Listener: l, free: make(chan struct{}, maxVisitors), done: make(chan struct{})}
}

type bounded struct {
	net.Listener
	free   chan struct{}
	done   chan struct{}
	ending sync.Once
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.free <- struct{}{}:
	case <-b.done:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.free
		return nil, err
	}
	return &guest{Conn: c, leave: b.free}, nil
}

func (b *bounded) Close() error {
	b.ending.Do(func() { close(b.done) })
	return b.Listener.Close()
}

type guest struct {
	net.Conn
	leave <-chan struct{}
	going sync.Once
}

func (g *guest) Close() error {
	g.going.Do(func() { <-g.leave })
	return g.Conn.Close()
}
