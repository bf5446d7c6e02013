package household_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// street is wei, with a home, in one courtyard and mei in the other.
type street struct {
	east, west *hometest.Courtyard
	wei, mei   *hometest.App
	home       *hometest.Home
}

func newStreet(t *testing.T, change ...func(*household.Config)) *street {
	t.Helper()
	s := &street{}
	s.east, s.west = hometest.StartTwo(t)
	s.wei, s.mei = s.east.Owner("wei"), s.west.Owner("mei")
	s.wei.Meets(s.mei)
	s.home = s.east.Home(change...)
	s.wei.Pairs(s.home)
	return s
}

// back brings a courtyard that was away back, and everybody to it.
func (s *street) back(c *hometest.Courtyard, people ...*hometest.App) {
	c.Restart()
	for _, a := range people {
		a.Close()
		a.Connect()
	}
	s.later(16 * time.Minute) // relays that wait for each other try again
}

// later moves the clock of both courtyards.
func (s *street) later(d time.Duration) { s.east.Clock.Advance(d) }

func TestFriendsInAnotherCourtyard(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		s := newStreet(t, database)
		first := s.mei.Says(s.wei, "from over there")
		s.mei.Ticked(first)
		mine := s.wei.Says(s.mei, "and back")
		got := s.mei.Await("the answer", func(o hometest.Opened) bool { return o.Meta.MID == mine.Mid })
		if got.Hash != mine.Hash {
			t.Error("another letter than the one that was sent")
		}
		log := s.wei.Links()
		for _, sent := range []hometest.Sent{first, mine} {
			if e := log.LogHas("a letter", is(sent)); e.Hash != sent.Hash || e.Peer != s.mei.UID {
				t.Errorf("event %+v", e)
			}
		}
		// mei gets a home too, which takes over what her courtyard kept for her.
		meis := s.west.Home(database)
		s.mei.Pairs(meis)
		// From here on both homes empty the queues, and a phone hears from its home.
		ticked := func(l *hometest.Linked, sent hometest.Sent) {
			t.Helper()
			l.LogHas("the house tick", func(e hometest.Event) bool { return e.Mid == sent.Mid && e.Home > 0 })
		}
		ticked(log, mine)
		there := s.mei.Links()
		edit := s.mei.Sends(s.wei.UID, hometest.Draft{Type: "chat", Kind: "edit", Body: message.Edit{Target: first.Mid, Text: "from afar"}})
		ticked(there, edit)
		gone := s.mei.Sends(s.wei.UID, hometest.Draft{Type: "chat", Kind: "delete", Body: message.Delete{Target: first.Mid}})
		ticked(there, gone)
		if e := log.LogHas("the letter", is(first)); string(e.Body) != "null" {
			t.Errorf("a deleted text is still there: %s", e.Body)
		}
		s.wei.Carried()
		s.mei.Carried()
		for _, l := range []*hometest.Linked{log, there} {
			seen := map[protocol.ID]bool{}
			for _, e := range l.Log() {
				if seen[e.Mid] || e.Type == "returned" {
					t.Errorf("twice, or back: %+v", e)
				}
				seen[e.Mid] = true
			}
		}
	})
}

func TestSomebodyElsewhereJoinsWhileNoBrowserIsOpen(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		east, west := hometest.StartTwo(t)
		wei, mei := east.Owner("wei"), west.Owner("mei")
		tom := west.Guest(mei, "tom")
		home := east.Home(database)
		wei.Pairs(home)
		joins := func(a *hometest.App, invite vault.Invite, username string) {
			a.Allows(wei)
			if err := a.Try("POST", "/api/1/invites/"+invite.ID.String()+"/spend?host="+east.Place.Host, map[string]any{}); err != nil {
				t.Fatal(err)
			}
			proof := vault.InviteProof(invite.Secret, invite.ID, wei.UID, a.UID)
			a.Sends(wei.UID, hometest.Draft{Type: "friend", Kind: "joined", Alone: true,
				Body: message.Joined{Name: a.Name, Username: username, Invite: invite.ID, Proof: proof}})
			a.Await("accept", func(o hometest.Opened) bool { return o.Type == "friend" && o.Meta.Kind == "accept" })
		}
		one, two := wei.Invite(), wei.Invite()
		wei.Close()
		joins(mei, one, "mei")
		joins(tom, two, "mei") // he would like to be taken for her
		wei.Connect()
		friends := wei.Vault().Friends
		if len(friends) != 2 {
			t.Fatalf("%d friends in the vault", len(friends))
		}
		for i, want := range []struct {
			who  *hometest.App
			name string
		}{{mei, "mei"}, {tom, ""}} {
			f := friends[i]
			if f.UID != want.who.UID || f.Host != west.Relay.Host || f.Port != west.Relay.Port || f.Username != want.name ||
				f.State != vault.StateFriend || !f.Confirmed || f.Head != want.who.Chain().Head() || f.UEKKey != want.who.UEKOf(want.who.UID).Key {
				t.Errorf("friend %+v", f)
			}
		}
		mei.Ticked(mei.Says(wei, "thank you"))
	})
}

