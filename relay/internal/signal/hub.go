// Package signal is the websocket: who is connected, what is waiting for them,
// and what they tell each other at once (section 12).
//
// It must never hold the only copy of anything: what has to last goes through
// the queue, and a socket may be dropped at any time without loss.
package signal

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/tokens"
)

// Home is what is known of a person's home.
type Home struct {
	There  bool
	Device protocol.DeviceID
	Online bool
	Since  int64 // ms
}

// Greeting is what a socket's ready frame says, and what it takes to verify the caller.
type Greeting struct {
	Sign     protocol.Key32
	Role     string
	Exp      int64
	Revoked  bool
	Cursor   int64
	Username string
	Owner    bool
	Chain    int
	Vault    int64
	UEK      int64
	Used     int64
	Home     Home
}

// Store is what the package needs of the database.
type Store interface {
	// Greet finds a device; one question, whoever it is about.
	Greet(ctx context.Context, uid protocol.UID, device protocol.DeviceID) (Greeting, bool, error)
	// SetHome notes whether the active home is connected and says if that is news.
	SetHome(ctx context.Context, uid protocol.UID, device protocol.DeviceID, online bool, at int64) (bool, error)
	// Accepts reports whether sender is a contact of owner.
	Accepts(ctx context.Context, owner, sender protocol.UID) (bool, error)
	// Lives reports whether somebody is a person of this relay.
	Lives(ctx context.Context, uid protocol.UID) (bool, error)
	Rows(ctx context.Context, owner protocol.UID, after int64, limit int, maxBytes int) ([]queue.Row, error)
}

// Queue takes custody; *queue.Writer.
type Queue interface {
	Put(ctx context.Context, p *queue.Put, answer func(queue.Result)) error
	Confirm(ctx context.Context, c *queue.Confirm, answer func(queue.Result)) error
}

// Elsewhere is the way to other courtyards; *peer.Peers.
type Elsewhere interface {
	// Own reports whether an address is this relay's, and writes it as host[:port].
	Own(a protocol.Address) (host string, own bool)
	// Live passes on what is worthless later, or drops it; for what rings or
	// reaches a link is opened.
	Live(host string, to protocol.UID, raw []byte, ring, reach bool)
}

// Counts hears what happens on sockets.
type Counts interface {
	Refused(code string)
	Delivered(rows int)
	Connected(delta int)
	Dropped(what string) // a live frame or a socket that could not keep up
}

// Config is what the hub needs.
type Config struct {
	Hosts   []string // of the relay, the first is the public one
	Origins []string // patterns for the websocket library's own check
	Key     protocol.SignSecret
	Space   int64 // a person's limit, bytes
	Store   Store
	Queue   Queue
	// Elsewhere may be nil: then everybody lives here.
	Elsewhere Elsewhere
	Turn      Turn
	Tokens    *tokens.Book
	Counts    Counts
	Log       *slog.Logger
	Now       func() time.Time
	Random    io.Reader
	// Ring wakes a person's devices for a call of a contact; nil: nobody is woken.
	Ring func(owner, caller protocol.UID)
	// Present hears of a device whose socket has got its ready frame; nil for nobody.
	Present func(uid protocol.UID, device protocol.DeviceID)
	// FramesPerMinute of one socket; more are read later. 0: the 600 of section 12.
	FramesPerMinute int
	// SocketsPerMinute of one address. 0: the 20 of section 12.
	SocketsPerMinute int
}

const (
	// tabs bounds the sockets of one admin device; the oldest makes room.
	tabs = 8
	// perPerson bounds the sockets of all devices of a person, likewise.
	perPerson = 64
	// homeAnswers is how long a connected home has to show that it is alive when
	// another with its key comes.
	homeAnswers = 5 * time.Second
	// ringsPerMinute of one person; a person rings one after the other.
	ringsPerMinute = 20
)

// Hub knows every socket. Safe for use by several goroutines.
type Hub struct {
	config Config
	ctx    context.Context // ends when the hub stops
	stop   context.CancelFunc
	all    sync.WaitGroup // one for each socket

	questions *limit.Book

	mu     sync.Mutex
	closed bool                                  // guarded by mu
	people map[protocol.UID]map[*socket]struct{} // guarded by mu; seated sockets
	order  uint64                                // guarded by mu; counts seatings

	rings *limit.Book // letters that ring, by sender

	presence sync.Mutex // held while a home's state is read off the seats and written down
}

// New makes a hub.
func New(config Config) *Hub {
	if config.FramesPerMinute == 0 {
		config.FramesPerMinute = 600
	}
	if config.SocketsPerMinute == 0 {
		config.SocketsPerMinute = 20
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Hub{
		config: config, ctx: ctx, stop: stop, people: map[protocol.UID]map[*socket]struct{}{},
		rings: limit.NewBook(limit.Rate{N: ringsPerMinute, Per: time.Minute}, config.Now), questions: limit.NewBook(questions, config.Now),
	}
}

// Stop closes every socket and returns when all have ended.
func (h *Hub) Stop() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	h.all.Wait()
}

// enter counts a socket in unless the hub has stopped.
func (h *Hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.all.Add(1)
	return true
}

