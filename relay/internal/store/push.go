package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/push"
)

// Subscribed implements push.Store.
func (s *Store) Subscribed(ctx context.Context) ([]protocol.UID, error) {
	people := []protocol.UID{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var uid protocol.UID
		err := scan(exactly(uid[:]))
		people = append(people, uid)
		return true, err
	}, `SELECT DISTINCT uid FROM pushes`)
	return people, s.wrap("store.Subscribed", err)
}

const subscription = `SELECT uid, device, endpoint, p256dh, auth FROM pushes WHERE `

func (s *Store) subscription(ctx context.Context, where string, args ...any) (push.Subscription, bool, error) {
	var p push.Subscription
	found, err := s.reader().row(ctx, []any{exactly(p.UID[:]), exactly(p.Device[:]), &p.Endpoint, &p.Key, &p.Auth}, subscription+where, args...)
	return p, found, s.wrap("store.Subscription", err)
}

// Subscription implements push.Store.
func (s *Store) Subscription(ctx context.Context, uid protocol.UID, device protocol.DeviceID) (push.Subscription, bool, error) {
	return s.subscription(ctx, `uid = $1 AND device = $2`, uid[:], device[:])
}

// SubscriptionAt implements push.Store.
func (s *Store) SubscriptionAt(ctx context.Context, endpoint string) (push.Subscription, bool, error) {
	return s.subscription(ctx, `endpoint = $1`, endpoint)
}

// Subscribe implements push.Store.
func (s *Store) Subscribe(ctx context.Context, p push.Subscription, at int64) error {
	err := s.update(ctx, "store.Subscribe", func(t *Tx) error {
		// The same browser under another device id: somebody signed out and in again.
		if _, err := t.exec(ctx, `DELETE FROM pushes WHERE endpoint = $1 AND p256dh = $2 AND auth = $3 AND NOT (uid = $4 AND device = $5)`,
			p.Endpoint, p.Key, p.Auth, p.UID[:], p.Device[:]); err != nil {
			return err
		}
		var one int64
		there, err := t.row(ctx, []any{&one}, `SELECT 1 FROM devices WHERE uid = $1 AND id = $2 AND revoked = 0`+t.dialect.ForUpdate, p.UID[:], p.Device[:])
		if err == nil && !there {
			err = &protocol.Error{Op: "store.Subscribe", Code: protocol.CodeUnauthorized}
		}
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO pushes (uid, device, endpoint, p256dh, auth, at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (uid, device) DO UPDATE SET endpoint = excluded.endpoint, p256dh = excluded.p256dh, auth = excluded.auth, at = excluded.at`,
			p.UID[:], p.Device[:], p.Endpoint, p.Key, p.Auth, at)
		return err
	})
	if s.duplicate(err) {
		return &protocol.Error{Op: "store.Subscribe", Code: protocol.CodeNotAllowed}
	}
	return err
}

// Unsubscribe implements push.Store.
func (s *Store) Unsubscribe(ctx context.Context, uid protocol.UID, device protocol.DeviceID, endpoint string) error {
	return s.update(ctx, "store.Unsubscribe", func(t *Tx) error {
		_, err := t.exec(ctx, `DELETE FROM pushes WHERE uid = $1 AND device = $2 AND ($3 = '' OR endpoint = $3)`, uid[:], device[:], endpoint)
		return err
	})
}

// Targets implements push.Store.
func (s *Store) Targets(ctx context.Context, owner, peer protocol.UID, now int64) ([]push.Target, error) {
	targets := []push.Target{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		p := push.Target{Subscription: push.Subscription{UID: owner}}
		err := scan(exactly(p.Device[:]), &p.Endpoint, &p.Key, &p.Auth, &p.Seen)
		targets = append(targets, p)
		return true, err
	}, `SELECT p.device, p.endpoint, p.p256dh, p.auth, d.seen
		FROM pushes p JOIN devices d ON d.uid = p.uid AND d.id = p.device
		WHERE p.uid = $1 AND d.revoked = 0 AND (d.exp = 0 OR d.exp > $3)
		AND NOT EXISTS (SELECT 1 FROM push_mutes WHERE owner = $1 AND peer = $2)`, owner[:], peer[:], now)
	return targets, s.wrap("store.Targets", err)
}

// Muted implements push.Store.
func (s *Store) Muted(ctx context.Context, uid protocol.UID) ([]protocol.UID, error) {
	muted := []protocol.UID{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var peer protocol.UID
		err := scan(exactly(peer[:]))
		muted = append(muted, peer)
		return true, err
	}, `SELECT peer FROM push_mutes WHERE owner = $1 ORDER BY peer`, uid[:])
	return muted, s.wrap("store.Muted", err)
}

// Mute implements push.Store.
func (s *Store) Mute(ctx context.Context, uid protocol.UID, peers []protocol.UID) error {
	return s.update(ctx, "store.Mute", func(t *Tx) error {
		if _, err := t.exec(ctx, `DELETE FROM push_mutes WHERE owner = $1`, uid[:]); err != nil {
			return err
		}
		for _, peer := range peers {
			if _, err := t.exec(ctx, `INSERT INTO push_mutes (owner, peer) VALUES ($1, $2) ON CONFLICT (owner, peer) DO NOTHING`, uid[:], peer[:]); err != nil {
				return err
			}
		}
		return nil
	})
}
