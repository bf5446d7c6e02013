package friends

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// load reads a person from the database and verifies the chain once more.
func (b *Book) load(ctx context.Context, uid protocol.UID) (entry, error) {
	var e entry
	var seq int
	var head, key, record []byte
	err := b.db.QueryRow(ctx, `SELECT seq, head, fork, uek, uek_key, record FROM pins WHERE uid = $1`, uid[:]).
		Scan(&seq, &head, &e.fork, &e.pin.Counter, &key, &record)
	if errors.Is(err, sql.ErrNoRows) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("friends: %w", err)
	}
	copy(e.pin.Key[:], key)
	if record != nil {
		signed, err := protocol.ParseSigned(record)
		if err != nil {
			return e, fmt.Errorf("friends: a stored record of a daily key: %w", err)
		}
		e.record = &signed
	}
	rows, err := b.db.Query(ctx, `SELECT record FROM chains WHERE uid = $1 ORDER BY seq`, uid[:])
	if err != nil {
		return e, fmt.Errorf("friends: %w", err)
	}
	defer rows.Close()
	var records []protocol.Signed
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return e, err
		}
		r, err := protocol.ParseSigned(raw)
		if err != nil {
			return e, fmt.Errorf("friends: a stored record: %w", err)
		}
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return e, err
	}
	if e.chain, err = ident.ParseChain(records); err != nil {
		return e, fmt.Errorf("friends: a stored chain: %w", err)
	}
	if e.chain.UID() != uid || e.chain.Seq() != seq || string(head) != string(hashBytes(e.chain.Head())) {
		return e, errors.New("friends: a stored chain is damaged")
	}
	return e, nil
}

func hashBytes(h protocol.Hash32) []byte { return h[:] }

// save stores a person; records of the chain before from are in the database already.
func (b *Book) save(ctx context.Context, uid protocol.UID, e entry, from int) error {
	head := e.chain.Head()
	var record []byte
	if e.record != nil {
		record = e.record.Marshal()
	}
	err := b.db.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO pins (uid, seq, head, fork, uek, uek_key, record) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (uid) DO UPDATE SET seq = excluded.seq, head = excluded.head, fork = excluded.fork,
				uek = excluded.uek, uek_key = excluded.uek_key, record = excluded.record`,
			uid[:], e.chain.Seq(), head[:], e.fork, e.pin.Counter, e.pin.Key[:], record); err != nil {
			return err
		}
		if from == 0 {
			if _, err := tx.Exec(ctx, `DELETE FROM hints WHERE uid = $1`, uid[:]); err != nil { // the chain knows better
				return err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM chains WHERE uid = $1`, uid[:]); err != nil {
				return err
			}
		}
		for i, r := range e.chain.Records(from) {
			if _, err := tx.Exec(ctx, `INSERT INTO chains (uid, seq, record) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
				uid[:], from+i, r.Marshal()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("friends: %w", err)
	}
	b.keep(uid, e)
	return nil
}
