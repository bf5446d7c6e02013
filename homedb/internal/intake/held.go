package intake

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/outbox"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

// Why a letter is held instead of being in the log.
const (
	noChain = "chain"   // its sender's chain could not be had, or lags behind: tried again
	forked  = "fork"    // its sender's chain has forked: tried again when the reader has decided
	noKey   = "key"     // sealed to a daily key that is no longer there
	invalid = "invalid" // damaged, forged, or of a later version of the protocol
)

// What is held is bounded for each reason, in number and in bytes; past it the
// oldest goes. Only a contact who sends rubbish comes near.
var most = map[string]int{noChain: 20_000, forked: 20_000, noKey: 5_000, invalid: 1_000}

const mostBytes = 64 << 20 // of the letters as they came

const (
	firstTry = 20 * time.Second
	lastTry  = 6 * time.Hour
)

// held is a letter as it came.
type held struct {
	sender   protocol.UID
	envelope protocol.ID
	reason   string
	raw      []byte
	received int64
}

func hold(raw []byte, sender protocol.UID, envelope protocol.ID, reason string, now int64) *held {
	if envelope.IsZero() { // no envelope: named by its bytes
		sum := sha256.Sum256(raw)
		sender, envelope = protocol.UID{}, protocol.ID(sum[:16])
	}
	return &held{sender, envelope, reason, raw, now}
}

func (h *held) keep(ctx context.Context, tx store.Tx) error {
	due := int64(0)
	if h.reason == noChain {
		due = h.received + firstTry.Milliseconds()
	}
	_, err := tx.Exec(ctx, `INSERT INTO held (id, sender, envelope, reason, raw, received, tries, due)
		SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5, 0, $6 FROM held WHERE true
		ON CONFLICT (sender, envelope) DO NOTHING`,
		h.sender[:], h.envelope[:], h.reason, h.raw, h.received, due)
	return err
}

// trim keeps each reason within its bounds.
func (i *Intake) trim(ctx context.Context, tx store.Tx, items []item) error {
	for reason, n := range most {
		if !slices.ContainsFunc(items, func(it item) bool { return it.held != nil && it.held.reason == reason }) {
			continue
		}
		if _, err := tx.Exec(ctx, `DELETE FROM held WHERE reason = $1 AND id <= (
			SELECT id FROM held WHERE reason = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`, reason, n); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM held WHERE reason = $1 AND id <= (
			SELECT MAX(id) FROM (SELECT id, SUM(LENGTH(raw)) OVER (ORDER BY id DESC) AS bytes FROM held WHERE reason = $1) x
			WHERE bytes > CAST($2 AS BIGINT))`, reason, mostBytes); err != nil {
			return err
		}
	}
	return nil
}

// Retry opens held letters once more: those that are due; with decided those of
// people whose chain had forked; with keys those that no key opened before. It
// returns when the next is due.
func (i *Intake) Retry(ctx context.Context, decided, keys bool) (time.Duration, error) {
	const idle = time.Hour
	now := clock.Millis(i.Clock)
	fork, key := "", ""
	if decided {
		fork = forked
	}
	if keys {
		key = noKey
	}
	var last int64
	for {
		rows, err := i.DB.Query(ctx, `SELECT id, raw, tries, sender, envelope FROM held
			WHERE (due > 0 AND due <= $1 OR reason = $2 OR reason = $3) AND id > $4 ORDER BY id LIMIT 20`, now, fork, key, last)
		if err != nil {
			return 0, fmt.Errorf("intake.Retry: %w", err)
		}
		type row struct {
			id, tries        int64
			raw              []byte
			sender, envelope []byte
		}
		var list []row
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.id, &r.raw, &r.tries, &r.sender, &r.envelope); err != nil {
				rows.Close()
				return 0, err
			}
			list = append(list, r)
		}
		if err := rows.Close(); err != nil {
			return 0, err
		}
		if len(list) == 0 {
			break
		}
		for _, r := range list {
			last = r.id
			it := i.open(ctx, 0, r.raw)
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			if err := i.settle(ctx, r.id, r.tries, it, now); err != nil {
				return 0, err
			}
		}
	}
	var due int64
	if err := i.DB.QueryRow(ctx, `SELECT COALESCE(MIN(due), 0) FROM held WHERE due > 0`).Scan(&due); err != nil {
		return 0, err
	}
	if due == 0 {
		return idle, nil
	}
	return max(time.Second, time.Duration(due-clock.Millis(i.Clock))*time.Millisecond), nil
}

// settle moves a held letter into the log, or notes what holds it now.
func (i *Intake) settle(ctx context.Context, id, tries int64, it item, now int64) error {
	if it.held == nil {
		return i.commit(ctx, []item{it}, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM held WHERE id = $1`, id)
			return err
		})
	}
	due := int64(0)
	if it.held.reason == noChain {
		wait := lastTry
		if tries < 10 {
			wait = min(lastTry, firstTry<<(tries+1))
		}
		due = now + wait.Milliseconds()
	}
	return i.DB.Write(ctx, func(tx store.Tx) error {
		for _, o := range it.owes { // its key was deleted meanwhile: it has to be sealed again
			if err := outbox.Owe(ctx, tx, o.kind, o.peer, o.ref, now); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE held SET reason = $2, tries = tries + 1, due = $3 WHERE id = $1`, id, it.held.reason, due)
		return err
	})
}

// hurry makes what waits for the chain of somebody due at once when another letter
// of theirs could be opened: their courtyard answers again.
func hurry(ctx context.Context, tx store.Tx, items []item, now int64) error {
	done := map[protocol.UID]bool{}
	for _, it := range items {
		if it.event == nil || done[it.event.Author] {
			continue
		}
		author := it.event.Author
		done[author] = true
		if _, err := tx.Exec(ctx, `UPDATE held SET due = $1 WHERE sender = $2 AND reason = $3 AND due > $1`, now, author[:], noChain); err != nil {
			return err
		}
	}
	return nil
}

// Pending counts held letters that may still be opened with a key of now, and
// came after since (ms): until they are, that key is needed.
func (i *Intake) Pending(ctx context.Context, since int64) (int, error) {
	var n int
	err := i.DB.QueryRow(ctx, `SELECT COUNT(*) FROM held WHERE reason IN ('chain', 'fork') AND received > $1`, since).Scan(&n)
	return n, err
}

// Held counts what is held, by reason.
func (i *Intake) Held(ctx context.Context) (map[string]int, error) {
	rows, err := i.DB.Query(ctx, `SELECT reason, COUNT(*) FROM held GROUP BY reason`)
	if err != nil {
		return nil, fmt.Errorf("intake.Held: %w", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var reason string
		var n int
		if err := rows.Scan(&reason, &n); err != nil {
			return nil, err
		}
		out[reason] = n
	}
	return out, rows.Err()
}

// sha256Prefix is the hash of everything before the sealed body of a letter
// that was opened, so its head is known to be whole.
func sha256Prefix(data []byte) [32]byte {
	const head, slot = 66, 56
	return sha256.Sum256(data[:head+int(data[head-1])*slot])
}
