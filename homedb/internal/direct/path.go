package direct

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	// Label and Protocol name the channel.
	Label    = "courtyard"
	Protocol = "home/1"
	// opening bounds the time from the answer to the open channel.
	opening = 30 * time.Second
)

// path is one connection: first its description is prepared, then it opens, then
// it is served. run goes through all of it.
type path struct {
	paths   *Paths
	key     key
	device  ident.Device
	session handshake.SessionID // that vouched
	offer   Offer
	turn    uint64 // the order of offers
	ctx     context.Context
	stop    context.CancelFunc
	opened  atomic.Bool
	ready   chan struct{} // closed when the transport below is there

	mu      sync.Mutex  // guards what follows
	heard   []Candidate // before there were rules
	told    int         // candidates, all of them
	rules   *Rules
	ice     *webrtc.ICETransport
	dtls    *webrtc.DTLSTransport
	sctp    *webrtc.SCTPTransport
	closing sync.Once
}

var turns atomic.Uint64

func newPath(p *Paths, k key, device ident.Device, session handshake.SessionID, offer Offer) *path {
	n := &path{paths: p, key: k, device: device, session: session, offer: offer, turn: turns.Add(1), ready: make(chan struct{})}
	n.ctx, n.stop = context.WithCancel(p.ctx)
	n.add(offer.Candidates)
	return n
}

// Way is how a connection goes.
type Way struct {
	State    string `json:"state"`
	Local    Kind   `json:"local,omitempty"`
	Remote   Kind   `json:"remote,omitempty"`
	Address  string `json:"address,omitempty"` // of the device, as this home sees it
	Protocol string `json:"protocol,omitempty"`
	// Near: that address is in a network in which this home has an interface.
	Near bool `json:"near,omitempty"`
}

func (n *path) way() Way {
	n.mu.Lock()
	transport, rules := n.ice, n.rules
	n.mu.Unlock()
	w := Way{State: "new"}
	if transport == nil {
		return w
	}
	switch s := transport.State(); s {
	case webrtc.ICETransportStateChecking, webrtc.ICETransportStateDisconnected, webrtc.ICETransportStateFailed:
		w.State = s.String()
	case webrtc.ICETransportStateConnected, webrtc.ICETransportStateCompleted:
		if w.State = "connected"; n.opened.Load() {
			w.State = "open"
		}
	}
	if pair, err := transport.GetSelectedCandidatePair(); err == nil && pair != nil && pair.Local != nil && pair.Remote != nil {
		w.Local, w.Remote, w.Protocol = Kind(pair.Local.Typ.String()), Kind(pair.Remote.Typ.String()), pair.Local.Protocol.String()
		if addr, err := netip.ParseAddr(pair.Remote.Address); err == nil {
			w.Address = netip.AddrPortFrom(addr.Unmap(), pair.Remote.Port).String()
			w.Near = rules != nil && protocol.Within(rules.Own, addr.Unmap())
		}
	}
	return w
}

// answer prepares the home's end: whom it may speak to, where it can be reached.
func (n *path) answer(ctx context.Context) (string, error) {
	p, net := n.paths, n.paths.c.Network
	servers := p.turn(ctx)
	rules, err := p.rules(ctx, n.key.device)
	if err != nil {
		return "", err
	}
	api := net.api(rules)
	gatherer, err := api.NewICEGatherer(webrtc.ICEGatherOptions{ICEServers: net.servers(ctx, servers, p.c.Relay())})
	if err != nil {
		return "", fmt.Errorf("direct: %w", err)
	}
	transport := api.NewICETransport(gatherer)
	dtls, err := api.NewDTLSTransport(transport, nil)
	if err != nil {
		return "", errors.Join(fmt.Errorf("direct: %w", err), gatherer.Close())
	}
	n.mu.Lock()
	if n.ctx.Err() != nil {
		n.mu.Unlock()
		return "", errors.Join(protocol.Refuse("direct", protocol.CodeUnavailable, "given up meanwhile"), gatherer.Close())
	}
	n.ice, n.dtls, n.sctp = transport, dtls, api.NewSCTPTransport(dtls)
	n.mu.Unlock()

	a, err := n.gather(ctx, gatherer, dtls)
	if err != nil {
		return "", err
	}
	a.Candidates = append(a.Candidates, n.extra(ctx)...)
	n.mu.Lock()
	n.rules = &rules
	heard := n.heard
	n.heard = nil
	n.mu.Unlock()
	n.use(rules, heard)
	close(n.ready)
	return a.SDP(n.offer), nil
}

