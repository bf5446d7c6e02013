package chatlog_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/postgres"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	wei = protocol.UID{1}
	mei = protocol.UID{2}
	tom = protocol.UID{3}
)

// engines runs a test over every database that can hold a log.
func engines(t *testing.T, do func(t *testing.T, open func() *store.DB)) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log.db")
		do(t, func() *store.DB {
			db, err := sqlite.OpenLog(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			return db
		})
	})
	t.Run("postgres", func(t *testing.T) {
		url := postgrestest.Start(t)
		do(t, func() *store.DB {
			db, err := postgres.OpenLog(t.Context(), url, wei)
			if err != nil {
				t.Fatal(err)
			}
			return db
		})
	})
}

// room is a log and the means to write to it.
type room struct {
	*testing.T
	*chatlog.Log
	db    *store.DB
	clock int64
}

func enter(t *testing.T, db *store.DB) *room {
	t.Helper()
	l, err := chatlog.Open(t.Context(), db, wei, rand.Reader, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return &room{T: t, Log: l, db: db, clock: 5000}
}

// says makes an event; the changes come on top.
func (r *room) says(author, peer protocol.UID, kind, body string, changes ...func(*chatlog.Event)) *chatlog.Event {
	r.Helper()
	mid, err := protocol.NewID(rand.Reader)
	if err != nil {
		r.Fatal(err)
	}
	r.clock++
	e := &chatlog.Event{Peer: peer, Author: author, Dev: protocol.DeviceID(author), Type: chatlog.TypeChat, Kind: kind, Mid: mid,
		Clock: r.clock, TS: r.clock, Received: r.clock + 7, Envelope: mid, Proof: []byte("proof"), Meta: []byte("{}"),
		Body: []byte(body), Hash: protocol.Hash("test", mid[:])}
	for _, change := range changes {
		change(e)
	}
	return e
}

func touching(e *chatlog.Event) func(*chatlog.Event) {
	return func(t *chatlog.Event) { t.Touches = &chatlog.Touch{Mid: e.Mid, Author: e.Author} }
}

func (r *room) append(events ...*chatlog.Event) []bool {
	r.Helper()
	var added []bool
	err := r.db.Write(r.Context(), func(tx store.Tx) (err error) {
		added, err = r.Append(r.Context(), tx, events)
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return added
}

func (r *room) since(n int64) []chatlog.Event {
	r.Helper()
	events, more, err := r.Since(r.Context(), n, 100)
	if err != nil || more {
		r.Fatal(err, more)
	}
	return events
}

func (r *room) page(peer protocol.UID, before chatlog.Place, limit int) ([]chatlog.Event, bool) {
	r.Helper()
	events, more, err := r.Page(r.Context(), peer, before, limit)
	if err != nil {
		r.Fatal(err)
	}
	return events, more
}

func (r *room) find(e *chatlog.Event) chatlog.Event {
	r.Helper()
	got, ok, err := r.Find(r.Context(), e.Author, e.Mid)
	if err != nil || !ok {
		r.Fatal("not found: ", err)
	}
	return got
}

func bodies(events []chatlog.Event) string {
	var out bytes.Buffer
	for _, e := range events {
		if e.Body == nil {
			out.WriteString("- ")
			continue
		}
		out.Write(e.Body)
		out.WriteByte(' ')
	}
	return out.String()
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		r := enter(t, db)
		sent := r.says(mei, mei, "text", `{"text":"你好"}`)
		reaction := r.says(wei, mei, "react", `{"emoji":"x"}`, touching(sent))
		r.append(sent, reaction)
		check := func(r *room) {
			t.Helper()
			got := r.since(0)
			if len(got) != 2 {
				t.Fatalf("%d events", len(got))
			}
			for i, want := range []*chatlog.Event{sent, reaction} {
				a, b := got[i], *want
				if a.Touches != nil && *a.Touches != *b.Touches {
					t.Error("touches another message")
				}
				a.Touches, b.Touches = nil, nil
				x, err := json.Marshal(a)
				y, err2 := json.Marshal(b)
				if err != nil || err2 != nil || !bytes.Equal(x, y) {
					t.Errorf("got %s\nwant %s", x, y)
				}
				if !bytes.Equal(a.Proof, b.Proof) || !bytes.Equal(a.Meta, b.Meta) || a.Envelope != b.Envelope || a.N != int64(i+1) {
					t.Error("the proof is not as it was")
				}
			}
		}
		check(r)
		epoch := r.Epoch()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open()
		defer db.Close()
		again := enter(t, db)
		check(again)
		if again.Epoch() != epoch {
			t.Error("opening again changed the epoch")
		}
		if n, err := again.N(t.Context()); err != nil || n != 2 {
			t.Errorf("N = %d, %v", n, err)
		}
		s, err := again.Status(t.Context())
		if err != nil || s.Messages != 1 || s.Since != 1000 || s.Bytes == 0 {
			t.Errorf("status %+v, %v", s, err)
		}
		if _, err := chatlog.Open(t.Context(), db, tom, rand.Reader, 1); err == nil {
			t.Error("somebody else's log was opened")
		}
	})
}

func TestOneEventForEachAuthorAndMid(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		first := r.says(mei, mei, "text", `"first"`)
		again := r.says(mei, mei, "text", `"again"`, func(e *chatlog.Event) { e.Mid = first.Mid })
		other := r.says(tom, tom, "text", `"tom's, by chance the same mid"`, func(e *chatlog.Event) { e.Mid = first.Mid })
		if added := r.append(first, again, other); !added[0] || added[1] || !added[2] {
			t.Errorf("added %v", added)
		}
		if added := r.append(again); added[0] {
			t.Error("added again in a later batch")
		}
		if got := r.find(first); string(got.Body) != `"first"` {
			t.Errorf("the first version did not stay: %s", got.Body)
		}
		if n := len(r.since(0)); n != 2 {
			t.Errorf("%d events", n)
		}
		s, err := r.Status(t.Context())
		if err != nil || s.Messages != 2 {
			t.Errorf("counted %d messages, %v", s.Messages, err)
		}
	})
}

