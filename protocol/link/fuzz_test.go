package link_test

import (
	"bytes"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
)

// FuzzLink gives both ends, at each step, whatever comes. Nobody but the two who
// are meant gets anywhere.
func FuzzLink(f *testing.F) {
	w := newMeeting(f)
	frame, err := w.out.Seal([]byte(`{"op":"grant","n":1}`))
	must(f, err)
	for _, seed := range [][]byte{w.hello, w.answer, w.proof, frame, []byte(`{"op":"refused","code":"version","versions":[2]}`), {}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := *w
		w.t = t
		if g, answer, err := w.receive(string(data)); (err == nil) != (g != nil && answer != nil) || err == nil && g.Hello.To != hostB {
			t.Fatal("hello:", err)
		}
		g, _, err := w.receive(string(w.hello)) // a session is over after what is wrong, so there is a new one each time
		must(t, err)
		if _, err := g.Finish(data); err == nil {
			var p link.Proof
			if protocol.DecodeOpen(data, &p, 4) != nil || p.Sig != proofOf(t, w.proof) {
				t.Fatal("proof")
			}
		}
		in, err := g.Finish(w.proof)
		must(t, err)
		d, _ := w.dial()
		if _, out, peer, err := d.Finish(data); err == nil {
			// Written otherwise, perhaps, but b's answer: the two can talk.
			sealed, err := out.Seal([]byte("well"))
			must(t, err)
			if got, err := in.Open(sealed); err != nil || string(got) != "well" || peer.Key != w.keyB.Public() {
				t.Fatalf("answer: %q %v", got, err)
			}
		} else if _, err := in.Open(data); (err == nil) != bytes.Equal(data, frame) {
			t.Fatal("frame:", err)
		}
	})
}

// FuzzFrames: what is read is written so that it is read again.
func FuzzFrames(f *testing.F) {
	for _, frame := range newMeeting(f).frames() {
		f.Add([]byte(frame["plain"].(string)))
	}
	f.Add([]byte(`{"op":"part","n":1,"offset":-1,"data":"AA"}`))
	f.Add([]byte(`{"op":"what is to come","n":9007199254740993}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := link.ParseRequest(raw); err == nil {
			again, err := protocol.Marshal(r)
			must(t, err)
			if _, err := link.ParseRequest(again); err != nil {
				t.Fatalf("%s was taken, %s not: %v", raw, again, err)
			}
		}
		if r, err := link.ParseResponse(raw); err == nil {
			again, err := protocol.Marshal(r)
			must(t, err)
			if _, err := link.ParseResponse(again); err != nil {
				t.Fatalf("%s was taken, %s not: %v", raw, again, err)
			}
		}
	})
}

// FuzzHop gives b hop records, and what is inside them, layer by layer.
func FuzzHop(f *testing.F) {
	w := newMeeting(f)
	good := spelled(f, w.keyA, w.keyB, spend)
	_, key := aHop(f, w.keyA, w.keyB)
	object := protocol.SignPayload(w.keyA, "sign/hop", []byte(good.payload)).Marshal()
	for _, seed := range [][]byte{good.record(), []byte(good.payload), object, padded(object), []byte(spelled(f, w.keyA, w.keyB, `{"op":"step","n":1,"data":"AA"}`).payload), {}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		payload, object, pad := *good, *good, *good
		payload.payload = string(data)
		object.object = func(string) string { return string(data) }
		pad.pad = func([]byte) []byte { return data }
		for _, record := range [][]byte{data, payload.record(), object.record(), pad.record()} {
			h, _, err := link.OpenHop(w.keyB, record, now)
			if code := protocol.CodeOf(err); err != nil && code != protocol.CodeBadRequest && code != protocol.CodeExpired && code != protocol.CodeTooLarge {
				t.Fatal(err)
			}
			if err != nil {
				continue
			}
			if len(h.Frames) < 1 || len(h.Frames) > 4 || h.From != w.keyA.Public() || bytes.Equal(record, data) && !bytes.Equal(data, good.record()) {
				t.Fatalf("%+v", h)
			}
			for _, frame := range h.Frames {
				if frame.Op == link.OpHop || frame.Op == link.OpStep {
					t.Fatal("a hop in a hop")
				}
			}
		}
		if _, err := key.Open(data); err == nil {
			t.Fatal("an answer that b has not given")
		}
	})
}

// FuzzCard: nobody but the relay makes its card, and none has a key that is none.
func FuzzCard(f *testing.F) {
	w := newMeeting(f)
	f.Add([]byte(w.card.Payload))
	f.Add([]byte(`{"v":1,"box":"` + protocol.Key32{1}.String() + `"}`))
	f.Add([]byte(`{"v":1,"v":1,"box":"AA"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := link.ReadCard(protocol.SignPayload(w.keyA, "sign/relay-box", payload), w.keyB.Public()); err == nil {
			t.Fatal("another relay's")
		}
		box, err := link.ReadCard(protocol.SignPayload(w.keyB, "sign/relay-box", payload), w.keyB.Public())
		if err == nil && protocol.LowOrder(box) {
			t.Fatal("low-order")
		}
	})
}
