package protocol_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

type m = map[string]any

const encoding = "byte strings are base64url without padding"

var b = vectortest.B

// lowOrder are the X25519 public keys of small order, as RFC 7748 readers meet them.
func lowOrder() []protocol.Key32 {
	texts := []string{
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"4Ot6fDtBuK4WVuP68Z_EatoJjeucMrH9hmIFFl9JuAA",
		"X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc",
		"7P_______________________________________38",
		"7f_______________________________________38",
		"7v_______________________________________38",
	}
	var out []protocol.Key32
	for _, h := range texts {
		k, err := protocol.ParseKey(h)
		if err != nil {
			panic(err)
		}
		out = append(out, k)
	}
	return out
}

func TestLowOrderKeysAreRefused(t *testing.T) {
	secret := protocol.BoxSecretOf(vectortest.Fixed("any secret"))
	for _, k := range lowOrder() {
		if !protocol.LowOrder(k) {
			t.Errorf("%v passes", k)
		}
		if _, err := secret.DH(k); err == nil {
			t.Errorf("%v: DH", k)
		}
		if _, err := secret.SharedKey(k); err == nil {
			t.Errorf("%v: SharedKey", k)
		}
		high := k
		high[31] |= 0x80 // the top bit is ignored
		if !protocol.LowOrder(high) {
			t.Errorf("%v with the top bit passes", k)
		}
	}
	if protocol.LowOrder(secret.Public()) {
		t.Error("a good key is refused")
	}
}

func TestPrimitiveVectors(t *testing.T) {
	parts := func(list ...[]byte) (out []string) {
		for _, p := range list {
			out = append(out, b(p))
		}
		return out
	}
	var cases []m
	for _, c := range []struct {
		label string
		parts [][]byte
	}{
		{"x", nil}, {"x", [][]byte{{}}}, {"x", [][]byte{{}, {}}},
		{"envelope", [][]byte{protocol.U8(1), []byte("ab"), protocol.U64(1_790_000_000_123)}},
		{"envelope", [][]byte{protocol.U8(1), []byte("a"), []byte("b"), protocol.U64(1_790_000_000_123)}},
		{"a/b", [][]byte{vectortest.FixedBytes("long part", 300)}},
	} {
		hash := protocol.Hash(c.label, c.parts...)
		secret := vectortest.Fixed("secret")
		mac := protocol.MAC(secret[:], c.label, c.parts...)
		kdf := protocol.KDF(secret[:], c.label, c.parts...)
		signer := protocol.SignSecretOf(secret)
		sig, pub := signer.Sign(c.label, c.parts...), signer.Public()
		if !protocol.Verify(pub, sig, c.label, c.parts...) || protocol.Verify(pub, sig, c.label+"x", c.parts...) {
			t.Error("sign")
		}
		cases = append(cases, m{"label": c.label, "parts": parts(c.parts...), "preimage": b(protocol.Preimage(c.label, c.parts...)),
			"hash": b(hash[:]), "secret": b(secret[:]), "mac": b(mac[:]), "kdf": b(kdf[:]), "sign_public": b(pub[:]), "sign": b(sig[:])})
	}
	one, two := protocol.BoxSecretOf(vectortest.Fixed("box one")), protocol.BoxSecretOf(vectortest.Fixed("box two"))
	dh, err := one.DH(two.Public())
	if err != nil {
		t.Fatal(err)
	}
	shared, err := two.SharedKey(one.Public())
	if err != nil {
		t.Fatal(err)
	}
	s1, p1, p2 := one.Expose(), one.Public(), two.Public()
	vectortest.Compare(t, "primitives.json", m{
		"about": "Section 1. secret is the key of mac, the ikm of kdf and the Ed25519 seed of sign (public key sign_public). " +
			"box: dh = X25519(secret, other), shared_key = HSalsa20(dh, 0). Every key in low_order must be refused wherever X25519 is used, also with its top bit set.",
		"encoding": encoding, "cases": cases,
		"box":       m{"secret": b(s1[:]), "public": p1, "other": p2, "dh": b(dh[:]), "shared_key": b(shared[:])},
		"low_order": lowOrder(),
		"base64url": m{
			"good": []m{{"text": "", "hex": ""}, {"text": "AA", "hex": "00"}, {"text": "-_8", "hex": "fbff"}, {"text": "AAAA", "hex": "000000"}},
			"bad":  []string{"A", "AA==", "AB", "+/8", "AAA=", "AA A", "AA\nAA", "AAAA\n", "\rAAAA", "AAA\u00e9"},
		},
	})
	for _, bad := range []string{"A", "AA==", "AB", "+/8", "AAA=", "AA A", "AA\nAA", "AAAA\n", "\rAAAA", "AAA\u00e9"} {
		if v, err := protocol.DecodeBytes(bad); err == nil {
			t.Errorf("%q -> %x", bad, v)
		}
	}
}

