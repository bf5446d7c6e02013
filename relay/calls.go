package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
	"github.com/courtyard-social/courtyard/relay/internal/turn"
)

// What --turn may say.
const (
	turnOn   = "on"
	turnOff  = "off"
	turnAuto = "auto"
)

// calls is a CallsConfig that has been checked.
type calls struct {
	mode                string
	listen              []netip.AddrPort // empty: what else is set suggests it
	public              []netip.Addr
	ports               turn.Ports
	reach               []netip.Prefix
	other               turn.Offered // another server, if it has URLs
	perSecond, perMonth int64        // bytes of a person, 0: any
}

func (c *CallsConfig) settle() (s calls, err error) {
	s.mode = c.Turn
	if s.mode == "" {
		s.mode = turnAuto
	}
	if s.mode != turnOn && s.mode != turnOff && s.mode != turnAuto {
		return s, fmt.Errorf("--turn is on, off or auto, not %q", c.Turn)
	}
	for _, text := range c.TurnListen {
		at, err := place(text)
		if err != nil {
			return s, err
		}
		s.listen = append(s.listen, at)
	}
	for _, text := range c.PublicIP {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6() || addr.Zone() != "" {
			return s, fmt.Errorf("--public-ip %q is not an address such as 203.0.113.5", text)
		}
		s.public = append(s.public, addr)
	}
	from, to, ok := strings.Cut(c.TurnPorts, "-")
	if c.TurnPorts == "" {
		from, to, ok = "49152", "65535", true
	}
	low, err1 := strconv.ParseUint(from, 10, 16)
	high, err2 := strconv.ParseUint(to, 10, 16)
	if !ok || err1 != nil || err2 != nil || low < 1024 || high < low {
		return s, fmt.Errorf("--turn-ports %q is not like 49152-65535, from 1024 on", c.TurnPorts)
	}
	s.ports = turn.Ports{From: uint16(low), To: uint16(high)}
	if s.reach, err = networks("--turn-reach", c.TurnReach); err != nil {
		return s, err
	}
	if c.TurnBandwidth < 0 || c.TurnBandwidth > 1e6 || c.TurnMonthGiB < 0 || c.TurnMonthGiB > 1<<20 {
		return s, errors.New("--turn-bandwidth must be 0 to 1000000 Mbit/s, --turn-month-gib 0 to 1048576")
	}
	s.perSecond, s.perMonth = c.TurnBandwidth*1e6/8, c.TurnMonthGiB<<30
	s.other, err = c.another(s.mode)
	return s, err
}

// place reads IP or IP:PORT.
func place(text string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(text)
	if addr, alone := netip.ParseAddr(text); alone == nil {
		at, err = netip.AddrPortFrom(addr, turn.StandardPort), nil
	}
	switch addr := at.Addr(); {
	case err != nil || addr.Is4In6() || addr.IsMulticast():
		return at, fmt.Errorf("--turn-listen %q is not IP or IP:PORT", text)
	case addr.IsUnspecified():
		return at, fmt.Errorf("--turn-listen %q: name an address of this machine, since answers must come from where the question went", text)
	case at.Port() == 1<<16-1:
		return at, fmt.Errorf("--turn-listen %q: the next port is needed too", text)
	}
	return at, nil
}

// another reads which other TURN server people are sent to.
func (c *CallsConfig) another(mode string) (turn.Offered, error) {
	o := turn.Offered{}
	switch {
	case len(c.TurnServer) == 0 && c.TurnSecret == "":
		return o, nil
	case len(c.TurnServer) == 0 || c.TurnSecret == "":
		return o, errors.New("--turn-server and --turn-secret belong together: set both or none")
	case mode == turnOn:
		return o, errors.New("--turn on and --turn-server name two servers: choose one")
	}
	o.Secret = protocol.SecretOf([]byte(c.TurnSecret))
	for _, text := range c.TurnServer {
		stun, err := server(text)
		if err != nil {
			return o, err
		}
		o.URLs = append(o.URLs, text)
		if stun != "" && !slices.Contains(o.STUN, stun) {
			o.STUN = append(o.STUN, stun)
		}
	}
	return o, nil
}

// server checks the URL of a TURN server (RFC 7065) and says where its STUN is, ""
// for one that speaks TLS.
func server(text string) (stun string, err error) {
	bad := fmt.Errorf("--turn-server %q is not like turn:turn.example:3478?transport=udp", text)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "turn" && u.Scheme != "turns" || u.Opaque == "" || u.Fragment != "" {
		return "", bad
	}
	if u.RawQuery != "" && u.RawQuery != "transport=udp" && u.RawQuery != "transport=tcp" {
		return "", bad
	}
	name, port, err := protocol.SplitHost(u.Opaque)
	if err != nil {
		return "", bad
	}
	if u.Scheme == "turns" {
		return "", nil
	}
	if !strings.HasSuffix(u.Opaque, ":"+strconv.Itoa(port)) { // none given; 443 is the default of hosts, not of STUN
		port = turn.StandardPort
	}
	return "stun:" + net.JoinHostPort(name, strconv.Itoa(port)), nil
}

