// Package accounts is who lives here: joining, names, who may write to whom,
// who is found by name (sections 2, 9 and 12).
//
// It must never give a name to a second person, never say whether somebody who
// does not want to be found exists, and never learn a display name.
package accounts

import (
	"context"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/vaults"
)

// Contact states (section 12).
const (
	Allow = "allow"
	Block = "block"
	None  = "none"
)

// maxContacts bounds a person's contacts, blocked ones included.
const maxContacts = 5000

// Joining is a verified new person, written in one transaction.
type Joining struct {
	UID      protocol.UID
	Username string
	Genesis  protocol.Signed
	Device   ident.Device
	UEK      protocol.Signed // counter 1
	Vault    vaults.Vault    // version 1
	Invite   *protocol.Hash32
	Claim    bool // becomes the owner
	At       int64
}

// Joined says what joining changed.
type Joined struct {
	Inviter *protocol.UID // has a new contact
	Again   bool          // had joined before: nothing changed
}

// Store is what the package needs of the database.
type Store interface {
	// Join writes everything or nothing. The same person under the same name
	// again is fine. Codes: invite-unknown before anything about the name;
	// username-taken, claim-unknown.
	Join(ctx context.Context, j Joining) (Joined, error)
	NameTaken(ctx context.Context, username string) (bool, error)
	// InviteOpen reports whether an invite of this hash is there and not spent.
	InviteOpen(ctx context.Context, hash protocol.Hash32) (bool, error)
	// Named finds who has a name and what asker is to them: one question,
	// whatever the answer.
	Named(ctx context.Context, username string, asker protocol.UID) (Named, error)
	// CardHolder finds who has a name, if they have a recovery card; likewise.
	CardHolder(ctx context.Context, username string) (protocol.UID, bool, error)
	// Chain is the records of somebody's chain after a seq, none of nobody's.
	Chain(ctx context.Context, uid protocol.UID, after int64) ([]protocol.Signed, error)
	// SetContact writes a state; None removes it. Code: not-allowed beyond most contacts.
	SetContact(ctx context.Context, owner, peer protocol.UID, state string, most int) error
	SetFindable(ctx context.Context, uid protocol.UID, findable bool) error
	Claimed(ctx context.Context) (bool, error)
}

// Named is somebody found by name.
type Named struct {
	Known    bool
	UID      protocol.UID
	Findable bool
	State    string // of the asker in their contacts
}

// Claim is the token that the relay's first link carries.
type Claim interface {
	// Matches compares in constant time; false once the claim is spent.
	Matches(token protocol.ID) bool
	// Spend forgets the token.
	Spend() error
}

// Told hears what was written. Its methods must not block.
type Told interface {
	ContactChanged(owner, peer protocol.UID, state string)
	// WallsChange is called before what may be seen of somebody changes, and done
	// when that is on disk: nothing that was read before is shown to anybody then.
	WallsChange() (done func())
}

// Accounts is the room of people.
type Accounts struct {
	store Store
	claim Claim
	key   protocol.Key32 // the relay's
	told  Told
	room  func() error
	now   func() time.Time
}

// New makes the room. room answers relay-full when the disk's reserve is reached.
func New(store Store, claim Claim, key protocol.Key32, told Told, room func() error, now func() time.Time) *Accounts {
	return &Accounts{store: store, claim: claim, key: key, told: told, room: room, now: now}
}

// Application is the body of POST /api/1/join.
type Application struct {
	Username string            `json:"username"`
	Chain    []protocol.Signed `json:"chain"` // the genesis alone
	UEK      protocol.Signed   `json:"uek"`
	Vault    vaults.Vault      `json:"vault"`
	Invite   *protocol.ID      `json:"invite,omitempty"`
	Claim    *protocol.ID      `json:"claim,omitempty"`
}

// ahead is how far a record's clock may be before the relay's, ms (section 7).
const ahead = 5 * 60 * 1000

