package ident

import (
	"errors"
	"maps"
	"slices"

	"github.com/courtyard-social/courtyard/protocol"
)

// ErrFork is the cause when a chain contradicts what was pinned before: nothing
// more is sealed to that person until the reader decides (section 3).
var ErrFork = errors.New("another chain than the one pinned")

func refuse(op, reason string) error { return protocol.Refuse(op, protocol.CodeBadChain, reason) }

// Chain is a verified sigchain and what follows from it. It is not safe for
// use by several goroutines while one of them appends; Clone is cheap.
type Chain struct {
	uid     protocol.UID
	records []protocol.Signed
	hashes  []protocol.Hash32
	devices []deviceState
	keys    map[protocol.Key32]bool // every Ed25519 key that ever was in the chain
	card    *CardKeys
	relay   Relay
	floor   int64
}

type deviceState struct {
	Device
	id        protocol.DeviceID
	revoked   bool
	revokedAt int64 // ts of the record, ms
}

func (d deviceState) active(now int64) bool { return !d.revoked && (d.Exp == 0 || now < d.Exp) }

// Pin is what a reader remembers of somebody else's chain.
type Pin struct {
	Seq  int             `json:"seq"`
	Head protocol.Hash32 `json:"head"`
}

// ParseChain verifies records from genesis on. Code: bad-chain.
func ParseChain(records []protocol.Signed) (*Chain, error) {
	if len(records) == 0 {
		return nil, refuse("ident.ParseChain", "empty")
	}
	c := &Chain{keys: map[protocol.Key32]bool{}}
	for _, rec := range records {
		if err := c.Append(rec); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Append verifies one more record and takes it in; after an error the chain is
// as before. Code: bad-chain.
func (c *Chain) Append(rec protocol.Signed) error {
	const op = "ident.Append"
	if len(c.records) >= maxRecords {
		return refuse(op, "more than 1,000 records")
	}
	p, reason := parsePayload(rec.Payload)
	if reason != "" {
		return refuse(op, reason)
	}
	if reason := c.continues(p); reason != "" {
		return refuse(op, reason)
	}
	if !c.maySign(rec.By, p) {
		return refuse(op, "signer may not write this record")
	}
	if !rec.Verify(labelChain) {
		return refuse(op, "signature")
	}
	if reason := c.apply(p); reason != "" {
		return refuse(op, reason)
	}
	if p.Op == OpGenesis {
		c.uid = uidOf(rec.Payload)
	}
	c.records = append(c.records, rec)
	c.hashes = append(c.hashes, hashOf(rec.Payload))
	return nil
}

func (c *Chain) continues(p *payload) string {
	if p.Seq != len(c.records) {
		return "seq does not continue"
	}
	if (p.Op == OpGenesis) != (p.Seq == 0) {
		return "genesis out of place"
	}
	if p.Seq > 0 && *p.Prev != c.Head() {
		return "prev is another record"
	}
	return ""
}

// maySign applies the rule of section 3 to the state before the record.
func (c *Chain) maySign(by protocol.Key32, p *payload) bool {
	if p.Op == OpGenesis {
		return by == p.Device.Sign
	}
	if c.card != nil && by == c.card.IK {
		return true
	}
	if p.Op == OpCard && c.card != nil {
		return false // the card outranks devices
	}
	for _, d := range c.devices {
		if d.Sign == by {
			return d.active(p.TS) && d.Role != RoleSession
		}
	}
	return false
}

// apply changes the state by a record that may be written; on a reason nothing has changed.
func (c *Chain) apply(p *payload) string {
	switch p.Op {
	case OpGenesis, OpDeviceAdd:
		if c.keys[p.Device.Sign] {
			return "a sign key twice"
		}
		if p.Device.Role == RoleHome {
			for _, d := range c.devices {
				if d.Role == RoleHome && d.active(p.TS) {
					return "a second home"
				}
			}
		}
		c.keys[p.Device.Sign] = true
		c.devices = append(c.devices, deviceState{Device: *p.Device, id: p.Device.ID()})
		if p.Relay != nil {
			c.relay = *p.Relay
		}
	case OpDeviceRevoke:
		i := c.find(*p.ID)
		if i < 0 || c.devices[i].revoked {
			return "revokes a device that is not there"
		}
		c.devices[i].revoked, c.devices[i].revokedAt = true, p.TS
		c.floor = max(c.floor, *p.UEKFloor)
	case OpCard:
		if c.keys[*p.IK] {
			return "a sign key twice"
		}
		if !protocol.Verify(*p.IK, *p.Proof, "card-proof", c.uid[:], protocol.U64(p.Seq), p.IK[:], p.Box[:]) {
			return "card proof"
		}
		c.keys[*p.IK] = true
		c.card = &CardKeys{*p.IK, *p.Box}
	case OpRelay:
		c.relay = *p.Relay
	}
	return ""
}

func (c *Chain) find(id protocol.DeviceID) int {
	return slices.IndexFunc(c.devices, func(d deviceState) bool { return d.id == id })
}

// Clone is an independent copy.
func (c *Chain) Clone() *Chain {
	out := *c
	out.records, out.hashes = slices.Clip(c.records), slices.Clip(c.hashes)
	out.devices, out.keys = slices.Clone(c.devices), maps.Clone(c.keys)
	return &out
}

// UID is the person.
func (c *Chain) UID() protocol.UID { return c.uid }

// Seq is the number of the last record; genesis is 0.
func (c *Chain) Seq() int { return len(c.records) - 1 }

// Head is the hash of the last record.
func (c *Chain) Head() protocol.Hash32 { return c.hashes[len(c.hashes)-1] }

// HashAt is the hash of record seq.
func (c *Chain) HashAt(seq int) (protocol.Hash32, bool) {
	if seq < 0 || seq >= len(c.hashes) {
		return protocol.Hash32{}, false
	}
	return c.hashes[seq], true
}

// Contains reports whether some record of the chain has this hash.
func (c *Chain) Contains(head protocol.Hash32) bool { return slices.Contains(c.hashes, head) }

// Records are the signed records from seq on (0 for all).
func (c *Chain) Records(seq int) []protocol.Signed {
	return slices.Clone(c.records[min(max(seq, 0), len(c.records)):])
}

// Pin is what a reader should remember of this chain.
func (c *Chain) Pin() Pin { return Pin{c.Seq(), c.Head()} }

// CheckPin compares the chain with what was pinned before. The cause is ErrFork
// if the chain is shorter or has another record at the pinned place.
func (c *Chain) CheckPin(p Pin) error {
	if at, ok := c.HashAt(p.Seq); !ok || at != p.Head {
		return &protocol.Error{Op: "ident.CheckPin", Code: protocol.CodeBadChain, Cause: ErrFork}
	}
	return nil
}

// Devices are all devices that are active at now (ms), in the order they came.
func (c *Chain) Devices(now int64) []Device {
	var out []Device
	for _, d := range c.devices {
		if d.active(now) {
			out = append(out, d.Device)
		}
	}
	return out
}

// Device is a device that ever was in the chain, revoked or not.
func (c *Chain) Device(id protocol.DeviceID) (Device, bool) {
	if i := c.find(id); i >= 0 {
		return c.devices[i].Device, true
	}
	return Device{}, false
}

// Active is the device if it is in the chain, not revoked and not past its exp at now (ms).
func (c *Chain) Active(id protocol.DeviceID, now int64) (Device, bool) {
	if i := c.find(id); i >= 0 && c.devices[i].active(now) {
		return c.devices[i].Device, true
	}
	return Device{}, false
}

// Author is the device if what is dated ts (ms, of the envelope) may be from it:
// not past its exp then, and not revoked by a record whose ts is at or before
// it. A letter that waited in a queue while its device was revoked still counts
// (section 8); the relay takes no more of them.
func (c *Chain) Author(id protocol.DeviceID, ts int64) (Device, bool) {
	i := c.find(id)
	if i < 0 {
		return Device{}, false
	}
	d := c.devices[i]
	return d.Device, (d.Exp == 0 || ts < d.Exp) && (!d.revoked || ts < d.revokedAt)
}

// AuthorKey is Author by the device's Ed25519 key, for what names its signer by
// that (section 15).
func (c *Chain) AuthorKey(sign protocol.Key32, ts int64) (Device, bool) {
	for _, d := range c.devices {
		if d.Sign == sign {
			return c.Author(d.id, ts)
		}
	}
	return Device{}, false
}

// ActiveKey is the device active at now whose Ed25519 key is sign.
func (c *Chain) ActiveKey(sign protocol.Key32, now int64) (Device, bool) {
	for _, d := range c.devices {
		if d.Sign == sign {
			return d.Device, d.active(now)
		}
	}
	return Device{}, false
}

// Home is the home that is active at now (ms).
func (c *Chain) Home(now int64) (Device, bool) {
	for _, d := range c.devices {
		if d.Role == RoleHome && d.active(now) {
			return d.Device, true
		}
	}
	return Device{}, false
}

// Card is the present recovery card.
func (c *Chain) Card() (CardKeys, bool) {
	if c.card == nil {
		return CardKeys{}, false
	}
	return *c.card, true
}

// Relay is the relay that the chain names.
func (c *Chain) Relay() Relay { return c.relay }

// UEKFloor is the lowest UEK counter that new letters may be sealed to.
func (c *Chain) UEKFloor() int64 { return c.floor }
