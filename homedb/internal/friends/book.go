// Package friends is what a home knows of other people, and of its own person:
// their chains and daily keys, fetched from the relay, verified, and pinned so
// that no relay can take a step back or show another chain without being
// noticed (sections 3 and 4). People of other courtyards are asked for there, by
// way of the own relay (section 14).
//
// It must never seal or open anything, and never follow a fork on its own: that
// is the reader's decision, made in the app and written into the vault.
package friends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Why somebody's chain cannot be used at the moment.
var (
	// ErrFork: the relay shows another chain than the one pinned.
	ErrFork = errors.New("another chain than the one pinned")
	// ErrBehind: the relay's chain does not reach to where a letter says it is.
	ErrBehind = errors.New("the relay's chain is behind")
)

// Register is the relay as far as chains and records go. host names another
// courtyard, as protocol.JoinHost writes it, "" the relay's own people.
type Register interface {
	Chain(ctx context.Context, host string, uid protocol.UID, after int) ([]protocol.Signed, error)
	UEK(ctx context.Context, host string, uid protocol.UID) (protocol.Signed, error)
}

const (
	// maxCached bounds the chains in memory; past it an arbitrary one makes room and
	// is read from the database when it is needed again.
	maxCached = 300
	// fresh is how long a friend's chain and record are used before the relay is
	// asked again; section 8 allows an hour.
	fresh = 10 * time.Minute
)

// Book is the list of all people a home has met, for one person.
type Book struct {
	db       *store.DB
	self     protocol.UID
	register Register
	clock    clock.Clock
	log      *slog.Logger

	mu     sync.Mutex // guards what follows; never held while the relay is asked
	cache  map[protocol.UID]*entry
	trusts map[protocol.UID]ident.Pin // what the app has pinned, from the vault
	lives  map[protocol.UID]string    // where people live, from the vault
}

// entry is one person. Chains are never changed once they are in an entry.
type entry struct {
	chain  *ident.Chain
	fork   int64
	pin    ident.UEKPin
	record *protocol.Signed // of the pin; nil: not kept yet
	uek    *ident.UEKRecord
	asked  time.Time // when uek was fetched
	seen   time.Time // when the relay showed the chain
}

// Open makes the book of self.
func Open(db *store.DB, self protocol.UID, register Register, c clock.Clock, log *slog.Logger) *Book {
	return &Book{db: db, self: self, register: &neighbours{register: register, clock: c, silent: map[string]time.Time{}}, clock: c, log: log, cache: map[protocol.UID]*entry{}}
}

// Trust takes over what the app has pinned. A pin that contradicts ours is the
// reader's answer to a fork.
func (b *Book) Trust(pins map[protocol.UID]ident.Pin) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trusts = pins
}

func (b *Book) trusted(uid protocol.UID) (ident.Pin, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.trusts[uid]
	return p, ok
}

// known gives what memory or the database has of uid; chain is nil for nothing.
func (b *Book) known(ctx context.Context, uid protocol.UID) (entry, error) {
	b.mu.Lock()
	e, ok := b.cache[uid]
	b.mu.Unlock()
	if ok {
		return *e, nil
	}
	loaded, err := b.load(ctx, uid)
	if err != nil || loaded.chain == nil {
		return loaded, err
	}
	b.keep(uid, loaded)
	return loaded, nil
}

func (b *Book) keep(uid protocol.UID, e entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.cache) >= maxCached {
		for other := range b.cache {
			delete(b.cache, other)
			break
		}
	}
	b.cache[uid] = &e
}

// Own is the person's own chain as it is known here; Refresh first where it matters.
func (b *Book) Own(ctx context.Context) (*ident.Chain, error) { return b.Chain(ctx, b.self) }

// Chain is the chain of uid as known here, fetched if it is not known yet.
// Errors: ErrFork, CodeNotFound, CodeUnavailable and other codes of the relay.
func (b *Book) Chain(ctx context.Context, uid protocol.UID) (*ident.Chain, error) {
	e, err := b.known(ctx, uid)
	switch {
	case err != nil:
		return nil, err
	case e.chain == nil:
		return b.Refresh(ctx, uid)
	case e.fork != 0:
		return nil, ErrFork
	}
	return e.chain, nil
}

// Forked reports since when (ms) the relay shows another chain of uid; 0: it does not.
func (b *Book) Forked(ctx context.Context, uid protocol.UID) (int64, error) {
	e, err := b.known(ctx, uid)
	return e.fork, err
}

