package turn

import (
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/courtyard-social/courtyard/protocol"
)

// lowestPort is the lowest to which anything is relayed: name servers, mail and
// the like answer below it.
const lowestPort = 1024

// policy says to whom something may be relayed: to the public internet, to
// networks that the operator has named, and from one allocation here to another;
// never to this machine itself, nor to what only its own network can see.
type policy struct {
	named  []netip.Prefix
	relays map[netip.Addr]bool // at which allocations are seen; the port is looked at with each packet
	own    atomic.Pointer[map[netip.Addr]bool]
	look   func() ([]net.Addr, error) // net.InterfaceAddrs
}

func newPolicy(named []netip.Prefix, relays []netip.Addr, look func() ([]net.Addr, error)) (*policy, error) {
	p := &policy{named: named, relays: map[netip.Addr]bool{}, look: look}
	for _, addr := range relays {
		p.relays[addr] = true
	}
	return p, p.refresh()
}

// refresh looks again which addresses this machine has.
func (p *policy) refresh() error {
	found, err := p.look()
	if err != nil {
		return err
	}
	own := map[netip.Addr]bool{}
	for _, a := range found {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own[prefix.Addr().Unmap().WithZone("")] = true
		}
	}
	p.own.Store(&own)
	return nil
}

// allows reports whether something may be relayed to ip. An IPv4 address written
// as an IPv6 one is refused, whatever it is: nobody writes one so without intent.
func (p *policy) allows(ip net.IP) bool {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok || addr.Is4In6() {
		return false
	}
	if p.names(addr) || p.relays[addr] {
		return true
	}
	return !(*p.own.Load())[addr] && protocol.PublicUnicast(addr)
}

// names reports whether the operator has named a network with addr.
func (p *policy) names(addr netip.Addr) bool {
	for _, prefix := range p.named {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
