package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/courtyard-social/courtyard/scripts/crowd"
	"github.com/courtyard-social/courtyard/scripts/netns"
)

// site is a place with a router of its own, behind a router of its provider's:
//
//	host --- lan [gate] wan --- lan [provider] wan --- the internet, which is the lab's own namespace
//
// The addresses look like anybody's, since programs treat private and reserved ones
// differently; they exist in this lab only.
type site struct {
	name           string
	number         int
	gate, provider netns.Space
	kind           kind
	// lease rises each time the site becomes something: what a program has learnt of a
	// network, it has learnt of an address.
	lease int
}

func (s *site) network() string { return fmt.Sprintf("5.%d.%d", 10+s.lease, s.number) }

// public is the address that the internet sees hosts of this site come from.
func (s *site) public() string { return s.network() + ".2" }

// host is an address in the site's own network.
func (s *site) host(n int) string { return fmt.Sprintf("192.168.%d.%d", s.number, n) }

// innermost is the host that a cone lets strangers through to.
const innermost = 10

// load replaces a router's rules, and forgets every flow it knew.
func load(ctx context.Context, router netns.Space, rules string) error {
	line := router.Inside("nft", "--file", "-")
	if err := netns.Feed(ctx, rules, line[0], line[1:]...); err != nil {
		return err
	}
	flush := router.Inside("conntrack", "--flush")
	return netns.Run(ctx, flush[0], flush[1:]...)
}

// newRouter makes a namespace that forwards.
func newRouter(ctx context.Context, name string) (netns.Space, error) {
	s, err := netns.New(ctx, name)
	if err != nil {
		return s, err
	}
	return s, s.Set("net/ipv4/ip_forward", "1")
}

