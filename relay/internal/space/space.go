// Package space counts what the relay keeps for a person: letters in the queue
// and held files share one limit, each sender has a part of it, and without a
// home the oldest that a device has confirmed makes room (section 12).
//
// It must never let anything go that no device of the owner has confirmed, and
// with a home nothing at all: then only the home lets go.
package space

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
)

// Limits of one person's space, in bytes unless said otherwise.
type Limits struct {
	Person        int64 // all of it
	ShareDivisor  int64 // one sender may fill Person / ShareDivisor
	Strangers     int   // requests waiting from people who are no contacts, a number
	StrangersOver int64 // how far above Person those requests may go: a bucket of their own
	StrangerData  int   // data of one such request
}

// Defaults are the limits of section 12.
func Defaults() Limits {
	return Limits{Person: 256 << 20, ShareDivisor: 8, Strangers: 50, StrangersOver: 256 << 10, StrangerData: 2 << 10}
}

// Account is the count of one owner.
type Account struct {
	Owner protocol.UID
	Last  int64 // highest queue number given so far
	Used  int64 // bytes of letters and held files
	Home  bool  // an active home empties the space; nothing else does
}

// Item is something kept that may make room: a queue row (N > 0) or a held file.
type Item struct {
	N      int64
	File   protocol.ID
	Sender protocol.UID
	Size   int64
	At     int64 // when it came, ms
}

// Ledger is the part of a transaction that counting needs; the store has it.
// Account locks the owner until the transaction ends, and everything else here
// is done under that lock.
type Ledger interface {
	Account(ctx context.Context, owner protocol.UID) (Account, error)
	SaveAccount(ctx context.Context, a Account) error
	Share(ctx context.Context, owner, sender protocol.UID) (int64, error)
	SaveShare(ctx context.Context, owner, sender protocol.UID, used int64) error
	// Oldest lists up to limit items, oldest first, that a device of the owner
	// has confirmed; only those from sender unless it is zero.
	Oldest(ctx context.Context, owner, sender protocol.UID, limit int) ([]Item, error)
	Drop(ctx context.Context, owner protocol.UID, item Item) error
}

// Tally is the counting of one transaction. Flush writes it down.
type Tally struct {
	limits   Limits
	ledger   Ledger
	accounts map[protocol.UID]*account
	order    []protocol.UID // in the order they were first touched
	shares   map[pair]*share
}

type account struct {
	Account
	before int64
	dirty  bool
}

type pair struct{ owner, sender protocol.UID }

type share struct {
	used  int64
	dirty bool
}

// NewTally begins counting in a transaction.
func NewTally(limits Limits, ledger Ledger) *Tally {
	return &Tally{limits: limits, ledger: ledger, accounts: map[protocol.UID]*account{}, shares: map[pair]*share{}}
}

func (t *Tally) account(ctx context.Context, owner protocol.UID) (*account, error) {
	if a, ok := t.accounts[owner]; ok {
		return a, nil
	}
	a, err := t.ledger.Account(ctx, owner)
	if err != nil {
		return nil, err
	}
	known := &account{Account: a, before: a.Used}
	t.accounts[owner] = known
	t.order = append(t.order, owner)
	return known, nil
}

func (t *Tally) share(ctx context.Context, owner, sender protocol.UID) (*share, error) {
	key := pair{owner, sender}
	if s, ok := t.shares[key]; ok {
		return s, nil
	}
	used, err := t.ledger.Share(ctx, owner, sender)
	if err != nil {
		return nil, err
	}
	s := &share{used: used}
	t.shares[key] = s
	return s, nil
}

// Number gives the owner's next queue number.
func (t *Tally) Number(ctx context.Context, owner protocol.UID) (int64, error) {
	a, err := t.account(ctx, owner)
	if err != nil {
		return 0, err
	}
	a.Last++
	a.dirty = true
	return a.Last, nil
}

// Home reports whether the owner has an active home.
func (t *Tally) Home(ctx context.Context, owner protocol.UID) (bool, error) {
	a, err := t.account(ctx, owner)
	if err != nil {
		return false, err
	}
	return a.Home, nil
}

// Charge adds size bytes from sender to the owner's count. The owner's own
// letters have no share: half of every conversation is one's own.
func (t *Tally) Charge(ctx context.Context, owner, sender protocol.UID, size int64) error {
	a, err := t.account(ctx, owner)
	if err != nil {
		return err
	}
	a.Used += size
	a.dirty = true
	if owner == sender {
		return nil
	}
	s, err := t.share(ctx, owner, sender)
	if err != nil {
		return err
	}
	s.used += size
	s.dirty = true
	return nil
}

// Release takes size bytes off again.
func (t *Tally) Release(ctx context.Context, owner, sender protocol.UID, size int64) error {
	return t.Charge(ctx, owner, sender, -size)
}

// Change is how an owner's use changed in a transaction.
type Change struct {
	Owner         protocol.UID
	Before, After int64
}

// Flush writes the counts and returns what changed.
func (t *Tally) Flush(ctx context.Context) ([]Change, error) {
	changes := []Change{}
	for _, owner := range t.order {
		a := t.accounts[owner]
		if !a.dirty {
			continue
		}
		if err := t.ledger.SaveAccount(ctx, a.Account); err != nil {
			return nil, err
		}
		a.dirty = false
		if a.Used != a.before {
			changes = append(changes, Change{owner, a.before, a.Used})
		}
	}
	for key, s := range t.shares {
		if !s.dirty {
			continue
		}
		if err := t.ledger.SaveShare(ctx, key.owner, key.sender, s.used); err != nil {
			return nil, err
		}
		s.dirty = false
	}
	return changes, nil
}
