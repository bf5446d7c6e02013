package household_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/homedb/internal/person"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/protocol/vault"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eachDatabase plays a story with a home on SQLite and on PostgreSQL.
func eachDatabase(t *testing.T, story func(t *testing.T, database func(*household.Config))) {
	t.Run("sqlite", func(t *testing.T) { story(t, func(*household.Config) {}) })
	t.Run("postgres", func(t *testing.T) {
		url := postgrestest.Start(t)
		story(t, func(c *household.Config) { c.Database = url })
	})
}

func is(s hometest.Sent) func(hometest.Event) bool {
	return func(e hometest.Event) bool { return e.Mid == s.Mid }
}

func textOf(t *testing.T, e hometest.Event) string {
	t.Helper()
	var b struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(e.Body, &b); err != nil {
		t.Fatal(err)
	}
	return b.Text
}

func TestAHomeIsPairedAndKeepsWhatIsSaid(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		before := mei.Says(wei, "before there was a home")
		home := c.Home(database)
		wei.Pairs(home)
		mei.Ticked(before)
		after := mei.Says(wei, "after 之后 🙂 <&>")
		mei.Ticked(after)
		own := wei.Says(mei, "my own words")
		log := wei.Links()
		for _, s := range []hometest.Sent{before, after, own} {
			e := log.LogHas("a letter", is(s))
			if e.Hash != s.Hash || e.TS != s.Envelope.TS {
				t.Errorf("event %+v", e)
			}
		}
		if got := textOf(t, log.LogHas("a letter", is(after))); got != "after 之后 🙂 <&>" {
			t.Errorf("text %q", got)
		}
		hometest.Until(t, "the relay is empty", func() bool { return wei.Kept() == 0 })
		contents := wei.Vault()
		if len(contents.UEKs) != 0 {
			t.Errorf("%d daily keys are still in the vault", len(contents.UEKs))
		}
		if string(contents.Rest["app"]) != `{"own":"words"}` || len(contents.Invites) != 1 {
			t.Errorf("the home lost what the app keeps in the vault: %+v", contents.Rest)
		}
		var keys struct{ UEKs []vault.UEK }
		raw := json.RawMessage{}
		if err := log.Asks("keys", nil, &raw); err != nil {
			t.Fatal(err)
		}
		var err error
		if keys.UEKs, err = vault.ParseUEKs(raw); err != nil || len(keys.UEKs) != 2 {
			t.Fatalf("%d keys over the link, %v", len(keys.UEKs), err)
		}
		newest := wei.UEKOf(wei.UID)
		if newest.Counter != 2 || keys.UEKs[0].Key().Secret.Public() != newest.Key {
			t.Error("the home did not issue a record of its own")
		}
		// All of it survives a restart.
		home.Stop()
		home.Start()
		wei.TakenOver(home)
		if n := len(wei.Links().Log()); n != 3 {
			t.Errorf("%d events after a restart", n)
		}
	})
}

func TestHistoryComesHomeThroughACrash(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		const n = 450 // three pages of the keep
		want := map[protocol.ID]bool{}
		for i := range n {
			s := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Alone: true, Body: message.Text{Text: fmt.Sprint(i)}, Slots: []protocol.Key32{wei.UEKOf(wei.UID).Key}})
			want[s.Mid] = true
			if i == n/2 {
				wei.NewUEK() // the vault holds two keys now
			}
		}
		broken := &flaky{}
		broken.lose("GET /api/1/keep?before=")
		home := c.Home(broken.config, database)
		wei.Approves(home.Offer().Code)
		hometest.Until(t, "the second page is asked for", func() bool { return broken.lost() > 0 })
		home.Stop() // in the middle of the takeover
		if wei.Kept() == 0 {
			t.Fatal("the relay was emptied before everything was home")
		}
		if len(wei.Vault().UEKs) == 0 {
			t.Fatal("the keys left the vault before everything was home")
		}
		broken.lose("")
		home.Start()
		wei.TakenOver(home)
		hometest.Until(t, "the relay is empty", func() bool { return wei.Kept() == 0 })
		events := wei.Links().Log()
		for _, e := range events {
			delete(want, e.Mid)
		}
		if len(events) != n || len(want) != 0 {
			t.Errorf("%d events, %d missing", len(events), len(want))
		}
	})
}

