package household_test

import (
	"slices"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// reconnects lets the home hear its relay's clock, and the person as well.
func (s *street) reconnects() {
	s.home.Stop()
	s.home.Start()
	s.wei.Close()
	s.wei.Connect()
	s.wei.TakenOver(s.home)
}

// waits until something of wei's waits for another courtyard, for that reason; ""
// for any.
func (s *street) waits(t *testing.T, code string) {
	t.Helper()
	s.wei.Waiting("something waits for "+code, func(rows []hometest.Parcel) bool {
		return slices.ContainsFunc(rows, func(p hometest.Parcel) bool { return code == "" || p.Code == code })
	})
}

// A relay whose clock is an hour ahead, for good: its homes follow it until another
// courtyard finds them to be ahead; then they believe their own clock.
func TestAHomeAtACourtyardWhoseClockIsAhead(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		s := newStreet(t, database)
		s.mei.Ticked(s.mei.Says(s.wei, "before"))
		s.east.SetClock(time.Hour)
		s.reconnects()
		for _, words := range []string{"one", "two"} {
			sent := s.mei.Says(s.wei, words)
			o := s.mei.Ticked(sent)
			if lead := o.Envelope.TS - s.mei.Now(); lead > time.Minute.Milliseconds() {
				t.Errorf("a receipt is dated %d ms ahead", lead)
			}
			if n := s.mei.Ticks(sent.Mid); n != 1 {
				t.Errorf("%d receipts for one message", n)
			}
		}
		if n := s.east.Letters(s.home)("returned-receipt"); n != 1 {
			t.Errorf("%d receipts came back: after the first it is known", n)
		}
	})
}

// What was written while the relay's clock was ahead waits, and once the clock is
// right comes back and is written anew, by itself. The home's own clock is no help.
func TestLettersOfATimeThatNeverWas(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		ahead := clock.NewMoved()
		ahead.Advance(time.Hour)
		s := newStreet(t, database, func(c *household.Config) { c.Clock = ahead })
		s.mei.Ticked(s.mei.Says(s.wei, "before"))
		s.east.SetClock(time.Hour)
		s.reconnects()
		sent := s.mei.Says(s.wei, "now")
		s.waits(t, protocol.CodeClockAhead)
		// A message of wei's phone too, which is as wrong.
		words := s.wei.Sends(s.mei.UID, hometest.Draft{Type: "chat", Kind: "text", TS: s.wei.Now() + time.Hour.Milliseconds(), Body: message.Text{Text: "and mine"}})
		// The clock is set right in the midst of a line: the relay says so when it refuses.
		s.east.SetClock(0)
		second := s.mei.Says(s.wei, "your clock is right again")
		hometest.Until(t, "a receipt with the right time", func() bool {
			ahead.Advance(10 * time.Second)
			return s.mei.Ticks(second.Mid) == 1
		})
		s.east.Stop() // a courtyard that is started tries everything
		s.east.Restart()
		s.wei.Close()
		s.wei.Connect()
		hometest.Until(t, "it came back", func() bool { return s.east.Letters(s.home)("returned-ahead") == 1 })
		// The device has not written it anew within a minute, so the home does.
		s.mei.Ticked(sent)
		var got hometest.Opened
		hometest.Until(t, "mei gets wei's words", func() bool {
			ahead.Advance(time.Minute)
			letters := s.mei.Letters()
			i := slices.IndexFunc(letters, func(o hometest.Opened) bool { return o.Meta.MID == words.Mid })
			if i >= 0 {
				got = letters[i]
			}
			return i >= 0
		})
		if got.Hash == words.Hash || got.Envelope.TS >= words.Envelope.TS || got.Meta.Clock != words.Envelope.TS {
			t.Errorf("%+v", got)
		}
		s.wei.Carried()
		s.reconnects() // devices speak with the home by the relay's time
		log := s.wei.Links()
		var page struct{ Events []hometest.Event }
		hometest.Until(t, "the conversation no longer says that it came back", func() bool {
			if err := log.Asks("page", map[string]any{"peer": s.mei.UID, "limit": 10}, &page); err != nil {
				t.Fatal(err)
			}
			return !slices.ContainsFunc(page.Events, func(e hometest.Event) bool { return e.Type == "returned" })
		})
	})
}

