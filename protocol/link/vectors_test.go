package link_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/link"
)

type m = map[string]any

const encoding = "byte strings are base64url without padding; times are ms"

func fixedKey(name string) protocol.SignSecret {
	return protocol.SignSecretOf(vectortest.Fixed(name))
}

func relayVector(key protocol.SignSecret, host string) m {
	seed, box := key.Expose(), link.BoxSecret(key).Expose()
	return m{"seed": vectortest.B(seed[:]), "key": key.Public(), "host": host, "box_secret": vectortest.B(box[:])}
}

// meeting is one handshake with everything in it fixed.
type meeting struct {
	t                    testing.TB
	keyA, keyB           protocol.SignSecret
	ephA, ephB           protocol.BoxSecret
	card                 protocol.Signed
	hello, answer, proof []byte
	transcript           protocol.Hash32
	out, in              *link.Session
}

func newMeeting(t testing.TB) *meeting {
	t.Helper()
	ephA, ephB := vectortest.Fixed("link eph a"), vectortest.Fixed("link eph b")
	w := &meeting{t: t, keyA: fixedKey("relay a"), keyB: fixedKey("relay b"), ephA: protocol.BoxSecretOf(ephA), ephB: protocol.BoxSecretOf(ephB)}
	d, hello := w.dial()
	g, answer, err := link.Receive(vectortest.Random(ephB[:]), w.keyB, own, hello)
	must(t, err)
	proof, out, _, err := d.Finish(answer)
	must(t, err)
	in, err := g.Finish(proof)
	must(t, err)
	w.card, err = link.NewCard(w.keyB)
	must(t, err)
	w.hello, w.answer, w.proof, w.out, w.in = hello, answer, proof, out, in
	w.transcript = w.t1(w.keyB, w.ephB.Public(), w.card.Payload)
	return w
}

// dial is the same every time.
func (w *meeting) dial() (*link.Dialler, []byte) {
	eph := w.ephA.Expose()
	d, hello, err := link.Dial(vectortest.Random(eph[:]), w.keyA, hostA, hostB)
	must(w.t, err)
	return d, hello
}

// t1 is T for version 1, when b answers with these.
func (w *meeting) t1(keyB protocol.SignSecret, ephB protocol.Key32, about []byte) protocol.Hash32 {
	a, b, ephA := w.keyA.Public(), keyB.Public(), w.ephA.Public()
	return protocol.Hash("relay-link", []byte{1}, []byte{1}, a[:], []byte(hostA), b[:], []byte(hostB), ephA[:], ephB[:], about)
}

// answers is what b would answer, signed by whom and over what the case likes.
func (w *meeting) answers(by protocol.SignSecret, role string, a link.Answer) []byte {
	about := []byte{}
	if a.Card != nil {
		about = a.Card.Payload
	}
	t := w.t1(w.keyB, a.Eph, about)
	a.Op, a.Key, a.Sig = "hello", w.keyB.Public(), by.Sign("sign/relay-link", []byte(role), t[:])
	text, err := protocol.Marshal(a)
	must(w.t, err)
	return text
}

// text is a case of a text frame.
type text struct{ why, text string }

func (w *meeting) goodHellos() []text {
	hello := string(w.hello)
	return []text{
		{"as a sends it", hello},
		{"of a newer relay, which says more", strings.Replace(hello, `"versions":[1]`, `"versions":[3,2,1],"features":["what is to come"]`, 1)},
		{"a version twice", strings.Replace(hello, `"versions":[1]`, `"versions":[1,1]`, 1)},
		{"4,096 bytes", hello + strings.Repeat(" ", link.MaxHello-len(hello))},
	}
}

