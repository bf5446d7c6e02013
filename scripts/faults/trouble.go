package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
	"github.com/courtyard-social/courtyard/scripts/netns"
)

// play makes the faults of a plan come and go, and returns when all are over.
func (t *town) play(ctx context.Context, faults []fault, began time.Time) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, f := range faults {
		select {
		case <-time.After(time.Until(began.Add(f.At))):
		case <-ctx.Done():
			return
		}
		all.Go(func() {
			e := entry{Who: f.On, What: wasFault, N: int64(f.number), Type: f.Kind, Note: f.String()}
			t.history.add(e)
			if err := t.befall(ctx, f); err != nil && ctx.Err() == nil {
				t.history.add(entry{Who: f.On, What: wasTrouble, Note: fmt.Sprintf("%v: %v", f, err)})
			}
			e.What = wasHealed
			t.history.add(e)
		})
	}
}

// befall is one fault from its beginning to its end. Where it has begun it is
// also ended, whatever happens.
func (t *town) befall(ctx context.Context, f fault) error {
	m, y := t.find(f.On)
	wait := func() {
		select {
		case <-time.After(f.For):
		case <-ctx.Done():
		}
	}
	// both begins, waits and ends. What has not begun well is ended all the same: a
	// relay that did not stop in time is down, and has to be started.
	both := func(begin, end func() error) error {
		err := begin()
		if err == nil {
			wait()
		}
		return errors.Join(err, end())
	}
	// The end must come even if the run is given up.
	rest := context.WithoutCancel(ctx)
	switch f.Kind {
	case kill:
		return both(func() error { return m.off((*crowd.Program).Kill) }, func() error { return m.on(ctx) })
	case restart:
		return both(func() error { return m.off((*crowd.Program).Stop) }, func() error { return m.on(ctx) })
	case freeze:
		return both(func() error { return m.signal(syscall.SIGSTOP) }, func() error { return m.signal(syscall.SIGCONT) })
	case down:
		cable := func(state string) func() error {
			return func() error { return netns.IP(rest, "link set "+m.name+" "+state) }
		}
		return both(cable("down"), cable("up"))
	case cut:
		other, there := t.find(f.Other)
		route := func(change string) error { return m.space.IP(rest, "route "+change+" blackhole "+other.address+"/32") }
		// A connection that is open would be found to be silent only after a minute; one
		// that ends now has the relay look for another way.
		return both(func() error { return errors.Join(route("add"), there.spoil("reset")) }, func() error { return route("del") })
	case reset:
		return y.spoil("reset")
	case half:
		return y.spoil("half " + f.Side)
	case full:
		return both(func() error { return m.fill(0) }, m.free)
	case low:
		return both(func() error { return m.fill(reserveMiB << 19) }, m.free)
	case step:
		return both(func() error { return y.setClock(f.Ahead) }, func() error { return y.setClock(0) })
	}
	return fmt.Errorf("no such trouble: %q", f.Kind)
}

// find gives the machine of a name and the courtyard it belongs to.
func (t *town) find(name string) (*machine, *house) {
	i := slices.IndexFunc(t.houses, func(y *house) bool { return y.relay.name == name || y.home.name == name })
	y := t.houses[i] // the plan names no others
	if y.home.name == name {
		return y.home, y
	}
	return y.relay, y
}
