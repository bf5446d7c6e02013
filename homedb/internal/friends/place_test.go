package friends_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// world is the own relay and what it hears from others, by host.
type world struct {
	at   map[string]*operator
	away map[string]string // code, by host
	last string            // host that was asked last
}

func (w *world) ask(host string) (*operator, error) {
	w.last = host
	if code := w.away[host]; code != "" {
		return nil, &protocol.Error{Op: "test", Code: code}
	}
	if o := w.at[host]; o != nil {
		return o, nil
	}
	return nil, &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
}

func (w *world) Chain(ctx context.Context, host string, uid protocol.UID, after int) ([]protocol.Signed, error) {
	o, err := w.ask(host)
	if err != nil {
		return nil, err
	}
	if host == "" && o.chain.UID() != uid {
		return nil, &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
	}
	return o.Chain(ctx, host, uid, after)
}

func (w *world) UEK(ctx context.Context, host string, uid protocol.UID) (protocol.Signed, error) {
	o, err := w.ask(host)
	if err != nil {
		return protocol.Signed{}, err
	}
	return o.UEK(ctx, host, uid)
}

const far = "far.example:8443"

// abroad is somebody whose chain names the courtyard far away.
func abroad(t *testing.T) *somebody {
	t.Helper()
	keys := device(t)
	genesis, _, err := ident.NewGenesis(rand.Reader, keys, ident.Relay{Key: protocol.Key32{2}, Host: "far.example", Port: 8443}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := ident.ParseChain([]protocol.Signed{genesis})
	if err != nil {
		t.Fatal(err)
	}
	return &somebody{t, keys, chain}
}

// library of wei, who lives here; mei lives far away.
func neighbours(t *testing.T) (l *library, w *world, mei *somebody) {
	t.Helper()
	l = open(t)
	wei := born(t)
	w = &world{at: map[string]*operator{"": {chain: wei.chain}, far: {}}, away: map[string]string{}}
	mei = abroad(t)
	w.at[far].chain = mei.chain
	reopen := func() {
		l.Book = friends.Open(l.db, wei.chain.UID(), w, l.clock, l.log)
	}
	l.reopen = reopen
	reopen()
	if _, err := l.Own(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l, w, mei
}

func place(host string, port int) protocol.Address { return protocol.Address{IP: host, Port: port} }

func TestWhereSomebodyIsAskedFor(t *testing.T) {
	l, w, mei := neighbours(t)
	uid := mei.chain.UID()
	if _, err := l.Chain(t.Context(), uid); protocol.CodeOf(err) != protocol.CodeNotFound || w.last != "" {
		t.Errorf("nothing is known: asked at %q, %v", w.last, err)
	}
	// An envelope's address is where to ask first, also after a restart.
	w.away["liar.example"] = protocol.CodePeerAway
	if err := l.Hint(t.Context(), uid, place("liar.example", 443)); err != nil {
		t.Fatal(err)
	}
	l.reopen()
	if _, err := l.Chain(t.Context(), uid); protocol.CodeOf(err) != protocol.CodePeerAway || w.last != "liar.example" {
		t.Errorf("asked at %q, %v", w.last, err)
	}
	// The vault knows better, and the chain best.
	l.Lives(map[protocol.UID]string{uid: far})
	if _, err := l.Chain(t.Context(), uid); err != nil || w.last != far {
		t.Fatalf("asked at %q, %v", w.last, err)
	}
	l.Lives(map[protocol.UID]string{uid: "liar.example"})
	if err := l.Hint(t.Context(), uid, place("liar.example", 443)); err != nil {
		t.Fatal(err)
	}
	l.reopen()
	if _, err := l.Refresh(t.Context(), uid); err != nil || w.last != far {
		t.Errorf("asked at %q, %v", w.last, err)
	}
	if relay, elsewhere, err := l.Relay(t.Context(), uid); err != nil || !elsewhere || relay.Host != "far.example" || relay.Port != 8443 {
		t.Errorf("%+v, %v, %v", relay, elsewhere, err)
	}
	var n int
	if err := l.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM hints`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d hints about people whose chain is known, %v", n, err)
	}
	// Somebody of the own courtyard, by whatever name an envelope calls it.
	tom := born(t)
	w.at[""].chain = tom.chain
	if err := l.Hint(t.Context(), tom.chain.UID(), place("COURTYARD.example", 443)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Chain(t.Context(), tom.chain.UID()); err != nil || w.last != "" {
		t.Errorf("asked at %q, %v", w.last, err)
	}
	if _, elsewhere, err := l.Relay(t.Context(), tom.chain.UID()); err != nil || elsewhere {
		t.Error(elsewhere, err)
	}
}

func TestHintsAreBounded(t *testing.T) {
	l, _, _ := neighbours(t)
	many := func(tx store.Tx) error {
		for i := range 1000 {
			uid := protocol.Hash("test", fmt.Append(nil, i))
			if _, err := tx.Exec(t.Context(), `INSERT INTO hints (uid, host, seen) VALUES ($1, 'far.example', $2)`, uid[:], i); err != nil {
				return err
			}
		}
		return nil
	}
	if err := l.db.Write(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		uid := protocol.UID{byte(i), 1}
		if err := l.Hint(t.Context(), uid, place("far.example", 8443)); err != nil {
			t.Fatal(err)
		}
	}
	var n, oldest int
	if err := l.db.QueryRow(t.Context(), `SELECT COUNT(*), MIN(seen) FROM hints`).Scan(&n, &oldest); err != nil || n != 1000 || oldest != 20 {
		t.Errorf("%d hints, the oldest of %d, %v", n, oldest, err)
	}
}

func TestThePinnedKeyWhileACourtyardIsAway(t *testing.T) {
	l, w, mei := neighbours(t)
	uid, other := mei.chain.UID(), w.at[far]
	l.Lives(map[protocol.UID]string{uid: far})
	first, one := mei.uek(nil)
	other.uek = first
	// Nothing is pinned yet: nothing to seal to.
	w.away[far] = protocol.CodePeerAway
	if _, err := l.UEK(t.Context(), uid, false); protocol.CodeOf(err) != protocol.CodePeerAway {
		t.Error(err)
	}
	delete(w.away, far)
	l.clock.Advance(time.Minute)
	if pin, err := l.UEK(t.Context(), uid, false); err != nil || pin != one.Pin() {
		t.Fatal(pin, err)
	}
	l.reopen()
	l.clock.Advance(24 * time.Hour)
	for _, code := range []string{protocol.CodeAddressRefused, protocol.CodeRateLimited, protocol.CodeNotFound, protocol.CodePeerAway} {
		w.away[far] = code
		if pin, err := l.UEK(t.Context(), uid, true); err != nil || pin != one.Pin() {
			t.Error(code, pin, err)
		}
		if pin, err := l.Shown(t.Context(), uid); err == nil {
			t.Error("nobody shows that key now: ", code, pin)
		}
	}
	// It is left alone for a while: whoever writes does not wait for it each time.
	asked := other.asked
	w.last = ""
	for _, again := range []bool{false, true} {
		if _, err := l.UEK(t.Context(), uid, again); err != nil || w.last != "" {
			t.Errorf("asked at %q at once, %v", w.last, err)
		}
	}
	delete(w.away, far)
	second, two := mei.uek(&one)
	other.uek = second
	l.clock.Advance(2 * time.Minute)
	if pin, err := l.UEK(t.Context(), uid, false); err != nil || pin != two.Pin() || other.asked == asked {
		t.Error("they are back: ", pin, err)
	}
	if pin, err := l.Shown(t.Context(), uid); err != nil || pin != two.Pin() {
		t.Error(pin, err)
	}
	// What the relay says is no reason to go on with an old key.
	other.uek = first
	if _, err := l.UEK(t.Context(), uid, true); !errors.Is(err, ident.ErrRollback) {
		t.Error(err)
	}
	w.away[far] = protocol.CodeUnavailable
	if _, err := l.UEK(t.Context(), uid, true); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Error("the own relay is away: ", err)
	}
	delete(w.away, far)
	// The device that signed the pinned record is revoked: not sealed to any more.
	added, tablet := mei.adds(1100)
	mei.chain = added
	mei.chain = mei.writes(mei.chain.NewDeviceRevoke(tablet, mei.keys.ID(), 0, 1200))
	other.chain = mei.chain
	if _, err := l.Refresh(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	w.away[far] = protocol.CodePeerAway
	if pin, err := l.UEK(t.Context(), uid, true); protocol.CodeOf(err) != protocol.CodePeerAway {
		t.Error("sealed to a key of a revoked device: ", pin, err)
	}
}

func TestAForkIsNotSealedToWhileTheirCourtyardIsAway(t *testing.T) {
	l, w, mei := neighbours(t)
	uid, other := mei.chain.UID(), w.at[far]
	l.Lives(map[protocol.UID]string{uid: far})
	other.uek, _ = mei.uek(nil)
	left, _ := mei.adds(1100)
	right, _ := mei.adds(1200)
	other.chain = left
	if _, err := l.UEK(t.Context(), uid, false); err != nil {
		t.Fatal(err)
	}
	other.chain = right
	if _, err := l.Refresh(t.Context(), uid); !errors.Is(err, friends.ErrFork) {
		t.Fatal(err)
	}
	w.away[far] = protocol.CodePeerAway
	for range 2 {
		if pin, err := l.UEK(t.Context(), uid, false); err == nil {
			t.Error("sealed to a forked chain: ", pin)
		}
		l.reopen()
	}
}

// TestNobodyHereIsSealedToUnasked: for the own relay's people an answer is due.
func TestNobodyHereIsSealedToUnasked(t *testing.T) {
	l, mei := open(t), born(t)
	uid := mei.chain.UID()
	wei := born(t)
	w := &world{at: map[string]*operator{"": {chain: wei.chain}}, away: map[string]string{}}
	l.Book = friends.Open(l.db, wei.chain.UID(), w, l.clock, l.log)
	if _, err := l.Own(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.at[""].chain = mei.chain
	w.at[""].uek, _ = mei.uek(nil)
	if _, err := l.UEK(t.Context(), uid, false); err != nil {
		t.Fatal(err)
	}
	l.clock.Advance(time.Hour)
	w.away[""] = protocol.CodeNotFound
	if _, err := l.UEK(t.Context(), uid, false); protocol.CodeOf(err) != protocol.CodeNotFound {
		t.Error(err)
	}
}

// TestAPinOfBeforeIsCompleted: a home of an earlier version kept no records.
func TestAPinOfBeforeIsCompleted(t *testing.T) {
	l, w, mei := neighbours(t)
	uid := mei.chain.UID()
	signed, rec := mei.uek(nil)
	w.at[far].uek = signed
	sealed := func(what string, want error) {
		t.Helper()
		l.reopen()
		l.Lives(map[protocol.UID]string{uid: far})
		if pin, err := l.UEK(t.Context(), uid, true); protocol.CodeOf(err) != protocol.CodeOf(want) || err == nil && pin != rec.Pin() {
			t.Errorf("%s: %v, %v", what, pin, err)
		}
	}
	sealed("at first", nil)
	err := l.db.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE pins SET record = NULL`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	away := &protocol.Error{Op: "test", Code: protocol.CodePeerAway}
	w.away[far] = protocol.CodePeerAway
	sealed("without a record", away)
	delete(w.away, far)
	sealed("the same key once more", nil)
	w.away[far] = protocol.CodePeerAway
	sealed("with one", nil)
}
