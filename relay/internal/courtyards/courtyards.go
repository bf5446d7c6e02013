// Package courtyards knows which other courtyards this one deals with: whom the
// owner refuses for everybody, whom alone he takes, and whom a person refuses
// for himself (section 14).
//
// It must never take a name for more than a caller's word: a courtyard is
// refused by its name and by every key seen under it, and taken only by a key
// that was met where the name leads. It must never tell anybody else's list.
package courtyards

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/peer"
)

// States of a courtyard on a list.
const (
	Block = "block"
	Allow = "allow" // on the relay's own list only
	None  = "none"
)

const (
	// perRelay and perPerson bound the lists.
	perRelay  = 1000
	perPerson = 200
)

// Entry is a courtyard on a list.
type Entry struct {
	Host  string `json:"host"`
	State string `json:"state"`
	Since int64  `json:"since"` // ms
}

// Key is a relay key seen under a host.
type Key struct {
	Host   string
	Relay  protocol.Key32
	Proved bool // this relay dialled the host and met the key
}

// Rules are the relay's own list.
type Rules struct {
	Only    bool // those on the list alone
	Entries []Entry
	Keys    []Key // seen under hosts on the list
}

// Known is a courtyard with which this one has had to do.
type Known struct {
	Host    string
	People  int   // of here, who have a friend there
	Waiting int   // letters that wait here to go there
	Seen    int64 // when a relay was last met under that name for the first time, ms; 0 never
}

// Store is what the package needs of the database. An owner of nil is the relay itself.
type Store interface {
	Owns(ctx context.Context, uid protocol.UID) (bool, error)
	CourtyardRules(ctx context.Context) (Rules, error)
	// List is the list of a person.
	List(ctx context.Context, owner *protocol.UID) ([]Entry, error)
	// SetCourtyard writes an entry, or removes it (None). Code: not-allowed beyond most.
	SetCourtyard(ctx context.Context, owner *protocol.UID, e Entry, most int) error
	SetOnly(ctx context.Context, only bool) error
	// SaveKey notes a key; at most most of each kind are kept of one host.
	SaveKey(ctx context.Context, k Key, most int, at int64) error
	KnownCourtyards(ctx context.Context, limit int) ([]Known, error)
}

// Links is what goes on with other courtyards; *peer.Peers.
type Links interface {
	// Links says what is open and what failed last, by host.
	Links() map[string]peer.Link
	// Reconsider ends what is open with courtyards that are no longer taken.
	Reconsider()
	// KeyAt asks a relay for its key. Codes: peer-away, address-refused.
	KeyAt(ctx context.Context, host string) (protocol.Key32, error)
}

// Courtyards is the room of the lists. Safe for use by several goroutines.
type Courtyards struct {
	store Store
	own   map[string]bool
	links func() Links // they are made after this
	room  func() error
	now   func() time.Time
	rules atomic.Pointer[rules]

	reading sync.Mutex // from asking the database to writing rules, so that nothing older comes last
}

// rules are Rules as they are asked for. Not changed once made.
type rules struct {
	only    bool
	blocked map[string]bool
	allowed map[string]bool
	refused map[protocol.Key32]bool // seen under a blocked host
	taken   map[protocol.Key32]bool // met at an allowed one
}

// New reads the relay's list. hosts are its own names; room answers relay-full
// when the disk's reserve is reached; links is asked once everything is put together.
func New(ctx context.Context, store Store, hosts []string, links func() Links, room func() error, now func() time.Time) (*Courtyards, error) {
	c := &Courtyards{store: store, own: map[string]bool{}, links: links, room: room, now: now}
	for _, host := range hosts {
		c.own[host] = true
	}
	return c, c.read(ctx)
}

func (c *Courtyards) read(ctx context.Context) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	read, err := c.store.CourtyardRules(ctx)
	if err != nil {
		return err
	}
	r := &rules{
		only: read.Only, blocked: map[string]bool{}, allowed: map[string]bool{},
		refused: map[protocol.Key32]bool{}, taken: map[protocol.Key32]bool{},
	}
	for _, e := range read.Entries {
		r.blocked[e.Host], r.allowed[e.Host] = e.State == Block, e.State == Allow
	}
	for _, k := range read.Keys {
		if r.blocked[k.Host] {
			r.refused[k.Relay] = true
		}
		if r.allowed[k.Host] && k.Proved {
			r.taken[k.Relay] = true
		}
	}
	c.rules.Store(r)
	return nil
}

