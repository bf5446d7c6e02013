// Package direct is the short way between a person's device and this home: a
// WebRTC data channel beside the relay, over which the same requests are answered
// as over the link (section 17). Descriptions travel over the sealed link, so the
// relay can stand in no connection.
//
// It must never send a packet to an address that Rules do not allow, answer
// anybody who is not an active device of the person, or listen unless the owner of
// the machine has said so.
package direct

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"github.com/courtyard-social/courtyard/homedb/internal/router"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

const (
	// maxAll bounds the connections of a home, whoever they are.
	maxAll = 32
	// maxMessage is the largest message of the channel: that of a link (section 11).
	maxMessage = handshake.MaxLinkPlaintext
	// receiveBuffer bounds what a device may have under way to this home. Requests
	// are small, and there are few of them.
	receiveBuffer = 256 << 10
	// gathering bounds how long the home's own addresses are looked for.
	gathering = 3 * time.Second
)

// Settings are what the owner of the machine decides.
type Settings struct {
	// Named are networks besides those of Rules in which devices may be.
	Named []netip.Prefix
	// Listen is where devices may connect, by UDP and by TCP; empty: the home only
	// dials out.
	Listen string
	// Map asks the router to let them in there. It listens at any port without Listen.
	Map    bool
	Logger *slog.Logger
	// Counted counts what happens, Open how many channels there are.
	Counted func(what string)
	Open    func(delta int)
}

// Network is what all connections of one agent share.
type Network struct {
	s     Settings
	slots chan struct{} // one for each connection
	port  uint16        // listening; 0: none
	udp   *ice.UDPMuxDefault
	tcp   *ice.TCPMuxDefault
	maps  *router.Keeper // nil: the router is not asked
}

// Open listens if that is wanted. Run keeps the router's mapping.
func Open(ctx context.Context, s Settings) (*Network, error) {
	n := &Network{s: s, slots: make(chan struct{}, maxAll)}
	if s.Listen == "" && !s.Map {
		return n, nil
	}
	at := s.Listen
	if at == "" {
		at = ":0"
	}
	if err := n.listen(ctx, at); err != nil {
		return nil, err
	}
	if s.Map {
		n.maps = router.New(n.port, s.Logger)
	}
	return n, nil
}

// tries is how many free ports of TCP are looked at before one is found that UDP has
// free as well.
const tries = 32

// listen takes one port, for TCP and for UDP; of port 0, one that is free.
func (n *Network) listen(ctx context.Context, at string) error {
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		return taken(at, err)
	}
	l, conn, err := both(ctx, at)
	for again := 1; port == "0" && errors.Is(err, syscall.EADDRINUSE) && again < tries; again++ {
		l, conn, err = both(ctx, at)
	}
	if err != nil {
		return taken(at, err)
	}
	n.port = netip.MustParseAddrPort(l.Addr().String()).Port()
	log := factory{n.s.Logger}
	n.udp = ice.NewUDPMuxDefault(ice.UDPMuxParams{Logger: log.NewLogger("ice"), UDPConn: conn})
	n.tcp = ice.NewTCPMuxDefault(ice.TCPMuxParams{Listener: newDoor(l, n.s.Counted), Logger: log.NewLogger("ice"), ReadBufferSize: 20, WriteBufferSize: 1 << 20,
		FirstStunBindTimeout: firstWord, AliveDurationForConnFromStun: firstWord})
	return nil
}

// both listens at an address, by TCP and by UDP.
func both(ctx context.Context, at string) (net.Listener, net.PacketConn, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, nil, err
	}
	conn, err := config.ListenPacket(ctx, "udp", l.Addr().String())
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, conn, nil
}

func taken(at string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken by another program; choose another address with --direct-listen", at)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("this user may not listen on %s; choose a port above 1023 with --direct-listen", at)
	}
	return fmt.Errorf("cannot listen on %s (--direct-listen): %w", at, err)
}

// Run keeps the router's mapping until ctx ends, and takes it back then.
func (n *Network) Run(ctx context.Context) {
	if n.maps != nil {
		n.maps.Run(ctx)
	}
}

