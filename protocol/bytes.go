package protocol

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// The fixed-size values of the protocol. Their text form, in JSON and in
// String, is base64url without padding (section 1). The zero value means
// "none"; nothing on the wire is all zeros by chance.
type (
	// ID names an envelope, a message (mid), an invite, a file or a mailbox.
	ID [16]byte
	// Key32 is a public key, Ed25519 or X25519, or a 32-byte nonce.
	Key32 [32]byte
	// UID is a person: the hash of the genesis record (section 2).
	UID [32]byte
	// DeviceID is hash("device", sign, box) (section 2).
	DeviceID [32]byte
	// Hash32 is a SHA-256 result.
	Hash32 [32]byte
	// Signature is an Ed25519 signature.
	Signature [64]byte
	// Bytes is a byte string of any length, base64url in JSON.
	Bytes []byte
)

var base64url = base64.RawURLEncoding.Strict()

var errBase64 = errors.New("not base64url without padding")

// EncodeBytes gives base64url without padding (RFC 4648 section 5).
func EncodeBytes(b []byte) string { return base64url.EncodeToString(b) }

// DecodeBytes reads base64url and refuses padding, other alphabets, line
// breaks and non-zero trailing bits.
func DecodeBytes(text string) ([]byte, error) { return decodeText([]byte(text)) }

func decodeText(text []byte) ([]byte, error) {
	// The standard decoder skips line breaks; two texts must never mean one value.
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errBase64
	}
	out := make([]byte, base64url.DecodedLen(len(text)))
	n, err := base64url.Decode(out, text)
	if err != nil {
		return nil, errBase64
	}
	return out[:n], nil
}

func decodeFixed(dst, text []byte) error {
	if len(text) != base64url.EncodedLen(len(dst)) {
		return fmt.Errorf("want %d bytes as base64url", len(dst))
	}
	b, err := decodeText(text)
	if err != nil {
		return err
	}
	copy(dst, b)
	return nil
}

func encodeFixed(b []byte) ([]byte, error) {
	out := make([]byte, base64url.EncodedLen(len(b)))
	base64url.Encode(out, b)
	return out, nil
}

func (b Bytes) String() string                { return EncodeBytes(b) }
func (b Bytes) MarshalText() ([]byte, error)  { return encodeFixed(b) }
func (b *Bytes) UnmarshalText(t []byte) error { v, err := decodeText(t); *b = v; return err }

func (v ID) String() string                { return EncodeBytes(v[:]) }
func (v ID) MarshalText() ([]byte, error)  { return encodeFixed(v[:]) }
func (v *ID) UnmarshalText(t []byte) error { return decodeFixed(v[:], t) }

// IsZero reports whether the id is absent.
func (v ID) IsZero() bool { return v == ID{} }

func (v Key32) String() string                { return EncodeBytes(v[:]) }
func (v Key32) MarshalText() ([]byte, error)  { return encodeFixed(v[:]) }
func (v *Key32) UnmarshalText(t []byte) error { return decodeFixed(v[:], t) }

// IsZero reports whether the key is absent.
func (v Key32) IsZero() bool { return v == Key32{} }

func (v UID) String() string                { return EncodeBytes(v[:]) }
func (v UID) MarshalText() ([]byte, error)  { return encodeFixed(v[:]) }
func (v *UID) UnmarshalText(t []byte) error { return decodeFixed(v[:], t) }

// IsZero reports whether the uid is absent.
func (v UID) IsZero() bool { return v == UID{} }

func (v DeviceID) String() string                { return EncodeBytes(v[:]) }
func (v DeviceID) MarshalText() ([]byte, error)  { return encodeFixed(v[:]) }
func (v *DeviceID) UnmarshalText(t []byte) error { return decodeFixed(v[:], t) }

// IsZero reports whether the device id is absent.
func (v DeviceID) IsZero() bool { return v == DeviceID{} }

func (v Hash32) String() string                { return EncodeBytes(v[:]) }
func (v Hash32) MarshalText() ([]byte, error)  { return encodeFixed(v[:]) }
func (v *Hash32) UnmarshalText(t []byte) error { return decodeFixed(v[:], t) }

// IsZero reports whether the hash is absent.
func (v Hash32) IsZero() bool { return v == Hash32{} }

func (v Signature) String() string                { return EncodeBytes(v[:]) }
func (v Signature) MarshalText() ([]byte, error)  { return encodeFixed(v[:]) }
func (v *Signature) UnmarshalText(t []byte) error { return decodeFixed(v[:], t) }

// ParseID reads the text form of an id.
func ParseID(text string) (ID, error) { var v ID; return v, v.UnmarshalText([]byte(text)) }

// ParseKey reads the text form of a public key.
func ParseKey(text string) (Key32, error) { var v Key32; return v, v.UnmarshalText([]byte(text)) }

// ParseUID reads the text form of a uid.
func ParseUID(text string) (UID, error) { var v UID; return v, v.UnmarshalText([]byte(text)) }

// ParseDeviceID reads the text form of a device id.
func ParseDeviceID(text string) (DeviceID, error) {
	var v DeviceID
	return v, v.UnmarshalText([]byte(text))
}

// ParseHash reads the text form of a hash.
func ParseHash(text string) (Hash32, error) { var v Hash32; return v, v.UnmarshalText([]byte(text)) }

// NewID makes a random id.
func NewID(rand io.Reader) (ID, error) {
	var v ID
	_, err := io.ReadFull(rand, v[:])
	return v, err
}

// NewNonce makes 32 random bytes, as the socket's challenge needs them.
func NewNonce(rand io.Reader) (Key32, error) {
	var v Key32
	_, err := io.ReadFull(rand, v[:])
	return v, err
}

// Equal compares in time that depends on the lengths alone.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
