package person

import (
	"context"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/keys"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

const (
	// look is how often the daily keys are looked after.
	look = 30 * time.Minute
	// heldPatience is how long a letter that could not be opened yet holds up the
	// end of the key it is sealed to.
	heldPatience = 7 * 24 * time.Hour
	tidyEvery    = time.Hour
)

func keyOf(u vault.UEK, issued int64) keys.Key {
	return keys.Key{UEKSecret: u.Key(), TS: u.TS, Issued: issued}
}

// takeOver carries home what the relay keeps. Until it has, nothing is confirmed.
func (p *Person) takeOver(ctx context.Context, l *line) {
	for {
		read, err := p.take.Run(ctx)
		if err == nil {
			p.change(func(s *State) { s.TakenOver = true })
			l.read.Store(&read)
			close(l.taken)
			if p.vaultHasKeys.Load() { // a device issued one while this home was away
				clock.Wake(p.vaultWake)
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		p.c.Logger.Warn("the relay's history is not all here yet", "error", err)
		if p.c.Clock.Wait(ctx, again) != nil {
			return
		}
	}
}

// upkeep issues daily keys and ends them.
func (p *Person) upkeep(ctx context.Context, l *line) {
	for ctx.Err() == nil {
		if err := p.keys(ctx, l); err != nil && ctx.Err() == nil {
			p.c.Logger.Warn("daily keys: trying again later", "error", err)
		}
		clock.Until(ctx, p.c.Clock, look, p.keysWake)
	}
}

// chains follows the own chain, connected or not: a relay refuses a home that
// was revoked without saying why.
func (p *Person) chains(ctx context.Context) {
	for {
		select {
		case <-p.chainWake:
			p.followChain(ctx)
			clock.Wake(p.keysWake) // a revocation may have put the floor above our record
		case <-ctx.Done():
			return
		}
	}
}

func (p *Person) vaults(ctx context.Context, l *line) {
	for {
		select {
		case <-p.vaultWake:
			p.followVault(ctx, l)
		case <-ctx.Done():
			return
		}
	}
}

func (p *Person) followChain(ctx context.Context) {
	chain, err := p.book.Refresh(ctx, p.c.UID)
	if err == nil {
		err = p.member(chain)
	}
	if err != nil && ctx.Err() == nil {
		p.c.Logger.Warn("own chain: not read", "error", err)
	}
	if p.paths != nil {
		p.paths.Check(ctx) // a device may have been removed
	}
}

// followVault takes what a device has changed: pins, and keys that it issued
// while this home was away.
func (p *Person) followVault(ctx context.Context, l *line) {
	contents, err := p.safe.Open(ctx, p.token())
	grown := false
	if err == nil {
		grown, err = p.keepKeys(ctx, contents)
	}
	if err == nil && len(contents.UEKs) > 0 && taken(l) {
		err = p.emptyVault(ctx)
	}
	if err != nil && ctx.Err() == nil {
		p.c.Logger.Warn("vault: not read", "error", err)
		return
	}
	if _, err := p.intake.Retry(ctx, true, grown); err != nil && ctx.Err() == nil {
		p.c.Logger.Warn("held letters: not read", "error", err)
	}
	clock.Wake(p.out.Wake) // a fork that held something up may be decided
}

func taken(l *line) bool {
	select {
	case <-l.taken:
		return true
	default:
		return false
	}
}

// keys issues a record if it is due, and destroys keys whose time is over and
// that nothing waiting at the relay, or held here, may need any more.
func (p *Person) keys(ctx context.Context, l *line) error {
	chain, err := p.book.Refresh(ctx, p.c.UID)
	if err != nil {
		return err
	}
	rec, err := p.issuer.Keep(ctx, p.c.Gate, l.Ready.Token, chain)
	if err != nil {
		return err
	}
	over := p.ring.Expired(rec.Pin(), clock.Millis(p.c.Clock))
	if len(over) == 0 || !taken(l) {
		return nil
	}
	drained, err := p.drained(ctx, l)
	if err != nil || !drained {
		return err
	}
	return p.ring.Delete(ctx, over...)
}

// drained reports whether everything that waited at the relay is in the log.
func (p *Person) drained(ctx context.Context, l *line) (bool, error) {
	held, err := p.intake.Pending(ctx, clock.Millis(p.c.Clock)-heldPatience.Milliseconds())
	if err != nil || held > 0 {
		return false, err
	}
	rows, _, err := p.c.Gate.Keep(ctx, l.Ready.Token, 0, 1)
	if err != nil {
		return false, err
	}
	return len(rows) == 0 || rows[0].N <= l.committed.Load(), nil
}

// held tries letters again that could not be opened because their sender's chain
// could not be had.
func (p *Person) held(ctx context.Context) {
	for ctx.Err() == nil {
		next, err := p.intake.Retry(ctx, false, false)
		if err != nil {
			if ctx.Err() == nil {
				p.c.Logger.Warn("held letters: not read", "error", err)
			}
			next = time.Minute
		}
		clock.Until(ctx, p.c.Clock, next, p.heldWake)
	}
}

// tidy gives disk space back, a little at a time.
func (p *Person) tidy(ctx context.Context) {
	for p.c.Clock.Wait(ctx, tidyEvery) == nil {
		if err := p.db.Tidy(ctx); err != nil && ctx.Err() == nil {
			p.c.Logger.Warn("the database was not tidied", "error", err)
		}
	}
}
