package vault

import (
	"encoding/json"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// maxDepth leaves room for what apps put under keys of their own.
const maxDepth = 16

// States of a friend.
const (
	StateFriend  = "friend"
	StateAsked   = "asked" // we asked
	StateAsks    = "asks"  // they asked
	StateBlocked = "blocked"
	StateRemoved = "removed"
)

// Contents is the JSON of a vault (section 5). It belongs to the app: every
// object carries the keys that this version does not know in Rest, and they are
// written back. Absent and empty are the same, except for v. A state that this
// version does not know is kept too: a vault must never become unreadable.
type Contents struct {
	V        int                        `json:"v"` // 1
	Username string                     `json:"username" courtyard:"optional"`
	Name     string                     `json:"name" courtyard:"optional"`
	About    string                     `json:"about" courtyard:"optional"`
	Picture  protocol.Bytes             `json:"picture,omitempty"` // JPEG
	Friends  []Friend                   `json:"friends" courtyard:"optional"`
	Invites  []Invite                   `json:"invites" courtyard:"optional"`
	UEKs     []UEK                      `json:"ueks,omitempty"` // only of someone without a home
	Settings map[string]json.RawMessage `json:"settings" courtyard:"optional"`
	Devices  map[string]string          `json:"devices" courtyard:"optional"` // device id -> what a person calls it
	Rest     protocol.Rest
}

// Friend is somebody a person knows, with what was pinned of them.
type Friend struct {
	UID       protocol.UID    `json:"uid"`
	Username  string          `json:"username" courtyard:"optional"`
	Host      string          `json:"host" courtyard:"optional"` // without port
	Port      int             `json:"port" courtyard:"optional"`
	Name      string          `json:"name" courtyard:"optional"`
	State     string          `json:"state"`
	Confirmed bool            `json:"confirmed" courtyard:"optional"` // by an invite's proof or in person
	Since     int64           `json:"since" courtyard:"optional"`     // ms
	Seq       int             `json:"seq" courtyard:"optional"`       // chain pin
	Head      protocol.Hash32 `json:"head,omitempty"`
	UEK       int64           `json:"uek" courtyard:"optional"` // UEK pin: counter
	UEKKey    protocol.Key32  `json:"uekKey,omitempty"`
	MID       protocol.ID     `json:"mid,omitempty"` // of the request, to answer it
	Rest      protocol.Rest
}

// ChainPin is what was pinned of the friend's chain; ok is false if nothing was.
func (f Friend) ChainPin() (pin ident.Pin, ok bool) {
	return ident.Pin{Seq: f.Seq, Head: f.Head}, !f.Head.IsZero()
}

// UEKPin is the highest UEK record seen of the friend; its zero value refuses nothing.
func (f Friend) UEKPin() ident.UEKPin { return ident.UEKPin{Counter: f.UEK, Key: f.UEKKey} }

// Invite is one that this person made.
type Invite struct {
	ID      protocol.ID     `json:"id"`
	Secret  protocol.Secret `json:"secret"`                       // 16 bytes
	Created int64           `json:"created" courtyard:"optional"` // ms
	By      protocol.UID    `json:"by,omitempty"`                 // who used it
	Rest    protocol.Rest
}

// UEK is the secret of a daily key.
type UEK struct {
	Counter int64           `json:"counter"`
	Secret  protocol.Secret `json:"secret"`                  // 32 bytes, X25519
	TS      int64           `json:"ts" courtyard:"optional"` // when it was issued, ms
	Rest    protocol.Rest
}

// Key is the UEK as letters are opened with it.
func (u UEK) Key() ident.UEKSecret {
	return ident.UEKSecret{Counter: u.Counter, Secret: protocol.BoxSecretOf([32]byte(u.Secret.Expose()))}
}

// NewUEK keeps a daily key's secret.
func NewUEK(k ident.UEKSecret, ts int64) UEK {
	secret := k.Secret.Expose()
	return UEK{Counter: k.Counter, Secret: protocol.SecretOf(secret[:]), TS: ts}
}

// MarshalUEKs writes the answer to the link's `keys` (section 11), which goes
// into a sealed frame only.
func MarshalUEKs(ueks []UEK) ([]byte, error) {
	return protocol.MarshalSealed(struct {
		UEKs []UEK `json:"ueks"`
	}{ueks})
}

// ParseUEKs reads MarshalUEKs.
func ParseUEKs(raw []byte) ([]UEK, error) {
	var answer struct {
		UEKs []UEK `json:"ueks"`
	}
	if err := protocol.DecodeOpen(raw, &answer, maxDepth); err != nil {
		return nil, err
	}
	for _, u := range answer.UEKs {
		if reason := u.check(); reason != "" {
			return nil, protocol.Refuse("vault.ParseUEKs", protocol.CodeBadRequest, reason)
		}
	}
	return answer.UEKs, nil
}

func (u UEK) check() string {
	if u.Counter < 1 || u.Secret.Len() != 32 || u.TS < 0 {
		return "uek out of range"
	}
	return ""
}

func (c Contents) check() string {
	if c.V != 1 {
		return "unknown version"
	}
	for _, f := range c.Friends {
		if f.Port < 0 || f.Port > 65535 || f.Seq < 0 || f.UEK < 0 || f.Since < 0 {
			return "number out of range"
		}
	}
	for _, i := range c.Invites {
		if i.Secret.Len() != inviteSecretSize {
			return "invite secret"
		}
	}
	for _, u := range c.UEKs {
		if reason := u.check(); reason != "" {
			return reason
		}
	}
	return ""
}

func (c Contents) marshal() ([]byte, error) {
	if reason := c.check(); reason != "" {
		return nil, protocol.Refuse("vault.Seal", protocol.CodeBadRequest, reason)
	}
	return protocol.MarshalSealed(c)
}

func parseContents(plain []byte) (Contents, error) {
	var c Contents
	if err := protocol.DecodeOpen(plain, &c, maxDepth); err != nil {
		return Contents{}, err
	}
	if reason := c.check(); reason != "" {
		return Contents{}, protocol.Refuse("vault.Open", protocol.CodeBadRequest, reason)
	}
	return c, nil
}
