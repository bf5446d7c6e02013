package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/wall"
)

// Walls implements wall.Store.
func (s *Store) Walls(ctx context.Context, fn func(wall.Ledger) error) error {
	return s.update(ctx, "store.Walls", func(tx *Tx) error { return fn(tx) })
}

func signedInto(rec *protocol.Signed) []any {
	return []any{(*[]byte)(&rec.Payload), exactly(rec.By[:]), exactly(rec.Sig[:])}
}

// Head implements wall.Ledger.
func (t *Tx) Head(ctx context.Context, uid protocol.UID) (wall.Held, bool, error) {
	h := wall.Held{Head: post.Head{UID: uid}}
	found, err := t.row(ctx, append([]any{&h.Seq, exactly(h.Hash[:]), &h.TS}, signedInto(&h.Signed)...),
		`SELECT seq, hash, ts, payload, signer, sig FROM walls WHERE uid = $1`, uid[:])
	return h, found, err
}

// SaveHead implements wall.Ledger.
func (t *Tx) SaveHead(ctx context.Context, uid protocol.UID, h wall.Held) error {
	_, err := t.exec(ctx, `INSERT INTO walls (uid, seq, hash, ts, payload, signer, sig) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (uid) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, ts = excluded.ts,
		payload = excluded.payload, signer = excluded.signer, sig = excluded.sig`,
		uid[:], h.Seq, h.Hash[:], h.TS, []byte(h.Signed.Payload), h.Signed.By[:], h.Signed.Sig[:])
	return err
}

// At implements wall.Ledger.
func (t *Tx) At(ctx context.Context, uid protocol.UID, seq int64) (hash protocol.Hash32, received int64, found bool, err error) {
	found, err = t.row(ctx, []any{exactly(hash[:]), &received}, `SELECT hash, received FROM changes WHERE uid = $1 AND seq = $2`, uid[:], seq)
	return hash, received, found, err
}

// Steps implements wall.Ledger.
func (t *Tx) Steps(ctx context.Context, uid protocol.UID, id protocol.ID) ([]wall.Step, error) {
	steps := []wall.Step{}
	err := t.rows(ctx, func(scan func(...any) error) (bool, error) {
		var s wall.Step
		if err := scan(&s.Seq, &s.Op, &s.TS, &s.Size); err != nil {
			return false, err
		}
		steps = append(steps, s)
		return true, nil
	}, `SELECT seq, op, ts, size FROM changes WHERE uid = $1 AND post = $2 ORDER BY seq`, uid[:], id[:])
	return steps, err
}

// Write implements wall.Ledger.
func (t *Tx) Write(ctx context.Context, c post.Change, at int64) error {
	first := int64(0)
	if c.Op == post.OpPost || c.Op == post.OpEdit {
		first = c.First()
	}
	if _, err := t.exec(ctx, `INSERT INTO changes (uid, seq, hash, op, post, ts, first, received, size, payload, signer, sig)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		c.UID[:], c.Seq, c.Hash[:], c.Op, c.ID[:], c.TS, first, at, int64(len(c.Signed.Payload)),
		[]byte(c.Signed.Payload), c.Signed.By[:], c.Signed.Sig[:]); err != nil {
		return err
	}
	for _, p := range c.Pictures() {
		if _, err := t.exec(ctx, `INSERT INTO named (uid, hash, seq) VALUES ($1, $2, $3)`, c.UID[:], p.Hash[:], c.Seq); err != nil {
			return err
		}
	}
	return nil
}

// Strip implements wall.Ledger.
func (t *Tx) Strip(ctx context.Context, uid protocol.UID, seq int64) error {
	if _, err := t.exec(ctx, `UPDATE changes SET payload = NULL, signer = NULL, sig = NULL, size = 0, first = 0
		WHERE uid = $1 AND seq = $2`, uid[:], seq); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM named WHERE uid = $1 AND seq = $2`, uid[:], seq)
	return err
}

// NamedBy implements wall.Ledger.
func (t *Tx) NamedBy(ctx context.Context, uid protocol.UID, seq int64) ([]protocol.Hash32, error) {
	hashes := []protocol.Hash32{}
	err := t.rows(ctx, func(scan func(...any) error) (bool, error) {
		var hash protocol.Hash32
		err := scan(exactly(hash[:]))
		hashes = append(hashes, hash)
		return err == nil, err
	}, `SELECT hash FROM named WHERE uid = $1 AND seq = $2 ORDER BY hash`, uid[:], seq)
	return hashes, err
}

// Media implements wall.Ledger.
func (t *Tx) Media(ctx context.Context, uid protocol.UID, hash protocol.Hash32) (wall.Photo, bool, error) {
	p := wall.Photo{Hash: hash}
	found, err := t.row(ctx, []any{&p.Size, &p.Width, &p.Height}, `SELECT size, width, height FROM media WHERE uid = $1 AND hash = $2`, uid[:], hash[:])
	return p, found, err
}

