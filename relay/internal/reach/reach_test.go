package reach_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is names, who was dialled, and what was counted.
type world struct {
	mu      sync.Mutex
	names   map[string][]string // each answer is the next one's addresses, by comma; the last stays
	asked   map[string]int
	dialled []string
	counted []string
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil: a pipe
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	answers := w.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if w.asked == nil {
		w.asked = map[string]int{}
	}
	answer := answers[min(w.asked[host], len(answers)-1)]
	w.asked[host]++
	out := []netip.Addr{}
	for text := range strings.FieldsFuncSeq(answer, func(r rune) bool { return r == ',' }) {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, nil
}

func (w *world) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	w.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if w.dial != nil {
		return w.dial(ctx, network, address)
	}
	near, far := net.Pipe()
	return near, far.Close()
}

func (w *world) Reached(outcome string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted = append(w.counted, outcome)
}

func (w *world) dialer(t testing.TB, named ...string) *reach.Dialer {
	prefixes := []netip.Prefix{}
	for _, text := range named {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	d := reach.New(reach.Config{Resolver: w, Dial: w.Dial, Named: prefixes, Counts: w, Patience: 2 * time.Second})
	t.Cleanup(d.Close)
	return d
}

// try dials and closes; it returns the code, "" for a connection.
func try(t testing.TB, d *reach.Dialer, address string) string {
	t.Helper()
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return protocol.CodeOf(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	return ""
}

// Section 14: public unicast, port 443 or at least 1024.
func TestWhatMayBeDialled(t *testing.T) {
	t.Parallel()
	for address, code := range map[string]string{
		"93.184.216.34:443": "", "93.184.216.34:1024": "", "93.184.216.34:65535": "", "[2a00:1450:4001:82a::200e]:443": "",
		"8.8.8.8:22": protocol.CodeAddressRefused, "8.8.8.8:25": protocol.CodeAddressRefused, "8.8.8.8:80": protocol.CodeAddressRefused,
		"8.8.8.8:1023": protocol.CodeAddressRefused, "8.8.8.8:0": protocol.CodeAddressRefused, "8.8.8.8:65536": protocol.CodeAddressRefused,
		"8.8.8.8:": protocol.CodeAddressRefused, "8.8.8.8:https": protocol.CodeAddressRefused, "8.8.8.8": protocol.CodeAddressRefused,
	} {
		w := &world{}
		if got := try(t, w.dialer(t), address); got != code {
			t.Errorf("%s: %q, want %q", address, got, code)
		}
		if code != "" && len(w.dialled) != 0 {
			t.Errorf("%s: dialled %v", address, w.dialled)
		}
	}
	for _, ip := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
		"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1",
		"2001::1", "2001:0:4136:e378::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "2620:4f:8000::1",
		"3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
	} {
		w := &world{}
		if got := try(t, w.dialer(t), net.JoinHostPort(ip, "443")); got != protocol.CodeAddressRefused {
			t.Errorf("%s: %q", ip, got)
		}
		w.names = map[string][]string{"a.example": {ip}}
		// A name server may write IPv4 in either way; it is the IPv4 address that counts.
		want := protocol.CodeAddressRefused
		if ip == "::ffff:8.8.8.8" {
			want = ""
		}
		if got := try(t, w.dialer(t), "a.example:443"); got != want {
			t.Errorf("a name with %s: %q", ip, got)
		}
		if want != "" && len(w.dialled) != 0 {
			t.Errorf("%s: dialled %v", ip, w.dialled)
		}
	}
}

// Other spellings of 127.0.0.1, which some resolvers read as that.
func TestSpellingsOfAddresses(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "127.0.0.01", "127.000.000.001",
		"１２７.0.0.1", "①②⑦.0.0.1", "a.example.", ".a.example", "a..example", "a_b.example", "a.example\x00", "a.example#", "u@a.example", "localhost.127", "fe80::1%eth0", "",
	} {
		w := &world{names: map[string][]string{host: {"93.184.216.34"}}}
		if got := try(t, w.dialer(t, "127.0.0.0/8", "fe80::/10"), net.JoinHostPort(host, "443")); got != protocol.CodeAddressRefused {
			t.Errorf("%q: %q", host, got)
		}
		if len(w.dialled) != 0 || len(w.asked) != 0 {
			t.Errorf("%q: dialled %v, asked %v", host, w.dialled, w.asked)
		}
	}
}