// takeTurn takes the ports of STUN and TURN, if they are to be had. An error is for
// an operator who has said that he wants them.
func (r *Relay) takeTurn(ctx context.Context) error {
	c := &r.settled.calls
	if c.mode == turnOff || c.mode == turnAuto && len(c.other.URLs) > 0 {
		return nil
	}
	err := r.listenTurn(ctx)
	if err == nil || c.mode == turnOn {
		return err
	}
	for _, sockets := range r.sockets {
		err = errors.Join(err, sockets.Close())
	}
	r.sockets = nil
	r.notes = append(r.notes, note{warn: true, text: "no STUN and TURN, so calls will not always get through: " + err.Error()})
	return nil
}

func (r *Relay) listenTurn(ctx context.Context) error {
	bound := r.settled.calls.listen
	if len(bound) == 0 {
		bound = suggested(r.listener.Addr(), r.settled.hosts[0])
	}
	if len(bound) == 0 {
		return errors.New("this machine has no address to listen on: name one with --turn-listen")
	}
	for _, at := range bound {
		seen, why := r.seen(ctx, at.Addr())
		sockets, err := turn.Listen(turn.Place{Bound: at, Seen: seen})
		if err != nil {
			return err
		}
		r.sockets = append(r.sockets, sockets)
		text := fmt.Sprintf("STUN and TURN at %s", sockets.Bound)
		if seen != at.Addr() {
			text += fmt.Sprintf(", which the internet sees as %s", seen)
		}
		if why != "" {
			text += " " + why
		}
		r.notes = append(r.notes, note{text: text})
		if at.Addr().IsPrivate() && !protocol.PublicUnicast(seen) && seen == at.Addr() {
			r.notes = append(r.notes, note{warn: true, text: fmt.Sprintf("calls from outside this network cannot be relayed: "+
				"the address under which the internet sees %s is not known, say it with --public-ip", seen)})
		}
	}
	return nil
}

// suggested is where STUN and TURN are listened for if nobody has said it: where
// HTTP is, if that is one address; where this machine's way out begins, if HTTP is
// everywhere, or behind a proxy on this machine while people come from elsewhere.
func suggested(http net.Addr, host string) []netip.AddrPort {
	found := []netip.AddrPort{}
	tcp, ok := http.(*net.TCPAddr)
	if !ok {
		return found
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if name, _, err := protocol.SplitHost(host); !addr.IsUnspecified() && (!addr.IsLoopback() || err == nil && reach.Plain(name)) {
		return append(found, netip.AddrPortFrom(addr, turn.StandardPort))
	}
	// Of the addresses to which these stand for no packet is sent: only the route is asked for.
	if four := outward("udp4", "192.0.2.1:9"); four.IsValid() {
		found = append(found, netip.AddrPortFrom(four, turn.StandardPort))
	}
	if six := outward("udp6", "[2001:db8::1]:9"); protocol.PublicUnicast(six) {
		found = append(found, netip.AddrPortFrom(six, turn.StandardPort))
	}
	return found
}

// outward is the address from which this machine would send to another.
func outward(network, to string) netip.Addr {
	conn, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{} // no way there
	}
	defer conn.Close() //nolint:errcheck // nothing was written to it
	if udp, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		return udp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// lookup is how long finding the courtyard's own name may take.
const lookup = 3 * time.Second

// seen is the address under which the internet sees one of this machine, as far as
// that can be told without asking a stranger; why is a word about how.
func (r *Relay) seen(ctx context.Context, bound netip.Addr) (seen netip.Addr, why string) {
	for _, addr := range r.settled.calls.public {
		if addr.Is6() == bound.Is6() {
			return addr, ""
		}
	}
	name, _, err := protocol.SplitHost(r.settled.hosts[0])
	if err != nil || !bound.IsPrivate() {
		return bound, ""
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr.Is6() == bound.Is6() && !addr.IsLoopback() {
			return addr, "(--host)"
		}
		return bound, ""
	}
	if reach.Plain(name) {
		return bound, ""
	}
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	found, err := r.around.Resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return bound, ""
	}
	for _, addr := range found {
		if addr = addr.Unmap(); addr.Is6() == bound.Is6() && protocol.PublicUnicast(addr) {
			return addr, "(where " + name + " leads)"
		}
	}
	return bound, ""
}

// offered is where devices are sent: the courtyard's name, or, if that is none, its
// addresses.
func (r *Relay) offered() turn.Offered {
	if len(r.settled.calls.other.URLs) > 0 {
		return r.settled.calls.other
	}
	o := turn.Offered{}
	udp, tcp, tls := []string{}, []string{}, []string{}
	add := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, sockets := range r.sockets {
		name, tlsPort, err := protocol.SplitHost(r.settled.hosts[0])
		if err != nil { // it has been checked
			panic(err)
		}
		if _, err := netip.ParseAddr(name); err == nil || reach.Plain(name) {
			name = sockets.Seen.String()
		}
		at := func(port int) string { return net.JoinHostPort(name, strconv.Itoa(port)) }
		port := int(sockets.Bound.Port())
		add(&o.STUN, "stun:"+at(port))
		add(&o.STUN, "stun:"+at(port+1))
		add(&udp, "turn:"+at(port)+"?transport=udp")
		add(&tcp, "turn:"+at(port)+"?transport=tcp")
		if r.tls != nil {
			if r.config.Host == "" {
				tlsPort = r.tls.HTTP().Addr().(*net.TCPAddr).Port
			}
			add(&tls, "turns:"+at(tlsPort)+"?transport=tcp")
		}
	}
	o.URLs = slices.Concat(udp, tcp, tls)
	return o
}
