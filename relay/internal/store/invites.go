package store

import (
	"bytes"
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
	"github.com/courtyard-social/courtyard/relay/internal/invites"
)

// SaveInvite implements invites.Store.
func (s *Store) SaveInvite(ctx context.Context, uid protocol.UID, hash protocol.Hash32, card []byte, most int, now int64) error {
	refused := &protocol.Error{Op: "store.SaveInvite", Code: protocol.CodeNotAllowed, Params: map[string]any{"limit": most}}
	return s.update(ctx, "store.SaveInvite", func(t *Tx) error {
		n, err := t.exec(ctx, `INSERT INTO invites (hash, uid, card, created) VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING`,
			hash[:], uid[:], card, now)
		if err != nil {
			return err
		}
		if n == 0 {
			var whose protocol.UID
			var old []byte
			if _, err := t.row(ctx, []any{exactly(whose[:]), &old}, `SELECT uid, card FROM invites WHERE hash = $1`, hash[:]); err != nil {
				return err
			}
			if whose != uid || !bytes.Equal(old, card) {
				return refused
			}
			return nil
		}
		var open int
		if _, err := t.row(ctx, []any{&open}, `SELECT COUNT(*) FROM invites WHERE uid = $1 AND guest IS NULL`, uid[:]); err != nil {
			return err
		}
		if open > most {
			return refused
		}
		return nil
	})
}

// DropInvite implements invites.Store. What is not there, or somebody else's, is dropped already.
func (s *Store) DropInvite(ctx context.Context, uid protocol.UID, hash protocol.Hash32) error {
	return s.update(ctx, "store.DropInvite", func(t *Tx) error {
		_, err := t.exec(ctx, `DELETE FROM invites WHERE hash = $1 AND uid = $2 AND guest IS NULL`, hash[:], uid[:])
		return err
	})
}

// Invite implements invites.Store.
func (s *Store) Invite(ctx context.Context, hash protocol.Hash32) (invites.Invite, bool, error) {
	var i invites.Invite
	found, err := s.reader().row(ctx, []any{exactly(i.UID[:]), &i.Username, &i.Card},
		`SELECT i.uid, p.username, i.card FROM invites i JOIN people p ON p.uid = i.uid WHERE i.hash = $1 AND i.guest IS NULL`, hash[:])
	return i, found, s.wrap("store.Invite", err)
}

// Spend implements invites.Store.
func (s *Store) Spend(ctx context.Context, hash protocol.Hash32, guest protocol.UID, now int64) (invites.Spent, error) {
	var spent invites.Spent
	err := s.update(ctx, "store.Spend", func(t *Tx) (err error) {
		spent, err = t.spend(ctx, hash, guest, now)
		return err
	})
	return spent, err
}

// spend gives an invite to guest and makes the two contacts of each other. The
// card is no longer needed then.
func (t *Tx) spend(ctx context.Context, hash protocol.Hash32, guest protocol.UID, now int64) (invites.Spent, error) {
	unknown := &protocol.Error{Op: "store.spend", Code: protocol.CodeInviteUnknown}
	var spent invites.Spent
	var before protocol.UID
	var taken bool
	var state *string
	found, err := t.row(ctx, []any{exactly(spent.Inviter[:]), perhaps{before[:], &taken}, &state}, `SELECT uid, guest,
		(SELECT state FROM contacts c WHERE c.owner = invites.uid AND c.peer = $2) FROM invites WHERE hash = $1`+t.dialect.ForUpdate, hash[:], guest[:])
	switch {
	case err != nil:
		return spent, err
	case !found || taken && before != guest || state != nil && *state == accounts.Block:
		return spent, unknown
	case spent.Inviter == guest:
		return spent, &protocol.Error{Op: "store.spend", Code: protocol.CodeNotAllowed}
	case taken:
		spent.Again = true
		return spent, nil
	}
	if _, err := t.exec(ctx, `UPDATE invites SET guest = $2, card = $3 WHERE hash = $1`, hash[:], guest[:], []byte{}); err != nil {
		return spent, err
	}
	if err := t.contact(ctx, spent.Inviter, guest, accounts.Allow); err != nil {
		return spent, err
	}
	// A guest who lives elsewhere keeps contacts there.
	var here int64
	if _, err := t.row(ctx, []any{&here}, `SELECT COUNT(*) FROM people WHERE uid = $1`, guest[:]); err != nil || here == 0 {
		return spent, err
	}
	return spent, t.contact(ctx, guest, spent.Inviter, accounts.Allow)
}

// SaveHandover implements handover.Store.
func (s *Store) SaveHandover(ctx context.Context, uid protocol.UID, box protocol.ID, sealed []byte, most int, now, expires int64) error {
	refused := &protocol.Error{Op: "store.SaveHandover", Code: protocol.CodeNotAllowed, Params: map[string]any{"limit": most}}
	return s.update(ctx, "store.SaveHandover", func(t *Tx) error {
		var same []byte
		found, err := t.row(ctx, []any{&same}, `SELECT sealed FROM handovers WHERE box = $1 AND uid = $2`, box[:], uid[:])
		if err != nil {
			return err
		}
		if found && bytes.Equal(same, sealed) {
			return nil
		}
		n, err := t.exec(ctx, `INSERT INTO handovers (box, uid, sealed, expires) VALUES ($1, $2, $3, $4) ON CONFLICT (box) DO NOTHING`,
			box[:], uid[:], sealed, expires)
		if err != nil {
			return err
		}
		var mine int
		if _, err := t.row(ctx, []any{&mine}, `SELECT COUNT(*) FROM handovers WHERE uid = $1 AND expires > $2`, uid[:], now); err != nil {
			return err
		}
		if n == 0 || mine > most {
			return refused
		}
		return nil
	})
}

// TakeHandover implements handover.Store.
func (s *Store) TakeHandover(ctx context.Context, box protocol.ID, now int64) ([]byte, bool, error) {
	var sealed []byte
	found := false
	err := s.update(ctx, "store.TakeHandover", func(t *Tx) (err error) {
		found, err = t.row(ctx, []any{&sealed}, `DELETE FROM handovers WHERE box = $1 AND expires > $2 RETURNING sealed`, box[:], now)
		return err
	})
	return sealed, found, err
}

// SweepHandovers implements handover.Store.
func (s *Store) SweepHandovers(ctx context.Context, now int64) error {
	return s.update(ctx, "store.SweepHandovers", func(t *Tx) error {
		_, err := t.exec(ctx, `DELETE FROM handovers WHERE expires <= $1`, now)
		return err
	})
}
