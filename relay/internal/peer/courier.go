package peer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

const (
	windowPuts  = 64 // unanswered (section 14)
	windowBytes = 2 << 20
	pageParcels = 16 // read at a time for one person
	liveWaiting = 64 // live frames that wait for the link; more are dropped
	idleLink    = 5 * time.Minute
	reachEvery  = 5 * time.Second
	// answerWithin is how long the other side may leave everything unanswered.
	answerWithin = 2 * time.Minute
)

var errSilent = errors.New("no answer")

// courier passes on what waits for the people of one other relay. One goroutine
// owns it; what comes from outside comes by expect, hurry and offerLive.
type courier struct {
	peers *Peers
	host  string

	mu       sync.Mutex
	expected map[protocol.UID]bool // guarded by mu; people something new waits for
	hurried  bool                  // guarded by mu; the relay there has shown that it lives
	grants   bool                  // guarded by mu; what is granted there has changed
	doubt    bool                  // guarded by mu; the lists have changed
	live     []live                // guarded by mu; at most liveWaiting
	state    State                 // guarded by mu
	wake     chan struct{}         // capacity 1

	// Owned by run:
	lanes  map[protocol.UID]*lane
	order  []*lane // round robin
	turn   int
	line   *line // nil: not connected
	pins   *pins
	heard  chan heard    // from the reader of line
	hungUp chan struct{} // closed when nobody hears that any more
	answer time.Time     // when the last one came, or the line was opened
	flying int           // puts and parts unanswered
	bytes  int64
	until  time.Time // do not dial before
	dialed time.Time // when it was tried last
	pause  pause
	tries  int
	idle   time.Time // since when there is nothing to do
	round  bool      // there is no line, and the last detour was one
	news   bool      // something came that no detour has been tried for
	grant  bool      // what is granted is to be told
}

// live is a letter that is worthless later.
type live struct {
	to    protocol.UID
	raw   []byte
	ring  bool
	reach bool // worth a link of its own
}

// State is what Diagnostics tells of a courier.
type State struct {
	Connected bool
	Code      string // why the last try to connect failed
	Tries     int
	Lanes     map[protocol.UID]LaneState // of those whose last try failed
}

// LaneState is what it tells of one person there.
type LaneState struct {
	Code  string
	Tries int
}

// heard is a frame that came, or the end of the line.
type heard struct {
	response link.Response
	err      error
}

func newCourier(p *Peers, host string) *courier {
	return &courier{
		peers: p, host: host, expected: map[protocol.UID]bool{}, wake: make(chan struct{}, 1),
		lanes: map[protocol.UID]*lane{},
	}
}

func (c *courier) poke() {
	select {
	case c.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// expect: something waits for uid.
func (c *courier) expect(uid protocol.UID) {
	c.mu.Lock()
	c.expected[uid] = true
	c.mu.Unlock()
	c.poke()
}

// hurry: the relay there can be reached, so nothing has to wait for a pause.
func (c *courier) hurry() {
	c.mu.Lock()
	c.hurried = true
	c.mu.Unlock()
	c.poke()
}

// offerLive hands over what is worthless later; without a link it is dropped,
// unless it is worth one.
func (c *courier) offerLive(l live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (c.state.Connected || l.reach) && len(c.live) < liveWaiting {
		c.live = append(c.live, l)
		c.poke()
	}
}

// reaching reports whether something waits that is worth a link. Without one it
// waits for no longer than one try, and what is not worth one for none.
func (c *courier) reaching() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = slices.DeleteFunc(c.live, func(l live) bool { return !l.reach })
	return len(c.live) > 0
}

// forsake drops what waits for a link that there is not.
func (c *courier) forsake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = nil
}

// proclaim: what is granted to the relay there has changed.
func (c *courier) proclaim() {
	c.mu.Lock()
	c.grants = true
	c.mu.Unlock()
	c.poke()
}

// busy reports whether something came that run has not seen yet.
func (c *courier) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.expected) > 0 || c.grants || len(c.live) > 0
}

