package letter_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/letter"
)

type m = map[string]any

const encoding = "byte strings are base64url without padding; envelope, meta and body are the exact text"

func deviceVector(k *ident.DeviceKeys) m {
	secret := k.Expose()
	return m{"sign_seed": vectortest.B(secret[:32]), "box_secret": vectortest.B(secret[32:]), "device": k.Device(ident.RoleAdmin, 0), "id": k.ID()}
}

func readerVectors(keys []ident.UEKSecret) (out []m) {
	for _, k := range keys {
		secret := k.Secret.Expose()
		out = append(out, m{"counter": k.Counter, "secret": vectortest.B(secret[:]), "public": k.Secret.Public()})
	}
	return out
}

func TestLetterVectors(t *testing.T) {
	p := newPlay(t)
	random := vectortest.FixedBytes("eph and mk", 64)
	var good []m
	for _, s := range shapes() {
		e := p.envelope(s.typ)
		e.Data = p.seal(t, e, s.kind, s.slots, metaOf(p.alice), body)
		good = append(good, m{
			"name": fmt.Sprintf("%s, kind %d, %d slots", s.typ, s.kind, s.slots), "envelope": string(e.Marshal()), "H": e.H(),
			"kind": s.kind, "readers": readerVectors(p.readers(s.slots)), "meta": metaOf(p.alice), "body": body,
			"hash": letter.Hash(e.H(), e.Data),
		})
	}
	var bad []m
	for _, h := range hostileLetters(t, p) {
		with := *h.e
		with.Data = h.data
		if len(with.Marshal()) > protocol.MaxEnvelope {
			continue // no envelope could carry it
		}
		bad = append(bad, m{"why": h.why, "envelope": string(with.Marshal())})
	}
	vectortest.Compare(t, "letter.json", m{
		"about": "Section 8. good: data in envelope is the letter that sender seals to readers (in that order, their public keys) with this meta and body, " +
			"when the random source gives first eph_secret, then mk. Each reader opens it with the secret; hash is what receipts name it by. " +
			"With any single byte of any of these letters changed, every reader must refuse it: run through all bytes. " +
			"bad: must be refused by the reader bob. Only sender and carol have devices, each in the chain of their own uid.",
		"encoding":   encoding,
		"sender":     m{"uid": p.alice.UID(), "keys": deviceVector(p.alice.Phone)},
		"bob":        readerVectors(p.readers(1))[0],
		"carol":      m{"uid": p.carol.UID(), "keys": deviceVector(p.carol.Phone)},
		"eph_secret": vectortest.B(random[:32]), "mk": vectortest.B(random[32:]), "good": good, "bad": bad,
	})
}

func TestFileVectors(t *testing.T) {
	var files []m
	for _, size := range []int{0, 1, 65_535, 65_536, 65_537, 140_000} {
		plain := pattern(size)
		random := vectortest.FixedBytes(fmt.Sprintf("file %d", size), 48)
		var sealed bytes.Buffer
		f, err := letter.SealFile(bytes.NewReader(random), &sealed, bytes.NewReader(plain), "image/jpeg")
		if err != nil {
			t.Fatal(err)
		}
		sum := protocol.Hash("test/sealed-file", sealed.Bytes())
		v := m{"size": size, "file": m{"id": f.ID, "key": vectortest.B(f.Key.Expose()), "size": f.Size, "hash": f.Hash, "type": f.Type},
			"sealed_size": sealed.Len(), "sealed_hash": sum}
		if size < 2 {
			v["sealed"] = vectortest.B(sealed.Bytes())
		}
		files = append(files, v)
	}
	vectortest.Compare(t, "file.json", m{
		"about": "Section 8, files. The plaintext has byte (i*7 + i/251) mod 256 at place i. The random source gives id, then key. " +
			"sealed_hash = hash(\"test/sealed-file\", all sealed chunks together).",
		"encoding": encoding, "files": files,
	})
}

// pattern is the plaintext of the file vectors.
func pattern(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i*7 + i/251)
	}
	return out
}
