// Package turn is STUN and TURN on the relay's one public address: it tells a
// device how it looks from outside, and passes on what two devices cannot send
// each other directly (section 17). pion/turn speaks the protocol; here is what
// keeps it from harm, and from being used for any: framing, whom it relays to,
// for whom, and how much.
//
// It must never relay to this machine's own services or to a network that only it
// can see, never do so for somebody who does not live here, never write down who
// talks to whom, and never end because of a packet.
package turn

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/batch"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
)

const (
	// realm is what clients mix into their keys; it says nothing about anybody.
	realm = "courtyard"
	// perAllocation bounds the peers, and the channels, of an allocation: a browser
	// asks for each address that the other side has told it, which are a dozen.
	perAllocation = 64
	// receiveBuffer is what the kernel keeps of packets that come while this is busy.
	receiveBuffer = 4 << 20
)

// strangers bounds what one address is answered that has no allocation: enough for all
// behind a router, and too little for who would have a third party flooded with answers.
var strangers = limit.Rate{N: 300, Per: 10 * time.Second}

// streams bounds the connections of TURN over TCP and TLS, of one address and in all.
var streams = limit.Share{Each: 8, All: 2000}

// Store is what the package needs of the database.
type Store interface {
	// Revoked lists the devices that were revoked.
	Revoked(ctx context.Context) ([]Device, error)
	// Owns reports whether the relay belongs to a person.
	Owns(ctx context.Context, uid protocol.UID) (bool, error)
	// Traffic lists for whom something was relayed in a month.
	Traffic(ctx context.Context, month string) ([]Traffic, error)
	// AddTraffic adds up, all or nothing, and forgets months before oldest.
	AddTraffic(ctx context.Context, rows []Traffic, oldest string) error
}

// Config is what the server needs.
type Config struct {
	// Sockets are where to listen; none: this relay has no STUN and TURN of its own.
	Sockets []*Sockets
	// Streams bring TURN over TLS, from the port that HTTPS has as well; nil for none.
	Streams net.Listener
	Ports   Ports
	// Reach are networks besides the public internet to which may be relayed.
	Reach []netip.Prefix
	// Proxies pass on the connections of many.
	Proxies        []netip.Prefix
	BytesPerSecond int64 // for a person, 0: any
	BytesPerMonth  int64 // likewise
	Offered        Offered
	Key            protocol.SignSecret
	Store          Store
	Log            *slog.Logger
	Now            func() time.Time
	Random         io.Reader
}

// Server is STUN and TURN. Start it, Stop it.
type Server struct {
	config      Config
	outbox      *batch.Outbox
	addresses   *addresses
	policy      *policy
	credentials *credentials
	ledger      *ledger
	strangers   *limit.Book            // what clients without an allocation are answered
	dropped     tally                  // packets
	refused     tally                  // requests, connections
	gone        struct{ out, in flow } // of allocations that have ended
	turn, stun  *pion.Server           // nil before Start
	busy        sync.WaitGroup         // a part for each goroutine that pion/turn has

	mu      sync.Mutex // all below
	stopped bool
	relays  map[netip.AddrPort]*relayed // by where peers see them
	clients map[client]*relayed
	fronts  map[net.Addr]*front // by the listener's address, as pion/turn has it from there
	open    map[*guard]struct{}
}

// client is from where an allocation was made: pion/turn knows it by that.
type client struct {
	stream bool
	from   netip.AddrPort
	port   uint16 // of the listener
}

func clientOf(from, at net.Addr) client {
	switch a := from.(type) {
	case *net.UDPAddr:
		return client{false, a.AddrPort(), portOf(at)}
	case *net.TCPAddr:
		return client{true, a.AddrPort(), portOf(at)}
	}
	return client{}
}

func portOf(a net.Addr) uint16 {
	switch a := a.(type) {
	case *net.UDPAddr:
		return uint16(a.Port)
	case *net.TCPAddr:
		return uint16(a.Port)
	}
	return 0
}

// New gets everything ready. The sockets are the server's from Start on.
func New(ctx context.Context, config Config) (*Server, error) {
	places := []Place{}
	for _, sockets := range config.Sockets {
		places = append(places, sockets.Place)
	}
	s := &Server{
		config: config, outbox: batch.NewOutbox(), addresses: newAddresses(places),
		dropped: newTally(droppedReasons), refused: newTally(refusedReasons),
		strangers: limit.NewBook(strangers, config.Now),
		relays:    map[netip.AddrPort]*relayed{}, clients: map[client]*relayed{}, fronts: map[net.Addr]*front{}, open: map[*guard]struct{}{},
	}
	seen := []netip.Addr{}
	for _, a := range s.addresses.all {
		seen = append(seen, a.seen)
	}
	var err error
	if s.policy, err = newPolicy(config.Reach, seen, net.InterfaceAddrs); err != nil {
		return nil, err
	}
	denied, err := config.Store.Revoked(ctx)
	if err != nil {
		return nil, err
	}
	s.credentials = newCredentials(config.Key, denied, config.Now, config.Random)
	s.ledger, err = newLedger(ctx, config.Store, config.Now, config.BytesPerMonth)
	return s, err
}

