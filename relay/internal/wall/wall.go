// Package wall keeps people's public walls and shows them to everybody: as pages
// without script, as feeds, and as the signed changes that a follower verifies
// (section 15). It fetches walls of elsewhere for its own people, so that no other
// courtyard sees who reads.
//
// It must never show what an author has taken back, never run or pass on anything
// but text and bare photos, and never accept a change that a follower would refuse.
package wall

import (
	"context"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/elsewhere"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

const (
	// perDay is how many changes a person may make in 24 hours.
	perDay = 200
	day    = 24 * time.Hour
	// unnamed photos are dropped after this long: a post that came to nothing.
	unnamed = day
	// ahead is how far a writer's clock may be before the relay's, ms (section 7).
	ahead = 5 * 60 * 1000
	// perPage is how many posts a page and a feed show.
	perPage = 20
	// decodes are photos decoded at once, one of each person: each takes up to 50 MB.
	decodes = 2
	// decodeWait is how long an upload waits for one of them.
	decodeWait = 10 * time.Second
)

// Held is the wall's head as it is kept.
type Held struct {
	post.Head
	Signed protocol.Signed
}

// Step is an earlier change of the same post.
type Step struct {
	Seq  int64
	Op   string
	TS   int64
	Size int64 // 0: its content is gone
}

// Photo is a photo without its bytes.
type Photo struct {
	Hash          protocol.Hash32
	Size          int64
	Width, Height int
}

// Ledger is one transaction over walls; the store has it. Everything of a person
// is done under the lock of space.Ledger's Account.
type Ledger interface {
	space.Ledger
	Head(ctx context.Context, uid protocol.UID) (Held, bool, error)
	SaveHead(ctx context.Context, uid protocol.UID, head Held) error
	// At is the hash and the time of arrival of a change.
	At(ctx context.Context, uid protocol.UID, seq int64) (hash protocol.Hash32, received int64, found bool, err error)
	// Steps are the changes of a post (of the profile: the zero id), ascending.
	Steps(ctx context.Context, uid protocol.UID, id protocol.ID) ([]Step, error)
	// Write keeps a change and notes which photos it names; at is when it came, ms.
	Write(ctx context.Context, c post.Change, at int64) error
	// Strip forgets the content of a change, and that it named photos.
	Strip(ctx context.Context, uid protocol.UID, seq int64) error
	// NamedBy lists the photos that a change names.
	NamedBy(ctx context.Context, uid protocol.UID, seq int64) ([]protocol.Hash32, error)
	Media(ctx context.Context, uid protocol.UID, hash protocol.Hash32) (Photo, bool, error)
	SaveMedia(ctx context.Context, uid protocol.UID, p Photo, data []byte, at int64) error
	// DropUnnamed deletes a photo unless a change names it, and returns its size.
	DropUnnamed(ctx context.Context, uid protocol.UID, hash protocol.Hash32) (int64, error)
}

// Wall is what the pages need of somebody who has one and is findable.
type Wall struct {
	UID     protocol.UID
	Head    protocol.Signed
	Seq     int64
	Profile *protocol.Signed // nil: none
}

// Row is a change as it is kept: whole, or a stub.
type Row struct {
	Seq    int64
	Hash   protocol.Hash32
	Signed *protocol.Signed
}

// Unnamed is a photo that no change names.
type Unnamed struct {
	Owner protocol.UID
	Hash  protocol.Hash32
}

// Store is what the package needs of the database.
type Store interface {
	Walls(ctx context.Context, fn func(Ledger) error) error
	// Wall finds the wall of a username; not one whose owner is not findable, unless
	// it is the asker's own. Everybody is the zero asker.
	Wall(ctx context.Context, username string, asker protocol.UID) (Wall, bool, error)
	// Changes lists up to limit changes after a seq, ascending; fewer once they
	// have more than maxBytes of payload.
	Changes(ctx context.Context, uid protocol.UID, after int64, limit, maxBytes int) ([]Row, error)
	// Shown lists the changes that show posts placed before a seq, newest first.
	Shown(ctx context.Context, uid protocol.UID, before int64, limit int) ([]protocol.Signed, error)
	// Post finds the change that shows a post.
	Post(ctx context.Context, uid protocol.UID, id protocol.ID) (protocol.Signed, bool, error)
	// Public finds a photo that the wall of somebody findable shows; Own one of uid's.
	Public(ctx context.Context, hash protocol.Hash32) ([]byte, bool, error)
	Own(ctx context.Context, uid protocol.UID, hash protocol.Hash32) ([]byte, bool, error)
	// Unnamed lists photos older than before, ms, that no change names.
	Unnamed(ctx context.Context, before int64, limit int) ([]Unnamed, error)
}

// Chains verifies whose wall it is.
type Chains interface {
	Load(ctx context.Context, uid protocol.UID) (*ident.Chain, error)
}

// Told hears what was written. Its methods must not block.
type Told interface {
	WallGrew(uid protocol.UID, seq int64)
	SpacesChanged([]space.Change)
}

// Config is what the room needs. All fields are due.
type Config struct {
	Hosts  []string // host[:port] of this relay; the first is the public one
	Store  Store
	Chains Chains
	Limits space.Limits
	Told   Told
	Room   func() error // relay-full when the disk's reserve is reached
	Now    func() time.Time
	Others *elsewhere.Lookups
}

// Walls is the room of walls.
type Walls struct {
	c       Config
	decodes *limit.Slots
	cache   *cache
	design  *design
}

// New makes the room.
func New(c Config) *Walls {
	return &Walls{c: c, decodes: limit.NewSlots(decodes, 1, decodeWait), cache: newCache(c.Now), design: newDesign(c.Hosts)}
}

// Change drops the answers that are ready and keeps none until done is called.
func (w *Walls) Change() (done func()) { return w.cache.write() }

func refuse(op, reason string) error { return protocol.Refuse(op, protocol.CodeBadRequest, reason) }

func missing(op string) error { return &protocol.Error{Op: op, Code: protocol.CodeNotFound} }
