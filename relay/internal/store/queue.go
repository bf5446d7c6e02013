package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

// Custody implements queue.Store.
func (s *Store) Custody(ctx context.Context, fn func(queue.Ledger) error) error {
	return s.update(ctx, "store.Custody", func(tx *Tx) error { return fn(tx) })
}

// seen is the highest row that is on the disk of a device that keeps: a
// borrowed browser (role session) keeps nothing.
const seen = `COALESCE((SELECT MAX(seen) FROM devices WHERE uid = $1 AND revoked = 0 AND role <> 'session'), 0)`

// Standing implements queue.Ledger. One statement, whoever it is about.
func (t *Tx) Standing(ctx context.Context, owner, sender protocol.UID, via queue.Via) (queue.Standing, error) {
	var s queue.Standing
	var findable, asked *int64
	var state *string
	var shunned int64
	_, err := t.row(ctx, []any{&findable, &state, &asked, &s.Waiting, &s.ByRelay, &shunned}, `SELECT
		(SELECT findable FROM people WHERE uid = $1),
		(SELECT state FROM contacts WHERE owner = $1 AND peer = $2),
		(SELECT at FROM requests WHERE owner = $1 AND sender = $2),
		(SELECT COUNT(*) FROM queue WHERE owner = $1 AND stranger = 1 AND n > `+seen+`),
		(SELECT COUNT(*) FROM queue WHERE owner = $1 AND stranger = 1 AND via = $3 AND n > `+seen+`),
		`+shuns, owner[:], sender[:], via.Relay[:], via.Host)
	s.Shunned = shunned > 0
	if findable != nil {
		s.Known, s.Findable = true, *findable == 1
	}
	if state != nil {
		s.State = *state
	}
	if asked != nil {
		s.Asked = *asked
	}
	return s, err
}

// Held implements queue.Ledger.
func (t *Tx) Held(ctx context.Context, owner, sender protocol.UID, id protocol.ID) ([]byte, error) {
	var raw []byte
	_, err := t.row(ctx, []any{&raw}, `SELECT env FROM queue WHERE owner = $1 AND sender = $2 AND id = $3`, owner[:], sender[:], id[:])
	return raw, err
}

// Keep implements queue.Ledger.
func (t *Tx) Keep(ctx context.Context, r queue.NewRow) error {
	var via []byte // NULL: of this relay
	if !r.Put.Via.Here() {
		via = r.Put.Via.Relay[:]
	}
	_, err := t.exec(ctx, `INSERT INTO queue (owner, n, sender, id, size, stranger, received, env, via) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.Owner[:], r.N, r.Put.Sender[:], r.Put.ID[:], int64(len(r.Put.Raw)), flag(r.Stranger), r.At, r.Put.Raw, via)
	return err
}

// Asked implements queue.Ledger.
func (t *Tx) Asked(ctx context.Context, owner, sender protocol.UID, at int64) error {
	_, err := t.exec(ctx, `INSERT INTO requests (owner, sender, at) VALUES ($1, $2, $3)
		ON CONFLICT (owner, sender) DO UPDATE SET at = excluded.at`, owner[:], sender[:], at)
	return err
}

// Seen implements queue.Ledger.
func (t *Tx) Seen(ctx context.Context, owner protocol.UID, device protocol.DeviceID, n int64) error {
	_, err := t.exec(ctx, `UPDATE devices SET seen = $3 WHERE uid = $1 AND id = $2 AND revoked = 0 AND seen < $3
		AND $3 <= (SELECT last FROM spaces WHERE owner = $1)`, owner[:], device[:], n)
	return err
}

// Forget implements queue.Ledger.
func (t *Tx) Forget(ctx context.Context, owner protocol.UID, home protocol.DeviceID, n int64) ([]queue.Freed, error) {
	freed := []queue.Freed{}
	err := t.rows(ctx, func(scan func(...any) error) (bool, error) {
		var f queue.Freed
		if err := scan(exactly(f.Sender[:]), &f.Size); err != nil {
			return false, err
		}
		freed = append(freed, f)
		return true, nil
	}, `DELETE FROM queue WHERE owner = $1 AND n <= $2 AND EXISTS (SELECT 1 FROM homes WHERE uid = $1 AND device = $3)
		RETURNING sender, size`, owner[:], n, home[:])
	return freed, err
}

// Account implements space.Ledger.
func (t *Tx) Account(ctx context.Context, owner protocol.UID) (space.Account, error) {
	a := space.Account{Owner: owner}
	var home int64
	found, err := t.row(ctx, []any{&a.Last, &a.Used, &home}, `SELECT last, used,
		(SELECT COUNT(*) FROM homes WHERE uid = $1) FROM spaces WHERE owner = $1`+t.dialect.ForUpdate, owner[:])
	if err == nil && !found {
		err = fmt.Errorf("no space for %v", owner)
	}
	a.Home = home > 0
	return a, err
}

// SaveAccount implements space.Ledger.
func (t *Tx) SaveAccount(ctx context.Context, a space.Account) error {
	_, err := t.exec(ctx, `UPDATE spaces SET last = $2, used = $3 WHERE owner = $1`, a.Owner[:], a.Last, a.Used)
	return err
}

// Share implements space.Ledger.
func (t *Tx) Share(ctx context.Context, owner, sender protocol.UID) (int64, error) {
	var used int64
	_, err := t.row(ctx, []any{&used}, `SELECT used FROM shares WHERE owner = $1 AND sender = $2`, owner[:], sender[:])
	return used, err
}

// SaveShare implements space.Ledger.
func (t *Tx) SaveShare(ctx context.Context, owner, sender protocol.UID, used int64) error {
	if used == 0 {
		_, err := t.exec(ctx, `DELETE FROM shares WHERE owner = $1 AND sender = $2`, owner[:], sender[:])
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO shares (owner, sender, used) VALUES ($1, $2, $3)
		ON CONFLICT (owner, sender) DO UPDATE SET used = excluded.used`, owner[:], sender[:], used)
	return err
}