// SaveMedia implements wall.Ledger.
func (t *Tx) SaveMedia(ctx context.Context, uid protocol.UID, p wall.Photo, data []byte, at int64) error {
	_, err := t.exec(ctx, `INSERT INTO media (uid, hash, size, width, height, created, data) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		uid[:], p.Hash[:], p.Size, p.Width, p.Height, at, data)
	return err
}

// DropUnnamed implements wall.Ledger.
func (t *Tx) DropUnnamed(ctx context.Context, uid protocol.UID, hash protocol.Hash32) (int64, error) {
	var size int64
	_, err := t.row(ctx, []any{&size}, `DELETE FROM media WHERE uid = $1 AND hash = $2
		AND NOT EXISTS (SELECT 1 FROM named WHERE uid = $1 AND hash = $2) RETURNING size`, uid[:], hash[:])
	return size, err
}

// Wall implements wall.Store.
func (s *Store) Wall(ctx context.Context, username string, asker protocol.UID) (wall.Wall, bool, error) {
	var w wall.Wall
	found, err := s.reader().row(ctx, append([]any{exactly(w.UID[:]), &w.Seq}, signedInto(&w.Head)...),
		`SELECT p.uid, w.seq, w.payload, w.signer, w.sig FROM people p JOIN walls w ON w.uid = p.uid WHERE p.username = $1
		AND (p.findable = 1 OR p.uid = $2)`, username, asker[:])
	if err != nil || !found {
		return w, false, s.wrap("store.Wall", err)
	}
	var profile protocol.Signed
	has, err := s.reader().row(ctx, signedInto(&profile), `SELECT payload, signer, sig FROM changes
		WHERE uid = $1 AND post = $2 AND size > 0 ORDER BY seq DESC LIMIT 1`, w.UID[:], make([]byte, 16))
	if has {
		w.Profile = &profile
	}
	return w, true, s.wrap("store.Wall", err)
}

// Changes implements wall.Store.
func (s *Store) Changes(ctx context.Context, uid protocol.UID, after int64, limit, maxBytes int) ([]wall.Row, error) {
	list, size := []wall.Row{}, 0
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var r wall.Row
		var payload []byte
		var rec protocol.Signed
		var by, sig bool
		if err := scan(&r.Seq, exactly(r.Hash[:]), &payload, perhaps{rec.By[:], &by}, perhaps{rec.Sig[:], &sig}); err != nil {
			return false, err
		}
		if size += len(payload); size > maxBytes && len(list) > 0 {
			return false, nil
		}
		if by {
			rec.Payload = payload
			r.Signed = &rec
		}
		list = append(list, r)
		return true, nil
	}, `SELECT seq, hash, payload, signer, sig FROM changes WHERE uid = $1 AND seq > $2 ORDER BY seq LIMIT CAST($3 AS BIGINT)`, uid[:], after, limit)
	return list, s.wrap("store.Changes", err)
}

// Shown implements wall.Store.
func (s *Store) Shown(ctx context.Context, uid protocol.UID, before int64, limit int) ([]protocol.Signed, error) {
	list := []protocol.Signed{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var rec protocol.Signed
		err := scan(signedInto(&rec)...)
		list = append(list, rec)
		return err == nil, err
	}, `SELECT payload, signer, sig FROM changes WHERE uid = $1 AND first > 0 AND first < $2 ORDER BY first DESC LIMIT CAST($3 AS BIGINT)`,
		uid[:], before, limit)
	return list, s.wrap("store.Shown", err)
}

// Post implements wall.Store.
func (s *Store) Post(ctx context.Context, uid protocol.UID, id protocol.ID) (protocol.Signed, bool, error) {
	var rec protocol.Signed
	found, err := s.reader().row(ctx, signedInto(&rec), `SELECT payload, signer, sig FROM changes WHERE uid = $1 AND post = $2 AND first > 0`, uid[:], id[:])
	return rec, found, s.wrap("store.Post", err)
}

// Public implements wall.Store.
func (s *Store) Public(ctx context.Context, hash protocol.Hash32) ([]byte, bool, error) {
	var data []byte
	found, err := s.reader().row(ctx, []any{&data}, `SELECT m.data FROM media m JOIN people p ON p.uid = m.uid
		WHERE m.hash = $1 AND p.findable = 1 AND EXISTS (SELECT 1 FROM named n WHERE n.uid = m.uid AND n.hash = m.hash) LIMIT 1`, hash[:])
	return data, found, s.wrap("store.Public", err)
}

// Own implements wall.Store.
func (s *Store) Own(ctx context.Context, uid protocol.UID, hash protocol.Hash32) ([]byte, bool, error) {
	var data []byte
	found, err := s.reader().row(ctx, []any{&data}, `SELECT data FROM media WHERE uid = $1 AND hash = $2`, uid[:], hash[:])
	return data, found, s.wrap("store.Own", err)
}

// Unnamed implements wall.Store.
func (s *Store) Unnamed(ctx context.Context, before int64, limit int) ([]wall.Unnamed, error) {
	list := []wall.Unnamed{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var u wall.Unnamed
		err := scan(exactly(u.Owner[:]), exactly(u.Hash[:]))
		list = append(list, u)
		return err == nil, err
	}, `SELECT uid, hash FROM media m WHERE created < $1 AND NOT EXISTS (SELECT 1 FROM named n WHERE n.uid = m.uid AND n.hash = m.hash)
		ORDER BY created LIMIT CAST($2 AS BIGINT)`, before, limit)
	return list, s.wrap("store.Unnamed", err)
}
