package relay_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// addresses gives callers on one machine the many addresses that people have:
// the relay's limits are for each of them.
func from(i int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/250), byte(1+i%250))} }

// BenchmarkLetters: the real relay with SQLite, 64 people in pairs. Each letter
// of 1 KB is put for both, kept durably, accepted, delivered twice and confirmed
// twice. CPU-s/M is the relay's own, user and system, for a million letters.
//
//	go test ./relay -run xxx -bench Letters -benchtime 20000x
func BenchmarkLetters(b *testing.B) {
	const people = 64
	const most = people * 500 // a socket's first 600 frames come at full speed
	if b.N > most {
		b.Skipf("more than %d letters would measure the limit of frames a minute", most)
	}
	data := filepath.Join(b.TempDir(), "data")
	p := launch(b, data, "127.0.0.1:0")
	c := relaytest.Attach(b, p.url, data)
	sockets := []*relaytest.Socket{}
	residents := []*relaytest.Person{c.Owner("person0")}
	for i := 1; i < people; i++ {
		via := c.From(from(i / 8))
		inviter := residents[i-1]
		residents = append(residents, via.Guest(via.Connect(inviter, inviter.Phone), fmt.Sprintf("person%d", i)))
	}
	for i, r := range residents {
		s := c.From(from(100+i/16)).Connect(r, r.Phone)
		sockets = append(sockets, s)
	}
	friend := func(i int) *relaytest.Person { return residents[i^1] }
	envelopes := make([]*protocol.Envelope, b.N)
	for i := range envelopes {
		envelopes[i] = c.Envelope(residents[i%people], friend(i%people), protocol.TypeChat, 640)
	}
	before := processor(b, p)
	b.ResetTimer()
	var all sync.WaitGroup
	letters := func(i int) (mine []*protocol.Envelope) {
		for k := i; k < b.N; k += people {
			mine = append(mine, envelopes[k])
		}
		return mine
	}
	for i, s := range sockets {
		all.Go(func() { converse(b, s, residents[i], friend(i), letters(i), len(letters(i^1))) })
	}
	all.Wait()
	b.StopTimer()
	spent := processor(b, p) - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
	b.ReportMetric(spent.Seconds()*1e6/float64(b.N), "CPU-s/M")
	p.stop(os.Interrupt)
}

// converse keeps up to 16 letters under way, and confirms what is delivered.
func converse(b *testing.B, s *relaytest.Socket, me, friend *relaytest.Person, mine []*protocol.Envelope, theirs int) {
	var reader sync.WaitGroup
	reader.Go(func() {
		for range len(mine) + theirs {
			if f, ok := s.Await(relaytest.IsRow); !ok || s.TryConfirm(f.N) != nil {
				return
			}
		}
	})
	under := make(chan struct{}, 16)
	var answers sync.WaitGroup
	for _, e := range mine {
		under <- struct{}{}
		if err := s.TryPut(e, friend, me); err != nil {
			b.Error(err)
			return
		}
		answers.Go(func() {
			defer func() { <-under }()
			if f, ok := s.TryAnswer(e.ID); !ok || f.Op != "accepted" {
				b.Error("not accepted:", f.Code)
			}
		})
	}
	answers.Wait()
	reader.Wait()
}

// processor is the time that the relay has used so far.
func processor(b testing.TB, p *process) time.Duration {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	must(b, err)
	_, after, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(after)
	user, err := strconv.ParseInt(fields[11], 10, 64)
	must(b, err)
	system, err := strconv.ParseInt(fields[12], 10, 64)
	must(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond // 100 ticks a second on Linux
}

// BenchmarkIdle prints the resident memory of a relay that nobody uses, and
// what each of 3,072 idle sockets adds to the memory of its own (RssAnon).
//
//	go test ./relay -run xxx -bench Idle -benchtime 1x
func BenchmarkIdle(b *testing.B) {
	const people, each = 64, 48 // six devices, eight sockets each
	for range b.N {
		data := filepath.Join(b.TempDir(), "data")
		p := launch(b, data, "127.0.0.1:0")
		idle := memory(b, p, "VmRSS:")
		c := relaytest.Attach(b, p.url, data)
		residents := []*relaytest.Person{c.Owner("person0")}
		for i := 1; i < people; i++ {
			via := c.From(from(i / 8))
			residents = append(residents, via.Guest(via.Connect(residents[i-1], residents[i-1].Phone), fmt.Sprintf("person%d", i)))
		}
		type tabs struct {
			of   *relaytest.Person
			keys *ident.DeviceKeys
		}
		devices := []tabs{}
		for i, r := range residents {
			devices = append(devices, tabs{r, r.Phone})
			for range each/8 - 1 {
				devices = append(devices, tabs{r, c.From(from(200+i)).AddDevice(r, ident.RoleAdmin, 0)})
			}
		}
		ready := memory(b, p, "RssAnon:")
		for i, d := range devices {
			for range 8 {
				c.From(from(300+i/2)).Connect(d.of, d.keys)
			}
		}
		b.ReportMetric(float64(idle)/1024, "idle-MiB")
		// A device that has more sockets than it may loses the oldest: nothing would be measured.
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		must(b, err)
		if len(open) < people*each {
			b.Fatalf("only %d files and sockets are open", len(open))
		}
		b.ReportMetric(float64(memory(b, p, "RssAnon:")-ready)/float64(people*each), "KiB/socket")
		p.stop(os.Interrupt)
	}
}

// memory is a line of the process's status, KiB.
func memory(b testing.TB, p *process, what string) int64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(b, err)
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, what); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			must(b, err)
			return n
		}
	}
	b.Fatal("no ", what)
	return 0
}
