package devices_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/devices"
	"github.com/courtyard-social/courtyard/homedb/internal/files"
	"github.com/courtyard-social/courtyard/homedb/internal/keys"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// alone is a household of one.
type alone struct{}

func (alone) Code(context.Context, protocol.UID) (string, error) { return "h/CODE", nil }
func (alone) Asks(protocol.UID) []devices.Ask                    { return []devices.Ask{} }
func (alone) People() int                                        { return 1 }
func (alone) Free() (int64, error)                               { return 5, nil }
func (alone) Allow(context.Context, protocol.UID, protocol.ID, bool) error {
	return &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
}

// house is a home with a phone, a borrowed browser and a stranger before it.
type house struct {
	testing.TB
	config                  devices.Config
	log                     *chatlog.Log
	db                      *store.DB
	chain                   *ident.Chain // what the home knows
	fresh                   *ident.Chain // what the relay shows when it is asked, nil: the same
	home, phone, hotel, tab *ident.DeviceKeys
	live                    chan []byte
	sent                    chan *protocol.Envelope
	devices                 *devices.Devices
	counted                 chan string
}

func open(t testing.TB) *house {
	t.Helper()
	h := &house{TB: t, live: make(chan []byte, 1000), sent: make(chan *protocol.Envelope, 1000), counted: make(chan string, 1000)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []**ident.DeviceKeys{&h.home, &h.phone, &h.hotel, &h.tab} {
		var err error
		*k, err = ident.GenerateDeviceKeys(rand.Reader)
		must(err)
	}
	genesis, uid, err := ident.NewGenesis(rand.Reader, h.phone, ident.Relay{Key: protocol.Key32{1}, Host: "courtyard.example", Port: 443}, 1)
	must(err)
	h.chain, err = ident.ParseChain([]protocol.Signed{genesis})
	must(err)
	for _, d := range []ident.Device{h.home.Device(ident.RoleHome, 0), h.hotel.Device(ident.RoleSession, 0), h.tab.Device(ident.RoleAdmin, 0)} {
		rec, err := h.chain.NewDeviceAdd(h.phone, d, 2)
		must(err)
		must(h.chain.Append(rec))
	}
	rec, err := h.chain.NewDeviceRevoke(h.phone, h.tab.ID(), 0, 3)
	must(err)
	must(h.chain.Append(rec))
	dir := t.TempDir()
	h.db, err = sqlite.OpenLog(context.Background(), filepath.Join(dir, "log.db"))
	must(err)
	t.Cleanup(func() { must(h.db.Close()) })
	ringDB, err := sqlite.OpenRing(context.Background(), filepath.Join(dir, "keys.db"))
	must(err)
	t.Cleanup(func() { must(ringDB.Close()) })
	ring, err := keys.OpenRing(context.Background(), ringDB)
	must(err)
	h.log, err = chatlog.Open(context.Background(), h.db, uid, rand.Reader, 1)
	must(err)
	own := func(context.Context) (*ident.Chain, error) { return h.chain, nil }
	refresh := func(context.Context) (*ident.Chain, error) { return cmp.Or(h.fresh, h.chain), nil }
	h.config = devices.Config{UID: uid, Keys: h.home, RelayKey: protocol.Key32{1}, Host: "courtyard.example",
		Address: protocol.Address{IP: "courtyard.example", Port: 443}, Version: "test", Log: h.log, Ring: ring,
		Files: &files.Files{DB: h.db, Dir: dir}, Household: alone{}, Chain: own, Refresh: refresh, Clock: clock.System{}, Random: rand.Reader,
		Logger: slog.New(slog.DiscardHandler), Counted: func(what string) { h.counted <- what }}
	h.devices = devices.New(h.config).Over(h.now, func(_ context.Context, e *protocol.Envelope) error { h.sent <- e; return nil })
	return h
}

func (h *house) now() int64 { return clock.Millis(clock.System{}) }

func (h *house) runs() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.devices.Run(ctx, h.live) }()
	h.Cleanup(func() { stop(); <-done })
}

