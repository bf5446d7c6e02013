package router

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// natpmp is RFC 6886, which came before PCP.
type natpmp struct{ at netip.AddrPort }

func (p *natpmp) add(ctx context.Context, protocol string, port uint16, old *Mapping) (Mapping, error) {
	m := Mapping{By: "nat-pmp", Protocol: protocol}
	var address netip.Addr
	err := question(ctx, p.at, []byte{0, 0}, func(raw []byte) bool {
		if len(raw) < 12 || raw[0] != 0 || raw[1] != response || binary.BigEndian.Uint16(raw[2:]) != 0 {
			return false
		}
		address = netip.AddrFrom4([4]byte(raw[8:12]))
		return true
	})
	if err != nil {
		return m, fmt.Errorf("nat-pmp: %w", err)
	}
	external := port
	if old != nil && old.By == m.By {
		external = old.External.Port()
	}
	given, lifetime, err := p.mapping(ctx, protocol, port, external, lasting)
	if err != nil {
		return m, err
	}
	if given == 0 || lifetime == 0 {
		return m, fmt.Errorf("nat-pmp: %w (nothing mapped)", errRefused)
	}
	m.External, m.Until = netip.AddrPortFrom(address, given), time.Now().Add(lifetime)
	return m, nil
}

func (p *natpmp) remove(ctx context.Context, m Mapping, port uint16) error {
	_, _, err := p.mapping(ctx, m.Protocol, port, 0, 0)
	return err
}

func (p *natpmp) mapping(ctx context.Context, protocol string, port, external uint16, lifetime time.Duration) (given uint16, lasts time.Duration, err error) {
	op := byte(1)
	if protocol == "tcp" {
		op = 2
	}
	ask := make([]byte, 12)
	ask[1] = op
	binary.BigEndian.PutUint16(ask[4:], port)
	binary.BigEndian.PutUint16(ask[6:], external)
	binary.BigEndian.PutUint32(ask[8:], uint32(lifetime/time.Second))
	result := uint16(0)
	err = question(ctx, p.at, ask, func(raw []byte) bool {
		if len(raw) < 16 || raw[0] != 0 || raw[1] != response|op || binary.BigEndian.Uint16(raw[8:]) != port {
			return false
		}
		result, given = binary.BigEndian.Uint16(raw[2:]), binary.BigEndian.Uint16(raw[10:])
		lasts = min(time.Duration(binary.BigEndian.Uint32(raw[12:]))*time.Second, 24*time.Hour)
		return true
	})
	if err == nil && result != 0 {
		err = fmt.Errorf("%w (result %d)", errRefused, result)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("nat-pmp: %w", err)
	}
	return given, lasts, nil
}

// localFor is the own address on the way to the router.
func localFor(at netip.AddrPort) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at)) // sends nothing
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("router: %s is no address", conn.LocalAddr())
	}
	return local.AddrPort().Addr().Unmap(), nil
}
