// Package push wakes devices that are not connected when a letter is kept for
// their owner: a Web Push message (RFC 8030) by way of the browser's vendor,
// sealed for the device (RFC 8291), that says who wrote and how often, never what
// (section 16).
//
// A call wakes at once, and for no longer than it rings.
//
// A push is a hint. It must never be the only way to learn of a letter, never
// keep a letter waiting, and never go to a host that is not on the list.
package push

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// Subscription is where a device's browser is woken.
type Subscription struct {
	UID      protocol.UID
	Device   protocol.DeviceID
	Endpoint string // a secret: whoever knows it may try to wake the device
	Key      []byte // the browser's P-256 public key, a point of 65 bytes
	Auth     []byte // 16 bytes
}

// Target is the subscription of a device that may be woken now.
type Target struct {
	Subscription
	Seen int64 // queue rows up to this one are on the device's disk
}

// Store is what the package needs of the database.
type Store interface {
	// Subscribed lists everybody who has a subscription.
	Subscribed(ctx context.Context) ([]protocol.UID, error)
	// Subscription finds the one of a device.
	Subscription(ctx context.Context, uid protocol.UID, device protocol.DeviceID) (Subscription, bool, error)
	// SubscriptionAt finds the one with an endpoint.
	SubscriptionAt(ctx context.Context, endpoint string) (Subscription, bool, error)
	// Subscribe keeps one for a device that is not revoked, in place of its former
	// one and of that of another device with the same endpoint and the same keys:
	// that is the same browser. Codes: not-allowed if the endpoint is another
	// device's with other keys, unauthorized if the device is revoked.
	Subscribe(ctx context.Context, s Subscription, at int64) error
	// Unsubscribe forgets a device's; only the one with endpoint unless that is "".
	Unsubscribe(ctx context.Context, uid protocol.UID, device protocol.DeviceID, endpoint string) error
	// Targets are owner's active devices to be woken for a letter from peer: none
	// if owner has muted peer.
	Targets(ctx context.Context, owner, peer protocol.UID, now int64) ([]Target, error)
	// Muted lists whom a person has muted.
	Muted(ctx context.Context, uid protocol.UID) ([]protocol.UID, error)
	// Mute replaces that list.
	Mute(ctx context.Context, uid protocol.UID, peers []protocol.UID) error
}

// Client makes requests through the guarded dialer (section 14): no redirects,
// no address that is not public.
type Client interface {
	Do(*http.Request) (*http.Response, error)
}

// Presence knows which devices are connected.
type Presence interface {
	// Heard is how many sockets a device has and how many frames came over them.
	Heard(uid protocol.UID, device protocol.DeviceID) (sockets int, frames uint64)
	// Frames is how many frames came over the sockets of each connected device.
	Frames(uid protocol.UID) map[protocol.DeviceID]uint64
}

// Counts hears what became of pushes: sent, gone, later, refused, dropped.
type Counts interface{ Pushed(what string) }

// Config is what the room needs.
type Config struct {
	Store    Store
	Client   Client
	Presence Presence
	Counts   Counts
	Log      *slog.Logger
	Now      func() time.Time
	Seed     protocol.Secret // of the VAPID key
	Host     string          // host[:port] of the relay: the contact that vendors are told
	Hosts    []string        // host[:port] that the operator allows besides the vendors'
	Room     func() error    // relay-full when the disk's reserve is reached
}

const (
	// mostNews bounds the chats in which something was kept and not yet looked at;
	// beyond it a letter wakes nobody (dropped).
	mostNews = 4096
	// mostChats bounds the chats of one device that wait for it, likewise.
	mostChats = 64
	// mostWakes bounds them over all devices, likewise.
	mostWakes = 65_536
	// mostJobs bounds the pushes that wait for a worker; when it is full they stay
	// where they are and are handed over a second later.
	mostJobs = 256
	// workers send; a vendor that does not answer holds each for sendWithin.
	workers = 8
	// mostTests bounds the tests under way at once; more are told to come again.
	mostTests = 8
)

