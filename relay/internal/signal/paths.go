package signal

import (
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// Turn knows where STUN and TURN are; *turn.Server.
type Turn interface {
	// Offer is for a device, which ends at exp unless that is 0.
	Offer(uid protocol.UID, device protocol.DeviceID, exp int64) (handshake.Turn, error)
}

// questions bounds what a person's devices ask about ways for calls: each call
// asks once at either end.
var questions = limit.Rate{N: 60, Per: time.Minute}

// answer tells a device what it needs to find a way to another (section 17). What
// is wrong is answered and ends nothing.
func (s *socket) answer(r request) error {
	err := s.hub.questions.Allow(s.uid.String())
	var frame []byte
	if err == nil {
		switch r.Op {
		case handshake.OpTurn:
			frame, err = s.turn()
		case handshake.OpWhere:
			frame, err = s.where(r.Device)
		}
	}
	if err != nil {
		s.report(err)
		frame = declinedFrame(r, err)
	}
	s.offer(outgoing{frame: frame})
	return nil
}

func (s *socket) turn() ([]byte, error) {
	offer, err := s.hub.config.Turn.Offer(s.uid, s.device, s.exp)
	if err != nil {
		return nil, err
	}
	return protocol.Marshal(offer)
}

// where says from which address one of the person's own devices is connected; the
// newest of its sockets counts. Code: not-found, whether there is no such device,
// it is somebody else's, or it is not connected.
func (s *socket) where(device protocol.DeviceID) ([]byte, error) {
	var newest *socket
	for _, other := range s.hub.of(s.uid, sameDevice(device)) {
		if newest == nil || other.seated > newest.seated {
			newest = other
		}
	}
	if newest == nil {
		return nil, &protocol.Error{Op: "signal.where", Code: protocol.CodeNotFound}
	}
	return protocol.Marshal(handshake.Where{Op: handshake.OpWhere, Device: device, IP: newest.ip})
}
