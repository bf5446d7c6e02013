package peer

import (
	"context"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// round is a relay that speaks by hop records: a guest without a line.
type round struct {
	mu    sync.Mutex // held while a record of it is worked on
	guest *guest
	last  int64 // guarded by Peers.mu; ms
}

// roundabout finds the guest for the relay with key, or makes one.
func (p *Peers) roundabout(key protocol.Key32, host string) *round {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now().UnixMilli()
	r := p.rounds[key]
	if r == nil || r.guest.ctx.Err() != nil || r.guest.host != host {
		if r != nil {
			r.guest.end()
			delete(p.rounds, key)
		}
		if len(p.rounds) >= callers {
			p.forgetOldest()
		}
		r = &round{guest: p.newGuest(nil, key, host)}
		p.rounds[key] = r
	}
	r.last = now
	return r
}

// forgetOldest makes room; mu is held.
func (p *Peers) forgetOldest() {
	var oldest protocol.Key32
	for key, r := range p.rounds {
		if oldest.IsZero() || r.last < p.rounds[oldest].last {
			oldest = key
		}
	}
	p.rounds[oldest].guest.end()
	delete(p.rounds, oldest)
}

// newGuest makes a guest that has proved its key.
func (p *Peers) newGuest(l *line, key protocol.Key32, host string) *guest {
	inside, end := context.WithCancel(p.ctx)
	return &guest{
		peers: p, line: l, host: host, order: &queue.Order{},
		pins: &pins{store: p.config.Store, now: func() int64 { return p.config.Now().UnixMilli() }, relay: key},
		ctx:  inside, end: end, closed: make(chan struct{}),
		records: limit.Rate{N: recordsPerMinute, Per: time.Minute}.Bucket(), lively: limit.Rate{N: livePerMinute, Per: time.Minute}.Bucket(),
		puts: make(chan struct{}, windowPuts), answers: make(chan answer, windowPuts), others: make(chan answer, 8),
	}
}
