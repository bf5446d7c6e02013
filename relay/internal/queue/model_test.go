package queue_test

import (
	"fmt"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/relay/internal/store/storetest"
	"pgregory.net/rapid"
)

// model is what one owner must find, kept in plain maps.
type model struct {
	person *relaytest.Person
	device *ident.DeviceKeys
	home   bool
	last   int64
	seen   int64
	rows   map[int64]*queue.Put // accepted and, with a home, not confirmed
}

// TestWhateverHappensNothingAcceptedIsMissing plays random days: puts, repeats,
// confirmations and restarts, and compares the database with the model.
func TestWhateverHappensNothingAcceptedIsMissing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		o := storetest.SQLite(t)
		s := newScene(t, o, small)
		go s.writer.Run()
		defer func() { s.writer.Stop() }()
		mei, tom := s.Resident(t, "mei"), s.Resident(t, "tom")
		s.Friends(t, mei, tom)
		models := []*model{
			{person: mei, device: mei.Phone, rows: map[int64]*queue.Put{}},
			{person: tom, device: s.Enrol(t, tom, ident.RoleHome), home: true, rows: map[int64]*queue.Put{}},
		}
		sent := []*queue.Put{}
		for step := range rapid.IntRange(5, 60).Draw(rt, "steps") {
			who := models[rapid.IntRange(0, 1).Draw(rt, "who")]
			switch rapid.SampledFrom([]string{"put", "put", "put", "put both", "repeat", "confirm", "confirm", "restart"}).Draw(rt, "what") {
			case "put":
				from := models[rapid.IntRange(0, 1).Draw(rt, "from")].person
				p := letter(from, byte(step), rapid.IntRange(1, 1200).Draw(rt, "size"), who.person)
				s.play(rt, p, models)
				sent = append(sent, p)
			case "put both":
				p := letter(who.person, byte(step), rapid.IntRange(1, 600).Draw(rt, "size"), tom, mei)
				s.play(rt, p, models)
				sent = append(sent, p)
			case "repeat":
				if len(sent) > 0 {
					s.play(rt, rapid.SampledFrom(sent).Draw(rt, "which"), models)
				}
			case "confirm":
				if who.last > 0 {
					n := rapid.Int64Range(1, who.last).Draw(rt, "n")
					s.confirm(who.person, who.device, who.home, n)
					who.confirmed(n)
				}
			case "restart":
				s.writer.Stop()
				s.writer = queue.NewWriter(o.Store, small, s.clock, s.room, s)
				go s.writer.Run()
			}
			for _, m := range models {
				s.compare(rt, m)
			}
		}
		s.Counts(t)
	})
}

func (m *model) confirmed(n int64) {
	m.seen = max(m.seen, n)
	if !m.home {
		return
	}
	for k := range m.rows {
		if k <= n {
			delete(m.rows, k)
		}
	}
}

func (m *model) holds(p *queue.Put) bool {
	for _, row := range m.rows {
		if row.ID == p.ID && row.Sender == p.Sender {
			return true
		}
	}
	return false
}

// play puts p and tells the models what must have come of it.
// Dispatched implements queue.Told.
func (s *scene) Dispatched(queue.Away) {}

func (s *scene) play(rt *rapid.T, p *queue.Put, models []*model) {
	r := s.put(p)
	for _, owner := range p.For {
		for _, m := range models {
			if m.person.UID != owner {
				continue
			}
			used, share := int64(0), int64(0)
			for _, row := range m.rows {
				used += int64(len(row.Raw))
				if row.Sender == p.Sender {
					share += int64(len(row.Raw))
				}
			}
			fits := used+int64(len(p.Raw)) <= small.Person && (p.Sender == owner || share+int64(len(p.Raw)) <= small.Person/small.ShareDivisor)
			if r.Err == nil && m.home && !fits && !m.holds(p) {
				rt.Fatalf("accepted beyond the limits of a home's owner")
			}
			if r.Err == nil && !m.holds(p) {
				m.last++
				m.rows[m.last] = p
			}
		}
	}
	if code := protocol.CodeOf(r.Err); r.Err != nil && code != protocol.CodeSpaceFull && code != protocol.CodeSenderFull {
		rt.Fatalf("refused: %v", r.Err)
	}
}

// compare looks for every row that must be there. Without a home, rows that a
// device has confirmed may have made room.
func (s *scene) compare(rt *rapid.T, m *model) {
	found, err := s.Store.Rows(s.t.Context(), m.person.UID, 0, 1000, 1<<30)
	if err != nil {
		rt.Fatal(err)
	}
	there, used := map[int64]bool{}, 0
	for _, row := range found {
		want := m.rows[row.N]
		if want == nil || string(want.Raw) != string(row.Raw) {
			rt.Fatalf("%s: row %d is not what was accepted", m.person.Username, row.N)
		}
		there[row.N] = true
		used += len(row.Raw)
	}
	for n := range m.rows {
		if there[n] {
			continue
		}
		if m.home || n > m.seen {
			rt.Fatalf("%s: row %d is missing", m.person.Username, n)
		}
		delete(m.rows, n) // it made room
	}
	if used > int(small.Person) {
		rt.Fatalf("%s: %d bytes used: %s", m.person.Username, used, fmt.Sprint(there))
	}
}
