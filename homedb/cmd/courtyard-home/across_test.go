package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// relays builds the relay beside the program under test.
func relays(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "courtyard-relay")
	if out, err := exec.Command("go", "build", "-o", path, "../../../relay/cmd/courtyard-relay").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestTwoCourtyardsKilledInTurn: mei writes to wei in the other courtyard and he to
// her, each with a home, while the two relays and wei's home are killed one after the
// other. In the end everything that a relay had accepted is in both logs once, its
// house tick is over the very letter, and nothing came back. Four kills, or forty
// with COURTYARD_LONG=1.
func TestTwoCourtyardsKilledInTurn(t *testing.T) {
	rounds := 4
	if os.Getenv("COURTYARD_LONG") != "" {
		rounds = 40
	}
	east, west := hometest.LaunchTwo(t, relays(t))
	wei, mei := east.Owner("wei"), west.Owner("mei")
	wei.Meets(mei)
	eastHome, westHome := filepath.Join(t.TempDir(), "east"), filepath.Join(t.TempDir(), "west")
	a := starts(t, eastHome, east.Place.URL("http", ""), nil)
	b := starts(t, westHome, west.Place.URL("http", ""), nil)
	pairs(t, wei, a)
	pairs(t, mei, b)

	l := &ledger{sent: map[protocol.ID]hometest.Sent{}}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for _, w := range [][2]*hometest.App{{mei, wei}, {wei, mei}} {
		from, to := w[0], w[1]
		slots := []protocol.Key32{from.UEKOf(to.UID).Key, from.UEKOf(from.UID).Key}
		first := from.Says(to, "before the first kill")
		l.mu.Lock()
		l.sent[first.Mid] = first
		l.mu.Unlock()
		all.Go(func() { l.writes(t, from, to, slots, stop) })
	}
	for round := range rounds {
		time.Sleep(time.Duration(700+rand.IntN(1500)) * time.Millisecond) // the moment of a power cut is nobody's choice
		switch round % 4 {
		case 0:
			west.Stop()
			west.Restart()
		case 1:
			a.kills()
			a = starts(t, eastHome, east.Place.URL("http", ""), nil)
		case 2:
			east.Stop()
			east.Restart()
		case 3:
			east.Stop()
			west.Stop()
			west.Restart()
			east.Restart()
		}
	}
	close(stop)
	all.Wait()

	for _, w := range []struct{ mine, theirs *hometest.App }{{wei, mei}, {mei, wei}} {
		w.mine.Again()
		w.mine.Carried()
	}
	for who, dir := range map[*hometest.App]string{wei: eastHome, mei: westHome} {
		hometest.Until(t, who.Username+"'s home is connected", func() bool {
			out, _, _ := says(t, "people", "--data", dir)
			return contains(out, "\tconnected")
		})
		who.Again()
		log := who.Links()
		hometest.Until(t, who.Username+"'s log has everything, with its tick", func() bool {
			events := map[protocol.ID]hometest.Event{}
			for _, e := range log.Log() {
				if _, twice := events[e.Mid]; twice || e.Type == "returned" {
					t.Fatalf("twice, or back: %+v", e)
				}
				events[e.Mid] = e
			}
			for mid, s := range l.sent {
				e, ok := events[mid]
				if !ok || e.Author == who.UID && e.Home == 0 {
					return false
				}
				if e.Hash != s.Hash {
					t.Fatal("another letter under the same mid")
				}
			}
			return true
		})
	}
	t.Logf("%d kills, %d letters accepted, %d put again", rounds, len(l.sent), l.again)
	a.stops()
	b.stops()
}

// ledger is what two outboxes remember: every letter that was ever sealed.
type ledger struct {
	mu    sync.Mutex
	sent  map[protocol.ID]hometest.Sent
	again int
}

// writes puts one letter after the other, each until the relay has accepted it, as
// an outbox does: the same bytes again after every loss.
func (l *ledger) writes(t *testing.T, from, to *hometest.App, slots []protocol.Key32, stop <-chan struct{}) {
	for i := 0; ; i++ {
		e, sent := from.Seal(to.UID, hometest.Draft{Type: "chat", Kind: "text", Slots: slots, Body: message.Text{Text: fmt.Sprint(i)}})
		for {
			err := from.Put([]protocol.UID{to.UID, from.UID}, e)
			if err == nil {
				break
			}
			if code := protocol.CodeOf(err); code != protocol.CodeInternal && code != protocol.CodeUnavailable && code != protocol.CodeRateLimited {
				t.Error(err)
				return
			}
			l.mu.Lock()
			l.again++
			l.mu.Unlock()
			from.Again()
		}
		l.mu.Lock()
		l.sent[sent.Mid] = sent
		l.mu.Unlock()
		select {
		case <-stop:
			return
		case <-time.After(120 * time.Millisecond): // a relay reads ten frames a second
		}
	}
}
