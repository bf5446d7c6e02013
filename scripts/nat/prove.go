package main

import (
	"context"
	"fmt"
	"net/netip"
)

var kinds = []kind{cone, port, symmetric, double, noUDP, only443}

// prove looks whether the lab is what it says: each kind of router does what its name
// promises. Whatever is found behind them later means something only then.
func (n *internet) prove(ctx context.Context, v *verdict) error {
	eyes, err := stand()
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context, *vantages, *verdict) error{n.proveKinds, n.provePunching, n.proveLAN, n.proveMoves, n.proveRelay} {
		if err := step(ctx, eyes, v); err != nil {
			return fmt.Errorf("the lab itself: %w", err)
		}
	}
	return eyes.close()
}

func (n *internet) proveKinds(ctx context.Context, eyes *vantages, v *verdict) error {
	for _, k := range kinds {
		if err := n.flat.become(ctx, k); err != nil {
			return err
		}
		want := characters[k]
		mapping, address, err := eyes.mapping(n.phone.Space)
		if err != nil {
			return err
		}
		v.equal(fmt.Sprintf("lab: %s maps", k), mapping, want.mapping)
		if want.mapping != none {
			v.equal(fmt.Sprintf("lab: %s comes from", k), address.String(), n.flat.public())
		}
		filtering, err := eyes.filtering(n.phone.Space)
		if err != nil {
			return err
		}
		v.equal(fmt.Sprintf("lab: %s filters", k), filtering, want.filtering)
		if want.mapping == independent && want.filtering != independent {
			same, err := eyes.unimpressed(n.phone)
			if err != nil {
				return err
			}
			v.equal(fmt.Sprintf("lab: %s ignores who knocks", k), same, true)
		}
		for _, port := range []int{443, firstPort} {
			through, err := reaches(ctx, n.phone.Space, port)
			if err != nil {
				return err
			}
			v.equal(fmt.Sprintf("lab: %s lets TCP to port %d", k, port), through, want.tcp || port == 443)
		}
	}
	return nil
}

func (n *internet) provePunching(ctx context.Context, eyes *vantages, v *verdict) error {
	for i, a := range kinds {
		if err := n.flat.become(ctx, a); err != nil {
			return err
		}
		for _, b := range kinds[i:] {
			if err := n.house.become(ctx, b); err != nil {
				return err
			}
			through, err := eyes.punches(n.phone.Space, n.home.Space)
			if err != nil {
				return err
			}
			v.equal(fmt.Sprintf("lab: %s and %s get through to each other", a, b), through, canPunch(a, b))
		}
	}
	return nil
}

// proveLAN looks whether two machines of one house see each other without their router.
func (n *internet) proveLAN(ctx context.Context, _ *vantages, v *verdict) error {
	if err := n.phone.move(ctx, "lan", n.house, innermost+1); err != nil {
		return err
	}
	one, err := listen(n.phone.Space, 0)
	if err != nil {
		return err
	}
	defer one.Close()
	two, err := listen(n.home.Space, 40505)
	if err != nil {
		return err
	}
	defer two.Close()
	if err := says(one, netip.AddrPortFrom(netip.MustParseAddr(n.home.address()), 40505), "neighbour"); err != nil {
		return err
	}
	from, err := hears(two, "neighbour")
	v.equal("lab: same LAN, seen as", from.Addr().String(), n.phone.address())
	return err
}

func (n *internet) proveMoves(ctx context.Context, eyes *vantages, v *verdict) error {
	for _, to := range []struct {
		cable string
		site  *site
	}{{"mobile", n.mobile}, {"wifi", n.flat}} {
		if err := n.phone.move(ctx, to.cable, to.site, innermost); err != nil {
			return err
		}
		if err := to.site.become(ctx, port); err != nil {
			return err
		}
		_, address, err := eyes.mapping(n.phone.Space)
		if err != nil {
			return err
		}
		v.equal("lab: the phone by "+to.cable+" comes from", address.String(), to.site.public())
	}
	return nil
}

func (n *internet) proveRelay(ctx context.Context, eyes *vantages, v *verdict) error {
	for _, behind := range []bool{true, false} {
		if err := n.placeRelay(ctx, behind); err != nil {
			return err
		}
		what := "with its own address"
		if behind {
			what = "behind 1:1 NAT"
		}
		service, err := listen(n.relay, firstPort)
		if err != nil {
			return err
		}
		asks, err := listen(n.phone.Space, 0)
		if err != nil {
			return err
		}
		known := netip.AddrPortFrom(netip.MustParseAddr(relayAddress), firstPort)
		if err := says(asks, known, "hello"); err != nil {
			return err
		}
		from, err := hears(service, "hello")
		if err != nil {
			return err
		}
		v.equal("lab: the relay "+what+" is asked by", from.Addr().String(), n.flat.public())
		if err := says(service, from, "answer"); err != nil {
			return err
		}
		answered, err := hears(asks, "answer")
		if err != nil {
			return err
		}
		v.equal("lab: the relay "+what+" answers as", answered, known)
		// Two people with an allocation each: what the one sends goes from the relay to itself.
		other, err := listen(n.relay, secondPort)
		if err != nil {
			return err
		}
		if err := says(other, known, "myself"); err != nil {
			return err
		}
		from, err = hears(service, "myself")
		if err != nil {
			return err
		}
		v.equal("lab: the relay "+what+" reaches itself as", from.Addr().String(), relayAddress)
		for _, one := range []interface{ Close() error }{service, asks, other} {
			if err := one.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}
