package relay_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/relay"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

// doesNotStart checks that a relay says want about its data in one line, and
// that the folder is as it was.
func doesNotStart(t *testing.T, config relay.Config, want ...string) {
	t.Helper()
	before := listing(t, config.Data)
	config.Listen, config.SpaceMiB = "127.0.0.1:0", 256
	r, err := relay.New(context.Background(), config, relay.Surroundings{})
	if err == nil {
		must(t, r.Close())
		t.Fatal("started; want:", want)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("said %q, want %q", err, part)
		}
	}
	if after := listing(t, config.Data); after != before {
		t.Errorf("the folder was %q and is %q", before, after)
	}
}

func listing(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	must(t, err)
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

// away takes a file out of the folder; back puts it there again.
func away(t *testing.T, name string) (back func()) {
	t.Helper()
	aside := filepath.Join(t.TempDir(), filepath.Base(name))
	must(t, os.Rename(name, aside))
	return func() { t.Helper(); must(t, os.Rename(aside, name)) }
}

func TestLostDataIsNotReplaced(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	file := func(name string) string { return filepath.Join(c.Data, name) }
	config := relay.Config{Data: c.Data}

	// Nobody lives there yet: a first run that was cut short goes on. Without its
	// key the database is refused all the same.
	c.Stop()
	back := away(t, file("relay.key"))
	doesNotStart(t, config, file("relay.key"), "is missing")
	back()
	must(t, os.Remove(file("courtyard.db")))
	c.Restart()
	c.Stop()
	must(t, os.Truncate(file("courtyard.db"), 0))
	c.Restart()
	c.Stop()
	must(t, os.Remove(file("courtyard.db")))
	must(t, os.Remove(file("relay.key"))) // the claim token is made before the key
	c.Restart()

	mei := c.Owner("mei")
	c.Connect(mei, mei.Phone)
	c.Stop()
	back = away(t, file("relay.key"))
	doesNotStart(t, config, file("relay.key"), "is missing")
	back()
	back = away(t, file("courtyard.db"))
	doesNotStart(t, config, file("courtyard.db"), "missing or empty")
	must(t, os.WriteFile(file("courtyard.db"), nil, 0o600))
	doesNotStart(t, config, file("courtyard.db"), "missing or empty")
	must(t, os.Remove(file("courtyard.db")))
	other := relaytest.Start(t, relaytest.Options{}) // a database, and nobody in it
	other.Stop()
	must(t, os.Rename(filepath.Join(other.Data, "courtyard.db"), file("courtyard.db")))
	doesNotStart(t, config, c.Data, "holds nobody")
	back()
	c.Restart()
	c.Connect(mei, mei.Phone)
}

func TestLostDataIsNotReplacedWithPostgres(t *testing.T) {
	t.Parallel()
	config := relaytest.Config{Database: postgrestest.Start(t)}
	c := relaytest.Start(t, relaytest.Options{Config: config})
	config.Data = c.Data
	mei := c.Owner("mei")
	c.Stop()
	back := away(t, filepath.Join(c.Data, "relay.key"))
	doesNotStart(t, config, filepath.Join(c.Data, "relay.key"), "holds a courtyard")
	back()
	empty := config
	empty.Database = postgrestest.Start(t)
	doesNotStart(t, empty, c.Data, "holds nobody")
	c.Restart()
	c.Connect(mei, mei.Phone)
}
