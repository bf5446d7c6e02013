package main

import (
	"context"
	"fmt"
	"time"
)

// call looks whether voice and picture get through, both ways.
func (l *lab) call(ctx context.Context, r *outcome) error {
	took, err := l.dial(ctx)
	if err != nil {
		return err
	}
	for _, p := range []*person{l.mei, l.tom} {
		if _, err := p.hears(ctx, heard{}); err != nil {
			return err
		}
		got, err := p.goes(ctx, ofCall, l.house(), r.of.toFriend())
		if err != nil {
			return err
		}
		l.equal("call: the picture is seen and the voice heard by "+p.name, got.Heard != nil && got.Heard.Frames > 0 && got.Heard.Energy > 0, true)
		l.equal("call: the way of "+p.name, got.Pair.way(l.house()), r.of.toFriend())
		if p == l.mei {
			l.lent(got, r)
			r.call = fmt.Sprintf("%s %d ms", l.told(got), took.Milliseconds())
		}
	}
	return l.hangUp(ctx)
}

// dial begins a call, and returns how long it took from the answer to a connection.
func (l *lab) dial(ctx context.Context) (time.Duration, error) {
	if err := l.mei.does(ctx, "call", map[string]string{"name": l.tom.name}); err != nil {
		return 0, err
	}
	if err := l.tom.does(ctx, "answer", nil); err != nil {
		return 0, err
	}
	began := time.Now()
	_, err := l.mei.connected(ctx, ofCall, func(peer) bool { return true })
	return time.Since(began), err
}

// hears waits until more has been decoded than before.
func (p *person) hears(ctx context.Context, before heard) (peer, error) {
	return p.connected(ctx, ofCall, func(one peer) bool {
		return one.Heard != nil && one.Heard.Frames > before.Frames && one.Heard.Energy > before.Energy
	})
}

// hangUp ends it on one side, and the other sees that.
func (l *lab) hangUp(ctx context.Context) error {
	if err := l.mei.does(ctx, "hangUp", nil); err != nil {
		return err
	}
	return l.tom.does(ctx, "seesItEnd", nil)
}
