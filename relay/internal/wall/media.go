package wall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"image/jpeg"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

// PutMedia keeps a photo, once it has been looked through and decoded. The same
// again is fine. Codes: bad-request, too-large, rate-limited and unavailable (many
// are being decoded), space-full, relay-full.
func (w *Walls) PutMedia(ctx context.Context, uid protocol.UID, hash protocol.Hash32, data []byte) error {
	const op = "wall.PutMedia"
	if sha256.Sum256(data) != hash {
		return refuse(op, "another hash")
	}
	width, height, err := post.CheckJPEG(data)
	if err != nil {
		return err
	}
	if err := w.decode(ctx, uid, data); err != nil {
		return err
	}
	if err := w.c.Room(); err != nil {
		return err
	}
	photo := Photo{hash, int64(len(data)), width, height}
	var changes []space.Change
	err = w.c.Store.Walls(ctx, func(ledger Ledger) error {
		tally := space.NewTally(w.c.Limits, ledger)
		if _, err := tally.Home(ctx, uid); err != nil { // locks the person
			return err
		}
		if _, found, err := ledger.Media(ctx, uid, hash); err != nil || found {
			return err
		}
		room, err := tally.Room(ctx, uid, uid, photo.Size)
		if err != nil {
			return err
		}
		if err := tally.Make(ctx, room); err != nil {
			return err
		}
		if err := tally.Charge(ctx, uid, uid, photo.Size); err != nil {
			return err
		}
		if err := ledger.SaveMedia(ctx, uid, photo, data, w.c.Now().UnixMilli()); err != nil {
			return err
		}
		changes, err = tally.Flush(ctx)
		return err
	})
	if err != nil {
		return err
	}
	w.c.Told.SpacesChanged(changes)
	return nil
}

// decode shows that a photo can be decoded. The memory that this takes is bounded
// by its sides, which have been checked, and by the slots.
func (w *Walls) decode(ctx context.Context, uid protocol.UID, data []byte) error {
	give, err := w.decodes.Take(ctx, uid.String())
	if err != nil {
		return err
	}
	defer give()
	if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
		return &protocol.Error{Op: "wall.decode", Code: protocol.CodeBadRequest, Cause: err}
	}
	return nil
}

// Sweep drops photos that no change has named for a day; called now and then.
func (w *Walls) Sweep(ctx context.Context) error {
	stale, err := w.c.Store.Unnamed(ctx, w.c.Now().Add(-unnamed).UnixMilli(), 64)
	if err != nil {
		return err
	}
	for _, u := range stale {
		var changes []space.Change
		err := w.c.Store.Walls(ctx, func(ledger Ledger) error {
			tally := space.NewTally(w.c.Limits, ledger)
			if _, err := tally.Home(ctx, u.Owner); err != nil {
				return err
			}
			size, err := ledger.DropUnnamed(ctx, u.Owner, u.Hash)
			if err != nil {
				return err
			}
			if err := tally.Release(ctx, u.Owner, u.Owner, size); err != nil {
				return err
			}
			changes, err = tally.Flush(ctx)
			return err
		})
		if err != nil {
			return err
		}
		w.c.Told.SpacesChanged(changes)
	}
	return nil
}
