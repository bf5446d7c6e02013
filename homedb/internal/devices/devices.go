// Package devices answers a person's own devices over the link (section 11):
// what is in the log, the daily keys, files, and the household's pairings. The
// relay in between carries sealed frames and nothing else.
//
// It must never answer anybody who is not an active device in the person's own
// chain, nor hand a key to a device that is not an admin.
package devices

import (
	"context"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	// maxSessions bounds a person's sessions, tabs included; the one that has been
	// silent longest makes room and learns of it when it speaks next.
	maxSessions = 32
	// maxWaiting bounds the requests of a session that wait for their turn. A device
	// that asks for more at once loses the session, and may begin another.
	maxWaiting = 64
	// maxAhead are the requests of a direct connection that are read before their turn.
	maxAhead = 16
	// maxLate are the answers of a conversation that are being made beside the others.
	maxLate = 4
	// silence ends a session whose device has gone without a word.
	silence = 30 * time.Minute
	// lasts is how long a link envelope is worth anything.
	lasts = 30 * time.Second
)

// Ask is a pairing typed at the home's page that waits for consent.
type Ask struct {
	ID   protocol.ID `json:"id"`
	Host string      `json:"host"`
	TS   int64       `json:"ts"`
}

// Household is the rest of the agent, as far as a device may reach it.
type Household interface {
	// Code makes a pairing code for another person, at this person's relay.
	Code(ctx context.Context, uid protocol.UID) (string, error)
	// Asks are the pairings that wait for this person's consent.
	Asks(uid protocol.UID) []Ask
	// Allow answers one. Code not-found.
	Allow(ctx context.Context, uid protocol.UID, id protocol.ID, yes bool) error
	// People is how many this home looks after.
	People() int
	// Free is the room on the disk, in bytes.
	Free() (int64, error)
}

// Devices holds the sessions of one line. They end with it: what was on its way
// is lost then, and the device begins again.
type Devices struct {
	*Desk
	now  func() int64 // the relay's time, ms
	send func(ctx context.Context, e *protocol.Envelope) error

	mu       sync.Mutex // guards what follows
	sessions map[handshake.SessionID]*session
	all      sync.WaitGroup
}

// session is one device's, from its hello on.
type session struct {
	id      handshake.SessionID
	device  ident.Device
	pending *handshake.Responder // until the finish
	frames  chan []byte
	last    time.Time // guarded by Devices.mu
	stop    context.CancelFunc
}

// Over makes the sessions of a line. now is the relay's time; send puts an
// envelope that is never queued.
func (d *Desk) Over(now func() int64, send func(ctx context.Context, e *protocol.Envelope) error) *Devices {
	return &Devices{Desk: d, now: now, send: send, sessions: map[handshake.SessionID]*session{}}
}

// Run takes live envelopes until ctx ends or the channel is closed.
func (d *Devices) Run(ctx context.Context, live <-chan []byte) {
	ctx, stop := context.WithCancel(ctx)
	defer d.all.Wait()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case raw, ok := <-live:
			if !ok {
				return
			}
			d.take(ctx, raw)
		}
	}
}

// take looks at one live envelope. What is not a link message of one's own
// device is dropped and counted; nothing else comes this way to a home.
func (d *Devices) take(ctx context.Context, raw []byte) {
	e, err := protocol.ParseEnvelope(raw)
	if err != nil || e.Type != protocol.TypeLink || protocol.DeviceID(e.To.ID) != d.c.Keys.ID() {
		if err != nil {
			d.c.Counted("live-bad")
		}
		return
	}
	if e.Exp == 0 || e.Exp < d.now() {
		d.c.Counted("link-expired")
		return
	}
	kind, id, _, err := handshake.ParseLink(e.Data)
	if err != nil {
		d.c.Counted("link-bad")
		return
	}
	from := protocol.DeviceID(e.From.ID)
	device, ok := d.known(ctx, from)
	if !ok {
		d.c.Counted("link-stranger")
		return
	}
	switch kind {
	case handshake.LinkHello:
		d.hello(ctx, device, id, e.Data)
	case handshake.LinkFinish:
		d.finish(ctx, device, id, e.Data)
	case handshake.LinkFrame:
		d.frame(ctx, device, id, e.Data)
	case handshake.LinkClosed:
		d.end(id, device.ID())
	}
}

// known finds an active device of the own chain, asking the relay once for one
// that is not known yet.
func (d *Devices) known(ctx context.Context, id protocol.DeviceID) (ident.Device, bool) {
	now := clock.Millis(d.c.Clock)
	chain, err := d.c.Chain(ctx)
	if err == nil {
		if device, ok := chain.Active(id, now); ok {
			return device, true
		}
		if _, ever := chain.Device(id); ever {
			return ident.Device{}, false
		}
	}
	if chain, err = d.c.Refresh(ctx); err != nil {
		return ident.Device{}, false
	}
	return chain.Active(id, now)
}

