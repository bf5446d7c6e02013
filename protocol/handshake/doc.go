// Package handshake is how two ends prove to each other who they are: a client
// and its relay on the socket (section 12), a device and its home through the
// relay (link, section 11), an app and a new home by a code (pairing, section
// 10). It also knows the claim link and the names of mailboxes.
//
// It keeps the state of one exchange and no more. It must never send, wait or
// look at a clock, and never hand out anything before the other side is proven.
package handshake

import "github.com/courtyard-social/courtyard/protocol"

func refuse(op, reason string) error {
	return protocol.Refuse(op, protocol.CodeUnauthorized, reason)
}

func malformed(op, reason string) error {
	return protocol.Refuse(op, protocol.CodeBadRequest, reason)
}
