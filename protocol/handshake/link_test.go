package handshake_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

type m = map[string]any

const (
	now      = vectortest.Now
	host     = "relay.example:8443"
	encoding = "byte strings are base64url without padding"
)

// ends is a phone and its home.
type ends struct {
	alice *vectortest.Person
	phone handshake.LinkPeers // what the phone believes
	home  handshake.LinkPeers // what the home believes
}

func newEnds(t testing.TB) *ends {
	alice := vectortest.NewPerson(t, "alice")
	alice.AddHome(t)
	peers := handshake.LinkPeers{UID: alice.UID(), Device: alice.Phone.ID(), Home: alice.Home.ID(), RelayKey: vectortest.Relay().Key, Host: host}
	return &ends{alice, peers, peers}
}

// linked is what a relay has carried: hello, answer, finish.
type linked struct {
	device, home            *handshake.Session
	hello, answer, finish   []byte
	initiatorErr, answerErr error
	finishErr               error
}

// run plays the handshake with a relay in the middle that may change each
// message (by its number, 1 to 3).
func (e *ends) run(t testing.TB, relay func(kind int, message []byte) []byte) (l linked) {
	t.Helper()
	i, hello, err := handshake.NewInitiator(rand.Reader, e.alice.Phone, e.alice.Home.Public(), e.phone)
	if err != nil {
		t.Fatal(err)
	}
	l.hello = hello
	r, answer, err := handshake.NewResponder(rand.Reader, e.alice.Home, e.alice.Phone.Public(), e.home, relay(1, hello))
	if l.answerErr = err; err != nil {
		return l
	}
	l.answer = answer
	finish, device, err := i.Finish(relay(2, answer))
	if l.initiatorErr = err; err != nil {
		return l
	}
	l.device, l.finish = device, finish
	l.home, l.finishErr = r.Finish(relay(3, finish))
	return l
}

func honest(_ int, message []byte) []byte { return message }

