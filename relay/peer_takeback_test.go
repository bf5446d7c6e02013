package relay_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// takesBack says what becomes of it: "" or a code.
func (w *street) takesBack(id protocol.ID, to protocol.UID) string {
	w.t.Helper()
	return w.a.Call("DELETE", "/api/1/outbound/"+id.String()+"?to="+to.String(), w.meiPhone.Ready.Token, nil).Code
}

// ear is a dialer whose connections can be made deaf: they end when something comes,
// or nothing is heard any more.
type ear struct {
	ends, silent atomic.Bool
	off          atomic.Bool // nothing can be dialled
	heard        chan struct{}
}

type eared struct {
	net.Conn
	ear *ear
}

func (e *ear) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if e.off.Load() {
		return nil, io.ErrClosedPipe
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &eared{conn, e}, nil
}

func (c *eared) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && (c.ear.ends.Load() || c.ear.silent.Load()) {
		select {
		case c.ear.heard <- struct{}{}:
		default:
		}
		if c.ear.ends.Load() {
			c.Close() //nolint:errcheck // it is to break
			return 0, io.EOF
		}
		for c.ear.silent.Load() { // until it may be heard
			time.Sleep(5 * time.Millisecond)
		}
	}
	return n, err
}

func newEar() *ear { return &ear{heard: make(chan struct{}, 1)} }

func TestWhatWaitsForNobodyIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	first := w.chat(10)
	w.meiPhone.Sends(first)
	w.tomPhone.Confirm(w.tomPhone.Sees(first))
	w.meiPhone.Event("carried")
	w.b.Stop()
	ann := w.a.Guest(w.meiPhone, "ann")
	annPhone := w.a.Connect(ann, ann.Phone)
	before := w.chat(10)
	w.meiPhone.Sends(before)
	e := w.chat(50_000)
	w.meiPhone.Sends(e)
	sealed := make([]byte, 5000)
	file := relaytest.NewID(t)
	w.a.Well("PUT", fmt.Sprintf("/api/1/files/%s?offset=0&size=%d&for=%s,%s@%s", file, len(sealed), w.mei.UID, w.tom.UID, w.b.Host), w.meiPhone.Ready.Token, sealed, nil)
	w.waitsFor(e, protocol.CodePeerAway)
	used := func() int64 {
		s := w.a.Connect(w.mei, w.mei.Phone)
		defer s.Close()
		return s.Ready.Space.Used
	}
	full := used()

	path := "/api/1/outbound/" + e.ID.String()
	w.a.Refused(protocol.CodeUnauthorized, "DELETE", path+"?to="+w.tom.UID.String(), "", nil)
	w.a.Refused(protocol.CodeNotFound, "DELETE", path+"?to="+w.tom.UID.String(), annPhone.Ready.Token, nil)
	w.a.Refused(protocol.CodeBadRequest, "DELETE", path, w.meiPhone.Ready.Token, nil)
	for id, to := range map[protocol.ID]protocol.UID{e.ID: ann.UID, relaytest.NewID(t): w.tom.UID} {
		if code := w.takesBack(id, to); code != protocol.CodeNotFound {
			t.Fatal(code)
		}
	}
	if code := w.takesBack(e.ID, w.tom.UID); code != "" {
		t.Fatal(code)
	}
	w.comesBack(w.meiPhone, w.a.Key, e, protocol.CodeTakenBack)
	if code := w.takesBack(file, w.tom.UID); code != "" {
		t.Fatal(code)
	}
	for _, id := range []protocol.ID{e.ID, file} { // once
		if code := w.takesBack(id, w.tom.UID); code != protocol.CodeNotFound {
			t.Fatal(code)
		}
	}
	if n := full - used(); n < 50_000+5000-1000 {
		t.Fatal("only", n, "bytes of space came back")
	}
	if rows := w.waiting(); len(rows) != 1 || rows[0].ID != before.ID {
		t.Fatalf("%+v", rows)
	}
	// The other one is there as if nothing had been.
	w.a.Restart()
	w.b.Restart()
	w.meiPhone, w.tomPhone = w.a.Connect(w.mei, w.mei.Phone), w.b.Connect(w.tom, w.tom.Phone)
	last := w.chat(10)
	w.meiPhone.Sends(last)
	for _, want := range []protocol.ID{before.ID, last.ID} {
		_, row := w.tomPhone.Row()
		for row.ID == first.ID { // its confirmation may have been lost with the relay
			_, row = w.tomPhone.Row()
		}
		if row.ID != want {
			t.Fatal("another one came")
		}
	}
}

