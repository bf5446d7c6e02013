package household

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/devices"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/pair"
	"github.com/courtyard-social/courtyard/homedb/internal/person"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	// maxAttempts bounds the pairings under way or just ended; while that many are
	// under way no other begins.
	maxAttempts = 8
	// maxAsks bounds what waits for consent; then the page says to try later.
	maxAsks = 5
	askLife = 10 * time.Minute
	// offerPause comes after a code that was used in vain, before another waits.
	offerPause = 3 * time.Second
)

// Stage is how far a pairing is.
type Stage string

// Stages.
const (
	Waiting  Stage = "waiting"  // for the app
	Begun    Stage = "begun"    // the app has shown up
	Paired   Stage = "paired"   // done
	Refused  Stage = "refused"  // the two sides do not belong together
	Used     Stage = "used"     // the code had been used before
	TimedOut Stage = "timeout"  // nobody came
	Failed   Stage = "failed"   // the relay or this machine's disk
	Asking   Stage = "asking"   // consent is awaited
	Declined Stage = "declined" // consent was refused
)

// Attempt is a pairing that somebody typed here.
type Attempt struct {
	ID    protocol.ID
	Stage Stage
}

// Offer is the code that waits for the first person.
type Offer struct {
	Device protocol.DeviceID
	Code   handshake.Code
	Place  gate.Place
}

// Text is host/XXXX-….
func (o Offer) Text() string { return handshake.PairingText(o.Place.Host, o.Code) }

// Link opens the app with the code.
func (o Offer) Link() string {
	return o.Place.URL("http", "/app/#pair."+o.Text())
}

// Offered is the code that waits, nil for none.
func (h *Household) Offered() *Offer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.offer
}

