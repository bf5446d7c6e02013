package intake

import (
	"context"
	"crypto/sha256"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/outbox"
	"github.com/courtyard-social/courtyard/protocol"
)

const (
	maxReturned = 1 << 10 // of what the relay says of a letter that came back
	maxCode     = 40
)

// returned looks at a row by which the own relay says that a letter for another
// courtyard came back (section 14). It becomes an event, by which the devices learn
// of it; of what this home wrote by itself only the answer to somebody who joined
// does. What was only dated ahead is written anew. Whoever else says so is not believed.
func (i *Intake) returned(ctx context.Context, n int64, raw []byte, e *protocol.Envelope, now int64) item {
	it := item{n: n}
	own, err := i.Book.Own(ctx)
	if err != nil {
		it.held = hold(raw, e.From.ID, e.ID, reasonOf(err), now)
		return it
	}
	var back struct {
		ID   protocol.ID  `json:"id"`
		To   protocol.UID `json:"to"`
		Code string       `json:"code"`
	}
	if e.From.ID != protocol.UID(own.Relay().Key) || e.To.ID != i.Self || len(e.Data) > maxReturned ||
		protocol.DecodeClosed(e.Data, &back, 1) != nil || back.ID.IsZero() || !word(back.Code) {
		i.Counted("forged-return", 1)
		it.held = hold(raw, e.From.ID, e.ID, invalid, now)
		return it
	}
	posted, err := outbox.FindPosted(ctx, i.DB, back.To, back.ID)
	if err != nil {
		it.held = hold(raw, e.From.ID, e.ID, noChain, now) // the disk: tried again
		return it
	}
	kind := posted.Kind
	if back.Code == protocol.CodeClockAhead {
		i.Ahead()
		if kind != "" {
			i.Counted("returned-"+kind, 1)
			it.rewrite = &rewrite{Posted: posted, peer: back.To}
			return it
		}
		i.Counted("returned-ahead", 1)
		it.owes = append(it.owes, owed{outbox.Again, back.To, back.ID})
	}
	switch kind {
	case outbox.Receipt, outbox.Stale: // they do not want to hear it
		i.Counted("returned-"+kind, 1)
		return it
	}
	it.event = &chatlog.Event{
		Peer: back.To, Author: e.From.ID, Dev: protocol.DeviceID(e.From.ID), Type: chatlog.TypeReturned, Kind: chatlog.KindReturned,
		Mid: e.ID, Clock: e.TS, TS: e.TS, Received: now, Envelope: back.ID, Proof: []byte{}, Meta: []byte{},
		Hash: sha256.Sum256(e.Data), Back: &chatlog.Back{To: back.To, Code: back.Code, Kind: kind},
	}
	return it
}

// word reports whether text has the form of a code (section 13).
func word(text string) bool {
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= maxCode
}
