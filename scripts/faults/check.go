package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
)

// ending is what a run has come to: what was seen on the way and what there is.
type ending struct {
	History []entry
	Shelves []shelf
	Shut    map[string]bool    // who takes letters of nobody
	Peaks   map[string]float64 // memory of each machine's program, bytes
}

// peakMost is how much memory a program may take at most. Idle they take a fifth;
// what is beyond it grows with what waits, and shows a queue without a bound.
const peakMost = 160 << 20

// promise is something that no fault may break, and by what it was broken.
type promise struct {
	What   string
	Broken []string
}

// judge holds the ending against everything that is promised. It looks only at
// its argument, so that a test can show it an ending that is wrong.
func judge(e ending) []promise {
	j := newJudge(e)
	return []promise{
		{"every letter is answered for in the end", j.answered()},
		{"every accepted letter is with its reader and with its writer, once", j.once()},
		{"a writer's letters are in their order", j.order()},
		{"nothing is there that was never sent", j.sent()},
		{"what was refused for good came back, and nothing else did", j.back()},
		{"no receipt without a row of that very hash in the home", j.ticks()},
		{"every letter in a home has its receipt", j.ticked()},
		{"nothing waits at a relay any more", j.waiting()},
		{"no false alarm", j.alarms()},
		{"no program ended by itself", j.ended()},
		{"memory is bounded", j.memory()},
		{"everything became quiet, and nothing strange was seen", j.strange()},
	}
}

// letters are those that were accepted, by envelope id.
type judgement struct {
	ending
	shelves  map[string]shelf
	sealed   map[protocol.ID]entry // by envelope id
	accepted map[protocol.ID]entry
	mids     map[protocol.ID]protocol.ID // envelope id by mid
	// What came back because a clock was ahead, by envelope id. A home seals it again,
	// under another envelope id and the same mid; the phones here do not, as apps would.
	ahead map[protocol.ID]bool
	again map[protocol.ID]entry // what homes have sealed again, by envelope id
}

func newJudge(e ending) *judgement {
	j := &judgement{ending: e, shelves: map[string]shelf{}, sealed: map[protocol.ID]entry{}, accepted: map[protocol.ID]entry{}, mids: map[protocol.ID]protocol.ID{}, ahead: map[protocol.ID]bool{}, again: map[protocol.ID]entry{}}
	for _, s := range e.Shelves {
		j.shelves[s.Who] = s
		for _, a := range s.Again {
			j.again[a.Env] = a
		}
	}
	for _, h := range e.History {
		switch h.What {
		case wasSealed:
			j.sealed[h.Env], j.mids[h.Mid] = h, h.Env
		case wasAccepted:
			j.accepted[h.Env] = h
		}
	}
	for _, h := range e.History {
		if h.What == wasReturned && h.Code == protocol.CodeClockAhead && j.sealed[h.Env].Who == h.Who {
			j.ahead[h.Env] = true
		}
	}
	for _, s := range e.Shelves { // a home takes what its phones, being away, never see
		for _, row := range s.Rows {
			if row.What == wasReturned && row.Code == protocol.CodeClockAhead && j.sealed[row.Env].Who == s.Who {
				j.ahead[row.Env] = true
			}
		}
	}
	return j
}

// original is the envelope id of the letter in a row: of one that its writer's home
// has sealed again, what it was at first.
func (j *judgement) original(row entry) protocol.ID {
	if a, ok := j.again[row.Env]; ok && a.Hash == row.Hash && a.From == row.From {
		return j.mids[a.Mid]
	}
	return row.Env
}

// gaveUp reports whether a letter was dated ahead and came back to somebody without
// a home, of whom nobody here seals it again.
func (j *judgement) gaveUp(e entry) bool { return j.ahead[e.Env] && !j.shelves[e.Who].Home }

func letterOf(e entry) string {
	return fmt.Sprintf("letter %d of %s to %s (envelope %s)", e.Seq, e.Who, e.To, e.Env)
}

func (j *judgement) answered() (broken []string) {
	for id, e := range j.sealed {
		if _, ok := j.accepted[id]; !ok {
			broken = append(broken, letterOf(e)+" was never accepted")
		}
	}
	for _, h := range j.History {
		if h.What == wasRefused && h.Note != "" {
			broken = append(broken, letterOf(h)+" was refused for good: "+h.Code)
		}
	}
	return broken
}