func TestTheSameMidTwiceIsOneEvent(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		home := c.Home(database)
		wei.Pairs(home)
		first := mei.Says(wei, "once")
		mei.Ticked(first)
		again := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "text", Mid: first.Mid, Body: message.Text{Text: "once"}})
		mei.Ticked(again) // its receipt counts as well: the sender may know no other hash
		if err := mei.Put([]protocol.UID{wei.UID, mei.UID}, first.Envelope); err != nil {
			t.Fatal("identical bytes: ", err)
		}
		last := mei.Says(wei, "last")
		mei.Ticked(last)
		if events := wei.Links().Log(); len(events) != 2 {
			t.Errorf("%d events", len(events))
		}
	})
}

func TestTicksAndMarksReachTheDevices(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		weis, meis := c.Home(database), c.Home(database)
		wei.Pairs(weis)
		mei.Pairs(meis)
		s := wei.Says(mei, "hello")
		log := wei.Links() // the phone may never see the receipt's row: the home empties the queue
		e := log.LogHas("the tick", func(e hometest.Event) bool { return e.Mid == s.Mid && e.Home > 0 })
		log.LogHas("the receipt itself", func(e hometest.Event) bool { return e.Type == "receipt" && e.Kind == "home" && e.Author == mei.UID })
		mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "read", Body: message.Read{Upto: e.Clock, MID: s.Mid}})
		log.LogHas("the read mark", func(e hometest.Event) bool { return e.Mid == s.Mid && e.Read > 0 })
		// Receipts get no receipts: nothing more moves between the two homes.
		receipts := 0
		for _, e := range log.Log() {
			if e.Type == "receipt" && e.Author == mei.UID {
				receipts++
			}
		}
		if receipts != 1 {
			t.Errorf("%d receipts for one message", receipts)
		}
	})
}

func TestATickThatIsNotAHomesDoesNotCount(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home()
	wei.Pairs(home)
	s := wei.Says(mei, "are you there?")
	log := wei.Links()
	log.LogHas("the message", is(s))
	// mei has no home: her phone, and a session of hers, claim to be one.
	forged := hometest.Draft{Type: "receipt", Kind: "home", Alone: true, Body: message.Home{Items: []message.Item{{MID: s.Mid, Hash: s.Hash}}}}
	mei.Sends(wei.UID, forged)
	marker := mei.Says(wei, "no")
	mei.Ticked(marker)
	if e := log.LogHas("the message", is(s)); e.Home != 0 {
		t.Error("a phone's home receipt counts")
	}
	for _, e := range log.Log() {
		if e.Kind == "home" {
			t.Error("a forged receipt is in the log")
		}
	}
	// And with a home, a receipt over another letter does not count.
	meis := c.Home()
	mei.Pairs(meis)
	log.LogHas("the true tick", func(e hometest.Event) bool { return e.Mid == s.Mid && e.Home > 0 })
}