// TestFirstContactWhileTheirCourtyardIsAway: the letter is on wei's relay, and there
// is nobody to ask who wrote it. The home keeps it as it came and asks again.
func TestFirstContactWhileTheirCourtyardIsAway(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		s := newStreet(t, database)
		s.home.Stop()
		sent := s.mei.Says(s.wei, "the first word")
		s.mei.Carried()
		s.west.Stop()
		s.home.Start()
		hometest.Until(t, "it is kept at home", func() bool { return s.wei.Kept() == 0 })
		log := s.wei.Links()
		if n := len(log.Log()); n != 0 {
			t.Fatalf("%d events of somebody whose chain nobody has seen", n)
		}
		s.home.Stop() // it survives that, and a long time
		s.later(24 * time.Hour)
		s.wei.Close()
		s.wei.Connect()
		s.home.Start()
		s.wei.TakenOver(s.home)
		s.back(s.west, s.mei)
		s.later(7 * time.Hour)
		s.wei.Close()
		s.wei.Connect()
		s.wei.Links().LogHas("the letter", is(sent))
		s.mei.Ticked(sent)
	})
}

// TestReceiptsWhileTheirCourtyardIsAway: what is pinned stays in use, the receipt
// waits at the own relay, and what waits for a chain hurries when they are back.
func TestReceiptsWhileTheirCourtyardIsAway(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		s := newStreet(t, database)
		s.mei.Ticked(s.mei.Says(s.wei, "one"))
		s.home.Stop()
		sent := s.mei.Says(s.wei, "two")
		s.mei.Carried()
		s.west.Stop()
		s.later(time.Hour)
		s.home.Start()
		s.wei.TakenOver(s.home)
		s.wei.Close()
		s.wei.Connect()
		s.wei.Links().LogHas("the letter", is(sent))
		s.wei.Waiting("the receipt waits at the own relay", func(rows []hometest.Parcel) bool {
			return slices.ContainsFunc(rows, func(p hometest.Parcel) bool { return p.To == s.mei.UID })
		})
		s.back(s.west, s.mei)
		s.mei.Ticked(sent)
		if n := s.mei.Ticks(sent.Mid); n != 1 {
			t.Errorf("%d receipts for one message", n)
		}
	})
}