func (w *meeting) badHellos() []text {
	hello := string(w.hello)
	with := func(why, from, to string) text {
		if strings.Count(hello, from) != 1 {
			w.t.Fatal(why)
		}
		return text{why, strings.Replace(hello, from, to, 1)}
	}
	eph := w.ephA.Public().String()
	return []text{
		with("to another host", hostB, "c.example:8443"), with("to another port", hostB, "b.example"),
		with("from b itself", w.keyA.Public().String(), w.keyB.Public().String()),
		with("versions to come", "[1]", "[2,3]"), with("no version", "[1]", "[]"), with("version 0", "[1]", "[0,1]"),
		with("version 256", "[1]", "[256,1]"), with("17 versions", "[1]", "[1"+strings.Repeat(",1", 16)+"]"), with("a fraction", "[1]", "[1.0]"),
		with("host in another form", `"`+hostA, `"A.example`), with("the port 443", `"`+hostA, `"`+hostA+":443"), with("no host", `"`+hostA, `"`),
		with("to in another form", hostB, "B.example:8443"),
		with("a low-order key, 0", eph, protocol.Key32{}.String()), with("a low-order key, 1", eph, protocol.Key32{1}.String()),
		with("another op", `"hello"`, `"proof"`), with("no op", `"op":"hello",`, ""), with("no key", `"key"`, `"yek"`), with("null", `[1]`, "null"),
		with("a key twice", `"op":"hello"`, `"op":"hello","op":"hello"`), with("5 levels", `"op":"hello"`, `"op":"hello","x":[[[[]]]]`),
		{"4,097 bytes", hello + strings.Repeat(" ", link.MaxHello+1-len(hello))}, {"something after it", hello + "{}"}, {"nothing", ""},
	}
}

func (w *meeting) goodAnswers() []text {
	say := func(a link.Answer) string { return string(w.answers(w.keyB, "r", a)) }
	plain := say(link.Answer{Version: 1, Eph: w.ephB.Public(), Card: &w.card})
	return []text{
		{"as b sends it", plain},
		{"without a card", say(link.Answer{Version: 1, Eph: w.ephB.Public()})},
		{"of a newer relay, which says more", strings.Replace(plain, `"version":1`, `"version":1,"name":"b"`, 1)},
	}
}

func (w *meeting) badAnswers() []text {
	mallory := fixedKey("relay mallory")
	hers, err := link.NewCard(mallory)
	must(w.t, err)
	low := protocol.SignPayload(w.keyB, "sign/relay-box", []byte(`{"v":1,"box":"`+protocol.Key32{}.String()+`"}`))
	eph := w.ephB.Public()
	say := func(by protocol.SignSecret, role string, a link.Answer) string { return string(w.answers(by, role, a)) }
	good := say(w.keyB, "r", link.Answer{Version: 1, Eph: eph, Card: &w.card})
	return []text{
		{"signed by another key", say(mallory, "r", link.Answer{Version: 1, Eph: eph, Card: &w.card})},
		{"signed as who dials", say(w.keyB, "i", link.Answer{Version: 1, Eph: eph, Card: &w.card})},
		{"a version that was not offered", say(w.keyB, "r", link.Answer{Version: 2, Eph: eph, Card: &w.card})},
		{"a low-order key", say(w.keyB, "r", link.Answer{Version: 1, Eph: protocol.Key32{}, Card: &w.card})},
		{"another relay's card", say(w.keyB, "r", link.Answer{Version: 1, Eph: eph, Card: &hers})},
		{"a card with a low-order key", say(w.keyB, "r", link.Answer{Version: 1, Eph: eph, Card: &low})},
		{"the card taken out", strings.Replace(good, `,"card":`, `,"x":`, 1)},
		{"another op", strings.Replace(good, `"op":"hello"`, `"op":"proof"`, 1)},
		{"no version", strings.Replace(good, `"version"`, `"noisrev"`, 1)},
		{"refused", `{"op":"refused","code":"not-allowed"}`},
		{"refused, version", `{"op":"refused","code":"version","versions":[2]}`},
		{"refused, for a reason to come", `{"op":"refused","code":"what-is-to-come"}`},
		{"refused, without a reason", `{"op":"refused"}`},
	}
}

