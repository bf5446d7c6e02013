package protocol

import "strings"

// crockford is Crockford's base32 alphabet: no I, L, O, U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// EncodeBase32 writes b most significant bit first, the last character filled
// up with zero bits, in groups of four with hyphens: XXXX-XXXX-…
func EncodeBase32(b []byte) string {
	var out strings.Builder
	var bits uint
	var acc uint32
	n := 0
	put := func(v uint32) {
		if n > 0 && n%4 == 0 {
			out.WriteByte('-')
		}
		n++
		out.WriteByte(crockford[v&31])
	}
	for _, c := range b {
		acc, bits = acc<<8|uint32(c), bits+8
		for bits >= 5 {
			bits -= 5
			put(acc >> bits)
		}
	}
	if bits > 0 {
		put(acc << (5 - bits))
	}
	return out.String()
}

// DecodeBase32 reads exactly size bytes, as a person copies them: any case, O
// as 0, I and L as 1, hyphens and spaces anywhere. Left-over bits must be zero.
func DecodeBase32(text string, size int) ([]byte, error) {
	bad := Refuse("protocol.DecodeBase32", CodeBadRequest, "not a code of this length")
	if len(text) > 8*size+16 {
		return nil, bad
	}
	out := make([]byte, 0, size)
	var bits uint
	var acc uint32
	n := 0
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' { // not strings.ToUpper, which makes an I of a dotless i
			c -= 'a' - 'A'
		}
		switch c {
		case '-', ' ':
			continue
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		v := strings.IndexByte(crockford, c)
		if v < 0 {
			return nil, bad
		}
		n++
		acc, bits = acc<<5|uint32(v), bits+5
		if bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
			acc &= 1<<bits - 1
		}
	}
	if len(out) != size || n != (size*8+4)/5 || acc != 0 {
		return nil, bad
	}
	return out, nil
}
