package peer

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/files"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"golang.org/x/time/rate"
)

const (
	// guestsEach bounds the links of one relay: the oldest makes room, as after a
	// crash there. maxGuests bounds all of them; more are told to come back.
	guestsEach = 2
	maxGuests  = 512
	// Of one link: records of chains, whose signatures take time to check, and live
	// frames. More records are read later; more live frames are dropped.
	recordsPerMinute = 3000
	livePerMinute    = 1200
	// maxChain bounds a chain that is being shown, records.
	maxChain = 1000
	ahead    = 5 * 60 * 1000 // ms that an envelope's clock may be before ours (section 7)
	longest  = 60 * 1000     // ms that an envelope with exp may live
)

// guest is a relay that has come to bring something. Its read goroutine owns it.
type guest struct {
	peers  *Peers
	line   *line
	host   string
	pins   *pins
	order  *queue.Order
	ctx    context.Context // ends with the guest
	end    context.CancelFunc
	closed chan struct{} // when it has ended

	puts    chan struct{} // one for each put that is not answered
	answers chan answer   // to puts; there is room for each of them, so the queue never waits
	others  chan answer   // to other frames; while it is full nothing is read

	showing protocol.UID // whose chain comes in parts
	shown   []protocol.Signed
	file    *link.Request // the one that is coming
	records *rate.Limiter
	lively  *rate.Limiter
	useful  atomic.Bool // something that it brought was accepted
	onward  *way        // to a third relay, for hop records
	noted   bool        // its name and key have been; owned by who writes answers
}

// answer is a frame for the writer.
type answer struct {
	response link.Response
	pin      protocol.UID // to be written down first; zero: none
	put      bool
}

// Route is the link's call of section 14.
func (p *Peers) Route() gate.Route {
	return gate.Route{Method: http.MethodGet, Path: "/api/1/link", PerAddress: limit.Rate{N: 20, Per: time.Minute}, Handle: p.receive}
}

// receive lets a relay in. As with sockets, the handler returns when it is there.
func (p *Peers) receive(call *gate.Call) error {
	const op = "peer.receive"
	if call.Request().Header.Get("Upgrade") == "" {
		return protocol.Refuse(op, protocol.CodeBadRequest, "not a websocket")
	}
	if call.Request().Header.Get("Origin") != "" {
		return protocol.Refuse(op, protocol.CodeOrigin, "relays have none")
	}
	if !p.enter() {
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable}
	}
	conn, err := websocket.Accept(call.Writer(), call.Request(), nil)
	if err != nil { // Accept has answered
		p.all.Done()
		p.config.Told.Refused(protocol.CodeBadRequest)
		return nil
	}
	conn.SetReadLimit(link.MaxHello)
	g, err := p.greet(conn)
	if err == nil {
		err = p.admit(g)
	}
	if err != nil {
		p.excuse(conn, err)
		p.all.Done()
		return nil
	}
	conn.SetReadLimit(link.MaxFrame)
	go g.live()
	return nil
}

// enter counts a guest in unless the room has closed.
func (p *Peers) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.all.Add(1)
	return true
}

// greet is the handshake. Codes: bad-request, version, not-allowed, unauthorized, peer-away.
func (p *Peers) greet(conn *websocket.Conn) (*guest, error) {
	ctx, cancel := context.WithTimeout(p.ctx, dialWithin)
	defer cancel()
	_, hello, err := conn.Read(ctx)
	if err != nil {
		return nil, away(err)
	}
	stranger, frame, err := link.Receive(p.config.Random, p.config.Key, p.own, hello)
	if err != nil {
		return nil, err
	}
	if err := conn.Write(ctx, websocket.MessageText, frame); err != nil {
		return nil, away(err)
	}
	_, proof, err := conn.Read(ctx)
	if err != nil {
		return nil, away(err)
	}
	session, err := stranger.Finish(proof)
	if err != nil {
		return nil, err
	}
	if err := p.config.Lists.Takes(ctx, stranger.Hello.Host, stranger.Hello.Key, false); err != nil {
		return nil, err
	}
	return p.newGuest(&line{conn, session}, stranger.Hello.Key, stranger.Hello.Host), nil
}

