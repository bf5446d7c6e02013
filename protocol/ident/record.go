package ident

import (
	"io"
	"slices"

	"github.com/courtyard-social/courtyard/protocol"
)

// Operations of the sigchain (section 3).
const (
	OpGenesis      = "genesis"
	OpDeviceAdd    = "device.add"
	OpDeviceRevoke = "device.revoke"
	OpCard         = "card"
	OpRelay        = "relay"
)

const (
	labelChain = "sign/chain"
	maxPayload = 4 << 10
	maxRecords = 1000
	// maxRecordDepth: the record, and device or relay inside it.
	maxRecordDepth = 2
)

// Relay is where a person is at home on the net: {"key","host","port"}.
type Relay struct {
	Key  protocol.Key32 `json:"key"`
	Host string         `json:"host"` // address literal or host name, no port
	Port int            `json:"port"`
}

func (r Relay) check() string {
	if !protocol.ValidHost(r.Host) {
		return "relay host"
	}
	if r.Port < 1 || r.Port > 65535 {
		return "relay port"
	}
	return ""
}

// Address is the relay as `host[:port]`, the form that proofs use.
func (r Relay) Address() string { return protocol.JoinHost(r.Host, r.Port) }

// CardKeys are the public keys of the recovery card (section 6).
type CardKeys struct {
	IK  protocol.Key32 // Ed25519
	Box protocol.Key32 // X25519
}

// payload is the closed JSON object of a record. Which fields an op has is
// checked by (*payload).check; here all that only some have are optional.
type payload struct {
	V        int                 `json:"v"`
	Suite    int                 `json:"suite"`
	Op       string              `json:"op"`
	Seq      int                 `json:"seq"`
	Prev     *protocol.Hash32    `json:"prev,omitempty"`
	TS       int64               `json:"ts"`
	Nonce    *protocol.ID        `json:"nonce,omitempty"`
	Device   *Device             `json:"device,omitempty"`
	ID       *protocol.DeviceID  `json:"id,omitempty"`
	UEKFloor *int64              `json:"uek_floor,omitempty"`
	IK       *protocol.Key32     `json:"ik,omitempty"`
	Box      *protocol.Key32     `json:"box,omitempty"`
	Proof    *protocol.Signature `json:"proof,omitempty"`
	Relay    *Relay              `json:"relay,omitempty"`
}

func parsePayload(raw []byte) (*payload, string) {
	if len(raw) > maxPayload {
		return nil, "payload over 4 KiB"
	}
	p := &payload{}
	if err := protocol.DecodeClosed(raw, p, maxRecordDepth); err != nil {
		return nil, err.Error()
	}
	return p, p.check()
}

// NewestCard is the public key of the recovery card that the last card record
// names. It reads records that were verified when they were taken, and verifies
// nothing.
func NewestCard(records []protocol.Signed) (protocol.Key32, bool) {
	for _, rec := range slices.Backward(records) {
		if p, reason := parsePayload(rec.Payload); reason == "" && p.Op == OpCard {
			return *p.IK, true
		}
	}
	return protocol.Key32{}, false
}

// check looks at one record alone: its fields are those of its op, in range.
func (p *payload) check() string {
	genesis, add := p.Op == OpGenesis, p.Op == OpDeviceAdd
	revoke, card, relay := p.Op == OpDeviceRevoke, p.Op == OpCard, p.Op == OpRelay
	switch {
	case p.V != 1 || p.Suite != 1:
		return "unknown version or suite"
	case !genesis && !add && !revoke && !card && !relay:
		return "unknown op"
	case p.TS < 0 || p.Seq < 0:
		return "negative number"
	case genesis == (p.Prev != nil), genesis != (p.Nonce != nil):
		return "prev or nonce out of place"
	case (genesis || add) != (p.Device != nil), (genesis || relay) != (p.Relay != nil):
		return "device or relay out of place"
	case revoke != (p.ID != nil), revoke != (p.UEKFloor != nil):
		return "id or uek_floor out of place"
	case card != (p.IK != nil), card != (p.Box != nil), card != (p.Proof != nil):
		return "ik, box or proof out of place"
	case revoke && *p.UEKFloor < 0:
		return "negative number"
	case card && protocol.LowOrder(*p.Box):
		return "low-order key"
	case genesis && p.Device.Role != RoleAdmin:
		return "genesis needs an admin device"
	}
	if p.Device != nil {
		if reason := p.Device.check(); reason != "" {
			return reason
		}
	}
	if p.Relay != nil {
		return p.Relay.check()
	}
	return ""
}

