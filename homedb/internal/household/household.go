// Package household is everybody whom one home agent looks after, and how
// somebody comes to be: a code that waits, a code that is typed, and the consent
// of those who are already here. The owner of the machine could read everybody's
// log; the app says so.
//
// It must never let one person's devices see or change another's data.
package household

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/metrics"
	"github.com/courtyard-social/courtyard/homedb/internal/person"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/postgres"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Config is what a household needs.
type Config struct {
	Dir      string
	Database string      // a PostgreSQL URL; empty: SQLite in Dir
	Relay    *gate.Place // for which a code waits while nobody is here yet; nil: none
	Version  string
	Clock    clock.Clock
	Random   io.Reader
	Jitter   *rand.Rand
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Logger   *slog.Logger
	Counts   *metrics.Counts
	Network  *direct.Network // nil: devices come over the relay alone
	// FramesPerSecond that are sent to a relay; 0: what it reads (section 12).
	FramesPerSecond float64
}

// Household looks after everybody.
type Household struct {
	c        Config
	disk     disk
	lock     *os.File
	instance protocol.ID

	mu       sync.Mutex // guards what follows
	people   map[protocol.UID]*resident
	refused  map[protocol.UID]member // those whose data could not be opened: nothing of theirs runs
	order    []protocol.UID          // the earliest first, those included
	offer    *Offer
	attempts []*Attempt // the newest last; maxAttempts of them
	asks     []*ask
	running  context.Context // set by Run, before started is closed
	all      sync.WaitGroup  // everything that Run has to wait for
	changed  chan struct{}   // closed and replaced when something changes

	started chan struct{}
}

// resident is a person who is running.
type resident struct {
	*person.Person
	member member
	stop   context.CancelFunc
	ended  chan struct{}
}

