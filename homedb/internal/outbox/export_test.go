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
