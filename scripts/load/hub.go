package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
	"github.com/courtyard-social/courtyard/scripts/load/peer"
)

// How the relay and the others are compared: so many connections that send, each to
// one that receives, all in one run, one way after the other, in several rounds. The
// load of the machine then falls on all of them, and the ratio is what counts.
const (
	hubPairs = 64
	hubRate  = 5_000 // messages a second, in the rounds with a fixed rate
	// hubWindow bounds a sender's messages that have not come, at full speed.
	hubWindow = 32
	// hubIdle is how many connections more are opened to see what one costs.
	hubIdle, hubIdleQuick = 1_024, 256
	// hubWithin bounds a round: who cannot keep up has that long.
	hubWithin = 5 * time.Minute
	// hubRest is for acknowledgements that are still under way when the last message has come.
	hubRest = 200 * time.Millisecond
	// hubPatience is how long nothing has come when what is missing was dropped.
	hubPatience = 5 * time.Second
)

var hubHead = []string{"hub", "CPU-s per million at 5,000/s", "p50 / p99, ms", "CPU-s per million, full speed", "messages/s", "KiB per idle connection",
	"Courtyard ÷ it, at 5,000/s", "at full speed", "how"}

// way is one way of passing messages through a server.
type way struct {
	name, how string
	kept      bool
	server    *crowd.Program
	idle      float64 // KiB of one idle connection
	// begin connects everybody for n messages, the i-th of pair i modulo hubPairs.
	begin func(ctx context.Context, n int, came func(n int)) (passage, error)
	paced []hubRound
	full  []hubRound
	fault error // what ended it; the others go on
}

// passage is connections between pairs, ready for numbered messages.
type passage interface {
	send(ctx context.Context, n int) error
	// arrivals are where messages come, and what tells that one of those who read failed.
	arrivals() (*arrivals, <-chan error)
	close() error
}

// hubRound is what a round came to.
type hubRound struct {
	cpu     float64   // seconds of the server per million
	rate    float64   // messages/s
	took    []float64 // ms, from when each was due
	dropped int       // messages, by servers that may
}

