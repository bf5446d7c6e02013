// Package gate is where HTTP requests come in: the one place that knows the web
// framework. It finds out from where somebody calls, refuses foreign origins and
// crooked paths, counts, bounds bodies and time, checks tokens, and turns the
// house's errors into problem+json (RFC 9457).
//
// It must never set a cookie or believe a header about who is calling, except
// X-Forwarded-For from a proxy that the operator has named.
package gate

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/tokens"
	"github.com/labstack/echo/v4"
)

// Counts hears what happened at the gate.
type Counts interface {
	Refused(code string)
	Answered(route string, status int, took time.Duration)
}

// Config is what the gate needs.
type Config struct {
	Hosts        []string       // host[:port] under which this relay is known, as protocol.ParseHost writes it
	AllowOrigins []string       // scheme://host[:port] that may call from elsewhere
	TrustProxy   []netip.Prefix // from where X-Forwarded-For is believed
	Tokens       *tokens.Book
	Counts       Counts
	Log          *slog.Logger
	Now          func() time.Time
	// Lost answers a person's browser with a page in place of a problem, and
	// reports whether it did; nil, or false: the problem goes out as JSON.
	Lost func(w http.ResponseWriter, r *http.Request, status int) bool
}

// Limits for everything that passes the gate; routes have narrower ones.
var (
	everyAddress = limit.Rate{N: 1200, Per: time.Minute}
	everyPerson  = limit.Rate{N: 600, Per: time.Minute}
)

// patience is how long a client may take to send its body, and then to take the
// answer, unless the route says otherwise. A hijacked connection has no deadline.
const patience = 20 * time.Second

const (
	// largeBody is from where on a body needs a slot. Smaller ones need none, so
	// that a block or a revocation never waits behind somebody's pictures; what
	// they take together is bounded by the connections of an address.
	largeBody = 32 << 10
	// largeBodies, of 1 MiB as a rule, are held at once for people with a token,
	// strangersBodies (joins, 512 KiB at most) for those without; of each person,
	// or address, bodiesEach. Others wait for bodyWait, with their body unread.
	largeBodies     = 32
	strangersBodies = 16
	bodiesEach      = 4
	bodyWait        = 5 * time.Second
)

// Gate is an http.Handler. Routes are added before it serves.
type Gate struct {
	config  Config
	echo    *echo.Echo
	own     map[string]bool // hosts
	allowed map[string]bool // origins
	address *limit.Book
	person  *limit.Book
	bodies  *limit.Slots // large bodies of people with a token
	strange *limit.Slots // and of those without
}

// New makes a gate without routes.
func New(config Config) *Gate {
	g := &Gate{
		config: config, echo: echo.New(), own: map[string]bool{}, allowed: map[string]bool{},
		address: limit.NewBook(everyAddress, config.Now), person: limit.NewBook(everyPerson, config.Now),
		bodies: limit.NewSlots(largeBodies, bodiesEach, bodyWait), strange: limit.NewSlots(strangersBodies, bodiesEach, bodyWait),
	}
	for _, host := range config.Hosts {
		g.own[host] = true
	}
	for _, origin := range config.AllowOrigins {
		g.allowed[strings.ToLower(strings.TrimSuffix(origin, "/"))] = true
	}
	g.echo.HideBanner, g.echo.HidePort = true, true
	g.echo.HTTPErrorHandler = g.fail
	g.echo.Pre(g.guard)
	g.echo.IPExtractor = extractor(config.TrustProxy)
	return g
}

func extractor(trust []netip.Prefix) echo.IPExtractor {
	if len(trust) == 0 {
		return echo.ExtractIPDirect()
	}
	// echo trusts loopback and private networks by itself; only named ones shall be.
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range trust {
		prefix = prefix.Masked()
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}))
	}
	forwarded, direct := echo.ExtractIPFromXFFHeader(options...), echo.ExtractIPDirect()
	return func(r *http.Request) string {
		peer, err := netip.ParseAddr(direct(r))
		if err != nil {
			return direct(r)
		}
		for _, prefix := range trust {
			if prefix.Contains(peer.Unmap()) {
				return forwarded(r)
			}
		}
		return direct(r)
	}
}

// Route is one call of section 12.
type Route struct {
	Method, Path string // Path with :names
	Token        bool   // marked t: needs a token
	Signers      bool   // needs a token of an admin or home device
	PerAddress   limit.Rate
	PerPerson    limit.Rate
	Patience     time.Duration // how long body and answer may take, 0: the usual
	Handle       func(*Call) error
}

// Add puts a route in place.
func (g *Gate) Add(routes ...Route) {
	for _, r := range routes {
		checks := []func(*Call) error{}
		if r.PerAddress.N > 0 {
			book := limit.NewBook(r.PerAddress, g.config.Now)
			checks = append(checks, func(c *Call) error { return book.Allow(c.Address()) })
		}
		if r.Token || r.Signers {
			checks = append(checks, func(c *Call) error { return g.identify(c, r.Signers) })
		}
		if r.PerPerson.N > 0 {
			book := limit.NewBook(r.PerPerson, g.config.Now)
			checks = append(checks, func(c *Call) error { return book.Allow(c.Caller.UID.String()) })
		}
		g.echo.Add(r.Method, r.Path, func(e echo.Context) error { return g.serve(e, r, checks) })
	}
}

