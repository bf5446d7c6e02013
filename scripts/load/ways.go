package main

import (
	"context"
	"fmt"
	"strings"
)

// ways: the home's own benchmark of a phone that reads a photo from it, in one run over
// each of the ways that there are.
func (b *bench) ways(ctx context.Context) error {
	n, count := "5x", "3"
	if b.quick {
		n, count = "2x", "1"
	}
	args := []string{"-bench", "^BenchmarkWays$", "-benchtime", n, "-count", count, "-timeout", "20m"}
	r, err := goBench(ctx, "./homedb/internal/household", "", args...)
	if err != nil {
		return err
	}
	how := fmt.Sprintf("median of %s: a photo of 4 MiB, a piece after the other; go test ./homedb/internal/household %s", count, strings.Join(args[:4], " "))
	for _, line := range [][2]string{
		{"direct", "a phone reads from its home: over a direct connection"}, {"turn", "over one through the relay's TURN"}, {"websocket", "in letters over its websocket"},
	} {
		rate, spent := r["Ways/"+line[0]]["MB/s"], r["Ways/"+line[0]]["CPU-s/GB"]
		if len(rate) == 0 || len(spent) == 0 {
			return fmt.Errorf("BenchmarkWays of homedb/internal/household has no %q that says MB/s and CPU-s/GB", line[0])
		}
		b.table.figure(line[1], median(rate), "MB/s", how)
		b.table.figure("the same, phone, home and relay", median(spent), "CPU-s per GB", "user and system of all together")
		how = "likewise"
	}
	return nil
}
