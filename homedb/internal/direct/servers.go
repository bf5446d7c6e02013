package direct

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	maxServers = 8
	maxURL     = 300
	// lookup bounds the names of all servers together.
	lookup = 2 * time.Second
	// https is the one port below lowestPort at which a STUN server may be.
	https = 443
)

// Servers is what the relay answers to `turn` (section 12), as far as a home needs
// it: addresses that the courtyard lends are the device's business.
type Servers struct {
	STUN  []string `json:"stun"`
	Until int64    `json:"until"`
}

// servers are those that a connection asks where it is seen, as addresses, so that
// nobody looks a name up again. A relay may name any: used are addresses in the public
// internet, in a network that the operator has named, and the relay's own, where the
// home's connection to it ends. At ports below 1024 other things than STUN listen.
func (n *Network) servers(ctx context.Context, s Servers, relay netip.Addr) []webrtc.ICEServer {
	ctx, stop := context.WithTimeout(ctx, lookup)
	defer stop()
	names := map[string][]netip.Addr{}
	var urls []string
	for _, url := range first(s.STUN, maxServers) {
		if len(url) > maxURL || !strings.HasPrefix(url, "stun:") {
			continue
		}
		uri, err := stun.ParseURI(url)
		if err != nil || uri.Port < 1 || uri.Port > 65535 {
			continue
		}
		addrs, ok := names[uri.Host]
		if !ok {
			addrs = n.addresses(ctx, uri.Host)
			names[uri.Host] = addrs
		}
		for _, a := range addrs {
			if !n.mayAsk(netip.AddrPortFrom(a, uint16(uri.Port)), relay) {
				n.s.Counted("server-" + Elsewhere)
				continue
			}
			if at := "stun:" + netip.AddrPortFrom(a, uint16(uri.Port)).String(); !slices.Contains(urls, at) {
				urls = append(urls, at)
			}
		}
	}
	if len(urls) == 0 {
		return nil
	}
	return []webrtc.ICEServer{{URLs: first(urls, maxServers)}}
}

func (n *Network) mayAsk(at netip.AddrPort, relay netip.Addr) bool {
	if protocol.Within(n.s.Named, at.Addr()) {
		return true
	}
	return (at.Port() >= lowestPort || at.Port() == https) && (at.Addr() == relay || protocol.PublicUnicast(at.Addr()))
}

func first[T any](list []T, n int) []T { return list[:min(len(list), n)] }

// addresses are what a server's name means.
func (n *Network) addresses(ctx context.Context, name string) []netip.Addr {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		n.s.Counted("server-unknown")
		return nil
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs
}