func TestSomebodyJoinsWhileNoBrowserIsOpen(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		home := c.Home(database)
		wei.Pairs(home)
		invite := wei.Invite()
		other := wei.Invite()
		wei.Close()
		mei := c.JoinBy(invite, "mei")
		proof := vault.InviteProof(invite.Secret, invite.ID, wei.UID, mei.UID)
		mei.Sends(wei.UID, hometest.Draft{Type: "friend", Kind: "joined", Alone: true,
			Body: message.Joined{Name: mei.Name, Username: mei.Username, Invite: invite.ID, Proof: proof}})
		answer := mei.Await("accept", func(o hometest.Opened) bool { return o.Type == "friend" && o.Meta.Kind == "accept" })
		if a := answer.Body.(message.Answer); a.Name != wei.Name || a.Username != "wei" {
			t.Errorf("accepted by %+v", a)
		}
		// Somebody who only knows the id of an invite gets nothing.
		tom := c.JoinBy(other, "tom")
		tom.Sends(wei.UID, hometest.Draft{Type: "friend", Kind: "joined", Alone: true,
			Body: message.Joined{Name: tom.Name, Username: tom.Username, Invite: other.ID, Proof: protocol.Key32{1}}})
		s := tom.Says(wei, "let me in")
		tom.Ticked(s)
		wei.Connect()
		contents := wei.Vault()
		if len(contents.Friends) != 1 {
			t.Fatalf("%d friends in the vault", len(contents.Friends))
		}
		f := contents.Friends[0]
		if f.UID != mei.UID || f.State != vault.StateFriend || !f.Confirmed || f.Username != "mei" || f.Head != mei.Chain().Head() || f.UEKKey != mei.UEKOf(mei.UID).Key {
			t.Errorf("friend %+v", f)
		}
		if contents.Invites[0].By != mei.UID || !contents.Invites[1].By.IsZero() {
			t.Error("the invites are not marked as they should be")
		}
		for _, o := range tom.Letters() {
			if o.Type == "friend" {
				t.Error("tom was accepted without proof")
			}
		}
		wei.Links().LogHas("the joined letter", func(e hometest.Event) bool { return e.Kind == "joined" && e.Author == mei.UID })
	})
}

func TestFilesComeHome(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		home := c.Home(database)
		wei.Pairs(home)
		plain := make([]byte, 3<<20+17)
		rand.Read(plain) //nolint:errcheck // never fails
		file := mei.Upload(wei, plain)
		photo := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "photo", Body: message.Photo{File: file, Width: 10, Height: 10, Thumb: []byte{1}}})
		mei.Ticked(photo)
		log := wei.Links()
		sealed := []byte{}
		var a struct {
			Data protocol.Bytes `json:"data"`
			Size int64          `json:"size"`
		}
		hometest.Until(t, "the file is home", func() bool {
			err := log.Asks("file", map[string]any{"id": file.ID, "offset": 0}, &a)
			return err == nil
		})
		for int64(len(sealed)) < a.Size {
			if err := log.Asks("file", map[string]any{"id": file.ID, "offset": len(sealed)}, &a); err != nil {
				t.Fatal(err)
			}
			if len(a.Data) == 0 || len(a.Data) > 40_000 {
				t.Fatalf("%d bytes at a time", len(a.Data))
			}
			sealed = append(sealed, a.Data...)
		}
		var out bytes.Buffer
		if err := letter.OpenFile(&out, bytes.NewReader(sealed), file); err != nil || !bytes.Equal(out.Bytes(), plain) {
			t.Fatal("the file is another: ", err)
		}
		hometest.Until(t, "the relay has dropped wei's copy", func() bool {
			_, err := wei.Gate.File(t.Context(), wei.Token(), file.ID, 0, 1)
			return protocol.CodeOf(err) == protocol.CodeNotFound
		})
		// A deletion takes text and file away.
		mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "delete", Body: message.Delete{Target: photo.Mid}})
		log.LogHas("the deletion", func(e hometest.Event) bool { return e.Mid == photo.Mid && string(e.Body) == "null" })
		if err := log.Asks("file", map[string]any{"id": file.ID, "offset": 0}, nil); protocol.CodeOf(err) != protocol.CodeNotFound {
			t.Error("the file of a deleted photo: ", err)
		}
		hometest.Until(t, "its bytes are gone", func() bool { return grep(t, home.Dir, sealed[1000:1064]) == "" })
	})
}

