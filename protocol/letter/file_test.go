package letter_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

const sealedChunk = letter.ChunkSize + 16

func sealFile(t testing.TB, plain []byte) (message.File, []byte) {
	t.Helper()
	var sealed bytes.Buffer
	f, err := letter.SealFile(rand.Reader, &sealed, iotest.OneByteReader(bytes.NewReader(plain)), "image/jpeg")
	if err != nil {
		t.Fatal(err)
	}
	if int64(sealed.Len()) != letter.SealedSize(int64(len(plain))) || f.Size != int64(len(plain)) {
		t.Fatalf("%d bytes sealed as %d", len(plain), sealed.Len())
	}
	return f, sealed.Bytes()
}

func TestFiles(t *testing.T) {
	for _, size := range []int{0, 1, 65_535, 65_536, 65_537, 131_072, 200_000} {
		plain := pattern(size)
		f, sealed := sealFile(t, plain)
		var out bytes.Buffer
		if err := letter.OpenFile(&out, iotest.HalfReader(bytes.NewReader(sealed)), f); err != nil || !bytes.Equal(out.Bytes(), plain) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestHostileFiles(t *testing.T) {
	f, sealed := sealFile(t, pattern(200_000))
	other, otherSealed := sealFile(t, pattern(200_000))
	chunk := func(i int) []byte { return sealed[i*sealedChunk : min((i+1)*sealedChunk, len(sealed))] }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	flip := func(at int) []byte { v := bytes.Clone(sealed); v[at] ^= 1; return v }
	changed := func(edit func(*message.File)) message.File { g := f; edit(&g); return g }
	for what, c := range map[string]struct {
		f      message.File
		sealed []byte
	}{
		"first byte":       {f, flip(0)},
		"last byte":        {f, flip(len(sealed) - 1)},
		"second chunk":     {f, flip(sealedChunk + 5)},
		"cut by a byte":    {f, sealed[:len(sealed)-1]},
		"cut by a chunk":   {f, sealed[:3*sealedChunk]},
		"cut, and so said": {changed(func(g *message.File) { g.Size = 3 * letter.ChunkSize }), sealed[:3*sealedChunk]},
		"cut, size and hash fitting": {changed(func(g *message.File) {
			g.Size, g.Hash = 3*letter.ChunkSize, sha256.Sum256(pattern(200_000)[:3*letter.ChunkSize])
		}), sealed[:3*sealedChunk]},
		"empty":              {f, nil},
		"a byte more":        {f, join(sealed, []byte{0})},
		"chunks swapped":     {f, join(chunk(1), chunk(0), chunk(2), chunk(3))},
		"a chunk twice":      {f, join(chunk(0), chunk(0), chunk(2), chunk(3))},
		"a chunk left out":   {f, join(chunk(0), chunk(2), chunk(3))},
		"another file":       {f, otherSealed},
		"another file's id":  {changed(func(g *message.File) { g.ID = other.ID }), sealed},
		"another file's key": {changed(func(g *message.File) { g.Key = other.Key }), sealed},
		"another hash":       {changed(func(g *message.File) { g.Hash[0] ^= 1 }), sealed},
		"another size":       {changed(func(g *message.File) { g.Size-- }), sealed},
		"a larger size":      {changed(func(g *message.File) { g.Size = 20 << 20 }), sealed},
	} {
		var out bytes.Buffer
		if err := letter.OpenFile(&out, bytes.NewReader(c.sealed), c.f); !errors.Is(err, letter.ErrFile) {
			t.Errorf("%s: %v", what, err)
		}
		// Chunks come out before the whole is checked; each must be the right one.
		if !bytes.HasPrefix(pattern(200_000), out.Bytes()) {
			t.Errorf("%s: something else came out", what)
		}
	}
	broken := errors.New("disk")
	if err := letter.OpenFile(io.Discard, io.MultiReader(bytes.NewReader(sealed[:9]), iotest.ErrReader(broken)), f); !errors.Is(err, broken) || errors.Is(err, letter.ErrFile) {
		t.Error("a reader's error must come through:", err)
	}
	if _, err := letter.SealFile(rand.Reader, io.Discard, iotest.ErrReader(broken), "image/jpeg"); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := letter.OpenFile(io.Discard, bytes.NewReader(nil), message.File{}); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Error("file without a key:", err)
	}
	huge := io.LimitReader(zeros{}, message.MaxFile+1)
	if _, err := letter.SealFile(rand.Reader, io.Discard, huge, "image/jpeg"); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error("over 20 MiB:", err)
	}
	if _, err := letter.SealFile(vectortest.Random(make([]byte, 48)), io.Discard, bytes.NewReader(nil), "../x"); err == nil {
		t.Error("bad media type")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
