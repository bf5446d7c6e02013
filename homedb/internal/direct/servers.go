package direct

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	maxServers = 8
	maxURL     = 300
	// lookup bounds a name, listening how long a STUN server may take.
	lookup    = 2 * time.Second
	listening = time.Second
	// natLasts is how long it is believed whether UDP gets out.
	natLasts = 10 * time.Minute
)

// Servers is what the relay answers to `turn` (section 12).
type Servers struct {
	STUN       []string `json:"stun"`
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
	Until      int64    `json:"until"`
}

// known are the servers with what their names mean. Only such are kept as a
// courtyard may name: at the relay's own host, public, or in a named network.
type known struct {
	stun   []netip.AddrPort
	turn   []string
	relays []netip.Addr
}

func (n *Network) know(ctx context.Context, s Servers, host string) known {
	var k known
	ctx, stop := context.WithTimeout(ctx, lookup)
	defer stop()
	names := map[string][]netip.Addr{}
	resolve := func(url string) ([]netip.Addr, uint16) {
		if len(url) > maxURL {
			return nil, 0
		}
		uri, err := stun.ParseURI(url)
		if err != nil || uri.Port < 1 || uri.Port > 65535 {
			return nil, 0
		}
		addrs, ok := names[uri.Host]
		if !ok {
			addrs = n.addresses(ctx, uri.Host, host)
			names[uri.Host] = addrs
		}
		return addrs, uint16(uri.Port)
	}
	for _, url := range first(s.STUN, maxServers) {
		addrs, port := resolve(url)
		if strings.HasPrefix(url, "stun:") {
			for _, a := range addrs {
				k.stun = append(k.stun, netip.AddrPortFrom(a, port))
			}
		}
	}
	for _, url := range first(s.URLs, maxServers) {
		addrs, _ := resolve(url)
		for _, a := range addrs {
			if !slices.Contains(k.relays, a) {
				k.relays = append(k.relays, a)
			}
		}
		if len(addrs) > 0 && (strings.HasPrefix(url, "turn:") || strings.HasPrefix(url, "turns:")) {
			k.turn = append(k.turn, url)
		}
	}
	return k
}

func first[T any](list []T, n int) []T { return list[:min(len(list), n)] }

// addresses are those of a server's name that may be spoken to.
func (n *Network) addresses(ctx context.Context, name, relay string) []netip.Addr {
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(name); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", name); err != nil {
		n.s.Counted("server-unknown")
		return nil
	}
	out := addrs[:0]
	for _, a := range addrs {
		if a = a.Unmap(); strings.EqualFold(name, relay) || protocol.PublicUnicast(a) || protocol.Within(n.s.Named, a) {
			out = append(out, a)
		}
	}
	return out
}

// nat is what is known of the way out of this network.
type nat struct {
	seen time.Time
	udp  bool // a STUN server has answered
}

// servers are those with which a connection looks for its addresses. An
// allocation at the relay is made only where no UDP gets out: the device brings
// one of its own, and a person has few.
func (n *Network) servers(ctx context.Context, s Servers, k known, now time.Time) []webrtc.ICEServer {
	if len(k.stun) == 0 && len(k.turn) == 0 {
		return nil
	}
	n.mu.Lock()
	last := n.nat
	n.mu.Unlock()
	if now.Sub(last.seen) > natLasts || last.seen.IsZero() {
		last = nat{seen: now, udp: answers(ctx, k.stun)}
		n.mu.Lock()
		n.nat = last
		n.mu.Unlock()
	}
	if last.udp {
		out := webrtc.ICEServer{}
		for _, at := range k.stun {
			out.URLs = append(out.URLs, "stun:"+net.JoinHostPort(at.Addr().String(), strconv.Itoa(int(at.Port()))))
		}
		return []webrtc.ICEServer{out}
	}
	for _, url := range slices.Backward(k.turn) { // the last is the one that gets through most
		if !strings.HasSuffix(url, "?transport=udp") {
			return []webrtc.ICEServer{{URLs: []string{url}, Username: s.Username, Credential: s.Credential}}
		}
	}
	return nil
}

// answers asks STUN servers whether UDP comes back.
func answers(ctx context.Context, servers []netip.AddrPort) bool {
	if len(servers) == 0 {
		return false
	}
	ctx, stop := context.WithTimeout(ctx, listening)
	defer stop()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return false
	}
	defer conn.Close()
	ask := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	_, ok := exchange(ctx, conn, ask, servers, func(m *stun.Message, _ netip.AddrPort) bool {
		return m.Type == stun.BindingSuccess
	})
	return ok
}
