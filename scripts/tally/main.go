// Command tally reads what a test runner reports and adds its counts to a file of results, one line per
// run: passed, failed, skipped, name, divided by tabs. It prints failures whole and skips with their reason,
// and must never turn a run that it could not understand into a success.
//
//	go test -json ./... | tally go RESULTS NAME
//	tally vitest RESULTS NAME REPORT.json
//	tally playwright RESULTS NAME REPORT.json
//	tally sum RESULTS
package main

import (
	"fmt"
	"os"
)

// counts of one runner; a run that reports no test at all has failed.
type counts struct {
	passed, failed, skipped int
}

func main() {
	failed, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

func run(args []string) (failed bool, err error) {
	switch {
	case len(args) == 2 && args[0] == "sum":
		return sum(args[1], os.Stdout)
	case len(args) == 3 && args[0] == "go":
		c, err := readGo(os.Stdin, os.Stdout)
		return record(args[1], args[2], c, err)
	case len(args) == 4 && args[0] == "vitest":
		c, err := readVitest(args[3], os.Stdout)
		return record(args[1], args[2], c, err)
	case len(args) == 4 && args[0] == "playwright":
		c, err := readPlaywright(args[3], os.Stdout)
		return record(args[1], args[2], c, err)
	}
	return true, fmt.Errorf("usage: tally go|vitest|playwright RESULTS NAME [REPORT], tally sum RESULTS")
}

// record appends one line; a report that could not be read counts as one failure, and so does an empty one.
func record(results, name string, c counts, cause error) (failed bool, err error) {
	if cause != nil {
		fmt.Printf("%s: %v\n", name, cause)
		c.failed++
	} else if c == (counts{}) {
		fmt.Printf("%s: no test ran\n", name)
		c.failed++
	}
	f, err := os.OpenFile(results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return true, err
	}
	_, err = fmt.Fprintf(f, "%d\t%d\t%d\t%s\n", c.passed, c.failed, c.skipped, name)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return c.failed > 0, err
}
