package hometest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"image"
	"image/jpeg"
	"net/http"
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
)

// Writer writes on an app's public wall, as the app does.
type Writer struct {
	*App
	Last *post.Head // nil: nothing is written yet
}

// Writes begins a wall.
func (a *App) Writes() *Writer { return &Writer{App: a} }

// Post writes a change.
func (w *Writer) Post(content post.Content) post.Change {
	w.Helper()
	c, err := w.TryPost(content)
	w.must(err)
	return c
}

// TryPost is Post for a change that the relay may refuse.
func (w *Writer) TryPost(content post.Content) (post.Change, error) {
	w.Helper()
	w.Clock.Advance(2 * time.Second) // a relay takes 60 a minute
	if content.Photos == nil {
		content.Photos = []post.Photo{}
	}
	if content.Gone == nil {
		content.Gone = []int64{}
	}
	change, head, err := post.New(w.Keys, w.Chain(), w.Last, content, w.Now())
	w.must(err)
	c, err := post.Parse(change)
	w.must(err)
	h, err := post.ParseHead(head)
	w.must(err)
	if err := w.Try(http.MethodPost, "/api/1/wall", map[string]any{"change": change, "head": head}); err != nil {
		return c, err
	}
	w.Last = &h
	return c, nil
}

// Say posts a text.
func (w *Writer) Say(text string, photos ...post.Photo) post.Change {
	w.Helper()
	id, err := protocol.NewID(Random)
	w.must(err)
	return w.Post(post.Content{Op: post.OpPost, ID: id, Text: text, Photos: photos})
}

// Photo uploads a photo of random noise and returns its bytes, too.
func (w *Writer) Photo(side int) (post.Photo, []byte) {
	w.Helper()
	picture := image.NewGray(image.Rect(0, 0, side, side))
	_, err := Random.Read(picture.Pix)
	w.must(err)
	var out bytes.Buffer
	w.must(jpeg.Encode(&out, picture, nil))
	hash := protocol.Hash32(sha256.Sum256(out.Bytes()))
	w.must(w.request(http.MethodPut, "/api/1/media/"+hash.String(), "application/octet-stream", out.Bytes(), nil))
	return post.Photo{Hash: hash, Size: int64(out.Len()), Width: side, Height: side, Thumb: []byte{}}, out.Bytes()
}

// Kept walks the copy of the wall that the home keeps.
func (l *Linked) Kept(chain *ident.Chain, limit int) ([]post.Change, post.Pin, error) {
	l.Helper()
	walk := post.NewWalk(chain, post.Pin{})
	var all []post.Change
	for !walk.Ended() {
		var raw json.RawMessage
		if err := l.Asks("wall", map[string]any{"after": walk.After(), "limit": limit}, &raw); err != nil {
			return nil, post.Pin{}, err
		}
		page, err := post.ParsePage(raw)
		if err != nil {
			return nil, post.Pin{}, err
		}
		changes, err := walk.Take(page)
		if err != nil {
			return nil, post.Pin{}, err
		}
		all = append(all, changes...)
		for _, c := range changes { // it may have grown while it was read
			all = slices.DeleteFunc(all, func(old post.Change) bool { return slices.Contains(c.Gone, old.Seq) })
		}
	}
	return all, walk.Head().Pin(), nil
}

// Keeps waits until the home has the wall as it is written.
func (w *Writer) Keeps(l *Linked) []post.Change {
	w.Helper()
	var all []post.Change
	Until(w.TB, "the wall is home", func() bool {
		var pin post.Pin
		var err error
		all, pin, err = l.Kept(w.Chain(), 7)
		if protocol.CodeOf(err) == protocol.CodeNotFound {
			return false
		}
		w.must(err)
		return pin.Seq == w.Last.Seq
	})
	return all
}

// Head is the wall's head as the relay shows it.
func (w *Writer) Head() post.Head {
	w.Helper()
	page, err := w.Gate.Wall(context.Background(), w.Token(), w.Username, 0, 1)
	w.must(err)
	h, err := post.VerifyHead(page.Head, w.App.Chain())
	w.must(err)
	return h
}
