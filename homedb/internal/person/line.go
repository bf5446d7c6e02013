package person

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/devices"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/intake"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
	"github.com/courtyard-social/courtyard/homedb/internal/takeover"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// again is how long a person waits before trying once more what failed on a
// line that is up.
const again = 10 * time.Second

// line is what belongs to one connection.
type line struct {
	*link.Line
	devices *devices.Devices

	committed atomic.Int64 // the highest place that is on disk here
	read      atomic.Pointer[takeover.Span]
	taken     chan struct{} // closed when nothing of the relay's keep is missing
	confirms  chan struct{} // holds one: there is something to confirm
	time      atomic.Pointer[told]
	doubted   atomic.Bool // the relay's clock is ahead of another courtyard's
	now       func() time.Time
}

// serve does everything that needs the connection, until it ends.
func (p *Person) serve(ctx context.Context, l *link.Line) {
	c := p.c
	cur := &line{Line: l, taken: make(chan struct{}), confirms: make(chan struct{}, 1), now: c.Clock.Now}
	cur.time.Store(&told{l.Ready.Time, l.At})
	cur.read.Store(&takeover.Span{})
	if skew := time.Duration(l.Ready.Time-l.At.UnixMilli()) * time.Millisecond; skew.Abs() > maxSkew {
		c.Logger.Warn("this machine's clock differs from the relay's; letters carry the relay's time", "by", skew)
	}
	cur.devices = p.desk.Over(p.relayTime, l.Send)
	p.mu.Lock()
	p.current = cur
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.current = nil
		p.mu.Unlock()
	}()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { p.notices(ctx, cur) })
	all.Go(func() { cur.devices.Run(ctx, l.Live) }) // history does not wait for anything
	if !p.prepare(ctx) {
		return
	}
	all.Go(func() { p.out.Run(ctx, cur.put, l.Ready.Token) })
	all.Go(func() { p.files.Run(ctx, l.Ready.Token) })
	all.Go(func() { p.wall.Run(ctx, l.Ready.Token) })
	all.Go(func() { p.confirms(ctx, cur) })
	all.Go(func() { p.takeOver(ctx, cur) })
	all.Go(func() { p.upkeep(ctx, cur) })
	all.Go(func() { p.vaults(ctx, cur) })
	all.Go(func() { p.held(ctx) })
	deliveries := make(chan intake.Delivery)
	all.Go(func() {
		defer close(deliveries)
		for {
			select {
			case <-ctx.Done():
				return
			case d := <-l.Deliveries:
				select {
				case deliveries <- intake.Delivery{N: d.N, Raw: d.Raw}:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	p.intake.Run(ctx, deliveries, func(n int64) bool { return cur.read.Load().Has(n) }, cur.commit)
}

// commit notes that everything up to n is on disk.
func (l *line) commit(n int64) {
	for {
		at := l.committed.Load()
		if n <= at || l.committed.CompareAndSwap(at, n) {
			break
		}
	}
	clock.Wake(l.confirms)
}

// confirms tells the relay how far we are, once nothing of its keep is missing.
// Several commits that were made meanwhile go into one frame.
func (p *Person) confirms(ctx context.Context, l *line) {
	select {
	case <-l.taken:
	case <-ctx.Done():
		return
	}
	var last int64
	for {
		if n := l.committed.Load(); n > last {
			if err := l.Confirm(ctx, n); err != nil {
				return // the line has ended
			}
			last = n
			continue
		}
		select {
		case <-l.confirms:
		case <-ctx.Done():
			return
		}
	}
}

// notices hears what the relay says unasked. It only wakes others.
func (p *Person) notices(ctx context.Context, l *line) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-l.Notices:
			switch n.What {
			case "chain":
				clock.Wake(p.chainWake)
			case "vault":
				clock.Wake(p.vaultWake)
			case "wall":
				clock.Wake(p.wall.Wake)
			case "home-twice":
				p.c.Logger.Warn("another home with the same key tried to connect: does a copy of this home's disk run somewhere?")
				p.c.Counts.Link("home-twice")
				p.change(func(s *State) { s.Twice = true })
			}
		}
	}
}

// prepare makes sure, before any letter is opened, that this home is still in
// the chain and has every daily key that there is. It goes on until it worked,
// the line ended, or the home turns out to be revoked.
func (p *Person) prepare(ctx context.Context) bool {
	for {
		err := p.ready(ctx)
		if err == nil {
			p.change(func(s *State) { s.Trouble = None })
			return true
		}
		if ctx.Err() != nil || errors.Is(err, errRevoked) {
			return false
		}
		trouble := Unwilling
		if errors.Is(err, friends.ErrFork) {
			trouble = Forked
		}
		p.c.Logger.Warn("connected, but not ready", "error", err)
		p.change(func(s *State) { s.Trouble = trouble })
		clock.Until(ctx, p.c.Clock, again, p.vaultWake)
		if ctx.Err() != nil {
			return false
		}
	}
}

var errRevoked = errors.New("this home is no longer in the chain")

func (p *Person) ready(ctx context.Context) error {
	chain, err := p.book.Refresh(ctx, p.c.UID)
	if err != nil {
		return err
	}
	if err := p.member(chain); err != nil {
		return err
	}
	if _, err := p.openVault(ctx); err != nil {
		return err
	}
	_, err = p.issuer.Keep(ctx, p.c.Gate, p.token(), chain)
	return err
}

// member ends this person's home for good when the chain does not have it any
// more. The log stays; its devices can pair the home again.
func (p *Person) member(chain *ident.Chain) error {
	home, ok := chain.Active(p.c.Keys.ID(), clock.Millis(p.c.Clock))
	if ok && home.Role == ident.RoleHome {
		return nil
	}
	p.c.Logger.Warn("this home was removed by one of its person's devices")
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	p.change(func(s *State) { s.Trouble, s.Connected = Revoked, false })
	if stop != nil {
		stop()
	}
	return errRevoked
}

// openVault opens the vault and takes its daily keys into the ring. It reports
// whether there were new ones.
func (p *Person) openVault(ctx context.Context) (grown bool, err error) {
	contents, err := p.safe.Open(ctx, p.token())
	if err != nil {
		return false, err
	}
	return p.keepKeys(ctx, contents)
}

func (p *Person) keepKeys(ctx context.Context, contents vault.Contents) (grown bool, err error) {
	now := clock.Millis(p.c.Clock)
	p.vaultHasKeys.Store(len(contents.UEKs) > 0)
	for _, u := range contents.UEKs {
		k := u.Key()
		if _, here := p.ring.Find(k.Secret.Public()); here {
			continue
		}
		if err := p.ring.Add(ctx, keyOf(u, min(u.TS, now))); err != nil {
			return grown, err
		}
		grown = true
	}
	return grown, nil
}

// lookEvery bounds how often letters that no key opens make us fetch the vault.
// Should a key be there all the same, they are opened when the vault is read next.
const lookEvery = 10 * time.Second

// moreKeys is asked by the intake about a letter that no key opens.
func (p *Person) moreKeys(ctx context.Context) (bool, error) {
	now := p.c.Clock.Now()
	p.mu.Lock()
	soon := now.Sub(p.looked) < lookEvery
	if !soon {
		p.looked = now
	}
	p.mu.Unlock()
	if soon {
		return false, nil
	}
	return p.openVault(ctx)
}

// emptyVault removes daily keys from the vault that are in the ring: from here on
// they are handed out over the link, and end when they should.
func (p *Person) emptyVault(ctx context.Context) error {
	var lost error
	err := p.safe.Change(ctx, p.token(), func(c *vault.Contents) bool {
		if _, lost = p.keepKeys(ctx, *c); lost != nil || len(c.UEKs) == 0 {
			return false
		}
		c.UEKs = nil
		return true
	})
	if err == nil && lost == nil {
		p.vaultHasKeys.Store(false)
	}
	return errors.Join(err, lost)
}