// AddHandler puts a plain handler for GET and HEAD in place, for pages.
func (g *Gate) AddHandler(path string, h http.Handler) {
	g.echo.Match([]string{http.MethodGet, http.MethodHead}, path, func(e echo.Context) error {
		h.ServeHTTP(e.Response(), e.Request())
		return nil
	})
}

func (g *Gate) serve(e echo.Context, r Route, checks []func(*Call) error) (err error) {
	c := &Call{e: e, gate: g}
	e.Response().Header().Set("Cache-Control", "no-store")
	if r.Patience > 0 {
		if err := c.Wait(r.Patience); err != nil {
			return err
		}
	}
	for _, check := range checks {
		if err := check(c); err != nil {
			return err
		}
	}
	defer c.giveBack()
	return r.Handle(c)
}

// identify finds the caller by token. Codes: unauthorized, not-allowed, rate-limited.
func (g *Gate) identify(c *Call, signers bool) error {
	token, ok := strings.CutPrefix(c.Request().Header.Get("Authorization"), "Bearer ")
	if !ok {
		return &protocol.Error{Op: "gate.identify", Code: protocol.CodeUnauthorized}
	}
	caller, ok := g.config.Tokens.Caller(token)
	if !ok {
		return &protocol.Error{Op: "gate.identify", Code: protocol.CodeUnauthorized}
	}
	if signers && caller.Role == "session" {
		return &protocol.Error{Op: "gate.identify", Code: protocol.CodeNotAllowed}
	}
	c.Caller = caller
	return g.person.Allow(caller.UID.String())
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.echo.ServeHTTP(w, r) }

// guard stands before the router.
func (g *Gate) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		began := g.config.Now()
		e.Response().Header().Set("X-Content-Type-Options", "nosniff")
		e.Response().Header().Set("Referrer-Policy", "no-referrer")
		defer func() {
			if trouble := recover(); trouble != nil {
				g.config.Log.Error("panic in a handler", "what", trouble, "stack", string(debug.Stack()))
				g.fail(fmt.Errorf("panic: %v", trouble), e)
			}
			route := e.Path()
			if route == "" {
				route = "none"
			}
			g.config.Counts.Answered(route, e.Response().Status, g.config.Now().Sub(began))
		}()
		err := g.admit(e)
		switch {
		case err == nil && e.Request().Method == http.MethodOptions:
			err = e.NoContent(http.StatusNoContent)
		case err == nil:
			err = next(e)
		}
		if err != nil {
			g.fail(err, e)
		}
		return nil
	}
}

// admit looks at what every request has: path, address, origin.
func (g *Gate) admit(e echo.Context) error {
	r := e.Request()
	if err := (&Call{e: e}).Wait(patience); err != nil {
		return err
	}
	if !straight(r.URL.Path, r.URL.RawPath) {
		return protocol.Refuse("gate.admit", protocol.CodeBadRequest, "path")
	}
	if err := g.address.Allow(limit.Address(e.RealIP())); err != nil {
		return err
	}
	origin, ok := g.origin(r)
	if origin == "" {
		return nil
	}
	if ok && g.allowed[origin] {
		h := e.Response().Header()
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Add("Vary", "Origin")
		h.Set("Access-Control-Expose-Headers", "Upload-Offset, Upload-Length, Content-Range, Retry-After")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Range")
			h.Set("Access-Control-Max-Age", "600")
		}
	}
	// Reading across origins is refused by the browser, which sees no permission
	// above; whatever changes something, and the socket, is refused here.
	if !ok && (r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "") {
		return protocol.Refuse("gate.admit", protocol.CodeOrigin, "foreign origin")
	}
	return nil
}

// origin is the request's Origin and whether it is this relay's page or one
// that the operator allows. No origin at all is a client that is no browser.
func (g *Gate) origin(r *http.Request) (origin string, ok bool) {
	origin = strings.ToLower(r.Header.Get("Origin"))
	if origin == "" {
		return "", true
	}
	if g.allowed[origin] {
		return origin, true
	}
	scheme, host, _ := strings.Cut(origin, "://")
	if scheme != "https" && scheme != "http" {
		return origin, false
	}
	host, err := protocol.ParseHost(host)
	return origin, err == nil && g.own[host]
}

// straight accepts paths that say what they mean: no dots, doubled or reversed
// slashes, no encoded ones, nothing outside printable ASCII.
func straight(path, raw string) bool {
	if raw != "" || len(path) > 1024 || !strings.HasPrefix(path, "/") || strings.Contains(path, "//") {
		return false
	}
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
