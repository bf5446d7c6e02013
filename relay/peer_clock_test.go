package relay_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// apart is a street whose courtyards have clocks of their own.
func apart(t *testing.T) *street {
	t.Helper()
	return newStreet(t, relaytest.Options{Clock: &relaytest.Clock{}}, relaytest.Options{Clock: &relaytest.Clock{}})
}

// waitsFor waits until the relay's list gives code as the reason of e's last try.
func (w *street) waitsFor(e *protocol.Envelope, code string) {
	w.t.Helper()
	has := func(row waitingRow) bool { return row.ID == e.ID && row.Code == code }
	for end := time.Now().Add(30 * time.Second); !slices.ContainsFunc(w.waiting(), has); time.Sleep(500 * time.Millisecond) { // 60 looks a minute are allowed
		if time.Now().After(end) {
			w.t.Fatalf("%v does not wait for %s: %+v", e.ID, code, w.waiting())
		}
	}
}

func TestWhatIsDatedAheadHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	w := apart(t)
	ann := w.a.Guest(w.meiPhone, "ann")
	annPhone := w.a.Connect(ann, ann.Phone)
	w.a.Allow(annPhone, w.tom)
	w.b.Allow(w.tomPhone, ann)
	right := w.chat(10)
	w.meiPhone.Sends(right)
	w.tomPhone.Sees(right)

	w.a.Clock.Move(time.Hour)
	ahead := w.chat(10)
	w.meiPhone.Sends(ahead)
	w.waitsFor(ahead, protocol.CodeClockAhead)
	// What has a right date passes it, whoever wrote it, and in its order.
	var passing []*protocol.Envelope
	for i := range 40 {
		from, phone := w.mei, w.meiPhone
		if i%2 == 1 {
			from, phone = ann, annPhone
		}
		e := w.a.Across(from, w.b, w.tom, protocol.TypeChat, 10)
		e.TS -= time.Hour.Milliseconds()
		phone.Sends(e)
		passing = append(passing, e)
	}
	for _, e := range passing {
		if _, row := w.tomPhone.Row(); row.ID != e.ID {
			t.Fatal("another order, or others")
		}
	}
	w.waitsFor(ahead, protocol.CodeClockAhead)

	// Once the clock is right, it is known to be wrong: its writer gets it back.
	w.a.Clock.Move(-time.Hour)
	w.tomPhone.Sends(w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)) // his courtyard calls: everything is tried
	w.comesBack(w.meiPhone, w.a.Key, ahead, protocol.CodeClockAhead)
	if rows := w.waiting(); len(rows) != 0 {
		t.Fatalf("%+v", rows)
	}
	again := w.chat(10)
	w.meiPhone.Sends(again)
	w.tomPhone.Sees(again)
	if n := w.tomPhone.Pending(relaytest.IsRow); n != 0 {
		t.Fatal(n, "more rows")
	}
}

// A courtyard whose clock is behind refuses what is dated rightly: that waits, as
// for everything that may change, and goes when the clock has come so far.
func TestLettersWaitForAClockThatIsBehind(t *testing.T) {
	t.Parallel()
	w := apart(t)
	w.b.Clock.Move(-time.Hour)
	var sent []*protocol.Envelope
	for range 30 {
		e := w.chat(10)
		w.meiPhone.Sends(e)
		sent = append(sent, e)
	}
	w.waitsFor(sent[0], protocol.CodeClockAhead)
	w.b.Clock.Move(time.Hour)
	for _, e := range sent {
		if _, row := w.tomPhone.Row(); row.ID != e.ID {
			t.Fatal("another order, or others")
		}
	}
	for range sent {
		w.meiPhone.Event("carried")
	}
}

// A writer whose own clock differs from the relay's has nothing to wait for: two
// clocks against one.
func TestWhatItsWriterIsNotSureOfComesBackAtOnce(t *testing.T) {
	t.Parallel()
	w := apart(t)
	w.a.Clock.Move(time.Hour)
	e := w.chat(10)
	w.meiPhone.Write(`{"op":"put","unsure":true,"env":` + string(e.Marshal()) + `}`)
	if f := w.meiPhone.Answer(e.ID); f.Op != "accepted" {
		t.Fatal(f)
	}
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeClockAhead)
	// Where it is dated rightly, being unsure changes nothing.
	e = w.chat(10)
	e.TS -= time.Hour.Milliseconds()
	w.meiPhone.Write(`{"op":"put","unsure":true,"env":` + string(e.Marshal()) + `}`)
	w.tomPhone.Sees(e)
}

func TestWhatIsDatedAheadHoldsUpNothingOnADetour(t *testing.T) {
	t.Parallel()
	clock := &relaytest.Clock{}
	d := newDetourWith(t, relaytest.Options{Clock: &relaytest.Clock{}}, relaytest.Options{Clock: clock}, clock)
	d.grant(d.f.Clock.Now().Add(time.Hour).UnixMilli(), 1<<20)
	d.close()
	// A hop record is good for ten minutes: a clock that is further ahead finds no way round.
	d.a.Clock.Move(8 * time.Minute)
	ahead := d.chat(10)
	d.meiPhone.Sends(ahead)
	right := d.chat(10)
	right.TS -= (8 * time.Minute).Milliseconds()
	d.meiPhone.Sends(right)
	d.tomPhone.Sees(right)
	for d.meiPhone.Event("carried")["id"] != right.ID.String() {
	}
	if rows := d.waiting(); len(rows) != 1 || rows[0].ID != ahead.ID {
		t.Fatalf("%+v", rows)
	}
	if strings.Contains(d.a.Log.String(), "level=ERROR") {
		t.Fatal(d.a.Log)
	}
}