func TestWhatMayHaveArrivedIsNotTakenBack(t *testing.T) {
	t.Parallel()
	ear := newEar()
	w := newStreet(t, relaytest.Options{Dial: ear.dial}, relaytest.Options{})
	first := w.chat(10)
	w.meiPhone.Sends(first)
	w.tomPhone.Sees(first)
	w.meiPhone.Event("carried")

	// On its way, and not answered.
	ear.silent.Store(true)
	flying := w.chat(10)
	w.meiPhone.Sends(flying)
	w.tomPhone.Sees(flying)
	if code := w.takesBack(flying.ID, w.tom.UID); code != protocol.CodePerhapsThere {
		t.Fatal(code)
	}
	ear.silent.Store(false)
	for w.meiPhone.Event("carried")["id"] != flying.ID.String() {
	}
	if code := w.takesBack(flying.ID, w.tom.UID); code != protocol.CodeNotFound {
		t.Fatal(code)
	}

	// The answer gets lost, and nobody can be asked any more.
	ear.ends.Store(true)
	ear.off.Store(true)
	lost := w.chat(10)
	w.meiPhone.Sends(lost)
	w.tomPhone.Sees(lost)
	w.waitsFor(lost, protocol.CodePeerAway)
	if code := w.takesBack(lost.ID, w.tom.UID); code != protocol.CodePerhapsThere {
		t.Fatal(code)
	}
	// What is written after that has never left.
	after := w.chat(10)
	w.meiPhone.Sends(after)
	if code := w.takesBack(after.ID, w.tom.UID); code != "" {
		t.Fatal(code)
	}
	// It is known after a restart as well.
	w.a.Restart()
	w.meiPhone = w.a.Connect(w.mei, w.mei.Phone)
	if code := w.takesBack(lost.ID, w.tom.UID); code != protocol.CodePerhapsThere {
		t.Fatal(code)
	}
	ear.ends.Store(false)
	ear.off.Store(false)
	w.tomPhone.Sends(w.b.Across(w.tom, w.a, w.mei, protocol.TypeChat, 10)) // his courtyard calls
	for w.meiPhone.Event("carried")["id"] != lost.ID.String() {
	}
	if n := w.tomPhone.Pending(relaytest.IsRow); n != 0 {
		t.Fatal(n, "more rows")
	}
}

// A relay that was killed does not know what was on its lines.
func TestNothingIsTakenBackThatACrashMayHaveSent(t *testing.T) {
	t.Parallel()
	w := newStreet(t, relaytest.Options{}, relaytest.Options{})
	c := relaytest.Start(t, relaytest.Options{Clock: w.a.Clock})
	eve := c.Owner("eve")
	w.a.Allow(w.meiPhone, eve)
	w.b.Stop()
	c.Stop()
	e, other := w.chat(10), w.a.Across(w.mei, c, eve, protocol.TypeChat, 10)
	w.meiPhone.Sends(e)
	w.meiPhone.Sends(other)
	w.a.Stop()
	db, err := sql.Open("sqlite", filepath.Join(w.a.Data, "courtyard.db"))
	must(t, err)
	_, err = db.Exec(`INSERT INTO lines (host) VALUES (?)`, w.b.Host) // as if there had been one
	must(t, err)
	must(t, db.Close())
	w.a.Restart()
	w.meiPhone = w.a.Connect(w.mei, w.mei.Phone)
	if code := w.takesBack(e.ID, w.tom.UID); code != protocol.CodePerhapsThere {
		t.Fatal(code)
	}
	if code := w.takesBack(other.ID, eve.UID); code != "" {
		t.Fatal(code)
	}
	later := w.chat(10)
	w.meiPhone.Sends(later)
	if code := w.takesBack(later.ID, w.tom.UID); code != "" {
		t.Fatal(code)
	}
}

// A friend's courtyard that cannot reach the other one either says so.
func TestWhatFoundNoWayRoundIsTakenBack(t *testing.T) {
	t.Parallel()
	d := newDetour(t)
	d.grant(d.now()+3600_000, 10<<20)
	d.b.Stop()
	d.close()
	e := d.chat(10)
	d.meiPhone.Sends(e)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		rows := d.waiting()
		if len(rows) == 1 && rows[0].Tries >= 4 { // it goes round after the third
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", rows)
		}
	}
	if code := d.takesBack(e.ID, d.tom.UID); code != "" {
		t.Fatal(code)
	}
	d.comesBack(d.meiPhone, d.a.Key, e, protocol.CodeTakenBack)
	var shown struct {
		Grants []struct {
			Used int64 `json:"used"`
		} `json:"grants"`
	}
	d.f.Well("GET", "/api/1/grants", d.annPhone.Ready.Token, nil, &shown)
	if len(shown.Grants) != 1 || shown.Grants[0].Used == 0 {
		t.Fatalf("nothing went by way of f: %+v", shown)
	}
}
