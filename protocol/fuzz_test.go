package protocol_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
)

// FuzzParseEnvelope: what parses, marshals and parses again to the same; and
// what Marshal wrote comes back byte for byte.
func FuzzParseEnvelope(f *testing.F) {
	f.Add(goodEnvelope().Marshal())
	for _, raw := range badEnvelopes() {
		if len(raw) < 2000 {
			f.Add([]byte(raw))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := protocol.ParseEnvelope(raw)
		if err != nil {
			if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodeTooLarge {
				t.Fatal(err)
			}
			return
		}
		out := e.Marshal()
		again, err := protocol.ParseEnvelope(out)
		if err != nil {
			t.Fatalf("%s -> %s: %v", raw, out, err)
		}
		if !reflect.DeepEqual(e, again) || e.H() != again.H() || !bytes.Equal(again.Marshal(), out) {
			t.Fatalf("%s -> %s", raw, out)
		}
	})
}

// FuzzStrictJSON: whatever the strict reader takes, the standard library takes
// too and understands the same; and it survives being written.
func FuzzStrictJSON(f *testing.F) {
	for _, raw := range []string{
		`{"name":"a","n":1}`, `{"n":9007199254740991,"name":"\u00e9\ud83d\ude00\/\b\f\n\r\t\"\\"}`,
		`{"name":"熊","n":0,"on":true,"list":["a","b"],"map":{"x":1},"raw":{"f":1.5e3,"z":null}}`,
		`{"name":"","n":1,"in":{"name":"b","n":2}}`, `{"name":"a","n":1,"n":1}`, `{"name":"\ud83d","n":1}`, `[[[[[[[[`, "\xff", `{"a":1e}`,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v sample
		err := protocol.DecodeClosed(raw, &v, 5)
		if err == nil {
			var std sample
			if err := json.Unmarshal(raw, &std); err != nil {
				t.Fatalf("%q: the standard library refuses it: %v", raw, err)
			}
			if std.Name != v.Name || std.N != v.N || std.On != v.On || !reflect.DeepEqual(std.List, v.List) || !reflect.DeepEqual(std.Map, v.Map) {
				t.Fatalf("%q is read in two ways", raw)
			}
			out, err := protocol.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			var again sample
			if err := protocol.DecodeClosed(out, &again, 5); err != nil {
				t.Fatalf("%q -> %q: %v", raw, out, err)
			}
			if twice, err := protocol.Marshal(again); err != nil || !bytes.Equal(out, twice) {
				t.Fatalf("%q -> %q -> %q: %v", raw, out, twice, err)
			}
		} else if protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Fatal(err)
		}
		var any json.RawMessage
		if protocol.DecodeOpen(raw, &any, 32) == nil && !json.Valid(raw) {
			t.Fatalf("%q is not JSON", raw)
		}
	})
}

func FuzzParseSigned(f *testing.F) {
	f.Add(protocol.SignPayload(protocol.SignSecretOf([32]byte{1}), "x", []byte(`{}`)).Marshal())
	f.Add([]byte(`{"payload":"","by":"","sig":""}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := protocol.ParseSigned(raw)
		if err != nil {
			return
		}
		out := s.Marshal()
		again, err := protocol.ParseSigned(out)
		if err != nil || !reflect.DeepEqual(s, again) || !bytes.Equal(again.Marshal(), out) {
			t.Fatalf("%s -> %s: %v", raw, out, err)
		}
	})
}

// FuzzTexts: every text form has one way to be written for one value.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{"", "AA", "AB", "-_8", "AAAA\n", "0000-0000-0000-0000", "oil0 LLLL iiii 0000", "wei@Relay.Example:8443", "[2001:DB8::1]:443", "127.1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := protocol.DecodeBytes(text); err == nil && protocol.EncodeBytes(v) != text {
			t.Fatalf("%q: two texts for one value", text)
		}
		for _, n := range []int{10, 17} {
			if v, err := protocol.DecodeBase32(text, n); err == nil {
				again, err := protocol.DecodeBase32(protocol.EncodeBase32(v), n)
				if err != nil || !bytes.Equal(v, again) || len(v) != n {
					t.Fatalf("%q: %v", text, err)
				}
			}
		}
		if host, err := protocol.ParseHost(text); err == nil {
			if again, err := protocol.ParseHost(host); err != nil || again != host {
				t.Fatalf("%q -> %q -> %q: %v", text, host, again, err)
			}
		}
		if h, err := protocol.ParseHandle(text); err == nil {
			if again, err := protocol.ParseHandle(h.String()); err != nil || again != h {
				t.Fatalf("%q -> %v -> %v: %v", text, h, again, err)
			}
		}
		if protocol.CheckUsername(text) == nil && !protocol.ValidUsername(text) {
			t.Fatal(text)
		}
	})
}
