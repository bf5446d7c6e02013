package wall_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/homedb/internal/wall"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
)

// hostile is a relay that can show a wall otherwise than it was written.
type hostile struct {
	t     *testing.T
	phone *ident.DeviceKeys
	home  *ident.DeviceKeys
	chain *ident.Chain

	mu      sync.Mutex // guards what follows
	changes []post.Change
	heads   []protocol.Signed
	media   map[protocol.Hash32][]byte
	perPage int
	show    func(post.Page) (post.Page, error) // nil: as it is
	renewed int
	calls   int
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{t: t, media: map[protocol.Hash32][]byte{}, perPage: 2}
	h.phone, h.home = h.keys(), h.keys()
	rec, _, err := ident.NewGenesis(rand.Reader, h.phone, ident.Relay{Host: "relay.example", Port: 443}, 1000)
	h.must(err)
	h.chain, err = ident.ParseChain([]protocol.Signed{rec})
	h.must(err)
	rec, err = h.chain.NewDeviceAdd(h.phone, h.home.Device(ident.RoleHome, 0), 1000)
	h.must(err)
	h.must(h.chain.Append(rec))
	return h
}

func (h *hostile) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hostile) keys() *ident.DeviceKeys {
	h.t.Helper()
	k, err := ident.GenerateDeviceKeys(rand.Reader)
	h.must(err)
	return k
}

func (h *hostile) last() *post.Head {
	if len(h.changes) == 0 {
		return nil
	}
	head, err := post.ParseHead(h.heads[len(h.heads)-1])
	h.must(err)
	return &head
}

// write is the author's.
func (h *hostile) write(by protocol.Signer, c post.Content) post.Change {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.Op == "" {
		c.Op = post.OpPost
	}
	if c.ID.IsZero() {
		var err error
		c.ID, err = protocol.NewID(rand.Reader)
		h.must(err)
	}
	if c.Photos == nil {
		c.Photos = []post.Photo{}
	}
	change, head, err := post.New(by, h.chain, h.last(), c, 2000)
	h.must(err)
	parsed, err := post.Parse(change)
	h.must(err)
	h.changes, h.heads = append(h.changes, parsed), append(h.heads, head)
	return parsed
}

// Wall implements wall.Relay.
func (h *hostile) Wall(_ context.Context, _, _ string, after int64, _ int) (post.Page, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	if len(h.changes) == 0 {
		return post.Page{}, &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
	}
	gone := map[int64]bool{}
	for _, c := range h.changes {
		for _, seq := range c.Gone {
			gone[seq] = true
		}
	}
	p := post.Page{UID: h.chain.UID(), Username: "wei", Host: "relay.example", Head: h.heads[len(h.heads)-1]}
	for _, c := range h.changes[min(int(after), len(h.changes)):] {
		if len(p.Items) == h.perPage {
			p.More = true
			break
		}
		signed := c.Signed
		item := post.Item{Signed: &signed}
		if gone[c.Seq] {
			item = post.Item{Stub: &post.Stub{Seq: c.Seq, Hash: c.Hash}}
		}
		p.Items = append(p.Items, item)
	}
	if h.show == nil {
		return p, nil
	}
	return h.show(p)
}

// PostHead implements wall.Relay.
func (h *hostile) PostHead(_ context.Context, _ string, head protocol.Signed) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	renewed, err := post.VerifyHead(head, h.chain)
	h.must(err)
	if renewed.Seq != int64(len(h.changes)) {
		return &protocol.Error{Op: "test", Code: protocol.CodeWallConflict}
	}
	h.heads[len(h.heads)-1] = head
	h.renewed++
	return nil
}

// Media implements wall.Relay.
func (h *hostile) Media(_ context.Context, _ string, hash protocol.Hash32) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if data, ok := h.media[hash]; ok {
		return data, nil
	}
	return nil, &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
}

func (h *hostile) shows(do func(post.Page) (post.Page, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.show = do
}

// played is a home's wall and what it counted.
type played struct {
	*wall.Wall
	h     *hostile
	clock *clock.Moved
	stale *ident.Chain // what the home knows of the chain, until it asks
	asked int

	mu      sync.Mutex
	counted map[string]int
}

func play(t *testing.T, h *hostile) *played {
	t.Helper()
	db, err := sqlite.OpenLog(t.Context(), filepath.Join(t.TempDir(), "log.db"))
	h.must(err)
	t.Cleanup(func() { h.must(db.Close()) })
	p := &played{h: h, clock: clock.NewMoved(), stale: h.chain, counted: map[string]int{}}
	p.Wall = &wall.Wall{DB: db, UID: h.chain.UID(), Username: "wei", Host: "relay.example", Relay: h, Signer: h.home, Clock: p.clock,
		Now:   func() int64 { return 3000 },
		Chain: func(context.Context) (*ident.Chain, error) { return p.stale, nil },
		Refresh: func(context.Context) (*ident.Chain, error) {
			p.asked++
			p.stale = h.chain
			return h.chain, nil
		},
		Logger:  slog.New(slog.DiscardHandler),
		Counted: func(what string) { p.mu.Lock(); defer p.mu.Unlock(); p.counted[what]++ },
		Wake:    make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx, "token") }()
	t.Cleanup(func() { stop(); <-done })
	return p
}

func (p *played) alarms() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counted["wall-altered"]
}

