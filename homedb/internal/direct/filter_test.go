package direct_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/protocol"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// rules of a home in 192.168.7.0/24 and 2a00:db8:1::/64, whose device the relay
// sees at 93.184.216.34.
func rules() direct.Rules {
	return direct.Rules{Seen: addr("93.184.216.34"),
		Own: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fd12:3456::/64"), netip.MustParsePrefix("2a00:1450:1::/64")}}
}

func TestWhichCandidatesAreUsed(t *testing.T) {
	for _, c := range []struct {
		what, line, reason string
	}{
		{"where the relay sees the device", "1 1 udp 5 93.184.216.34 40000 typ srflx raddr 10.0.0.9 rport 4", ""},
		{"the same as its own address", "1 1 UDP 5 93.184.216.34 40000 typ host generation 0 ufrag abcd", ""},
		{"written as IPv6", "1 1 udp 5 ::ffff:93.184.216.34 40000 typ srflx", ""},
		{"somebody else", "1 1 udp 5 93.184.216.35 40000 typ srflx", direct.Elsewhere},
		{"somebody else as a relay", "1 1 udp 5 93.184.216.35 40000 typ relay", direct.Elsewhere},
		{"the device as a relay", "1 1 udp 5 93.184.216.34 40000 typ relay", direct.Elsewhere},
		{"the courtyard's relay", "1 1 udp 5 185.12.1.1 50000 typ relay", direct.Elsewhere},
		{"the courtyard as a device", "1 1 udp 5 185.12.1.1 50000 typ srflx", direct.Elsewhere},
		{"the courtyard's low ports", "1 1 udp 5 185.12.1.1 443 typ relay", direct.LowPort},
		{"a neighbour", "1 1 udp 5 192.168.7.9 40000 typ host", ""},
		{"a neighbour's resolver", "1 1 udp 5 192.168.7.1 53 typ host", direct.LowPort},
		{"all neighbours", "1 1 udp 5 192.168.7.255 40000 typ host", direct.Elsewhere},
		{"the network itself", "1 1 udp 5 192.168.7.0 40000 typ host", direct.Elsewhere},
		{"another private network", "1 1 udp 5 192.168.8.9 40000 typ host", direct.Elsewhere},
		{"yet another", "1 1 udp 5 10.0.0.9 40000 typ host", direct.Elsewhere},
		{"link-local, as ours", "1 1 udp 5 169.254.3.4 40000 typ host", ""},
		{"what clouds tell their machines", "1 1 udp 5 169.254.169.254 80 typ host", direct.LowPort},
		{"a neighbour by IPv6", "1 1 udp 5 fd12:3456::9 40000 typ host", ""},
		{"another by IPv6", "1 1 udp 5 fd12:3457::9 40000 typ host", direct.Elsewhere},
		{"public, in our network, and not where it is seen", "1 1 udp 5 2a00:1450:1::9 40000 typ host", direct.Elsewhere},
		{"this machine", "1 1 udp 5 127.0.0.1 40000 typ host", direct.Elsewhere},
		{"this machine by IPv6", "1 1 udp 5 ::1 40000 typ host", direct.Elsewhere},
		{"nowhere", "1 1 udp 5 0.0.0.0 40000 typ host", direct.Elsewhere},
		{"everybody", "1 1 udp 5 224.0.0.251 5353 typ host", direct.Elsewhere},
		{"everybody here", "1 1 udp 5 255.255.255.255 40000 typ host", direct.Elsewhere},
		{"by TCP", "1 1 tcp 5 93.184.216.34 9 typ host tcptype active", direct.TCPOnly},
	} {
		parsed, err := direct.ParseCandidate("candidate:" + c.line)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got := rules().Keep(parsed); got != c.reason {
			t.Errorf("%s: %q instead of %q", c.what, got, c.reason)
		}
	}
	// What is not known allows nothing.
	for _, a := range []string{"93.184.216.34", "192.168.7.9", "185.12.1.1", "127.0.0.1", "0.0.0.0", "::"} {
		if (direct.Rules{}).Allows(addr(a)) {
			t.Errorf("%s is allowed without a reason", a)
		}
	}
	// A relay that sees the device in a private network, or on this machine, opens neither.
	for _, seen := range []string{"127.0.0.1", "10.1.1.1", "169.254.169.254"} {
		r := rules()
		r.Seen = addr(seen)
		if c := (direct.Candidate{Addr: addr(seen), Port: 4000, Kind: direct.Srflx}); r.Keep(c) == "" && !protocol.Within(r.Own, c.Addr) {
			t.Errorf("%s is allowed because the relay says so", seen)
		}
	}
	// What the operator names is allowed, whatever it is.
	r := rules()
	r.Named = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if r.Keep(direct.Candidate{Addr: addr("127.3.3.3"), Port: 4000, Kind: direct.Host}) != "" || r.Keep(direct.Candidate{Addr: addr("127.3.3.3"), Port: 40, Kind: direct.Host}) == "" {
		t.Error("a named network")
	}
}

func TestWhatIsNoCandidate(t *testing.T) {
	for _, text := range []string{"", "candidate:", "candidate:1 1 udp 5 1.2.3.4 9", "candidate:1 2 udp 5 1.2.3.4 99 typ host", "candidate:1 1 sctp 5 1.2.3.4 99 typ host",
		"candidate:1 1 udp 5 1.2.3.4 0 typ host", "candidate:1 1 udp 5 1.2.3.4 65536 typ host", "candidate:1 1 udp 5 1.2.3 99 typ host", "candidate:1 1 udp 5 01.2.3.4 99 typ host",
		"candidate:1 1 udp -5 1.2.3.4 99 typ host", "candidate:1 1 udp 4294967296 1.2.3.4 99 typ host", "candidate:1 1 udp 5 fe80::1%eth0 99 typ host", "candidate:1 1 udp 5 evil.example 99 typ host",
		"candidate:1 1 udp 5 a.b.local 99 typ host", "candidate:1 1 udp 5 .local 99 typ host", "candidate:1 1 udp 5 1.2.3.4 99 typ other", "candidate:1 1 udp 5 1.2.3.4 99 type host",
		"candidate:ä 1 udp 5 1.2.3.4 99 typ host", "candidate:1 1 udp 5 1.2.3.4 99 typ host" + strings.Repeat(" x", 200)} {
		if c, err := direct.ParseCandidate(text); err == nil {
			t.Errorf("%q is %+v", text, c)
		}
	}
	c, err := direct.ParseCandidate("a=candidate:842163049 1 udp 1677729535 3F2504E0-4F89-41D3-9A0C-0305E82C3301.Local 52341 typ host generation 0 ufrag Xq3S network-cost 999")
	if err != nil || c.Name != "3f2504e0-4f89-41d3-9a0c-0305e82c3301.local" || c.Addr.IsValid() {
		t.Errorf("a name: %+v %v", c, err)
	}
}

// FuzzFilter: whatever a candidate says, nothing that is let through is anywhere
// but where it may be. The conditions are said with other means than the filter's.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"candidate:1 1 udp 5 93.184.216.34 40000 typ srflx", "candidate:1 1 udp 5 192.168.7.255 40000 typ host", "candidate:1 1 udp 5 185.12.1.1 50000 typ relay",
		"candidate:1 1 udp 5 ::ffff:127.0.0.1 50000 typ host", "candidate:1 1 tcp 5 10.0.0.1 9 typ host tcptype active", "candidate:1 1 udp 5 x.local 1024 typ host", "candidate:1 1 udp 5 fd12:3456::1 1024 typ prflx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := direct.ParseCandidate(text)
		if err != nil {
			return
		}
		if c.Name != "" {
			if c.Addr.IsValid() || !strings.HasSuffix(c.Name, ".local") || strings.Count(c.Name, ".") != 1 {
				t.Fatalf("%q: a name %+v", text, c)
			}
			return
		}
		if rules().Keep(c) != "" {
			return
		}
		b := c.Addr.As16()
		v4 := c.Addr.Is4()
		fine := v4 && (b[12] == 93 && c.Addr.String() == "93.184.216.34" && c.Kind != direct.Relay ||
			b[12] == 192 && b[13] == 168 && b[14] == 7 && b[15] != 0 && b[15] != 255 && c.Kind != direct.Relay ||
			b[12] == 169 && b[13] == 254 && b[14]|b[15] != 0 && b[14]&b[15] != 255 && c.Kind != direct.Relay) ||
			!v4 && strings.HasPrefix(c.Addr.StringExpanded(), "fd12:3456:0000:0000:") && c.Kind != direct.Relay
		if !fine || c.Port < 1024 || c.TCP || !rules().Allows(c.Addr) {
			t.Fatalf("%q is let through: %+v", text, c)
		}
	})
}
