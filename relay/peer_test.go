package relay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// street has two courtyards: mei lives at a, tom at b, and each allows the other.
type street struct {
	t                  *testing.T
	a, b               *relaytest.Courtyard
	mei, tom           *relaytest.Person
	meiPhone, tomPhone *relaytest.Socket
}

func newStreet(t *testing.T, a, b relaytest.Options) *street {
	t.Helper()
	if a.Clock == nil {
		a.Clock = &relaytest.Clock{}
	}
	if b.Clock == nil {
		b.Clock = a.Clock
	}
	w := &street{t: t, a: relaytest.Start(t, a), b: relaytest.Start(t, b)}
	w.mei, w.tom = w.a.Owner("mei"), w.b.Owner("tom")
	w.meiPhone, w.tomPhone = w.a.Connect(w.mei, w.mei.Phone), w.b.Connect(w.tom, w.tom.Phone)
	w.a.Allow(w.meiPhone, w.tom)
	w.b.Allow(w.tomPhone, w.mei)
	return w
}

func (w *street) chat(size int) *protocol.Envelope {
	return w.a.Across(w.mei, w.b, w.tom, protocol.TypeChat, size)
}

// comesBack waits until a row says that e came back, and why.
func (w *street) comesBack(s *relaytest.Socket, key protocol.Key32, e *protocol.Envelope, code string) {
	w.t.Helper()
	for {
		_, row := s.Row()
		if row.Type != protocol.TypeReturned {
			continue
		}
		var back struct {
			ID   protocol.ID  `json:"id"`
			To   protocol.UID `json:"to"`
			Code string       `json:"code"`
		}
		must(w.t, protocol.DecodeClosed(row.Data, &back, 2))
		if row.From.ID != protocol.UID(key) || back.ID != e.ID || back.To != e.To.ID || back.Code != code {
			w.t.Fatalf("%v says %+v, want %s of %v", row.From.ID, back, code, e.ID)
		}
		return
	}
}

type waitingRow struct {
	N     int64        `json:"n"`
	ID    protocol.ID  `json:"id"`
	To    protocol.UID `json:"to"`
	Host  string       `json:"host"`
	Tries int          `json:"tries"`
	Code  string       `json:"code,omitempty"`
}

func (w *street) waiting() []waitingRow {
	w.t.Helper()
	var answer struct {
		Rows []waitingRow `json:"rows"`
	}
	w.a.Well("GET", "/api/1/outbound", w.meiPhone.Ready.Token, nil, &answer)
	return answer.Rows
}

func TestLettersGoToAnotherCourtyardInTheirOrder(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	sent := []protocol.ID{}
	for i := range 200 {
		e := w.chat(200 + i)
		w.meiPhone.Sends(e, w.tom, w.mei)
		sent = append(sent, e.ID)
	}
	got, own := []protocol.ID{}, 0
	for range sent {
		n, row := w.tomPhone.Row()
		got = append(got, row.ID)
		w.tomPhone.Confirm(n)
	}
	if !slices.Equal(got, sent) {
		t.Fatal("another order, or others")
	}
	for own < len(sent) {
		if n, row := w.meiPhone.Row(); row.ID == sent[own] {
			own++
			w.meiPhone.Confirm(n)
		}
	}
	for range sent { // homeless: kept at tom's courtyard
		if p := w.meiPhone.Event("carried"); p["kept"] != true || p["to"] != w.tom.UID.String() {
			t.Fatal(p)
		}
	}
	if rows := w.waiting(); len(rows) != 0 {
		t.Fatal(rows)
	}
	// And back, over a link of its own.
	e := w.b.Across(w.tom, w.a, w.mei, protocol.TypeReceipt, 100)
	w.tomPhone.Sends(e)
	w.meiPhone.Sees(e)
}

func TestWithAHomeNothingIsKept(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	home := w.b.Connect(w.tom, w.b.AddDevice(w.tom, ident.RoleHome, 0))
	e := w.chat(10)
	w.meiPhone.Sends(e)
	home.Confirm(home.Sees(e))
	if p := w.meiPhone.Event("carried"); p["kept"] != false || p["id"] != e.ID.String() {
		t.Fatal(p)
	}
}

