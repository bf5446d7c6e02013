// Package keys is a person's daily keys (UEK, section 4): the ring that holds
// their secrets, the issue of a new one each day, and their end. Whoever takes
// the disk finds the keys of the last days and nothing that opens older letters.
//
// A secret must never leave this package but sealed, or in memory to open a
// letter; and a deleted one must be gone from the disk, not merely unlisted.
package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// Grace is how long a key is kept after its successor was issued: friends who
// have not seen the new record yet still seal to the old one.
const Grace = 48 * time.Hour

// Key is one daily key.
type Key struct {
	ident.UEKSecret
	TS     int64 // of its record, ms
	Issued int64 // since when the relay serves the record, ms; 0: not that we know
}

// Public is what letters are sealed to.
func (k Key) Public() protocol.Key32 { return k.Secret.Public() }

// Ring holds the keys. Its database is always a SQLite file of its own, also
// when the log is in PostgreSQL, which could not forget a secret for good.
type Ring struct {
	db *store.DB

	mu   sync.RWMutex
	keys []Key // highest counter first
}

// OpenRing reads the ring of a database made by sqlite.OpenRing.
func OpenRing(ctx context.Context, db *store.DB) (*Ring, error) {
	r := &Ring{db: db}
	rows, err := db.Query(ctx, `SELECT counter, secret, ts, issued FROM ueks`)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k Key
		var secret []byte
		if err := rows.Scan(&k.Counter, &secret, &k.TS, &k.Issued); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		if len(secret) != 32 {
			return nil, errors.New("keys: the ring is damaged")
		}
		k.Secret = protocol.BoxSecretOf([32]byte(secret))
		r.keys = append(r.keys, k)
	}
	r.sort()
	return r, rows.Err()
}

func (r *Ring) sort() {
	slices.SortFunc(r.keys, func(a, b Key) int { return int(b.Counter - a.Counter) })
}

// Keys are all keys, the highest counter first.
func (r *Ring) Keys() []Key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.keys)
}

// Secrets are the keys as letters are opened with them, the newest first.
func (r *Ring) Secrets() []ident.UEKSecret {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]ident.UEKSecret, len(r.keys))
	for i, k := range r.keys {
		out[i] = k.UEKSecret
	}
	return out
}

// Sealed are the keys as the answer to the link's `keys` carries them.
func (r *Ring) Sealed() []vault.UEK {
	var out []vault.UEK
	for _, k := range r.Keys() {
		out = append(out, vault.NewUEK(k.UEKSecret, k.TS))
	}
	return out
}

// Find is the key with this public half.
func (r *Ring) Find(public protocol.Key32) (Key, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.keys {
		if k.Public() == public {
			return k, true
		}
	}
	return Key{}, false
}

// Add keeps keys, on disk when it returns. One that is there already only learns
// when it was issued.
func (r *Ring) Add(ctx context.Context, keys ...Key) error {
	err := r.db.Write(ctx, func(tx store.Tx) error {
		for _, k := range keys {
			public, secret := k.Public(), k.Secret.Expose()
			if _, err := tx.Exec(ctx, `INSERT INTO ueks (public, counter, secret, ts, issued) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (public) DO UPDATE SET issued = excluded.issued WHERE ueks.issued = 0`,
				public[:], k.Counter, secret[:], k.TS, k.Issued); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keys.Add: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		i := slices.IndexFunc(r.keys, func(o Key) bool { return o.Public() == k.Public() })
		switch {
		case i < 0:
			r.keys = append(r.keys, k)
		case r.keys[i].Issued == 0:
			r.keys[i].Issued = k.Issued
		}
	}
	r.sort()
	return nil
}

// correct deals with a clock that was ahead once: what seems to have been issued
// in the future was issued now, or it would never end.
func (r *Ring) correct(ctx context.Context, now int64) error {
	const slack = int64(time.Hour / time.Millisecond)
	if !slices.ContainsFunc(r.Keys(), func(k Key) bool { return k.Issued > now+slack }) {
		return nil
	}
	err := r.db.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE ueks SET issued = $1 WHERE issued > $2`, now, now+slack)
		return err
	})
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.keys {
		if r.keys[i].Issued > now+slack {
			r.keys[i].Issued = now
		}
	}
	return nil
}

// Delete destroys keys: when it returns, their secrets are gone from the file,
// its free pages and its write-ahead log.
func (r *Ring) Delete(ctx context.Context, publics ...protocol.Key32) error {
	if len(publics) == 0 {
		return nil
	}
	err := r.db.Write(ctx, func(tx store.Tx) error {
		for _, p := range publics {
			if _, err := tx.Exec(ctx, `DELETE FROM ueks WHERE public = $1`, p[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = sqlite.Wipe(ctx, r.db)
	}
	if err != nil {
		return fmt.Errorf("keys.Delete: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = slices.DeleteFunc(r.keys, func(k Key) bool { return slices.Contains(publics, k.Public()) })
	return nil
}

// Expired are the keys whose time is over at now (ms), given the newest record
// that the relay serves: those before it, 48 hours after the next one was
// issued. The key of the newest record itself never is.
func (r *Ring) Expired(newest ident.UEKPin, now int64) []protocol.Key32 {
	all := r.Keys()
	var out []protocol.Key32
	for _, k := range all {
		if k.Counter > newest.Counter || k.Public() == newest.Key {
			continue
		}
		var next int64
		for _, s := range all {
			after := s.Counter > k.Counter && s.Counter <= newest.Counter || s.Public() == newest.Key
			if after && s.Issued > 0 && (next == 0 || s.Issued < next) {
				next = s.Issued
			}
		}
		if next > 0 && now-next >= Grace.Milliseconds() {
			out = append(out, k.Public())
		}
	}
	return out
}
