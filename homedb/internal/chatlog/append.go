package chatlog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

// maxTicks bounds, for each friend, the receipts kept for messages that are not
// here yet. Past it the oldest go: the friend's home answers again when the
// message is sent again.
const maxTicks = 10_000

// Append adds events within tx, in their order. added[i] is false when (author,
// mid) was there already; then the first version stays, and the hash of another
// version of one's own message is noted, so that receipts for it count.
func (l *Log) Append(ctx context.Context, tx store.Tx, events []*Event) (added []bool, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	var n int64 // places are reserved; those of duplicates stay empty
	err = tx.QueryRow(ctx, `UPDATE log SET n = n + $1 WHERE one = 1 RETURNING n`, len(events)).Scan(&n)
	if err != nil {
		return nil, fmt.Errorf("chatlog.Append: %w", err)
	}
	n -= int64(len(events))
	added = make([]bool, len(events))
	messages := 0
	for i, e := range events {
		n++
		e.N = n
		if added[i], err = l.add(ctx, tx, e); err != nil {
			return nil, fmt.Errorf("chatlog.Append: %w", err)
		}
		if added[i] && e.message() {
			messages++
		}
	}
	if messages > 0 {
		_, err = tx.Exec(ctx, `UPDATE log SET messages = messages + $1 WHERE one = 1`, messages)
	}
	return added, err
}

// row is an event with its names as numbers.
type row struct {
	*Event
	peer, author, dev int64
	shown             int
	target            []byte
	targetAuthor      sql.NullInt64
}

func (l *Log) add(ctx context.Context, tx store.Tx, e *Event) (bool, error) {
	r := row{Event: e}
	var err error
	if r.peer, err = l.names.numbered(ctx, tx, e.Peer); err != nil {
		return false, err
	}
	if r.author, err = l.names.numbered(ctx, tx, e.Author); err != nil {
		return false, err
	}
	if r.dev, err = l.names.numbered(ctx, tx, e.Dev); err != nil {
		return false, err
	}
	switch {
	case e.message():
		r.shown = 1
		err = l.settle(ctx, tx, &r)
	case e.Back != nil:
		err = l.comeBack(ctx, tx, &r)
	case e.Touches != nil:
		err = l.touch(ctx, tx, &r)
	}
	if err != nil {
		return false, err
	}
	rows, err := tx.Exec(ctx, `INSERT INTO events (n, peer, author, dev, mid, type, kind, clock, ts, received, envelope,
			proof, meta, body, hash, target, target_author, shown, home)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (mid, author) DO NOTHING`,
		e.N, r.peer, r.author, r.dev, e.Mid[:], e.Type, e.Kind, e.Clock, e.TS, e.Received, e.Envelope[:],
		e.Proof, e.Meta, e.Body, e.Hash[:], r.target, r.targetAuthor, r.shown, e.Home)
	if err != nil {
		return false, err
	}
	if rows == 0 {
		if e.Author == l.self {
			err = l.AddVersion(ctx, tx, e.Mid, Version{Hash: e.Hash, Envelope: e.Envelope})
		}
		return false, err
	}
	return true, l.derive(ctx, tx, &r)
}

// settle looks whether the message was deleted, or ticked, before it came.
func (l *Log) settle(ctx context.Context, tx store.Tx, r *row) error {
	deleted, err := exists(tx.QueryRow(ctx, `SELECT n FROM events
		WHERE target = $1 AND shown = 2 AND kind = 'delete' AND author = CAST($2 AS BIGINT)`, r.Mid[:], r.author))
	if err != nil {
		return err
	}
	if deleted {
		r.Body = nil
	}
	if r.Author != l.self {
		return nil
	}
	err = tx.QueryRow(ctx, `SELECT received FROM ticks WHERE peer = $1 AND mid = $2 AND hash = $3`, r.peer, r.Mid[:], r.Hash[:]).Scan(&r.Home)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// touch decides whether an edit, a deletion or a reaction is the one in force:
// the newest of its kind from its author for its target (section 8).
func (l *Log) touch(ctx context.Context, tx store.Tx, r *row) error {
	author, err := l.names.numbered(ctx, tx, r.Touches.Author)
	if err != nil {
		return err
	}
	r.target, r.targetAuthor = r.Touches.Mid[:], sql.NullInt64{Int64: author, Valid: true}
	r.shown = 2
	known, err := exists(tx.QueryRow(ctx, `SELECT n FROM events WHERE mid = $1 AND author = $2`, r.Mid[:], r.author))
	if err != nil || known { // a second copy must not unseat the first
		return err
	}
	var n, clock int64
	var mid []byte
	err = tx.QueryRow(ctx, `SELECT n, clock, mid FROM events
		WHERE target = $1 AND shown = 2 AND kind = $2 AND author = CAST($3 AS BIGINT) AND target_author = $4`,
		r.target, r.Kind, r.author, author).Scan(&n, &clock, &mid)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case clock > r.Clock || clock == r.Clock && bytes.Compare(mid, r.Mid[:]) > 0:
		r.shown = 0
	default:
		if _, err := tx.Exec(ctx, `UPDATE events SET shown = 0 WHERE n = $1`, n); err != nil {
			return err
		}
	}
	if r.Kind == KindEdit {
		deleted, err := exists(tx.QueryRow(ctx, `SELECT n FROM events
			WHERE target = $1 AND shown = 2 AND kind = 'delete' AND author = CAST($2 AS BIGINT)`, r.target, r.author))
		if err != nil {
			return err
		}
		if deleted {
			r.Body = nil
		}
	}
	return nil
}

