package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// results are what `go test -bench` printed: benchmark, unit, figures.
type results map[string]map[string][]float64

// goBench runs benchmarks of the project's own; env is one more variable, or empty.
func goBench(ctx context.Context, dir, env string, args ...string) (results, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$"}, append(args, dir)...)...)
	cmd.Env = crowd.Surroundings()
	if env != "" {
		cmd.Env = append(cmd.Env, env)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return readBench(string(out)), nil
}

// readBench reads lines like `BenchmarkSeal2-2  1234  98765 ns/op  3.2 letters/s`.
func readBench(out string) results {
	r := results{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 { // the number of processors
			name = name[:i]
		}
		for i := 2; i+1 < len(fields); i += 2 {
			n, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				break
			}
			if r[name] == nil {
				r[name] = map[string][]float64{}
			}
			r[name][fields[i+1]] = append(r[name][fields[i+1]], n)
		}
	}
	return r
}
