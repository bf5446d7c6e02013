package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// What happens, in a history.
const (
	wasPut       = "put"       // a letter is handed to the own relay
	wasAccepted  = "accepted"  // which answers for it
	wasRefused   = "refused"   // not now, or never
	wasDelivered = "row"       // of the own relay, to a browser
	wasTicked    = "tick"      // a receipt in such a row
	wasReturned  = "returned"  // likewise a letter that came back
	wasTold      = "event"     // the relay tells a browser something
	wasFault     = "fault"     // begins
	wasHealed    = "healed"    // it is over
	wasOnline    = "online"    // a browser is connected
	wasOffline   = "offline"   // it is not any more
	wasStarted   = "started"   // a process
	wasDead      = "dead"      // a process that nobody has ended
	wasSealed    = "sealed"    // a letter is written
	wasTrouble   = "trouble"   // something that may not be, in words
	wasQuiet     = "quiet"     // nothing is on its way any more
	wasUnquiet   = "not quiet" // and never was
)

// entry is one line of the history.
type entry struct {
	T    int64           `json:"t"` // ms
	Who  string          `json:"who"`
	What string          `json:"what"`
	To   string          `json:"to,omitempty"`   // of letters: the reader
	From string          `json:"from,omitempty"` // of rows: the writer
	Mid  protocol.ID     `json:"mid,omitzero"`
	Env  protocol.ID     `json:"env,omitzero"`
	Hash protocol.Hash32 `json:"hash,omitzero"` // of a letter, as receipts name it
	Seq  int64           `json:"seq,omitempty"`
	N    int64           `json:"n,omitempty"` // of rows
	// Clock is what a home sorts by.
	Clock int64  `json:"clock,omitempty"`
	Type  string `json:"type,omitempty"`
	Code  string `json:"code,omitempty"`
	Note  string `json:"note,omitempty"`
}

// history is what happened, in the order in which this process saw it. Safe for
// use by several goroutines.
type history struct {
	mu      sync.Mutex
	file    *os.File
	out     *bufio.Writer // guarded by mu
	err     error         // guarded by mu; the first
	entries []entry       // guarded by mu
}

func newHistory(path string) (*history, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &history{file: f, out: bufio.NewWriter(f)}, nil
}

func (h *history) add(e entry) {
	e.T = time.Now().UnixMilli()
	raw, err := json.Marshal(e)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = append(h.entries, e)
	if err == nil {
		_, err = h.out.Write(append(raw, '\n'))
	}
	if h.err == nil {
		h.err = err
	}
}

// all is what has happened so far.
func (h *history) all() []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[:len(h.entries):len(h.entries)]
}

func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, err := range []error{h.out.Flush(), h.file.Close()} {
		if h.err == nil {
			h.err = err
		}
	}
	return h.err
}
