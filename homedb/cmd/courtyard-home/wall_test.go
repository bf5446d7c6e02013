package main_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
)

// TestKilledWhileTheWallGrows kills the home again and again while its person
// writes, edits and takes back: in the end it has the wall as it is written.
func TestKilledWhileTheWallGrows(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	dir, url := filepath.Join(t.TempDir(), "home"), c.Place.URL("http", "")
	a := starts(t, dir, url, nil)
	pairs(t, wei, a)
	wall := wei.Writes()
	photo, _ := wall.Photo(200)
	first := wall.Say("the first one", photo) // as long as it stands, the relay keeps the photo
	shown := map[protocol.ID]string{first.ID: first.Text}
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for i := 0; i < 190; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := wall.Say(fmt.Sprint("number ", i), photo)
			shown[p.ID] = p.Text
			switch i % 3 {
			case 0:
				wall.Post(post.Content{Op: post.OpDelete, ID: p.ID, Gone: []int64{p.Seq}})
				delete(shown, p.ID)
			case 1:
				e := wall.Post(post.Content{Op: post.OpEdit, ID: p.ID, Text: p.Text + ", edited", Posted: p.TS, Gone: []int64{p.Seq}})
				shown[p.ID] = e.Text
			}
			if wall.Last.Seq >= 195 { // a day's worth
				return
			}
		}
	})
	for range 5 {
		time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond) // the moment of a power cut is nobody's choice
		a.kills()
		a = starts(t, dir, url, nil)
	}
	close(stop)
	all.Wait()
	wall.Say("the last one")
	wei.Close()
	wei.Connect()
	kept := 0
	for _, change := range wall.Keeps(wei.Links()) {
		if text, ok := shown[change.ID]; ok && text == change.Text {
			kept++
		} else if change.Op != post.OpDelete && change.Text != "the last one" {
			t.Errorf("the home shows %q", change.Text)
		}
	}
	if kept != len(shown) || kept == 0 {
		t.Errorf("%d posts at home, %d written", kept, len(shown))
	}
	a.stops()
	t.Logf("%d changes, %d posts", wall.Last.Seq, kept)
}