func TestNothingOfAFailedTransactionStays(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		broken := errors.New("broken")
		stranger := r.says(tom, tom, "text", `"x"`)
		err := db.Write(t.Context(), func(tx store.Tx) error {
			if _, err := r.Append(t.Context(), tx, []*chatlog.Event{stranger}); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if err := r.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if events := r.since(0); len(events) != 0 {
			t.Errorf("%d events stayed", len(events))
		}
		r.append(stranger, r.says(mei, mei, "text", `"y"`))
		if got := r.since(0); len(got) != 2 || got[0].Author != tom || got[1].Author != mei {
			t.Errorf("after the failure: %+v", got)
		}
	})
}

func TestPagesRunBackwardsInTheOrderOfDisplay(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		at := func(clock int64) func(*chatlog.Event) { return func(e *chatlog.Event) { e.Clock = clock } }
		c, a := r.says(mei, mei, "text", `"c"`, at(30)), r.says(wei, mei, "text", `"a"`, at(10))
		b := r.says(mei, mei, "photo", `"b"`, at(20))
		tie := r.says(mei, mei, "text", `"tie"`, at(20), func(e *chatlog.Event) { e.Mid = protocol.ID{} })
		elsewhere := r.says(tom, tom, "text", `"elsewhere"`, at(25))
		future := r.says(mei, mei, "hologram", `"a kind of tomorrow"`, at(5))
		r.append(c, a, b, tie, elsewhere, future)
		got, more := r.page(mei, chatlog.End, 3)
		if bodies(got) != `"c" "b" "tie" ` || !more {
			t.Errorf("first page %s, more %v", bodies(got), more)
		}
		got, more = r.page(mei, chatlog.Place{Clock: 20, Mid: tie.Mid}, 3)
		if bodies(got) != `"a" "a kind of tomorrow" ` || more {
			t.Errorf("second page %s, more %v", bodies(got), more)
		}
		if got, more := r.page(protocol.UID{9}, chatlog.End, 3); len(got) != 0 || more {
			t.Error("a conversation with nobody")
		}
	})
}

