package reach

import (
	"net/netip"

	"github.com/courtyard-social/courtyard/protocol"
)

// check refuses an address that is neither public nor in a named network. Code: address-refused.
func (d *Dialer) check(addr netip.Addr) error {
	if protocol.PublicUnicast(addr) || addr.Zone() == "" && protocol.Within(d.config.Named, addr) {
		return nil
	}
	return refused("not a public address: " + addr.String())
}

// allowedPort keeps callers from mail servers, databases behind low ports and the like.
func allowedPort(port uint16) bool { return port == protocol.DefaultPort || port >= 1024 }
