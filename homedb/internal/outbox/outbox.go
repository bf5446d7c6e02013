package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
	"github.com/courtyard-social/courtyard/homedb/internal/safe"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
)

const (
	batch     = 4 * message.MaxItems // receipts read at a time
	pause     = time.Minute          // before what failed is tried again
	retry     = 5 * time.Second      // after the own disk did not take something, as the intake does
	awayPause = time.Hour            // at most, while a friend's courtyard does not answer
	forkPause = 30 * time.Minute     // where only the reader's decision helps
	maxTries  = 200                  // of an errand; then it is given up and counted
	idle      = 10 * time.Minute
	atOnce    = 8 // errands between two looks at the receipts
)

// Put gives an envelope to the relay (link.Line.Put).
type Put func(ctx context.Context, to []protocol.UID, marks link.Marks, e *protocol.Envelope) ([]protocol.UID, error)

// Outbox sends what is owed while there is a line.
type Outbox struct {
	DB     *store.DB
	Writer *Writer
	Log    *chatlog.Log
	Safe   *safe.Safe
	// Named is whose username that is at host, "" for the own courtyard; code
	// not-found: nobody's who may be found.
	Named func(ctx context.Context, host, username string) (protocol.UID, error)
	// RelayTime asks the relay what time it is, ms.
	RelayTime func(ctx context.Context) (int64, error)
	Clock     clock.Clock
	Logger    *slog.Logger
	// Wake is sent to whenever something new is owed; it holds one.
	Wake chan struct{}
	// Given counts errands that were given up, by kind.
	Given func(kind string)

	// Run's alone: the peer whose errand was picked last; when the relay was asked for
	// its time, ms, and how far that was ahead of this machine's.
	last        protocol.UID
	asked, lead int64
}

// Run sends until ctx ends. token is that of the line.
func (o *Outbox) Run(ctx context.Context, put Put, token string) {
	if err := o.restart(ctx); err != nil {
		o.Logger.Error("outbox: not readable", "error", err)
	}
	for ctx.Err() == nil {
		next, err := o.flush(ctx, put, token)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			o.Logger.Warn("outbox: waiting", "error", err)
			next = retry
		}
		clock.Until(ctx, o.Clock, next, o.Wake)
	}
}

// restart makes everything due: the reason to wait may have gone with the old line.
func (o *Outbox) restart(ctx context.Context) error {
	return o.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE receipts SET due = 0 WHERE due > 0`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE errands SET due = 0 WHERE due > 0`)
		return err
	})
}

// flush sends everything that is due and returns when to look again.
func (o *Outbox) flush(ctx context.Context, put Put, token string) (time.Duration, error) {
	for {
		n, err := o.receipts(ctx, put)
		if err != nil {
			return 0, err
		}
		m, err := o.errands(ctx, put, token)
		if err != nil {
			return 0, err
		}
		if n+m == 0 {
			break
		}
	}
	var due int64
	err := o.DB.QueryRow(ctx, `SELECT COALESCE(MIN(due), 0) FROM (SELECT due FROM receipts UNION ALL SELECT due FROM errands) x`).Scan(&due)
	if err != nil {
		return 0, err
	}
	if due == 0 {
		return idle, nil
	}
	return max(time.Second, time.Duration(due-clock.Millis(o.Clock))*time.Millisecond), nil
}

// owedReceipt is a home receipt that a friend is to have.
type owedReceipt struct {
	message.Item
	due int64 // as it was read; Rewrite changes it
}