func TestAFileThatIsNotWhatTheLetterNames(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home()
	wei.Pairs(home)
	file := mei.Upload(wei, []byte("a picture"))
	file.Hash[0] ^= 1
	s := mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: "photo", Body: message.Photo{File: file, Width: 1, Height: 1}})
	mei.Ticked(s)
	log := wei.Links()
	// It is asked for again, later each time, then given up, and never served.
	hometest.Until(t, "the relay may drop it", func() bool {
		if err := log.Asks("file", map[string]any{"id": file.ID, "offset": 0}, nil); protocol.CodeOf(err) != protocol.CodeNotFound {
			t.Fatal("a wrong file is served: ", err)
		}
		c.Clock.Advance(5 * time.Minute)
		_, err := wei.Gate.File(t.Context(), wei.Token(), file.ID, 0, 1)
		return protocol.CodeOf(err) == protocol.CodeNotFound
	})
}

func TestARevokedHomeStopsAndCanBePairedAgain(t *testing.T) {
	eachDatabase(t, func(t *testing.T, database func(*household.Config)) {
		c := hometest.Start(t)
		wei := c.Owner("wei")
		mei := c.Guest(wei, "mei")
		home := c.Home(database)
		wei.Pairs(home)
		first := mei.Says(wei, "one")
		mei.Ticked(first)
		chain := wei.Chain()
		old, _ := chain.Home(wei.Now())
		wei.Publish(chain.NewDeviceRevoke(wei.Keys, old.ID(), 0, wei.Now()))
		hometest.Until(t, "the home has noticed", func() bool { return home.Residents()[0].State.Trouble == person.Revoked })
		if home.Residents()[0].State.Connected {
			t.Error("still connected")
		}
		// Without a home the phone issues a key, and the relay keeps what comes.
		wei.NewUEK()
		second := mei.Says(wei, "two")
		if len(second.Kept) != 2 {
			t.Errorf("kept for %d", len(second.Kept))
		}
		wei.Pairs(home)
		mei.Ticked(second)
		if events := wei.Links().Log(); len(events) != 2 {
			t.Errorf("%d events after pairing again", len(events))
		}
		if again, _ := wei.Chain().Home(wei.Now()); again.ID() == old.ID() {
			t.Error("a device id was used twice")
		}
	})
}

func TestASecondHomeWithTheSameKeyIsAnAlarm(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	home := c.Home()
	wei.Pairs(home)
	copied := t.TempDir()
	copyDir(t, home.Dir, copied)
	clone := c.Home(func(c *household.Config) { c.Dir = copied })
	hometest.Until(t, "the clone knows", func() bool {
		s := clone.Residents()[0].State
		return s.Twice && !s.Connected && s.Trouble == person.Twice
	})
	hometest.Until(t, "the home knows", func() bool { return home.Residents()[0].State.Twice })
	if !home.Residents()[0].State.Connected {
		t.Error("the clone has pushed the home out")
	}
}

