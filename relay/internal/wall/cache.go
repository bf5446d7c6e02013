package wall

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// cacheBytes bounds what is kept ready; when it is full, all of it is made anew.
	cacheBytes = 16 << 20
	// fresh is how long an answer is given without asking the database. What is
	// posted or hidden here drops it at once; of what another process has done it is
	// the longest that anybody sees the old.
	fresh = 5 * time.Second
)

// answer is the bytes of an answer, ready to be sent.
type answer struct {
	kind  string
	etag  string
	body  []byte
	until time.Time
}

func newAnswer(kind string, body []byte) *answer {
	sum := sha256.Sum256(body)
	return &answer{kind: kind, etag: `"` + protocol.EncodeBytes(sum[:18]) + `"`, body: body}
}

// cache keeps answers ready, of walls that many read at once. Safe for use by
// several goroutines.
type cache struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	writing int        // transactions under way: nothing is given or kept meanwhile
	written int64      // how often one has begun: what was read before that is old
	size    int        // bytes, at most cacheBytes
	answers map[string]*answer
}

func newCache(now func() time.Time) *cache { return &cache{now: now, answers: map[string]*answer{}} }

// get returns the answer of key, made now if there is no fresh one. Errors are kept
// for nobody. Whoever has seen something that was just written never gets an answer
// from before: to a follower that would be a wall that was rolled back.
func (c *cache) get(key string, make func() (*answer, error)) (*answer, error) {
	now := c.now()
	c.mu.Lock()
	a, written, writing := c.answers[key], c.written, c.writing > 0
	c.mu.Unlock()
	if a != nil && !writing && now.Before(a.until) {
		return a, nil
	}
	fresher, err := make()
	if err != nil || writing {
		return fresher, err
	}
	fresher.until = now.Add(fresh)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.written != written { // something was written while this was read
		return fresher, nil
	}
	if old := c.answers[key]; old != nil {
		c.size -= len(old.body) + len(key)
	}
	if c.size += len(fresher.body) + len(key); c.size > cacheBytes {
		c.answers, c.size = map[string]*answer{}, len(fresher.body)+len(key)
	}
	c.answers[key] = fresher
	return fresher, nil
}

// write drops everything (walls are read often and written seldom) and keeps
// nothing until done is called, after the transaction.
func (c *cache) write() (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing++
	c.written++
	c.answers, c.size = map[string]*answer{}, 0
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.writing--
	}
}