// wait keeps a code waiting while nobody is here. The same code waits again after
// a restart: it may be part of a claim link that nobody has used yet.
func (h *Household) wait(ctx context.Context) {
	for ctx.Err() == nil {
		changed := h.Changed()
		if !h.owner().IsZero() {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if err := h.waitOnce(ctx); err != nil && ctx.Err() == nil {
			h.c.Logger.Warn("pairing: came to nothing", "error", err)
			if h.c.Clock.Wait(ctx, offerPause) != nil {
				return
			}
		}
	}
}

func (h *Household) waitOnce(ctx context.Context) error {
	o, keys, err := h.present()
	if err != nil {
		return err
	}
	defer h.setOffer(nil)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Somebody who comes by another code makes this one superfluous, unless it is in use.
	begun, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			changed := h.Changed()
			if !h.owner().IsZero() {
				stop()
				return
			}
			select {
			case <-changed:
			case <-begun:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	err = h.bring(ctx, o.Place, o.Code, keys, 0, func() { close(begun); <-watched })
	stop()
	<-watched
	select {
	case <-begun: // used, for better or worse
		return errors.Join(err, h.disk.dropOffer())
	default:
		return err
	}
}

// present shows the code that waits, made now if there is none.
func (h *Household) present() (*Offer, *ident.DeviceKeys, error) {
	w, keys, err := h.prepareOffer()
	if err != nil {
		return nil, nil, err
	}
	o := &Offer{Device: keys.ID(), Code: w.code(), Place: gate.Place{Host: w.Host, Secure: w.Secure}}
	h.setOffer(o)
	return o, keys, nil
}

func (h *Household) setOffer(o *Offer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offer = o
	h.change()
}

// prepareOffer reads the code that waits, or makes one. One for another relay
// than the present one is not used.
func (h *Household) prepareOffer() (*waiting, *ident.DeviceKeys, error) {
	w, err := h.disk.offer()
	if err != nil {
		return nil, nil, err
	}
	if w != nil && w.Host == h.c.Relay.Host && w.Secure == h.c.Relay.Secure {
		keys, err := ident.ParseDeviceKeys(w.Keys.Expose())
		return w, keys, err
	}
	code, err := handshake.NewCode(h.c.Random)
	if err != nil {
		return nil, nil, err
	}
	keys, err := ident.GenerateDeviceKeys(h.c.Random)
	if err != nil {
		return nil, nil, err
	}
	w = &waiting{Host: h.c.Relay.Host, Secure: h.c.Relay.Secure, Code: code.Secret, Keys: protocol.SecretOf(keys.Expose())}
	return w, keys, h.disk.keepOffer(*w)
}

// bring does one pairing from its beginning to the word to the app.
func (h *Household) bring(ctx context.Context, place gate.Place, code handshake.Code, keys *ident.DeviceKeys, life time.Duration, begun func()) error {
	relay := gate.New(place, h.c.Dial)
	defer relay.Close()
	p := &pair.Pairing{Relay: relay, Code: code, Keys: keys, Clock: h.c.Clock, Random: h.c.Random, Begun: begun}
	paired, err := p.Wait(ctx, life)
	if err != nil {
		return err
	}
	m := member{UID: paired.UID, Username: paired.Username, Host: place.Host, Secure: place.Secure, RelayKey: paired.RelayKey,
		Device: keys.ID(), Paired: clock.Millis(h.c.Clock)}
	return h.adopt(ctx, m, keys, paired.Confirm)
}

// Pair begins a pairing with a typed code (host/XXXX-…). Who calls it may act for
// this machine; the page asks for consent first (Ask).
func (h *Household) Pair(text string) (*Attempt, error) {
	host, code, err := handshake.ParsePairing(text)
	if err != nil {
		return nil, err
	}
	return h.begin(h.place(host), code)
}

// PairOnce is Pair for a code from the environment, which is there again at the
// next start. It reports nil for one that was tried before.
func (h *Household) PairOnce(text string) (*Attempt, error) {
	host, code, err := handshake.ParsePairing(text)
	if err != nil {
		return nil, sentence("COURTYARD_PAIR does not hold a pairing code (host/XXXX-XXXX-XXXX-XXXX)")
	}
	before, err := h.disk.tried(code)
	if err != nil || before {
		return nil, err
	}
	return h.begin(h.place(host), code)
}

// place is where a code's host is: as configured, if it is the configured relay.
func (h *Household) place(host string) gate.Place {
	if h.c.Relay != nil && h.c.Relay.Host == host {
		return *h.c.Relay
	}
	return gate.PlaceOf(host)
}

func (h *Household) begin(place gate.Place, code handshake.Code) (*Attempt, error) {
	keys, err := ident.GenerateDeviceKeys(h.c.Random)
	if err != nil {
		return nil, err
	}
	a, err := h.attempt(Waiting)
	if err != nil {
		return nil, err
	}
	h.pursue(a.ID, place, code, keys)
	return a, nil
}

// attempt makes a new one. Code rate-limited while too many are under way.
func (h *Household) attempt(stage Stage) (*Attempt, error) {
	id, err := protocol.NewID(h.c.Random)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.attempts) >= maxAttempts {
		i := slices.IndexFunc(h.attempts, func(a *Attempt) bool {
			return a.Stage != Waiting && a.Stage != Begun && a.Stage != Asking
		})
		if i < 0 {
			return nil, &protocol.Error{Op: "household.Pair", Code: protocol.CodeRateLimited}
		}
		h.attempts = slices.Delete(h.attempts, i, i+1)
	}
	a := &Attempt{ID: id, Stage: stage}
	h.attempts = append(h.attempts, a)
	h.change()
	return &Attempt{ID: id, Stage: stage}, nil
}

// pursue runs an attempt in the background, as soon as Run does.
func (h *Household) pursue(id protocol.ID, place gate.Place, code handshake.Code, keys *ident.DeviceKeys) {
	<-h.started
	h.mu.Lock()
	defer h.mu.Unlock()
	ctx := h.running
	if ctx.Err() != nil {
		return
	}
	h.all.Go(func() {
		err := h.bring(ctx, place, code, keys, pair.Life, func() { h.move(id, Begun) })
		h.move(id, stageOf(err))
		if err != nil && ctx.Err() == nil {
			h.c.Logger.Warn("pairing: came to nothing", "error", err)
		}
	})
}

func stageOf(err error) Stage {
	switch {
	case err == nil:
		return Paired
	case errors.Is(err, pair.ErrRefused):
		return Refused
	case errors.Is(err, pair.ErrUsed):
		return Used
	case errors.Is(err, pair.ErrTimeout):
		return TimedOut
	}
	return Failed
}

func (h *Household) move(id protocol.ID, stage Stage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.attempts {
		if a.ID == id {
			a.Stage = stage
		}
	}
	h.change()
}

// Stage is how far an attempt is; empty for one that is not known (any more).
func (h *Household) Stage(id protocol.ID) Stage {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.attempts {
		if a.ID == id {
			return a.Stage
		}
	}
	return ""
}

// ask is a pairing typed at the page that waits for consent.
type ask struct {
	devices.Ask
	attempt protocol.ID
	code    handshake.Code
}

// Ask begins a pairing from the page: at once while nobody is here yet, later
// with the consent of the household's first person.
func (h *Household) Ask(text string) (*Attempt, error) {
	if h.owner().IsZero() {
		return h.Pair(text)
	}
	host, code, err := handshake.ParsePairing(text)
	if err != nil {
		return nil, err
	}
	id, err := protocol.NewID(h.c.Random)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.dropOld()
	full := len(h.asks) >= maxAsks
	h.mu.Unlock()
	if full {
		return nil, &protocol.Error{Op: "household.Ask", Code: protocol.CodeRateLimited}
	}
	a, err := h.attempt(Asking)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.asks = append(h.asks, &ask{devices.Ask{ID: id, Host: host, TS: clock.Millis(h.c.Clock)}, a.ID, code})
	owner := h.ownerLocked()
	h.mu.Unlock()
	h.tell(owner)
	return a, nil
}

// owner is the earliest person whose home has not been revoked, zero for none:
// then the page may pair as if nobody had ever been here.
func (h *Household) owner() protocol.UID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ownerLocked()
}

