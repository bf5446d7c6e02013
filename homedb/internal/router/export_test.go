package router

import (
	"log/slog"
	"net/netip"
)

// Method is a way of asking that a test chooses.
type Method = method

// The three, at ports of a test's own.
func PCP(at netip.AddrPort) Method    { return &pcp{at} }
func NATPMP(at netip.AddrPort) Method { return &natpmp{at} }
func IGD(gateway netip.Addr, search netip.AddrPort) Method {
	return &igd{gateway: gateway, local: gateway, search: search}
}

// Asking makes a keeper that asks a router in certain ways.
func Asking(port uint16, log *slog.Logger, ways ...Method) *Keeper {
	k := New(port, log)
	k.gateway = func() (netip.Addr, netip.Addr, error) {
		loopback := netip.MustParseAddr("127.0.0.1")
		return loopback, loopback, nil
	}
	k.methods = func(netip.Addr, netip.Addr) []method { return ways }
	return k
}

// Renew asks once, as Run does.
var Renew = (*Keeper).renew

var (
	ParseRoutes = parseRoutes
	Location    = location
	Texts       = texts
	ParsePCP    = func(raw []byte) bool { _, ok := parsePCP(raw); return ok }
)

// Describe reads a description as igd does, and returns where the control is.
func Describe(raw []byte) (string, bool) {
	d, err := parseDescription(raw)
	if err != nil {
		return "", false
	}
	return d.Device.control(wan[0], new(int))
}

// Only makes a keeper that finds its router by itself, and asks it in one way.
func Only(port uint16, log *slog.Logger, by string) *Keeper {
	k := New(port, log)
	all := k.methods
	k.methods = func(gateway, local netip.Addr) []method {
		return all(gateway, local)[map[string]int{"pcp": 0, "nat-pmp": 1, "upnp": 2}[by]:][:1]
	}
	return k
}
