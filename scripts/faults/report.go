package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// weigh looks at the memory of all programs until ctx ends.
func (t *town) weigh(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		t.weighOnce()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (t *town) weighOnce() {
	relays, homes := t.machines()
	for _, m := range slices.Concat(relays, homes) {
		m.weigh()
	}
}

// tell prints a line now and then.
func (t *town) tell(ctx context.Context, began time.Time, phones []*phone) {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var now []string
		open := map[int64]string{}
		sealed, accepted, faults := 0, 0, 0
		for _, e := range t.history.all() {
			switch e.What {
			case wasFault:
				open[e.N] = e.Note
				faults++
			case wasHealed:
				delete(open, e.N)
			case wasSealed:
				sealed++
			case wasAccepted:
				accepted++
			}
		}
		for _, n := range slices.Sorted(maps.Keys(open)) {
			now = append(now, open[n])
		}
		fmt.Printf("%4.0f s  %d letters, %d accepted, %d faults; now: %s\n", time.Since(began).Seconds(), sealed, accepted, faults, cmp.Or(strings.Join(now, ", "), "none"))
	}
}

// report prints the figures.
func report(e ending, p plan) {
	kinds := map[string]int{}
	for _, f := range p.Faults {
		kinds[f.Kind]++
	}
	var line []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		line = append(line, fmt.Sprintf("%s %d", kind, kinds[kind]))
	}
	fmt.Printf("faults: %s\n", strings.Join(line, ", "))
	n, round := map[string]int{}, 0
	for _, h := range e.History {
		n[h.What]++
		if h.What == wasTold && h.Type == "carried" && !strings.Contains(h.Note, `"by":""`) {
			round++
		}
	}
	shelved, ticks := 0, 0
	for _, s := range e.Shelves {
		shelved, ticks = shelved+len(s.Rows), ticks+len(s.Ticks)
	}
	fmt.Printf("letters: %d sealed, %d put, %d accepted, %d refused for now, %d returned; %d known to have gone by way of a third courtyard; %d rows delivered, %d in the end, %d receipts\n",
		n[wasSealed], n[wasPut], n[wasAccepted], n[wasRefused], n[wasReturned], round, n[wasDelivered], shelved, ticks)
	delay, of := longestDelay(e)
	fmt.Printf("longest from accepted to delivered: %v, %s\n", delay, of)
	line = nil
	for _, who := range slices.Sorted(maps.Keys(e.Peaks)) {
		line = append(line, fmt.Sprintf("%s %.0f", who, e.Peaks[who]/(1<<20)))
	}
	fmt.Printf("peak memory, MiB: %s; at most %d\n", strings.Join(line, ", "), peakMost>>20)
}

// longestDelay is of letters to those whose rows all pass their phone.
func longestDelay(e ending) (longest time.Duration, of string) {
	accepted, homeless := map[protocol.ID]entry{}, map[string]bool{}
	for _, s := range e.Shelves {
		homeless[s.Who] = !s.Home
	}
	for _, h := range e.History {
		switch h.What {
		case wasAccepted:
			accepted[h.Env] = h
		case wasDelivered:
			a, ok := accepted[h.Env]
			if ok && homeless[h.Who] && a.To == h.Who {
				delete(accepted, h.Env) // only the first time
				if d := time.Duration(h.T-a.T) * time.Millisecond; d > longest {
					longest, of = d, letterOf(a)
				}
			}
		}
	}
	return longest, of
}

// mostShown bounds what is printed of one broken promise; the history has all.
const mostShown = 8

// verdict prints what was kept and what was not; the last line counts.
func verdict(promises []promise) (failed int) {
	for _, p := range promises {
		if len(p.Broken) == 0 {
			fmt.Println("ok      ", p.What)
			continue
		}
		failed++
		fmt.Printf("BROKEN   %s: %d times\n", p.What, len(p.Broken))
		for _, b := range p.Broken[:min(len(p.Broken), mostShown)] {
			fmt.Println("         ", b)
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(promises)-failed, failed)
	return failed
}
