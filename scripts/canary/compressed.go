package main

import (
	"bytes"
	"compress/flate"
	"io"
)

// inflater keeps one decompressor for the many attempts.
type inflater struct {
	in  bytes.Reader
	dec io.ReadCloser
	out []byte
}

// most of what one attempt may unpack; attempts on bytes that are not compressed end after a few.
const unpacked = 1 << 20

// from unpacks what it can of a raw deflate stream; what came out before an error counts as well.
func (f *inflater) from(raw []byte) []byte {
	f.in.Reset(raw)
	if f.dec == nil {
		f.dec = flate.NewReader(&f.in)
		f.out = make([]byte, unpacked)
	} else if err := f.dec.(flate.Resetter).Reset(&f.in, nil); err != nil {
		return nil
	}
	n, _ := io.ReadFull(f.dec, f.out) // a broken stream is the usual case
	return f.out[:n]
}

// compressed looks into gzip and zlib streams wherever they begin, and, if thorough, into anything that
// unpacks as raw deflate.
func (s *search) compressed(place string, at int64, piece []byte, thorough bool) {
	for i := range piece {
		var body []byte
		var kind string
		switch {
		case i+10 < len(piece) && piece[i] == 0x1f && piece[i+1] == 0x8b && piece[i+2] == 8:
			body, kind = gzipBody(piece[i:]), "gzip"
		case i+2 < len(piece) && piece[i]&0x0f == 8 && piece[i]>>4 <= 7 && (int(piece[i])<<8|int(piece[i+1]))%31 == 0:
			body, kind = piece[i+2:], "zlib"
		case thorough && piece[i]&7 != 0 && piece[i]&7 != 1 && piece[i]&6 != 6: // neither stored nor an invalid kind
			body, kind = piece[i:], "deflate"
		default:
			continue
		}
		if plain := s.inflate.from(body); len(plain) >= 6 {
			s.bytesAt(place+" ("+kind+")", at+int64(i), plain)
		}
	}
}

// gzipBody skips the header and its optional fields (RFC 1952 section 2.3).
func gzipBody(raw []byte) []byte {
	flags, rest := raw[3], raw[10:]
	if flags&4 != 0 && len(rest) >= 2 {
		rest = rest[min(len(rest), 2+(int(rest[0])|int(rest[1])<<8)):]
	}
	for _, text := range []byte{8, 16} {
		if flags&text != 0 {
			rest = rest[min(len(rest), bytes.IndexByte(rest, 0)+1):]
		}
	}
	if flags&2 != 0 {
		rest = rest[min(len(rest), 2):]
	}
	return rest
}