// admit gives a guest its place. Code: unavailable if there are too many.
func (p *Peers) admit(g *guest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, all := g.pins.relay, 0
	for _, each := range p.guests {
		all += len(each)
	}
	if same := p.guests[key]; len(same) >= guestsEach {
		same[0].end()
		p.guests[key] = same[1:]
	} else if all >= maxGuests && !p.evict() {
		g.end()
		return &protocol.Error{Op: "peer.admit", Code: protocol.CodeUnavailable}
	}
	p.guests[key] = append(p.guests[key], g)
	return nil
}

// evict ends a guest that has brought nothing that anybody here wanted: keys cost
// nothing, and strangers shall not keep friends out. mu is held.
func (p *Peers) evict() bool {
	for key, same := range p.guests {
		for i, g := range same {
			if !g.useful.Load() {
				g.end()
				p.guests[key] = slices.Delete(slices.Clone(same), i, i+1)
				return true
			}
		}
	}
	return false
}

func (p *Peers) leave(g *guest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := g.pins.relay
	p.guests[key] = slices.DeleteFunc(p.guests[key], func(other *guest) bool { return other == g })
	if len(p.guests[key]) == 0 {
		delete(p.guests, key)
	}
}

// excuse tells a relay why it is not let in.
func (p *Peers) excuse(conn *websocket.Conn, err error) {
	code := protocol.CodeOf(err)
	p.config.Told.Refused(code)
	refusal := link.Refusal{Op: link.OpRefused, Code: code}
	if code == protocol.CodeVersion {
		refusal.Versions = link.Versions
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if frame, err := protocol.Marshal(refusal); err == nil && conn.Write(ctx, websocket.MessageText, frame) == nil {
		conn.Close(websocket.StatusPolicyViolation, code) //nolint:errcheck // it has been told
	}
	conn.CloseNow() //nolint:errcheck // likewise
}

// live runs a guest to its end.
func (g *guest) live() {
	p := g.peers
	p.config.Told.Linked("in", 1)
	p.called(g.host)
	defer func() {
		if trouble := recover(); trouble != nil { // as the gate does for requests
			p.config.Log.Error("panic on a link", "what", trouble, "stack", string(debug.Stack()))
		}
		g.end()
		<-g.closed
		p.leave(g)
		if g.onward != nil {
			g.onward.line.conn.CloseNow() //nolint:errcheck // nobody asks for more
		}
		g.line.conn.CloseNow() //nolint:errcheck // closed already, unless something failed before
		p.config.Told.Linked("in", -1)
		p.all.Done()
	}()
	go g.write()
	stop := context.AfterFunc(g.ctx, func() { g.line.conn.CloseNow() }) //nolint:errcheck // ends the read
	defer stop()
	for {
		plaintext, err := g.line.read()
		if err != nil {
			return
		}
		r, err := link.ParseRequest(plaintext)
		if err != nil {
			p.config.Told.Refused(protocol.CodeOf(err))
			return // a relay that speaks the version and breaks it is not talked with
		}
		if g.ctx.Err() != nil { // it has come meanwhile, and is not wanted any more
			return
		}
		g.handle(r)
		if g.ctx.Err() != nil {
			return
		}
	}
}

// write sends answers, and pings between them.
func (g *guest) write() {
	defer close(g.closed)
	defer g.end()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	pings := sync.WaitGroup{}
	defer pings.Wait()
	for {
		select {
		case <-g.ctx.Done():
			return
		case a := <-g.answers:
			if !g.answer(a) {
				return
			}
			<-g.puts
		case a := <-g.others:
			if !g.answer(a) {
				return
			}
		case <-ping.C:
			pings.Go(func() {
				if g.line.ping(g.ctx) != nil {
					g.end()
				}
			})
		}
	}
}

// answer writes one; false when the link is broken.
func (g *guest) answer(a answer) bool {
	if a.response.Op == link.OpAccepted {
		g.useful.Store(true)
	}
	if a.pin != (protocol.UID{}) {
		if err := errors.Join(g.pins.keep(g.ctx, a.pin), g.met()); err != nil && g.ctx.Err() == nil {
			g.peers.config.Log.Error("pin not written", "err", err) // it is shown again next time
		}
	}
	return g.line.write(a.response) == nil
}

// say hands the writer an answer.
func (g *guest) say(a answer) {
	if a.response.Op == link.OpRefused {
		g.peers.config.Told.Refused(a.response.Code)
	}
	out := g.others
	if a.put {
		out = g.answers
	}
	select {
	case out <- a:
	case <-g.ctx.Done():
	}
}

func (g *guest) refuse(n int64, err error, put bool) {
	g.say(answer{response: link.Response{Op: link.OpRefused, N: n, Code: protocol.CodeOf(err)}, put: put})
}

// handle does what a frame asks for.
func (g *guest) handle(r link.Request) {
	switch r.Op {
	case link.OpPut:
		select {
		case g.puts <- struct{}{}:
		case <-g.ctx.Done():
			return
		}
		if err := g.put(r); err != nil {
			g.refuse(r.N, err, true)
		}
	case link.OpChain:
		g.chain(r)
	case link.OpFile, link.OpPart:
		g.takeFile(r)
	case link.OpLive:
		g.hand(r)
	case link.OpSpend:
		g.spend(r)
	case link.OpGrant:
		g.reply(r, g.granted)
	case link.OpCard:
		g.reply(r, g.showCard)
	case link.OpHop:
		g.reply(r, g.hop)
	case link.OpStep:
		g.reply(r, g.step)
	default:
		g.refuse(r.N, protocol.Refuse("peer.handle", protocol.CodeBadRequest, "unknown op"), false)
	}
}

// reply answers with what a frame leads to.
func (g *guest) reply(r link.Request, do func(link.Request) (link.Response, error)) {
	response, err := do(r)
	if err != nil {
		g.refuse(r.N, err, false)
		return
	}
	response.N = r.N
	g.say(answer{response: response})
}

// envelope checks what another relay brings, without looking at whom it is for. What
// could be read is returned with the error too.
func (g *guest) envelope(raw []byte, fleeting bool) (*protocol.Envelope, error) {
	const op = "peer.envelope"
	e, err := protocol.ParseEnvelope(raw)
	if err != nil {
		return nil, err
	}
	now := g.peers.config.Now().UnixMilli()
	switch {
	case e.TS > now+ahead:
		return e, &protocol.Error{Op: op, Code: protocol.CodeClockAhead}
	case fleeting && (e.Type != protocol.TypeLive || e.Exp <= now || e.Exp-e.TS > longest),
		!fleeting && (e.Exp != 0 || e.Type == protocol.TypeLive || e.Type == protocol.TypeLink || e.Type == protocol.TypeReturned):
		return e, protocol.Refuse(op, protocol.CodeBadRequest, "type and exp")
	}
	lives, err := g.pins.live(g.ctx, e.From.ID)
	if err == nil && !lives {
		err = &protocol.Error{Op: op, Code: protocol.CodeChainNeeded}
	}
	return e, err
}

// put hands a letter to the queue; the answer follows when it is on disk.
func (g *guest) put(r link.Request) error {
	e, err := g.envelope(r.Env, false)
	if e != nil && err != nil {
		g.order.After(e.To.ID, r.N, err)
	}
	if err != nil {
		return err
	}
	p := &queue.Put{
		Sender: e.From.ID, For: []protocol.UID{e.To.ID}, ID: e.ID, Type: e.Type, Data: len(e.Data), Raw: r.Env, Quiet: r.Quiet,
		Via: g.via(), N: r.N, Order: g.order,
	}
	return g.peers.config.Queue.Put(g.ctx, p, func(result queue.Result) {
		if result.Err != nil {
			g.refuse(r.N, result.Err, true)
			return
		}
		g.say(answer{response: link.Response{Op: link.OpAccepted, N: r.N, Kept: len(result.Kept) > 0}, pin: e.From.ID, put: true})
	})
}

// chain takes what shows who a writer is. What does not fit is not believed; the
// put that it was for is then refused.
func (g *guest) chain(r link.Request) {
	if wait := g.records.ReserveN(time.Now(), min(len(r.Records), recordsPerMinute)).Delay(); wait > 0 {
		g.peers.config.Told.Refused(protocol.CodeRateLimited)
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-g.ctx.Done():
			return
		}
	}
	if r.At == 0 {
		g.showing, g.shown = r.UID, nil
	}
	if r.UID != g.showing || r.At != len(g.shown) || len(g.shown)+len(r.Records) > maxChain {
		g.showing, g.shown = protocol.UID{}, nil
		return
	}
	g.shown = append(g.shown, r.Records...)
	if r.More {
		return
	}
	chain, err := ident.ParseChain(g.shown)
	g.showing, g.shown = protocol.UID{}, nil
	if err == nil {
		err = g.pins.take(g.ctx, r.UID, chain)
	}
	if err != nil && g.ctx.Err() == nil {
		g.pins.disown(r.UID)
		g.peers.config.Told.Refused(protocol.CodeOf(err))
	}
}

