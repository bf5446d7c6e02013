package link

import (
	"encoding/binary"
	"encoding/json"
	"io"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
)

// A hop record is what relay A says to relay B by way of relay F, which learns
// only who they are, when, and how much (section 14, detour).

const (
	hopSuite = 1
	hopHead  = 1 + 32 // suite, ephemeral key
	// MaxHop bounds a sealed hop record, and the answer to one, bytes.
	MaxHop = 320 << 10
	// hopStep is the grain of a record's length above hopStep; below it is a power of two.
	hopStep  = 64 << 10
	hopLeast = 512
	// HopLife is how far a record's clock may be from the reader's, ms.
	HopLife = 10 * 60 * 1000
)

const (
	cardLabel = "sign/relay-box"
	hopLabel  = "sign/hop"
)

// BoxSecret is the X25519 secret that hop records to the relay with key are sealed to.
func BoxSecret(key protocol.SignSecret) protocol.BoxSecret {
	seed := key.Expose()
	return protocol.BoxSecretOf(protocol.KDF(seed[:], "relay/box"))
}

// card is the payload of a relay's card, closed.
type card struct {
	V   int            `json:"v"`
	Box protocol.Key32 `json:"box"`
}

// NewCard makes the card of the relay with key: its public box key, signed.
func NewCard(key protocol.SignSecret) (protocol.Signed, error) {
	payload, err := protocol.Marshal(card{1, BoxSecret(key).Public()})
	return protocol.SignPayload(key, cardLabel, payload), err
}

// ReadCard checks that a card is that of the relay with key. Code: bad-request.
func ReadCard(s protocol.Signed, key protocol.Key32) (protocol.Key32, error) {
	var c card
	if s.By != key || !s.Verify(cardLabel) {
		return c.Box, protocol.Refuse("link.ReadCard", protocol.CodeBadRequest, "not that relay's card")
	}
	if err := protocol.DecodeClosed(s.Payload, &c, 1); err != nil {
		return c.Box, err
	}
	if c.V != 1 {
		return c.Box, protocol.Refuse("link.ReadCard", protocol.CodeBadRequest, "unknown version")
	}
	return c.Box, nil
}

// Hop is what a record says: frames as on a link, and whose they are.
type Hop struct {
	To     protocol.Key32    `json:"to"`   // the relay that it is for
	Eph    protocol.Key32    `json:"eph"`  // of the record it travels in
	Host   string            `json:"host"` // of the relay it is from
	TS     int64             `json:"ts"`   // ms
	Frames []json.RawMessage `json:"frames"`
}

// HopKey seals the answer to a record, and opens it.
type HopKey struct{ secret protocol.Secret }

// SealHop makes the record with frames from the relay with key at host to the
// one with key to and box key box. Code: too-large.
func SealHop(random io.Reader, key protocol.SignSecret, host string, to, box protocol.Key32, now int64, frames ...Request) ([]byte, HopKey, error) {
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, HopKey{}, err
	}
	h := Hop{To: to, Eph: eph.Public(), Host: host, TS: now}
	for _, frame := range frames {
		raw, err := protocol.Marshal(frame)
		if err != nil {
			return nil, HopKey{}, err
		}
		h.Frames = append(h.Frames, raw)
	}
	payload, err := protocol.Marshal(h)
	if err != nil {
		return nil, HopKey{}, err
	}
	there, back, err := hopKeys(eph, box, to, h.Eph)
	if err != nil {
		return nil, HopKey{}, err
	}
	head := append([]byte{hopSuite}, h.Eph[:]...)
	sealed, err := sealHop(head, protocol.SignPayload(key, hopLabel, payload).Marshal(), there)
	return sealed, HopKey{back}, err
}

