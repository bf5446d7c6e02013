package push

import (
	"context"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// grace is how long a device that is connected has to show that somebody
	// works there: a phone's page sleeps with its socket open.
	grace = 20 * time.Second
	// life is how long a vendor keeps a push for a device that is away, and how
	// long one is tried.
	life = 24 * time.Hour
	// again is when something that could not be done is looked at again.
	again = time.Second
	// firstRetry doubles up to lastRetry.
	firstRetry = 2 * time.Second
	lastRetry  = 15 * time.Minute
)

// pace is how long after a push for a chat the next one for the same chat may
// go to a device that has not been connected since; the last one repeats.
var pace = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// wake is a chat for which a device is, or was, woken. It lasts until the device
// connects or a day has passed. Guarded by the room's mu.
type wake struct {
	kind    string
	letters int       // since it began
	n       int64     // the newest of them
	due     time.Time // when to push; zero: nothing to say
	since   time.Time // when what is to be said was kept, the oldest of it
	frames  uint64    // what had been heard of the device then
	last    time.Time // of the last push
	step    int       // pushes so far
	tries   int       // of this push that failed
	busy    bool      // a worker has it
}

// job is a push on its way, for a wake or for a ring.
type job struct {
	device device
	peer   protocol.UID
	wake   *wake
	ring   *ring
	target Subscription
	what   payload
	ttl    time.Duration
}

// Run decides and sends until ctx ends, and returns when everything of it has ended.
func (r *Room) Run(ctx context.Context) {
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case j := <-r.jobs:
					r.work(ctx, j)
				}
			}
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		wait := again
		if r.spread(ctx) && r.spreadRings(ctx) {
			wait = min(r.dispatch(ctx), r.dispatchRings(ctx))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-r.look:
		case <-timer.C:
		}
	}
	all.Wait()
}

// spread turns news of chats into wakes of devices. False: the database did not
// answer, and the news waits.
func (r *Room) spread(ctx context.Context) bool {
	for ctx.Err() == nil {
		key, some := r.anyNews()
		if !some {
			return true
		}
		now := r.config.Now()
		targets, err := r.config.Store.Targets(ctx, key.owner, key.peer, now.UnixMilli())
		if err != nil {
			if ctx.Err() == nil {
				r.config.Log.Error("subscriptions not read", "err", err)
			}
			return false
		}
		r.mu.Lock()
		fresh := r.news[key]
		delete(r.news, key)
		for _, target := range targets {
			d := device{target.UID, target.Device}
			sockets, frames := r.config.Presence.Heard(d.uid, d.id)
			r.note(d, key.peer, fresh, now, target.Seen, sockets > 0, frames)
		}
		r.mu.Unlock()
	}
	return true
}

func (r *Room) anyNews() (chat, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.news {
		return key, true
	}
	return chat{}, false
}

// note adds news of a chat to what waits for a device. The caller holds mu.
func (r *Room) note(d device, peer protocol.UID, fresh news, now time.Time, seen int64, connected bool, frames uint64) {
	w := r.wakes[d][peer]
	if w == nil {
		if len(r.wakes[d]) >= mostChats || r.total >= mostWakes {
			r.config.Counts.Pushed("dropped")
			return
		}
		if r.wakes[d] == nil {
			r.wakes[d] = map[protocol.UID]*wake{}
		}
		w = &wake{}
		r.wakes[d][peer] = w
		r.total++
	}
	if w.n <= seen {
		w.letters = 0 // the device has had those
	}
	w.letters, w.n, w.kind = w.letters+fresh.after(seen), max(w.n, fresh.rows[len(fresh.rows)-1]), fresh.kind
	if w.busy || !w.due.IsZero() && (connected || w.step > 0) {
		return // it will be in that one, or after it
	}
	w.since, w.frames, w.tries = now, frames, 0
	due := now
	if w.step > 0 {
		due = later(now, w.last.Add(pace[min(w.step, len(pace))-1]))
	}
	if connected {
		due = later(due, now.Add(grace))
	}
	r.plan(w, due)
}

