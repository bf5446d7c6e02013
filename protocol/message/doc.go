// Package message is what letters say: meta and the bodies of each kind, with
// their bounds. Section 8 of protocol/README.md.
//
// It reads and writes JSON that was or will be sealed. No relay may import it
// (the test in protocol/imports_test.go says why), and it must never decide
// what a message does.
package message

import (
	"unicode/utf8"

	"github.com/courtyard-social/courtyard/protocol"
)

// Kinds, by envelope type (section 8).
const (
	KindText    = "text"    // chat
	KindPhoto   = "photo"   // chat
	KindEdit    = "edit"    // chat
	KindDelete  = "delete"  // chat
	KindReact   = "react"   // chat
	KindRead    = "read"    // chat
	KindProfile = "profile" // chat
	KindRequest = "request" // friend
	KindJoined  = "joined"  // friend
	KindAccept  = "accept"  // friend
	KindDecline = "decline" // friend
	KindRemove  = "remove"  // friend
	KindHome    = "home"    // receipt
	KindStale   = "stale"   // receipt
	KindTyping  = "typing"  // live
	KindHere    = "here"    // live
	KindPeer    = "peer"    // live
	KindCall    = "call"    // live: a call under way; chat: the note of one that is over
)

// Bounds (section 8). Characters are Unicode code points.
const (
	MaxText      = 20_000 // characters
	MaxTextBytes = 40_000 // of text in a body; longer text travels in a file
	MaxName      = 64     // characters
	MaxWords     = 100    // characters, with a friend request
	MaxAbout     = 1_000  // characters
	MaxPicture   = 24 << 10
	MaxEmoji     = 64 // bytes
	MaxThumb     = 64 // bytes
	MaxSide      = 20_000
	MaxItems     = 500 // in one receipt
	MaxFile      = 20 << 20
	MaxSDP       = 16 << 10 // bytes
	MaxCandidate = 256      // bytes
	// MaxCandidates bounds those of one letter.
	MaxCandidates = 16
	// MaxSeconds of a call is a day: nobody is believed to have spoken longer.
	MaxSeconds   = 24 * 60 * 60
	maxSDPMid    = 16
	maxMediaType = 64
	maxMeta      = 4 << 10
	maxBody      = 64 << 10
	maxDepth     = 4
)

func refuse(op, reason string) error { return protocol.Refuse(op, protocol.CodeBadRequest, reason) }

// within reports text of at least low and at most high characters.
func within(text string, low, high int) bool {
	n := utf8.RuneCountInString(text)
	return n >= low && n <= high
}
