package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/relay/internal/space"
	"github.com/courtyard-social/courtyard/relay/internal/wall"
)

// loader gives the chains of these tests.
type loader map[protocol.UID]*ident.Chain

// Load implements wall.Chains.
func (l loader) Load(_ context.Context, uid protocol.UID) (*ident.Chain, error) { return l[uid], nil }

// heard hears nothing: what is written is looked at in the database.
type heard struct{}

// WallGrew implements wall.Told.
func (heard) WallGrew(protocol.UID, int64) {}

// SpacesChanged implements wall.Told.
func (heard) SpacesChanged([]space.Change) {}

func sum(raw []byte) protocol.Hash32 { return sha256.Sum256(raw) }

func walls(o Opened, person int64, now int64, people ...*relaytest.Person) *wall.Walls {
	chains := loader{}
	for _, p := range people {
		chains[p.UID] = p.Chain
	}
	limits := space.Defaults()
	limits.Person = person
	return wall.New(wall.Config{Hosts: []string{"relay.example"}, Store: o.Store, Chains: chains, Limits: limits, Told: heard{},
		Room: func() error { return nil }, Now: func() time.Time { return time.UnixMilli(now) }})
}

// written is somebody's wall, as its author knows it.
type written struct {
	t    *testing.T
	p    *relaytest.Person
	last *post.Head
}

func (w *written) next(c post.Content) (change, head protocol.Signed) {
	w.t.Helper()
	if c.Photos == nil {
		c.Photos = []post.Photo{}
	}
	change, head, err := post.New(w.p.Phone, w.p.Chain, w.last, c, Now)
	must(w.t, err)
	return change, head
}

func (w *written) write(walls *wall.Walls, c post.Content) error {
	w.t.Helper()
	change, head := w.next(c)
	err := walls.Post(w.t.Context(), w.p.UID, &change, head)
	if err == nil {
		h, bad := post.ParseHead(head)
		must(w.t, bad)
		w.last = &h
	}
	return err
}

func wallAndPhotos(t *testing.T, o Opened) {
	mei, tom := o.Resident(t, "mei"), o.Resident(t, "tom")
	const person = 20_000
	room := walls(o, person, Now, mei, tom)
	photos := []post.Photo{}
	for range 3 {
		raw := relaytest.JPEG(t, 40, 40)
		hash := sum(raw)
		must(t, room.PutMedia(t.Context(), mei.UID, hash, raw))
		must(t, room.PutMedia(t.Context(), mei.UID, hash, raw))
		photos = append(photos, post.Photo{Hash: hash, Size: int64(len(raw)), Width: 40, Height: 40, Thumb: []byte{}})
	}
	o.Counts(t)
	w := &written{t: t, p: mei}
	id, other := relaytest.NewID(t), relaytest.NewID(t)
	must(t, w.write(room, post.Content{Op: post.OpPost, ID: id, Text: "two", Photos: photos[:2]}))
	must(t, w.write(room, post.Content{Op: post.OpPost, ID: other, Photos: photos[1:]}))
	must(t, w.write(room, post.Content{Op: post.OpEdit, ID: id, Text: "none", Posted: Now, Gone: []int64{1}}))
	o.Counts(t)
	shown := func(p post.Photo) bool {
		_, found, err := o.Store.Public(t.Context(), p.Hash)
		must(t, err)
		return found
	}
	if shown(photos[0]) || !shown(photos[1]) || !shown(photos[2]) {
		t.Error("an edit took the wrong photos away")
	}
	if _, found, err := o.Store.Own(t.Context(), mei.UID, photos[0].Hash); err != nil || found {
		t.Error("a photo that was taken away is kept", err)
	}
	must(t, w.write(room, post.Content{Op: post.OpDelete, ID: other, Gone: []int64{2}}))
	if shown(photos[1]) || shown(photos[2]) {
		t.Error("photos of a deleted post")
	}
	o.Counts(t)
	rows, err := o.Store.Changes(t.Context(), mei.UID, 0, 100, 1<<20)
	must(t, err)
	if len(rows) != 4 || rows[0].Signed != nil || rows[1].Signed != nil || rows[2].Signed == nil || rows[3].Signed == nil {
		t.Error("changes:", rows)
	}
	list, err := o.Store.Shown(t.Context(), mei.UID, 1<<53, 10)
	must(t, err)
	if len(list) != 1 || !bytes.Contains(list[0].Payload, []byte("none")) {
		t.Error("shown:", list)
	}
	// A full space takes no post, but a deletion; and an unnamed photo goes after a day.
	for err = nil; err == nil; {
		raw := relaytest.JPEG(t, 60, 60)
		err = room.PutMedia(t.Context(), mei.UID, sum(raw), raw)
	}
	wantCode(t, err, protocol.CodeSpaceFull)
	left := person - o.Number(t, `SELECT used FROM spaces WHERE owner = $1`, mei.UID[:])
	wantCode(t, w.write(room, post.Content{Op: post.OpPost, ID: relaytest.NewID(t), Text: string(bytes.Repeat([]byte("x"), int(left)))}), protocol.CodeSpaceFull)
	o.Counts(t)
	must(t, w.write(room, post.Content{Op: post.OpDelete, ID: id, Gone: []int64{1, 3}}))
	o.Counts(t)
	must(t, room.Sweep(t.Context()))
	if o.Number(t, `SELECT COUNT(*) FROM media`) == 0 {
		t.Error("photos that are still new are dropped")
	}
	must(t, walls(o, person, Now+25*time.Hour.Milliseconds(), mei).Sweep(t.Context()))
	if n := o.Number(t, `SELECT COUNT(*) FROM media`); n != 0 {
		t.Error(n, "photos that nothing names")
	}
	o.Counts(t)
}

func wallCompareAndSwap(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	room := walls(o, 1<<20, Now, mei)
	w := &written{t: t, p: mei}
	results := race(6, func(int) func() error {
		change, head := w.next(post.Content{Op: post.OpPost, ID: relaytest.NewID(t), Text: "first"})
		return func() error { return room.Post(t.Context(), mei.UID, &change, head) }
	})
	oneWins(t, results, protocol.CodeWallConflict)
	o.Counts(t)
	if n := o.Number(t, `SELECT COUNT(*) FROM changes`); n != 1 {
		t.Fatal(n, "changes")
	}
}
