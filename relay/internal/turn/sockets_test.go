package turn

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

// TestAPortThatIsFreeForOneTransportOnly: what is free for UDP another program may have
// for TCP, and then another port is tried.
func TestAPortThatIsFreeForOneTransportOnly(t *testing.T) {
	const here, busy, rounds = "127.0.0.77", 3000, 200 // of some 28,000 ports that Linux gives out
	for range busy {
		l, err := net.Listen("tcp", here+":0")
		must(t, err)
		defer l.Close()
	}
	for range rounds {
		s, err := Listen(Place{Bound: netip.AddrPortFrom(netip.MustParseAddr(here), 0)})
		must(t, err)
		tcp, udp := s.tcp.Addr().(*net.TCPAddr).Port, s.udp.LocalAddr().(*net.UDPAddr).Port
		if second := s.second.LocalAddr().(*net.UDPAddr).Port; tcp != udp || second != udp+1 || int(s.Bound.Port()) != udp {
			err = errors.New("they are not the same")
		}
		must(t, errors.Join(err, s.Close()))
	}
}
