// Package link is how two relays meet and what they then say to each other
// (section 14): a handshake in which both prove their keys, sealed frames, and
// the frames' contents.
//
// It must never open a connection, and never decide who may pass what on.
package link

import (
	"bytes"
	"io"
	"slices"

	"github.com/courtyard-social/courtyard/protocol"
)

// Versions are what this program speaks, lowest first.
var Versions = []int{1}

// maxVersions bounds the list in a hello.
const maxVersions = 16

// MaxHello bounds each text frame of the handshake, bytes.
const MaxHello = 4 << 10

// Hello opens a link: from the relay that has something to pass on.
type Hello struct {
	Op       string         `json:"op"` // hello
	Versions []int          `json:"versions"`
	Key      protocol.Key32 `json:"key"`
	Host     string         `json:"host"` // under which this relay is reached, host[:port]
	To       string         `json:"to"`   // as dialled
	Eph      protocol.Key32 `json:"eph"`
}

// Answer is the other relay's.
type Answer struct {
	Op      string             `json:"op"` // hello
	Version int                `json:"version"`
	Key     protocol.Key32     `json:"key"`
	Eph     protocol.Key32     `json:"eph"`
	Sig     protocol.Signature `json:"sig"`
	Card    *protocol.Signed   `json:"card,omitempty"` // see ReadCard
}

// Proof ends the handshake.
type Proof struct {
	Op  string             `json:"op"` // proof
	Sig protocol.Signature `json:"sig"`
}

// Refusal stands in place of an answer.
type Refusal struct {
	Op       string `json:"op"` // refused
	Code     string `json:"code"`
	Versions []int  `json:"versions,omitempty"` // what the refusing side speaks, with code version
}

// Dialler is the side that opens the link, between its hello and the answer.
type Dialler struct {
	key   protocol.SignSecret
	hello Hello
	eph   protocol.BoxSecret
}

// Dial begins a link from the relay with key at host to the one reached at to
// (both as protocol.ParseHost writes them) and returns its first frame.
func Dial(random io.Reader, key protocol.SignSecret, host, to string) (*Dialler, []byte, error) {
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, nil, err
	}
	d := &Dialler{key: key, eph: eph, hello: Hello{Op: "hello", Versions: Versions, Key: key.Public(), Host: host, To: to, Eph: eph.Public()}}
	frame, err := protocol.Marshal(d.hello)
	return d, frame, err
}

// Peer is the relay that answered.
type Peer struct {
	Key  protocol.Key32
	Card *protocol.Signed // its own; nil if it has told none
}

// Finish checks the answer, which may be a refusal, and returns the proof, the
// session and who answered. Whether that is the right one
// is the caller's to decide. Codes: those of a refusal, version, bad-request, unauthorized.
func (d *Dialler) Finish(frame []byte) (proof []byte, s *Session, peer Peer, err error) {
	const op = "link.Finish"
	if err := Refused(frame); err != nil {
		return nil, nil, peer, err
	}
	var a Answer
	if err := decode(frame, &a); err != nil {
		return nil, nil, peer, err
	}
	if a.Op != "hello" {
		return nil, nil, peer, protocol.Refuse(op, protocol.CodeBadRequest, "not an answer")
	}
	if !slices.Contains(d.hello.Versions, a.Version) {
		return nil, nil, peer, &protocol.Error{Op: op, Code: protocol.CodeVersion}
	}
	t := transcript(d.hello, a.Version, a.Key, a.Eph, a.Card)
	if !protocol.Verify(a.Key, a.Sig, signLabel, []byte("r"), t[:]) {
		return nil, nil, peer, protocol.Refuse(op, protocol.CodeUnauthorized, "the answer is not signed by its key")
	}
	out, in, err := keys(d.eph, a.Eph, t)
	if err != nil {
		return nil, nil, peer, err
	}
	if a.Card != nil {
		if _, err := ReadCard(*a.Card, a.Key); err != nil {
			return nil, nil, peer, err
		}
	}
	proof, err = protocol.Marshal(Proof{Op: "proof", Sig: d.key.Sign(signLabel, []byte("i"), t[:])})
	return proof, newSession(out, in), Peer{a.Key, a.Card}, err
}

// Guest is a relay that has said hello and has not proved itself yet.
type Guest struct {
	Hello   Hello // only Versions, Host and To are known to be well-formed; the key is not proved
	session *Session
	t       protocol.Hash32
}

