package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/files"
)

// Files implements files.Store.
func (s *Store) Files(ctx context.Context, fn func(files.Ledger) error) error {
	return s.update(ctx, "store.Files", func(tx *Tx) error { return fn(tx) })
}

// File implements files.Ledger.
func (t *Tx) File(ctx context.Context, id protocol.ID) (files.File, bool, error) {
	f := files.File{ID: id}
	found, err := t.row(ctx, []any{exactly(f.Uploader[:]), &f.Size, &f.Have},
		`SELECT uploader, size, have FROM files WHERE id = $1`+t.dialect.ForUpdate, id[:])
	return f, found, err
}

// Accepts implements files.Ledger.
func (t *Tx) Accepts(ctx context.Context, owner, sender protocol.UID) (bool, error) {
	var n int64
	_, err := t.row(ctx, []any{&n}, `SELECT COUNT(*) FROM people p JOIN contacts c ON c.owner = p.uid
		WHERE p.uid = $1 AND c.peer = $2 AND c.state = 'allow'`, owner[:], sender[:])
	return n > 0, err
}

// Create implements files.Ledger.
func (t *Tx) Create(ctx context.Context, f files.File, now int64) error {
	_, err := t.exec(ctx, `INSERT INTO files (id, uploader, size, have, created, touched) VALUES ($1, $2, $3, 0, $4, $5)`,
		f.ID[:], f.Uploader[:], f.Size, now, now)
	return err
}

// Hold implements files.Ledger. What one uploads oneself, a device of one's own has.
func (t *Tx) Hold(ctx context.Context, id protocol.ID, h files.Holder, now int64) error {
	_, err := t.exec(ctx, `INSERT INTO holders (owner, file, sender, size, created, seen) VALUES ($1, $2, $3, $4, $5, $6)`,
		h.Owner[:], id[:], h.Sender[:], h.Size, now, flag(h.Owner == h.Sender))
	return err
}

// Append implements files.Ledger.
func (t *Tx) Append(ctx context.Context, id protocol.ID, at int64, data []byte, now int64) error {
	if _, err := t.exec(ctx, `INSERT INTO chunks (file, start, data) VALUES ($1, $2, $3)`, id[:], at, data); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE files SET have = $2, touched = $3 WHERE id = $1`, id[:], at+int64(len(data)), now)
	return err
}

// LetGo implements files.Ledger.
func (t *Tx) LetGo(ctx context.Context, owner protocol.UID, id protocol.ID) (files.Holder, bool, error) {
	return t.letGo(ctx, owner, id)
}

func (t *Tx) letGo(ctx context.Context, owner protocol.UID, id protocol.ID) (files.Holder, bool, error) {
	h := files.Holder{Owner: owner}
	// The file's lock keeps two last holders from leaving at once and each
	// finding the other still there.
	if _, there, err := t.File(ctx, id); err != nil || !there {
		return h, false, err
	}
	found, err := t.row(ctx, []any{exactly(h.Sender[:]), &h.Size},
		`DELETE FROM holders WHERE owner = $1 AND file = $2 RETURNING sender, size`, owner[:], id[:])
	if err != nil || !found {
		return h, found, err
	}
	return h, found, t.dropUnheld(ctx, id)
}

// dropUnheld lets a file's bytes go if nobody holds it and it waits for no other relay.
func (t *Tx) dropUnheld(ctx context.Context, id protocol.ID) error {
	const nobody = `NOT EXISTS (SELECT 1 FROM holders WHERE file = $1) AND NOT EXISTS (SELECT 1 FROM outbound WHERE id = $1 AND file = 1)`
	if _, err := t.exec(ctx, `DELETE FROM chunks WHERE file = $1 AND `+nobody, id[:]); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM files WHERE id = $1 AND `+nobody, id[:])
	return err
}

// Look implements files.Store.
func (s *Store) Look(ctx context.Context, uid protocol.UID, id protocol.ID) (f files.File, holds, found bool, err error) {
	f.ID = id
	var holder int64
	found, err = s.reader().row(ctx, []any{exactly(f.Uploader[:]), &f.Size, &f.Have, &holder},
		`SELECT uploader, size, have, (SELECT COUNT(*) FROM holders WHERE owner = $2 AND file = $1) FROM files WHERE id = $1`, id[:], uid[:])
	holds = holder > 0
	return f, holds, found && (holds || f.Uploader == uid), s.wrap("store.Look", err)
}

// Chunk implements files.Store.
func (s *Store) Chunk(ctx context.Context, id protocol.ID, at int64) (start int64, data []byte, err error) {
	found, err := s.reader().row(ctx, []any{&start, &data},
		`SELECT start, data FROM chunks WHERE file = $1 AND start <= $2 ORDER BY start DESC LIMIT 1`, id[:], at)
	if err == nil && (!found || at >= start+int64(len(data))) {
		err = &protocol.Error{Op: "store.Chunk", Code: protocol.CodeNotFound}
	}
	return start, data, s.wrap("store.Chunk", err)
}

// Fetched implements files.Store.
func (s *Store) Fetched(ctx context.Context, owner protocol.UID, id protocol.ID) error {
	return s.update(ctx, "store.Fetched", func(t *Tx) error {
		_, err := t.exec(ctx, `UPDATE holders SET seen = 1 WHERE owner = $1 AND file = $2 AND seen = 0`, owner[:], id[:])
		return err
	})
}

// Unfinished implements files.Store.
func (s *Store) Unfinished(ctx context.Context, before int64, limit int) ([]protocol.ID, error) {
	ids := []protocol.ID{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var id protocol.ID
		if err := scan(exactly(id[:])); err != nil {
			return false, err
		}
		ids = append(ids, id)
		return true, nil
	}, `SELECT id FROM files WHERE have < size AND touched < $1 ORDER BY touched LIMIT CAST($2 AS BIGINT)`, before, limit)
	return ids, s.wrap("store.Unfinished", err)
}

// Holders implements files.Store.
func (s *Store) Holders(ctx context.Context, id protocol.ID) ([]files.Holder, error) {
	holders := []files.Holder{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var h files.Holder
		if err := scan(exactly(h.Owner[:]), exactly(h.Sender[:]), &h.Size); err != nil {
			return false, err
		}
		holders = append(holders, h)
		return true, nil
	}, `SELECT owner, sender, size FROM holders WHERE file = $1`, id[:])
	return holders, s.wrap("store.Holders", err)
}
