// Package safe is the person's vault at the relay (section 5) as the home uses
// it: friends, their pins and invites are read from it, a joined friend and the
// removal of daily keys are written to it, always by compare-and-swap and
// without touching what the app keeps there.
//
// It must never accept a version older than one it has seen, nor write a vault
// that one of the person's devices or the card could not open.
package safe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// ErrRollback says that the relay served an older vault than before.
var ErrRollback = errors.New("the relay serves an older vault than before")

// maxRaces bounds how often one change starts again because a device was first.
const maxRaces = 8

// Register is the relay as far as the vault goes.
type Register interface {
	Vault(ctx context.Context, token string) ([]byte, error)
	PutVault(ctx context.Context, token string, sealed any) error
}

// Safe opens and changes one person's vault.
type Safe struct {
	DB       *store.DB
	Register Register
	Keys     *ident.DeviceKeys
	Clock    clock.Clock
	Random   io.Reader
	// Chain gives the own chain, fresh from the relay: a device that it lacks would
	// be locked out of the vault.
	Chain func(ctx context.Context) (*ident.Chain, error)
	// Opened is told every version that was opened or written.
	Opened func(vault.Contents)

	mu sync.Mutex // one change at a time; the relay orders those of other devices
}

// Open fetches the vault, verifies and opens it.
func (s *Safe) Open(ctx context.Context, token string) (vault.Contents, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, contents, _, err := s.open(ctx, token)
	return contents, err
}

func (s *Safe) open(ctx context.Context, token string) (version int64, contents vault.Contents, chain *ident.Chain, err error) {
	raw, err := s.Register.Vault(ctx, token)
	if err != nil {
		return 0, contents, nil, fmt.Errorf("safe: %w", err)
	}
	var sealed vault.Sealed
	if err := protocol.DecodeOpen(raw, &sealed, 2); err != nil {
		return 0, contents, nil, fmt.Errorf("safe: %w", err)
	}
	if chain, err = s.Chain(ctx); err != nil {
		return 0, contents, nil, err
	}
	if contents, err = vault.Open(sealed, friends.AsWritten(chain, sealed.By), clock.Millis(s.Clock), s.Keys.Box()); err != nil {
		return 0, contents, nil, fmt.Errorf("safe: %w", err)
	}
	if err := s.pin(ctx, sealed.Version); err != nil {
		return 0, contents, nil, err
	}
	s.Opened(contents)
	return sealed.Version, contents, chain, nil
}

// pin notes the highest version.
func (s *Safe) pin(ctx context.Context, version int64) error {
	var seen int64
	err := s.DB.QueryRow(ctx, `SELECT version FROM safe WHERE one = 1`).Scan(&seen)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("safe: %w", err)
	}
	if version < seen {
		return ErrRollback
	}
	if version == seen {
		return nil
	}
	return s.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO safe (one, version) VALUES (1, $1)
			ON CONFLICT (one) DO UPDATE SET version = excluded.version`, version)
		return err
	})
}

// Change opens the vault, lets do change the contents, seals them for all
// devices and the card and puts them back; again from the start when a device
// was faster. do returns false when there is nothing to change (any more).
func (s *Safe) Change(ctx context.Context, token string, do func(*vault.Contents) (changed bool)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range maxRaces {
		version, contents, chain, err := s.open(ctx, token)
		if err != nil {
			return err
		}
		if !do(&contents) {
			return nil
		}
		now := clock.Millis(s.Clock)
		sealed, err := vault.Seal(s.Random, s.Keys, chain.UID(), version+1, vault.Slots(chain, now), contents)
		if err != nil {
			return fmt.Errorf("safe.Change: %w", err)
		}
		err = s.Register.PutVault(ctx, token, sealed)
		if protocol.CodeOf(err) == protocol.CodeVaultConflict {
			continue
		}
		if err != nil {
			return fmt.Errorf("safe.Change: %w", err)
		}
		if err := s.pin(ctx, version+1); err != nil {
			return err
		}
		s.Opened(contents)
		return nil
	}
	return errors.New("safe.Change: devices write the vault all the time")
}