// receipts sends home receipts, one letter for up to 500 messages of a friend.
// It returns how many rows it dealt with.
func (o *Outbox) receipts(ctx context.Context, put Put) (int, error) {
	owed, n, err := o.owed(ctx)
	if err != nil {
		return 0, err
	}
	for peer, receipts := range owed {
		for some := range slices.Chunk(receipts, message.MaxItems) {
			if err := o.receipt(ctx, put, peer, some); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// owed reads the receipts that are due now, by who is to have them, and their number.
func (o *Outbox) owed(ctx context.Context) (owed map[protocol.UID][]owedReceipt, n int, err error) {
	rows, err := o.DB.Query(ctx, `SELECT peer, mid, hash, due FROM receipts WHERE due <= $1 LIMIT CAST($2 AS BIGINT)`, clock.Millis(o.Clock), batch)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	owed = map[protocol.UID][]owedReceipt{}
	for rows.Next() {
		var peer, mid, hash []byte
		var due int64
		if err := rows.Scan(&peer, &mid, &hash, &due); err != nil {
			return nil, 0, err
		}
		item := message.Item{MID: protocol.ID(mid), Hash: protocol.Hash32(hash)}
		owed[protocol.UID(peer)] = append(owed[protocol.UID(peer)], owedReceipt{item, due})
		n++
	}
	return owed, n, rows.Err()
}

func (o *Outbox) receipt(ctx context.Context, put Put, peer protocol.UID, receipts []owedReceipt) error {
	items := make([]message.Item, len(receipts))
	for i, r := range receipts {
		items[i] = r.Item
	}
	body, err := message.MarshalBody(message.Home{Items: items})
	if err != nil {
		return err
	}
	err = o.send(ctx, put, Posted{Kind: Receipt, Items: items}, draft{peer: peer, typ: protocol.TypeReceipt, kind: message.KindHome, body: body})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	again, wait := verdict(err, 0)
	if err != nil {
		o.Logger.Info("outbox: a receipt was not taken", "code", protocol.CodeOf(err), "again", again)
	}
	return o.told(ctx, peer, receipts, again, clock.Millis(o.Clock)+wait.Milliseconds())
}

// told strikes out receipts that were sent, or puts them off. The letter may have
// come back before it was answered for: what Rewrite has touched stays owed.
func (o *Outbox) told(ctx context.Context, peer protocol.UID, receipts []owedReceipt, again bool, due int64) error {
	return o.DB.Write(ctx, func(tx store.Tx) error {
		for _, r := range receipts {
			query, args := `DELETE FROM receipts WHERE peer = $1 AND mid = $2 AND hash = $3 AND due = $4`, []any{peer[:], r.MID[:], r.Hash[:], r.due}
			if again {
				query = `UPDATE receipts SET due = $5 WHERE peer = $1 AND mid = $2 AND hash = $3 AND due = $4`
				args = append(args, due)
			}
			if _, err := tx.Exec(ctx, query, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// send seals a letter of the home's own making and puts it; as is what to know it
// by if it has to be written again.
func (o *Outbox) send(ctx context.Context, put Put, as Posted, d draft) error {
	s, err := o.Writer.seal(ctx, d)
	if err != nil {
		return err
	}
	if s.elsewhere {
		if err := o.note(ctx, as, s); err != nil {
			return err
		}
	}
	_, err = put(ctx, s.to, s.marks, s.envelope)
	return err
}

// verdict says whether what failed for the n-th time (from 0) is to be tried again,
// and when. What the relay refuses for good (the friend does not want it, we are not
// their contact) is not.
func verdict(err error, n int) (again bool, wait time.Duration) {
	switch {
	case err == nil:
		return false, 0
	case errors.Is(err, friends.ErrFork):
		return true, forkPause
	case errors.Is(err, link.ErrLost):
		return true, 0
	case elsewhere(err):
		return true, min(awayPause, pause<<min(n, 10))
	}
	switch protocol.CodeOf(err) {
	case protocol.CodeNotContact, protocol.CodeNotAllowed, protocol.CodeNotFound, protocol.CodeTooLarge, protocol.CodeBadRequest:
		return false, 0
	}
	return true, pause
}

// elsewhere reports whether the reason lies with another courtyard that is away, and
// may be for weeks: then nothing is given up.
func elsewhere(err error) bool {
	switch protocol.CodeOf(err) {
	case protocol.CodePeerAway, protocol.CodeAddressRefused:
		return true
	}
	return false
}
