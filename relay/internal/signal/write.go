package signal

import (
	"context"

	"github.com/coder/websocket"
)

// write is the writer: frames that others offer, rows as the window allows,
// pings. It returns when there is nothing to do; wake starts the next one. The
// last one, when the socket has to end, closes the connection.
func (s *socket) write() {
	for {
		s.mu.Lock()
		look, beat, ended := s.look, s.beat, s.ctx.Err() != nil
		s.look, s.beat = false, false
		if !ended && !look && !beat && len(s.out) == 0 {
			s.writing = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if beat {
			s.ping()
		}
		if !s.drain() || look && !s.deliver() {
			s.end()
			s.conn.CloseNow() //nolint:errcheck // it is broken: this ends the read
			break
		}
		if ended {
			s.part()
			break
		}
	}
	close(s.parted) // and writing stays true: there is no other writer
}

// wake starts a writer unless there is one, which will look again.
func (s *socket) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeLocked()
}

func (s *socket) wakeLocked() {
	if !s.writing {
		s.writing = true
		go s.write()
	}
}

// poke lets the writer look for rows.
func (s *socket) poke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look = true
	s.wakeLocked()
}

// pulse lets the writer send a ping.
func (s *socket) pulse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat = true
	s.wakeLocked()
}

// part closes the connection in good manners.
func (s *socket) part() {
	s.mu.Lock()
	why := s.parting
	s.mu.Unlock()
	switch {
	case why != nil:
		s.close(*why)
	case s.hub.ctx.Err() != nil:
		s.close(closeStopping)
	default:
		s.close(parting{websocket.StatusNormalClosure, ""})
	}
}

// put writes one frame. A client that does not take it in time loses the
// connection; everything that lasts is offered again when it comes back.
func (s *socket) put(frame []byte) bool {
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, frame) == nil
}

// drain writes what has been offered so far; false when the connection is broken.
func (s *socket) drain() bool {
	for {
		o, any := s.next()
		if !any {
			return true
		}
		if !s.put(o.frame) {
			return false
		}
		if o.answer {
			<-s.puts
		}
	}
}

// next takes the oldest frame, if there is any.
func (s *socket) next() (o outgoing, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.out) == 0 {
		s.out = nil // an idle socket holds no memory for frames
		return outgoing{}, false
	}
	o = s.out[0]
	s.out[0] = outgoing{}
	s.out = s.out[1:]
	s.waiting -= len(o.frame)
	return o, true
}

// enqueue takes a frame for the writer unless more than so many frames or bytes
// would be waiting then.
func (s *socket) enqueue(o outgoing, mostFrames, mostBytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := len(s.out) < mostFrames && s.waiting+len(o.frame) <= mostBytes
	if room {
		s.out = append(s.out, o)
		s.waiting += len(o.frame)
		s.wakeLocked()
	}
	return room
}

// deliver writes rows while the window has room.
func (s *socket) deliver() bool {
	for s.ctx.Err() == nil {
		rows, bytes, after := s.window()
		if rows <= 0 || bytes <= 0 {
			return true // the next confirmation wakes us
		}
		ctx, cancel := context.WithTimeout(s.ctx, writeWithin)
		page, err := s.hub.config.Store.Rows(ctx, s.uid, after, rows, bytes)
		cancel()
		if err != nil {
			if s.ctx.Err() == nil {
				s.hub.config.Log.Error("rows not read", "err", err)
				s.leave(closeStopping) // the client comes back and asks again
			}
			return true
		}
		for _, row := range page {
			// Answers to puts do not wait behind a long queue.
			if !s.drain() {
				return false
			}
			if !s.launch(row.N, len(row.Raw)) {
				return true
			}
			if !s.put(deliverFrame(row.N, row.Raw)) {
				return false
			}
		}
		s.hub.config.Counts.Delivered(len(page))
		if len(page) == 0 {
			return true // whatever came since then has woken us again
		}
	}
	return true
}

// window is how many rows and bytes may still be sent, and after which row.
func (s *socket) window() (rows, bytes int, after int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return windowRows - len(s.flight), windowBytes - s.inFlight, s.sent
}

// launch counts a row into the window; false if it does not fit beside others.
func (s *socket) launch(n int64, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.flight) > 0 && s.inFlight+size > windowBytes {
		return false
	}
	s.sent = n
	s.flight = append(s.flight, flying{n, size})
	s.inFlight += size
	return true
}

// land takes rows up to n out of the window and says whether there were any.
func (s *socket) land(n int64) bool {
	s.mu.Lock()
	landed := 0
	for landed < len(s.flight) && s.flight[landed].n <= n {
		s.inFlight -= s.flight[landed].size
		landed++
	}
	s.flight = append(s.flight[:0], s.flight[landed:]...)
	if len(s.flight) == 0 {
		s.flight = nil
	}
	s.mu.Unlock()
	if landed > 0 {
		s.poke()
	}
	return landed > 0
}

func (s *socket) highest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// offer hands the writer a frame that must not be lost: a socket that cannot
// keep up is dropped, and learns the state anew when it comes back.
func (s *socket) offer(o outgoing) {
	if !s.enqueue(o, outFrames, outBytes) {
		s.hub.config.Counts.Dropped("socket")
		s.leave(closeSlow)
	}
}

// offerLive hands the writer a frame that is worthless later. False: the socket
// has enough to write, and the frame is gone.
func (s *socket) offerLive(frame []byte) bool {
	if s.enqueue(outgoing{frame: frame}, outFrames/2, liveBytes) {
		return true
	}
	s.hub.config.Counts.Dropped("live")
	return false
}

// ping asks for a sign of life without keeping the writer from its work.
func (s *socket) ping() {
	if s.expired(s.exp) {
		s.leave(closeRevoked)
		return
	}
	s.heart.Reset(pingEvery)
	s.pings.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, pongWithin)
		defer cancel()
		before := s.heard.Load()
		// Whoever has much to say is read slowly, and the pong comes after all that.
		if s.conn.Ping(ctx) != nil && s.ctx.Err() == nil && s.heard.Load() == before {
			s.leave(closeSilent)
			s.conn.CloseNow() //nolint:errcheck // it is broken: this ends the read
		}
	})
}