// Receive answers a hello. own tells the relay's own names. Codes: bad-request,
// version (params versions), not-allowed if the hello is meant for another relay.
func Receive(random io.Reader, key protocol.SignSecret, own func(host string) bool, frame []byte) (*Guest, []byte, error) {
	const op = "link.Receive"
	var hello Hello
	if err := decode(frame, &hello); err != nil {
		return nil, nil, err
	}
	if err := hello.check(); err != nil {
		return nil, nil, err
	}
	if !own(hello.To) || hello.Key == key.Public() {
		return nil, nil, protocol.Refuse(op, protocol.CodeNotAllowed, "meant for another relay")
	}
	version := 0
	for _, v := range Versions {
		if slices.Contains(hello.Versions, v) {
			version = v
		}
	}
	if version == 0 {
		return nil, nil, &protocol.Error{Op: op, Code: protocol.CodeVersion, Params: map[string]any{"versions": Versions}}
	}
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, nil, err
	}
	about, err := NewCard(key)
	if err != nil {
		return nil, nil, err
	}
	t := transcript(hello, version, key.Public(), eph.Public(), &about)
	in, out, err := keys(eph, hello.Eph, t)
	if err != nil {
		return nil, nil, err
	}
	answer, err := protocol.Marshal(Answer{Op: "hello", Version: version, Key: key.Public(), Eph: eph.Public(), Sig: key.Sign(signLabel, []byte("r"), t[:]), Card: &about})
	return &Guest{Hello: hello, session: newSession(out, in), t: t}, answer, err
}

// Finish checks the proof: only then is the guest who it says. Codes: bad-request, unauthorized.
func (g *Guest) Finish(frame []byte) (*Session, error) {
	const op = "link.Guest"
	var p Proof
	if err := decode(frame, &p); err != nil {
		return nil, err
	}
	if p.Op != "proof" || !protocol.Verify(g.Hello.Key, p.Sig, signLabel, []byte("i"), g.t[:]) {
		return nil, protocol.Refuse(op, protocol.CodeUnauthorized, "not proved")
	}
	return g.session, nil
}

const signLabel = "sign/relay-link"

func (h *Hello) check() error {
	bad := func(reason string) error { return protocol.Refuse("link.Hello", protocol.CodeBadRequest, reason) }
	if h.Op != "hello" || len(h.Versions) == 0 || len(h.Versions) > maxVersions {
		return bad("not a hello")
	}
	for _, v := range h.Versions {
		if v < 1 || v > 255 {
			return bad("version")
		}
	}
	for _, host := range []string{h.Host, h.To} {
		if own, err := protocol.ParseHost(host); err != nil || own != host {
			return bad("host")
		}
	}
	return nil
}

// transcript is T of section 14: everything both have said, so that who alters
// any of it makes the signatures and the keys wrong.
func transcript(h Hello, version int, peer, eph protocol.Key32, card *protocol.Signed) protocol.Hash32 {
	about := []byte{}
	if card != nil {
		about = card.Payload
	}
	versions := []byte{}
	for _, v := range h.Versions {
		versions = append(versions, byte(v))
	}
	return protocol.Hash("relay-link", []byte{byte(version)}, versions, h.Key[:], []byte(h.Host), peer[:], []byte(h.To), h.Eph[:], eph[:], about)
}

// keys are the keys from the dialling relay to the other one and back.
func keys(own protocol.BoxSecret, other protocol.Key32, t protocol.Hash32) (i2r, r2i protocol.Secret, err error) {
	shared, err := own.DH(other)
	if err != nil {
		return i2r, r2i, protocol.Refuse("link.keys", protocol.CodeBadRequest, "low-order key")
	}
	there, back := protocol.KDF(shared[:], "relay-link/i2r", t[:]), protocol.KDF(shared[:], "relay-link/r2i", t[:])
	return protocol.SecretOf(there[:]), protocol.SecretOf(back[:]), nil
}

func decode(frame []byte, v any) error {
	if len(frame) > MaxHello {
		return &protocol.Error{Op: "link.decode", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxHello}}
	}
	return protocol.DecodeOpen(frame, v, 4)
}

// Refused is the error a refusal carries, nil if the frame is none.
func Refused(frame []byte) error {
	if !bytes.Contains(frame, []byte(`"refused"`)) {
		return nil
	}
	var r Refusal
	if err := decode(frame, &r); err != nil || r.Op != "refused" {
		return err
	}
	return r.Error("link.refused")
}

// Error is what the refusal says, as the house's error. Codes this program does
// not know count as unavailable: a newer peer may have more.
func (r Refusal) Error(op string) *protocol.Error {
	if !slices.Contains(protocol.Codes(), r.Code) {
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable}
	}
	return &protocol.Error{Op: op, Code: r.Code}
}
