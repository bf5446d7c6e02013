// Package chain keeps people's sigchains and their newest UEK records, and
// verifies every record before it is kept (sections 3 and 4).
//
// It must never change a record, and never accept one that a reader following
// section 3 would refuse.
package chain

import (
	"bytes"
	"context"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Addition is a verified record and what it changes.
type Addition struct {
	UID     protocol.UID
	Seq     int
	Record  protocol.Signed
	Added   *ident.Device      // device.add
	Revoked *protocol.DeviceID // device.revoke
	Card    bool               // card
	At      int64              // ms
}

// Store is what the package needs of the database.
type Store interface {
	// Chain returns the records with a seq above after, ascending; none for an unknown uid.
	Chain(ctx context.Context, uid protocol.UID, after int64) ([]protocol.Signed, error)
	// Extend writes an addition and says whether the person's home went with it.
	// Code: chain-conflict if the seq is taken.
	Extend(ctx context.Context, a Addition) (homeGone bool, err error)
	// UEK returns the newest record and its counter.
	UEK(ctx context.Context, uid protocol.UID) (rec protocol.Signed, counter int64, found bool, err error)
	// SaveUEK replaces the record of counter-1. Code: uek-conflict.
	SaveUEK(ctx context.Context, uid protocol.UID, counter int64, rec protocol.Signed) error
}

// Told hears what was written. Its methods must not block.
type Told interface {
	ChainGrew(a Addition, homeGone bool)
}

// Chains is the room of chains.
type Chains struct {
	store Store
	told  Told
	room  func() error
	now   func() time.Time
}

// New makes the room. room answers relay-full when the disk's reserve is reached.
func New(store Store, told Told, room func() error, now func() time.Time) *Chains {
	return &Chains{store: store, told: told, room: room, now: now}
}

// ahead is how far a record's clock may be before the relay's, ms (section 7).
const ahead = 5 * 60 * 1000

// Load verifies a person's chain. Code: not-found.
func (c *Chains) Load(ctx context.Context, uid protocol.UID) (*ident.Chain, error) {
	records, err := c.store.Chain(ctx, uid, -1)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, &protocol.Error{Op: "chain.Load", Code: protocol.CodeNotFound}
	}
	known, err := ident.ParseChain(records)
	if err != nil { // it was verified before it was written
		return nil, &protocol.Error{Op: "chain.Load", Code: protocol.CodeInternal, Cause: err}
	}
	return known, nil
}

// outline is what the relay reads of a record besides what ident verifies.
type outline struct {
	Op     string             `json:"op"`
	Seq    int                `json:"seq"`
	TS     int64              `json:"ts"`
	Prev   *protocol.Hash32   `json:"prev,omitempty"`
	Device *ident.Device      `json:"device,omitempty"`
	ID     *protocol.DeviceID `json:"id,omitempty"`
}

// Append verifies rec against the person's chain and writes it. The same record
// again is fine. Codes: not-found, bad-chain, chain-conflict (params seq: the
// last one), home-exists, clock-ahead, relay-full (but not for a revocation).
func (c *Chains) Append(ctx context.Context, uid protocol.UID, rec protocol.Signed) error {
	const op = "chain.Append"
	var o outline
	if err := protocol.DecodeOpen(rec.Payload, &o, 4); err != nil {
		return &protocol.Error{Op: op, Code: protocol.CodeBadChain, Cause: err}
	}
	known, err := c.Load(ctx, uid)
	if err != nil {
		return err
	}
	now := c.now().UnixMilli()
	if o.TS > now+ahead {
		return &protocol.Error{Op: op, Code: protocol.CodeClockAhead, Params: map[string]any{"time": now}}
	}
	if o.Seq <= known.Seq() && o.Seq > 0 {
		if same := known.Records(o.Seq)[0]; same.By == rec.By && bytes.Equal(same.Payload, rec.Payload) {
			return nil
		}
	}
	if o.Seq != known.Seq()+1 || o.Prev == nil || *o.Prev != known.Head() {
		return &protocol.Error{Op: op, Code: protocol.CodeChainConflict, Params: map[string]any{"seq": known.Seq()}}
	}
	a := Addition{UID: uid, Seq: o.Seq, Record: rec, Card: o.Op == ident.OpCard, At: now}
	switch o.Op {
	case ident.OpDeviceAdd:
		a.Added = o.Device
	case ident.OpDeviceRevoke:
		a.Revoked = o.ID
	}
	// Who was active when the record claims to be written need not be so now.
	card, hasCard := known.Card()
	if _, ok := known.ActiveKey(rec.By, now); !ok && !(hasCard && rec.By == card.IK) {
		return protocol.Refuse(op, protocol.CodeBadChain, "signer is no active device")
	}
	_, hasHome := known.Home(now)
	if err := known.Append(rec); err != nil {
		if hasHome && a.Added != nil && a.Added.Role == ident.RoleHome {
			return &protocol.Error{Op: op, Code: protocol.CodeHomeExists, Cause: err}
		}
		return err
	}
	if a.Revoked == nil { // a lost phone is locked out on a full disk too: that is what the reserve is for
		if err := c.room(); err != nil {
			return err
		}
	}
	homeGone, err := c.store.Extend(ctx, a)
	if err != nil {
		return err
	}
	c.told.ChainGrew(a, homeGone)
	return nil
}

// PutUEK verifies rec against the person's chain and keeps it as the newest.
// The same record again is fine. Codes: bad-request, bad-chain, clock-ahead,
// uek-conflict (params counter: the last one), relay-full.
func (c *Chains) PutUEK(ctx context.Context, uid protocol.UID, rec protocol.Signed) error {
	const op = "chain.PutUEK"
	known, err := c.Load(ctx, uid)
	if err != nil {
		return err
	}
	fresh, err := ident.VerifyUEK(rec, known)
	if err != nil {
		return err
	}
	now := c.now().UnixMilli()
	if fresh.TS > now+ahead {
		return &protocol.Error{Op: op, Code: protocol.CodeClockAhead, Params: map[string]any{"time": now}}
	}
	// Who was active when the record claims to be written need not be so now.
	if _, ok := known.ActiveKey(rec.By, now); !ok {
		return protocol.Refuse(op, protocol.CodeBadChain, "signer is no active device")
	}
	old, counter, found, err := c.store.UEK(ctx, uid)
	if err != nil {
		return err
	}
	var last *ident.UEKRecord
	if found {
		if old.By == rec.By && bytes.Equal(old.Payload, rec.Payload) {
			return nil
		}
		last = &ident.UEKRecord{Counter: counter, Hash: protocol.Hash("uek", old.Payload)}
	}
	if err := fresh.Follows(last); err != nil {
		return &protocol.Error{Op: op, Code: protocol.CodeUEKConflict, Params: map[string]any{"counter": counter}, Cause: err}
	}
	if err := c.room(); err != nil {
		return err
	}
	return c.store.SaveUEK(ctx, uid, fresh.Counter, rec)
}
