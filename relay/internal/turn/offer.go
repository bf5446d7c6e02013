package turn

import (
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// Offered is where devices are sent.
type Offered struct {
	STUN, URLs []string
	// Secret is shared with another TURN server, which URLs name; zero: they are this one's.
	Secret protocol.Secret
}

// Offer is the answer to a device that asks how to get past NATs. exp is when the
// device ends, 0 for never. Code: internal.
func (s *Server) Offer(uid protocol.UID, id protocol.DeviceID, exp int64) (handshake.Turn, error) {
	offer := handshake.Turn{Op: handshake.OpTurn, STUN: s.config.Offered.STUN, URLs: []string{}}
	if offer.STUN == nil {
		offer.STUN = []string{}
	}
	if len(s.config.Offered.URLs) == 0 || s.ledger.spent(uid) {
		return offer, nil
	}
	offer.URLs = s.config.Offered.URLs
	if !s.config.Offered.Secret.IsZero() {
		until := s.config.Now().Add(credentialLife)
		if exp != 0 && exp < until.UnixMilli() {
			until = time.UnixMilli(exp)
		}
		offer.Username, offer.Credential = shared(s.config.Offered.Secret, s.credentials.alias(uid), until)
		offer.Until = until.UnixMilli()
		return offer, nil
	}
	var err error
	offer.Username, offer.Credential, offer.Until, err = s.credentials.issue(deviceOf(Device{uid, id}), exp)
	return offer, err
}

// amount is what was relayed for somebody this month, and what is open now.
type amount struct {
	Username    string `json:"username,omitempty"`
	Allocations int    `json:"allocations"`
	Bytes       int64  `json:"bytes"`
}

// traffic is what a person is told; All is the owner's.
type traffic struct {
	Month string   `json:"month"`
	Limit int64    `json:"limit"` // bytes a month for each, 0: none
	Mine  amount   `json:"mine"`
	All   []amount `json:"all,omitempty"`
}

// Routes are the calls of section 17.
func (s *Server) Routes() []gate.Route {
	return []gate.Route{{Method: http.MethodGet, Path: "/api/1/traffic", Token: true, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Handle: s.traffic}}
}

func (s *Server) traffic(call *gate.Call) error {
	answer := traffic{Month: monthOf(s.config.Now()), Limit: s.config.BytesPerMonth}
	answer.Mine.Allocations, answer.Mine.Bytes = s.ledger.used(call.Caller.UID)
	owns, err := s.config.Store.Owns(call.Context(), call.Caller.UID)
	if err != nil {
		return err
	}
	if owns {
		// What was relayed since the last time it was written down belongs in there too.
		if err := s.ledger.write(call.Context()); err != nil {
			return err
		}
		rows, err := s.config.Store.Traffic(call.Context(), answer.Month)
		if err != nil {
			return err
		}
		for _, row := range rows {
			allocations, bytes := s.ledger.used(row.UID)
			answer.All = append(answer.All, amount{row.Username, allocations, max(bytes, row.Bytes)})
		}
	}
	return call.JSON(answer)
}
