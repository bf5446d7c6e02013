package letter_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// FuzzOpen feeds Open whole letters. None but the seeds may open: the fuzzer
// has no key.
func FuzzOpen(f *testing.F) {
	p := newPlay(f)
	e := p.envelope("chat")
	known := map[string]bool{}
	for _, n := range []int{1, 2, 5} {
		data := p.seal(f, e, letter.AuthMAC, n, metaOf(p.alice), body)
		known[string(data)] = true
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		opened, err := p.open(e, data, p.bob.UEK)
		if known[string(data)] {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		refused(t, "fuzzed", opened, err)
	})
}

// FuzzInner feeds Open what lies inside the box, as a friend who has the keys
// could send it.
func FuzzInner(f *testing.F) {
	p := newPlay(f)
	content := append([]byte{0, byte(len(metaOf(p.alice)))}, metaOf(p.alice)+body...)
	f.Add(append(append([]byte{1}, make([]byte, 64)...), content...))
	f.Add(append(append([]byte{2}, make([]byte, 64)...), content...))
	f.Add([]byte{1})
	f.Add([]byte{})
	e := p.envelope("chat")
	f.Fuzz(func(t *testing.T, inner []byte) {
		if len(inner) > letter.MaxPadded-4 {
			return
		}
		forged := newForgery(e, p.alice.Phone, "", "", publics(p.readers(2))...)
		forged.inner = func([]byte) []byte { return inner }
		opened, err := p.open(e, forged.letter(t), p.bob.UEK)
		refused(t, "fuzzed inner", opened, err)
	})
}

// FuzzOpenFile feeds OpenFile sealed bytes: nothing but the file itself opens.
func FuzzOpenFile(f *testing.F) {
	// Fixed randomness: the fuzzer's workers each seal the file anew.
	var box bytes.Buffer
	file, err := letter.SealFile(vectortest.Random(vectortest.FixedBytes("fuzzed file", 48)), &box, bytes.NewReader(pattern(300)), "image/jpeg")
	if err != nil {
		f.Fatal(err)
	}
	sealed := box.Bytes()
	f.Add(sealed)
	f.Add(sealed[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		err := letter.OpenFile(io.Writer(&out), bytes.NewReader(data), file)
		if bytes.Equal(data, sealed) != (err == nil) || (err != nil && !errors.Is(err, letter.ErrFile)) {
			t.Fatal(err)
		}
		if out.Len() > message.MaxFile {
			t.Fatal("unbounded")
		}
	})
}
