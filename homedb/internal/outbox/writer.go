// Package outbox is what a home writes on its own: receipts for letters that it
// has committed, and single letters it owes (a stale notice, a message sealed
// again, the answer to somebody who joined by an invite). What is owed is in the
// database, put there by the transaction that made it due, so a crash forgets
// nothing and at worst says it twice.
//
// It must never write in its person's name anything that they did not write or
// decide, and never answer a receipt with a receipt.
package outbox

import (
	"context"
	"fmt"
	"io"

	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// Writer seals the home's letters.
type Writer struct {
	Book   *friends.Book
	Keys   *ident.DeviceKeys
	Random io.Reader
	// Username goes into the envelope with the place that the person's chain names:
	// hints of section 7, by which somebody elsewhere finds the way back.
	Username string
	// Date is what letters are dated with, ms; unsure: the clocks that there are do
	// not agree on it.
	Date func() (at int64, unsure bool)
}

// draft is a letter before it is sealed.
type draft struct {
	peer       protocol.UID
	kind       string
	typ        string
	mid        protocol.ID
	clock      int64
	seq        int64
	body       []byte
	own        bool // with a slot for one's own devices, and put to both
	freshlyUEK bool
	shown      bool // sealed to a key that their courtyard shows now, or not at all
}

// sealed is a letter on its way.
type sealed struct {
	envelope *protocol.Envelope
	to       []protocol.UID
	hash     protocol.Hash32
	uek      int64
	marks    link.Marks
	// elsewhere: it goes to another courtyard.
	elsewhere bool
}

func (w *Writer) seal(ctx context.Context, d draft) (sealed, error) {
	var rec ident.UEKPin
	var err error
	if d.shown {
		rec, err = w.Book.Shown(ctx, d.peer)
	} else {
		rec, err = w.Book.UEK(ctx, d.peer, d.freshlyUEK)
	}
	if err != nil {
		return sealed{}, err
	}
	chain, err := w.Book.Own(ctx)
	if err != nil {
		return sealed{}, err
	}
	self := chain.UID()
	ueks, to := []protocol.Key32{rec.Key}, []protocol.UID{d.peer}
	if d.own && d.peer != self {
		mine, err := w.Book.UEK(ctx, self, false)
		if err != nil {
			return sealed{}, err
		}
		ueks, to = append(ueks, mine.Key), append(to, self)
	}
	id, err := protocol.NewID(w.Random)
	if err != nil {
		return sealed{}, err
	}
	if d.mid.IsZero() {
		if d.mid, err = protocol.NewID(w.Random); err != nil {
			return sealed{}, err
		}
	}
	now, unsure := w.Date()
	if d.clock == 0 {
		d.clock = now
	}
	meta, err := message.Meta{Kind: d.kind, MID: d.mid, Dev: w.Keys.ID(), Seq: max(d.seq, 1), Clock: d.clock,
		Head: chain.Head(), Chain: chain.Seq(), UEK: rec.Counter}.Marshal()
	if err != nil {
		return sealed{}, fmt.Errorf("outbox: %w", err)
	}
	relay, elsewhere, err := w.Book.Relay(ctx, d.peer)
	if err != nil {
		return sealed{}, err
	}
	e := &protocol.Envelope{V: 1, ID: id, TS: now, Type: d.typ,
		From: protocol.Address{IP: chain.Relay().Host, Port: chain.Relay().Port, Username: w.Username, ID: self},
		To:   protocol.Address{IP: relay.Host, Port: relay.Port, ID: d.peer}}
	if e.Data, err = letter.Seal(w.Random, e, w.Keys, ueks, meta, d.body); err != nil {
		return sealed{}, fmt.Errorf("outbox: %w", err)
	}
	return sealed{envelope: e, to: to, hash: letter.Hash(e.H(), e.Data), uek: rec.Counter,
		marks: link.Marks{Quiet: quiet(d.typ, d.kind), Unsure: unsure && elsewhere}, elsewhere: elsewhere}, nil
}

// quiet reports whether a letter is no message that anybody has to be woken for
// (section 16). Receipts never wake.
func quiet(typ, kind string) bool {
	switch kind {
	case message.KindEdit, message.KindDelete, message.KindReact, message.KindRead, message.KindProfile:
		return typ == protocol.TypeChat
	case message.KindDecline, message.KindRemove:
		return typ == protocol.TypeFriend
	}
	return false
}
