package post

import (
	"errors"
	"fmt"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// ErrAltered is the cause when a wall is not the one that its author wrote and
// this reader saw before: altered, hidden or rolled back by whoever serves it. The
// app says so by name, keeps what it had, and takes nothing more until the reader
// decides.
var ErrAltered = errors.New("not the wall that its author wrote")

// Walk reads a wall from a pin to its end, page by page, and checks all of it. It
// is for one goroutine, and of no use after an error.
type Walk struct {
	chain *ident.Chain
	seq   int64 // of the change read last
	hash  protocol.Hash32
	ts    int64 // no change after it may be dated before this
	head  Head
	stubs map[int64]bool // not yet accounted for; as many as the pages had
	ended bool
}

// NewWalk begins after pin; the zero Pin is the beginning of the wall. chain is
// the author's, verified.
func NewWalk(chain *ident.Chain, pin Pin) *Walk {
	return &Walk{chain: chain, seq: pin.Seq, hash: pin.Hash, ts: pin.TS,
		head: Head{chain.UID(), pin.Seq, pin.Hash, pin.TS}, stubs: map[int64]bool{}}
}

// After is where the next page begins: its `after`.
func (w *Walk) After() int64 { return w.seq }

// Ended reports whether the walk is at the head: only then count the changes that
// Take returned, and only then is there a new pin.
func (w *Walk) Ended() bool { return w.ended }

// Head is the newest head read.
func (w *Walk) Head() Head { return w.head }

// Take checks the next page and returns its changes; content named by Gone of any
// of them is to be forgotten. The cause is ErrAltered if the wall is not whole; the
// code is bad-chain if a signer is not in the chain: fetch that anew and walk once
// more, then it is as good as altered.
func (w *Walk) Take(page Page) ([]Change, error) {
	if w.ended || page.UID != w.chain.UID() {
		return nil, altered("another person's wall, or beyond its end")
	}
	if err := w.takeHead(page); err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(page.Items))
	for _, item := range page.Items {
		if w.seq >= w.head.Seq {
			return nil, altered("goes on behind its head")
		}
		if item.Stub != nil {
			if item.Stub.Seq != w.seq+1 {
				return nil, altered("a gap")
			}
			w.seq, w.hash = item.Stub.Seq, item.Stub.Hash
			w.stubs[w.seq] = true
			continue
		}
		c, err := w.takeChange(*item.Signed)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	if page.More {
		if len(page.Items) == 0 || w.seq >= w.head.Seq {
			return nil, altered("no more where more was promised")
		}
		return changes, nil
	}
	switch {
	case w.seq != w.head.Seq || w.hash != w.head.Hash:
		return nil, altered("does not end at its head")
	case w.head.TS < w.ts:
		return nil, altered("the head is older than the last change")
	case len(w.stubs) > 0:
		return nil, altered("a stub that nothing accounts for")
	}
	w.ended = true
	return changes, nil
}

// takeHead checks the page's head against the one before.
func (w *Walk) takeHead(page Page) error {
	head, err := VerifyHead(page.Head, w.chain)
	if err != nil {
		return distrust(err)
	}
	if head.Seq < w.head.Seq || head.TS < w.head.TS {
		return altered("the head went back")
	}
	w.head = head // that it is of the pinned change, or of one that continues it, shows at the end
	return nil
}

func (w *Walk) takeChange(rec protocol.Signed) (Change, error) {
	c, err := Verify(rec, w.chain)
	if err != nil {
		return c, distrust(err)
	}
	switch {
	case c.Seq != w.seq+1:
		return c, altered("a gap")
	case c.Prev != nil && *c.Prev != w.hash:
		return c, altered("a change does not continue its predecessor")
	case c.TS < w.ts:
		return c, altered("a change is dated before its predecessor")
	}
	w.seq, w.hash, w.ts = c.Seq, c.Hash, c.TS
	for _, seq := range c.Gone {
		delete(w.stubs, seq)
	}
	return c, nil
}

// distrust makes a refusal of what a page holds an alarm; only a chain that may
// be out of date is none yet.
func distrust(err error) error {
	if protocol.CodeOf(err) == protocol.CodeBadChain {
		return err
	}
	return &protocol.Error{Op: "post.Take", Code: protocol.CodeWallConflict, Cause: fmt.Errorf("%w: %w", ErrAltered, err)}
}

func altered(reason string) error {
	return &protocol.Error{Op: "post.Take", Code: protocol.CodeWallConflict, Cause: fmt.Errorf("%w: %s", ErrAltered, reason)}
}
