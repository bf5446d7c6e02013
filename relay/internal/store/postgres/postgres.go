// Package postgres opens the relay's database on a PostgreSQL server (pgx).
//
// It must never switch synchronous_commit off: "accepted" is promised on the
// strength of the server's sync.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/courtyard-social/courtyard/relay/internal/store"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// connections bounds the pool; a relay is one of several clients of a server
// whose default limit is 100.
const connections = 12

type engine struct{ db *sql.DB }

// Open connects to the database at url (postgres://…) and migrates it. The
// password in url is in no error.
func Open(ctx context.Context, url string) (*store.Store, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database address is not a postgres:// URL")
	}
	config.RuntimeParams["application_name"] = "courtyard-relay"
	// A server or a role may have this off by default; what it would save are the promises.
	config.RuntimeParams["synchronous_commit"] = "on"
	// A statement that takes this long will not come back; the queue's writer waits for it.
	config.RuntimeParams["statement_timeout"] = "60000"
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the database at %s does not answer: %s", net.JoinHostPort(config.Host, fmt.Sprint(config.Port)), reason(err)), db.Close())
	}
	// A table, not a session lock: engines that speak PostgreSQL's language lack those.
	locker, err := lock.NewPostgresTableLocker()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := store.Migrate(ctx, db, goose.DialectPostgres, goose.WithLocker(locker)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return store.New(&engine{db}), nil
}

// reason is the short end of a connection error: what the server said, or why
// there was nobody to say anything.
func reason(err error) string {
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		return said.Message
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network.Err.Error()
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

var dialect = &store.Dialect{Name: "postgres", ForUpdate: " FOR UPDATE", Kind: kind}

func kind(err error) store.Kind {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		_, unreachable := errors.AsType[*pgconn.ConnectError](err)
		_, network := errors.AsType[net.Error](err)
		if unreachable || network || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err) {
			return store.Gone
		}
		return store.Other
	}
	switch {
	case e.Code == "23505":
		return store.Duplicate
	case e.Code == "53100":
		return store.Full
	case e.Code == "40001" || e.Code == "40P01":
		return store.Retry
	case e.Code[:2] == "57" || e.Code[:2] == "08" || e.Code[:2] == "53":
		return store.Gone
	}
	return store.Other
}

func (e *engine) Dialect() *store.Dialect { return dialect }
func (e *engine) Reader() store.Querier   { return e.db }

// Update implements store.Engine.
func (e *engine) Update(ctx context.Context, fn func(store.Querier) error) error {
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
		return err
	}
	return tx.Commit()
}

// Tidy implements store.Engine: the server's autovacuum does it.
func (e *engine) Tidy(context.Context) error { return nil }

func (e *engine) Close() error { return e.db.Close() }
