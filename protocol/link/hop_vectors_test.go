package link_test

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/link"
)

// forgery is a hop record of which each part may be another than it should be.
type forgery struct {
	payload string              // of the signed object
	by      protocol.SignSecret // signs it
	label   string              // under this label
	object  func(string) string // what becomes of it
	pad     func([]byte) []byte // how that is padded
	suite   byte
	eph     [32]byte            // public, in front
	secret  [32]byte            // what X25519 gives
	kdf     string              // label of the key
	to      protocol.SignSecret // whose key is in the key
}

// spelled is a good record, spelled out as section 14 has it.
func spelled(t testing.TB, a, b protocol.SignSecret, frames ...string) *forgery {
	t.Helper()
	eph := fixedBox("hop eph")
	dh, err := eph.DH(link.BoxSecret(b).Public())
	must(t, err)
	payload := `{"to":"` + b.Public().String() + `","eph":"` + eph.Public().String() + `","host":"` + hostA + `","ts":1790000000000,"frames":[` + strings.Join(frames, ",") + `]}`
	return &forgery{payload: payload, by: a, label: "sign/hop", object: func(o string) string { return o }, pad: padded, suite: 1,
		eph: eph.Public(), secret: dh, kdf: "hop/there", to: b}
}

// padded is section 14's padding, for what fits into 512 bytes or a power of two.
func padded(raw []byte) []byte {
	size := 512
	for size < 4+len(raw) {
		size *= 2
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(len(raw)))
	return append(append(out, raw...), make([]byte, size-4-len(raw))...)
}

func (f *forgery) record() []byte {
	object := protocol.SignPayload(f.by, f.label, []byte(f.payload)).Marshal()
	to := f.to.Public()
	key := protocol.KDF(f.secret[:], f.kdf, to[:], f.eph[:])
	head := append([]byte{f.suite}, f.eph[:]...)
	return secretbox.Seal(head, f.pad([]byte(f.object(string(object)))), &[24]byte{}, &key)
}

const spend = `{"op":"spend","n":1,"id":"AQAAAAAAAAAAAAAAAAAAAA","uid":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`

