// Command tally reads what a test runner reports and adds its counts to a file of results, one line per
// run: passed, failed, skipped, name, divided by tabs. It prints failures whole and skips with their reason,
// and must never turn a run that it could not understand into a success. Each failure's first line goes to
// RESULTS.failed too, for the end of a long run.
//
//	go test -json ./... | tally go RESULTS NAME
//	tally vitest RESULTS NAME REPORT.json
//	tally playwright RESULTS NAME REPORT.json
//	tally sum RESULTS
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
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
	var printed bytes.Buffer
	out := io.MultiWriter(os.Stdout, &printed)
	switch {
	case len(args) == 2 && args[0] == "sum":
		return sum(args[1], os.Stdout)
	case len(args) == 3 && args[0] == "go":
		c, err := readGo(os.Stdin, out)
		return record(args[1], args[2], c, failures(printed.String()), err)
	case len(args) == 4 && args[0] == "vitest":
		c, err := readVitest(args[3], out)
		return record(args[1], args[2], c, failures(printed.String()), err)
	case len(args) == 4 && args[0] == "playwright":
		c, err := readPlaywright(args[3], out)
		return record(args[1], args[2], c, failures(printed.String()), err)
	}
	return true, fmt.Errorf("usage: tally go|vitest|playwright RESULTS NAME [REPORT], tally sum RESULTS")
}

// failures are the lines of what was printed that name a failed test.
func failures(printed string) string {
	var named strings.Builder
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, "FAILED: ") {
			named.WriteString(line)
		}
	}
	return named.String()
}

// record appends one line; a report that could not be read counts as one failure, and so does an empty one.
func record(results, name string, c counts, named string, cause error) (failed bool, err error) {
	if cause != nil {
		named += fmt.Sprintf("FAILED: %s: %v\n", name, cause)
		fmt.Printf("%s: %v\n", name, cause)
		c.failed++
	} else if c == (counts{}) {
		named += fmt.Sprintf("FAILED: %s: no test ran\n", name)
		fmt.Printf("%s: no test ran\n", name)
		c.failed++
	}
	if err := add(results, fmt.Sprintf("%d\t%d\t%d\t%s\n", c.passed, c.failed, c.skipped, name)); err != nil {
		return true, err
	}
	return c.failed > 0, add(results+".failed", named)
}

// add appends to a file.
func add(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}
