package relaytest

import (
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

// Turn asks where STUN and TURN are.
func (s *Socket) Turn() handshake.Turn {
	s.t.Helper()
	answer, err := handshake.ParseTurn(s.ask(handshake.OpTurn, `{"op":"turn"}`))
	must(s.t, err)
	return answer
}

// Where asks from which address a device is connected.
func (s *Socket) Where(device protocol.DeviceID) handshake.Where {
	s.t.Helper()
	answer, err := handshake.ParseWhere(s.ask(handshake.OpWhere, `{"op":"where","device":"`+device.String()+`"}`))
	must(s.t, err)
	return answer
}

func (s *Socket) ask(op, question string) []byte {
	s.t.Helper()
	s.Write(question)
	f, ok := s.Await(func(f Frame) bool { return f.Op == op })
	if !ok {
		s.t.Fatalf("no answer to %s: %v", question, s.Ended())
	}
	return f.Raw
}
