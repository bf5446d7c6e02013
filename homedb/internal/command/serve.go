package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"crypto/rand"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/door"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/homedb/internal/lan"
	"github.com/courtyard-social/courtyard/homedb/internal/metrics"
)

// Serve looks after everybody.
type Serve struct {
	Listen   string   `help:"Address of the home's own small page; empty for none." env:"COURTYARD_HOME_LISTEN" default:"127.0.0.1:8788" placeholder:"HOST:PORT"`
	Name     []string `help:"Further names by which the page may be called, besides addresses, localhost and *.local." env:"COURTYARD_HOME_NAME" placeholder:"NAME"`
	Relay    string   `help:"The courtyard for which a code waits while nobody lives here, such as https://courtyard.example." env:"COURTYARD_HOME_RELAY" placeholder:"URL"`
	Database string   `help:"PostgreSQL (postgres://…) for the logs instead of SQLite files." env:"COURTYARD_HOME_DATABASE" placeholder:"URL"`
	Metrics  string   `help:"Private address for Prometheus figures." env:"COURTYARD_HOME_METRICS" placeholder:"HOST:PORT"`

	Direct       bool     `help:"Let own devices connect straight to this home where the networks allow it. It only dials out; no port is opened." env:"COURTYARD_HOME_DIRECT" default:"true" negatable:""`
	DirectListen string   `help:"Address where own devices may also call this home, by UDP and TCP, such as :8789; for a port that is forwarded, or networks that let nothing else through. Empty for none." env:"COURTYARD_HOME_DIRECT_LISTEN" placeholder:"HOST:PORT"`
	MapPorts     bool     `help:"Ask the router (PCP, NAT-PMP, UPnP) to let own devices in at that port; taken back at the end." env:"COURTYARD_HOME_MAP_PORTS"`
	Reach        []string `help:"Networks, besides the public internet and this home's own, where own devices may be, such as 10.8.0.0/16 behind a VPN. None by default: a device must not make this home send into a private network." env:"COURTYARD_HOME_REACH" placeholder:"CIDR"`
}

const goodbye = 5 * time.Second // for requests to the page that are under way

// Run serves until the context ends.
func (c *Serve) Run(s *session) (err error) {
	counts := metrics.New()
	network, err := c.network(s, counts)
	if err != nil {
		return err
	}
	if network != nil {
		defer func() { err = errors.Join(err, network.Close()) }()
	}
	h, err := s.open(c.Database, c.Relay, counts, network)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	ctx, stop := context.WithCancelCause(s.ctx)
	defer stop(nil)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop(nil)

	address := "no page"
	if c.Listen != "" {
		page, err := lan.New(h, c.Name, rand.Reader, s.logger, counts.Refused)
		if err != nil {
			return err
		}
		l, err := listen(ctx, c.Listen, "--listen")
		if err != nil {
			return err
		}
		address = "http://" + l.Addr().String() + "/"
		serveHTTP(ctx, &all, page.Server(), lan.Bounded(l), stop)
	}
	if c.Metrics != "" {
		l, err := listen(ctx, c.Metrics, "--metrics")
		if err != nil {
			return err
		}
		serveHTTP(ctx, &all, &http.Server{Handler: counts.Handler(), ReadHeaderTimeout: 10 * time.Second}, lan.Bounded(l), stop)
	}
	if l, err := door.Listen(s.data); err != nil {
		s.logger.Warn("the commands offer and pair cannot reach this agent: no socket in the data directory", "error", err)
	} else {
		all.Go(func() { door.Serve(ctx, l, h, s.logger) })
	}
	if network != nil {
		all.Go(func() { network.Run(ctx) })
	}
	all.Go(func() { h.Run(ctx) })
	if code := s.env["COURTYARD_PAIR"]; code != "" {
		if _, err := h.PairOnce(code); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(s.place.Out, "courtyard-home %s is ready: %s (%d people, data in %s)\n", Version, address, h.People(), s.data); err != nil {
		return err
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	s.logger.Info("stopping")
	return nil
}

// network is what direct connections share; nil without them.
func (c *Serve) network(s *session, counts *metrics.Counts) (*direct.Network, error) {
	if !c.Direct {
		if c.DirectListen != "" || c.MapPorts {
			return nil, errors.New("--no-direct does not go with --direct-listen or --map-ports")
		}
		return nil, nil
	}
	var named []netip.Prefix
	for _, text := range c.Reach {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--reach wants networks such as 10.8.0.0/16, not %q", text)
		}
		named = append(named, prefix.Masked())
	}
	return direct.Open(s.ctx, direct.Settings{Named: named, Listen: c.DirectListen, Map: c.MapPorts, Logger: s.logger,
		Counted: counts.Direct, Open: counts.DirectOpen})
}

func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken by another program; choose another address with %s", address, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen on %s; choose a port above 1023 with %s", address, flag)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s (%s): %w", address, flag, err)
	}
	return l, nil
}

func serveHTTP(ctx context.Context, all *sync.WaitGroup, server *http.Server, l net.Listener, stop context.CancelCauseFunc) {
	all.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			stop(err)
		}
	})
	all.Go(func() {
		<-ctx.Done()
		patience, done := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer done()
		if err := server.Shutdown(patience); err != nil {
			server.Close() //nolint:errcheck // whoever is still there has had time
		}
	})
}

// Pair pairs by a typed code.
type Pair struct {
	Code     string `arg:"" help:"What the app shows: host/XXXX-XXXX-XXXX-XXXX."`
	Relay    string `help:"As for serve: how the code's host is reached, if it is this one." env:"COURTYARD_HOME_RELAY" placeholder:"URL"`
	Database string `help:"As for serve." env:"COURTYARD_HOME_DATABASE" placeholder:"URL"`
}

// Run hands the code to the agent that is running, or pairs by itself if none is.
func (c *Pair) Run(s *session) error {
	a, err := door.Ask(s.ctx, s.data, door.Question{Op: "pair", Code: c.Code})
	if errors.Is(err, door.ErrClosed) {
		if a, err = c.alone(s); err == nil && a.Stage == string(household.Paired) {
			_, err = fmt.Fprintln(s.place.Out, "Paired. Start courtyard-home to look after them.")
			return err
		}
	}
	if err != nil {
		return err
	}
	if a.Problem != "" {
		return errors.New(a.Problem)
	}
	if a.Stage != string(household.Paired) {
		return errors.New(ending(household.Stage(a.Stage)))
	}
	_, err = fmt.Fprintln(s.place.Out, "Paired.")
	return err
}

func ending(stage household.Stage) string {
	switch stage {
	case household.Refused:
		return "the two sides do not fit together; make a new code in the app"
	case household.Used:
		return "this code has been used already; make a new one in the app"
	case household.TimedOut:
		return "nobody answered; make a new code in the app"
	}
	return "the courtyard could not be reached, or this machine's disk could not be written; see the log, make a new code and try again"
}

func (c *Pair) alone(s *session) (door.Answer, error) {
	h, err := s.open(c.Database, "", metrics.New(), nil)
	if err != nil {
		return door.Answer{}, err
	}
	ctx, stop := context.WithCancel(s.ctx)
	var all sync.WaitGroup
	all.Go(func() { h.Run(ctx) })
	a := door.Converse(ctx, h, door.Question{Op: "pair", Code: c.Code})
	stop()
	all.Wait()
	return a, h.Close()
}