// gather waits for the home's own addresses, not for ever.
func (n *path) gather(ctx context.Context, gatherer *webrtc.ICEGatherer, dtls *webrtc.DTLSTransport) (Answer, error) {
	var a Answer
	complete := make(chan struct{})
	var once sync.Once
	gatherer.OnLocalCandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			once.Do(func() { close(complete) })
		}
	})
	if err := gatherer.Gather(); err != nil {
		return a, fmt.Errorf("direct: %w", err)
	}
	patience := time.NewTimer(gathering)
	defer patience.Stop()
	select {
	case <-complete:
	case <-patience.C:
	case <-ctx.Done():
		return a, ctx.Err()
	case <-n.ctx.Done():
		return a, protocol.Refuse("direct", protocol.CodeUnavailable, "given up meanwhile")
	}
	found, err := gatherer.GetLocalCandidates()
	if err != nil {
		return a, fmt.Errorf("direct: %w", err)
	}
	for _, c := range found {
		a.Candidates = append(a.Candidates, c.ToJSON().Candidate)
	}
	ice, err := gatherer.GetLocalParameters()
	if err != nil {
		return a, fmt.Errorf("direct: %w", err)
	}
	own, err := dtls.GetLocalParameters()
	if err != nil {
		return a, fmt.Errorf("direct: %w", err)
	}
	a.Ufrag, a.Pwd = ice.UsernameFragment, ice.Password
	for _, f := range own.Fingerprints {
		if print, ok := fingerprint(f.Value); ok && strings.EqualFold(f.Algorithm, "sha-256") {
			a.Fingerprint = print
		}
	}
	if a.Fingerprint == "" {
		return a, errors.New("direct: no fingerprint of our own")
	}
	return a, nil
}

// extra are the candidates of a port that listens: where the router has mapped it,
// or else where the relay sees this home, should its owner have forwarded it by hand.
func (n *path) extra(ctx context.Context) []string {
	net := n.paths.c.Network
	if net.port == 0 {
		return nil
	}
	places := net.status().Mapped
	if len(places) == 0 {
		seen, err := n.paths.c.Where(ctx, n.paths.c.Keys.ID())
		if err != nil {
			return nil
		}
		at := netip.AddrPortFrom(seen.Unmap(), net.port)
		places = []Place{{Protocol: "udp", Address: at}, {Protocol: "tcp", Address: at}}
	}
	var out []string
	for i, at := range places {
		if !protocol.PublicUnicast(at.Address.Addr()) && !protocol.Within(net.s.Named, at.Address.Addr()) {
			continue
		}
		line := fmt.Sprintf("candidate:map%d 1 %s %d %s %d typ srflx raddr 0.0.0.0 rport 9", i, at.Protocol, 1694498815-i, at.Address.Addr(), at.Address.Port())
		if at.Protocol == "tcp" {
			line += " tcptype passive"
		}
		out = append(out, line)
	}
	return out
}

// add takes candidates of the device: at once, or when there are rules.
func (n *path) add(more []Candidate) {
	n.mu.Lock()
	room := maxCandidates - n.told
	n.told += len(more)
	rules := n.rules
	if rules == nil {
		n.heard = append(n.heard, first(more, max(room, 0))...)
	}
	n.mu.Unlock()
	if rules != nil {
		n.use(*rules, first(more, max(room, 0)))
	}
}

// use hands what the rules let through to ICE.
func (n *path) use(rules Rules, all []Candidate) {
	var named []Candidate
	for _, c := range all {
		if c.Name != "" {
			named = append(named, c)
			continue
		}
		n.one(rules, c)
	}
	if len(named) == 0 || len(rules.Own) == 0 {
		return
	}
	n.paths.begin(func() {
		names(n.ctx, n.paths.c.Network, first(named, maxNames), func(c Candidate) { n.one(rules, c) })
	})
}

