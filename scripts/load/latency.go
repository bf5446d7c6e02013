package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

const (
	// moderate is how many letters a second people write in all: far more than a
	// courtyard of friends does, and far less than it could take.
	moderate = 200
	// apart is how many pairs of people write; a half of the readers have a home. Then
	// no socket sends more than its first 600 frames, a home's receipts included.
	apart = 16
)

// latency is how long letters take at a moderate rate, within one relay and across two.
func (b *bench) latency(ctx context.Context) (err error) {
	n, rounds := moderate*20, 2
	if b.quick {
		n, rounds = moderate*5, 1
	}
	here, err := open(ctx, filepath.Join(b.dir, "latency"), setup{flags: []string{"--reach", "127.0.0.0/8"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, here.close()) }()
	there, err := open(ctx, filepath.Join(b.dir, "elsewhere"), setup{listen: "127.0.0.2", flags: []string{"--reach", "127.0.0.0/8"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.close()) }()
	places := []*place{{name: "one relay"}, {name: "across two relays"}}
	for i, at := range []*courtyard{here, there} {
		if places[i].pairs, err = pairs(ctx, here, at, fmt.Sprintf("writer%d-", i+1)); err != nil {
			return err
		}
		if err := places[i].meet(ctx); err != nil {
			return err
		}
	}
	for round := range rounds {
		for _, p := range places {
			say("latency: round %d of %d, %s", round+1, rounds, p.name)
			if err := p.play(ctx, n); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	for _, p := range places {
		p.report(&b.table, rounds)
	}
	return nil
}

// place is where pairs live, and what their letters took, ms.
type place struct {
	name                                   string
	pairs                                  []pair
	accepted, delivered, receipted, onward []float64
}

// pairs are people of one courtyard who write to people of one, perhaps another.
func pairs(ctx context.Context, from, to *courtyard, called string) (all []pair, err error) {
	writers, err := from.JoinAll(ctx, apart, called)
	if err != nil {
		return nil, err
	}
	readers, err := to.JoinAll(ctx, apart, "reader")
	if err != nil {
		return nil, err
	}
	for i, w := range writers {
		if err := w.Befriend(ctx, readers[i]); err != nil {
			return nil, err
		}
		p := pair{from: w, to: readers[i], home: i%2 == 1}
		if p.home {
			if err := to.Pair(ctx, p.to); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	return all, nil
}

// meet sends a letter of each, so that chains are fetched and links are open.
func (p *place) meet(ctx context.Context) error {
	if err := (&place{pairs: p.pairs}).play(ctx, 2*apart); err != nil {
		return err
	}
	for _, q := range p.pairs {
		if q.home {
			if err := q.to.Learn(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// play sends n letters at the moderate rate and waits for what is due.
func (p *place) play(ctx context.Context, n int) (err error) {
	ctx, stop := context.WithTimeout(ctx, enough)
	defer stop()
	x, err := newExchange(ctx, p.pairs, n, false, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	steady := pace(moderate)
	if err := steady.run(ctx, n, func(k int) error { return x.send(ctx, k) }); err != nil {
		return err
	}
	for _, due := range []*arrivals{x.accepted, x.delivered, x.receipted} {
		if err := due.wait(ctx, x.broken); err != nil {
			return err
		}
	}
	p.accepted = append(p.accepted, x.accepted.took(steady.due)...)
	p.delivered = append(p.delivered, x.delivered.took(steady.due)...)
	p.receipted = append(p.receipted, x.receipted.took(steady.due)...)
	p.onward = append(p.onward, x.delivered.took(x.accepted.time)...)
	return nil
}

func (p *place) report(t *table, rounds int) {
	how := fmt.Sprintf("open loop from %d browsers: counted from when each letter was due to be put; of %s letters of 300 B in %d rounds", apart, digits(float64(len(p.accepted))), rounds)
	for _, line := range []struct {
		what string
		took []float64
		how  string
	}{
		{"until accepted", p.accepted, how},
		{"until the friend's browser has it", p.delivered, "likewise, half of them: to friends without a home"},
		{"from accepted until then", p.onward, "likewise; below 0 where the friend has it first"},
		{"until the house: synced at home, its receipt back", p.receipted, "likewise, the other half: to friends with a home"},
	} {
		t.add(fmt.Sprintf("%s, %d letters/s: %s", p.name, moderate, line.what), digits(quantile(line.took, 0.5))+" / "+digits(quantile(line.took, 0.99)), "ms, p50 / p99", line.how)
	}
}
