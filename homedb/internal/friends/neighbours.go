package friends

import (
	"context"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// patience is how long a courtyard that did not answer is left alone. An answer
	// may take ten seconds not to come, and other people's letters wait for it.
	patience = 30 * time.Second
	// mostSilent bounds the courtyards that are remembered as silent; past it all are
	// forgotten, and asked once more.
	mostSilent = 1000
)

// neighbours asks the register, but other courtyards only if they have not just
// been silent: then the answer is peer-away at once.
type neighbours struct {
	register Register
	clock    clock.Clock

	mu     sync.Mutex
	silent map[string]time.Time // since when, by host
}

// Chain is Register.Chain.
func (n *neighbours) Chain(ctx context.Context, host string, uid protocol.UID, after int) ([]protocol.Signed, error) {
	if err := n.may(host); err != nil {
		return nil, err
	}
	records, err := n.register.Chain(ctx, host, uid, after)
	n.heard(host, err)
	return records, err
}

// UEK is Register.UEK.
func (n *neighbours) UEK(ctx context.Context, host string, uid protocol.UID) (protocol.Signed, error) {
	if err := n.may(host); err != nil {
		return protocol.Signed{}, err
	}
	record, err := n.register.UEK(ctx, host, uid)
	n.heard(host, err)
	return record, err
}

func (n *neighbours) may(host string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if since, ok := n.silent[host]; ok && n.clock.Now().Sub(since) < patience {
		return protocol.Refuse("friends", protocol.CodePeerAway, "it has just been silent")
	}
	return nil
}

func (n *neighbours) heard(host string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.silent, host)
	if host == "" || protocol.CodeOf(err) != protocol.CodePeerAway {
		return
	}
	if len(n.silent) >= mostSilent {
		clear(n.silent)
	}
	n.silent[host] = n.clock.Now()
}
