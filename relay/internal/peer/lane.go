package peer

import (
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

const (
	firstPause = time.Second
	lastPause  = 15 * time.Minute
)

// pause doubles from one second to a quarter of an hour.
type pause struct{ last time.Duration }

func (p *pause) next() time.Duration {
	p.last = min(max(2*p.last, firstPause), lastPause)
	return p.last
}

// lane is what waits for one person: it goes in its order, and waits alone.
// Owned by the courier's goroutine.
type lane struct {
	to     protocol.UID
	sent   int64          // highest n on its way
	flying []queue.Parcel // on their way, ascending; without bytes
	file   *upload        // being sent; nothing overtakes it
	known  bool           // the relay at the other end is the one their chain names
	more   bool           // there may be parcels above sent
	until  time.Time      // not before
	pause  pause
	tries  int
	code   string                // why the last try failed
	shown  map[protocol.UID]bool // writers whose chain was asked for and shown on this link
	late   postdated
}

// postdated are letters of a lane that are dated ahead of the clock over there.
// They wait for it alone: what is dated earlier passes them.
type postdated struct {
	from  int64 // letters dated so late, ms, are passed over; 0: none
	first int64 // the lowest n that was
	until time.Time
	pause pause
	tries int
}

// ready reports whether the lane has something that may go now.
func (l *lane) ready(now time.Time) bool {
	return l.more && l.file == nil && !now.Before(l.until)
}

// idle reports whether nothing of the lane waits for anything.
func (l *lane) idle() bool {
	return !l.more && len(l.flying) == 0 && l.file == nil && l.late.from == 0
}

// flies reports whether parcel n is on its way.
func (l *lane) flies(n int64) bool {
	return slices.ContainsFunc(l.flying, func(p queue.Parcel) bool { return p.N == n })
}

// passOver makes what is dated as late as parcel n wait alone.
func (l *lane) passOver(n, dated int64, now time.Time) {
	p := &l.late
	if p.from == 0 {
		p.first, p.until = n, now.Add(p.pause.next())
		p.tries++
	}
	if p.from == 0 || dated < p.from {
		p.from = dated
	}
	p.first = min(p.first, n)
}

// passes reports whether a parcel is one that waits alone.
func (l *lane) passes(p queue.Parcel) bool {
	if l.late.from == 0 || p.File || dated(p.Raw) < l.late.from {
		return false
	}
	l.late.first = min(l.late.first, p.N)
	return true
}

// recall makes what was passed over go again when its pause is over, and returns
// how long it still is.
func (l *lane) recall(now time.Time) time.Duration {
	if l.late.from == 0 {
		return 0
	}
	rest := l.late.until.Sub(now)
	if rest <= 0 {
		l.late.from = 0
		l.sent, l.more = min(l.sent, l.late.first-1), true
	}
	return max(rest, 0)
}

// dated is when an envelope says that it was written, ms.
func dated(raw []byte) int64 {
	e, err := protocol.ParseEnvelope(raw)
	if err != nil {
		return 0 // it was parsed when it was put: whoever gets it now refuses it
	}
	return e.TS
}

// find takes parcel n out of those on their way.
func (l *lane) find(n int64) (queue.Parcel, bool) {
	for i, p := range l.flying {
		if p.N == n {
			l.flying = append(l.flying[:i], l.flying[i+1:]...)
			return p, true
		}
	}
	return queue.Parcel{}, false
}

// rewind makes everything from n on go again, not before a pause unless at once.
func (l *lane) rewind(n int64, now time.Time, code string) {
	l.sent = min(l.sent, n-1)
	l.more = true
	if l.code = code; code != "" && !now.Before(l.until) {
		l.tries++
		l.until = now.Add(l.pause.next())
	}
}

// moved: something of the lane has arrived.
func (l *lane) moved() {
	l.pause, l.tries, l.code, l.until = pause{}, 0, "", time.Time{}
	if l.late.from == 0 {
		l.late = postdated{}
	}
}

// upload is a file on its way.
type upload struct {
	parcel queue.Parcel
	offset int64 // sent and acknowledged so far
}
