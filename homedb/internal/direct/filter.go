package direct

import (
	"net"
	"net/netip"

	"github.com/courtyard-social/courtyard/protocol"
)

// Why a candidate is not used, as it is counted.
const (
	Malformed = "malformed" // not what RFC 8839 says, or of a transport that is not ours
	TCPOnly   = "tcp"       // browsers connect by TCP, and listen nowhere
	LowPort   = "low-port"  // no browser has one; resolvers and the like do
	Elsewhere = "elsewhere" // not where the relay sees the device, nor in a network of ours
	Unnamed   = "unnamed"   // nobody answers to that name here
)

// lowestPort keeps checks from services that speak UDP.
const lowestPort = 1024

// Rules say to which addresses this home may send on behalf of one device. There
// is nothing else that it sends to: neither a candidate nor a probe, nor an answer
// to a check that came from an address they do not allow.
type Rules struct {
	Seen  netip.Addr     // from where the relay sees the device connect; not valid: not known
	Own   []netip.Prefix // of this home's interfaces, loopback apart
	Named []netip.Prefix // by the operator
}

// Keep decides about a candidate that has an address. The reason is one of those
// that are counted; empty: it is used.
func (r Rules) Keep(c Candidate) (reason string) {
	switch {
	case c.TCP:
		return TCPOnly
	case c.Port < lowestPort:
		return LowPort
	case protocol.Within(r.Named, c.Addr):
		return ""
	case c.Kind == Relay: // what goes through the courtyard goes over the link
	case r.seen(c.Addr), r.neighbour(c.Addr):
		return ""
	}
	return Elsewhere
}

// Allows reports whether anything at all may be sent to addr: it is asked once
// more for every address that a connection is about to use.
func (r Rules) Allows(addr netip.Addr) bool {
	return addr.IsValid() && (protocol.Within(r.Named, addr) || r.seen(addr) || r.neighbour(addr))
}

// seen: public, and the one the relay sees.
func (r Rules) seen(addr netip.Addr) bool {
	return r.Seen.IsValid() && addr == r.Seen && protocol.PublicUnicast(addr)
}

// neighbour: not public, and in a network in which this home has an interface.
// Addresses that mean all of a network are nobody's.
func (r Rules) neighbour(addr netip.Addr) bool {
	if protocol.PublicUnicast(addr) || !addr.IsValid() || addr.IsLoopback() || addr.IsMulticast() || addr.IsUnspecified() {
		return false
	}
	for _, p := range r.Own {
		if p.Contains(addr) && !(addr.Is4() && p.Bits() < 31 && (addr == p.Masked().Addr() || addr == last4(p))) {
			return true
		}
	}
	return false
}

// last4 is the broadcast address of an IPv4 network.
func last4(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(b)
}

// ownNetworks are the networks of the interfaces that are up, loopback apart.
func ownNetworks() ([]netip.Prefix, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p.Masked())
			}
		}
	}
	return out, nil
}
