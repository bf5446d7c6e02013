package household_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
)

func TestAWallComesHome(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		wall := wei.Writes()
		before := wall.Say("taken back before there was a home")
		photo, raw := wall.Photo(40)
		first := wall.Say("before there was a home", photo)
		wall.Post(post.Content{Op: post.OpDelete, ID: before.ID, Gone: []int64{before.Seq}})
		home := c.Home(database)
		wei.Pairs(home)
		link := wei.Links()
		all := wall.Keeps(link)
		if len(all) != 2 || all[0].Hash != first.Hash {
			t.Fatal("the home has", len(all))
		}
		marker := "a-sentence-that-is-taken-back-" + first.Hash.String()
		second := wall.Say(marker)
		wall.Say(strings.Repeat("字", 13_000)) // as long as a post may be: it fits a link's answer
		for range 20 {
			wall.Say("one of many")
		}
		if all = wall.Keeps(link); len(all) != 24 {
			t.Fatal("the home has", len(all))
		}
		if err := link.Asks("wall", map[string]any{"after": -1, "limit": 10}, nil); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Error(err)
		}
		if err := link.Asks("wall", map[string]any{"limit": 101}, nil); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Error(err)
		}
		wall.Post(post.Content{Op: post.OpDelete, ID: second.ID, Gone: []int64{second.Seq}})
		for _, kept := range wall.Keeps(link) {
			if kept.Hash == second.Hash {
				t.Error("the home shows what was taken back")
			}
		}
		other, otherRaw := wall.Photo(30)
		edited := wall.Post(post.Content{Op: post.OpEdit, ID: first.ID, Text: "another photo", Posted: first.TS, Photos: []post.Photo{other}, Gone: []int64{first.Seq}})
		wall.Keeps(link)
		if home.Config().Database != "" {
			return
		}
		hometest.Until(t, "the photo is home", func() bool { return grep(t, home.Dir, otherRaw[len(otherRaw)/2:][:200]) != "" })
		home.Stop()
		c.Stop()
		for what, text := range map[string][]byte{"a text": []byte(marker), "a photo": raw[len(raw)/2:][:200], "the text before the edit": []byte("before there was a home")} {
			if name := grep(t, home.Dir, text); name != "" {
				t.Errorf("%s that was taken back is still in %s", what, name)
			}
			if name := grep(t, c.Dir(), text); name != "" {
				t.Errorf("%s that was taken back is still in the relay's %s", what, name)
			}
		}
		if grep(t, home.Dir, []byte(edited.Text)) == "" {
			t.Error("the texts are not where this test looks for them")
		}
	})
}

// TestTheHomeSaysThatTheWallStands: the head is renewed once a day, by the home.
func TestTheHomeSaysThatTheWallStands(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	wall := wei.Writes()
	wall.Say("hello")
	home := c.Home()
	wei.Pairs(home)
	link := wei.Links()
	wall.Keeps(link)
	written := wall.Head()
	c.Clock.Advance(25 * time.Hour)
	hometest.Until(t, "the head is renewed", func() bool { return wall.Head().TS > written.TS+(24*time.Hour).Milliseconds() })
	renewed := wall.Head()
	if renewed.Seq != written.Seq || renewed.Hash != written.Hash {
		t.Error("another wall:", renewed)
	}
	// A device that has not seen it writes on: it takes the time of the newer head over.
	wall.Last = &renewed
	wall.Say("and on")
	wall.Keeps(link)
}

// TestAnAlteredWallIsNotKept: the relay's operator puts last night's database
// back; the home says so, and keeps what it has.
func TestAnAlteredWallIsNotKept(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	home := c.Home()
	wei.Pairs(home)
	wall := wei.Writes()
	wall.Say("one")
	wall.Keeps(wei.Links())
	home.Stop()
	wei.Close()
	c.Stop()
	database := filepath.Join(c.Dir(), "courtyard.db")
	night, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	c.Restart()
	wei.Connect()
	home.Start()
	two := wall.Say("two")
	wall.Keeps(wei.Links())
	home.Stop()
	wei.Close()
	c.Stop()
	if err := os.WriteFile(database, night, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Restart()
	wei.Connect()
	home.Start()
	hometest.Until(t, "the home notices", func() bool { return c.Counts(home)("wall-altered") > 0 })
	kept, pin, err := wei.Links().Kept(wei.Chain(), 100)
	if err != nil || pin.Seq != 2 || len(kept) != 2 || kept[1].Hash != two.Hash || !bytes.Contains(kept[1].Signed.Payload, []byte("two")) {
		t.Errorf("the home keeps %d changes: %v", len(kept), err)
	}
}
