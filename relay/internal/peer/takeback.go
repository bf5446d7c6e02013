package peer

import (
	"context"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// air knows which parcels are on a line at this moment, so that nothing is taken
// back that may be arriving, and nothing sent that is being taken back. The zero
// value is ready. Safe for use by several goroutines.
type air struct {
	mu    sync.Mutex
	out   map[int64]bool // guarded by mu; sent, and its custody has not ended
	taken map[int64]bool // guarded by mu; being taken back
}

// leaves is asked before parcel n is sent; false: it is being taken back.
func (a *air) leaves(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[n] {
		return false
	}
	if a.out == nil {
		a.out = map[int64]bool{}
	}
	a.out[n] = true
	return true
}

// lands: parcel n is known to be here, or no longer here.
func (a *air) lands(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.out, n)
}

// takes holds parcel n on the ground until it is let go; false: it is on a line.
func (a *air) takes(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.out[n] || a.taken[n] {
		return false
	}
	if a.taken == nil {
		a.taken = map[int64]bool{}
	}
	a.taken[n] = true
	return true
}

func (a *air) letsGo(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.taken, n)
}

// endWithin bounds the noting of what a line left unanswered; the relay may be stopping.
const endWithin = 10 * time.Second

// parts notes that the line with the courier's courtyard has ended, and which
// parcels were on it: they may have arrived.
func (c *courier) parts(unanswered []int64) {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if err := c.peers.config.Store.LineEnds(ctx, c.host, unanswered); err != nil {
		c.peers.config.Log.Error("end of a link not noted", "err", err) // they stay out: nobody takes them back
		return
	}
	for _, n := range unanswered {
		c.peers.air.lands(n)
	}
}

// takeBack ends the custody of a letter or file of a person's own, which then is
// known to have arrived nowhere. Codes: not-found if it does not wait here,
// perhaps-there if it may have arrived.
func (p *Peers) takeBack(call *gate.Call) error {
	const op = "peer.takeBack"
	id, err := call.ID("id", protocol.CodeNotFound)
	if err != nil {
		return err
	}
	to, err := protocol.ParseUID(call.Query("to"))
	if err != nil {
		return &protocol.Error{Op: op, Code: protocol.CodeBadRequest, Cause: err}
	}
	ctx, sender := call.Context(), call.Caller.UID
	parcel, found, err := p.config.Store.Find(ctx, sender, to, id)
	if err != nil {
		return err
	}
	if !found {
		return &protocol.Error{Op: op, Code: protocol.CodeNotFound}
	}
	if parcel.Lost || !p.air.takes(parcel.N) {
		return &protocol.Error{Op: op, Code: protocol.CodePerhapsThere}
	}
	defer p.air.letsGo(parcel.N)
	// It cannot leave any more; whether it had before is known by now.
	if parcel, found, err = p.config.Store.Find(ctx, sender, to, id); err == nil && found && parcel.Lost {
		err = &protocol.Error{Op: op, Code: protocol.CodePerhapsThere}
	}
	if err != nil {
		return err
	}
	if err := p.end(ctx, parcel, protocol.CodeTakenBack); err != nil {
		return err
	}
	return call.JSON(struct{}{})
}

// end gives a parcel back to its sender and waits until that is on disk. Code:
// not-found if its custody has ended already.
func (p *Peers) end(ctx context.Context, parcel queue.Parcel, code string) error {
	s, err := p.giving(parcel, code)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	if err := p.config.Queue.Settle(ctx, s, func(r queue.Result) { done <- r.Err }); err != nil {
		return err
	}
	return <-done // the writer answers everything that it has taken
}