func (w *meeting) badProofs() []text {
	prove := func(by protocol.SignSecret, role string, t protocol.Hash32) string {
		raw, err := protocol.Marshal(link.Proof{Op: "proof", Sig: by.Sign("sign/relay-link", []byte(role), t[:])})
		must(w.t, err)
		return string(raw)
	}
	return []text{
		{"signed by another key", prove(fixedKey("relay mallory"), "i", w.transcript)},
		{"b's own signature", prove(w.keyB, "r", w.transcript)},
		{"signed as who is called", prove(w.keyA, "r", w.transcript)},
		{"of another link", prove(w.keyA, "i", w.t1(w.keyB, fixedBox("another eph").Public(), w.card.Payload))},
		{"another op", strings.Replace(string(w.proof), `"op":"proof"`, `"op":"hello"`, 1)},
		{"no signature", `{"op":"proof"}`},
	}
}

func fixedBox(name string) protocol.BoxSecret { return protocol.BoxSecretOf(vectortest.Fixed(name)) }

// receive is what b makes of a hello; b is the same every time.
func (w *meeting) receive(hello string) (*link.Guest, []byte, error) {
	eph := w.ephB.Expose()
	return link.Receive(vectortest.Random(eph[:]), w.keyB, own, []byte(hello))
}

// cases runs them and makes them vectors: all good, or all refused with a code.
func (w *meeting) cases(good bool, list []text, try func(text string) error) []m {
	out := []m{}
	for _, c := range list {
		err := try(c.text)
		v := m{"why": c.why, "text": c.text}
		if (err == nil) != good {
			w.t.Errorf("%s: %v", c.why, err)
		}
		if err != nil {
			v["code"] = protocol.CodeOf(err)
		}
		out = append(out, v)
	}
	return out
}

func TestPeerVectors(t *testing.T) {
	w := newMeeting(t)
	if !protocol.Verify(w.keyA.Public(), proofOf(t, w.proof), "sign/relay-link", []byte("i"), w.transcript[:]) {
		t.Fatal("another transcript than the proof's")
	}
	receive := func(text string) error { _, _, err := w.receive(text); return err }
	finish := func(text string) error { d, _ := w.dial(); _, _, _, err := d.Finish([]byte(text)); return err }
	prove := func(text string) error {
		g, _, err := w.receive(string(w.hello))
		must(t, err)
		_, err = g.Finish([]byte(text))
		return err
	}
	hellos := w.cases(true, w.goodHellos(), receive)
	for _, v := range hellos {
		_, answer, err := w.receive(v["text"].(string))
		must(t, err)
		v["answer"] = string(answer)
	}
	dh, err := w.ephA.DH(w.ephB.Public())
	must(t, err)
	i2r, r2i := protocol.KDF(dh[:], "relay-link/i2r", w.transcript[:]), protocol.KDF(dh[:], "relay-link/r2i", w.transcript[:])
	frames := w.frames()
	vectortest.Compare(t, "peer.json", m{
		"about": "Section 14, the link: a dials b. hello, answer, proof and text are text frames, byte for byte; eph_a_secret and eph_b_secret make them so. " +
			"hellos: what b takes and what it answers then, and what it refuses. answers: what a takes after its hello, and not. proofs: what b refuses after its answer. " +
			"code is what the one who refuses says. One changed byte in hello, answer or proof: no link. frames: binary frames in the order sent, each direction counts for itself. " +
			"wrong_frames: to b in place of its first, each ends the link, and so does any changed byte. A plaintext of largest_plaintext bytes still fits into a frame, one more does not. cards: of b, or not.",
		"encoding": encoding, "a": relayVector(w.keyA, hostA), "b": relayVector(w.keyB, hostB),
		"eph_a_secret": boxVector(w.ephA), "eph_b_secret": boxVector(w.ephB),
		"hello": string(w.hello), "answer": string(w.answer), "proof": string(w.proof),
		"T": w.transcript, "i2r": vectortest.B(i2r[:]), "r2i": vectortest.B(r2i[:]),
		"hellos":  m{"good": hellos, "bad": w.cases(false, w.badHellos(), receive)},
		"answers": m{"good": w.cases(true, w.goodAnswers(), finish), "bad": w.cases(false, w.badAnswers(), finish)},
		"proofs":  m{"bad": w.cases(false, w.badProofs(), prove)},
		"frames":  frames, "wrong_frames": w.wrongFrames(frames, i2r, r2i), "largest_plaintext": largest(t, w, i2r),
		"cards": m{"good": w.card, "bad": w.badCards()},
	})
}

