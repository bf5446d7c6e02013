// Package invites keeps open invitations: the hash of an id and a sealed card
// that says who invites (section 9).
//
// Looking never spends one. It must never learn an invite's secret.
package invites

import (
	"context"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

const (
	// MaxCard bounds a sealed card: a name and a picture of 24 KiB in base64.
	MaxCard = 40 << 10
	// perPerson bounds the open invites of one person.
	perPerson = 100
)

// Invite is what somebody who opens the link may see.
type Invite struct {
	UID      protocol.UID
	Username string
	Card     []byte
}

// Spent says who was brought together.
type Spent struct {
	Inviter protocol.UID
	Again   bool // it was this guest's already: nothing changed
}

// Store is what the package needs of the database.
type Store interface {
	// SaveInvite keeps an open invite. The same again is fine. Codes: not-allowed
	// with more than most open ones, or if the hash is taken.
	SaveInvite(ctx context.Context, uid protocol.UID, hash protocol.Hash32, card []byte, most int, now int64) error
	DropInvite(ctx context.Context, uid protocol.UID, hash protocol.Hash32) error
	Invite(ctx context.Context, hash protocol.Hash32) (Invite, bool, error)
	// Spend makes guest and inviter contacts of each other. Code: invite-unknown
	// if there is no such open invite, or the inviter blocks the guest;
	// not-allowed if it is the guest's own.
	Spend(ctx context.Context, hash protocol.Hash32, guest protocol.UID, now int64) (Spent, error)
}

// Told hears what was written. Its methods must not block.
type Told interface {
	ContactChanged(owner, peer protocol.UID, state string)
}

// Elsewhere is the way to other courtyards; *peer.Peers.
type Elsewhere interface {
	Spend(ctx context.Context, host string, id protocol.ID, guest protocol.UID) error
}

// Invites is the room of invites.
type Invites struct {
	store Store
	told  Told
	room  func() error
	now   func() time.Time
}

// New makes the room. room answers relay-full when the disk's reserve is reached.
func New(store Store, told Told, room func() error, now func() time.Time) *Invites {
	return &Invites{store: store, told: told, room: room, now: now}
}

// Spend is for somebody who has an account; joining spends by itself.
func (i *Invites) Spend(ctx context.Context, id protocol.ID, guest protocol.UID) error {
	if err := i.room(); err != nil {
		return err
	}
	spent, err := i.store.Spend(ctx, handshake.InviteHash(id), guest, i.now().UnixMilli())
	if err != nil {
		return err
	}
	if !spent.Again {
		i.told.ContactChanged(spent.Inviter, guest, "allow")
		i.told.ContactChanged(guest, spent.Inviter, "allow")
	}
	return nil
}
