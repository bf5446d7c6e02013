package link

import (
	"encoding/json"

	"github.com/courtyard-social/courtyard/protocol"
)

// What a frame asks for.
const (
	OpPut   = "put"   // take a letter into custody
	OpChain = "chain" // who the writer of one is
	OpFile  = "file"  // take a file, in parts
	OpPart  = "part"
	OpLive  = "live"  // hand on what is worthless later
	OpSpend = "spend" // use up an invite
	OpGrant = "grant" // how long the other relay may send hop records by way of this one
	OpCard  = "card"  // the card of a third relay
	OpHop   = "hop"   // pass a hop record on
	OpStep  = "step"  // one that is for you
)

// What it answers.
const (
	OpAccepted = "accepted"
	OpRefused  = "refused"
	OpHave     = "have"
	OpBack     = "back" // the answer to a hop record
)

// MaxPart bounds the bytes of one part of a file, before base64url.
const MaxPart = 128 << 10

// MaxRecords bounds the records of one chain frame, bytes of JSON: it fits into a
// hop record, in base64url.
const MaxRecords = 190 << 10

// Request is any frame from the relay that opened the link; which fields it
// has depends on Op.
type Request struct {
	Op  string          `json:"op"`
	N   int64           `json:"n,omitempty"`   // all but chain and live
	Env json.RawMessage `json:"env,omitempty"` // put, live
	// Quiet: nobody need be woken for it (section 16); put
	Quiet bool `json:"quiet,omitempty"`
	// Ring: it begins a call, and wakes devices that sleep (section 16); live
	Ring bool `json:"ring,omitempty"`

	UID     protocol.UID      `json:"uid,omitempty"` // chain, spend
	At      int               `json:"at,omitempty"`  // chain: seq of the first record
	Records []protocol.Signed `json:"records,omitempty"`
	More    bool              `json:"more,omitempty"`

	ID     protocol.ID    `json:"id,omitempty"`   // file, spend
	From   protocol.UID   `json:"from,omitempty"` // file
	For    protocol.UID   `json:"for,omitempty"`  // file
	Size   int64          `json:"size,omitempty"` // file, sealed bytes
	Offset int64          `json:"offset,omitempty"`
	Data   protocol.Bytes `json:"data,omitempty"` // part; hop, step: the record

	Host  string `json:"host,omitempty"`  // hop, card: of the relay that it is about
	Until int64  `json:"until,omitempty"` // grant: ms, 0 withdrawn
}

// Response is any frame from the relay that was called.
type Response struct {
	Op   string `json:"op"`
	N    int64  `json:"n,omitempty"`
	Kept bool   `json:"kept,omitempty"` // accepted: for somebody without a home
	Have int64  `json:"have,omitempty"` // have
	Code string `json:"code,omitempty"` // refused

	Data protocol.Bytes   `json:"data,omitempty"` // back: the sealed answer
	Card *protocol.Signed `json:"card,omitempty"` // accepted, of a card
}

// ParseRequest reads a frame. Keys of a newer peer are ignored. Code: bad-request.
func ParseRequest(plaintext []byte) (Request, error) {
	var r Request
	if err := protocol.DecodeOpen(plaintext, &r, 6); err != nil {
		return r, err
	}
	ok := r.N > 0
	switch r.Op {
	case OpPut:
		ok = ok && len(r.Env) > 0
	case OpLive:
		ok = len(r.Env) > 0
	case OpChain:
		ok = !r.UID.IsZero() && r.At >= 0 && len(r.Records) > 0
	case OpFile:
		ok = ok && !r.ID.IsZero() && !r.From.IsZero() && !r.For.IsZero() && r.Size > 0
	case OpPart:
		ok = ok && r.Offset >= 0 && len(r.Data) > 0 && len(r.Data) <= MaxPart
	case OpSpend:
		ok = ok && !r.ID.IsZero() && !r.UID.IsZero()
	case OpGrant:
		ok = ok && r.Until >= 0
	case OpCard:
		ok = ok && validHost(r.Host)
	case OpHop:
		ok = ok && validHost(r.Host) && len(r.Data) > 0 && len(r.Data) <= MaxHop
	case OpStep:
		ok = ok && len(r.Data) > 0 && len(r.Data) <= MaxHop
	default:
		ok = true // of a newer peer: answered, not refused as broken
	}
	if !ok {
		return r, protocol.Refuse("link.ParseRequest", protocol.CodeBadRequest, r.Op)
	}
	return r, nil
}

func validHost(text string) bool {
	host, err := protocol.ParseHost(text)
	return err == nil && host == text
}

// ParseResponse reads a frame. Code: bad-request.
func ParseResponse(plaintext []byte) (Response, error) {
	var r Response
	err := protocol.DecodeOpen(plaintext, &r, 6)
	return r, err
}
