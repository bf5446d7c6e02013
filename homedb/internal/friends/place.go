package friends

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// mostHints bounds the places of people whose chain could not be had yet; past it
// the oldest is forgotten, and the next letter of that person names it again.
const mostHints = 1000

// Lives takes over where the app says that people live, as protocol.JoinHost
// writes it. It counts until a chain is known: that names the relay itself.
func (b *Book) Lives(hosts map[protocol.UID]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lives = hosts
}

// Hint notes where an envelope says that its sender lives. An envelope's addresses
// are nobody's word (section 7), so it decides only where the chain of somebody
// who is not known yet is asked for; that chain proves itself.
func (b *Book) Hint(ctx context.Context, uid protocol.UID, from protocol.Address) error {
	e, err := b.known(ctx, uid)
	if err != nil || e.chain != nil || uid == b.self {
		return err
	}
	host := protocol.JoinHost(from.IP, from.Port)
	var noted string
	err = b.db.QueryRow(ctx, `SELECT host FROM hints WHERE uid = $1`, uid[:]).Scan(&noted)
	if err == nil && noted == host {
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("friends.Hint: %w", err)
	}
	err = b.db.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO hints (uid, host, seen) VALUES ($1, $2, $3)
			ON CONFLICT (uid) DO UPDATE SET host = excluded.host, seen = excluded.seen`, uid[:], host, clock.Millis(b.clock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM hints WHERE seen < (SELECT seen FROM hints ORDER BY seen DESC LIMIT 1 OFFSET $1)`, mostHints-1)
		return err
	})
	if err != nil {
		return fmt.Errorf("friends.Hint: %w", err)
	}
	return nil
}

// hinted is where to ask for the chain of somebody who is not known yet; "" for
// the own relay.
func (b *Book) hinted(ctx context.Context, uid protocol.UID) (string, error) {
	if uid == b.self {
		return "", nil
	}
	b.mu.Lock()
	host := b.lives[uid]
	b.mu.Unlock()
	if host == "" {
		err := b.db.QueryRow(ctx, `SELECT host FROM hints WHERE uid = $1`, uid[:]).Scan(&host)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", fmt.Errorf("friends: %w", err)
		}
	}
	if own, err := b.known(ctx, b.self); err == nil && own.chain != nil && hostOf(own.chain.Relay()) == host {
		return "", nil
	}
	return host, nil
}

// hostOf is where a known person is asked for: "" if their relay is the own one,
// by its key; relays go by several names.
func (b *Book) hostOf(ctx context.Context, uid protocol.UID, e entry) string {
	if uid == b.self || e.chain == nil {
		return ""
	}
	own, err := b.known(ctx, b.self)
	if err != nil || own.chain == nil || own.chain.Relay().Key == e.chain.Relay().Key {
		return ""
	}
	return hostOf(e.chain.Relay())
}

func hostOf(r ident.Relay) string { return protocol.JoinHost(r.Host, r.Port) }

// Relay is where uid lives by their chain, and whether that is another courtyard
// than the person's own. The chain is fetched if it is not known yet; errors as of Chain.
func (b *Book) Relay(ctx context.Context, uid protocol.UID) (relay ident.Relay, elsewhere bool, err error) {
	chain, err := b.Chain(ctx, uid)
	if err != nil {
		return ident.Relay{}, false, err
	}
	own, err := b.Own(ctx)
	if err != nil {
		return ident.Relay{}, false, err
	}
	return chain.Relay(), chain.Relay().Key != own.Relay().Key, nil
}

// away reports whether a lookup got no answer that says anything about the person:
// their courtyard is away or lost them, or the own relay does not ask so soon again.
func away(err error) bool {
	switch protocol.CodeOf(err) {
	case protocol.CodePeerAway, protocol.CodeAddressRefused, protocol.CodeRateLimited, protocol.CodeNotFound:
		return true
	}
	return false
}
