package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
)

// Join implements accounts.Store.
func (s *Store) Join(ctx context.Context, j accounts.Joining) (accounts.Joined, error) {
	var joined accounts.Joined
	err := s.update(ctx, "store.Join", func(t *Tx) (err error) {
		joined, err = t.join(ctx, s, j)
		return err
	})
	return joined, err
}

func (t *Tx) join(ctx context.Context, s *Store, j accounts.Joining) (accounts.Joined, error) {
	var joined accounts.Joined
	var name string
	found, err := t.row(ctx, []any{&name}, `SELECT username FROM people WHERE uid = $1`, j.UID[:])
	if err != nil {
		return joined, err
	}
	if found {
		if name == j.Username {
			return accounts.Joined{Again: true}, nil
		}
		return joined, &protocol.Error{Op: "store.Join", Code: protocol.CodeUsernameTaken}
	}
	if j.Invite != nil { // who has none that is open learns nothing about names
		var open int64
		if _, err := t.row(ctx, []any{&open}, countOpen, j.Invite[:]); err != nil {
			return joined, err
		}
		if open == 0 {
			return joined, &protocol.Error{Op: "store.Join", Code: protocol.CodeInviteUnknown}
		}
	}
	given, err := t.exec(ctx, `INSERT INTO names (username, uid, given) VALUES ($1, $2, $3) ON CONFLICT (username) DO NOTHING`,
		j.Username, j.UID[:], j.At)
	if err != nil {
		return joined, err
	}
	if given == 0 {
		return joined, &protocol.Error{Op: "store.Join", Code: protocol.CodeUsernameTaken}
	}
	if j.Claim {
		claimed, err := t.exec(ctx, `INSERT INTO claims (one, uid, at) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING`, j.UID[:], j.At)
		if err != nil {
			return joined, err
		}
		if claimed == 0 {
			return joined, &protocol.Error{Op: "store.Join", Code: protocol.CodeClaimUnknown}
		}
	}
	if err := t.settle(ctx, j); err != nil {
		return joined, err
	}
	if j.Invite != nil {
		spent, err := t.spend(ctx, *j.Invite, j.UID, j.At)
		if err != nil {
			return joined, err
		}
		joined.Inviter = &spent.Inviter
	}
	return joined, nil
}

// settle writes the new person's own rows.
func (t *Tx) settle(ctx context.Context, j accounts.Joining) error {
	uid := j.UID[:]
	for _, write := range []struct {
		text string
		args []any
	}{
		{`INSERT INTO people (uid, username, owner, findable, card, joined) VALUES ($1, $2, $3, 1, 0, $4)`, []any{uid, j.Username, flag(j.Claim), j.At}},
		{`INSERT INTO spaces (owner, last, used) VALUES ($1, 0, 0)`, []any{uid}},
		{insertRecord, []any{uid, 0, []byte(j.Genesis.Payload), j.Genesis.By[:], j.Genesis.Sig[:]}},
		{`INSERT INTO ueks (uid, counter, payload, signer, sig) VALUES ($1, 1, $2, $3, $4)`, []any{uid, []byte(j.UEK.Payload), j.UEK.By[:], j.UEK.Sig[:]}},
		{`INSERT INTO vaults (uid, version, blob, signer, sig) VALUES ($1, 1, $2, $3, $4)`, []any{uid, []byte(j.Vault.Blob), j.Vault.By[:], j.Vault.Sig[:]}},
	} {
		if _, err := t.exec(ctx, write.text, write.args...); err != nil {
			return err
		}
	}
	return t.addDevice(ctx, j.UID, j.Device)
}

func (t *Tx) addDevice(ctx context.Context, uid protocol.UID, d ident.Device) error {
	id := d.ID()
	_, err := t.exec(ctx, `INSERT INTO devices (uid, id, sign, box, role, exp, revoked, seen) VALUES ($1, $2, $3, $4, $5, $6, 0, 0)`,
		uid[:], id[:], d.Sign[:], d.Box[:], d.Role, d.Exp)
	return err
}