// of lists a person's seated sockets that which accepts, nil for all.
func (h *Hub) of(uid protocol.UID, which func(*socket) bool) []*socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := make([]*socket, 0, len(h.people[uid]))
	for s := range h.people[uid] {
		if which == nil || which(s) {
			found = append(found, s)
		}
	}
	return found
}

func sameDevice(id protocol.DeviceID) func(*socket) bool {
	return func(s *socket) bool { return s.device == id }
}

// seat gives s its place, making room as section 12 says. Code: home-exists if
// another process has the home's key and is alive.
func (h *Hub) seat(s *socket) error {
	for {
		rival, out := h.trySeat(s)
		for _, old := range out {
			old.leave(closeReplaced)
		}
		if rival == nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(s.ctx, homeAnswers)
		err := rival.conn.Ping(ctx)
		cancel()
		if err == nil {
			h.Event(s.uid, "home-twice", map[string]any{})
			return &protocol.Error{Op: "signal.seat", Code: protocol.CodeHomeExists}
		}
		if s.ctx.Err() != nil {
			return &protocol.Error{Op: "signal.seat", Code: protocol.CodeUnavailable, Cause: s.ctx.Err()}
		}
		rival.leave(closeSilent)
		h.unseat(rival)
	}
}

// trySeat seats s unless a rival home has to be asked first. out are the
// sockets that have to go for it; they have lost their seats.
func (h *Hub) trySeat(s *socket) (rival *socket, out []*socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seats := h.people[s.uid]
	if seats == nil {
		seats = map[*socket]struct{}{}
		h.people[s.uid] = seats
	}
	same, oldest, oldestOfAll := 0, (*socket)(nil), (*socket)(nil)
	for other := range seats {
		if other.role != ident.RoleHome && (oldestOfAll == nil || other.seated < oldestOfAll.seated) {
			oldestOfAll = other
		}
		if other.device != s.device {
			continue
		}
		if other.instance == s.instance {
			out = append(out, other)
			continue
		}
		if s.role == ident.RoleHome {
			return other, nil
		}
		if same++; oldest == nil || other.seated < oldest.seated {
			oldest = other
		}
	}
	if same >= tabs {
		out = append(out, oldest)
	} else if len(seats)-len(out) >= perPerson && oldestOfAll != nil {
		out = append(out, oldestOfAll)
	}
	for _, old := range out {
		delete(seats, old)
	}
	h.order++
	s.seated = h.order
	seats[s] = struct{}{}
	return nil, out
}

func (h *Hub) unseat(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.people[s.uid], s)
	if len(h.people[s.uid]) == 0 {
		delete(h.people, s.uid)
	}
}

// present writes down whether the home with this device id is connected, as the
// seats say at this moment, and tells the person's devices if that is news.
func (h *Hub) present(uid protocol.UID, device protocol.DeviceID) {
	h.presence.Lock()
	defer h.presence.Unlock()
	online := len(h.of(uid, sameDevice(device))) > 0
	at := h.config.Now().UnixMilli()
	// Also while the relay stops: the home is away from then on.
	news, err := h.config.Store.SetHome(context.WithoutCancel(h.ctx), uid, device, online, at)
	if err != nil {
		h.config.Log.Error("home's state not written", "err", err)
		return
	}
	if news {
		state := "away"
		if online {
			state = "online"
		}
		h.Event(uid, "home", map[string]any{"state": state, "since": at})
	}
}

// Revoke closes the sockets of a device at once.
func (h *Hub) Revoke(uid protocol.UID, device protocol.DeviceID) {
	for _, s := range h.of(uid, sameDevice(device)) {
		h.unseat(s)
		s.leave(closeRevoked)
	}
}

// Wake tells a person's sockets that there are new rows.
func (h *Hub) Wake(owner protocol.UID) {
	for _, s := range h.of(owner, nil) {
		s.poke()
	}
}

// Live hands a person's sockets what another relay brought and is worthless later.
func (h *Hub) Live(to protocol.UID, raw []byte) {
	sockets := h.of(to, nil)
	if len(sockets) == 0 {
		return
	}
	frame := liveFrame(raw)
	for _, s := range sockets {
		s.offerLive(frame)
	}
}

// Event tells all of a person's sockets.
func (h *Hub) Event(uid protocol.UID, what string, params map[string]any) {
	sockets := h.of(uid, nil)
	if len(sockets) == 0 {
		return
	}
	frame := eventFrame(what, params)
	for _, s := range sockets {
		s.offer(outgoing{frame: frame})
	}
}

// Heard is how many sockets a device has, and how many frames they have brought.
func (h *Hub) Heard(uid protocol.UID, device protocol.DeviceID) (sockets int, frames uint64) {
	for _, s := range h.of(uid, sameDevice(device)) {
		sockets++
		frames += s.heard.Load()
	}
	return sockets, frames
}

// Frames is how many frames the sockets of each connected device of a person have brought.
func (h *Hub) Frames(uid protocol.UID) map[protocol.DeviceID]uint64 {
	frames := map[protocol.DeviceID]uint64{}
	for _, s := range h.of(uid, nil) {
		frames[s.device] += s.heard.Load()
	}
	return frames
}

// Len is the number of seated sockets.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, seats := range h.people {
		n += len(seats)
	}
	return n
}
