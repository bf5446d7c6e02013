package main

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/scripts/mutation"
)

func aPlan(seed uint64, length time.Duration) plan {
	return draw(seed, length, nil, []string{"relay1", "relay2", "relay3"}, []string{"home1", "home2", "home3"}, [][2]string{{"a", "b"}, {"b", "a"}, {"a", "c"}})
}

func TestASeedIsAPlan(t *testing.T) {
	p := aPlan(7, 10*time.Minute)
	if !reflect.DeepEqual(p, aPlan(7, 10*time.Minute)) {
		t.Error("the same seed gives another plan")
	}
	if q := aPlan(8, 10*time.Minute); reflect.DeepEqual(p.Faults, q.Faults) || reflect.DeepEqual(p.Words, q.Words) {
		t.Error("another seed gives the same plan")
	}
	kinds, together := map[string]int{}, 0
	for i, f := range p.Faults {
		kinds[f.Kind]++
		if f.At+f.For > 10*time.Minute || f.At < quietStart {
			t.Errorf("%v from %v for %v", f, f.At, f.For)
		}
		for _, g := range p.Faults[:i] {
			if g.At+g.For <= f.At {
				continue
			}
			together++
			if g.On == f.On && g.Other == f.Other && group(g.Kind) == group(f.Kind) {
				t.Errorf("%v while %v", f, g)
			}
		}
	}
	if len(kinds) != len(weighted) || together < len(p.Faults) {
		t.Errorf("%d faults of kinds %v, %d pairs of them at once", len(p.Faults), kinds, together)
	}
	if !slices.IsSortedFunc(p.Words, func(a, b word) int { return int(a.At - b.At) }) || len(p.Words) < 3*100 {
		t.Errorf("%d letters, in their order or not", len(p.Words))
	}
}

func id(n byte) protocol.ID { return protocol.ID{n} }

func sealed(n byte, who, to string, seq int64) entry {
	return entry{What: wasSealed, Who: who, To: to, Mid: id(n), Env: id(100 + n), Hash: protocol.Hash32{n}, Seq: seq, Clock: seq, Type: protocol.TypeChat}
}

func row(e entry) entry {
	e.What, e.From, e.Who = wasDelivered, e.Who, ""
	return e
}

// good is an ending with nothing wrong: ann writes two letters to the home of ben,
// and one to hal, who takes none.
func good() ending {
	one, two, three := sealed(1, "ann", "ben", 1), sealed(2, "ann", "ben", 2), sealed(3, "ann", "hal", 1)
	e := ending{Shut: map[string]bool{"hal": true}, Peaks: map[string]float64{"relay1": 1 << 20}}
	for _, letter := range []entry{one, two, three} {
		put, accepted := letter, letter
		put.What, accepted.What = wasPut, wasAccepted
		e.History = append(e.History, letter, put, accepted)
	}
	delivered := row(one)
	delivered.Who, delivered.N = "ann", 5
	tick := func(of entry) entry {
		return entry{What: wasTicked, Who: "ann", From: "ben", Mid: of.Mid, Hash: of.Hash}
	}
	e.History = append(e.History, delivered, tick(one), entry{What: wasTold, Who: "ann", Type: "carried"}, entry{What: wasQuiet})
	e.Shelves = []shelf{
		{Who: "ann", Rows: []entry{row(one), row(two), row(three), {What: wasReturned, Env: three.Env, To: "hal", Code: protocol.CodeNotContact}}, Ticks: []entry{tick(one), tick(two)}},
		{Who: "ben", Home: true, Rows: []entry{row(one), row(two)}},
		{Who: "hal"},
	}
	return e
}

