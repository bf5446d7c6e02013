package letter_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/letter"
)

// hostile is a letter that its reader (Bob) must refuse, by reason. All of them
// are otherwise exactly right, so each stands for one check.
type hostile struct {
	why  string
	e    *protocol.Envelope
	data []byte
}

func hostileLetters(t testing.TB, p *play) []hostile {
	var out []hostile
	bob, own := p.bob.UEK.Secret.Public(), p.alice.UEK.Secret.Public()
	chat, room := p.envelope("chat"), p.envelope("room")
	put := func(why string, e *protocol.Envelope, edit func(*forgery)) {
		f := newForgery(e, p.alice.Phone, metaOf(p.alice), body, bob, own)
		edit(f)
		out = append(out, hostile{why, e, f.letter(t)})
	}
	put("another suite", chat, func(f *forgery) { f.version = 2 })
	put("no slots", chat, func(f *forgery) { f.ueks = nil })
	put("201 slots", chat, func(f *forgery) {
		for len(f.ueks) < 201 {
			f.ueks = append(f.ueks, own)
		}
	})
	put("more slots announced than there are", chat, func(f *forgery) { n := byte(3); f.n = &n })
	put("low-order ephemeral key", chat, func(f *forgery) { f.ephPub = &protocol.Key32{} })
	put("wrong commitment", chat, func(f *forgery) { h := protocol.Hash("x"); f.commit = &h })
	put("another mk in the slot", chat, func(f *forgery) { f.slotMK = map[int][32]byte{0: vectortest.Fixed("other mk")} })
	put("padding is not zero", chat, func(f *forgery) {
		f.padded = func(inner []byte) []byte { v := honestPad(inner); v[len(v)-1] = 1; return v }
	})
	put("first byte of the padding is not zero", chat, func(f *forgery) {
		f.padded = func(inner []byte) []byte { v := honestPad(inner); v[4+len(inner)] = 1; return v }
	})
	put("padded to another size", chat, func(f *forgery) {
		f.padded = func(inner []byte) []byte { return append(honestPad(inner), 0) }
	})
	put("padded to 128 KiB", chat, func(f *forgery) {
		f.padded = func(inner []byte) []byte { return append(honestPad(inner), make([]byte, 128<<10-512)...)[:128<<10] }
	})
	put("length beyond the padding", chat, func(f *forgery) {
		f.padded = func(inner []byte) []byte {
			v := honestPad(inner)
			binary.BigEndian.PutUint32(v, uint32(len(v)-3))
			return v
		}
	})
	put("length of 2^32-1", chat, func(f *forgery) {
		f.padded = func(inner []byte) []byte { v := honestPad(inner); binary.BigEndian.PutUint32(v, 1<<32-1); return v }
	})
	put("empty inner", chat, func(f *forgery) { f.inner = func([]byte) []byte { return nil } })
	put("inner ends after auth", chat, func(f *forgery) { f.inner = func(auth []byte) []byte { return auth } })
	put("meta longer than inner", chat, func(f *forgery) {
		f.inner = func(auth []byte) []byte { return append(auth, 0xff, 0xff, '{', '}') }
	})
	put("meta is not JSON", chat, func(f *forgery) { f.meta = "x" })
	put("meta has a key twice", chat, func(f *forgery) { f.meta = strings.Replace(f.meta, `"seq":1`, `"seq":1,"seq":1`, 1) })
	put("meta without dev", chat, func(f *forgery) { f.meta = `{"kind":"text"}` })
	put("auth kind 0", chat, func(f *forgery) { f.kind = 0 })
	put("auth kind 3", room, func(f *forgery) { f.kind = 3 })
	for _, typ := range []string{"chat", "friend", "receipt", "live"} {
		put("signed, in "+typ, p.envelope(typ), func(f *forgery) { f.kind = 2 })
	}
	put("signature of another device", room, func(f *forgery) { f.kind = 2; f.sender = p.carol.Phone })
	put("MACs of another device", chat, func(f *forgery) { f.sender = p.carol.Phone })
	put("MAC of the other slot only", chat, func(f *forgery) {
		f.auth = func(prefix, what protocol.Hash32) []byte {
			mac := honestMAC(t, p.alice.Phone.Box(), own, chat.H(), 1, prefix, what)
			return append(make([]byte, 32), mac[:]...)
		}
	})
	put("MACs in each other's place", chat, func(f *forgery) {
		f.auth = func(prefix, what protocol.Hash32) []byte {
			a := honestMAC(t, p.alice.Phone.Box(), bob, chat.H(), 0, prefix, what)
			b := honestMAC(t, p.alice.Phone.Box(), own, chat.H(), 1, prefix, what)
			return append(b[:], a[:]...)
		}
	})
	put("MAC for another slot number", chat, func(f *forgery) {
		f.auth = func(prefix, what protocol.Hash32) []byte {
			mac := honestMAC(t, p.alice.Phone.Box(), bob, chat.H(), 1, prefix, what)
			return append(mac[:], mac[:]...)
		}
	})
	put("a device that is in nobody's chain", chat, func(f *forgery) {
		stranger := vectortest.Keys(t, "stranger phone")
		f.sender, f.meta = stranger, strings.Replace(f.meta, p.alice.Phone.ID().String(), stranger.ID().String(), 1)
	})
	put("a device of another person's chain", chat, func(f *forgery) {
		f.sender, f.meta = p.carol.Phone, strings.Replace(f.meta, p.alice.Phone.ID().String(), p.carol.Phone.ID().String(), 1)
	})
	return out
}

