package relaytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay"
	"github.com/courtyard-social/courtyard/scripts/ports"
)

// Options of a courtyard; the zero value is SQLite in a temporary folder.
type Options struct {
	Config Config
	Clock  *Clock
	Free   func() (int64, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Limits Limits
}

// Config is the relay's; Data is filled in, and unless they are set Listen, with
// 127.0.0.1, Reach, with this machine's own networks, and Turn, which is off: the
// tests of one machine cannot all have its ports.
type Config = relay.Config

// Limits that a test with many sockets on one address needs wider.
type Limits struct{ Frames, Sockets, Joins int }

// Courtyard is a running relay.
type Courtyard struct {
	t      testing.TB
	Relay  *relay.Relay // nil if it runs in another process
	Key    protocol.Key32
	URL    string
	Host   string
	Data   string
	Clock  *Clock
	Log    *Log
	around relay.Surroundings
	config relay.Config
	stop   context.CancelFunc
	done   chan error
	client *http.Client
}

// Log keeps what the relay logged.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Start runs a relay for the test.
func Start(t testing.TB, o Options) *Courtyard {
	t.Helper()
	if o.Clock == nil {
		o.Clock = &Clock{}
	}
	if o.Limits.Sockets == 0 {
		o.Limits.Sockets = 100_000
	}
	if o.Limits.Joins == 0 {
		o.Limits.Joins = 100_000
	}
	c := &Courtyard{t: t, Clock: o.Clock, Log: &Log{}, config: o.Config, Data: filepath.Join(t.TempDir(), "data")}
	c.config.Data = c.Data
	if c.config.Listen == "" {
		var err error
		c.config.Listen, err = ports.Address("127.0.0.1")
		must(t, err)
	}
	if c.config.Reach == nil {
		c.config.Reach = []string{"127.0.0.0/8", "::1/128"}
	}
	if c.config.Turn == "" {
		c.config.Turn = "off"
	}
	if c.config.SpaceMiB == 0 {
		c.config.SpaceMiB = 256
	}
	c.around = relay.Surroundings{
		Log: slog.New(slog.NewTextHandler(c.Log, nil)), Now: o.Clock.Now, Free: o.Free, Dial: o.Dial,
		FramesPerMinute: o.Limits.Frames, SocketsPerMinute: o.Limits.Sockets, JoinsPerMinute: o.Limits.Joins,
	}
	c.client = newClient()
	c.start()
	t.Cleanup(func() {
		c.Stop()
		c.client.CloseIdleConnections()
	})
	return c
}

func newClient() *http.Client {
	return &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Attach speaks to a relay in another process, whose data is in dir.
func Attach(t testing.TB, url, dir string) *Courtyard {
	t.Helper()
	c := &Courtyard{t: t, URL: url, Host: strings.TrimPrefix(url, "http://"), Data: dir, Clock: &Clock{}, Log: &Log{}, client: newClient()}
	t.Cleanup(c.client.CloseIdleConnections)
	var info struct {
		Key protocol.Key32 `json:"key"`
	}
	c.Well("GET", "/api/1/relay", "", nil, &info)
	c.Key = info.Key
	return c
}

// From is the same courtyard, called from another address of this machine.
func (c *Courtyard) From(local net.Addr) *Courtyard {
	other := *c
	dialer := &net.Dialer{LocalAddr: local}
	other.client = &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext}}
	c.t.Cleanup(other.client.CloseIdleConnections)
	return &other
}

// Over is the same courtyard, reached over TLS at an address, by whatever certificate.
func (c *Courtyard) Over(address string, protocols ...string) *Courtyard {
	other := *c
	other.URL = "https://" + address
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
	other.client = &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{
		ForceAttemptHTTP2: slices.Contains(protocols, "h2"),
		DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		},
	}}
	c.t.Cleanup(other.client.CloseIdleConnections)
	return &other
}

