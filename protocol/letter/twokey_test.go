package letter_test

import (
	"math/big"
	"testing"

	"golang.org/x/crypto/salsa20"
)

// twoKeyBox makes a secretbox of size bytes of ciphertext (a multiple of 16)
// that opens under both keys with one nonce, each time to another text: for
// Poly1305 keys (r1, s1) and (r2, s2) it solves the last block so that the two
// tags agree.
func twoKeyBox(t testing.TB, nonce *[24]byte, one, two *[32]byte, size int) []byte {
	t.Helper()
	r1, s1 := oneTimeKey(nonce, one)
	r2, s2 := oneTimeKey(nonce, two)
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 130), big.NewInt(5))
	top := new(big.Int).Lsh(big.NewInt(1), 128)

	blocks := make([]byte, size)
	for try := range 1 << 12 {
		blocks[0], blocks[1] = byte(try), byte(try>>8)
		// tag = (sum + x*r mod p) + s mod 2^128, x the last block with its high bit
		sum1, sum2 := evaluate(blocks[:size-16], r1, p), evaluate(blocks[:size-16], r2, p)
		// want: (sum1 + x) * r1 + s1 = (sum2 + x) * r2 + s2 + d*2^128 (mod p), small d
		for d := int64(-4); d <= 4; d++ {
			right := new(big.Int).Mul(sum2, r2)
			right.Add(right, s2).Sub(right, s1).Add(right, new(big.Int).Mul(big.NewInt(d), top))
			right.Sub(right, new(big.Int).Mul(sum1, r1))
			x := new(big.Int).Sub(r1, r2)
			x.ModInverse(x.Mod(x, p), p)
			x.Mul(x, right).Mod(x, p)
			block := new(big.Int).Sub(x, top)
			if block.Sign() < 0 || block.Cmp(top) >= 0 {
				continue
			}
			copy(blocks[size-16:], littleEndian(block))
			tag1, tag2 := tagOf(blocks, r1, s1, p, top), tagOf(blocks, r2, s2, p, top)
			if tag1.Cmp(tag2) == 0 {
				return append(littleEndian(tag1), blocks...)
			}
		}
	}
	t.Fatal("no block found")
	return nil
}

// oneTimeKey is the Poly1305 key of a secretbox: the first 32 bytes of its
// XSalsa20 stream, r clamped.
func oneTimeKey(nonce *[24]byte, key *[32]byte) (r, s *big.Int) {
	stream := make([]byte, 32)
	salsa20.XORKeyStream(stream, stream, nonce[:], key)
	stream[3] &= 15
	stream[7] &= 15
	stream[11] &= 15
	stream[15] &= 15
	stream[4] &= 252
	stream[8] &= 252
	stream[12] &= 252
	return number(stream[:16]), number(stream[16:32])
}

func evaluate(blocks []byte, r, p *big.Int) *big.Int {
	h := new(big.Int)
	for i := 0; i < len(blocks); i += 16 {
		block := number(blocks[i : i+16])
		block.SetBit(block, 128, 1)
		h.Add(h, block).Mul(h, r).Mod(h, p)
	}
	return h
}

func tagOf(blocks []byte, r, s, p, top *big.Int) *big.Int {
	tag := evaluate(blocks, r, p)
	return tag.Add(tag, s).Mod(tag, top)
}

func number(little []byte) *big.Int {
	b := make([]byte, len(little))
	for i, v := range little {
		b[len(b)-1-i] = v
	}
	return new(big.Int).SetBytes(b)
}

func littleEndian(v *big.Int) []byte {
	b := v.FillBytes(make([]byte, 16))
	for i := range 8 {
		b[i], b[15-i] = b[15-i], b[i]
	}
	return b
}