// Join makes a person of an application and spends what it carries. Codes:
// username-bad, username-taken, bad-request, bad-chain, clock-ahead,
// invite-unknown, claim-unknown, relay-full.
func (a *Accounts) Join(ctx context.Context, app Application) error {
	const op = "accounts.Join"
	if err := a.room(); err != nil {
		return err
	}
	j, err := a.verify(app)
	if err != nil {
		return err
	}
	switch {
	case (app.Invite == nil) == (app.Claim == nil):
		return protocol.Refuse(op, protocol.CodeBadRequest, "an invite or a claim")
	case app.Invite != nil:
		hash := handshake.InviteHash(*app.Invite)
		j.Invite = &hash
	default:
		j.Claim = true
		// Spent already by the same person, whose answer got lost, is for the store to see.
		if !a.claim.Matches(*app.Claim) {
			return a.again(ctx, j)
		}
	}
	joined, err := a.store.Join(ctx, j)
	if err != nil {
		return err
	}
	if j.Claim {
		if err := a.claim.Spend(); err != nil {
			// The database says claimed, which is what counts; the file goes at the next start.
			return &protocol.Error{Op: op, Code: protocol.CodeInternal, Cause: err}
		}
	}
	if joined.Inviter != nil && !joined.Again {
		a.told.ContactChanged(*joined.Inviter, j.UID, Allow)
	}
	return nil
}

// again answers a claim that no longer counts: fine for the person who spent it.
func (a *Accounts) again(ctx context.Context, j Joining) error {
	named, err := a.store.Named(ctx, j.Username, j.UID)
	if err != nil {
		return err
	}
	if named.Known && named.UID == j.UID {
		return nil
	}
	return &protocol.Error{Op: "accounts.Join", Code: protocol.CodeClaimUnknown}
}

func (a *Accounts) verify(app Application) (Joining, error) {
	const op = "accounts.verify"
	if err := protocol.CheckUsername(app.Username); err != nil {
		return Joining{}, err
	}
	if len(app.Chain) != 1 {
		return Joining{}, protocol.Refuse(op, protocol.CodeBadChain, "one record")
	}
	chain, err := ident.ParseChain(app.Chain)
	if err != nil {
		return Joining{}, err
	}
	if chain.Relay().Key != a.key {
		return Joining{}, protocol.Refuse(op, protocol.CodeBadChain, "names another relay")
	}
	now := a.now().UnixMilli()
	devices := chain.Devices(now)
	if len(devices) != 1 {
		return Joining{}, protocol.Refuse(op, protocol.CodeBadChain, "device expired")
	}
	uek, err := ident.VerifyUEK(app.UEK, chain)
	if err != nil {
		return Joining{}, err
	}
	if uek.TS > now+ahead {
		return Joining{}, &protocol.Error{Op: op, Code: protocol.CodeClockAhead, Params: map[string]any{"time": now}}
	}
	if uek.Counter != 1 || app.Vault.Version != 1 {
		return Joining{}, protocol.Refuse(op, protocol.CodeBadRequest, "counter or version is not 1")
	}
	if err := app.Vault.Check(chain, now); err != nil {
		return Joining{}, err
	}
	return Joining{
		UID: chain.UID(), Username: app.Username, Genesis: app.Chain[0], Device: devices[0],
		UEK: app.UEK, Vault: app.Vault, At: now,
	}, nil
}

// Find answers who has a name. Unknown, not findable and blocking are one: not-found.
func (a *Accounts) Find(ctx context.Context, username string, asker protocol.UID) (protocol.UID, error) {
	n, err := a.store.Named(ctx, username, asker)
	if err != nil {
		return protocol.UID{}, err
	}
	if n.Known && (n.UID == asker || n.State == Allow || n.Findable && n.State != Block) {
		return n.UID, nil
	}
	return protocol.UID{}, &protocol.Error{Op: "accounts.Find", Code: protocol.CodeNotFound}
}

// SetContact says whether peer may write to owner. The peer need not exist.
// Codes: bad-request, not-allowed, relay-full. Blocking and letting go work on a
// full disk too: that is what the reserve is for.
func (a *Accounts) SetContact(ctx context.Context, owner, peer protocol.UID, state string) error {
	if state != Allow && state != Block && state != None || owner == peer {
		return protocol.Refuse("accounts.SetContact", protocol.CodeBadRequest, "state or peer")
	}
	if state == Allow {
		if err := a.room(); err != nil {
			return err
		}
	}
	if err := a.store.SetContact(ctx, owner, peer, state, maxContacts); err != nil {
		return err
	}
	a.told.ContactChanged(owner, peer, state)
	return nil
}
