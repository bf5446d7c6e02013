package person

import (
	"context"
	"errors"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// maxSkew is how far the clocks may differ before it is said.
	maxSkew = 5 * time.Minute
	// maxDoubt is how far they may for this machine's to be followed: a small one that
	// has just been started may be years behind.
	maxDoubt = 24 * time.Hour
)

// told is the relay's time, ms, and when it said so.
type told struct {
	time int64
	at   time.Time
}

// relayTime is the relay's clock, as far as it is known, in ms: what it said last,
// and what has passed since. A small machine may set its own clock right by decades
// in the middle of a line.
func (p *Person) relayTime() int64 {
	if l := p.line(); l != nil {
		t := l.time.Load()
		return t.time + p.c.Clock.Now().Sub(t.at).Milliseconds()
	}
	return clock.Millis(p.c.Clock)
}

// askTime asks for the relay's time, ms, by which letters are dated from then on.
func (p *Person) askTime(ctx context.Context) (int64, error) {
	info, err := p.c.Gate.Info(ctx)
	if l := p.line(); l != nil && err == nil {
		l.time.Store(&told{info.Time, l.now()})
	}
	return info.Time, err
}

// date is what letters are dated with: the relay's clock, so that a home whose
// clock is wrong still writes letters that the relay takes. Once another courtyard
// has found one of them to be ahead, and this machine's clock says so as well, that
// is two against one. unsure: it says so, and nobody else has yet.
func (p *Person) date() (at int64, unsure bool) {
	relay, own := p.relayTime(), clock.Millis(p.c.Clock)
	if lead := time.Duration(relay-own) * time.Millisecond; lead <= maxSkew || lead > maxDoubt {
		return relay, false
	}
	if l := p.line(); l != nil && l.doubted.Load() {
		return own, false
	}
	return relay, true
}

// doubt: a letter came back because it was dated ahead.
func (p *Person) doubt() {
	if l := p.line(); l != nil {
		l.doubted.Store(true)
	}
}

// put gives a letter to the relay. One that is refused for its date says what the
// relay's clock is now: somebody has set it.
func (l *line) put(ctx context.Context, to []protocol.UID, marks link.Marks, e *protocol.Envelope) ([]protocol.UID, error) {
	kept, err := l.Put(ctx, to, marks, e)
	if refused, ok := errors.AsType[*protocol.Error](err); ok && refused.Code == protocol.CodeClockAhead {
		if now, ok := refused.Params["time"].(float64); ok {
			l.time.Store(&told{int64(now), l.now()})
		}
	}
	return kept, err
}