func (j *judgement) once() (broken []string) {
	found := map[string]map[protocol.ID]int{}
	for who, s := range j.shelves {
		found[who] = map[protocol.ID]int{}
		for _, row := range s.Rows {
			if row.What == wasDelivered {
				found[who][j.original(row)]++
			}
		}
	}
	for id, e := range j.accepted {
		if n := found[e.Who][id]; n != 1 {
			broken = append(broken, fmt.Sprintf("%s is %d times with its writer", letterOf(e), n))
		}
		if n := found[e.To][id]; !j.Shut[e.To] && n != 1 && !(j.gaveUp(e) && n == 0) {
			broken = append(broken, fmt.Sprintf("%s is %d times with its reader", letterOf(e), n))
		}
	}
	return broken
}

// order looks at what readers see: a home shows messages by their clocks, since it
// sets aside what it cannot open before it can ask who has written it; without one
// it is the order of the relay's rows. That is also looked at wherever a phone saw it.
// Left out of rows, and of nothing else, is what a home has sealed again.
func (j *judgement) order() (broken []string) {
	look := func(where string, rows []entry, original func(entry) protocol.ID) {
		last := map[string]entry{} // by conversation
		for _, row := range rows {
			e, ok := j.sealed[original(row)]
			if row.What != wasDelivered || !ok {
				continue
			}
			key := e.Who + " to " + e.To
			if before, ok := last[key]; ok && e.Seq <= before.Seq {
				broken = append(broken, fmt.Sprintf("%s: %s comes after %s", where, letterOf(e), letterOf(before)))
			}
			last[key] = e
		}
	}
	asItCame := func(row entry) protocol.ID { return row.Env }
	for who, s := range j.shelves {
		rows, original := slices.Clone(s.Rows), asItCame
		if s.Home {
			original = j.original
			slices.SortStableFunc(rows, func(a, b entry) int {
				return cmp.Or(cmp.Compare(a.Clock, b.Clock), bytes.Compare(a.Mid[:], b.Mid[:]))
			})
		}
		look("with "+who, rows, original)
	}
	seen := map[string]map[int64]entry{} // by whose queue and row: what was delivered again is the same row
	for _, h := range j.History {
		if h.What != wasDelivered {
			continue
		}
		if seen[h.Who] == nil {
			seen[h.Who] = map[int64]entry{}
		}
		if before, ok := seen[h.Who][h.N]; ok && before.Env != h.Env {
			broken = append(broken, fmt.Sprintf("row %d of %s is one letter and then another", h.N, h.Who))
		}
		seen[h.Who][h.N] = h
	}
	for who, rows := range seen {
		// A relay that never heard that another one has a letter sends it again, after the
		// home may have taken it: what counts is when it came first.
		var sorted []entry
		known := map[protocol.ID]bool{}
		for _, n := range slices.Sorted(maps.Keys(rows)) {
			if !known[rows[n].Env] {
				sorted = append(sorted, rows[n])
			}
			known[rows[n].Env] = true
		}
		look("delivered to "+who, sorted, asItCame)
	}
	return broken
}

func (j *judgement) sent() (broken []string) {
	look := func(where string, row entry) {
		e, ok := j.sealed[j.original(row)]
		switch {
		case !ok:
			broken = append(broken, fmt.Sprintf("%s: envelope %s of %s", where, row.Env, row.From))
		case e.Who != row.From || row.Env == e.Env && row.Hash != e.Hash:
			broken = append(broken, fmt.Sprintf("%s: %s has become another", where, letterOf(e)))
		}
	}
	for who, s := range j.shelves {
		for _, row := range s.Rows {
			if row.What == wasDelivered {
				look("with "+who, row)
			}
		}
	}
	for _, h := range j.History {
		if h.What == wasDelivered && h.Type == protocol.TypeChat {
			look("delivered to "+h.Who, h)
		}
	}
	return broken
}

