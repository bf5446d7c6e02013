package vault

import (
	"strings"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	handoverSecretSize = 16
	// MaxHandover bounds the sealed bundle (section 12).
	MaxHandover = 4 << 10
)

// Handover carries a new device's keys to the browser that will use them (section 10).
type Handover struct {
	UID      protocol.UID
	Username string
	Keys     *ident.DeviceKeys
}

type handoverPlain struct {
	UID      protocol.UID    `json:"uid"`
	Username string          `json:"username"`
	Sign     protocol.Secret `json:"sign"`
	Box      protocol.Secret `json:"box"`
}

// HandoverMailbox is where the bundle lies at the relay: hash("handover/box", secret)[:16].
func HandoverMailbox(secret protocol.Secret) protocol.ID {
	h := protocol.Hash("handover/box", secret.Expose())
	return protocol.ID(h[:16])
}

func handoverKey(secret protocol.Secret, uid protocol.UID) *[32]byte {
	key := protocol.KDF(secret.Expose(), "handover/key", uid[:])
	return &key
}

// SealHandover seals h under a secret of 16 random bytes that is used once.
func SealHandover(secret protocol.Secret, h Handover) ([]byte, error) {
	if secret.Len() != handoverSecretSize {
		return nil, protocol.Refuse("vault.SealHandover", protocol.CodeBadRequest, "secret is not 16 bytes")
	}
	keys := h.Keys.Expose()
	plain, err := protocol.MarshalSealed(handoverPlain{h.UID, h.Username, protocol.SecretOf(keys[:32]), protocol.SecretOf(keys[32:])})
	if err != nil {
		return nil, err
	}
	return secretbox.Seal(nil, plain, &[24]byte{}, handoverKey(secret, h.UID)), nil
}

// OpenHandover opens a bundle with what the link says. The browser then checks
// that the chain of uid lists the device.
func OpenHandover(secret protocol.Secret, uid protocol.UID, sealed []byte) (Handover, error) {
	const op = "vault.OpenHandover"
	if len(sealed) > MaxHandover {
		return Handover{}, protocol.Refuse(op, protocol.CodeTooLarge, "over 4 KiB")
	}
	plain, ok := secretbox.Open(nil, sealed, &[24]byte{}, handoverKey(secret, uid))
	if !ok {
		return Handover{}, protocol.Refuse(op, protocol.CodeBadRequest, "cannot be opened")
	}
	var p handoverPlain
	if err := protocol.DecodeOpen(plain, &p, maxDepth); err != nil {
		return Handover{}, err
	}
	if p.UID != uid || p.Sign.Len() != 32 || p.Box.Len() != 32 {
		return Handover{}, protocol.Refuse(op, protocol.CodeBadRequest, "another person, or keys of another length")
	}
	keys, err := ident.ParseDeviceKeys(append(p.Sign.Expose(), p.Box.Expose()...))
	return Handover{p.UID, p.Username, keys}, err
}

// HandoverURL writes the one-use link below base, "https://host[:port]".
func HandoverURL(base string, secret protocol.Secret, uid protocol.UID) string {
	return base + "/app/#handover." + protocol.EncodeBytes(secret.Expose()) + "." + uid.String()
}

// ParseHandoverURL reads the link.
func ParseHandoverURL(link string) (host string, secret protocol.Secret, uid protocol.UID, err error) {
	bad := protocol.Refuse("vault.ParseHandoverURL", protocol.CodeBadRequest, "not a link of this kind")
	host, path, fragment, err := handshake.SplitLink(link)
	if err != nil {
		return "", secret, uid, err
	}
	parts := strings.Split(fragment, ".")
	if path != "/app/" || len(parts) != 3 || parts[0] != "handover" {
		return "", secret, uid, bad
	}
	if secret.UnmarshalText([]byte(parts[1])) != nil || secret.Len() != handoverSecretSize || uid.UnmarshalText([]byte(parts[2])) != nil {
		return "", protocol.Secret{}, protocol.UID{}, bad
	}
	return host, secret, uid, nil
}
