package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// pair is somebody who writes to somebody, each from one browser.
type pair struct {
	from, to *crowd.Person
	home     bool // the reader has one: what is due then is its receipt
}

// exchange is numbered letters between pairs, number n the one of pair n modulo
// their count, on sockets that are opened for it. Everything is sealed before the
// first is sent.
type exchange struct {
	pairs     []pair
	writers   []*correspondent
	readers   []*correspondent
	frames    [][]byte
	numbers   map[protocol.ID]int // by envelope
	mids      map[protocol.ID]int
	accepted  *arrivals // by the writer's relay
	delivered *arrivals // to the readers without a home
	receipted *arrivals // by the homes of the others
	broken    chan error
	stop      context.CancelFunc
	all       sync.WaitGroup
}

// correspondent is one end of a pair.
type correspondent struct {
	*crowd.Person
	friend *crowd.Person
	socket *crowd.Socket
	seen   chan int64 // the highest row that came, for the confirmer
}

// newExchange seals n letters, connects everybody, and listens. live: letters that
// no relay keeps, and nobody says accepted. came hears of each that was delivered.
func newExchange(ctx context.Context, pairs []pair, n int, live bool, came func(n int)) (x *exchange, err error) {
	homes := 0
	for i := range n {
		if pairs[i%len(pairs)].home {
			homes++
		}
	}
	x = &exchange{pairs: pairs, frames: make([][]byte, n), numbers: make(map[protocol.ID]int, n), mids: make(map[protocol.ID]int, n), broken: make(chan error, 1),
		accepted: newArrivals("accepted", n, n, nil), delivered: newArrivals("delivered", n, n-homes, came), receipted: newArrivals("receipted", n, homes, nil)}
	ctx, x.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, x.close())
		}
	}()
	if err := x.seal(live); err != nil {
		return x, err
	}
	runtime.GC() // what sealing left behind is not part of it
	if err := x.connect(ctx); err != nil {
		return x, err
	}
	for i, p := range x.pairs {
		x.listen(ctx, x.writers[i], x.writer)
		read := x.reader
		if p.home {
			read = func(*correspondent, crowd.Frame) error { return nil } // its home answers
		}
		x.listen(ctx, x.readers[i], read)
	}
	return x, nil
}

func (x *exchange) connect(ctx context.Context) error {
	for _, p := range x.pairs {
		for _, end := range []struct {
			*crowd.Person
			friend *crowd.Person
			into   *[]*correspondent
		}{{p.from, p.to, &x.writers}, {p.to, p.from, &x.readers}} {
			s, err := end.Connect(ctx)
			if err != nil {
				return err
			}
			*end.into = append(*end.into, &correspondent{Person: end.Person, friend: end.friend, socket: s, seen: make(chan int64, 1)})
		}
	}
	return nil
}

// seal makes all letters, several writers at once, each its own in their order.
func (x *exchange) seal(live bool) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs error
	free := make(chan struct{}, runtime.NumCPU())
	for i, p := range x.pairs {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			for n := i; n < len(x.frames); n += len(x.pairs) {
				mid, e, frame, err := letterFor(p, int64(n/len(x.pairs)+1), live)
				mu.Lock()
				x.frames[n], errs = frame, errors.Join(errs, err)
				if err == nil {
					x.numbers[e.ID], x.mids[mid] = n, n
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errs
}

func letterFor(p pair, seq int64, live bool) (mid protocol.ID, e *protocol.Envelope, frame []byte, err error) {
	if live {
		if e, err = p.from.SealLive(p.to, text); err != nil {
			return mid, nil, nil, err
		}
		return mid, e, fmt.Appendf(nil, `{"op":"put","env":%s}`, e.Marshal()), nil
	}
	if mid, e, err = p.from.Seal(p.to, seq, text); err != nil {
		return mid, nil, nil, err
	}
	return mid, e, fmt.Appendf(nil, `{"op":"put","for":["%s","%s"],"env":%s}`, p.to.UID, p.from.UID, e.Marshal()), nil
}

// send puts letter n.
func (x *exchange) send(ctx context.Context, n int) error {
	return x.writers[n%len(x.writers)].socket.Write(ctx, x.frames[n])
}

// listen reads what comes for somebody, and confirms rows, until the exchange ends.
func (x *exchange) listen(ctx context.Context, c *correspondent, read func(*correspondent, crowd.Frame) error) {
	x.all.Go(func() {
		for {
			f, err := c.socket.Read(ctx)
			if err == nil && f.Op == "refused" {
				err = fmt.Errorf("a letter was refused: %s", f.Code)
			}
			if err == nil {
				err = read(c, f)
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				select {
				case x.broken <- fmt.Errorf("%s: %w", c.Username, err):
				default: // one is enough
				}
				return
			}
			if f.Op == "deliver" {
				select { // only the highest counts
				case <-c.seen:
				default:
				}
				c.seen <- f.N
			}
		}
	})
	x.all.Go(func() { confirms(ctx, c.socket, c.seen) })
}

func (x *exchange) writer(c *correspondent, f crowd.Frame) error {
	switch f.Op {
	case "accepted":
		if n, ok := x.numbers[f.ID]; ok {
			x.accepted.mark(n)
		}
	case "deliver":
		mids, err := receiptOf(c.Person, c.friend, f.Env)
		if err != nil {
			return err
		}
		for _, mid := range mids {
			if n, ok := x.mids[mid]; ok {
				x.receipted.mark(n)
			}
		}
	}
	return nil
}

func (x *exchange) reader(_ *correspondent, f crowd.Frame) error {
	if f.Op != "deliver" && f.Op != "live" {
		return nil
	}
	var e struct {
		ID protocol.ID `json:"id"`
	}
	if err := json.Unmarshal(f.Env, &e); err != nil {
		return err
	}
	if n, ok := x.numbers[e.ID]; ok { // else of another round
		x.delivered.mark(n)
	}
	return nil
}

// close ends all sockets.
func (x *exchange) close() (err error) {
	x.stop()
	for _, c := range append(x.writers, x.readers...) {
		err = errors.Join(err, c.socket.Conn.CloseNow())
	}
	x.all.Wait()
	return err
}

// confirms tells the relay how far somebody is, as an app does once its disk has
// caught up: not for each row.
func confirms(ctx context.Context, s *crowd.Socket, seen <-chan int64) {
	for {
		select {
		case n := <-seen:
			if s.Write(ctx, fmt.Appendf(nil, `{"op":"confirm","n":%d}`, n)) != nil {
				return // the reading side tells how the connection ended
			}
		case <-ctx.Done():
			return
		}
	}
}

// receiptOf returns the mids that a row is a receipt for: those that the home of
// friend has on disk.
func receiptOf(p, friend *crowd.Person, env []byte) (mids []protocol.ID, err error) {
	e, err := protocol.ParseEnvelope(env)
	if err != nil || e.Type != protocol.TypeReceipt || e.From.ID != friend.UID {
		return nil, err
	}
	opened, err := p.Open(e, friend)
	if err != nil {
		return nil, err
	}
	receipt, ok := opened.Body.(message.Home)
	if !ok || opened.Device.Role != ident.RoleHome {
		return nil, fmt.Errorf("instead of a home receipt: %s", opened.Meta.Kind)
	}
	for _, item := range receipt.Items {
		mids = append(mids, item.MID)
	}
	return mids, nil
}
