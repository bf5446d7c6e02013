package direct_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
)

// TestTheCourtyardsServers: a courtyard may name itself, and what is public or named by
// the operator; a home is not sent into its own network by a relay, nor to services that
// are none of STUN's.
func TestTheCourtyardsServers(t *testing.T) {
	counted := map[string]int{}
	open := func(named ...netip.Prefix) *direct.Network {
		n, err := direct.Open(context.Background(), direct.Settings{Logger: slog.New(slog.DiscardHandler), Counted: func(what string) { counted[what]++ }, Open: func(int) {}, Named: named})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open(netip.MustParsePrefix("127.0.0.0/8"))
	relay := netip.MustParseAddr("10.0.0.5")
	for _, c := range []struct {
		what, url string
		relay     netip.Addr
		want      string
	}{
		{"a public one", "stun:93.184.216.34:3478", relay, "stun:93.184.216.34:3478"},
		{"a public one at its usual port", "stun:93.184.216.34", relay, "stun:93.184.216.34:3478"},
		{"a public one by IPv6", "stun:[2606:2800:220:1::1]:3478", relay, "stun:[2606:2800:220:1::1]:3478"},
		{"a public one where networks let it through", "stun:93.184.216.34:443", relay, "stun:93.184.216.34:443"},
		{"a public resolver", "stun:93.184.216.34:53", relay, ""},
		{"the relay, in the home's own network", "stun:10.0.0.5:3479", relay, "stun:10.0.0.5:3479"},
		{"written as IPv6", "stun:[::ffff:10.0.0.5]:3479", relay, "stun:10.0.0.5:3479"},
		{"the relay's resolver", "stun:10.0.0.5:53", relay, ""},
		{"the relay, without a connection to it", "stun:10.0.0.5:3479", netip.Addr{}, ""},
		{"a neighbour", "stun:10.0.0.6:3478", relay, ""},
		{"what clouds tell their machines", "stun:169.254.169.254:3478", relay, ""},
		{"the router", "stun:192.168.7.1:3478", relay, ""},
		{"one's own machine, named by the operator", "stun:127.0.0.1:3478", relay, "stun:127.0.0.1:3478"},
		{"the same by a name that is in the hosts file", "stun:localhost:3478", relay, "stun:127.0.0.1:3478"},
		{"not STUN", "http://93.184.216.34/", relay, ""},
		{"not for a home", "turn:93.184.216.34:3478", relay, ""},
		{"no port", "stun:93.184.216.34:99999", relay, ""},
		{"no name", "stun:" + strings.Repeat("x", 400), relay, ""},
	} {
		got := direct.Chosen(context.Background(), n, direct.Servers{STUN: []string{c.url}}, c.relay)
		got = slices.DeleteFunc(got, func(url string) bool { return url == "stun:[::1]:3478" }) // localhost, where there is IPv6
		if fmt.Sprint(got) != fmt.Sprint(strings.Fields(c.want)) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	if counted["server-elsewhere"] < 6 {
		t.Errorf("counted %v", counted)
	}
	if got := direct.Chosen(context.Background(), open(), direct.Servers{STUN: []string{"stun:127.0.0.1:3478", "stun:localhost:3478"}}, relay); got != nil {
		t.Errorf("this machine, which nobody has named: %q", got)
	}
	many := direct.Servers{}
	for i := range 100 {
		many.STUN = append(many.STUN, fmt.Sprintf("stun:127.0.0.1:%d", 4000+i))
	}
	if got := direct.Chosen(context.Background(), n, many, relay); len(got) != 8 {
		t.Error(len(got))
	}
	if n.Port() != 0 {
		t.Error("it listens")
	}
}
