package main

import (
	"fmt"
	"strings"
)

// kind is how a router treats what passes it.
type kind string

const (
	plain     kind = "plain"           // forwards, as a provider's router does
	cone      kind = "cone"            // one port outside for each inside, open to everybody (full cone)
	port      kind = "port-restricted" // one port outside for each inside, open to whom it has sent to
	symmetric kind = "symmetric"       // another port outside for each that is sent to
	double    kind = "double NAT"      // port-restricted behind the provider's own, port-restricted as well
	noUDP     kind = "UDP blocked"     // no datagram passes
	only443   kind = "only TCP 443"    // as in some offices and hotels
)

// Behaviours, in the words of RFC 5780.
const (
	independent    = "endpoint-independent"
	addressAndPort = "address-and-port-dependent"
	none           = "none" // nothing comes through
)

// character is what a kind must be found to do.
type character struct {
	mapping, filtering string
	tcp                bool // to ports other than 443
}

var characters = map[kind]character{
	cone:      {independent, independent, true},
	port:      {independent, addressAndPort, true},
	symmetric: {addressAndPort, addressAndPort, true},
	double:    {independent, addressAndPort, true},
	noUDP:     {none, none, true},
	only443:   {none, none, false},
}

// canPunch tells whether two hosts behind routers of these kinds can get through to
// each other by datagrams when both know the address that a third sees.
func canPunch(a, b kind) bool {
	one, two := characters[a], characters[b]
	switch {
	case one.mapping == none || two.mapping == none:
		return false
	case one.mapping == independent && two.mapping == independent:
		return true
	// Nobody knows the port from which a symmetric one will come: the other has to let everybody in.
	case one.mapping != independent && two.mapping != independent:
		return false
	}
	return one.filtering == independent || two.filtering == independent
}

// rules is a router's rule set, in nft's language. Its cables are called lan and wan;
// inner is the one host behind it that strangers are let through to, if they are.
//
// Each drops what is addressed to itself and was not asked for, as routers do. One
// that answered or took it in would remember the flow, and give the host behind it
// another port for the same one later: hole punching would fail for a reason that no
// real router has.
func (k kind) rules(inner string) string {
	var forward, destination []string
	source := []string{`oifname "wan" masquerade`}
	passes := `iifname "lan" accept`
	switch k {
	case plain:
		source = nil
		forward = []string{`iifname "wan" accept`}
	case cone:
		destination = []string{fmt.Sprintf(`iifname "wan" meta l4proto udp dnat to %s`, inner)}
		forward = []string{`iifname "wan" ct status dnat accept`}
	case symmetric:
		source = []string{`oifname "wan" masquerade fully-random`}
	case noUDP:
		passes = `iifname "lan" meta l4proto != udp accept`
	case only443:
		passes = `iifname "lan" tcp dport 443 accept`
	case port, double: // nothing more: Linux keeps the port outside as it is inside
	}
	return table(passes, forward, source, destination)
}

// oneToOne is the rules of a router that gives a host a public address which the host
// itself does not know, as clouds do.
func oneToOne(outer, inner string) string {
	return table(`iifname "lan" accept`, []string{`iifname "wan" ct status dnat accept`},
		[]string{`oifname "wan" snat to ` + outer}, []string{fmt.Sprintf(`iifname "wan" ip daddr %s dnat to %s`, outer, inner)})
}

// shared is the rules of a provider's router that gives many customers one address
// (carrier-grade NAT), port-restricted.
func shared(outer string) string {
	return table(`iifname "lan" accept`, nil, []string{`oifname "wan" snat to ` + outer}, nil)
}

func table(passes string, forward, source, destination []string) string {
	var out strings.Builder
	out.WriteString("flush ruleset\ntable ip router {\n")
	chain := func(name, hook string, rules ...string) {
		fmt.Fprintf(&out, "chain %s {\ntype %s;\n%s\n}\n", name, hook, strings.Join(rules, "\n"))
	}
	chain("input", "filter hook input priority filter", `iifname "wan" ct state new drop`)
	chain("forward", "filter hook forward priority filter; policy drop", append([]string{"ct state established,related accept", passes}, forward...)...)
	chain("source", "nat hook postrouting priority srcnat", source...)
	chain("destination", "nat hook prerouting priority dstnat", destination...)
	out.WriteString("}\n")
	return out.String()
}