// hand passes on what is worthless later; nobody is told whether it arrived.
func (g *guest) hand(r link.Request) {
	if !g.lively.Allow() {
		g.peers.config.Told.Refused(protocol.CodeRateLimited)
		return
	}
	e, err := g.envelope(r.Env, true)
	if err == nil {
		var ok bool
		if ok, err = g.peers.config.Store.AcceptsFrom(g.ctx, e.To.ID, e.From.ID, g.pins.relay, g.host); err == nil && ok {
			g.peers.config.Told.Brought(e, r.Env, r.Ring)
			return
		}
	}
	g.peers.config.Told.Refused(protocol.CodeNotContact)
}

// spend uses up an invite for somebody who lives there.
func (g *guest) spend(r link.Request) {
	lives, err := g.pins.live(g.ctx, r.UID)
	if err == nil && !lives {
		err = &protocol.Error{Op: "peer.spend", Code: protocol.CodeChainNeeded}
	}
	if err == nil {
		err = g.welcome(r.ID)
	}
	if err == nil {
		err = g.peers.config.Invites.Spend(g.ctx, r.ID, r.UID)
	}
	if err != nil {
		g.refuse(r.N, err, false)
		return
	}
	g.say(answer{response: link.Response{Op: link.OpAccepted, N: r.N}, pin: r.UID})
}