// Oldest implements space.Ledger.
func (t *Tx) Oldest(ctx context.Context, owner, sender protocol.UID, limit int) ([]space.Item, error) {
	only, args := "", []any{owner[:], limit}
	if !sender.IsZero() {
		only, args = " AND sender = $3", append(args, sender[:])
	}
	items := []space.Item{}
	err := t.rows(ctx, func(scan func(...any) error) (bool, error) {
		var i space.Item
		if err := scan(&i.N, exactly(i.Sender[:]), &i.Size, &i.At); err != nil {
			return false, err
		}
		items = append(items, i)
		return true, nil
	}, `SELECT n, sender, size, received FROM queue WHERE owner = $1 AND n <= `+seen+only+` ORDER BY n LIMIT CAST($2 AS BIGINT)`, args...)
	if err != nil {
		return nil, err
	}
	err = t.rows(ctx, func(scan func(...any) error) (bool, error) {
		var i space.Item
		if err := scan(exactly(i.File[:]), exactly(i.Sender[:]), &i.Size, &i.At); err != nil {
			return false, err
		}
		items = append(items, i)
		return true, nil
	}, `SELECT file, sender, size, created FROM holders WHERE owner = $1 AND seen = 1`+only+` ORDER BY created LIMIT CAST($2 AS BIGINT)`, args...)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(items, func(a, b space.Item) int { return cmp.Compare(a.At, b.At) })
	return items[:min(limit, len(items))], nil
}

// Drop implements space.Ledger.
func (t *Tx) Drop(ctx context.Context, owner protocol.UID, item space.Item) error {
	if item.N > 0 {
		_, err := t.exec(ctx, `DELETE FROM queue WHERE owner = $1 AND n = $2`, owner[:], item.N)
		return err
	}
	_, _, err := t.letGo(ctx, owner, item.File)
	return err
}

// Rows implements queue.Store.
func (s *Store) Rows(ctx context.Context, owner protocol.UID, after int64, limit, maxBytes int) ([]queue.Row, error) {
	rows, err := s.page(ctx, `SELECT n, env FROM queue WHERE owner = $1 AND n > $2 ORDER BY n LIMIT CAST($3 AS BIGINT)`, owner, after, limit, maxBytes)
	return rows, s.wrap("store.Rows", err)
}

// Kept implements queue.Store.
func (s *Store) Kept(ctx context.Context, owner protocol.UID, before int64, limit, maxBytes int) ([]queue.Row, error) {
	if before <= 0 {
		before = 1 << 53
	}
	rows, err := s.page(ctx, `SELECT n, env FROM queue WHERE owner = $1 AND n < $2 ORDER BY n DESC LIMIT CAST($3 AS BIGINT)`, owner, before, limit, maxBytes)
	return rows, s.wrap("store.Kept", err)
}

func (s *Store) page(ctx context.Context, text string, owner protocol.UID, from int64, limit, maxBytes int) ([]queue.Row, error) {
	page, size := []queue.Row{}, 0
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var r queue.Row
		if err := scan(&r.N, &r.Raw); err != nil {
			return false, err
		}
		if size += len(r.Raw); size > maxBytes && len(page) > 0 {
			return false, nil
		}
		page = append(page, r)
		return size < maxBytes, nil
	}, text, owner[:], from, limit)
	return page, err
}
