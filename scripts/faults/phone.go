package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/scripts/crowd"
)

const (
	pingEvery = 3 * time.Second
	pingFor   = 4 * time.Second
	// againAfter is the pause before what was refused for now is put again, and
	// between two attempts to connect: a relay takes 20 sockets a minute.
	againAfter = 3 * time.Second
	// framesWaiting bounds what has been read and not looked at; beyond it the relay waits.
	framesWaiting = 64
)

// resident is somebody who lives in the town.
type resident struct {
	*crowd.Person
	house *house
	home  bool // there is a place for them in the household
	shut  bool // takes letters of nobody
}

// phone is a resident's browser: it writes what the plan says, sends it again
// until the relay answers for it, and confirms what it is delivered. It keeps
// everything in memory, since phones are not what is troubled here.
type phone struct {
	*resident
	people  map[protocol.UID]*resident
	byName  map[string]*resident
	history *history
	words   []word

	mu     sync.Mutex
	outbox map[string][]*outgoing // guarded by mu; by reader, the oldest first
	seqs   map[string]int64       // guarded by mu
	due    int                    // guarded by mu; letters of the plan that are not written yet
	token  string                 // guarded by mu; of the newest socket
	more   chan struct{}          // holds one: the outbox has grown
}

// outgoing is a letter that the relay does not answer for yet.
type outgoing struct {
	entry
	frame []byte
	after time.Time // put not before
	put   bool      // on this socket, and not answered
}

func newPhone(r *resident, people []*resident, h *history, words []word) *phone {
	p := &phone{resident: r, people: map[protocol.UID]*resident{}, byName: map[string]*resident{}, history: h,
		outbox: map[string][]*outgoing{}, seqs: map[string]int64{}, token: r.Token, more: make(chan struct{}, 1)}
	for _, other := range people {
		p.people[other.UID], p.byName[other.Username] = other, other
	}
	for _, w := range words {
		if w.From == r.Username {
			p.words = append(p.words, w)
		}
	}
	p.due = len(p.words)
	return p
}

// run writes and sends until ctx ends.
func (p *phone) run(ctx context.Context, began time.Time) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { p.write(ctx, began) })
	for ctx.Err() == nil {
		s, err := p.Connect(ctx)
		if err == nil {
			p.mu.Lock()
			p.token = s.Ready.Token
			p.mu.Unlock()
			p.say(entry{What: wasOnline})
			err = p.talk(ctx, s)
		}
		if ctx.Err() != nil {
			return
		}
		p.say(entry{What: wasOffline, Note: err.Error()})
		select {
		case <-time.After(againAfter):
		case <-ctx.Done():
		}
	}
}

func (p *phone) say(e entry) {
	e.Who = p.Username
	p.history.add(e)
}

// write seals each letter when its time has come.
func (p *phone) write(ctx context.Context, began time.Time) {
	for _, w := range p.words {
		select {
		case <-time.After(time.Until(began.Add(w.At))):
		case <-ctx.Done():
			return
		}
		if err := p.compose(w); err != nil {
			p.say(entry{What: wasTrouble, Note: "a letter cannot be sealed: " + err.Error()})
		}
	}
}

func (p *phone) compose(w word) error {
	to := p.byName[w.To]
	p.mu.Lock()
	p.seqs[w.To]++
	seq := p.seqs[w.To]
	p.mu.Unlock()
	mid, e, err := p.Seal(to.Person, seq, w.Text)
	if err != nil {
		return err
	}
	o := &outgoing{
		entry: entry{To: w.To, Mid: mid, Env: e.ID, Hash: letter.Hash(e.H(), e.Data), Seq: seq, Type: e.Type},
		frame: fmt.Appendf(nil, `{"op":"put","for":["%s","%s"],"env":%s}`, to.UID, p.UID, e.Marshal()),
	}
	sealed := o.entry
	sealed.What = wasSealed
	p.say(sealed)
	p.mu.Lock()
	p.outbox[w.To] = append(p.outbox[w.To], o)
	p.due--
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
	return nil
}

// left is how many letters of the plan the relay does not answer for yet.
func (p *phone) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.due
	for _, letters := range p.outbox {
		n += len(letters)
	}
	return n
}

// get asks the relay with the token of the newest socket.
func (p *phone) get(ctx context.Context, path string, into any) error {
	p.mu.Lock()
	token := p.token
	p.mu.Unlock()
	return crowd.Call(ctx, p.Client, "GET", p.Yard.URL+path, token, nil, into)
}

// talk sends and receives until the socket ends, which is never without an error.
func (p *phone) talk(ctx context.Context, s *crowd.Socket) error {
	p.mu.Lock()
	for _, letters := range p.outbox {
		for _, o := range letters {
			o.put = false
		}
	}
	p.mu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer s.Conn.CloseNow() //nolint:errcheck // a phone out of reach says no goodbye
	defer stop()
	frames, ended := make(chan crowd.Frame, framesWaiting), make(chan error, 2)
	all.Go(func() {
		for {
			f, err := s.Read(ctx)
			if err != nil {
				ended <- err
				return
			}
			select {
			case frames <- f:
			case <-ctx.Done():
				return
			}
		}
	})
	all.Go(func() {
		if err := beat(ctx, s); err != nil {
			ended <- err
		}
	})
	look := time.NewTicker(againAfter)
	defer look.Stop()
	last := int64(0) // row of this socket
	for {
		if err := p.send(ctx, s); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case <-p.more:
		case <-look.C:
		case f := <-frames:
			if f.Op == "deliver" {
				if f.N <= last {
					p.say(entry{What: wasTrouble, N: f.N, Note: fmt.Sprintf("row %d comes after %d on one socket", f.N, last)})
				}
				last = f.N
			}
			if err := p.hear(ctx, s, f); err != nil {
				return err
			}
		}
	}
}