func TestLettersThatComeBack(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		s := newStreet(t, database)
		before := s.mei.Says(s.wei, "before")
		s.mei.Ticked(before)
		// The last she says: the receipt for it comes back, and is nobody's business.
		s.home.Stop()
		late := s.mei.Says(s.wei, "I have blocked you")
		s.mei.Carried()
		s.mei.Contact(s.wei, "block")
		s.home.Start()
		s.wei.TakenOver(s.home)
		log := s.wei.Links()
		log.LogHas("mei's words", is(late))
		hometest.Until(t, "the receipt came back", func() bool { return s.east.Letters(s.home)("returned-receipt") > 0 })
		sent := s.wei.Says(s.mei, "do you hear me?")
		type back struct {
			ID   protocol.ID
			To   protocol.UID
			Code string
			Mid  protocol.ID
			Kind string
		}
		returned := func(of protocol.ID) (e hometest.Event, b back) {
			e = log.LogHas("that it came back", func(e hometest.Event) bool {
				b = back{}
				return e.Type == "returned" && json.Unmarshal(e.Body, &b) == nil && b.ID == of
			})
			return e, b
		}
		e, b := returned(sent.Envelope.ID)
		if b != (back{sent.Envelope.ID, s.mei.UID, protocol.CodeNotContact, sent.Mid, "text"}) ||
			e.Kind != "returned" || e.Peer != s.mei.UID || e.Author != protocol.UID(s.east.Relay.Key) || e.Mid == sent.Mid {
			t.Errorf("%+v says %+v", e, b)
		}
		shown := func() (kinds []string) {
			var page struct{ Events []hometest.Event }
			if err := log.Asks("page", map[string]any{"peer": s.mei.UID, "limit": 10}, &page); err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				kinds = append(kinds, e.Kind)
			}
			return kinds
		}
		if got := shown(); !slices.Equal(got, []string{"text", "returned", "text", "text"}) {
			t.Errorf("the conversation shows %q", got)
		}
		// A request that comes back is known to the device alone.
		asked := s.wei.Sends(s.mei.UID, hometest.Draft{Type: "friend", Kind: "request", Alone: true, Body: message.Request{Name: "wei", Username: "wei"}})
		if _, b := returned(asked.Envelope.ID); b.Kind != "" || !b.Mid.IsZero() {
			t.Errorf("%+v", b)
		}
		// wei tries again, when mei has changed her mind.
		s.mei.Allows(s.wei)
		again := s.wei.Sends(s.mei.UID, hometest.Draft{Type: "chat", Kind: "text", Mid: sent.Mid, Clock: sent.Envelope.TS, Body: message.Text{Text: "do you hear me?"}})
		s.mei.Await("it", func(o hometest.Opened) bool { return o.Meta.MID == sent.Mid && o.Hash == again.Hash })
		hometest.Until(t, "the conversation no longer says that it came back", func() bool { return !slices.Contains(shown(), "returned") })
		n := 0
		for _, e := range log.Log() {
			if e.Type == "returned" {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d letters came back", n)
		}
	})
}

func TestFilesFromAnotherCourtyard(t *testing.T) {
	s := newStreet(t)
	plain := make([]byte, 2<<20+17)
	rand.Read(plain) //nolint:errcheck // never fails
	file := s.mei.Upload(s.wei, plain)
	photo := s.mei.Sends(s.wei.UID, hometest.Draft{Type: "chat", Kind: "photo", Body: message.Photo{File: file, Width: 10, Height: 10, Thumb: []byte{1}}})
	s.mei.Ticked(photo)
	log := s.wei.Links()
	var a struct {
		Data protocol.Bytes `json:"data"`
		Size int64          `json:"size"`
	}
	hometest.Until(t, "the file is home", func() bool {
		return log.Asks("file", map[string]any{"id": file.ID, "offset": 0}, &a) == nil
	})
	sealed := []byte{}
	for int64(len(sealed)) < a.Size {
		if err := log.Asks("file", map[string]any{"id": file.ID, "offset": len(sealed)}, &a); err != nil {
			t.Fatal(err)
		}
		sealed = append(sealed, a.Data...)
	}
	var out bytes.Buffer
	if err := letter.OpenFile(&out, bytes.NewReader(sealed), file); err != nil || !bytes.Equal(out.Bytes(), plain) {
		t.Fatal("the file is another: ", err)
	}
}

// TestAFileThatComesLongAfterItsLetter: the letter is in the log and acknowledged;
// the file is asked for again and again, also by a home that was restarted.
func TestAFileThatComesLongAfterItsLetter(t *testing.T) {
	s := newStreet(t)
	file, sealed := s.mei.SealsFile([]byte("a picture"))
	photo := s.mei.Sends(s.wei.UID, hometest.Draft{Type: "chat", Kind: "photo", Body: message.Photo{File: file, Width: 1, Height: 1}})
	s.mei.Ticked(photo)
	s.home.Stop()
	s.later(48 * time.Hour)
	s.mei.Close()
	s.mei.Connect()
	s.home.Start()
	s.wei.TakenOver(s.home)
	s.mei.Uploads(s.wei, file, sealed)
	s.mei.Carried()
	s.later(7 * time.Hour)
	s.wei.Close()
	s.wei.Connect()
	log := s.wei.Links()
	hometest.Until(t, "the file is home", func() bool {
		return log.Asks("file", map[string]any{"id": file.ID, "offset": 0}, nil) == nil
	})
}

