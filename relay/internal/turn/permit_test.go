package turn

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

// machine is one with these addresses.
func machine(texts ...string) func() ([]net.Addr, error) {
	return func() ([]net.Addr, error) {
		out := []net.Addr{}
		for _, text := range texts {
			ip, network, err := net.ParseCIDR(text)
			if err != nil {
				return nil, err
			}
			network.IP = ip
			out = append(out, network)
		}
		return out, nil
	}
}

func TestToWhomIsRelayed(t *testing.T) {
	relay := netip.MustParseAddr("93.184.216.34")
	p, err := newPolicy(nil, []netip.Addr{relay}, machine("93.184.216.34/24", "93.184.216.99/24", "10.0.0.7/8", "2606:2800:220:1::7/64", "fe80::1/64"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "93.184.216.35": true, "2606:2800:220:1::8": true,
		// The relay's own address, where allocations are; which ports is asked for each packet.
		"93.184.216.34": true,
		// Others of this machine, public ones too.
		"93.184.216.99": false, "2606:2800:220:1::7": false, "10.0.0.7": false, "fe80::1": false,
		"0.0.0.0": false, "0.0.0.1": false, "10.1.2.3": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false, "127.255.255.254": false,
		"169.254.169.254": false, "168.63.129.16": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.0.2.1": false,
		"192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::2": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::808:808": false, "64:ff9b:1::1": false, "100::1": false,
		"2001::1": false, "2001:0:4136:e378::1": false, "2001:db8::1": false, "2002:7f00:1::1": false, "2002:808:808::1": false,
		"fc00::1": false, "fd00:ec2::254": false, "fd20:ce::254": false, "fe80::2": false, "fec0::1": false, "ff02::1": false, "ff0e::1": false,
		"4000::1": false, "3fff::1": false,
	} {
		addr := netip.MustParseAddr(text)
		if got := p.allows(addr.AsSlice()); got != want {
			t.Errorf("%s: %v", text, got)
		}
		// An IPv4 address as an IPv6 one is refused, whatever it is.
		if addr.Is4() {
			if mapped := addr.As16(); p.allows(mapped[:]) {
				t.Errorf("::ffff:%s is allowed", text)
			}
		}
	}
	for _, odd := range []net.IP{nil, {}, {8, 8, 8}, {8, 8, 8, 8, 8}, make(net.IP, 17)} {
		if p.allows(odd) {
			t.Errorf("% x is allowed", []byte(odd))
		}
	}
}

func TestWhatTheOperatorNames(t *testing.T) {
	p, err := newPolicy([]netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd00::/64")}, nil, machine("192.168.1.1/24"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"192.168.1.1": true, "192.168.1.200": true, "192.168.2.1": false, "fd00::1": true, "fd00:1::1": false, "8.8.8.8": true} {
		if got := p.allows(netip.MustParseAddr(text).AsSlice()); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	mapped := netip.MustParseAddr("192.168.1.200").As16()
	if p.allows(mapped[:]) {
		t.Error("written as IPv6 it is allowed")
	}
}

func TestAnAddressThatTheMachineGetsIsItsOwn(t *testing.T) {
	have := machine("8.8.4.4/24")
	fail := error(nil)
	p, err := newPolicy(nil, nil, func() ([]net.Addr, error) {
		found, err := have()
		return found, errors.Join(err, fail)
	})
	if err != nil {
		t.Fatal(err)
	}
	added := net.IP{8, 8, 8, 8}
	if !p.allows(added) {
		t.Fatal("somebody else's is refused")
	}
	have = machine("8.8.4.4/24", "8.8.8.8/24")
	if err := p.refresh(); err != nil || p.allows(added) {
		t.Fatal("its own is allowed", err)
	}
	fail = errors.New("no list")
	if err := p.refresh(); err == nil || p.allows(added) {
		t.Fatal("forgotten when the list could not be read", err)
	}
}
