package relaytest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"image"
	"image/jpeg"
	"strconv"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
)

// Author writes on a wall, as an app does.
type Author struct {
	*Courtyard
	Person *Person
	Keys   *ident.DeviceKeys
	Token  string
	Last   *post.Head // nil: nothing is written yet
}

// Author is somebody who is connected and has no wall yet.
func (c *Courtyard) Author(s *Socket) *Author {
	return &Author{Courtyard: c, Person: s.Person, Keys: s.Keys, Token: s.Ready.Token}
}

// Posted is the body of POST /api/1/wall.
type Posted struct {
	Change *protocol.Signed `json:"change,omitempty"`
	Head   protocol.Signed  `json:"head"`
}

// Make signs the next change without posting it.
func (a *Author) Make(content post.Content) Posted {
	a.t.Helper()
	if content.Photos == nil {
		content.Photos = []post.Photo{}
	}
	if content.Gone == nil {
		content.Gone = []int64{}
	}
	change, head, err := post.New(a.Keys, a.Person.Chain, a.Last, content, a.Clock.Now().UnixMilli())
	must(a.t, err)
	return Posted{&change, head}
}

// Post writes a change, which must succeed.
func (a *Author) Post(content post.Content) post.Change {
	a.t.Helper()
	p := a.Make(content)
	a.Well("POST", "/api/1/wall", a.Token, p, nil)
	return a.Took(p)
}

// Took notes that p is the newest change.
func (a *Author) Took(p Posted) post.Change {
	a.t.Helper()
	head, err := post.ParseHead(p.Head)
	must(a.t, err)
	c, err := post.Parse(*p.Change)
	must(a.t, err)
	a.Last = &head
	return c
}

// Say posts a text.
func (a *Author) Say(text string, photos ...post.Photo) post.Change {
	a.t.Helper()
	return a.Post(post.Content{Op: post.OpPost, ID: NewID(a.t), Text: text, Photos: photos})
}

// JPEG is a bare photo of random noise.
func JPEG(t testing.TB, width, height int) []byte {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, width, height))
	_, err := rand.Read(picture.Pix)
	must(t, err)
	var out bytes.Buffer
	must(t, jpeg.Encode(&out, picture, nil))
	return out.Bytes()
}

// Upload puts a photo and describes it as a post does.
func (a *Author) Upload(raw []byte, width, height int) post.Photo {
	a.t.Helper()
	hash := protocol.Hash32(sha256.Sum256(raw))
	a.Well("PUT", "/api/1/media/"+hash.String(), a.Token, raw, nil)
	return post.Photo{Hash: hash, Size: int64(len(raw)), Width: width, Height: height, Thumb: []byte{1, 2, 3}, Alt: "a photo"}
}

// Reads walks a wall from pin as a follower does, in pages of limit, by path
// ("/@name/posts"). The error is that of the walk.
func (c *Courtyard) Reads(chain *ident.Chain, pin post.Pin, path, token string, limit int) ([]post.Change, post.Pin, error) {
	w := post.NewWalk(chain, pin)
	var all []post.Change
	sign := "?"
	if bytes.ContainsRune([]byte(path), '?') {
		sign = "&"
	}
	for !w.Ended() {
		a, err := c.Try("GET", path+sign+"after="+strconv.FormatInt(w.After(), 10)+"&limit="+strconv.Itoa(limit), token, nil)
		if err != nil {
			return nil, pin, err
		}
		if a.Status != 200 {
			return nil, pin, &protocol.Error{Op: "relaytest.Reads", Code: a.Code}
		}
		page, err := post.ParsePage(a.Body)
		if err != nil {
			return nil, pin, err
		}
		changes, err := w.Take(page)
		if err != nil {
			return nil, pin, err
		}
		all = append(all, changes...)
	}
	return all, w.Head().Pin(), nil
}