// Refresh asks the relay for what follows in uid's chain. The last record that
// is known is asked for again: a relay that has another in its place, or none,
// has forked the chain or cut it.
func (b *Book) Refresh(ctx context.Context, uid protocol.UID) (*ident.Chain, error) {
	e, err := b.known(ctx, uid)
	if err != nil {
		return nil, err
	}
	if e.chain == nil {
		return b.meet(ctx, uid)
	}
	seq := e.chain.Seq()
	records, err := b.register.Chain(ctx, b.hostOf(ctx, uid, e), uid, seq-1)
	if err != nil {
		return nil, fmt.Errorf("friends.Refresh: %w", err)
	}
	head := e.chain.Records(seq)[0]
	if len(records) == 0 || string(records[0].Payload) != string(head.Payload) {
		return b.forked(ctx, uid, e)
	}
	chain := e.chain.Clone()
	for _, r := range records[1:] {
		if err := chain.Append(r); err != nil {
			return nil, fmt.Errorf("friends.Refresh: %w", err)
		}
	}
	e.seen = b.clock.Now()
	if chain.Seq() == seq && e.fork == 0 {
		b.keep(uid, e)
		return e.chain, nil
	}
	e.chain, e.fork = chain, 0
	return chain, b.save(ctx, uid, e, seq+1)
}

// meet fetches the chain of somebody for the first time.
func (b *Book) meet(ctx context.Context, uid protocol.UID) (*ident.Chain, error) {
	host, err := b.hinted(ctx, uid)
	if err != nil {
		return nil, err
	}
	chain, err := b.whole(ctx, host, uid)
	if err != nil {
		return nil, err
	}
	if pin, ok := b.trusted(uid); ok {
		if err := chain.CheckPin(pin); err != nil {
			return nil, ErrFork
		}
	}
	return chain, b.save(ctx, uid, entry{chain: chain, seen: b.clock.Now()}, 0)
}

// whole fetches and verifies the whole chain of uid.
func (b *Book) whole(ctx context.Context, host string, uid protocol.UID) (*ident.Chain, error) {
	records, err := b.register.Chain(ctx, host, uid, -1)
	if err != nil {
		return nil, fmt.Errorf("friends: %w", err)
	}
	chain, err := ident.ParseChain(records)
	if err != nil {
		return nil, fmt.Errorf("friends: %w", err)
	}
	if chain.UID() != uid {
		return nil, protocol.Refuse("friends", protocol.CodeBadChain, "the chain of somebody else")
	}
	return chain, nil
}

// forked deals with a relay that shows another chain than the one that is known.
// Only if the app has pinned that other chain since, it takes the known one's place.
func (b *Book) forked(ctx context.Context, uid protocol.UID, e entry) (*ident.Chain, error) {
	other, err := b.whole(ctx, b.hostOf(ctx, uid, e), uid)
	if err != nil {
		return nil, err
	}
	if other.CheckPin(e.chain.Pin()) == nil { // it grew while we asked
		seq := e.chain.Seq()
		e.chain, e.fork = other, 0
		return other, b.save(ctx, uid, e, seq+1)
	}
	if pin, ok := b.trusted(uid); ok && uid != b.self && e.chain.CheckPin(pin) != nil && other.CheckPin(pin) == nil {
		b.log.Info("friends: a fork was decided in the app")
		e.chain, e.fork, e.uek, e.pin, e.record = other, 0, nil, ident.UEKPin{}, nil
		return other, b.save(ctx, uid, e, 0)
	}
	if e.fork == 0 {
		b.log.Warn("friends: the relay shows another chain than the one pinned")
		e.fork = clock.Millis(b.clock)
		if err := b.save(ctx, uid, e, e.chain.Seq()+1); err != nil {
			return nil, err
		}
	}
	return nil, ErrFork
}

