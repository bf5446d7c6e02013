package ident

import (
	"errors"

	"github.com/courtyard-social/courtyard/protocol"
)

const labelUEK = "sign/uek"

// ErrRollback is the cause when a UEK record is older than one already seen, or
// another one under the same counter.
var ErrRollback = errors.New("older than a UEK record already seen")

// UEKRecord is a verified record of a daily key (section 4).
type UEKRecord struct {
	UID     protocol.UID
	Counter int64            // 1, 2, …
	Prev    *protocol.Hash32 // of the record before, nil for counter 1
	TS      int64            // ms
	Head    protocol.Hash32  // the signer's chain head
	Key     protocol.Key32   // X25519: what letters are sealed to
	Hash    protocol.Hash32  // of this record
}

type uekPayload struct {
	V       int              `json:"v"`
	UID     protocol.UID     `json:"uid"`
	Counter int64            `json:"counter"`
	Prev    *protocol.Hash32 `json:"prev,omitempty"`
	TS      int64            `json:"ts"`
	Head    protocol.Hash32  `json:"head"`
	Key     protocol.Key32   `json:"key"`
}

// UEKSecret is a daily key's secret with its counter. It never prints.
type UEKSecret struct {
	Counter int64
	Secret  protocol.BoxSecret
}

// UEKPin is the highest UEK record a reader has seen of somebody.
type UEKPin struct {
	Counter int64          `json:"counter"`
	Key     protocol.Key32 `json:"key"`
}

// NewUEKRecord makes the record that follows last (nil for the first). signer
// is an active admin or home device of the chain.
func NewUEKRecord(signer protocol.Signer, chain *Chain, last *UEKRecord, key protocol.Key32, now int64) (protocol.Signed, error) {
	p := uekPayload{V: 1, UID: chain.UID(), Counter: 1, TS: now, Head: chain.Head(), Key: key}
	if last != nil {
		p.Counter, p.Prev = last.Counter+1, &last.Hash
	}
	raw, err := protocol.Marshal(p)
	if err != nil {
		return protocol.Signed{}, err
	}
	rec := protocol.SignPayload(signer, labelUEK, raw)
	_, err = VerifyUEK(rec, chain)
	return rec, err
}

// VerifyUEK checks a record against the person's chain: its uid, a signature by
// an active admin or home device, a chain head that the chain contains, a
// counter at or above the chain's floor, a key that is not of low order. Pins
// (UEKPin.Check) and order (UEKRecord.Follows) are the caller's next step.
// Codes: bad-request for the record itself, bad-chain when chain and record do
// not agree: then the reader fetches the chain anew and tries once more.
func VerifyUEK(rec protocol.Signed, chain *Chain) (UEKRecord, error) {
	const op = "ident.VerifyUEK"
	var p uekPayload
	if len(rec.Payload) > maxPayload {
		return UEKRecord{}, protocol.Refuse(op, protocol.CodeTooLarge, "payload over 4 KiB")
	}
	if err := protocol.DecodeClosed(rec.Payload, &p, 1); err != nil {
		return UEKRecord{}, err
	}
	switch {
	case p.V != 1 || p.Counter < 1 || p.TS < 0:
		return UEKRecord{}, protocol.Refuse(op, protocol.CodeBadRequest, "version, counter or time")
	case (p.Counter == 1) != (p.Prev == nil):
		return UEKRecord{}, protocol.Refuse(op, protocol.CodeBadRequest, "prev out of place")
	case protocol.LowOrder(p.Key):
		return UEKRecord{}, protocol.Refuse(op, protocol.CodeBadRequest, "low-order key")
	case p.UID != chain.UID():
		return UEKRecord{}, refuse(op, "another person's record")
	case !chain.Contains(p.Head):
		return UEKRecord{}, refuse(op, "chain head unknown")
	case p.Counter < chain.UEKFloor():
		return UEKRecord{}, refuse(op, "counter below the floor")
	}
	device, ok := chain.ActiveKey(rec.By, p.TS)
	if !ok || device.Role == RoleSession {
		return UEKRecord{}, refuse(op, "signer is no active admin or home device")
	}
	if !rec.Verify(labelUEK) {
		return UEKRecord{}, protocol.Refuse(op, protocol.CodeBadRequest, "signature")
	}
	return UEKRecord{p.UID, p.Counter, p.Prev, p.TS, p.Head, p.Key, protocol.Hash("uek", rec.Payload)}, nil
}

// Follows returns uek-conflict unless r is the record after last (nil for
// none): the relay's compare-and-swap.
func (r UEKRecord) Follows(last *UEKRecord) error {
	const op = "ident.Follows"
	if last == nil {
		if r.Counter != 1 {
			return protocol.Refuse(op, protocol.CodeUEKConflict, "the first counter is 1")
		}
		return nil
	}
	if r.Counter != last.Counter+1 || *r.Prev != last.Hash {
		return protocol.Refuse(op, protocol.CodeUEKConflict, "not the record after the last")
	}
	return nil
}

// Pin is what a reader should remember of the record.
func (r UEKRecord) Pin() UEKPin { return UEKPin{r.Counter, r.Key} }

// Check refuses, with cause ErrRollback, a record with a lower counter than the
// pin's, or with another key under the same counter.
func (p UEKPin) Check(r UEKRecord) error {
	if r.Counter < p.Counter || r.Counter == p.Counter && r.Key != p.Key {
		return &protocol.Error{Op: "ident.UEKPin", Code: protocol.CodeUEKConflict, Cause: ErrRollback}
	}
	return nil
}
