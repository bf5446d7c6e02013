package handshake

import (
	"encoding/binary"
	"io"
	"sync"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
)

// Kinds of link messages (section 11).
const (
	LinkHello  = 1
	LinkAnswer = 2
	LinkFinish = 3
	LinkFrame  = 4
	LinkClosed = 5
)

// MaxLinkPlaintext bounds the JSON in one frame.
const MaxLinkPlaintext = 60 << 10

const linkHead = 1 + 8 // kind, session

// SessionID names one link session among a home's.
type SessionID [8]byte

// LinkPeers is what both ends know before they begin, each from its own
// sources: the person's chain and the host it dialled.
type LinkPeers struct {
	UID      protocol.UID
	Device   protocol.DeviceID
	Home     protocol.DeviceID
	RelayKey protocol.Key32
	Host     string // as protocol.ParseHost writes it
}

func (p LinkPeers) transcript(session SessionID, ephI, ephR protocol.Key32) protocol.Hash32 {
	return protocol.Hash("link", p.UID[:], p.Device[:], p.Home[:], p.RelayKey[:], []byte(p.Host), session[:], ephI[:], ephR[:])
}

// ParseLink splits the data of a link envelope. The payload is not yet checked
// beyond its size.
func ParseLink(data []byte) (kind int, session SessionID, payload []byte, err error) {
	const op = "handshake.ParseLink"
	if len(data) < linkHead {
		return 0, session, nil, malformed(op, "too short")
	}
	kind, session, payload = int(data[0]), SessionID(data[1:linkHead]), data[linkHead:]
	var ok bool
	switch kind {
	case LinkHello:
		ok = len(payload) == 32
	case LinkAnswer:
		ok = len(payload) == 32+64
	case LinkFinish:
		ok = len(payload) == 64
	case LinkFrame:
		n := len(payload) - 8 - secretbox.Overhead
		ok = n >= 0 && n <= MaxLinkPlaintext
	case LinkClosed:
		ok = len(payload) == 0
	}
	if !ok {
		return 0, session, nil, malformed(op, "unknown kind or length")
	}
	return kind, session, payload, nil
}

