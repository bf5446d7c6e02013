package router

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
)

var errNoGateway = errors.New("no default gateway")

// defaultGateway is the IPv4 router of this machine and the own address on the way
// to it, as Linux knows them.
func defaultGateway() (gateway, local netip.Addr, err error) {
	raw, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return gateway, local, err
	}
	if gateway, err = parseRoutes(string(raw)); err != nil {
		return gateway, local, err
	}
	local, err = localFor(netip.AddrPortFrom(gateway, pcpPort))
	return gateway, local, err
}

// parseRoutes finds the first default route: Iface Destination Gateway Flags … Mask …,
// numbers in hexadecimal, addresses in the byte order of the machine (little).
func parseRoutes(table string) (netip.Addr, error) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		raw, err := hex.DecodeString(f[2])
		if err != nil || len(raw) != 4 {
			continue
		}
		addr := netip.AddrFrom4([4]byte{raw[3], raw[2], raw[1], raw[0]})
		if !addr.IsUnspecified() {
			return addr, nil
		}
	}
	return netip.Addr{}, errNoGateway
}