func (h *house) envelope(from *ident.DeviceKeys, data []byte, change ...func(*protocol.Envelope)) []byte {
	id, err := protocol.NewID(rand.Reader)
	if err != nil {
		h.Fatal(err)
	}
	e := &protocol.Envelope{V: 1, ID: id, TS: h.now(), Exp: h.now() + 30_000, From: h.config.Address, To: h.config.Address, Type: "link", Data: data}
	e.From.ID, e.To.ID = protocol.UID(from.ID()), protocol.UID(h.home.ID())
	for _, do := range change {
		do(e)
	}
	return e.Marshal()
}

// session is one device's.
type session struct {
	*house
	keys *ident.DeviceKeys
	*handshake.Session
}

func (h *house) hello(from *ident.DeviceKeys) (*handshake.Initiator, []byte) {
	h.Helper()
	peers := handshake.LinkPeers{UID: h.config.UID, Device: from.ID(), Home: h.home.ID(), RelayKey: protocol.Key32{1}, Host: "courtyard.example"}
	i, hello, err := handshake.NewInitiator(rand.Reader, from, h.home.Public(), peers)
	if err != nil {
		h.Fatal(err)
	}
	return i, hello
}

func (h *house) links(from *ident.DeviceKeys) *session {
	h.Helper()
	i, hello := h.hello(from)
	h.live <- h.envelope(from, hello)
	answer := <-h.sent
	if protocol.DeviceID(answer.To.ID) != from.ID() || answer.Exp == 0 {
		h.Fatal("an answer to somebody else, or for ever")
	}
	finish, s, err := i.Finish(answer.Data)
	if err != nil {
		h.Fatal(err)
	}
	h.live <- h.envelope(from, finish)
	return &session{h, from, s}
}

func (s *session) asks(plain string) string {
	s.Helper()
	data, err := s.Seal([]byte(plain))
	if err != nil {
		s.Fatal(err)
	}
	s.live <- s.envelope(s.keys, data)
	return s.hears()
}

func (s *session) hears() string {
	s.Helper()
	e := <-s.sent
	plain, err := s.Open(e.Data)
	if err != nil {
		s.Fatal(err)
	}
	return string(plain)
}

func TestRequestsThatAreNotOne(t *testing.T) {
	h := open(t)
	h.runs()
	s := h.links(h.phone)
	for plain, want := range map[string]string{
		`{`:                            `{"id":0,"e":{"code":"bad-request"}}`,
		`[]`:                           `{"id":0,"e":{"code":"bad-request"}}`,
		`{"id":1,"id":2,"m":"status"}`: `{"id":0,"e":{"code":"bad-request"}}`,
		`{"id":1,"m":"status","p":{"a":[[[[[[[1]]]]]]]}}`:                      `{"id":0,"e":{"code":"bad-request"}}`,
		`{"id":7,"m":"burn"}`:                                                  `{"id":7,"e":{"code":"bad-request"}}`,
		`{"id":8,"m":"page","p":{}}`:                                           `{"id":8,"e":{"code":"bad-request"}}`,
		`{"id":9,"m":"since","p":{"epoch":"x","n":0,"limit":1}}`:               `{"id":9,"e":{"code":"bad-request"}}`,
		`{"id":9,"m":"since","p":{"epoch":"","n":-1,"limit":1}}`:               `{"id":9,"e":{"code":"bad-request"}}`,
		`{"id":10,"m":"file","p":{"id":"AAAAAAAAAAAAAAAAAAAAAA","offset":0}}`:  `{"id":10,"e":{"code":"not-found"}}`,
		`{"id":11,"m":"file","p":{"id":"AAAAAAAAAAAAAAAAAAAAAA","offset":-1}}`: `{"id":11,"e":{"code":"not-found"}}`,
		`{"id":12,"m":"allow","p":{"id":"AAAAAAAAAAAAAAAAAAAAAA","yes":true}}`: `{"id":12,"e":{"code":"not-found"}}`,
		`{"id":13,"m":"talks"}`:                                                `{"id":13,"r":{"talks":[],"more":false}}`,
		`{"id":14,"m":"talks","p":{"before":[1]}}`:                             `{"id":14,"e":{"code":"bad-request"}}`,
		`{"id":15,"m":"keys"}`:                                                 `{"id":15,"r":{"ueks":[]}}`,
		`{"id":16,"m":"asks"}`:                                                 `{"id":16,"r":{"asks":[]}}`,
		`{"id":17,"m":"code"}`:                                                 `{"id":17,"r":{"code":"h/CODE"}}`,
	} {
		if got := s.asks(plain); got != want {
			t.Errorf("%s\n got %s\nwant %s", plain, got, want)
		}
	}
}

