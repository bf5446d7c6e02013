package protocol

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// DefaultPort is left out of a written host.
const DefaultPort = 443

// maxHost bounds a host name (section 7).
const maxHost = 253

// Address is one end of an envelope (section 7). Only ID says who is meant;
// the rest is a hint where to reach them. ID is a uid, or a device id in
// envelopes of type link; it has the type of the more common one.
type Address struct {
	IP       string `json:"ip"` // address literal without brackets, or host name
	Port     int    `json:"port"`
	Username string `json:"username"` // may be empty
	ID       UID    `json:"id"`
}

func (a Address) check() string {
	switch {
	case !ValidHost(a.IP):
		return "ip is neither an address nor a host name"
	case a.Port < 1 || a.Port > 65535:
		return "port out of range"
	case a.Username != "" && !ValidUsername(a.Username):
		return "not a username"
	}
	return ""
}

// ValidHost reports whether ip is an address literal (IPv6 without brackets,
// no zone) or a host name of at most 253 bytes: labels of letters, digits,
// hyphens, the last not a number, so that no reader takes it for an address.
func ValidHost(ip string) bool {
	if len(ip) == 0 || len(ip) > maxHost {
		return false
	}
	if addr, err := netip.ParseAddr(ip); err == nil {
		return addr.Zone() == ""
	}
	labels := strings.Split(ip, ".")
	for _, label := range labels {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isLetterDigit(c|0x20) && c != '-' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return last[0] < '0' || last[0] > '9'
}

// lower is for ASCII alone: strings.ToLower would make a k of the Kelvin sign.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func isLetterDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// ParseHost reads `host[:port]` (IPv6 in brackets) and returns the one way to
// write it: lower case, IPv6 shortest and in brackets, without `:443`. That
// form goes into every transcript and proof that has a host (section 1).
func ParseHost(text string) (string, error) {
	ip, port, err := SplitHost(text)
	if err != nil {
		return "", err
	}
	return JoinHost(ip, port), nil
}

// SplitHost reads `host[:port]` into a lower-case address or name and a port,
// DefaultPort if none is written.
func SplitHost(text string) (ip string, port int, err error) {
	bad := Refuse("protocol.SplitHost", CodeBadRequest, "not host[:port]")
	ip, port = lower(text), DefaultPort
	tail := ""
	if rest, ok := strings.CutPrefix(ip, "["); ok {
		inside, after, closed := strings.Cut(rest, "]")
		if !closed || !strings.Contains(inside, ":") {
			return "", 0, bad
		}
		ip, tail = inside, after
	} else if i := strings.IndexByte(ip, ':'); i >= 0 {
		ip, tail = ip[:i], ip[i:]
	}
	if tail != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(tail, ":"), 10, 16)
		if tail[0] != ':' || err != nil || n == 0 || len(tail) > 1 && tail[1] == '0' {
			return "", 0, bad
		}
		port = int(n)
	}
	if !ValidHost(ip) {
		return "", 0, bad
	}
	if addr, err := netip.ParseAddr(ip); err == nil {
		ip = addr.String()
	}
	return ip, port, nil
}

// JoinHost writes `host[:port]`, the inverse of SplitHost.
func JoinHost(ip string, port int) string {
	ip = lower(ip)
	if addr, err := netip.ParseAddr(ip); err == nil {
		ip = addr.String()
		if addr.Is6() {
			ip = "[" + ip + "]"
		}
	}
	if port == DefaultPort {
		return ip
	}
	return ip + ":" + strconv.Itoa(port)
}

// Handle is `username@host[:port]`: a hint where to reach a uid, never an identity (section 2).
type Handle struct {
	Username string
	IP       string
	Port     int
}

// ParseHandle reads a handle as a person types it: any case, spaces around it.
func ParseHandle(text string) (Handle, error) {
	if len(text) > maxHost+64 {
		return Handle{}, Refuse("protocol.ParseHandle", CodeBadRequest, "too long")
	}
	username, host, ok := strings.Cut(lower(strings.TrimSpace(text)), "@")
	if !ok || !ValidUsername(username) {
		return Handle{}, Refuse("protocol.ParseHandle", CodeBadRequest, "not username@host")
	}
	ip, port, err := SplitHost(host)
	if err != nil {
		return Handle{}, err
	}
	return Handle{username, ip, port}, nil
}

func (h Handle) String() string { return h.Username + "@" + JoinHost(h.IP, h.Port) }

// reserved usernames: names of the relay's own pages and roles, and names that
// people take for the courtyard speaking (section 2 lists them).
var reserved = map[string]bool{
	"abuse": true, "admin": true, "administrator": true, "api": true, "app": true, "claim": true,
	"courtyard": true, "everyone": true, "help": true, "home": true, "hostmaster": true, "info": true,
	"mail": true, "media": true, "moderator": true, "noreply": true, "official": true, "owner": true,
	"postmaster": true, "relay": true, "root": true, "security": true, "staff": true, "start": true,
	"support": true, "system": true, "webmaster": true, "www": true,
}

// ReservedUsernames is the list, sorted.
func ReservedUsernames() []string { return slices.Sorted(maps.Keys(reserved)) }

// CheckUsername returns username-bad unless a person may have this name:
// 2 to 32 of a-z 0-9 . - _, first and last a letter or digit, not reserved.
func CheckUsername(username string) error {
	if !ValidUsername(username) {
		return Refuse("protocol.CheckUsername", CodeUsernameBad, "not 2 to 32 of a-z 0-9 . - _")
	}
	if reserved[username] {
		return Refuse("protocol.CheckUsername", CodeUsernameBad, "reserved")
	}
	return nil
}

// ValidUsername reports whether username has the form of one, reserved or not:
// readers ask no more, since the list of reserved names may grow.
func ValidUsername(username string) bool {
	if len(username) < 2 || len(username) > 32 {
		return false
	}
	for _, c := range []byte(username) {
		if !isLetterDigit(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return isLetterDigit(username[0]) && isLetterDigit(username[len(username)-1])
}