func (w *meeting) badHops() []m {
	mallory := fixedKey("relay mallory")
	type edit func(f *forgery)
	payload := func(from, to string) edit {
		return func(f *forgery) {
			if strings.Count(f.payload, from) != 1 {
				w.t.Fatal(from)
			}
			f.payload = strings.Replace(f.payload, from, to, 1)
		}
	}
	frame := func(text string) edit { return payload(spend, text) }
	object := func(from, to string) edit {
		return func(f *forgery) { f.object = func(o string) string { return strings.Replace(o, from, to, 1) } }
	}
	_, _, err := link.OpenHop(w.keyB, spelled(w.t, w.keyA, w.keyB, spend).record(), now)
	must(w.t, err)
	ts := `"ts":1790000000000`
	aStep := `{"op":"step","n":1,"data":"AA"}`
	out := []m{}
	for _, c := range []struct {
		why, code string
		edit      edit
	}{
		{"to another relay", "", payload(w.keyB.Public().String(), w.keyA.Public().String())},
		{"taken out of another record", "", payload(fixedBox("hop eph").Public().String(), fixedBox("another eph").Public().String())},
		{"sealed for another relay", "", func(f *forgery) {
			dh, err := fixedBox("hop eph").DH(link.BoxSecret(w.keyA).Public())
			must(w.t, err)
			f.secret = dh
		}},
		{"the key of another relay", "", func(f *forgery) { f.to = w.keyA }},
		{"the key of the way back", "", func(f *forgery) { f.kdf = "hop/back" }},
		{"a low-order key", "", func(f *forgery) {
			f.payload = strings.Replace(f.payload, fixedBox("hop eph").Public().String(), protocol.Key32{}.String(), 1)
			f.eph, f.secret = [32]byte{}, [32]byte{}
		}},
		{"suite 2", "", func(f *forgery) { f.suite = 2 }},
		{"signed under another label", "", func(f *forgery) { f.label = "sign/relay-box" }},
		{"signed by another key", "", object(`"by":"`+w.keyA.Public().String(), `"by":"`+mallory.Public().String())},
		{"a signed object with an unknown key", "", object(`{"payload"`, `{"x":1,"payload"`)},
		{"an unknown key", "", payload(`{"to"`, `{"x":1,"to"`)}, {"no ts", "", payload(ts+",", "")},
		{"a key twice", "", payload(ts, ts+","+ts)}, {"a ts with a fraction", "", payload(ts, ts+".0")},
		{"host in another form", "", payload(`"`+hostA, `"A.example`)}, {"the port 443", "", payload(`"`+hostA, `"`+hostA+":443")},
		{"older than 10 minutes", protocol.CodeExpired, payload(ts, `"ts":1789999399999`)},
		{"more than 10 minutes ahead", protocol.CodeExpired, payload(ts, `"ts":1790000600001`)},
		{"no frame", "", frame("")}, {"five frames", "", frame(spend + strings.Repeat(","+spend, 4))},
		{"a hop in a hop", "", frame(`{"op":"hop","n":1,"host":"c.example","data":"AA"}`)}, {"a step in a hop", "", frame(aStep)},
		{"a step behind a good frame", "", frame(spend + "," + aStep)}, {"a card in a hop", "", frame(`{"op":"card","n":1,"host":"c.example"}`)},
		{"a grant in a hop", "", frame(`{"op":"grant","n":1,"until":0}`)}, {"live in a hop", "", frame(`{"op":"live","env":{}}`)},
		{"an op to come", "", frame(`{"op":"what-is-to-come","n":1}`)}, {"a frame without n", "", frame(`{"op":"put","env":{}}`)},
		{"n 0", "", frame(`{"op":"put","n":0,"env":{}}`)}, {"a frame that is none", "", frame("1")},
		{"a frame of 7 levels", "", frame(`{"op":"put","n":1,"env":[[[[[[]]]]]]}`)},
		{"padding that is not zero", "", func(f *forgery) { f.pad = func(raw []byte) []byte { p := padded(raw); p[len(p)-1] = 1; return p } }},
		{"a length beyond the padding", "", func(f *forgery) {
			f.pad = func(raw []byte) []byte { p := padded(raw); binary.BigEndian.PutUint32(p, uint32(len(p)-3)); return p }
		}},
		{"padded to another length", "", func(f *forgery) { f.pad = func(raw []byte) []byte { return append(padded(raw), 0) } }},
		{"not padded", "", func(f *forgery) { f.pad = func(raw []byte) []byte { return padded(raw)[:4+len(raw)] } }},
		{"nothing in it", "", func(f *forgery) { f.pad = func([]byte) []byte { return nil } }},
	} {
		f := spelled(w.t, w.keyA, w.keyB, spend)
		c.edit(f)
		record := f.record()
		if c.code == "" {
			c.code = protocol.CodeBadRequest
		}
		if _, _, err := link.OpenHop(w.keyB, record, now); protocol.CodeOf(err) != c.code {
			w.t.Errorf("%s: %v", c.why, err)
		}
		out = append(out, m{"why": c.why, "record": vectortest.B(record), "code": c.code})
	}
	return out
}

