package store

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/peer"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// Waits implements queue.Ledger.
func (t *Tx) Waits(ctx context.Context, sender, to protocol.UID, id protocol.ID) ([]byte, error) {
	var raw []byte
	_, err := t.row(ctx, []any{&raw}, `SELECT env FROM outbound WHERE sender = $1 AND recipient = $2 AND id = $3`, sender[:], to[:], id[:])
	return raw, err
}

// Dispatch implements queue.Ledger and files.Ledger.
func (t *Tx) Dispatch(ctx context.Context, p queue.Parcel) (bool, error) {
	var n int64
	if _, err := t.row(ctx, []any{&n}, `UPDATE outbound_last SET last = last + 1 WHERE one = 1 RETURNING last`); err != nil {
		return false, err
	}
	raw := p.Raw
	if raw == nil {
		raw = []byte{}
	}
	inserted, err := t.exec(ctx, `INSERT INTO outbound (n, host, sender, recipient, id, file, size, at, env, quiet, unsure) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (sender, recipient, id) DO NOTHING`, n, p.Host, p.Sender[:], p.To[:], p.ID[:], flag(p.File), p.Size, p.At, raw, flag(p.Quiet), flag(p.Unsure))
	return inserted > 0, err
}

const parcelColumns = `n, host, sender, recipient, id, file, size, at`

func scanParcel(p *queue.Parcel, file *int64) []any {
	return []any{&p.N, &p.Host, exactly(p.Sender[:]), exactly(p.To[:]), exactly(p.ID[:]), file, &p.Size, &p.At}
}

// Parcel implements queue.Ledger.
func (t *Tx) Parcel(ctx context.Context, n int64) (queue.Parcel, bool, error) {
	var p queue.Parcel
	var file int64
	found, err := t.row(ctx, scanParcel(&p, &file), `SELECT `+parcelColumns+` FROM outbound WHERE n = $1`, n)
	p.File = file == 1
	return p, found, err
}

// Passed implements queue.Ledger.
func (t *Tx) Passed(ctx context.Context, p queue.Parcel) error {
	if p.File {
		// The file's lock, as when a holder lets go: see letGo.
		if _, _, err := t.File(ctx, p.ID); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, `DELETE FROM outbound WHERE n = $1`, p.N); err != nil || !p.File {
		return err
	}
	return t.dropUnheld(ctx, p.ID)
}

// Destinations implements peer.Store.
func (s *Store) Destinations(ctx context.Context) ([]queue.Away, error) {
	away := []queue.Away{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var a queue.Away
		if err := scan(&a.Host, exactly(a.UID[:])); err != nil {
			return false, err
		}
		away = append(away, a)
		return true, nil
	}, `SELECT DISTINCT host, recipient FROM outbound`)
	return away, s.wrap("store.Destinations", err)
}

// Parcels implements peer.Store.
func (s *Store) Parcels(ctx context.Context, to queue.Away, after int64, limit int) ([]queue.Parcel, error) {
	parcels := []queue.Parcel{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var p queue.Parcel
		var file, quiet, unsure int64
		if err := scan(append(scanParcel(&p, &file), &p.Raw, &quiet, &unsure)...); err != nil {
			return false, err
		}
		p.File, p.Quiet, p.Unsure = file == 1, quiet == 1, unsure == 1
		parcels = append(parcels, p)
		return true, nil
	}, `SELECT `+parcelColumns+`, env, quiet, unsure FROM outbound WHERE host = $1 AND recipient = $2 AND n > $3 ORDER BY n LIMIT CAST($4 AS BIGINT)`,
		to.Host, to.UID[:], after, limit)
	return parcels, s.wrap("store.Parcels", err)
}

