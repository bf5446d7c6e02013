package gate

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
)

// Wall gives a part of a wall of this courtyard (section 15). Not verified. Code
// not-found: there is none.
func (g *Gate) Wall(ctx context.Context, token, username string, after int64, limit int) (post.Page, error) {
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	raw, err := g.call(ctx, "gate.Wall", http.MethodGet, "/api/1/walls/"+username+"?"+q.Encode(), token, nil, nil, post.MaxPage)
	if err != nil {
		return post.Page{}, err
	}
	return post.ParsePage(raw)
}

// PostHead renews the head of the own wall: compare-and-swap, code wall-conflict.
func (g *Gate) PostHead(ctx context.Context, token string, head protocol.Signed) error {
	return g.send(ctx, "gate.PostHead", http.MethodPost, "/api/1/wall", token, struct {
		Head protocol.Signed `json:"head"`
	}{head})
}

// Media gives a photo that a wall of this courtyard shows. Not verified.
func (g *Gate) Media(ctx context.Context, token string, hash protocol.Hash32) ([]byte, error) {
	return g.call(ctx, "gate.Media", http.MethodGet, "/api/1/media/"+hash.String(), token, nil, nil, post.MaxPhotoSize)
}
