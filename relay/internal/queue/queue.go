// Package queue is the relay's custody of sealed letters: from the moment it
// says "accepted" until the home of the person they are for has confirmed them,
// or for as long as there is room if there is no home (section 12).
//
// It must never say "accepted" before the transaction is on disk, never let a
// row go because of its age, and never open what it keeps.
package queue

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

// Put is an envelope to be kept for one or two people.
type Put struct {
	Sender protocol.UID   // who is logged in; equals the envelope's from.id
	For    []protocol.UID // to.id, from.id or both; no duplicates
	ID     protocol.ID
	Type   string
	Data   int    // length of the envelope's data
	Raw    []byte // the envelope as it came; not changed afterwards
	Quiet  bool   // nobody need be woken for it (section 16)
	Unsure bool   // its writer's own clock says that it is dated ahead (section 14)

	Away *Away // the one of For who lives elsewhere; nil: nobody
	// Of a letter that another relay brought:
	Via   Via    // that relay; zero: the sender lives here
	N     int64  // its number on the link
	Order *Order // of the link
}

// Via is the relay that brought something.
type Via struct {
	Relay protocol.Key32 // its key, which it has proved
	Host  string         // what it says its name is
}

// Here reports whether it is this one.
func (v Via) Here() bool { return v.Relay.IsZero() }

// Away says where somebody lives who is no person of this relay.
type Away struct {
	UID  protocol.UID
	Host string // host[:port] as protocol.ParseHost writes it
}

// Row is a kept envelope.
type Row struct {
	N   int64
	Raw []byte
}

// Standing is what decides whether sender may put something to owner. All
// questions are asked at once and whatever the answer is, so that unknown,
// private and blocking people cost the same.
type Standing struct {
	Known    bool // a person of this relay
	Findable bool
	State    string // of sender in owner's contacts: allow, block or ""
	Asked    int64  // when sender last asked as a stranger, ms, 0 never
	Waiting  int    // strangers' requests that no device has seen
	ByRelay  int    // those of them that the same other relay brought
	Shunned  bool   // owner refuses the courtyard that brought it
}

// NewRow is a row to be written.
type NewRow struct {
	Owner    protocol.UID
	N        int64
	Put      *Put
	Stranger bool
	At       int64
}

// Parcel is something that waits here to be passed on to another relay.
type Parcel struct {
	N      int64
	Host   string
	Sender protocol.UID
	To     protocol.UID
	ID     protocol.ID // of the envelope, or of the file
	File   bool
	Size   int64
	At     int64  // ms
	Raw    []byte // the envelope; nil for a file
	Quiet  bool   // as it was put
	Unsure bool   // likewise
	Lost   bool   // an answer about it got lost: it may have arrived
}

// Freed is what a confirmed row gives back.
type Freed struct {
	Sender protocol.UID
	Size   int64
}

// Ledger is one transaction over the queue; the store has it.
type Ledger interface {
	space.Ledger
	Standing(ctx context.Context, owner, sender protocol.UID, via Via) (Standing, error)
	// Held returns the bytes kept under (owner, sender, id), or nil.
	Held(ctx context.Context, owner, sender protocol.UID, id protocol.ID) ([]byte, error)
	Keep(ctx context.Context, row NewRow) error
	Asked(ctx context.Context, owner, sender protocol.UID, at int64) error
	// Seen moves a device's cursor forward to n, never back and never beyond the last row.
	Seen(ctx context.Context, owner protocol.UID, device protocol.DeviceID, n int64) error
	// Forget removes all rows up to n, if device is the owner's active home, and says what that frees.
	Forget(ctx context.Context, owner protocol.UID, home protocol.DeviceID, n int64) ([]Freed, error)
	// Waits returns the bytes that wait under (sender, to, id) to be passed on, or nil.
	Waits(ctx context.Context, sender, to protocol.UID, id protocol.ID) ([]byte, error)
	// Dispatch keeps a parcel under the next number; false if it waits already.
	Dispatch(ctx context.Context, p Parcel) (bool, error)
	// Parcel finds what waits under n, without its bytes.
	Parcel(ctx context.Context, n int64) (Parcel, bool, error)
	// Passed forgets a parcel, and a file's bytes with it if nobody else holds them.
	Passed(ctx context.Context, p Parcel) error
}

// Store is what the queue needs of the database.
type Store interface {
	// Custody runs fn in a transaction that is on disk when Custody returns nil.
	Custody(ctx context.Context, fn func(Ledger) error) error
	// Rows returns rows with a number above after, ascending: at most limit, and
	// no more than maxBytes of envelopes unless the first alone is larger.
	Rows(ctx context.Context, owner protocol.UID, after int64, limit int, maxBytes int) ([]Row, error)
	// Kept returns rows below before (0: from the newest), descending, bounded likewise.
	Kept(ctx context.Context, owner protocol.UID, before int64, limit int, maxBytes int) ([]Row, error)
}

// Contact states (section 12, PUT contacts).
const (
	Allow = "allow"
	Block = "block"
)