// NameTaken implements accounts.Store.
func (s *Store) NameTaken(ctx context.Context, username string) (bool, error) {
	var n int64
	_, err := s.reader().row(ctx, []any{&n}, `SELECT COUNT(*) FROM names WHERE username = $1`, username)
	return n > 0, s.wrap("store.NameTaken", err)
}

const countOpen = `SELECT COUNT(*) FROM invites WHERE hash = $1 AND guest IS NULL`

// InviteOpen implements accounts.Store.
func (s *Store) InviteOpen(ctx context.Context, hash protocol.Hash32) (bool, error) {
	var n int64
	_, err := s.reader().row(ctx, []any{&n}, countOpen, hash[:])
	return n > 0, s.wrap("store.InviteOpen", err)
}

// Named implements accounts.Store.
func (s *Store) Named(ctx context.Context, username string, asker protocol.UID) (accounts.Named, error) {
	var n accounts.Named
	var findable *int64
	var state *string
	_, err := s.reader().row(ctx, []any{perhaps{n.UID[:], &n.Known}, &findable, &state}, `SELECT p.uid, p.findable, c.state
		FROM (SELECT 1 AS one) AS o LEFT JOIN people p ON p.username = $1 LEFT JOIN contacts c ON c.owner = p.uid AND c.peer = $2`,
		username, asker[:])
	n.Findable = findable != nil && *findable == 1
	if state != nil {
		n.State = *state
	}
	return n, s.wrap("store.Named", err)
}

// CardHolder implements accounts.Store.
func (s *Store) CardHolder(ctx context.Context, username string) (protocol.UID, bool, error) {
	var uid protocol.UID
	found, err := s.reader().row(ctx, []any{exactly(uid[:])}, `SELECT uid FROM people WHERE username = $1 AND card = 1`, username)
	return uid, found, s.wrap("store.CardHolder", err)
}

// SetContact implements accounts.Store.
func (s *Store) SetContact(ctx context.Context, owner, peer protocol.UID, state string, most int) error {
	return s.update(ctx, "store.SetContact", func(t *Tx) error {
		if state == accounts.None {
			t.contacts = true
			_, err := t.exec(ctx, `DELETE FROM contacts WHERE owner = $1 AND peer = $2`, owner[:], peer[:])
			return err
		}
		if err := t.contact(ctx, owner, peer, state); err != nil {
			return err
		}
		var n int
		if _, err := t.row(ctx, []any{&n}, `SELECT COUNT(*) FROM contacts WHERE owner = $1`, owner[:]); err != nil {
			return err
		}
		if n > most {
			return &protocol.Error{Op: "store.SetContact", Code: protocol.CodeNotAllowed, Params: map[string]any{"limit": most}}
		}
		return nil
	})
}

func (t *Tx) contact(ctx context.Context, owner, peer protocol.UID, state string) error {
	t.contacts = true
	_, err := t.exec(ctx, `INSERT INTO contacts (owner, peer, state) VALUES ($1, $2, $3)
		ON CONFLICT (owner, peer) DO UPDATE SET state = excluded.state`, owner[:], peer[:], state)
	return err
}

// SetFindable implements accounts.Store.
func (s *Store) SetFindable(ctx context.Context, uid protocol.UID, findable bool) error {
	return s.update(ctx, "store.SetFindable", func(t *Tx) error {
		_, err := t.exec(ctx, `UPDATE people SET findable = $2 WHERE uid = $1`, uid[:], flag(findable))
		return err
	})
}

// Claimed implements accounts.Store.
func (s *Store) Claimed(ctx context.Context) (bool, error) {
	var n int64
	_, err := s.reader().row(ctx, []any{&n}, `SELECT COUNT(*) FROM claims`)
	return n > 0, s.wrap("store.Claimed", err)
}
