package peer

import (
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
}

// ready reports whether the lane has something that may go now.
func (l *lane) ready(now time.Time) bool {
	return l.more && l.file == nil && !now.Before(l.until)
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
}

// upload is a file on its way.
type upload struct {
	parcel queue.Parcel
	offset int64 // sent and acknowledged so far
}
