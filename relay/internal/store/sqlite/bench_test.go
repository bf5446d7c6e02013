package sqlite_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/relay/internal/store/storetest"
)

// BenchmarkAccepts is the smallest question that the relay asks, for each letter that
// it only passes on. CPU-s/M is of all processors, the collector's included.
//
//	go test ./relay/internal/store/sqlite -run xxx -bench Accepts -count 6
func BenchmarkAccepts(b *testing.B) {
	o := storetest.SQLite(b)
	mei, tom := o.Resident(b, "mei"), o.Resident(b, "tom")
	o.Friends(b, mei, tom)
	ctx := b.Context() // can be cancelled, as a socket's can
	before := spent(b)
	for b.Loop() {
		if ok, err := o.Store.Accepts(ctx, mei.UID, tom.UID); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
	b.ReportMetric((spent(b)-before).Seconds()*1e6/float64(b.N), "CPU-s/M")
}

func spent(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
