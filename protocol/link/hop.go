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
	// hopStep is the grain of a padded length above hopStep; below it is a power of two.
	hopStep   = 64 << 10
	hopLeast  = 512
	hopFrames = 4 // at most, in a record
	nonceSize = 24
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
	bad := func(reason string) error { return protocol.Refuse("link.ReadCard", protocol.CodeBadRequest, reason) }
	var c card
	if s.By != key || !s.Verify(cardLabel) {
		return c.Box, bad("not that relay's card")
	}
	if err := protocol.DecodeClosed(s.Payload, &c, 1); err != nil {
		return c.Box, err
	}
	if c.V != 1 || protocol.LowOrder(c.Box) {
		return c.Box, bad("unknown version or low-order key")
	}
	return c.Box, nil
}

// Hop is what a record says.
type Hop struct {
	From   protocol.Key32 // the relay that has signed it
	Host   string         // where it says that it is reached
	Frames []Request      // as on a link
}

// hop is the payload of a record, closed.
type hop struct {
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
	h := hop{To: to, Eph: eph.Public(), Host: host, TS: now}
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
	// The nonce is constant: eph is fresh, so the key seals this record alone.
	sealed, err := sealHop(head, protocol.SignPayload(key, hopLabel, payload).Marshal(), [nonceSize]byte{}, there)
	return sealed, HopKey{back}, err
}

// OpenHop reads a record for the relay with key, at now, ms. Codes: bad-request, expired.
func OpenHop(key protocol.SignSecret, sealed []byte, now int64) (Hop, HopKey, error) {
	refuse := func(reason string) (Hop, HopKey, error) {
		return Hop{}, HopKey{}, protocol.Refuse("link.OpenHop", protocol.CodeBadRequest, reason)
	}
	if len(sealed) < hopHead || len(sealed) > MaxHop || sealed[0] != hopSuite {
		return refuse("length or suite")
	}
	eph := protocol.Key32(sealed[1:hopHead])
	there, back, err := hopKeys(BoxSecret(key), eph, key.Public(), eph)
	if err != nil {
		return refuse("low-order key")
	}
	raw, ok := openHop(sealed[hopHead:], [nonceSize]byte{}, there)
	if !ok {
		return refuse("not sealed to this relay")
	}
	var s protocol.Signed
	if err := protocol.DecodeClosed(raw, &s, 1); err != nil {
		return Hop{}, HopKey{}, err
	}
	if !s.Verify(hopLabel) {
		return refuse("not signed")
	}
	var h hop
	if err := protocol.DecodeClosed(s.Payload, &h, 8); err != nil {
		return Hop{}, HopKey{}, err
	}
	if h.To != key.Public() || h.Eph != eph || !validHost(h.Host) {
		return refuse("meant otherwise")
	}
	if h.TS < now-HopLife || h.TS > now+HopLife {
		return Hop{}, HopKey{}, &protocol.Error{Op: "link.OpenHop", Code: protocol.CodeExpired}
	}
	frames, err := hopRequests(h.Frames)
	return Hop{s.By, h.Host, frames}, HopKey{back}, err
}

// hopRequests reads the frames of a record: all of them, before anything is done.
func hopRequests(raws []json.RawMessage) ([]Request, error) {
	if len(raws) < 1 || len(raws) > hopFrames {
		return nil, protocol.Refuse("link.OpenHop", protocol.CodeBadRequest, "number of frames")
	}
	frames := make([]Request, 0, len(raws))
	for _, raw := range raws {
		r, err := ParseRequest(raw)
		if err != nil {
			return nil, err
		}
		switch r.Op {
		case OpPut, OpChain, OpFile, OpPart, OpSpend:
		default: // a hop in a hop would go on for ever
			return nil, protocol.Refuse("link.OpenHop", protocol.CodeBadRequest, "not in a hop record")
		}
		frames = append(frames, r)
	}
	return frames, nil
}

// Seal makes the answer to a record. Who passed the record on may bring it again
// and get another answer to it, under the same key: so each has a nonce of its own.
func (k HopKey) Seal(random io.Reader, r Response) ([]byte, error) {
	raw, err := protocol.Marshal(r)
	if err != nil {
		return nil, err
	}
	var nonce [nonceSize]byte
	if _, err := io.ReadFull(random, nonce[:]); err != nil {
		return nil, err
	}
	return sealHop(nonce[:], raw, nonce, k.secret)
}

// Open reads it. Code: bad-request.
func (k HopKey) Open(sealed []byte) (Response, error) {
	refuse := func() (Response, error) {
		return Response{}, protocol.Refuse("link.HopKey", protocol.CodeBadRequest, "not that relay's answer")
	}
	if len(sealed) < nonceSize || len(sealed) > MaxHop {
		return refuse()
	}
	raw, ok := openHop(sealed[nonceSize:], [nonceSize]byte(sealed), k.secret)
	if !ok {
		return refuse()
	}
	return ParseResponse(raw)
}

// hopSize is what n bytes are padded to.
func hopSize(n int) int {
	size := hopLeast
	for size < n {
		if size < hopStep {
			size *= 2
		} else {
			size += hopStep
		}
	}
	return size
}

// sealHop pads raw and seals it behind head.
func sealHop(head, raw []byte, nonce [nonceSize]byte, key protocol.Secret) ([]byte, error) {
	size := hopSize(4 + len(raw))
	if len(head)+size+secretbox.Overhead > MaxHop {
		return nil, &protocol.Error{Op: "link.sealHop", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxHop}}
	}
	padded := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(len(raw)))
	padded = append(padded, raw...)[:size]
	k := [32]byte(key.Expose())
	return secretbox.Seal(head, padded, &nonce, &k), nil
}

func openHop(sealed []byte, nonce [nonceSize]byte, key protocol.Secret) ([]byte, bool) {
	k := [32]byte(key.Expose())
	padded, ok := secretbox.Open(nil, sealed, &nonce, &k)
	if !ok || hopSize(len(padded)) != len(padded) {
		return nil, false
	}
	n := binary.BigEndian.Uint32(padded)
	if int64(n) > int64(len(padded)-4) {
		return nil, false
	}
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
