package peer

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// Lists says with which courtyards the owner deals; *courtyards.Courtyards.
type Lists interface {
	// Refused reports whether a courtyard is refused, as far as its name tells.
	Refused(host string) bool
	// Takes is asked about a relay that has proved its key: under host it was
	// dialled, or else says that this is its name. Codes: not-allowed, unavailable.
	Takes(ctx context.Context, host string, key protocol.Key32, dialled bool) error
	// Welcome reports whether a relay that is here may stay, as far as that can be
	// told without asking anybody.
	Welcome(host string, key protocol.Key32) bool
	// Met remembers that a relay with key was seen under host.
	Met(ctx context.Context, host string, key protocol.Key32, dialled bool) error
}

// Link is what is open with another courtyard.
type Link struct {
	In, Out int
	Code    string // why the last try to connect failed
}

// Links says what is open, and what failed, by host.
func (p *Peers) Links() map[string]Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := map[string]Link{}
	for _, each := range p.guests {
		for _, g := range each {
			l := links[g.host]
			l.In++
			links[g.host] = l
		}
	}
	for host, c := range p.couriers {
		l, state := links[host], c.State()
		if l.Code = state.Code; state.Connected {
			l.Out++
		}
		links[host] = l
	}
	return links
}

// Reconsider ends the links with courtyards that are no longer taken: when it
// returns, nothing more is taken from them.
func (p *Peers) Reconsider() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, each := range p.guests {
		for _, g := range each {
			p.reconsider(g)
		}
	}
	for _, r := range p.rounds {
		p.reconsider(r.guest)
	}
	for _, c := range p.couriers {
		c.reconsider()
	}
}

// reconsider ends a guest that may not stay; mu is held. One of whom that cannot be
// told now may come again, and is asked about then.
func (p *Peers) reconsider(g *guest) {
	if p.config.Lists.Welcome(g.host, g.pins.relay) {
		return
	}
	g.end()
	if p.closed || !p.config.Lists.Refused(g.host) {
		return
	}
	p.all.Go(func() { // its key is refused from now on, too
		if err := p.config.Lists.Met(p.ctx, g.host, g.pins.relay, false); err != nil && p.ctx.Err() == nil {
			p.config.Log.Error("courtyard not noted", "err", err)
		}
	})
}

// KeyAt asks the relay at host for its key, without a word of who asks. Codes:
// peer-away, address-refused.
func (p *Peers) KeyAt(ctx context.Context, host string) (protocol.Key32, error) {
	const op = "peer.KeyAt"
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	answer, err := p.config.Reach.Get(ctx, host, "/api/1/relay", "application/json", 16<<10)
	if err != nil {
		return protocol.Key32{}, err
	}
	var about struct {
		Key protocol.Key32 `json:"key"`
	}
	if err := protocol.DecodeOpen(answer.Body, &about, 4); err != nil {
		return protocol.Key32{}, &protocol.Error{Op: op, Code: protocol.CodePeerAway, Cause: err}
	}
	return about.Key, nil
}

// via says who brought what this guest brings.
func (g *guest) via() queue.Via { return queue.Via{Relay: g.pins.relay, Host: g.host} }

// met remembers, when the first thing was taken from a guest, what it calls
// itself: a relay from which nothing was ever taken shall fill no disk.
func (g *guest) met() error {
	if g.noted {
		return nil
	}
	g.noted = true
	return g.peers.config.Lists.Met(g.ctx, g.host, g.pins.relay, false)
}

// reconsider: the lists have changed.
func (c *courier) reconsider() {
	c.mu.Lock()
	c.doubt = true
	c.mu.Unlock()
	c.poke()
}

// doubted asks again whether the relay at the other end is taken, after the lists
// have changed, and hangs up if not; what waits comes back when it is dialled again.
func (c *courier) doubted(ctx context.Context) {
	c.mu.Lock()
	doubt := c.doubt
	c.doubt = false
	c.mu.Unlock()
	if !doubt {
		return
	}
	lists := c.peers.config.Lists
	refused := lists.Refused(c.host)
	if !refused && c.line != nil {
		refused = lists.Takes(ctx, c.host, c.pins.relay, true) != nil
	}
	if refused {
		c.hangUp()
		c.until, c.pause = c.peers.config.Now(), pause{}
	}
}
