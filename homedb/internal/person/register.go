package person

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol"
)

// register asks the relay for chains and records, with the token of the line there
// is: for people of other courtyards it wants to know who asks.
type register struct{ p *Person }

func (r register) Chain(ctx context.Context, host string, uid protocol.UID, after int) ([]protocol.Signed, error) {
	token, err := r.p.tokenFor(host)
	if err != nil {
		return nil, err
	}
	return r.p.c.Gate.ChainAt(ctx, token, host, uid, after)
}

func (r register) UEK(ctx context.Context, host string, uid protocol.UID) (protocol.Signed, error) {
	token, err := r.p.tokenFor(host)
	if err != nil {
		return protocol.Signed{}, err
	}
	return r.p.c.Gate.UEKAt(ctx, token, host, uid)
}

// named is whose username that is at host ("" for the own courtyard).
func (p *Person) named(ctx context.Context, host, username string) (protocol.UID, error) {
	return p.c.Gate.Named(ctx, p.token(), host, username)
}

// tokenFor is the token a lookup needs; without a line none can be made elsewhere.
func (p *Person) tokenFor(host string) (string, error) {
	token := p.token()
	if host != "" && token == "" {
		return "", protocol.Refuse("person.register", protocol.CodeUnavailable, "no connection to the relay")
	}
	return token, nil
}
