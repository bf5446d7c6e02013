package handshake

import (
	"io"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// MaxPairMessage bounds one message in the mailbox (section 12).
const MaxPairMessage = 8 << 10

// Bundle is what the app tells a new home.
type Bundle struct {
	UID      protocol.UID `json:"uid"`
	Username string       `json:"username"`
	Name     string       `json:"name"`
}

// pairing is what both sides come to know; T binds all of it.
type pairing struct {
	uid              protocol.UID
	appSign, appBox  protocol.Key32
	homeSign         protocol.Key32
	homeBox          protocol.Key32
	relayKey         protocol.Key32
	host             string
	ephA, ephN       protocol.Key32
	code             Code
	transcript       protocol.Hash32
	key              protocol.Secret
	newcomer, closed bool
}

func (p *pairing) derive(own protocol.BoxSecret, other protocol.Key32) error {
	shared, err := own.DH(other)
	if err != nil {
		return refuse("handshake.pairing", "low-order key")
	}
	p.transcript = protocol.Hash("pair", []byte("home"), p.uid[:], p.appSign[:], p.appBox[:], p.homeSign[:], p.homeBox[:],
		p.relayKey[:], []byte(p.host), p.ephA[:], p.ephN[:])
	key := protocol.KDF(append(shared[:], p.code.Expose()...), "pair/key", p.transcript[:])
	p.key = protocol.SecretOf(key[:])
	return nil
}

func (p *pairing) mac(label string) [32]byte {
	return protocol.MAC(p.key.Expose(), label, p.transcript[:])
}

func (p *pairing) bundleKey() *[32]byte {
	key := protocol.KDF(p.key.Expose(), "pair/bundle")
	return &key
}

// Approver is the app's side of a pairing. Its methods are called in order,
// each once; after an error the pairing is over and needs a new code.
type Approver struct {
	pairing
	eph protocol.BoxSecret
}

// NewApprover begins and returns message a1. device is the app's own, as its
// chain lists it; relayKey is the one in the own chain, host as
// protocol.ParseHost writes what was dialled.
func NewApprover(random io.Reader, code Code, uid protocol.UID, device ident.Device, relayKey protocol.Key32, host string) (*Approver, []byte, error) {
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, nil, err
	}
	a := &Approver{eph: eph, pairing: pairing{uid: uid, appSign: device.Sign, appBox: device.Box,
		relayKey: relayKey, host: host, code: code, ephA: eph.Public()}}
	return a, concat(a.ephA[:], uid[:], device.Sign[:], device.Box[:]), nil
}

// Newcomer checks message n1 and returns the home's device, role home, to be
// added to the chain.
func (a *Approver) Newcomer(n1 []byte) (ident.Device, error) {
	const op = "handshake.Approver"
	if len(n1) != 4*32 || a.newcomer || a.closed {
		return ident.Device{}, malformed(op, "n1 out of place or of another length")
	}
	a.closed = true
	a.ephN, a.homeSign, a.homeBox = protocol.Key32(n1[:32]), protocol.Key32(n1[32:64]), protocol.Key32(n1[64:96])
	if err := a.derive(a.eph, a.ephN); err != nil {
		return ident.Device{}, err
	}
	if mac := a.mac("pair/newcomer"); !protocol.Equal(mac[:], n1[96:]) {
		return ident.Device{}, refuse(op, "n1 does not know the code, or something on the way changed it")
	}
	a.closed, a.newcomer = false, true
	return ident.Device{Sign: a.homeSign, Box: a.homeBox, Role: ident.RoleHome}, nil
}

// Approve returns message a2, after the record device.add is in the chain and
// the vault has a slot for the home.
func (a *Approver) Approve(username, name string) ([]byte, error) {
	if !a.newcomer || a.closed {
		return nil, malformed("handshake.Approver", "a2 out of place")
	}
	bundle, err := protocol.Marshal(Bundle{a.uid, username, name})
	if err != nil {
		return nil, err
	}
	mac := a.mac("pair/approver")
	return secretbox.Seal(mac[:], bundle, &[24]byte{}, a.bundleKey()), nil
}

// Done checks message n2: the home is up.
func (a *Approver) Done(n2 []byte) error {
	if mac := a.mac("pair/done"); !a.newcomer || a.closed || !protocol.Equal(mac[:], n2) {
		return refuse("handshake.Approver", "n2")
	}
	a.closed = true
	return nil
}

// Newcomer is the home's side of a pairing; as Approver, one call each in order.
type Newcomer struct {
	pairing
}

// NewNewcomer answers message a1 with n1. relayKey is what the relay that was
// dialled at host proves to have.
func NewNewcomer(random io.Reader, code Code, keys *ident.DeviceKeys, relayKey protocol.Key32, host string, a1 []byte) (*Newcomer, []byte, error) {
	if len(a1) != 4*32 {
		return nil, nil, malformed("handshake.NewNewcomer", "a1 of another length")
	}
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, nil, err
	}
	n := &Newcomer{pairing{
		ephA: protocol.Key32(a1[:32]), uid: protocol.UID(a1[32:64]),
		appSign: protocol.Key32(a1[64:96]), appBox: protocol.Key32(a1[96:]),
		homeSign: keys.Public(), homeBox: keys.BoxPublic(),
		relayKey: relayKey, host: host, code: code, ephN: eph.Public(),
	}}
	if err := n.derive(eph, n.ephA); err != nil {
		return nil, nil, err
	}
	mac := n.mac("pair/newcomer")
	return n, concat(n.ephN[:], n.homeSign[:], n.homeBox[:], mac[:]), nil
}

// Bundle checks message a2. The home then fetches the chain of the bundle's
// uid, and goes on only if it starts at that uid and lists both the home's own
// device and the app's (App) as active.
func (n *Newcomer) Bundle(a2 []byte) (Bundle, error) {
	const op = "handshake.Newcomer"
	if n.closed || len(a2) < 32+secretbox.Overhead || len(a2) > MaxPairMessage {
		return Bundle{}, malformed(op, "a2 out of place or of another length")
	}
	n.closed = true
	if mac := n.mac("pair/approver"); !protocol.Equal(mac[:], a2[:32]) {
		return Bundle{}, refuse(op, "a2 does not know the code, or something on the way changed it")
	}
	raw, ok := secretbox.Open(nil, a2[32:], &[24]byte{}, n.bundleKey())
	if !ok {
		return Bundle{}, refuse(op, "bundle")
	}
	var b Bundle
	if err := protocol.DecodeOpen(raw, &b, 4); err != nil {
		return Bundle{}, err
	}
	if b.UID != n.uid {
		return Bundle{}, refuse(op, "bundle of another person")
	}
	n.newcomer = true
	return b, nil
}

// App is the device that approved, as message a1 named it and the code vouched for.
func (n *Newcomer) App() (sign, box protocol.Key32) { return n.appSign, n.appBox }

// Done is message n2, after the home has connected. Call it after Bundle.
func (n *Newcomer) Done() ([]byte, error) {
	if !n.newcomer {
		return nil, malformed("handshake.Newcomer", "n2 out of place")
	}
	mac := n.mac("pair/done")
	return mac[:], nil
}

func concat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