// Waiting implements peer.Store.
func (s *Store) Waiting(ctx context.Context, sender protocol.UID, after int64, limit int) ([]queue.Parcel, error) {
	parcels := []queue.Parcel{}
	err := s.reader().rows(ctx, func(scan func(...any) error) (bool, error) {
		var p queue.Parcel
		var file int64
		if err := scan(scanParcel(&p, &file)...); err != nil {
			return false, err
		}
		p.File = file == 1
		parcels = append(parcels, p)
		return true, nil
	}, `SELECT `+parcelColumns+` FROM outbound WHERE sender = $1 AND n > $2 AND file = 0 ORDER BY n LIMIT CAST($3 AS BIGINT)`, sender[:], after, limit)
	return parcels, s.wrap("store.Waiting", err)
}

// Find implements peer.Store.
func (s *Store) Find(ctx context.Context, sender, to protocol.UID, id protocol.ID) (queue.Parcel, bool, error) {
	var p queue.Parcel
	var file, lost int64
	found, err := s.reader().row(ctx, append(scanParcel(&p, &file), &lost),
		`SELECT `+parcelColumns+`, lost FROM outbound WHERE sender = $1 AND recipient = $2 AND id = $3`, sender[:], to[:], id[:])
	p.File, p.Lost = file == 1, lost == 1
	return p, found, s.wrap("store.Find", err)
}

// LineOpens implements peer.Store.
func (s *Store) LineOpens(ctx context.Context, host string) error {
	return s.update(ctx, "store.LineOpens", func(t *Tx) error {
		_, err := t.exec(ctx, `INSERT INTO lines (host) VALUES ($1) ON CONFLICT (host) DO NOTHING`, host)
		return err
	})
}

// LineEnds implements peer.Store.
func (s *Store) LineEnds(ctx context.Context, host string, unanswered []int64) error {
	return s.update(ctx, "store.LineEnds", func(t *Tx) error {
		for _, n := range unanswered {
			if _, err := t.exec(ctx, `UPDATE outbound SET lost = 1 WHERE n = $1`, n); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `DELETE FROM lines WHERE host = $1`, host)
		return err
	})
}

// LinesCrashed implements peer.Store.
func (s *Store) LinesCrashed(ctx context.Context) error {
	return s.update(ctx, "store.LinesCrashed", func(t *Tx) error {
		if _, err := t.exec(ctx, `UPDATE outbound SET lost = 1 WHERE host IN (SELECT host FROM lines)`); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM lines`)
		return err
	})
}

// Pin implements peer.Store.
func (s *Store) Pin(ctx context.Context, uid protocol.UID) (peer.Pin, bool, error) {
	var p peer.Pin
	found, err := s.reader().row(ctx, []any{&p.Seq, exactly(p.Head[:]), exactly(p.Relay[:])}, `SELECT seq, head, relay FROM pins WHERE uid = $1`, uid[:])
	return p, found, s.wrap("store.Pin", err)
}

// SavePin implements peer.Store.
func (s *Store) SavePin(ctx context.Context, uid protocol.UID, p peer.Pin, at int64) error {
	return s.update(ctx, "store.SavePin", func(t *Tx) error {
		_, err := t.exec(ctx, `INSERT INTO pins (uid, seq, head, relay, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (uid) DO UPDATE SET seq = excluded.seq, head = excluded.head, relay = excluded.relay, at = excluded.at
			WHERE pins.seq < excluded.seq`, uid[:], p.Seq, p.Head[:], p.Relay[:], at)
		return err
	})
}

// Owns implements peer.Store.
func (s *Store) Owns(ctx context.Context, uid protocol.UID) (bool, error) {
	var n int64
	_, err := s.reader().row(ctx, []any{&n}, `SELECT COUNT(*) FROM people WHERE uid = $1 AND owner = 1`, uid[:])
	return n > 0, s.wrap("store.Owns", err)
}

// Lives implements peer.Store and signal.Store.
func (s *Store) Lives(ctx context.Context, uid protocol.UID) (bool, error) {
	var n int64
	_, err := s.reader().row(ctx, []any{&n}, `SELECT COUNT(*) FROM people WHERE uid = $1`, uid[:])
	return n > 0, s.wrap("store.Lives", err)
}
