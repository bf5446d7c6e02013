package space

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
)

// Room is a place found for something that is about to be kept: what has to go
// for it. Nothing has gone yet.
type Room struct {
	owner protocol.UID
	items []Item
}

const (
	// evictAtLeast is the part of the limit that is freed at once, so that a full
	// space does not search for the oldest row with every letter.
	evictAtLeast = 128
	// evictStep bounds one look at the oldest items, evictMost the whole search:
	// what would need more is refused.
	evictStep = 256
	evictMost = 16 << 10
)

// Room looks for size bytes of room for sender in owner's space. Codes:
// sender-full, space-full (params: of, the owner; limit).
func (t *Tally) Room(ctx context.Context, owner, sender protocol.UID, size int64) (Room, error) {
	a, err := t.account(ctx, owner)
	if err != nil {
		return Room{}, err
	}
	room := Room{owner: owner}
	most := t.limits.Person / t.limits.ShareDivisor
	shareGone := int64(0)
	if owner != sender {
		s, err := t.share(ctx, owner, sender)
		if err != nil {
			return Room{}, err
		}
		if over := s.used + size - most; over > 0 {
			if size > most {
				return Room{}, full(protocol.CodeSenderFull, owner, most)
			}
			if shareGone, err = t.find(ctx, &room, a, sender, over, most/evictAtLeast); err != nil {
				return Room{}, err
			}
			if shareGone < over {
				return Room{}, full(protocol.CodeSenderFull, owner, most)
			}
		}
	}
	if over := a.Used - shareGone + size - t.limits.Person; over > 0 {
		if size > t.limits.Person {
			return Room{}, full(protocol.CodeSpaceFull, owner, t.limits.Person)
		}
		gone, err := t.find(ctx, &room, a, protocol.UID{}, over, t.limits.Person/evictAtLeast)
		if err != nil {
			return Room{}, err
		}
		if gone < over {
			return Room{}, full(protocol.CodeSpaceFull, owner, t.limits.Person)
		}
	}
	return room, nil
}

// StrangerRoom is Room for a request from somebody who is no contact: it may go
// a little above the limit, so that a full space still lets people ask.
func (t *Tally) StrangerRoom(ctx context.Context, owner protocol.UID, size int64, waiting int) error {
	a, err := t.account(ctx, owner)
	if err != nil {
		return err
	}
	if waiting >= t.limits.Strangers || a.Used+size > t.limits.Person+t.limits.StrangersOver {
		return full(protocol.CodeSpaceFull, owner, int64(t.limits.Strangers))
	}
	return nil
}

// find adds items to room that free at least need bytes, a little more if there
// is more, and returns how much they free.
func (t *Tally) find(ctx context.Context, room *Room, a *account, sender protocol.UID, need, more int64) (int64, error) {
	if a.Home {
		return 0, nil
	}
	picked := make(map[any]bool, len(room.items))
	for _, item := range room.items {
		picked[item.key()] = true
	}
	gone := int64(0)
	for limit := evictStep; ; limit *= 4 {
		items, err := t.ledger.Oldest(ctx, a.Owner, sender, limit)
		if err != nil {
			return 0, err
		}
		for _, item := range items {
			if picked[item.key()] {
				continue
			}
			if gone >= max(need, more) {
				return gone, nil
			}
			picked[item.key()] = true
			room.items = append(room.items, item)
			gone += item.Size
		}
		if gone >= need || len(items) < limit || limit >= evictMost {
			return gone, nil
		}
	}
}

func (i Item) key() any {
	if i.N > 0 {
		return i.N
	}
	return i.File
}

// Make lets go of what stands in the way of room. Codes: as the store's.
func (t *Tally) Make(ctx context.Context, room Room) error {
	for _, item := range room.items {
		if err := t.ledger.Drop(ctx, room.owner, item); err != nil {
			return err
		}
		if err := t.Release(ctx, room.owner, item.Sender, item.Size); err != nil {
			return err
		}
	}
	return nil
}

func full(code string, owner protocol.UID, limit int64) error {
	return &protocol.Error{Op: "space.Room", Code: code, Params: map[string]any{"of": owner.String(), "limit": limit}}
}
