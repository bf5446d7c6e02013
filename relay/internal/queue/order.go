package queue

import (
	"sync"

	"github.com/courtyard-social/courtyard/protocol"
)

// Order keeps what one link brings for each person in the order of its numbers
// (section 14): after a refusal that may change, everything later for the same
// person is refused likewise until that number comes again. A letter that is dated
// ahead holds up nobody's. Safe for use by several goroutines.
type Order struct {
	mu   sync.Mutex
	held map[protocol.UID]hold // guarded by mu; at most maxHeld
}

type hold struct {
	n    int64
	code string
}

// maxHeld bounds the people held up on one link. Beyond it the link has to begin
// anew, which forgets all of them.
const maxHeld = 10_000

// Lasting reports whether a refusal with this code will never change, so that
// the sender gets the letter back.
func Lasting(code string) bool {
	switch code {
	case protocol.CodeNotContact, protocol.CodeRequestWaiting, protocol.CodeBadRequest, protocol.CodeTooLarge,
		protocol.CodeIDReused, protocol.CodeNotAllowed, protocol.CodeVersion:
		return true
	}
	return false
}

// before is the refusal that stands in the way of number n for owner, nil for none.
func (o *Order) before(owner protocol.UID, n int64) error {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if h, ok := o.held[owner]; ok && n > h.n {
		return &protocol.Error{Op: "queue.Order", Code: h.code}
	}
	return nil
}

// After notes what became of number n for owner.
func (o *Order) After(owner protocol.UID, n int64, err error) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	h, ok := o.held[owner]
	code := protocol.CodeOf(err)
	switch {
	case err != nil && !Lasting(code) && code != protocol.CodeClockAhead:
		if (!ok || n < h.n) && len(o.held) < maxHeld {
			if o.held == nil {
				o.held = map[protocol.UID]hold{}
			}
			o.held[owner] = hold{n, code}
		}
	case ok && n == h.n:
		delete(o.held, owner)
	}
}
