package direct

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	// maxEachDevice bounds the connections of one device: tabs, and the one that is
	// about to replace another.
	maxEachDevice = 4
	// maxOffers are a person's new connections in a minute.
	maxOffers = 30
	// preparing bounds what an answer waits for: the relay's word, and gathering.
	preparing = 8 * time.Second
)

// Config is what the connections of one person need. All fields are due.
type Config struct {
	Network *Network
	Keys    *ident.DeviceKeys // of this home
	// Relay is where the last connection to the relay led; not valid: nowhere yet.
	Relay func() netip.Addr
	// Turn and Where ask the relay (section 12): about its STUN servers, and
	// from which address it sees one of the person's devices.
	Turn  func(ctx context.Context) (Servers, error)
	Where func(ctx context.Context, device protocol.DeviceID) (netip.Addr, error)
	// Active reports whether a device is in the person's chain now.
	Active func(ctx context.Context, device protocol.DeviceID) bool
	// Serve answers what comes over an open channel, until it ends.
	Serve  func(ctx context.Context, c *Channel)
	Clock  clock.Clock
	Logger *slog.Logger
}

// Paths are a person's direct connections. They outlive the line to the relay: what
// was vouched for over a link stays when that link goes away.
type Paths struct {
	c      Config
	probes *allowance
	offers *allowance
	ctx    context.Context // of everything that runs here
	stop   context.CancelFunc
	all    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	ended   bool
	paths   map[key]*path
	servers Servers // as the relay said last
}

// key names a connection: an id is one device's own.
type key struct {
	device protocol.DeviceID
	id     protocol.ID
}

// New makes the place for a person's connections; Close ends them.
func New(c Config) *Paths {
	ctx, stop := context.WithCancel(context.Background())
	return &Paths{c: c, probes: newAllowance(maxProbes), offers: newAllowance(maxOffers), ctx: ctx, stop: stop, paths: map[key]*path{}}
}

// Close ends all connections and waits for them.
func (p *Paths) Close() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.stop()
	p.all.Wait()
}

// begin runs something that Close waits for, unless that is under way.
func (p *Paths) begin(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.all.Go(do)
	}
}

func (p *Paths) count(what string) { p.c.Network.s.Counted(what) }

// Offered is a connection whose answer is being prepared.
type Offered struct {
	paths *Paths
	path  *path
}

