package person

import (
	"context"
	"net/netip"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/devices"
	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// openDesk makes what answers the person's devices, whichever way they come. It
// lives as long as the person does: a direct connection outlives the line.
func (p *Person) openDesk() {
	c := p.c
	if c.Network != nil {
		p.paths = direct.New(direct.Config{Network: c.Network, Keys: c.Keys, Relay: c.Gate.Seen, Turn: p.turn, Where: p.where, Active: p.active,
			Serve: func(ctx context.Context, ch *direct.Channel) { p.desk.Serve(ctx, ch) }, Clock: c.Clock, Logger: c.Logger})
	}
	p.desk = devices.New(devices.Config{
		UID: c.UID, Keys: c.Keys, RelayKey: c.RelayKey, Host: c.Gate.Place().Host, Address: p.address, Version: c.Version,
		Log: p.log, Ring: p.ring, Files: p.files, Wall: p.wall, Household: c.Household, Direct: p.paths, Chain: p.book.Own,
		Refresh: func(ctx context.Context) (*ident.Chain, error) { return p.book.Refresh(ctx, c.UID) },
		Clock:   c.Clock, Random: c.Random, Logger: c.Logger, Counted: c.Counts.Link,
	})
}

// active reports whether a device is in the chain, as it is known here, now.
func (p *Person) active(ctx context.Context, id protocol.DeviceID) bool {
	chain, err := p.book.Own(ctx)
	if err != nil {
		return false
	}
	_, ok := chain.Active(id, clock.Millis(p.c.Clock))
	return ok
}

// turn asks the relay for its STUN and TURN servers.
func (p *Person) turn(ctx context.Context) (direct.Servers, error) {
	var s direct.Servers
	return s, p.ask(ctx, "turn", "", &s)
}

// where asks the relay from which address it sees a device.
func (p *Person) where(ctx context.Context, device protocol.DeviceID) (netip.Addr, error) {
	var a struct {
		IP string `json:"ip"`
	}
	if err := p.ask(ctx, "where", device.String(), &a); err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(a.IP)
}

func (p *Person) ask(ctx context.Context, op, device string, into any) error {
	l := p.line()
	if l == nil {
		return protocol.Refuse("person."+op, protocol.CodeUnavailable, "no connection to the relay")
	}
	raw, err := l.Ask(ctx, op, device)
	if err != nil {
		return err
	}
	return protocol.DecodeOpen(raw, into, 3)
}