func (c *Courtyard) start() {
	c.t.Helper()
	r, err := relay.New(context.Background(), c.config, c.around)
	must(c.t, err)
	ctx, stop := context.WithCancel(context.Background())
	c.Relay, c.Key, c.URL, c.stop, c.done = r, r.Key(), r.URL(), stop, make(chan error, 1)
	c.Host = strings.TrimPrefix(c.URL, "http://")
	// The same address after a restart, as people's devices expect it.
	c.config.Listen = c.Host
	if c.config.Host == "" {
		c.config.Host = c.Host
	}
	go func() { c.done <- r.Run(ctx) }()
}

// Stop ends the relay in order.
func (c *Courtyard) Stop() {
	c.t.Helper()
	if c.stop == nil {
		return
	}
	c.stop()
	c.stop = nil
	if err := <-c.done; err != nil {
		c.t.Error("relay stopped with", err)
	}
	if err := c.Relay.Close(); err != nil {
		c.t.Error(err)
	}
	if text := c.Log.String(); strings.Contains(text, "level=ERROR") {
		c.t.Errorf("the relay logged errors:\n%s", text)
	}
}

// Restart stops the relay and starts it anew on the same data and port.
func (c *Courtyard) Restart() {
	c.t.Helper()
	c.Stop()
	c.start()
}

// Address is the relay as a chain names it.
func (c *Courtyard) Address() ident.Relay {
	ip, port, err := protocol.SplitHost(c.Host)
	must(c.t, err)
	return ident.Relay{Key: c.Key, Host: ip, Port: port}
}

// Answer of an HTTP call.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Code   string // of a problem
	Proto  string // HTTP/1.1, HTTP/2.0
}

// Call makes a request. body may be nil, []byte (octet-stream) or anything that is written as JSON.
func (c *Courtyard) Call(method, path, token string, body any, headers ...string) Answer {
	c.t.Helper()
	answer, err := c.Try(method, path, token, body, headers...)
	must(c.t, err)
	return answer
}

// Try is Call for requests that may fail on the way.
func (c *Courtyard) Try(method, path, token string, body any, headers ...string) (Answer, error) {
	var reader io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case []byte:
		reader, kind = bytes.NewReader(b), "application/octet-stream"
	default:
		raw, err := protocol.Marshal(b)
		if err != nil {
			return Answer{}, err
		}
		reader, kind = bytes.NewReader(raw), "application/json"
	}
	req, err := http.NewRequest(method, c.URL+path, reader)
	if err != nil {
		return Answer{}, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	raw, err := io.ReadAll(res.Body)
	if closed := res.Body.Close(); err == nil {
		err = closed
	}
	a := Answer{Status: res.StatusCode, Header: res.Header, Body: raw, Proto: res.Proto}
	if res.Header.Get("Content-Type") == "application/problem+json" {
		var p struct {
			Code string `json:"code"`
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return a, err
		}
		a.Code = p.Code
	}
	return a, err
}

// Well makes a call that must succeed and reads its JSON into v, unless that is nil.
func (c *Courtyard) Well(method, path, token string, body, v any) {
	c.t.Helper()
	a := c.Call(method, path, token, body)
	if a.Status/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
	if v != nil {
		must(c.t, protocol.DecodeOpen(a.Body, v, 8))
	}
}

// Refused makes a call that must be refused with code.
func (c *Courtyard) Refused(code, method, path, token string, body any, headers ...string) Answer {
	c.t.Helper()
	a := c.Call(method, path, token, body, headers...)
	if a.Code != code {
		c.t.Fatalf("%s %s: %d %s, want %s", method, path, a.Status, a.Body, code)
	}
	return a
}

// ClaimToken is the token of the first link.
func (c *Courtyard) ClaimToken() protocol.ID {
	c.t.Helper()
	found, err := relay.Claim(c.Data)
	must(c.t, err)
	return protocol.ID(found.Token.Expose())
}

