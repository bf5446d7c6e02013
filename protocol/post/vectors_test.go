package post_test

import (
	"encoding/json"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/post"
)

type m = map[string]any

func TestWallVectors(t *testing.T) {
	a := newAuthor(t)
	var good, bad, walks, photos []m
	for i, c := range a.changes {
		v := m{"record": c.Signed, "head": a.signedHeads[i], "op": c.Op, "seq": c.Seq, "ts": c.TS, "hash": c.Hash, "first": c.First()}
		if c.Op == post.OpPost || c.Op == post.OpEdit {
			v["text"], v["photos"] = c.Text, len(c.Photos)
		}
		good = append(good, v)
	}
	for _, b := range badChanges(t) {
		bad = append(bad, m{"why": b.why, "record": b.record})
	}
	for _, c := range a.walks() {
		verdict, seqs, end, _ := a.walk(c.pin, c.pages...)
		if verdict != c.verdict {
			t.Fatal(c.why, verdict)
		}
		pages := []json.RawMessage{}
		for _, p := range c.pages {
			pages = append(pages, vectortest.Must[[]byte](t)(p.Marshal()))
		}
		v := m{"why": c.why, "pin": c.pin, "pages": pages, "verdict": verdict}
		if verdict == fine {
			v["seqs"], v["end"] = seqs, end
		}
		walks = append(walks, v)
	}
	_, cases := jpegs(t)
	for _, c := range cases {
		photos = append(photos, m{"why": c.why, "jpeg": protocol.EncodeBytes(c.raw), "ok": c.ok})
	}
	vectortest.Compare(t, "wall.json", m{
		"about": "Section 15. good: the changes of the wall of the person with this chain, in order, each with its head; photos is how many. " +
			"bad: must be refused for that person, alone. " +
			"walks: a reader who has pinned pin (seq 0: nothing) reads these pages one after the other. verdict fine: seqs are the changes with content, end is the new pin; " +
			"altered: must be noticed at the latest with the last page; chain: a signer is not, or no more, in the chain (as good as altered once the chain was fetched anew). " +
			"photos: what the relay takes as a photo and what not.",
		"encoding": "byte strings are base64url without padding; times are ms",
		"chain":    a.chain.Records(0), "uid": a.chain.UID(), "good": good, "bad": bad, "walks": walks, "photos": photos,
	})
}