func signPayload(signer protocol.Signer, p *payload) (protocol.Signed, error) {
	raw, err := protocol.Marshal(p)
	if err != nil {
		return protocol.Signed{}, err
	}
	if reason := p.check(); reason != "" {
		return protocol.Signed{}, refuse("ident.sign", reason)
	}
	return protocol.SignPayload(signer, labelChain, raw), nil
}

// NewGenesis starts a person: a record signed by their first admin device, and
// the uid, which is the hash of its payload.
func NewGenesis(random io.Reader, first *DeviceKeys, relay Relay, now int64) (protocol.Signed, protocol.UID, error) {
	nonce, err := protocol.NewID(random)
	if err != nil {
		return protocol.Signed{}, protocol.UID{}, err
	}
	device := first.Device(RoleAdmin, 0)
	rec, err := signPayload(first, &payload{V: 1, Suite: 1, Op: OpGenesis, TS: now, Nonce: &nonce, Device: &device, Relay: &relay})
	if err != nil {
		return protocol.Signed{}, protocol.UID{}, err
	}
	return rec, uidOf(rec.Payload), nil
}

func uidOf(genesis []byte) protocol.UID { return protocol.UID(protocol.Hash("uid", genesis)) }

func hashOf(record []byte) protocol.Hash32 { return protocol.Hash("chain", record) }

func (c *Chain) next(op string, now int64) *payload {
	head := c.Head()
	return &payload{V: 1, Suite: 1, Op: op, Seq: c.Seq() + 1, Prev: &head, TS: now}
}

// The makers below return a record that continues the chain; the chain itself
// grows by Append once the relay has taken the record (compare-and-swap).

// NewDeviceAdd makes the record that adds device.
func (c *Chain) NewDeviceAdd(signer protocol.Signer, device Device, now int64) (protocol.Signed, error) {
	p := c.next(OpDeviceAdd, now)
	p.Device = &device
	return c.tried(signer, p)
}

// NewDeviceRevoke makes the record that revokes a device. Nothing new is sealed
// to UEK counters below floor.
func (c *Chain) NewDeviceRevoke(signer protocol.Signer, id protocol.DeviceID, floor, now int64) (protocol.Signed, error) {
	p := c.next(OpDeviceRevoke, now)
	p.ID, p.UEKFloor = &id, &floor
	return c.tried(signer, p)
}

// NewCard makes the record that puts a recovery card into the chain. signer is
// an admin or home device if there is no card yet, else the present card.
func (c *Chain) NewCard(signer protocol.Signer, ik protocol.Signer, box protocol.Key32, now int64) (protocol.Signed, error) {
	p := c.next(OpCard, now)
	key := ik.Public()
	uid := c.UID()
	proof := ik.Sign("card-proof", uid[:], protocol.U64(p.Seq), key[:], box[:])
	p.IK, p.Box, p.Proof = &key, &box, &proof
	return c.tried(signer, p)
}

// NewRelay makes the record that names another relay.
func (c *Chain) NewRelay(signer protocol.Signer, relay Relay, now int64) (protocol.Signed, error) {
	p := c.next(OpRelay, now)
	p.Relay = &relay
	return c.tried(signer, p)
}

// tried signs p and appends it to a copy: nobody publishes a record that readers refuse.
func (c *Chain) tried(signer protocol.Signer, p *payload) (protocol.Signed, error) {
	rec, err := signPayload(signer, p)
	if err != nil {
		return protocol.Signed{}, err
	}
	return rec, c.Clone().Append(rec)
}
