// Package gate is the relay's HTTP interface as a home needs it (section 12 of
// protocol/README.md). It bounds and decodes answers; whether they are true is
// for the caller to check: chains, records and blobs are signed. It must never
// follow a redirect or speak to another host than the one it was made for.
package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	maxAnswer  = protocol.MaxJSON // the largest, a vault or a page of the keep
	maxProblem = 16 << 10
	maxDepth   = 6
	patience   = 40 * time.Second // the mailbox keeps a request for up to 25
)

// Place is a relay as a client dials it.
type Place struct {
	Host   string // as protocol.ParseHost writes it; it goes into proofs
	Secure bool   // https and wss
}

// PlaceOf is the relay of a pairing code: by TLS, except on this very machine,
// where a courtyard is tried out.
func PlaceOf(host string) Place {
	name, _, err := protocol.SplitHost(host)
	if err != nil {
		return Place{Host: host, Secure: true}
	}
	addr, err := netip.ParseAddr(name)
	local := name == "localhost" || err == nil && addr.IsLoopback()
	return Place{Host: host, Secure: !local}
}

// ParsePlace reads the address of a relay as a person writes it: a URL, or a
// host for which PlaceOf decides.
func ParsePlace(text string) (Place, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		host, err := protocol.ParseHost(text)
		if err != nil {
			return Place{}, fmt.Errorf("%q is not the address of a relay", text)
		}
		return PlaceOf(host), nil
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return Place{}, fmt.Errorf("%q is not the address of a relay", text)
	}
	authority := u.Host
	if u.Scheme == "http" && u.Port() == "" {
		authority += ":80"
	}
	host, err := protocol.ParseHost(authority)
	if err != nil {
		return Place{}, fmt.Errorf("%q is not the address of a relay", text)
	}
	return Place{Host: host, Secure: u.Scheme == "https"}, nil
}

// URL is the relay's address with a path; web chooses http or ws.
func (p Place) URL(web, path string) string {
	scheme := web
	if p.Secure {
		scheme += "s"
	}
	return scheme + "://" + p.Host + path
}

// Gate asks one relay.
type Gate struct {
	place  Place
	client *http.Client
	seen   atomic.Value // a netip.Addr: where the last connection led
}

// New makes a gate. open is what opens connections.
func New(place Place, open func(ctx context.Context, network, address string) (net.Conn, error)) *Gate {
	g := &Gate{place: place}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := open(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			g.seen.Store(at.AddrPort().Addr().Unmap())
		}
		return c, nil
	}
	g.client = &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DialContext: dial, TLSHandshakeTimeout: 10 * time.Second, MaxConnsPerHost: 8, MaxIdleConnsPerHost: 2,
			IdleConnTimeout: 60 * time.Second, MaxResponseHeaderBytes: 32 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the relay redirects") },
	}
	return g
}

// Seen is the address to which the last connection led; not valid: there was none.
func (g *Gate) Seen() netip.Addr {
	at, _ := g.seen.Load().(netip.Addr)
	return at
}

// Place is where the relay is.
func (g *Gate) Place() Place { return g.place }

// Client is the HTTP client, for the websocket's first request.
func (g *Gate) Client() *http.Client { return g.client }

// Close closes idle connections.
func (g *Gate) Close() { g.client.CloseIdleConnections() }

// call sends a request and returns at most limit bytes of a good answer. The
// error carries the relay's code; CodeUnavailable if there was no answer.
func (g *Gate) call(ctx context.Context, op, method, path, token string, body []byte, header http.Header, limit int64) ([]byte, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, g.place.URL("http", path), reader)
	if err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeInternal, Cause: err}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := g.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL carries ids, which are nobody's business in a log
		}
		return nil, &protocol.Error{Op: op, Code: protocol.CodeUnavailable, Cause: err}
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		limit = max(limit, maxProblem)
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeUnavailable, Cause: err}
	}
	if int64(len(raw)) > limit {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeTooLarge}
	}
	if answer.StatusCode/100 != 2 {
		return nil, problem(op, answer.StatusCode, raw)
	}
	return raw, nil
}

// problem reads application/problem+json. Something on the way that answers in
// another form counts as the relay being unavailable.
func problem(op string, status int, raw []byte) error {
	var p struct {
		Code   string         `json:"code"`
		Params map[string]any `json:"params"`
	}
	cause := fmt.Errorf("status %d", status)
	if err := json.Unmarshal(raw, &p); err != nil || p.Code == "" || len(p.Code) > 40 {
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable, Cause: cause}
	}
	return &protocol.Error{Op: op, Code: p.Code, Params: p.Params, Cause: cause}
}

func (g *Gate) get(ctx context.Context, op, path, token string, into any) error {
	raw, err := g.call(ctx, op, http.MethodGet, path, token, nil, nil, maxAnswer)
	if err != nil {
		return err
	}
	return protocol.DecodeOpen(raw, into, maxDepth)
}

func (g *Gate) send(ctx context.Context, op, method, path, token string, v any) error {
	body, err := protocol.Marshal(v)
	if err != nil {
		return &protocol.Error{Op: op, Code: protocol.CodeInternal, Cause: err}
	}
	_, err = g.call(ctx, op, method, path, token, body, http.Header{"Content-Type": {"application/json"}}, maxAnswer)
	return err
}

// Info is what a relay says of itself.
type Info struct {
	Key  protocol.Key32 `json:"key"`
	Host string         `json:"host"`
	Time int64          `json:"time"` // ms
}