// Open locks the directory and opens everybody's data. Somebody whose data is
// missing or damaged is left out, and said so in the log: the others have their
// home all the same. The error is that of the first if nobody could be opened, or
// what concerns all of them: a full disk, a database server that is away.
func Open(ctx context.Context, c Config) (_ *Household, err error) {
	h := &Household{c: c, disk: disk{c.Dir}, people: map[protocol.UID]*resident{}, refused: map[protocol.UID]member{},
		changed: make(chan struct{}), started: make(chan struct{})}
	if h.lock, err = h.disk.lock(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.instance, err = protocol.NewID(c.Random); err != nil {
		return nil, err
	}
	members, err := h.disk.members()
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, m := range members {
		h.order = append(h.order, m.UID)
		p, err := h.reopen(ctx, m)
		if err == nil {
			h.people[m.UID] = &resident{Person: p, member: m.member}
			continue
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrAway) || errors.Is(err, postgres.ErrURL) {
			return nil, err
		}
		h.refused[m.UID] = m.member
		problems = append(problems, err)
	}
	if len(h.people) == 0 && len(problems) > 0 {
		return nil, problems[0]
	}
	for _, err := range problems {
		c.Logger.Error("somebody is not looked after until this is put right", "error", err)
	}
	c.Counts.People(len(h.people))
	if c.Relay != nil && h.owner().IsZero() {
		// The home's page is open before anybody waits; it does not look again by itself.
		if _, _, err := h.present(); err != nil {
			c.Logger.Warn("pairing: no code yet", "error", err)
		}
	}
	return h, nil
}

// reopen opens what is there of somebody who was paired before.
func (h *Household) reopen(ctx context.Context, m found) (*person.Person, error) {
	if m.problem != nil {
		return nil, m.problem
	}
	keys, err := h.disk.keys(m.member)
	if err != nil {
		return nil, err
	}
	p, err := h.open(ctx, m.member, keys, false)
	if err != nil {
		return nil, h.explain(err, m.member)
	}
	return p, nil
}

// logPath is where somebody's log is, for people to find it.
func (h *Household) logPath(uid protocol.UID) string {
	if h.c.Database != "" {
		return "PostgreSQL, schema " + postgres.Schema(uid)
	}
	return filepath.Join(h.disk.person(uid), "log.db")
}

// explained is a sentence that still says what it stands for.
type explained struct {
	error
	because error
}

func (e explained) Unwrap() []error { return []error{e.error, e.because} }

// explain turns what can go wrong with somebody's data into a sentence.
func (h *Household) explain(err error, m member) error {
	say := func(s error) error { return explained{s, err} }
	free, unknown := h.disk.free()
	switch {
	case errors.Is(err, store.ErrNewer):
		return say(sentence("%v (the log of %s)", store.ErrNewer, m.Username))
	case errors.Is(err, store.ErrFull), unknown == nil && free < 256<<10: // then SQLite may say anything
		return explained{sentence("the disk is full: the log of %s could not be opened", m.Username), errors.Join(err, store.ErrFull)}
	case errors.Is(err, store.ErrAway), errors.Is(err, postgres.ErrURL):
		return fmt.Errorf("the log of %s: %w", m.Username, err)
	case errors.Is(err, store.ErrMissing):
		return say(unreadable("the log of "+m.Username, h.logPath(m.UID), store.ErrMissing))
	case errors.Is(err, person.ErrLog):
		return say(unreadable("the log of "+m.Username, h.logPath(m.UID), err))
	case errors.Is(err, person.ErrKeys):
		return say(sentence("the daily keys of %s cannot be read (%s): put that file elsewhere, and this home asks for what they opened once more; nothing was changed (%v)",
			m.Username, filepath.Join(h.disk.person(m.UID), "keys.db"), err))
	}
	return fmt.Errorf("the data of %s: %w", m.Username, err)
}

// openLog opens somebody's log. One that is not there is made for somebody who is
// just being paired; of anybody else it has been lost, and an empty one in its
// place would look as if nothing had ever been said.
func (h *Household) openLog(ctx context.Context, uid protocol.UID, fresh bool) (*store.DB, error) {
	if h.c.Database != "" {
		if !fresh {
			if err := postgres.Exists(ctx, h.c.Database, uid); err != nil {
				return nil, err
			}
		}
		return postgres.OpenLog(ctx, h.c.Database, uid)
	}
	path := filepath.Join(h.disk.person(uid), "log.db")
	if !fresh {
		if err := sqlite.Exists(path); err != nil {
			return nil, err
		}
	}
	return sqlite.OpenLog(ctx, path)
}

func (h *Household) open(ctx context.Context, m member, keys *ident.DeviceKeys, fresh bool) (*person.Person, error) {
	dir := h.disk.person(m.UID)
	return person.Open(ctx, person.Config{
		UID: m.UID, Username: m.Username, Dir: dir, RelayKey: m.RelayKey, Keys: keys, Fresh: fresh,
		Gate:      gate.New(m.place(), h.c.Dial),
		OpenLog:   func(ctx context.Context) (*store.DB, error) { return h.openLog(ctx, m.UID, fresh) },
		Household: h, Network: h.c.Network, Instance: h.instance, Version: h.c.Version, Clock: h.c.Clock, Random: h.c.Random,
		Jitter: rand.New(rand.NewPCG(h.c.Jitter.Uint64(), h.c.Jitter.Uint64())),
		// Two people of a household are told apart in the log by a few characters.
		Logger: h.c.Logger.With("person", m.UID.String()[:6]), Counts: h.c.Counts, FramesPerSecond: h.c.FramesPerSecond,
	})
}

// Run looks after everybody until ctx ends, and waits for all of it to end. It is
// called once.
func (h *Household) Run(ctx context.Context) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.mu.Lock()
	h.running = running
	for _, uid := range h.order {
		if r := h.people[uid]; r != nil {
			h.start(running, r)
		}
	}
	if h.c.Relay != nil {
		h.all.Go(func() { h.wait(running) })
	}
	h.change()
	h.mu.Unlock()
	close(h.started)
	<-ctx.Done()
	h.mu.Lock() // whoever begins something new holds it and looks at running first
	stop()
	h.mu.Unlock()
	h.all.Wait()
}

// start runs a resident; mu is held.
func (h *Household) start(ctx context.Context, r *resident) {
	ctx, r.stop = context.WithCancel(ctx)
	r.ended = make(chan struct{})
	h.all.Go(func() {
		defer close(r.ended)
		r.Run(ctx)
		if ctx.Err() == nil {
			h.notify() // revoked
		}
	})
}