func proofOf(t testing.TB, raw []byte) protocol.Signature {
	t.Helper()
	var p link.Proof
	must(t, protocol.DecodeClosed(raw, &p, 1))
	return p.Sig
}

func boxVector(s protocol.BoxSecret) string { b := s.Expose(); return vectortest.B(b[:]) }

// frames are one of each kind, there and back.
func (w *meeting) frames() []m {
	alice, bob := vectortest.NewPerson(w.t, "alice"), vectortest.NewPerson(w.t, "bob")
	e := vectortest.Envelope(alice, bob, protocol.TypeChat)
	e.Data = vectortest.FixedBytes("a letter", 40)
	live := vectortest.Envelope(alice, bob, protocol.TypeLive)
	live.Exp = live.TS + 30_000
	id, file := vectortest.FixedID("invite"), vectortest.FixedID("file")
	out := []m{}
	for _, f := range []any{
		link.Request{Op: link.OpPut, N: 7, Env: e.Marshal(), Quiet: true},
		link.Response{Op: link.OpRefused, N: 7, Code: protocol.CodeChainNeeded},
		link.Request{Op: link.OpChain, UID: alice.UID(), Records: alice.Chain.Records(0)},
		link.Request{Op: link.OpPut, N: 7, Env: e.Marshal(), Quiet: true},
		link.Response{Op: link.OpAccepted, N: 7, Kept: true},
		link.Request{Op: link.OpFile, N: 8, ID: file, From: alice.UID(), For: bob.UID(), Size: 65_552},
		link.Response{Op: link.OpHave, N: 8, Have: 65_536},
		link.Request{Op: link.OpPart, N: 8, Offset: 65_536, Data: vectortest.FixedBytes("a part", 16)},
		link.Response{Op: link.OpAccepted, N: 8},
		link.Request{Op: link.OpLive, Env: live.Marshal()},
		link.Request{Op: link.OpSpend, N: 9, ID: id, UID: alice.UID()},
		link.Request{Op: link.OpGrant, N: 10, Until: vectortest.Now},
		link.Request{Op: link.OpCard, N: 11, Host: "c.example"},
		link.Response{Op: link.OpAccepted, N: 11, Card: &w.card},
		link.Request{Op: link.OpHop, N: 12, Host: "c.example", Data: []byte("a record")},
		link.Request{Op: link.OpStep, N: 13, Data: []byte("a record")},
		link.Response{Op: link.OpBack, N: 13, Data: []byte("an answer")},
	} {
		plain, err := protocol.Marshal(f)
		must(w.t, err)
		from, to, way := w.out, w.in, "i2r"
		read := func(raw []byte) error { _, err := link.ParseRequest(raw); return err }
		if _, back := f.(link.Response); back {
			from, to, way = w.in, w.out, "r2i"
			read = func(raw []byte) error { _, err := link.ParseResponse(raw); return err }
		}
		sealed, err := from.Seal(plain)
		must(w.t, err)
		opened, err := to.Open(sealed)
		must(w.t, err)
		must(w.t, read(opened))
		out = append(out, m{"way": way, "plain": string(plain), "data": vectortest.B(sealed)})
	}
	return out
}

// sealed is a frame as section 14 has it, with any key and counter.
func sealed(key [32]byte, counter, sealedWith uint64, plain []byte) []byte {
	nonce := [24]byte(append(make([]byte, 16), protocol.U64(sealedWith)...))
	return secretbox.Seal(protocol.U64(counter), plain, &nonce, &key)
}

