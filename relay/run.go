package relay

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/admin"
	"github.com/courtyard-social/courtyard/relay/internal/chain"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

const (
	// stopWithin is how long running requests may take to end.
	stopWithin = 10 * time.Second
	sweepEvery = time.Minute
)

// Run serves until ctx ends, then stops in order: no new requests, sockets told
// to come back, everything handed over committed. Nil means a clean stop.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := r.turn.Start(); err != nil {
		return err
	}
	for _, n := range r.notes {
		if n.warn {
			r.around.Log.Warn(n.text)
		} else {
			r.around.Log.Info(n.text)
		}
	}
	var all sync.WaitGroup
	failed := make(chan error, 4)
	server := newServer(r.gate, r.around.Log)
	public := limit.Connections(r.listener, limit.HTTP, r.settled.proxies, func() { r.counts.Dropped("connection") })
	all.Go(func() { failed <- server.Serve(public) })
	if r.tls != nil {
		all.Go(func() { failed <- r.tls.Run() })
		all.Go(func() { failed <- server.Serve(r.tls.HTTP()) })
		if len(r.sockets) == 0 {
			r.tls.TURN().Close() //nolint:errcheck // a channel
		}
	}
	metrics := newServer(nil, r.around.Log)
	if r.metrics != nil {
		metrics.Handler = r.counts.Handler()
		all.Go(func() { failed <- metrics.Serve(r.metrics) })
	}
	all.Go(r.writer.Run)
	all.Go(func() { r.push.Run(ctx) })
	all.Go(func() { r.sweep(ctx) })
	all.Go(func() {
		if err := r.peers.Start(ctx); err != nil && ctx.Err() == nil {
			r.around.Log.Error("what waits for others was not read", "err", err)
		}
	})

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	r.stopOnce.Do(func() { close(r.stopping) })
	within, done := context.WithTimeout(context.Background(), stopWithin)
	defer done()
	shutdown := make(chan error, 1)
	go func() { shutdown <- errors.Join(server.Shutdown(within), metrics.Shutdown(within)) }()
	if r.tls != nil {
		err = errors.Join(err, r.tls.Close())
	}
	var sockets sync.WaitGroup
	sockets.Go(r.peers.Stop)
	sockets.Go(r.hub.Stop)
	sockets.Wait()
	err = errors.Join(err, r.turn.Stop(), <-shutdown)
	if errors.Is(err, context.DeadlineExceeded) { // somebody was too slow: not now
		err = errors.Join(server.Close(), metrics.Close())
	}
	r.writer.Stop()
	all.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// sweep gives back what nobody needs any more.
func (r *Relay) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.around.Log.Error("sweeping failed", "err", err)
		}
	}
}

// Sweep does once what Run does every minute: it forgets old tokens and expired
// handovers, gives back the room of abandoned uploads and photos, and freed pages to the disk.
func (r *Relay) Sweep(ctx context.Context) error {
	r.tokens.Sweep()
	r.push.Sweep()
	if r.cert != nil {
		if err := r.cert.Renew(); err != nil {
			r.around.Log.Warn(err.Error())
		}
	}
	return errors.Join(r.turn.Sweep(ctx), r.handover.Sweep(ctx), r.files.Sweep(ctx), r.walls.Sweep(ctx), r.peers.Start(ctx), r.store.Tidy(ctx))
}

// herald tells sockets what the rooms have written.
type herald struct{ relay *Relay }

func (h *herald) Kept(rows []queue.NewRow) { h.relay.push.Kept(rows) }

func (h *herald) Present(uid protocol.UID, device protocol.DeviceID) {
	h.relay.push.Present(uid, device)
}

func (h *herald) Arrived(owner protocol.UID) { h.relay.hub.Wake(owner) }
func (h *herald) Committed(jobs int)         { h.relay.counts.Committed(jobs) }

func (h *herald) Dispatched(to queue.Away)              { h.relay.peers.Dispatched(to) }
func (h *herald) Own(a protocol.Address) (string, bool) { return h.relay.peers.Own(a) }
func (h *herald) Live(host string, to protocol.UID, raw []byte, ring, reach bool) {
	h.relay.peers.Live(host, to, raw, ring, reach)
}
func (h *herald) Spend(ctx context.Context, host string, id protocol.ID, guest protocol.UID) error {
	return h.relay.peers.Spend(ctx, host, id, guest)
}

func (h *herald) Brought(e *protocol.Envelope, raw []byte, ring bool) {
	if ring {
		h.Ring(e.To.ID, e.From.ID)
	}
	h.relay.hub.Live(e.To.ID, raw)
}
func (h *herald) Ring(owner, caller protocol.UID)    { h.relay.push.Ring(owner, caller) }
func (h *herald) Linked(direction string, delta int) { h.relay.counts.Linked(direction, delta) }
func (h *herald) Refused(code string)                { h.relay.counts.Refused(code) }

func (h *herald) Carried(sender, to protocol.UID, id protocol.ID, kept bool, by string) {
	h.relay.hub.Event(sender, "carried", map[string]any{"id": id.String(), "to": to.String(), "kept": kept, "by": by})
}

func (h *herald) SpaceChanged(change space.Change) {
	limit := h.relay.settled.limits.Person
	if admin.Step(change, limit) {
		h.relay.hub.Event(change.Owner, "space", map[string]any{"used": change.After, "limit": limit})
	}
}

func (h *herald) SpacesChanged(changes []space.Change) {
	for _, change := range changes {
		h.SpaceChanged(change)
	}
}

func (h *herald) VaultChanged(uid protocol.UID, version int64) {
	h.relay.hub.Event(uid, "vault", map[string]any{"version": version})
}

func (h *herald) WallGrew(uid protocol.UID, seq int64) {
	h.relay.hub.Event(uid, "wall", map[string]any{"seq": seq})
}

func (h *herald) WallsChange() (done func()) { return h.relay.walls.Change() }

func (h *herald) ContactChanged(owner, peer protocol.UID, state string) {
	h.relay.hub.Event(owner, "contact", map[string]any{"uid": peer.String(), "state": state})
}

func (h *herald) ChainGrew(a chain.Addition, homeGone bool) {
	if a.Revoked != nil {
		h.relay.tokens.Revoke(a.UID, *a.Revoked)
		h.relay.hub.Revoke(a.UID, *a.Revoked)
		h.relay.turn.Revoke(a.UID, *a.Revoked)
	}
	h.relay.hub.Event(a.UID, "chain", map[string]any{"seq": a.Seq})
	switch {
	case a.Added != nil && a.Added.Role == ident.RoleHome:
		h.relay.hub.Event(a.UID, "home", map[string]any{"state": "away", "since": a.At})
	case homeGone:
		h.relay.hub.Event(a.UID, "home", map[string]any{"state": "none", "since": a.At})
	}
}
