package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/space"
	"github.com/courtyard-social/courtyard/relay/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/relay/internal/store/storetest"
)

func TestContract(t *testing.T) { storetest.Contract(t, storetest.SQLite) }

func TestPragmas(t *testing.T) {
	o := storetest.SQLite(t)
	for name, want := range map[string]string{"journal_mode": "wal", "auto_vacuum": "2"} {
		var got string
		if err := o.Raw.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

func TestFreedRoomGoesBackToTheDiskAndLettersAreOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "courtyard.db")
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	p, joining := storetest.Joining(t, "mei")
	if _, err := s.Join(t.Context(), joining); err != nil {
		t.Fatal(err)
	}
	secret := []byte("sealed-bytes-of-a-letter-that-a-home-has-confirmed")
	err = s.Custody(t.Context(), func(l queue.Ledger) error {
		for n := range byte(200) {
			put := storetest.Letter(p.UID, n, 0, p.UID)
			put.Raw = bytes.Repeat(secret, 1000)
			if err := l.Keep(t.Context(), queue.NewRow{Owner: p.UID, N: int64(n) + 1, Put: put}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // folds the log into the file
		t.Fatal(err)
	}
	full := read(t, path)
	if !bytes.Contains(full, secret) {
		t.Fatal("the letters are not where this test looks for them")
	}
	if s, err = sqlite.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	err = s.Custody(t.Context(), func(l queue.Ledger) error {
		for n := range int64(200) {
			if err := l.Drop(t.Context(), p.UID, space.Item{N: n + 1}); err != nil {
				return err
			}
		}
		return nil
	})
	for range 5 {
		err = errors.Join(err, s.Tidy(t.Context()))
	}
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	rest := read(t, path)
	if bytes.Contains(rest, secret) {
		t.Error("a deleted letter is still in the file")
	}
	if len(rest) > len(full)/10 {
		t.Errorf("the file has %d bytes, after %d", len(rest), len(full))
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestANewerSchemaIsRefusedWithASentence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "courtyard.db")
	open(t, path, true)
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, false); !strings.Contains(err.Error(), "newer courtyard-relay") {
		t.Fatal(err)
	}
}

func TestWhatIsNoDatabaseIsRefusedWithASentence(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "courtyard.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, false); !strings.Contains(err.Error(), "restore it from a backup") {
		t.Fatal(err)
	}
	if err := open(t, filepath.Join(dir, "missing", "courtyard.db"), false); !strings.Contains(err.Error(), "cannot read and write") {
		t.Fatal(err)
	}
}

// open opens and closes the file and says how that went.
func open(t *testing.T, path string, well bool) error {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if well != (err == nil) {
		t.Fatal("opening:", err)
	}
	if err == nil {
		err = s.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	return err
}
