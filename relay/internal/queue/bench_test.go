package queue_test

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/relay/internal/space"
	"github.com/courtyard-social/courtyard/relay/internal/store/storetest"
)

// BenchmarkPut: letters of 1 KB, each kept durably for two people, handed over
// by 64 senders that each wait for their answer before the next.
func BenchmarkPut(b *testing.B) {
	for name, open := range map[string]func(testing.TB) storetest.Opened{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) { benchmarkPut(b, open(b)) })
	}
}

func benchmarkPut(b *testing.B, o storetest.Opened) {
	const senders, size = 64, 1024
	limits := space.Defaults()
	limits.Person, limits.ShareDivisor = 1<<40, 1
	w := queue.NewWriter(o.Store, limits, time.Now, func() error { return nil }, quiet{})
	go w.Run()
	defer w.Stop()
	people := []*relaytest.Person{}
	for i := range 8 {
		people = append(people, o.Resident(b, "person"+string(rune('a'+i))))
	}
	for _, p := range people {
		for _, q := range people {
			if p != q {
				o.Friends(b, p, q)
			}
		}
	}
	raw := make([]byte, size)
	next := make(chan int)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			answer := make(chan queue.Result, 1)
			for i := range next {
				from, to := people[i%8], people[(i/8)%8]
				p := letter(from, 0, 0, to)
				if from != to {
					p = letter(from, 0, 0, to, from)
				}
				p.ID, p.Raw = relaytest.NewID(b), raw
				if err := w.Put(b.Context(), p, func(r queue.Result) { answer <- r }); err != nil {
					b.Error(err)
					return
				}
				if r := <-answer; r.Err != nil {
					b.Error(r.Err)
				}
			}
		})
	}
	runtime.GC()
	before := cpu(b)
	b.ResetTimer()
	for i := range b.N {
		next <- i
	}
	close(next)
	all.Wait()
	b.StopTimer()
	spent := cpu(b) - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
	b.ReportMetric(spent.Seconds()*1e6/float64(b.N), "CPU-s/M")
}

// cpu is what this process has used so far; for PostgreSQL the server's part is not in it.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// quiet is told of nothing.
type quiet struct{}

func (quiet) Arrived(protocol.UID)      {}
func (quiet) SpaceChanged(space.Change) {}
func (quiet) Dispatched(queue.Away)     {}
func (quiet) Committed(int)             {}
func (quiet) Kept([]queue.NewRow)       {}
