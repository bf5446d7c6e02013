// Package store keeps what the relay must not lose. It holds the SQL, one file
// per noun, the same text for SQLite and PostgreSQL; the packages that use it
// own the interfaces and the rules (how much fits, who may write what).
//
// LIMIT CAST($2 AS BIGINT): SQLite's planner looks at the value of a bare
// parameter there, and would plan the statement anew each time it is run.
//
// It must never decide who is allowed something, never look into sealed bytes,
// and never answer before the transaction is on disk.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/courtyard-social/courtyard/protocol"
)

// Kind is what a database error means to the relay.
type Kind int

const (
	Other     Kind = iota
	Duplicate      // a unique key exists already
	Full           // no room on the database's disk
	Retry          // serialization failure or deadlock: run the transaction again
	Gone           // the database cannot be reached
)

// Dialect is what differs between the engines.
type Dialect struct {
	Name      string
	ForUpdate string // appended to a SELECT that must lock its row until the end of the transaction
	Kind      func(error) Kind
}

// Querier runs single statements; a pool, a connection or a transaction.
type Querier interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// Engine is an open database. Update runs fn in one transaction and returns nil
// only when it is committed and on disk; an error rolls everything back.
type Engine interface {
	Dialect() *Dialect
	Reader() Querier
	Update(ctx context.Context, fn func(Querier) error) error
	// Tidy gives room that deletions freed back to the disk, a little at a time.
	Tidy(ctx context.Context) error
	Close() error
}

// Store is the relay's database. Safe for use by several goroutines.
type Store struct {
	engine     Engine
	statements atomic.Int64
	accepted   accepted
}

// New wraps an engine whose schema is up to date (see Migrate).
func New(engine Engine) *Store { return &Store{engine: engine} }

// Close waits for the running statements and closes the database.
func (s *Store) Close() error { return s.engine.Close() }

// Statements is how many SQL statements have been sent so far.
func (s *Store) Statements() int64 { return s.statements.Load() }

// Tidy gives freed room back; called now and then.
func (s *Store) Tidy(ctx context.Context) error { return s.wrap("store.Tidy", s.engine.Tidy(ctx)) }

// Tx is one transaction. It must not be used after the function it was given to returned.
type Tx struct {
	session
	dialect  *Dialect
	contacts bool // it has changed some
}

// session counts and runs statements.
type session struct {
	q          Querier
	statements *atomic.Int64
}

func (s session) exec(ctx context.Context, text string, args ...any) (int64, error) {
	s.statements.Add(1)
	result, err := s.q.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row scans the only row into dst; found is false when there is none.
func (s session) row(ctx context.Context, dst []any, text string, args ...any) (found bool, err error) {
	s.statements.Add(1)
	rows, err := s.q.QueryContext(ctx, text, args...)
	if err != nil {
		return false, err
	}
	if rows.Next() {
		found = true
		err = rows.Scan(dst...)
	}
	return found, errors.Join(err, rows.Err(), rows.Close())
}

// rows calls each for every row until it returns false or an error.
func (s session) rows(ctx context.Context, each func(scan func(...any) error) (bool, error), text string, args ...any) error {
	s.statements.Add(1)
	rows, err := s.q.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	for more := true; more && rows.Next(); {
		if more, err = each(rows.Scan); err != nil {
			break
		}
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

func (s *Store) reader() session { return session{s.engine.Reader(), &s.statements} }

// attempts bounds how often a transaction that lost a race is run again.
const attempts = 8

// update runs fn in a transaction, again if the database asks for it. fn must
// not keep anything from an attempt that failed.
func (s *Store) update(ctx context.Context, op string, fn func(*Tx) error) error {
	var err error
	for range attempts {
		t := &Tx{dialect: s.engine.Dialect()}
		err = s.engine.Update(ctx, func(q Querier) error {
			t.session = session{q, &s.statements}
			return fn(t)
		})
		if t.contacts { // also after an error, which may come after the commit
			s.accepted.forget()
		}
		if err == nil || s.engine.Dialect().Kind(err) != Retry || ctx.Err() != nil {
			break
		}
	}
	return s.wrap(op, err)
}

// duplicate reports whether err says that a unique key exists.
func (s *Store) duplicate(err error) bool { return s.engine.Dialect().Kind(err) == Duplicate }

// wrap turns a database error into the house's error; refusals pass unchanged.
func (s *Store) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*protocol.Error](err); ok {
		return err
	}
	code := protocol.CodeInternal
	switch s.engine.Dialect().Kind(err) {
	case Full:
		code = protocol.CodeRelayFull
	case Retry, Gone:
		code = protocol.CodeUnavailable
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		code = protocol.CodeUnavailable
	}
	return &protocol.Error{Op: op, Code: code, Cause: err}
}

// exactly scans a byte string of a known length.
type exactly []byte

func (e exactly) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(e) {
		return fmt.Errorf("stored bytes are not %d long", len(e))
	}
	copy(e, b)
	return nil
}

// perhaps scans a byte string of a known length, or NULL as absent.
type perhaps struct {
	dst   []byte
	there *bool
}

func (p perhaps) Scan(src any) error {
	if *p.there = src != nil; !*p.there {
		return nil
	}
	return exactly(p.dst).Scan(src)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
