package direct

import (
	"context"
	"net/netip"
)

// Chosen is whom a connection asks where it is seen, of those that a relay names.
func Chosen(ctx context.Context, n *Network, s Servers, relay netip.Addr) (urls []string) {
	for _, server := range n.servers(ctx, s, relay) {
		urls = append(urls, server.URLs...)
	}
	return urls
}
