// Package limit counts how often an address or a person asks, and says no in
// time. Addresses are kept in memory only, IPv6 by its /64, and in a bounded
// number.
//
// It must never write an address anywhere.
package limit

import (
	"net/netip"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"golang.org/x/time/rate"
)

// Rate allows N in Per, as many at once and refilled evenly.
type Rate struct {
	N   int
	Per time.Duration
}

// most bounds the keys of one book. When it is full, keys that have all their
// allowance back are forgotten, which changes nothing for them; if there are
// none, any key is: a flood from thousands of addresses gets a little more than
// its share, and memory stays flat.
const most = 4 << 10

// sweepStep is how many keys are looked at for each new one in a full book.
const sweepStep = 64

// Book holds the allowance of each key. Safe for use by several goroutines.
type Book struct {
	rate Rate
	now  func() time.Time

	mu   sync.Mutex
	keys map[string]*rate.Limiter // guarded by mu; at most `most`
}

// NewBook makes an empty book.
func NewBook(r Rate, now func() time.Time) *Book {
	return &Book{rate: r, now: now, keys: map[string]*rate.Limiter{}}
}

// Allow takes one from the key's allowance. Code: rate-limited, with params
// wait: ms until there is one again.
func (b *Book) Allow(key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	l, ok := b.keys[key]
	if !ok {
		if len(b.keys) >= most {
			b.sweep(now)
		}
		l = b.rate.limiter()
		b.keys[key] = l
	}
	if l.AllowN(now, 1) {
		return nil
	}
	wait := (1 - l.TokensAt(now)) / float64(l.Limit()) * 1000
	return &protocol.Error{Op: "limit.Allow", Code: protocol.CodeRateLimited, Params: map[string]any{"wait": int64(wait) + 1}}
}

func (b *Book) sweep(now time.Time) {
	looked, last := 0, ""
	for key, l := range b.keys {
		last = key
		if l.TokensAt(now) >= float64(b.rate.N) {
			delete(b.keys, key)
		}
		if looked++; looked >= sweepStep {
			break
		}
	}
	if len(b.keys) >= most {
		delete(b.keys, last)
	}
}

// Len is the number of keys.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.keys)
}

func (r Rate) limiter() *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(r.N)/r.Per.Seconds()), r.N)
}

// Bucket is the allowance of one thing that is known by itself, as a socket is.
func (r Rate) Bucket() *rate.Limiter { return r.limiter() }

// Address is the key of a remote address: the IPv4 address or the IPv6 /64,
// which one customer of a provider commonly has. What is no address is one key.
func Address(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
