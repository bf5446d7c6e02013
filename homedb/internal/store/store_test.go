package store_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/postgres"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engines runs a test over every database.
func engines(t *testing.T, do func(t *testing.T, open func() (*store.DB, error))) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log ?#%.db")
		do(t, func() (*store.DB, error) { return sqlite.OpenLog(t.Context(), path) })
	})
	t.Run("postgres", func(t *testing.T) {
		url := postgrestest.Start(t)
		do(t, func() (*store.DB, error) { return postgres.OpenLog(t.Context(), url, protocol.UID{1}) })
	})
}

func opened(t *testing.T, open func() (*store.DB, error)) *store.DB {
	t.Helper()
	db, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestTransactions(t *testing.T) {
	engines(t, func(t *testing.T, open func() (*store.DB, error)) {
		db := opened(t, open)
		count := func() (n int) {
			t.Helper()
			if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM drops`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		insert := func(id []byte, fail error) error {
			return db.Write(t.Context(), func(tx store.Tx) error {
				n, err := tx.Exec(t.Context(), `INSERT INTO drops (id, tries, due) VALUES ($1, 0, 0)`, id)
				if err == nil && n != 1 {
					t.Errorf("%d rows", n)
				}
				return errors.Join(err, fail)
			})
		}
		broken := errors.New("broken")
		if err := insert([]byte{1}, broken); !errors.Is(err, broken) || count() != 0 {
			t.Error("a failed transaction: ", err, count())
		}
		// Many writers at once take turns, and readers do not wait for them.
		var all sync.WaitGroup
		for i := range byte(20) {
			all.Go(func() {
				if err := insert([]byte{i}, nil); err != nil {
					t.Error(err)
				}
				count()
			})
		}
		all.Wait()
		if count() != 20 {
			t.Errorf("%d rows", count())
		}
		if err := insert([]byte{3}, nil); err == nil {
			t.Error("a row twice")
		}
		rows, err := db.Query(t.Context(), `SELECT id FROM drops WHERE id < $1 ORDER BY id`, []byte{3})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 3 {
			t.Error(n, err)
		}
		if err := db.QueryRow(t.Context(), `SELECT nothing FROM nowhere`).Scan(&n); err == nil {
			t.Error("a broken query gave something")
		}
		if _, err := db.Query(t.Context(), `SELECT nothing FROM nowhere`); err == nil {
			t.Error("a broken query gave something")
		}
		if size, err := db.Size(t.Context()); err != nil || size <= 0 {
			t.Error(size, err)
		}
		if err := db.Tidy(t.Context()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = opened(t, open)
		if count() != 20 {
			t.Error("rows are gone after a restart")
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := db.Write(ctx, func(store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestANewerSchemaIsRefused(t *testing.T) {
	engines(t, func(t *testing.T, open func() (*store.DB, error)) {
		db := opened(t, open)
		err := db.Exclusive(t.Context(), func(ctx context.Context, pool *sql.DB) error {
			_, err := pool.ExecContext(ctx, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
			return err
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := open(); !errors.Is(err, store.ErrNewer) {
			t.Error(err)
		}
	})
}

// TestSQLiteIsAsSafeAsItSays reads the settings back: a typing mistake in one of
// them would be silent.
func TestSQLiteIsAsSafeAsItSays(t *testing.T) {
	for name, open := range map[string]func(context.Context, string) (*store.DB, error){"log": sqlite.OpenLog, "ring": sqlite.OpenRing} {
		t.Run(name, func(t *testing.T) {
			db, err := open(t.Context(), filepath.Join(t.TempDir(), "x.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "auto_vacuum": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
				var got string
				err := db.Exclusive(t.Context(), func(ctx context.Context, pool *sql.DB) error {
					return pool.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got)
				})
				if err != nil || got != want {
					t.Errorf("%s is %s, %v", pragma, got, err)
				}
			}
		})
	}
}

func TestPeopleHaveSchemasOfTheirOwn(t *testing.T) {
	url := postgrestest.Start(t)
	for i := range byte(2) {
		db, err := postgres.OpenLog(t.Context(), url, protocol.UID{i + 1})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var n int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM drops`).Scan(&n); err != nil || n != 0 {
			t.Error(n, err)
		}
		if err := db.Write(t.Context(), func(tx store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO drops (id, tries, due) VALUES ($1, 0, 0)`, []byte{1})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := postgres.Schema(protocol.UID{1}), postgres.Schema(protocol.UID{2}); a == b || len(a) > 63 {
		t.Error(a, b)
	}
	if _, err := postgres.OpenLog(t.Context(), "postgres://user:hunter2@[::1", protocol.UID{1}); err == nil || len(err.Error()) > 80 {
		t.Error(err)
	}
}
