package peer

import (
	"context"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// Grant lets another relay send hop records by way of this one.
type Grant struct {
	Host  string
	Relay protocol.Key32
	Until int64 // ms; in the past: withdrawn or over
	Daily int64 // bytes a day
	Day   int64 // the day that Used is of, since 1970
	Used  int64
}

const (
	// grantNumber is above every parcel's: those are counted from 1.
	grantNumber = 1 << 52
	maxGrants   = 200
	longestTime = 366 * 24 * time.Hour
	mostDaily   = 1 << 40
)

// grants are the calls of section 14 for the owner.
func (p *Peers) grantRoutes() []gate.Route {
	few := limit.Rate{N: 60, Per: time.Minute}
	return []gate.Route{
		{Method: http.MethodGet, Path: "/api/1/grants", Signers: true, PerPerson: few, Handle: p.listGrants},
		{Method: http.MethodPut, Path: "/api/1/grants/:host", Signers: true, PerPerson: few, Handle: p.putGrant},
	}
}

// owner refuses everybody but the relay's owner. Code: not-allowed.
func (p *Peers) owner(call *gate.Call) error {
	owns, err := p.config.Store.Owns(call.Context(), call.Caller.UID)
	if err == nil && !owns {
		err = &protocol.Error{Op: "peer.owner", Code: protocol.CodeNotAllowed}
	}
	return err
}

// shownGrant is a row of GET /api/1/grants.
type shownGrant struct {
	Host  string `json:"host"`
	Until int64  `json:"until"`
	Daily int64  `json:"daily"`
	Used  int64  `json:"used"` // today
}

func (p *Peers) listGrants(call *gate.Call) error {
	if err := p.owner(call); err != nil {
		return err
	}
	grants, err := p.config.Store.Grants(call.Context())
	if err != nil {
		return err
	}
	now := p.config.Now()
	answer := struct {
		Grants []shownGrant `json:"grants"`
	}{[]shownGrant{}}
	for _, g := range grants {
		if g.Until <= now.UnixMilli() {
			continue
		}
		if g.Day != now.Unix()/86400 {
			g.Used = 0
		}
		answer.Grants = append(answer.Grants, shownGrant{g.Host, g.Until, g.Daily, g.Used})
	}
	return call.JSON(answer)
}

// putGrant gives or changes a grant, or withdraws it (until 0). The relay there is
// asked for its key; a grant is for that key, not for whoever has the name later.
func (p *Peers) putGrant(call *gate.Call) error {
	const op = "peer.putGrant"
	if err := p.owner(call); err != nil {
		return err
	}
	host, err := protocol.ParseHost(call.Param("host"))
	if err != nil || p.own(host) {
		return protocol.Refuse(op, protocol.CodeBadRequest, "host")
	}
	var body struct {
		Until int64 `json:"until"`
		Daily int64 `json:"daily"`
	}
	if err := call.Body(1024, &body); err != nil {
		return err
	}
	now := p.config.Now()
	if body.Until < 0 || body.Until > now.Add(longestTime).UnixMilli() || body.Daily < 0 || body.Daily > mostDaily {
		return protocol.Refuse(op, protocol.CodeBadRequest, "until or daily")
	}
	grants, err := p.config.Store.Grants(call.Context())
	if err != nil {
		return err
	}
	g := Grant{Host: host, Until: body.Until, Daily: body.Daily, Day: now.Unix() / 86400}
	known := false
	for _, old := range grants {
		if old.Host == host {
			g.Relay, known = old.Relay, true
		}
	}
	if body.Until > 0 {
		if !known && len(grants) >= maxGrants {
			return &protocol.Error{Op: op, Code: protocol.CodeNotAllowed, Params: map[string]any{"limit": maxGrants}}
		}
		if g.Relay, err = p.keyOf(call.Context(), host); err != nil {
			return err
		}
	} else if !known {
		return call.JSON(gate.Empty{})
	}
	if err := p.config.Store.SaveGrant(call.Context(), g); err != nil {
		return err
	}
	p.announce(host)
	return call.JSON(gate.Empty{})
}

// keyOf meets the relay at host and says which it is. Codes: as dial's.
func (p *Peers) keyOf(ctx context.Context, host string) (protocol.Key32, error) {
	if !p.enter() {
		return protocol.Key32{}, &protocol.Error{Op: "peer.keyOf", Code: protocol.CodeUnavailable}
	}
	defer p.all.Done()
	l, peer, err := p.dial(ctx, host)
	if err != nil {
		return protocol.Key32{}, err
	}
	l.conn.CloseNow() //nolint:errcheck // only its key was asked for
	return peer.Key, nil
}

// announce makes the courier for host tell what is granted there, as each of them
// does when it connects.
func (p *Peers) announce(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.courierLocked(host); c != nil {
		c.proclaim()
	}
}

// tellGrant sends what is granted to the relay at the other end, if anything
// is or was.
func (c *courier) tellGrant(ctx context.Context) error {
	grants, err := c.peers.config.Store.Grants(ctx)
	if err != nil {
		c.trouble(ctx, "grants not read", err)
		return nil
	}
	for _, g := range grants {
		if g.Relay != c.pins.relay {
			continue
		}
		if g.Until <= c.peers.config.Now().UnixMilli() {
			g.Until = 0
		}
		// Not to be taken for a parcel's number when it is answered.
		return c.line.write(link.Request{Op: link.OpGrant, N: grantNumber, Until: g.Until})
	}
	return nil
}

// granted notes what the relay that has called allows this one.
func (g *guest) granted(r link.Request) (link.Response, error) {
	err := g.peers.config.Store.SaveDetour(g.ctx, Detour{Relay: g.pins.relay, Host: g.host, Until: r.Until}, maxDetours)
	return link.Response{Op: link.OpAccepted}, err
}
