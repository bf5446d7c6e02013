package relay_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// rounds of killing: a few by default, a hundred with COURTYARD_LONG=1.
func rounds() int {
	if os.Getenv("COURTYARD_LONG") == "1" {
		return 100
	}
	return 5
}

// ledger is what clients remember across crashes, as their outboxes and logs do.
type ledger struct {
	mu       sync.Mutex
	accepted map[protocol.ID]bool // the relay has said so
	sent     []*protocol.Envelope // put at least once, in this order
	stored   map[protocol.ID]int  // at tom's home, how often delivered
}

// TestKilledAgainAndAgain loads the real binary, kills it with SIGKILL at any
// moment, and looks for what it had accepted. mei has no home, so everything
// stays in her keep; tom's home stores and confirms while the load goes on.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	listen := address(t)
	p := launch(t, data, listen)
	c := relaytest.Attach(t, p.url, data)
	mei := c.Owner("mei")
	tom := c.Guest(c.Connect(mei, mei.Phone), "tom")
	homeKeys := c.AddDevice(tom, ident.RoleHome, 0)
	l := &ledger{accepted: map[protocol.ID]bool{}, stored: map[protocol.ID]int{}}

	for round := range rounds() {
		l.load(t, c, p, mei, tom, homeKeys)
		p = launch(t, data, listen)
		// The outbox sends again what was not answered: it must be kept once.
		l.resend(t, c, mei, tom)
		l.check(t, c, mei, tom, homeKeys, round)
	}
	t.Logf("%d letters accepted over %d kills", len(l.accepted), rounds())
	p.stop(os.Interrupt)
}

// load puts letters from several sockets until enough are accepted, then kills.
func (l *ledger) load(t *testing.T, c *relaytest.Courtyard, p *process, mei, tom *relaytest.Person, homeKeys *ident.DeviceKeys) {
	t.Helper()
	home := c.Connect(tom, homeKeys)
	var all sync.WaitGroup
	enough := make(chan struct{})
	var once sync.Once
	before := len(l.accepted)
	all.Go(func() { l.store(home) })
	for range 3 {
		s := c.Connect(mei, mei.Phone)
		all.Go(func() {
			answered := make(chan struct{}, 32) // puts under way
			var answers sync.WaitGroup
			defer answers.Wait()
			for {
				e := c.Envelope(mei, tom, protocol.TypeChat, 700)
				l.mu.Lock()
				l.sent = append(l.sent, e)
				l.mu.Unlock()
				if s.TryPut(e, tom, mei) != nil {
					return
				}
				answered <- struct{}{}
				answers.Go(func() {
					defer func() { <-answered }()
					f, ok := s.TryAnswer(e.ID)
					if !ok {
						return
					}
					if f.Op != "accepted" {
						t.Errorf("refused: %s", f.Code)
					}
					l.mu.Lock()
					defer l.mu.Unlock()
					l.accepted[e.ID] = true
					if len(l.accepted)-before >= 150 {
						once.Do(func() { close(enough) })
					}
				})
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Error("no load within a minute")
	}
	p.kill()
	all.Wait()
}

// store is tom's home: every row goes to its disk before it is confirmed.
func (l *ledger) store(home *relaytest.Socket) {
	for {
		f, ok := home.Await(relaytest.IsRow)
		if !ok {
			return
		}
		e, err := protocol.ParseEnvelope(f.Env)
		if err != nil {
			continue // the missing row fails the check
		}
		l.mu.Lock()
		l.stored[e.ID]++
		l.mu.Unlock()
		if home.TryConfirm(f.N) != nil {
			return
		}
	}
}

func (l *ledger) resend(t *testing.T, c *relaytest.Courtyard, mei, tom *relaytest.Person) {
	t.Helper()
	s := c.Connect(mei, mei.Phone)
	for _, e := range l.sent {
		if !l.accepted[e.ID] {
			s.Sends(e, tom, mei)
			l.accepted[e.ID] = true
		}
	}
	s.Close()
}

// check compares what the relay has with what it said.
func (l *ledger) check(t *testing.T, c *relaytest.Courtyard, mei, tom *relaytest.Person, homeKeys *ident.DeviceKeys, round int) {
	t.Helper()
	phone := c.Connect(mei, mei.Phone)
	atMei, atTom := keptBy(t, c, phone), keptBy(t, c, c.Connect(tom, tom.Phone))
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.accepted {
		if atMei[id] != 1 {
			t.Errorf("round %d: an accepted letter is kept %d times for mei", round, atMei[id])
		}
		if l.stored[id] == 0 && atTom[id] != 1 {
			t.Errorf("round %d: an accepted letter is neither at tom's home nor kept for it", round)
		}
	}
	for id, n := range atTom {
		if n != 1 || !l.accepted[id] {
			t.Errorf("round %d: a letter is kept %d times for tom", round, n)
		}
	}
	if len(atMei) != len(l.accepted) {
		t.Errorf("round %d: %d letters kept for mei, %d accepted", round, len(atMei), len(l.accepted))
	}
	if t.Failed() {
		t.FailNow()
	}
}

// keptBy pages through the whole keep.
func keptBy(t *testing.T, c *relaytest.Courtyard, s *relaytest.Socket) map[protocol.ID]int {
	t.Helper()
	found, before := map[protocol.ID]int{}, int64(0)
	for more := true; more; {
		var page struct {
			Rows []struct {
				N   int64           `json:"n"`
				Env json.RawMessage `json:"env"`
			} `json:"rows"`
			More bool `json:"more"`
		}
		c.Well("GET", fmt.Sprintf("/api/1/keep?before=%d", before), s.Ready.Token, nil, &page)
		for _, row := range page.Rows {
			e, err := protocol.ParseEnvelope(row.Env)
			must(t, err)
			found[e.ID]++
			before = row.N
		}
		more = page.More && len(page.Rows) > 0
	}
	return found
}
