package peer

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// fill sends what the window has room for, taking the people in turn, and says
// how long until a paused one may be tried again; 0 < an answer comes first.
func (c *courier) fill(ctx context.Context) time.Duration {
	const untilAnswered = time.Minute
	wait := untilAnswered
	for passed := 0; c.line != nil && passed < len(c.order) && c.flying < windowPuts && c.bytes < windowBytes; {
		now := c.peers.config.Now()
		c.turn = (c.turn + 1) % len(c.order)
		l := c.order[c.turn]
		if rest := l.recall(now); rest > 0 {
			wait = min(wait, rest)
		}
		if !l.ready(now) {
			if rest := l.until.Sub(now); l.more && rest > 0 {
				wait = min(wait, rest)
			}
			passed++
			continue
		}
		on, err := c.advance(ctx, l)
		if err != nil {
			c.lost(ctx, err)
			return 0
		}
		if on {
			passed = 0
		} else {
			passed++
		}
	}
	if len(c.order) == 0 {
		return 0
	}
	return wait
}

// advance goes through the next page of a lane and sends it; on is false if it has
// come no further. An error is the line's.
func (c *courier) advance(ctx context.Context, l *lane) (on bool, err error) {
	now := c.peers.config.Now()
	if !l.known {
		if err := c.meetReader(ctx, l.to); err != nil {
			l.rewind(l.sent+1, now, protocol.CodeOf(err))
			return false, nil
		}
		l.known = true
	}
	page, err := c.peers.config.Store.Parcels(ctx, queue.Away{UID: l.to, Host: c.host}, l.sent, min(pageParcels, windowPuts-c.flying))
	if err != nil {
		c.trouble(ctx, "parcels not read", err)
		l.rewind(l.sent+1, now, protocol.CodeInternal)
		return false, nil
	}
	if len(page) == 0 {
		l.more = false
		if l.idle() {
			c.drop(l)
		}
		return false, nil
	}
	for _, parcel := range page {
		if l.flies(parcel.N) {
			// It went before something was to go again. Where that was refused it is going to be
			// refused as well, and what is newer would overtake it: until it is answered nothing goes.
			return on, nil
		}
		if l.passes(parcel) {
			l.sent, on = parcel.N, true
			continue
		}
		if parcel.File && len(l.flying) > 0 {
			return on, nil // when those are answered
		}
		if c.bytes+parcel.Size > windowBytes && c.flying > 0 && !parcel.File {
			return on, nil
		}
		if err := c.send(ctx, l, parcel); err != nil {
			return on, err
		}
		on = true
		if parcel.File {
			return on, nil
		}
	}
	return on, nil
}

func (c *courier) send(ctx context.Context, l *lane, parcel queue.Parcel) error {
	raw := parcel.Raw
	parcel.Raw = nil
	l.sent = parcel.N
	c.flying++
	if parcel.File {
		l.file = &upload{parcel: parcel}
		return c.line.write(link.Request{Op: link.OpFile, N: parcel.N, ID: parcel.ID, From: parcel.Sender, For: parcel.To, Size: parcel.Size})
	}
	c.bytes += parcel.Size
	l.flying = append(l.flying, parcel)
	return c.line.write(link.Request{Op: link.OpPut, N: parcel.N, Env: raw, Quiet: parcel.Quiet})
}

// meetReader makes sure that the relay at the other end is the one that the
// reader's chain names. Codes: peer-key, peer-away, address-refused.
func (c *courier) meetReader(ctx context.Context, to protocol.UID) error {
	lives, err := c.pins.live(ctx, to)
	if err != nil || lives {
		return err
	}
	chain, err := c.peers.fetch(ctx, c.host, to)
	if err != nil {
		return err
	}
	if err := c.pins.take(ctx, to, chain); err != nil {
		if protocol.CodeOf(err) == protocol.CodeNotAllowed {
			return &protocol.Error{Op: "peer.meetReader", Code: protocol.CodePeerKey, Cause: err}
		}
		return err
	}
	return c.pins.keep(ctx, to)
}

// maxChainBytes bounds the chain that another relay shows of somebody.
const maxChainBytes = 6 << 20

// fetch asks the relay at host for the chain of somebody who may live there.
func (p *Peers) fetch(ctx context.Context, host string, uid protocol.UID) (*ident.Chain, error) {
	const op = "peer.fetch"
	answer, err := p.config.Reach.Get(ctx, host, "/api/1/chains/"+uid.String(), "application/json", maxChainBytes)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, protocol.Refuse(op, protocol.CodePeerAway, http.StatusText(answer.Status))
	}
	var shown struct {
		Records []protocol.Signed `json:"records"`
	}
	if err := protocol.DecodeOpen(answer.Body, &shown, 6); err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodePeerAway, Cause: err}
	}
	chain, err := ident.ParseChain(shown.Records)
	if err != nil {
		return nil, &protocol.Error{Op: op, Code: protocol.CodePeerKey, Cause: err}
	}
	return chain, nil
}

// hear acts on an answer.
func (c *courier) hear(ctx context.Context, h heard) {
	if h.err != nil {
		c.lost(ctx, h.err)
		return
	}
	c.answer = c.peers.config.Now()
	for _, l := range c.order {
		if l.file != nil && l.file.parcel.N == h.response.N {
			c.hearFile(ctx, l, h.response)
			return
		}
		parcel, found := l.find(h.response.N)
		if !found {
			continue
		}
		c.flying--
		c.bytes -= parcel.Size
		c.answered(ctx, l, parcel, h.response)
		return
	}
	// Of something that this line did not send: a peer that says so is not followed.
}