// Start serves until Stop.
func (s *Server) Start() error {
	if len(s.config.Sockets) == 0 {
		return nil
	}
	main, second := pion.ServerConfig{
		Realm: realm, LoggerFactory: silence{}, AuthHandler: s.authenticate, QuotaHandler: s.quota,
		EventHandler: pion.EventHandler{
			OnAllocationCreated: s.created, OnAllocationDeleted: s.deleted,
			OnPermissionCreated: func(_, _ net.Addr, _, _, _ string, relay net.Addr, peer net.IP) { s.permitted(relay, peer, true) },
			OnPermissionDeleted: func(_, _ net.Addr, _, _, _ string, relay net.Addr, peer net.IP) { s.permitted(relay, peer, false) },
			OnChannelCreated:    func(_, _ net.Addr, _, _, _ string, relay, _ net.Addr, _ uint16) { s.channelled(relay, 1) },
			OnChannelDeleted:    func(_, _ net.Addr, _, _, _ string, relay, _ net.Addr, _ uint16) { s.channelled(relay, -1) },
		},
	}, pion.ServerConfig{LoggerFactory: silence{}}
	for _, sockets := range s.config.Sockets {
		here := sockets.Bound
		front, err := s.front(sockets.udp)
		if err != nil {
			return err
		}
		behind, err := s.front(sockets.second)
		if err != nil {
			return err
		}
		generator := &generator{s, here.Addr()}
		main.PacketConnConfigs = append(main.PacketConnConfigs, pion.PacketConnConfig{
			PacketConn: front, RelayAddressGenerator: generator, PermissionHandler: s.permission(here.Port()),
		})
		main.ListenerConfigs = append(main.ListenerConfigs, pion.ListenerConfig{
			Listener: s.stream(sockets.tcp), RelayAddressGenerator: generator, PermissionHandler: s.permission(here.Port()),
		})
		second.PacketConnConfigs = append(second.PacketConnConfigs, pion.PacketConnConfig{PacketConn: behind})
	}
	if s.config.Streams != nil {
		main.ListenerConfigs = append(main.ListenerConfigs, pion.ListenerConfig{
			Listener: s.stream(s.config.Streams), RelayAddressGenerator: &generator{server: s},
			PermissionHandler: s.permission(portOf(s.config.Streams.Addr())),
		})
	}
	s.busy.Add(len(main.PacketConnConfigs) + len(main.ListenerConfigs) + len(second.PacketConnConfigs))
	var err error
	if s.turn, err = pion.NewServer(main); err != nil {
		return err
	}
	s.stun, err = pion.NewServer(second)
	return err
}

// Stop ends all allocations and connections, writes down what they have carried,
// and returns when every goroutine has ended.
func (s *Server) Stop() error {
	s.mu.Lock()
	s.stopped = true
	connections := make([]*guard, 0, len(s.open))
	for g := range s.open {
		connections = append(connections, g)
	}
	s.mu.Unlock()
	var err error
	for _, server := range []*pion.Server{s.turn, s.stun} {
		if server != nil {
			err = errors.Join(err, server.Close())
		}
	}
	for _, g := range connections {
		_ = g.Conn.Close() // pion/turn notices, and closes the guard
	}
	s.busy.Wait()
	within, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	return errors.Join(err, s.ledger.write(within))
}

// Sweep is called every minute: it writes down what was relayed, ends what
// is open of those whose month is used up, and looks which addresses this machine has.
func (s *Server) Sweep(ctx context.Context) error {
	err := errors.Join(s.ledger.write(ctx), s.policy.refresh())
	for _, r := range s.ledger.overdue() {
		s.refused.add(refusedMonth)
		_ = r.Close() // which logs what it has to say
	}
	return err
}

// Revoke ends what a device has, and makes worthless what it was given.
func (s *Server) Revoke(uid protocol.UID, id protocol.DeviceID) {
	d := deviceOf(Device{uid, id})
	s.credentials.deny(d)
	for _, r := range s.ledger.of(uid) {
		if r.device == d {
			_ = r.Close() // which logs what it has to say
		}
	}
}

// authenticate is pion's AuthHandler. What it admits has yet to show that it knows
// the password; what it returns is by whom an allocation may be used.
func (s *Server) authenticate(request *pion.RequestAttributes) (userID string, key []byte, ok bool) {
	claim, password, ok := s.credentials.read(request.Username)
	if !ok || request.Realm != realm {
		s.refused.add(refusedCredential)
		return "", nil, false
	}
	if reason, ok := s.credentials.admits(claim, request.Method == stun.MethodAllocate); !ok {
		s.refused.add(reason)
		return "", nil, false
	}
	if request.Method == stun.MethodRefresh && s.ledger.spent(claim.uid) {
		s.refused.add(refusedMonth)
		return "", nil, false
	}
	return claim.text(), pion.GenerateAuthKey(request.Username, realm, password), true
}