// kept walks what is kept here; nil if there is no wall.
func (p *played) kept() ([]post.Change, int64) {
	p.h.t.Helper()
	walk := post.NewWalk(p.h.chain, post.Pin{})
	var all []post.Change
	for !walk.Ended() {
		page, err := p.Page(context.Background(), walk.After(), 3, 60_000)
		if protocol.CodeOf(err) == protocol.CodeNotFound {
			return nil, 0
		}
		p.h.must(err)
		changes, err := walk.Take(page)
		p.h.must(err)
		all = append(all, changes...)
	}
	return all, walk.Head().Seq
}

func (p *played) has(seq int64) {
	p.h.t.Helper()
	hometest.Until(p.h.t, "the wall is here", func() bool { _, n := p.kept(); return n == seq })
}

func TestAHostileRelay(t *testing.T) {
	const n = 6
	cut := func(p post.Page, i int) post.Page {
		p.Items = append(append([]post.Item{}, p.Items[:i]...), p.Items[i+1:]...)
		return p
	}
	for name, lie := range map[string]func(h *hostile) func(post.Page) (post.Page, error){
		"alters a byte": func(*hostile) func(post.Page) (post.Page, error) {
			return func(p post.Page) (post.Page, error) {
				s := *p.Items[len(p.Items)-1].Signed
				s.Payload = bytes.Replace(s.Payload, []byte("number"), []byte("nummer"), 1)
				p.Items[len(p.Items)-1].Signed = &s
				return p, nil
			}
		},
		"hides the newest": func(h *hostile) func(post.Page) (post.Page, error) {
			return func(p post.Page) (post.Page, error) {
				if !p.More {
					p = cut(p, len(p.Items)-1)
				}
				return p, nil
			}
		},
		"calls a post taken back": func(*hostile) func(post.Page) (post.Page, error) {
			return func(p post.Page) (post.Page, error) {
				c, err := post.Parse(*p.Items[0].Signed)
				p.Items[0] = post.Item{Stub: &post.Stub{Seq: c.Seq, Hash: c.Hash}}
				return p, err
			}
		},
		"rolls back": func(h *hostile) func(post.Page) (post.Page, error) {
			return func(p post.Page) (post.Page, error) {
				p.Head, p.Items, p.More = h.heads[0], nil, false
				return p, nil
			}
		},
		"has no wall any more": func(*hostile) func(post.Page) (post.Page, error) {
			return func(post.Page) (post.Page, error) {
				return post.Page{}, &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t)
			h.write(h.phone, post.Content{Text: "number 1"})
			h.write(h.phone, post.Content{Text: "number 2"})
			p := play(t, h)
			p.has(2)
			h.shows(lie(h))
			for range n - 2 {
				h.write(h.phone, post.Content{Text: "another number"})
			}
			clock.Wake(p.Wake)
			hometest.Until(t, "it is noticed", func() bool { return p.alarms() > 0 })
			if all, seq := p.kept(); seq != 2 || len(all) != 2 {
				t.Error("the home took over", len(all), seq)
			}
			h.shows(nil) // it was a mishap
			clock.Wake(p.Wake)
			p.has(n)
		})
	}
}

// A walk that is cut off leaves nothing that counts, and is taken up again.
func TestAWalkThatIsCutOff(t *testing.T) {
	h := newHostile(t)
	for range 9 {
		h.write(h.phone, post.Content{Text: strings.Repeat("x", 100)})
	}
	lost := errors.New("the line is gone")
	calls := 0
	h.shows(func(p post.Page) (post.Page, error) {
		if calls++; calls%4 == 3 {
			return post.Page{}, lost
		}
		return p, nil
	})
	p := play(t, h)
	hometest.Until(t, "it was cut off", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.calls == 3 })
	if all, seq := p.kept(); seq != 0 || all != nil {
		t.Error("half a wall counts:", len(all))
	}
	h.shows(nil)
	clock.Wake(p.Wake)
	p.has(9)
}

// A device that the home has not heard of yet is looked for in the chain, once.
func TestANewDeviceWrites(t *testing.T) {
	h := newHostile(t)
	h.write(h.phone, post.Content{Text: "from the phone"})
	p := play(t, h)
	p.has(1)
	tablet := h.keys()
	rec, err := h.chain.NewDeviceAdd(h.phone, tablet.Device(ident.RoleAdmin, 0), 1500)
	h.must(err)
	p.stale = h.chain.Clone()
	h.must(h.chain.Append(rec))
	h.write(tablet, post.Content{Text: "from the tablet"})
	clock.Wake(p.Wake)
	p.has(2)
	if p.asked != 1 || p.alarms() != 0 {
		t.Error("asked", p.asked, "alarms", p.alarms())
	}
}

// A photo is kept if it is the one that the wall names, and asked for until then.
func TestPhotos(t *testing.T) {
	h := newHostile(t)
	data := []byte("a photo, as far as the home is concerned: the relay has looked through it")
	hash := protocol.Hash32(sha256.Sum256(data))
	h.media[hash] = []byte("another photo")
	h.write(h.phone, post.Content{Photos: []post.Photo{{Hash: hash, Size: int64(len(data)), Width: 1, Height: 1, Thumb: []byte{}}}})
	p := play(t, h)
	p.has(1)
	here := func(want int) func() bool {
		return func() bool {
			var n, tries int
			h.must(p.DB.QueryRow(t.Context(), `SELECT COUNT(data), COALESCE(MAX(tries), 0) FROM wall_media`).Scan(&n, &tries))
			return n == want && tries > 0
		}
	}
	hometest.Until(t, "it was tried", here(0))
	h.mu.Lock()
	h.media[hash] = data
	h.mu.Unlock()
	p.clock.Advance(time.Minute)
	hometest.Until(t, "it is here", here(1))
}
