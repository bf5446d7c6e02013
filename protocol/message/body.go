package message

import (
	"encoding/json"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
)

// Body is one of the structs of this file and call.go, or Unknown.
type Body interface {
	check() string
}

// File is sealed bytes at the relay and how to open them (section 8).
type File struct {
	ID   protocol.ID     `json:"id"`
	Key  protocol.Secret `json:"key"`  // 32 bytes
	Size int64           `json:"size"` // of the plaintext
	Hash protocol.Hash32 `json:"hash"` // SHA-256 of the plaintext
	Type string          `json:"type"` // media type
}

// Check returns bad-request unless the fields are in range.
func (f File) Check() error {
	if reason := f.check(); reason != "" {
		return refuse("message.File", reason)
	}
	return nil
}

func (f File) check() string {
	switch {
	case f.Key.Len() != 32:
		return "file key"
	case f.Size < 0 || f.Size > MaxFile:
		return "file over 20 MiB"
	case !validMediaType(f.Type):
		return "media type"
	}
	return ""
}

func validMediaType(t string) bool {
	kind, name, ok := strings.Cut(t, "/")
	return ok && len(t) <= maxMediaType && validToken(kind) && validToken(name)
}

// validToken allows what registered media types are made of, in lower case.
func validToken(t string) bool {
	for i, c := range []byte(t) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '-' && c != '+') {
			return false
		}
	}
	return t != ""
}

func checkFile(f *File) string {
	if f == nil {
		return ""
	}
	return f.check()
}

// Reply names the message that is answered.
type Reply struct {
	MID    protocol.ID  `json:"mid"`
	Author protocol.UID `json:"author"`
}

// Text is a chat message. A text over 40,000 bytes travels in File, and Text is
// its beginning.
type Text struct {
	Text  string `json:"text"`
	Reply *Reply `json:"reply,omitempty"`
	File  *File  `json:"file,omitempty"`
}

func checkText(text string) string {
	if !within(text, 0, MaxText) || len(text) > MaxTextBytes {
		return "text too long"
	}
	return ""
}

func (b Text) check() string {
	if b.Text == "" {
		return "empty text"
	}
	return first(checkText(b.Text), checkFile(b.File))
}

// Photo is a picture with a ThumbHash and perhaps a caption.
type Photo struct {
	File   File           `json:"file"`
	Width  int            `json:"width"`
	Height int            `json:"height"`
	Thumb  protocol.Bytes `json:"thumb"`
	Text   string         `json:"text,omitempty"`
	Reply  *Reply         `json:"reply,omitempty"`
}

func (b Photo) check() string {
	if b.Width < 1 || b.Width > MaxSide || b.Height < 1 || b.Height > MaxSide || len(b.Thumb) > MaxThumb {
		return "photo size"
	}
	return first(b.File.check(), checkText(b.Text))
}

// Edit replaces the author's own text or caption.
type Edit struct {
	Target protocol.ID `json:"target"`
	Text   string      `json:"text"`
	File   *File       `json:"file,omitempty"`
}

func (b Edit) check() string { return first(checkText(b.Text), checkFile(b.File)) }

// Delete takes the author's own message back: homes and devices forget text and file.
type Delete struct {
	Target protocol.ID `json:"target"`
}

func (Delete) check() string { return "" }

// React is the newest reaction of its sender to a message; an empty emoji takes it back.
type React struct {
	Target protocol.ID  `json:"target"`
	Author protocol.UID `json:"author"` // of the target
	Emoji  string       `json:"emoji"`
}

func (b React) check() string {
	if len(b.Emoji) > MaxEmoji {
		return "emoji too long"
	}
	return ""
}

// Read says that all up to (Upto, MID) was read.
type Read struct {
	Upto int64       `json:"upto"` // clock
	MID  protocol.ID `json:"mid"`
}

func (b Read) check() string {
	if b.Upto < 0 {
		return "negative clock"
	}
	return ""
}

// Profile is what friends see of somebody; the highest version counts.
type Profile struct {
	Name    string         `json:"name"`
	About   string         `json:"about"`
	Picture protocol.Bytes `json:"picture,omitempty"` // JPEG
	Version int64          `json:"version"`
}

func (b Profile) check() string {
	if !within(b.Name, 1, MaxName) || !within(b.About, 0, MaxAbout) || len(b.Picture) > MaxPicture || b.Version < 0 {
		return "profile out of bounds"
	}
	return ""
}

// Request asks to be friends.
type Request struct {
	Name     string `json:"name"`
	Words    string `json:"words,omitempty"`
	Username string `json:"username"`
}