// welcome refuses an invite of somebody who refuses the guest's courtyard. Code: invite-unknown.
func (g *guest) welcome(id protocol.ID) error {
	refused, err := g.peers.config.Store.Unwelcome(g.ctx, handshake.InviteHash(id), g.pins.relay, g.host)
	if err == nil && refused {
		err = &protocol.Error{Op: "peer.welcome", Code: protocol.CodeInviteUnknown}
	}
	return err
}

// takeFile takes a file in parts.
func (g *guest) takeFile(r link.Request) {
	have, err := g.part(r)
	switch {
	case err != nil:
		g.file = nil
		g.refuse(r.N, err, false)
	case have < g.file.Size:
		g.say(answer{response: link.Response{Op: link.OpHave, N: r.N, Have: have}})
	default:
		from := g.file.From
		g.file = nil
		g.say(answer{response: link.Response{Op: link.OpAccepted, N: r.N}, pin: from})
	}
}

// part begins a file or appends to it, and returns how far it is on disk.
func (g *guest) part(r link.Request) (int64, error) {
	const op = "peer.part"
	if r.Op == link.OpFile {
		lives, err := g.pins.live(g.ctx, r.From)
		if err == nil && !lives {
			err = &protocol.Error{Op: op, Code: protocol.CodeChainNeeded}
		}
		if err != nil {
			return 0, err
		}
		ok, err := g.peers.config.Store.AcceptsFrom(g.ctx, r.For, r.From, g.pins.relay, g.host)
		if err != nil {
			return 0, err
		}
		g.file = &r
		if !ok {
			return 0, &protocol.Error{Op: op, Code: protocol.CodeNotContact}
		}
		file, err := g.peers.config.Files.Have(g.ctx, r.From, r.ID)
		if protocol.CodeOf(err) == protocol.CodeNotFound {
			return 0, nil
		}
		return file.Have, err
	}
	if g.file == nil || g.file.N != r.N {
		return 0, protocol.Refuse(op, protocol.CodeBadRequest, "part of no file")
	}
	return g.peers.config.Files.Put(g.ctx, files.Upload{
		ID: g.file.ID, By: g.file.From, For: []protocol.UID{g.file.For}, Size: g.file.Size, Offset: r.Offset, Data: r.Data,
	})
}
