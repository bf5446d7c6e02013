package datadir

import (
	"log/slog"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// Reserve watches that the disk is never filled to the brim: the relay's own
// bookkeeping, and everybody else on the machine, need room too. What people do to
// free or to protect themselves (confirming, revoking, blocking, letting go of a
// contact) never asks: the reserve is there for it.
type Reserve struct {
	bytes int64
	free  func() (int64, error)
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex // all below
	asked  time.Time
	full   error     // what was found then
	warned time.Time // when the operator was last told
}

// askEvery is how old an answer of the file system may be.
const askEvery = time.Second

// warnEvery keeps a disk that hovers about its reserve from filling the log.
const warnEvery = 10 * time.Minute

// NewReserve keeps bytes free, as free measures them. The operator reads in log
// when the relay starts to refuse.
func NewReserve(bytes int64, free func() (int64, error), now func() time.Time, log *slog.Logger) *Reserve {
	return &Reserve{bytes: bytes, free: free, now: now, log: log}
}

// Room returns relay-full while less than the reserve is free. A disk that
// cannot be asked counts as full: writing would fail next.
func (r *Reserve) Room() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if since := now.Sub(r.asked); since >= 0 && since < askEvery {
		return r.full
	}
	free, err := r.free()
	before := r.full
	r.asked, r.full = now, nil
	if err != nil || free < r.bytes {
		r.full = &protocol.Error{Op: "datadir.Room", Code: protocol.CodeRelayFull, Cause: err}
		if before == nil && (r.warned.IsZero() || now.Sub(r.warned) >= warnEvery) {
			r.warned = now
			r.log.Warn("the disk is full but for its reserve: new letters, files and people are refused until there is room",
				"free", free, "reserve", r.bytes, "err", err)
		}
	}
	return r.full
}