// quota is pion's QuotaHandler.
func (s *Server) quota(userID, _ string, _ net.Addr) bool {
	d, ok := deviceFrom(userID)
	if !ok {
		return false
	}
	reason, ok := s.ledger.may(d.uid)
	if reason == refusedQuota && s.yield(d.uid) {
		reason, ok = s.ledger.may(d.uid)
	}
	if !ok {
		s.refused.add(reason)
	}
	return ok
}

// permission is pion's PermissionHandler for the listener at a port.
func (s *Server) permission(port uint16) pion.PermissionHandler {
	return func(from net.Addr, peer net.IP) bool {
		c := clientOf(from, nil)
		c.port = port
		s.mu.Lock()
		r := s.clients[c]
		s.mu.Unlock()
		switch {
		case !s.policy.allows(peer):
			s.refused.add(refusedPeer)
			return false
		case r == nil || !s.room(r, peer):
			s.refused.add(refusedPermissions)
			return false
		}
		return true
	}
}

// room reports whether an allocation may have a peer. One that it has may be asked for
// again: pion/turn says neither whether it is, nor whether for a channel, of which a peer
// may have several.
func (s *Server) room(r *relayed, peer net.IP) bool {
	addr, _ := netip.AddrFromSlice(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	permitted := *r.permitted.Load()
	if permitted[addr.Unmap()] {
		return r.channels < 2*perAllocation
	}
	return len(permitted) < perAllocation && r.channels < perAllocation
}

// remember is called when the socket of an allocation is there, and created,
// deleted, permitted and channelled by pion/turn as things happen to it.
func (s *Server) remember(r *relayed) {
	s.busy.Add(2) // until it is no longer read, and no longer there
	r.at.set(r.port, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relays[netip.AddrPortFrom(r.at.seen, r.port)] = r
}

func (s *Server) created(from, at net.Addr, _, _, _ string, relay net.Addr, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[clientOf(from, at)] = s.relayAt(relay)
	if f := s.fronts[at]; f != nil {
		f.keep(from)
	}
}

func (s *Server) deleted(from, at net.Addr, _, _, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The client may have made another since.
	if c := clientOf(from, at); s.clients[c] == nil || s.clients[c].left {
		delete(s.clients, c)
		if f := s.fronts[at]; f != nil {
			f.drop(from)
		}
	}
	s.busy.Done()
}

// relayAt finds the socket of an allocation. The caller holds mu.
func (s *Server) relayAt(relay net.Addr) *relayed {
	if a, ok := relay.(*net.UDPAddr); ok {
		at := a.AddrPort()
		return s.relays[netip.AddrPortFrom(at.Addr().Unmap(), at.Port())]
	}
	return nil
}

func (s *Server) permitted(relay net.Addr, peer net.IP, now bool) {
	addr, _ := netip.AddrFromSlice(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.relayAt(relay); r != nil {
		r.permit(addr.Unmap(), now)
	}
}

func (s *Server) channelled(relay net.Addr, delta int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.relayAt(relay); r != nil {
		r.channels += delta
	}
}

// leave is called once, before the socket of an allocation is closed and its port
// may be another's, and settle when it is.
func (s *Server) leave(r *relayed) {
	r.at.set(r.port, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.left = true
	delete(s.relays, netip.AddrPortFrom(r.at.seen, r.port))
	s.gone.out.merge(&r.out)
	s.gone.in.merge(&r.in)
}

func (s *Server) settle(r *relayed) {
	s.ledger.end(r.person, r)
	who := protocol.Hash("turn/log", r.device.uid[:])
	s.config.Log.Info("relayed", "person", hex.EncodeToString(who[:6]), "out", r.out.bytes.Load(), "in", r.in.bytes.Load(),
		"seconds", int64(s.config.Now().Sub(r.began).Seconds()))
}

// holds reports whether an allocation was made over a connection.
func (s *Server) holds(c client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients[c] != nil
}

// silence is pion's logger: it would write who talks to whom.
type silence struct{}

// NewLogger implements logging.LoggerFactory.
func (silence) NewLogger(string) logging.LeveledLogger { return silence{} }

func (silence) Trace(string)          {}
func (silence) Tracef(string, ...any) {}
func (silence) Debug(string)          {}
func (silence) Debugf(string, ...any) {}
func (silence) Info(string)           {}
func (silence) Infof(string, ...any)  {}
func (silence) Warn(string)           {}
func (silence) Warnf(string, ...any)  {}
func (silence) Error(string)          {}
func (silence) Errorf(string, ...any) {}