func TestAHouseholdOfTwo(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	tom := c.Guest(mei, "tom")
	home := c.Home()
	wei.Pairs(home)
	log := wei.Links()
	// By a code that the first person makes.
	var code struct{ Code string }
	if err := log.Asks("code", nil, &code); err != nil {
		t.Fatal(err)
	}
	mei.Approves(codeOf(t, code.Code))
	mei.TakenOver(home)
	// By a code that is typed at the page: only with the first person's consent.
	typed := newCode(t)
	attempt, err := home.Ask(c.Place.Host + "/" + typed.Text())
	if err != nil || attempt.Stage != household.Asking {
		t.Fatalf("%+v, %v", attempt, err)
	}
	var asks struct {
		Asks []struct {
			ID   protocol.ID
			Host string
			TS   int64
		}
	}
	if err := json.Unmarshal(log.Hears("asks"), &asks); err != nil || len(asks.Asks) != 1 || asks.Asks[0].Host != c.Place.Host {
		t.Fatalf("%+v, %v", asks, err)
	}
	meis := mei.Links()
	id := asks.Asks[0].ID
	asks.Asks = nil
	if err := meis.Asks("asks", nil, &asks); err != nil || len(asks.Asks) != 0 {
		t.Errorf("mei is asked as well: %+v, %v", asks, err)
	}
	if err := meis.Asks("allow", map[string]any{"id": id, "yes": true}, nil); protocol.CodeOf(err) != protocol.CodeNotFound {
		t.Error("mei may allow: ", err)
	}
	if err := log.Asks("allow", map[string]any{"id": id, "yes": true}, nil); err != nil {
		t.Fatal(err)
	}
	tom.Approves(typed)
	tom.TakenOver(home)
	hometest.Until(t, "the page says so", func() bool { return home.Stage(attempt.ID) == household.Paired })
	// A declined one never begins.
	if attempt, err = home.Ask(c.Place.Host + "/" + newCode(t).Text()); err != nil {
		t.Fatal(err)
	}
	if err := log.Asks("asks", nil, &asks); err != nil || len(asks.Asks) != 1 {
		t.Fatalf("%+v, %v", asks, err)
	}
	if err := log.Asks("allow", map[string]any{"id": asks.Asks[0].ID, "yes": false}, nil); err != nil {
		t.Fatal(err)
	}
	if s := home.Stage(attempt.ID); s != household.Declined {
		t.Errorf("stage %q", s)
	}
	// Nobody sees another's log.
	s := wei.Says(mei, "between the two of us")
	log.LogHas("it", is(s))
	meis.LogHas("it", is(s))
	if n := len(tom.Links().Log()); n != 0 {
		t.Errorf("tom's log has %d events", n)
	}
	var status struct {
		Messages, Bytes, Free, Since int64
		People                       int
		Version                      string
	}
	if err := log.Asks("status", nil, &status); err != nil || status.People != 3 || status.Messages != 1 || status.Free <= 0 || status.Bytes <= 0 || status.Version != "test" {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestASessionDeviceGetsNoKeys(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	home := c.Home()
	wei.Pairs(home)
	hotel := wei.AddDevice(ident.RoleSession)
	hotel.Connect()
	log := hotel.Links()
	for _, method := range []string{"keys", "code", "allow"} {
		if err := log.Asks(method, map[string]any{}, nil); protocol.CodeOf(err) != protocol.CodeNotAllowed {
			t.Errorf("%s: %v", method, err)
		}
	}
	if err := log.Asks("status", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestAnHourOfRefusals(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home()
	wei.Pairs(home)
	log := c.Counts(home)
	c.Stop()
	hometest.Until(t, "the home notices", func() bool { return !home.Residents()[0].State.Connected })
	for range 120 { // half a minute is the longest pause
		before := log("relay-lost")
		c.Clock.Advance(30 * time.Second)
		hometest.Until(t, "another attempt is refused", func() bool { return log("relay-lost") > before })
	}
	c.Restart()
	c.Clock.Advance(30 * time.Second)
	hometest.Until(t, "the home is back", func() bool { return home.Residents()[0].State.Connected })
	mei.Close()
	mei.Connect()
	mei.Ticked(mei.Says(wei, "good morning"))
}

func TestSentencesForWhatCanBeWrong(t *testing.T) {
	c := hometest.Start(t)
	home := c.Home()
	home.Offer()
	_, err := household.Open(t.Context(), home.Config())
	var s *household.Sentence
	if !errors.As(err, &s) || !strings.Contains(err.Error(), "another home agent") {
		t.Errorf("a second agent in one directory: %v", err)
	}
	if _, err := home.Pair("nonsense"); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Error(err)
	}
	if _, err := home.PairOnce("nonsense"); !errors.As(err, &s) {
		t.Error(err)
	}
	code := c.Place.Host + "/" + newCode(t).Text()
	if a, err := home.PairOnce(code); err != nil || a == nil {
		t.Error(a, err)
	}
	if a, err := home.PairOnce(code); err != nil || a != nil {
		t.Error("a code from the environment was tried twice: ", a, err)
	}
}

// The home's page is there before the home waits at its relay, and whoever has
// opened it does not look again.
func TestACodeIsThereBeforeTheHomeRuns(t *testing.T) {
	c := hometest.Start(t)
	home := c.Home()
	home.Stop()
	h, err := household.Open(t.Context(), home.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	if o := h.Offered(); o == nil || o.Place != c.Place {
		t.Errorf("no code of this courtyard waits: %v", o)
	}
}