func (h *Household) ownerLocked() protocol.UID {
	for _, uid := range h.order {
		if _, ok := h.refused[uid]; ok {
			return uid // still the first, though nobody can ask them now
		}
		if r := h.people[uid]; r != nil && r.State().Trouble != person.Revoked {
			return uid
		}
	}
	return protocol.UID{}
}

func (h *Household) tell(uid protocol.UID) {
	h.mu.Lock()
	r := h.people[uid]
	h.mu.Unlock()
	if r != nil {
		r.Asked()
	}
}

// dropOld forgets asks that nobody answered; mu is held.
func (h *Household) dropOld() {
	now := clock.Millis(h.c.Clock)
	h.asks = slices.DeleteFunc(h.asks, func(a *ask) bool {
		if now-a.TS < askLife.Milliseconds() {
			return false
		}
		for _, at := range h.attempts {
			if at.ID == a.attempt {
				at.Stage = TimedOut
			}
		}
		return true
	})
}

// Asks are the pairings that wait for uid's consent: the owner's alone.
func (h *Household) Asks(uid protocol.UID) []devices.Ask {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropOld()
	out := []devices.Ask{}
	if uid != h.ownerLocked() {
		return out
	}
	for _, a := range h.asks {
		out = append(out, a.Ask)
	}
	return out
}

// Allow answers an ask. Code not-found, also for somebody whom it does not concern.
func (h *Household) Allow(_ context.Context, uid protocol.UID, id protocol.ID, yes bool) error {
	missing := &protocol.Error{Op: "household.Allow", Code: protocol.CodeNotFound}
	h.mu.Lock()
	h.dropOld()
	i := slices.IndexFunc(h.asks, func(a *ask) bool { return a.ID == id })
	if i < 0 || uid != h.ownerLocked() {
		h.mu.Unlock()
		return missing
	}
	a := h.asks[i]
	h.asks = slices.Delete(h.asks, i, i+1)
	h.mu.Unlock()
	defer h.tell(uid)
	if !yes {
		h.move(a.attempt, Declined)
		return nil
	}
	keys, err := ident.GenerateDeviceKeys(h.c.Random)
	if err != nil {
		return err
	}
	h.move(a.attempt, Waiting)
	h.pursue(a.attempt, h.place(a.Host), a.code, keys)
	return nil
}

// Code makes a pairing code for another person of the household, at uid's relay.
// It waits for ten minutes.
func (h *Household) Code(_ context.Context, uid protocol.UID) (string, error) {
	h.mu.Lock()
	r := h.people[uid]
	h.mu.Unlock()
	if r == nil {
		return "", &protocol.Error{Op: "household.Code", Code: protocol.CodeNotFound}
	}
	code, err := handshake.NewCode(h.c.Random)
	if err != nil {
		return "", err
	}
	place := r.Place()
	if _, err := h.begin(place, code); err != nil {
		return "", err
	}
	return handshake.PairingText(place.Host, code), nil
}
