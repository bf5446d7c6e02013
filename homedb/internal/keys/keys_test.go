package keys_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/keys"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drawer is a ring in a directory of its own.
type drawer struct {
	*testing.T
	path string
	db   *store.DB
	*keys.Ring
}

func open(t *testing.T) *drawer {
	t.Helper()
	d := &drawer{T: t, path: filepath.Join(t.TempDir(), "keys.db")}
	d.again()
	t.Cleanup(func() {
		if err := d.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *drawer) again() {
	d.Helper()
	if d.db != nil {
		if err := d.db.Close(); err != nil {
			d.Fatal(err)
		}
	}
	var err error
	if d.db, err = sqlite.OpenRing(d.Context(), d.path); err != nil {
		d.Fatal(err)
	}
	if d.Ring, err = keys.OpenRing(d.Context(), d.db); err != nil {
		d.Fatal(err)
	}
}

func (d *drawer) key(counter, issued int64) keys.Key {
	d.Helper()
	secret, err := protocol.NewBoxSecret(rand.Reader)
	if err != nil {
		d.Fatal(err)
	}
	return keys.Key{UEKSecret: ident.UEKSecret{Counter: counter, Secret: secret}, TS: issued, Issued: issued}
}

func (d *drawer) adds(k ...keys.Key) {
	d.Helper()
	if err := d.Add(d.Context(), k...); err != nil {
		d.Fatal(err)
	}
}

func (d *drawer) onDisk(k keys.Key) bool {
	d.Helper()
	secret := k.Secret.Expose()
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		raw, err := os.ReadFile(d.path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			d.Fatal(err)
		}
		if bytes.Contains(raw, secret[:]) {
			return true
		}
	}
	return false
}

func TestKeysSurviveAndEnd(t *testing.T) {
	d := open(t)
	var all []keys.Key
	for i := range 40 { // more than a page holds
		all = append(all, d.key(int64(i+1), 1000))
	}
	d.adds(all...)
	d.again()
	if got := d.Keys(); len(got) != 40 || got[0].Counter != 40 || got[39].Secret.Public() != all[0].Secret.Public() {
		t.Fatal("the ring is another after a restart")
	}
	if !d.onDisk(all[7]) {
		t.Fatal("a key is not on the disk: this test proves nothing")
	}
	var gone []protocol.Key32
	for i, k := range all {
		if i%3 != 0 {
			gone = append(gone, k.Public())
		}
	}
	if err := d.Delete(t.Context(), gone...); err != nil {
		t.Fatal(err)
	}
	for i, k := range all {
		if kept := i%3 == 0; d.onDisk(k) != kept {
			t.Errorf("key %d: on the disk %v", i, !kept)
		}
		if _, ok := d.Find(k.Public()); ok != (i%3 == 0) {
			t.Errorf("key %d: in the ring %v", i, ok)
		}
	}
	if err := d.Delete(t.Context()); err != nil {
		t.Error("deleting nothing: ", err)
	}
}

func TestWhenAKeysTimeIsOver(t *testing.T) {
	d := open(t)
	const day = 24 * 3600 * 1000
	one, two, three := d.key(1, 0*day+1), d.key(2, 1*day), d.key(3, 3*day)
	orphan := d.key(3, 0) // lost the race for counter 3
	ahead := d.key(4, 0)  // on its way
	d.adds(one, two, three, orphan, ahead)
	newest := ident.UEKPin{Counter: 3, Key: three.Public()}
	for _, test := range []struct {
		now  int64
		want []protocol.Key32
	}{
		{3*day - 1, nil},
		{3 * day, []protocol.Key32{one.Public()}},
		{5*day - 1, []protocol.Key32{one.Public()}},
		{5 * day, []protocol.Key32{one.Public(), two.Public(), orphan.Public()}},
		{500 * day, []protocol.Key32{one.Public(), two.Public(), orphan.Public()}},
	} {
		got := map[protocol.Key32]bool{}
		for _, k := range d.Expired(newest, test.now) {
			got[k] = true
		}
		if len(got) != len(test.want) {
			t.Errorf("at %d: %d keys", test.now, len(got))
		}
		for _, k := range test.want {
			if !got[k] {
				t.Errorf("at %d: one is missing", test.now)
			}
		}
	}
}

// relay keeps the newest record and swaps it by comparison.
type relay struct {
	chain  *ident.Chain
	signed *protocol.Signed
	post   func() error // before a record is taken
	lose   bool         // the answer, after it was taken
}

func (r *relay) UEK(context.Context, protocol.UID) (protocol.Signed, error) {
	if r.signed == nil {
		return protocol.Signed{}, &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
	}
	return *r.signed, nil
}

func (r *relay) PostUEK(_ context.Context, _ string, rec protocol.Signed) error {
	if r.post != nil {
		if err := r.post(); err != nil {
			return err
		}
	}
	next, err := ident.VerifyUEK(rec, r.chain)
	if err != nil {
		return err
	}
	var last *ident.UEKRecord
	if r.signed != nil {
		var p struct {
			Counter int64 `json:"counter"`
		}
		if err := protocol.DecodeOpen(r.signed.Payload, &p, 2); err != nil {
			return err
		}
		last = &ident.UEKRecord{Counter: p.Counter, Hash: protocol.Hash("uek", r.signed.Payload)}
	}
	if err := next.Follows(last); err != nil {
		return err
	}
	r.signed = &rec
	if r.lose {
		return &protocol.Error{Op: "test", Code: protocol.CodeUnavailable}
	}
	return nil
}

// house is a home with a phone beside it.
type house struct {
	*drawer
	*keys.Issuer
	relay *relay
	clock *clock.Moved
	phone *ident.DeviceKeys
}

func build(t *testing.T) *house {
	t.Helper()
	phone, err := ident.GenerateDeviceKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	home, err := ident.GenerateDeviceKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	genesis, _, err := ident.NewGenesis(rand.Reader, phone, ident.Relay{Key: protocol.Key32{1}, Host: "courtyard.example", Port: 443}, 1)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := ident.ParseChain([]protocol.Signed{genesis})
	if err != nil {
		t.Fatal(err)
	}
	add, err := chain.NewDeviceAdd(phone, home.Device(ident.RoleHome, 0), 2)
	if err == nil {
		err = chain.Append(add)
	}
	if err != nil {
		t.Fatal(err)
	}
	d, c := open(t), clock.NewMoved()
	return &house{d, &keys.Issuer{Ring: d.Ring, Signer: home, Clock: c, Random: rand.Reader, Stamp: func() int64 { return clock.Millis(c) }}, &relay{chain: chain}, c, phone}
}

func (h *house) keep() (ident.UEKRecord, error) {
	return h.Issuer.Keep(h.Context(), h.relay, "token", h.relay.chain)
}

func (h *house) keeps(counter int64) ident.UEKRecord {
	h.Helper()
	rec, err := h.keep()
	if err != nil || rec.Counter != counter {
		h.Fatalf("counter %d, %v", rec.Counter, err)
	}
	k, ok := h.drawer.Find(rec.Key)
	if !ok || k.Issued == 0 {
		h.Fatal("the secret of the record in use is not here, or not noted as issued")
	}
	return rec
}

func TestARecordADay(t *testing.T) {
	h := build(t)
	h.keeps(1)
	h.keeps(1)
	h.clock.Advance(23 * time.Hour)
	h.keeps(1)
	h.clock.Advance(time.Hour)
	h.keeps(2)
	h.keeps(2)
}

func TestAClockThatWasAhead(t *testing.T) {
	h := build(t)
	h.clock.Advance(50 * 365 * 24 * time.Hour)
	h.keeps(1)
	h.clock = clock.NewMoved() // set right
	h.Issuer.Clock = h.clock
	h.keeps(1)
	h.clock.Advance(25 * time.Hour)
	h.keeps(2)
	h.clock.Advance(49 * time.Hour)
	rec := h.keeps(3)
	if over := h.Expired(rec.Pin(), clock.Millis(h.clock)); len(over) != 1 {
		t.Errorf("%d keys are over", len(over))
	}
}

func TestAnotherIsFaster(t *testing.T) {
	h := build(t)
	first := h.keeps(1)
	h.clock.Advance(25 * time.Hour)
	races := 0
	h.relay.post = func() error {
		if races++; races > 1 {
			return nil
		}
		secret, err := protocol.NewBoxSecret(rand.Reader)
		if err != nil {
			return err
		}
		rec, err := ident.NewUEKRecord(h.phone, h.relay.chain, &first, secret.Public(), clock.Millis(h.clock))
		h.relay.signed = &rec
		return err
	}
	h.keeps(3) // after the phone's, whose secret is not here
	if n := len(h.drawer.Keys()); n != 2 {
		t.Errorf("%d keys: the one that nobody has seen was kept", n)
	}
}

func TestTheAnswerGetsLost(t *testing.T) {
	h := build(t)
	h.relay.lose = true
	if _, err := h.keep(); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Fatal(err)
	}
	h.relay.lose = false
	h.keeps(1) // it was published: its secret must have been kept
	if n := len(h.drawer.Keys()); n != 1 {
		t.Errorf("%d keys", n)
	}
}

func TestAfterARevocation(t *testing.T) {
	h := build(t)
	h.keeps(1)
	tablet, err := ident.GenerateDeviceKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := h.relay.chain
	add, err := c.NewDeviceAdd(h.phone, tablet.Device(ident.RoleAdmin, 0), 3)
	if err == nil {
		err = c.Append(add)
	}
	if err != nil {
		t.Fatal(err)
	}
	revoke, err := c.NewDeviceRevoke(h.phone, tablet.ID(), 2, 4) // the floor is above what is in use
	if err == nil {
		err = c.Append(revoke)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.keeps(2)
}