// hub compares the relay with other people's servers that pass messages on.
func (b *bench) hub(ctx context.Context) (err error) {
	servers, clients, apart := cores()
	if err := pinSelf(clients); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pinSelf(append(slices.Clone(servers), clients...))) }()
	ways, close, err := b.hubWays(ctx, pinnedTo(servers))
	defer func() { err = errors.Join(err, close()) }()
	if err != nil {
		return err
	}
	rounds, paced, each := 3, 4*hubRate, 550 // a socket's first 600 frames come at full speed
	if b.quick {
		rounds, paced, each = 1, 2*hubRate, 100
	}
	for round := range rounds {
		say("hub: round %d of %d, %s messages/s", round+1, rounds, digits(hubRate))
		for _, w := range ways {
			w.try(ctx, &w.paced, func() (hubRound, error) { return w.atRate(ctx, paced) })
		}
		say("hub: round %d of %d, full speed", round+1, rounds)
		for _, w := range ways {
			w.try(ctx, &w.full, func() (hubRound, error) { return w.atFullSpeed(ctx, hubPairs*each) })
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, w := range ways {
		w.report(&b.hubs, ways)
	}
	b.hubs.add(append([]string{"measured with"}, append(slices.Repeat([]string{""}, len(hubHead)-2),
		fmt.Sprintf("%d pairs of plain connections to 127.0.0.1, no TLS, 300 B each way; median of %d rounds, one server after the other; p50 / p99 counted from when each was due; at full speed %d under way for each sender; %s", hubPairs, rounds, hubWindow, apart))...)...)
	return nil
}

// try plays a round of a way that is still in it.
func (w *way) try(ctx context.Context, into *[]hubRound, play func() (hubRound, error)) {
	if w.fault != nil || ctx.Err() != nil {
		return
	}
	done, err := play()
	if err != nil {
		w.fault = err
		say("hub: %s ends here: %s", w.name, firstLine(err))
		return
	}
	*into = append(*into, done)
}

// hubWays starts all servers; close stops them.
func (b *bench) hubWays(ctx context.Context, pinned []string) (ways []*way, close func() error, err error) {
	var running []interface{ Stop() error }
	close = func() (err error) {
		for _, s := range running {
			err = errors.Join(err, s.Stop())
		}
		return err
	}
	y, err := open(ctx, filepath.Join(b.dir, "hub"), setup{pinned: pinned, noHome: true})
	if err != nil {
		return nil, close, err
	}
	running = append(running, y.relay)
	if ways, err = b.ours(ctx, y); err != nil {
		return nil, close, err
	}
	var missing []string
	for _, kind := range peer.Kinds() {
		if !kind.There() {
			missing = append(missing, kind.Name)
			continue
		}
		say("hub: %s, idle connections", kind.Name)
		server, err := kind.Start(ctx, b.dir, pinned)
		if err != nil {
			ways = append(ways, &way{name: kind.Name, fault: err})
			continue
		}
		running = append(running, server)
		idle, err := b.idleThere(ctx, server)
		if err != nil {
			return nil, close, err
		}
		for _, w := range kind.Ways {
			ways = append(ways, theirs(server, w, idle))
		}
	}
	if len(missing) > 0 {
		say("hub: to compare with %s as well: scripts/bench --peers, as root on Debian, or: apt-get install --no-install-recommends %s", strings.Join(missing, ", "), strings.Join(missing, " "))
	}
	return ways, close, nil
}

// ours are the ways of a relay: letters that it keeps, and those that it only passes on.
func (b *bench) ours(ctx context.Context, y *courtyard) ([]*way, error) {
	say("hub: %d people join", 2*hubPairs)
	writers, err := y.JoinAll(ctx, hubPairs, "writer")
	if err != nil {
		return nil, err
	}
	readers, err := y.JoinAll(ctx, hubPairs, "reader")
	if err != nil {
		return nil, err
	}
	var pairs []pair
	for i, w := range writers {
		if err := w.Befriend(ctx, readers[i]); err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{from: w, to: readers[i]})
	}
	idle, err := b.eachIdle(ctx, y, slices.Concat(writers, readers)[:b.hubIdle()/tabs], b.hubSettle())
	if err != nil {
		return nil, err
	}
	_, _, live, err := letterFor(pairs[0], 1, true)
	if err != nil {
		return nil, err
	}
	_, _, chat, err := letterFor(pairs[0], 1, false)
	if err != nil {
		return nil, err
	}
	begin := func(live bool) func(context.Context, int, func(int)) (passage, error) {
		return func(ctx context.Context, n int, came func(int)) (passage, error) {
			return newExchange(ctx, pairs, n, live, came)
		}
	}
	return []*way{
		{name: "Courtyard, live", how: fmt.Sprintf("`live` letters: sealed, never queued, from contacts alone; a frame of %s B", digits(float64(len(live)))), server: y.relay, idle: idle, begin: begin(true)},
		{name: "Courtyard, letters", how: fmt.Sprintf("sealed, two rows synced to disk before accepted, delivered to both, confirmed by both; a frame of %s B", digits(float64(len(chat)))), kept: true, server: y.relay, idle: idle, begin: begin(false)},
	}, nil
}

// hubSettle is how long a server rests before its memory is looked at.
func (b *bench) hubSettle() time.Duration {
	if b.quick {
		return time.Second
	}
	return 5 * time.Second
}

func (b *bench) hubIdle() int {
	if b.quick {
		return hubIdleQuick
	}
	return hubIdle
}

// idleThere is what one idle connection adds to a peer's memory, KiB.
func (b *bench) idleThere(ctx context.Context, server *peer.Server) (kib float64, err error) {
	if err := idleFor(ctx, b.hubSettle()); err != nil {
		return 0, err
	}
	before, err := server.Memory()
	if err != nil {
		return 0, err
	}
	var open []peer.Client
	defer func() {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
	}()
	for i := range b.hubIdle() {
		c, err := server.Dial(ctx, server.Kind.Ways[0], i, true)
		if err != nil {
			return 0, err
		}
		open = append(open, c)
	}
	if err := idleFor(ctx, b.hubSettle()); err != nil {
		return 0, err
	}
	after, err := server.Memory()
	return (after.Own - before.Own) / float64(len(open)) / 1024, err
}

