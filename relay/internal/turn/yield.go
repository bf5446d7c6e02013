package turn

import (
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// unusedAfter makes an allocation one that is not used: nothing has passed for so long in
// one of the directions. ICE asks every 2.5 s along the path that it uses, and has
// given up one that says nothing for 5 s.
const unusedAfter = 5 * time.Second

// yield ends the allocation that a person has not used for longest, if there is one
// and he has as many as he may. Whoever changes his network, and whoever talks with
// him, looks for a path anew, and cannot end what belonged to the former one.
func (s *Server) yield(uid protocol.UID) bool {
	r := s.ledger.unused(uid, s.outbox.Now()-unusedAfter.Nanoseconds())
	if r == nil {
		return false
	}
	_ = r.Close() // which logs what it has to say
	return true
}

// unused finds, of as many allocations as a person may have, the one that has been
// unused for longest, from before a time on.
func (l *ledger) unused(uid protocol.UID, before int64) (found *relayed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.people[uid]
	if p == nil || len(p.live) < perPerson {
		return nil
	}
	for _, r := range p.live {
		if at := r.used(); at < before {
			found, before = r, at
		}
	}
	return found
}

// used is when something passed last in both directions.
func (r *relayed) used() int64 { return min(r.out.last.Load(), r.in.last.Load()) }
