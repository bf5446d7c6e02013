// Package sqlite keeps a person's data in SQLite files: write-ahead log, every
// commit on disk before it counts (synchronous=FULL), deleted content overwritten
// (secure_delete), one writer, a few readers. It must never open a file that two
// programs share, nor weaken those settings.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
)

//go:embed log/*.sql ring/*.sql
var steps embed.FS

const (
	readers       = 3   // one page of history must not wait for another
	tidyPages     = 256 // given back at a time: 1 MiB
	cacheKiB      = 2048
	busyMillis    = 10_000
	walLimitBytes = 8 << 20 // what the write-ahead log keeps after a checkpoint
)

// OpenLog opens or creates the database of a person's log.
func OpenLog(ctx context.Context, path string) (*store.DB, error) { return open(ctx, path, "log") }

// Exists reports, as store.ErrMissing, that there is no database at path. An empty
// file is none: SQLite would make a new one of it.
func Exists(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return store.ErrMissing
	}
	return err
}

// OpenRing opens or creates the database of a person's daily keys. It is apart
// from the log so that a copy of the log holds no key, and so small that it can
// be wiped clean after every deletion.
func OpenRing(ctx context.Context, path string) (*store.DB, error) { return open(ctx, path, "ring") }

func open(ctx context.Context, path, schema string) (*store.DB, error) {
	if err := touch(path); err != nil {
		return nil, err
	}
	write, err := pool(path, 1)
	if err != nil {
		return nil, err
	}
	e := &engine{path: path, write: write}
	files, err := fs.Sub(steps, schema)
	if err == nil {
		err = store.Migrate(ctx, goose.DialectSQLite3, write, files)
	}
	if err != nil {
		if e.Full(err) {
			err = fmt.Errorf("%w: %w", store.ErrFull, err)
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Base(path), err), write.Close())
	}
	read, err := pool(path, readers)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return store.New(e, write, read), nil
}

// touch creates the file readable by its owner alone; SQLite gives its side
// files the same mode.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func pool(path string, size int) (*sql.DB, error) {
	q := url.Values{
		"_busy_timeout": {fmt.Sprint(busyMillis)},
		"_auto_vacuum":  {"INCREMENTAL"}, // before the first table, or never
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"ON"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_txlock":       {"immediate"},
		"_pragma": {
			"secure_delete(ON)",
			fmt.Sprintf("cache_size(-%d)", cacheKiB),
			fmt.Sprintf("journal_size_limit(%d)", walLimitBytes),
			"temp_store(MEMORY)",
		},
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: q.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

type engine struct {
	path  string
	write *sql.DB
}

// Size is the file and its write-ahead log.
func (e *engine) Size(context.Context) (int64, error) {
	var total int64
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(e.path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, nil
}

// Tidy gives a megabyte of free pages back; a whole VACUUM would copy the file.
func (e *engine) Tidy(ctx context.Context) error {
	rows, err := e.write.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", tidyPages))
	if err != nil {
		return err
	}
	for rows.Next() { // each step of the statement frees a page
	}
	return errors.Join(rows.Err(), rows.Close())
}

// Full also looks at the disk itself: where the side files of the write-ahead log
// find no room SQLite speaks of an I/O error only.
func (e *engine) Full(err error) bool {
	var s *sqlite.Error
	if !errors.As(err, &s) {
		return false
	}
	switch s.Code() & 0xff {
	case sqlitelib.SQLITE_FULL:
		return true
	case sqlitelib.SQLITE_IOERR:
		var disk syscall.Statfs_t
		return syscall.Statfs(filepath.Dir(e.path), &disk) == nil && disk.Bavail*uint64(disk.Bsize) < 256<<10
	}
	return false
}

func (e *engine) Close() error { return nil }

// Wipe leaves nothing of deleted rows behind: free pages are given back, the
// write-ahead log is brought into the file and cut to nothing.
func Wipe(ctx context.Context, db *store.DB) error { return db.Exclusive(ctx, wipe) }

func wipe(ctx context.Context, write *sql.DB) error {
	if _, err := write.ExecContext(ctx, "VACUUM"); err != nil {
		return err
	}
	var busy, frames, moved int
	if err := write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("a reader keeps the write-ahead log")
	}
	return nil
}