func TestHostileLetters(t *testing.T) {
	p := newPlay(t)
	honest := newForgery(p.envelope("chat"), p.alice.Phone, metaOf(p.alice), body, publics(p.readers(2))...)
	if _, err := p.open(honest.e, honest.letter(t), p.bob.UEK); err != nil {
		t.Fatal("the forger's honest letter is refused:", err)
	}
	for _, h := range hostileLetters(t, p) {
		opened, err := p.open(h.e, h.data, p.bob.UEK)
		refused(t, h.why, opened, err)
	}
}

// A letter may come only from a device that is active in the chain of from.id.
func TestRevokedDevice(t *testing.T) {
	p := newPlay(t)
	laptop := vectortest.Keys(t, "alice laptop")
	p.alice.Append(t, vectortest.Must[protocol.Signed](t)(p.alice.Chain.NewDeviceAdd(p.alice.Phone, laptop.Device(ident.RoleAdmin, 0), vectortest.Now)))
	meta := strings.Replace(metaOf(p.alice), p.alice.Phone.ID().String(), laptop.ID().String(), 1)
	f := newForgery(p.envelope("chat"), laptop, meta, body, publics(p.readers(2))...)
	if _, err := p.open(f.e, f.letter(t), p.bob.UEK); err != nil {
		t.Fatal(err)
	}
	before := p.alice.Chain.Clone()
	p.alice.Append(t, vectortest.Must[protocol.Signed](t)(p.alice.Chain.NewDeviceRevoke(p.alice.Phone, laptop.ID(), 2, f.e.TS)))
	opened, err := p.open(f.e, f.letter(t), p.bob.UEK)
	refused(t, "revoked", opened, err)
	// What was written before the revocation still counts: it waited in a queue.
	p.alice.Chain = before
	p.alice.Append(t, vectortest.Must[protocol.Signed](t)(p.alice.Chain.NewDeviceRevoke(p.alice.Phone, laptop.ID(), 2, f.e.TS+1)))
	if _, err := p.open(f.e, f.letter(t), p.bob.UEK); err != nil {
		t.Error("written before:", err)
	}
}

