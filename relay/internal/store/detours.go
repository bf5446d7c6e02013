package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/peer"
)

// Grants implements peer.Store.
func (s *Store) Grants(ctx context.Context) ([]peer.Grant, error) {
	grants := []peer.Grant{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var g peer.Grant
		if err := scan(&g.Host, exactly(g.Relay[:]), &g.Until, &g.Daily, &g.Day, &g.Used); err != nil {
			return false, err
		}
		grants = append(grants, g)
		return true, nil
	}, `SELECT host, relay, until, daily, day, used FROM grants ORDER BY host`)
	return grants, s.wrap("store.Grants", err)
}

// SaveGrant implements peer.Store.
func (s *Store) SaveGrant(ctx context.Context, g peer.Grant) error {
	return s.update(ctx, "store.SaveGrant", func(t *Tx) error {
		_, err := t.exec(ctx, `INSERT INTO grants (host, relay, until, daily, day, used) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (host) DO UPDATE SET relay = excluded.relay, until = excluded.until, daily = excluded.daily`,
			g.Host, g.Relay[:], g.Until, g.Daily, g.Day, g.Used)
		return err
	})
}

// UseGrant implements peer.Store.
func (s *Store) UseGrant(ctx context.Context, relay protocol.Key32, size, now, day int64) (bool, error) {
	used := int64(0)
	err := s.update(ctx, "store.UseGrant", func(t *Tx) (err error) {
		used, err = t.exec(ctx, `UPDATE grants SET day = $4, used = CASE WHEN day = $4 THEN used ELSE 0 END + $2
			WHERE relay = $1 AND until > $3 AND CASE WHEN day = $4 THEN used ELSE 0 END + $2 <= daily`, relay[:], size, now, day)
		return err
	})
	return used > 0, err
}

// Detours implements peer.Store.
func (s *Store) Detours(ctx context.Context, now int64) ([]peer.Detour, error) {
	detours := []peer.Detour{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var d peer.Detour
		if err := scan(exactly(d.Relay[:]), &d.Host, &d.Until); err != nil {
			return false, err
		}
		detours = append(detours, d)
		return true, nil
	}, `SELECT relay, host, until FROM detours WHERE until > $1 ORDER BY host`, now)
	return detours, s.wrap("store.Detours", err)
}

// SaveDetour implements peer.Store.
func (s *Store) SaveDetour(ctx context.Context, d peer.Detour, most int) error {
	return s.update(ctx, "store.SaveDetour", func(t *Tx) error {
		if d.Until == 0 {
			_, err := t.exec(ctx, `DELETE FROM detours WHERE relay = $1`, d.Relay[:])
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO detours (relay, host, until) SELECT $1, $2, $3 WHERE EXISTS (SELECT 1 FROM pins WHERE pins.relay = $1)
			AND (SELECT COUNT(*) FROM detours WHERE detours.relay <> $1) < $4
			ON CONFLICT (relay) DO UPDATE SET host = excluded.host, until = excluded.until`, d.Relay[:], d.Host, d.Until, most)
		return err
	})
}

// Card implements peer.Store.
func (s *Store) Card(ctx context.Context, relay protocol.Key32) (protocol.Signed, bool, error) {
	card := protocol.Signed{By: relay}
	found, err := s.reader().row(ctx, []any{(*[]byte)(&card.Payload), exactly(card.Sig[:])}, `SELECT payload, sig FROM cards WHERE relay = $1`, relay[:])
	return card, found, s.wrap("store.Card", err)
}

// SaveCard implements peer.Store.
func (s *Store) SaveCard(ctx context.Context, card protocol.Signed) error {
	return s.update(ctx, "store.SaveCard", func(t *Tx) error {
		_, err := t.exec(ctx, `INSERT INTO cards (relay, payload, sig) VALUES ($1, $2, $3)
			ON CONFLICT (relay) DO NOTHING`, card.By[:], []byte(card.Payload), card.Sig[:])
		return err
	})
}
