package devices_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/devices"
	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/direct/directtest"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// outdoors is a house that can be reached directly. The relay is played: it sees
// every device at `seen`, and has no TURN.
type outdoors struct {
	*house
	paths   *direct.Paths
	network *direct.Network
	clock   *clock.Moved
	seen    atomic.Value // netip.Addr
	known   atomic.Pointer[ident.Chain]
	tally   chan string
	dir     string
}

// opens opens a house for direct connections; devices may be in the named networks.
func opens(t testing.TB, named ...string) *outdoors {
	return opensAt(t, "", named...)
}

func opensAt(t testing.TB, listen string, named ...string) *outdoors {
	t.Helper()
	o := &outdoors{house: open(t), clock: clock.NewMoved(), tally: make(chan string, 10_000)}
	o.seen.Store(netip.MustParseAddr("127.0.0.1"))
	o.known.Store(o.chain)
	settings := direct.Settings{Listen: listen, Logger: slog.New(slog.DiscardHandler), Open: func(int) {}, Counted: func(what string) { o.tally <- what }}
	for _, text := range named {
		settings.Named = append(settings.Named, netip.MustParsePrefix(text))
	}
	var err error
	if o.network, err = direct.Open(context.Background(), settings); err != nil {
		t.Fatal(err)
	}
	var desk *devices.Desk
	o.paths = direct.New(direct.Config{Network: o.network, Keys: o.home,
		Relay: func() netip.Addr { return netip.Addr{} },
		Turn:  func(context.Context) (direct.Servers, error) { return direct.Servers{}, nil },
		Where: func(context.Context, protocol.DeviceID) (netip.Addr, error) { return o.seen.Load().(netip.Addr), nil },
		Active: func(_ context.Context, id protocol.DeviceID) bool {
			_, ok := o.known.Load().Active(id, o.now())
			return ok
		},
		Serve: func(ctx context.Context, c *direct.Channel) { desk.Serve(ctx, c) },
		Clock: o.clock, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		o.paths.Close()
		if err := o.network.Close(); err != nil {
			t.Error(err)
		}
	})
	o.config.Direct = o.paths
	o.dir = o.config.Files.Dir
	desk = devices.New(o.config)
	o.devices = desk.Over(o.now, func(_ context.Context, e *protocol.Envelope) error { o.sent <- e; return nil })
	return o
}

// counts waits until all of these have been counted, in whatever order.
func (o *outdoors) counts(all ...string) {
	o.Helper()
	timeout := time.After(directtest.Patience)
	for len(all) > 0 {
		select {
		case got := <-o.tally:
			if i := slices.Index(all, got); i >= 0 {
				all = slices.Delete(all, i, i+1)
			}
		case <-timeout:
			o.Fatalf("never counted: %q", all)
		}
	}
}

