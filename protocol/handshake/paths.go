package handshake

import "github.com/courtyard-social/courtyard/protocol"

// Operations of the socket by which a device finds ways for calls (section 17).
const (
	OpTurn  = "turn"
	OpWhere = "where"
)

// Turn is the relay's answer to "turn": where STUN and TURN are. Without URLs
// nothing is relayed for this person now.
type Turn struct {
	Op         string   `json:"op"`
	STUN       []string `json:"stun" courtyard:"optional"`
	URLs       []string `json:"urls" courtyard:"optional"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
	Until      int64    `json:"until,omitempty"` // ms; what has begun by then may go on
	Code       string   `json:"code,omitempty"`  // refused: nothing of the above
}

// Where is the relay's answer to "where": from which address a device of the
// asker's is connected.
type Where struct {
	Op     string            `json:"op"`
	Device protocol.DeviceID `json:"device" courtyard:"optional"`
	IP     string            `json:"ip,omitempty"`
	Code   string            `json:"code,omitempty"` // refused: no ip
}

// ParseTurn reads a turn frame; keys it does not know are allowed.
func ParseTurn(raw []byte) (Turn, error) {
	var f Turn
	return f, parseFrame("handshake.ParseTurn", raw, &f, &f.Op, OpTurn)
}

// ParseWhere reads a where frame; keys it does not know are allowed.
func ParseWhere(raw []byte) (Where, error) {
	var f Where
	return f, parseFrame("handshake.ParseWhere", raw, &f, &f.Op, OpWhere)
}