// wrongFrames end the link when one comes in place of b's first.
func (w *meeting) wrongFrames(frames []m, i2r, r2i [32]byte) []m {
	plain := []byte(frames[0]["plain"].(string))
	first := sealed(i2r, 0, 0, plain)
	if vectortest.B(first) != frames[0]["data"] {
		w.t.Fatal("another frame")
	}
	out := []m{}
	for _, c := range []struct {
		why  string
		data []byte
	}{
		{"the second", sealed(i2r, 1, 1, plain)}, {"the second, numbered 0", sealed(i2r, 0, 1, plain)}, {"the first, numbered 1", sealed(i2r, 1, 0, plain)},
		{"the last there is", sealed(i2r, 1<<64-1, 1<<64-1, plain)}, {"b's own, sent back", sealed(r2i, 0, 0, plain)},
		{"of another link", sealed(vectortest.Fixed("another key"), 0, 0, plain)}, {"cut", first[:len(first)-1]}, {"cut in the tag", first[:20]},
		{"a counter alone", first[:8]}, {"nothing", nil}, {"not sealed", append(protocol.U64(0), plain...)}, {"a byte more", append(slices.Clone(first), 0)},
	} {
		in := newMeeting(w.t).in
		if _, err := in.Open(c.data); protocol.CodeOf(err) != protocol.CodeUnauthorized {
			w.t.Errorf("%s: %v", c.why, err)
		}
		if _, err := in.Open(first); err == nil {
			w.t.Errorf("%s: and then it went on", c.why)
		}
		out = append(out, m{"why": c.why, "data": vectortest.B(c.data)})
	}
	return out
}

// largest is how many bytes of plaintext a frame may hold.
func largest(t testing.TB, w *meeting, i2r [32]byte) int {
	const most = link.MaxFrame - 8 - secretbox.Overhead
	if _, err := newMeeting(t).in.Open(sealed(i2r, 0, 0, make([]byte, most+1))); err == nil {
		t.Error("a frame over 512 KiB is taken")
	}
	if _, err := newMeeting(t).in.Open(sealed(i2r, 0, 0, make([]byte, most))); err != nil {
		t.Error(err)
	}
	if _, err := w.out.Seal(make([]byte, most+1)); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error(err)
	}
	return most
}

func (w *meeting) badCards() []m {
	box := link.BoxSecret(w.keyB).Public().String()
	mallory := fixedKey("relay mallory")
	renamed := protocol.SignPayload(mallory, "sign/relay-box", w.card.Payload)
	renamed.By = w.keyB.Public()
	by := func(payload string) protocol.Signed {
		return protocol.SignPayload(w.keyB, "sign/relay-box", []byte(payload))
	}
	out := []m{}
	for _, c := range []struct {
		why  string
		card protocol.Signed
	}{
		{"another relay's", protocol.SignPayload(mallory, "sign/relay-box", w.card.Payload)},
		{"signed by another key", renamed},
		{"another label", protocol.SignPayload(w.keyB, "sign/hop", w.card.Payload)},
		{"version 2", by(`{"v":2,"box":"` + box + `"}`)}, {"no version", by(`{"box":"` + box + `"}`)},
		{"an unknown key", by(`{"v":1,"box":"` + box + `","x":1}`)}, {"a short key", by(`{"v":1,"box":"AAAA"}`)},
		{"a low-order key", by(`{"v":1,"box":"` + protocol.Key32{1}.String() + `"}`)}, {"not JSON", by("")},
	} {
		if _, err := link.ReadCard(c.card, w.keyB.Public()); protocol.CodeOf(err) != protocol.CodeBadRequest {
			w.t.Errorf("%s: %v", c.why, err)
		}
		out = append(out, m{"why": c.why, "card": c.card})
	}
	if got, err := link.ReadCard(w.card, w.keyB.Public()); err != nil || got.String() != box {
		w.t.Error(err)
	}
	return out
}