// Close closes everybody's data and unlocks the directory. Run has ended.
func (h *Household) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, r := range h.people {
		errs = append(errs, r.Close())
	}
	h.people = map[protocol.UID]*resident{}
	if h.lock != nil {
		errs = append(errs, h.lock.Close())
		h.lock = nil
	}
	return errors.Join(errs...)
}

// adopt makes somebody who was paired a resident: the log, then keys and name on
// disk, then the connection, then the word to the app.
func (h *Household) adopt(ctx context.Context, m member, keys *ident.DeviceKeys, confirm func(context.Context) error) error {
	h.mu.Lock()
	old := h.people[m.UID]
	h.mu.Unlock()
	if old == nil { // before person.json says that there is one
		if err := h.makeLog(ctx, m); err != nil {
			return err
		}
	}
	if err := h.disk.keep(m, keys); err != nil {
		return fmt.Errorf("household: %w", err)
	}
	if old != nil { // paired again: the home of before has been revoked
		old.stop()
		<-old.ended
		if err := old.Close(); err != nil {
			return fmt.Errorf("household: %w", err)
		}
	}
	p, err := h.open(ctx, m, keys, true)
	if err != nil {
		return h.explain(err, m)
	}
	r := &resident{Person: p, member: m}
	h.mu.Lock()
	if !slices.Contains(h.order, m.UID) {
		h.order = append(h.order, m.UID)
	}
	delete(h.refused, m.UID)
	h.people[m.UID] = r
	running := h.running
	h.start(running, r)
	h.c.Counts.People(len(h.people))
	h.change()
	h.mu.Unlock()
	const patience = 2 * time.Minute
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for !p.State().Connected {
		select {
		case <-p.Changed():
		case <-ctx.Done():
			return fmt.Errorf("household: the relay has not let this home in yet: %w", ctx.Err())
		}
	}
	return confirm(ctx)
}

// makeLog makes the log of somebody who is new here, or has none any more and is
// paired again; one that is there stays as it is.
func (h *Household) makeLog(ctx context.Context, m member) error {
	dir := h.disk.person(m.UID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("household: %w", err)
	}
	db, err := h.openLog(ctx, m.UID, true)
	if err != nil {
		return h.explain(fmt.Errorf("%w: %w", person.ErrLog, err), m)
	}
	return errors.Join(db.Close(), syncDir(dir))
}

// change tells whoever waits that something has changed; mu is held.
func (h *Household) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *Household) notify() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.change()
}

// Changed is closed when something changes after this call.
func (h *Household) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// Person is one resident as the page and the command line show them.
type Person struct {
	UID      protocol.UID
	Username string // or the directory, if person.json cannot be read: then Host is empty
	Host     string
	Paired   int64 // ms
	State    person.State
}

// Residents are all, the earliest first; those whose data could not be opened are
// person.Damaged.
func (h *Household) Residents() []Person {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Person, 0, len(h.order))
	for _, uid := range h.order {
		r := h.people[uid]
		if r == nil {
			if m, ok := h.refused[uid]; ok {
				out = append(out, Person{UID: uid, Username: m.Username, Host: m.Host, Paired: m.Paired, State: person.State{Trouble: person.Damaged}})
			}
			continue
		}
		out = append(out, Person{UID: uid, Username: r.member.Username, Host: r.member.Host, Paired: r.member.Paired, State: r.State()})
	}
	return out
}

// Handle is username@host.
func (p Person) Handle() string {
	if p.Host == "" {
		return p.Username
	}
	return p.Username + "@" + p.Host
}

// People is how many this home looks after; those who have removed it from their
// chain do not count.
func (h *Household) People() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, uid := range h.order {
		if r := h.people[uid]; r != nil && r.State().Trouble != person.Revoked {
			n++
		}
	}
	return n
}

// Free is the room on the disk, in bytes.
func (h *Household) Free() (int64, error) { return h.disk.free() }

// Listed reads who is looked after in dir, whether or not an agent runs there.
func Listed(dir string) ([]Person, error) {
	members, err := disk{dir}.members()
	if err != nil {
		return nil, err
	}
	var out []Person
	for _, m := range members {
		p := Person{UID: m.UID, Username: m.Username, Host: m.Host, Paired: m.Paired}
		if m.problem != nil {
			p.State.Trouble = person.Damaged
		}
		out = append(out, p)
	}
	return out, nil
}
