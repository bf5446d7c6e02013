package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// peer is a connection that a page has made, as its browser counts it; see
// frontend/tests/lab/peers.ts.
type peer struct {
	What      string
	State     string
	Connected *float64
	Pair      *pair
	Heard     *heard
}

// pair is the two ends that are in use.
type pair struct {
	Local, Remote, Protocol, Relayed string
	LocalAddress, RemoteAddress      string
	BytesSent, BytesReceived         int64
}

// heard is what came of the other's voice and picture.
type heard struct {
	Frames     int64
	Energy     float64
	AudioBytes int64
}

// What connections are for, by the protocol of their channel.
const (
	toHome   = "home/1"
	toFriend = "peer/1"
	ofCall   = "call/1"
)

// way tells how the two ends are connected. house is the network of the house, which is
// the same for both ends where nothing leaves it.
func (p *pair) way(house netip.Prefix) way {
	if p.Local == "relay" || p.Remote == "relay" {
		return relayed
	}
	local, remote := addressOf(p.LocalAddress), addressOf(p.RemoteAddress)
	// A browser does not tell its own address where it was not asked for a camera, and calls an end
	// that it has only heard from by what it comes from; in one house it hides that address as well.
	hidden := p.Local == "host" && !remote.IsValid()
	if house.Contains(remote) || hidden || (house.Contains(local) && p.Remote == "host") {
		return lan
	}
	return direct
}

// since is when it came about after the app was opened.
func (p peer) since() string {
	if p.Connected == nil {
		return ""
	}
	return fmt.Sprintf(" %.0f ms", *p.Connected)
}

func addressOf(end string) netip.Addr {
	at, err := netip.ParseAddrPort(end)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
}

// peers are the connections of somebody's page.
func (p *person) peers(ctx context.Context) ([]peer, error) {
	var out []peer
	err := p.sees(ctx, "peers", &out)
	return out, err
}

// between is how often a screen is looked at again.
const between = 250 * time.Millisecond

// until looks again and again, until ok or ctx ends.
func until(ctx context.Context, look func(context.Context) (bool, error)) error {
	tick := time.NewTicker(between)
	defer tick.Stop()
	for {
		ok, err := look(ctx)
		if ok || (err != nil && ctx.Err() == nil) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// connected waits for a connection of one sort that works, and fits.
func (p *person) connected(ctx context.Context, what string, fits func(peer) bool) (peer, error) {
	var last []peer
	var found peer
	err := until(ctx, func(ctx context.Context) (bool, error) {
		all, err := p.peers(ctx)
		if err != nil {
			return false, err
		}
		last = all
		for _, one := range all {
			if one.What == what && one.State == "connected" && one.Pair != nil && fits(one) {
				found = one
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return peer{}, fmt.Errorf("no connection for %s: %w; there is %s", what, err, described(last))
	}
	return found, nil
}

// now is the connection of one sort that works now, if there is one.
func (p *person) now(ctx context.Context, what string) (peer, bool, error) {
	all, err := p.peers(ctx)
	for _, one := range all {
		if one.What == what && one.State == "connected" && one.Pair != nil {
			return one, true, err
		}
	}
	return peer{}, false, err
}

// received is how many bytes have come over it; none: there is no such connection.
func (p *person) received(ctx context.Context, what string) (int64, error) {
	one, ok, err := p.now(ctx, what)
	if !ok {
		return 0, err
	}
	return one.Pair.BytesReceived, err
}

// tried waits until a connection of one sort has been tried, and was given up or works.
func (p *person) tried(ctx context.Context, what string) error {
	begun := false
	return until(ctx, func(ctx context.Context) (bool, error) {
		all, err := p.peers(ctx)
		trying := slices.ContainsFunc(all, func(one peer) bool { return one.What == what && one.State != "connected" })
		begun = begun || trying
		return begun && !trying, err
	})
}

// settling is how long a connection may take to find a better way than its first: a
// browser begins with the one that answers first, and goes on looking.
const settling = 15 * time.Second

// goes waits for a connection of one sort that goes the way that is wanted; if it does
// not come to that, one that goes another.
func (p *person) goes(ctx context.Context, what string, house netip.Prefix, want way) (peer, error) {
	within, over := context.WithTimeout(ctx, settling)
	defer over()
	got, err := p.connected(within, what, func(one peer) bool { return one.Pair.way(house) == want })
	if err == nil {
		return got, nil
	}
	return p.connected(ctx, what, func(peer) bool { return true })
}

func described(all []peer) string {
	out := ""
	for _, one := range all {
		out += fmt.Sprintf(" [%s %s", one.What, one.State)
		if one.Pair != nil {
			out += fmt.Sprintf(" %s %s to %s %s %s", one.Pair.Local, one.Pair.LocalAddress, one.Pair.Remote, one.Pair.RemoteAddress, one.Pair.Protocol)
		}
		out += "]"
	}
	if out == "" {
		return "none at all"
	}
	return out[1:]
}