func TestLettersWaitForACourtyardThatIsAway(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	first := w.chat(10)
	w.meiPhone.Sends(first)
	w.tomPhone.Confirm(w.tomPhone.Sees(first))
	w.meiPhone.Event("carried")
	w.b.Stop()
	sent := []protocol.ID{}
	for range 100 {
		e := w.chat(500)
		w.meiPhone.Sends(e)
		sent = append(sent, e.ID)
	}
	if rows := w.waiting(); len(rows) != 100 || rows[0].ID != sent[0] || rows[0].Host != w.b.Host {
		t.Fatalf("%d rows, the first %+v", len(rows), rows[:min(1, len(rows))])
	}
	w.a.Restart()
	w.b.Restart()
	w.tomPhone = w.b.Connect(w.tom, w.tom.Phone)
	got := []protocol.ID{}
	for len(got) < len(sent) {
		n, row := w.tomPhone.Row()
		if row.ID != first.ID { // its confirmation may have been lost with the relay
			got = append(got, row.ID)
		}
		w.tomPhone.Confirm(n)
	}
	if !slices.Equal(got, sent) {
		for i := range got {
			if got[i] != sent[i] {
				t.Fatal("another order, or others, from", i, "on: it is sent as number", slices.Index(sent, got[i]))
			}
		}
	}
}

func TestACourtyardThatCallsIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	vain := make(chan struct{}, 1)
	w := newStreet(t, relaytest.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			select {
			case vain <- struct{}{}:
			default:
			}
		}
		return conn, err
	}}, relaytest.Options{})
	w.b.Stop()
	e := w.chat(10)
	w.meiPhone.Sends(e)
	select { // until it has been tried
	case <-vain:
	case <-time.After(30 * time.Second):
		t.Fatal("not tried")
	}
	w.b.Restart()
	w.tomPhone = w.b.Connect(w.tom, w.tom.Phone)
	// What tom sends is the call.
	w.tomPhone.Sends(w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10))
	w.tomPhone.Sees(e)
}

func TestWhatIsRefusedForGoodComesBack(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	w.b.Well("PUT", "/api/1/contacts/"+w.mei.UID.String(), w.tomPhone.Ready.Token, map[string]string{"state": "block"}, nil)
	e := w.chat(10)
	w.meiPhone.Sends(e)
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeNotContact)
	if rows := w.waiting(); len(rows) != 0 {
		t.Fatal(rows)
	}
}

func TestOwnPeopleMayNotWriteToWhomTheyHaveNotAllowed(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	w.a.Well("PUT", "/api/1/contacts/"+w.tom.UID.String(), w.meiPhone.Ready.Token, map[string]string{"state": "none"}, nil)
	w.meiPhone.IsRefused(protocol.CodeNotContact, w.chat(10))
	for range 20 {
		w.meiPhone.Sends(w.a.Across(w.mei, w.b, w.b.Person("somebody"), protocol.TypeFriend, 100))
	}
	w.meiPhone.IsRefused(protocol.CodeRateLimited, w.a.Across(w.mei, w.b, w.b.Person("somebody"), protocol.TypeFriend, 100))
}

func TestStrangersFromOneCourtyardFillOnlyTheirPart(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	w.b.Well("PUT", "/api/1/contacts/"+w.mei.UID.String(), w.tomPhone.Ready.Token, map[string]string{"state": "none"}, nil)
	for i := range 12 {
		p := w.a.Guest(w.meiPhone, fmt.Sprintf("guest%d", i))
		s := w.a.Connect(p, p.Phone)
		e := w.a.Across(p, w.b, w.tom, protocol.TypeFriend, 100)
		s.Sends(e)
	}
	for range 10 {
		w.tomPhone.Row() // not confirmed: they wait
	}
	if n := w.tomPhone.Pending(relaytest.IsRow); n != 0 {
		t.Fatal(n, "more than ten by one courtyard")
	}
	// A request by another courtyard is not in their way.
	c := relaytest.Start(t, relaytest.Options{Clock: w.a.Clock})
	eve := c.Owner("eve")
	evePhone := c.Connect(eve, eve.Phone)
	e := c.Across(eve, w.b, w.tom, protocol.TypeFriend, 100)
	evePhone.Sends(e)
	w.tomPhone.Sees(e)
}