func TestOnlyOwnDevices(t *testing.T) {
	h := open(t)
	stranger, err := ident.GenerateDeviceKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := ident.GenerateDeviceKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.comesAndGoes(lost)
	h.runs()
	// quiet: nothing is answered, only counted.
	quiet := func(name, count string, raw []byte) {
		t.Helper()
		h.live <- raw
		select {
		case got := <-h.counted:
			if got != count {
				t.Errorf("%s: counted as %s", name, got)
			}
		case <-h.sent:
			t.Errorf("%s: answered", name)
		}
	}
	_, hello := h.hello(stranger)
	quiet("a stranger", "link-stranger", h.envelope(stranger, hello))
	_, hello = h.hello(h.tab)
	quiet("a revoked device", "link-stranger", h.envelope(h.tab, hello))
	_, hello = h.hello(lost)
	quiet("a device of which the home hears now, and that it is revoked", "link-stranger", h.envelope(lost, hello))
	_, hello = h.hello(h.phone)
	quiet("an old envelope", "link-expired", h.envelope(h.phone, hello, func(e *protocol.Envelope) { e.Exp = h.now() - 1000 }))
	quiet("one without end", "link-expired", h.envelope(h.phone, hello, func(e *protocol.Envelope) { e.Exp = 0 }))
	quiet("rubbish", "live-bad", []byte(`{"v":1}`))
	quiet("rubbish inside", "link-bad", h.envelope(h.phone, []byte{9}))

	// A stranger who knows the ids cannot finish a session in the phone's name.
	i, hello := h.hello(h.phone)
	h.live <- h.envelope(h.phone, hello)
	answer := <-h.sent
	finish, _, err := i.Finish(answer.Data)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte{}, finish...)
	forged[20] ^= 1
	quiet("a forged finish", "link-refused", h.envelope(h.phone, forged))

	s := h.links(h.phone)
	frame, err := s.Seal([]byte(`{"id":1,"m":"asks"}`))
	if err != nil {
		t.Fatal(err)
	}
	// Another device cannot speak in the phone's session.
	h.live <- h.envelope(h.hotel, frame)
	if e := <-h.sent; protocol.DeviceID(e.To.ID) != h.hotel.ID() || e.Data[0] != handshake.LinkClosed {
		t.Error("the hotel's browser was answered")
	}
	h.live <- h.envelope(h.phone, frame)
	s.hears()
	// The same frame again ends the session: what comes after is not trusted.
	h.live <- h.envelope(h.phone, frame)
	if got := <-h.counted; got != "link-refused" {
		t.Error(got)
	}
	if e := <-h.sent; e.Data[0] != handshake.LinkClosed {
		t.Error("a replay was answered")
	}
	next, err := s.Seal([]byte(`{"id":2,"m":"asks"}`))
	if err != nil {
		t.Fatal(err)
	}
	h.live <- h.envelope(h.phone, next)
	if e := <-h.sent; e.Data[0] != handshake.LinkClosed {
		t.Error("a session that has ended goes on")
	}
}