// Each promise is seen to be broken when it is, and only that one.
func TestBrokenPromisesAreSeen(t *testing.T) {
	for _, p := range judge(good()) {
		if len(p.Broken) > 0 {
			t.Errorf("%s: %v", p.What, p.Broken)
		}
	}
	const ann, ben, hal = 0, 1, 2
	for name, c := range map[string]struct {
		spoil  func(*ending)
		broken []int // of the list in judge
	}{
		"never accepted":         {func(e *ending) { e.History = append(e.History, sealed(9, "ann", "ben", 3)) }, []int{0}},
		"refused for good":       {func(e *ending) { e.History = append(e.History, entry{What: wasRefused, Note: "for good"}) }, []int{0}},
		"lost at the reader":     {func(e *ending) { e.Shelves[ben].Rows = e.Shelves[ben].Rows[:1] }, []int{1, 5}},
		"lost at the writer":     {func(e *ending) { e.Shelves[ann].Rows = e.Shelves[ann].Rows[1:] }, []int{1}},
		"twice":                  {func(e *ending) { e.Shelves[ben].Rows = append(e.Shelves[ben].Rows, e.Shelves[ben].Rows[1]) }, []int{1, 2}},
		"overtaken":              {func(e *ending) { e.Shelves[ben].Rows[1].Clock = 0 }, []int{2}},
		"overtaken at the relay": {func(e *ending) { slices.Reverse(e.Shelves[ann].Rows[:2]) }, []int{2}},
		"overtaken on the way": {func(e *ending) {
			first := row(sealed(2, "ann", "ben", 2))
			first.Who, first.N = "ann", 4
			e.History = append(e.History, first)
		}, []int{2}},
		"a row that changes": {func(e *ending) {
			other := row(sealed(2, "ann", "ben", 2))
			other.Who, other.N = "ann", 5
			e.History = append(e.History, other)
		}, []int{2}},
		"from nowhere":                {func(e *ending) { e.Shelves[ben].Rows = append(e.Shelves[ben].Rows, row(sealed(9, "ann", "ben", 3))) }, []int{3}},
		"another one":                 {func(e *ending) { e.Shelves[ann].Rows[0].Hash[5] = 1 }, []int{3}},
		"another one on the way":      {func(e *ending) { e.History[9].Hash[5] = 1 }, []int{3}},
		"did not come back":           {func(e *ending) { e.Shelves[ann].Rows = e.Shelves[ann].Rows[:3] }, []int{4}},
		"came back too often":         {func(e *ending) { e.Shelves[ann].Rows = append(e.Shelves[ann].Rows, e.Shelves[ann].Rows[3]) }, []int{4}},
		"came back and is there":      {func(e *ending) { e.Shelves[hal].Rows = []entry{e.Shelves[ann].Rows[2]} }, []int{4}},
		"came back without a reason":  {func(e *ending) { e.Shelves[ann].Rows[3].Env = id(101) }, []int{4}},
		"ticked for another hash":     {func(e *ending) { e.Shelves[ann].Ticks[1].Hash[5] = 1 }, []int{5}},
		"ticked by nobody's home":     {func(e *ending) { e.Shelves[ben].Home = false }, []int{5}},
		"ticked wrongly for a moment": {func(e *ending) { e.History[10].Hash[5] = 1 }, []int{5}},
		"never ticked":                {func(e *ending) { e.Shelves[ann].Ticks = e.Shelves[ann].Ticks[1:] }, []int{6}},
		"waiting for others":          {func(e *ending) { e.Shelves[ann].Waiting = 1 }, []int{7}},
		"waiting for the home":        {func(e *ending) { e.Shelves[ben].Kept = 1 }, []int{7}},
		"home twice":                  {func(e *ending) { e.History = append(e.History, entry{What: wasTold, Type: "home-twice"}) }, []int{8}},
		"a fork":                      {func(e *ending) { e.Shelves[ben].Strange = []string{"a fork"} }, []int{8}},
		"a program died":              {func(e *ending) { e.History = append(e.History, entry{What: wasDead}) }, []int{9}},
		"memory":                      {func(e *ending) { e.Peaks["relay1"] = peakMost + 1 }, []int{10}},
		"no quiet":                    {func(e *ending) { e.History = append(e.History, entry{What: wasUnquiet}) }, []int{11}},
	} {
		e := good()
		c.spoil(&e)
		for i, p := range judge(e) {
			if got, want := len(p.Broken) > 0, slices.Contains(c.broken, i); got != want {
				t.Errorf("%s: %q broken: %v, %v", name, p.What, got, p.Broken)
			}
		}
	}
}

// The lines that --broken changes are there.
func TestBreakagesFitTheSource(t *testing.T) {
	for name, b := range breakages {
		if _, _, err := mutation.Rewrite("../../"+b.file, []mutation.Edit{b.edit}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A letter that came back because a clock was ahead is there once, as its home sealed
// it again; of somebody without a home it may be missing.
func TestWhatCameBackAheadIsSealedAgain(t *testing.T) {
	const ann, ben = 0, 1
	first := good().Shelves[ben].Rows[1]
	again := first
	again.Env, again.Hash[7] = id(77), 1
	other := again
	other.Env = id(78)
	unopened := again
	unopened.Mid = protocol.ID{}
	altered := again
	altered.Hash[8] = 1
	early := again
	early.Clock = 0
	for name, c := range map[string]struct {
		home   bool    // of the writer
		rows   []entry // of the letter, with its reader
		ticked bool
		broken []int
	}{
		"no home, missing":      {false, nil, false, nil},
		"home, missing":         {true, nil, false, []int{1, 6}},
		"sealed again":          {true, []entry{again}, true, nil},
		"dated too early":       {true, []entry{early}, true, []int{2}},
		"without a receipt":     {true, []entry{again}, false, []int{6}},
		"not opened":            {true, []entry{unopened}, false, []int{6}},
		"twice":                 {true, []entry{again, again}, true, []int{1, 2}},
		"both":                  {true, []entry{first, again}, true, []int{1, 2}},
		"nobody sealed that":    {true, []entry{other}, false, []int{1, 3, 6}},
		"altered":               {true, []entry{altered}, false, []int{1, 3, 6}},
		"ticked, and not there": {true, nil, true, []int{1, 5}},
	} {
		for _, toTheHomeAlone := range []bool{false, true} {
			e := good()
			told := entry{What: wasReturned, Who: "ann", Env: first.Env, To: "ben", Code: protocol.CodeClockAhead}
			if toTheHomeAlone {
				e.Shelves[ann].Rows = append(e.Shelves[ann].Rows, told)
			} else {
				e.History = append(e.History, told)
			}
			e.Shelves[ann].Home = c.home
			if c.home {
				e.Shelves[ann].Again = []entry{{From: "ann", Mid: again.Mid, Env: again.Env, Hash: again.Hash}}
			}
			e.Shelves[ben].Rows = append(e.Shelves[ben].Rows[:1:1], c.rows...)
			if !c.ticked {
				e.Shelves[ann].Ticks = e.Shelves[ann].Ticks[:1]
			}
			for i, p := range judge(e) {
				if broken := len(p.Broken) > 0; broken != slices.Contains(c.broken, i) {
					t.Errorf("%s: %s: %v", name, p.What, p.Broken)
				}
			}
		}
	}
}
