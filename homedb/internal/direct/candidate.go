package direct

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Kind is how somebody came to an address (RFC 8445, section 5.1.1).
type Kind string

// The kinds of candidates.
const (
	Host  Kind = "host"
	Srflx Kind = "srflx"
	Prflx Kind = "prflx"
	Relay Kind = "relay"
)

// Candidate is an address at which a device says that it can be reached.
type Candidate struct {
	Foundation string
	TCP        bool
	Priority   uint32
	Addr       netip.Addr // not valid: there is a Name instead
	Name       string     // <uuid>.local, in lower case
	Port       uint16
	Kind       Kind
}

// maxCandidate is the longest text of one; browsers write about 150 bytes.
const maxCandidate = 256

var errCandidate = errors.New("not a candidate")

// ParseCandidate reads candidate-attribute of RFC 8839, section 5.1, with or
// without "a=". What follows the type is not looked at: related addresses say
// nothing that matters here.
func ParseCandidate(text string) (Candidate, error) {
	var c Candidate
	if len(text) > maxCandidate {
		return c, errCandidate
	}
	text = strings.TrimPrefix(text, "a=")
	rest, ok := strings.CutPrefix(text, "candidate:")
	if !ok {
		return c, errCandidate
	}
	// foundation component transport priority address port "typ" type …
	f := strings.Fields(rest)
	if len(f) < 8 || f[6] != "typ" || f[1] != "1" || !token(f[0], 1, 32, iceChar) {
		return c, errCandidate
	}
	c.Foundation = f[0]
	switch strings.ToLower(f[2]) {
	case "udp":
	case "tcp":
		c.TCP = true
	default:
		return c, errCandidate
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil || priority == 0 {
		return c, errCandidate
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return c, errCandidate
	}
	c.Priority, c.Port, c.Kind = uint32(priority), uint16(port), Kind(f[7])
	switch c.Kind {
	case Host, Srflx, Prflx, Relay:
	default:
		return c, errCandidate
	}
	if name := strings.ToLower(f[4]); localName(name) {
		c.Name = name
		return c, nil
	}
	addr, err := netip.ParseAddr(f[4])
	if err != nil || addr.Zone() != "" {
		return c, errCandidate
	}
	c.Addr = addr.Unmap()
	return c, nil
}

// localName is a name of multicast DNS: one label and .local, as browsers write
// them in place of the addresses of their own network.
func localName(name string) bool {
	label, ok := strings.CutSuffix(name, ".local")
	return ok && token(label, 1, 63, func(b byte) bool { return b == '-' || alphanumeric(b) })
}

func token(text string, shortest, longest int, allowed func(byte) bool) bool {
	if len(text) < shortest || len(text) > longest {
		return false
	}
	for i := range len(text) {
		if !allowed(text[i]) {
			return false
		}
	}
	return true
}

func iceChar(b byte) bool { return b == '+' || b == '/' || alphanumeric(b) }

func alphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