// derive does what the event that was just added changes elsewhere.
func (l *Log) derive(ctx context.Context, tx store.Tx, r *row) error {
	switch {
	case r.message():
		if r.Home != 0 {
			if _, err := tx.Exec(ctx, `DELETE FROM ticks WHERE peer = $1 AND mid = $2`, r.peer, r.Mid[:]); err != nil {
				return err
			}
		}
		return l.mark(ctx, tx, r, "last", 0, r.Clock)
	case r.Type == TypeFriend:
		return l.mark(ctx, tx, r, "friend", r.author, r.Clock)
	case r.Type == TypeReceipt && r.Kind == KindHome:
		return l.tick(ctx, tx, r)
	case r.Type != TypeChat:
		return nil
	case r.Kind == KindRead:
		return l.mark(ctx, tx, r, "read", r.author, r.Rank)
	case r.Kind == KindProfile:
		return l.mark(ctx, tx, r, "profile", r.author, r.Rank)
	case r.Kind == KindDelete && r.Touches != nil:
		// The text goes; that there was a message, and who proved it, stays.
		if _, err := tx.Exec(ctx, `UPDATE events SET body = NULL WHERE mid = $1 AND author = $2 AND type = 'chat' AND body IS NOT NULL`,
			r.target, r.author); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE events SET body = NULL WHERE target = $1 AND author = CAST($2 AS BIGINT) AND kind = 'edit' AND body IS NOT NULL`,
			r.target, r.author)
		return err
	}
	return nil
}

// mark keeps the newest of a sort.
func (l *Log) mark(ctx context.Context, tx store.Tx, r *row, sort string, author, clock int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO marks (peer, author, sort, clock, mid, received, n) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (peer, author, sort) DO UPDATE
		SET clock = excluded.clock, mid = excluded.mid, received = excluded.received, n = excluded.n
		WHERE (excluded.clock, excluded.mid) > (marks.clock, marks.mid)`,
		r.peer, author, sort, clock, r.Mid[:], r.Received, r.N)
	return err
}

// tick notes on one's own messages that the friend's home has them. A hash that
// is not that of a letter we sent waits, and counts for nothing.
func (l *Log) tick(ctx context.Context, tx store.Tx, r *row) error {
	waiting := false
	for _, item := range r.Items {
		rows, err := tx.Exec(ctx, `UPDATE events SET home = $1
			WHERE mid = $2 AND author = $3 AND peer = $4 AND home = 0 AND (hash = $5 OR EXISTS (
				SELECT 1 FROM versions v WHERE v.mid = events.mid AND v.hash = $5))`,
			r.Received, item.Mid[:], selfNumber, r.peer, item.Hash[:])
		if err != nil {
			return err
		}
		if rows > 0 {
			continue
		}
		ticked, err := exists(tx.QueryRow(ctx, `SELECT n FROM events WHERE mid = $1 AND author = $2 AND home > 0`, item.Mid[:], selfNumber))
		if err != nil {
			return err
		}
		if ticked {
			continue
		}
		waiting = true
		if _, err := tx.Exec(ctx, `INSERT INTO ticks (peer, mid, hash, received) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			r.peer, item.Mid[:], item.Hash[:], r.Received); err != nil {
			return err
		}
	}
	if waiting {
		_, err := tx.Exec(ctx, `DELETE FROM ticks WHERE peer = $1 AND received < (
			SELECT received FROM ticks WHERE peer = $1 ORDER BY received DESC LIMIT 1 OFFSET $2)`, r.peer, maxTicks)
		return err
	}
	return nil
}

// Version is a letter by which one's own message travelled when it was sealed again.
type Version struct {
	Hash     protocol.Hash32
	Envelope protocol.ID
	UEK      int64 // counter of the friend's key, where this home sealed it; 0: not known
}

// AddVersion notes that one's own message was sealed again, and lets a receipt
// that has come for it count.
func (l *Log) AddVersion(ctx context.Context, tx store.Tx, mid protocol.ID, v Version) error {
	hash := v.Hash
	if _, err := tx.Exec(ctx, `INSERT INTO versions (mid, hash, envelope, uek) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		mid[:], hash[:], v.Envelope[:], v.UEK); err != nil {
		return err
	}
	if err := l.underWay(ctx, tx, mid, v.Envelope); err != nil {
		return err
	}
	rows, err := tx.Exec(ctx, `UPDATE events SET home = (SELECT MIN(t.received) FROM ticks t
			WHERE t.peer = events.peer AND t.mid = events.mid AND t.hash = $1)
		WHERE mid = $2 AND author = $3 AND home = 0 AND EXISTS (
			SELECT 1 FROM ticks t WHERE t.peer = events.peer AND t.mid = events.mid AND t.hash = $1)`, hash[:], mid[:], selfNumber)
	if err != nil || rows == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM ticks WHERE mid = $1 AND hash = $2`, mid[:], hash[:])
	return err
}

// DropVersion forgets a letter that was sealed again and not taken by the relay. If
// it was to stand for one that came back, that one is in force again.
func (l *Log) DropVersion(ctx context.Context, tx store.Tx, mid, envelope protocol.ID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM versions WHERE mid = $1 AND envelope = $2`, mid[:], envelope[:]); err != nil {
		return err
	}
	others, err := l.others(ctx, tx, mid[:], envelope)
	if err != nil || others > 0 {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE events SET shown = 2 WHERE n = (SELECT MAX(b.n) FROM events b WHERE b.target = $1 AND b.type = 'returned')`, mid[:])
	return err
}

func exists(r *sql.Row) (bool, error) {
	var n int64
	err := r.Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
