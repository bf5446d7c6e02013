package direct

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v4"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	// maxTargets and maxProbes bound the filter test: what a probe sends to, and how
	// many a person has in a minute.
	maxTargets = 4
	maxProbes  = 3
	// probing is how long a probe waits for an answer, again how often it repeats.
	probing = 1500 * time.Millisecond
	again   = 100 * time.Millisecond
	// stunBuffer holds the answers that are looked at; longer ones are none.
	stunBuffer = 1500
)

// Probed is what a filter test found.
type Probed struct {
	Sent     int  `json:"sent"`
	Answered bool `json:"answered"`
}

// Probe is the filter test: from a socket that has never been used, it sends a
// device the checks that its ICE agent answers. If they arrive, the device's router
// lets in whom it has not been sent to. Codes: bad-request, rate-limited.
func (p *Paths) Probe(ctx context.Context, device ident.Device, ufrag, pwd string, to []string) (Probed, error) {
	if !token(ufrag, 4, 256, iceChar) || !token(pwd, 22, 256, iceChar) || len(to) == 0 || len(to) > maxTargets {
		return Probed{}, refuse("not a probe")
	}
	var targets []netip.AddrPort
	for _, text := range to {
		at, err := netip.ParseAddrPort(text)
		if err != nil || at.Addr().Zone() != "" {
			return Probed{}, refuse("a target is no address")
		}
		targets = append(targets, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	}
	if !p.probes.take(p.c.Clock.Now()) {
		p.count("probe-often")
		return Probed{}, protocol.Refuse("direct.Probe", protocol.CodeRateLimited, "too many probes")
	}
	rules, err := p.rules(ctx, device.ID())
	if err != nil {
		return Probed{}, err
	}
	targets = slices.DeleteFunc(targets, func(at netip.AddrPort) bool {
		reason := rules.Keep(Candidate{Addr: at.Addr(), Port: at.Port(), Kind: Srflx})
		if reason != "" {
			p.count("probe-" + reason)
		}
		return reason != ""
	})
	if len(targets) == 0 {
		return Probed{}, nil
	}
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return Probed{}, protocol.Refuse("direct.Probe", protocol.CodeUnavailable, err.Error())
	}
	defer conn.Close()
	// ICE-CONTROLLED, so that the device takes no part in anything; what follows the
	// colon says whose check it is, and changes nothing.
	message, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag+":probe"),
		attribute{stun.AttrPriority, []byte{0x6e, 0, 0, 0xff}}, attribute{stun.AttrICEControlled, []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
	if err != nil {
		return Probed{}, refuse("not a probe")
	}
	key := stun.NewShortTermIntegrity(pwd)
	ctx, stop := context.WithTimeout(ctx, probing)
	defer stop()
	sent, answered := exchange(ctx, conn, message, targets, func(m *stun.Message, from netip.AddrPort) bool {
		return slices.Contains(targets, from) && m.Type == stun.BindingSuccess && key.Check(m) == nil
	})
	return Probed{Sent: sent, Answered: answered}, nil
}

type attribute struct {
	kind  stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

// exchange sends a request to some addresses until it is answered as fits wants,
// or ctx ends. It reports to how many of them it could send.
func exchange(ctx context.Context, conn *net.UDPConn, ask *stun.Message, to []netip.AddrPort, fits func(m *stun.Message, from netip.AddrPort) bool) (sent int, ok bool) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	heard := make(chan bool, 1)
	release := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a socket that is closed reads no more
	defer release()
	go func() {
		heard <- hear(conn, func(m *stun.Message, from netip.AddrPort) bool {
			return m.TransactionID == ask.TransactionID && fits(m, from)
		})
	}()
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		n := 0
		for _, at := range to {
			if _, err := conn.WriteToUDPAddrPort(ask.Raw, at); err == nil {
				n++
			}
		}
		sent = max(sent, n)
		select {
		case ok := <-heard:
			return sent, ok
		case <-tick.C:
		}
	}
}

// hear reads until something fits or the socket's deadline is over.
func hear(conn *net.UDPConn, fits func(m *stun.Message, from netip.AddrPort) bool) bool {
	buffer := make([]byte, stunBuffer)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return false
		}
		m := &stun.Message{Raw: slices.Clone(buffer[:n])}
		if m.Decode() == nil && fits(m, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())) {
			return true
		}
	}
}

// allowance lets so many through in a minute.
type allowance struct {
	most int
	mu   sync.Mutex // guards what follows
	at   []time.Time
}

func newAllowance(most int) *allowance { return &allowance{most: most} }

func (a *allowance) take(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = slices.DeleteFunc(a.at, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(a.at) >= a.most {
		return false
	}
	a.at = append(a.at, now)
	return true
}
