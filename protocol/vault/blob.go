// Package vault is what a person keeps sealed for themselves: the vault at the
// relay (section 5), the recovery card (6), invites and their cards (9), and
// the one-use link that hands an account to another browser (10).
//
// No relay may import it (the test in protocol/imports_test.go says why). It
// must never write a secret anywhere but into something sealed.
package vault

import (
	"bytes"
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
	// MaxPadded bounds the padded JSON.
	MaxPadded = 1 << 20
	// MaxSlots: n is one byte.
	MaxSlots = 255

	headSize = 1 + 8 + 32 + 1
	kidSize  = 8
	slotSize = kidSize + 32 + box.Overhead
	minPad   = 4096

	// MaxBlob bounds a whole blob.
	MaxBlob = headSize + MaxSlots*slotSize + secretbox.Overhead + MaxPadded
)

// ErrVault is the cause of every refusal by Open.
var ErrVault = errors.New("vault cannot be opened")

// Sealed is a vault as it lies at the relay.
type Sealed struct {
	Version int64              `json:"version"` // 1, 2, …
	Blob    protocol.Bytes     `json:"blob"`
	By      protocol.Key32     `json:"by"`
	Sig     protocol.Signature `json:"sig"` // sign(by, "sign/vault", uid, u64(version), blob)
}

// Slots are the box keys that a vault is sealed to: of each admin and home
// device active at now (ms), in the chain's order, then the card's.
func Slots(chain *ident.Chain, now int64) []protocol.Key32 {
	var out []protocol.Key32
	for _, d := range chain.Devices(now) {
		if d.Role != ident.RoleSession {
			out = append(out, d.Box)
		}
	}
	if card, ok := chain.Card(); ok {
		out = append(out, card.Box)
	}
	return out
}

// Seal seals contents as the given version for slots, and signs it. signer is
// an active device or the card. Codes: bad-request, too-large.
func Seal(random io.Reader, signer protocol.Signer, uid protocol.UID, version int64, slots []protocol.Key32, contents Contents) (Sealed, error) {
	plain, err := contents.marshal()
	if err != nil {
		return Sealed{}, err
	}
	blob, err := sealBlob(random, uid, version, slots, plain)
	if err != nil {
		return Sealed{}, err
	}
	sig := signer.Sign("sign/vault", uid[:], protocol.U64(version), blob)
	return Sealed{Version: version, Blob: blob, By: signer.Public(), Sig: sig}, nil
}

func sealBlob(random io.Reader, uid protocol.UID, version int64, slots []protocol.Key32, plain []byte) ([]byte, error) {
	const op = "vault.Seal"
	if len(slots) < 1 || len(slots) > MaxSlots || version < 1 {
		return nil, protocol.Refuse(op, protocol.CodeBadRequest, "1 to 255 slots, version from 1")
	}
	size := minPad
	for size < 4+len(plain) {
		size *= 2
	}
	if size > MaxPadded {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxPadded}}
	}
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, err
	}
	var vk [32]byte
	if _, err := io.ReadFull(random, vk[:]); err != nil {
		return nil, err
	}
	ephPub := eph.Public()
	out := append([]byte{suite}, protocol.U64(version)...)
	out = append(out, ephPub[:]...)
	out = append(out, byte(len(slots)))
	for i, slot := range slots {
		shared, err := eph.SharedKey(slot)
		if err != nil {
			return nil, &protocol.Error{Op: op, Code: protocol.CodeBadRequest, Params: map[string]any{"slot": i}, Cause: err}
		}
		out = append(out, kidOf(shared[:], version)...)
		out = box.SealAfterPrecomputation(out, vk[:], wrapNonce(uid, version, ephPub, i), &shared)
	}
	padded := make([]byte, size)
	binary.BigEndian.PutUint32(padded, uint32(len(plain)))
	copy(padded[4:], plain)
	return secretbox.Seal(out, padded, bodyNonce(uid, out), &vk), nil
}

func kidOf(shared []byte, version int64) []byte {
	kid := protocol.Hash("vault/kid", shared, protocol.U64(version))
	return kid[:kidSize]
}

func wrapNonce(uid protocol.UID, version int64, eph protocol.Key32, i int) *[24]byte {
	n := protocol.Nonce24(protocol.Hash("vault/wrap", uid[:], protocol.U64(version), eph[:], protocol.U8(i)))
	return &n
}

func bodyNonce(uid protocol.UID, prefix []byte) *[24]byte {
	sum := sha256.Sum256(prefix)
	n := protocol.Nonce24(protocol.Hash("vault/body", uid[:], sum[:]))
	return &n
}

// Verify checks that an active device or the card of chain signed s, and no more.
func (s Sealed) Verify(chain *ident.Chain, now int64) error {
	const op = "vault.Verify"
	if s.Version < 1 || len(s.Blob) > MaxBlob {
		return protocol.Refuse(op, protocol.CodeBadRequest, "version or size")
	}
	_, ok := chain.ActiveKey(s.By, now)
	if card, has := chain.Card(); has && card.IK == s.By {
		ok = true
	}
	uid := chain.UID()
	if !ok || !protocol.Verify(s.By, s.Sig, "sign/vault", uid[:], protocol.U64(s.Version), s.Blob) {
		return protocol.Refuse(op, protocol.CodeUnauthorized, "not signed by an active device or the card")
	}
	return nil
}

// Open verifies s against the own chain and opens it with key: a device's box
// key or the card's. That s is not older than a version already seen is the
// caller's question. Refusals of the blob have the cause ErrVault.
func Open(s Sealed, chain *ident.Chain, now int64, key protocol.BoxSecret) (Contents, error) {
	if err := s.Verify(chain, now); err != nil {
		return Contents{}, err
	}
	plain, ok := openBlob(s.Blob, chain.UID(), s.Version, key)
	if !ok {
		return Contents{}, &protocol.Error{Op: "vault.Open", Code: protocol.CodeBadRequest, Cause: ErrVault}
	}
	return parseContents(plain)
}

func openBlob(blob []byte, uid protocol.UID, version int64, key protocol.BoxSecret) ([]byte, bool) {
	if len(blob) < headSize || len(blob) > MaxBlob || blob[0] != suite {
		return nil, false
	}
	n := int(blob[headSize-1])
	end := headSize + n*slotSize
	if n < 1 || len(blob) < end+secretbox.Overhead+minPad || !bytes.Equal(blob[1:9], protocol.U64(version)) {
		return nil, false
	}
	eph := protocol.Key32(blob[9:41])
	shared, err := key.SharedKey(eph)
	if err != nil {
		return nil, false
	}
	kid := kidOf(shared[:], version)
	for i := range n {
		slot := blob[headSize+i*slotSize : headSize+(i+1)*slotSize]
		if !bytes.Equal(slot[:kidSize], kid) { // a kid is public
			continue
		}
		vk, ok := box.OpenAfterPrecomputation(nil, slot[kidSize:], wrapNonce(uid, version, eph, i), &shared)
		if !ok {
			return nil, false
		}
		padded, ok := secretbox.Open(nil, blob[end:], bodyNonce(uid, blob[:end]), (*[32]byte)(vk))
		if !ok {
			return nil, false
		}
		return unpad(padded)
	}
	return nil, false
}

// unpad refuses other sizes than 4096 * 2^k and anything but zeros after the
// JSON. That padded is not over MaxPadded follows from MaxBlob.
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
	for _, b := range padded[4+n:] {
		if b != 0 {
			return nil, false
		}
	}
	return padded[4 : 4+n], true
}
