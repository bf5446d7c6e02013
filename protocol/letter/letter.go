// Package letter seals what people say: letters for the people who may read
// them, and files in chunks. Section 8 of protocol/README.md.
//
// No relay may import it (the test in protocol/imports_test.go says why). It
// must never tell a stranger which of its checks failed.
package letter

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	suite = 1
	// MaxSlots is how many UEKs one letter can be sealed to.
	MaxSlots = 200
	// MaxPadded bounds the padded inner part.
	MaxPadded = 64 << 10

	headSize = 1 + 32 + 32 + 1 // suite, eph_pk, commit, n
	kidSize  = 8
	slotSize = kidSize + 32 + box.Overhead
	minPad   = 512

	// MaxSize bounds a whole letter.
	MaxSize = headSize + MaxSlots*slotSize + secretbox.Overhead + MaxPadded
)

// Auth is how a letter proves its sender.
type Auth byte

const (
	// AuthMAC convinces the reader alone: the reader could have computed it too.
	AuthMAC Auth = 1
	// AuthSign can be shown to others: rooms, posts, records.
	AuthSign Auth = 2
)

// ErrLetter is the cause of every refusal by Open, whatever was wrong.
var ErrLetter = errors.New("letter cannot be opened")

func errOpen() error {
	return &protocol.Error{Op: "letter.Open", Code: protocol.CodeBadRequest, Cause: ErrLetter}
}

// Hash is what receipts name a letter by: hash("letter", H, letter).
func Hash(h protocol.Hash32, letter []byte) protocol.Hash32 {
	return protocol.Hash("letter", h[:], letter)
}

// between reports the types whose letters pass between two people: they are
// deniable, and readers refuse a signature there.
func between(envelopeType string) bool {
	switch envelopeType {
	case protocol.TypeChat, protocol.TypeFriend, protocol.TypeReceipt, protocol.TypeLive:
		return true
	}
	return false
}

// header is the part of a letter before the sealed body, as bound into it.
type header struct {
	h      protocol.Hash32
	prefix protocol.Hash32 // SHA-256 of everything before the body
}

func commitment(h protocol.Hash32, mk []byte) protocol.Hash32 {
	return protocol.Hash("letter/commit", h[:], mk)
}

func kidOf(shared []byte, h protocol.Hash32) []byte {
	kid := protocol.Hash("letter/kid", shared, h[:])
	return kid[:kidSize]
}

func wrapNonce(h protocol.Hash32, i int) *[24]byte {
	n := protocol.Nonce24(protocol.Hash("letter/wrap", h[:], protocol.U8(i)))
	return &n
}

func (p header) bodyNonce() *[24]byte {
	n := protocol.Nonce24(protocol.Hash("letter/body", p.h[:], p.prefix[:]))
	return &n
}

// said is the hash of u16(len meta) || meta || body.
func said(content []byte) protocol.Hash32 { return sha256.Sum256(content) }

// mac proves the sender to the reader of slot i. dh is X25519 of the sender's
// device and the reader's UEK, from either side.
func (p header) mac(dh [32]byte, i int, content []byte) [32]byte {
	key := protocol.KDF(dh[:], "letter/auth-key", p.h[:], protocol.U8(i))
	what := said(content)
	return protocol.MAC(key[:], "letter/auth", p.h[:], p.prefix[:], what[:])
}

// Seal writes the data of envelope e, whose header must be final: its id, times,
// uids and type are bound into the letter. It is readable with each of ueks (1
// to 200 X25519 keys) and proves its sender to those readers alone (kind 1).
// random gives the ephemeral key and mk, fresh each time: a letter that is
// sealed again gets a new envelope id. Codes: bad-request, too-large.
func Seal(random io.Reader, e *protocol.Envelope, sender *ident.DeviceKeys, ueks []protocol.Key32, meta, body []byte) ([]byte, error) {
	return seal(random, e, sender, ueks, meta, body, AuthMAC)
}