// Person makes keys for somebody who has not joined yet.
func (c *Courtyard) Person(username string) *Person {
	c.t.Helper()
	return NewPerson(c.t, username, c.Address(), c.Clock.Now())
}

// Owner joins by the claim.
func (c *Courtyard) Owner(username string) *Person {
	c.t.Helper()
	p := c.Person(username)
	token := c.ClaimToken()
	c.Well("POST", "/api/1/join", "", p.Application(nil, &token), nil)
	return p
}

// Invite makes an open invite of somebody who is connected.
func (c *Courtyard) Invite(from *Socket) protocol.ID {
	c.t.Helper()
	id := NewID(c.t)
	c.Well("POST", "/api/1/invites", from.Ready.Token, inviteBody{handshake.InviteHash(id), []byte("sealed card")}, nil)
	return id
}

type inviteBody struct {
	ID   protocol.Hash32 `json:"id"`
	Card protocol.Bytes  `json:"card"`
}

// Guest joins by an invite of from: the two are contacts then.
func (c *Courtyard) Guest(from *Socket, username string) *Person {
	c.t.Helper()
	p, invite := c.Person(username), c.Invite(from)
	c.Well("POST", "/api/1/join", "", p.Application(&invite, nil), nil)
	return p
}

// Record appends to p's chain, here and at the relay.
func (c *Courtyard) Record(p *Person, make func(*ident.Chain) (protocol.Signed, error)) {
	c.t.Helper()
	rec, err := make(p.Chain)
	must(c.t, err)
	c.Well("POST", "/api/1/chains/"+p.UID.String(), "", rec, nil)
	must(c.t, p.Chain.Append(rec))
}

// AddDevice gives p another device.
func (c *Courtyard) AddDevice(p *Person, role string, exp int64) *ident.DeviceKeys {
	c.t.Helper()
	keys := NewDevice(c.t)
	c.Record(p, func(chain *ident.Chain) (protocol.Signed, error) {
		return chain.NewDeviceAdd(p.Phone, keys.Device(role, exp), c.Clock.Now().UnixMilli())
	})
	return keys
}

// Revoke takes a device out of p's chain.
func (c *Courtyard) Revoke(p *Person, id protocol.DeviceID) {
	c.t.Helper()
	c.Record(p, func(chain *ident.Chain) (protocol.Signed, error) {
		return chain.NewDeviceRevoke(p.Phone, id, 0, c.Clock.Now().UnixMilli())
	})
}

// Envelope makes one from p to q with random data of size bytes.
func (c *Courtyard) Envelope(p, q *Person, kind string, size int) *protocol.Envelope {
	c.t.Helper()
	data := make([]byte, size)
	_, err := rand.Read(data)
	must(c.t, err)
	at := c.Address()
	return &protocol.Envelope{
		V: 1, ID: NewID(c.t), TS: c.Clock.Now().UnixMilli(), Type: kind, Data: data,
		From: protocol.Address{IP: at.Host, Port: at.Port, Username: p.Username, ID: p.UID},
		To:   protocol.Address{IP: at.Host, Port: at.Port, Username: q.Username, ID: q.UID},
	}
}

// Across makes an envelope from p here to q, who lives at other.
func (c *Courtyard) Across(p *Person, other *Courtyard, q *Person, kind string, size int) *protocol.Envelope {
	c.t.Helper()
	e, there := c.Envelope(p, q, kind, size), other.Address()
	e.To.IP, e.To.Port = there.Host, there.Port
	return e
}

// Allow makes q, wherever that is, a contact of whoever is connected.
func (c *Courtyard) Allow(s *Socket, q *Person) {
	c.t.Helper()
	c.Well("PUT", "/api/1/contacts/"+q.UID.String(), s.Ready.Token, map[string]string{"state": "allow"}, nil)
}

// Sweep does at once what the relay does every minute.
func (c *Courtyard) Sweep() {
	c.t.Helper()
	must(c.t, c.Relay.Sweep(context.Background()))
}