// A device is there first, as a rule: then the home has nothing to do.
func TestWhatADeviceHasSealedAnewIsLeftToIt(t *testing.T) {
	s := newStreet(t)
	s.mei.Ticked(s.mei.Says(s.wei, "before"))
	s.east.SetClock(time.Hour)
	words := s.wei.Sends(s.mei.UID, hometest.Draft{Type: "chat", Kind: "text", TS: s.wei.Now() + time.Hour.Milliseconds(), Body: message.Text{Text: "late"}})
	s.waits(t, protocol.CodeClockAhead)
	s.east.SetClock(0)
	s.east.Stop()
	s.east.Restart()
	s.wei.Close()
	s.wei.Connect()
	hometest.Until(t, "it came back", func() bool { return s.east.Letters(s.home)("returned-ahead") == 1 })
	again := s.wei.Sends(s.mei.UID, hometest.Draft{Type: "chat", Kind: "text", Mid: words.Mid, Clock: words.Envelope.TS, Body: message.Text{Text: "late"}})
	log := s.wei.Links()
	hometest.Until(t, "the home has the letter of the device", func() bool {
		var page struct{ Events []hometest.Event }
		if err := log.Asks("page", map[string]any{"peer": s.mei.UID, "limit": 10}, &page); err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(page.Events, func(e hometest.Event) bool { return e.Type == "returned" })
	})
	s.later(5 * time.Minute)
	for _, words := range []string{"and", "then"} { // what was due before these receipts has been dealt with
		s.mei.Ticked(s.mei.Says(s.wei, words))
	}
	var got []protocol.Hash32
	for _, o := range s.mei.Letters() {
		if o.Meta.MID == words.Mid {
			got = append(got, o.Hash)
		}
	}
	if !slices.Equal(got, []protocol.Hash32{again.Hash}) {
		t.Errorf("mei got %v", got)
	}
}

// Both courtyards' clocks are behind for a while, so that what has the right date is
// called ahead. It is not dated too early, which would put it before what was written
// earlier, but waits; for ten minutes, if they never agree.
func TestWhatHasTheRightDateKeepsIt(t *testing.T) {
	for name, c := range map[string]struct {
		behind time.Duration // until the end
		keeps  bool
	}{"right again": {0, true}, "behind for good": {-2 * time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
				s := newStreet(t, database)
				s.mei.Ticked(s.mei.Says(s.wei, "before"))
				s.west.SetClock(-2 * time.Hour)
				words := s.wei.Says(s.mei, "what time is it?")
				s.waits(t, protocol.CodeClockAhead)
				s.east.Stop()
				s.east.SetClock(-2 * time.Hour)
				s.east.Restart()
				hometest.Until(t, "it came back", func() bool { return s.east.Letters(s.home)("returned-ahead") == 1 })
				s.later(2 * time.Minute)
				for _, says := range []string{"and", "then"} { // what was due before these receipts has been looked at
					s.mei.Ticked(s.mei.Sends(s.wei.UID, hometest.Draft{Type: "chat", Kind: "text", TS: s.mei.Now() - 2*time.Hour.Milliseconds(), Body: message.Text{Text: says}}))
				}
				s.east.SetClock(c.behind)
				s.west.SetClock(c.behind)
				var got hometest.Opened
				hometest.Until(t, "mei gets wei's words", func() bool {
					s.later(time.Minute)
					letters := s.mei.Letters()
					i := slices.IndexFunc(letters, func(o hometest.Opened) bool { return o.Meta.MID == words.Mid })
					if i >= 0 {
						got = letters[i]
					}
					return i >= 0
				})
				if kept := got.Envelope.TS > words.Envelope.TS-time.Hour.Milliseconds(); got.Hash == words.Hash || kept != c.keeps || got.Meta.Clock != words.Envelope.TS {
					t.Errorf("dated %d, first %d: %+v", got.Envelope.TS, words.Envelope.TS, got)
				}
			})
		})
	}
}