func (n *path) one(rules Rules, c Candidate) {
	if reason := rules.Keep(c); reason != "" {
		n.paths.count(reason)
		return
	}
	kind, err := webrtc.NewICECandidateType(string(c.Kind))
	if err == nil {
		err = n.ice.AddRemoteCandidate(&webrtc.ICECandidate{Foundation: c.Foundation, Priority: c.Priority, Address: c.Addr.String(),
			Protocol: webrtc.ICEProtocolUDP, Port: c.Port, Typ: kind, Component: 1, RelatedAddress: "0.0.0.0", RelatedPort: 9})
	}
	if err != nil {
		n.paths.count(Malformed)
		return
	}
	n.paths.count("used")
}

// run waits for the answer, opens and serves. When it returns nothing of the
// connection is left.
func (n *path) run() {
	defer n.stop()
	defer n.close()
	patience := time.AfterFunc(preparing+opening, func() {
		if !n.opened.Load() {
			n.paths.count("late")
			n.stop()
		}
	})
	defer patience.Stop()
	select {
	case <-n.ready:
	case <-n.ctx.Done():
		return
	}
	defer context.AfterFunc(n.ctx, n.close)() // what is below blocks
	channels := make(chan *Channel, 1)
	if err := n.open(channels); err != nil {
		if n.ctx.Err() == nil {
			n.paths.count("failed")
			n.paths.c.Logger.Debug("direct: a connection did not open", "error", err)
		}
		return
	}
	select {
	case c := <-channels:
		n.opened.Store(true)
		n.paths.count("opened")
		n.paths.c.Network.s.Open(1)
		defer n.paths.c.Network.s.Open(-1)
		n.paths.replace(n)
		n.paths.c.Serve(n.ctx, c)
	case <-n.ctx.Done():
	}
}

// open does ICE, DTLS and SCTP, one after the other. The channel comes later.
func (n *path) open(channels chan<- *Channel) error {
	n.ice.OnConnectionStateChange(func(s webrtc.ICETransportState) {
		if s == webrtc.ICETransportStateFailed || s == webrtc.ICETransportStateClosed {
			n.stop()
		}
	})
	var asked atomic.Bool
	n.sctp.OnDataChannel(func(d *webrtc.DataChannel) {
		if asked.Swap(true) || d.Label() != Label || d.Protocol() != Protocol || !d.Ordered() || d.MaxRetransmits() != nil || d.MaxPacketLifeTime() != nil {
			n.paths.count("channel-bad")
			n.stop()
			return
		}
		d.OnOpen(func() {
			raw, err := d.DetachWithDeadline()
			if err != nil {
				n.paths.count("channel-bad")
				n.stop()
				return
			}
			channels <- &Channel{path: n, raw: raw}
		})
	})
	controlled := webrtc.ICERoleControlled
	if err := n.ice.StartContext(n.ctx, nil, webrtc.ICEParameters{UsernameFragment: n.offer.Ufrag, Password: n.offer.Pwd}, &controlled); err != nil {
		return fmt.Errorf("ice: %w", err)
	}
	err := n.dtls.StartContext(n.ctx, webrtc.DTLSParameters{Role: webrtc.DTLSRoleServer,
		Fingerprints: []webrtc.DTLSFingerprint{{Algorithm: "sha-256", Value: strings.ToLower(n.offer.Fingerprint)}}})
	if err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	if err := n.sctp.Start(webrtc.SCTPCapabilities{MaxMessageSize: maxMessage}); err != nil {
		return fmt.Errorf("sctp: %w", err)
	}
	return nil
}

// close ends what is open, from the top. Whoever calls it waits until that is done.
func (n *path) close() {
	n.mu.Lock()
	ice, dtls, sctp := n.ice, n.dtls, n.sctp
	n.mu.Unlock()
	if ice == nil {
		return
	}
	n.closing.Do(func() {
		if err := errors.Join(sctp.Stop(), dtls.Stop(), ice.GracefulStop()); err != nil {
			n.paths.c.Logger.Debug("direct: a connection did not end well", "error", err)
		}
	})
}
