package handshake_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

// FuzzLink gives every receiver of link messages whatever comes. Nobody but
// the honest seeds may get anywhere.
func FuzzLink(f *testing.F) {
	e := newEnds(f)
	session, ephI, ephR := vectortest.FixedBytes("link session", 8), vectortest.Fixed("link eph i"), vectortest.Fixed("link eph r")
	begin := func(t testing.TB) (*handshake.Initiator, *handshake.Responder, []byte, []byte) {
		i, hello, err := handshake.NewInitiator(vectortest.Random(session, ephI[:]), e.alice.Phone, e.alice.Home.Public(), e.phone)
		if err != nil {
			t.Fatal(err)
		}
		r, answer, err := handshake.NewResponder(vectortest.Random(ephR[:]), e.alice.Home, e.alice.Phone.Public(), e.home, hello)
		if err != nil {
			t.Fatal(err)
		}
		return i, r, hello, answer
	}
	i, r, hello, answer := begin(f)
	finish, device, err := i.Finish(answer)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := r.Finish(finish); err != nil {
		f.Fatal(err)
	}
	frame, err := device.Seal([]byte(`{"id":1,"m":"status"}`))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{hello, answer, finish, frame, handshake.ClosedMessage(device.ID()), {}, {4}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, id, payload, err := handshake.ParseLink(data)
		if err == nil && !bytes.Equal(append(append([]byte{byte(kind)}, id[:]...), payload...), data) {
			t.Fatal("split")
		}
		i, r, _, _ := begin(t)
		if _, _, err := i.Finish(data); (err == nil) != bytes.Equal(data, answer) {
			t.Fatal("answer:", err)
		}
		if _, err = r.Finish(data); (err == nil) != bytes.Equal(data, finish) {
			t.Fatal("finish:", err)
		}
		if err == nil {
			return
		}
		s, err := r.Finish(finish)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(data); (err == nil) != bytes.Equal(data, frame) {
			t.Fatal("frame:", err)
		}
		_, _, err = handshake.NewResponder(rand.Reader, e.alice.Home, e.alice.Phone.Public(), e.home, data)
		if err == nil && kind != handshake.LinkHello {
			t.Fatal("hello")
		}
	})
}

// FuzzPairing does the same for the messages of a pairing.
func FuzzPairing(f *testing.F) {
	p := newPair(f)
	ephA, ephN := vectortest.Fixed("pair eph a"), vectortest.Fixed("pair eph n")
	p.appRandom, p.nRandom = vectortest.Random(ephA[:]), vectortest.Random(ephN[:])
	good := p.run(f, honestMail).messages
	for _, name := range names {
		f.Add(good[name])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		a, _, err := handshake.NewApprover(vectortest.Random(ephA[:]), p.appCode, p.alice.UID(), p.alice.Phone.Device(ident.RoleAdmin, 0), p.appKey, host)
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := handshake.NewNewcomer(vectortest.Random(ephN[:]), p.homeCode, p.home, p.homeKey, host, good["a1"])
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Newcomer(data)
		if (err == nil) != bytes.Equal(data, good["n1"]) {
			t.Fatal("n1:", err)
		}
		if _, err := n.Bundle(data); (err == nil) != bytes.Equal(data, good["a2"]) {
			t.Fatal("a2:", err)
		}
		if err := a.Done(data); err == nil {
			t.Fatal("n2")
		}
		if _, _, err := handshake.NewNewcomer(rand.Reader, p.homeCode, p.home, p.homeKey, host, data); err == nil && len(data) != 128 {
			t.Fatal("a1")
		}
	})
}

func FuzzTexts(f *testing.F) {
	p := newPair(f)
	f.Add(handshake.PairingText(host, p.appCode))
	f.Add("https://[2001:DB8::1]:8443/" + p.appCode.Text())
	f.Add(handshake.Claim{Token: protocol.SecretOf(make([]byte, 16)), RelayKey: p.appKey, Home: p.home.ID(), Code: p.homeCode}.Link("https://relay.example"))
	f.Fuzz(func(t *testing.T, text string) {
		if h, c, err := handshake.ParsePairing(text); err == nil {
			if h2, c2, err := handshake.ParsePairing(handshake.PairingText(h, c)); err != nil || h2 != h || !c2.Equal(c.Secret) {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if h, c, err := handshake.ParseClaim(text); err == nil {
			if h2, c2, err := handshake.ParseClaim(c.Link("https://" + h)); err != nil || h2 != h || c2.Link("") != c.Link("") {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

func FuzzSocketFrames(f *testing.F) {
	challenge, auth, ready := socketFrames(f)
	for _, v := range []any{challenge, auth, ready} {
		raw, err := protocol.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if v, err := handshake.ParseAuth(raw); err == nil {
			out, err := protocol.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := handshake.ParseAuth(out); err != nil || again != v {
				t.Fatalf("%s -> %s", raw, out)
			}
		}
		if v, err := handshake.ParseReady(raw); err == nil {
			if _, err := protocol.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		if v, err := handshake.ParseChallenge(raw); err == nil {
			if _, err := protocol.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
	})
}