// hops are records with their answers.
func (w *meeting) hops() []m {
	out := []m{}
	ephOf := func(i int) []byte { return vectortest.FixedBytes("hop eph", 32*(i+1))[32*i:] }
	id, alice := vectortest.FixedID("invite"), vectortest.NewPerson(w.t, "alice")
	e := vectortest.Envelope(alice, vectortest.NewPerson(w.t, "bob"), protocol.TypeChat)
	e.Data = vectortest.FixedBytes("a letter", 40)
	put := link.Request{Op: link.OpPut, N: 7, Env: e.Marshal()}
	for i, c := range []struct {
		why    string
		ts     int64
		frames []link.Request
		answer link.Response
	}{
		{"a letter", now, []link.Request{put}, link.Response{Op: link.OpAccepted, N: 7, Kept: true}},
		{"four frames, as old as can be", now - link.HopLife, []link.Request{
			{Op: link.OpChain, UID: alice.UID(), Records: alice.Chain.Records(0)}, put,
			{Op: link.OpFile, N: 8, ID: vectortest.FixedID("file"), From: alice.UID(), For: alice.UID(), Size: 16},
			{Op: link.OpPart, N: 8, Data: vectortest.FixedBytes("a part", 16)},
		}, link.Response{Op: link.OpAccepted, N: 8}},
		{"an invite, as early as can be", now + link.HopLife, []link.Request{{Op: link.OpSpend, N: 9, ID: id, UID: alice.UID()}},
			link.Response{Op: link.OpRefused, N: 9, Code: protocol.CodeInviteUnknown}},
	} {
		eph, nonce := ephOf(i), vectortest.FixedBytes("hop nonce "+c.why, 24)
		record, key, err := link.SealHop(vectortest.Random(eph), w.keyA, hostA, w.keyB.Public(), link.BoxSecret(w.keyB).Public(), c.ts, c.frames...)
		must(w.t, err)
		h, back, err := link.OpenHop(w.keyB, record, now)
		must(w.t, err)
		if len(h.Frames) != len(c.frames) || h.From != w.keyA.Public() || h.Host != hostA {
			w.t.Errorf("%s: %+v", c.why, h)
		}
		answer, err := back.Seal(vectortest.Random(nonce), c.answer)
		must(w.t, err)
		if got, err := key.Open(answer); err != nil || got.Op != c.answer.Op || got.Code != c.answer.Code {
			w.t.Errorf("%s: %+v %v", c.why, got, err)
		}
		frames := []string{}
		for _, f := range c.frames {
			frames = append(frames, w.json(f))
		}
		there, home := w.hopKeys(eph)
		out = append(out, m{"why": c.why, "eph_secret": vectortest.B(eph), "ts": c.ts, "frames": frames, "there": vectortest.B(there[:]), "record": vectortest.B(record),
			"back": vectortest.B(home[:]), "answer_plain": w.json(c.answer), "answer_nonce": vectortest.B(nonce), "answer": vectortest.B(answer)})
	}
	return out
}

func (w *meeting) json(v any) string {
	raw, err := protocol.Marshal(v)
	must(w.t, err)
	return string(raw)
}

func (w *meeting) hopKeys(eph []byte) (there, back [32]byte) {
	secret := protocol.BoxSecretOf([32]byte(eph))
	dh, err := secret.DH(link.BoxSecret(w.keyB).Public())
	must(w.t, err)
	to, public := w.keyB.Public(), secret.Public()
	return protocol.KDF(dh[:], "hop/there", to[:], public[:]), protocol.KDF(dh[:], "hop/back", to[:], public[:])
}