func TestNetworksTheOperatorHasNamed(t *testing.T) {
	t.Parallel()
	w := &world{names: map[string][]string{"nas.lan": {"192.168.1.7"}, "mixed.lan": {"192.168.1.7,192.168.2.7"}}}
	d := w.dialer(t, "192.168.1.0/24", "fd00:1::/32")
	for address, code := range map[string]string{
		"192.168.1.7:8787": "", "nas.lan:8787": "", "[fd00:1::7]:443": "", "93.184.216.34:443": "",
		"192.168.2.7:8787": protocol.CodeAddressRefused, "mixed.lan:8787": protocol.CodeAddressRefused,
		"192.168.1.7:80": protocol.CodeAddressRefused, "[::ffff:192.168.1.7]:8787": protocol.CodeAddressRefused, "[fd00:2::7]:443": protocol.CodeAddressRefused,
	} {
		if got := try(t, d, address); got != code {
			t.Errorf("%s: %q, want %q", address, got, code)
		}
	}
}

// DNS rebinding: the name server says a public address while it is checked, and
// a private one when the connection is made. It is asked once.
func TestTheAddressThatWasCheckedIsDialled(t *testing.T) {
	t.Parallel()
	w := &world{names: map[string][]string{"evil.example": {"93.184.216.34", "127.0.0.1"}}}
	d := w.dialer(t)
	if got := try(t, d, "evil.example:443"); got != "" {
		t.Fatal(got)
	}
	if w.asked["evil.example"] != 1 || len(w.dialled) != 1 || w.dialled[0] != "93.184.216.34:443" {
		t.Fatalf("asked %v, dialled %v", w.asked, w.dialled)
	}
	if got := try(t, d, "evil.example:443"); got != protocol.CodeAddressRefused {
		t.Fatalf("the second time: %q", got)
	}
	if len(w.dialled) != 1 {
		t.Fatalf("dialled %v", w.dialled)
	}
}

func TestEveryAddressOfANameIsChecked(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat("93.184.216.34,", 65), ",")
	for name, answer := range map[string]string{
		"first.example": "10.0.0.1,93.184.216.34", "last.example": "93.184.216.34,93.184.216.35,93.184.216.36,93.184.216.37,10.0.0.1",
		"six.example": "93.184.216.34,fd00::1", "mapped.example": "93.184.216.34,::ffff:10.0.0.1", "many.example": many,
	} {
		w := &world{names: map[string][]string{name: {answer}}}
		if got := try(t, w.dialer(t), name+":443"); got != protocol.CodeAddressRefused || len(w.dialled) != 0 {
			t.Errorf("%s: %q, dialled %v", name, got, w.dialled)
		}
	}
}

func TestTheNextAddressIsTried(t *testing.T) {
	t.Parallel()
	w := &world{names: map[string][]string{"a.example": {"93.184.216.1,93.184.216.2,93.184.216.3,93.184.216.4,93.184.216.5"}, "b.example": {"93.184.216.1,93.184.216.6"}}}
	w.dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		switch address {
		case "93.184.216.1:443": // swallows everything
			<-ctx.Done()
			return nil, ctx.Err()
		case "93.184.216.6:443":
			near, far := net.Pipe()
			return near, far.Close()
		}
		return nil, errors.New("connection refused")
	}
	d := w.dialer(t)
	if got := try(t, d, "b.example:443"); got != "" {
		t.Errorf("b: %q", got)
	}
	if got := try(t, d, "a.example:443"); got != protocol.CodePeerAway {
		t.Errorf("a: %q", got)
	}
	if got := try(t, d, "nobody.example:443"); got != protocol.CodePeerAway {
		t.Errorf("nobody: %q", got)
	}
	w.names["empty.example"] = []string{""}
	if got := try(t, d, "empty.example:443"); got != protocol.CodePeerAway {
		t.Errorf("empty: %q", got)
	}
	if len(w.dialled) != 2+4 {
		t.Errorf("dialled %v", w.dialled)
	}
	if want := "open peer-away peer-away peer-away"; strings.Join(w.counted, " ") != want {
		t.Errorf("counted %v", w.counted)
	}
}

func TestOnlyTCP(t *testing.T) {
	t.Parallel()
	w := &world{}
	for _, network := range []string{"udp", "unix", "ip", ""} {
		if conn, err := w.dialer(t).DialContext(t.Context(), network, "8.8.8.8:443"); conn != nil || protocol.CodeOf(err) != protocol.CodeAddressRefused {
			t.Errorf("%q: %v %v", network, conn, err)
		}
	}
	if len(w.dialled) != 0 || len(w.counted) != 4 {
		t.Errorf("dialled %v, counted %v", w.dialled, w.counted)
	}
}
