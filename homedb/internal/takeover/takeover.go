// Package takeover carries home what the relay kept while a person had no home:
// every kept letter, newest first, and then the daily keys that lay in the vault
// to open them. Until all of it is in the log nothing is confirmed, so a crash
// at any point leaves the relay's copy whole, and the next start goes on where
// this one stopped.
//
// It must never confirm, nor remove a key from the vault, before the rows they
// stand for are on this home's disk.
package takeover

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/intake"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
)

// States of a takeover.
const (
	keep = "keep" // rows are being read
	safe = "vault"
	done = "done"
)

// page is how many rows are asked for at a time; the relay gives fewer if they are large.
const page = 200

// Takeover is one person's. Its state is in the database.
type Takeover struct {
	DB *store.DB
	// Keep reads kept rows below a place, newest first (gate.Gate.Keep).
	Keep func(ctx context.Context, before int64, limit int) (rows []gate.Row, more bool, err error)
	// Take commits rows with what else is done in the transaction (intake.Intake.Take).
	Take func(ctx context.Context, rows []intake.Delivery, also func(store.Tx) error) error
	// Empty removes the daily keys from the vault; they are in the ring.
	Empty func(ctx context.Context) error
}

// Span are the rows from Low to High, none if High is 0.
type Span struct{ Low, High int64 }

// Has reports whether row n is among them.
func (s Span) Has(n int64) bool { return n >= s.Low && n <= s.High }

type state struct {
	name   string
	before int64
}

func (t *Takeover) load(ctx context.Context) (state, error) {
	s := state{name: keep}
	err := t.DB.QueryRow(ctx, `SELECT state, before FROM takeover WHERE one = 1`).Scan(&s.name, &s.before)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("takeover: %w", err)
	}
	return s, nil
}

func (s state) save(ctx context.Context, tx store.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO takeover (one, state, before) VALUES (1, $1, $2)
		ON CONFLICT (one) DO UPDATE SET state = excluded.state, before = excluded.before`, s.name, s.before)
	return err
}

// Begin makes the next Run start from the newest row again: the person was
// paired with this home once more.
func Begin(ctx context.Context, db *store.DB) error {
	return db.Write(ctx, func(tx store.Tx) error { return state{name: keep}.save(ctx, tx) })
}

// Done reports whether everything has been taken over.
func (t *Takeover) Done(ctx context.Context) (bool, error) {
	s, err := t.load(ctx)
	return s.name == done, err
}

// Run goes on until everything is in the log and the keys are out of the vault.
// It returns the span of rows that it has read itself: whatever the relay then
// delivers of them is in the log. (A place from an earlier line may mean another
// row, should the relay have been set up anew.) An error may pass; Run is then
// called again.
func (t *Takeover) Run(ctx context.Context) (read Span, err error) {
	s, err := t.load(ctx)
	if err != nil {
		return read, err
	}
	for s.name == keep {
		rows, more, err := t.Keep(ctx, s.before, page)
		if err != nil {
			return read, fmt.Errorf("takeover: %w", err)
		}
		next := s
		deliveries := make([]intake.Delivery, 0, len(rows))
		for _, r := range rows {
			if r.N <= 0 || next.before != 0 && r.N >= next.before {
				return read, errors.New("takeover: the relay's rows are out of order")
			}
			next.before = r.N
			read.Low, read.High = r.N, max(read.High, r.N)
			deliveries = append(deliveries, intake.Delivery{N: r.N, Raw: r.Env})
		}
		if !more || len(rows) == 0 {
			next.name = safe
		}
		if err := t.Take(ctx, deliveries, func(tx store.Tx) error { return next.save(ctx, tx) }); err != nil {
			return read, fmt.Errorf("takeover: %w", err)
		}
		s = next
	}
	if s.name == safe {
		if err := t.Empty(ctx); err != nil {
			return read, fmt.Errorf("takeover: %w", err)
		}
		s.name = done
		if err := t.DB.Write(ctx, func(tx store.Tx) error { return s.save(ctx, tx) }); err != nil {
			return read, fmt.Errorf("takeover: %w", err)
		}
	}
	return read, nil
}
