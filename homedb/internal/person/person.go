// Package person is one member of the household: their log, keys and connection,
// put together. There is one for each uid, and nothing in one can reach what
// belongs to another.
package person

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/devices"
	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/files"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/intake"
	"github.com/courtyard-social/courtyard/homedb/internal/keys"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
	"github.com/courtyard-social/courtyard/homedb/internal/metrics"
	"github.com/courtyard-social/courtyard/homedb/internal/outbox"
	"github.com/courtyard-social/courtyard/homedb/internal/safe"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/homedb/internal/takeover"
	"github.com/courtyard-social/courtyard/homedb/internal/wall"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// Config is what a person needs. All fields are due but Network.
type Config struct {
	UID       protocol.UID
	Username  string
	Dir       string // of this person: keys and files
	RelayKey  protocol.Key32
	Keys      *ident.DeviceKeys
	Gate      *gate.Gate
	OpenLog   func(ctx context.Context) (*store.DB, error)
	Fresh     bool // just paired: what the relay keeps has to be taken over, again if need be
	Household devices.Household
	Network   *direct.Network // nil: this home is reached over the relay alone
	Instance  protocol.ID     // of this process
	Version   string
	Clock     clock.Clock
	Random    io.Reader
	Jitter    *rand.Rand
	Logger    *slog.Logger
	Counts    *metrics.Counts
	// FramesPerSecond that are sent to the relay; 0: what it reads (section 12).
	FramesPerSecond float64
}

// Trouble is what keeps a person's home from its work, for its page and its app.
type Trouble string

// Troubles.
const (
	None      Trouble = ""
	Away      Trouble = "away"      // the relay does not answer, or refuses
	Twice     Trouble = "twice"     // another home with the same key is connected
	Revoked   Trouble = "revoked"   // this home is no longer in the chain
	WrongKey  Trouble = "wrong-key" // the relay is not the one of the chain
	Forked    Trouble = "forked"    // the relay shows another chain of this very person
	Unwilling Trouble = "unwilling" // connected, but something essential fails
	Damaged   Trouble = "damaged"   // what is on disk cannot be read, and is left as it is
)

// What Open could not read.
var (
	ErrLog  = errors.New("the log")
	ErrKeys = errors.New("the daily keys")
)

// State is how a person's home is doing.
type State struct {
	Connected bool
	Since     int64 // of the last change of Connected, ms
	Trouble   Trouble
	Twice     bool // a second home with this key has shown up since the start
	TakenOver bool // the history that the relay kept is here
}

// Person runs one person's home.
type Person struct {
	c      Config
	db     *store.DB
	ringDB *store.DB
	log    *chatlog.Log
	book   *friends.Book
	ring   *keys.Ring
	safe   *safe.Safe
	files  *files.Files
	intake *intake.Intake
	out    *outbox.Outbox
	writer *outbox.Writer
	// address goes into envelopes to the own devices.
	address protocol.Address
	issuer  *keys.Issuer
	take    *takeover.Takeover
	wall    *wall.Wall
	link    *link.Link
	desk    *devices.Desk
	paths   *direct.Paths // nil without a network

	// Each holds one: woken once is as good as many times.
	chainWake, vaultWake, heldWake, keysWake chan struct{}

	vaultHasKeys atomic.Bool // as it was read last

	mu      sync.Mutex // guards what follows
	state   State
	current *line
	looked  time.Time          // into the vault, for keys of a letter that none opens
	stop    context.CancelFunc // ends Run for good
	changed chan struct{}      // closed and replaced when state changes
}

// Open opens what is on disk, and makes it where there is nothing yet; whether a
// log must be there is OpenLog's to say. Errors are ErrLog or ErrKeys where it is
// clear what could not be read.
func Open(ctx context.Context, c Config) (_ *Person, err error) {
	p := &Person{c: c, changed: make(chan struct{}), chainWake: make(chan struct{}, 1), vaultWake: make(chan struct{}, 1),
		heldWake: make(chan struct{}, 1), keysWake: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.db, err = c.OpenLog(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLog, err)
	}
	if p.ringDB, err = sqlite.OpenRing(ctx, filepath.Join(c.Dir, "keys.db")); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if p.ring, err = keys.OpenRing(ctx, p.ringDB); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if p.log, err = chatlog.Open(ctx, p.db, c.UID, c.Random, clock.Millis(c.Clock)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLog, err)
	}
	if c.Fresh {
		if err := takeover.Begin(ctx, p.db); err != nil {
			return nil, err
		}
	}
	if err := p.assemble(); err != nil {
		return nil, err
	}
	if err := p.files.Sweep(ctx); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	if p.state.TakenOver, err = p.take.Done(ctx); err != nil {
		return nil, err
	}
	p.state.Since = clock.Millis(c.Clock)
	return p, nil
}

