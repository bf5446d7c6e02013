package peer

import (
	"context"
	"sync"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Pin is the newest place seen in the chain of somebody elsewhere, and the relay
// that the chain names there.
type Pin struct {
	Seq   int
	Head  protocol.Hash32
	Relay protocol.Key32
}

// maxKnown bounds the pins that one link remembers; beyond it they are read anew.
const maxKnown = 4096

// pins answers, for one link, whether people live at the relay at its other end.
type pins struct {
	store Store
	now   func() int64
	relay protocol.Key32 // at the other end

	mu        sync.Mutex
	known     map[protocol.UID]bool // guarded by mu; live there
	strangers map[protocol.UID]bool // guarded by mu; a chain was shown that cannot be
	fresh     map[protocol.UID]Pin  // guarded by mu; seen on this link and not written yet
}

// live reports whether the newest chain seen of uid names the relay. Code:
// not-allowed for somebody of whom a chain was shown here that cannot be.
func (p *pins) live(ctx context.Context, uid protocol.UID) (bool, error) {
	p.mu.Lock()
	lives, disowned := p.known[uid], p.strangers[uid]
	p.mu.Unlock()
	if disowned {
		return false, protocol.Refuse("peer.pins", protocol.CodeNotAllowed, "lives elsewhere")
	}
	if lives {
		return true, nil
	}
	pin, found, err := p.store.Pin(ctx, uid)
	if err != nil {
		return false, err
	}
	if lives = found && pin.Relay == p.relay; lives {
		p.remember(&p.known, uid)
	}
	return lives, nil
}

func (p *pins) remember(which *map[protocol.UID]bool, uid protocol.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *which == nil || len(*which) >= maxKnown {
		*which = map[protocol.UID]bool{}
	}
	(*which)[uid] = true
}

// disown: a chain was shown of uid that cannot be.
func (p *pins) disown(uid protocol.UID) { p.remember(&p.strangers, uid) }

// take believes a chain that is uid's, goes on from the pin and names the relay.
// Code: not-allowed if any of that is not so.
func (p *pins) take(ctx context.Context, uid protocol.UID, chain *ident.Chain) error {
	const op = "peer.pins"
	if chain.UID() != uid {
		return protocol.Refuse(op, protocol.CodeNotAllowed, "another person's chain")
	}
	pin, found, err := p.store.Pin(ctx, uid)
	if err != nil {
		return err
	}
	if found {
		if err := chain.CheckPin(ident.Pin{Seq: pin.Seq, Head: pin.Head}); err != nil {
			return &protocol.Error{Op: op, Code: protocol.CodeNotAllowed, Cause: err}
		}
	}
	if chain.Relay().Key != p.relay {
		return protocol.Refuse(op, protocol.CodeNotAllowed, "lives elsewhere")
	}
	p.remember(&p.known, uid)
	if !found || pin.Seq < chain.Seq() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.fresh == nil || len(p.fresh) >= maxKnown {
			p.fresh = map[protocol.UID]Pin{}
		}
		p.fresh[uid] = Pin{chain.Seq(), chain.Head(), p.relay}
	}
	return nil
}

// keep writes the pin of somebody from whom something was accepted: a relay can
// make up as many people as it likes, and shall not fill the database with them.
func (p *pins) keep(ctx context.Context, uid protocol.UID) error {
	p.mu.Lock()
	pin, ok := p.fresh[uid]
	delete(p.fresh, uid)
	p.mu.Unlock()
	if !ok {
		return nil
	}
	return p.store.SavePin(ctx, uid, pin, p.now())
}