// beat notices a connection that leads nowhere any more.
func beat(ctx context.Context, s *crowd.Socket) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		within, stop := context.WithTimeout(ctx, pingFor)
		err := s.Conn.Ping(within)
		stop()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("no answer to a ping: %w", err)
		}
	}
}

// send puts the oldest letter to each reader that is not on its way: one at a
// time, so that what is refused for now is not overtaken by what is not.
func (p *phone) send(ctx context.Context, s *crowd.Socket) error {
	now := time.Now()
	var due []*outgoing
	p.mu.Lock()
	for _, letters := range p.outbox {
		if len(letters) > 0 && !letters[0].put && !now.Before(letters[0].after) {
			letters[0].put = true
			due = append(due, letters[0])
		}
	}
	p.mu.Unlock()
	for _, o := range due {
		put := o.entry
		put.What = wasPut
		p.say(put)
		if err := s.Write(ctx, o.frame); err != nil {
			return err
		}
	}
	return nil
}

// passing are refusals that end by themselves.
var passing = map[string]bool{
	protocol.CodeRelayFull: true, protocol.CodeClockAhead: true, protocol.CodeRateLimited: true, protocol.CodeUnavailable: true, protocol.CodeInternal: true,
}

func (p *phone) hear(ctx context.Context, s *crowd.Socket, f crowd.Frame) error {
	switch f.Op {
	case "accepted":
		if o := p.take(f.ID, true); o != nil {
			o.What = wasAccepted
			p.say(o.entry)
		}
	case "refused":
		if f.ID == (protocol.ID{}) {
			return errors.New("the relay ends the socket: " + f.Code)
		}
		if o := p.take(f.ID, false); o != nil {
			o.What, o.Code = wasRefused, f.Code
			if !passing[f.Code] {
				o.Note = "for good"
			}
			p.say(o.entry)
		}
	case "deliver":
		p.arrived(f)
		return s.Write(ctx, fmt.Appendf(nil, `{"op":"confirm","n":%d}`, f.N))
	case "event":
		p.say(entry{What: wasTold, Type: f.What, Note: string(f.Params)})
	}
	return nil
}

// take finds the letter on its way with that envelope; accepted takes it out,
// otherwise it goes again later.
func (p *phone) take(id protocol.ID, accepted bool) *outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	for to, letters := range p.outbox {
		if len(letters) == 0 || letters[0].Env != id {
			continue
		}
		o := *letters[0]
		if accepted {
			p.outbox[to] = letters[1:]
		} else {
			letters[0].put, letters[0].after = false, time.Now().Add(againAfter)
		}
		return &o
	}
	return nil
}

// arrived notes a row, and what is in it if this phone can open it. One's own
// letter in a row has been accepted, whatever became of the answer.
func (p *phone) arrived(f crowd.Frame) {
	for _, e := range p.read(f.N, f.Env) {
		p.say(e)
		if e.From != p.Username {
			continue
		}
		if o := p.take(e.Env, true); o != nil {
			o.What, o.Note = wasAccepted, "by its row"
			p.say(o.entry)
		}
	}
}

// read is what a row of p's queue says: the row itself first.
func (p *phone) read(n int64, raw []byte) []entry {
	e, err := protocol.ParseEnvelope(raw)
	if err != nil {
		return []entry{{What: wasTrouble, N: n, Note: "a row that is no envelope: " + err.Error()}}
	}
	row := entry{What: wasDelivered, N: n, Env: e.ID, Type: e.Type, Hash: letter.Hash(e.H(), e.Data)}
	if e.Type == protocol.TypeReturned {
		return []entry{row, p.returned(n, e)}
	}
	from, known := p.people[e.From.ID]
	if !known {
		return []entry{row, {What: wasTrouble, N: n, Note: "a row of nobody"}}
	}
	row.From = from.Username
	if to, ok := p.people[e.To.ID]; ok {
		row.To = to.Username
	}
	if e.Type != protocol.TypeReceipt || p.home { // homes have keys that only they hand out
		return []entry{row}
	}
	opened, err := p.Open(e, from.Person)
	if err != nil {
		return []entry{row, {What: wasTrouble, N: n, From: row.From, Note: "a receipt that cannot be opened: " + err.Error()}}
	}
	receipt, ok := opened.Body.(message.Home)
	if !ok || opened.Device.Role != ident.RoleHome {
		return []entry{row, {What: wasTrouble, N: n, From: row.From, Note: "instead of a home's receipt: " + opened.Meta.Kind}}
	}
	rows := []entry{row}
	for _, item := range receipt.Items {
		rows = append(rows, entry{What: wasTicked, From: row.From, N: n, Mid: item.MID, Hash: item.Hash})
	}
	return rows
}

func (p *phone) returned(n int64, e *protocol.Envelope) entry {
	var back struct {
		ID   protocol.ID  `json:"id"`
		To   protocol.UID `json:"to"`
		Code string       `json:"code"`
	}
	if err := json.Unmarshal(e.Data, &back); err != nil || e.From.ID != protocol.UID(p.Yard.At.Key) {
		return entry{What: wasTrouble, N: n, Note: "a returned row that is not the relay's"}
	}
	to := ""
	if r, ok := p.people[back.To]; ok {
		to = r.Username
	}
	return entry{What: wasReturned, N: n, Env: back.ID, To: to, Code: back.Code}
}
