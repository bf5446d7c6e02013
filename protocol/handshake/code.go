package handshake

import (
	"io"
	"net/netip"
	"net/url"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
)

const codeSize = 10

// Code is a pairing code: 80 random bits (section 10). It prints only by Text.
type Code struct{ protocol.Secret }

// NewCode makes a code.
func NewCode(random io.Reader) (Code, error) {
	s, err := protocol.NewSecret(random, codeSize)
	return Code{s}, err
}

// ParseCode reads `XXXX-XXXX-XXXX-XXXX` as a person types it.
func ParseCode(text string) (Code, error) {
	b, err := protocol.DecodeBase32(text, codeSize)
	if err != nil {
		return Code{}, err
	}
	return Code{protocol.SecretOf(b)}, nil
}

// Text is the code as it is shown: XXXX-XXXX-XXXX-XXXX.
func (c Code) Text() string { return protocol.EncodeBase32(c.Expose()) }

// Mailbox is where the messages of the pairing lie at the relay.
func (c Code) Mailbox() protocol.ID {
	h := protocol.Hash("pair/box", c.Expose())
	return protocol.ID(h[:16])
}

// PairingText is `host[:port]/XXXX-XXXX-XXXX-XXXX`, what a person copies.
func PairingText(host string, c Code) string { return host + "/" + c.Text() }

// ParsePairing reads PairingText; a scheme and spaces in front are dropped. The
// host comes back as protocol.ParseHost writes it.
func ParsePairing(text string) (host string, c Code, err error) {
	const op = "handshake.ParsePairing"
	if len(text) > 512 {
		return "", Code{}, malformed(op, "too long")
	}
	text = strings.TrimSpace(text)
	for _, scheme := range []string{"https://", "http://"} {
		text = strings.TrimPrefix(text, scheme)
	}
	name, code, ok := strings.Cut(text, "/")
	if !ok {
		return "", Code{}, malformed(op, "not host/CODE")
	}
	if host, err = protocol.ParseHost(name); err != nil {
		return "", Code{}, err
	}
	c, err = ParseCode(code)
	return host, c, err
}

// Claim is the owner's first link (section 9).
type Claim struct {
	Token    protocol.Secret // 16 bytes
	RelayKey protocol.Key32
	Home     protocol.DeviceID // the waiting home; zero for none, and then no Code
	Code     Code
}

// Link writes the claim below base, "https://host[:port]" without a slash at the end.
func (c Claim) Link(base string) string {
	out := base + "/i/claim#0." + protocol.EncodeBytes(c.Token.Expose()) + "." + c.RelayKey.String()
	if !c.Home.IsZero() {
		out += "." + c.Home.String() + "." + c.Code.Text()
	}
	return out
}

// ParseClaim reads a claim link and the host it names.
func ParseClaim(link string) (host string, c Claim, err error) {
	const op = "handshake.ParseClaim"
	host, path, fragment, err := SplitLink(link)
	if err != nil {
		return "", Claim{}, err
	}
	parts := strings.Split(fragment, ".")
	if path != "/i/claim" || (len(parts) != 3 && len(parts) != 5) || parts[0] != "0" {
		return "", Claim{}, malformed(op, "not a claim link")
	}
	if err := c.Token.UnmarshalText([]byte(parts[1])); err != nil || c.Token.Len() != 16 {
		return "", Claim{}, malformed(op, "token")
	}
	if c.RelayKey, err = protocol.ParseKey(parts[2]); err != nil {
		return "", Claim{}, malformed(op, "relay key")
	}
	if len(parts) == 5 {
		if c.Home, err = protocol.ParseDeviceID(parts[3]); err != nil {
			return "", Claim{}, malformed(op, "home device id")
		}
		if c.Code, err = ParseCode(parts[4]); err != nil {
			return "", Claim{}, err
		}
	}
	return host, c, nil
}

// SplitLink takes a link apart: the host as protocol.ParseHost writes it, the
// path, and what is after `#`. Links are https; http only for localhost and
// loopback addresses (section 9). Then a host that names no port is on 80.
func SplitLink(link string) (host, path, fragment string, err error) {
	const op = "handshake.SplitLink"
	if len(link) > 2048 {
		return "", "", "", malformed(op, "too long")
	}
	u, err := url.Parse(link)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" {
		return "", "", "", malformed(op, "not a link of this courtyard")
	}
	ip, port, err := protocol.SplitHost(u.Host)
	if err != nil {
		return "", "", "", err
	}
	if u.Scheme == "http" {
		if addr, err := netip.ParseAddr(ip); ip != "localhost" && (err != nil || !addr.IsLoopback()) {
			return "", "", "", malformed(op, "http is for trying it out on one machine")
		}
		if u.Port() == "" {
			port = 80
		}
	}
	return protocol.JoinHost(ip, port), u.Path, u.Fragment, nil
}
