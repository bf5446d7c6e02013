package store

import (
	"context"

	"github.com/courtyard-social/courtyard/relay/internal/turn"
)

// Revoked implements turn.Store.
func (s *Store) Revoked(ctx context.Context) ([]turn.Device, error) {
	devices := []turn.Device{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var d turn.Device
		err := scan(exactly(d.UID[:]), exactly(d.ID[:]))
		devices = append(devices, d)
		return true, err
	}, `SELECT uid, id FROM devices WHERE revoked = 1`)
	return devices, s.wrap("store.Revoked", err)
}

// Traffic implements turn.Store.
func (s *Store) Traffic(ctx context.Context, month string) ([]turn.Traffic, error) {
	rows := []turn.Traffic{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		t := turn.Traffic{Month: month}
		err := scan(exactly(t.UID[:]), &t.Username, &t.Bytes)
		rows = append(rows, t)
		return true, err
	}, `SELECT t.uid, p.username, t.bytes FROM traffic t JOIN people p ON p.uid = t.uid WHERE t.month = $1 ORDER BY p.username`, month)
	return rows, s.wrap("store.Traffic", err)
}

// AddTraffic implements turn.Store.
func (s *Store) AddTraffic(ctx context.Context, rows []turn.Traffic, oldest string) error {
	return s.update(ctx, "store.AddTraffic", func(t *Tx) error {
		for _, row := range rows {
			if _, err := t.exec(ctx, `INSERT INTO traffic (month, uid, bytes) VALUES ($1, $2, $3)
				ON CONFLICT (month, uid) DO UPDATE SET bytes = traffic.bytes + excluded.bytes`, row.Month, row.UID[:], row.Bytes); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `DELETE FROM traffic WHERE month < $1`, oldest)
		return err
	})
}
