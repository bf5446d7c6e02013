// Package sqlite opens the relay's database as one file: one writer connection
// that syncs every commit, a few readers beside it (WAL).
//
// It must never open the file without synchronous=FULL: "accepted" is promised
// on the strength of that sync.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/courtyard-social/courtyard/relay/internal/store"
	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// readers is the size of the reader pool: enough for a small VPS, and each
// connection's cache costs up to 2 MB.
const readers = 4

type engine struct {
	read  *sql.DB
	write *sql.DB

	mu   sync.Mutex // held by the one transaction that is under way
	conn *sql.Conn
	kept map[string]*sql.Stmt // guarded by mu; as many as there are statement texts in the program

	reads sync.Map // statement text -> *sql.Stmt, as above
}

// Open opens or creates the database file at path and migrates it.
// Errors are sentences for the operator.
func Open(ctx context.Context, path string) (*store.Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, sentence(path, err)
	}
	return s, nil
}

func sentence(path string, err error) error {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_FULL:
		return fmt.Errorf("cannot open %s: the disk is full", path)
	case codes.SQLITE_NOTADB, codes.SQLITE_CORRUPT:
		return fmt.Errorf("%s is damaged or no courtyard database: restore it from a backup", path)
	case codes.SQLITE_CANTOPEN, codes.SQLITE_READONLY, codes.SQLITE_PERM, codes.SQLITE_IOERR:
		return fmt.Errorf("cannot read and write %s: %w", path, err)
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return fmt.Errorf("another program is using %s", path)
	}
	return fmt.Errorf("cannot open %s: %w", path, err)
}

func open(ctx context.Context, path string) (*store.Store, error) {
	e := &engine{kept: map[string]*sql.Stmt{}}
	var err error
	if e.write, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return nil, err
	}
	e.write.SetMaxOpenConns(1)
	if err := store.Migrate(ctx, e.write, goose.DialectSQLite3); err != nil {
		return nil, errors.Join(err, e.write.Close())
	}
	if e.read, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		return nil, errors.Join(err, e.write.Close())
	}
	e.read.SetMaxOpenConns(readers)
	e.read.SetMaxIdleConns(readers)
	if e.conn, err = e.write.Conn(ctx); err != nil {
		return nil, errors.Join(err, e.read.Close(), e.write.Close())
	}
	return store.New(e), nil
}

func dsn(path string, reader bool) string {
	v := url.Values{}
	v.Set("_busy_timeout", "10000")
	v.Set("_auto_vacuum", "INCREMENTAL")
	v.Set("_journal_mode", "WAL")
	v.Set("_synchronous", "FULL")
	v.Add("_pragma", "cache_size(-2048)")
	v.Add("_pragma", "journal_size_limit(8388608)")
	v.Add("_pragma", "temp_store(MEMORY)")
	v.Add("_pragma", "trusted_schema(OFF)")
	// Sealed letters that a home has confirmed shall not be read from free pages years later.
	v.Add("_pragma", "secure_delete(ON)")
	v.Set("_defensive", "1")
	if reader {
		v.Set("_query_only", "1")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: v.Encode()}).String()
}

var dialect = &store.Dialect{Name: "sqlite", Kind: kind}

func kind(err error) store.Kind {
	e, ok := errors.AsType[*driver.Error](err)
	if !ok {
		return store.Other
	}
	switch code := e.Code(); {
	case code == codes.SQLITE_CONSTRAINT_PRIMARYKEY || code == codes.SQLITE_CONSTRAINT_UNIQUE:
		return store.Duplicate
	case code&0xff == codes.SQLITE_FULL:
		return store.Full
	case code&0xff == codes.SQLITE_BUSY:
		return store.Retry
	case code&0xff == codes.SQLITE_IOERR || code&0xff == codes.SQLITE_READONLY || code&0xff == codes.SQLITE_CANTOPEN:
		return store.Gone
	}
	return store.Other
}

func (e *engine) Dialect() *store.Dialect { return dialect }
func (e *engine) Reader() store.Querier   { return poolQuerier{e} }

// Update implements store.Engine. Transactions run one after the other; a
// statement that has begun is not interrupted by ctx, so that no goroutine has
// to watch each of them.
func (e *engine) Update(ctx context.Context, fn func(store.Querier) error) (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	w := writer{e}
	if _, err := w.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	done := false
	defer func() {
		if done {
			return
		}
		if _, rollback := w.ExecContext(ctx, "ROLLBACK"); rollback != nil {
			// A failed commit on a full disk has rolled back already; the next BEGIN tells if not.
			err = errors.Join(err, fmt.Errorf("rollback: %w", rollback))
		}
	}()
	if err := fn(w); err != nil {
		return err
	}
	if _, err := w.ExecContext(ctx, "COMMIT"); err != nil {
		return err
	}
	done = true
	return nil
}

// Tidy implements store.Engine: returns up to 4 MiB of free pages to the disk.
func (e *engine) Tidy(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	rows, err := e.conn.QueryContext(ctx, "PRAGMA incremental_vacuum(1024)")
	if err != nil {
		return err
	}
	for rows.Next() { // each step frees a page
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (e *engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	errs := []error{}
	for _, s := range e.kept {
		errs = append(errs, s.Close())
	}
	e.reads.Range(func(_, s any) bool { errs = append(errs, s.(*sql.Stmt).Close()); return true })
	// The readers first: the last connection to leave folds the WAL into the file.
	errs = append(errs, e.read.Close(), e.conn.Close(), e.write.Close())
	return errors.Join(errs...)
}

// writer runs prepared statements on the one writing connection; mu is held.
type writer struct{ e *engine }

func (w writer) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := w.e.kept[text]; ok {
		return s, nil
	}
	s, err := w.e.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	w.e.kept[text] = s
	return s, nil
}

func (w writer) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := w.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (w writer) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := w.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// poolQuerier runs prepared statements on the reader pool.
type poolQuerier struct{ e *engine }

func (p poolQuerier) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := p.e.reads.Load(text); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := p.e.read.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if other, loaded := p.e.reads.LoadOrStore(text, s); loaded {
		return other.(*sql.Stmt), s.Close()
	}
	return s, nil
}

func (p poolQuerier) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := p.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext, like Update, does not interrupt what has begun: two goroutines would
// watch each read, which takes a few microseconds.
func (p poolQuerier) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	s, err := p.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}
