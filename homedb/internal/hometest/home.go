package hometest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/homedb/internal/metrics"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// Home is a home agent in this process.
type Home struct {
	*Courtyard
	*household.Household
	Dir    string
	Counts *metrics.Counts

	config household.Config
	stop   context.CancelFunc
	done   chan struct{}
}

// Home starts an agent for which a code waits at the courtyard.
func (c *Courtyard) Home(change ...func(*household.Config)) *Home {
	c.Helper()
	h := &Home{Courtyard: c, Dir: filepath.Join(c.TempDir(), "home")}
	place := c.Place
	h.config = household.Config{Dir: h.Dir, Relay: &place, Version: "test", Clock: c.Clock, Random: Random,
		Jitter: rand.New(rand.NewPCG(rand.Uint64(), 1)), Dial: Dial, Logger: c.Logger.With("who", "home"), FramesPerSecond: 1e6}
	for _, do := range change {
		do(&h.config)
	}
	h.Dir = h.config.Dir
	h.Start()
	c.Cleanup(h.Stop)
	return h
}

// Start starts it (again), with what it has on disk.
func (h *Home) Start() {
	h.Helper()
	h.Counts = metrics.New()
	h.config.Counts = h.Counts
	ctx, stop := context.WithCancel(context.Background())
	var err error
	if h.Household, err = household.Open(ctx, h.config); err != nil {
		h.Fatal(err)
	}
	h.stop, h.done = stop, make(chan struct{})
	go func() {
		defer close(h.done)
		h.Run(ctx)
	}()
}

// Config is what it was started with.
func (h *Home) Config() household.Config { return h.config }

// Counts reads a home's count of troubles with its link.
func (c *Courtyard) Counts(h *Home) func(what string) int { return c.count(h, "link") }

// Letters reads a home's count of letters by what became of them.
func (c *Courtyard) Letters(h *Home) func(what string) int { return c.count(h, "letters") }

func (c *Courtyard) count(h *Home, name string) func(what string) int {
	return func(what string) int {
		n := 0
		w := httptest.NewRecorder()
		h.Counts.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for line := range strings.Lines(w.Body.String()) {
			if rest, ok := strings.CutPrefix(line, `courtyard_home_`+name+`_total{what="`+what+`"} `); ok {
				if _, err := fmt.Sscan(rest, &n); err != nil {
					c.Fatal(err)
				}
			}
		}
		return n
	}
}

// Stop stops it; the second time it does nothing.
func (h *Home) Stop() {
	if h.stop == nil {
		return
	}
	h.stop()
	h.stop = nil
	<-h.done
	if err := h.Close(); err != nil {
		h.Errorf("home: %v", err)
	}
}

// Offer waits for the code that the home shows.
func (h *Home) Offer() *household.Offer {
	h.Helper()
	var o *household.Offer
	Until(h.TB, "a code waits", func() bool { o = h.Offered(); return o != nil })
	return o
}

// Pairs takes the code that a home shows and does the app's part; it returns
// when the home is up and has taken everything over.
func (a *App) Pairs(h *Home) {
	a.Helper()
	a.Approves(h.Offer().Code)
	a.TakenOver(h)
	a.Learn()
}

// Learn asks the home for the daily keys, until the one in use is the home's own
// work and is known here.
func (a *App) Learn() {
	a.Helper()
	l := a.Links()
	Until(a.TB, a.Username+" has the key that the home has issued", func() bool {
		var raw json.RawMessage
		a.must(l.Asks("keys", nil, &raw))
		ueks, err := vault.ParseUEKs(raw)
		a.must(err)
		signed, err := a.Gate.UEK(context.Background(), a.UID)
		a.must(err)
		home, _ := a.Chain().Home(a.Now())
		newest, known := a.lastKey(signed), false
		a.mu.Lock()
		defer a.mu.Unlock()
		a.Secrets = nil
		for _, u := range ueks {
			a.Secrets = append(a.Secrets, u.Key())
			known = known || u.Key().Secret.Public() == newest
		}
		return known && signed.By == home.Sign
	})
}

// TakenOver waits until a home has everything of this person.
func (a *App) TakenOver(h *Home) {
	a.Helper()
	Until(a.TB, a.Username+"'s history is home", func() bool {
		for _, r := range h.Residents() {
			if r.UID == a.UID {
				return r.State.TakenOver && r.State.Connected
			}
		}
		return false
	})
}

