// Package postgres keeps a person's data in a PostgreSQL schema of its own. A
// schema per person, rather than an owner column, lets every statement be the
// same text as for SQLite's file per person, and leaves no WHERE clause that
// could be forgotten. It must never touch a schema that it did not make.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

//go:embed log/*.sql
var steps embed.FS

const connections = 4 // a person: one writes, the others read

// Schema is the name of a person's schema: an identifier holds 63 bytes, so 28
// of the uid's 32 are in it.
func Schema(uid protocol.UID) string { return "home_" + hex.EncodeToString(uid[:28]) }

// ErrURL says that the address is none; pgx would quote the password.
var ErrURL = errors.New("the database address is not a PostgreSQL URL")

// Exists reports, as store.ErrMissing, that a person has no schema in the database
// at url.
func Exists(ctx context.Context, url string, uid protocol.UID) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return ErrURL
	}
	db := stdlib.OpenDB(*config)
	var there bool
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`, Schema(uid)).Scan(&there)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("postgres: %w", away(err))
	}
	if !there {
		return store.ErrMissing
	}
	return nil
}

// away marks what is the server's trouble and not that of a person's data.
func away(err error) error {
	var c *pgconn.ConnectError
	if errors.As(err, &c) {
		return fmt.Errorf("%w: %w", store.ErrAway, err)
	}
	return err
}

// OpenLog opens or creates the schema of a person's log in the database at url.
func OpenLog(ctx context.Context, url string, uid protocol.UID) (*store.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, ErrURL
	}
	schema := Schema(uid)
	config.RuntimeParams["search_path"] = schema
	config.RuntimeParams["application_name"] = "courtyard-home"
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	e := &engine{db: db, schema: schema}
	if err := e.prepare(ctx); err != nil {
		if e.Full(err) {
			err = fmt.Errorf("%w: %w", store.ErrFull, err)
		}
		return nil, errors.Join(fmt.Errorf("postgres: %w", away(err)), db.Close())
	}
	return store.New(e, db, db), nil
}

type engine struct {
	db     *sql.DB
	schema string
}

func (e *engine) prepare(ctx context.Context) error {
	if _, err := e.db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+e.schema); err != nil {
		return err
	}
	files, err := fs.Sub(steps, "log")
	if err != nil {
		return err
	}
	return store.Migrate(ctx, goose.DialectPostgres, e.db, files)
}

// Size is that of the schema's tables with their indexes.
func (e *engine) Size(ctx context.Context) (int64, error) {
	var n int64
	err := e.db.QueryRowContext(ctx, `SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::bigint
		FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
		WHERE s.nspname = $1 AND c.relkind = 'r'`, e.schema).Scan(&n)
	return n, err
}

// Tidy does nothing: autovacuum is the server's own work.
func (e *engine) Tidy(context.Context) error { return nil }

func (e *engine) Full(err error) bool {
	var p *pgconn.PgError
	return errors.As(err, &p) && p.Code == "53100" // disk_full
}

func (e *engine) Close() error { return nil }
