// Package crowd plays the people of a courtyard for programs that measure or
// trouble it: they have real keys, seal and open real letters, and speak with the
// real programs as browsers do. scripts/load and scripts/faults are made of it.
//
// It must never judge what comes of it, and is no client to build on: it keeps
// nothing on disk.
package crowd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Yard is a relay and a home agent that run somewhere, as people see them.
type Yard struct {
	URL  string // of the relay: http[s]://host[:port]
	Host string // host[:port], as everybody dials it
	At   ident.Relay

	Relay, Home         string // the programs, by path: courtyard-relay and courtyard-home
	RelayData, HomeData string

	// Caller makes the client of one more person. The relay's limits are for each
	// address, so each client must call from one of its own.
	Caller func() *http.Client

	last *Person // who invites the next one
}

// Meet asks the relay who it is, and fills in Host and At.
func (y *Yard) Meet(ctx context.Context, client *http.Client) error {
	_, y.Host, _ = strings.Cut(y.URL, "://")
	var info struct {
		Key protocol.Key32 `json:"key"`
	}
	if err := Call(ctx, client, "GET", y.URL+"/api/1/relay", "", nil, &info); err != nil {
		return err
	}
	host, port, err := protocol.SplitHost(y.Host)
	y.At = ident.Relay{Key: info.Key, Host: host, Port: port}
	return err
}

// Join makes somebody an account: the first by the claim, the others by an
// invite of whoever came before.
func (y *Yard) Join(ctx context.Context, username string) (*Person, error) {
	p, application, err := y.Newcomer(username)
	if err != nil {
		return nil, err
	}
	if y.last == nil {
		token, err := exec.CommandContext(ctx, y.Relay, "claim", "--data", y.RelayData).Output()
		if err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
		application["claim"] = strings.TrimSpace(string(token))
	} else if application["invite"], err = y.last.Invite(ctx); err != nil {
		return nil, err
	}
	if err := Call(ctx, p.Client, "POST", y.URL+"/api/1/join", "", application, nil); err != nil {
		return nil, err
	}
	// The token outlives its socket; it is all that is wanted here.
	s, err := p.Connect(ctx)
	if err != nil {
		return nil, err
	}
	p.Token = s.Ready.Token
	y.last = p
	return p, s.Close()
}

// JoinAll makes n accounts.
func (y *Yard) JoinAll(ctx context.Context, n int, called string) ([]*Person, error) {
	all := make([]*Person, n)
	for i := range all {
		var err error
		if all[i], err = y.Join(ctx, fmt.Sprintf("%s%d", called, i+1)); err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
	}
	return all, nil
}

// Pair gives p a place in the household, as an app does it with a code of its own (section 10).
func (y *Yard) Pair(ctx context.Context, p *Person) error {
	ctx, stop := context.WithTimeout(ctx, Patience)
	defer stop()
	code, err := handshake.NewCode(Random)
	if err != nil {
		return err
	}
	typed := exec.CommandContext(ctx, y.Home, "pair", "--data", y.HomeData, handshake.PairingText(y.Host, code))
	typed.Env = Surroundings()
	if err := typed.Start(); err != nil {
		return err
	}
	if err := p.approve(ctx, code); err != nil {
		stop()
		return errors.Join(fmt.Errorf("pairing: %w", err), typed.Wait())
	}
	if err := typed.Wait(); err != nil { // the home has confirmed: it is connected
		return fmt.Errorf("pairing: %w", err)
	}
	return p.Learn(ctx)
}
