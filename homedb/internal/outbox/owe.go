package outbox

import (
	"context"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

// Kinds of single letters.
const (
	Stale  = "stale"  // ref: the envelope that could not be opened
	Reseal = "reseal" // ref: the envelope that the friend could not open
	Accept = "accept" // ref: the mid of their joined letter
	Again  = "again"  // ref: the envelope that came back because of its date

	// Receipt is no errand: home receipts go by the hundred.
	Receipt = "receipt"
)

// mostStale bounds the stale notices that wait for one peer. Past it a letter is
// not asked for again: it stays held, and only a new key from the vault may open
// it or make it due once more (intake.Retry). Somebody who sends rubbish by the
// thousand is told of two hundred at a time.
const mostStale = 200

// OweReceipt notes, in the transaction that commits a letter, that its sender is
// to hear of it.
func OweReceipt(ctx context.Context, tx store.Tx, peer protocol.UID, mid protocol.ID, hash protocol.Hash32) error {
	_, err := tx.Exec(ctx, `INSERT INTO receipts (peer, mid, hash, due) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING`,
		peer[:], mid[:], hash[:])
	return err
}

// patience is what a device has for sealing anew what it wrote before the home does.
const patience = time.Minute

// Patience is how long what came back with the right date waits for the courtyards'
// clocks to agree with it.
const Patience = 10 * time.Minute

// Rewrite notes, in a transaction, that a letter of this home's own making has to
// be written once more, and forgets that it was posted in envelope, unless that is
// zero. What is being sent this moment gets another due, which is not struck out
// when the sending is over.
func Rewrite(ctx context.Context, tx store.Tx, peer protocol.UID, p Posted, envelope protocol.ID, now int64) error {
	if _, err := tx.Exec(ctx, `DELETE FROM posted WHERE envelope = $1 AND peer = $2`, envelope[:], peer[:]); err != nil {
		return err
	}
	for _, i := range p.Items {
		if _, err := tx.Exec(ctx, `INSERT INTO receipts (peer, mid, hash, due) VALUES ($1, $2, $3, 0)
			ON CONFLICT (peer, mid, hash) DO UPDATE SET due = receipts.due - 1`, peer[:], i.MID[:], i.Hash[:]); err != nil {
			return err
		}
	}
	if p.Kind == Receipt {
		return nil
	}
	// It has been sent before, which an answer to somebody who joined is asked about.
	_, err := tx.Exec(ctx, `INSERT INTO errands (kind, peer, ref, made, tries, due) VALUES ($1, $2, $3, $4, 1, 0)
		ON CONFLICT (kind, peer, ref) DO UPDATE SET due = errands.due - 1`,
		p.Kind, peer[:], p.Ref[:], now)
	return err
}

// Owe notes, in a transaction, a single letter to peer; of stale ones no more
// than mostStale.
func Owe(ctx context.Context, tx store.Tx, kind string, peer protocol.UID, ref protocol.ID, now int64) error {
	if kind == Stale {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM errands WHERE kind = $1 AND peer = $2`, kind, peer[:]).Scan(&n); err != nil {
			return err
		}
		if n >= mostStale {
			return nil
		}
	}
	due := int64(0)
	if kind == Again {
		due = now + patience.Milliseconds()
	}
	_, err := tx.Exec(ctx, `INSERT INTO errands (kind, peer, ref, made, tries, due) VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT DO NOTHING`,
		kind, peer[:], ref[:], now, due)
	return err
}
