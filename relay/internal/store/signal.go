package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/signal"
)

// Greet implements signal.Store. One statement, whoever it is about.
func (s *Store) Greet(ctx context.Context, uid protocol.UID, device protocol.DeviceID) (signal.Greeting, bool, error) {
	g := signal.Greeting{}
	var owner, revoked, online int64
	var hasHome bool
	found, err := s.reader().row(ctx, []any{
		exactly(g.Sign[:]), &g.Role, &g.Exp, &revoked, &g.Cursor, &g.Username, &owner, &g.Chain, &g.Vault, &g.UEK, &g.Used,
		perhaps{g.Home.Device[:], &hasHome},
		&online, &g.Home.Since,
	}, `SELECT d.sign, d.role, d.exp, d.revoked, d.seen, p.username, p.owner,
		(SELECT MAX(seq) FROM chain WHERE uid = $1),
		(SELECT version FROM vaults WHERE uid = $1),
		(SELECT counter FROM ueks WHERE uid = $1),
		(SELECT used FROM spaces WHERE owner = $1),
		h.device, COALESCE(h.online, 0), COALESCE(h.since, 0)
		FROM devices d JOIN people p ON p.uid = d.uid LEFT JOIN homes h ON h.uid = d.uid
		WHERE d.uid = $1 AND d.id = $2`, uid[:], device[:])
	g.Owner, g.Revoked = owner == 1, revoked == 1
	g.Home.There, g.Home.Online = hasHome, online == 1
	return g, found, s.wrap("store.Greet", err)
}

// SetHome implements signal.Store.
func (s *Store) SetHome(ctx context.Context, uid protocol.UID, device protocol.DeviceID, online bool, at int64) (bool, error) {
	changed := false
	err := s.update(ctx, "store.SetHome", func(t *Tx) error {
		n, err := t.exec(ctx, `UPDATE homes SET online = $3, since = $4 WHERE uid = $1 AND device = $2 AND online <> $3`,
			uid[:], device[:], flag(online), at)
		changed = n > 0
		return err
	})
	return changed, err
}

// HomesAway notes, when the relay starts, that nobody is connected.
func (s *Store) HomesAway(ctx context.Context, at int64) error {
	return s.update(ctx, "store.HomesAway", func(t *Tx) error {
		_, err := t.exec(ctx, `UPDATE homes SET online = 0, since = $1 WHERE online = 1`, at)
		return err
	})
}

// Accepts implements signal.Store.
func (s *Store) Accepts(ctx context.Context, owner, sender protocol.UID) (bool, error) {
	q := acceptance{owner, sender}
	yes, known, turn := s.accepted.look(q)
	if known {
		return yes, nil
	}
	var n int64
	_, err := s.reader().row(ctx, []any{&n}, `SELECT COUNT(*) FROM contacts WHERE owner = $1 AND peer = $2 AND state = 'allow'`, owner[:], sender[:])
	if err != nil {
		return false, s.wrap("store.Accepts", err)
	}
	s.accepted.keep(q, n > 0, turn)
	return n > 0, nil
}
