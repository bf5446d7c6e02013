package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/chain"
	"github.com/courtyard-social/courtyard/relay/internal/vaults"
)

const insertRecord = `INSERT INTO chain (uid, seq, payload, signer, sig) VALUES ($1, $2, $3, $4, $5)`

// Chain implements chain.Store.
func (s *Store) Chain(ctx context.Context, uid protocol.UID, after int64) ([]protocol.Signed, error) {
	records := []protocol.Signed{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var rec protocol.Signed
		if err := scan((*[]byte)(&rec.Payload), exactly(rec.By[:]), exactly(rec.Sig[:])); err != nil {
			return false, err
		}
		records = append(records, rec)
		return true, nil
	}, `SELECT payload, signer, sig FROM chain WHERE uid = $1 AND seq > $2 ORDER BY seq`, uid[:], after)
	return records, s.wrap("store.Chain", err)
}

// Extend implements chain.Store.
func (s *Store) Extend(ctx context.Context, a chain.Addition) (homeGone bool, err error) {
	err = s.update(ctx, "store.Extend", func(t *Tx) (err error) {
		homeGone, err = t.extend(ctx, a)
		return err
	})
	if s.duplicate(err) {
		return false, &protocol.Error{Op: "store.Extend", Code: protocol.CodeChainConflict, Params: map[string]any{"seq": a.Seq}}
	}
	return homeGone, err
}

func (t *Tx) extend(ctx context.Context, a chain.Addition) (homeGone bool, err error) {
	uid := a.UID[:]
	if _, err := t.exec(ctx, insertRecord, uid, a.Seq, []byte(a.Record.Payload), a.Record.By[:], a.Record.Sig[:]); err != nil {
		return false, err
	}
	switch {
	case a.Card:
		_, err = t.exec(ctx, `UPDATE people SET card = 1 WHERE uid = $1`, uid)
	case a.Added != nil:
		err = t.enrol(ctx, a)
	case a.Revoked != nil:
		if _, err = t.exec(ctx, `UPDATE devices SET revoked = 1 WHERE uid = $1 AND id = $2`, uid, a.Revoked[:]); err == nil {
			_, err = t.exec(ctx, `DELETE FROM pushes WHERE uid = $1 AND device = $2`, uid, a.Revoked[:])
		}
		if err == nil {
			var n int64
			n, err = t.exec(ctx, `DELETE FROM homes WHERE uid = $1 AND device = $2`, uid, a.Revoked[:])
			homeGone = n > 0
		}
	}
	return homeGone, err
}

// enrol adds a device and, if it is a home, makes it the home.
func (t *Tx) enrol(ctx context.Context, a chain.Addition) error {
	if err := t.addDevice(ctx, a.UID, *a.Added); err != nil || a.Added.Role != ident.RoleHome {
		return err
	}
	id := a.Added.ID()
	// An expired home leaves its row behind; the chain has said that it counts no more.
	_, err := t.exec(ctx, `INSERT INTO homes (uid, device, online, since) VALUES ($1, $2, 0, $3)
		ON CONFLICT (uid) DO UPDATE SET device = excluded.device, online = 0, since = excluded.since`, a.UID[:], id[:], a.At)
	return err
}

// UEK implements chain.Store.
func (s *Store) UEK(ctx context.Context, uid protocol.UID) (rec protocol.Signed, counter int64, found bool, err error) {
	found, err = s.reader().row(ctx, []any{&counter, (*[]byte)(&rec.Payload), exactly(rec.By[:]), exactly(rec.Sig[:])},
		`SELECT counter, payload, signer, sig FROM ueks WHERE uid = $1`, uid[:])
	return rec, counter, found, s.wrap("store.UEK", err)
}

// SaveUEK implements chain.Store.
func (s *Store) SaveUEK(ctx context.Context, uid protocol.UID, counter int64, rec protocol.Signed) error {
	return s.update(ctx, "store.SaveUEK", func(t *Tx) error {
		n, err := t.exec(ctx, `UPDATE ueks SET counter = $2, payload = $3, signer = $4, sig = $5 WHERE uid = $1 AND counter = $2 - 1`,
			uid[:], counter, []byte(rec.Payload), rec.By[:], rec.Sig[:])
		if err == nil && n == 0 {
			err = &protocol.Error{Op: "store.SaveUEK", Code: protocol.CodeUEKConflict}
		}
		return err
	})
}

// Vault implements vaults.Store.
func (s *Store) Vault(ctx context.Context, uid protocol.UID) (vaults.Vault, bool, error) {
	var v vaults.Vault
	found, err := s.reader().row(ctx, []any{&v.Version, (*[]byte)(&v.Blob), exactly(v.By[:]), exactly(v.Sig[:])},
		`SELECT version, blob, signer, sig FROM vaults WHERE uid = $1`, uid[:])
	return v, found, s.wrap("store.Vault", err)
}

// SaveVault implements vaults.Store.
func (s *Store) SaveVault(ctx context.Context, uid protocol.UID, v vaults.Vault) error {
	return s.update(ctx, "store.SaveVault", func(t *Tx) error {
		n, err := t.exec(ctx, `UPDATE vaults SET version = $2, blob = $3, signer = $4, sig = $5 WHERE uid = $1 AND version = $2 - 1`,
			uid[:], v.Version, []byte(v.Blob), v.By[:], v.Sig[:])
		if err == nil && n == 0 {
			err = &protocol.Error{Op: "store.SaveVault", Code: protocol.CodeVaultConflict}
		}
		return err
	})
}
