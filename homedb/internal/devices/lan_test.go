package devices_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/mdns/v2"
	"github.com/pion/webrtc/v4"
	"golang.org/x/net/ipv4"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/direct/directtest"
)

// inLAN is set for the process that is alone in a network of its own.
const inLAN = "COURTYARD_DEVICES_LAN"

// TestAtHome: phone and home in one network, where the phone hides its address
// behind a name of multicast DNS as browsers do, and nothing is named by the
// operator. A name that stands for an address of elsewhere is of no use.
func TestAtHome(t *testing.T) {
	if os.Getenv(inLAN) == "" {
		inNetwork(t)
		return
	}
	o := opens(t)
	o.runs()
	o.seen.Store(netip.Addr{}) // nothing public is allowed
	link := o.links(o.phone)
	atHome := func(e *webrtc.SettingEngine) {
		e.SetIncludeLoopbackCandidate(false)
		e.SetIPFilter(func(ip net.IP) bool { return ip.To4() != nil })
		e.SetICEMulticastDNSMode(ice.MulticastDNSModeQueryAndGather)
	}
	phone := directtest.New(t, directtest.Plan{Settings: atHome})
	_, code := link.calls(phone, func(sdp string) string {
		if !strings.Contains(sdp, ".local ") || strings.Contains(sdp, "192.168.88.") {
			t.Fatalf("the phone hides nothing:\n%s", sdp)
		}
		return sdp
	})
	if code != "" {
		t.Fatal(code)
	}
	phone.Opens()
	o.counts("used")
	if err := phone.Asks("asks", map[string]any{}, nil); err != nil {
		t.Error(err)
	}

	at, err := net.ResolveUDPAddr("udp4", mdns.DefaultAddressIPv4)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	liar, err := mdns.NewServer(ipv4.NewPacketConn(conn), nil, mdns.WithLocalNames("liar.local"), mdns.WithLocalAddress(net.IPv4(93, 184, 216, 34)))
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	silent := directtest.New(t, directtest.Plan{Settings: atHome})
	_, code = link.calls(silent, func(sdp string) string {
		var out strings.Builder
		for line := range strings.Lines(sdp) {
			if !strings.HasPrefix(line, "a=candidate") {
				out.WriteString(line)
			}
		}
		return out.String() + "a=candidate:1 1 udp 2122252543 liar.local 40000 typ host\r\na=candidate:2 1 udp 2122252542 nobody.local 40000 typ host\r\n"
	})
	if code != "" {
		t.Fatal(code)
	}
	o.counts(direct.Elsewhere, direct.Unnamed)
}

// inNetwork runs the test again, in a network of one interface.
func inNetwork(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: network namespaces need root")
	}
	ns := fmt.Sprintf("cy%dl", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
		t.Skipf("SKIP: no network namespaces here: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	for _, args := range []string{"link set lo up", "link add lan0 type veth peer name lan1", "addr add 192.168.88.2/24 dev lan0", "link set lan0 up", "link set lan1 up", "route add default dev lan0"} {
		if out, err := exec.Command("ip", append([]string{"-n", ns}, strings.Fields(args)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", args, err, out)
		}
	}
	again := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run", "^TestAtHome$", "-test.v")
	again.Env = append(os.Environ(), inLAN+"=1")
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestAtHome") {
		t.Fatalf("%v\n%s", err, out)
	}
}