func (p *Person) assemble() error {
	c := p.c
	ip, port, err := protocol.SplitHost(c.Gate.Place().Host)
	if err != nil {
		return err
	}
	p.address = protocol.Address{IP: ip, Port: port, Username: c.Username}
	p.book = friends.Open(p.db, c.UID, register{p}, c.Clock, c.Logger)
	p.safe = &safe.Safe{DB: p.db, Register: c.Gate, Keys: c.Keys, Clock: c.Clock, Random: c.Random,
		Chain:  func(ctx context.Context) (*ident.Chain, error) { return p.book.Refresh(ctx, c.UID) },
		Opened: p.opened}
	p.files = &files.Files{DB: p.db, Dir: filepath.Join(c.Dir, "files"), Relay: c.Gate, Clock: c.Clock, Logger: c.Logger, Wake: make(chan struct{}, 1)}
	p.writer = &outbox.Writer{Book: p.book, Keys: c.Keys, Random: c.Random, Username: c.Username, Date: p.date}
	p.out = &outbox.Outbox{DB: p.db, Writer: p.writer, Log: p.log, Safe: p.safe, Named: p.named, RelayTime: p.askTime, Clock: c.Clock, Logger: c.Logger, Wake: make(chan struct{}, 1), Given: c.Counts.Given}
	p.intake = &intake.Intake{Self: c.UID, DB: p.db, Log: p.log, Book: p.book, Ring: p.ring, Files: p.files, Clock: c.Clock, Logger: c.Logger,
		MoreKeys: p.moreKeys, Counted: c.Counts.Letters, Grown: p.grown, Ahead: p.doubt,
		Owed: func() { clock.Wake(p.out.Wake); clock.Wake(p.files.Wake); clock.Wake(p.heldWake) }}
	p.issuer = &keys.Issuer{Ring: p.ring, Signer: c.Keys, Clock: c.Clock, Random: c.Random, Stamp: p.relayTime}
	p.take = &takeover.Takeover{DB: p.db, Take: p.intake.Take,
		Keep: func(ctx context.Context, before int64, limit int) ([]gate.Row, bool, error) {
			return c.Gate.Keep(ctx, p.token(), before, limit)
		},
		Empty: p.emptyVault}
	p.wall = &wall.Wall{DB: p.db, UID: c.UID, Username: c.Username, Host: c.Gate.Place().Host, Relay: c.Gate, Signer: c.Keys,
		Clock: c.Clock, Now: p.relayTime, Chain: p.book.Own,
		Refresh: func(ctx context.Context) (*ident.Chain, error) { return p.book.Refresh(ctx, c.UID) },
		Logger:  c.Logger, Counted: c.Counts.Link, Wake: make(chan struct{}, 1)}
	p.openDesk()
	p.link = link.New(link.Config{UID: c.UID, Keys: c.Keys, Instance: c.Instance, Host: c.Gate.Place().Host, RelayKey: c.RelayKey,
		Dial: link.Dialer(c.Gate), Clock: c.Clock, Random: c.Random, Jitter: c.Jitter, Log: c.Logger,
		Dropped: func() { c.Counts.Link("live-dropped") }, State: p.linkState,
		FramesPerSecond: c.FramesPerSecond})
	return nil
}

// UID is who this is.
func (p *Person) UID() protocol.UID { return p.c.UID }

// Place is the relay as it is dialled.
func (p *Person) Place() gate.Place { return p.c.Gate.Place() }

// Run keeps the person's home going until ctx ends or the home is revoked.
func (p *Person) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p.mu.Lock()
	p.stop = stop
	p.mu.Unlock()
	var all sync.WaitGroup
	if p.paths != nil {
		defer p.paths.Close()
	}
	all.Go(func() { p.tidy(ctx) })
	all.Go(func() { p.chains(ctx) })
	p.link.Run(ctx, func(ctx context.Context, l *link.Line) { p.serve(ctx, l) })
	stop()
	all.Wait()
}

// Close closes the databases. Run has ended.
func (p *Person) Close() error {
	var errs []error
	for _, db := range []*store.DB{p.db, p.ringDB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	p.c.Gate.Close()
	return errors.Join(errs...)
}

// State is how this home is doing.
func (p *Person) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Changed is closed when the state is no longer what State has just said.
func (p *Person) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func (p *Person) change(do func(*State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.state
	do(&p.state)
	if p.state == before {
		return
	}
	if p.state.Connected != before.Connected {
		p.state.Since = clock.Millis(p.c.Clock)
		delta := -1
		if p.state.Connected {
			delta = 1
		}
		p.c.Counts.Connected(delta)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// linkState hears what the link is doing.
func (p *Person) linkState(s link.State, err error) {
	switch s {
	case link.Up:
		p.change(func(st *State) { st.Connected, st.Trouble = true, None })
	case link.Waiting:
		p.c.Counts.Link("relay-lost")
		p.change(func(st *State) {
			st.Connected = false
			if st.Trouble != Revoked {
				st.Trouble = troubleOf(err)
			}
			st.Twice = st.Twice || st.Trouble == Twice
		})
		if protocol.CodeOf(err) == protocol.CodeUnauthorized {
			clock.Wake(p.chainWake) // perhaps this home has been revoked
		}
	}
}

func troubleOf(err error) Trouble {
	switch {
	case errors.Is(err, link.ErrProof):
		return WrongKey
	case protocol.CodeOf(err) == protocol.CodeHomeExists:
		return Twice
	}
	return Away
}

// opened takes over from the vault what the app has pinned, and where it says that
// people live.
func (p *Person) opened(c vault.Contents) {
	pins, hosts := map[protocol.UID]ident.Pin{}, map[protocol.UID]string{}
	for _, f := range c.Friends {
		if pin, ok := f.ChainPin(); ok {
			pins[f.UID] = pin
		}
		if protocol.ValidHost(f.Host) && f.Port > 0 && f.Port < 1<<16 {
			hosts[f.UID] = protocol.JoinHost(f.Host, f.Port)
		}
	}
	p.book.Trust(pins)
	p.book.Lives(hosts)
}

// grown tells the person's devices that the log has grown.
func (p *Person) grown() { p.desk.Grown() }

// Asked tells the person's devices that the pairings that wait for consent have changed.
func (p *Person) Asked() { p.desk.Asked() }

func (p *Person) line() *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

func (p *Person) token() string {
	if l := p.line(); l != nil {
		return l.Ready.Token
	}
	return ""
}