// Approves does the app's part of a pairing (section 10).
func (a *App) Approves(code handshake.Code) {
	a.Helper()
	a.must(a.TryApprove(context.Background(), code, a.Gate))
}

// Mailbox is where the messages of a pairing lie.
type Mailbox interface {
	PutPair(ctx context.Context, box protocol.ID, step gate.Step, message []byte) error
	GetPair(ctx context.Context, box protocol.ID, step gate.Step) ([]byte, error)
}

// TryApprove is Approves through some mailbox, hostile perhaps.
func (a *App) TryApprove(ctx context.Context, code handshake.Code, g Mailbox) error {
	a.Helper()
	ctx, stop := context.WithTimeout(ctx, Patience)
	defer stop()
	box := code.Mailbox()
	chain := a.Chain()
	me, _ := chain.Device(a.Keys.ID())
	approver, a1, err := handshake.NewApprover(Random, code, a.UID, me, a.Relay.Key, a.Place.Host)
	a.must(err)
	if err := g.PutPair(ctx, box, gate.A1, a1); err != nil {
		return err
	}
	n1, err := g.GetPair(ctx, box, gate.N1)
	if err != nil {
		return err
	}
	device, err := approver.Newcomer(n1)
	if err != nil {
		return err
	}
	a.Publish(chain.NewDeviceAdd(a.Keys, device, a.Now()))
	a.ChangeVault(func(*vault.Contents) {})
	a2, err := approver.Approve(a.Username, a.Name)
	if err != nil {
		return err
	}
	if err := g.PutPair(ctx, box, gate.A2, a2); err != nil {
		return err
	}
	n2, err := g.GetPair(ctx, box, gate.N2)
	if err != nil {
		return err
	}
	return approver.Done(n2)
}

// Linked is a sealed session with the own home.
type Linked struct {
	*App
	session *handshake.Session
	home    protocol.DeviceID
	next    int
	id      int64
	Unasked []Unasked
}

// Unasked is something the home said by itself.
type Unasked struct {
	M string          `json:"m"`
	P json.RawMessage `json:"p"`
}

func (a *App) linkEnvelope(to protocol.DeviceID, data []byte) *protocol.Envelope {
	id, err := protocol.NewID(Random)
	a.must(err)
	now := a.Now()
	e := &protocol.Envelope{V: 1, ID: id, TS: now, Exp: now + 30_000, Type: protocol.TypeLink, Data: data}
	e.From = protocol.Address{IP: a.Relay.Host, Port: a.Relay.Port, ID: protocol.UID(a.Keys.ID())}
	e.To = e.From
	e.To.ID = protocol.UID(to)
	return e
}

// Send sends link data to a device.
func (a *App) Send(to protocol.DeviceID, data []byte) {
	a.Helper()
	a.must(a.line.Send(context.Background(), a.linkEnvelope(to, data)))
}

// Links opens a session with the own home.
func (a *App) Links() *Linked {
	a.Helper()
	home, ok := a.Chain().Home(a.Now())
	if !ok {
		a.Fatal("no home in the chain")
	}
	l := &Linked{App: a, home: home.ID()}
	a.mu.Lock()
	l.next = len(a.live)
	a.mu.Unlock()
	peers := handshake.LinkPeers{UID: a.UID, Device: a.Keys.ID(), Home: home.ID(), RelayKey: a.Relay.Key, Host: a.Place.Host}
	initiator, hello, err := handshake.NewInitiator(Random, a.Keys, home.Sign, peers)
	a.must(err)
	a.Send(l.home, hello)
	answer := l.await(func(kind int, s handshake.SessionID) bool {
		return kind == handshake.LinkAnswer && s == initiator.Session()
	})
	finish, session, err := initiator.Finish(answer)
	a.must(err)
	l.session = session
	a.Send(l.home, finish)
	return l
}

