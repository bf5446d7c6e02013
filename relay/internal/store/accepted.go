package store

import (
	"sync"

	"github.com/courtyard-social/courtyard/protocol"
)

// mostAccepted bounds what is remembered, in pairs of people; about a megabyte.
const mostAccepted = 10_000

// acceptance is a question: does owner take letters of sender?
type acceptance struct{ owner, sender protocol.UID }

// accepted remembers who takes letters of whom: every live one asks, and contacts
// change seldom. Whoever asks after a change of contacts has been answered for hears
// of it. Safe for use by several goroutines.
type accepted struct {
	mu    sync.RWMutex
	turn  uint64              // guarded by mu; counts changes
	known map[acceptance]bool // guarded by mu
}

// look returns the answer if it is known, and the turn for keep.
func (a *accepted) look(q acceptance) (yes, known bool, turn uint64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	yes, known = a.known[q]
	return yes, known, a.turn
}

// keep remembers what was read after look, unless contacts have changed since.
func (a *accepted) keep(q acceptance, yes bool, turn uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case turn != a.turn:
		return
	case a.known == nil || len(a.known) >= mostAccepted:
		a.known = map[acceptance]bool{}
	}
	a.known[q] = yes
}

// forget is called after every change of contacts.
func (a *accepted) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn++
	a.known = nil
}