// badAnswers are not b's to the first of hops.
func (w *meeting) badAnswersTo(first m) []m {
	eph, err := protocol.DecodeBytes(first["eph_secret"].(string))
	must(w.t, err)
	_, key, err := link.SealHop(vectortest.Random(eph), w.keyA, hostA, w.keyB.Public(), link.BoxSecret(w.keyB).Public(), now, link.Request{Op: link.OpPut, N: 7, Env: json.RawMessage("{}")})
	must(w.t, err)
	nonce := [24]byte(vectortest.FixedBytes("hop nonce", 24))
	there, back := w.hopKeys(eph)
	seal := func(key [32]byte, plain []byte) []byte { return secretbox.Seal(nonce[:], plain, &nonce, &key) }
	accepted := []byte(`{"op":"accepted","n":7}`)
	dirty := padded(accepted)
	dirty[len(dirty)-1] = 1
	out := []m{}
	for _, c := range []struct {
		why    string
		answer []byte
	}{
		{"the key of the way there", seal(there, padded(accepted))}, {"the key of another record", seal(vectortest.Fixed("another key"), padded(accepted))},
		{"padding that is not zero", seal(back, dirty)}, {"not padded", seal(back, accepted)}, {"padded to another length", seal(back, append(padded(accepted), 0))},
		{"no JSON", seal(back, padded(nil))}, {"no op", seal(back, padded([]byte(`{"n":7}`)))}, {"something after it", seal(back, padded([]byte(`{"op":"accepted","n":7}{}`)))},
		{"not sealed", accepted}, {"nothing", nil},
	} {
		if _, err := key.Open(c.answer); protocol.CodeOf(err) != protocol.CodeBadRequest {
			w.t.Errorf("%s: %v", c.why, err)
		}
		out = append(out, m{"why": c.why, "answer": vectortest.B(c.answer)})
	}
	if r, err := key.Open(seal(back, padded(accepted))); err != nil || r.N != 7 {
		w.t.Error(err)
	}
	return out
}

// sizes tells what signed objects, or answers, of so many bytes are padded to; 0: they
// are too large.
func sizes(t testing.TB) []m {
	_, back := aHop(t, fixedKey("relay a"), fixedKey("relay b"))
	out := []m{}
	for _, c := range [][2]int{{508, 512}, {509, 1024}, {32_764, 32_768}, {65_532, 65_536}, {65_533, 131_072}, {131_068, 131_072}, {131_069, 196_608}, {262_140, 262_144}, {262_141, 0}} {
		out = append(out, m{"bytes": c[0], "padded": c[1]})
		r := link.Response{Op: "x", Code: strings.Repeat("y", c[0]-len(`{"op":"x","code":""}`))}
		sealed, err := back.Seal(vectortest.Random(make([]byte, 24)), r)
		if c[1] == 0 {
			if protocol.CodeOf(err) != protocol.CodeTooLarge {
				t.Error(err)
			}
			continue
		}
		must(t, err)
		if len(sealed) != 24+16+c[1] {
			t.Errorf("%d bytes are padded to %d", c[0], len(sealed)-24-16)
		}
		if got, err := back.Open(sealed); err != nil || got.Code != r.Code {
			t.Error(err)
		}
	}
	return out
}

// Sealed as it should be; only its length tells.
func TestARecordThatIsTooLong(t *testing.T) {
	t.Parallel()
	w := newMeeting(t)
	for steps, code := range map[int]string{4: "", 5: protocol.CodeBadRequest} {
		f := spelled(t, w.keyA, w.keyB, spend)
		f.pad = func(raw []byte) []byte {
			p := padded(raw)
			return append(p, make([]byte, steps<<16-len(p))...)
		}
		if _, _, err := link.OpenHop(w.keyB, f.record(), now); err == nil && code != "" || err != nil && protocol.CodeOf(err) != code {
			t.Errorf("%d x 64 KiB: %v", steps, err)
		}
	}
}

func TestHopVectors(t *testing.T) {
	w := newMeeting(t)
	good := w.hops()
	vectortest.Compare(t, "hop.json", m{
		"about": "Section 14, the detour: hop records from a to b, read by b at now. good: eph_secret and ts make the record of these frames (the signed payload has its keys in the order of the page), " +
			"there and back are the two keys, answer_nonce makes the answer of answer_plain. bad: what b refuses, with which code. bad_answers: what a refuses as the answer to the first of good. " +
			"One changed byte in a record or an answer: refused. sizes: what a signed object or an answer of so many bytes is padded to; 0: it is too large to be sealed, and refused if it comes.",
		"encoding": encoding, "a": relayVector(w.keyA, hostA), "b": relayVector(w.keyB, hostB), "now": now,
		"good": good, "bad": w.badHops(), "bad_answers": w.badAnswersTo(good[0]), "sizes": sizes(t),
	})
}