func TestTouchesInForce(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		m := r.says(mei, mei, "text", `"text"`)
		edit1, edit2 := r.says(mei, mei, "edit", `"edit1"`, touching(m)), r.says(mei, mei, "edit", `"edit2"`, touching(m))
		stolen := r.says(wei, mei, "edit", `"not the author's"`, touching(m))
		like1, like2 := r.says(wei, mei, "react", `"like1"`, touching(m)), r.says(wei, mei, "react", `"like2"`, touching(m))
		hers := r.says(mei, mei, "react", `"hers"`, touching(m))
		// The newer edit comes first; a copy of the older reaction comes last.
		r.append(edit2, like1, m, edit1, stolen, like2, hers)
		r.append(like1)
		got, _ := r.page(mei, chatlog.End, 10)
		if len(got) != 4 || bodies(got[:1]) != `"text" ` {
			t.Fatalf("page %s", bodies(got))
		}
		seen := map[string]bool{}
		for _, e := range got[1:] {
			seen[string(e.Body)] = true
		}
		if !seen[`"edit2"`] || !seen[`"like2"`] || !seen[`"hers"`] {
			t.Errorf("in force: %s", bodies(got[1:]))
		}
	})
}

func TestDeletedTextIsGone(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		m, early := r.says(mei, mei, "text", `"m"`), r.says(mei, mei, "text", `"early"`)
		old, edit := r.says(mei, mei, "edit", `"old"`, touching(m)), r.says(mei, mei, "edit", `"edit"`, touching(m))
		gone, goneEarly := r.says(mei, mei, "delete", `"gone"`, touching(m)), r.says(mei, mei, "delete", `"gone"`, touching(early))
		late := r.says(mei, mei, "edit", `"late"`, touching(m))
		mine := r.says(wei, mei, "text", `"mine"`)
		theft := r.says(mei, mei, "delete", `"theft"`, func(e *chatlog.Event) { e.Touches = &chatlog.Touch{Mid: mine.Mid, Author: mei} })
		r.append(m, old, edit, goneEarly, mine, gone, theft)
		r.append(early, late)
		for _, e := range []*chatlog.Event{m, old, edit, early, late} {
			if got := r.find(e); got.Body != nil {
				t.Errorf("%s is still there", got.Body)
			}
		}
		if got := r.find(mine); string(got.Body) != `"mine"` {
			t.Error("somebody else deleted my message")
		}
		got, _ := r.page(mei, chatlog.End, 10)
		raw, err := json.Marshal(got)
		if err != nil || bytes.Contains(raw, []byte("early")) || !bytes.Contains(raw, []byte(`"body":null`)) {
			t.Errorf("%s, %v", raw, err)
		}
	})
}

func TestHomeTicks(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		receipt := func(from protocol.UID, about *chatlog.Event, hash protocol.Hash32) *chatlog.Event {
			return r.says(from, from, "home", `{}`, func(e *chatlog.Event) {
				e.Type = chatlog.TypeReceipt
				e.Items = []chatlog.Tick{{Mid: about.Mid, Hash: hash}}
			})
		}
		a, b, c, d := r.says(wei, mei, "text", `"a"`), r.says(wei, mei, "text", `"b"`), r.says(wei, mei, "text", `"c"`), r.says(wei, mei, "text", `"d"`)
		r.append(a, c, d)
		fit, early, wrong, stranger := receipt(mei, a, a.Hash), receipt(mei, b, b.Hash), receipt(mei, c, protocol.Hash32{9}), receipt(tom, d, d.Hash)
		r.append(fit, early, wrong, stranger)
		r.append(b)
		if got := r.find(a).Home; got != fit.Received {
			t.Errorf("a: %d", got)
		}
		if got := r.find(b).Home; got != early.Received {
			t.Errorf("b, whose receipt came first: %d", got)
		}
		if got := r.find(c).Home; got != 0 {
			t.Error("a receipt over another letter counted")
		}
		if got := r.find(d).Home; got != 0 {
			t.Error("a receipt from somebody else counted")
		}
		resealed := protocol.Hash32{77}
		r.append(receipt(mei, d, resealed))
		again := protocol.ID{5}
		if err := db.Write(t.Context(), func(tx store.Tx) error {
			return r.AddVersion(t.Context(), tx, d.Mid, chatlog.Version{Hash: resealed, Envelope: again, UEK: 7})
		}); err != nil {
			t.Fatal(err)
		}
		if r.find(d).Home == 0 {
			t.Error("the receipt for the letter that was sealed again does not count")
		}
		if counter, err := r.SealedTo(t.Context(), d.Mid); err != nil || counter != 7 {
			t.Errorf("sealed to %d, %v", counter, err)
		}
		for _, envelope := range []protocol.ID{d.Envelope, again} {
			if got, ok, err := r.ByEnvelope(t.Context(), mei, envelope); err != nil || !ok || got.Mid != d.Mid {
				t.Errorf("by envelope: %v %v", ok, err)
			}
			if _, ok, err := r.ByEnvelope(t.Context(), tom, envelope); err != nil || ok {
				t.Errorf("by envelope, for somebody else: %v %v", ok, err)
			}
		}
	})
}