func (d *Devices) hello(ctx context.Context, device ident.Device, id handshake.SessionID, data []byte) {
	peers := handshake.LinkPeers{UID: d.c.UID, Device: device.ID(), Home: d.c.Keys.ID(), RelayKey: d.c.RelayKey, Host: d.c.Host}
	responder, answer, err := handshake.NewResponder(d.c.Random, d.c.Keys, device.Sign, peers, data)
	if err != nil {
		d.c.Counted("link-bad")
		return
	}
	d.mu.Lock()
	if _, taken := d.sessions[id]; taken {
		d.mu.Unlock()
		d.c.Counted("link-bad")
		return
	}
	if len(d.sessions) >= maxSessions {
		d.oldest()
	}
	d.sessions[id] = &session{id: id, device: device, pending: responder, last: d.c.Clock.Now(), frames: make(chan []byte, maxWaiting), stop: func() {}}
	d.mu.Unlock()
	d.reply(ctx, device.ID(), answer)
}

// oldest ends the session that has been silent longest; mu is held.
func (d *Devices) oldest() {
	var last *session
	for _, s := range d.sessions {
		if last == nil || s.last.Before(last.last) {
			last = s
		}
	}
	if last != nil {
		delete(d.sessions, last.id)
		last.stop()
	}
}

func (d *Devices) find(id handshake.SessionID, device protocol.DeviceID) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sessions[id]
	if s == nil || s.device.ID() != device {
		return nil
	}
	s.last = d.c.Clock.Now()
	return s
}

func (d *Devices) finish(ctx context.Context, device ident.Device, id handshake.SessionID, data []byte) {
	s := d.find(id, device.ID())
	if s == nil || s.pending == nil {
		d.reply(ctx, device.ID(), handshake.ClosedMessage(id))
		return
	}
	sealed, err := s.pending.Finish(data)
	if err != nil {
		d.c.Counted("link-refused")
		d.end(id, device.ID())
		return
	}
	ctx, stop := context.WithCancel(ctx)
	d.mu.Lock()
	s.pending, s.stop = nil, stop
	d.mu.Unlock()
	d.all.Go(func() {
		defer stop()
		defer d.end(id, device.ID())
		d.serve(ctx, s, sealed)
	})
}

func (d *Devices) frame(ctx context.Context, device ident.Device, id handshake.SessionID, data []byte) {
	s := d.find(id, device.ID())
	if s == nil || s.pending != nil {
		d.reply(ctx, device.ID(), handshake.ClosedMessage(id))
		return
	}
	select {
	case s.frames <- data:
	default:
		d.c.Counted("link-flooded")
		d.end(id, device.ID())
		d.reply(ctx, device.ID(), handshake.ClosedMessage(id))
	}
}

func (d *Devices) end(id handshake.SessionID, device protocol.DeviceID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.sessions[id]; s != nil && s.device.ID() == device {
		delete(d.sessions, id)
		s.stop()
	}
}

// reply sends a link message to a device. If the line is gone nothing is owed:
// the device asks again.
func (d *Devices) reply(ctx context.Context, to protocol.DeviceID, data []byte) {
	id, err := protocol.NewID(d.c.Random)
	if err != nil {
		d.c.Logger.Error("devices: no randomness", "error", err)
		return
	}
	now := d.now()
	e := &protocol.Envelope{V: 1, ID: id, TS: now, Exp: now + lasts.Milliseconds(), From: d.c.Address, To: d.c.Address, Type: protocol.TypeLink, Data: data}
	e.From.ID, e.To.ID = protocol.UID(d.c.Keys.ID()), protocol.UID(to)
	if err := d.send(ctx, e); err != nil && ctx.Err() == nil {
		d.c.Logger.Debug("devices: an answer was not sent", "error", err)
	}
}

// serve answers one session until it ends.
func (d *Devices) serve(ctx context.Context, s *session, sealed *handshake.Session) {
	over := d.converse(ctx, voice{
		caller: caller{s.device, s.id},
		frames: s.frames,
		open:   sealed.Open,
		say: func(ctx context.Context, plain []byte) error {
			data, err := sealed.Seal(plain)
			if err != nil {
				return err
			}
			d.reply(ctx, s.device.ID(), data)
			return nil
		},
	})
	if over {
		d.reply(ctx, s.device.ID(), handshake.ClosedMessage(s.id))
	}
}
