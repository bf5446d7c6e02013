package direct

import (
	"context"
	"net/netip"
	"time"
)

// Chosen is what a relay's servers come to: whom to ask by STUN, who relays, and with
// what a connection would look for its addresses.
func Chosen(ctx context.Context, n *Network, s Servers, host string, now time.Time) (stun []netip.AddrPort, relays []netip.Addr, urls []string) {
	k := n.know(ctx, s, host)
	for _, server := range n.servers(ctx, s, k, now) {
		urls = append(urls, server.URLs...)
	}
	return k.stun, k.relays, urls
}
