package protocol

import "strconv"

// MaxEnvelope bounds an envelope's JSON (section 7).
const MaxEnvelope = 128 << 10

// maxEnvelopeDepth: the envelope and its two addresses, and one to spare.
const maxEnvelopeDepth = 3

// Envelope types that this version knows (section 7). A relay passes on others.
const (
	TypeChat    = "chat"
	TypeFriend  = "friend"
	TypeReceipt = "receipt"
	TypeLive    = "live"
	TypeLink    = "link"
	// TypeReturned is a letter that came back, told by the own relay (section 14).
	TypeReturned = "returned"
)

// Envelope is what travels between relays, homes and apps (section 7). It is
// forwarded as the bytes that came; Marshal is for whoever makes one.
type Envelope struct {
	V    int     `json:"v"` // 1
	ID   ID      `json:"id"`
	TS   int64   `json:"ts"`  // ms since 1970
	Exp  int64   `json:"exp"` // ms, 0 = never; past it the envelope is worthless
	From Address `json:"from"`
	To   Address `json:"to"`
	Type string  `json:"type"`
	Data Bytes   `json:"data"`
}

// ParseEnvelope reads an envelope strictly (section 7): closed, all keys, at
// most 128 KiB, at most 3 levels. Codes: too-large, bad-request.
func ParseEnvelope(raw []byte) (*Envelope, error) {
	if len(raw) > MaxEnvelope {
		return nil, &Error{Op: "protocol.ParseEnvelope", Code: CodeTooLarge, Params: map[string]any{"limit": MaxEnvelope}}
	}
	e := &Envelope{}
	if err := DecodeClosed(raw, e, maxEnvelopeDepth); err != nil {
		return nil, err
	}
	if reason := e.check(); reason != "" {
		return nil, Refuse("protocol.ParseEnvelope", CodeBadRequest, reason)
	}
	return e, nil
}

func (e *Envelope) check() string {
	switch {
	case e.V != 1:
		return "unknown version"
	case e.TS < 0 || e.Exp < 0:
		return "negative time"
	case !validType(e.Type):
		return "type is not 1 to 32 of a-z 0-9 . -"
	}
	if reason := e.From.check(); reason != "" {
		return "from: " + reason
	}
	if reason := e.To.check(); reason != "" {
		return "to: " + reason
	}
	return ""
}

func validType(t string) bool {
	for _, c := range []byte(t) {
		if !isLetterDigit(c) && c != '.' && c != '-' {
			return false
		}
	}
	return len(t) >= 1 && len(t) <= 32
}

// H is the hash that binds a letter to its envelope (section 7). Addresses and
// names are hints and not in it.
func (e *Envelope) H() Hash32 {
	return Hash("envelope", U8(e.V), e.ID[:], U64(e.TS), U64(e.Exp), e.From.ID[:], e.To.ID[:], []byte(e.Type))
}

// Marshal writes the envelope with its keys in the order of section 7. The
// fields must be what ParseEnvelope accepts; then nothing in them needs escapes.
func (e *Envelope) Marshal() []byte {
	out := make([]byte, 0, 420+len(e.Data)*4/3)
	out = append(out, `{"v":`...)
	out = strconv.AppendInt(out, int64(e.V), 10)
	out = append(out, `,"id":"`...)
	out = base64url.AppendEncode(out, e.ID[:])
	out = append(out, `","ts":`...)
	out = strconv.AppendInt(out, e.TS, 10)
	out = append(out, `,"exp":`...)
	out = strconv.AppendInt(out, e.Exp, 10)
	out = appendAddress(append(out, `,"from":`...), e.From)
	out = appendAddress(append(out, `,"to":`...), e.To)
	out = append(out, `,"type":"`...)
	out = append(out, e.Type...)
	out = append(out, `","data":"`...)
	out = base64url.AppendEncode(out, e.Data)
	return append(out, `"}`...)
}

func appendAddress(out []byte, a Address) []byte {
	out = append(out, `{"ip":"`...)
	out = append(out, a.IP...)
	out = append(out, `","port":`...)
	out = strconv.AppendInt(out, int64(a.Port), 10)
	out = append(out, `,"username":"`...)
	out = append(out, a.Username...)
	out = append(out, `","id":"`...)
	out = base64url.AppendEncode(out, a.ID[:])
	return append(out, `"}`...)
}
