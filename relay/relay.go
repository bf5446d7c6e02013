// Package relay is one courtyard's server: it puts the rooms under internal
// together and runs them. A relay keeps sealed letters until their owner's home
// has them; it cannot read one, which a test of its imports asserts.
//
// It must never import what seals or opens letters, and never answer for
// something that is not on disk.
package relay

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/courtyard-social/courtyard/frontend"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
	"github.com/courtyard-social/courtyard/relay/internal/admin"
	"github.com/courtyard-social/courtyard/relay/internal/chain"
	"github.com/courtyard-social/courtyard/relay/internal/courtyards"
	"github.com/courtyard-social/courtyard/relay/internal/datadir"
	"github.com/courtyard-social/courtyard/relay/internal/elsewhere"
	"github.com/courtyard-social/courtyard/relay/internal/files"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/handover"
	"github.com/courtyard-social/courtyard/relay/internal/invites"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/pairing"
	"github.com/courtyard-social/courtyard/relay/internal/peer"
	"github.com/courtyard-social/courtyard/relay/internal/push"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
	"github.com/courtyard-social/courtyard/relay/internal/share"
	"github.com/courtyard-social/courtyard/relay/internal/signal"
	"github.com/courtyard-social/courtyard/relay/internal/store"
	"github.com/courtyard-social/courtyard/relay/internal/store/postgres"
	"github.com/courtyard-social/courtyard/relay/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/relay/internal/tokens"
	"github.com/courtyard-social/courtyard/relay/internal/turn"
	"github.com/courtyard-social/courtyard/relay/internal/vaults"
	"github.com/courtyard-social/courtyard/relay/internal/wall"
	"github.com/courtyard-social/courtyard/relay/internal/web"
	"github.com/courtyard-social/courtyard/relay/internal/webfinger"
)

// Surroundings is what a relay takes from outside. The zero value is the real world.
type Surroundings struct {
	Log    *slog.Logger
	Now    func() time.Time
	Random io.Reader
	// Dial opens connections to other courtyards, once their addresses are found to be allowed.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Free measures the free bytes of the data directory's disk.
	Free func() (int64, error)
	// Resolver finds the addresses of other courtyards, nil: the system's.
	Resolver reach.Resolver
	// Roots are whose certificates other courtyards have, nil: the system's.
	Roots *x509.CertPool
	// FramesPerMinute of one socket, 0: the 600 of section 12. A generator of load sets more.
	FramesPerMinute int
	// SocketsPerMinute of one address, 0: the 20 of section 12.
	SocketsPerMinute int
	// JoinsPerMinute of one address, 0: the 10 of section 12.
	JoinsPerMinute int
}

// Relay is an open relay. Close must follow New, after Run if that was called.
type Relay struct {
	config   Config
	settled  settled
	around   Surroundings
	listener net.Listener
	metrics  net.Listener // nil: no metrics
	tls      *share.Port  // nil: a proxy speaks TLS
	cert     *share.Certificate
	sockets  []*turn.Sockets // of STUN and TURN; none: it has none
	notes    []note          // for the operator, once everything is ready
	dir      *datadir.Dir
	store    *store.Store
	counts   *admin.Counts
	writer   *queue.Writer
	hub      *signal.Hub
	push     *push.Room
	tokens   *tokens.Book
	reach    *reach.Dialer
	files    *files.Files
	peers    *peer.Peers
	walls    *wall.Walls
	turn     *turn.Server
	handover *handover.Handovers
	gate     *gate.Gate
	stopping chan struct{} // closed when Run begins to stop
	stopOnce sync.Once
}

// New takes the ports, opens the data (made on the first run, and removed again
// if that fails halfway) and gets everything ready. Errors are sentences for
// the operator.
func New(ctx context.Context, config Config, around Surroundings) (*Relay, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	r := &Relay{config: config, around: around, stopping: make(chan struct{})}
	var err error
	if around.Log == nil {
		r.around.Log = slog.New(slog.DiscardHandler)
	}
	if around.Now == nil {
		r.around.Now = time.Now
	}
	if around.Random == nil {
		r.around.Random = rand.Reader
	}
	if around.Resolver == nil {
		r.around.Resolver = net.DefaultResolver
	}
	// The ports first: a second start by mistake must not touch anything.
	if r.listener, err = listen(config.Listen); err != nil {
		return nil, err
	}
	if config.Metrics != "" {
		if r.metrics, err = listen(config.Metrics); err != nil {
			return nil, errors.Join(err, r.listener.Close())
		}
	}
	// Only now is it certain which port it is.
	if r.settled, err = config.settle(port(r.listener.Addr())); err != nil {
		return nil, errors.Join(err, r.closeAll(true))
	}
	if err := errors.Join(r.takeTLS(), r.takeTurn(ctx)); err != nil {
		return nil, errors.Join(err, r.closeAll(true))
	}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.closeAll(true))
	}
	return r, nil
}

