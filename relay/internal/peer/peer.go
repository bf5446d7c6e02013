// Package peer is the way to other courtyards and back: couriers that pass on
// what waits here, guests that bring what is for people who live here (section 14).
//
// It must never take a letter from a relay that its writer's chain does not
// name, never hand one to a relay that its reader's chain does not name, and
// never forget one before the other side has it on disk or has refused it for good.
package peer

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/files"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
)

// Store is what the package needs of the database.
type Store interface {
	// Destinations lists whom something waits for.
	Destinations(ctx context.Context) ([]queue.Away, error)
	// Parcels lists what waits for one person, above after, ascending.
	Parcels(ctx context.Context, to queue.Away, after int64, limit int) ([]queue.Parcel, error)
	// Waiting lists the letters that wait of one sender, likewise, without the bytes; a file is told by its letter.
	Waiting(ctx context.Context, sender protocol.UID, after int64, limit int) ([]queue.Parcel, error)
	// Chunk returns the stored piece of a file that contains the byte at, and where it starts.
	Chunk(ctx context.Context, id protocol.ID, at int64) (start int64, data []byte, err error)
	// Chain returns a local person's records.
	Chain(ctx context.Context, uid protocol.UID, after int64) ([]protocol.Signed, error)
	Pin(ctx context.Context, uid protocol.UID) (Pin, bool, error)
	// SavePin moves a pin forward, never back.
	SavePin(ctx context.Context, uid protocol.UID, p Pin, at int64) error
	Lives(ctx context.Context, uid protocol.UID) (bool, error)
	// AcceptsFrom reports whether sender is a contact of owner, who does not refuse
	// the relay with key, which calls itself host, either.
	AcceptsFrom(ctx context.Context, owner, sender protocol.UID, relay protocol.Key32, host string) (bool, error)
	// Unwelcome reports whether an invite is of somebody who refuses that relay.
	Unwelcome(ctx context.Context, invite protocol.Hash32, relay protocol.Key32, host string) (bool, error)
	// Owns reports whether somebody is the relay's owner.
	Owns(ctx context.Context, uid protocol.UID) (bool, error)
	// Grants lists whom this relay lets pass, those that are over included.
	Grants(ctx context.Context) ([]Grant, error)
	SaveGrant(ctx context.Context, g Grant) error
	// UseGrant counts size bytes of a day against a grant that lasts beyond now, ms;
	// false if there is none, or not so much left of it.
	UseGrant(ctx context.Context, relay protocol.Key32, size, now, day int64) (bool, error)
	// Detours lists who lets this relay pass beyond now, ms.
	Detours(ctx context.Context, now int64) ([]Detour, error)
	// SaveDetour keeps up to most of them, of relays that somebody known lives at.
	SaveDetour(ctx context.Context, d Detour, most int) error
	Card(ctx context.Context, relay protocol.Key32) (protocol.Signed, bool, error)
	SaveCard(ctx context.Context, card protocol.Signed) error
}

// Queue takes custody and ends it; *queue.Writer.
type Queue interface {
	Put(ctx context.Context, p *queue.Put, answer func(queue.Result)) error
	Settle(ctx context.Context, s *queue.Settle, answer func(queue.Result)) error
}

// Files takes what other relays bring; *files.Files.
type Files interface {
	Put(ctx context.Context, u files.Upload) (int64, error)
	Have(ctx context.Context, uid protocol.UID, id protocol.ID) (files.File, error)
}

// Invites is where invitations are used up; *invites.Invites.
type Invites interface {
	Spend(ctx context.Context, id protocol.ID, guest protocol.UID) error
}

// Told hears what happens. Its methods must not block.
type Told interface {
	// Carried: the other relay has a letter of sender's on disk; by names the
	// courtyard by way of which, if any.
	Carried(sender, to protocol.UID, id protocol.ID, kept bool, by string)
	// Brought: something worthless later, for a person who lives here; ring: it
	// begins a call.
	Brought(e *protocol.Envelope, raw []byte, ring bool)
	// Linked counts links that open (1) and close (-1).
	Linked(direction string, delta int)
	Refused(code string)
}

