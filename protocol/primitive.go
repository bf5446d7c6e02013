package protocol

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Preimage is what Hash, MAC, KDF and signatures run over (section 1):
// "courtyard/" || label || 0x00 || u32(len part) || part ...
func Preimage(label string, parts ...[]byte) []byte {
	size := len("courtyard/") + len(label) + 1
	for _, p := range parts {
		size += 4 + len(p)
	}
	out := make([]byte, 0, size)
	out = append(out, "courtyard/"...)
	out = append(out, label...)
	out = append(out, 0)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}

// Hash is SHA-256 over the preimage.
func Hash(label string, parts ...[]byte) Hash32 {
	return sha256.Sum256(Preimage(label, parts...))
}

// MAC is HMAC-SHA-256 over the preimage.
func MAC(key []byte, label string, parts ...[]byte) [32]byte {
	h := hmac.New(sha256.New, key)
	h.Write(Preimage(label, parts...))
	return [32]byte(h.Sum(nil))
}

// KDF is HKDF-SHA-256 with an empty salt and the preimage as info.
func KDF(secret []byte, label string, parts ...[]byte) [32]byte {
	key, err := hkdf.Key(sha256.New, secret, nil, string(Preimage(label, parts...)), 32)
	if err != nil { // only for lengths over 255 hashes, or in FIPS mode with short secrets
		panic(fmt.Sprintf("protocol: hkdf: %v", err))
	}
	return [32]byte(key)
}

// Nonce24 is the first 24 bytes of a hash, as NaCl wants its nonces.
func Nonce24(h Hash32) [24]byte { return [24]byte(h[:24]) }

// U64 is n in 8 big-endian bytes. Times and counters are never negative here.
func U64[N int | int64 | uint64](n N) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// U8 is n, 0 to 255, as one byte.
func U8(n int) []byte {
	if n < 0 || n > 255 {
		panic("protocol: U8 out of range")
	}
	return []byte{byte(n)}
}
