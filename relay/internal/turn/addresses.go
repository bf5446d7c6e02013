package turn

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
)

// Place is where STUN and TURN are listened for, and under which address the
// internet sees that: another one behind a vendor's 1:1 NAT.
type Place struct {
	Bound netip.AddrPort // UDP and TCP; a second STUN port is the next one
	Seen  netip.Addr
}

// Ports is where allocations get theirs, the last one included.
type Ports struct{ From, To uint16 }

// any is one that cannot be guessed, even one that is even.
func (p Ports) any() uint16  { return p.From + uint16(rand.IntN(int(p.To)-int(p.From)+1)) }
func (p Ports) even() uint16 { return max(p.any()&^1, p.From+p.From&1) }

func (p Ports) has(port int) bool { return port >= int(p.From) && port <= int(p.To) }

// address is one of this machine at which there are allocations.
type address struct {
	bound, seen netip.Addr
	ports       [1 << 16 / 64]atomic.Uint64 // a bit for each port with an allocation
}

func (a *address) open(port uint16) bool { return a.ports[port/64].Load()>>(port%64)&1 == 1 }

func (a *address) set(port uint16, open bool) {
	if open {
		a.ports[port/64].Or(1 << (port % 64))
	} else {
		a.ports[port/64].And(^uint64(1 << (port % 64)))
	}
}

// addresses are all of them; not changed once made.
type addresses struct {
	all    []*address
	seen   map[netip.Addr]*address // by what peers see
	hidden map[netip.Addr]*address // by what is bound, where that is another
}

func newAddresses(places []Place) *addresses {
	as := &addresses{seen: map[netip.Addr]*address{}, hidden: map[netip.Addr]*address{}}
	for _, p := range places {
		bound := p.Bound.Addr()
		if as.seen[p.Seen] != nil {
			continue // another port of an address that is there
		}
		a := &address{bound: bound, seen: p.Seen}
		as.all = append(as.all, a)
		as.seen[a.seen] = a
		if a.bound != a.seen {
			as.hidden[a.bound] = a
		}
	}
	return as
}

// of chooses the address for an allocation: where the client came in if that is of
// the family, else the first of it; nil if there is none.
func (as *addresses) of(six bool, here netip.Addr) (found *address) {
	for _, a := range as.all {
		if a.bound.Is6() != six {
			continue
		}
		if a.bound == here {
			return a
		}
		if found == nil {
			found = a
		}
	}
	return found
}