// comesAndGoes adds a device to the person's chain and revokes it; the home does
// not know yet.
func (h *house) comesAndGoes(keys *ident.DeviceKeys) {
	h.Helper()
	var err error
	if h.fresh, err = ident.ParseChain(h.chain.Records(0)); err != nil {
		h.Fatal(err)
	}
	for _, step := range []func() (protocol.Signed, error){
		func() (protocol.Signed, error) {
			return h.fresh.NewDeviceAdd(h.phone, keys.Device(ident.RoleAdmin, 0), 4)
		},
		func() (protocol.Signed, error) { return h.fresh.NewDeviceRevoke(h.phone, keys.ID(), 0, 5) },
	} {
		rec, err := step()
		if err != nil {
			h.Fatal(err)
		}
		if err := h.fresh.Append(rec); err != nil {
			h.Fatal(err)
		}
	}
}

func (h *house) says(body string, more ...func(*chatlog.Event)) *chatlog.Event {
	h.Helper()
	mid, err := protocol.NewID(rand.Reader)
	if err != nil {
		h.Fatal(err)
	}
	e := &chatlog.Event{Peer: protocol.UID{2}, Author: protocol.UID{2}, Type: "chat", Kind: "text", Mid: mid, Clock: h.now(), TS: h.now(), Envelope: mid,
		Proof: []byte{1}, Meta: []byte("{}"), Body: []byte(body), Hash: protocol.Hash("test", mid[:])}
	for _, do := range more {
		do(e)
	}
	err = h.db.Write(context.Background(), func(tx store.Tx) error {
		_, err := h.log.Append(context.Background(), tx, []*chatlog.Event{e})
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return e
}

// TestLargeEventsPass: whatever friends write, an answer fits its frame and the
// log can be read to its end.
func TestLargeEventsPass(t *testing.T) {
	h := open(t)
	h.runs()
	s := h.links(h.phone)
	texts := []string{`"short"`, `"` + strings.Repeat("<", 40_000) + `"`, `"` + strings.Repeat("你", 13_000) + `"`, `"` + strings.Repeat("x", 65_000) + `"`, `"last"`}
	var sent []*chatlog.Event
	for i, text := range texts {
		sent = append(sent, h.says(text, func(e *chatlog.Event) { e.Clock += int64(i) }))
	}
	// A huge message with huge edits and reactions.
	target := sent[1]
	for _, kind := range []string{"edit", "react"} {
		h.says(`"`+strings.Repeat("&", 40_000)+`"`, func(e *chatlog.Event) {
			e.Kind, e.Touches = kind, &chatlog.Touch{Mid: target.Mid, Author: target.Author}
		})
	}
	type answer struct {
		R struct {
			Epoch  string
			N      int64
			More   bool
			Events []struct {
				Mid   protocol.ID
				Clock int64
				Kind  string
				Body  json.RawMessage
			}
		}
	}
	read := func(plain string) answer {
		t.Helper()
		got := s.asks(plain)
		if len(got) > handshake.MaxLinkPlaintext {
			t.Fatalf("%d bytes", len(got))
		}
		var a answer
		if err := json.Unmarshal([]byte(got), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	seen, n := 0, int64(0)
	for {
		raw, err := json.Marshal(map[string]any{"id": 1, "m": "since", "p": map[string]any{"epoch": h.log.Epoch(), "n": n, "limit": 100}})
		if err != nil {
			t.Fatal(err)
		}
		a := read(string(raw))
		seen += len(a.R.Events)
		if a.R.More && a.R.N <= n {
			t.Fatal("since does not go on")
		}
		n = a.R.N
		if !a.R.More {
			break
		}
	}
	if seen != 7 {
		t.Errorf("%d of 7 events", seen)
	}
	messages, before := 0, ""
	for {
		peer := protocol.UID{2}
		a := read(`{"id":2,"m":"page","p":{"peer":"` + peer.String() + `","limit":100` + before + `}}`)
		var last struct {
			Mid   protocol.ID
			Clock int64
		}
		for _, e := range a.R.Events {
			if e.Kind == "text" {
				messages++
				last.Mid, last.Clock = e.Mid, e.Clock
			}
		}
		if !a.R.More {
			break
		}
		if len(a.R.Events) == 0 {
			t.Fatal("page does not go on")
		}
		raw, err := json.Marshal([]any{last.Clock, last.Mid})
		if err != nil {
			t.Fatal(err)
		}
		before = `,"before":` + string(raw)
	}
	if messages != 5 {
		t.Errorf("%d of 5 messages", messages)
	}
	s.asks(`{"id":3,"m":"talks"}`)
	if a := read(`{"id":4,"m":"since","p":{"epoch":"","n":0,"limit":0}}`); a.R.N != n || len(a.R.Events) != 0 || a.R.More {
		t.Errorf("the end of the log: %+v", a.R)
	}
	if a := read(`{"id":5,"m":"since","p":{"epoch":"AAAAAAAAAAAAAAAAAAAAAA","n":5,"limit":1}}`); len(a.R.Events) != 1 || a.R.N != 1 {
		t.Errorf("a cursor of another log: %+v", a.R)
	}
	h.devices.Grown()
	if got := s.hears(); !strings.HasPrefix(got, `{"m":"new","p":{"epoch":`) {
		t.Error(got)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	h := open(t)
	h.runs()
	first := h.links(h.phone)
	first.asks(`{"id":1,"m":"asks"}`)
	for range 40 { // hellos that never finish
		_, hello := h.hello(h.phone)
		h.live <- h.envelope(h.phone, hello)
		<-h.sent
	}
	frame, err := first.Seal([]byte(`{"id":2,"m":"asks"}`))
	if err != nil {
		t.Fatal(err)
	}
	h.live <- h.envelope(h.phone, frame)
	if e := <-h.sent; e.Data[0] != handshake.LinkClosed {
		t.Error("the session that was silent longest is still there")
	}
}

// FuzzAnswer: whatever a device says, the answer is JSON and fits a frame.
func FuzzAnswer(f *testing.F) {
	h := open(f)
	target := h.says(`{"text":"hello"}`)
	h.says(`{"emoji":"x"}`, func(e *chatlog.Event) {
		e.Kind, e.Touches = "react", &chatlog.Touch{Mid: target.Mid, Author: target.Author}
	})
	peer := protocol.UID{2}
	for _, s := range []string{`{"id":1,"m":"status"}`, `{"id":1,"m":"talks","p":{"before":[9,"AAAAAAAAAAAAAAAAAAAAAA"],"limit":1}}`,
		`{"id":1,"m":"since","p":{"epoch":"","n":0,"limit":10}}`, `{"id":1,"m":"page","p":{"peer":"` + peer.String() + `","limit":3}}`,
		`{"id":1,"m":"file","p":{"id":"AAAAAAAAAAAAAAAAAAAAAA","offset":0}}`, `{"id":1,"m":"allow","p":{"id":"AAAAAAAAAAAAAAAAAAAAAA","yes":true}}`,
		`{"id":1,"m":"keys"}`, `{"id":1,"m":"code"}`, `{"id":1,"m":"asks"}`} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	me, _ := h.chain.Device(h.phone.ID())
	hotel, _ := h.chain.Device(h.hotel.ID())
	f.Fuzz(func(t *testing.T, plain []byte, admin bool) {
		device := hotel
		if admin {
			device = me
		}
		for len(h.counted) > 0 {
			<-h.counted
		}
		got := devices.Answer(h.devices, t.Context(), device, plain)
		if len(got) > handshake.MaxLinkPlaintext || !json.Valid(got) {
			t.Errorf("%d bytes: %.200s", len(got), got)
		}
		if !admin && strings.Contains(string(got), `"ueks"`) {
			t.Error("keys for a session device")
		}
	})
}

// FuzzLive: whatever the relay passes on, the home stands.
func FuzzLive(f *testing.F) {
	h := open(f)
	_, hello := h.hello(h.phone)
	f.Add(h.envelope(h.phone, hello))
	f.Add(h.envelope(h.phone, []byte{handshake.LinkFrame, 0, 0, 0, 0, 0, 0, 0, 0}))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		devices.Take(h.devices, t.Context(), raw)
		for len(h.counted) > 0 {
			<-h.counted
		}
		for len(h.sent) > 0 {
			<-h.sent
		}
	})
}
