package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

// mostPosted bounds the letters of this home's own that are remembered. One that
// comes back after ten thousand others is taken for a device's, which does no harm.
const mostPosted = 10_000

// Posted is the kind of the letter that this home itself sent to peer, at another
// courtyard, in that envelope; "" if it is not one of those.
func Posted(ctx context.Context, db *store.DB, peer protocol.UID, envelope protocol.ID) (kind string, err error) {
	err = db.QueryRow(ctx, `SELECT kind FROM posted WHERE envelope = $1 AND peer = $2`, envelope[:], peer[:]).Scan(&kind)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("outbox.Posted: %w", err)
	}
	return kind, nil
}

// note remembers a letter that goes to another courtyard, before it goes.
func (o *Outbox) note(ctx context.Context, kind string, s sealed) error {
	to, id := s.envelope.To.ID, s.envelope.ID
	return o.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO posted (id, envelope, peer, kind)
			SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3 FROM posted`, id[:], to[:], kind); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM posted WHERE id <= (SELECT MAX(id) FROM posted) - CAST($1 AS BIGINT)`, mostPosted)
		return err
	})
}