// note is a sentence for the operator.
type note struct {
	warn bool
	text string
}

// takeTLS takes the port of HTTPS, if there is to be one, and reads its certificate.
func (r *Relay) takeTLS() error {
	if r.config.TLSListen == "" {
		return nil
	}
	var err error
	if r.cert, err = share.ReadCertificate(r.config.TLSCert, r.config.TLSKey, r.around.Now); err != nil {
		return err
	}
	l, err := listen(r.config.TLSListen)
	if err != nil {
		return err
	}
	r.tls = share.New(limit.Connections(l, limit.HTTP, r.settled.proxies, func() { r.counts.Dropped("connection") }), r.cert.Get)
	return nil
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program: stop that one or choose another port", address)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return l, nil
}

// open opens the data and puts the rooms together.
func (r *Relay) open(ctx context.Context) error {
	var err error
	if r.dir, err = datadir.Open(r.config.Data, r.around.Random); err != nil {
		return err
	}
	if r.store, err = r.database(ctx); err != nil {
		return err
	}
	claimed, err := r.store.Claimed(ctx)
	if err != nil {
		return err
	}
	if err := r.dir.Fits(claimed); err != nil {
		return err
	}
	if claimed { // the file may have survived a crash just after the claim
		if err := r.dir.Spend(); err != nil {
			return err
		}
	}
	if err := r.store.HomesAway(ctx, r.around.Now().UnixMilli()); err != nil {
		return err
	}
	return r.furnish(ctx)
}

func (r *Relay) database(ctx context.Context) (*store.Store, error) {
	if r.config.Database != "" {
		return postgres.Open(ctx, r.config.Database)
	}
	path, err := r.dir.Database()
	if err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, path)
}

func (r *Relay) furnish(ctx context.Context) error {
	now, key, limits := r.around.Now, r.dir.Key(), r.settled.limits
	free := r.around.Free
	if free == nil {
		free = r.dir.Free
	}
	room := datadir.NewReserve(r.settled.reserve, free, now, r.around.Log).Room
	r.counts = admin.NewCounts(r.store.Statements)
	r.tokens = tokens.New(r.around.Random, now)
	dial := r.around.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	r.reach = reach.New(reach.Config{
		Resolver: r.around.Resolver, Dial: dial,
		Named: r.settled.reach, Roots: r.around.Roots, Counts: r.counts,
	})
	told := &herald{relay: r}
	invitations := invites.New(r.store, told, room, now)
	if err := r.furnishTurn(ctx); err != nil {
		return err
	}
	r.writer = queue.NewWriter(r.store, limits, now, room, told)
	r.hub = signal.New(signal.Config{
		Hosts: r.settled.hosts, Origins: r.settled.patterns(), Key: key, Space: limits.Person,
		Store: r.store, Queue: r.writer, Elsewhere: told, Turn: r.turn, Tokens: r.tokens, Counts: r.counts, Log: r.around.Log,
		Now: now, Random: r.around.Random,
		FramesPerMinute: r.around.FramesPerMinute, SocketsPerMinute: r.around.SocketsPerMinute,
		Ring: told.Ring, Present: told.Present,
	})
	var err error
	if r.push, err = push.New(ctx, push.Config{
		Store: r.store, Client: r.reach.Client(), Presence: r.hub, Counts: r.counts, Log: r.around.Log, Now: now,
		Seed: r.dir.Push(), Host: r.settled.hosts[0], Hosts: r.settled.pushHosts,
		Room: room,
	}); err != nil {
		return err
	}
	site, err := app(r.settled.hosts)
	if err != nil {
		return err
	}
	r.gate = gate.New(gate.Config{
		Hosts: r.settled.hosts, AllowOrigins: r.settled.origins, TrustProxy: r.settled.proxies,
		Tokens: r.tokens, Counts: r.counts, Log: r.around.Log, Now: now, Lost: site.Lost,
	})
	lists, err := courtyards.New(ctx, r.store, r.settled.hosts, func() courtyards.Links { return r.peers }, room, now)
	if err != nil {
		return err
	}
	others := elsewhere.New(r.reach, r.settled.hosts, lists.Refused, now)
	chains := chain.New(r.store, told, room, now)
	people := accounts.New(r.store, r.dir, key.Public(), told, room, now)
	r.files = files.New(r.store, r.settled.hosts, limits, now, room, told.SpacesChanged, told.Dispatched)
	r.handover = handover.New(r.store, room, now)
	r.gate.Add(people.Routes(r.around.JoinsPerMinute, others)...)
	r.gate.Add(webfinger.Route(r.settled.hosts, people))
	r.gate.Add(chains.Routes(others)...)
	r.gate.Add(vaults.New(r.store, chains, told, room, now).Routes()...)
	r.gate.Add(invitations.Routes(others, told)...)
	r.gate.Add(pairing.New(now, r.stopping).Routes()...)
	r.gate.Add(r.handover.Routes()...)
	r.gate.Add(r.files.Routes()...)
	r.peers = peer.New(peer.Config{
		Key: key, Hosts: r.settled.hosts, Store: r.store, Queue: r.writer, Files: r.files, Invites: invitations,
		Lists: lists, Reach: r.reach, Told: told, Log: r.around.Log, Now: now, Random: r.around.Random,
	})
	r.gate.Add(r.peers.Routes()...)
	r.walls = wall.New(wall.Config{
		Hosts: r.settled.hosts, Store: r.store, Chains: chains, Limits: limits, Told: told, Room: room, Now: now, Others: others,
	})
	r.gate.Add(r.walls.Routes()...)
	r.gate.Add(r.push.Routes()...)
	r.gate.Add(lists.Routes()...)
	r.gate.Add(r.turn.Routes()...)
	r.gate.Add(queue.Keep(r.store), r.hub.Route())
	card, err := link.NewCard(key)
	if err != nil {
		return err
	}
	r.gate.Add(admin.Routes(admin.Info{Card: card, Key: key.Public(), Host: r.settled.hosts[0], Version: r.config.Version}, r.store, room, now)...)
	for _, path := range []string{"/", "/app", "/app/", "/app/*", "/i/*"} {
		r.gate.AddHandler(path, site)
	}
	return nil
}

