package outbox_test

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/outbox"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/postgres"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// owing runs a test over every database; owe notes n errands of a kind, the
// earlier ones made earlier.
func owing(t *testing.T, do func(t *testing.T, o *outbox.Outbox, owe func(kind string, peer byte, n int))) {
	run := func(t *testing.T, db *store.DB, err error) {
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		now := int64(0)
		do(t, &outbox.Outbox{DB: db, Clock: clock.System{}}, func(kind string, peer byte, n int) {
			t.Helper()
			err := db.Write(t.Context(), func(tx store.Tx) error {
				for range n {
					now++
					var ref protocol.ID
					binary.BigEndian.PutUint64(ref[:], uint64(now))
					if err := outbox.Owe(t.Context(), tx, kind, protocol.UID{peer}, ref, now); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.OpenLog(t.Context(), filepath.Join(t.TempDir(), "log.db"))
		run(t, db, err)
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.OpenLog(t.Context(), postgrestest.Start(t), protocol.UID{1})
		run(t, db, err)
	})
}

func turn(t *testing.T, o *outbox.Outbox) []outbox.Errand {
	t.Helper()
	list, err := o.Turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAFloodWaitsForEverythingElse(t *testing.T) {
	owing(t, func(t *testing.T, o *outbox.Outbox, owe func(string, byte, int)) {
		owe(outbox.Stale, 1, 3*outbox.MostStale)
		owe(outbox.Reseal, 2, 2)
		owe(outbox.Accept, 3, 1)
		first := turn(t, o)
		if len(first) != outbox.AtOnce {
			t.Fatalf("%d errands at once", len(first))
		}
		for i, e := range first {
			if stale := e.Kind == outbox.Stale; stale != (i >= 3) {
				t.Errorf("place %d has %s", i, e.Kind)
			}
		}
		// What comes while the flood is being dealt with does not wait for its end.
		owe(outbox.Accept, 4, 1)
		if list := turn(t, o); list[0].Kind != outbox.Accept {
			t.Errorf("first comes %s", list[0].Kind)
		}
		n := 2*outbox.AtOnce - 4
		for list := turn(t, o); len(list) > 0; list = turn(t, o) {
			n += len(list)
		}
		if n != outbox.MostStale {
			t.Errorf("%d stale notices to one peer", n)
		}
	})
}

func TestStaleNoticesTakeTurns(t *testing.T) {
	owing(t, func(t *testing.T, o *outbox.Outbox, owe func(string, byte, int)) {
		const flooding = 2 * outbox.AtOnce
		for peer := range byte(flooding) {
			owe(outbox.Stale, 10+peer, 50)
		}
		owe(outbox.Stale, 1, 1)
		owe(outbox.Stale, 200, 1)
		turns := map[byte]int{}
		for range 3 { // of atOnce: as many as there are peers, and more
			for _, e := range turn(t, o) {
				turns[e.Peer[0]]++
			}
		}
		if turns[1] != 1 || turns[200] != 1 {
			t.Errorf("those who have caused one wait for those who have caused fifty: %v", turns)
		}
		for peer, n := range turns {
			if n > 2 {
				t.Errorf("%d has had %d turns while others waited", peer, n)
			}
		}
		var last protocol.ID
		for list := turn(t, o); len(list) > 0; list = turn(t, o) { // each peer's own in the order they were made
			for _, e := range list {
				if e.Peer[0] == 10 {
					if string(e.Ref[:]) < string(last[:]) {
						t.Error("a later one first")
					}
					last = e.Ref
				}
			}
		}
	})
}

// A letter may come back before the relay's answer to it has been looked at.
func TestWhatComesBackBeforeItIsAnsweredForStaysOwed(t *testing.T) {
	owing(t, func(t *testing.T, o *outbox.Outbox, owe func(kind string, peer byte, n int)) {
		peer, envelope := protocol.UID{1}, protocol.ID{9}
		item := message.Item{MID: protocol.ID{1}, Hash: protocol.Hash32{1}}
		write := func(do func(tx store.Tx) error) {
			t.Helper()
			if err := o.DB.Write(t.Context(), do); err != nil {
				t.Fatal(err)
			}
		}
		owe(outbox.Stale, 1, 1)
		write(func(tx store.Tx) error { return outbox.OweReceipt(t.Context(), tx, peer, item.MID, item.Hash) })
		var ref protocol.ID
		binary.BigEndian.PutUint64(ref[:], 1)
		comesBack := func() {
			write(func(tx store.Tx) error {
				return errors.Join(
					outbox.Rewrite(t.Context(), tx, peer, outbox.Posted{Kind: outbox.Receipt, Items: []message.Item{item}}, envelope, 1),
					outbox.Rewrite(t.Context(), tx, peer, outbox.Posted{Kind: outbox.Stale, Ref: ref}, envelope, 1))
			})
		}
		for round, c := range []struct {
			meanwhile func()
			want      int
		}{{comesBack, 1}, {comesBack, 1}, {func() {}, 1}, {func() {}, 0}, {comesBack, 0}, {func() {}, 1}, {func() {}, 0}} {
			receipts, errands, err := o.Sends(t.Context(), c.meanwhile)
			if err != nil || receipts != c.want || errands != c.want {
				t.Fatalf("round %d: %d receipts and %d errands were due, not %d: %v", round, receipts, errands, c.want, err)
			}
		}
	})
}
