package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/courtyards"
)

// listOf is how the owner of a list is written: the relay's own has no uid.
func listOf(owner *protocol.UID) []byte {
	if owner == nil {
		return []byte{}
	}
	return owner[:]
}

// CourtyardRules implements courtyards.Store.
func (s *Store) CourtyardRules(ctx context.Context) (courtyards.Rules, error) {
	rules := courtyards.Rules{Keys: []courtyards.Key{}}
	var only int64
	_, err := s.reader().row(ctx, []any{&only}, `SELECT COALESCE(MAX(listed), 0) FROM courtyards_only`)
	if err != nil {
		return rules, s.wrap("store.CourtyardRules", err)
	}
	rules.Only = only == 1
	if rules.Entries, err = s.List(ctx, nil); err != nil {
		return rules, err
	}
	err = s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var k courtyards.Key
		var proved int64
		if err := scan(&k.Host, exactly(k.Relay[:]), &proved); err != nil {
			return false, err
		}
		k.Proved = proved == 1
		rules.Keys = append(rules.Keys, k)
		return true, nil
	}, `SELECT k.host, k.relay, k.proved FROM courtyard_keys k JOIN courtyards c ON c.host = k.host AND c.owner = $1`, listOf(nil))
	return rules, s.wrap("store.CourtyardRules", err)
}

// List implements courtyards.Store.
func (s *Store) List(ctx context.Context, owner *protocol.UID) ([]courtyards.Entry, error) {
	entries := []courtyards.Entry{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var e courtyards.Entry
		if err := scan(&e.Host, &e.State, &e.Since); err != nil {
			return false, err
		}
		entries = append(entries, e)
		return true, nil
	}, `SELECT host, state, at FROM courtyards WHERE owner = $1 ORDER BY host`, listOf(owner))
	return entries, s.wrap("store.List", err)
}

// SetCourtyard implements courtyards.Store.
func (s *Store) SetCourtyard(ctx context.Context, owner *protocol.UID, e courtyards.Entry, most int) error {
	return s.update(ctx, "store.SetCourtyard", func(t *Tx) error {
		if e.State == courtyards.None {
			_, err := t.exec(ctx, `DELETE FROM courtyards WHERE owner = $1 AND host = $2`, listOf(owner), e.Host)
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO courtyards (owner, host, state, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (owner, host) DO UPDATE SET state = excluded.state, at = excluded.at
			WHERE courtyards.state <> excluded.state`, listOf(owner), e.Host, e.State, e.Since); err != nil {
			return err
		}
		var n int
		if _, err := t.row(ctx, []any{&n}, `SELECT COUNT(*) FROM courtyards WHERE owner = $1`, listOf(owner)); err != nil {
			return err
		}
		if n > most {
			return &protocol.Error{Op: "store.SetCourtyard", Code: protocol.CodeNotAllowed, Params: map[string]any{"limit": most}}
		}
		return nil
	})
}

// SetOnly implements courtyards.Store.
func (s *Store) SetOnly(ctx context.Context, only bool) error {
	return s.update(ctx, "store.SetOnly", func(t *Tx) error {
		_, err := t.exec(ctx, `INSERT INTO courtyards_only (one, listed) VALUES (1, $1)
			ON CONFLICT (one) DO UPDATE SET listed = excluded.listed`, flag(only))
		return err
	})
}

// SaveKey implements courtyards.Store. What callers say stays as it was first
// said; of what was met, the newest stay.
func (s *Store) SaveKey(ctx context.Context, k courtyards.Key, most int, at int64) error {
	return s.update(ctx, "store.SaveKey", func(t *Tx) error {
		if !k.Proved {
			_, err := t.exec(ctx, `INSERT INTO courtyard_keys (host, relay, proved, at) SELECT $1, $2, 0, $3
				WHERE (SELECT COUNT(*) FROM courtyard_keys WHERE host = $1 AND proved = 0) < $4
				ON CONFLICT (host, relay) DO NOTHING`, k.Host, k.Relay[:], at, most)
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO courtyard_keys (host, relay, proved, at) VALUES ($1, $2, 1, $3)
			ON CONFLICT (host, relay) DO UPDATE SET proved = 1, at = excluded.at WHERE courtyard_keys.proved = 0`, k.Host, k.Relay[:], at); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM courtyard_keys WHERE host = $1 AND proved = 1 AND relay NOT IN
			(SELECT relay FROM courtyard_keys WHERE host = $1 AND proved = 1 ORDER BY at DESC, relay LIMIT CAST($2 AS BIGINT))`, k.Host, most)
		return err
	})
}

// KnownCourtyards implements courtyards.Store.
func (s *Store) KnownCourtyards(ctx context.Context, limit int) ([]courtyards.Known, error) {
	known := []courtyards.Known{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var k courtyards.Known
		if err := scan(&k.Host, &k.People, &k.Waiting, &k.Seen); err != nil {
			return false, err
		}
		known = append(known, k)
		return true, nil
	}, `SELECT h.host,
		(SELECT COUNT(DISTINCT c.owner) FROM courtyard_keys k JOIN pins p ON p.relay = k.relay
			JOIN contacts c ON c.peer = p.uid AND c.state = 'allow' WHERE k.host = h.host),
		(SELECT COUNT(*) FROM outbound o WHERE o.host = h.host AND o.file = 0),
		COALESCE((SELECT MAX(k.at) FROM courtyard_keys k WHERE k.host = h.host), 0)
		FROM (SELECT host FROM courtyard_keys UNION SELECT host FROM outbound UNION SELECT host FROM courtyards WHERE owner = $1) h
		ORDER BY 2 DESC, 3 DESC, 4 DESC, h.host LIMIT CAST($2 AS BIGINT)`, listOf(nil), limit)
	return known, s.wrap("store.KnownCourtyards", err)
}

// shuns reports, as a subquery, whether the person $1 refuses the relay with key
// $3 that calls itself $4.
const shuns = `(SELECT COUNT(*) FROM courtyards y WHERE y.owner = $1 AND y.state = 'block'
	AND (y.host = $4 OR y.host IN (SELECT host FROM courtyard_keys WHERE relay = $3)))`

// AcceptsFrom implements peer.Store. One statement, whoever it is about.
func (s *Store) AcceptsFrom(ctx context.Context, owner, sender protocol.UID, relay protocol.Key32, host string) (bool, error) {
	var contact, refused int64
	_, err := s.reader().row(ctx, []any{&contact, &refused}, `SELECT
		(SELECT COUNT(*) FROM contacts WHERE owner = $1 AND peer = $2 AND state = 'allow'), `+shuns, owner[:], sender[:], relay[:], host)
	return contact > 0 && refused == 0, s.wrap("store.AcceptsFrom", err)
}

// Unwelcome implements peer.Store.
func (s *Store) Unwelcome(ctx context.Context, invite protocol.Hash32, relay protocol.Key32, host string) (bool, error) {
	var refused int64
	_, err := s.reader().row(ctx, []any{&refused}, `SELECT COUNT(*) FROM invites i JOIN courtyards y ON y.owner = i.uid AND y.state = 'block'
		WHERE i.hash = $1 AND (y.host = $3 OR y.host IN (SELECT host FROM courtyard_keys WHERE relay = $2))`, invite[:], relay[:], host)
	return refused > 0, s.wrap("store.Unwelcome", err)
}
