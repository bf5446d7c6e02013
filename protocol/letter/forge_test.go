package letter_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"
	//lint:ignore SA1019 HSalsa20 alone is NaCl's beforenm; the package is deprecated as a cipher.
	"golang.org/x/crypto/salsa20/salsa"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

// forgery writes letters from section 8 of the specification alone, with NaCl's
// own box, sharing no code with the package under test; and it can be told to
// do any part of it wrong, as an attacker would.
type forgery struct {
	e    *protocol.Envelope
	ueks []protocol.Key32
	kind byte
	meta string
	body string
	// auth for slot i; nil: the honest one of sender
	sender *ident.DeviceKeys
	auth   func(prefix, content protocol.Hash32) []byte

	eph     protocol.BoxSecret
	mk      [32]byte
	slotMK  map[int][32]byte         // another mk in some slots
	commit  *protocol.Hash32         // instead of the honest one
	inner   func(auth []byte) []byte // instead of auth || u16 || meta || body
	padded  func(inner []byte) []byte
	sealed  func(nonce *[24]byte) []byte // instead of the secretbox of padded
	ephPub  *protocol.Key32
	version byte
	n       *byte
}

func newForgery(e *protocol.Envelope, sender *ident.DeviceKeys, meta, body string, ueks ...protocol.Key32) *forgery {
	return &forgery{e: e, ueks: ueks, kind: 1, meta: meta, body: body, sender: sender, version: 1,
		eph: protocol.BoxSecretOf(vectortest.Fixed("forged eph")), mk: vectortest.Fixed("forged mk")}
}

func (f *forgery) letter(t testing.TB) []byte {
	t.Helper()
	h := f.e.H()
	secret, ephPub := f.eph.Expose(), f.eph.Public()
	if f.ephPub != nil {
		ephPub = *f.ephPub
	}
	commit := protocol.Hash("letter/commit", h[:], f.mk[:])
	if f.commit != nil {
		commit = *f.commit
	}
	out := append([]byte{f.version}, ephPub[:]...)
	out = append(out, commit[:]...)
	n := byte(len(f.ueks))
	if f.n != nil {
		n = *f.n
	}
	out = append(out, n)
	for i, uek := range f.ueks {
		mk := f.mk
		if other, ok := f.slotMK[i]; ok {
			mk = other
		}
		pub := [32]byte(uek)
		var shared [32]byte
		box.Precompute(&shared, &pub, &secret)
		if f.ephPub != nil { // of low order: the same X25519 result, zero, for everybody
			var zero16 [16]byte
			var zero32 [32]byte
			salsa.HSalsa20(&shared, &zero16, &zero32, &salsa.Sigma)
		}
		kid := protocol.Hash("letter/kid", shared[:], h[:])
		wrap := protocol.Hash("letter/wrap", h[:], []byte{byte(i)})
		nonce := [24]byte(wrap[:24])
		out = append(out, kid[:8]...)
		out = box.SealAfterPrecomputation(out, mk[:], &nonce, &shared)
	}
	prefix := protocol.Hash32(sha256.Sum256(out))
	content := append(binary.BigEndian.AppendUint16(nil, uint16(len(f.meta))), f.meta+f.body...)
	what := protocol.Hash32(sha256.Sum256(content))
	auth := []byte{f.kind}
	switch {
	case f.auth != nil:
		auth = append(auth, f.auth(prefix, what)...)
	case f.kind == 1:
		for i, uek := range f.ueks {
			mac := honestMAC(t, f.sender.Box(), uek, h, i, prefix, what)
			auth = append(auth, mac[:]...)
		}
	default:
		sig := f.sender.Sign("sign/letter", h[:], prefix[:], what[:])
		auth = append(auth, sig[:]...)
	}
	inner := append(append([]byte(nil), auth...), content...)
	if f.inner != nil {
		inner = f.inner(auth)
	}
	bodyNonce := protocol.Hash("letter/body", h[:], prefix[:])
	nonce := [24]byte(bodyNonce[:24])
	if f.sealed != nil {
		return append(out, f.sealed(&nonce)...)
	}
	padded := honestPad(inner)
	if f.padded != nil {
		padded = f.padded(inner)
	}
	return secretbox.Seal(out, padded, &nonce, &f.mk)
}

// honestMAC is mac_i; either end of the pair can compute it.
func honestMAC(t testing.TB, own protocol.BoxSecret, other protocol.Key32, h protocol.Hash32, i int, prefix, what protocol.Hash32) [32]byte {
	t.Helper()
	dh, err := own.DH(other)
	if err != nil {
		t.Fatal(err)
	}
	key := protocol.KDF(dh[:], "letter/auth-key", h[:], []byte{byte(i)})
	return protocol.MAC(key[:], "letter/auth", h[:], prefix[:], what[:])
}

func honestPad(inner []byte) []byte {
	size := 512
	for size < len(inner)+4 {
		size *= 2
	}
	out := make([]byte, size)
	binary.BigEndian.PutUint32(out, uint32(len(inner)))
	copy(out[4:], inner)
	return out
}