// await takes the next link data that fits.
func (l *Linked) await(fits func(kind int, session handshake.SessionID) bool) []byte {
	l.Helper()
	timeout := time.After(Patience)
	for {
		l.mu.Lock()
		fresh, seen := l.live[l.next:], l.seen
		l.mu.Unlock()
		for _, raw := range fresh {
			l.next++
			e, err := protocol.ParseEnvelope(raw)
			l.must(err)
			kind, session, _, err := handshake.ParseLink(e.Data)
			l.must(err)
			if fits(kind, session) {
				return e.Data
			}
		}
		select {
		case <-seen:
		case <-timeout:
			l.Fatal("the home says nothing")
		}
	}
}

// frame takes the next frame of this session and returns its plaintext.
func (l *Linked) frame() []byte {
	l.Helper()
	data := l.await(func(kind int, s handshake.SessionID) bool { return kind == handshake.LinkFrame && s == l.session.ID() })
	plain, err := l.session.Open(data)
	l.must(err)
	return plain
}

// Say sends plaintext in a frame.
func (l *Linked) Say(plain []byte) {
	l.Helper()
	data, err := l.session.Seal(plain)
	l.must(err)
	l.Send(l.home, data)
}

// Asks puts a request and decodes the answer; the error has the home's code.
func (l *Linked) Asks(method string, params any, into any) error {
	l.Helper()
	l.id++
	raw, err := json.Marshal(map[string]any{"id": l.id, "m": method, "p": params})
	l.must(err)
	l.Say(raw)
	for {
		plain := l.frame()
		var a struct {
			ID int64           `json:"id"`
			R  json.RawMessage `json:"r"`
			E  *struct {
				Code string `json:"code"`
			} `json:"e"`
			Unasked
		}
		l.must(json.Unmarshal(plain, &a))
		if a.M != "" {
			l.Unasked = append(l.Unasked, a.Unasked)
			continue
		}
		if a.ID != l.id {
			l.Fatalf("answer to %d instead of %d", a.ID, l.id)
		}
		if a.E != nil {
			return &protocol.Error{Op: method, Code: a.E.Code}
		}
		if into == nil {
			return nil
		}
		return json.NewDecoder(bytes.NewReader(a.R)).Decode(into)
	}
}

// Hears waits for something the home says by itself.
func (l *Linked) Hears(m string) json.RawMessage {
	l.Helper()
	for {
		for i, u := range l.Unasked {
			if u.M == m {
				l.Unasked = append(l.Unasked[:i], l.Unasked[i+1:]...)
				return u.P
			}
		}
		var u Unasked
		l.must(json.Unmarshal(l.frame(), &u))
		l.Unasked = append(l.Unasked, u)
	}
}

// Event is an event as it comes over the link.
type Event struct {
	N      int64           `json:"n"`
	Peer   protocol.UID    `json:"peer"`
	Author protocol.UID    `json:"author"`
	Type   string          `json:"type"`
	Kind   string          `json:"kind"`
	Mid    protocol.ID     `json:"mid"`
	Clock  int64           `json:"clock"`
	TS     int64           `json:"ts"`
	Body   json.RawMessage `json:"body"`
	Hash   protocol.Hash32 `json:"hash"`
	Home   int64           `json:"home"`
	Read   int64           `json:"read"`
}

// Log reads everything in the log.
func (l *Linked) Log() []Event {
	l.Helper()
	var out []Event
	cursor := map[string]any{"epoch": "", "n": 0, "limit": 100}
	for {
		var a struct {
			Epoch  string  `json:"epoch"`
			N      int64   `json:"n"`
			Events []Event `json:"events"`
			More   bool    `json:"more"`
		}
		l.must(l.Asks("since", cursor, &a))
		out = append(out, a.Events...)
		cursor["epoch"], cursor["n"] = a.Epoch, a.N
		if !a.More {
			return out
		}
	}
}

// LogHas waits until the log has an event that fits.
func (l *Linked) LogHas(what string, fits func(Event) bool) Event {
	l.Helper()
	var found Event
	Until(l.TB, what+" is in the log", func() bool {
		for _, e := range l.Log() {
			if fits(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// AddDevice adds a device of a role and returns its app, not yet connected.
func (a *App) AddDevice(role string) *App {
	a.Helper()
	b := a.newApp(a.Username)
	b.UID, b.Name = a.UID, a.Name
	a.Publish(a.Chain().NewDeviceAdd(a.Keys, b.Keys.Device(role, 0), a.Now()))
	if role != ident.RoleSession {
		a.ChangeVault(func(*vault.Contents) {})
	}
	return b
}
