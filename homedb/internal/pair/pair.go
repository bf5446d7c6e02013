// Package pair brings a home together with the person it is to look after
// (section 10): the home is the newcomer, the person's app approves. A code that
// both know binds everything they say through the relay's mailbox; the relay
// does not know it.
//
// It must never keep a person whose chain does not list this home and the app
// that approved, nor use a code twice.
package pair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Life is how long a code is good, except one that is part of a claim link.
const Life = 10 * time.Minute

// patience is how long the app may take between two messages, once it has begun.
const patience = 3 * time.Minute

// pause between two questions when the relay cannot be reached.
const pause = 3 * time.Second

// Why a pairing came to nothing.
var (
	// ErrRefused: the other side does not know the code, or something on the way
	// has changed a message, or the chain does not list what it should.
	ErrRefused = errors.New("pairing refused")
	// ErrUsed: somebody has answered to this code before.
	ErrUsed = errors.New("the code has been used")
	// ErrTimeout: nobody answered in time.
	ErrTimeout = errors.New("nobody answered in time")
)

// Relay is the mailbox and what else a pairing asks (gate.Gate).
type Relay interface {
	Info(ctx context.Context) (gate.Info, error)
	Chain(ctx context.Context, uid protocol.UID, after int) ([]protocol.Signed, error)
	GetPair(ctx context.Context, box protocol.ID, step gate.Step) ([]byte, error)
	PutPair(ctx context.Context, box protocol.ID, step gate.Step, message []byte) error
	Place() gate.Place
}

// Pairing is one attempt.
type Pairing struct {
	Relay  Relay
	Code   handshake.Code
	Keys   *ident.DeviceKeys // fresh: a device id is never added to a chain twice
	Clock  clock.Clock
	Random io.Reader
	// Begun is called once the app has shown up, before anything is answered. From
	// then on the code counts as used.
	Begun func()
}

// Paired is who this home is to look after.
type Paired struct {
	UID      protocol.UID
	Username string
	Name     string
	RelayKey protocol.Key32
	Chain    *ident.Chain

	relay Relay
	box   protocol.ID
	done  []byte
}

// Wait waits for the app until ctx ends or, unless life is 0, for that long. It
// returns when the app has approved and the chain lists this home. The person is
// told of success by Confirm, after the home has connected.
func (p *Pairing) Wait(ctx context.Context, life time.Duration) (*Paired, error) {
	box := p.Code.Mailbox()
	a1, err := p.get(ctx, box, gate.A1, life)
	if err != nil {
		return nil, err
	}
	p.Begun()
	info, err := p.Relay.Info(ctx)
	if err != nil {
		return nil, err
	}
	host := p.Relay.Place().Host
	newcomer, n1, err := handshake.NewNewcomer(p.Random, p.Code, p.Keys, info.Key, host, a1)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	err = p.put(ctx, box, gate.N1, n1)
	if protocol.CodeOf(err) == protocol.CodePairUsed {
		return nil, fmt.Errorf("%w: %w", ErrUsed, err)
	}
	if err != nil {
		return nil, err
	}
	a2, err := p.get(ctx, box, gate.A2, patience)
	if err != nil {
		return nil, err
	}
	bundle, err := newcomer.Bundle(a2)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	chain, err := p.chain(ctx, bundle.UID)
	if err != nil {
		return nil, err
	}
	if err := p.check(chain, bundle.UID, newcomer, info.Key, host); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	done, err := newcomer.Done()
	if err != nil {
		return nil, err
	}
	return &Paired{UID: bundle.UID, Username: bundle.Username, Name: bundle.Name, RelayKey: info.Key, Chain: chain,
		relay: p.Relay, box: box, done: done}, nil
}

// check holds the chain against what the pairing has established.
func (p *Pairing) check(chain *ident.Chain, uid protocol.UID, n *handshake.Newcomer, relayKey protocol.Key32, host string) error {
	now := clock.Millis(p.Clock)
	if chain.UID() != uid {
		return errors.New("the chain is somebody else's")
	}
	home, ok := chain.Active(p.Keys.ID(), now)
	if !ok || home.Role != ident.RoleHome {
		return errors.New("the chain does not list this home")
	}
	sign, box := n.App()
	app, ok := chain.ActiveKey(sign, now)
	if !ok || app.Box != box || app.Role != ident.RoleAdmin {
		return errors.New("the chain does not list the app that approved")
	}
	if chain.Relay().Key != relayKey {
		return errors.New("the chain names another relay")
	}
	return nil
}

// chain fetches the chain; the relay may be slow to answer, but what it has
// shown is not asked for twice.
func (p *Pairing) chain(ctx context.Context, uid protocol.UID) (*ident.Chain, error) {
	var records []protocol.Signed
	err := p.insist(ctx, patience, func(ctx context.Context) (err error) {
		records, err = p.Relay.Chain(ctx, uid, -1)
		return err
	})
	if err != nil {
		return nil, err
	}
	chain, err := ident.ParseChain(records)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return chain, nil
}

func (p *Pairing) get(ctx context.Context, box protocol.ID, step gate.Step, life time.Duration) (message []byte, err error) {
	err = p.insist(ctx, life, func(ctx context.Context) (err error) {
		message, err = p.Relay.GetPair(ctx, box, step)
		return err
	})
	return message, err
}

func (p *Pairing) put(ctx context.Context, box protocol.ID, step gate.Step, message []byte) error {
	return p.insist(ctx, patience, func(ctx context.Context) error { return p.Relay.PutPair(ctx, box, step, message) })
}

// insist asks until there is an answer: the mailbox says pair-empty every 25
// seconds, and a relay may be starting just now.
func (p *Pairing) insist(ctx context.Context, life time.Duration, ask func(ctx context.Context) error) error {
	began := p.Clock.Now()
	for {
		asked := p.Clock.Now()
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		code := protocol.CodeOf(err)
		passes := code == protocol.CodePairEmpty || code == protocol.CodeUnavailable || code == protocol.CodeRateLimited
		if !passes {
			return err
		}
		if life > 0 && p.Clock.Now().Sub(began) >= life {
			return fmt.Errorf("%w: %w", ErrTimeout, err)
		}
		if code == protocol.CodePairEmpty && p.Clock.Now().Sub(asked) > pause {
			continue // the relay has let us wait
		}
		if err := p.Clock.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// Confirm tells the app that the home is up.
func (p *Paired) Confirm(ctx context.Context) error {
	return p.relay.PutPair(ctx, p.box, gate.N2, p.done)
}
