package wall

import (
	"context"
	"fmt"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

// Post writes a change and its head, or without a change a renewed head, once they
// are on disk. The same change again is fine. Codes: bad-request, too-large,
// bad-chain, clock-ahead, wall-conflict (params seq: of the last change, ts: of the
// head), not-found (params hash: a photo that is not there), rate-limited,
// space-full, relay-full.
func (w *Walls) Post(ctx context.Context, uid protocol.UID, change *protocol.Signed, head protocol.Signed) error {
	e, err := w.verify(ctx, uid, change, head)
	if err != nil {
		return err
	}
	// A deletion is taken on a full disk too: it gives room.
	if e.change == nil || e.change.Op != post.OpDelete {
		if err := w.c.Room(); err != nil {
			return err
		}
	}
	grown := false
	var changes []space.Change
	done := w.cache.write()
	defer done()
	err = w.c.Store.Walls(ctx, func(ledger Ledger) error {
		tally := space.NewTally(w.c.Limits, ledger)
		if grown, err = w.write(ctx, ledger, tally, e); err != nil {
			return err
		}
		changes, err = tally.Flush(ctx)
		return err
	})
	if err != nil {
		return err
	}
	w.c.Told.SpacesChanged(changes)
	if grown {
		w.c.Told.WallGrew(uid, e.head.Seq)
	}
	return nil
}

// writing is what is to be written, verified as far as it can be by itself.
type writing struct {
	uid    protocol.UID
	change *post.Change // nil: a renewed head
	head   Held
}

func (w *Walls) verify(ctx context.Context, uid protocol.UID, change *protocol.Signed, head protocol.Signed) (writing, error) {
	const op = "wall.Post"
	e := writing{uid: uid}
	chain, err := w.c.Chains.Load(ctx, uid)
	if err != nil {
		return e, err
	}
	now := w.c.Now().UnixMilli()
	h, err := post.VerifyHead(head, chain)
	if err == nil {
		err = present(op, chain, head.By, h.TS, now)
	}
	if err != nil {
		return e, err
	}
	e.head = Held{h, head}
	if change == nil {
		return e, nil
	}
	c, err := post.Verify(*change, chain)
	if err == nil {
		err = present(op, chain, change.By, c.TS, now)
	}
	if err != nil {
		return e, err
	}
	if h.Seq != c.Seq || h.Hash != c.Hash || h.TS < c.TS {
		return e, refuse(op, "the head is of another change, or older")
	}
	e.change = &c
	return e, nil
}

// present asks that a signer is active by the relay's own clock too: who was so
// when the object claims to be written need not be so now.
func present(op string, chain *ident.Chain, by protocol.Key32, ts, now int64) error {
	if ts > now+ahead {
		return &protocol.Error{Op: op, Code: protocol.CodeClockAhead, Params: map[string]any{"time": now}}
	}
	if device, ok := chain.ActiveKey(by, now); !ok || device.Role == ident.RoleSession {
		return protocol.Refuse(op, protocol.CodeBadChain, "signer is no active device")
	}
	return nil
}

func (w *Walls) write(ctx context.Context, ledger Ledger, tally *space.Tally, e writing) (grown bool, err error) {
	const op = "wall.Post"
	if _, err := tally.Home(ctx, e.uid); err != nil { // locks the person
		return false, err
	}
	last, _, err := ledger.Head(ctx, e.uid)
	if err != nil {
		return false, err
	}
	conflict := &protocol.Error{Op: op, Code: protocol.CodeWallConflict, Params: map[string]any{"seq": last.Seq, "ts": last.TS}}
	c := e.change
	if c == nil {
		if e.head.Seq != last.Seq || e.head.Hash != last.Hash {
			return false, conflict
		}
		if e.head.TS < last.TS {
			return false, refuse(op, "time goes back")
		}
		return false, ledger.SaveHead(ctx, e.uid, e.head)
	}
	if c.Seq <= last.Seq { // the answer was lost, say
		if hash, _, found, err := ledger.At(ctx, e.uid, c.Seq); err != nil || found && hash == c.Hash {
			return false, err
		}
	}
	switch {
	case c.Seq != last.Seq+1 || c.Prev != nil && *c.Prev != last.Hash:
		return false, conflict
	case c.TS < last.TS:
		return false, refuse(op, "time goes back")
	}
	if err := w.pace(ctx, ledger, c); err != nil {
		return false, err
	}
	if err := known(ctx, ledger, c); err != nil {
		return false, err
	}
	return true, w.extend(ctx, ledger, tally, e)
}

// pace refuses more than perDay changes in a day. A deletion is always taken.
func (w *Walls) pace(ctx context.Context, ledger Ledger, c *post.Change) error {
	if c.Op == post.OpDelete {
		return nil
	}
	_, received, found, err := ledger.At(ctx, c.UID, c.Seq-perDay)
	if err != nil || !found {
		return err
	}
	if wait := received + day.Milliseconds() - w.c.Now().UnixMilli(); wait > 0 {
		return &protocol.Error{Op: "wall.Post", Code: protocol.CodeRateLimited, Params: map[string]any{"wait": wait}}
	}
	return nil
}

// known checks that the change continues its post as the wall stands, and that its
// photos are here.
func known(ctx context.Context, ledger Ledger, c *post.Change) error {
	const op = "wall.Post"
	steps, err := ledger.Steps(ctx, c.UID, c.ID)
	if err != nil {
		return err
	}
	switch {
	case c.Op == post.OpPost && len(steps) > 0:
		return refuse(op, "a post of this id was there before")
	case len(steps) > 0 && steps[len(steps)-1].Op == post.OpDelete:
		return refuse(op, "the post was deleted")
	case c.Op == post.OpEdit && len(steps) > 0 && c.Posted != steps[0].TS:
		return refuse(op, "posted is not the time of the post")
	case len(c.Gone) != len(steps):
		return refuse(op, "gone is not all earlier changes")
	}
	for i, step := range steps {
		if c.Gone[i] != step.Seq {
			return refuse(op, "gone is not all earlier changes")
		}
	}
	for _, p := range c.Pictures() {
		have, found, err := ledger.Media(ctx, c.UID, p.Hash)
		if err != nil {
			return err
		}
		if !found {
			return &protocol.Error{Op: op, Code: protocol.CodeNotFound, Params: map[string]any{"hash": p.Hash.String()}}
		}
		if have.Size != p.Size || have.Width != p.Width || have.Height != p.Height {
			return refuse(op, fmt.Sprintf("a photo has %d bytes, %d x %d", have.Size, have.Width, have.Height))
		}
	}
	return nil
}

// extend writes the change, forgets what it says is gone, photos that nothing
// names any more included, and counts the space of all that.
func (w *Walls) extend(ctx context.Context, ledger Ledger, tally *space.Tally, e writing) error {
	c, size := e.change, int64(len(e.change.Signed.Payload))
	steps, err := ledger.Steps(ctx, c.UID, c.ID)
	if err != nil {
		return err
	}
	if err := ledger.Write(ctx, *c, w.c.Now().UnixMilli()); err != nil {
		return err
	}
	for _, step := range steps {
		if step.Size == 0 {
			continue
		}
		photos, err := ledger.NamedBy(ctx, c.UID, step.Seq)
		if err != nil {
			return err
		}
		if err := ledger.Strip(ctx, c.UID, step.Seq); err != nil {
			return err
		}
		freed := step.Size
		for _, hash := range photos {
			n, err := ledger.DropUnnamed(ctx, c.UID, hash)
			if err != nil {
				return err
			}
			freed += n
		}
		if err := tally.Release(ctx, c.UID, c.UID, freed); err != nil {
			return err
		}
	}
	if c.Op != post.OpDelete {
		room, err := tally.Room(ctx, c.UID, c.UID, size)
		if err != nil {
			return err
		}
		if err := tally.Make(ctx, room); err != nil {
			return err
		}
	}
	if err := tally.Charge(ctx, c.UID, c.UID, size); err != nil {
		return err
	}
	return ledger.SaveHead(ctx, c.UID, e.head)
}
