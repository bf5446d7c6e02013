package relay_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// BenchmarkWall: strangers read a wall of forty posts from the real relay with
// SQLite, eight at a time, each address less often than it may. CPU-s/M is the
// relay's own, user and system, for a million reads.
//
//	go test ./relay -run xxx -bench Wall -benchtime 20000x
func BenchmarkWall(b *testing.B) {
	data := filepath.Join(b.TempDir(), "data")
	p := launch(b, data, "127.0.0.1:0")
	c := relaytest.Attach(b, p.url, data)
	mei := c.Owner("mei")
	author := c.Author(c.Connect(mei, mei.Phone))
	photo := author.Upload(relaytest.JPEG(b, 64, 64), 64, 64)
	for range 40 {
		author.Say(strings.Repeat("The baker on the corner has begun to sign her loaves. 胡同里的灯笼又挂起来了。", 4), photo)
	}
	address := 1000 // a fresh one for each hundred reads
	for _, path := range []string{"/@mei/posts", "/@mei", "/@mei/feed.atom"} {
		b.Run(path[1:], func(b *testing.B) {
			const readers, each = 8, 100
			var next, bytes atomic.Int64
			var all sync.WaitGroup
			first := address
			address += b.N/each + readers
			before := processor(b, p)
			b.ResetTimer()
			for range readers {
				all.Go(func() {
					for {
						chunk := int(next.Add(1)) - 1
						if chunk*each >= b.N {
							return
						}
						via := c.From(from(first + chunk))
						for range min(each, b.N-chunk*each) {
							a, err := via.Try("GET", path, "", nil)
							if err != nil || a.Status != http.StatusOK {
								b.Error(a.Status, err)
								return
							}
							bytes.Add(int64(len(a.Body)))
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			spent := processor(b, p) - before
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
			b.ReportMetric(spent.Seconds()*1e6/float64(b.N), "CPU-s/M")
			b.ReportMetric(float64(bytes.Load())/float64(b.N)/1024, "KiB/read")
		})
	}
	p.stop(os.Interrupt)
}
