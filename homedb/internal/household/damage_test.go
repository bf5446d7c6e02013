package household_test

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/homedb/internal/person"
	"github.com/courtyard-social/courtyard/homedb/internal/store/postgres"
)

// two are a household, wei the first of it. The home is at rest.
func two(t *testing.T, database func(*household.Config)) (wei, mei *hometest.App, home *hometest.Home) {
	t.Helper()
	c := hometest.Start(t)
	wei = c.Owner("wei")
	mei = c.Guest(wei, "mei")
	home = c.Home(database)
	wei.Pairs(home)
	var code struct{ Code string }
	if err := wei.Links().Asks("code", nil, &code); err != nil {
		t.Fatal(err)
	}
	mei.Approves(codeOf(t, code.Code))
	mei.TakenOver(home)
	mei.Learn()
	home.Stop()
	return wei, mei, home
}

func folder(home *hometest.Home, a *hometest.App) string {
	return filepath.Join(home.Dir, "people", hex.EncodeToString(a.UID[:]))
}

// loses takes somebody's log away and returns what puts it back, and where people
// are told to look for it.
func loses(t *testing.T, home *hometest.Home, a *hometest.App) (back func(), place string) {
	t.Helper()
	if url := home.Config().Database; url != "" {
		rename := func(from, to string) {
			t.Helper()
			db, err := sql.Open("pgx", url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec("ALTER SCHEMA " + from + " RENAME TO " + to); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		schema := postgres.Schema(a.UID)
		rename(schema, "lost")
		return func() { rename("lost", schema) }, schema
	}
	path, away := filepath.Join(folder(home, a), "log.db"), filepath.Join(t.TempDir(), "log.db")
	if err := os.Rename(path, away); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a log was made in the place of the one that is lost: %v", err)
		}
		if err := os.Rename(away, path); err != nil {
			t.Fatal(err)
		}
	}, path
}

// refused checks that a alone is not looked after, and is shown so.
func refused(t *testing.T, home *hometest.Home, a *hometest.App, handle string) {
	t.Helper()
	if n := home.People(); n != 1 {
		t.Errorf("%d people", n)
	}
	list := home.Residents()
	if len(list) != 2 {
		t.Fatalf("%d people are shown", len(list))
	}
	for _, p := range list {
		if damaged := p.State.Trouble == person.Damaged; damaged != (p.UID == a.UID) {
			t.Errorf("%s: %+v", p.Username, p.State)
		} else if damaged && (p.State.Connected || p.Handle() != handle) {
			t.Errorf("%s: %+v", p.Handle(), p.State)
		}
	}
}

func TestALostLogIsNotReplacedByAnEmptyOne(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		wei, mei, home := two(t, database)
		s := mei.Says(wei, "kept by the relay")
		back, _ := loses(t, home, mei)
		home.Start()
		mei.Ticked(s) // by wei's home
		refused(t, home, mei, "mei@"+home.Place.Host)
		if mei.Kept() == 0 {
			t.Error("the relay was told to forget mei's own copy")
		}
		home.Stop()
		back()
		home.Start()
		mei.TakenOver(home)
		mei.Links().LogHas("what was said meanwhile", is(s))
		home.Stop()
		// With nobody left it ends, with a sentence that says where to look.
		_, first := loses(t, home, wei)
		if home.Config().Database == "" {
			loses(t, home, mei)
		} else {
			_, err := postgresDrop(t, home.Config().Database, postgres.Schema(mei.UID))
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := household.Open(t.Context(), home.Config())
		var said *household.Sentence
		if !errors.As(err, &said) || !strings.Contains(err.Error(), "the log of wei cannot be read") || !strings.Contains(err.Error(), first) ||
			!strings.Contains(err.Error(), "put back a backup; nothing was changed") {
			t.Errorf("nobody can be opened: %v", err)
		}
	})
}

func postgresDrop(t *testing.T, url, schema string) (sql.Result, error) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return db.Exec("DROP SCHEMA " + schema + " CASCADE")
}

// TestDamagedFilesOfOnePerson: whatever of one person's is damaged, the other has
// their home, and a newcomer needs the consent of the first all the same.
func TestDamagedFilesOfOnePerson(t *testing.T) {
	wei, mei, home := two(t, func(*household.Config) {})
	dir := folder(home, wei)
	keys, err := filepath.Glob(filepath.Join(dir, "device-*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	for name, test := range map[string]struct {
		path    string
		content string
		handle  string
	}{
		"log":         {filepath.Join(dir, "log.db"), strings.Repeat("rubbish ", 2000), "wei@" + home.Place.Host},
		"empty log":   {filepath.Join(dir, "log.db"), "", "wei@" + home.Place.Host},
		"daily keys":  {filepath.Join(dir, "keys.db"), strings.Repeat("rubbish ", 2000), "wei@" + home.Place.Host},
		"device key":  {keys[0], "rubbish", "wei@" + home.Place.Host},
		"person.json": {filepath.Join(dir, "person.json"), "{", filepath.Join("people", filepath.Base(dir)[:8])},
	} {
		t.Run(name, func(t *testing.T) {
			good, err := os.ReadFile(test.path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(test.path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			home.Start()
			mei.TakenOver(home)
			refused(t, home, wei, test.handle)
			attempt, err := home.Ask(home.Place.Host + "/" + newCode(t).Text())
			if err != nil || attempt.Stage != household.Asking {
				t.Errorf("a newcomer does not need the first person's consent any more: %+v, %v", attempt, err)
			}
			if asks := home.Asks(mei.UID); len(asks) != 0 {
				t.Error("and the second person is asked instead")
			}
			home.Stop()
			if now, err := os.ReadFile(test.path); err != nil || string(now) != test.content {
				t.Errorf("it was changed: %v", err)
			}
			if err := os.WriteFile(test.path, good, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	// Without daily keys, as a backup is, a home begins.
	if err := os.Remove(filepath.Join(dir, "keys.db")); err != nil {
		t.Fatal(err)
	}
	home.Start()
	wei.TakenOver(home)
	mei.TakenOver(home)
	if n := home.People(); n != 2 {
		t.Errorf("%d people", n)
	}
}
