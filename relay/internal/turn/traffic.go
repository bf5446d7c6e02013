package turn

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// mostShown bounds the people of one answer, those with the most bytes first.
const mostShown = 500

// amount is what was relayed for somebody this month, and what is open now.
type amount struct {
	Username    string `json:"username,omitempty"`
	Allocations int    `json:"allocations"`
	Bytes       int64  `json:"bytes"`
}

// mine is what everybody is told, all what the owner is.
type mine struct {
	On     bool   `json:"on"` // this relay relays
	Month  string `json:"month"`
	Limit  int64  `json:"limit"`  // bytes a month for each, 0: any
	Second int64  `json:"second"` // bytes a second for each, 0: any
	Mine   amount `json:"mine"`
}

type all struct {
	On     bool     `json:"on"`
	Month  string   `json:"month"`
	Limit  int64    `json:"limit"`
	Second int64    `json:"second"`
	Mine   amount   `json:"mine"`
	All    []amount `json:"all"`
}

// Routes are the calls of section 17.
func (s *Server) Routes() []gate.Route {
	return []gate.Route{{Method: http.MethodGet, Path: "/api/1/traffic", Token: true, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Handle: s.traffic}}
}

func (s *Server) traffic(call *gate.Call) error {
	own := mine{
		On: len(s.config.Sockets) > 0, Month: monthOf(s.config.Now()),
		Limit: s.config.BytesPerMonth, Second: s.config.BytesPerSecond,
	}
	own.Mine.Allocations, own.Mine.Bytes = s.ledger.used(call.Caller.UID)
	owns, err := s.config.Store.Owns(call.Context(), call.Caller.UID)
	if err != nil {
		return err
	}
	if !owns {
		return call.JSON(own)
	}
	// For whom the first was relayed since the last time it was written down belongs in there too.
	if err := s.ledger.write(call.Context()); err != nil {
		return err
	}
	rows, err := s.config.Store.Traffic(call.Context(), own.Month)
	if err != nil {
		return err
	}
	people := make([]amount, 0, len(rows))
	for _, row := range rows {
		allocations, bytes := s.ledger.used(row.UID)
		people = append(people, amount{row.Username, allocations, max(bytes, row.Bytes)})
	}
	return call.JSON(all{own.On, own.Month, own.Limit, own.Second, own.Mine, foremost(people)})
}

// foremost puts those first for whom most was relayed, and leaves out who is beyond mostShown.
func foremost(people []amount) []amount {
	slices.SortStableFunc(people, func(a, b amount) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return people[:min(len(people), mostShown)]
}
