package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// origin is where this program's own time begins.
var origin = time.Now()

// clock is the time since then.
func clock() time.Duration { return time.Since(origin) }

// pacer says when each message is due. Whatever keeps a message from being sent
// then, a slow server above all, counts into what it takes: nothing is left out by
// waiting (no coordinated omission).
type pacer struct{ first, every time.Duration }

// pace begins now.
func pace(perSecond int) pacer {
	return pacer{first: clock(), every: time.Second / time.Duration(perSecond)}
}

// due is when message n is to be sent.
func (p pacer) due(n int) time.Duration { return p.first + time.Duration(n)*p.every }

// run sends n messages, each when it is due or as soon after as the one before lets it.
func (p pacer) run(ctx context.Context, n int, send func(int) error) error {
	// The runtime's own timers wake to the millisecond, the system's to 50 µs.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for k := range n {
		if wait := p.due(k) - clock(); wait > 0 {
			pause := syscall.NsecToTimespec(int64(wait))
			if err := syscall.Nanosleep(&pause, nil); err != nil && err != syscall.EINTR {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := send(k); err != nil {
			return fmt.Errorf("message %d of %d: %w", k+1, n, err)
		}
	}
	return nil
}

// arrivals are when numbered messages came to where they are due. For several goroutines.
type arrivals struct {
	what string
	at   []atomic.Int64 // ns of the clock; 0: not yet
	left atomic.Int64
	done chan struct{} // closed when all are there
	came func(n int)   // called for each once; nil for nothing
}

// newArrivals are of size messages, of which so many are due.
func newArrivals(what string, size, due int, came func(n int)) *arrivals {
	a := &arrivals{what: what, at: make([]atomic.Int64, size), done: make(chan struct{}), came: came}
	if a.left.Store(int64(due)); due == 0 {
		close(a.done)
	}
	return a
}

// mark notes that message n is there; twice is once.
func (a *arrivals) mark(n int) {
	if !a.at[n].CompareAndSwap(0, int64(clock())) {
		return
	}
	if a.came != nil {
		a.came(n)
	}
	if a.left.Add(-1) == 0 {
		close(a.done)
	}
}

// wait returns when all are there, or an error if one of those who read failed before.
func (a *arrivals) wait(ctx context.Context, broken <-chan error) error {
	select {
	case <-a.done:
		return nil
	case err := <-broken:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%d messages were never %s: %w", a.left.Load(), a.what, ctx.Err())
	}
}

// settle is wait where messages may be dropped: it is over, too, when none has come
// for a while. It returns how many are missing.
func (a *arrivals) settle(ctx context.Context, broken <-chan error, patience time.Duration) (missing int, err error) {
	for left := a.left.Load(); ; {
		slice, stop := context.WithTimeout(ctx, patience)
		err := a.wait(slice, broken)
		stop()
		switch now := a.left.Load(); {
		case err == nil || ctx.Err() != nil || slice.Err() == nil:
			return 0, err
		case now == left:
			return int(left), nil
		default:
			left = now
		}
	}
}

// last is when the last of them came.
func (a *arrivals) last() (last time.Duration) {
	for n := range a.at {
		last = max(last, time.Duration(a.at[n].Load()))
	}
	return last
}

// took is how long each message that came was on its way from a time of its own, ms.
func (a *arrivals) took(from func(n int) time.Duration) (ms []float64) {
	for n := range a.at {
		if at := a.at[n].Load(); at != 0 {
			ms = append(ms, float64(time.Duration(at)-from(n))/1e6)
		}
	}
	return ms
}

// time is when message n came.
func (a *arrivals) time(n int) time.Duration { return time.Duration(a.at[n].Load()) }

// quantile of figures: the least that is not below this share of them. Of none it is not a number.
func quantile(figures []float64, share float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}