// Config is what the package needs.
type Config struct {
	Key     protocol.SignSecret
	Hosts   []string // of this relay, the first is the public one
	Store   Store
	Queue   Queue
	Files   Files
	Invites Invites
	Lists   Lists
	Reach   *reach.Dialer
	Told    Told
	Log     *slog.Logger
	Now     func() time.Time
	Random  io.Reader
}

// Peers knows every courier and every guest. Safe for use by several goroutines.
type Peers struct {
	config Config
	ctx    context.Context // ends when the room closes
	stop   context.CancelFunc
	all    sync.WaitGroup

	mu       sync.Mutex
	closed   bool                        // guarded by mu
	couriers map[string]*courier         // guarded by mu; by host
	rounds   map[protocol.Key32]*round   // guarded by mu; at most callers
	guests   map[protocol.Key32][]*guest // guarded by mu; oldest first, at most guestsEach
}

// maxCouriers bounds the relays that letters are passed on to at once. What is
// for others waits until a courier has nothing left to do.
const maxCouriers = 1024

// New makes the room; Start sets it going.
func New(config Config) *Peers {
	ctx, stop := context.WithCancel(context.Background())
	return &Peers{config: config, ctx: ctx, stop: stop, couriers: map[string]*courier{}, guests: map[protocol.Key32][]*guest{}, rounds: map[protocol.Key32]*round{}}
}

// Start sends couriers to everybody something waits for; called again now and then,
// for what found no courier.
func (p *Peers) Start(ctx context.Context) error {
	destinations, err := p.config.Store.Destinations(ctx)
	if err != nil {
		return err
	}
	for _, to := range destinations {
		p.Dispatched(to)
	}
	return nil
}

// Stop ends every link and returns when all have ended. Nothing is lost: what
// was not answered goes again.
func (p *Peers) Stop() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.all.Wait()
}

// Dispatched says that something waits for somebody elsewhere. Beyond maxCouriers
// it waits until the next Start.
func (p *Peers) Dispatched(to queue.Away) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.courierLocked(to.Host); c != nil {
		c.expect(to.UID) // under mu, so that it is not retiring meanwhile
	}
}

// courierLocked finds the courier for host or starts one; mu is held.
func (p *Peers) courierLocked(host string) *courier {
	c := p.couriers[host]
	if c == nil && !p.closed && len(p.couriers) < maxCouriers {
		c = newCourier(p, host)
		p.couriers[host] = c
		p.all.Go(c.run)
	}
	return c
}

// Live passes on what is worthless later, if there is a link. One is opened for
// what rings or reaches: somebody waits at the other end.
func (p *Peers) Live(host string, to protocol.UID, raw []byte, ring, reach bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.couriers[host]
	if ring || reach {
		c = p.courierLocked(host)
	}
	if c != nil {
		c.offerLive(live{to, raw, ring, ring || reach}) // under mu, so that it is not retiring meanwhile
	}
}

// called: the relay at host has opened a link, so it can be reached again.
func (p *Peers) called(host string) {
	if c := p.courier(host); c != nil {
		c.hurry()
	}
}

func (p *Peers) courier(host string) *courier {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.couriers[host]
}

// retire forgets a courier that has nothing to do; false if something came meanwhile.
func (p *Peers) retire(c *courier) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.busy() {
		return false
	}
	delete(p.couriers, c.host)
	return true
}

// own reports whether host is a name of this relay.
func (p *Peers) own(host string) bool {
	for _, own := range p.config.Hosts {
		if own == host {
			return true
		}
	}
	return false
}

// Own reports whether an envelope's address is this relay's; an address that is
// none is nobody else's either.
func (p *Peers) Own(a protocol.Address) (host string, own bool) {
	host, err := protocol.ParseHost(protocol.JoinHost(a.IP, a.Port))
	return host, err != nil || p.own(host)
}
