// Package pairing is a mailbox of four compartments through which an app and a
// new home find each other (section 10). What lies in it is MACed by the two
// ends under a code that the relay does not know.
//
// Everything is in memory and gone after ten minutes. It must never hand a
// compartment's first content over to a second writer.
package pairing

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

const (
	life    = 10 * time.Minute
	longest = 25 * time.Second // a GET waits so long
	// mostBoxes and mostBytes bound all boxes and what lies in them,
	// boxesPerAddress the boxes that one address has opened; when full, nothing
	// more is taken and the caller is told. Many boxes, so that a few addresses
	// cannot stop everybody's pairing.
	mostBoxes       = 4096
	mostBytes       = 16 << 20
	boxesPerAddress = 16
	// waitersPerAddress bounds the GETs that wait: a home's several household
	// codes, and a few homes behind one router.
	waitersPerAddress = 64
)

var names = map[string]int{"a1": 0, "n1": 1, "a2": 2, "n2": 3}

// maxMessage bounds a message by its part: a2 carries the bundle, the others
// are keys and MACs of 32 to 128 bytes.
var maxMessage = [4]int64{1 << 10, 1 << 10, 8 << 10, 1 << 10}

type box struct {
	opened  time.Time
	address string
	parts   [4][]byte
}

// waiting is what several GETs on one box share: filled is closed and replaced
// by every message, and the struct goes with the last of them.
type waiting struct {
	filled chan struct{}
	count  int
}

// Boxes is the room of mailboxes. Safe for use by several goroutines.
type Boxes struct {
	now     func() time.Time
	stopped <-chan struct{} // ends all waiting

	mu      sync.Mutex // all below
	boxes   map[protocol.ID]*box
	order   []protocol.ID  // of the boxes, as they were opened
	bytes   int            // in all of them
	opened  map[string]int // boxes by address
	waits   map[protocol.ID]*waiting
	waiters map[string]int
}

// New makes the room; stopped is closed when the relay stops.
func New(now func() time.Time, stopped <-chan struct{}) *Boxes {
	return &Boxes{
		now: now, stopped: stopped, boxes: map[protocol.ID]*box{}, opened: map[string]int{},
		waits: map[protocol.ID]*waiting{}, waiters: map[string]int{},
	}
}

// Routes are the calls of section 12 about pairing.
func (b *Boxes) Routes() []gate.Route {
	routes := []gate.Route{}
	for name := range names {
		path := "/api/1/pair/:box/" + name
		part := names[name]
		routes = append(routes,
			gate.Route{Method: http.MethodPut, Path: path, PerAddress: limit.Rate{N: 60, Per: time.Minute}, Handle: func(c *gate.Call) error { return b.put(c, part) }},
			gate.Route{Method: http.MethodGet, Path: path, PerAddress: limit.Rate{N: 240, Per: time.Minute}, Patience: longest + 20*time.Second, Handle: func(c *gate.Call) error { return b.get(c, part) }})
	}
	return routes
}

func (b *Boxes) put(call *gate.Call, part int) error {
	id, err := call.ID("box", protocol.CodeBadRequest)
	if err != nil {
		return err
	}
	raw, err := call.Raw(maxMessage[part])
	if err != nil {
		return err
	}
	if err := b.Put(id, part, call.Address(), raw); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

// Put lays a message into a part of a box. The same again is fine. Codes:
// bad-request, pair-used, and rate-limited or unavailable (params wait: ms) when
// the address has no box, or the relay no box or no memory, left.
func (b *Boxes) Put(id protocol.ID, part int, address string, raw []byte) error {
	const op = "pairing.Put"
	if len(raw) == 0 {
		return protocol.Refuse(op, protocol.CodeBadRequest, "empty")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep()
	it := b.boxes[id]
	if it != nil && it.parts[part] != nil {
		if bytes.Equal(it.parts[part], raw) {
			return nil
		}
		return &protocol.Error{Op: op, Code: protocol.CodePairUsed}
	}
	wait := map[string]any{"wait": int64(life / time.Millisecond)}
	if it == nil && b.opened[address] >= boxesPerAddress {
		return &protocol.Error{Op: op, Code: protocol.CodeRateLimited, Params: wait}
	}
	if it == nil && len(b.boxes) >= mostBoxes || b.bytes+len(raw) > mostBytes {
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable, Params: wait, Cause: errors.New("all mailboxes are in use")}
	}
	if it == nil {
		it = &box{opened: b.now(), address: address}
		b.boxes[id] = it
		b.order = append(b.order, id)
		b.opened[address]++
	}
	it.parts[part] = bytes.Clone(raw) // no longer than it is: the bytes are counted
	b.bytes += len(raw)
	if w := b.waits[id]; w != nil {
		close(w.filled)
		w.filled = make(chan struct{})
	}
	return nil
}

// sweep forgets the boxes that are too old; they are in the order of their age.
func (b *Boxes) sweep() {
	now := b.now()
	for len(b.order) > 0 {
		id := b.order[0]
		it := b.boxes[id]
		if now.Sub(it.opened) < life {
			return
		}
		b.order = b.order[1:]
		delete(b.boxes, id)
		for _, part := range it.parts {
			b.bytes -= len(part)
		}
		if b.opened[it.address]--; b.opened[it.address] == 0 {
			delete(b.opened, it.address)
		}
	}
}

func (b *Boxes) get(call *gate.Call, part int) error {
	id, err := call.ID("box", protocol.CodeBadRequest)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(call.Context(), longest)
	defer cancel()
	raw, err := b.Get(ctx, id, part, call.Address())
	if err != nil {
		return err
	}
	return call.Bytes(raw)
}

// Get waits for a message until ctx ends. It stays for others who ask. Codes:
// pair-empty, rate-limited.
func (b *Boxes) Get(ctx context.Context, id protocol.ID, part int, address string) ([]byte, error) {
	const op = "pairing.Get"
	b.mu.Lock()
	if b.waiters[address] >= waitersPerAddress {
		b.mu.Unlock()
		return nil, &protocol.Error{Op: op, Code: protocol.CodeRateLimited, Params: map[string]any{"wait": int64(longest / time.Millisecond)}}
	}
	b.waiters[address]++
	w := b.waits[id]
	if w == nil {
		w = &waiting{filled: make(chan struct{})}
		b.waits[id] = w
	}
	w.count++
	defer func() {
		if w.count--; w.count == 0 {
			delete(b.waits, id)
		}
		if b.waiters[address]--; b.waiters[address] == 0 {
			delete(b.waiters, address)
		}
		b.mu.Unlock()
	}()
	for { // mu is held at the top of the loop
		b.sweep()
		if it := b.boxes[id]; it != nil && it.parts[part] != nil {
			return it.parts[part], nil
		}
		filled := w.filled
		b.mu.Unlock()
		var over bool
		select {
		case <-filled:
		case <-ctx.Done():
			over = true
		case <-b.stopped:
			over = true
		}
		b.mu.Lock()
		if over {
			return nil, &protocol.Error{Op: op, Code: protocol.CodePairEmpty}
		}
	}
}
