package main

import "fmt"

// combination is who sits behind what.
type combination struct {
	phone, home, friend kind
	together            together
	behind              bool // the relay is behind 1:1 NAT
}

// together is who is in the house of the home, behind its router.
type together int

const (
	apart together = iota
	withHome
	all
)

// way is how two sides are connected in the end.
type way string

const (
	lan     way = "LAN"       // without leaving the house
	direct  way = "direct"    // across the internet, without the relay
	relayed way = "courtyard" // by way of the relay
)

var combinations = []combination{
	{phone: port, home: port, friend: symmetric},
	{phone: symmetric, home: port, friend: port},
	{phone: only443, home: cone, friend: noUDP},
	{phone: cone, home: cone, friend: cone},
	{phone: port, home: port, friend: port},
	{phone: cone, home: symmetric, friend: port},
	{phone: symmetric, home: cone, friend: cone},
	{phone: symmetric, home: symmetric, friend: symmetric},
	{phone: port, home: symmetric, friend: cone},
	{phone: double, home: port, friend: double},
	{phone: double, home: double, friend: symmetric},
	{phone: port, home: double, friend: only443},
	{phone: noUDP, home: port, friend: port},
	{phone: noUDP, home: noUDP, friend: noUDP},
	{phone: only443, home: only443, friend: only443},
	{phone: port, home: only443, friend: cone},
	{phone: cone, home: noUDP, friend: double},
	{phone: port, home: port, friend: port, together: withHome},
	{phone: port, home: port, friend: port, together: all},
	{phone: port, home: port, friend: port, behind: true},
	{phone: symmetric, home: port, friend: port, behind: true},
	{phone: only443, home: symmetric, friend: symmetric, behind: true},
}

// quick is how many of them the short run takes, from the first.
const quick = 2

func (c combination) String() string {
	out := fmt.Sprintf("phone %s, home %s, friend %s", c.phone, c.home, c.friend)
	switch c.together {
	case apart:
	case withHome:
		out = fmt.Sprintf("phone and home in one house, %s, friend %s", c.home, c.friend)
	case all:
		out = fmt.Sprintf("all in one house, %s", c.home)
	}
	if c.behind {
		out += ", relay behind 1:1 NAT"
	}
	return out
}

// toHome is how the phone must be connected to the home.
func (c combination) toHome() way {
	switch {
	case c.together != apart:
		return lan
	case canPunch(c.phone, c.home):
		return direct
	}
	return relayed
}

// toFriend is how the phone must be connected to the friend's.
func (c combination) toFriend() way {
	switch {
	case c.together == all:
		return lan
	case canPunch(c.phone, c.friend):
		return direct
	}
	return relayed
}

// lends is how the phone gets to the relay where it is lent an address there.
func (c combination) lends() string {
	switch c.phone {
	case noUDP:
		return "tcp"
	case only443:
		return "tls"
	}
	return "udp"
}

// class is what Diagnostics must say of the phone's network, in its own words for it.
// The home is the second place that it is looked at from (section 17).
func (c combination) class() string {
	reached := canPunch(c.phone, c.home)
	switch {
	case characters[c.phone].mapping == none:
		return "blocks UDP"
	case c.phone == symmetric:
		return "changes addresses, so"
	case c.together != apart: // the home sees the phone's own address, not the router's
		return "as far as it could be tried"
	case !reached:
		return "Nothing of this network reached your home"
	case c.phone == cone:
		return "lets you connect directly."
	}
	return "unless the other side’s network changes addresses"
}