func checkPerson(name, username string) string {
	if !within(name, 1, MaxName) {
		return "name out of bounds"
	}
	if !protocol.ValidUsername(username) {
		return "username"
	}
	return ""
}

func (b Request) check() string {
	if !within(b.Words, 0, MaxWords) {
		return "words too long"
	}
	return checkPerson(b.Name, b.Username)
}

// Joined tells an inviter who came by which invite; Proof ties both uids to its
// secret (vault.InviteProof).
type Joined struct {
	Name     string         `json:"name"`
	Username string         `json:"username"`
	Invite   protocol.ID    `json:"invite"`
	Proof    protocol.Key32 `json:"proof"`
}

func (b Joined) check() string { return checkPerson(b.Name, b.Username) }

// Answer is accept, decline or remove.
type Answer struct {
	Name     string `json:"name,omitempty"`
	Username string `json:"username,omitempty"`
}

func (b Answer) check() string {
	if !within(b.Name, 0, MaxName) || b.Username != "" && !protocol.ValidUsername(b.Username) {
		return "name or username"
	}
	return ""
}

// Home is the receipt of a home: these letters are on its disk.
type Home struct {
	Items []Item `json:"items"`
}

// Item is a message and the hash of its letter (letter.Hash).
type Item struct {
	MID  protocol.ID     `json:"mid"`
	Hash protocol.Hash32 `json:"hash"`
}

func (b Home) check() string {
	if len(b.Items) < 1 || len(b.Items) > MaxItems {
		return "1 to 500 items"
	}
	return ""
}

// Stale says that the letter in envelope ID could not be opened: seal it again
// for this UEK record (ident.VerifyUEK), same mid, new envelope id.
type Stale struct {
	ID  protocol.ID     `json:"id"`
	UEK protocol.Signed `json:"uek"`
}

func (Stale) check() string { return "" }

// Live is typing or here.
type Live struct{}

func (Live) check() string { return "" }

// Unknown is a body of a kind that this version does not know: kept, not read.
type Unknown struct {
	Raw json.RawMessage
}

func (Unknown) check() string { return "" }

func first(reasons ...string) string {
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}

// ParseBody reads the body of a letter by envelope type and meta.kind. Keys it
// does not know are allowed; of kinds it does not know only that the body is
// JSON is checked. Code: bad-request.
func ParseBody(envelopeType, kind string, raw []byte) (Body, error) {
	const op = "message.ParseBody"
	if len(raw) > maxBody {
		return nil, refuse(op, "over 64 KiB")
	}
	switch envelopeType + "/" + kind {
	case "chat/" + KindText:
		return parse[Text](raw)
	case "chat/" + KindPhoto:
		return parse[Photo](raw)
	case "chat/" + KindEdit:
		return parse[Edit](raw)
	case "chat/" + KindDelete:
		return parse[Delete](raw)
	case "chat/" + KindReact:
		return parse[React](raw)
	case "chat/" + KindRead:
		return parse[Read](raw)
	case "chat/" + KindProfile:
		return parse[Profile](raw)
	case "friend/" + KindRequest:
		return parse[Request](raw)
	case "friend/" + KindJoined:
		return parse[Joined](raw)
	case "friend/" + KindAccept, "friend/" + KindDecline, "friend/" + KindRemove:
		return parse[Answer](raw)
	case "receipt/" + KindHome:
		return parse[Home](raw)
	case "receipt/" + KindStale:
		return parse[Stale](raw)
	case "live/" + KindTyping, "live/" + KindHere:
		return parse[Live](raw)
	case "live/" + KindPeer:
		return parse[Peer](raw)
	case "live/" + KindCall:
		return parse[Call](raw)
	case "chat/" + KindCall:
		return parse[Called](raw)
	}
	var u Unknown
	err := protocol.DecodeOpen(raw, &u.Raw, maxDepth)
	return u, err
}

func parse[B Body](raw []byte) (Body, error) {
	var b B
	if err := protocol.DecodeOpen(raw, &b, maxDepth); err != nil {
		return nil, err
	}
	if reason := b.check(); reason != "" {
		return nil, refuse("message.ParseBody", reason)
	}
	return b, nil
}

// MarshalBody writes a body for sealing, or refuses what ParseBody would.
func MarshalBody(b Body) ([]byte, error) {
	const op = "message.MarshalBody"
	if reason := b.check(); reason != "" {
		return nil, refuse(op, reason)
	}
	if u, ok := b.(Unknown); ok {
		return u.Raw, nil
	}
	return protocol.MarshalSealed(b)
}
