package main

import (
	"context"
	"fmt"
	"os"

	"github.com/courtyard-social/courtyard/scripts/netns"
)

const (
	relayNumber  = 1
	relayAddress = "5.5.1.2"  // as everybody knows it
	relayInside  = "10.8.0.2" // as it knows itself behind 1:1 NAT
)

// internet is all sites, and what is between them: the lab's own namespace.
type internet struct {
	relay  netns.Space
	edge   netns.Space // the relay's router
	flat   *site       // the phone's
	mobile *site       // where the phone is when it has left the flat
	house  *site       // the home's
	cafe   *site       // the friend's
	phone  *host
	home   *host
	friend *host
	behind bool // the relay does not know its address
}

// newInternet makes everything: the relay has its public address, everybody is at
// their own site, and every router is port-restricted.
func newInternet(ctx context.Context) (*internet, error) {
	if err := netns.IP(ctx, "link set lo up", "addr add "+vantageOne+"/32 dev lo", "addr add "+vantageTwo+"/32 dev lo"); err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return nil, err
	}
	n := &internet{}
	if err := n.buildRelay(ctx); err != nil {
		return nil, err
	}
	for i, one := range []struct {
		name string
		site **site
	}{{"flat", &n.flat}, {"mobile", &n.mobile}, {"house", &n.house}, {"cafe", &n.cafe}} {
		var err error
		if *one.site, err = newSite(ctx, one.name, relayNumber+1+i); err != nil {
			return nil, fmt.Errorf("site %s: %w", one.name, err)
		}
	}
	for _, one := range []struct {
		name string
		host **host
		at   *site
	}{{"phone", &n.phone, n.flat}, {"home", &n.home, n.house}, {"friend", &n.friend, n.cafe}} {
		var err error
		if *one.host, err = newHost(ctx, one.name); err != nil {
			return nil, err
		}
		if err := (*one.host).move(ctx, "wifi", one.at, innermost); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// buildRelay makes the relay's machine and the router before it.
func (n *internet) buildRelay(ctx context.Context) error {
	var err error
	if n.edge, err = newProvider(ctx, "edge", relayNumber); err != nil {
		return err
	}
	if n.relay, err = netns.New(ctx, "relay"); err != nil {
		return err
	}
	if err := netns.IP(ctx, fmt.Sprintf("link add wan netns %s type veth peer name lan netns %s", n.relay, n.edge)); err != nil {
		return err
	}
	if err := n.edge.IP(ctx, "link set lan up"); err != nil {
		return err
	}
	if err := n.relay.IP(ctx, "link set wan up"); err != nil {
		return err
	}
	if err := netns.IP(ctx, fmt.Sprintf("route add 5.5.1.0/30 via 5.0.%d.2", relayNumber)); err != nil {
		return err
	}
	n.behind = true
	return n.placeRelay(ctx, false)
}

// placeRelay puts the relay behind a 1:1 NAT, or gives it its public address itself.
// Whatever listens there has to be started anew.
func (n *internet) placeRelay(ctx context.Context, behind bool) error {
	if n.behind == behind {
		return nil
	}
	n.behind = behind
	address, router, rules := relayAddress, "5.5.1.1", plain.rules("")
	if behind {
		address, router, rules = relayInside, "10.8.0.1", oneToOne(relayAddress, relayInside)
	}
	if err := n.edge.IP(ctx, "addr flush dev lan", "addr add "+router+"/30 dev lan"); err != nil {
		return err
	}
	if err := n.relay.IP(ctx, "addr flush dev wan", "addr add "+address+"/30 dev wan", "route replace default via "+router); err != nil {
		return err
	}
	return load(ctx, n.edge, rules)
}