// Close ends what listens. Every Paths has ended.
func (n *Network) Close() error {
	if n.port == 0 {
		return nil
	}
	return errors.Join(n.tcp.Close(), n.udp.Close())
}

// Port is where it listens; 0: nowhere.
func (n *Network) Port() uint16 { return n.port }

// Status is what Me and Diagnostics show.
type Status struct {
	On     bool    `json:"on"`
	Listen bool    `json:"listen"`
	Open   int     `json:"open"` // channels of this person
	Mapped []Place `json:"mapped,omitempty"`
	// Problem is why the router does not let anybody in, if it was asked: one of
	// router's problems.
	Problem string `json:"problem,omitempty"`
}

// Place is where the router lets devices in.
type Place struct {
	Protocol string         `json:"protocol"`
	Address  netip.AddrPort `json:"address"`
	By       string         `json:"by"`
}

func (n *Network) status() Status {
	s := Status{On: true, Listen: n.port != 0}
	if n.maps != nil {
		var mapped []router.Mapping
		mapped, s.Problem = n.maps.Mapped()
		for _, m := range mapped {
			s.Mapped = append(s.Mapped, Place{Protocol: m.Protocol, Address: m.External, By: m.By})
		}
	}
	return s
}

// take reserves a place for a connection.
func (n *Network) take() bool {
	select {
	case n.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (n *Network) free() { <-n.slots }

// api is pion's, for one connection and its rules.
func (n *Network) api(rules Rules) *webrtc.API {
	var e webrtc.SettingEngine
	e.LoggerFactory = factory{n.s.Logger}
	e.DetachDataChannels()
	e.EnableDataChannelBlockWrite(true) // what the device does not take stays in the log and in the files
	e.SetSCTPMaxReceiveBufferSize(receiveBuffer)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6})
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled) // names are resolved here, so that what they mean is filtered, too
	e.DisableActiveTCP(true)
	e.SetSTUNGatherTimeout(gathering - time.Second)
	e.SetRemoteIPFilter(func(ip net.IP) bool {
		addr, ok := netip.AddrFromSlice(ip)
		if ok && rules.Allows(addr.Unmap()) {
			return true
		}
		n.s.Counted(Elsewhere)
		return false
	})
	e.SetIncludeLoopbackCandidate(n.loopback())
	if n.port != 0 {
		e.SetICEUDPMux(n.udp)
		e.SetICETCPMux(n.tcp)
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(e), webrtc.WithMediaEngine(&webrtc.MediaEngine{}), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
}

// loopback: the operator has named this very machine.
func (n *Network) loopback() bool {
	for _, p := range n.s.Named {
		if p.Addr().IsLoopback() {
			return true
		}
	}
	return false
}

// factory lets pion say what it has to say where it does not fill the log: what
// matters is counted here.
type factory struct{ l *slog.Logger }

func (f factory) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{f.l.With("pion", scope)}
}

type pionLog struct{ l *slog.Logger }

func (p pionLog) say(msg string) {
	if p.l.Enabled(context.Background(), slog.LevelDebug) {
		p.l.Debug("direct: " + msg)
	}
}

func (p pionLog) sayf(format string, args []any) {
	if p.l.Enabled(context.Background(), slog.LevelDebug) {
		p.l.Debug("direct: " + fmt.Sprintf(format, args...))
	}
}

func (p pionLog) Trace(string)                      {}
func (p pionLog) Tracef(string, ...any)             {}
func (p pionLog) Debug(string)                      {}
func (p pionLog) Debugf(string, ...any)             {}
func (p pionLog) Info(msg string)                   { p.say(msg) }
func (p pionLog) Infof(format string, args ...any)  { p.sayf(format, args) }
func (p pionLog) Warn(msg string)                   { p.say(msg) }
func (p pionLog) Warnf(format string, args ...any)  { p.sayf(format, args) }
func (p pionLog) Error(msg string)                  { p.say(msg) }
func (p pionLog) Errorf(format string, args ...any) { p.sayf(format, args) }
