package friends_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// somebody has a chain and may write two ends of it.
type somebody struct {
	*testing.T
	keys  *ident.DeviceKeys
	chain *ident.Chain
}

func born(t *testing.T) *somebody {
	t.Helper()
	keys := device(t)
	genesis, _, err := ident.NewGenesis(rand.Reader, keys, ident.Relay{Key: protocol.Key32{1}, Host: "courtyard.example", Port: 443}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := ident.ParseChain([]protocol.Signed{genesis})
	if err != nil {
		t.Fatal(err)
	}
	return &somebody{t, keys, chain}
}

func device(t *testing.T) *ident.DeviceKeys {
	t.Helper()
	keys, err := ident.GenerateDeviceKeys(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// adds gives the chain with one device more, and the device.
func (s *somebody) adds(ts int64) (*ident.Chain, *ident.DeviceKeys) {
	s.Helper()
	keys := device(s.T)
	return s.writes(s.chain.NewDeviceAdd(s.keys, keys.Device(ident.RoleAdmin, 0), ts)), keys
}

func (s *somebody) writes(rec protocol.Signed, err error) *ident.Chain {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	chain := s.chain.Clone()
	if err := chain.Append(rec); err != nil {
		s.Fatal(err)
	}
	return chain
}

func (s *somebody) uek(last *ident.UEKRecord) (protocol.Signed, ident.UEKRecord) {
	s.Helper()
	secret, err := protocol.NewBoxSecret(rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	signed, err := ident.NewUEKRecord(s.keys, s.chain, last, secret.Public(), 2000)
	if err != nil {
		s.Fatal(err)
	}
	rec, err := ident.VerifyUEK(signed, s.chain)
	if err != nil {
		s.Fatal(err)
	}
	return signed, rec
}

// operator is a relay that shows what it likes.
type operator struct {
	chain *ident.Chain
	uek   protocol.Signed
	down  bool
	asked int
}

func (o *operator) Chain(_ context.Context, _ string, _ protocol.UID, after int) ([]protocol.Signed, error) {
	o.asked++
	if o.down {
		return nil, &protocol.Error{Op: "test", Code: protocol.CodeUnavailable}
	}
	return o.chain.Records(after + 1), nil
}

func (o *operator) UEK(context.Context, string, protocol.UID) (protocol.Signed, error) {
	o.asked++
	return o.uek, nil
}

type library struct {
	*testing.T
	db    *store.DB
	clock *clock.Moved
	relay *operator
	log   *slog.Logger
	*friends.Book
	reopen func() // as again, with another relay
}

func open(t *testing.T) *library {
	t.Helper()
	db, err := sqlite.OpenLog(t.Context(), filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &library{T: t, db: db, clock: clock.NewMoved(), relay: &operator{}, log: slog.New(slog.DiscardHandler)}
	l.again()
	return l
}

// again is the home after a restart: only the database is left.
func (l *library) again() {
	l.Book = friends.Open(l.db, protocol.UID{9}, l.relay, l.clock, slog.New(slog.DiscardHandler))
}

func TestAChainIsFetchedOnceAndKept(t *testing.T) {
	l, mei := open(t), born(t)
	l.relay.chain = mei.chain
	for range 3 {
		if c, err := l.Chain(t.Context(), mei.chain.UID()); err != nil || c.Head() != mei.chain.Head() {
			t.Fatal(err)
		}
	}
	if l.relay.asked != 1 {
		t.Errorf("asked %d times", l.relay.asked)
	}
	mei.chain, _ = mei.adds(1100)
	l.relay.chain = mei.chain
	if c, err := l.Refresh(t.Context(), mei.chain.UID()); err != nil || c.Seq() != 1 {
		t.Fatal(err)
	}
	l.again()
	l.relay.down = true
	if c, err := l.Chain(t.Context(), mei.chain.UID()); err != nil || c.Seq() != 1 {
		t.Fatal("after a restart: ", err)
	}
	if _, err := l.Refresh(t.Context(), mei.chain.UID()); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Error(err)
	}
}

func TestForksAndRollbacksAreNoticed(t *testing.T) {
	l, mei := open(t), born(t)
	uid := mei.chain.UID()
	short := mei.chain
	left, _ := mei.adds(1100)
	right, _ := mei.adds(1200)
	l.relay.chain = left
	if _, err := l.Chain(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]*ident.Chain{"another record": right, "a shorter chain": short} {
		l.relay.chain = shown
		if _, err := l.Refresh(t.Context(), uid); !errors.Is(err, friends.ErrFork) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := l.Chain(t.Context(), uid); !errors.Is(err, friends.ErrFork) {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
	l.again()
	if since, err := l.Forked(t.Context(), uid); err != nil || since == 0 {
		t.Error("a restart has forgotten the fork: ", since, err)
	}
	// The relay shows the old chain again: no harm done.
	l.relay.chain = left
	if _, err := l.Refresh(t.Context(), uid); err != nil {
		t.Error(err)
	}
	// The app decides for the other one.
	l.relay.chain = right
	if _, err := l.Refresh(t.Context(), uid); !errors.Is(err, friends.ErrFork) {
		t.Fatal(err)
	}
	l.Trust(map[protocol.UID]ident.Pin{uid: {Seq: 0, Head: short.Head()}}) // both contain that: no decision
	if _, err := l.Refresh(t.Context(), uid); !errors.Is(err, friends.ErrFork) {
		t.Error("an old pin was taken for a decision: ", err)
	}
	l.Trust(map[protocol.UID]ident.Pin{uid: right.Pin()})
	if c, err := l.Refresh(t.Context(), uid); err != nil || c.Head() != right.Head() {
		t.Error("the decision was not followed: ", err)
	}
	l.again()
	if c, err := l.Chain(t.Context(), uid); err != nil || c.Head() != right.Head() {
		t.Error("and was forgotten: ", err)
	}
}

func TestFirstContactHoldsTheAppsPin(t *testing.T) {
	l, mei := open(t), born(t)
	uid := mei.chain.UID()
	left, _ := mei.adds(1100)
	right, _ := mei.adds(1200)
	l.Trust(map[protocol.UID]ident.Pin{uid: left.Pin()})
	for _, shown := range []*ident.Chain{right, mei.chain} {
		l.relay.chain = shown
		if _, err := l.Chain(t.Context(), uid); !errors.Is(err, friends.ErrFork) {
			t.Error(err)
		}
	}
	l.relay.chain = born(t).chain
	if _, err := l.Chain(t.Context(), uid); protocol.CodeOf(err) != protocol.CodeBadChain {
		t.Error("somebody else's chain: ", err)
	}
	l.relay.chain = left
	if _, err := l.Chain(t.Context(), uid); err != nil {
		t.Error(err)
	}
}

func TestAnOlderDailyKeyIsRefused(t *testing.T) {
	l, mei := open(t), born(t)
	uid := mei.chain.UID()
	l.relay.chain = mei.chain
	first, one := mei.uek(nil)
	second, two := mei.uek(&one)
	other, _ := mei.uek(&one)
	l.relay.uek = second
	if rec, err := l.UEK(t.Context(), uid, false); err != nil || rec.Key != two.Key {
		t.Fatal(err)
	}
	l.again()
	for name, shown := range map[string]protocol.Signed{"an older one": first, "another under the same counter": other} {
		l.relay.uek = shown
		if _, err := l.UEK(t.Context(), uid, true); !errors.Is(err, ident.ErrRollback) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.relay.uek = second
	if _, err := l.UEK(t.Context(), uid, true); err != nil {
		t.Fatal(err)
	}
	asked := l.relay.asked
	if _, err := l.UEK(t.Context(), uid, false); err != nil || l.relay.asked != asked {
		t.Error("asked again at once: ", err)
	}
	l.clock.Advance(time.Hour)
	if _, err := l.UEK(t.Context(), uid, false); err != nil || l.relay.asked != asked+2 {
		t.Error("chain and record are not asked for again after an hour: ", err)
	}
	if n, err := l.Seen(t.Context(), uid); err != nil || n != 2 {
		t.Error(n, err)
	}
}

func TestWhoMayHaveWrittenALetter(t *testing.T) {
	l, mei := open(t), born(t)
	uid := mei.chain.UID()
	l.relay.chain = mei.chain
	if _, err := l.Chain(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	added, tablet := mei.adds(1100)
	mei.chain = added
	revoked := mei.writes(mei.chain.NewDeviceRevoke(mei.keys, tablet.ID(), 0, 5000))
	claim := func(c *ident.Chain) []byte {
		raw, err := protocol.Marshal(struct {
			Chain int             `json:"chain"`
			Head  protocol.Hash32 `json:"head"`
		}{c.Seq(), c.Head()})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	// A device that is not known yet: the relay is asked.
	l.relay.chain = added
	if d, ok, err := l.Sender(t.Context(), 1200)(uid, tablet.ID(), claim(added)); err != nil || !ok || d.ID() != tablet.ID() {
		t.Error(ok, err)
	}
	// Another record in the place that the letter names.
	other, _ := mei.adds(1300)
	if _, _, err := l.Sender(t.Context(), 1200)(uid, tablet.ID(), []byte(`{"chain":1,"head":"`+other.Head().String()+`"}`)); !errors.Is(err, friends.ErrFork) {
		t.Error(err)
	}
	// A place in the chain that the relay does not show.
	if _, _, err := l.Sender(t.Context(), 1200)(uid, tablet.ID(), claim(revoked)); !errors.Is(err, friends.ErrBehind) {
		t.Error(err)
	}
	l.relay.chain = revoked
	for _, test := range []struct {
		name  string
		chain *ident.Chain
		ts    int64
		want  bool
	}{
		{"written before the revocation", added, 4000, true},
		{"before it by its place, after it by its time", added, 6000, false},
		{"after it", revoked, 5000, false},
	} {
		if _, err := l.Refresh(t.Context(), uid); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := l.Sender(t.Context(), test.ts)(uid, tablet.ID(), claim(test.chain)); err != nil || ok != test.want {
			t.Errorf("%s: %v, %v", test.name, ok, err)
		}
	}
	if _, ok, err := l.Sender(t.Context(), 1)(uid, device(t).ID(), claim(revoked)); err != nil || ok {
		t.Error("a stranger's device: ", ok, err)
	}
	if got := friends.AsWritten(revoked, tablet.Public()); got.Seq() != added.Seq() {
		t.Errorf("as the tablet wrote it: %d", got.Seq())
	}
	if got := friends.AsWritten(revoked, mei.keys.Public()); got.Seq() != revoked.Seq() {
		t.Errorf("as the phone writes it: %d", got.Seq())
	}
}
