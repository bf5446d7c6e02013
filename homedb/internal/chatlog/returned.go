package chatlog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

// comeBack gives the event of a letter that came back its body, and ties it to the
// own message that travelled in it. It is in force, and seen beside the message,
// while none of the message's letters is still under way.
func (l *Log) comeBack(ctx context.Context, tx store.Tx, r *row) error {
	body := struct {
		ID   protocol.ID  `json:"id"`
		To   protocol.UID `json:"to"`
		Code string       `json:"code"`
		Mid  *protocol.ID `json:"mid,omitempty"`
		Kind string       `json:"kind,omitempty"`
	}{ID: r.Envelope, To: r.Back.To, Code: r.Back.Code, Kind: r.Back.Kind}
	var raw []byte
	err := tx.QueryRow(ctx, `SELECT e.mid, e.kind FROM events e WHERE e.author = 1 AND e.peer = $2 AND e.n IN (
		SELECT a.n FROM events a WHERE a.author = 1 AND a.envelope = $1
		UNION SELECT b.n FROM versions v JOIN events b ON b.mid = v.mid AND b.author = 1 WHERE v.envelope = $1)`,
		r.Envelope[:], r.peer).Scan(&raw, &body.Kind)
	switch {
	case errors.Is(err, sql.ErrNoRows): // a letter that only the device knows, such as a request
	case err != nil:
		return err
	case len(raw) != len(protocol.ID{}):
		return errors.New("chatlog: a mid is damaged")
	default:
		mid := protocol.ID(raw)
		body.Mid = &mid
	}
	if r.Body, err = protocol.Marshal(body); err != nil || body.Mid == nil {
		return err
	}
	r.target, r.targetAuthor = raw, sql.NullInt64{Int64: selfNumber, Valid: true}
	known, err := exists(tx.QueryRow(ctx, `SELECT n FROM events WHERE mid = $1 AND author = $2`, r.Mid[:], r.author))
	if err != nil || known {
		return err
	}
	others, err := l.others(ctx, tx, raw, r.Envelope)
	if err != nil || others > 0 {
		return err
	}
	r.shown = 2
	return l.unseat(ctx, tx, raw)
}

// others counts a message's letters, beside one, that have not come back.
func (l *Log) others(ctx context.Context, tx store.Tx, mid []byte, beside protocol.ID) (n int, err error) {
	err = tx.QueryRow(ctx, `SELECT COUNT(*) FROM (
			SELECT e.envelope FROM events e WHERE e.mid = $1 AND e.author = 1
			UNION SELECT v.envelope FROM versions v WHERE v.mid = $1) x
		WHERE x.envelope <> $2 AND NOT EXISTS (
			SELECT 1 FROM events b WHERE b.target = $1 AND b.type = 'returned' AND b.envelope = x.envelope)`, mid, beside[:]).Scan(&n)
	return n, err
}

// CameBack reports whether that envelope came back, and no other is known here to
// carry what it said.
func (l *Log) CameBack(ctx context.Context, peer protocol.UID, envelope protocol.ID) (bool, error) {
	e, found, err := l.ByEnvelope(ctx, peer, envelope)
	if err != nil || !found {
		return false, err
	}
	return exists(l.db.QueryRow(ctx, `SELECT n FROM events WHERE target = $1 AND shown = 2 AND type = 'returned' AND envelope = $2`, e.Mid[:], envelope[:]))
}

// underWay takes the news that a message came back out of force: it has been sent
// again. The letter that came back itself, delivered twice, is no news.
func (l *Log) underWay(ctx context.Context, tx store.Tx, mid, envelope protocol.ID) error {
	back, err := exists(tx.QueryRow(ctx, `SELECT n FROM events WHERE target = $1 AND type = 'returned' AND envelope = $2`, mid[:], envelope[:]))
	if err != nil || back {
		return err
	}
	return l.unseat(ctx, tx, mid[:])
}

func (l *Log) unseat(ctx context.Context, tx store.Tx, mid []byte) error {
	_, err := tx.Exec(ctx, `UPDATE events SET shown = 0 WHERE target = $1 AND shown = 2 AND type = 'returned'`, mid)
	return err
}
