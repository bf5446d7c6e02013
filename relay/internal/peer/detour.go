package peer

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// Detour is a relay that lets this one pass.
type Detour struct {
	Relay protocol.Key32
	Host  string
	Until int64 // ms; 0: withdrawn
}

const (
	// detourAfter is how many tries in vain come before a detour.
	detourAfter = 3
	// maxDetours bounds the relays that are remembered as letting this one pass.
	maxDetours = 64
	// detourWithin bounds one way round: connecting, and each step of it.
	detourWithin = 30 * time.Second
)

// detour passes on what waits by way of a relay that has granted it, the custody
// staying here until the reader's relay has it. False: there was no way.
func (c *courier) detour(ctx context.Context) bool {
	detours, err := c.peers.config.Store.Detours(ctx, c.peers.config.Now().UnixMilli())
	if err != nil {
		c.trouble(ctx, "detours not read", err)
		return false
	}
	for _, d := range detours {
		if d.Host == c.host || ctx.Err() != nil {
			continue
		}
		w, err := c.peers.setOut(ctx, d, c.host)
		if err == nil {
			if err = c.peers.config.Store.LineOpens(ctx, c.host); err == nil {
				err = c.goRound(ctx, w)
				c.parts(w.unanswered)
			}
			w.line.conn.CloseNow() //nolint:errcheck // answered, or broken
		}
		if err == nil {
			return true
		}
		c.peers.config.Told.Refused(protocol.CodeOf(err))
		c.peers.config.Log.Debug("no way round", "err", err)
	}
	return false
}

// way is a line to a relay that lets this one pass, on the way to host.
type way struct {
	peers *Peers
	line  *line
	by    string // host of the relay in between
	host  string
	n     int64
	key   protocol.Key32 // of the relay at host, once a reader's chain has named it
	box   protocol.Key32
	// unsent: what was asked last went no further than to the relay in between.
	unsent     bool
	unanswered []int64 // parcels of which that is not known
}

func (p *Peers) setOut(ctx context.Context, d Detour, host string) (*way, error) {
	l, peer, err := p.dial(ctx, d.Host)
	if err != nil {
		return nil, err
	}
	if peer.Key != d.Relay { // another relay there now; what was granted was not by it
		l.conn.CloseNow() //nolint:errcheck // nothing was said
		return nil, &protocol.Error{Op: "peer.setOut", Code: protocol.CodePeerKey}
	}
	return &way{peers: p, line: l, by: d.Host, host: host}, nil
}

// ask sends a frame to the relay in between and waits for its answer.
func (w *way) ask(ctx context.Context, r link.Request) (link.Response, error) {
	stop := context.AfterFunc(ctx, func() { w.line.conn.CloseNow() }) //nolint:errcheck // ends the read
	defer stop()
	timer := time.AfterFunc(detourWithin, func() { w.line.conn.CloseNow() }) //nolint:errcheck // likewise
	defer timer.Stop()
	w.n++
	r.N, w.unsent = w.n, false
	if err := w.line.write(r); err != nil {
		return link.Response{}, away(err)
	}
	plaintext, err := w.line.read()
	if err != nil {
		return link.Response{}, away(err)
	}
	answer, err := link.ParseResponse(plaintext)
	if err == nil && answer.N != w.n {
		err = protocol.Refuse("peer.ask", protocol.CodeBadRequest, "another answer")
	}
	if err == nil && answer.Op == link.OpRefused {
		w.unsent = answer.Unsent
		err = link.Refusal{Code: answer.Code}.Error("peer.ask")
	}
	return answer, err
}

// aim makes records sealed to the relay with key, whose card the relay in between
// may have to show.
func (w *way) aim(ctx context.Context, key protocol.Key32) error {
	if w.key == key {
		return nil
	}
	card, found, err := w.peers.config.Store.Card(ctx, key)
	if err != nil {
		return err
	}
	if !found {
		shown, err := w.ask(ctx, link.Request{Op: link.OpCard, Host: w.host})
		if err != nil {
			return err
		}
		if shown.Card == nil {
			return protocol.Refuse("peer.aim", protocol.CodeBadRequest, "no card")
		}
		card = *shown.Card
	}
	box, err := link.ReadCard(card, key)
	if err != nil {
		return err
	}
	w.key, w.box = key, box
	if found {
		return nil
	}
	return w.peers.config.Store.SaveCard(ctx, card)
}

// step sends frames in a hop record and returns what the relay at the end answers.
func (w *way) step(ctx context.Context, frames ...link.Request) (link.Response, error) {
	config := w.peers.config
	sealed, back, err := link.SealHop(config.Random, config.Key, config.Hosts[0], w.key, w.box, config.Now().UnixMilli(), frames...)
	if err != nil {
		return link.Response{}, err
	}
	answer, err := w.ask(ctx, link.Request{Op: link.OpHop, Host: w.host, Data: sealed})
	if err != nil {
		return link.Response{}, err
	}
	return back.Open(answer.Data)
}

