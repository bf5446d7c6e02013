package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf16"
)

// pattern is a needle in one guise.
type pattern struct {
	needle, guise string
	bytes         []byte
}

// textPatterns are all guises of a text.
func textPatterns(needle, text string) []pattern {
	patterns := bytePatterns(needle, []byte(text))
	little, big := utf16Bytes(text, binary.LittleEndian), utf16Bytes(text, binary.BigEndian)
	patterns = append(patterns,
		pattern{needle, "utf-16le", little},
		pattern{needle, "utf-16be", big},
		pattern{needle, "json escapes", []byte(jsonEscaped(text))},
		pattern{needle, "percent escapes", []byte(url.PathEscape(text))},
		pattern{needle, "query escapes", []byte(url.QueryEscape(text))},
	)
	patterns = append(patterns, base64Patterns(needle, "utf-16le in ", little)...)
	return distinct(patterns)
}

// bytePatterns are the guises of bytes that are no text: a secret, a key.
func bytePatterns(needle string, raw []byte) []pattern {
	patterns := []pattern{
		{needle, "as it is", raw},
		{needle, "hex", []byte(hex.EncodeToString(raw))},
		{needle, "HEX", []byte(strings.ToUpper(hex.EncodeToString(raw)))},
	}
	return append(patterns, base64Patterns(needle, "", raw)...)
}

// base64Patterns gives both alphabets at the three places where a needle can begin within a group of three
// bytes. Characters at the edges that also hold bits of the neighbours are left out.
func base64Patterns(needle, prefix string, raw []byte) []pattern {
	var patterns []pattern
	for shift := range 3 {
		padded := append(make([]byte, shift), raw...)
		first := (shift*8 + 5) / 6  // the first character without a bit of what stands before
		last := len(padded) * 8 / 6 // behind the last character without a bit of what follows
		for name, alphabet := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			encoded := alphabet.EncodeToString(padded)
			patterns = append(patterns, pattern{needle, fmt.Sprintf("%s%s, shifted by %d", prefix, name, shift), []byte(encoded[first:last])})
		}
	}
	return patterns
}

func utf16Bytes(text string, order binary.AppendByteOrder) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return out
}

// jsonEscaped writes everything beyond ASCII as \uxxxx.
func jsonEscaped(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < 0x80:
			out.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&out, `\u%04x`, unit)
			}
		}
	}
	return out.String()
}

// distinct drops guises that look like an earlier one: plain ASCII needs no percent signs.
func distinct(patterns []pattern) []pattern {
	seen := map[string]bool{}
	kept := patterns[:0]
	for _, p := range patterns {
		if !seen[string(p.bytes)] {
			seen[string(p.bytes)] = true
			kept = append(kept, p)
		}
	}
	return kept
}
