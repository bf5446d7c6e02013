package link_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
)

const hostA, hostB = "a.example", "b.example:8443"

type ends struct {
	keyA, keyB protocol.SignSecret
	out, in    *link.Session
	hello      []byte
	answer     []byte
	proof      []byte
}

func key(t testing.TB) protocol.SignSecret {
	t.Helper()
	k, err := protocol.NewSignSecret(rand.Reader)
	must(t, err)
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func own(host string) bool { return host == hostB }

// meet plays the handshake; alter may change what travels.
func meet(t testing.TB, keyA, keyB protocol.SignSecret, alter func(step int, frame []byte) []byte) (*ends, error) {
	t.Helper()
	e := &ends{keyA: keyA, keyB: keyB}
	d, hello, err := link.Dial(rand.Reader, keyA, hostA, hostB)
	must(t, err)
	e.hello = alter(0, hello)
	g, answer, err := link.Receive(rand.Reader, keyB, own, e.hello)
	if err != nil {
		return e, err
	}
	e.answer = alter(1, answer)
	proof, out, peer, err := d.Finish(e.answer)
	if err != nil {
		return e, err
	}
	if peer.Key != keyB.Public() {
		return e, protocol.Refuse("test", protocol.CodePeerKey, "another relay answered")
	}
	e.proof = alter(2, proof)
	in, err := g.Finish(e.proof)
	if err != nil {
		return e, err
	}
	e.out, e.in = out, in
	return e, nil
}

func unaltered(_ int, frame []byte) []byte { return frame }

func TestTwoRelaysMeetAndTalk(t *testing.T) {
	t.Parallel()
	e, err := meet(t, key(t), key(t), unaltered)
	must(t, err)
	for i := range 5 {
		for _, way := range [][2]*link.Session{{e.out, e.in}, {e.in, e.out}} {
			want := bytes.Repeat([]byte{byte(i)}, i*1000)
			frame, err := way[0].Seal(want)
			must(t, err)
			got, err := way[1].Open(frame)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Fatal("another frame")
			}
		}
	}
}

func TestAnyChangedByteOfTheHandshakeIsRefused(t *testing.T) {
	t.Parallel()
	keyA, keyB := key(t), key(t)
	for step := range 3 {
		length := 0
		_, err := meet(t, keyA, keyB, func(s int, frame []byte) []byte {
			if s == step {
				length = len(frame)
			}
			return frame
		})
		must(t, err)
		for at := range length {
			e, err := meet(t, keyA, keyB, func(s int, frame []byte) []byte {
				if s != step || at >= len(frame) {
					return frame
				}
				frame = slices.Clone(frame)
				frame[at] ^= 1
				return frame
			})
			if err != nil {
				continue
			}
			// A few changes mean the same (a space for another, a bit that JSON does not
			// carry): then what both have understood must be what was meant.
			frame, err := e.out.Seal([]byte("well"))
			must(t, err)
			if got, err := e.in.Open(frame); err != nil || string(got) != "well" {
				t.Fatalf("step %d byte %d: a session that does not work", step, at)
			}
			t.Fatalf("step %d byte %d: altered and accepted", step, at)
		}
	}
}

