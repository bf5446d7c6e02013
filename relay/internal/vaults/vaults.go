// Package vaults keeps one sealed blob per person (section 5).
//
// It must never open one, and never replace one by an older or a forged one.
package vaults

import (
	"bytes"
	"context"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// MaxBlob bounds a vault: 1 MiB of padded text, its seal, and the slots of 255 readers.
const MaxBlob = 1<<20 + 16 + 42 + 255*56

// Vault is a version of a person's vault as it travels.
type Vault struct {
	Version int64              `json:"version"`
	Blob    protocol.Bytes     `json:"blob"`
	By      protocol.Key32     `json:"by"`
	Sig     protocol.Signature `json:"sig"`
}

// Check verifies size and signature: by an active admin or home device of the
// chain, or by its card. Codes: bad-request, too-large, not-allowed.
func (v Vault) Check(chain *ident.Chain, now int64) error {
	const op = "vaults.Check"
	if len(v.Blob) > MaxBlob {
		return &protocol.Error{Op: op, Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxBlob}}
	}
	if v.Version < 1 || len(v.Blob) == 0 {
		return protocol.Refuse(op, protocol.CodeBadRequest, "version or blob")
	}
	device, active := chain.ActiveKey(v.By, now)
	card, hasCard := chain.Card()
	if !(active && device.Role != ident.RoleSession) && !(hasCard && v.By == card.IK) {
		return protocol.Refuse(op, protocol.CodeNotAllowed, "signer is no active device")
	}
	uid := chain.UID()
	if !protocol.Verify(v.By, v.Sig, "sign/vault", uid[:], protocol.U64(v.Version), v.Blob) {
		return protocol.Refuse(op, protocol.CodeBadRequest, "signature")
	}
	return nil
}

// Store is what the package needs of the database.
type Store interface {
	Vault(ctx context.Context, uid protocol.UID) (Vault, bool, error)
	// SaveVault replaces version v.Version-1. Code: vault-conflict.
	SaveVault(ctx context.Context, uid protocol.UID, v Vault) error
}

// Chains finds who may sign.
type Chains interface {
	Load(ctx context.Context, uid protocol.UID) (*ident.Chain, error)
}

// Told hears what was written. Its methods must not block.
type Told interface {
	VaultChanged(uid protocol.UID, version int64)
}

// Vaults is the room of vaults.
type Vaults struct {
	store  Store
	chains Chains
	told   Told
	room   func() error
	now    func() time.Time
}

// New makes the room. room answers relay-full when the disk's reserve is reached.
func New(store Store, chains Chains, told Told, room func() error, now func() time.Time) *Vaults {
	return &Vaults{store: store, chains: chains, told: told, room: room, now: now}
}

// Put keeps v if it follows the present version. The same vault again is fine.
// Codes: as Check, vault-conflict (params version: the present one), relay-full.
func (s *Vaults) Put(ctx context.Context, uid protocol.UID, v Vault) error {
	if err := s.room(); err != nil {
		return err
	}
	chain, err := s.chains.Load(ctx, uid)
	if err != nil {
		return err
	}
	if err := v.Check(chain, s.now().UnixMilli()); err != nil {
		return err
	}
	if err := s.store.SaveVault(ctx, uid, v); err != nil {
		if protocol.CodeOf(err) != protocol.CodeVaultConflict {
			return err
		}
		present, found, look := s.store.Vault(ctx, uid)
		if look != nil || !found {
			return err
		}
		if present.Version == v.Version && present.By == v.By && bytes.Equal(present.Blob, v.Blob) {
			return nil
		}
		return &protocol.Error{Op: "vaults.Put", Code: protocol.CodeVaultConflict, Params: map[string]any{"version": present.Version}}
	}
	s.told.VaultChanged(uid, v.Version)
	return nil
}
