package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// What is played: so many people write, each from one browser on one socket, to
// so many others. A socket's first 600 frames are read at full speed, which is
// why there are many senders and each round has sockets of its own; no limit of
// section 12 is touched.
const (
	senders = 64
	readers = 8
	friends = 16 // of one person
)

// play is one way of writing to each other.
type play struct {
	what string
	from []*crowd.Person
	to   []*crowd.Person
	home bool // the readers have one, and it answers
	each int  // letters of each sender and round
	done []outcome
}

// letters measures real sealed letters through the real programs.
func (b *bench) letters(ctx context.Context) (err error) {
	y, err := open(ctx, filepath.Join(b.dir, "letters"), setup{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, y.close()) }()
	say("letters: %d people join, %d of them with a home", senders+2*readers, readers)
	writers, err := y.JoinAll(ctx, senders, "writer")
	if err != nil {
		return err
	}
	household, err := y.JoinAll(ctx, readers, "resident")
	if err != nil {
		return err
	}
	homeless, err := y.JoinAll(ctx, readers, "homeless")
	if err != nil {
		return err
	}
	for i, w := range writers {
		to := []*crowd.Person{household[i%readers], homeless[i%readers]}
		if i < friends && i%readers != 0 {
			to = append(to, household[0])
		}
		for _, f := range to {
			if err := w.Befriend(ctx, f); err != nil {
				return err
			}
		}
	}
	for _, p := range household {
		if err := y.Pair(ctx, p); err != nil {
			return err
		}
	}
	each, few, rounds := 150, 300, 3
	if b.quick {
		each, few, rounds = 40, 60, 1
	}
	// Everybody meets once before: chains are fetched, statements prepared.
	for _, to := range [][]*crowd.Person{household, homeless} {
		if _, err := y.converse(ctx, writers, to, conversation{each: 3, homes: to[0] == household[0]}); err != nil {
			return err
		}
	}
	// The homes have been at work for a while: their newest keys are there.
	for _, p := range household {
		if err := p.Learn(ctx); err != nil {
			return err
		}
	}
	const alone = 20
	single, err := y.converse(ctx, writers[:1], household[:1], conversation{each: alone, homes: true, patient: true})
	if err != nil {
		return err
	}
	b.table.add("one letter at a time, until accepted", digits(median(single.accepted)), "ms", fmt.Sprintf("median of %d: put, synced to disk, answered", alone))
	b.table.add("one letter at a time, until the home's receipt", digits(median(single.receipted)), "ms", "the same letters: delivered, opened, synced at home; receipt sealed, queued, delivered, opened")

	plays := []*play{
		{what: fmt.Sprintf("%d people at one home", readers), from: writers, to: household, home: true, each: each},
		{what: "one person at one home", from: writers[:friends], to: household[:1], home: true, each: few},
		{what: "relay alone, readers without a home", from: writers, to: homeless, each: each},
	}
	for round := range rounds {
		for _, p := range plays {
			done, err := y.converse(ctx, p.from, p.to, conversation{each: p.each, homes: p.home})
			if err != nil {
				return fmt.Errorf("%s: %w", p.what, err)
			}
			p.done = append(p.done, done)
			say("letters: round %d of %d, %s: %s letters/s", round+1, rounds, p.what, digits(done.rate()))
		}
	}
	for _, p := range plays {
		b.report(p, rounds)
	}
	return nil
}

// report adds what a play came to.
func (b *bench) report(p *play, rounds int) {
	of := func(what func(outcome) float64) []float64 {
		var out []float64
		for _, o := range p.done {
			out = append(out, what(o))
		}
		return out
	}
	rates := of(outcome.rate)
	how := fmt.Sprintf("%d senders × %d letters of 300 B, put for both sides, all accepted", len(p.from), p.each)
	if p.home {
		how += ", committed, confirmed and receipted by the home"
	}
	if rounds > 1 {
		how += fmt.Sprintf("; median of %d rounds, %s", rounds, spread(rates))
	}
	b.table.figure("letters, "+p.what, median(rates), "letters/s", how)
	if p.home {
		b.table.figure("the same, until accepted", median(of(func(o outcome) float64 { return per(o.letters, o.lastAccepted) })), "letters/s", "what the relay took while the home was at work")
	}
	b.table.figure("the same, relay", median(of(func(o outcome) float64 { return o.perMillion(o.relay) })), "CPU-s per million", "user and system")
	if p.home {
		b.table.figure("the same, home", median(of(func(o outcome) float64 { return o.perMillion(o.home) })), "CPU-s per million", "likewise")
	}
	share := func(what func(outcome) time.Duration) string {
		return fmt.Sprintf("%.0f", 100*median(of(func(o outcome) float64 { return float64(what(o)) / float64(o.took()) })))
	}
	b.table.add("the same, what bounds it", strings.Join([]string{
		share(func(o outcome) time.Duration { return o.relay }), share(func(o outcome) time.Duration { return o.home }),
		share(func(o outcome) time.Duration { return o.self }), share(func(o outcome) time.Duration { return o.others() }),
	}, " / "), "% of a core", fmt.Sprintf("relay / home / this generator / everybody else here, of %d; where that leaves cores idle, waiting bounds it", runtime.NumCPU()*100))
}

// outcome is what a conversation took.
type outcome struct {
	letters                                    int
	lastAccepted, lastReceipted, lastConfirmed time.Duration // since the first put
	accepted, receipted                        []float64     // ms, of each letter that was alone
	relay, home, self, all                     time.Duration // of processors
}

func (o outcome) took() time.Duration { return max(o.lastAccepted, o.lastReceipted, o.lastConfirmed) }
func (o outcome) rate() float64       { return per(o.letters, o.took()) }
func (o outcome) others() time.Duration {
	return max(0, o.all-o.relay-o.home-o.self)
}
func (o outcome) perMillion(spent time.Duration) float64 {
	return spent.Seconds() * 1e6 / float64(o.letters)
}

func per(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

// spent is what processors have done so far, for the courtyard's programs, this
// one and all.
func (y *courtyard) spent() (o outcome, err error) {
	if o.relay, err = processor(y.relay.PID()); err != nil {
		return o, err
	}
	if y.home != nil {
		if o.home, err = processor(y.home.PID()); err != nil {
			return o, err
		}
	}
	if o.all, err = busy(); err != nil {
		return o, err
	}
	var use syscall.Rusage
	err = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	o.self = time.Duration(use.Utime.Nano() + use.Stime.Nano())
	return o, err
}