// newSite makes a site with both routers, of which the outer one is on the internet.
func newSite(ctx context.Context, name string, number int) (*site, error) {
	s := &site{name: name, number: number}
	var err error
	if s.gate, err = newRouter(ctx, name+"gate"); err != nil {
		return nil, err
	}
	if s.provider, err = newProvider(ctx, name, number); err != nil {
		return nil, err
	}
	if err := netns.IP(ctx, fmt.Sprintf("link add wan netns %s type veth peer name lan netns %s", s.gate, s.provider)); err != nil {
		return nil, err
	}
	if err := s.provider.IP(ctx, "link set lan up"); err != nil {
		return nil, err
	}
	// With an address of its own: otherwise a bridge takes that of one of its ports, and another when that is
	// unplugged, which whoever is left notices after half a minute.
	if err := s.gate.IP(ctx, "link set wan up", fmt.Sprintf("link add lan address 02:00:00:00:00:%02x type bridge", number), "link set lan up", "addr add "+s.host(1)+"/24 dev lan"); err != nil {
		return nil, err
	}
	// What stays within a house does not pass its router's rules, where the kernel knows of such a thing.
	if err := s.gate.Set("net/bridge/bridge-nf-call-iptables", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return s, s.become(ctx, port)
}

// newProvider makes a provider's router.
func newProvider(ctx context.Context, name string, number int) (netns.Space, error) {
	provider, err := newRouter(ctx, name+"isp")
	if err != nil {
		return provider, err
	}
	if err := netns.IP(ctx,
		fmt.Sprintf("link add %s type veth peer name wan netns %s", name, provider),
		"link set "+name+" up",
		fmt.Sprintf("addr add 5.0.%d.1/30 dev %s", number, name)); err != nil {
		return provider, err
	}
	return provider, provider.IP(ctx, "link set wan up", fmt.Sprintf("addr add 5.0.%d.2/30 dev wan", number), fmt.Sprintf("route add default via 5.0.%d.1", number))
}

// become changes how the site's routers treat what passes, and its address. Every flow
// through them is forgotten.
func (s *site) become(ctx context.Context, k kind) error {
	if s.lease > 0 {
		if err := netns.IP(ctx, fmt.Sprintf("route del %s.0/30", s.network())); err != nil {
			return err
		}
	}
	s.kind = k
	s.lease++
	between, outer := s.network(), plain.rules("")
	if k == double {
		between, outer = fmt.Sprintf("100.64.%d", s.number), shared(s.public())
	}
	if err := netns.IP(ctx, fmt.Sprintf("route add %s.0/30 via 5.0.%d.2", s.network(), s.number)); err != nil {
		return err
	}
	if err := s.provider.IP(ctx, "addr flush dev lan", "addr add "+between+".1/30 dev lan"); err != nil {
		return err
	}
	if err := s.gate.IP(ctx, "addr flush dev wan", "addr add "+between+".2/30 dev wan", "route replace default via "+between+".1"); err != nil {
		return err
	}
	if err := load(ctx, s.provider, outer); err != nil {
		return err
	}
	return load(ctx, s.gate, k.rules(s.host(innermost)))
}

// host is a machine that may be at one site after another.
type host struct {
	netns.Space
	at    *site
	n     int    // of its address
	cable string // the interface it uses now
}

func newHost(ctx context.Context, name string) (*host, error) {
	s, err := netns.New(ctx, name)
	if err != nil {
		return nil, err
	}
	// Chromium would look for a way by these as well, and there is none.
	return &host{Space: s}, s.Set("net/ipv6/conf/all/disable_ipv6", "1")
}

func (h *host) address() string { return h.at.host(h.n) }

// plug gives the host one more cable, to a site's network; what it sends still goes the way it went.
func (h *host) plug(ctx context.Context, cable string, s *site, n int) error {
	end := fmt.Sprintf("%s%d", h.Space, n) // in the gate
	if err := netns.IP(ctx, fmt.Sprintf("link add %s netns %s type veth peer name %s netns %s", cable, h.Space, end, s.gate)); err != nil {
		return err
	}
	if err := s.gate.IP(ctx, "link set "+end+" master lan up"); err != nil {
		return err
	}
	if err := h.Space.IP(ctx, fmt.Sprintf("addr add %s/24 dev %s", s.host(n), cable), "link set "+cable+" up"); err != nil {
		return err
	}
	return h.waitFor(ctx, s)
}

// waitFor returns once the router of a site answers: a cable takes up to a second.
func (h *host) waitFor(ctx context.Context, s *site) error {
	return h.Space.Do(func() error {
		dialer := &net.Dialer{Timeout: crowd.Patience}
		conn, err := dialer.DialContext(ctx, "tcp4", s.host(1)+":9") // where nobody listens
		if err == nil {
			return errors.Join(fmt.Errorf("somebody listens at %s", s.host(1)), conn.Close())
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		return err
	})
}

// move makes the host use another site's network, and pulls the cable it had: a phone
// that has left the house.
func (h *host) move(ctx context.Context, cable string, s *site, n int) error {
	if h.at == s && h.n == n {
		return nil
	}
	moved := h.at != nil
	if moved && h.cable == cable { // a host has one of a name
		if err := h.Space.IP(ctx, "link del "+cable); err != nil {
			return err
		}
		moved = false
	}
	if err := h.plug(ctx, cable, s, n); err != nil {
		return err
	}
	if err := h.Space.IP(ctx, "route replace default via "+s.host(1)); err != nil {
		return err
	}
	if moved {
		if err := h.Space.IP(ctx, "link del "+h.cable); err != nil {
			return err
		}
	}
	h.at, h.n, h.cable = s, n, cable
	return nil
}

// slow limits what the host sends, in Mbit/s: on a cable without a limit nothing takes
// long enough to be interrupted.
func (h *host) slow(ctx context.Context, mbit int) error {
	line := h.Inside("tc", "qdisc", "replace", "dev", h.cable, "root", "tbf", "rate", fmt.Sprintf("%dmbit", mbit), "burst", "128kb", "latency", "100ms")
	return netns.Run(ctx, line[0], line[1:]...)
}