func TestFilesGoBeforeTheirLetters(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	sealed := make([]byte, 700_000)
	_, err := rand.Read(sealed)
	must(t, err)
	id := relaytest.NewID(t)
	path := fmt.Sprintf("/api/1/files/%s?offset=0&size=%d&for=%s,%s@%s", id, len(sealed), w.mei.UID, w.tom.UID, w.b.Host)
	w.a.Well("PUT", path, w.meiPhone.Ready.Token, sealed, nil)
	e := w.chat(10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
	got := w.b.Call("GET", "/api/1/files/"+id.String(), w.tomPhone.Ready.Token, nil)
	if !bytes.Equal(got.Body, sealed) {
		t.Fatal(got.Status, len(got.Body), "bytes")
	}
	ann := w.b.Guest(w.tomPhone, "ann")
	w.b.Refused(protocol.CodeNotFound, "GET", "/api/1/files/"+id.String(), w.b.Connect(ann, ann.Phone).Ready.Token, nil)
	w.meiPhone.Event("carried") // custody ends a moment after tom has it
	if rows := w.waiting(); len(rows) != 0 {
		t.Fatal(rows)
	}
}

// TestAFileGoesAgainWhenItsEndIsSentAgain: the first time it was refused with its letter.
func TestAFileGoesAgainWhenItsEndIsSentAgain(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	state := func(to string) {
		w.b.Well("PUT", "/api/1/contacts/"+w.mei.UID.String(), w.tomPhone.Ready.Token, map[string]string{"state": to}, nil)
	}
	state("block")
	sealed := make([]byte, 200_000)
	_, err := rand.Read(sealed)
	must(t, err)
	id := relaytest.NewID(t)
	put := func(from int) {
		path := fmt.Sprintf("/api/1/files/%s?offset=%d&size=%d&for=%s,%s@%s", id, from, len(sealed), w.mei.UID, w.tom.UID, w.b.Host)
		w.a.Well("PUT", path, w.meiPhone.Ready.Token, sealed[from:], nil)
	}
	put(0)
	e := w.chat(10)
	w.meiPhone.Sends(e)
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeNotContact)
	state("allow")
	put(len(sealed) - 1000)
	put(len(sealed) - 1000) // an answer got lost
	e = w.chat(10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
	got := w.b.Call("GET", "/api/1/files/"+id.String(), w.tomPhone.Ready.Token, nil)
	if !bytes.Equal(got.Body, sealed) {
		t.Fatal(got.Status, len(got.Body), "bytes")
	}
	w.meiPhone.Event("carried")
	if rows := w.waiting(); len(rows) != 0 {
		t.Fatal(rows)
	}
}

func TestLivePassesWhileThereIsALink(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	e := w.chat(10)
	w.meiPhone.Sends(e)
	w.tomPhone.Sees(e)
	typing := w.chat(20)
	typing.Type, typing.Exp = protocol.TypeLive, typing.TS+10_000
	w.meiPhone.Put(typing)
	if got := w.tomPhone.Live(); got.ID != typing.ID {
		t.Fatal("another frame")
	}
}

func TestAnInviteIsSpentFromAnotherCourtyard(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	w.a.Well("PUT", "/api/1/contacts/"+w.tom.UID.String(), w.meiPhone.Ready.Token, map[string]string{"state": "none"}, nil)
	invite := w.a.Invite(w.meiPhone)
	path := "/api/1/invites/" + invite.String()
	w.b.Well("GET", path+"?host="+w.a.Host, w.tomPhone.Ready.Token, nil, nil)
	for range 2 { // an answer may get lost
		w.b.Well("POST", path+"/spend?host="+w.a.Host, w.tomPhone.Ready.Token, nil, nil)
	}
	if p := w.meiPhone.Event("contact"); p["uid"] != w.tom.UID.String() || p["state"] != "allow" {
		t.Fatal(p)
	}
	e := w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)
	w.tomPhone.Sends(e)
	w.meiPhone.Sees(e)
	ann := w.b.Guest(w.tomPhone, "ann")
	w.b.Refused(protocol.CodeInviteUnknown, "POST", path+"/spend?host="+w.a.Host, w.b.Connect(ann, ann.Phone).Ready.Token, nil)
}
