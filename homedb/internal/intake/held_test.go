package intake_test

import (
	"bytes"
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/intake"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/postgres"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

// TestWhatIsHeldIsBoundedInBytes: rubbish of the largest size fills 64 MiB long
// before it is a thousand letters; then the oldest goes, and it alone.
func TestWhatIsHeldIsBoundedInBytes(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.OpenLog(t.Context(), filepath.Join(t.TempDir(), "log.db"))
		if err != nil {
			t.Fatal(err)
		}
		heldInBytes(t, db)
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.OpenLog(t.Context(), postgrestest.Start(t), protocol.UID{1})
		if err != nil {
			t.Fatal(err)
		}
		heldInBytes(t, db)
	})
}

func heldInBytes(t *testing.T, db *store.DB) {
	const (
		size  = 1 << 20
		bound = 64 << 20
	)
	d := openOn(t, db)
	rubbish := func(n int64) intake.Delivery {
		raw := make([]byte, size)
		if _, err := rand.Read(raw); err != nil { // nothing that a database could press together
			t.Fatal(err)
		}
		raw[0] = byte(n)
		return intake.Delivery{N: n, Raw: raw}
	}
	small := []byte("rubbish that came first")
	if err := d.Take(t.Context(), []intake.Delivery{{N: 1, Raw: small}}, nil); err != nil {
		t.Fatal(err)
	}
	here := func() (n, total int, oldest []byte) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*), SUM(LENGTH(raw)) FROM held`).Scan(&n, &total); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(t.Context(), `SELECT raw FROM held ORDER BY id LIMIT 1`).Scan(&oldest); err != nil {
			t.Fatal(err)
		}
		return n, total, oldest
	}
	for n := int64(2); n < 2+bound/size-1; n += 7 { // 63 of them
		var rows []intake.Delivery
		for i := range int64(7) {
			rows = append(rows, rubbish(n+i))
		}
		if err := d.Take(t.Context(), rows, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, total, oldest := here(); n != 64 || total > bound || !bytes.Equal(oldest, small) {
		t.Fatalf("%d letters of %d bytes are held, though there was room for all", n, total)
	}
	if err := d.Take(t.Context(), []intake.Delivery{rubbish(100)}, nil); err != nil {
		t.Fatal(err)
	}
	if n, total, oldest := here(); n != 64 || total != bound || oldest[0] != 2 {
		t.Errorf("%d letters of %d bytes are held, the oldest begins with %d", n, total, oldest[0])
	}
	if err := d.Take(t.Context(), []intake.Delivery{rubbish(101), rubbish(102)}, nil); err != nil {
		t.Fatal(err)
	}
	if n, total, oldest := here(); n != 64 || total != bound || oldest[0] != 4 {
		t.Errorf("%d letters of %d bytes are held, the oldest begins with %d", n, total, oldest[0])
	}
	// What is held for another reason, and what can be opened, is not touched by it.
	if err := d.Take(t.Context(), []intake.Delivery{{N: 103, Raw: d.writes("good")}}, nil); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := here(); n != 64 {
		t.Errorf("%d letters are held after one that was opened", n)
	}
}

// TestWhatWaitsForACourtyardHurries: a letter of somebody whose courtyard is away is
// tried again later and later; but at once when another of theirs could be opened.
func TestWhatWaitsForACourtyardHurries(t *testing.T) {
	d := open(t)
	moved := clock.NewMoved()
	d.Clock, d.Book = moved, friends.Open(d.DB, d.self, d, moved, d.Logger)
	d.away = true
	d.takes(d.writes("one"), d.writes("two"))
	retry := func() time.Duration {
		t.Helper()
		next, err := d.Retry(t.Context(), false, false)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	for range 12 {
		moved.Advance(retry() + time.Second)
	}
	if next := retry(); next < 5*time.Hour || len(d.events()) != 0 {
		t.Fatalf("tried again after %v, %d events", next, len(d.events()))
	}
	d.away = false
	moved.Advance(time.Minute)
	if retry(); len(d.events()) != 0 {
		t.Fatal("tried before it was due: this test proves nothing")
	}
	d.takes(d.writes("three"))
	if retry(); len(d.events()) != 3 {
		t.Errorf("%d events", len(d.events()))
	}
	if held, err := d.Held(t.Context()); err != nil || len(held) != 0 {
		t.Error(held, err)
	}
}
