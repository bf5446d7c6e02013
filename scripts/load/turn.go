package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/scripts/crowd"
	"github.com/courtyard-social/courtyard/scripts/load/peer"
)

const (
	// turnAllocations are made at once to see what one costs, in time and memory.
	turnAllocations, turnAllocationsQuick = 960, 240
	// turnEach is how many allocations a person may have on our relay.
	turnEach = 6
	// turnMakers is how many clients make allocations at the same time.
	turnMakers = 8
	// turnMany of the allocations relay at the same time, where more than one does.
	turnMany = 50
)

// turnFlags let the relay relay to this machine. Its limits for each person are in
// force, and as high as they go: here a person is as fast as all people together.
var turnFlags = []string{"--turn", "on", "--turn-listen", "127.0.0.1:0", "--turn-reach", "127.0.0.0/8", "--turn-bandwidth", "1000000", "--turn-month-gib", "1048576"}

// turnServer is one that is compared.
type turnServer struct {
	name    string
	how     string // what there is to say of it; perhaps nothing
	program *crowd.Program
	at      net.Addr
	logins  []login // each for turnEach allocations
	in      *intake
	live    []*allocation
	kib     float64  // of one allocation that is idle
	made    rounds   // of making allocations
	full    []rounds // of relaying at full speed, by case
	paced   []rounds // and at the fixed rate
}

// rounds are what was measured in each.
type rounds struct {
	cpu  []float64 // seconds of the server per million packets, or allocations
	rate []float64 // of them per second
	lost []float64 // share of the packets
}

func (r *rounds) add(c carried) {
	r.cpu, r.rate, r.lost = append(r.cpu, c.cpu), append(r.rate, c.rate), append(r.lost, c.lost)
}

// turnCase is what is relayed.
type turnCase struct {
	up          bool // from clients to peers; else back
	size        int  // bytes
	allocations int
}

// turnCases are a call's sound and its picture, of one call and of many, both ways.
func turnCases() (cases []turnCase) {
	for _, size := range []int{160, 1_200} {
		for _, n := range []int{1, turnMany} {
			cases = append(cases, turnCase{true, size, n}, turnCase{false, size, n})
		}
	}
	return cases
}

func (c turnCase) String() string {
	way, s := "down", ""
	if c.up {
		way = "up"
	}
	if c.allocations > 1 {
		s = "s"
	}
	return fmt.Sprintf("%s B %s, %d allocation%s", digits(float64(c.size)), way, c.allocations, s)
}

// turn compares the relay's TURN with coturn.
func (b *bench) turn(ctx context.Context) (err error) {
	cpus, clients, apart := cores()
	if err := pinSelf(clients); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pinSelf(append(slices.Clone(cpus), clients...))) }()
	servers, close, err := b.turnServers(ctx, pinnedTo(cpus))
	defer func() { err = errors.Join(err, close()) }()
	if err != nil {
		return err
	}
	// Many short rounds: what else the machine does then falls on all alike.
	rounds, packets := 9, 32_000
	if b.quick {
		rounds, packets = 3, 16_000
	}
	for round := range rounds {
		say("turn: round %d of %d", round+1, rounds)
		for _, s := range servers {
			if err := s.open(ctx, b, round == 0); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		for i, c := range turnCases() {
			for _, s := range servers {
				if err := s.play(ctx, i, c, packets); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, c, err)
				}
			}
		}
		for _, s := range servers {
			if err := s.keep(0); err != nil {
				return err
			}
		}
	}
	b.turns = turnTable(servers, fmt.Sprintf("median of %d rounds, one server after the other; %s", rounds, apart))
	return nil
}

func (b *bench) allocations() int {
	if b.quick {
		return turnAllocationsQuick
	}
	return turnAllocations
}

// turnServers starts all that are there; close stops them.
func (b *bench) turnServers(ctx context.Context, pinned []string) (servers []*turnServer, close func() error, err error) {
	var running []interface{ Stop() error }
	close = func() (err error) {
		for _, s := range running {
			err = errors.Join(err, s.Stop())
		}
		return err
	}
	y, err := open(ctx, filepath.Join(b.dir, "turn"), setup{flags: turnFlags, pinned: pinned, noHome: true})
	if err != nil {
		return nil, close, err
	}
	running = append(running, y.relay)
	ours, err := b.ourTurn(ctx, y)
	if err != nil {
		return nil, close, err
	}
	servers = append(servers, ours)
	if !peer.Coturn.There() {
		say("turn: to compare with coturn as well: scripts/bench --peers, as root on Debian, or: apt-get install --no-install-recommends coturn")
		return servers, close, nil
	}
	for _, other := range []struct {
		kind      peer.Kind
		name, how string
	}{{peer.Coturn, "coturn", "as Debian sets it, "}, {peer.CoturnOne, "coturn, one thread", "relay-threads=0, "}} {
		server, err := other.kind.Start(ctx, filepath.Join(b.dir, other.name), pinned)
		if err != nil {
			return nil, close, err
		}
		running = append(running, server)
		s, err := newTurnServer(other.name, server.Program, server.Address())
		if err != nil {
			return nil, close, err
		}
		s.how = other.how + server.Version
		s.logins = slices.Repeat([]login{{peer.CoturnUser, peer.CoturnPassword}}, b.allocations()/turnEach)
		servers = append(servers, s)
	}
	return servers, close, nil
}