// answered ends the flight of a parcel.
func (c *courier) answered(ctx context.Context, l *lane, parcel queue.Parcel, r link.Response) {
	now := c.peers.config.Now()
	switch {
	case r.Op == link.OpAccepted:
		l.moved()
		c.carried(ctx, parcel, r.Kept, "")
	case r.Op != link.OpRefused:
		l.rewind(parcel.N, now, protocol.CodeUnavailable)
	case queue.Lasting(r.Code):
		l.moved()
		c.settle(ctx, parcel, r.Code)
	case r.Code == protocol.CodeChainNeeded && !l.shown[parcel.Sender]:
		l.shown[parcel.Sender] = true
		if err := c.show(ctx, parcel.Sender); err != nil {
			c.lost(ctx, err)
			return
		}
		l.rewind(parcel.N, now, "")
	case r.Code == protocol.CodeClockAhead && !parcel.File:
		c.postdated(ctx, l, parcel)
	default:
		l.rewind(parcel.N, now, r.Code)
	}
	if l.idle() {
		c.drop(l)
	}
}

// postdated deals with a letter that the clock over there calls ahead. Where ours
// says so too by now, or its writer had doubts, it goes back to be sealed anew.
// Else that clock may be the wrong one: the letter waits, and holds up no other.
func (c *courier) postdated(ctx context.Context, l *lane, parcel queue.Parcel) {
	now := c.peers.config.Now()
	if parcel.Raw == nil { // not kept while it was on its way
		page, err := c.peers.config.Store.Parcels(ctx, queue.Away{UID: l.to, Host: c.host}, parcel.N-1, 1)
		if err != nil {
			c.trouble(ctx, "parcels not read", err)
			l.rewind(parcel.N, now, protocol.CodeInternal)
			return
		}
		if len(page) == 0 || page[0].N != parcel.N { // its custody has ended
			return
		}
		parcel = page[0]
	}
	if at := dated(parcel.Raw); parcel.Unsure || at > now.UnixMilli()+ahead {
		c.settle(ctx, parcel, protocol.CodeClockAhead)
	} else {
		l.passOver(parcel.N, at, now)
	}
}

// show tells the other relay who a writer is.
func (c *courier) show(ctx context.Context, uid protocol.UID) error {
	records, err := c.peers.config.Store.Chain(ctx, uid, -1)
	if err != nil {
		c.trouble(ctx, "chain not read", err)
		return nil // the put is refused again, and waits
	}
	return c.line.show(uid, records)
}

// hearFile goes on with a file.
func (c *courier) hearFile(ctx context.Context, l *lane, r link.Response) {
	f := l.file
	if r.Op == link.OpHave && r.Have >= f.offset && r.Have < f.parcel.Size {
		f.offset = r.Have
		start, data, err := c.peers.config.Store.Chunk(ctx, f.parcel.ID, f.offset)
		if err == nil {
			data = data[f.offset-start:]
			data = data[:min(len(data), link.MaxPart)]
			err = c.line.write(link.Request{Op: link.OpPart, N: f.parcel.N, Offset: f.offset, Data: data})
			if err != nil {
				c.lost(ctx, err)
			}
			return
		}
		if protocol.CodeOf(err) != protocol.CodeNotFound {
			c.trouble(ctx, "file not read", err)
			r = link.Response{Op: link.OpRefused, N: r.N, Code: protocol.CodeInternal}
		} else { // its bytes are gone: nothing can bring them back
			r = link.Response{Op: link.OpRefused, N: r.N, Code: protocol.CodeBadRequest}
		}
	}
	l.file = nil
	c.flying--
	c.answered(ctx, l, f.parcel, r)
}

// carried ends the custody of what the other relay has on disk.
func (c *courier) carried(ctx context.Context, parcel queue.Parcel, kept bool, by string) {
	err := c.peers.config.Queue.Settle(ctx, &queue.Settle{N: parcel.N}, func(r queue.Result) {
		if r.Err == nil && !parcel.File {
			c.peers.config.Told.Carried(parcel.Sender, parcel.To, parcel.ID, kept, by)
		}
	})
	if err != nil {
		c.trouble(ctx, "custody not ended", err) // it goes again, and the other side has it already
	}
}

// settle gives a parcel that was refused for good back to its sender.
func (c *courier) settle(ctx context.Context, parcel queue.Parcel, code string) {
	s := &queue.Settle{N: parcel.N}
	if !parcel.File { // a file's letter says what became of it
		back, err := c.peers.back(parcel, code)
		if err != nil {
			c.trouble(ctx, "no row for a returned letter", err)
			return
		}
		s.Back = back
	}
	c.peers.config.Told.Refused(code)
	if err := c.peers.config.Queue.Settle(ctx, s, func(queue.Result) {}); err != nil {
		c.trouble(ctx, "custody not ended", err)
	}
}

// back makes the row that tells a sender of a letter that came back (section 14).
func (p *Peers) back(parcel queue.Parcel, code string) (*queue.Back, error) {
	data, err := protocol.Marshal(struct {
		ID   protocol.ID  `json:"id"`
		To   protocol.UID `json:"to"`
		Code string       `json:"code"`
	}{parcel.ID, parcel.To, code})
	if err != nil {
		return nil, err
	}
	host, port, err := protocol.SplitHost(p.config.Hosts[0])
	if err != nil {
		return nil, err
	}
	key := protocol.UID(p.config.Key.Public())
	e := protocol.Envelope{
		V: 1, TS: p.config.Now().UnixMilli(), Type: protocol.TypeReturned, Data: data,
		From: protocol.Address{IP: host, Port: port, ID: key},
		To:   protocol.Address{IP: host, Port: port, ID: parcel.Sender},
	}
	if _, err := io.ReadFull(p.config.Random, e.ID[:]); err != nil {
		return nil, err
	}
	return &queue.Back{From: key, ID: e.ID, Raw: e.Marshal()}, nil
}
