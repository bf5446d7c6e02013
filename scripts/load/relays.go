package main

import (
	"context"
	"fmt"
	"strings"
)

// across: the relay's own benchmarks, of letters between people of one relay and
// of two, in one run, so that the second is to be read against the first.
func (b *bench) across(ctx context.Context) error {
	n := "20000x"
	if b.quick {
		n = "6000x"
	}
	args := []string{"-bench", "^Benchmark(Letters|Across)$", "-benchtime", n, "-count", "3", "-timeout", "20m"}
	r, err := goBench(ctx, "./relay", "", args...)
	if err != nil {
		return err
	}
	how := fmt.Sprintf("median of 3: 640 sealed bytes, put for both sides, accepted, delivered, confirmed; go test ./relay %s", strings.Join(args[:4], " "))
	for _, line := range [][2]string{{"Letters", "letters within one relay"}, {"Across", "letters between two relays, each its own process"}} {
		rate, spent := r[line[0]]["letters/s"], r[line[0]]["CPU-s/M"]
		if len(rate) == 0 || len(spent) == 0 {
			return fmt.Errorf("./relay has no Benchmark%s that says letters/s and CPU-s/M", line[0])
		}
		b.table.figure(line[1], median(rate), "letters/s", how)
		b.table.figure("the same, relay", median(spent), "CPU-s per million", "user and system of all relays")
		how = "likewise"
	}
	return nil
}

// walls: what strangers read, from the real program.
func (b *bench) walls(ctx context.Context) error {
	n := "20000x"
	if b.quick {
		n = "4000x"
	}
	args := []string{"-bench", "^BenchmarkWall$", "-benchtime", n, "-timeout", "20m"}
	r, err := goBench(ctx, "./relay", "", args...)
	if err != nil {
		return err
	}
	how := "go test ./relay " + strings.Join(args[:4], " ")
	for _, line := range [][2]string{{"@mei/posts", "what clients read, /@name/posts"}, {"@mei", "the page, /@name"}, {"@mei/feed.atom", "the feed, /@name/feed.atom"}} {
		found := r["Wall/"+line[0]]
		if len(found["reads/s"]) == 0 || len(found["CPU-s/M"]) == 0 {
			return fmt.Errorf("BenchmarkWall of ./relay has no %q", line[0])
		}
		b.table.figure("public wall: "+line[1], median(found["reads/s"]), "reads/s", how)
		b.table.figure("the same, relay", median(found["CPU-s/M"]), "CPU-s per million", "user and system")
		how = "likewise"
	}
	return nil
}