func TestALetterToADeletedKeyIsSealedAgainAcrossCourtyards(t *testing.T) {
	s := newStreet(t)
	meis := s.west.Home()
	s.mei.Pairs(meis)
	old := s.wei.UEKOf(s.wei.UID)
	dayAfterDay(t, s.wei, old.Counter+4)
	moved := time.Now()
	hometest.Until(t, "the key is deleted", func() bool {
		if time.Since(moved) > 2*time.Second {
			s.later(31 * time.Minute)
			moved = time.Now()
		}
		_, ok := knows(s.wei)[old.Counter]
		return !ok
	})
	for _, a := range []*hometest.App{s.wei, s.mei} {
		a.Close()
		a.Connect()
		a.Learn()
	}
	sent := s.mei.Sends(s.wei.UID, hometest.Draft{Type: "chat", Kind: "text", Body: message.Text{Text: "to a key of last week"},
		Slots: []protocol.Key32{old.Key, s.mei.UEKOf(s.mei.UID).Key}})
	log := s.wei.Links()
	if e := log.LogHas("the same message", is(sent)); e.Hash == sent.Hash || textOf(t, e) != "to a key of last week" {
		t.Errorf("%+v", e)
	}
	s.mei.Links().LogHas("the tick", func(e hometest.Event) bool { return e.Mid == sent.Mid && e.Home > 0 })
}

// TestAHouseTickThatWaitedTooLong: a receipt waits in custody until the key it is
// sealed to is gone. Its reader's home asks for it once more, and gets it.
func TestAHouseTickThatWaitedTooLong(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		s := newStreet(t, database)
		meis := s.west.Home(database)
		s.mei.Pairs(meis)
		first := s.mei.Says(s.wei, "so that keys are known")
		s.mei.Links().LogHas("the house tick", func(e hometest.Event) bool { return e.Mid == first.Mid && e.Home > 0 })
		s.home.Stop()
		sent := s.mei.Says(s.wei, "late news")
		s.mei.Carried()
		s.west.Stop()
		s.later(time.Hour)
		s.home.Start()
		s.wei.TakenOver(s.home)
		s.waits(t, "")
		// For days the two courtyards do not see each other, and mei's home goes on.
		s.east.Stop()
		s.west.Restart()
		s.mei.Close()
		s.mei.Connect()
		s.mei.TakenOver(meis) // it has heard what time it is, before the clock is moved
		old := s.mei.UEKOf(s.mei.UID).Counter
		dayAfterDay(t, s.mei, old+4)
		moved := time.Now()
		hometest.Until(t, "the key is deleted", func() bool {
			if time.Since(moved) > 2*time.Second {
				s.later(31 * time.Minute)
				moved = time.Now()
			}
			_, ok := knows(s.mei)[old]
			return !ok
		})
		s.back(s.east, s.wei)
		s.mei.Close()
		s.mei.Connect()
		hometest.Until(t, "the receipt cannot be opened", func() bool { return s.west.Letters(meis)("held-key") > 0 })
		log := s.mei.Links()
		log.LogHas("the house tick", func(e hometest.Event) bool { return e.Mid == sent.Mid && e.Home > 0 })
	})
}

// What asks for a letter once more is sealed to no key of yesterday: two who know only
// such keys of each other would ask each other for ever.
func TestWhoAsksAgainAsksWithAKeyOfToday(t *testing.T) {
	s := newStreet(t)
	s.mei.Ticked(s.mei.Says(s.wei, "so that keys are known"))
	s.home.Stop()
	old := s.mei.UEKOf(s.mei.UID).Counter
	s.mei.NewUEK()
	nobodys, err := protocol.NewBoxSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	lost := s.mei.Sends(s.wei.UID, hometest.Draft{Type: "chat", Kind: "text", Body: message.Text{Text: "nobody can read this"},
		Slots: []protocol.Key32{nobodys.Public(), s.mei.UEKOf(s.mei.UID).Key}})
	s.mei.Says(s.wei, "but this")
	s.mei.Carried()
	s.west.Stop()
	s.later(time.Hour)
	s.home.Start()
	s.wei.TakenOver(s.home)
	s.waits(t, "") // the receipt, and whatever else was due
	s.mei.Secrets = slices.DeleteFunc(s.mei.Secrets, func(k ident.UEKSecret) bool { return k.Counter == old })
	s.back(s.west, s.mei)
	s.mei.Await("the question", func(o hometest.Opened) bool {
		stale, ok := o.Body.(message.Stale)
		return ok && stale.ID == lost.Envelope.ID
	})
}
