package direct

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// maxOffer and maxLines bound a description; browsers write about 1 KiB.
	maxOffer = 16 << 10
	maxLines = 400
	// maxCandidates is what a connection is ever told about, trickled ones included.
	maxCandidates = 32
	sctpPort      = "5000" // RFC 8841; every browser
)

// Offer is what matters in a device's description of a data channel (RFC 8839,
// 8841, 8842). Everything else in it is left where it came from.
type Offer struct {
	Ufrag, Pwd  string
	Fingerprint string // SHA-256 of the certificate, AA:BB:…
	Mid         string
	Bundled     bool
	Candidates  []Candidate
	Dropped     int // candidates that are none, or one too many
}

func refuse(reason string) error { return protocol.Refuse("direct", protocol.CodeBadRequest, reason) }

// ParseOffer reads a description with one data section. Codes: too-large, bad-request.
func ParseOffer(sdp string) (Offer, error) {
	var o Offer
	if len(sdp) > maxOffer {
		return o, protocol.Refuse("direct", protocol.CodeTooLarge, "the offer is too long")
	}
	lines := strings.Split(strings.TrimSuffix(sdp, "\n"), "\n")
	if len(lines) > maxLines || strings.TrimSuffix(lines[0], "\r") != "v=0" {
		return o, refuse("not a description")
	}
	var setup, groups string
	sections := 0
	for _, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		kind, value, ok := strings.Cut(line, "=")
		switch {
		case !ok || len(kind) != 1:
			return o, refuse("a line is none")
		case kind == "m":
			f := strings.Fields(value)
			if sections++; sections > 1 || len(f) != 4 || f[0] != "application" || !strings.HasSuffix(f[2], "DTLS/SCTP") || f[3] != "webrtc-datachannel" {
				return o, refuse("not one data section")
			}
			continue
		case kind != "a":
			continue
		}
		name, value, _ := strings.Cut(value, ":")
		if err := o.attribute(name, value, &setup, &groups); err != nil {
			return o, err
		}
	}
	switch {
	case sections != 1, o.Ufrag == "", o.Pwd == "", o.Fingerprint == "", o.Mid == "":
		return o, refuse("something is missing")
	case setup != "actpass": // what an offer says (RFC 8842, section 5.2); the home is then active
		return o, refuse("setup is not actpass")
	}
	for _, mid := range strings.Fields(groups) {
		o.Bundled = o.Bundled || mid == o.Mid
	}
	return o, nil
}

// attribute takes one attribute. None that is understood comes twice with two meanings.
func (o *Offer) attribute(name, value string, setup, groups *string) error {
	var into *string
	fine := true
	switch name {
	case "candidate":
		c, err := ParseCandidate("candidate:" + value)
		if err != nil || len(o.Candidates) == maxCandidates {
			o.Dropped++
			return nil
		}
		o.Candidates = append(o.Candidates, c)
		return nil
	case "group":
		if mids, ok := strings.CutPrefix(value, "BUNDLE"); ok {
			*groups = mids
		}
		return nil
	case "ice-ufrag":
		into, fine = &o.Ufrag, token(value, 4, 256, iceChar)
	case "ice-pwd":
		into, fine = &o.Pwd, token(value, 22, 256, iceChar)
	case "mid":
		into, fine = &o.Mid, token(value, 1, 16, alphanumeric)
	case "setup":
		into = setup
	case "sctp-port":
		if value != sctpPort {
			return refuse("another SCTP port")
		}
		return nil
	case "fingerprint":
		method, print, _ := strings.Cut(value, " ")
		if !strings.EqualFold(method, "sha-256") {
			return nil
		}
		value, fine = fingerprint(print)
		into = &o.Fingerprint
	default:
		return nil
	}
	if !fine || *into != "" && *into != value {
		return refuse("bad " + name)
	}
	*into = value
	return nil
}

// fingerprint puts a SHA-256 fingerprint into its one form.
func fingerprint(text string) (string, bool) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(raw) != 32 || len(text) != 32*3-1 {
		return "", false
	}
	parts := make([]string, len(raw))
	for i, b := range raw {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	out := strings.Join(parts, ":")
	return out, strings.EqualFold(out, text)
}

// Answer describes the home's end to a device.
type Answer struct {
	Ufrag, Pwd, Fingerprint string
	Candidates              []string // candidate:…
}

// SDP writes it in reply to an offer. The home is active: it begins DTLS.
func (a Answer) SDP(o Offer) string {
	var b strings.Builder
	line := func(text string) { b.WriteString(text + "\r\n") }
	line("v=0")
	line("o=- 1 1 IN IP4 0.0.0.0")
	line("s=-")
	line("t=0 0")
	if o.Bundled {
		line("a=group:BUNDLE " + o.Mid)
	}
	line("m=application 9 UDP/DTLS/SCTP webrtc-datachannel")
	line("c=IN IP4 0.0.0.0")
	line("a=mid:" + o.Mid)
	line("a=ice-ufrag:" + a.Ufrag)
	line("a=ice-pwd:" + a.Pwd)
	line("a=fingerprint:sha-256 " + a.Fingerprint)
	line("a=setup:active")
	line("a=sctp-port:" + sctpPort)
	line("a=max-message-size:" + strconv.Itoa(maxMessage))
	for _, c := range a.Candidates {
		line("a=" + c)
	}
	line("a=end-of-candidates")
	return b.String()
}
