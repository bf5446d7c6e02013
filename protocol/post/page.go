package post

import (
	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// MaxPage bounds the JSON of a page, bytes; MaxPageItems its changes.
	MaxPage      = 1 << 20
	MaxPageItems = 100
)

// Stub is a change whose content is gone.
type Stub struct {
	Seq  int64           `json:"seq"`
	Hash protocol.Hash32 `json:"hash"`
}

// Item is a change as it travels: signed, or a stub. One of the two is there.
type Item struct {
	Signed *protocol.Signed
	Stub   *Stub
}

// Page is a part of a wall as a relay or a home gives it, ascending. Nothing of
// it has been verified.
type Page struct {
	UID      protocol.UID
	Username string
	Host     string // host[:port]
	Head     protocol.Signed
	Items    []Item
	More     bool
}

type pageWire struct {
	UID      protocol.UID    `json:"uid"`
	Username string          `json:"username"`
	Host     string          `json:"host"`
	Head     protocol.Signed `json:"head"`
	Changes  []itemWire      `json:"changes"`
	More     bool            `json:"more"`
}

type itemWire struct {
	Payload *protocol.Bytes     `json:"payload,omitempty"`
	By      *protocol.Key32     `json:"by,omitempty"`
	Sig     *protocol.Signature `json:"sig,omitempty"`
	Seq     *int64              `json:"seq,omitempty"`
	Hash    *protocol.Hash32    `json:"hash,omitempty"`
}

// ParsePage reads a page: keys it does not know are allowed. Codes: bad-request,
// too-large.
func ParsePage(raw []byte) (Page, error) {
	const op = "post.ParsePage"
	if len(raw) > MaxPage {
		return Page{}, protocol.Refuse(op, protocol.CodeTooLarge, "page over 1 MiB")
	}
	var w pageWire
	if err := protocol.DecodeOpen(raw, &w, maxDepth); err != nil {
		return Page{}, err
	}
	switch {
	case len(w.Changes) > MaxPageItems:
		return Page{}, protocol.Refuse(op, protocol.CodeTooLarge, "more than 100 changes")
	case !protocol.ValidUsername(w.Username):
		return Page{}, refuse(op, "username")
	}
	if host, err := protocol.ParseHost(w.Host); err != nil || host != w.Host {
		return Page{}, refuse(op, "host")
	}
	p := Page{w.UID, w.Username, w.Host, w.Head, make([]Item, 0, len(w.Changes)), w.More}
	for _, c := range w.Changes {
		whole := c.Payload != nil && c.By != nil && c.Sig != nil && c.Seq == nil && c.Hash == nil
		stub := c.Payload == nil && c.By == nil && c.Sig == nil && c.Seq != nil && c.Hash != nil
		switch {
		case whole:
			p.Items = append(p.Items, Item{Signed: &protocol.Signed{Payload: *c.Payload, By: *c.By, Sig: *c.Sig}})
		case stub:
			p.Items = append(p.Items, Item{Stub: &Stub{*c.Seq, *c.Hash}})
		default:
			return Page{}, refuse(op, "neither a change nor a stub")
		}
	}
	return p, nil
}

// Marshal writes the page as JSON. Whoever fills it keeps it below MaxPage.
func (p Page) Marshal() ([]byte, error) {
	w := pageWire{p.UID, p.Username, p.Host, p.Head, make([]itemWire, 0, len(p.Items)), p.More}
	for _, i := range p.Items {
		if i.Signed != nil {
			w.Changes = append(w.Changes, itemWire{Payload: &i.Signed.Payload, By: &i.Signed.By, Sig: &i.Signed.Sig})
		} else {
			w.Changes = append(w.Changes, itemWire{Seq: &i.Stub.Seq, Hash: &i.Stub.Hash})
		}
	}
	return protocol.Marshal(w)
}

// Weight is an upper bound of what an item adds to a page, bytes.
func (i Item) Weight() int {
	if i.Signed == nil {
		return 100
	}
	return (len(i.Signed.Payload)*4+2)/3 + 200
}

// FrameWeight is an upper bound of a page without its items, bytes.
const FrameWeight = 2048
