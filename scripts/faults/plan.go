package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kinds of trouble.
const (
	kill    = "kill"    // SIGKILL, and later another start
	restart = "restart" // SIGTERM likewise
	freeze  = "freeze"  // SIGSTOP, later SIGCONT
	down    = "down"    // the machine's cable is out
	cut     = "cut"     // two relays do not see each other, everybody else sees both
	reset   = "reset"   // every connection of a front ends by RST
	half    = "half"    // every connection of a front ends in one direction
	full    = "full"    // no byte of disk is left
	low     = "low"     // less disk is left than a relay's reserve
	step    = "step"    // a relay's clock is set, and later set right
)

// fault is one trouble of the plan.
type fault struct {
	At     time.Duration `json:"at"`
	For    time.Duration `json:"for"` // 0: it is over at once
	Kind   string        `json:"kind"`
	On     string        `json:"on"` // a machine
	Other  string        `json:"other,omitempty"`
	Side   string        `json:"side,omitempty"`  // of half: front or back
	Ahead  time.Duration `json:"ahead,omitempty"` // of step
	number int
}

func (f fault) String() string {
	s := f.Kind + " " + f.On + f.Other + f.Side
	if f.Ahead != 0 {
		s += " " + f.Ahead.String()
	}
	return s
}

// word is a letter of the plan.
type word struct {
	At       time.Duration
	From, To string // usernames
	Text     string
}

// plan is everything that a seed decides.
type plan struct {
	Faults []fault
	Words  []word
}

const (
	quietStart = 2 * time.Second // everybody says something before trouble begins
	faultEvery = 1200 * time.Millisecond
	wordEvery  = 3 * time.Second // of one person to another
	longest    = 12 * time.Second
	cutTimes   = 5 // of that
)

// group says which faults of one machine exclude each other.
func group(kind string) string {
	switch kind {
	case kill, restart, freeze:
		return "process"
	case full, low:
		return "disk"
	case reset, half:
		return "front"
	}
	return kind
}

// weighted: how often each kind comes; what only relays have comes for them alone.
var weighted = []struct {
	kind   string
	weight int
	homes  bool
}{
	{kill, 5, true}, {restart, 2, true}, {freeze, 3, true}, {down, 3, true}, {cut, 3, false},
	{reset, 3, false}, {half, 3, false}, {full, 2, true}, {low, 2, false}, {step, 3, false},
}

// steps are how far a clock is set.
var steps = []time.Duration{-time.Hour, -20 * time.Minute, -2 * time.Minute, 2 * time.Minute, 20 * time.Minute, time.Hour}

// draw makes the plan of a seed. The same arguments give the same plan.
// only are the kinds of faults that come; none: all.
func draw(seed uint64, length time.Duration, only, relays, homes []string, pairs [][2]string) plan {
	var p plan
	random := rand.New(rand.NewPCG(seed, 1))
	busy := map[string]time.Duration{} // machine and group: until when
	total := 0
	for _, w := range weighted {
		total += w.weight
	}
	all := slices.Concat(relays, homes)
	for at := quietStart; ; {
		at += spread(random, faultEvery)
		if at >= length {
			break
		}
		f := fault{At: at, number: len(p.Faults)}
		pick, homesToo := random.IntN(total), false
		for _, w := range weighted {
			if pick < w.weight {
				f.Kind, homesToo = w.kind, w.homes
				break
			}
			pick -= w.weight
		}
		if homesToo {
			f.On = all[random.IntN(len(all))]
		} else {
			f.On = relays[random.IntN(len(relays))]
		}
		f.For = min(time.Second+time.Duration(random.Int64N(int64(longest-time.Second))), length-at)
		switch f.Kind {
		case reset, half:
			f.For = 0
			f.Side = []string{"front", "back"}[random.IntN(2)]
		case restart:
			f.For = min(f.For, time.Second)
		case step:
			f.Ahead = steps[random.IntN(len(steps))]
		case cut: // long enough that the relay notices, and finds a way round
			f.For = min(cutTimes*f.For, length-at)
			if len(relays) < 2 {
				continue
			}
			at := slices.Index(relays, f.On)
			f.Other = relays[(at+1+random.IntN(len(relays)-1))%len(relays)]
		}
		if len(only) > 0 && !slices.Contains(only, f.Kind) {
			continue
		}
		key := f.On + f.Other + group(f.Kind)
		if busy[key] > at {
			continue
		}
		// A moment between, so that what one does is over before the next.
		busy[key] = at + f.For + time.Second
		p.Faults = append(p.Faults, f)
	}
	for i, pair := range pairs {
		random := rand.New(rand.NewPCG(seed, uint64(i)+2))
		for at := spread(random, wordEvery); at < length; at += spread(random, wordEvery) {
			text := fmt.Sprintf("%s to %s at %s. ", pair[0], pair[1], at.Round(time.Millisecond))
			p.Words = append(p.Words, word{At: at, From: pair[0], To: pair[1], Text: strings.Repeat(text, 1+random.IntN(40))})
		}
		// The last word brings everything behind it along.
		p.Words = append(p.Words, word{At: length, From: pair[0], To: pair[1], Text: "Good night."})
	}
	slices.SortStableFunc(p.Words, func(a, b word) int { return cmp.Compare(a.At, b.At) })
	return p
}

// spread is a pause of that length on average, as of things that happen by chance.
func spread(random *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(random.ExpFloat64()*float64(mean)) + time.Millisecond
}
