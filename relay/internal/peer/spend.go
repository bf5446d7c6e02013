package peer

import (
	"context"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
)

// spendWithin bounds the whole of it: somebody is looking at the screen.
const spendWithin = 20 * time.Second

// Spend uses up an invite of the relay at host for guest, who lives here, over a
// link of its own. Codes: invite-unknown, not-allowed, peer-away, address-refused,
// version, and what else the other relay says.
func (p *Peers) Spend(ctx context.Context, host string, id protocol.ID, guest protocol.UID) error {
	const op = "peer.Spend"
	if !p.enter() {
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable}
	}
	defer p.all.Done()
	ctx, cancel := context.WithTimeout(ctx, spendWithin)
	defer cancel()
	l, _, err := p.dial(ctx, host)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.conn.CloseNow() }) //nolint:errcheck // ends the read
	defer stop()
	defer l.conn.CloseNow() //nolint:errcheck // answered, or broken
	for shown := false; ; shown = true {
		if err := l.write(link.Request{Op: link.OpSpend, N: 1, ID: id, UID: guest}); err != nil {
			return away(err)
		}
		plaintext, err := l.read()
		if err != nil {
			return parted(err)
		}
		r, err := link.ParseResponse(plaintext)
		switch {
		case err != nil:
			return away(err)
		case r.Op == link.OpAccepted:
			return nil
		case r.Op != link.OpRefused:
			return &protocol.Error{Op: op, Code: protocol.CodePeerAway}
		case r.Code != protocol.CodeChainNeeded || shown:
			return link.Refusal{Code: r.Code}.Error(op)
		}
		records, err := p.config.Store.Chain(ctx, guest, -1)
		if err != nil {
			return err
		}
		if err := l.show(guest, records); err != nil {
			return away(err)
		}
	}
}
