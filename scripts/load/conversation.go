package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// conversation is how many letters each writer sends, and what for.
type conversation struct {
	each    int
	homes   bool // a receipt is due for each letter, and the relay shall have nothing left
	patient bool // the next letter waits for the receipt of the one before
}

const (
	// underWay bounds a writer's letters that are not accepted yet.
	underWay = 16
	// enough bounds a conversation: what has not come by then never will.
	enough = 5 * time.Minute
	// askEvery is how often the relay is asked whether it holds letters still.
	askEvery = 20 * time.Millisecond
)

var text = strings.Repeat("See you at seven. ", 17)[:300]

// writer is one sender in a conversation.
type writer struct {
	*crowd.Person
	to      *crowd.Person
	socket  *crowd.Socket
	frames  [][]byte
	owed    map[protocol.ID]bool // mids without a receipt yet; the reader's
	slots   chan struct{}
	seen    chan int64   // the highest row that came, for the confirmer
	began   atomic.Int64 // when the last letter was put, ns
	outcome              // accepted and receipted, in patient conversations
}

// progress is shared by the writers of a conversation.
type progress struct {
	began                    time.Time
	accepted, receipted      atomic.Int64
	lastAccepted, lastTicked atomic.Int64 // ns since began
}

// converse lets each writer send letters to one of the readers, and returns when
// everything that is due has come.
func (y *courtyard) converse(ctx context.Context, from, to []*crowd.Person, c conversation) (o outcome, err error) {
	ctx, stop := context.WithTimeout(ctx, enough)
	defer stop()
	writers, err := y.ready(ctx, from, to, c)
	defer func() {
		for _, w := range writers {
			if w.socket != nil {
				err = errors.Join(err, w.socket.Close())
			}
		}
	}()
	if err != nil {
		return o, err
	}
	runtime.GC() // what sealing left behind is not part of it
	before, err := y.spent()
	if err != nil {
		return o, err
	}
	p := &progress{began: time.Now()}
	ends := make(chan error, len(writers))
	for _, w := range writers {
		go func() { ends <- w.run(ctx, c, p) }()
	}
	for range writers {
		if end := <-ends; err == nil && end != nil {
			err = end // what follows from it says no more
			stop()
		}
	}
	if err != nil {
		return o, err
	}
	if c.homes {
		for _, reader := range to {
			if err := drained(ctx, reader, askEvery); err != nil {
				return o, err
			}
		}
		o.lastConfirmed = time.Since(p.began)
	}
	after, err := y.spent()
	o.letters = len(from) * c.each
	o.lastAccepted, o.lastReceipted = time.Duration(p.lastAccepted.Load()), time.Duration(p.lastTicked.Load())
	o.relay, o.home, o.self, o.all = after.relay-before.relay, after.home-before.home, after.self-before.self, after.all-before.all
	for _, w := range writers {
		o.accepted, o.receipted = append(o.accepted, w.accepted...), append(o.receipted, w.receipted...)
	}
	return o, err
}

// drained waits until the relay holds nothing for a reader: the home has
// confirmed all of it.
func drained(ctx context.Context, p *crowd.Person, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		waiting, err := p.Waiting(ctx)
		if err != nil || !waiting {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the home never confirmed everything: %w", ctx.Err())
		}
	}
}

// ready seals all that the writers will send, and then connects them: a socket that
// nobody reads meanwhile would be closed.
func (y *courtyard) ready(ctx context.Context, from, to []*crowd.Person, c conversation) ([]*writer, error) {
	writers := make([]*writer, len(from))
	ends := make(chan error, len(from))
	free := make(chan struct{}, runtime.NumCPU())
	for i, p := range from {
		w := &writer{Person: p, to: to[i%len(to)], owed: map[protocol.ID]bool{}, slots: make(chan struct{}, underWay), seen: make(chan int64, 1)}
		if c.patient {
			w.slots = make(chan struct{}, 1)
		}
		writers[i] = w
		go func() {
			free <- struct{}{}
			defer func() { <-free }()
			ends <- w.prepare(c)
		}()
	}
	var err error
	for range from {
		err = errors.Join(err, <-ends)
	}
	for _, w := range writers {
		if err == nil {
			w.socket, err = w.Connect(ctx)
		}
	}
	return writers, err
}

func (w *writer) prepare(c conversation) error {
	for i := range c.each {
		mid, _, frame, err := letterFor(pair{from: w.Person, to: w.to}, int64(i+1), false)
		if err != nil {
			return err
		}
		w.frames = append(w.frames, frame)
		if c.homes {
			w.owed[mid] = true
		}
	}
	return nil
}

// run sends everything and returns when all that is due has come.
func (w *writer) run(ctx context.Context, c conversation, p *progress) error {
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { confirms(ctx, w.socket, w.seen) })
	all.Go(func() {
		for _, frame := range w.frames {
			select {
			case w.slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			w.began.Store(time.Now().UnixNano())
			if w.socket.Write(ctx, frame) != nil {
				return // the reading side tells how the connection ended
			}
		}
	})
	for left := len(w.frames); left > 0 || len(w.owed) > 0; {
		f, err := w.socket.Read(ctx)
		if err != nil {
			return fmt.Errorf("%s, with %d letters not accepted and %d without a receipt: %w", w.Username, left, len(w.owed), err)
		}
		switch f.Op {
		case "accepted":
			left--
			p.accepted.Add(1)
			p.lastAccepted.Store(int64(time.Since(p.began)))
			if c.patient {
				w.accepted = append(w.accepted, w.since())
			} else {
				<-w.slots
			}
		case "refused":
			return fmt.Errorf("a letter was refused: %s", f.Code)
		case "deliver":
			ticked, err := w.arrived(f)
			if err != nil {
				return err
			}
			if ticked == 0 {
				continue
			}
			p.receipted.Add(int64(ticked))
			p.lastTicked.Store(int64(time.Since(p.began)))
			if c.patient {
				w.receipted = append(w.receipted, w.since())
				<-w.slots
			}
		}
	}
	return nil
}

// since is how long ago the last letter was put, ms.
func (w *writer) since() float64 { return float64(time.Now().UnixNano()-w.began.Load()) / 1e6 }

// arrived takes a row and returns how many of our letters it is a receipt for.
func (w *writer) arrived(f crowd.Frame) (ticked int, err error) {
	select { // only the highest counts
	case <-w.seen:
	default:
	}
	w.seen <- f.N
	mids, err := receiptOf(w.Person, w.to, f.Env)
	for _, mid := range mids {
		if w.owed[mid] {
			delete(w.owed, mid)
			ticked++
		}
	}
	return ticked, err
}
