package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

// sum adds up the results and prints the last line of scripts/test.
func sum(results string, out io.Writer) (failed bool, err error) {
	f, err := os.Open(results)
	if err != nil {
		return true, err
	}
	defer f.Close()
	var total counts
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var c counts
		if _, err := fmt.Sscanf(lines.Text(), "%d\t%d\t%d\t", &c.passed, &c.failed, &c.skipped); err != nil {
			return true, fmt.Errorf("line %d of the results: %w", n, err)
		}
		total.passed += c.passed
		total.failed += c.failed
		total.skipped += c.skipped
	}
	if err := lines.Err(); err != nil {
		return true, err
	}
	if total.passed+total.failed == 0 {
		return true, fmt.Errorf("nothing was tested")
	}
	fmt.Fprintf(out, "%d passed, %d failed", total.passed, total.failed)
	if total.skipped > 0 {
		fmt.Fprintf(out, ", %d skipped", total.skipped)
	}
	fmt.Fprintln(out)
	return total.failed > 0, nil
}
