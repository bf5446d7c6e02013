package push

import (
	"context"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// ringLife is how long somebody rings: a push is kept and tried no longer.
	ringLife = 45 * time.Second
	// ringGrace is how long a device that is connected has to show that somebody
	// works there: an app that is looked at answers a ring with a frame.
	ringGrace = 3 * time.Second
	// ringEvery is how long after a push for a call of somebody the next one for a
	// call of the same person may go to the same device.
	ringEvery = 30 * time.Second
	// mostRings bounds the calls that wait for the loop, and those it remembers.
	mostRings = 4096
)

// ringing is who calls at which device.
type ringing struct {
	device device
	peer   protocol.UID
}

// ring is a call for which a device is, or was lately, woken. Guarded by the room's mu.
type ring struct {
	since  time.Time // when it began to ring
	due    time.Time // when to push; zero: a worker has it, or it is over
	frames uint64    // what had been heard of the device then
	tries  int
}

// rung is a call that the loop has not looked at.
type rung struct {
	since  time.Time
	frames map[protocol.DeviceID]uint64 // heard of the devices that are connected, before they hear of it
}

// Ring hears that peer calls owner, whose contact he is; before owner's sockets
// do. It does not block.
func (r *Room) Ring(owner, peer protocol.UID) {
	frames := r.config.Presence.Frames(owner)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, subscribed := r.people[owner]; !subscribed {
		return
	}
	if len(r.rung) >= mostRings {
		r.config.Counts.Pushed("dropped")
		return
	}
	key := chat{owner, peer}
	if _, there := r.rung[key]; !there {
		r.rung[key] = rung{r.config.Now(), frames}
	}
	r.poke()
}

// spreadRings turns calls into rings of devices. False: the database did not answer.
func (r *Room) spreadRings(ctx context.Context) bool {
	for ctx.Err() == nil {
		key, some := r.anyRung()
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
		call := r.rung[key]
		delete(r.rung, key)
		for _, target := range targets {
			r.noteRing(ringing{device{target.UID, target.Device}, key.peer}, call, now)
		}
		r.mu.Unlock()
	}
	return true
}

func (r *Room) anyRung() (chat, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.rung {
		return key, true
	}
	return chat{}, false
}

// noteRing plans the push of a ring, unless there was one lately. The caller holds mu.
func (r *Room) noteRing(key ringing, call rung, now time.Time) {
	if held := r.rings[key]; held != nil && now.Sub(held.since) < ringEvery {
		return
	}
	if r.rings[key] == nil && len(r.rings) >= mostRings && !r.forgetRings(now) {
		r.config.Counts.Pushed("dropped")
		return
	}
	due := now
	frames, connected := call.frames[key.device.id]
	if connected {
		due = now.Add(ringGrace)
	}
	r.rings[key] = &ring{since: call.since, due: due, frames: frames}
}

// forgetRings drops those that are over and says if there is room. The caller holds mu.
func (r *Room) forgetRings(now time.Time) bool {
	for key, held := range r.rings {
		if now.Sub(held.since) > ringLife {
			delete(r.rings, key)
		}
	}
	return len(r.rings) < mostRings
}

// dispatchRings gives what is due to the workers and says when to look again.
func (r *Room) dispatchRings(ctx context.Context) time.Duration {
	now := r.config.Now()
	for _, j := range r.dueRings(now) {
		if !r.settleRing(ctx, &j, now) {
			continue
		}
		select {
		case r.jobs <- j:
		default: // the workers have enough
			r.planRing(j.ring, now.Add(again))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := time.Minute
	for _, held := range r.rings {
		if !held.due.IsZero() {
			wait = min(wait, held.due.Sub(now))
		}
	}
	return wait
}

func (r *Room) planRing(held *ring, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	held.due = due
}

func (r *Room) dueRings(now time.Time) []job {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetRings(now)
	found := []job{}
	for key, held := range r.rings {
		if held.due.IsZero() || held.due.After(now) || len(found) >= mostJobs {
			continue
		}
		held.due = time.Time{}
		found = append(found, job{device: key.device, peer: key.peer, ring: held})
	}
	return found
}

// settleRing looks whether a ring still has to wake its device and makes the push of it.
func (r *Room) settleRing(ctx context.Context, j *job, now time.Time) bool {
	left := ringLife - now.Sub(j.ring.since)
	if left < time.Second {
		return false
	}
	targets, err := r.config.Store.Targets(ctx, j.device.uid, j.peer, now.UnixMilli())
	if err != nil {
		if ctx.Err() == nil {
			r.config.Log.Error("subscriptions not read", "err", err)
		}
		r.planRing(j.ring, now.Add(again))
		return false
	}
	sockets, frames := r.config.Presence.Heard(j.device.uid, j.device.id)
	if sockets > 0 && frames != j.ring.frames {
		return false // somebody works there, and hears it
	}
	for _, target := range targets {
		if target.Device == j.device.id {
			j.target = target.Subscription
			j.what = payload{V: 1, Kind: "call", To: &j.device.uid, UID: &j.peer, N: 1}
			j.ttl = left
			return true
		}
	}
	return false // revoked, signed out or muted since
}

func (r *Room) concludeRing(ctx context.Context, j job, came outcome) {
	switch came.what {
	case whatGone:
		r.gone(ctx, &j.target)
	case whatLater:
		r.mu.Lock()
		defer r.mu.Unlock()
		j.ring.tries++
		j.ring.due = r.config.Now().Add(max(came.wait, firstRetry<<min(j.ring.tries-1, 8)))
		r.poke()
	}
}
