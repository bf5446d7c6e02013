package router

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

const (
	pcpPort    = 5351 // of both protocols
	pcpVersion = 2
	opMap      = 1
	response   = 0x80
	pcpSize    = 24 + 36
)

// pcp is RFC 6887, of which MAP alone is needed (section 11).
type pcp struct{ at netip.AddrPort }

func protocolNumber(protocol string) byte {
	if protocol == "tcp" {
		return 6
	}
	return 17
}

func (p *pcp) add(ctx context.Context, protocol string, port uint16, old *Mapping) (Mapping, error) {
	m := Mapping{By: "pcp", Protocol: protocol}
	if old != nil && old.By == m.By {
		m.nonce, m.External = old.nonce, old.External // renewing is for whoever knows the nonce
	} else if _, err := rand.Read(m.nonce[:]); err != nil {
		return m, err
	}
	lifetime, external, err := p.mapping(ctx, m, port, lasting)
	if err != nil {
		return m, err
	}
	m.External, m.Until = external, time.Now().Add(lifetime)
	return m, nil
}

func (p *pcp) remove(ctx context.Context, m Mapping, port uint16) error {
	_, _, err := p.mapping(ctx, m, port, 0)
	return err
}

func (p *pcp) mapping(ctx context.Context, m Mapping, port uint16, lifetime time.Duration) (time.Duration, netip.AddrPort, error) {
	local, err := localFor(p.at)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	ask := pcpRequest(local, m, port, lifetime)
	var answer pcpAnswer
	err = question(ctx, p.at, ask, func(raw []byte) bool {
		a, ok := parsePCP(raw)
		if ok && (a.version != pcpVersion || a.nonce == m.nonce && a.protocol == protocolNumber(m.Protocol) && a.internal == port) {
			answer = a
			return true
		}
		return false
	})
	switch {
	case err != nil:
		return 0, netip.AddrPort{}, fmt.Errorf("pcp: %w", err)
	case answer.version != pcpVersion || answer.result != 0:
		return 0, netip.AddrPort{}, fmt.Errorf("pcp: %w (version %d, result %d)", errRefused, answer.version, answer.result)
	case lifetime > 0 && answer.lifetime == 0, lifetime > 0 && answer.external.Port() == 0:
		return 0, netip.AddrPort{}, fmt.Errorf("pcp: %w (nothing mapped)", errRefused)
	}
	return min(answer.lifetime, 24*time.Hour), answer.external, nil
}

func pcpRequest(local netip.Addr, m Mapping, port uint16, lifetime time.Duration) []byte {
	out := make([]byte, pcpSize)
	out[0], out[1] = pcpVersion, opMap
	binary.BigEndian.PutUint32(out[4:], uint32(lifetime/time.Second))
	client := local.As16()
	copy(out[8:24], client[:])
	copy(out[24:36], m.nonce[:])
	out[36] = protocolNumber(m.Protocol)
	binary.BigEndian.PutUint16(out[40:], port)
	suggested := netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}) // any IPv4 address
	external := port
	if m.External.IsValid() {
		suggested, external = m.External.Addr(), m.External.Port()
	}
	binary.BigEndian.PutUint16(out[42:], external)
	wish := suggested.As16()
	copy(out[44:60], wish[:])
	return out
}

type pcpAnswer struct {
	version  byte
	result   byte
	lifetime time.Duration
	nonce    [12]byte
	protocol byte
	internal uint16
	external netip.AddrPort
}

// parsePCP reads the answer to MAP, or that of a router that speaks another version.
func parsePCP(raw []byte) (pcpAnswer, bool) {
	var a pcpAnswer
	if len(raw) < 4 || raw[1]&response == 0 {
		return a, false
	}
	a.version, a.result = raw[0], raw[3]
	if a.version != pcpVersion {
		return a, true
	}
	if len(raw) < pcpSize || raw[1] != response|opMap {
		return a, false
	}
	a.lifetime = time.Duration(binary.BigEndian.Uint32(raw[4:])) * time.Second
	copy(a.nonce[:], raw[24:36])
	a.protocol = raw[36]
	a.internal = binary.BigEndian.Uint16(raw[40:])
	a.external = netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[44:60])).Unmap(), binary.BigEndian.Uint16(raw[42:]))
	return a, true
}
