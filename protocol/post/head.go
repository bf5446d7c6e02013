package post

import (
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	labelHead = "sign/wall-head"
	maxHead   = 4 << 10
)

// Head is where a wall ends, and when its author last said so.
type Head struct {
	UID  protocol.UID
	Seq  int64           // of the last change
	Hash protocol.Hash32 // of the last change
	TS   int64           // ms
}

type headPayload struct {
	V    int             `json:"v"`
	UID  protocol.UID    `json:"uid"`
	Seq  int64           `json:"seq"`
	Hash protocol.Hash32 `json:"hash"`
	TS   int64           `json:"ts"`
}

// NewHead says at now, ms, that the wall ends where last does; dated like last if
// that is later.
func NewHead(signer protocol.Signer, chain *ident.Chain, last Head, now int64) (protocol.Signed, error) {
	raw, err := protocol.Marshal(headPayload{1, chain.UID(), last.Seq, last.Hash, max(now, last.TS)})
	if err != nil {
		return protocol.Signed{}, err
	}
	rec := protocol.SignPayload(signer, labelHead, raw)
	_, err = VerifyHead(rec, chain)
	return rec, err
}

// ParseHead reads a head and checks its form; not who signed it, nor the
// signature. Codes: bad-request, too-large.
func ParseHead(rec protocol.Signed) (Head, error) {
	const op = "post.ParseHead"
	if len(rec.Payload) > maxHead {
		return Head{}, protocol.Refuse(op, protocol.CodeTooLarge, "payload over 4 KiB")
	}
	var p headPayload
	if err := protocol.DecodeClosed(rec.Payload, &p, 1); err != nil {
		return Head{}, err
	}
	if p.V != 1 || p.Seq < 1 || p.TS < 0 {
		return Head{}, refuse(op, "version, seq or time")
	}
	return Head{p.UID, p.Seq, p.Hash, p.TS}, nil
}

// VerifyHead reads a head of chain's person. Codes: as Verify.
func VerifyHead(rec protocol.Signed, chain *ident.Chain) (Head, error) {
	h, err := ParseHead(rec)
	if err != nil {
		return h, err
	}
	return h, signed("post.VerifyHead", rec, labelHead, h.UID, h.TS, chain)
}

// Pin is what a follower remembers of a wall: the last head that was read to the end.
type Pin struct {
	Seq  int64           `json:"seq"`
	Hash protocol.Hash32 `json:"hash"`
	TS   int64           `json:"ts"` // ms, of the head
}

// Pin is what a reader should remember of the head.
func (h Head) Pin() Pin { return Pin{h.Seq, h.Hash, h.TS} }
