package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
)

// BenchmarkIdleMemory is what the program holds (resident) while it looks after
// one person, connected, with nothing to do.
func BenchmarkIdleMemory(b *testing.B) {
	c := hometest.Start(b)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	a := starts(b, filepath.Join(b.TempDir(), "home"), c.Place.URL("http", ""), nil)
	pairs(b, wei, a)
	for i := range 50 {
		mei.Says(wei, fmt.Sprint("warm up ", i))
	}
	mei.Ticked(mei.Says(wei, "the last one"))
	for b.Loop() {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
		if err != nil {
			b.Fatal(err)
		}
		m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(raw)
		if m == nil {
			b.Fatal("no VmRSS")
		}
		kib, err := strconv.Atoi(string(m[1]))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(kib)/1024, "MiB")
	}
	a.stops()
}
