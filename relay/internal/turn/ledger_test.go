package turn

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// book is a store in memory.
type book struct {
	rows    map[string]map[protocol.UID]int64
	written int
	broken  bool
}

func newBook() *book { return &book{rows: map[string]map[protocol.UID]int64{}} }

func (b *book) Revoked(context.Context) ([]Device, error)        { return nil, nil }
func (b *book) Owns(context.Context, protocol.UID) (bool, error) { return false, nil }
func (b *book) Traffic(_ context.Context, month string) ([]Traffic, error) {
	out := []Traffic{}
	for uid, n := range b.rows[month] {
		out = append(out, Traffic{UID: uid, Month: month, Bytes: n})
	}
	return out, nil
}

func (b *book) AddTraffic(_ context.Context, rows []Traffic, oldest string) error {
	if b.broken {
		return errors.New("the disk is away")
	}
	b.written++
	for _, row := range rows {
		if b.rows[row.Month] == nil {
			b.rows[row.Month] = map[protocol.UID]int64{}
		}
		b.rows[row.Month][row.UID] += row.Bytes
	}
	for month := range b.rows {
		if month < oldest {
			delete(b.rows, month)
		}
	}
	return nil
}

func testLedger(t *testing.T, b *book, c *clock, limit int64) *ledger {
	t.Helper()
	l, err := newLedger(t.Context(), b, c.now, limit)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var mei, tom = protocol.UID{1}, protocol.UID{2}

// opens begins an allocation, which must be had.
func (l *ledger) opens(t *testing.T, uid protocol.UID) *relayed {
	t.Helper()
	r := &relayed{}
	if reason, ok := l.may(uid); !ok {
		t.Fatal("refused:", reason)
	}
	var ok bool
	if r.person, ok = l.begin(uid, r); !ok {
		t.Fatal("not begun")
	}
	return r
}

func (l *ledger) refuses(t *testing.T, uid protocol.UID, want string) {
	t.Helper()
	if reason, ok := l.may(uid); ok || reason != want {
		t.Fatalf("refused for %q (%v), want %s", reason, ok, want)
	}
}

func TestAPersonHasSixAllocations(t *testing.T) {
	clock := &clock{time.Unix(1_790_000_000, 0)}
	l := testLedger(t, newBook(), clock, 0)
	all := []*relayed{}
	for range perPerson {
		all = append(all, l.opens(t, mei))
	}
	l.refuses(t, mei, refusedQuota)
	if _, ok := l.begin(mei, &relayed{}); ok {
		t.Fatal("begun without asking")
	}
	l.opens(t, tom)
	l.end(all[0].person, all[0])
	l.end(all[0].person, all[0]) // the second time changes nothing
	l.opens(t, mei)
	l.refuses(t, mei, refusedQuota)
	if n, _ := l.used(mei); n != perPerson || l.open != perPerson+1 {
		t.Fatal(n, l.open)
	}
}

// TestWhoHasAnAllocationIsKnown, though nothing has passed.
func TestWhoHasAnAllocationIsKnown(t *testing.T) {
	clock := &clock{time.Unix(1_790_000_000, 0)}
	b := newBook()
	l := testLedger(t, b, clock, 0)
	l.opens(t, mei)
	if err := l.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, known := b.rows[l.month][mei]; !known || n != 0 || len(b.rows[l.month]) != 1 {
		t.Fatal(b.rows)
	}
}

func TestAPersonDoesNotBeginOneAfterTheOther(t *testing.T) {
	clock := &clock{time.Unix(1_790_000_000, 0)}
	l := testLedger(t, newBook(), clock, 0)
	for range begins.N {
		r := l.opens(t, mei)
		l.end(r.person, r)
	}
	l.refuses(t, mei, refusedRate)
	l.opens(t, tom)
	clock.at = clock.at.Add(time.Second)
	l.opens(t, mei)
}

func TestAMonthIsCountedWrittenDownAndForgotten(t *testing.T) {
	clock := &clock{time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC)}
	b := newBook()
	l := testLedger(t, b, clock, 1000)
	r := l.opens(t, mei)
	r.out.count(300, 0)
	r.in.count(200, 0)
	if _, n := l.used(mei); n != 500 {
		t.Fatal(n)
	}
	write := func() {
		t.Helper()
		if err := l.write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.broken = true
	if l.write(t.Context()) == nil {
		t.Fatal("written to a disk that is away")
	}
	b.broken = false
	write()
	write() // nothing twice
	if b.rows["2026-11"][mei] != 500 || b.written != 1 {
		t.Fatal(b)
	}
	// At the limit nothing new is begun, and what there is is not renewed.
	r.out.count(500, 0)
	l.refuses(t, mei, refusedMonth)
	if !l.spent(mei) || l.spent(tom) {
		t.Fatal("spent")
	}
	// A restart knows what was written.
	write()
	l = testLedger(t, b, clock, 1000)
	l.refuses(t, mei, refusedMonth)
	// The next month begins at nothing; an allocation goes on.
	clock.at = clock.at.Add(2 * time.Minute)
	r = l.opens(t, mei)
	r.in.count(70, 0)
	l.end(r.person, r)
	write()
	if _, n := l.used(mei); n != 70 || b.rows["2026-11"][mei] != 1000 || b.rows["2026-12"][mei] != 70 {
		t.Fatal(n, b.rows)
	}
	clock.at = clock.at.AddDate(0, 1, 0)
	write()
	if len(b.rows["2026-11"]) != 0 || b.rows["2026-12"][mei] != 70 {
		t.Fatal("what is kept of the past:", b.rows)
	}
	if write(); len(l.people) != 0 {
		t.Fatal(len(l.people), "people are remembered for nothing")
	}
}

func TestABucketLetsARatePass(t *testing.T) {
	var b bucket
	const perSecond = 1_000_000
	now := time.Unix(1_790_000_000, 0).UnixNano()
	passed := int64(0)
	for range 20_000 { // ten seconds, at twice the rate
		now += int64(500 * time.Microsecond)
		if b.take(now, 1000, perSecond) {
			passed += 1000
		}
	}
	if passed < 10*perSecond || passed > 10*perSecond+perSecond/2+1000 {
		t.Fatal(passed, "bytes in ten seconds")
	}
	if !b.take(now+int64(time.Minute), perSecond/2, perSecond) || b.take(now+int64(time.Minute), 1000, perSecond) {
		t.Fatal("after a rest half a second's worth passes at once, and no more")
	}
	if !b.take(now, 1<<40, 0) {
		t.Fatal("there is a limit where there is none")
	}
}
