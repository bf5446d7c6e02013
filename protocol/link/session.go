package link

import (
	"encoding/binary"
	"sync"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
)

// MaxFrame bounds a sealed frame, bytes.
const MaxFrame = 512 << 10

// maxPlaintext is what fits into one.
const maxPlaintext = MaxFrame - 8 - secretbox.Overhead

// Session seals and opens the frames of one link. It may be used by several
// goroutines; frames must leave in the order in which Seal made them.
type Session struct {
	mu      sync.Mutex // guards all below
	out, in protocol.Secret
	sent    uint64
	seen    uint64
	ended   bool
}

func newSession(out, in protocol.Secret) *Session { return &Session{out: out, in: in} }

func nonce(counter uint64) *[24]byte {
	var n [24]byte
	binary.BigEndian.PutUint64(n[16:], counter)
	return &n
}

// Seal makes the frame for plaintext. Code: too-large.
func (s *Session) Seal(plaintext []byte) ([]byte, error) {
	if len(plaintext) > maxPlaintext {
		return nil, &protocol.Error{Op: "link.Seal", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": maxPlaintext}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, protocol.Refuse("link.Seal", protocol.CodeUnauthorized, "session ended")
	}
	key := [32]byte(s.out.Expose())
	frame := make([]byte, 8, 8+len(plaintext)+secretbox.Overhead)
	binary.BigEndian.PutUint64(frame, s.sent)
	frame = secretbox.Seal(frame, plaintext, nonce(s.sent), &key)
	s.sent++
	return frame, nil
}

// Open checks a frame and returns its plaintext. Any error ends the session:
// whatever comes after a gap or a forgery is not trusted. Code: unauthorized.
func (s *Session) Open(frame []byte) ([]byte, error) {
	const op = "link.Open"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, protocol.Refuse(op, protocol.CodeUnauthorized, "session ended")
	}
	s.ended = true
	if len(frame) < 8+secretbox.Overhead || len(frame) > MaxFrame {
		return nil, protocol.Refuse(op, protocol.CodeUnauthorized, "length")
	}
	if binary.BigEndian.Uint64(frame) != s.seen {
		return nil, protocol.Refuse(op, protocol.CodeUnauthorized, "wrong counter")
	}
	key := [32]byte(s.in.Expose())
	plaintext, ok := secretbox.Open(nil, frame[8:], nonce(s.seen), &key)
	if !ok {
		return nil, protocol.Refuse(op, protocol.CodeUnauthorized, "wrong tag")
	}
	s.seen++
	s.ended = false
	return plaintext, nil
}
