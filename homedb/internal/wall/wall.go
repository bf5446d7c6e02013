// Package wall keeps the person's own public wall at home: changes and photos,
// read from the relay as a follower reads them, and the head that says every day
// that the wall stands as it is (section 15).
//
// It must never write on the wall, never keep what its author has taken back, and
// never let what it has go for a wall that the author did not write.
package wall

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
)

const (
	// look is how often the wall is looked at without being told of news.
	look = 30 * time.Minute
	// again is how long to wait after something failed on a line that is up.
	again = time.Minute
	// renewed is how old a head may become.
	renewed = 24 * time.Hour
	// A photo that cannot be had is asked for after firstWait, later up to lastWait.
	firstWait = 30 * time.Second
	lastWait  = 6 * time.Hour
)

// Relay is where the wall is.
type Relay interface {
	Wall(ctx context.Context, token, username string, after int64, limit int) (post.Page, error)
	PostHead(ctx context.Context, token string, head protocol.Signed) error
	Media(ctx context.Context, token string, hash protocol.Hash32) ([]byte, error)
}

// Wall is one person's. All fields are due.
type Wall struct {
	DB       *store.DB
	UID      protocol.UID
	Username string
	Host     string // host[:port] of the relay
	Relay    Relay
	Signer   protocol.Signer // the home's key
	Clock    clock.Clock
	Now      func() int64                                    // the relay's time, ms
	Chain    func(ctx context.Context) (*ident.Chain, error) // the own one as known
	Refresh  func(ctx context.Context) (*ident.Chain, error) // and as the relay has it
	Logger   *slog.Logger
	Counted  func(what string)
	// Wake is sent to when the relay tells of news; it holds one.
	Wake chan struct{}
}

// ErrLost says that the relay shows no wall where there was one.
var ErrLost = errors.New("the relay shows no wall where there was one")

// Run keeps the wall until ctx ends. token is that of the line.
func (w *Wall) Run(ctx context.Context, token string) {
	for ctx.Err() == nil {
		next, err := w.round(ctx, token)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			next = w.tell(err)
		}
		clock.Until(ctx, w.Clock, next, w.Wake)
	}
}

// tell says what went wrong, what the relay has done to the wall aloud, and returns
// when to try again.
func (w *Wall) tell(err error) time.Duration {
	if errors.Is(err, post.ErrAltered) || errors.Is(err, ErrLost) {
		w.Counted("wall-altered")
		w.Logger.Error("the relay does not show this person's wall as it was written; this home keeps what it has", "error", err)
		return look
	}
	w.Logger.Warn("wall: trying again", "error", err)
	return again
}

// round reads what is new, fetches what is missing and renews the head if it is
// time; it returns when to look again.
func (w *Wall) round(ctx context.Context, token string) (time.Duration, error) {
	if err := w.read(ctx, token); err != nil {
		return 0, err
	}
	next, err := w.fetch(ctx, token)
	if err != nil {
		return 0, err
	}
	return next, w.renew(ctx, token)
}

// kept is the head up to which the wall is here.
type kept struct {
	post.Head
	signed protocol.Signed
}

// head reads it; nil: there is no wall yet.
func (w *Wall) head(ctx context.Context, from store.Source) (*kept, error) {
	k := kept{Head: post.Head{UID: w.UID}}
	var hash, payload, signer, sig []byte
	err := from.QueryRow(ctx, `SELECT seq, hash, ts, payload, signer, sig FROM wall`).Scan(&k.Seq, &hash, &k.TS, &payload, &signer, &sig)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k.Hash = protocol.Hash32(hash)
	k.signed = protocol.Signed{Payload: payload, By: protocol.Key32(signer), Sig: protocol.Signature(sig)}
	return &k, nil
}

func saveHead(ctx context.Context, tx store.Tx, h post.Head, signed protocol.Signed) error {
	_, err := tx.Exec(ctx, `INSERT INTO wall (one, seq, hash, ts, payload, signer, sig) VALUES (1, $1, $2, $3, $4, $5, $6)
		ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, ts = excluded.ts,
		payload = excluded.payload, signer = excluded.signer, sig = excluded.sig`,
		h.Seq, h.Hash[:], h.TS, []byte(signed.Payload), signed.By[:], signed.Sig[:])
	return err
}

// renew says that the wall stands as it is, if nobody has said so for a day. It is
// renewed only as it is here, to the last change.
func (w *Wall) renew(ctx context.Context, token string) error {
	k, err := w.head(ctx, w.DB)
	if err != nil || k == nil {
		return err
	}
	now := w.Now()
	if now-k.TS < renewed.Milliseconds() {
		return nil
	}
	chain, err := w.Chain(ctx)
	if err != nil {
		return err
	}
	signed, err := post.NewHead(w.Signer, chain, k.Head, now)
	if err != nil {
		return err
	}
	if err := w.Relay.PostHead(ctx, token, signed); err != nil {
		if protocol.CodeOf(err) == protocol.CodeWallConflict { // it has just grown: the event says so as well
			clock.Wake(w.Wake)
			return nil
		}
		return err
	}
	h, err := post.ParseHead(signed)
	if err != nil {
		return err
	}
	return w.DB.Write(ctx, func(tx store.Tx) error { return saveHead(ctx, tx, h, signed) })
}

// Page is a part of the wall as it is kept here, of at most limit changes and
// about most bytes of JSON (section 11). Codes: bad-request; not-found: there is
// no wall.
func (w *Wall) Page(ctx context.Context, after int64, limit, most int) (post.Page, error) {
	const op = "wall.Page"
	p := post.Page{UID: w.UID, Username: w.Username, Host: w.Host}
	if after < 0 || limit < 1 || limit > post.MaxPageItems {
		return p, protocol.Refuse(op, protocol.CodeBadRequest, "after or limit")
	}
	for {
		items, err := w.items(ctx, after, limit, most-post.FrameWeight)
		if err != nil {
			return p, err
		}
		k, err := w.head(ctx, w.DB) // after the changes: what they show as gone, something up to this head accounts for
		if err == nil && k == nil {
			err = &protocol.Error{Op: op, Code: protocol.CodeNotFound}
		}
		if err != nil {
			return p, err
		}
		p.Head, p.Items, p.More = k.signed, items, after+int64(len(items)) < k.Seq
		if !p.More || len(items) > 0 { // else it has grown between the two
			return p, nil
		}
	}
}

func (w *Wall) items(ctx context.Context, after int64, limit, room int) (items []post.Item, err error) {
	rows, err := w.DB.Query(ctx, `SELECT seq, hash, payload, signer, sig FROM wall_changes
		WHERE seq > $1 AND seq <= (SELECT seq FROM wall) ORDER BY seq LIMIT CAST($2 AS BIGINT)`, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var hash, payload, signer, sig []byte
		if err := rows.Scan(&seq, &hash, &payload, &signer, &sig); err != nil {
			return nil, err
		}
		item := post.Item{Stub: &post.Stub{Seq: seq, Hash: protocol.Hash32(hash)}}
		if signer != nil {
			item = post.Item{Signed: &protocol.Signed{Payload: payload, By: protocol.Key32(signer), Sig: protocol.Signature(sig)}}
		}
		if room -= item.Weight(); room < 0 && len(items) > 0 {
			break
		}
		items = append(items, item)
	}
	return items, rows.Err()
}
