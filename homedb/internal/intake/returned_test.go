package intake_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/intake"
	"github.com/courtyard-social/courtyard/homedb/internal/outbox"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/postgres"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

// counting keeps what the intake counts.
func (d *desk) counting() map[string]int {
	counts := map[string]int{}
	d.Counted = func(what string, n int) { counts[what] += n }
	return counts
}

// back is a row that says that a letter to the friend came back; data takes the
// place of what it says of letter id, if it is not empty.
func (d *desk) back(id protocol.ID, data string, change func(*protocol.Envelope)) []byte {
	d.Helper()
	row, err := protocol.NewID(rand.Reader)
	if err != nil {
		d.Fatal(err)
	}
	if data == "" {
		data = fmt.Sprintf(`{"id":%q,"to":%q,"code":"not-contact"}`, id, d.chain.UID())
	}
	here := protocol.Address{IP: "courtyard.example", Port: 443}
	e := &protocol.Envelope{V: 1, ID: row, TS: 1000, From: here, To: here, Type: protocol.TypeReturned, Data: []byte(data)}
	e.From.ID, e.To.ID = protocol.UID(relayKey), d.self
	if change != nil {
		change(e)
	}
	return e.Marshal()
}

func (d *desk) events() []chatlog.Event {
	d.Helper()
	events, _, err := d.Intake.Log.Since(d.Context(), 0, 100)
	if err != nil {
		d.Fatal(err)
	}
	return events
}

func (d *desk) takes(rows ...[]byte) {
	d.Helper()
	var list []intake.Delivery
	for i, raw := range rows {
		list = append(list, intake.Delivery{N: int64(i + 1), Raw: raw})
	}
	if err := d.Take(d.Context(), list, nil); err != nil {
		d.Fatal(err)
	}
}

func TestOnlyTheOwnRelaySaysWhatCameBack(t *testing.T) {
	id, to := protocol.ID{5}, protocol.UID{6}
	for name, forged := range map[string]struct {
		data   string
		change func(*protocol.Envelope)
	}{
		"another relay":       {"", func(e *protocol.Envelope) { e.From.ID[0]++ }},
		"somebody else's":     {"", func(e *protocol.Envelope) { e.To.ID[0]++ }},
		"a key more":          {data: fmt.Sprintf(`{"id":%q,"to":%q,"code":"not-contact","mid":%q}`, id, to, id)},
		"no code":             {data: fmt.Sprintf(`{"id":%q,"to":%q,"code":""}`, id, to)},
		"words for a code":    {data: fmt.Sprintf(`{"id":%q,"to":%q,"code":"call this number"}`, id, to)},
		"a long code":         {data: fmt.Sprintf(`{"id":%q,"to":%q,"code":%q}`, id, to, strings.Repeat("a", 41))},
		"a letter without id": {data: fmt.Sprintf(`{"id":%q,"to":%q,"code":"not-contact"}`, protocol.ID{}, to)},
		"no JSON":             {data: "not-contact"},
		"too much":            {data: fmt.Sprintf(`{"id":%q,"to":%q,"code":"not-contact"%s}`, id, to, strings.Repeat(" ", 1024))},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			counts := d.counting()
			d.takes(d.back(id, forged.data, forged.change))
			held, err := d.Held(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(d.events()) != 0 || held["invalid"] != 1 || counts["held-invalid"] != 1 {
				t.Errorf("%d events, held %v, counted %v", len(d.events()), held, counts)
			}
		})
	}
	d := open(t) // the control
	d.takes(d.back(id, "", nil))
	if list := d.events(); len(list) != 1 || list[0].Type != chatlog.TypeReturned || list[0].Peer != d.chain.UID() {
		t.Errorf("%+v", list)
	}
}

// eachLog runs a story over a log in each database.
func eachLog(t *testing.T, story func(t *testing.T, d *desk)) {
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.OpenLog(t.Context(), filepath.Join(t.TempDir(), "log.db"))
		if err != nil {
			t.Fatal(err)
		}
		story(t, openOn(t, db))
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.OpenLog(t.Context(), postgrestest.Start(t), protocol.UID{1})
		if err != nil {
			t.Fatal(err)
		}
		story(t, openOn(t, db))
	})
}

