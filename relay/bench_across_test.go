package relay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// BenchmarkAcross passes letters of 640 sealed bytes between 32 pairs of friends
// who live at two relays, each in a process of its own, with a file system that
// syncs: put, accepted, carried over, accepted there, delivered, confirmed.
//
//	go test ./relay -run xxx -bench Across -benchtime 10000x
func BenchmarkAcross(b *testing.B) {
	const pairs = 32
	const most = pairs * 2 * 500 // a socket's first 600 frames come at full speed
	if b.N > most {
		b.Skipf("more than %d letters would measure the limit of frames a minute", most)
	}
	reach := "COURTYARD_REACH=127.0.0.0/8"
	processes, yards := [2]*process{}, [2]*relaytest.Courtyard{}
	people, sockets := [2][]*relaytest.Person{}, [2][]*relaytest.Socket{}
	for y := range yards {
		data := filepath.Join(b.TempDir(), fmt.Sprintf("data%d", y))
		processes[y] = launch(b, data, fmt.Sprintf("127.0.0.%d:0", y+1), "env", reach)
		c := relaytest.Attach(b, processes[y].url, data)
		yards[y], people[y] = c, []*relaytest.Person{c.Owner("person0")}
		for i := 1; i < pairs; i++ {
			via := c.From(from(i / 8))
			inviter := people[y][i-1]
			people[y] = append(people[y], via.Guest(via.Connect(inviter, inviter.Phone), fmt.Sprintf("person%d", i)))
		}
		for i, p := range people[y] {
			sockets[y] = append(sockets[y], c.From(from(100+i/16)).Connect(p, p.Phone))
		}
	}
	for y := range yards {
		for i, s := range sockets[y] {
			yards[y].Allow(s, people[1-y][i])
		}
	}
	letters := [2][pairs][]*protocol.Envelope{}
	for k := range b.N {
		y, i := k%2, k/2%pairs
		letters[y][i] = append(letters[y][i], yards[y].Across(people[y][i], yards[1-y], people[1-y][i], protocol.TypeChat, 640))
	}
	before := processor(b, processes[0]) + processor(b, processes[1])
	b.ResetTimer()
	var all sync.WaitGroup
	for y := range yards {
		for i, s := range sockets[y] {
			all.Go(func() { converse(b, s, people[y][i], people[1-y][i], letters[y][i], len(letters[1-y][i])) })
		}
	}
	all.Wait()
	b.StopTimer()
	spent := processor(b, processes[0]) + processor(b, processes[1]) - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
	b.ReportMetric(spent.Seconds()*1e6/float64(b.N), "CPU-s/M")
	for _, p := range processes {
		p.stop(os.Interrupt)
	}
}
