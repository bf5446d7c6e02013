// Package post is the public wall: changes, heads and the check that a follower
// makes (section 15 of protocol/README.md).
//
// It verifies and makes what a wall consists of. It must never fetch or store
// anything, and never decide what a reader does about an altered wall.
package post

import (
	"unicode/utf8"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Operations of a change.
const (
	OpPost    = "post"
	OpEdit    = "edit"
	OpDelete  = "delete"
	OpProfile = "profile"
)

// Limits of section 15; texts in characters unless said otherwise.
const (
	MaxPayload   = 43_008 // bytes
	MaxText      = 20_000
	MaxTextBytes = 40_000
	MaxPhotos    = 4
	MaxPhotoSize = 2 << 20 // bytes
	MaxAlt       = 500
	MaxName      = 64
	MaxAbout     = 1000
	MaxThumb     = 64 // bytes
	MaxSide      = 20_000
	MaxGone      = 2000

	maxDepth    = 3
	labelChange = "sign/post"
)

// Photo is a JPEG under a post.
type Photo struct {
	Hash   protocol.Hash32 `json:"hash"` // SHA-256 of the JPEG
	Size   int64           `json:"size"` // bytes
	Width  int             `json:"width"`
	Height int             `json:"height"`
	Thumb  protocol.Bytes  `json:"thumb"` // ThumbHash
	Alt    string          `json:"alt,omitempty"`
}

// Picture is the author's face: a photo without thumb.
type Picture struct {
	Hash   protocol.Hash32 `json:"hash"`
	Size   int64           `json:"size"`
	Width  int             `json:"width"`
	Height int             `json:"height"`
	Alt    string          `json:"alt,omitempty"`
}

func (p Picture) check() string {
	switch {
	case p.Size < 1 || p.Size > MaxPhotoSize:
		return "size of a photo"
	case p.Width < 1 || p.Width > MaxSide || p.Height < 1 || p.Height > MaxSide:
		return "sides of a photo"
	case !within(p.Alt, 0, MaxAlt):
		return "alt too long"
	}
	return ""
}

func (p Photo) check() string {
	if len(p.Thumb) > MaxThumb {
		return "thumb too long"
	}
	return Picture{p.Hash, p.Size, p.Width, p.Height, p.Alt}.check()
}

// within reports whether text has least to most characters.
func within(text string, least, most int) bool {
	n := utf8.RuneCountInString(text)
	return n >= least && n <= most
}

// Content is what a change says. Which fields an op has is in section 15; the
// others are zero.
type Content struct {
	Op      string
	ID      protocol.ID // of the post
	Text    string
	Photos  []Photo
	Posted  int64 // ms, ts of the post that is edited
	Name    string
	About   string
	Picture *Picture
	Gone    []int64 // seqs, ascending
}

// Change is one change of a wall.
type Change struct {
	Content
	UID    protocol.UID
	Seq    int64
	TS     int64            // ms
	Prev   *protocol.Hash32 // nil for seq 1
	Hash   protocol.Hash32  // of this change
	Signed protocol.Signed  // as it travels
}

// First is the place of the post that the change belongs to: a wall is shown by it.
func (c Change) First() int64 {
	if len(c.Gone) > 0 {
		return c.Gone[0]
	}
	return c.Seq
}

// Pictures are all photos that the change names.
func (c Content) Pictures() []Picture {
	out := make([]Picture, 0, len(c.Photos)+1)
	for _, p := range c.Photos {
		out = append(out, Picture{p.Hash, p.Size, p.Width, p.Height, p.Alt})
	}
	if c.Picture != nil {
		out = append(out, *c.Picture)
	}
	return out
}

// payload is the closed JSON object. Which fields an op has is checked by check.
type payload struct {
	V       int              `json:"v"`
	UID     protocol.UID     `json:"uid"`
	Seq     int64            `json:"seq"`
	TS      int64            `json:"ts"`
	Prev    *protocol.Hash32 `json:"prev,omitempty"`
	Op      string           `json:"op"`
	ID      *protocol.ID     `json:"id,omitempty"`
	Text    *string          `json:"text,omitempty"`
	Photos  *[]Photo         `json:"photos,omitempty"`
	Posted  *int64           `json:"posted,omitempty"`
	Name    *string          `json:"name,omitempty"`
	About   *string          `json:"about,omitempty"`
	Picture *Picture         `json:"picture,omitempty"`
	Gone    *[]int64         `json:"gone,omitempty"`
}

func (p *payload) check() string {
	posts, edits := p.Op == OpPost, p.Op == OpEdit
	deletes, profile := p.Op == OpDelete, p.Op == OpProfile
	switch {
	case p.V != 1:
		return "unknown version"
	case !posts && !edits && !deletes && !profile:
		return "unknown op"
	case p.Seq < 1 || p.TS < 0:
		return "seq or ts"
	case (p.Seq == 1) != (p.Prev == nil):
		return "prev out of place"
	case profile != (p.ID == nil):
		return "id out of place"
	case (posts || edits) != (p.Text != nil), (posts || edits) != (p.Photos != nil), edits != (p.Posted != nil):
		return "text, photos or posted out of place"
	case profile != (p.Name != nil), profile != (p.About != nil), !profile && p.Picture != nil:
		return "name, about or picture out of place"
	case posts != (p.Gone == nil):
		return "gone out of place"
	}
	for _, reason := range []string{p.checkPost(), p.checkProfile(), p.checkGone()} {
		if reason != "" {
			return reason
		}
	}
	return ""
}

func (p *payload) checkPost() string {
	if p.Text == nil {
		return ""
	}
	switch {
	case !within(*p.Text, 0, MaxText) || len(*p.Text) > MaxTextBytes:
		return "text too long"
	case *p.Text == "" && len(*p.Photos) == 0:
		return "neither text nor photos"
	case len(*p.Photos) > MaxPhotos:
		return "more than four photos"
	case p.Posted != nil && (*p.Posted < 0 || *p.Posted > p.TS):
		return "posted after it was edited"
	}
	seen := map[protocol.Hash32]bool{}
	for _, photo := range *p.Photos {
		if reason := photo.check(); reason != "" {
			return reason
		}
		if seen[photo.Hash] {
			return "a photo twice"
		}
		seen[photo.Hash] = true
	}
	return ""
}

func (p *payload) checkProfile() string {
	if p.Name == nil {
		return ""
	}
	if !within(*p.Name, 1, MaxName) || !within(*p.About, 0, MaxAbout) {
		return "profile out of bounds"
	}
	if p.Picture != nil {
		return p.Picture.check()
	}
	return ""
}

func (p *payload) checkGone() string {
	if p.Gone == nil {
		return ""
	}
	if len(*p.Gone) > MaxGone || p.Op != OpProfile && len(*p.Gone) == 0 {
		return "gone out of bounds"
	}
	last := int64(0)
	for _, seq := range *p.Gone {
		if seq <= last || seq >= p.Seq {
			return "gone is not ascending and earlier"
		}
		last = seq
	}
	return ""
}

func refuse(op, reason string) error { return protocol.Refuse(op, protocol.CodeBadRequest, reason) }

// Parse reads a change and checks its form; not who signed it, nor the signature.
// Codes: bad-request, too-large.
func Parse(rec protocol.Signed) (Change, error) {
	const op = "post.Parse"
	if len(rec.Payload) > MaxPayload {
		return Change{}, protocol.Refuse(op, protocol.CodeTooLarge, "payload over 42 KiB")
	}
	var p payload
	if err := protocol.DecodeClosed(rec.Payload, &p, maxDepth); err != nil {
		return Change{}, err
	}
	if reason := p.check(); reason != "" {
		return Change{}, refuse(op, reason)
	}
	c := Change{UID: p.UID, Seq: p.Seq, TS: p.TS, Prev: p.Prev, Hash: protocol.Hash("post", rec.Payload), Signed: rec}
	c.Op, c.ID, c.Text, c.Photos, c.Posted = p.Op, of(p.ID), of(p.Text), of(p.Photos), of(p.Posted)
	c.Name, c.About, c.Picture, c.Gone = of(p.Name), of(p.About), p.Picture, of(p.Gone)
	return c, nil
}

func of[V any](p *V) V {
	if p == nil {
		var none V
		return none
	}
	return *p
}

// Verify reads a change of chain's person and checks form, signer and signature.
// Codes: bad-request, too-large; bad-chain if the signer is not in this chain or
// was not active then: a reader fetches the chain anew and tries once more.
func Verify(rec protocol.Signed, chain *ident.Chain) (Change, error) {
	c, err := Parse(rec)
	if err != nil {
		return c, err
	}
	return c, signed("post.Verify", rec, labelChange, c.UID, c.TS, chain)
}

func signed(op string, rec protocol.Signed, label string, uid protocol.UID, ts int64, chain *ident.Chain) error {
	if uid != chain.UID() {
		return refuse(op, "another person's")
	}
	if !rec.Verify(label) {
		return refuse(op, "signature")
	}
	if device, ok := chain.AuthorKey(rec.By, ts); !ok || device.Role == ident.RoleSession {
		return protocol.Refuse(op, protocol.CodeBadChain, "signer was no active admin or home device")
	}
	return nil
}

// New makes the change that follows last (nil for the first) and the head that
// comes with it, both dated with the later of now, ms, and last's ts. signer is an
// active admin or home device of the chain. Code: bad-request.
func New(signer protocol.Signer, chain *ident.Chain, last *Head, content Content, now int64) (change, head protocol.Signed, err error) {
	p := payload{V: 1, UID: chain.UID(), Seq: 1, TS: now, Op: content.Op}
	if last != nil {
		p.Seq, p.Prev, p.TS = last.Seq+1, &last.Hash, max(now, last.TS)
	}
	switch content.Op {
	case OpProfile:
		p.Name, p.About, p.Picture = &content.Name, &content.About, content.Picture
	case OpPost, OpEdit:
		p.ID, p.Text, p.Photos = &content.ID, &content.Text, &content.Photos
	default:
		p.ID = &content.ID
	}
	if content.Op == OpEdit {
		p.Posted = &content.Posted
	}
	if content.Op != OpPost {
		p.Gone = &content.Gone
	}
	raw, err := protocol.Marshal(p)
	if err != nil {
		return change, head, err
	}
	change = protocol.SignPayload(signer, labelChange, raw)
	c, err := Verify(change, chain)
	if err != nil {
		return change, head, err
	}
	head, err = NewHead(signer, chain, Head{UID: c.UID, Seq: c.Seq, Hash: c.Hash, TS: c.TS}, p.TS)
	return change, head, err
}
