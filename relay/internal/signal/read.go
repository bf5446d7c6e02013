package signal

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

const (
	ahead   = 5 * 60 * 1000 // ms that an envelope's clock may be before the relay's (section 7)
	longest = 60 * 1000     // ms that an envelope with exp may live
)

// read handles frames until the connection ends or has to.
func (s *socket) read() {
	for {
		kind, raw, err := receive(context.Background(), s.conn)
		switch {
		case errors.Is(err, websocket.ErrMessageTooBig):
			s.fail(&protocol.Error{Op: "signal.read", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": maxFrame}, Cause: err})
			return
		case err != nil:
			return
		case kind != websocket.MessageText:
			s.fail(protocol.Refuse("signal.read", protocol.CodeBadRequest, "not a text frame"))
			return
		}
		s.heard.Add(1)
		r, err := parseRequest(raw)
		if err == nil {
			err = s.handle(r)
		}
		if err != nil {
			s.fail(err)
			return
		}
		if s.ctx.Err() != nil {
			return
		}
	}
}

// handle does what a frame asks for. An error ends the socket; what is wrong
// with an envelope is answered and does not.
func (s *socket) handle(r request) error {
	switch r.Op {
	case "confirm":
		return s.confirm(r.N)
	case "put":
		if err := s.pace(); err != nil {
			return err
		}
		if len(r.Env) == 0 {
			return protocol.Refuse("signal.handle", protocol.CodeBadRequest, "put without env")
		}
		select {
		case s.puts <- struct{}{}:
		case <-s.ctx.Done():
			return nil // the read loop sees it
		}
		e, err := protocol.ParseEnvelope(r.Env)
		if err != nil {
			s.refuse(idOf(r.Env), err)
			return nil
		}
		if err := s.envelope(r, e); err != nil {
			s.refuse(e.ID, err)
		}
		return nil
	case handshake.OpTurn, handshake.OpWhere:
		if err := s.pace(); err != nil {
			return err
		}
		return s.answer(r)
	default:
		return protocol.Refuse("signal.handle", protocol.CodeBadRequest, "unknown op")
	}
}

// refuse and accept answer a put.
func (s *socket) refuse(id protocol.ID, err error) {
	s.report(err)
	s.offer(outgoing{frame: refusedFrame(id, err), answer: true})
}

func (s *socket) accept(id protocol.ID, kept []protocol.UID) {
	s.offer(outgoing{frame: acceptedFrame(id, kept), answer: true})
}

// pace makes a socket that sends more than its frames a minute wait: it is not
// read meanwhile, so nothing is lost and nobody else is kept waiting.
func (s *socket) pace() error {
	wait := s.allowance.Reserve().Delay()
	if wait == 0 {
		return nil
	}
	s.hub.config.Counts.Refused(protocol.CodeRateLimited)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ctx.Done():
		return nil // the read loop sees it
	}
}

// confirm notes that rows up to n are on the client's disk. One for each
// delivered row is free; others count as frames.
func (s *socket) confirm(n int64) error {
	if n < 1 {
		return protocol.Refuse("signal.confirm", protocol.CodeBadRequest, "no row")
	}
	if s.role == ident.RoleHome {
		// What a home confirms is forgotten, so it must have been sent to this very one.
		if n > s.highest() {
			return protocol.Refuse("signal.confirm", protocol.CodeBadRequest, "row not delivered")
		}
		if !s.land(n) {
			return s.pace()
		}
	} else {
		// Tabs of one browser share its disk and its cursor.
		tabs := s.hub.of(s.uid, sameDevice(s.device))
		highest := s.highest()
		for _, tab := range tabs {
			highest = max(highest, tab.highest())
		}
		n = min(n, highest)
		landed := s.land(n)
		for _, tab := range tabs {
			landed = tab.land(n) || landed
		}
		if !landed {
			if err := s.pace(); err != nil {
				return err
			}
		}
	}
	c := &queue.Confirm{Owner: s.uid, Device: s.device, Home: s.role == ident.RoleHome, N: n}
	return s.hub.config.Queue.Confirm(s.ctx, c, func(r queue.Result) {
		if r.Err != nil {
			// Not written: the rows come again after the next connection.
			s.report(r.Err)
			s.leave(closeStopping)
		}
	})
}

// envelope checks what can be checked without a database and passes e on.
func (s *socket) envelope(r request, e *protocol.Envelope) error {
	const op = "signal.envelope"
	now := s.hub.config.Now().UnixMilli()
	if e.Type == protocol.TypeLink {
		if protocol.DeviceID(e.From.ID) != s.device {
			return &protocol.Error{Op: op, Code: protocol.CodeNotAllowed}
		}
	} else if e.From.ID != s.uid {
		return &protocol.Error{Op: op, Code: protocol.CodeNotAllowed}
	}
	if e.TS > now+ahead {
		return &protocol.Error{Op: op, Code: protocol.CodeClockAhead, Params: map[string]any{"time": now}}
	}
	if e.Type == protocol.TypeReturned {
		return protocol.Refuse(op, protocol.CodeBadRequest, "only a relay says so")
	}
	if fleeting := e.Type == protocol.TypeLink || e.Type == protocol.TypeLive; fleeting != (e.Exp != 0) && (fleeting || known(e.Type)) {
		return protocol.Refuse(op, protocol.CodeBadRequest, "exp does not suit the type")
	}
	if (r.Ring || r.Reach) && e.Type != protocol.TypeLive {
		return protocol.Refuse(op, protocol.CodeBadRequest, "only live letters ring")
	}
	if e.Exp != 0 {
		switch {
		case e.Exp <= now:
			return &protocol.Error{Op: op, Code: protocol.CodeExpired, Params: map[string]any{"time": now}}
		case e.Exp-e.TS > longest:
			return protocol.Refuse(op, protocol.CodeBadRequest, "lives too long")
		}
		pass := s.pass
		if e.Type == protocol.TypeLink {
			pass = s.link
		}
		if err := pass(r, e); err != nil {
			return err
		}
		<-s.puts // it is not answered
		return nil
	}
	return s.keep(r, e)
}

// known types are never fleeting unless they are meant to be.
func known(t string) bool {
	return t == protocol.TypeChat || t == protocol.TypeFriend || t == protocol.TypeReceipt
}

// link passes a frame between two devices of one person. Codes: home-away,
// unavailable if the other one has enough to read.
func (s *socket) link(r request, e *protocol.Envelope) error {
	const op = "signal.link"
	sockets := s.hub.of(s.uid, sameDevice(protocol.DeviceID(e.To.ID)))
	if len(sockets) == 0 {
		return &protocol.Error{Op: op, Code: protocol.CodeHomeAway}
	}
	frame, taken := liveFrame(r.Env), false
	for _, to := range sockets {
		taken = to.offerLive(frame) || taken
	}
	if !taken {
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable}
	}
	return nil
}