// State is for Diagnostics.
func (c *courier) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// run works until the room closes, or there has been nothing to do for a while.
func (c *courier) run() {
	ctx := c.peers.ctx
	defer c.hangUp()
	c.idle = c.peers.config.Now()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		c.collect()
		c.doubted(ctx)
		wait := c.work(ctx)
		c.tell()
		if ctx.Err() != nil {
			return
		}
		if wait < 0 && c.peers.retire(c) {
			return
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
		case <-c.wake:
		case h := <-c.heard:
			c.hear(ctx, h)
		case <-ping.C:
			c.beat(ctx)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// collect takes over what came from outside.
func (c *courier) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid := range c.expected {
		l := c.lanes[uid]
		if l == nil {
			l = &lane{to: uid, shown: map[protocol.UID]bool{}}
			c.lanes[uid] = l
			c.order = append(c.order, l)
		}
		l.more, c.news = true, true
	}
	clear(c.expected)
	if c.grants {
		c.grants, c.grant = false, true
	}
	if c.hurried {
		c.hurried = false
		c.until, c.pause = time.Time{}, pause{}
		for _, l := range c.order {
			l.until, l.pause, l.late.until = time.Time{}, pause{}, time.Time{}
		}
	}
}

// tell writes down what Diagnostics shows.
func (c *courier) tell() {
	lanes := map[protocol.UID]LaneState{}
	for _, l := range c.order {
		if l.code != "" {
			lanes[l.to] = LaneState{l.code, l.tries}
		} else if l.late.from != 0 {
			lanes[l.to] = LaneState{protocol.CodeClockAhead, l.late.tries}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Connected, c.state.Tries, c.state.Lanes = c.line != nil, c.tries, lanes
	if c.line != nil {
		c.state.Code = ""
	}
}

// work does all that can be done now and says how long to wait before something
// else can; negative: there is nothing to do at all.
func (c *courier) work(ctx context.Context) time.Duration {
	now := c.peers.config.Now()
	if c.line == nil && c.reaching() {
		c.reach(ctx)
		now = c.peers.config.Now()
	}
	if len(c.order) == 0 && !c.grant {
		c.sendLive(ctx)
		if c.idle.IsZero() {
			c.idle = now
		}
		if rest := idleLink - now.Sub(c.idle); rest > 0 && c.line != nil {
			return rest
		}
		if rest := reachEvery - now.Sub(c.dialed); rest > 0 && c.line == nil && c.tries > 0 {
			return rest // it remembers when it tried
		}
		return -1
	}
	c.idle = time.Time{}
	if c.line == nil {
		if wait := c.until.Sub(now); wait > 0 {
			if c.round && c.news { // the way round is known: nobody waits for a pause
				c.news = false
				c.round = c.detour(ctx)
			}
			return wait
		}
		if !c.connect(ctx) {
			return c.until.Sub(c.peers.config.Now())
		}
	}
	if c.grant {
		c.grant = false
		if err := c.tellGrant(ctx); err != nil {
			c.lost(ctx, err)
			return 0
		}
	}
	c.sendLive(ctx)
	return c.fill(ctx)
}

// reach opens a line for a letter that somebody waits for: at once, whatever the
// pause, but not more often than every reachEvery. What finds none is dropped.
func (c *courier) reach(ctx context.Context) {
	now := c.peers.config.Now()
	if now.Before(c.until) && now.Sub(c.dialed) < reachEvery || !c.connect(ctx) {
		c.forsake()
	}
}

// connect opens a line. What was on its way on an earlier one goes again.
func (c *courier) connect(ctx context.Context) bool {
	c.dialed = c.peers.config.Now()
	l, peer, err := c.peers.dial(ctx, c.host)
	if err != nil {
		c.fail(ctx, err)
		if protocol.CodeOf(err) == protocol.CodePeerAway && c.tries >= detourAfter {
			c.round = c.detour(ctx)
		}
		return false
	}
	if peer.Card != nil {
		if err := c.peers.config.Store.SaveCard(ctx, *peer.Card); err != nil {
			c.trouble(ctx, "card not written", err) // it is shown again next time
		}
	}
	if err := c.peers.config.Lists.Met(ctx, c.host, peer.Key, true); err != nil {
		c.trouble(ctx, "courtyard not noted", err) // likewise
	}
	c.line, c.heard = l, make(chan heard, windowPuts)
	c.answer = c.peers.config.Now()
	c.pins = &pins{store: c.peers.config.Store, now: func() int64 { return c.peers.config.Now().UnixMilli() }, relay: peer.Key}
	c.pause, c.tries, c.flying, c.bytes = pause{}, 0, 0, 0
	for _, lane := range c.order {
		lane.sent, lane.flying, lane.file, lane.known, lane.more = 0, nil, nil, false, true
		lane.shown, lane.late = map[protocol.UID]bool{}, postdated{}
	}
	c.round, c.news = false, false
	c.peers.config.Told.Linked("out", 1)
	out, hungUp := c.heard, make(chan struct{})
	c.hungUp = hungUp
	c.peers.all.Go(func() {
		stop := context.AfterFunc(ctx, func() { l.conn.CloseNow() }) //nolint:errcheck // ends what is being written, too
		defer stop()
		listen(l, out, hungUp)
	})
	if err := c.tellGrant(ctx); err != nil {
		c.lost(ctx, err)
		return false
	}
	return true
}

// listen reads a line until it ends or nobody hears any more.
func listen(l *line, out chan<- heard, hungUp <-chan struct{}) {
	for {
		plaintext, err := l.read()
		var r link.Response
		if err == nil {
			r, err = link.ParseResponse(plaintext)
		}
		select {
		case out <- heard{r, err}:
		case <-hungUp:
			return
		}
		if err != nil {
			return
		}
	}
}

// fail notes why there is no line, and gives the letters back if there never will be one.
func (c *courier) fail(ctx context.Context, err error) {
	code := protocol.CodeOf(err)
	c.peers.config.Told.Refused(code)
	c.tries++
	c.until = c.peers.config.Now().Add(c.pause.next())
	c.mu.Lock()
	c.state.Code = code
	c.mu.Unlock()
	if code != protocol.CodeNotAllowed && code != protocol.CodeVersion || ctx.Err() != nil {
		return
	}
	for _, l := range slices.Clone(c.order) { // giveBack takes them out
		c.giveBack(ctx, l, code)
	}
}

// giveBack returns everything of a lane to its senders.
func (c *courier) giveBack(ctx context.Context, l *lane, code string) {
	after := int64(0)
	for {
		page, err := c.peers.config.Store.Parcels(ctx, queue.Away{UID: l.to, Host: c.host}, after, pageParcels)
		if err != nil {
			c.trouble(ctx, "parcels not read", err)
			return
		}
		if len(page) == 0 {
			c.drop(l)
			return
		}
		for _, parcel := range page {
			c.settle(ctx, parcel, code)
			after = parcel.N
		}
	}
}

// hangUp ends the line, if there is one.
func (c *courier) hangUp() {
	if c.line == nil {
		return
	}
	c.line.conn.CloseNow() //nolint:errcheck // what was not answered goes again, however it ends
	close(c.hungUp)
	c.line, c.heard = nil, nil
	c.peers.config.Told.Linked("out", -1)
	c.mu.Lock()
	c.live = nil
	c.mu.Unlock()
}

// lost: the line has broken.
func (c *courier) lost(ctx context.Context, err error) {
	c.hangUp()
	if ctx.Err() == nil {
		c.fail(ctx, parted(err))
	}
}

// beat asks for a sign of life.
func (c *courier) beat(ctx context.Context) {
	if c.line == nil {
		return
	}
	if c.flying > 0 && c.peers.config.Now().Sub(c.answer) > answerWithin {
		c.lost(ctx, errSilent)
		return
	}
	l := c.line
	c.peers.all.Go(func() {
		if err := l.ping(ctx); err != nil && ctx.Err() == nil {
			l.conn.CloseNow() //nolint:errcheck // it is broken: this ends the reader, which says so
		}
	})
}

func (c *courier) drop(l *lane) {
	delete(c.lanes, l.to)
	for i, other := range c.order {
		if other == l {
			c.order = append(c.order[:i], c.order[i+1:]...)
			return
		}
	}
}

func (c *courier) trouble(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		c.peers.config.Log.Error(what, "err", err)
	}
}

func (c *courier) sendLive(ctx context.Context) {
	c.mu.Lock()
	letters := c.live
	c.live = nil
	c.mu.Unlock()
	for _, l := range letters {
		if c.line == nil {
			return
		}
		if l.reach {
			c.idle = time.Time{} // a call is under way: the link stays
			// Who calls whom is nobody's business but that relay's where the other lives.
			if err := c.meetReader(ctx, l.to); err != nil {
				c.peers.config.Told.Refused(protocol.CodeOf(err))
				continue
			}
		}
		if err := c.line.write(link.Request{Op: link.OpLive, Env: l.raw, Ring: l.ring}); err != nil {
			c.lost(ctx, err)
			return
		}
	}
}
