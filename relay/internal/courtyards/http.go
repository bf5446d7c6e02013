package courtyards

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// Routes are the calls of section 14 about other courtyards.
func (c *Courtyards) Routes() []gate.Route {
	few := limit.Rate{N: 60, Per: time.Minute}
	return []gate.Route{
		{Method: http.MethodGet, Path: "/api/1/courtyards", Token: true, PerPerson: few, Handle: c.get},
		{Method: http.MethodPut, Path: "/api/1/courtyards", Signers: true, PerPerson: few, Handle: c.putOnly},
		{Method: http.MethodPut, Path: "/api/1/courtyards/:host", Signers: true, PerPerson: few, Handle: c.put},
	}
}

// owner refuses everybody but the relay's owner. Code: not-allowed.
func (c *Courtyards) owner(call *gate.Call) error {
	owns, err := c.store.Owns(call.Context(), call.Caller.UID)
	if err == nil && !owns {
		err = &protocol.Error{Op: "courtyards.owner", Code: protocol.CodeNotAllowed}
	}
	return err
}

// mostKnown bounds the courtyards of one answer.
const mostKnown = 500

// shown is a courtyard as its owner's neighbour sees it.
type shown struct {
	Host    string `json:"host"`
	People  int    `json:"people"`
	Waiting int    `json:"waiting"`
	In      int    `json:"in"`  // links that it has opened
	Out     int    `json:"out"` // links to it
	Code    string `json:"code,omitempty"`
	Seen    int64  `json:"seen"`
}

// mine is what everybody sees, all what the owner sees besides.
type mine struct {
	Mine []Entry `json:"mine"`
}

type all struct {
	Mine  []Entry `json:"mine"`
	Only  bool    `json:"only"`
	All   []Entry `json:"all"`
	Known []shown `json:"known"`
}

func (c *Courtyards) get(call *gate.Call) error {
	own, err := c.store.List(call.Context(), &call.Caller.UID)
	if err != nil {
		return err
	}
	owns, err := c.store.Owns(call.Context(), call.Caller.UID)
	if err != nil {
		return err
	}
	if !owns {
		return call.JSON(mine{own})
	}
	rules, err := c.store.CourtyardRules(call.Context())
	if err != nil {
		return err
	}
	known, err := c.store.KnownCourtyards(call.Context(), mostKnown)
	if err != nil {
		return err
	}
	return call.JSON(all{own, rules.Only, rules.Entries, c.show(known)})
}

// show puts together what the database knows and what is going on.
func (c *Courtyards) show(known []Known) []shown {
	out, links := []shown{}, c.links().Links()
	for _, k := range known {
		l := links[k.Host]
		delete(links, k.Host)
		out = append(out, shown{k.Host, k.People, k.Waiting, l.In, l.Out, l.Code, k.Seen})
	}
	for host, l := range links {
		if len(out) < mostKnown && !c.own[host] {
			out = append(out, shown{Host: host, In: l.In, Out: l.Out, Code: l.Code})
		}
	}
	slices.SortFunc(out, func(a, b shown) int { return cmp.Compare(a.Host, b.Host) })
	return out
}

func (c *Courtyards) put(call *gate.Call) error {
	const op = "courtyards.put"
	host, err := protocol.ParseHost(call.Param("host"))
	if err != nil {
		return protocol.Refuse(op, protocol.CodeBadRequest, "no host")
	}
	var body struct {
		For   string `json:"for"`
		State string `json:"state"`
	}
	if err := call.Body(1024, &body); err != nil {
		return err
	}
	switch body.For {
	case "me":
		err = c.set(call.Context(), &call.Caller.UID, host, body.State)
	case "all":
		if err = c.owner(call); err == nil {
			err = c.set(call.Context(), nil, host, body.State)
		}
	default:
		err = protocol.Refuse(op, protocol.CodeBadRequest, "for whom")
	}
	if err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

func (c *Courtyards) putOnly(call *gate.Call) error {
	if err := c.owner(call); err != nil {
		return err
	}
	var body struct {
		Only bool `json:"only"`
	}
	if err := call.Body(1024, &body); err != nil {
		return err
	}
	if err := c.setOnly(call.Context(), body.Only); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}
