package turn

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"golang.org/x/time/rate"
)

const (
	// perPerson bounds the allocations of a person's devices. A browser makes three
	// for a call, as it has three ways here, and uses one. A change of network leaves
	// the former ones: see yield.
	perPerson = 6
	// mostAllocations bounds everybody's: each holds a port, a descriptor and about
	// 12 KiB.
	mostAllocations = 4096
	// burst is for how long at once a person may exceed the rate: a key frame, a
	// photo's first window.
	burst = int64(500 * time.Millisecond)
)

// begins is how often a person may begin an allocation: browsers make one for
// each address and transport when a call starts, and again when the network changes.
var begins = limit.Rate{N: 60, Per: time.Minute}

// Traffic is what was relayed for a person in a month.
type Traffic struct {
	UID      protocol.UID
	Username string // when it is read
	Month    string // 2026-10, UTC
	Bytes    int64
}

// bucket lets bytes pass at a rate: the time until which what has passed is paid for.
type bucket struct{ paid atomic.Int64 } // ns

// take lets so many bytes pass at now, or none. perSecond 0: no limit.
func (b *bucket) take(now, bytes, perSecond int64) bool {
	if perSecond == 0 {
		return true
	}
	cost := bytes * int64(time.Second) / perSecond
	for {
		paid := b.paid.Load()
		next := max(paid, now) + cost
		if next-now > burst {
			return false
		}
		if b.paid.CompareAndSwap(paid, next) {
			return true
		}
	}
}

// person is somebody for whom something is relayed, or was this month.
type person struct {
	uid    protocol.UID
	bucket bucket

	// The rest is guarded by the ledger's mu.
	live  []*relayed // perPerson at most
	often *rate.Limiter
	used  int64            // bytes of the ledger's month
	owed  map[string]int64 // bytes that are not in the database, by month; nil for none
}

// ledger counts what is relayed for whom. Its size is bounded by the people who
// live here. Safe for use by several goroutines.
type ledger struct {
	store Store
	now   func() time.Time
	limit int64 // bytes a person may have relayed in a month, 0: any

	mu     sync.Mutex // all below
	people map[protocol.UID]*person
	month  string
	open   int // allocations

	writing sync.Mutex // from taking what is owed to having written it
	written string     // guarded by writing: the month in which that was done last
}

func monthOf(t time.Time) string { return t.UTC().Format("2006-01") }

// newLedger reads what was relayed this month.
func newLedger(ctx context.Context, store Store, now func() time.Time, limit int64) (*ledger, error) {
	l := &ledger{store: store, now: now, limit: limit, people: map[protocol.UID]*person{}, month: monthOf(now())}
	rows, err := store.Traffic(ctx, l.month)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		l.person(row.UID).used = row.Bytes
	}
	return l, nil
}

// person finds somebody. The caller holds mu, or nobody else knows the ledger.
func (l *ledger) person(uid protocol.UID) *person {
	p := l.people[uid]
	if p == nil {
		p = &person{uid: uid, often: begins.Bucket()}
		l.people[uid] = p
	}
	return p
}

// collect adds up what was relayed since the last time. The caller holds mu.
func (l *ledger) collect(p *person) {
	l.turnMonth()
	for _, r := range p.live {
		l.add(p, r)
	}
}

func (l *ledger) turnMonth() {
	if month := monthOf(l.now()); month != l.month {
		l.month = month
		for _, p := range l.people {
			p.used = 0
		}
	}
}

func (l *ledger) add(p *person, r *relayed) {
	if n := r.bytes() - r.collected; n > 0 {
		r.collected += n
		p.used += n
		p.owe(l.month, n)
	}
}

func (p *person) owe(month string, n int64) {
	if p.owed == nil {
		p.owed = map[string]int64{}
	}
	p.owed[month] += n
}

// may says whether a person may begin another allocation now; if not, why.
func (l *ledger) may(uid protocol.UID) (reason string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.person(uid)
	l.collect(p)
	switch {
	case l.limit > 0 && p.used >= l.limit:
		return refusedMonth, false
	case len(p.live) >= perPerson || l.open >= mostAllocations:
		return refusedQuota, false
	case !p.often.AllowN(l.now(), 1):
		return refusedRate, false
	}
	return "", true
}

// spent reports whether a person has used up his month.
func (l *ledger) spent(uid protocol.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.person(uid)
	l.collect(p)
	return l.limit > 0 && p.used >= l.limit
}

// overdue lists what is open of those who have used up their month.
func (l *ledger) overdue() (list []*relayed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.people {
		l.collect(p)
		if l.limit > 0 && p.used >= l.limit {
			list = append(list, p.live...)
		}
	}
	return list
}

// begin counts an allocation in, unless the person has enough.
func (l *ledger) begin(uid protocol.UID, r *relayed) (*person, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.person(uid)
	if len(p.live) >= perPerson || l.open >= mostAllocations {
		return nil, false
	}
	p.live = append(p.live, r)
	l.open++
	l.turnMonth()
	p.owe(l.month, 0) // so that the owner sees who has one, also if nothing passes
	return p, true
}

// end counts it out.
func (l *ledger) end(p *person, r *relayed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(p.live, r)
	if i < 0 {
		return
	}
	l.turnMonth()
	l.add(p, r)
	p.live = slices.Delete(p.live, i, i+1)
	l.open--
}

// of lists a person's allocations.
func (l *ledger) of(uid protocol.UID) []*relayed {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.people[uid]; p != nil {
		return slices.Clone(p.live)
	}
	return nil
}

// used is what a person has open and has used of the month.
func (l *ledger) used(uid protocol.UID) (allocations int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.people[uid]
	if p == nil {
		return 0, 0
	}
	l.collect(p)
	return len(p.live), p.used
}

// write puts what has been relayed into the database, and forgets there what is
// older than the last month. After an error it is all owed still.
func (l *ledger) write(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	rows, now := l.owed(), l.now().UTC()
	if len(rows) == 0 && l.written == monthOf(now) {
		return nil
	}
	last := time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC)
	if err := l.store.AddTraffic(ctx, rows, monthOf(last)); err != nil {
		l.owe(rows)
		return err
	}
	l.written = monthOf(now)
	return nil
}

// owed takes what is not in the database.
func (l *ledger) owed() []Traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := []Traffic{}
	for uid, p := range l.people {
		l.collect(p)
		for month, n := range p.owed {
			rows = append(rows, Traffic{UID: uid, Month: month, Bytes: n})
		}
		p.owed = nil
		if len(p.live) == 0 && p.used == 0 && p.often.TokensAt(l.now()) >= float64(begins.N) {
			delete(l.people, uid) // nothing is known of him that another start would not know
		}
	}
	return rows
}

func (l *ledger) owe(rows []Traffic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, row := range rows {
		l.person(row.UID).owe(row.Month, row.Bytes)
	}
}
