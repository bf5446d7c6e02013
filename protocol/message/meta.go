package message

import "github.com/courtyard-social/courtyard/protocol"

// Meta is what a letter says about itself (section 8).
type Meta struct {
	Kind  string            `json:"kind"`
	MID   protocol.ID       `json:"mid"`   // made once by the author; survives re-sealing
	Dev   protocol.DeviceID `json:"dev"`   // the sender's device
	Seq   int64             `json:"seq"`   // per (device, conversation), from 1
	Clock int64             `json:"clock"` // hybrid clock, ms
	Head  protocol.Hash32   `json:"head"`  // the sender's chain head
	Chain int               `json:"chain"` // and its seq
	UEK   int64             `json:"uek"`   // highest counter seen of the reader's, 0 for none
}

// ParseMeta reads meta; keys it does not know are allowed. Code: bad-request.
func ParseMeta(raw []byte) (Meta, error) {
	const op = "message.ParseMeta"
	var m Meta
	if len(raw) > maxMeta {
		return m, refuse(op, "over 4 KiB")
	}
	if err := protocol.DecodeOpen(raw, &m, maxDepth); err != nil {
		return m, err
	}
	return m, m.check(op)
}

// Marshal writes meta, or refuses what ParseMeta would.
func (m Meta) Marshal() ([]byte, error) {
	if err := m.check("message.Meta"); err != nil {
		return nil, err
	}
	return protocol.Marshal(m)
}

func (m Meta) check(op string) error {
	if !validKind(m.Kind) {
		return refuse(op, "kind is not 1 to 32 of a-z 0-9 . -")
	}
	if m.MID.IsZero() || m.Seq < 1 || m.Clock < 0 || m.Chain < 0 || m.UEK < 0 {
		return refuse(op, "number out of range")
	}
	return nil
}

func validKind(kind string) bool {
	for _, c := range []byte(kind) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return len(kind) >= 1 && len(kind) <= 32
}

// maxAhead is how far a reader lets a sender's clock run ahead of the envelope's.
const maxAhead = 10 * 60 * 1000

// ReadClock is what a reader takes for a letter's clock: min(clock, ts + 10 min), ms.
func ReadClock(clock, ts int64) int64 { return min(clock, ts+maxAhead) }

// NextClock is a writer's hybrid clock: max(now, highest seen in the conversation + 1), ms.
func NextClock(now, highest int64) int64 { return max(now, highest+1) }