// Refused reports whether the owner wants nothing to do with the courtyard at
// host, as far as its name tells.
func (c *Courtyards) Refused(host string) bool {
	r := c.rules.Load()
	return r.blocked[host] || r.only && !r.allowed[host]
}

// Takes reports whether the owner takes the relay with key (which it has proved)
// under host: where this one dialled it, or, if not dialled, what it says its name
// is. Codes: not-allowed, unavailable if that cannot be told now.
func (c *Courtyards) Takes(ctx context.Context, host string, key protocol.Key32, dialled bool) error {
	const op = "courtyards.Takes"
	no := protocol.Refuse(op, protocol.CodeNotAllowed, "a courtyard that is refused")
	r := c.rules.Load()
	switch {
	case r.blocked[host]:
		// So that another name does not help it next time.
		if err := c.Met(ctx, host, key, dialled); err != nil {
			return err
		}
		return no
	case r.refused[key]:
		return no
	case !r.only || r.taken[key] && !dialled:
		return nil
	case !r.allowed[host]:
		return no
	case dialled:
		return c.Met(ctx, host, key, true)
	}
	// It calls, and says it is on the list: whoever answers there must have its key.
	there, err := c.links().KeyAt(ctx, host)
	if err != nil {
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable, Cause: err}
	}
	if err := c.Met(ctx, host, there, true); err != nil {
		return err
	}
	if there != key {
		return no
	}
	return nil
}

// Welcome reports whether a relay that has called may stay, as far as that can be
// told without asking anybody.
func (c *Courtyards) Welcome(host string, key protocol.Key32) bool {
	r := c.rules.Load()
	return !r.blocked[host] && !r.refused[key] && (!r.only || r.taken[key])
}

// keysEach bounds the keys that are remembered of one host, of each kind: a caller
// may say any name, and shall neither fill the disk nor push out what was seen before.
const keysEach = 16

// Met remembers that a relay with key was seen under host.
func (c *Courtyards) Met(ctx context.Context, host string, key protocol.Key32, dialled bool) error {
	r := c.rules.Load()
	if dialled && r.taken[key] && r.allowed[host] || !dialled && r.refused[key] && r.blocked[host] {
		return nil // as is known
	}
	if err := c.store.SaveKey(ctx, Key{host, key, dialled}, keysEach, c.now().UnixMilli()); err != nil {
		return err
	}
	if !r.blocked[host] && !r.allowed[host] {
		return nil
	}
	if err := c.read(ctx); err != nil {
		return err
	}
	if c.rules.Load().refused[key] && !r.refused[key] { // it may be here under another name
		c.links().Reconsider()
	}
	return nil
}

// set changes an entry of the relay's list (owner nil) or of a person's. Codes:
// bad-request, not-allowed, relay-full.
func (c *Courtyards) set(ctx context.Context, owner *protocol.UID, host, state string) error {
	const op = "courtyards.set"
	switch {
	case c.own[host]:
		return protocol.Refuse(op, protocol.CodeBadRequest, "this courtyard itself")
	case state != Block && state != None && (state != Allow || owner != nil):
		return protocol.Refuse(op, protocol.CodeBadRequest, "unknown state")
	}
	if state == Allow { // refusing must work when the disk is full, too
		if err := c.room(); err != nil {
			return err
		}
	}
	most := perRelay
	if owner != nil {
		most = perPerson
	}
	if err := c.store.SetCourtyard(ctx, owner, Entry{host, state, c.now().UnixMilli()}, most); err != nil || owner != nil {
		return err
	}
	return c.changed(ctx)
}

func (c *Courtyards) setOnly(ctx context.Context, only bool) error {
	if err := c.store.SetOnly(ctx, only); err != nil {
		return err
	}
	return c.changed(ctx)
}

func (c *Courtyards) changed(ctx context.Context) error {
	if err := c.read(ctx); err != nil {
		return err
	}
	c.links().Reconsider()
	return nil
}