// Only who has no key answers stale; whatever else is wrong with a letter is not
// mended by sealing it again.
func TestSealedTo(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	e.Data = p.seal(t, e, letter.AuthMAC, 2, metaOf(p.alice), body)
	if !letter.SealedTo(e, p.readers(1)) || !letter.SealedTo(e, []ident.UEKSecret{p.carol.UEK, p.alice.UEK}) {
		t.Error("not found")
	}
	if letter.SealedTo(e, []ident.UEKSecret{p.carol.UEK}) || letter.SealedTo(e, nil) {
		t.Error("found what is not there")
	}
	e.Data[len(e.Data)-1] ^= 1
	if !letter.SealedTo(e, p.readers(1)) {
		t.Error("a damaged body is not a missing key")
	}
	for _, data := range [][]byte{nil, e.Data[:100], make([]byte, 1000)} {
		e.Data = data
		if letter.SealedTo(e, p.readers(2)) {
			t.Error("found in rubbish")
		}
	}
}

// A Sender that hands back another device than the one asked for is not believed.
func TestSenderAnswersAnotherDevice(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	e.Data = newForgery(e, p.carol.Phone, metaOf(p.alice), body, publics(p.readers(2))...).letter(t)
	opened, err := letter.Open(e, p.readers(1), func(protocol.UID, protocol.DeviceID, []byte) (ident.Device, bool, error) {
		return p.carol.Phone.Device(ident.RoleAdmin, 0), true, nil
	})
	refused(t, "another device", opened, err)
}

// A device whose listed box key has a low order would give everybody the same MAC key.
func TestLowOrderDevice(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	low := ident.Device{Sign: p.alice.Phone.Public(), Role: ident.RoleAdmin}
	f := newForgery(e, p.alice.Phone, strings.Replace(metaOf(p.alice), p.alice.Phone.ID().String(), low.ID().String(), 1), body, publics(p.readers(2))...)
	f.auth = func(prefix, what protocol.Hash32) []byte {
		h := e.H()
		var macs []byte
		for i := range 2 {
			key := protocol.KDF(make([]byte, 32), "letter/auth-key", h[:], []byte{byte(i)})
			mac := protocol.MAC(key[:], "letter/auth", h[:], prefix[:], what[:])
			macs = append(macs, mac[:]...)
		}
		return macs
	}
	e.Data = f.letter(t)
	opened, err := letter.Open(e, p.readers(1), func(protocol.UID, protocol.DeviceID, []byte) (ident.Device, bool, error) {
		return low, true, nil
	})
	refused(t, "low-order device", opened, err)
	for i := range 2 {
		ueks := publics(p.readers(2))
		ueks[i] = protocol.Key32{1}
		if _, err := letter.Seal(vectortest.Random(make([]byte, 64)), e, p.alice.Phone, ueks, nil, nil); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("sealed to a low-order key: %v", err)
		}
	}
}

// Bob passes on to Carol, as if meant for her, what Alice wrote to him: once by
// keeping Alice's proof, once by keeping the whole header, both kinds of proof.
func TestBobCannotPassItOn(t *testing.T) {
	p := newPlay(t)
	carol := p.carol.UEK
	for _, kind := range []byte{1, 2} {
		toBob := p.envelope(map[byte]string{1: "chat", 2: "room"}[kind])
		toCarol := *toBob
		toCarol.To = p.carol.Address()
		original := newForgery(toBob, p.alice.Phone, metaOf(p.alice), body, p.bob.UEK.Secret.Public())
		original.kind = kind
		var proof []byte
		original.inner = func(auth []byte) []byte {
			proof = auth[1:]
			return append(append([]byte(nil), auth...), append(binary.BigEndian.AppendUint16(nil, uint16(len(original.meta))), original.meta+body...)...)
		}
		if _, err := p.open(toBob, original.letter(t), p.bob.UEK); err != nil {
			t.Fatal(err)
		}
		for what, e := range map[string]*protocol.Envelope{"to Carol": &toCarol, "same header": toBob} {
			resealed := newForgery(e, p.alice.Phone, metaOf(p.alice), body, carol.Secret.Public())
			resealed.kind = kind
			resealed.auth = func(_, _ protocol.Hash32) []byte { return proof }
			opened, err := p.open(e, resealed.letter(t), carol)
			refused(t, fmt.Sprintf("%s, kind %d", what, kind), opened, err)
		}
		// And with Carol's slot put beside his own, everything else kept.
		both := newForgery(toBob, p.alice.Phone, metaOf(p.alice), body, p.bob.UEK.Secret.Public(), carol.Secret.Public())
		both.kind = kind
		both.auth = func(_, _ protocol.Hash32) []byte {
			if kind == 1 {
				return append(append([]byte(nil), proof...), proof...)
			}
			return proof
		}
		opened, err := p.open(toBob, both.letter(t), carol)
		refused(t, fmt.Sprintf("slot added, kind %d", kind), opened, err)
	}
}

