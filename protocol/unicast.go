package protocol

import "net/netip"

// notPublic4 are the IPv4 networks that are not public unicast (IANA's registry
// of special-purpose addresses), and one that is but must not be called.
var notPublic4 = prefixes(
	"0.0.0.0/8",        // this host
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // behind a provider's NAT
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // what Azure tells its machines, secrets among it
	"169.254.0.0/16",   // link-local, and what other clouds tell their machines
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments
	"192.0.2.0/24",     // documentation
	"192.31.196.0/24",  // AS112
	"192.52.193.0/24",  // AMT
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"192.175.48.0/24",  // AS112
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/3",      // multicast, reserved, broadcast
)

// public6 is what IPv6 gives out as global unicast. Everything else is refused:
// ::, ::1, v4-mapped, NAT64 (64:ff9b::/96), local, link-local, multicast.
var public6 = netip.MustParsePrefix("2000::/3")

// notPublic6 are the parts of public6 that are not, or that carry an IPv4
// address, which would go round the list above.
var notPublic6 = prefixes(
	"2001::/23",         // protocol assignments: Teredo, benchmarks, ORCHID
	"2001:db8::/32",     // documentation
	"2002::/16",         // 6to4
	"2620:4f:8000::/48", // AS112
	"3fff::/20",         // documentation
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// PublicUnicast reports whether addr is a public unicast address, written as what
// it is: where a relay or a home sends without having been told more.
func PublicUnicast(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	if addr.Is4() {
		return !Within(notPublic4, addr)
	}
	return public6.Contains(addr) && !Within(notPublic6, addr)
}

// Within reports whether addr is in one of the networks.
func Within(all []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range all {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
