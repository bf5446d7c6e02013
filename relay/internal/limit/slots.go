package limit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// Slots bounds how many large things are held in memory at once, for everybody
// and for each key, so that one of them cannot have them all. Those beyond wait
// a little. Safe for use by several goroutines.
type Slots struct {
	each int
	wait time.Duration
	all  chan struct{}

	mu   sync.Mutex
	held map[string]*share // guarded by mu; as many as there are takers and those who wait
}

type share struct {
	slots chan struct{}
	users int // guarded by Slots.mu: who holds a slot or waits for one
}

// NewSlots makes all slots, each of them for one key; who waits longer than wait is refused.
func NewSlots(all, each int, wait time.Duration) *Slots {
	return &Slots{each: each, wait: wait, all: make(chan struct{}, all), held: map[string]*share{}}
}

// Take takes a slot for key; give, called once, gives it back. It waits until
// ctx ends, or as long as NewSlots was told. Codes: rate-limited if the key's
// slots stay taken, unavailable if all are (both with params wait: ms).
func (s *Slots) Take(ctx context.Context, key string) (give func(), err error) {
	const op = "limit.Take"
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	again := map[string]any{"wait": s.wait.Milliseconds()}
	mine := s.join(key)
	select {
	case mine.slots <- struct{}{}:
	case <-ctx.Done():
		s.leave(key, mine)
		return nil, &protocol.Error{Op: op, Code: protocol.CodeRateLimited, Params: again}
	}
	select {
	case s.all <- struct{}{}:
	case <-ctx.Done():
		<-mine.slots
		s.leave(key, mine)
		return nil, &protocol.Error{Op: op, Code: protocol.CodeUnavailable, Params: again, Cause: errors.New("too many large requests at once")}
	}
	return func() {
		<-s.all
		<-mine.slots
		s.leave(key, mine)
	}, nil
}

func (s *Slots) join(key string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.held[key]
	if mine == nil {
		mine = &share{slots: make(chan struct{}, s.each)}
		s.held[key] = mine
	}
	mine.users++
	return mine
}

func (s *Slots) leave(key string, mine *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(s.held, key)
	}
}