// Room is where wakes are decided and sent. Run must be running.
type Room struct {
	config Config
	vapid  *vapid
	jobs   chan job
	look   chan struct{} // there is something for the loop
	tests  chan struct{}

	mu     sync.Mutex // all below
	people map[protocol.UID]struct{}
	rung   map[chat]rung // calls that the loop has not looked at
	rings  map[ringing]*ring
	news   map[chat]news
	wakes  map[device]map[protocol.UID]*wake // by who wrote
	total  int                               // wakes in all
	next   time.Time                         // no wake is due before
}

type chat struct{ owner, peer protocol.UID }

type device struct {
	uid protocol.UID
	id  protocol.DeviceID
}

// news is what was kept in a chat since the loop last looked.
type news struct {
	rows []int64 // their numbers, ascending; at most mostRows, the newest
	kind string
}

// mostRows bounds what one push counts.
const mostRows = 1000

// after is how many of the rows are above seen.
func (n news) after(seen int64) int {
	first, _ := slices.BinarySearch(n.rows, seen+1)
	return len(n.rows) - first
}

// New makes the room and reads who has a subscription.
func New(ctx context.Context, config Config) (*Room, error) {
	vapid, err := newVAPID(config.Seed, config.Host, config.Now)
	if err != nil {
		return nil, err
	}
	people, err := config.Store.Subscribed(ctx)
	if err != nil {
		return nil, err
	}
	r := &Room{
		config: config, vapid: vapid,
		jobs: make(chan job, mostJobs), look: make(chan struct{}, 1), tests: make(chan struct{}, mostTests),
		people: map[protocol.UID]struct{}{}, rung: map[chat]rung{}, rings: map[ringing]*ring{}, news: map[chat]news{}, wakes: map[device]map[protocol.UID]*wake{},
	}
	for _, uid := range people {
		r.people[uid] = struct{}{}
	}
	return r, nil
}

// Kept hears of rows that are on disk. It does not block.
func (r *Room) Kept(rows []queue.NewRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	some := false
	for _, row := range rows {
		if !wakes(row) {
			continue
		}
		if _, subscribed := r.people[row.Owner]; !subscribed {
			continue
		}
		key := chat{row.Owner, row.Put.Sender}
		held, there := r.news[key]
		if !there && len(r.news) >= mostNews {
			r.config.Counts.Pushed("dropped")
			continue
		}
		held.rows = append(held.rows[max(0, len(held.rows)+1-mostRows):], row.N)
		r.news[key] = news{rows: held.rows, kind: row.Put.Type}
		some = true
	}
	if some {
		r.poke()
	}
}

// wakes says whether a row is worth waking somebody: not one's own copy, nothing
// that its writer called quiet, no receipts and no types of later versions.
func wakes(row queue.NewRow) bool {
	return row.Owner != row.Put.Sender && !row.Put.Quiet &&
		(row.Put.Type == protocol.TypeChat || row.Put.Type == protocol.TypeFriend)
}

// Present hears that a device has connected: what waited for it, it sees.
func (r *Room) Present(uid protocol.UID, id protocol.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(device{uid, id})
}

// forget drops what waits for a device. The caller holds mu.
func (r *Room) forget(d device) {
	r.total -= len(r.wakes[d])
	delete(r.wakes, d)
}

// poke makes the loop look.
func (r *Room) poke() {
	select {
	case r.look <- struct{}{}:
	default: // it will
	}
}

// Sweep forgets chats for which a device was woken a day ago and lets the loop
// look at what is due; called now and then.
func (r *Room) Sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.config.Now()
	for d, chats := range r.wakes {
		for peer, w := range chats {
			if !w.busy && w.due.IsZero() && now.Sub(w.last) > life {
				delete(chats, peer)
				r.total--
			}
		}
		if len(chats) == 0 {
			delete(r.wakes, d)
		}
	}
	r.poke()
}