// plan sets when a wake is due. The caller holds mu.
func (r *Room) plan(w *wake, due time.Time) {
	w.due = due
	if due.Before(r.next) {
		r.next = due
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// dispatch gives what is due to the workers and says when to look again.
func (r *Room) dispatch(ctx context.Context) time.Duration {
	now := r.config.Now()
	for _, j := range r.due(now) {
		switch r.settle(ctx, &j, now) {
		case drop:
		case postpone:
			r.giveBack(j.wake, now.Add(again))
		case send:
			select {
			case r.jobs <- j:
			default: // the workers have enough
				r.giveBack(j.wake, now.Add(again))
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next.Sub(now)
}

// giveBack plans a wake anew that nobody has at hand any more.
func (r *Room) giveBack(w *wake, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.busy = false
	r.plan(w, due)
}

// due lists what is due now, and finds when the next is.
func (r *Room) due(now time.Time) []job {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := []job{}
	if r.next.After(now) {
		return found
	}
	r.next = now.Add(time.Minute)
	for d, chats := range r.wakes {
		for peer, w := range chats {
			if w.busy || w.due.IsZero() {
				continue
			}
			switch {
			case w.due.After(now):
				r.plan(w, w.due)
			case len(found) < mostJobs:
				found = append(found, job{device: d, peer: peer, wake: w})
			default:
				r.plan(w, now.Add(again))
			}
		}
	}
	return found
}

type verdict int

const (
	drop verdict = iota // has been dropped
	postpone
	send
)

// settle looks whether a wake is still needed and makes the push of it.
func (r *Room) settle(ctx context.Context, j *job, now time.Time) verdict {
	targets, err := r.config.Store.Targets(ctx, j.device.uid, j.peer, now.UnixMilli())
	if err != nil {
		if ctx.Err() == nil {
			r.config.Log.Error("subscriptions not read", "err", err)
		}
		return postpone
	}
	var target *Target
	for i := range targets {
		if targets[i].Device == j.device.id {
			target = &targets[i]
		}
	}
	sockets, frames := r.config.Presence.Heard(j.device.uid, j.device.id)
	r.mu.Lock()
	defer r.mu.Unlock()
	w := j.wake
	// Revoked, signed out or muted since; on its disk already; or somebody works
	// there: what was kept has been shown.
	if target == nil || target.Seen >= w.n || sockets > 0 && frames != w.frames {
		r.drop(*j)
		return drop
	}
	w.busy = true
	j.target = target.Subscription
	j.what = payload{V: 1, Kind: w.kind, To: &j.device.uid, UID: &j.peer, N: w.letters}
	j.ttl = life
	return send
}

// drop forgets a wake, unless another has taken its place. The caller holds mu.
func (r *Room) drop(j job) {
	chats := r.wakes[j.device]
	if chats[j.peer] != j.wake {
		return
	}
	delete(chats, j.peer)
	r.total--
	if len(chats) == 0 {
		delete(r.wakes, j.device)
	}
}

// work sends one push and notes what came of it.
func (r *Room) work(ctx context.Context, j job) {
	came := r.send(ctx, &j.target, j.what, j.ttl)
	if ctx.Err() != nil {
		return
	}
	if came.what == whatRefused {
		r.config.Log.Warn("a push was refused", "host", came.host, "status", came.status, "err", came.err)
	}
	if j.ring != nil {
		r.concludeRing(ctx, j, came)
	} else {
		r.conclude(ctx, j, came)
	}
	r.config.Counts.Pushed(came.what)
}

func (r *Room) conclude(ctx context.Context, j job, came outcome) {
	now := r.config.Now()
	switch came.what {
	case whatGone:
		r.gone(ctx, &j.target)
		return
	case whatRefused:
		// Nothing that another try would change; the next letter tries anew.
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drop(j)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := j.wake
	w.busy = false
	if came.what == whatLater {
		w.tries++
		if now.Sub(w.since) > life {
			w.due = time.Time{}
			w.last = now
			return
		}
		r.plan(w, now.Add(max(came.wait, min(lastRetry, firstRetry<<min(w.tries-1, 16)))))
		r.poke()
		return
	}
	w.last, w.due = now, time.Time{}
	w.step++
	if w.letters > j.what.N { // more came while it was under way
		w.since, w.tries = now, 0
		r.plan(w, now.Add(pace[min(w.step, len(pace))-1]))
		r.poke()
	}
}

// gone forgets a subscription that the vendor no longer knows.
func (r *Room) gone(ctx context.Context, s *Subscription) {
	if err := r.config.Store.Unsubscribe(ctx, s.UID, s.Device, s.Endpoint); err != nil {
		r.config.Log.Error("subscription not forgotten", "err", err)
	}
	r.Present(s.UID, s.Device)
}