func (r *Relay) furnishTurn(ctx context.Context) (err error) {
	c := &r.settled.calls
	config := turn.Config{
		Sockets: r.sockets, Ports: c.ports, Reach: c.reach, Proxies: r.settled.proxies, Offered: r.offered(),
		BytesPerSecond: c.perSecond, BytesPerMonth: c.perMonth,
		Key: r.dir.Key(), Store: r.store, Log: r.around.Log, Now: r.around.Now, Random: r.around.Random,
	}
	if r.tls != nil {
		config.Streams = r.tls.TURN()
	}
	r.turn, err = turn.New(ctx, config)
	if err == nil {
		r.counts.Watch(r.turn)
	}
	return err
}

func app(hosts []string) (*web.Site, error) {
	dist, built := frontend.Dist()
	return web.New(dist, built, hosts)
}

// URL is where the relay listens, for somebody on the same machine.
func (r *Relay) URL() string {
	host, _, err := net.SplitHostPort(r.listener.Addr().String())
	if err != nil { // a TCP address has both
		panic(err)
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port(r.listener.Addr()))
}

// MetricsURL is where the counters are, "" for nowhere.
func (r *Relay) MetricsURL() string {
	if r.metrics == nil {
		return ""
	}
	return "http://" + r.metrics.Addr().String() + "/metrics"
}

// Key is the relay's public key.
func (r *Relay) Key() protocol.Key32 { return r.dir.Key().Public() }

// closeAll closes what is open; undo also removes what this run has made.
func (r *Relay) closeAll(undo bool) error {
	errs := []error{}
	for _, l := range []net.Listener{r.listener, r.metrics} {
		if l != nil {
			errs = append(errs, unlessClosed(l.Close()))
		}
	}
	if r.tls != nil {
		errs = append(errs, unlessClosed(r.tls.Close()))
	}
	for _, sockets := range r.sockets {
		errs = append(errs, sockets.Close())
	}
	if r.reach != nil {
		r.reach.Close()
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	switch {
	case r.dir == nil:
	case undo:
		errs = append(errs, r.dir.Undo())
	default:
		errs = append(errs, r.dir.Close())
	}
	return errors.Join(errs...)
}

func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close gives everything back. Not while Run is running.
func (r *Relay) Close() error { return r.closeAll(false) }

// newServer is an HTTP server that does not wait for slow clients.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