// Offer begins a connection that a device offers over its link; session is the one
// that vouches for it. What the device adds meanwhile is kept. Codes: bad-request,
// too-large, rate-limited, unavailable.
func (p *Paths) Offer(device ident.Device, session handshake.SessionID, id protocol.ID, sdp string) (*Offered, error) {
	offer, err := ParseOffer(sdp)
	if err != nil || id.IsZero() {
		p.count("offer-bad")
		return nil, cmp.Or(err, refuse("no id"))
	}
	if !p.offers.take(p.c.Clock.Now()) {
		p.count("offer-often")
		return nil, protocol.Refuse("direct.Offer", protocol.CodeRateLimited, "too many offers")
	}
	for range offer.Dropped {
		p.count(Malformed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := key{device.ID(), id}
	if p.paths[k] != nil {
		return nil, refuse("an id is used once")
	}
	if own := p.of(device.ID()); len(own) >= maxEachDevice {
		own[0].stop()
		delete(p.paths, own[0].key)
		p.count("replaced")
	}
	if p.ended || !p.c.Network.take() {
		p.count("full")
		return nil, protocol.Refuse("direct.Offer", protocol.CodeUnavailable, "too many connections")
	}
	n := newPath(p, k, device, session, offer)
	p.paths[k] = n
	p.all.Go(func() {
		defer p.c.Network.free()
		n.run()
		p.forget(n)
	})
	return &Offered{p, n}, nil
}

// Answer is the home's description, once its addresses are known.
func (o *Offered) Answer(ctx context.Context) (string, error) {
	ctx, stop := context.WithTimeout(ctx, preparing)
	defer stop()
	sdp, err := o.path.answer(ctx)
	if err != nil {
		o.path.stop()
		return "", err
	}
	return sdp, nil
}

// of are a device's connections, the oldest first; mu is held.
func (p *Paths) of(device protocol.DeviceID) []*path {
	var out []*path
	for k, n := range p.paths {
		if k.device == device {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *path) int { return cmp.Compare(a.turn, b.turn) })
	return out
}

func (p *Paths) forget(n *path) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paths[n.key] == n {
		delete(p.paths, n.key)
	}
}

// find is a device's own connection. Code: not-found.
func (p *Paths) find(device protocol.DeviceID, id protocol.ID) (*path, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.paths[key{device, id}]; n != nil {
		return n, nil
	}
	return nil, protocol.Refuse("direct", protocol.CodeNotFound, "no such connection")
}

// More adds candidates that a device has found since. Codes: not-found, bad-request.
func (p *Paths) More(device protocol.DeviceID, id protocol.ID, candidates []string) error {
	n, err := p.find(device, id)
	if err != nil {
		return err
	}
	const atOnce = 16
	if len(candidates) > atOnce {
		return refuse("too many candidates at once")
	}
	var more []Candidate
	for _, text := range candidates {
		if text == "" { // the browser has found them all
			continue
		}
		c, err := ParseCandidate(text)
		if err != nil {
			p.count(Malformed)
			continue
		}
		more = append(more, c)
	}
	n.add(more)
	return nil
}

// End ends a connection. One that is not there has ended.
func (p *Paths) End(device protocol.DeviceID, id protocol.ID) {
	if n, err := p.find(device, id); err == nil {
		n.stop()
		p.forget(n)
	}
}

// Where tells how a connection goes. Code: not-found.
func (p *Paths) Where(device protocol.DeviceID, id protocol.ID) (Way, error) {
	n, err := p.find(device, id)
	if err != nil {
		return Way{}, err
	}
	return n.way(), nil
}

// Check ends the connections of devices that are not in the chain any more.
func (p *Paths) Check(ctx context.Context) {
	p.mu.Lock()
	all := make([]*path, 0, len(p.paths))
	for _, n := range p.paths {
		all = append(all, n)
	}
	p.mu.Unlock()
	for _, n := range all {
		if !p.c.Active(ctx, n.key.device) {
			p.count("revoked")
			n.stop()
			p.forget(n)
		}
	}
}

// Status is what Me and Diagnostics show.
func (p *Paths) Status() Status {
	s := p.c.Network.status()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.paths {
		if n.opened.Load() {
			s.Open++
		}
	}
	return s
}

// replace ends the older connections of a session, now that a newer one is open:
// until then the device went on with what it had.
func (p *Paths) replace(by *path) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.of(by.key.device) {
		if n != by && n.session == by.session && n.turn < by.turn {
			n.stop()
			delete(p.paths, n.key)
		}
	}
}

// rules are those for one device.
func (p *Paths) rules(ctx context.Context, device protocol.DeviceID) (Rules, error) {
	own, err := ownNetworks()
	if err != nil {
		return Rules{}, err
	}
	r := Rules{Own: own, Named: p.c.Network.s.Named}
	if r.Seen, err = p.c.Where(ctx, device); err != nil { // then only neighbours are left
		p.c.Logger.Debug("direct: the relay does not say where a device is", "error", err)
		p.count("where-unknown")
		r.Seen = netip.Addr{}
	}
	r.Seen = r.Seen.Unmap()
	return r, nil
}

// turn are the relay's servers: asked for when the last word is about to be over.
// None is no error: a connection may do without.
func (p *Paths) turn(ctx context.Context) Servers {
	const ahead = 10 * time.Minute
	p.mu.Lock()
	s := p.servers
	p.mu.Unlock()
	if s.Until > p.c.Clock.Now().Add(ahead).UnixMilli() {
		return s
	}
	s, err := p.c.Turn(ctx)
	if err != nil {
		p.c.Logger.Debug("direct: the relay has no servers", "error", err)
		return Servers{}
	}
	p.mu.Lock()
	p.servers = s
	p.mu.Unlock()
	return s
}