func TestARelayInTheMiddleIsFoundOut(t *testing.T) {
	t.Parallel()
	keyA, keyB, middle := key(t), key(t), key(t)
	d, hello, err := link.Dial(rand.Reader, keyA, hostA, hostB)
	must(t, err)
	// It answers itself: another key than the reader's chain names.
	_, answer, err := link.Receive(rand.Reader, middle, func(string) bool { return true }, hello)
	must(t, err)
	if _, _, peer, err := d.Finish(answer); err != nil || peer.Key == keyB.Public() {
		t.Fatal(peer, err)
	}
	// It passes A's hello on and takes B's answer for A's: A's proof is for B alone.
	other, hello2, err := link.Dial(rand.Reader, middle, hostA, hostB)
	must(t, err)
	g, _, err := link.Receive(rand.Reader, keyB, own, hello)
	must(t, err)
	_, answer2, err := link.Receive(rand.Reader, keyB, own, hello2)
	must(t, err)
	proof, _, _, err := other.Finish(answer2)
	must(t, err)
	if _, err := g.Finish(proof); protocol.CodeOf(err) != protocol.CodeUnauthorized {
		t.Fatal("a proof of one link for another:", err)
	}
	// Meant for another name.
	_, elsewhere, err := link.Dial(rand.Reader, keyA, hostA, "c.example")
	must(t, err)
	if _, _, err := link.Receive(rand.Reader, keyB, own, elsewhere); protocol.CodeOf(err) != protocol.CodeNotAllowed {
		t.Fatal(err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	keyA, keyB := key(t), key(t)
	replace := func(from, to string) func(int, []byte) []byte {
		return func(step int, frame []byte) []byte {
			if step == 0 {
				return []byte(strings.Replace(string(frame), from, to, 1))
			}
			return frame
		}
	}
	// A relay that only speaks what is to come.
	_, err := meet(t, keyA, keyB, replace(`"versions":[1]`, `"versions":[2,3]`))
	if protocol.CodeOf(err) != protocol.CodeVersion {
		t.Fatal(err)
	}
	// A newer one that also speaks this version, and says more than this one knows.
	_, hello, err := link.Dial(rand.Reader, keyA, hostA, hostB)
	must(t, err)
	newer := strings.Replace(string(hello), `"versions":[1]`, `"versions":[1,2,3],"features":["what is to come"]`, 1)
	_, answer, err := link.Receive(rand.Reader, keyB, own, []byte(newer))
	must(t, err)
	if !bytes.Contains(answer, []byte(`"version":1,`)) {
		t.Fatalf("%s", answer)
	}
	// A list that was shortened on the way: the transcript has the whole one.
	_, err = meet(t, keyA, keyB, replace(`"versions":[1]`, `"versions":[1,1]`))
	if protocol.CodeOf(err) != protocol.CodeUnauthorized {
		t.Fatal(err)
	}
	// What a refusal says arrives.
	d, _, err := link.Dial(rand.Reader, keyA, hostA, hostB)
	must(t, err)
	if _, _, _, err := d.Finish([]byte(`{"op":"refused","code":"version","versions":[2]}`)); protocol.CodeOf(err) != protocol.CodeVersion {
		t.Fatal(err)
	}
	if _, _, _, err := d.Finish([]byte(`{"op":"refused","code":"what-is-to-come"}`)); protocol.CodeOf(err) != protocol.CodeUnavailable {
		t.Fatal(err)
	}
}

func TestFramesOutOfOrderEndTheSession(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(first, second []byte) []byte{
		"one left out":   func(_, second []byte) []byte { return second },
		"a changed byte": func(first, _ []byte) []byte { first[len(first)-1] ^= 1; return first },
		"cut short":      func(first, _ []byte) []byte { return first[:20] },
		"nothing":        func(_, _ []byte) []byte { return nil },
		"too long":       func(_, _ []byte) []byte { return make([]byte, link.MaxFrame+1) },
	} {
		e, err := meet(t, key(t), key(t), unaltered)
		must(t, err)
		first, err := e.out.Seal([]byte("first"))
		must(t, err)
		second, err := e.out.Seal([]byte("second"))
		must(t, err)
		good := slices.Clone(first)
		if _, err := e.in.Open(spoil(first, second)); protocol.CodeOf(err) != protocol.CodeUnauthorized {
			t.Error(what, err)
		}
		if _, err := e.in.Open(good); err == nil {
			t.Error(what, "and then it went on")
		}
	}
	e, err := meet(t, key(t), key(t), unaltered)
	must(t, err)
	frame, err := e.out.Seal([]byte("once"))
	must(t, err)
	_, err = e.in.Open(frame)
	must(t, err)
	if _, err := e.in.Open(frame); err == nil {
		t.Error("twice")
	}
	if _, err := e.out.Seal(make([]byte, link.MaxFrame)); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error(err)
	}
}
