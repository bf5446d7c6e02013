package message

import "github.com/courtyard-social/courtyard/protocol"

// What a call letter says.
const (
	CallRing    = "ring"    // from the caller, to every device of the other
	CallAnswer  = "answer"  // from the device that takes it
	CallTaken   = "taken"   // from the caller: which device has it
	CallDecline = "decline" // by the other person
	CallBusy    = "busy"    // the other person is in another call
	CallEnd     = "end"     // from either side
	CallSignal  = "signal"  // between the two devices
)

// Media of a call.
const (
	MediaAudio = "audio"
	MediaVideo = "video"
)

// How a call ended.
const (
	ResultAnswered = "answered"
	ResultMissed   = "missed"
	ResultDeclined = "declined"
	ResultBusy     = "busy"
	ResultFailed   = "failed" // taken, and no connection came about
)

// SDP is a description of a connection (RFC 8866), with the fingerprint by which
// the other side knows it: only letters carry one.
type SDP struct {
	Type string `json:"type"` // offer or answer
	SDP  string `json:"sdp"`
}

// Candidate is an address at which a connection may reach the writer (RFC 8839).
type Candidate struct {
	Candidate string `json:"candidate"` // empty: there are no more
	Mid       string `json:"sdpMid"`
}

func checkDescription(s *SDP, candidates []Candidate) string {
	if s != nil && (s.Type != "offer" && s.Type != "answer" || s.SDP == "" || len(s.SDP) > MaxSDP) {
		return "description"
	}
	if len(candidates) > MaxCandidates {
		return "over 16 candidates"
	}
	for _, c := range candidates {
		if len(c.Candidate) > MaxCandidate || len(c.Mid) > maxSDPMid {
			return "candidate too long"
		}
	}
	return ""
}

// Peer is about the data channel between two devices of friends (section 17).
type Peer struct {
	ID         protocol.ID       `json:"id"`
	To         protocol.DeviceID `json:"to"`
	SDP        *SDP              `json:"sdp,omitempty"`
	Candidates []Candidate       `json:"candidates,omitempty"`
	End        bool              `json:"end,omitempty"`
}

func (b Peer) check() string { return checkDescription(b.SDP, b.Candidates) }

// Call is about a call under way (section 17).
type Call struct {
	Call       protocol.ID        `json:"call"`
	Op         string             `json:"op"`
	Media      string             `json:"media,omitempty"` // ring
	To         *protocol.DeviceID `json:"to,omitempty"`    // answer, signal
	By         *protocol.DeviceID `json:"by,omitempty"`    // taken
	SDP        *SDP               `json:"sdp,omitempty"`
	Candidates []Candidate        `json:"candidates,omitempty"`
}

func (b Call) check() string {
	ok := b.Media == "" || validMedia(b.Media)
	switch b.Op {
	case CallRing:
		ok = validMedia(b.Media)
	case CallAnswer, CallSignal:
		ok = ok && b.To != nil
	case CallTaken:
		ok = ok && b.By != nil
	case CallDecline, CallBusy, CallEnd:
	default:
		return "op of a call"
	}
	if !ok {
		return b.Op + " of a call"
	}
	return checkDescription(b.SDP, b.Candidates)
}

func validMedia(m string) bool { return m == MediaAudio || m == MediaVideo }

// Called is the note of a call that is over, by the one who rang.
type Called struct {
	Call    protocol.ID `json:"call"`
	Media   string      `json:"media"`
	Result  string      `json:"result"`
	Seconds int64       `json:"seconds"` // that they spoke
}

func (b Called) check() string {
	switch b.Result {
	case ResultAnswered, ResultMissed, ResultDeclined, ResultBusy, ResultFailed:
	default:
		return "result of a call"
	}
	if !validMedia(b.Media) || b.Seconds < 0 || b.Seconds > MaxSeconds {
		return "call out of bounds"
	}
	return ""
}
