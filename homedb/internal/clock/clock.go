// Package clock is time as the home agent sees it: the present moment and
// waiting for a later one. It is handed to whoever needs it, so that a test can
// move thirty days in a breath. It must never be a global.
package clock

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Clock tells and waits.
type Clock interface {
	Now() time.Time
	// Wait returns nil after d, or ctx's error.
	Wait(ctx context.Context, d time.Duration) error
}

// Millis is the protocol's time: milliseconds since 1970 UTC (section 1).
func Millis(c Clock) int64 { return c.Now().UnixMilli() }

// Until waits for d, for a value from wake, or for ctx to end.
func Until(ctx context.Context, c Clock, d time.Duration, wake <-chan struct{}) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() {
		defer stop()
		select {
		case <-wake:
		case <-ctx.Done():
		}
	})
	if c.Wait(ctx, d) == nil {
		stop()
	}
	all.Wait()
}

// Wake lets a receiver of c, which holds one, look again. It never blocks: one
// waiting call is as good as many.
func Wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// System is the machine's own clock.
type System struct{}

// Now is time.Now.
func (System) Now() time.Time { return time.Now() }

// Wait waits for d of real time.
func (System) Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Moved is the system's clock plus an offset that only grows; whoever waits for
// a moment that Advance passes is woken. For tests, and for nobody else.
type Moved struct {
	mu     sync.Mutex
	offset time.Duration
	moved  chan struct{} // closed and replaced by Advance
}

// NewMoved starts at the present.
func NewMoved() *Moved { return &Moved{moved: make(chan struct{})} }

// Now is the system's time plus the offset.
func (m *Moved) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.offset)
}

// Advance moves the clock ahead by d.
func (m *Moved) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offset += d
	close(m.moved)
	m.moved = make(chan struct{})
}

// Wait waits until the moved clock has gone d further.
func (m *Moved) Wait(ctx context.Context, d time.Duration) error {
	until := m.Now().Add(d)
	for {
		m.mu.Lock()
		moved, left := m.moved, time.Until(until.Add(-m.offset))
		m.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-moved:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

// Backoff is the pause before try number n (from 0): doubling from first up to
// cap, then jittered to between a half and the whole of it, so that a courtyard
// that comes back is not met by all homes in the same moment.
func Backoff(first, limit time.Duration, n int, random *rand.Rand) time.Duration {
	d := limit
	if n < 30 && first<<n < limit && first<<n > 0 {
		d = first << n
	}
	return d/2 + time.Duration(random.Int64N(int64(d/2)+1))
}