func newTurnServer(name string, program *crowd.Program, address string) (*turnServer, error) {
	at, err := net.ResolveUDPAddr("udp4", address)
	n := len(turnCases())
	return &turnServer{name: name, program: program, at: at, in: newIntake(), full: make([]rounds, n), paced: make([]rounds, n)}, err
}

// ourTurn is the relay's, for as many people as it takes.
func (b *bench) ourTurn(ctx context.Context, y *courtyard) (s *turnServer, err error) {
	say("turn: %d people join", b.allocations()/turnEach)
	people, err := y.JoinAll(ctx, b.allocations()/turnEach, "caller")
	if err != nil {
		return nil, err
	}
	for _, p := range people {
		offer, err := offered(ctx, p)
		p.Client.CloseIdleConnections()
		if err != nil {
			return nil, err
		}
		if s == nil {
			i := slices.IndexFunc(offer.URLs, func(u string) bool { return strings.HasSuffix(u, "?transport=udp") })
			if i < 0 {
				return nil, fmt.Errorf("the relay offers no TURN over UDP: %q", offer.URLs)
			}
			address := strings.TrimSuffix(strings.TrimPrefix(offer.URLs[i], "turn:"), "?transport=udp")
			if s, err = newTurnServer("Courtyard", y.relay, address); err != nil {
				return nil, err
			}
		}
		s.logins = append(s.logins, login{offer.Username, offer.Credential})
	}
	return s, nil
}

// offered asks the relay, as a browser does, where TURN is.
func offered(ctx context.Context, p *crowd.Person) (offer handshake.Turn, err error) {
	ctx, stop := context.WithTimeout(ctx, crowd.Patience)
	defer stop()
	s, err := p.Connect(ctx)
	if err != nil {
		return offer, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Write(ctx, []byte(`{"op":"turn"}`)); err != nil {
		return offer, err
	}
	for {
		_, raw, err := s.Conn.Read(ctx)
		if err != nil {
			return offer, err
		}
		if offer, err = handshake.ParseTurn(raw); err == nil {
			return offer, nil
		}
	}
}

// open makes allocations and keeps those that relay; the first time it looks
// what one adds to the server's memory, too.
func (s *turnServer) open(ctx context.Context, b *bench, weigh bool) error {
	rest := turnPatience
	if weigh {
		rest = b.hubSettle()
	}
	if err := idleFor(ctx, rest); err != nil {
		return err
	}
	before, err := s.program.Memory()
	if err != nil {
		return err
	}
	made, err := s.allocateAll(ctx)
	if err != nil {
		return err
	}
	s.made.add(made)
	if err := idleFor(ctx, rest); err != nil {
		return err
	}
	after, err := s.program.Memory()
	if err != nil {
		return err
	}
	if weigh {
		s.kib = (after.Own - before.Own) / float64(len(s.live)) / 1024
	}
	if err := s.keep(turnMany); err != nil {
		return err
	}
	for _, a := range s.live {
		if err := a.bind(ctx); err != nil {
			return err
		}
	}
	return nil
}

// allocateAll makes as many allocations as the logins are for.
func (s *turnServer) allocateAll(ctx context.Context) (c carried, err error) {
	before, err := processor(s.program.PID())
	if err != nil {
		return c, err
	}
	began := clock()
	var makers sync.WaitGroup
	n := len(s.logins) * turnEach
	done, faults := make([]*allocation, n), make([]error, turnMakers)
	for k := range turnMakers {
		makers.Go(func() {
			for i := k; i < n && faults[k] == nil; i += turnMakers {
				done[i], faults[k] = allocate(ctx, s.at, s.logins[i/turnEach], s.in)
			}
		})
	}
	makers.Wait()
	took := clock() - began
	s.live = slices.DeleteFunc(done, func(a *allocation) bool { return a == nil })
	if err := errors.Join(faults...); err != nil {
		return c, errors.Join(err, s.keep(0))
	}
	after, err := processor(s.program.PID())
	return carried{rate: per(n, took), cpu: (after - before).Seconds() * 1e6 / float64(n)}, err
}

// keep gives all allocations back but the first n.
func (s *turnServer) keep(n int) error {
	var errs []error
	for _, a := range s.live[min(n, len(s.live)):] {
		errs = append(errs, a.close())
	}
	s.live = s.live[:min(n, len(s.live))]
	return errors.Join(errs...)
}

// play relays packets of a case, at full speed and at the fixed rate.
func (s *turnServer) play(ctx context.Context, i int, c turnCase, packets int) error {
	if err := idleFor(ctx, hubRest); err != nil { // what is under way still is no part of it
		return err
	}
	var from []*source
	for _, a := range s.live[:c.allocations] {
		from = append(from, a.source(c.up, c.size))
	}
	full, err := s.in.measure(ctx, s.program.PID(), c.size, packets, func(ctx context.Context) error { return s.in.flood(ctx, from, packets) })
	if err != nil {
		return err
	}
	slow := packets / 4
	paced, err := s.in.measure(ctx, s.program.PID(), c.size, slow, func(ctx context.Context) error { return s.in.pour(ctx, from, slow) })
	s.full[i].add(full)
	s.paced[i].add(paced)
	return err
}
