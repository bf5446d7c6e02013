package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// TestKilledUnderLoad kills the home again and again while letters pour in:
// nothing that the relay or the home has acknowledged is missing in the end, and
// nothing is there twice. Five times, or a hundred with COURTYARD_LONG=1.
func TestKilledUnderLoad(t *testing.T) {
	rounds := 5
	if os.Getenv("COURTYARD_LONG") != "" {
		rounds = 100
	}
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	dir, url := filepath.Join(t.TempDir(), "home"), c.Place.URL("http", "")
	a := starts(t, dir, url, nil)
	pairs(t, wei, a)

	// Letters go out as fast as the relay takes them; every one of them is sealed to
	// the key of now.
	slots := []protocol.Key32{wei.UEKOf(wei.UID).Key}
	accepted := map[protocol.ID]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	stop := make(chan struct{})
	for writer := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s, err := mei.TrySend(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Alone: true, Slots: slots,
					Body: message.Text{Text: fmt.Sprintf("%d of writer %d", i, writer)}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				accepted[s.Mid] = true
				mu.Unlock()
			}
		})
	}
	for range rounds {
		time.Sleep(time.Duration(200+rand.IntN(600)) * time.Millisecond) // the moment of a power cut is nobody's choice
		a.kills()
		a = starts(t, dir, url, nil)
	}
	close(stop)
	all.Wait()
	last := mei.Says(wei, "the last one")
	accepted[last.Mid] = true
	hometest.Until(t, "the relay is empty", func() bool { return wei.Kept() == 0 })
	mei.Ticked(last)

	wei.Close()
	wei.Connect()
	seen := map[protocol.ID]int{}
	for _, e := range wei.Links().Log() {
		seen[e.Mid]++
		if seen[e.Mid] > 1 {
			t.Error("a message is there twice")
		}
	}
	missing := 0
	for mid := range accepted {
		if seen[mid] == 0 {
			missing++
		}
	}
	ticked := 0
	for _, o := range mei.Letters() {
		if h, ok := o.Body.(message.Home); ok {
			for _, item := range h.Items {
				ticked++
				if seen[item.MID] == 0 {
					t.Error("a message that the home acknowledged is missing")
				}
			}
		}
	}
	if missing > 0 || len(seen) != len(accepted) {
		t.Errorf("%d accepted, %d in the log, %d missing", len(accepted), len(seen), missing)
	}
	a.stops()
	t.Logf("%d kills, %d letters, %d receipts", rounds, len(accepted), ticked)
}

// TestADiskThatFillsUp: while there is no room nothing is confirmed, and once
// there is, nothing is missing.
func TestADiskThatFillsUp(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("making a small disk needs root: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	a := starts(t, filepath.Join(dir, "home"), c.Place.URL("http", ""), nil)
	pairs(t, wei, a)
	mei.Ticked(mei.Says(wei, "there is room"))
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	var sent []hometest.Sent
	text := message.Text{Text: string(make([]rune, 0, 1)) + fmt.Sprintf("%04000d", 7)}
	for range 200 {
		sent = append(sent, mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Alone: true, Body: text, Slots: []protocol.Key32{wei.UEKOf(wei.UID).Key}}))
	}
	hometest.Until(t, "the home says that it is full", func() bool { return contains(a.log.String(), "full=true") })
	if n := wei.Kept(); n == 0 {
		t.Error("the relay was told to forget what found no room")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for _, s := range sent {
		mei.Ticked(s)
	}
	a.stops()
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	f.Close() //nolint:errcheck // the disk is full
}