// posted notes letters {9, n} of the home itself to the friend, as its outbox does.
func (d *desk) posted(about map[string][]byte) {
	d.Helper()
	for i, kind := range []string{outbox.Receipt, outbox.Stale, outbox.Accept} {
		err := d.DB.Write(d.Context(), func(tx store.Tx) error {
			id, to := protocol.ID{9, byte(i)}, d.chain.UID()
			_, err := tx.Exec(d.Context(), `INSERT INTO posted (id, envelope, peer, kind, about) VALUES ($1, $2, $3, $4, $5)`, i+1, id[:], to[:], kind, about[kind])
			return err
		})
		if err != nil {
			d.Fatal(err)
		}
	}
}

func TestWhatCameBackIsSaidOnce(t *testing.T) {
	eachLog(t, func(t *testing.T, d *desk) {
		counts := d.counting()
		d.posted(nil)
		rows := [][]byte{d.back(protocol.ID{5}, "", nil)}
		for i := range 3 {
			rows = append(rows, d.back(protocol.ID{9, byte(i)}, "", nil))
		}
		d.takes(rows...)
		d.takes(rows...) // a crash before the confirmation
		list := d.events()
		if len(list) != 2 {
			t.Fatalf("%d events", len(list))
		}
		var body struct{ Kind string }
		if err := json.Unmarshal(list[1].Body, &body); err != nil || body.Kind != outbox.Accept {
			t.Errorf("%s, %v", list[1].Body, err)
		}
		if counts["added"] != 2 || counts["again"] != 2 || counts["returned-receipt"] != 2 || counts["returned-stale"] != 2 {
			t.Error(counts)
		}
	})
}

// ahead is a row that says that a letter to the friend came back because of its date.
func (d *desk) ahead(id protocol.ID) []byte {
	return d.back(id, fmt.Sprintf(`{"id":%q,"to":%q,"code":"clock-ahead"}`, id, d.chain.UID()), nil)
}

// errands are those that are owed, as kind, first byte of ref, tries; and how many
// of them are due at once.
func (d *desk) errands() (list []string, due int) {
	d.Helper()
	rows, err := d.DB.Query(d.Context(), `SELECT kind, ref, tries, due FROM errands ORDER BY kind`)
	if err != nil {
		d.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var ref []byte
		var tries, at int64
		if err := rows.Scan(&kind, &ref, &tries, &at); err != nil {
			d.Fatal(err)
		}
		list = append(list, fmt.Sprint(kind, " ", ref[0], " ", tries))
		if at <= 0 {
			due++
		}
	}
	return list, due
}

func TestWhatWasDatedAheadIsWrittenAgain(t *testing.T) {
	eachLog(t, func(t *testing.T, d *desk) {
		doubts := 0
		d.Ahead = func() { doubts++ }
		one, two := slices.Repeat([]byte{1}, 48), slices.Repeat([]byte{2}, 48)
		d.posted(map[string][]byte{outbox.Receipt: slices.Concat(one, two), outbox.Stale: slices.Repeat([]byte{3}, 16), outbox.Accept: slices.Repeat([]byte{4}, 16)})
		rows := [][]byte{d.ahead(protocol.ID{9, 0}), d.ahead(protocol.ID{9, 1}), d.ahead(protocol.ID{9, 2}), d.ahead(protocol.ID{5})}
		d.takes(rows...)
		d.takes(rows...) // a crash before the confirmation
		if list := d.events(); len(list) != 1 || list[0].Envelope != (protocol.ID{5}) || doubts != 2*len(rows) {
			t.Errorf("%d doubts, %+v", doubts, list)
		}
		// What a device wrote is left to it for a while; what the home wrote has been sent before.
		if list, due := d.errands(); !slices.Equal(list, []string{"accept 4 1", "again 5 0", "stale 3 1"}) || due != 2 {
			t.Errorf("%d due of %q", due, list)
		}
		var owed int
		to := d.chain.UID()
		if err := d.DB.QueryRow(t.Context(), `SELECT COUNT(*) FROM receipts WHERE peer = $1 AND due <= 0 AND
			(mid = $2 AND hash = $3 OR mid = $4 AND hash = $5)`, to[:], one[:16], one[16:], two[:16], two[16:]).Scan(&owed); err != nil || owed != 2 {
			t.Errorf("%d receipts owed, %v", owed, err)
		}
	})
}
