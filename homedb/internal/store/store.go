// Package store is one person's database: a single writer, many readers, and
// the schema that grows by numbered steps. Packages that keep something (the
// log, the pins, the files) bring their own SQL, the same text for SQLite and
// PostgreSQL, and run it inside the transactions given out here; so that
// letters, what they set off and how far we got are committed together.
//
// CAST($2 AS BIGINT) after LIMIT, and where a partial index is on a value of the
// column (author = 1): SQLite's planner looks at the value of a bare parameter
// there, and would plan the statement anew each time it is run.
//
// It must never know what a row means.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/pressly/goose/v3"
)

// ErrNewer says that a newer version of the program has written this database.
var ErrNewer = errors.New("the data was written by a newer version of courtyard-home; please update it")

// ErrMissing says that there is no database where one has to be.
var ErrMissing = errors.New("it is missing")

// ErrAway says that the database server does not let us in at the moment.
var ErrAway = errors.New("the database does not answer")

// ErrFull says that the disk has no room; nothing of the transaction was kept.
var ErrFull = errors.New("the disk is full")

// Engine is what differs between the databases.
type Engine interface {
	// Size is the space the data takes, in bytes.
	Size(ctx context.Context) (int64, error)
	// Tidy gives a bounded amount of unused space back.
	Tidy(ctx context.Context) error
	// Full reports whether err means that there is no room left.
	Full(err error) bool
	Close() error
}

// Source answers queries: a DB through its readers, a Tx within itself.
type Source interface {
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is one person's database.
type DB struct {
	engine Engine
	writer sync.Mutex // one writing transaction at a time
	write  pool
	read   pool
}

// New takes ownership of the pools. The write pool may be the read pool.
func New(engine Engine, write, read *sql.DB) *DB {
	return &DB{engine: engine, write: pool{db: write}, read: pool{db: read}}
}

// Write runs do in a transaction, alone, and commits it durably if do returns
// nil. When Write has returned nil the rows survive a power cut. The error is
// ErrFull when there was no room.
func (d *DB) Write(ctx context.Context, do func(Tx) error) error {
	d.writer.Lock()
	defer d.writer.Unlock()
	tx, err := d.write.db.BeginTx(ctx, nil)
	if err != nil {
		return d.explain(err)
	}
	if err := do(Tx{tx: tx, pool: &d.write}); err != nil {
		return errors.Join(d.explain(err), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(d.explain(err), ignoreDone(tx.Rollback()))
	}
	d.write.keep(ctx)
	return nil
}

// Query reads through the readers: what has been committed.
func (d *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := d.read.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryRow reads one row through the readers.
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := d.read.statement(ctx, query)
	if err != nil { // the same failure again, in the form that a Row can carry
		return d.read.db.QueryRowContext(ctx, query, args...)
	}
	return s.QueryRowContext(ctx, args...)
}

// Size is the space the data takes, in bytes.
func (d *DB) Size(ctx context.Context) (int64, error) { return d.engine.Size(ctx) }

// Tidy gives unused space back, a little at a time.
func (d *DB) Tidy(ctx context.Context) error {
	d.writer.Lock()
	defer d.writer.Unlock()
	return d.explain(d.engine.Tidy(ctx))
}

// Close waits for the writer and closes all connections.
func (d *DB) Close() error {
	d.writer.Lock()
	defer d.writer.Unlock()
	return errors.Join(d.write.close(), d.read.close(), d.engine.Close())
}

func (d *DB) explain(err error) error {
	if err != nil && d.engine.Full(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Tx is a transaction that Write gives out.
type Tx struct {
	tx   *sql.Tx
	pool *pool
}

// Exec runs a statement and returns how many rows it touched.
func (t Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := t.pool.within(ctx, t.tx, query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query reads inside the transaction. The rows must be closed before the next statement.
func (t Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := t.pool.within(ctx, t.tx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryRow reads one row inside the transaction.
func (t Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := t.pool.within(ctx, t.tx, query)
	if err != nil {
		return t.tx.QueryRowContext(ctx, query, args...)
	}
	return s.QueryRowContext(ctx, args...)
}

// pool keeps one prepared statement per query text. Query texts are constants of
// this program, so their number is bounded by its source.
type pool struct {
	db         *sql.DB
	mu         sync.Mutex
	statements map[string]*sql.Stmt
	wanted     []string // used in a transaction before they were prepared
}

func (p *pool) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.statements[query]; ok {
		return s, nil
	}
	s, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if p.statements == nil {
		p.statements = map[string]*sql.Stmt{}
	}
	p.statements[query] = s
	return s, nil
}

// within gives the statement bound to tx. The first time it is prepared for this
// transaction alone, because the writer's only connection is taken by it.
func (p *pool) within(ctx context.Context, tx *sql.Tx, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	s, ok := p.statements[query]
	if !ok {
		p.wanted = append(p.wanted, query)
	}
	p.mu.Unlock()
	if ok {
		return tx.StmtContext(ctx, s), nil
	}
	return tx.PrepareContext(ctx, query)
}

// keep prepares what the last transaction wanted, for all later ones. A failure
// costs speed only: the statement is then prepared once more when it is used.
func (p *pool) keep(ctx context.Context) {
	p.mu.Lock()
	wanted := p.wanted
	p.wanted = nil
	p.mu.Unlock()
	for _, query := range wanted {
		if _, err := p.statement(ctx, query); err != nil {
			return
		}
	}
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, s := range p.statements {
		errs = append(errs, s.Close())
	}
	p.statements = nil
	return errors.Join(append(errs, p.db.Close())...)
}

// Migrate brings a database up to the newest of the numbered steps in files, or
// refuses with ErrNewer.
func Migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, files fs.FS) error {
	p, err := goose.NewProvider(dialect, db, files)
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("schema version: %w", err)
	}
	if current > target {
		return ErrNewer
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	return nil
}

// Exclusive runs do while no transaction writes, on the writer's own pool.
func (d *DB) Exclusive(ctx context.Context, do func(context.Context, *sql.DB) error) error {
	d.writer.Lock()
	defer d.writer.Unlock()
	return d.explain(do(ctx, d.write.db))
}
