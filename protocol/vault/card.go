package vault

import (
	"io"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
)

const cardSize = 16

// Card is a recovery card: 128 random bits (section 6). It prints only by Text,
// and lives in memory only while it is made or used.
type Card struct{ bits protocol.Secret }

// NewCard makes a card.
func NewCard(random io.Reader) (Card, error) {
	s, err := protocol.NewSecret(random, cardSize)
	return Card{s}, err
}

// IK is the identity key: Ed25519 from seed kdf(c, "card/sign").
func (c Card) IK() protocol.SignSecret {
	return protocol.SignSecretOf(protocol.KDF(c.bits.Expose(), "card/sign"))
}

// Box opens the vault: the X25519 secret kdf(c, "card/box").
func (c Card) Box() protocol.BoxSecret {
	return protocol.BoxSecretOf(protocol.KDF(c.bits.Expose(), "card/box"))
}

func cardCheck(bits []byte) byte { return protocol.Hash("card/check", bits)[0] }

// Text is what the card shows: the handle, a line break, and 28 characters in
// groups of four.
func (c Card) Text(h protocol.Handle) string {
	bits := c.bits.Expose()
	return h.String() + "\n" + protocol.EncodeBase32(append(bits, cardCheck(bits)))
}

// ParseCardCode reads the 28 characters as a person types them. A typing
// mistake is found in 255 of 256 cases.
func ParseCardCode(text string) (Card, error) {
	b, err := protocol.DecodeBase32(text, cardSize+1)
	if err != nil {
		return Card{}, err
	}
	if b[cardSize] != cardCheck(b[:cardSize]) {
		return Card{}, protocol.Refuse("vault.ParseCardCode", protocol.CodeBadRequest, "check does not fit: a typing mistake")
	}
	return Card{protocol.SecretOf(b[:cardSize])}, nil
}

// ParseCard reads Text: a handle, spaces or line breaks, the characters.
func ParseCard(text string) (protocol.Handle, Card, error) {
	const op = "vault.ParseCard"
	if len(text) > 1024 {
		return protocol.Handle{}, Card{}, protocol.Refuse(op, protocol.CodeBadRequest, "too long")
	}
	words := strings.Fields(text)
	if len(words) < 2 {
		return protocol.Handle{}, Card{}, protocol.Refuse(op, protocol.CodeBadRequest, "not a handle and a code")
	}
	h, err := protocol.ParseHandle(words[0])
	if err != nil {
		return protocol.Handle{}, Card{}, err
	}
	c, err := ParseCardCode(strings.Join(words[1:], " "))
	return h, c, err
}