// SealSigned is Seal with a signature that anybody can check (kind 2). It is
// refused for the types that pass between two people.
func SealSigned(random io.Reader, e *protocol.Envelope, sender *ident.DeviceKeys, ueks []protocol.Key32, meta, body []byte) ([]byte, error) {
	if between(e.Type) {
		return nil, protocol.Refuse("letter.SealSigned", protocol.CodeBadRequest, "letters between two people are not signed")
	}
	return seal(random, e, sender, ueks, meta, body, AuthSign)
}

func seal(random io.Reader, e *protocol.Envelope, sender *ident.DeviceKeys, ueks []protocol.Key32, meta, body []byte, kind Auth) ([]byte, error) {
	const op = "letter.Seal"
	if len(ueks) < 1 || len(ueks) > MaxSlots {
		return nil, protocol.Refuse(op, protocol.CodeBadRequest, "1 to 200 readers")
	}
	if len(meta) > 1<<16-1 || len(body) > MaxPadded {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxPadded}}
	}
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, err
	}
	var mk [32]byte
	if _, err := io.ReadFull(random, mk[:]); err != nil {
		return nil, err
	}

	h := e.H()
	commit, ephPub := commitment(h, mk[:]), eph.Public()
	out := make([]byte, 0, headSize+len(ueks)*slotSize+secretbox.Overhead+minPad)
	out = append(out, suite)
	out = append(out, ephPub[:]...)
	out = append(out, commit[:]...)
	out = append(out, byte(len(ueks)))
	for i, uek := range ueks {
		shared, err := eph.SharedKey(uek)
		if err != nil {
			return nil, &protocol.Error{Op: op, Code: protocol.CodeBadRequest, Params: map[string]any{"slot": i}, Cause: err}
		}
		out = append(out, kidOf(shared[:], h)...)
		out = box.SealAfterPrecomputation(out, mk[:], wrapNonce(h, i), &shared)
	}

	p := header{h, sha256.Sum256(out)}
	content := append(binary.BigEndian.AppendUint16(nil, uint16(len(meta))), meta...)
	content = append(content, body...)
	inner := []byte{byte(kind)}
	if kind == AuthMAC {
		for i, uek := range ueks {
			dh, err := sender.DH(uek)
			if err != nil {
				return nil, &protocol.Error{Op: op, Code: protocol.CodeBadRequest, Params: map[string]any{"slot": i}, Cause: err}
			}
			mac := p.mac(dh, i, content)
			inner = append(inner, mac[:]...)
		}
	} else {
		what := said(content)
		sig := sender.Sign("sign/letter", p.h[:], p.prefix[:], what[:])
		inner = append(inner, sig[:]...)
	}
	padded, ok := pad(append(inner, content...))
	if !ok {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxPadded}}
	}
	return secretbox.Seal(out, padded, p.bodyNonce(), &mk), nil
}

// pad writes u32(len) || inner || zeros, to 512 * 2^k.
func pad(inner []byte) ([]byte, bool) {
	size := minPad
	for size < 4+len(inner) {
		size *= 2
	}
	if size > MaxPadded {
		return nil, false
	}
	out := make([]byte, size)
	binary.BigEndian.PutUint32(out, uint32(len(inner)))
	copy(out[4:], inner)
	return out, true
}

// unpad refuses other sizes and anything but zeros after inner. That padded is
// not over MaxPadded follows from MaxSize, the next power of two being beyond it.
func unpad(padded []byte) ([]byte, bool) {
	size := minPad
	for size < len(padded) {
		size *= 2
	}
	if size != len(padded) {
		return nil, false
	}
	n := binary.BigEndian.Uint32(padded)
	if int64(n) > int64(len(padded)-4) {
		return nil, false
	}
	inner, zeros := padded[4:4+n], padded[4+n:]
	for _, b := range zeros {
		if b != 0 {
			return nil, false
		}
	}
	return inner, true
}