// goRound sends everything that waits, one after the other. An error is the way's.
func (c *courier) goRound(ctx context.Context, w *way) error {
	for _, l := range append([]*lane{}, c.order...) {
		pin, found, err := c.peers.config.Store.Pin(ctx, l.to)
		if err != nil {
			return err
		}
		if !found {
			continue // nobody has been reached there yet who could say who that is
		}
		if err := w.aim(ctx, pin.Relay); err != nil {
			return err
		}
		if err := c.goLane(ctx, w, l); err != nil {
			return err
		}
	}
	return nil
}

func (c *courier) goLane(ctx context.Context, w *way, l *lane) error {
	l.recall(c.peers.config.Now())
	for after := int64(0); ; {
		page, err := c.peers.config.Store.Parcels(ctx, queue.Away{UID: l.to, Host: c.host}, after, pageParcels)
		if err != nil {
			c.trouble(ctx, "parcels not read", err)
			return err
		}
		if len(page) == 0 {
			if l.late.from == 0 {
				c.drop(l)
			}
			return nil
		}
		for _, parcel := range page {
			after = parcel.N
			if l.passes(parcel) || !c.peers.air.leaves(parcel.N) {
				continue
			}
			r, err := c.goParcel(ctx, w, parcel)
			if err != nil {
				if w.unsent {
					c.peers.air.lands(parcel.N)
				} else {
					w.unanswered = append(w.unanswered, parcel.N)
				}
				return err
			}
			switch {
			case r.Op == link.OpAccepted:
				l.moved()
				c.carried(ctx, parcel, r.Kept, w.by)
			case r.Op == link.OpRefused && queue.Lasting(r.Code):
				c.settle(ctx, parcel, r.Code)
			case r.Op == link.OpRefused && r.Code == protocol.CodeClockAhead && !parcel.File:
				c.postdated(ctx, l, parcel)
			default: // the others of this person wait with it
				c.stays(l, parcel, c.peers.config.Now(), r.Code)
				return nil
			}
		}
	}
}

// goParcel takes one parcel round, and shows who its writer is if that is asked.
func (c *courier) goParcel(ctx context.Context, w *way, parcel queue.Parcel) (link.Response, error) {
	r, err := c.goOnce(ctx, w, parcel)
	if err != nil || r.Code != protocol.CodeChainNeeded {
		return r, err
	}
	records, err := c.peers.config.Store.Chain(ctx, parcel.Sender, -1)
	if err != nil {
		return r, err
	}
	for _, frame := range showing(parcel.Sender, records) {
		if _, err := w.step(ctx, frame); err != nil {
			return r, err
		}
	}
	return c.goOnce(ctx, w, parcel)
}

func (c *courier) goOnce(ctx context.Context, w *way, parcel queue.Parcel) (link.Response, error) {
	if !parcel.File {
		return w.step(ctx, link.Request{Op: link.OpPut, N: parcel.N, Env: parcel.Raw, Quiet: parcel.Quiet})
	}
	r, err := w.step(ctx, link.Request{Op: link.OpFile, N: parcel.N, ID: parcel.ID, From: parcel.Sender, For: parcel.To, Size: parcel.Size})
	for err == nil && r.Op == link.OpHave && r.Have < parcel.Size {
		start, data, failed := c.peers.config.Store.Chunk(ctx, parcel.ID, r.Have)
		if failed != nil {
			return r, failed
		}
		data = data[r.Have-start:]
		r, err = w.step(ctx, link.Request{Op: link.OpPart, N: parcel.N, Offset: r.Have, Data: data[:min(len(data), link.MaxPart)]})
	}
	return r, err
}

// ---- the relay in between -------------------------------------------------------------

// hop passes a record on to a third relay and its answer back, for a relay that
// may. Both ends have their custody; here is none.
func (g *guest) hop(r link.Request) (link.Response, error) {
	const op = "peer.hop"
	p := g.peers
	if p.own(r.Host) || r.Host == g.host {
		return link.Response{Unsent: true}, protocol.Refuse(op, protocol.CodeBadRequest, "no way round")
	}
	now := p.config.Now()
	ok, err := p.config.Store.UseGrant(g.ctx, g.pins.relay, int64(len(r.Data)), now.UnixMilli(), now.Unix()/86400)
	if err == nil && !ok {
		err = p.whyNot(g.ctx, g.pins.relay)
	}
	if err != nil {
		return link.Response{Unsent: true}, err
	}
	if g.onward != nil && g.onward.host != r.Host {
		g.onward.line.conn.CloseNow() //nolint:errcheck // another one is asked for now
		g.onward = nil
	}
	for fresh, unsent := g.onward == nil, true; ; fresh = true {
		if g.onward == nil {
			l, _, err := p.dial(g.ctx, r.Host)
			if err != nil {
				return link.Response{Unsent: unsent}, err
			}
			g.onward = &way{peers: p, line: l, host: r.Host}
		}
		unsent = false
		answer, err := g.onward.ask(g.ctx, link.Request{Op: link.OpStep, Data: r.Data})
		if err == nil {
			return link.Response{Op: link.OpBack, Data: answer.Data}, nil
		}
		g.onward.line.conn.CloseNow() //nolint:errcheck // broken, or refused
		g.onward = nil
		// A line that had been idle may have been closed at its other end.
		if fresh || protocol.CodeOf(err) != protocol.CodePeerAway {
			return link.Response{}, err
		}
	}
}

