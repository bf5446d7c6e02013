package wall

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
)

// read reads what came after what is here, to the end. A signer that is not in the
// chain as it is known makes it fetch that anew, once.
func (w *Wall) read(ctx context.Context, token string) error {
	chain, err := w.Chain(ctx)
	if err != nil {
		return err
	}
	err = w.walk(ctx, token, chain)
	if protocol.CodeOf(err) != protocol.CodeBadChain {
		return err
	}
	if chain, err = w.Refresh(ctx); err != nil {
		return err
	}
	if err = w.walk(ctx, token, chain); protocol.CodeOf(err) == protocol.CodeBadChain {
		return fmt.Errorf("%w: %w", post.ErrAltered, err)
	}
	return err
}

// walk writes each page as it has been checked, so that a long wall takes the
// memory of one page; the head, which makes them count, comes last, together with
// what they say is gone.
func (w *Wall) walk(ctx context.Context, token string, chain *ident.Chain) error {
	k, err := w.head(ctx, w.DB)
	if err != nil {
		return err
	}
	pin := post.Pin{}
	if k != nil {
		pin = k.Pin()
	}
	if err := w.begin(ctx, pin.Seq); err != nil {
		return err
	}
	walk := post.NewWalk(chain, pin)
	var gone []int64
	var head protocol.Signed
	for !walk.Ended() {
		page, err := w.Relay.Wall(ctx, token, w.Username, walk.After(), post.MaxPageItems)
		if protocol.CodeOf(err) == protocol.CodeNotFound {
			if k != nil {
				return ErrLost
			}
			return nil
		}
		if err != nil {
			return err
		}
		changes, err := walk.Take(page)
		if err != nil {
			return err
		}
		for _, c := range changes {
			gone = append(gone, c.Gone...)
		}
		head = page.Head
		if err := w.stage(ctx, page, changes); err != nil {
			return err
		}
	}
	if walk.Head().Pin() == pin {
		return nil
	}
	return w.finish(ctx, walk.Head(), head, gone)
}

// begin forgets what an earlier walk left that did not come to its end.
func (w *Wall) begin(ctx context.Context, seq int64) error {
	var n int
	if err := w.DB.QueryRow(ctx, `SELECT COUNT(*) FROM wall_changes WHERE seq > $1`, seq).Scan(&n); err != nil || n == 0 {
		return err
	}
	return w.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM wall_changes WHERE seq > $1`, seq); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM wall_named WHERE seq > $1`, seq); err != nil {
			return err
		}
		return dropUnnamed(ctx, tx)
	})
}

func dropUnnamed(ctx context.Context, tx store.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM wall_media WHERE NOT EXISTS (SELECT 1 FROM wall_named n WHERE n.hash = wall_media.hash)`)
	return err
}

// stage writes a page's changes, which do not count yet.
func (w *Wall) stage(ctx context.Context, page post.Page, changes []post.Change) error {
	return w.DB.Write(ctx, func(tx store.Tx) error {
		for _, item := range page.Items {
			if item.Stub == nil {
				continue
			}
			if _, err := tx.Exec(ctx, `INSERT INTO wall_changes (seq, hash) VALUES ($1, $2)`, item.Stub.Seq, item.Stub.Hash[:]); err != nil {
				return err
			}
		}
		for _, c := range changes {
			if _, err := tx.Exec(ctx, `INSERT INTO wall_changes (seq, hash, payload, signer, sig) VALUES ($1, $2, $3, $4, $5)`,
				c.Seq, c.Hash[:], []byte(c.Signed.Payload), c.Signed.By[:], c.Signed.Sig[:]); err != nil {
				return err
			}
			for _, p := range c.Pictures() {
				if _, err := tx.Exec(ctx, `INSERT INTO wall_named (hash, seq) VALUES ($1, $2)`, p.Hash[:], c.Seq); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `INSERT INTO wall_media (hash, size, tries, due) VALUES ($1, $2, 0, 0) ON CONFLICT (hash) DO NOTHING`,
					p.Hash[:], p.Size); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// finish makes the new head count, and forgets what the author has taken back.
func (w *Wall) finish(ctx context.Context, head post.Head, signed protocol.Signed, gone []int64) error {
	return w.DB.Write(ctx, func(tx store.Tx) error {
		for _, seq := range gone {
			if _, err := tx.Exec(ctx, `UPDATE wall_changes SET payload = NULL, signer = NULL, sig = NULL WHERE seq = $1 AND signer IS NOT NULL`, seq); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM wall_named WHERE seq = $1`, seq); err != nil {
				return err
			}
		}
		if len(gone) > 0 {
			if err := dropUnnamed(ctx, tx); err != nil {
				return err
			}
		}
		return saveHead(ctx, tx, head, signed)
	})
}

// perRound is how many photos are asked for before the list is looked at again.
const perRound = 20

// fetch brings the photos home that are due and returns when the next one is.
func (w *Wall) fetch(ctx context.Context, token string) (time.Duration, error) {
	for {
		list, err := w.due(ctx)
		if err != nil {
			return 0, err
		}
		if len(list) == 0 {
			break
		}
		for _, p := range list {
			if err := w.one(ctx, token, p); err != nil {
				return 0, err
			}
		}
	}
	var due int64
	if err := w.DB.QueryRow(ctx, `SELECT COALESCE(MIN(due), 0) FROM wall_media WHERE data IS NULL`).Scan(&due); err != nil {
		return 0, err
	}
	if due == 0 {
		return look, nil
	}
	return min(look, max(time.Second, time.Duration(due-clock.Millis(w.Clock))*time.Millisecond)), nil
}

type photo struct {
	hash  protocol.Hash32
	size  int64
	tries int
}

func (w *Wall) due(ctx context.Context) ([]photo, error) {
	rows, err := w.DB.Query(ctx, `SELECT hash, size, tries FROM wall_media WHERE data IS NULL AND due <= $1
		AND EXISTS (SELECT 1 FROM wall_named n WHERE n.hash = wall_media.hash) ORDER BY due LIMIT CAST($2 AS BIGINT)`, clock.Millis(w.Clock), perRound)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []photo
	for rows.Next() {
		var p photo
		var hash []byte
		if err := rows.Scan(&hash, &p.size, &p.tries); err != nil {
			return nil, err
		}
		p.hash = protocol.Hash32(hash)
		list = append(list, p)
	}
	return list, rows.Err()
}

var errPhoto = errors.New("what the relay has is not the photo that the wall names")

// one fetches a photo and keeps it if it is the one that the wall names; its own
// failure is no error here.
func (w *Wall) one(ctx context.Context, token string, p photo) error {
	data, err := w.Relay.Media(ctx, token, p.hash)
	if err == nil && (sha256.Sum256(data) != p.hash || int64(len(data)) != p.size) {
		err = errPhoto
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		w.Logger.Info("wall: a photo is not here yet", "code", protocol.CodeOf(err), "tries", p.tries+1)
		wait := lastWait
		if p.tries < 10 {
			wait = min(firstWait<<p.tries, lastWait)
		}
		due := clock.Millis(w.Clock) + wait.Milliseconds()
		return w.DB.Write(ctx, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE wall_media SET tries = tries + 1, due = $2 WHERE hash = $1`, p.hash[:], due)
			return err
		})
	}
	return w.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE wall_media SET data = $2 WHERE hash = $1`, p.hash[:], data)
		return err
	})
}
