package queue

import (
	"bytes"
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

const (
	// requestEvery is how often somebody who is no contact may ask one person, ms.
	requestEvery = 24 * 60 * 60 * 1000
	// requestType is the one type that people who are no contacts may put.
	requestType = protocol.TypeFriend
	// strangersByRelay is how many of the waiting requests one other relay may have
	// brought: it can make as many people as it likes.
	strangersByRelay = 10
)

// place is where a put goes for one owner.
type place struct {
	owner    protocol.UID
	held     bool // it is there already
	stranger bool
	away     *Away // it waits here for another relay; room is the sender's then
	room     space.Room
}

// admit decides about a put and finds room for it, without changing anything.
// Codes: not-contact, request-waiting, id-reused, too-large, space-full, sender-full, rate-limited.
func (w *Writer) admit(ctx context.Context, ledger Ledger, tally *space.Tally, p *Put, owner protocol.UID, now int64) (place, error) {
	if p.Away != nil && p.Away.UID == owner {
		return w.admitAway(ctx, ledger, tally, p)
	}
	if owner == p.Sender && p.Via.Here() {
		return find(ctx, ledger, tally, p, owner)
	}
	s, err := ledger.Standing(ctx, owner, p.Sender, p.Via)
	if err != nil {
		return place{}, err
	}
	if s.Known && s.State == Allow && !s.Shunned {
		return find(ctx, ledger, tally, p, owner)
	}
	if !s.Known || s.Shunned || s.State == Block || p.Type != requestType || !s.Findable {
		return place{}, &protocol.Error{Op: "queue.admit", Code: protocol.CodeNotContact}
	}
	if held, err := held(ctx, ledger, p, owner); err != nil || held {
		return place{owner: owner, held: held}, err
	}
	if p.Data > w.limits.StrangerData {
		return place{}, &protocol.Error{Op: "queue.admit", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": w.limits.StrangerData}}
	}
	if wait := s.Asked + requestEvery - now; s.Asked > 0 && wait > 0 {
		return place{}, &protocol.Error{Op: "queue.admit", Code: protocol.CodeRequestWaiting, Params: map[string]any{"wait": wait}}
	}
	if !p.Via.Here() && s.ByRelay >= strangersByRelay {
		return place{}, &protocol.Error{Op: "queue.admit", Code: protocol.CodeSpaceFull, Params: map[string]any{"of": owner.String(), "limit": strangersByRelay}}
	}
	return place{owner: owner, stranger: true}, tally.StrangerRoom(ctx, owner, int64(len(p.Raw)), s.Waiting)
}

// admitAway decides about a letter to somebody elsewhere. What that person's
// relay thinks of it is not known yet; people of this one may not use it to
// write to whom they have not allowed to answer.
func (w *Writer) admitAway(ctx context.Context, ledger Ledger, tally *space.Tally, p *Put) (place, error) {
	to := place{owner: p.Away.UID, away: p.Away}
	s, err := ledger.Standing(ctx, p.Sender, p.Away.UID, Via{})
	if err != nil {
		return place{}, err
	}
	waits, err := ledger.Waits(ctx, p.Sender, p.Away.UID, p.ID)
	if err != nil {
		return place{}, err
	}
	switch {
	case waits != nil && !bytes.Equal(waits, p.Raw):
		return place{}, &protocol.Error{Op: "queue.admitAway", Code: protocol.CodeIDReused}
	case waits != nil:
		to.held = true
		return to, nil
	case s.State == Allow:
	case p.Type != requestType:
		return place{}, &protocol.Error{Op: "queue.admitAway", Code: protocol.CodeNotContact}
	default:
		if err := w.strangers.Allow(p.Sender.String()); err != nil {
			return place{}, err
		}
	}
	to.room, err = tally.Room(ctx, p.Sender, p.Sender, int64(len(p.Raw)))
	return to, err
}

func find(ctx context.Context, ledger Ledger, tally *space.Tally, p *Put, owner protocol.UID) (place, error) {
	held, err := held(ctx, ledger, p, owner)
	if err != nil || held {
		return place{owner: owner, held: held}, err
	}
	room, err := tally.Room(ctx, owner, p.Sender, int64(len(p.Raw)))
	return place{owner: owner, room: room}, err
}

// held reports whether owner has these very bytes already. Code: id-reused if
// there are others under the same id.
func held(ctx context.Context, ledger Ledger, p *Put, owner protocol.UID) (bool, error) {
	raw, err := ledger.Held(ctx, owner, p.Sender, p.ID)
	if err != nil || raw == nil {
		return false, err
	}
	if !bytes.Equal(raw, p.Raw) {
		return false, &protocol.Error{Op: "queue.held", Code: protocol.CodeIDReused}
	}
	return true, nil
}