// Info asks for the relay's key, the host it calls itself, and its time.
func (g *Gate) Info(ctx context.Context) (Info, error) {
	var i Info
	return i, g.get(ctx, "gate.Info", "/api/1/relay", "", &i)
}

// Chain gives a person's records after seq, from genesis with -1. Not verified.
func (g *Gate) Chain(ctx context.Context, uid protocol.UID, after int) ([]protocol.Signed, error) {
	return g.ChainAt(ctx, "", "", uid, after)
}

// ChainAt is Chain for somebody whose courtyard is at host ("" for this relay's
// people); elsewhere it needs the token, and may have code peer-away.
func (g *Gate) ChainAt(ctx context.Context, token, host string, uid protocol.UID, after int) ([]protocol.Signed, error) {
	q := at(host)
	if after >= 0 {
		q.Set("after", strconv.Itoa(after))
	}
	var a struct {
		Records []protocol.Signed `json:"records"`
	}
	return a.Records, g.get(ctx, "gate.Chain", path("/api/1/chains/"+uid.String(), q), token, &a)
}

// UEK gives the newest record of a person's daily keys. Not verified.
func (g *Gate) UEK(ctx context.Context, uid protocol.UID) (protocol.Signed, error) {
	return g.UEKAt(ctx, "", "", uid)
}

// UEKAt is UEK as ChainAt is Chain.
func (g *Gate) UEKAt(ctx context.Context, token, host string, uid protocol.UID) (protocol.Signed, error) {
	raw, err := g.call(ctx, "gate.UEK", http.MethodGet, path("/api/1/ueks/"+uid.String(), at(host)), token, nil, nil, 16<<10)
	if err != nil {
		return protocol.Signed{}, err
	}
	return protocol.ParseSigned(raw)
}

// Named is whose username that is at host, by the word of the relay there. Code
// not-found: nobody's that may be found.
func (g *Gate) Named(ctx context.Context, token, host, username string) (protocol.UID, error) {
	var a struct {
		UID protocol.UID `json:"uid"`
	}
	return a.UID, g.get(ctx, "gate.Named", path("/api/1/people/"+url.PathEscape(username), at(host)), token, &a)
}

// at asks another courtyard, unless host is empty.
func at(host string) url.Values {
	q := url.Values{}
	if host != "" {
		q.Set("host", host)
	}
	return q
}

func path(name string, q url.Values) string {
	if len(q) == 0 {
		return name
	}
	return name + "?" + q.Encode()
}

// PostUEK publishes a record: compare-and-swap, code uek-conflict.
func (g *Gate) PostUEK(ctx context.Context, token string, rec protocol.Signed) error {
	return g.send(ctx, "gate.PostUEK", http.MethodPost, "/api/1/ueks", token, rec)
}

// Vault gives the sealed vault as it travels (section 5). Not verified.
func (g *Gate) Vault(ctx context.Context, token string) ([]byte, error) {
	return g.call(ctx, "gate.Vault", http.MethodGet, "/api/1/vault", token, nil, nil, maxAnswer)
}

// PutVault stores a sealed vault: compare-and-swap on its version, code vault-conflict.
func (g *Gate) PutVault(ctx context.Context, token string, sealed any) error {
	return g.send(ctx, "gate.PutVault", http.MethodPut, "/api/1/vault", token, sealed)
}

// Row is a kept row: an envelope as it came, at place n of the owner's queue.
type Row struct {
	N   int64           `json:"n"`
	Env json.RawMessage `json:"env"`
}

// Keep gives up to limit kept rows before place n, newest first (0: from the newest).
func (g *Gate) Keep(ctx context.Context, token string, before int64, limit int) (rows []Row, more bool, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if before > 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	var a struct {
		Rows []Row `json:"rows"`
		More bool  `json:"more"`
	}
	err = g.get(ctx, "gate.Keep", "/api/1/keep?"+q.Encode(), token, &a)
	return a.Rows, a.More, err
}

// Step is a message of a pairing (section 10).
type Step string

// The messages of a pairing that a home reads or writes.
const (
	A1 Step = "a1"
	N1 Step = "n1"
	A2 Step = "a2"
	N2 Step = "n2"
)

const maxPair = 8 << 10

// PutPair leaves a message in the mailbox: once each, code pair-used.
func (g *Gate) PutPair(ctx context.Context, box protocol.ID, step Step, message []byte) error {
	_, err := g.call(ctx, "gate.PutPair", http.MethodPut, "/api/1/pair/"+box.String()+"/"+string(step), "", message,
		http.Header{"Content-Type": {"application/octet-stream"}}, maxPair)
	return err
}

// GetPair waits up to 25 seconds for a message: code pair-empty.
func (g *Gate) GetPair(ctx context.Context, box protocol.ID, step Step) ([]byte, error) {
	return g.call(ctx, "gate.GetPair", http.MethodGet, "/api/1/pair/"+box.String()+"/"+string(step), "", nil, nil, maxPair)
}

// File gives up to length sealed bytes of a file from offset on.
func (g *Gate) File(ctx context.Context, token string, id protocol.ID, offset, length int64) ([]byte, error) {
	return g.call(ctx, "gate.File", http.MethodGet, "/api/1/files/"+id.String(), token, nil,
		http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)}}, length)
}

// DropFile tells the relay that this home has the file; not-found is as good.
func (g *Gate) DropFile(ctx context.Context, token string, id protocol.ID) error {
	_, err := g.call(ctx, "gate.DropFile", http.MethodDelete, "/api/1/files/"+id.String(), token, nil, nil, maxPair)
	if protocol.CodeOf(err) == protocol.CodeNotFound {
		return nil
	}
	return err
}
