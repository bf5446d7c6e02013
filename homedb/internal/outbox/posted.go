package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// mostPosted bounds the letters of this home's own that are remembered. One that
// comes back after ten thousand others is taken for a device's, which does no harm.
const mostPosted = 10_000

// Posted is a letter that this home itself has sent to another courtyard, and what
// is needed to write it again.
type Posted struct {
	Kind  string         // Receipt, Stale, Accept
	Items []message.Item // of a receipt
	Ref   protocol.ID    // of an errand
}

// FindPosted is the letter that this home itself sent to peer in that envelope;
// Kind is "" if it is not one of those.
func FindPosted(ctx context.Context, db *store.DB, peer protocol.UID, envelope protocol.ID) (Posted, error) {
	var p Posted
	var about []byte
	err := db.QueryRow(ctx, `SELECT kind, about FROM posted WHERE envelope = $1 AND peer = $2`, envelope[:], peer[:]).Scan(&p.Kind, &about)
	if errors.Is(err, sql.ErrNoRows) {
		return Posted{}, nil
	}
	if err != nil {
		return Posted{}, fmt.Errorf("outbox.FindPosted: %w", err)
	}
	p.recall(about)
	return p, nil
}

const itemSize = len(protocol.ID{}) + len(protocol.Hash32{})

// about is what the table keeps besides the kind.
func (p Posted) about() []byte {
	if p.Kind != Receipt {
		return p.Ref[:]
	}
	out := make([]byte, 0, itemSize*len(p.Items))
	for _, i := range p.Items {
		out = append(append(out, i.MID[:]...), i.Hash[:]...)
	}
	return out
}

// recall is the way back; of a letter of an older version nothing is known.
func (p *Posted) recall(about []byte) {
	if p.Kind != Receipt {
		copy(p.Ref[:], about)
		return
	}
	for ; len(about) >= itemSize; about = about[itemSize:] {
		var i message.Item
		copy(i.MID[:], about)
		copy(i.Hash[:], about[len(i.MID):])
		p.Items = append(p.Items, i)
	}
}

// note remembers a letter that goes to another courtyard, before it goes.
func (o *Outbox) note(ctx context.Context, p Posted, s sealed) error {
	to, id := s.envelope.To.ID, s.envelope.ID
	return o.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO posted (id, envelope, peer, kind, about)
			SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4 FROM posted`, id[:], to[:], p.Kind, p.about()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM posted WHERE id <= (SELECT MAX(id) FROM posted) - CAST($1 AS BIGINT)`, mostPosted)
		return err
	})
}