func TestEnvelopeVectors(t *testing.T) {
	good := goodEnvelope()
	six := goodEnvelope()
	six.From.IP, six.To.Username, six.Type, six.Exp, six.Data = "2001:db8::1", "", "x-new.type", good.TS+30_000, nil
	spaced := strings.Replace(string(good.Marshal()), `"v":1`, " \"v\" :\n\t1 ", 1)
	var goods, bads []m
	for _, raw := range []string{string(good.Marshal()), string(six.Marshal()), spaced} {
		e, err := protocol.ParseEnvelope([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		goods = append(goods, m{"raw": raw, "H": e.H(), "marshal": string(e.Marshal())})
	}
	bad := badEnvelopes()
	var names []string
	for name := range bad {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		bads = append(bads, m{"why": name, "raw": bad[name]})
	}
	vectortest.Compare(t, "envelope.json", m{
		"about": "Section 7. good: raw parses, H is its hash, marshal is how one who makes this envelope writes it. " +
			"bad: raw must be refused. not_utf8: bytes (base64url) that must be refused.",
		"encoding": encoding, "good": goods, "bad": bads,
		"not_utf8": []string{b([]byte(strings.Replace(string(good.Marshal()), `"chat"`, "\"\xff\"", 1)))},
	})
}

func TestNameVectors(t *testing.T) {
	good := []string{"ab", "a1", "wei", "wei.chen", "wei-chen_2", strings.Repeat("a", 32), "0x", "a..b"}
	bad := []string{"", "a", "Wei", "wei ", ".wei", "wei.", "-wei", "wei_", "wéi", "wei@x", strings.Repeat("a", 33), "熊"}
	reserved := protocol.ReservedUsernames()
	for _, u := range good {
		if err := protocol.CheckUsername(u); err != nil {
			t.Error(u, err)
		}
	}
	for _, u := range bad {
		if protocol.CodeOf(protocol.CheckUsername(u)) != protocol.CodeUsernameBad || protocol.ValidUsername(u) {
			t.Errorf("%q is let in", u)
		}
	}
	for _, u := range reserved {
		if protocol.CodeOf(protocol.CheckUsername(u)) != protocol.CodeUsernameBad || !protocol.ValidUsername(u) {
			t.Errorf("%q", u)
		}
	}
	var hosts, handles []m
	for _, text := range []string{"relay.example", "Relay.Example:443", "relay.example:8443", "203.0.113.5", "203.0.113.5:80",
		"[2001:DB8:0::1]", "[2001:db8::1]:8443", "localhost:8080", "xn--bcher-kva.example", "a-b.c1"} {
		ip, port, err := protocol.SplitHost(text)
		if err != nil {
			t.Fatal(text, err)
		}
		host, err := protocol.ParseHost(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := protocol.ParseHost(host); err != nil || again != host {
			t.Errorf("%s -> %s -> %s", text, host, again)
		}
		hosts = append(hosts, m{"text": text, "host": host, "ip": ip, "port": port})
	}
	badHosts := []string{"", ":443", "relay.example:", "relay.example:0", "relay.example:65536", "relay.example:x", "relay.example:0443",
		"relay.example:443:1", "2001:db8::1", "[relay.example]", "[::1", "[::1]x", "[fe80::1%eth0]", "127.1", "1.2.3.4.5", "relay.example.",
		"re_lay.example", "relay example", "relay.example/x", "user@relay.example", "\u212aelay.example"}
	for _, text := range badHosts {
		if host, err := protocol.ParseHost(text); err == nil {
			t.Errorf("%q -> %q", text, host)
		}
	}
	for _, text := range []string{"wei@relay.example", " Wei@Relay.Example:8443 ", "ab@203.0.113.5", "ab@[::1]:8443"} {
		h, err := protocol.ParseHandle(text)
		if err != nil {
			t.Fatal(text, err)
		}
		handles = append(handles, m{"text": text, "handle": h.String(), "username": h.Username, "ip": h.IP, "port": h.Port})
	}
	badHandles := []string{"", "wei", "@relay.example", "wei@", "w@relay.example", "wei@a@b", "wei@relay.example:0", "we i@relay.example"}
	for _, text := range badHandles {
		if h, err := protocol.ParseHandle(text); err == nil {
			t.Errorf("%q -> %v", text, h)
		}
	}
	vectortest.Compare(t, "names.json", m{
		"about":     "Sections 1, 2 and 7. Usernames; reserved ones have the form of a username but are not given to anybody. hosts: text is what a person or a URL says, host the one form that goes into transcripts.",
		"usernames": m{"good": good, "bad": bad, "reserved": reserved},
		"hosts":     m{"good": hosts, "bad": badHosts},
		"handles":   m{"good": handles, "bad": badHandles},
	})
}

func TestBase32Vectors(t *testing.T) {
	var good []m
	for _, n := range []int{10, 17} {
		v := vectortest.FixedBytes("base32", n)
		text := protocol.EncodeBase32(v)
		lower := strings.ToLower(strings.ReplaceAll(text, "-", " "))
		typed := strings.NewReplacer("0", "O", "1", "l").Replace(text)
		for _, written := range []string{text, lower, typed} {
			back, err := protocol.DecodeBase32(written, n)
			if err != nil || !slices.Equal(back, v) {
				t.Errorf("%s: %v", written, err)
			}
		}
		good = append(good, m{"bytes": b(v), "text": text, "also": []string{lower, typed}})
	}
	zeros := "0000-0000-0000-0000"
	bad := []m{}
	for _, c := range []struct {
		why, text string
		size      int
	}{
		{"too short", zeros[:18], 10}, {"too long", zeros + "0", 10}, {"the letter U", zeros[:18] + "U", 10},
		{"not the alphabet", zeros[:18] + "!", 10}, {"left-over bits", strings.Repeat("0", 27) + "1", 17},
		{"dotless i", zeros[:18] + "ı", 10}, {"empty", "", 10}, {"hyphens only", strings.Repeat("-", 40), 10},
	} {
		if v, err := protocol.DecodeBase32(c.text, c.size); err == nil {
			t.Errorf("%s: %x", c.why, v)
		}
		bad = append(bad, m{"why": c.why, "text": c.text, "size": c.size})
	}
	vectortest.Compare(t, "base32.json", m{
		"about":    "Crockford base32 as in sections 6 and 10. good: bytes is written as text; also: other ways to type it that must be read. bad: must be refused when size bytes are due.",
		"encoding": encoding, "good": good, "bad": bad,
	})
}
