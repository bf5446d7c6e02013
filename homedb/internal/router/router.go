// Package router asks the router of the home's own network to let devices in at
// one port, by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP IGD, whichever it
// speaks. Only the owner of the machine may want that. It must never speak to
// anything but the default gateway, nor ask for another port than its own.
package router

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// lasting is asked for; a router may give less. It is renewed when half is over.
	lasting = time.Hour
	// soonest and later bound the time to the next try.
	soonest = time.Minute
	later   = 5 * time.Minute
	// patience bounds one router's answer to one question, farewell all of the end.
	patience = 3 * time.Second
	farewell = 3 * time.Second
)

// Problems: why the router lets nobody in.
const (
	NoRouter  = "no-router"      // this machine has no default gateway
	NoAnswer  = "no-answer"      // it speaks none of the three, or refuses
	NotPublic = "another-router" // there is another router, or the provider's, behind it
)

// Mapping is a port that the router has opened.
type Mapping struct {
	By       string // pcp, nat-pmp or upnp
	Protocol string // udp or tcp
	External netip.AddrPort
	Until    time.Time
	nonce    [12]byte // PCP
}

// method is one way of asking.
type method interface {
	add(ctx context.Context, protocol string, port uint16, old *Mapping) (Mapping, error)
	remove(ctx context.Context, m Mapping, port uint16) error
}

var errRefused = errors.New("refused by the router")

// Keeper keeps a port mapped, UDP and TCP.
type Keeper struct {
	port    uint16
	log     *slog.Logger
	gateway func() (gateway, local netip.Addr, err error)
	methods func(gateway, local netip.Addr) []method

	mu      sync.Mutex // guards what follows
	mapped  []Mapping
	by      method // that mapped them
	problem string
}

// New makes a keeper of a port; Run does the work.
func New(port uint16, log *slog.Logger) *Keeper {
	return &Keeper{port: port, log: log, gateway: defaultGateway, methods: func(gateway, local netip.Addr) []method {
		at := netip.AddrPortFrom(gateway, pcpPort)
		return []method{&pcp{at}, &natpmp{at}, &igd{gateway: gateway, local: local, search: netip.AddrPortFrom(gateway, ssdpPort)}}
	}}
}

// Run maps, renews, and takes the mapping back when ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for {
		next := k.renew(ctx)
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			k.remove(context.WithoutCancel(ctx))
			return
		}
	}
}

// Mapped is what is open now, and why it is not if it is not.
func (k *Keeper) Mapped() ([]Mapping, string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]Mapping{}, k.mapped...), k.problem
}

// renew asks anew and returns when to do so again.
func (k *Keeper) renew(ctx context.Context) time.Duration {
	gateway, local, err := k.gateway()
	if err != nil {
		k.set(nil, nil, NoRouter, err)
		return later
	}
	k.mu.Lock()
	old, by := k.mapped, k.by
	k.mu.Unlock()
	ways := k.methods(gateway, local)
	if by != nil {
		ways = append([]method{by}, ways...)
	}
	var why error
	for _, m := range ways {
		mapped, err := k.ask(ctx, m, old)
		if ctx.Err() != nil {
			return soonest
		}
		if err == nil {
			problem := ""
			if !protocol.PublicUnicast(mapped[0].External.Addr()) {
				problem = NotPublic
			}
			k.set(mapped, m, problem, nil)
			return max(time.Until(mapped[0].Until)/2, soonest)
		}
		why = errors.Join(why, err)
	}
	k.set(nil, nil, NoAnswer, why)
	return later
}

// ask maps both protocols, or reports why it did not.
func (k *Keeper) ask(ctx context.Context, m method, old []Mapping) ([]Mapping, error) {
	var out []Mapping
	for _, protocol := range []string{"udp", "tcp"} {
		var before *Mapping
		for i := range old {
			if old[i].Protocol == protocol {
				before = &old[i]
			}
		}
		asking, stop := context.WithTimeout(ctx, patience)
		mapping, err := m.add(asking, protocol, k.port, before)
		stop()
		if err != nil {
			for _, half := range out { // both or none
				err = errors.Join(err, m.remove(ctx, half, k.port))
			}
			return nil, err
		}
		out = append(out, mapping)
	}
	return out, nil
}

func (k *Keeper) set(mapped []Mapping, by method, problem string, why error) {
	k.mu.Lock()
	news := problem != k.problem || len(mapped) != len(k.mapped) || len(mapped) > 0 && mapped[0].External != k.mapped[0].External
	k.mapped, k.by, k.problem = mapped, by, problem
	k.mu.Unlock()
	switch {
	case !news:
	case len(mapped) == 0 && problem == "":
		k.log.Info("the router's port is closed again")
	case len(mapped) == 0:
		k.log.Warn("the router does not let devices in", "problem", problem, "error", why)
	default:
		k.log.Info("the router lets devices in", "by", mapped[0].By, "port", mapped[0].External.Port(), "problem", problem)
	}
}

// remove takes back what was mapped.
func (k *Keeper) remove(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, farewell)
	defer stop()
	mapped, _ := k.Mapped()
	k.mu.Lock()
	by := k.by
	k.mu.Unlock()
	for _, m := range mapped {
		if err := by.remove(ctx, m, k.port); err != nil {
			k.log.Warn("the router keeps the port open until its time is over", "protocol", m.Protocol, "until", m.Until, "error", err)
		}
	}
	k.set(nil, nil, "", nil)
}

// question sends a datagram to the router until an answer fits.
func question(ctx context.Context, at netip.AddrPort, ask []byte, fits func(answer []byte) bool) error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at)) // connected: nobody else is heard
	if err != nil {
		return err
	}
	defer conn.Close()
	wait := 250 * time.Millisecond
	buffer := make([]byte, 1100) // RFC 6887, section 7
	for {
		if _, err := conn.Write(ask); err != nil {
			return err
		}
		until := time.Now().Add(wait)
		if end, ok := ctx.Deadline(); ok && end.Before(until) {
			until = end
		}
		if err := conn.SetReadDeadline(until); err != nil {
			return err
		}
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				if ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
					return errors.Join(err, ctx.Err())
				}
				break
			}
			if fits(buffer[:n]) {
				return nil
			}
		}
		wait *= 2
	}
}