// What Alice wrote to Bob, Bob could have made up: with his own UEK secret and
// her public keys he writes a letter from her to himself that opens. So showing
// one proves nothing to a third party.
func TestDeniable(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	text := `{"text":"I never said that"}`
	f := newForgery(e, nil, metaOf(p.alice), text, publics(p.readers(2))...)
	f.auth = func(prefix, what protocol.Hash32) []byte {
		mac := honestMAC(t, p.bob.UEK.Secret, p.alice.Phone.BoxPublic(), e.H(), 0, prefix, what)
		return append(mac[:], make([]byte, 32)...) // Alice's own slot: nobody but she could check it
	}
	if got, err := p.open(e, f.letter(t), p.bob.UEK); err != nil || string(got.Body) != text {
		t.Error("Bob cannot make it up, so it would be proof:", err)
	}
}

// A thief of the sender's device key reads nothing that was sent before.
func TestStolenDeviceKeyOpensNothing(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	data := p.seal(t, e, letter.AuthMAC, 2, metaOf(p.alice), body)
	for _, keys := range []*ident.DeviceKeys{p.alice.Phone, p.bob.Phone} {
		opened, err := p.open(e, data, ident.UEKSecret{Counter: 1, Secret: keys.Box()})
		refused(t, "with a device key", opened, err)
	}
}

// Alice shows Bob one text and Carol another under one letter: the body is made
// to open under two keys (secretbox does not commit to its key). The commitment
// admits only one of them.
func TestTwoTextsForTwoSlots(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("room")
	mk1, mk2 := vectortest.Fixed("forged mk"), vectortest.Fixed("second mk")
	f := newForgery(e, p.alice.Phone, metaOf(p.alice), body, p.bob.UEK.Secret.Public(), p.carol.UEK.Secret.Public())
	f.slotMK = map[int][32]byte{1: mk2}
	var sealed []byte
	var nonce [24]byte
	f.sealed = func(n *[24]byte) []byte {
		nonce = *n
		sealed = twoKeyBox(t, n, &mk1, &mk2, 512)
		return sealed
	}
	data := f.letter(t)
	for i, mk := range [][32]byte{mk1, mk2} {
		if _, ok := secretbox.Open(nil, sealed, &nonce, &mk); !ok {
			t.Fatalf("the box does not open under key %d, so this test would show nothing", i+1)
		}
	}
	for _, reader := range []*vectortest.Person{p.bob, p.carol} {
		opened, err := p.open(e, data, reader.UEK)
		refused(t, reader.Name, opened, err)
	}
	// The same attack where only the commitment stands in the way: a letter that
	// is right in all else, wrapped for Carol, committed for Bob.
	g := newForgery(e, p.alice.Phone, metaOf(p.alice), body, p.bob.UEK.Secret.Public(), p.carol.UEK.Secret.Public())
	g.kind = 2
	h := e.H()
	other := protocol.Hash("letter/commit", h[:], mk2[:])
	g.commit = &other
	opened, err := p.open(e, g.letter(t), p.carol.UEK)
	refused(t, "committed to another key", opened, err)
}