// whyNot tells a relay that has a grant and has used it up from one that has none.
func (p *Peers) whyNot(ctx context.Context, relay protocol.Key32) error {
	grants, err := p.config.Store.Grants(ctx)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Relay == relay && g.Until > p.config.Now().UnixMilli() {
			return &protocol.Error{Op: "peer.hop", Code: protocol.CodeRateLimited}
		}
	}
	return &protocol.Error{Op: "peer.hop", Code: protocol.CodeNotAllowed}
}

// showCard answers with the card of a third relay. Only for relays that may pass.
func (g *guest) showCard(r link.Request) (link.Response, error) {
	p := g.peers
	now := p.config.Now()
	if ok, err := p.config.Store.UseGrant(g.ctx, g.pins.relay, 1, now.UnixMilli(), now.Unix()/86400); err != nil || !ok {
		if err == nil {
			err = p.whyNot(g.ctx, g.pins.relay)
		}
		return link.Response{}, err
	}
	answer, err := p.config.Reach.Get(g.ctx, r.Host, "/api/1/relay", "application/json", 16<<10)
	if err != nil {
		return link.Response{}, err
	}
	var about struct {
		Card protocol.Signed `json:"card"`
	}
	if answer.Status != http.StatusOK || protocol.DecodeOpen(answer.Body, &about, 4) != nil {
		return link.Response{}, &protocol.Error{Op: "peer.showCard", Code: protocol.CodePeerAway}
	}
	return link.Response{Op: link.OpAccepted, Card: &about.Card}, nil
}

// ---- the relay at the end -------------------------------------------------------------

const (
	// callers bounds the relays that are remembered as speaking by hop records; the
	// one that has been silent longest goes.
	callers = 64
)

// step opens a record that has come round, does what its frames ask for as if
// they had come over a link of that relay, and seals the answer to the last.
func (g *guest) step(r link.Request) (link.Response, error) {
	p := g.peers
	from, h, back, err := link.OpenHop(p.config.Key, r.Data, p.config.Now().UnixMilli())
	if err != nil {
		return link.Response{}, err
	}
	frames := make([]link.Request, 0, len(h.Frames))
	for _, raw := range h.Frames {
		frame, err := link.ParseRequest(raw)
		if err != nil {
			return link.Response{}, err
		}
		frames = append(frames, frame)
	}
	if err := p.config.Lists.Takes(g.ctx, h.Host, from, false); err != nil {
		return turnAway(frames, back, err)
	}
	// One at a time of each relay: their order is what they are.
	who := p.roundabout(from, h.Host)
	who.mu.Lock()
	defer who.mu.Unlock()
	answer := link.Response{Op: link.OpAccepted}
	for _, frame := range frames {
		switch frame.Op {
		case link.OpPut, link.OpFile, link.OpPart, link.OpSpend, link.OpChain:
		default: // a hop in a hop would go on for ever
			return link.Response{}, protocol.Refuse("peer.step", protocol.CodeBadRequest, "not in a hop record")
		}
		if answer, err = who.guest.now(g.ctx, frame); err != nil {
			return link.Response{}, err
		}
	}
	sealed, err := back.Seal(answer)
	return link.Response{Op: link.OpBack, Data: sealed}, err
}

// now handles a frame and waits for its answer.
func (g *guest) now(ctx context.Context, r link.Request) (link.Response, error) {
	g.handle(r)
	if r.Op == link.OpChain {
		return link.Response{Op: link.OpAccepted}, nil
	}
	select {
	case a := <-g.answers:
		<-g.puts
		return a.response, g.keepPin(a)
	case a := <-g.others:
		return a.response, g.keepPin(a)
	case <-ctx.Done():
		// The answer would be taken for another's: what this guest knows is forgotten.
		g.end()
		return link.Response{}, &protocol.Error{Op: "peer.now", Code: protocol.CodeUnavailable, Cause: ctx.Err()}
	}
}

func (g *guest) keepPin(a answer) error {
	if a.pin.IsZero() {
		return nil
	}
	return errors.Join(g.pins.keep(g.ctx, a.pin), g.met())
}
