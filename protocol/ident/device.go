// Package ident is who somebody is: devices and their keys, the sigchain that
// lists them, and the records of the daily keys (UEK) that letters are sealed
// to. Sections 2 to 4 of protocol/README.md.
//
// It verifies and makes records. It must never fetch or store them, and never
// decide what a person's client does about a fork.
package ident

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/courtyard-social/courtyard/protocol"
)

// Roles of a device (section 2).
const (
	RoleAdmin   = "admin"   // a person's own phone or browser: signs records
	RoleHome    = "home"    // keeps the log; at most one is active
	RoleSession = "session" // a borrowed browser: signs nothing
)

// Device is the public side of a device as the sigchain lists it.
type Device struct {
	Sign protocol.Key32 `json:"sign"` // Ed25519
	Box  protocol.Key32 `json:"box"`  // X25519
	Role string         `json:"role"`
	Exp  int64          `json:"exp"` // ms, 0 = never
}

// ID is hash("device", sign, box).
func (d Device) ID() protocol.DeviceID {
	return protocol.DeviceID(protocol.Hash("device", d.Sign[:], d.Box[:]))
}

func (d Device) check() string {
	switch {
	case d.Role != RoleAdmin && d.Role != RoleHome && d.Role != RoleSession:
		return "unknown role"
	case d.Exp < 0:
		return "negative time"
	case protocol.LowOrder(d.Box):
		return "low-order key"
	}
	return ""
}

// DeviceKeys is the secret side of a device. It never prints.
type DeviceKeys struct {
	sign protocol.SignSecret
	box  protocol.BoxSecret
}

// deviceKeysSize is the Ed25519 seed and the X25519 secret.
const deviceKeysSize = 64

// GenerateDeviceKeys makes the keys of a new device from 64 random bytes.
func GenerateDeviceKeys(random io.Reader) (*DeviceKeys, error) {
	var b [deviceKeysSize]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, err
	}
	return ParseDeviceKeys(b[:])
}

// ParseDeviceKeys reads what Expose gave: seed 32, X25519 secret 32.
func ParseDeviceKeys(b []byte) (*DeviceKeys, error) {
	if len(b) != deviceKeysSize {
		return nil, protocol.Refuse("ident.ParseDeviceKeys", protocol.CodeBadRequest, "not 64 bytes")
	}
	return &DeviceKeys{protocol.SignSecretOf([32]byte(b[:32])), protocol.BoxSecretOf([32]byte(b[32:]))}, nil
}

// Expose returns the 64 secret bytes, for a file that only its owner reads.
func (k *DeviceKeys) Expose() []byte {
	seed, secret := k.sign.Expose(), k.box.Expose()
	return append(seed[:], secret[:]...)
}

// Public is the device's Ed25519 key; DeviceKeys is a protocol.Signer.
func (k *DeviceKeys) Public() protocol.Key32 { return k.sign.Public() }

// Sign signs a preimage with the device's Ed25519 key.
func (k *DeviceKeys) Sign(label string, parts ...[]byte) protocol.Signature {
	return k.sign.Sign(label, parts...)
}

// BoxPublic is the device's X25519 key.
func (k *DeviceKeys) BoxPublic() protocol.Key32 { return k.box.Public() }

// Box is the device's X25519 secret, as vault slots need it.
func (k *DeviceKeys) Box() protocol.BoxSecret { return k.box }

// DH is X25519 with the device's box key; low-order keys are refused.
func (k *DeviceKeys) DH(public protocol.Key32) ([32]byte, error) { return k.box.DH(public) }

// Device is the public side, with the given role and expiry (ms, 0 = never).
func (k *DeviceKeys) Device(role string, exp int64) Device {
	return Device{Sign: k.Public(), Box: k.BoxPublic(), Role: role, Exp: exp}
}

// ID is the device's id.
func (k *DeviceKeys) ID() protocol.DeviceID { return k.Device("", 0).ID() }

func (k *DeviceKeys) String() string             { return "[secret]" }
func (k *DeviceKeys) GoString() string           { return "[secret]" }
func (k *DeviceKeys) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") } //nolint:errcheck // fmt.State keeps no error
func (k *DeviceKeys) LogValue() slog.Value       { return slog.StringValue("[secret]") }
