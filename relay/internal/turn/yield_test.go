package turn

import (
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// lives are the allocations of a person, the oldest first.
func (s *Server) lives(t *testing.T, uid protocol.UID) []*relayed {
	t.Helper()
	all := s.ledger.of(uid)
	if len(all) != perPerson {
		t.Fatal(len(all), "allocations")
	}
	return all
}

// TestTheSeventhAllocationTakesThePlaceOfOneThatIsNotUsed, as a call does that looks
// for a path anew from another network.
func TestTheSeventhAllocationTakesThePlaceOfOneThatIsNotUsed(t *testing.T) {
	s := serve(t)
	callers := []*caller{}
	for range perPerson {
		callers = append(callers, s.call(t, mei, "udp"))
	}
	all := s.lives(t, mei)
	long := s.outbox.Now() - 2*unusedAfter.Nanoseconds()
	all[1].out.last.Store(long + 1) // its peers are heard still
	all[3].in.last.Store(long)      // and this one's device, but no peer
	callers = append(callers, s.call(t, mei, "udp"))
	if now := s.lives(t, mei); now[3] != all[4] || now[1] != all[1] {
		t.Fatal("not the third made room")
	}
	callers = append(callers, s.call(t, mei, "tcp"))
	if now := s.lives(t, mei); now[1] != all[2] {
		t.Fatal("not the second made room")
	}
	for _, r := range s.lives(t, mei) {
		r.out.last.Store(s.outbox.Now())
		r.in.last.Store(s.outbox.Now())
	}
	if reason, ok := s.ledger.may(mei); ok || reason != refusedQuota || s.yield(mei) {
		t.Fatal("all are used, and one made room:", reason)
	}
	for _, c := range callers {
		c.end()
	}
	must(t, s.Stop())
}

func TestNothingMakesRoomWhereThereIsRoom(t *testing.T) {
	l := testLedger(t, newBook(), &clock{time.Unix(1_790_000_000, 0)}, 0)
	for range perPerson - 1 {
		l.opens(t, mei)
	}
	l.opens(t, tom)
	if l.unused(mei, 1) != nil {
		t.Fatal("one of five")
	}
	l.opens(t, mei)
	if l.unused(mei, 1) == nil || l.unused(mei, 0) != nil || l.unused(tom, 1) != nil {
		t.Fatal("of six that were never used, or of one")
	}
}
