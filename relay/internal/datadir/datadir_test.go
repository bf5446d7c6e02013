package datadir_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/datadir"
)

func TestTheFirstRunAndTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "data")
	d, err := datadir.Open(path, rand.Reader)
	must(t, err)
	if _, err := datadir.Open(path, rand.Reader); err == nil || !strings.Contains(err.Error(), "another relay") {
		t.Fatal(err)
	}
	token, key, err := datadir.Claim(path)
	must(t, err)
	if key != d.Key().Public() || !d.Matches(protocol.ID(token.Expose())) || d.Matches(protocol.ID{}) {
		t.Fatal("the claim is another")
	}
	_, err = d.Database()
	must(t, err)
	must(t, d.Close())

	d, err = datadir.Open(path, failing{}) // nothing is made again
	must(t, err)
	if d.Key().Public() != key || !d.Matches(protocol.ID(token.Expose())) {
		t.Fatal("another key or claim")
	}
	must(t, d.Spend())
	must(t, d.Spend())
	if d.Matches(protocol.ID(token.Expose())) {
		t.Fatal("spent and still matching")
	}
	must(t, d.Undo()) // this run has made nothing
	if _, err := os.Stat(filepath.Join(path, "courtyard.db")); err != nil {
		t.Fatal("undone what an earlier run made:", err)
	}
	d, err = datadir.Open(path, failing{})
	must(t, err)
	if _, _, err := datadir.Claim(path); err == nil || !strings.Contains(err.Error(), "has been claimed") {
		t.Fatal(err)
	}
	must(t, d.Close())
}

func TestAFirstRunThatFailsLeavesNothing(t *testing.T) {
	for bytesLeft := range 48 {
		path := filepath.Join(t.TempDir(), "data")
		if _, err := datadir.Open(path, io.LimitReader(rand.Reader, int64(bytesLeft))); err == nil {
			t.Fatal("made without enough randomness")
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatal("left behind after", bytesLeft, "bytes:", err)
		}
	}
	// A folder that was there stays, with what was in it.
	path := t.TempDir()
	must(t, os.WriteFile(filepath.Join(path, "mine"), nil, 0o600))
	d, err := datadir.Open(path, rand.Reader)
	must(t, err)
	_, err = d.Database()
	must(t, err)
	must(t, d.Undo())
	left, err := os.ReadDir(path)
	must(t, err)
	for _, entry := range left {
		if entry.Name() != "mine" && entry.Name() != "lock" {
			t.Error("left:", entry.Name())
		}
	}
}

func TestTheKeyNeverPrints(t *testing.T) {
	path := t.TempDir()
	d, err := datadir.Open(path, rand.Reader)
	must(t, err)
	seed := d.Key().Expose()
	raw, err := os.ReadFile(filepath.Join(path, "relay.key"))
	must(t, err)
	if !bytes.HasPrefix(raw, []byte(protocol.EncodeBytes(seed[:]))) {
		t.Fatal("the file has another key")
	}
	if text := d.Key().String(); strings.Contains(text, protocol.EncodeBytes(seed[:])) {
		t.Fatal(text)
	}
	must(t, d.Close())
}

func TestTheReserve(t *testing.T) {
	now, free, asked := time.Unix(1_800_000_000, 0), int64(100), 0
	var fails error
	var said bytes.Buffer
	warnings := func(want int) {
		t.Helper()
		if got := strings.Count(said.String(), "level=WARN"); got != want {
			t.Fatalf("%d warnings, want %d:\n%s", got, want, said.String())
		}
	}
	r := datadir.NewReserve(64, func() (int64, error) { asked++; return free, fails }, func() time.Time { return now },
		slog.New(slog.NewTextHandler(&said, nil)))
	must(t, r.Room())
	free = 63
	must(t, r.Room()) // believed for a second
	warnings(0)
	now = now.Add(time.Second)
	if err := r.Room(); protocol.CodeOf(err) != protocol.CodeRelayFull {
		t.Fatal(err)
	}
	free, fails = 100, errors.New("no answer")
	now = now.Add(time.Second)
	if err := r.Room(); protocol.CodeOf(err) != protocol.CodeRelayFull {
		t.Fatal(err)
	}
	fails = nil
	now = now.Add(time.Second)
	must(t, r.Room())
	if asked != 4 {
		t.Fatal("asked", asked, "times")
	}
	warnings(1)                                                    // when it began, not for each refusal
	for _, wait := range []time.Duration{time.Second, warnAgain} { // hovering says nothing new, another day does
		now, free = now.Add(wait), 100
		must(t, r.Room())
		now, free = now.Add(time.Second), 63
		if err := r.Room(); protocol.CodeOf(err) != protocol.CodeRelayFull {
			t.Fatal(err)
		}
		if wait == time.Second {
			warnings(1)
		}
	}
	warnings(2)
}

// warnAgain is longer than the operator is left in peace.
const warnAgain = 11 * time.Minute

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no randomness is needed here") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