// UEK is the newest of uid's daily keys, verified and not older than any seen
// before, for sealing: the chain is looked at as well. again asks the relay even
// if it was asked a moment ago. While the courtyard of somebody who lives
// elsewhere does not answer, what is pinned stays in use (section 14).
func (b *Book) UEK(ctx context.Context, uid protocol.UID, again bool) (ident.UEKPin, error) {
	e, err := b.known(ctx, uid)
	if err != nil {
		return ident.UEKPin{}, err
	}
	if !again && e.fork == 0 && e.uek != nil && b.clock.Now().Sub(e.asked) < fresh {
		return e.uek.Pin(), nil
	}
	rec, err := b.newest(ctx, uid, again, e)
	if err == nil {
		return rec.Pin(), nil
	}
	if !away(err) {
		return ident.UEKPin{}, err
	}
	if e, known := b.known(ctx, uid); known == nil && e.chain != nil && b.hostOf(ctx, uid, e) != "" {
		if pin, ok := e.pinned(); ok {
			b.log.Info("friends: their courtyard does not answer; the pinned key stays in use", "code", protocol.CodeOf(err))
			return pin, nil
		}
	}
	return ident.UEKPin{}, err
}

// Shown is UEK as uid's courtyard shows it now, and no other: for a letter that is
// of no use to somebody who cannot open it.
func (b *Book) Shown(ctx context.Context, uid protocol.UID) (ident.UEKPin, error) {
	e, err := b.known(ctx, uid)
	if err != nil {
		return ident.UEKPin{}, err
	}
	rec, err := b.newest(ctx, uid, true, e)
	return rec.Pin(), err
}

// newest asks for the newest record, and for the chain if it has not been seen lately.
func (b *Book) newest(ctx context.Context, uid protocol.UID, again bool, e entry) (ident.UEKRecord, error) {
	if again || b.clock.Now().Sub(e.seen) >= fresh {
		if _, err := b.Refresh(ctx, uid); err != nil {
			return ident.UEKRecord{}, err
		}
		var err error
		if e, err = b.known(ctx, uid); err != nil {
			return ident.UEKRecord{}, err
		}
	}
	signed, err := b.register.UEK(ctx, b.hostOf(ctx, uid, e), uid)
	if err != nil {
		return ident.UEKRecord{}, fmt.Errorf("friends.UEK: %w", err)
	}
	return b.Verify(ctx, uid, signed)
}

// pinned is the pinned key, if it may still be sealed to as far as is known: no
// fork, and its record fits the chain as it is now.
func (e entry) pinned() (ident.UEKPin, bool) {
	if e.chain == nil || e.fork != 0 || e.record == nil {
		return ident.UEKPin{}, false
	}
	rec, err := ident.VerifyUEK(*e.record, e.chain)
	return e.pin, err == nil && rec.Pin() == e.pin
}

// Verify checks a record of uid's daily keys, wherever it came from, and pins it.
func (b *Book) Verify(ctx context.Context, uid protocol.UID, signed protocol.Signed) (ident.UEKRecord, error) {
	chain, err := b.Chain(ctx, uid)
	if err != nil {
		return ident.UEKRecord{}, err
	}
	rec, err := ident.VerifyUEK(signed, chain)
	if protocol.CodeOf(err) == protocol.CodeBadChain {
		if chain, err = b.Refresh(ctx, uid); err != nil {
			return ident.UEKRecord{}, err
		}
		rec, err = ident.VerifyUEK(signed, chain)
	}
	if err != nil {
		return ident.UEKRecord{}, fmt.Errorf("friends.Verify: %w", err)
	}
	e, err := b.known(ctx, uid)
	if err != nil {
		return ident.UEKRecord{}, err
	}
	if err := e.pin.Check(rec); err != nil {
		return ident.UEKRecord{}, err
	}
	e.uek, e.asked = &rec, b.clock.Now()
	if e.pin == rec.Pin() && e.record != nil {
		b.keep(uid, e)
		return rec, nil
	}
	e.pin, e.record = rec.Pin(), &signed
	return rec, b.save(ctx, uid, e, e.chain.Seq()+1)
}

// Seen is the highest counter of uid's daily keys seen so far, 0 for none.
func (b *Book) Seen(ctx context.Context, uid protocol.UID) (int64, error) {
	e, err := b.known(ctx, uid)
	return e.pin.Counter, err
}

// OwnRecord is the newest record of the person's own daily keys as it is signed, verified.
func (b *Book) OwnRecord(ctx context.Context) (protocol.Signed, error) {
	signed, err := b.register.UEK(ctx, "", b.self)
	if err != nil {
		return protocol.Signed{}, fmt.Errorf("friends.OwnRecord: %w", err)
	}
	_, err = b.Verify(ctx, b.self, signed)
	return signed, err
}