func TestReadMarksAndTalks(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		one, two := r.says(wei, mei, "text", `"one"`), r.says(wei, mei, "text", `"two"`)
		read := r.says(mei, mei, "read", `{}`, func(e *chatlog.Event) { e.Rank = one.Clock })
		older := r.says(mei, mei, "read", `{}`, func(e *chatlog.Event) { e.Rank = one.Clock - 1 })
		newer := r.says(mei, mei, "profile", `"Méi"`, func(e *chatlog.Event) { e.Rank = 2 })
		name := r.says(mei, mei, "profile", `"Mei"`, func(e *chatlog.Event) { e.Rank = 1 })
		ask := r.says(tom, tom, "request", `"ask"`, func(e *chatlog.Event) { e.Type = chatlog.TypeFriend })
		r.append(one, two, read, older, newer, name, ask)
		if got := r.since(0); got[0].Read != read.Received || got[1].Read != 0 {
			t.Errorf("read: %d, %d", got[0].Read, got[1].Read)
		}
		talks, more, err := r.Talks(t.Context(), chatlog.End, 10)
		if err != nil || more || len(talks) != 2 {
			t.Fatalf("%d talks, %v, %v", len(talks), more, err)
		}
		if talks[0].Peer != tom || bodies(talks[0].Events) != `"ask" ` {
			t.Errorf("first talk: %s", bodies(talks[0].Events))
		}
		seen := map[string]bool{}
		for _, e := range talks[1].Events {
			seen[string(e.Body)] = true
		}
		if talks[1].Peer != mei || len(talks[1].Events) != 3 || !seen[`"two"`] || !seen[`"Méi"`] || !seen[`{}`] {
			t.Errorf("second talk: %s", bodies(talks[1].Events))
		}
		first, more, err := r.Talks(t.Context(), chatlog.End, 1)
		if err != nil || !more || len(first) != 1 {
			t.Fatal("limit: ", first, more, err)
		}
		rest, more, err := r.Talks(t.Context(), first[0].At, 1)
		if err != nil || more || len(rest) != 1 || rest[0].Peer != mei {
			t.Error("the rest: ", rest, more, err)
		}
	})
}

func TestSinceIsComplete(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close()
		r := enter(t, db)
		for range 25 {
			e := r.says(mei, mei, "text", `"x"`)
			r.append(e, e) // every second place stays empty
		}
		var n int64
		var got int
		for {
			events, more, err := r.Since(t.Context(), n, 7)
			if err != nil {
				t.Fatal(err)
			}
			got += len(events)
			if len(events) > 0 {
				n = events[len(events)-1].N
			}
			if !more {
				break
			}
		}
		if got != 25 {
			t.Errorf("%d of 25", got)
		}
	})
}

func TestEpochText(t *testing.T) {
	e := chatlog.Epoch{1, 2, 3}
	text, err := e.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back chatlog.Epoch
	if err := back.UnmarshalText(text); err != nil || back != e {
		t.Error(back, err)
	}
	if err := back.UnmarshalText(nil); err != nil || back != (chatlog.Epoch{}) {
		t.Error("a new device's empty epoch: ", back, err)
	}
	for _, bad := range []string{"AAAA", "=", "!!!!!!!!!!!!!!!!!!!!!!"} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