// keeps puts a file of random bytes where files are kept.
func (o *outdoors) keeps(size int) (protocol.ID, []byte) {
	o.Helper()
	id, err := protocol.NewID(rand.Reader)
	if err != nil {
		o.Fatal(err)
	}
	data := make([]byte, size)
	rand.Read(data) //nolint:errcheck // it never fails
	name := hex.EncodeToString(id[:])
	if err := os.MkdirAll(filepath.Join(o.dir, name[:2]), 0o700); err != nil {
		o.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.dir, name[:2], name), data, 0o600); err != nil {
		o.Fatal(err)
	}
	err = o.db.Write(context.Background(), func(tx store.Tx) error {
		_, err := tx.Exec(context.Background(), `INSERT INTO files (author, id, mid, peer, key, size, hash, state, tries, due) VALUES ($1, $2, $2, $1, $1, $3, $1, 'have', 0, 0)`,
			id[:], id[:], size)
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return id, data
}

// r asks over the link, and decodes the answer or returns its code.
func (s *session) r(method string, params, into any) string {
	s.Helper()
	raw, err := json.Marshal(map[string]any{"id": 1, "m": method, "p": params})
	if err != nil {
		s.Fatal(err)
	}
	var m directtest.Message
	if err := json.Unmarshal([]byte(s.asks(string(raw))), &m); err != nil {
		s.Fatal(err)
	}
	if m.E != nil {
		return m.E.Code
	}
	if into != nil {
		if err := json.Unmarshal(m.R, into); err != nil {
			s.Fatal(err)
		}
	}
	return ""
}

// calls offers a phone's connection over the link; the code is that of a refusal.
func (s *session) calls(p *directtest.Phone, change ...func(sdp string) string) (protocol.ID, string) {
	s.Helper()
	id, err := protocol.NewID(rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	sdp := p.Offers()
	for _, do := range change {
		sdp = do(sdp)
	}
	var a struct {
		SDP string `json:"sdp"`
	}
	code := s.r("direct", map[string]any{"id": id, "sdp": sdp}, &a)
	if code == "" {
		p.Takes(a.SDP)
	}
	return id, code
}

// connects opens a phone's connection.
func (s *session) connects(plan directtest.Plan) (*directtest.Phone, protocol.ID) {
	s.Helper()
	p := directtest.New(s.TB, plan)
	id, code := s.calls(p)
	if code != "" {
		s.Fatal(code)
	}
	p.Opens()
	return p, id
}

const loopback = "127.0.0.0/8"

// TestOverADirectConnection: what a device hears over the channel is what it hears
// over the link, news and a large file included.
func TestOverADirectConnection(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	for range 30 {
		o.says(`{"text":"` + strings.Repeat("x", 2000) + `"}`)
	}
	id, data := o.keeps(20 << 20)
	link := o.links(o.phone)
	phone, path := link.connects(directtest.Plan{})
	for _, question := range []struct {
		method string
		params any
	}{{"since", map[string]any{"epoch": o.log.Epoch(), "n": 0, "limit": 500}}, {"page", map[string]any{"peer": protocol.UID{2}, "limit": 20}}, {"talks", map[string]any{}}, {"keys", map[string]any{}}, {"asks", map[string]any{}}} {
		var over, beside json.RawMessage
		if code := link.r(question.method, question.params, &over); code != "" {
			t.Fatal(code)
		}
		if err := phone.Asks(question.method, question.params, &beside); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(over, beside) {
			t.Errorf("%s: %.200s\nover the link: %.200s", question.method, beside, over)
		}
	}
	if err := phone.Asks("burn", nil, nil); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Error(err)
	}
	var status struct {
		Direct direct.Status `json:"direct"`
	}
	if err := phone.Asks("status", nil, &status); err != nil || !status.Direct.On || status.Direct.Open != 1 || status.Direct.Listen {
		t.Errorf("%+v %v", status, err)
	}
	o.devices.Grown()
	if news := phone.Told("new"); !strings.Contains(string(news), `"epoch"`) {
		t.Errorf("%s", news)
	}
	if got := link.hears(); !strings.HasPrefix(got, `{"m":"new"`) {
		t.Error(got)
	}
	var way direct.Way
	if code := link.r("direct-path", map[string]any{"id": path}, &way); code != "" || way.State != "open" || way.Remote != direct.Host || way.Protocol != "udp" || !strings.HasPrefix(way.Address, "127.0.0.1:") || way.Near {
		t.Errorf("%s %+v", code, way)
	}
	got, err := phone.File(id, nil)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
	if code := link.r("direct-end", map[string]any{"id": path}, nil); code != "" {
		t.Error(code)
	}
	phone.Ends()
	if code := link.r("direct-path", map[string]any{"id": path}, nil); code != protocol.CodeNotFound {
		t.Error(code)
	}
}

// TestASessionDeviceGetsNoKeysDirectly: the channel is no way round what a device may ask.
func TestASessionDeviceGetsNoKeysDirectly(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	phone, _ := o.links(o.hotel).connects(directtest.Plan{})
	for _, method := range []string{"keys", "code", "allow"} {
		if err := phone.Asks(method, nil, nil); protocol.CodeOf(err) != protocol.CodeNotAllowed {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestTheLineEndsAndTheChannelGoesOn: the relay goes away in the middle of a file.
func TestTheLineEndsAndTheChannelGoesOn(t *testing.T) {
	o := opens(t, loopback)
	ctx, lineEnds := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); o.devices.Run(ctx, o.live) }()
	id, data := o.keeps(3 << 20)
	phone, path := o.links(o.phone).connects(directtest.Plan{})
	got, err := phone.File(id, func(have, size int64) bool {
		if have > size/2 {
			lineEnds()
			<-ended
		}
		return true
	})
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(data), err)
	}
	// The line is back: the device has a new session, and the same connection.
	ctx, stop := context.WithCancel(context.Background())
	back := make(chan struct{})
	go func() { defer close(back); o.devices.Run(ctx, o.live) }()
	defer func() { stop(); <-back }()
	link := o.links(o.phone)
	var way direct.Way
	if code := link.r("direct-path", map[string]any{"id": path}, &way); code != "" || way.State != "open" {
		t.Errorf("%s %+v", code, way)
	}
	if err := phone.Asks("asks", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestTheChannelEndsAndTheLinkGoesOn: the phone loses the way in the middle of a file.
func TestTheChannelEndsAndTheLinkGoesOn(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	id, data := o.keeps(1 << 20)
	link := o.links(o.phone)
	phone, _ := link.connects(directtest.Plan{})
	got, err := phone.File(id, func(have, size int64) bool { return have < size/2 })
	if err != nil {
		t.Fatal(err)
	}
	phone.Leave()
	for len(got) < len(data) {
		var a struct {
			Data protocol.Bytes `json:"data"`
		}
		if code := link.r("file", map[string]any{"id": id, "offset": len(got)}, &a); code != "" {
			t.Fatal(code)
		}
		got = append(got, a.Data...)
	}
	if !bytes.Equal(got, data) {
		t.Error("not the same bytes")
	}
	if _, err := phone.Hears(); err == nil {
		t.Error("the phone still hears something")
	}
}