// atRate sends n messages at the fixed rate.
func (w *way) atRate(ctx context.Context, n int) (hubRound, error) {
	steady := pacer{}
	r, at, err := w.round(ctx, n, nil, func(ctx context.Context, p passage) error {
		steady = pace(hubRate)
		return steady.run(ctx, n, func(k int) error { return p.send(ctx, k) })
	})
	if err == nil {
		r.took = at.took(steady.due)
	}
	return r, err
}

// atFullSpeed lets each sender have as many messages under way as the window allows.
func (w *way) atFullSpeed(ctx context.Context, n int) (hubRound, error) {
	var windows [hubPairs]chan struct{}
	for i := range windows {
		windows[i] = make(chan struct{}, hubWindow)
	}
	came := func(n int) { <-windows[n%hubPairs] }
	r, _, err := w.round(ctx, n, came, func(ctx context.Context, p passage) error {
		ends := make(chan error, hubPairs)
		for i := range hubPairs {
			go func() {
				for k := i; k < n; k += hubPairs {
					select {
					case windows[i] <- struct{}{}:
					case <-ctx.Done():
						ends <- ctx.Err()
						return
					}
					if err := p.send(ctx, k); err != nil {
						ends <- err
						return
					}
				}
				ends <- nil
			}()
		}
		var err error
		for range hubPairs {
			err = errors.Join(err, <-ends)
		}
		return err
	})
	return r, err
}

// round connects everybody anew, sends, waits for all, and says what it took.
func (w *way) round(ctx context.Context, n int, came func(int), send func(context.Context, passage) error) (r hubRound, at *arrivals, err error) {
	ctx, stop := context.WithTimeout(ctx, hubWithin)
	defer stop()
	p, err := w.begin(ctx, n, came)
	if err != nil {
		return r, nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	before, err := processor(w.server.PID())
	if err != nil {
		return r, nil, err
	}
	began := clock()
	if err := send(ctx, p); err != nil {
		return r, nil, err
	}
	at, broken := p.arrivals()
	if w.kept {
		err = at.wait(ctx, broken)
	} else {
		r.dropped, err = at.settle(ctx, broken, hubPatience)
	}
	if err != nil {
		return r, nil, err
	}
	r.rate = per(n-r.dropped, at.last()-began)
	if err := idleFor(ctx, hubRest); err != nil {
		return r, nil, err
	}
	after, err := processor(w.server.PID())
	r.cpu = (after - before).Seconds() * 1e6 / float64(n)
	return r, at, err
}

// report adds a line: medians, and how ours of the same kind compares.
func (w *way) report(t *table, ways []*way) {
	like := ways[slices.IndexFunc(ways, func(o *way) bool { return o.kept == w.kept })]
	var took []float64
	how, dropped := w.how, 0
	for _, r := range w.paced {
		took = append(took, r.took...)
		dropped += r.dropped
	}
	if w.fault != nil {
		how = strings.TrimPrefix(how+"; after this not measured: "+firstLine(w.fault), "; ")
	}
	if dropped > 0 {
		how += fmt.Sprintf("; %s of %s dropped at the fixed rate", digits(float64(dropped)), digits(float64(dropped+len(took))))
	}
	ratio := func(ours, its []hubRound) string {
		if like == w {
			return ""
		}
		var ratios []float64
		for i := range min(len(ours), len(its)) { // of the same round, when the machine had the same to do
			ratios = append(ratios, ours[i].cpu/its[i].cpu)
		}
		return digits(median(ratios))
	}
	cpu := func(r hubRound) float64 { return r.cpu }
	t.add(w.name, digits(median(each(w.paced, cpu))), digits(quantile(took, 0.5))+" / "+digits(quantile(took, 0.99)),
		digits(median(each(w.full, cpu))), digits(median(each(w.full, func(r hubRound) float64 { return r.rate }))),
		digits(w.idle), ratio(like.paced, w.paced), ratio(like.full, w.full), how)
}

func each(rounds []hubRound, what func(hubRound) float64) (out []float64) {
	for _, r := range rounds {
		out = append(out, what(r))
	}
	return out
}
