package elsewhere

import (
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/relay/internal/webfinger"
)

const (
	// foundFor is how long a name that was found is not asked for again: a courtyard
	// answers 30 such questions a minute to all of this one's people together.
	foundFor = 30 * time.Second
	// mostFound bounds what is remembered, some 200 bytes each.
	mostFound = 1024
)

// found remembers who was found by name. Names that were not found are asked for
// again: somebody may just have made themselves findable.
type found struct {
	now func() time.Time

	mu   sync.Mutex
	when []entry                     // guarded by mu; oldest first, at most mostFound
	by   map[string]webfinger.Person // guarded by mu; of those in when
}

type entry struct {
	key   string
	until time.Time
}

func newFound(now func() time.Time) *found {
	return &found{now: now, by: map[string]webfinger.Person{}}
}

func (f *found) get(key string) (webfinger.Person, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(f.now())
	p, ok := f.by[key]
	return p, ok
}

// put remembers p, in place of the oldest if there is no room.
func (f *found) put(key string, p webfinger.Person) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.forget(now)
	if _, ok := f.by[key]; ok { // two asked at once
		f.by[key] = p
		return
	}
	if len(f.when) >= mostFound {
		delete(f.by, f.when[0].key)
		f.when = f.when[1:]
	}
	f.when, f.by[key] = append(f.when, entry{key, now.Add(foundFor)}), p
}

func (f *found) forget(now time.Time) {
	for len(f.when) > 0 && !now.Before(f.when[0].until) {
		delete(f.by, f.when[0].key)
		f.when = f.when[1:]
	}
}
