package outbox

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
)

// MostStale is the bound of stale notices for a peer.
const MostStale = mostStale

// AtOnce is how many errands one turn has.
const AtOnce = atOnce

// Errand is what a turn picks.
type Errand struct {
	Kind string
	Peer protocol.UID
	Ref  protocol.ID
}

// Turn picks what is sent next, and takes it as sent.
func (o *Outbox) Turn(ctx context.Context) ([]Errand, error) {
	list, err := o.turn(ctx)
	var out []Errand
	for _, e := range list {
		out = append(out, Errand{e.kind, e.peer, e.ref})
		if err == nil {
			err = o.done(ctx, e, false, 0)
		}
	}
	return out, err
}

// Sends takes everything that is due as sent, receipts and errands, and returns how
// many there were; meanwhile happens while they are on their way.
func (o *Outbox) Sends(ctx context.Context, meanwhile func()) (receipts, errands int, err error) {
	owed, receipts, err := o.owed(ctx)
	if err != nil {
		return 0, 0, err
	}
	list, err := o.turn(ctx)
	if err != nil {
		return 0, 0, err
	}
	meanwhile()
	for peer, some := range owed {
		if err := o.told(ctx, peer, some, false, 0); err != nil {
			return 0, 0, err
		}
	}
	for _, e := range list {
		if err := o.done(ctx, e, false, 0); err != nil {
			return 0, 0, err
		}
	}
	return receipts, len(list), nil
}
