package post_test

import (
	"bytes"
	"image/jpeg"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
)

// FuzzChange: what is taken as a change keeps the limits, and no signer but the
// author's own devices gets it onto the wall.
func FuzzChange(f *testing.F) {
	a := newAuthor(f)
	for _, c := range a.changes {
		f.Add([]byte(c.Signed.Payload))
	}
	for _, b := range badChanges(f) {
		if len(b.record.Payload) < 2000 {
			f.Add([]byte(b.record.Payload))
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, signer := range []protocol.Signer{a.session, a.stranger} {
			if _, err := post.Verify(protocol.SignPayload(signer, "sign/post", payload), a.chain); err == nil {
				t.Fatal("signed by somebody who may not")
			}
		}
		c, err := post.Verify(protocol.SignPayload(a.phone, "sign/post", payload), a.chain)
		if err != nil {
			if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodeTooLarge && code != protocol.CodeBadChain {
				t.Fatal(err)
			}
			return
		}
		if c.UID != a.chain.UID() || c.Seq < 1 || len(c.Text) > post.MaxTextBytes || len(c.Photos) > post.MaxPhotos || c.First() > c.Seq || c.First() < 1 {
			t.Fatalf("%+v", c)
		}
	})
}

// FuzzHead does the same for heads.
func FuzzHead(f *testing.F) {
	a := newAuthor(f)
	for _, head := range a.signedHeads {
		f.Add([]byte(head.Payload))
	}
	f.Add([]byte(`{"v":1,"uid":"` + a.chain.UID().String() + `","seq":0,"hash":"` + protocol.Hash32{}.String() + `","ts":-1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, signer := range []protocol.Signer{a.session, a.stranger} {
			if _, err := post.VerifyHead(protocol.SignPayload(signer, "sign/wall-head", payload), a.chain); err == nil {
				t.Fatal("signed by somebody who may not")
			}
		}
		h, err := post.VerifyHead(protocol.SignPayload(a.phone, "sign/wall-head", payload), a.chain)
		if err != nil {
			return
		}
		again, err := post.NewHead(a.phone, a.chain, h, h.TS)
		if err != nil || h.UID != a.chain.UID() || h.Seq < 1 {
			t.Fatalf("%+v %v", h, err)
		}
		if same, err := post.ParseHead(again); err != nil || same != h {
			t.Fatalf("%+v became %+v: %v", h, same, err)
		}
	})
}

// FuzzPage: a page that is read is written so that it is read again the same.
func FuzzPage(f *testing.F) {
	a := newAuthor(f)
	for _, c := range a.walks() {
		for _, p := range c.pages {
			raw, err := p.Marshal()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := post.ParsePage(raw)
		if err != nil {
			return
		}
		once, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := post.ParsePage(once)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := again.Marshal()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s\n%s\n%v", once, twice, err)
		}
		w := post.NewWalk(a.chain, post.Pin{})
		if _, err := w.Take(p); err == nil && w.Ended() && w.Head().Hash != a.heads[w.Head().Seq-1].Hash {
			t.Fatal("a wall that the author did not write")
		}
	})
}

// FuzzJPEG: the sides that are told are those that a decoder finds.
func FuzzJPEG(f *testing.F) {
	_, cases := jpegs(f)
	for _, c := range cases {
		f.Add(c.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		w, h, err := post.CheckJPEG(raw)
		if err != nil {
			return
		}
		if w*h > post.MaxPixels {
			t.Fatal("too many pixels")
		}
		if found, err := jpeg.DecodeConfig(bytes.NewReader(raw)); err == nil && (found.Width != w || found.Height != h) {
			t.Fatalf("%d x %d, a decoder finds %d x %d", w, h, found.Width, found.Height)
		}
	})
}
