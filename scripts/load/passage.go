package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/courtyard-social/courtyard/scripts/load/peer"
)

func (x *exchange) arrivals() (*arrivals, <-chan error) { return x.delivered, x.broken }

// theirs is a way through somebody else's server.
func theirs(server *peer.Server, w peer.Way, idle float64) *way {
	return &way{name: fmt.Sprintf("%s %s, %s", server.Kind.Name, server.Version, w.Name), how: w.How, kept: w.Kept, server: server.Program, idle: idle,
		begin: func(ctx context.Context, n int, came func(int)) (passage, error) {
			return newRelayed(ctx, server, w, n, came)
		}}
}

// relayed is a passage through a peer.
type relayed struct {
	senders, receivers []peer.Client
	came               *arrivals
	broken             chan error
	all                sync.WaitGroup
}

// digitsOfNumber is how many bytes of a body say which it is.
const digitsOfNumber = 8

func newRelayed(ctx context.Context, server *peer.Server, w peer.Way, n int, came func(int)) (r *relayed, err error) {
	r = &relayed{came: newArrivals("delivered", n, n, came), broken: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	for i := range hubPairs {
		receiver, err := server.Dial(ctx, w, i, true)
		if err != nil {
			return r, err
		}
		r.receivers = append(r.receivers, receiver)
		sender, err := server.Dial(ctx, w, i, false)
		if err != nil {
			return r, err
		}
		r.senders = append(r.senders, sender)
		r.read(receiver, func(body []byte) error {
			n, err := strconv.Atoi(string(body[:min(len(body), digitsOfNumber)]))
			if err != nil || n < 0 || n >= len(r.came.at) || len(body) != len(text) {
				return fmt.Errorf("not a message of ours: %q", body)
			}
			r.came.mark(n)
			return nil
		})
		// Acknowledgements, if there are any.
		r.read(sender, func([]byte) error { return nil })
	}
	return r, nil
}

// read takes what comes until the connection is closed.
func (r *relayed) read(c peer.Client, take func([]byte) error) {
	r.all.Go(func() {
		for {
			body, err := c.Receive()
			if err == nil {
				err = take(body)
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				select {
				case r.broken <- err:
				default: // one is enough
				}
				return
			}
		}
	})
}

func (r *relayed) send(_ context.Context, n int) error {
	body := make([]byte, 0, 512)
	body = append(fmt.Appendf(body, "%0*d", digitsOfNumber, n), text[digitsOfNumber:]...)
	return r.senders[n%len(r.senders)].Send(n%len(r.senders), body)
}

func (r *relayed) arrivals() (*arrivals, <-chan error) { return r.came, r.broken }

func (r *relayed) close() (err error) {
	for _, c := range append(r.senders, r.receivers...) {
		err = errors.Join(err, c.Close())
	}
	r.all.Wait()
	return err
}
