package household_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// dayAfterDay moves the clock until the home serves the record with counter.
func dayAfterDay(t *testing.T, a *hometest.App, counter int64) {
	t.Helper()
	for a.UEKOf(a.UID).Counter < counter {
		last := a.UEKOf(a.UID).Counter
		a.Clock.Advance(25 * time.Hour)
		moved := time.Now()
		hometest.Until(t, "a new record", func() bool {
			if time.Since(moved) > 2*time.Second { // the home was looking just then: it looks again in half an hour
				a.Clock.Advance(31 * time.Minute)
				moved = time.Now()
			}
			return a.UEKOf(a.UID).Counter > last
		})
	}
}

// knows lists the counters of the keys that the home still has.
func knows(a *hometest.App) map[int64]ident.UEKSecret {
	a.Secrets = nil
	a.Learn()
	out := map[int64]ident.UEKSecret{}
	for _, k := range a.Secrets {
		out[k.Counter] = k
	}
	return out
}

func TestADeletedKeyIsGoneFromTheDisk(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		home := c.Home(database)
		wei.Pairs(home)
		mei.Ticked(mei.Says(wei, "with the first key"))
		keys := knows(wei)
		if len(keys) != 2 {
			t.Fatalf("%d keys", len(keys))
		}
		forms := func(k ident.UEKSecret) [][]byte {
			b := k.Secret.Expose()
			return [][]byte{b[:], []byte(base64.StdEncoding.EncodeToString(b[:])[:42]), []byte(base64.RawURLEncoding.EncodeToString(b[:])[:42]), fmt.Appendf(nil, "%x", b)}
		}
		for counter, k := range keys { // the control: it would be found
			if grep(t, home.Dir, forms(k)[0]) == "" {
				t.Fatalf("key %d is not on the disk at all: this test proves nothing", counter)
			}
		}
		dayAfterDay(t, wei, 3)
		if len(knows(wei)) != 3 {
			t.Error("a key was deleted before its 48 hours")
		}
		dayAfterDay(t, wei, 6)
		moved := time.Now()
		hometest.Until(t, "the first two are deleted", func() bool {
			if time.Since(moved) > 2*time.Second {
				c.Clock.Advance(31 * time.Minute)
				moved = time.Now()
			}
			now := knows(wei)
			_, one := now[1]
			_, two := now[2]
			return !one && !two
		})
		for counter, k := range keys {
			for _, form := range forms(k) {
				if file := grep(t, home.Dir, form); file != "" {
					t.Errorf("key %d is still in %s", counter, file)
				}
			}
		}
		// And nothing that was written since is missing.
		mei.Close()
		mei.Connect()
		mei.Ticked(mei.Says(wei, "with the newest key"))
	})
}

func TestALetterThatWaitedAMonthIsOpened(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home()
	wei.Pairs(home)
	home.Stop()
	s := mei.Says(wei, "while you were away")
	c.Clock.Advance(30 * 24 * time.Hour)
	mei.Close()
	mei.Connect()
	home.Start()
	mei.Ticked(s)
	wei.Close()
	wei.Connect()
	wei.Links().LogHas("the letter", is(s))
}

func TestALetterToADeletedKeyIsSealedAgain(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		weis, meis := c.Home(database), c.Home(database)
		wei.Pairs(weis)
		mei.Pairs(meis)
		old := wei.UEKOf(wei.UID)
		dayAfterDay(t, wei, old.Counter+4)
		moved := time.Now()
		hometest.Until(t, "the key is deleted", func() bool {
			if time.Since(moved) > 2*time.Second {
				c.Clock.Advance(31 * time.Minute)
				moved = time.Now()
			}
			_, ok := knows(wei)[old.Counter]
			return !ok
		})
		for _, a := range []*hometest.App{wei, mei} {
			a.Close()
			a.Connect()
			a.Learn()
		}
		s := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Body: message.Text{Text: "to a key of last week"},
			Slots: []protocol.Key32{old.Key, mei.UEKOf(mei.UID).Key}})
		log := wei.Links()
		e := log.LogHas("the same message", is(s))
		if e.Hash == s.Hash {
			t.Error("it came as the old letter")
		}
		if e.Clock != s.Envelope.TS || textOf(t, e) != "to a key of last week" {
			t.Errorf("sealed again, but changed: %+v", e)
		}
		// mei's home knows the new letter's hash, so wei's receipt for it counts.
		mei.Links().LogHas("the tick", func(e hometest.Event) bool { return e.Mid == s.Mid && e.Home > 0 })
		if n := len(log.Log()); n != 1 {
			t.Errorf("%d events in wei's log", n)
		}
	})
}

func TestAKeyThatADeviceIssuedMeanwhile(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		home := c.Home(database)
		wei.Pairs(home)
		home.Stop()
		wei.NewUEK() // the home is away: its secret goes into the vault
		s := mei.Says(wei, "to the phone's key")
		home.Start()
		mei.Ticked(s)
		hometest.Until(t, "the key has left the vault", func() bool { return len(wei.Vault().UEKs) == 0 })
		hometest.Until(t, "the home issues one of its own", func() bool { return wei.UEKOf(wei.UID).Counter == 4 })
	})
}

