// Package chatlog is the log of what a person wrote and received: events in the
// order of their arrival at the home, each with its original proof, unique by
// (author, mid), never changed afterwards, except that the text of what its
// author deletes is wiped. What a screen shows is derived from them.
//
// It must never open a letter, speak to a relay or decide who may read.
package chatlog

import (
	"bytes"
	"encoding/json"

	"github.com/courtyard-social/courtyard/protocol"
)

// Envelope types and kinds of section 8 that the log treats apart from others.
const (
	TypeChat    = "chat"
	TypeFriend  = "friend"
	TypeReceipt = "receipt"
	// TypeReturned is no letter: the own relay says that one came back (section 14).
	TypeReturned = "returned"

	KindEdit    = "edit"
	KindDelete  = "delete"
	KindReact   = "react"
	KindRead    = "read"
	KindProfile = "profile"
	KindHome    = "home"

	KindReturned = "returned"
)

// Event is a letter that was opened and verified, or the own relay's word that one
// came back.
type Event struct {
	N        int64        // place in this log, from 1
	Peer     protocol.UID // the other person of the conversation
	Author   protocol.UID
	Dev      protocol.DeviceID
	Type     string
	Kind     string
	Mid      protocol.ID
	Clock    int64 // already clamped to ts + 10 min
	TS       int64 // the envelope's
	Received int64 // this home's
	Envelope protocol.ID
	Proof    []byte          // H 32 | SHA-256(prefix) 32 | auth
	Meta     []byte          // as sealed
	Body     []byte          // as sealed, valid JSON; nil once its author deleted it
	Hash     protocol.Hash32 // of the letter

	Touches *Touch // edit, delete, react
	Rank    int64  // read: the clock up to which it was read; profile: its version
	Items   []Tick // home: what the friend's home says to have
	Back    *Back  // returned; Envelope is the one that came back, and Body is made of both

	Home int64 // own message: when the friend's home had it; 0: not known
	Read int64 // when the other side had read it; 0: not known
}

// Touch names the message that an edit, a deletion or a reaction is about.
type Touch struct {
	Mid    protocol.ID
	Author protocol.UID
}

// Tick is one item of a home receipt: the letter hash that the friend's home has on disk.
type Tick struct {
	Mid  protocol.ID
	Hash protocol.Hash32
}

// Back says what came back and why.
type Back struct {
	To   protocol.UID
	Code string
	Kind string // of a letter that is not in the log, where it is known
}

// message reports whether the event is a bubble of its own. Kinds that this
// version does not know are: a newer app may know how to show them.
func (e *Event) message() bool {
	if e.Type != TypeChat {
		return false
	}
	switch e.Kind {
	case KindEdit, KindDelete, KindReact, KindRead, KindProfile:
		return false
	}
	return true
}

// MarshalJSON writes the event of section 11. A deleted body is null.
func (e Event) MarshalJSON() ([]byte, error) {
	body := json.RawMessage(e.Body)
	if e.Body == nil {
		body = json.RawMessage("null")
	}
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	to.SetEscapeHTML(false)
	err := to.Encode(struct {
		N        int64             `json:"n"`
		Peer     protocol.UID      `json:"peer"`
		Author   protocol.UID      `json:"author"`
		Dev      protocol.DeviceID `json:"dev"`
		Type     string            `json:"type"`
		Kind     string            `json:"kind"`
		Mid      protocol.ID       `json:"mid"`
		Clock    int64             `json:"clock"`
		TS       int64             `json:"ts"`
		Received int64             `json:"received"`
		Body     json.RawMessage   `json:"body"`
		Hash     protocol.Hash32   `json:"hash"`
		Home     int64             `json:"home,omitempty"`
		Read     int64             `json:"read,omitempty"`
	}{e.N, e.Peer, e.Author, e.Dev, e.Type, e.Kind, e.Mid, e.Clock, e.TS, e.Received, body, e.Hash, e.Home, e.Read})
	return out.Bytes(), err
}

// Place is where a message stands in the order of display: (clock, mid).
type Place struct {
	Clock int64
	Mid   protocol.ID
}

// End is after every message.
var End = Place{Clock: 1 << 53}

// Talk is one conversation in short.
type Talk struct {
	Peer protocol.UID
	// Events are the last message with what touches it, the newest read marks and
	// profiles of both sides, and the newest friend letters.
	Events []Event
	// At is where the conversation stands among the others.
	At Place
}

// Status is what there is to say about the log as a whole.
type Status struct {
	Messages int64
	Bytes    int64
	Since    int64 // when this log was made
}
