package main

import (
	"strings"
	"testing"
)

// Whoever shortens the list of combinations notices here.
func TestCombinationsCoverEveryKindOnEverySide(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range combinations {
		for side, k := range map[string]kind{"phone": c.phone, "home": c.home, "friend": c.friend} {
			seen[side+" "+string(k)] = true
		}
		seen[string(c.toHome())+" to the home"] = true
		seen[string(c.toFriend())+" to the friend"] = true
		seen[c.lends()] = true
		seen[c.class()] = true
		if c.behind {
			seen["1:1"] = true
		}
	}
	if len(combinations) < 16 {
		t.Errorf("%d combinations, want 16 at least", len(combinations))
	}
	for _, k := range kinds {
		for _, side := range []string{"phone", "home", "friend"} {
			if !seen[side+" "+string(k)] {
				t.Errorf("no %s behind %s", side, k)
			}
		}
	}
	for _, w := range []way{lan, direct, relayed} {
		for _, to := range []string{"home", "friend"} {
			if !seen[string(w)+" to the "+to] {
				t.Errorf("%s to the %s never comes", w, to)
			}
		}
	}
	for _, how := range []string{"udp", "tcp", "tls", "1:1"} {
		if !seen[how] {
			t.Errorf("the relay is never reached by %s", how)
		}
	}
}

func TestPunching(t *testing.T) {
	for _, c := range []struct {
		a, b kind
		want bool
	}{
		{cone, cone, true}, {cone, symmetric, true}, {port, port, true}, {port, symmetric, false}, {symmetric, symmetric, false},
		{double, port, true}, {double, symmetric, false}, {noUDP, cone, false}, {only443, noUDP, false},
	} {
		if got := canPunch(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
		if got := canPunch(c.b, c.a); got != c.want {
			t.Errorf("%s and %s: %v", c.b, c.a, got)
		}
	}
}

func TestRulesDropWhatWasNotAskedFor(t *testing.T) {
	for _, k := range append([]kind{plain}, kinds...) {
		if rules := k.rules("192.168.2.10"); !strings.Contains(rules, "hook input priority filter;\niifname \"wan\" ct state new drop\n") {
			t.Errorf("%s takes in what comes to itself:\n%s", k, rules)
		}
	}
}

func TestWayOfAPair(t *testing.T) {
	house := (&lab{net: &internet{house: &site{number: 4}}}).house()
	for _, c := range []struct {
		pair pair
		want way
	}{
		{pair{Local: "host", LocalAddress: ":40000", Remote: "host", RemoteAddress: "192.168.4.10:5000"}, lan},
		{pair{Local: "srflx", LocalAddress: "5.11.2.2:40000", Remote: "srflx", RemoteAddress: "5.11.4.2:5000"}, direct},
		{pair{Local: "host", LocalAddress: "192.168.4.11:40000", Remote: "prflx", RemoteAddress: "5.11.5.2:5000"}, direct},
		{pair{Local: "prflx", LocalAddress: "5.11.2.2:40000", Remote: "prflx", RemoteAddress: "192.168.4.10:5000"}, lan},
		{pair{Local: "host", LocalAddress: ":40000", Remote: "prflx", RemoteAddress: ":5000"}, lan},
		{pair{Local: "host", LocalAddress: ":40000", Remote: "host", RemoteAddress: ":5000"}, lan},
		{pair{Local: "relay", LocalAddress: "5.5.1.2:50000", Remote: "srflx", RemoteAddress: "5.11.4.2:5000"}, relayed},
		{pair{Local: "host", LocalAddress: ":40000", Remote: "relay", RemoteAddress: "5.5.1.2:50001"}, relayed},
	} {
		if got := c.pair.way(house); got != c.want {
			t.Errorf("%+v: %s, want %s", c.pair, got, c.want)
		}
	}
}