// pass hands on what is worthless later. Whether anybody is there to see it is
// not the sender's business. Codes: not-contact, rate-limited for one who rings too often.
func (s *socket) pass(r request, e *protocol.Envelope) error {
	away, err := s.elsewhere(e)
	if err != nil {
		return err
	}
	if away != nil && (r.Ring || r.Reach) {
		// A link is opened only to where somebody is whom the caller has allowed.
		if err := s.allowed(s.uid, e.To.ID); err != nil {
			return err
		}
	}
	if away == nil && e.To.ID != s.uid {
		if err := s.allowed(e.To.ID, s.uid); err != nil {
			return err
		}
	}
	if r.Ring {
		if err := s.hub.rings.Allow(s.uid.String()); err != nil {
			return err
		}
	}
	if away != nil {
		s.hub.config.Elsewhere.Live(away.Host, away.UID, r.Env, r.Ring, r.Reach)
		return nil
	}
	if r.Ring && s.hub.config.Ring != nil && e.To.ID != s.uid {
		s.hub.config.Ring(e.To.ID, s.uid)
	}
	frame := liveFrame(r.Env)
	for _, to := range s.hub.of(e.To.ID, nil) {
		if to != s {
			to.offerLive(frame)
		}
	}
	return nil
}

// allowed reports whether sender is a contact of owner. Code: not-contact.
func (s *socket) allowed(owner, sender protocol.UID) error {
	ctx, cancel := context.WithTimeout(s.ctx, writeWithin)
	defer cancel()
	ok, err := s.hub.config.Store.Accepts(ctx, owner, sender)
	if err == nil && !ok {
		err = &protocol.Error{Op: "signal.allowed", Code: protocol.CodeNotContact}
	}
	return err
}

// elsewhere says where the person lives to whom e goes, nil: here.
func (s *socket) elsewhere(e *protocol.Envelope) (*queue.Away, error) {
	if s.hub.config.Elsewhere == nil || e.To.ID == s.uid {
		return nil, nil
	}
	host, own := s.hub.config.Elsewhere.Own(e.To)
	if own {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, writeWithin)
	defer cancel()
	// An address is a hint: whoever lives here gets it here.
	if lives, err := s.hub.config.Store.Lives(ctx, e.To.ID); err != nil || lives {
		return nil, err
	}
	return &queue.Away{UID: e.To.ID, Host: host}, nil
}

// keep gives an envelope to the queue; the answer follows when it is on disk.
func (s *socket) keep(r request, e *protocol.Envelope) error {
	owners := r.For
	if len(owners) == 0 {
		owners = []protocol.UID{e.To.ID}
	}
	for i, owner := range owners {
		if owner != e.To.ID && owner != e.From.ID || slices.Contains(owners[:i], owner) {
			return protocol.Refuse("signal.keep", protocol.CodeBadRequest, "for names others than to and from")
		}
	}
	p := &queue.Put{Sender: s.uid, For: owners, ID: e.ID, Type: e.Type, Data: len(e.Data), Raw: r.Env, Quiet: r.Quiet, Unsure: r.Unsure}
	if slices.Contains(owners, e.To.ID) {
		var err error
		if p.Away, err = s.elsewhere(e); err != nil {
			return err
		}
	}
	return s.hub.config.Queue.Put(s.ctx, p, func(result queue.Result) {
		if result.Err != nil {
			s.refuse(e.ID, result.Err)
			return
		}
		s.accept(e.ID, result.Kept)
	})
}
