package main

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProcessorTimeIsOfThatProcess(t *testing.T) {
	before, err := processor(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
	}
	after, err := processor(os.Getpid())
	if err != nil || after <= before || after-before > time.Minute {
		t.Error(before, after, err)
	}
	if got, err := processor(1 << 28); err == nil { // above the kernel's largest
		t.Error("nobody's time is", got)
	}
}

func TestBusyLeavesOutIdleAndWaiting(t *testing.T) {
	if got, err := busyOf("cpu  100 20 30 9999 8888 4 5 6 0 0"); err != nil || got != 1650*time.Millisecond {
		t.Error(got, err)
	}
	for _, line := range []string{"", "cpu0 1 2 3", "intr 1 2 3 4 5 6 7 8 9 10"} {
		if got, err := busyOf(line); err == nil {
			t.Errorf("%q gives %v", line, got)
		}
	}
}

func TestBenchmarksAreRead(t *testing.T) {
	r := readBench(strings.Join([]string{
		"goos: linux", "cpu: some processor of 2 words", "BenchmarkSeal2-8   \t 100\t 50000 ns/op\t 12 B/op\t 3 allocs/op", "BenchmarkSeal2-8 100 70000 ns/op",
		"BenchmarkPage/sqlite-2 9 1.5 ms/page", "BenchmarkBroken-2 --- FAIL:", "BenchmarkLogs", "PASS", "ok  \tsome/package\t1.2s", "",
	}, "\n"))
	if got := r["Seal2"]["ns/op"]; !slices.Equal(got, []float64{50000, 70000}) {
		t.Error(got)
	}
	if got := r["Page/sqlite"]["ms/page"]; !slices.Equal(got, []float64{1.5}) {
		t.Error(got)
	}
	if len(r) != 2 || len(r["Seal2"]) != 3 {
		t.Error(r)
	}
}

func TestMedians(t *testing.T) {
	for want, of := range map[float64][]float64{3: {5, 3, 1}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		if got := median(of); got != want {
			t.Errorf("%v of %v", got, of)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 0.123: "0.12", 9.876: "9.88", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567.8: "1,234,568", -1234: "-1,234", math.NaN(): "-", math.Inf(1): "-",
	} {
		if got := digits(n); got != want {
			t.Errorf("%v is written %s, not %s", n, got, want)
		}
	}
}

func TestTheTableIsMarkdownWithStraightColumns(t *testing.T) {
	table := newTable("what", "figure", "unit", "how")
	table.add("short", "1", "µs", "somehow")
	table.figure("something longer", 12345, "letters/s", "otherwise")
	want := `| what             | figure | unit      | how |
|------------------|-------:|-----------|---|
| short            |      1 | µs        | somehow |
| something longer | 12,345 | letters/s | otherwise |
`
	if got := table.String(); got != want {
		t.Errorf("%s", got)
	}
}

func TestColumnsOfWordsAreToTheLeft(t *testing.T) {
	table := newTable("hub", "ratio", "words", "how")
	table.add("ours", "", "of one", "so")
	table.add("theirs", "1.5", "", "likewise")
	want := `| hub    | ratio | words  | how |
|--------|------:|--------|---|
| ours   |       | of one | so |
| theirs |   1.5 |        | likewise |
`
	if got := table.String(); got != want {
		t.Errorf("%s", got)
	}
}

// A ratio is of the same round, of servers that promise the same.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	rounds := func(cpu ...float64) (all []hubRound) {
		for _, c := range cpu {
			all = append(all, hubRound{cpu: c})
		}
		return all
	}
	ours := &way{name: "ours", paced: rounds(10, 20, 60), full: rounds(5)}
	kept := &way{name: "kept", kept: true, paced: rounds(100, 100, 100), full: rounds(50)}
	theirs := &way{name: "theirs", paced: rounds(5, 20, 30), full: rounds(10)}
	all := []*way{ours, kept, theirs}
	table := newTable(hubHead...)
	for _, w := range all {
		w.report(&table, all)
	}
	for i, want := range [][2]string{{"", ""}, {"", ""}, {"2.00", "0.50"}} {
		if got := [2]string{table.rows[i][6], table.rows[i][7]}; got != want {
			t.Errorf("%s: %q, not %q", all[i].name, got, want)
		}
	}
}

// One server that fails does not take the others' figures away.
func TestAWayThatFailsEndsAlone(t *testing.T) {
	failing, good := &way{name: "failing"}, &way{name: "good"}
	for round := range 3 {
		failing.try(t.Context(), &failing.paced, func() (hubRound, error) {
			if round == 1 {
				return hubRound{}, errors.New("it ended")
			}
			return hubRound{cpu: 7}, nil
		})
		good.try(t.Context(), &good.paced, func() (hubRound, error) { return hubRound{cpu: 5}, nil })
	}
	table := newTable(hubHead...)
	all := []*way{good, failing}
	for _, w := range all {
		w.report(&table, all)
	}
	if got := table.rows[0]; got[1] != "5.00" || got[8] != "" {
		t.Errorf("%q", got)
	}
	if got := table.rows[1]; got[1] != "7.00" || got[8] != "after this not measured: it ended" {
		t.Errorf("%q", got)
	}
}

// What an outcome says has to follow from when its last letter was through.
func TestOutcomesCountUntilTheLast(t *testing.T) {
	o := outcome{letters: 1000, lastAccepted: time.Second, lastReceipted: 4 * time.Second, lastConfirmed: 2 * time.Second,
		relay: time.Second, home: 2 * time.Second, self: time.Second, all: 5 * time.Second}
	if o.rate() != 250 || o.perMillion(o.home) != 2000 || o.others() != time.Second {
		t.Error(o.rate(), o.perMillion(o.home), o.others())
	}
}

func TestPartsAreChosenByName(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != len(parts) {
		t.Error(len(all), err)
	}
	if some, err := choose("size,go"); err != nil || len(some) != 2 || some[0].name != "size" || some[1].name != "go" {
		t.Error(some, err)
	}
	if _, err := choose("go,nothing"); err == nil {
		t.Error("a part that is not there")
	}
}
