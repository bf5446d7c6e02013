package wall

import (
	"context"
	"crypto/sha256"
	"net/url"
	"strconv"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/elsewhere"
)

// last is a seq after which there is none.
const last = 1 << 53

// find finds a wall that may be shown. Code: not-found, whatever the reason.
func (w *Walls) find(ctx context.Context, username string, asker protocol.UID) (Wall, error) {
	if !protocol.ValidUsername(username) {
		return Wall{}, missing("wall.find")
	}
	found, ok, err := w.c.Store.Wall(ctx, username, asker)
	if err == nil && !ok {
		err = missing("wall.find")
	}
	return found, err
}

// page is what comes after a seq. The changes are read before the head: what they
// show as gone, something at or below that head accounts for.
func (w *Walls) page(ctx context.Context, username string, asker protocol.UID, after int64, limit int) (post.Page, error) {
	known, err := w.find(ctx, username, asker)
	if err != nil {
		return post.Page{}, err
	}
	const room = (post.MaxPage-post.FrameWeight)*3/4 - post.MaxPageItems*200
	for {
		rows, err := w.c.Store.Changes(ctx, known.UID, after, limit, room)
		if err != nil {
			return post.Page{}, err
		}
		before := known.Seq
		if known, err = w.find(ctx, username, asker); err != nil {
			return post.Page{}, err
		}
		at := max(after, before)
		if len(rows) > 0 {
			at = rows[len(rows)-1].Seq
		}
		if len(rows) == 0 && known.Seq > at { // it has grown between the two reads
			continue
		}
		p := post.Page{UID: known.UID, Username: username, Host: w.c.Hosts[0], Head: known.Head, More: at < known.Seq}
		for _, r := range rows {
			if r.Signed != nil {
				p.Items = append(p.Items, post.Item{Signed: r.Signed})
			} else {
				p.Items = append(p.Items, post.Item{Stub: &post.Stub{Seq: r.Seq, Hash: r.Hash}})
			}
		}
		return p, nil
	}
}

// everybody is the asker whom nobody has to be.
var everybody protocol.UID

// posts is page as bytes for everybody, kept ready.
func (w *Walls) posts(ctx context.Context, username string, after int64, limit int) (*answer, error) {
	key := "posts " + username + " " + strconv.FormatInt(after, 10) + " " + strconv.Itoa(limit)
	return w.cache.get(key, func() (*answer, error) {
		raw, err := w.written(ctx, username, everybody, after, limit)
		if err != nil {
			return nil, err
		}
		return newAnswer("application/json", raw), nil
	})
}

// written is page as bytes.
func (w *Walls) written(ctx context.Context, username string, asker protocol.UID, after int64, limit int) ([]byte, error) {
	const op = "wall.posts"
	if limit < 1 || limit > post.MaxPageItems {
		return nil, refuse(op, "limit is 1 to 100")
	}
	p, err := w.page(ctx, username, asker, after, limit)
	if err != nil {
		return nil, err
	}
	raw, err := p.Marshal()
	if err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeInternal, Cause: err}
	}
	return raw, nil
}

// lookup is what comes after a seq on a wall of another courtyard, read and written
// anew; whether it is true is for the reader to verify. Codes: as Courtyard.Get.
func lookup(ctx context.Context, other *elsewhere.Courtyard, username string, after int64, limit int) ([]byte, error) {
	const op = "wall.lookup"
	if !protocol.ValidUsername(username) {
		return nil, missing(op)
	}
	if limit < 1 || limit > post.MaxPageItems {
		return nil, refuse(op, "limit is 1 to 100")
	}
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	a, err := other.Get(ctx, "/@"+username+"/posts?"+query.Encode(), "application/json", post.MaxPage)
	if err != nil {
		return nil, err
	}
	p, err := post.ParsePage(a.Body)
	if err == nil && p.Username != username {
		err = refuse(op, "another person's wall")
	}
	if err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodePeerAway, Cause: err}
	}
	out, err := p.Marshal()
	if err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodeInternal, Cause: err}
	}
	return out, nil
}

// photoOf is a photo of another courtyard. Codes: as Courtyard.Get.
func photoOf(ctx context.Context, other *elsewhere.Courtyard, hash protocol.Hash32) ([]byte, error) {
	const op = "wall.photoOf"
	a, err := other.Get(ctx, "/media/"+hash.String()+".jpg", "image/jpeg", post.MaxPhotoSize)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(a.Body) != hash {
		return nil, protocol.Refuse(op, protocol.CodePeerAway, "another hash")
	}
	if _, _, err := post.CheckJPEG(a.Body); err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodePeerAway, Cause: err}
	}
	return a.Body, nil
}

// public is a photo that a wall of here shows to everybody.
func (w *Walls) public(ctx context.Context, hash protocol.Hash32) ([]byte, error) {
	data, found, err := w.c.Store.Public(ctx, hash)
	if err == nil && !found {
		err = missing("wall.public")
	}
	return data, err
}

// own is a photo of uid's, also before a wall shows it, or a public one.
func (w *Walls) own(ctx context.Context, uid protocol.UID, hash protocol.Hash32) ([]byte, error) {
	data, found, err := w.c.Store.Own(ctx, uid, hash)
	if err == nil && !found {
		return w.public(ctx, hash)
	}
	return data, err
}