func linkMessage(kind byte, session SessionID, parts ...[]byte) []byte {
	out := append([]byte{kind}, session[:]...)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// ClosedMessage tells the other side that its session is not known here.
func ClosedMessage(session SessionID) []byte { return linkMessage(LinkClosed, session) }

// Initiator is a device on its way to its home.
type Initiator struct {
	keys    protocol.Signer
	home    protocol.Key32
	peers   LinkPeers
	session SessionID
	eph     protocol.BoxSecret
}

// NewInitiator begins a link from the device that holds keys to the home whose
// Ed25519 key (from the own chain) is home, and returns the hello message.
func NewInitiator(random io.Reader, keys protocol.Signer, home protocol.Key32, peers LinkPeers) (*Initiator, []byte, error) {
	i := &Initiator{keys: keys, home: home, peers: peers}
	if _, err := io.ReadFull(random, i.session[:]); err != nil {
		return nil, nil, err
	}
	var err error
	if i.eph, err = protocol.NewBoxSecret(random); err != nil {
		return nil, nil, err
	}
	pub := i.eph.Public()
	return i, linkMessage(LinkHello, i.session, pub[:]), nil
}

// Session is the session's id, to find the answer's initiator by.
func (i *Initiator) Session() SessionID { return i.session }

// Finish checks the home's answer and returns the finish message and the session.
func (i *Initiator) Finish(answer []byte) ([]byte, *Session, error) {
	const op = "handshake.Initiator"
	kind, session, payload, err := ParseLink(answer)
	if err != nil {
		return nil, nil, err
	}
	if kind != LinkAnswer || session != i.session {
		return nil, nil, malformed(op, "not the answer of this session")
	}
	ephI, ephR := i.eph.Public(), protocol.Key32(payload[:32])
	t := i.peers.transcript(session, ephI, ephR)
	if !protocol.Verify(i.home, protocol.Signature(payload[32:]), "sign/link", []byte("r"), t[:]) {
		return nil, nil, refuse(op, "not signed by the home")
	}
	out, in, err := linkKeys(i.eph, ephR, t)
	if err != nil {
		return nil, nil, err
	}
	sig := i.keys.Sign("sign/link", []byte("i"), t[:])
	return linkMessage(LinkFinish, session, sig[:]), &Session{id: session, out: out, in: in}, nil
}

// Responder is a home that has answered and waits for the finish.
type Responder struct {
	device  protocol.Key32
	session *Session
	t       protocol.Hash32
}

// NewResponder answers a hello of the device whose Ed25519 key is device
// (active in the own chain; its id came as the envelope's from.id).
func NewResponder(random io.Reader, keys protocol.Signer, device protocol.Key32, peers LinkPeers, hello []byte) (*Responder, []byte, error) {
	kind, session, payload, err := ParseLink(hello)
	if err != nil {
		return nil, nil, err
	}
	if kind != LinkHello {
		return nil, nil, malformed("handshake.NewResponder", "not a hello")
	}
	eph, err := protocol.NewBoxSecret(random)
	if err != nil {
		return nil, nil, err
	}
	ephI, ephR := protocol.Key32(payload), eph.Public()
	t := peers.transcript(session, ephI, ephR)
	in, out, err := linkKeys(eph, ephI, t)
	if err != nil {
		return nil, nil, err
	}
	sig := keys.Sign("sign/link", []byte("r"), t[:])
	r := &Responder{device: device, session: &Session{id: session, out: out, in: in}, t: t}
	return r, linkMessage(LinkAnswer, session, ephR[:], sig[:]), nil
}

// Finish checks the device's finish message; only then there is a session.
func (r *Responder) Finish(finish []byte) (*Session, error) {
	const op = "handshake.Responder"
	kind, session, payload, err := ParseLink(finish)
	if err != nil {
		return nil, err
	}
	if kind != LinkFinish || session != r.session.id {
		return nil, malformed(op, "not the finish of this session")
	}
	if !protocol.Verify(r.device, protocol.Signature(payload), "sign/link", []byte("i"), r.t[:]) {
		return nil, refuse(op, "not signed by the device")
	}
	return r.session, nil
}

// linkKeys are the keys from initiator to responder and back.
func linkKeys(own protocol.BoxSecret, other protocol.Key32, t protocol.Hash32) (i2r, r2i protocol.Secret, err error) {
	shared, err := own.DH(other)
	if err != nil {
		return i2r, r2i, refuse("handshake.link", "low-order key")
	}
	there, back := protocol.KDF(shared[:], "link/i2r", t[:]), protocol.KDF(shared[:], "link/r2i", t[:])
	return protocol.SecretOf(there[:]), protocol.SecretOf(back[:]), nil
}

// Session seals and opens frames. It may be used by several goroutines; frames
// must leave in the order in which Seal made them.
type Session struct {
	id SessionID

	mu      sync.Mutex // guards all below
	out, in protocol.Secret
	sent    uint64
	seen    uint64
	ended   bool
}

// ID names the session.
func (s *Session) ID() SessionID { return s.id }

func linkNonce(counter uint64) *[24]byte {
	var n [24]byte
	binary.BigEndian.PutUint64(n[16:], counter)
	return &n
}

// Seal makes the link message for plaintext, at most 60 KiB.
func (s *Session) Seal(plaintext []byte) ([]byte, error) {
	if len(plaintext) > MaxLinkPlaintext {
		return nil, &protocol.Error{Op: "handshake.Seal", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxLinkPlaintext}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, refuse("handshake.Seal", "session ended")
	}
	out := linkMessage(LinkFrame, s.id, protocol.U64(s.sent))
	key := [32]byte(s.out.Expose())
	out = secretbox.Seal(out, plaintext, linkNonce(s.sent), &key)
	s.sent++
	return out, nil
}

// Open checks a frame and returns its plaintext. Any error ends the session:
// whatever comes after a gap or a forgery is not trusted.
func (s *Session) Open(data []byte) ([]byte, error) {
	const op = "handshake.Open"
	kind, session, payload, err := ParseLink(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, refuse(op, "session ended")
	}
	s.ended = true
	if err != nil {
		return nil, err
	}
	if kind != LinkFrame || session != s.id {
		return nil, malformed(op, "not a frame of this session")
	}
	if binary.BigEndian.Uint64(payload) != s.seen {
		return nil, refuse(op, "wrong counter")
	}
	key := [32]byte(s.in.Expose())
	plaintext, ok := secretbox.Open(nil, payload[8:], linkNonce(s.seen), &key)
	if !ok {
		return nil, refuse(op, "wrong tag")
	}
	s.seen++
	s.ended = false
	return plaintext, nil
}