// OpenHop reads a record for the relay with key. It says who it is from, whose
// signature it has. Codes: bad-request, expired.
func OpenHop(key protocol.SignSecret, sealed []byte, now int64) (from protocol.Key32, h Hop, back HopKey, err error) {
	bad := func(reason string) error { return protocol.Refuse("link.OpenHop", protocol.CodeBadRequest, reason) }
	if len(sealed) < hopHead+secretbox.Overhead || len(sealed) > MaxHop || sealed[0] != hopSuite {
		return from, h, back, bad("length or suite")
	}
	eph := protocol.Key32(sealed[1:hopHead])
	there, answer, err := hopKeys(BoxSecret(key), eph, key.Public(), eph)
	if err != nil {
		return from, h, back, bad("low-order key")
	}
	raw, ok := openHop(sealed[hopHead:], there)
	if !ok {
		return from, h, back, bad("not sealed to this relay")
	}
	var s protocol.Signed
	if err := protocol.DecodeClosed(raw, &s, 1); err != nil {
		return from, h, back, err
	}
	if !s.Verify(hopLabel) {
		return from, h, back, bad("not signed")
	}
	if err := protocol.DecodeClosed(s.Payload, &h, 8); err != nil {
		return from, h, back, err
	}
	if host, err := protocol.ParseHost(h.Host); h.To != key.Public() || h.Eph != eph || err != nil || host != h.Host || len(h.Frames) == 0 || len(h.Frames) > 4 {
		return from, h, back, bad("meant otherwise")
	}
	if h.TS < now-HopLife || h.TS > now+HopLife {
		return from, h, back, &protocol.Error{Op: "link.OpenHop", Code: protocol.CodeExpired}
	}
	return s.By, h, HopKey{answer}, nil
}

// Seal makes the answer to a record.
func (k HopKey) Seal(r Response) ([]byte, error) {
	raw, err := protocol.Marshal(r)
	if err != nil {
		return nil, err
	}
	return sealHop(nil, raw, k.secret)
}

// Open reads it. Code: bad-request.
func (k HopKey) Open(sealed []byte) (Response, error) {
	raw, ok := openHop(sealed, k.secret)
	if !ok {
		return Response{}, protocol.Refuse("link.HopKey", protocol.CodeBadRequest, "not that relay's answer")
	}
	return ParseResponse(raw)
}

// sealHop pads raw and seals it behind head. The nonce is constant: each key is
// used once.
func sealHop(head, raw []byte, key protocol.Secret) ([]byte, error) {
	size := hopLeast
	for need := 4 + len(raw); size < need; {
		if size < hopStep {
			size *= 2
		} else {
			size += hopStep
		}
	}
	if len(head)+size+secretbox.Overhead > MaxHop {
		return nil, &protocol.Error{Op: "link.sealHop", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxHop}}
	}
	padded := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(len(raw)))
	padded = append(padded, raw...)[:size]
	k := [32]byte(key.Expose())
	return secretbox.Seal(head, padded, &[24]byte{}, &k), nil
}

func openHop(sealed []byte, key protocol.Secret) ([]byte, bool) {
	if len(sealed) > MaxHop {
		return nil, false
	}
	k := [32]byte(key.Expose())
	padded, ok := secretbox.Open(nil, sealed, &[24]byte{}, &k)
	if !ok || len(padded) < 4 || int(binary.BigEndian.Uint32(padded)) > len(padded)-4 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint32(padded))
	for _, b := range padded[4+n:] {
		if b != 0 {
			return nil, false
		}
	}
	return padded[4 : 4+n], true
}

// hopKeys are the keys there and back. to is the reader's relay key.
func hopKeys(own protocol.BoxSecret, other, to, eph protocol.Key32) (there, back protocol.Secret, err error) {
	shared, err := own.DH(other)
	if err != nil {
		return there, back, protocol.Refuse("link.hopKeys", protocol.CodeBadRequest, "low-order key")
	}
	a, b := protocol.KDF(shared[:], "hop/there", to[:], eph[:]), protocol.KDF(shared[:], "hop/back", to[:], eph[:])
	return protocol.SecretOf(a[:]), protocol.SecretOf(b[:]), nil
}
