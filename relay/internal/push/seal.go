package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	authSize = 16
	saltSize = 16
	// recordSize is what RFC 8188 calls rs; one record is all there is (RFC 8291, section 4).
	recordSize = 4096
	// room is what every payload is padded to: its length says nothing.
	room = 256
)

// readKey reads a browser's public key. Code: bad-request.
func readKey(raw []byte) (*ecdh.PublicKey, error) {
	key, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		return nil, &protocol.Error{Op: "push.readKey", Code: protocol.CodeBadRequest, Cause: err}
	}
	return key, nil
}

// seal encrypts plaintext for a subscription, as the body of a push with content
// encoding aes128gcm (RFC 8291). Longer than the room of a push: an error.
func seal(s *Subscription, plaintext []byte) ([]byte, error) {
	if len(plaintext) > room {
		return nil, fmt.Errorf("push of %d bytes", len(plaintext))
	}
	receiver, err := readKey(s.Key)
	if err != nil {
		return nil, err
	}
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	return sealWith(receiver, s.Auth, ephemeral, salt, plaintext, room-len(plaintext))
}

// sealWith is seal with everything that is random given, and so many zeros behind the text.
func sealWith(receiver *ecdh.PublicKey, auth []byte, ephemeral *ecdh.PrivateKey, salt, plaintext []byte, padding int) ([]byte, error) {
	shared, err := ephemeral.ECDH(receiver)
	if err != nil {
		return nil, err
	}
	sender := ephemeral.PublicKey().Bytes()
	info := append(append([]byte("WebPush: info\x00"), receiver.Bytes()...), sender...)
	ikm, err := hkdf.Key(sha256.New, shared, auth, string(info), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	// The last record ends in 0x02, zeros behind it are padding (RFC 8188, section 2).
	record := append(append(append(make([]byte, 0, len(plaintext)+1+padding), plaintext...), 2), make([]byte, padding)...)
	out := append(make([]byte, 0, saltSize+4+1+len(sender)+len(record)+gcm.Overhead()), salt...)
	out = binary.BigEndian.AppendUint32(out, recordSize)
	out = append(out, byte(len(sender)))
	out = append(out, sender...)
	return gcm.Seal(out, nonce, record, nil), nil
}