func (j *judgement) back() (broken []string) {
	// A letter whose acceptance got lost may be put again after it has come back:
	// then it is another one to the relay, and comes back again.
	back, put := map[protocol.ID]int{}, map[protocol.ID]int{}
	for _, h := range j.History {
		if h.What == wasPut {
			put[h.Env]++
		}
	}
	for who, s := range j.shelves {
		for _, row := range s.Rows {
			if row.What != wasReturned || j.ahead[row.Env] && j.sealed[row.Env].Who == who {
				continue
			}
			e, ok := j.accepted[row.Env]
			if back[row.Env]++; !ok || e.Who != who || e.To != row.To || !j.Shut[e.To] || row.Code != protocol.CodeNotContact {
				broken = append(broken, fmt.Sprintf("envelope %s came back to %s: %s", row.Env, who, row.Code))
			}
		}
	}
	for id, e := range j.accepted {
		if j.Shut[e.To] && (back[id] < 1 || back[id] > put[id]) {
			broken = append(broken, fmt.Sprintf("%s came back %d times, and was put %d times", letterOf(e), back[id], put[id]))
		}
	}
	for who := range j.Shut {
		for _, row := range j.shelves[who].Rows {
			if row.To == who {
				broken = append(broken, fmt.Sprintf("%s, who takes nothing, has envelope %s", who, row.Env))
			}
		}
	}
	return broken
}

func (j *judgement) ticks() (broken []string) {
	look := func(writer string, tick entry) {
		s := j.shelves[tick.From]
		has := slices.ContainsFunc(s.Rows, func(row entry) bool {
			a, again := j.again[row.Env] // the writer's home shows the first hash of what it has sealed again
			return row.From == writer && (row.Mid == tick.Mid || j.mids[tick.Mid] == row.Env) &&
				(row.Hash == tick.Hash || again && a.Mid == tick.Mid && a.Hash == row.Hash)
		})
		if !s.Home || !has {
			broken = append(broken, fmt.Sprintf("%s was told that %s has %s", writer, tick.From, letterOf(j.sealed[j.mids[tick.Mid]])))
		}
	}
	for who, s := range j.shelves {
		for _, tick := range s.Ticks {
			look(who, tick)
		}
	}
	for _, h := range j.History {
		if h.What == wasTicked {
			look(h.Who, h)
		}
	}
	return broken
}

func (j *judgement) ticked() (broken []string) {
	have := map[protocol.ID]bool{}
	for _, s := range j.shelves {
		for _, tick := range s.Ticks {
			have[j.mids[tick.Mid]] = true
		}
	}
	for id, e := range j.accepted {
		if j.shelves[e.To].Home && !have[id] && !j.gaveUp(e) {
			broken = append(broken, letterOf(e)+" has no receipt")
		}
	}
	return broken
}

func (j *judgement) waiting() (broken []string) {
	for who, s := range j.shelves {
		if s.Waiting > 0 {
			broken = append(broken, fmt.Sprintf("%d letters of %s for others", s.Waiting, who))
		}
		if s.Kept > 0 {
			broken = append(broken, fmt.Sprintf("%d rows for the home of %s", s.Kept, who))
		}
	}
	return broken
}

func (j *judgement) alarms() (broken []string) {
	for _, h := range j.History {
		if h.What == wasTold && !plain[h.Type] {
			broken = append(broken, fmt.Sprintf("%s was told: %s %s", h.Who, h.Type, h.Note))
		}
	}
	for _, s := range j.Shelves {
		broken = append(broken, s.Strange...)
	}
	return broken
}

// plain are the events that alarm nobody; contacts and chains do not change here.
var plain = map[string]bool{"home": true, "space": true, "carried": true, "vault": true}

func (j *judgement) ended() (broken []string) {
	for _, h := range j.History {
		if h.What == wasDead {
			broken = append(broken, h.Who+": "+h.Note)
		}
	}
	return broken
}

func (j *judgement) memory() (broken []string) {
	for who, peak := range j.Peaks {
		if peak > peakMost {
			broken = append(broken, fmt.Sprintf("%s took %.0f MiB", who, peak/(1<<20)))
		}
	}
	return broken
}

func (j *judgement) strange() (broken []string) {
	for _, h := range j.History {
		if h.What == wasTrouble || h.What == wasUnquiet {
			broken = append(broken, strings.TrimSpace(h.Who+" "+h.Note))
		}
	}
	return broken
}