// fooled fails the test if a changed handshake gave anybody a session who
// should have none.
func (l linked) fooled(t testing.TB, what string, changed int) {
	t.Helper()
	if l.home != nil || (changed < 3 && l.device != nil) {
		t.Errorf("%s: a session", what)
	}
	for _, err := range []error{l.answerErr, l.initiatorErr, l.finishErr} {
		if code := protocol.CodeOf(err); err != nil && code != protocol.CodeUnauthorized && code != protocol.CodeBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestLink(t *testing.T) {
	l := newEnds(t).run(t, honest)
	if l.device == nil || l.home == nil || l.device.ID() != l.home.ID() {
		t.Fatalf("%+v", l)
	}
	for i := range 3 {
		for _, way := range [][2]*handshake.Session{{l.device, l.home}, {l.home, l.device}} {
			plain := bytes.Repeat([]byte{byte(i)}, i*30<<10)
			frame, err := way[0].Seal(plain)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := way[1].Open(frame); err != nil || !bytes.Equal(got, plain) {
				t.Fatal(err)
			}
		}
	}
	if _, err := l.device.Seal(make([]byte, handshake.MaxLinkPlaintext+1)); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", l.device, l.home, l.device); strings.Contains(text, "[32]") || len(text) > 600 {
		t.Error("a session prints its keys:", text)
	}
	kind, id, _, err := handshake.ParseLink(handshake.ClosedMessage(l.home.ID()))
	if err != nil || kind != handshake.LinkClosed || id != l.home.ID() {
		t.Error(err)
	}
}

func TestRelayChangesAnyByteOfTheLink(t *testing.T) {
	e := newEnds(t)
	sizes := []int{1 + 8 + 32, 1 + 8 + 32 + 64, 1 + 8 + 64}
	for kind := 1; kind <= 3; kind++ {
		for at := range sizes[kind-1] {
			l := e.run(t, func(k int, message []byte) []byte {
				if k != kind {
					return message
				}
				if len(message) != sizes[kind-1] {
					t.Fatal(len(message))
				}
				changed := bytes.Clone(message)
				changed[at] ^= 1 << (at % 8)
				return changed
			})
			l.fooled(t, fmt.Sprintf("message %d, byte %d", kind, at), kind)
		}
		for _, n := range []int{0, 1, 8, 9, sizes[kind-1] - 1, sizes[kind-1] + 1} {
			l := e.run(t, func(k int, message []byte) []byte {
				if k != kind {
					return message
				}
				return append(bytes.Clone(message), 0)[:n]
			})
			l.fooled(t, fmt.Sprintf("message %d, %d bytes", kind, n), kind)
		}
	}
}

// Each thing that the two ends must agree on is in the transcript.
func TestLinkEndsDisagree(t *testing.T) {
	for what, edit := range map[string]func(*handshake.LinkPeers){
		"uid": func(p *handshake.LinkPeers) { p.UID[0] ^= 1 }, "device": func(p *handshake.LinkPeers) { p.Device[0] ^= 1 },
		"home": func(p *handshake.LinkPeers) { p.Home[0] ^= 1 }, "relay key": func(p *handshake.LinkPeers) { p.RelayKey[0] ^= 1 },
		"host": func(p *handshake.LinkPeers) { p.Host = "evil.example" },
	} {
		e := newEnds(t)
		edit(&e.phone)
		e.run(t, honest).fooled(t, what, 1)
	}
}

// A relay with keys of its own stands in for the home, or for the device, or
// puts pieces of earlier sessions together.
func TestRelaySplicesLinks(t *testing.T) {
	e := newEnds(t)
	mallory := vectortest.Keys(t, "mallory")
	for what, low := range map[string]protocol.Key32{"zero": {}, "one": {1}} {
		for kind, at := range map[int]int{1: 9, 2: 9} {
			l := e.run(t, func(k int, message []byte) []byte {
				if k == kind {
					message = bytes.Clone(message)
					copy(message[at:], low[:])
				}
				return message
			})
			l.fooled(t, "low-order "+what, kind)
		}
	}
	// Mallory's own answer to the device, and her own finish to the home.
	e.run(t, func(kind int, message []byte) []byte {
		if kind == 2 {
			_, fake, err := handshake.NewResponder(rand.Reader, mallory, e.alice.Phone.Public(), e.home, e.lastHello(t))
			if err != nil {
				t.Fatal(err)
			}
			return fake
		}
		return message
	}).fooled(t, "answer by another key", 2)

	i, hello, err := handshake.NewInitiator(rand.Reader, mallory, e.alice.Home.Public(), e.phone)
	if err != nil {
		t.Fatal(err)
	}
	r, answer, err := handshake.NewResponder(rand.Reader, e.alice.Home, e.alice.Phone.Public(), e.home, hello)
	if err != nil {
		t.Fatal(err)
	}
	finish, _, err := i.Finish(answer)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := r.Finish(finish); s != nil || protocol.CodeOf(err) != protocol.CodeUnauthorized {
		t.Error("finish by another key:", err)
	}

	earlier := e.run(t, honest)
	old := [][]byte{nil, earlier.hello, earlier.answer, earlier.finish}
	for _, kinds := range [][]int{{1}, {2}, {3}, {1, 2}, {1, 3}, {2, 3}, {1, 2, 3}} {
		for _, renamed := range []bool{false, true} {
			var session []byte
			l := e.run(t, func(kind int, message []byte) []byte {
				session = message[1:9]
				if !slices.Contains(kinds, kind) {
					return message
				}
				replayed := bytes.Clone(old[kind])
				if renamed { // the session's own number on the old message
					copy(replayed[1:9], session)
				}
				return replayed
			})
			l.fooled(t, fmt.Sprintf("replayed %v", kinds), kinds[0])
		}
	}
	// The home's own words back to it: an answer is no finish.
	l := e.run(t, func(kind int, message []byte) []byte {
		if kind == 3 {
			return append([]byte{handshake.LinkFinish}, append(bytes.Clone(earlier.answer[1:9]), earlier.answer[41:]...)...)
		}
		return message
	})
	l.fooled(t, "the home's signature as the device's", 3)
}

func (e *ends) lastHello(t testing.TB) []byte {
	_, hello, err := handshake.NewInitiator(rand.Reader, e.alice.Phone, e.alice.Home.Public(), e.phone)
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

// The signatures are said with a role: what the home signed as responder does
// not pass as an initiator's word even for the same transcript and key.
func TestLinkRolesAreSigned(t *testing.T) {
	e := newEnds(t)
	peers := e.phone
	i, hello, err := handshake.NewInitiator(rand.Reader, e.alice.Home, e.alice.Home.Public(), peers)
	if err != nil {
		t.Fatal(err)
	}
	r, answer, err := handshake.NewResponder(rand.Reader, e.alice.Home, e.alice.Home.Public(), peers, hello)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := i.Finish(answer); err != nil {
		t.Fatal(err)
	}
	reflected := append([]byte{handshake.LinkFinish}, append(bytes.Clone(answer[1:9]), answer[41:]...)...)
	if s, err := r.Finish(reflected); s != nil || err == nil {
		t.Error("the answer's signature was taken for the finish's")
	}
}

func TestHostileFrames(t *testing.T) {
	e := newEnds(t)
	seal := func(s *handshake.Session, text string) []byte {
		return vectortest.Must[[]byte](t)(s.Seal([]byte(text)))
	}
	plain := len("frame")
	for at := range 9 + 8 + 16 + plain {
		l := e.run(t, honest)
		frame := seal(l.device, "frame")
		frame[at] ^= 1 << (at % 8)
		if got, err := l.home.Open(frame); err == nil {
			t.Errorf("byte %d: %q", at, got)
		}
		// The session is over: even the right frame is refused now.
		frame[at] ^= 1 << (at % 8)
		if got, err := l.home.Open(frame); err == nil {
			t.Errorf("byte %d, afterwards: %q", at, got)
		}
		if _, err := l.home.Seal(nil); err == nil {
			t.Error("an ended session seals")
		}
	}
	for what, attack := range map[string]func(l linked) []byte{
		"sent back":          func(l linked) []byte { return seal(l.home, "x") },
		"left out":           func(l linked) []byte { seal(l.device, "1"); return seal(l.device, "2") },
		"twice":              func(l linked) []byte { f := seal(l.device, "1"); open(t, l.home, f); return f },
		"of another session": func(linked) []byte { return seal(e.run(t, honest).device, "1") },
		"of another session renamed": func(l linked) []byte {
			f := seal(e.run(t, honest).device, "1")
			id := l.home.ID()
			copy(f[1:9], id[:])
			return f
		},
		"cut":     func(l linked) []byte { return seal(l.device, "1")[:20] },
		"a hello": func(l linked) []byte { return l.hello },
		"empty":   func(linked) []byte { return nil },
	} {
		l := e.run(t, honest)
		if got, err := l.home.Open(attack(l)); err == nil {
			t.Errorf("%s: %q", what, got)
		}
	}
	l := e.run(t, honest)
	seal(l.device, "first")
	second := seal(l.device, "second")
	forged := bytes.Clone(second)
	forged[16] = 0 // the counter that is due, on the second frame
	if got, err := l.home.Open(forged); err == nil {
		t.Errorf("renumbered: %q", got)
	}
}

func open(t testing.TB, s *handshake.Session, frame []byte) {
	t.Helper()
	if _, err := s.Open(frame); err != nil {
		t.Fatal(err)
	}
}

func TestLinkVectors(t *testing.T) {
	e := newEnds(t)
	session, ephI, ephR := vectortest.FixedBytes("link session", 8), vectortest.Fixed("link eph i"), vectortest.Fixed("link eph r")
	i, hello, err := handshake.NewInitiator(vectortest.Random(session, ephI[:]), e.alice.Phone, e.alice.Home.Public(), e.phone)
	if err != nil {
		t.Fatal(err)
	}
	r, answer, err := handshake.NewResponder(vectortest.Random(ephR[:]), e.alice.Home, e.alice.Phone.Public(), e.home, hello)
	if err != nil {
		t.Fatal(err)
	}
	finish, device, err := i.Finish(answer)
	if err != nil {
		t.Fatal(err)
	}
	home, err := r.Finish(finish)
	if err != nil {
		t.Fatal(err)
	}
	var frames []m
	for n, text := range []string{`{"id":1,"m":"status"}`, `{"id":1,"r":{"messages":3}}`, `{"id":2,"m":"keys"}`, `{"m":"new","p":{"epoch":1,"n":4}}`, ``} {
		from, way := device, "i2r"
		if n%2 == 1 {
			from, way = home, "r2i"
		}
		frames = append(frames, m{"way": way, "plain": text, "data": vectortest.B(vectortest.Must[[]byte](t)(from.Seal([]byte(text))))})
	}
	iPub, rPub := protocol.BoxSecretOf(ephI).Public(), protocol.BoxSecretOf(ephR).Public()
	transcript := protocol.Hash("link", e.phone.UID[:], e.phone.Device[:], e.phone.Home[:], e.phone.RelayKey[:], []byte(host), session, iPub[:], rPub[:])
	dh := vectortest.Must[[32]byte](t)(protocol.BoxSecretOf(ephI).DH(rPub))
	i2r, r2i := protocol.KDF(dh[:], "link/i2r", transcript[:]), protocol.KDF(dh[:], "link/r2i", transcript[:])
	vectortest.Compare(t, "link.json", m{
		"about": "Section 11. hello, answer, finish and data of the frames are the data of link envelopes. device and home give the Ed25519 seeds. " +
			"The device's random source gives session, then eph_i_secret; the home's eph_r_secret. Frames in the order sent; each direction counts for itself. " +
			"Any byte changed in any message, any of uid, device_id, home_id, relay_key, host different at one end: no session. Frames skipped, repeated, sent back: the session ends.",
		"encoding": encoding, "uid": e.phone.UID, "device_id": e.phone.Device, "home_id": e.phone.Home, "relay_key": e.phone.RelayKey, "host": host,
		"device": keyVector(e.alice.Phone), "home": keyVector(e.alice.Home), "session": vectortest.B(session),
		"eph_i_secret": vectortest.B(ephI[:]), "eph_r_secret": vectortest.B(ephR[:]), "T": transcript, "i2r": vectortest.B(i2r[:]), "r2i": vectortest.B(r2i[:]),
		"hello": vectortest.B(hello), "answer": vectortest.B(answer), "finish": vectortest.B(finish), "frames": frames,
		"closed": vectortest.B(handshake.ClosedMessage(home.ID())),
	})
}

func keyVector(k *ident.DeviceKeys) m {
	secret := k.Expose()
	return m{"sign_seed": vectortest.B(secret[:32]), "box_secret": vectortest.B(secret[32:]), "sign": k.Public(), "box": k.BoxPublic()}
}
