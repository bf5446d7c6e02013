package vault

import (
	"io"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

const (
	inviteSecretSize = 16
	maxInviteCard    = 40 << 10
	maxPicture       = 24 << 10
	maxName          = 64 * 4
)

// InviteLink is what an invite's link says (section 9).
type InviteLink struct {
	Host    string // `host[:port]` as protocol.ParseHost writes it
	ID      protocol.ID
	Inviter protocol.UID
	Head    protocol.Hash32 // of the inviter's chain when the link was made
	Secret  protocol.Secret // 16 bytes; the relay never sees it
}

// NewInvite makes id and secret of an invite.
func NewInvite(random io.Reader, now int64) (Invite, error) {
	id, err := protocol.NewID(random)
	if err != nil {
		return Invite{}, err
	}
	secret, err := protocol.NewSecret(random, inviteSecretSize)
	return Invite{ID: id, Secret: secret, Created: now}, err
}

// URL writes the link below base, "https://host[:port]" without a slash at the end.
func (l InviteLink) URL(base string) string {
	return base + "/i/" + l.ID.String() + "#1." + l.Inviter.String() + "." + l.Head.String() + "." + protocol.EncodeBytes(l.Secret.Expose())
}

// ParseInvite reads an invite's link.
func ParseInvite(link string) (InviteLink, error) {
	const op = "vault.ParseInvite"
	bad := protocol.Refuse(op, protocol.CodeBadRequest, "not an invite link")
	host, path, fragment, err := handshake.SplitLink(link)
	if err != nil {
		return InviteLink{}, err
	}
	id, ok := strings.CutPrefix(path, "/i/")
	parts := strings.Split(fragment, ".")
	if !ok || len(parts) != 4 || parts[0] != "1" {
		return InviteLink{}, bad
	}
	l := InviteLink{Host: host}
	for _, err := range []error{
		l.ID.UnmarshalText([]byte(id)), l.Inviter.UnmarshalText([]byte(parts[1])),
		l.Head.UnmarshalText([]byte(parts[2])), l.Secret.UnmarshalText([]byte(parts[3])),
	} {
		if err != nil {
			return InviteLink{}, bad
		}
	}
	if l.Secret.Len() != inviteSecretSize {
		return InviteLink{}, bad
	}
	return l, nil
}

// InviteCard is what the page behind a link shows before anybody joins.
type InviteCard struct {
	Name    string         `json:"name"`
	Picture protocol.Bytes `json:"picture,omitempty"` // JPEG
}

func inviteKey(secret protocol.Secret, inviter protocol.UID) *[32]byte {
	key := protocol.KDF(secret.Expose(), "invite/card", inviter[:])
	return &key
}

func inviteNonce(id protocol.ID) *[24]byte {
	n := protocol.Nonce24(protocol.Hash("invite/card-nonce", id[:]))
	return &n
}

// SealInviteCard seals the card of a new invite. Key and nonce are the invite's
// own: seal once, and for another name or picture make another invite.
func SealInviteCard(i Invite, inviter protocol.UID, card InviteCard) ([]byte, error) {
	if card.Name == "" || len(card.Name) > maxName || len(card.Picture) > maxPicture {
		return nil, protocol.Refuse("vault.SealInviteCard", protocol.CodeBadRequest, "name or picture")
	}
	plain, err := protocol.Marshal(card)
	if err != nil {
		return nil, err
	}
	return secretbox.Seal(nil, plain, inviteNonce(i.ID), inviteKey(i.Secret, inviter)), nil
}

// OpenInviteCard opens the card with what the link says.
func OpenInviteCard(l InviteLink, sealed []byte) (InviteCard, error) {
	const op = "vault.OpenInviteCard"
	if len(sealed) > maxInviteCard {
		return InviteCard{}, protocol.Refuse(op, protocol.CodeTooLarge, "over 40 KiB")
	}
	plain, ok := secretbox.Open(nil, sealed, inviteNonce(l.ID), inviteKey(l.Secret, l.Inviter))
	if !ok {
		return InviteCard{}, protocol.Refuse(op, protocol.CodeBadRequest, "cannot be opened")
	}
	var card InviteCard
	if err := protocol.DecodeOpen(plain, &card, maxDepth); err != nil {
		return InviteCard{}, err
	}
	if card.Name == "" || len(card.Name) > maxName || len(card.Picture) > maxPicture {
		return InviteCard{}, protocol.Refuse(op, protocol.CodeBadRequest, "name or picture")
	}
	return card, nil
}

// InviteProof ties inviter and joiner to the secret of an invite.
func InviteProof(secret protocol.Secret, id protocol.ID, inviter, joiner protocol.UID) protocol.Key32 {
	return protocol.MAC(secret.Expose(), "invite/proof", id[:], inviter[:], joiner[:])
}

// CheckInviteProof compares in constant time.
func CheckInviteProof(proof protocol.Key32, secret protocol.Secret, id protocol.ID, inviter, joiner protocol.UID) bool {
	want := InviteProof(secret, id, inviter, joiner)
	return protocol.Equal(want[:], proof[:])
}