func TestALetterWhoseSenderCannotBeAskedForIsKept(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		net := &flaky{}
		home := c.Home(net.config, database)
		wei.Pairs(home)
		net.lose("GET /api/1/chains/" + mei.UID.String())
		s := mei.Says(wei, "do you know me?")
		// It is in custody: the relay may forget it, though it cannot be opened yet.
		hometest.Until(t, "the relay has forgotten it", func() bool { return net.lost() > 0 && wei.Kept() == 0 })
		if n := len(wei.Links().Log()); n != 0 {
			t.Fatalf("%d events", n)
		}
		home.Stop()
		home.Start()
		wei.TakenOver(home)
		wei.Links() // the line is all up: both sides have the same time
		net.lose("")
		c.Clock.Advance(time.Minute)
		mei.Ticked(s)
		wei.Links().LogHas("the letter", is(s))
	})
}

func TestRubbishDoesNotStandInTheWay(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		home := c.Home(database)
		wei.Pairs(home)
		slots := []protocol.Key32{wei.UEKOf(wei.UID).Key}
		bad := func(change func(*protocol.Envelope)) {
			e, _ := mei.Seal(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Body: message.Text{Text: "x"}, Slots: slots, Alone: true})
			change(e)
			if err := mei.Put([]protocol.UID{wei.UID}, e); err != nil {
				t.Fatal(err)
			}
		}
		bad(func(e *protocol.Envelope) { e.Data[len(e.Data)-1] ^= 1 })
		bad(func(e *protocol.Envelope) { e.Data = []byte{1, 2, 3} })
		bad(func(e *protocol.Envelope) { e.Data[70] ^= 1 })
		bad(func(e *protocol.Envelope) { e.Type = "hologram" })
		mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Alone: true, Raw: []byte(`{"text":7}`), Slots: slots})
		stranger, err := ident.GenerateDeviceKeys(hometest.Random)
		if err != nil {
			t.Fatal(err)
		}
		forged := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Alone: true, Body: message.Text{Text: "x"}, Keys: stranger, Slots: slots})
		future := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "hologram", Raw: []byte(`{"of":"tomorrow","deep":[[1]]}`)})
		ahead := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Body: message.Text{Text: "from tomorrow"}, Clock: mei.Now() + 24*3600*1000})
		good := mei.Says(wei, "and yet")
		mei.Ticked(good)
		log := wei.Links()
		events := log.Log()
		if len(events) != 3 {
			t.Fatalf("%d events: %+v", len(events), events)
		}
		if events[0].Mid != future.Mid || string(events[0].Body) != `{"of":"tomorrow","deep":[[1]]}` {
			t.Errorf("a kind of tomorrow: %+v", events[0])
		}
		if e := events[1]; e.Mid != ahead.Mid || e.Clock != e.TS+10*60*1000 {
			t.Errorf("a clock of tomorrow: %+v", e)
		}
		if n := mei.Ticks(forged.Mid); n != 0 {
			t.Error("a forged letter got a receipt")
		}
		hometest.Until(t, "the relay is empty", func() bool { return wei.Kept() == 0 })
	})
}

func TestALetterFromBeforeARevocationCounts(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home()
	wei.Pairs(home)
	home.Stop()
	tablet := mei.AddDevice(ident.RoleAdmin)
	tablet.Connect()
	s := tablet.Says(wei, "from my old tablet")
	// Its letter seals itself as from after the revocation.
	c.Clock.Advance(time.Minute)
	mei.Publish(mei.Chain().NewDeviceRevoke(mei.Keys, tablet.Keys.ID(), 0, mei.Now()))
	stolen := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Alone: true, Body: message.Text{Text: "x"}, Keys: tablet.Keys, TS: mei.Now() + 1000})
	home.Start()
	mei.Ticked(s)
	mei.Ticked(mei.Says(wei, "from my new one"))
	if n := mei.Ticks(stolen.Mid); n != 0 {
		t.Error("a revoked device's letter was taken")
	}
	wei.Links().LogHas("the old letter", is(s))
}

func TestAFriendsFloodHoldsUpNobody(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	tom := c.Guest(wei, "tom")
	home := c.Home(func(c *household.Config) { c.FramesPerSecond = 9 }) // what a relay reads
	wei.Pairs(home)
	invite := wei.Invite()
	home.Stop()
	stranger, err := protocol.NewBoxSecret(hometest.Random)
	if err != nil {
		t.Fatal(err)
	}
	for range 400 {
		tom.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Body: message.Text{Text: "x"}, Slots: []protocol.Key32{stranger.Public()}, Alone: true})
	}
	s := mei.Says(wei, "and me?")
	ann := c.JoinBy(invite, "ann")
	ann.Sends(wei.UID, hometest.Draft{Type: "friend", Kind: "joined", Alone: true, Body: message.Joined{Name: ann.Name, Username: ann.Username,
		Invite: invite.ID, Proof: vault.InviteProof(invite.Secret, invite.ID, wei.UID, ann.UID)}})
	home.Start()
	mei.Ticked(s)
	ann.Await("accept", func(o hometest.Opened) bool { return o.Type == "friend" && o.Meta.Kind == "accept" })
	stale := 0
	for _, o := range tom.Letters() {
		if o.Meta.Kind == message.KindStale {
			stale++
		}
	}
	if stale >= 200 { // the bound of what is owed to one friend: all of it went first
		t.Errorf("%d notices to the friend who sends rubbish came first", stale)
	}
}
