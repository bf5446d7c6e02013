package peer

import (
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// Routes are the calls of section 14 about what waits.
func (p *Peers) Routes() []gate.Route {
	return append(p.grantRoutes(), p.Route(), gate.Route{
		Method: http.MethodGet, Path: "/api/1/outbound", Token: true, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Handle: p.outbound,
	}, gate.Route{
		Method: http.MethodDelete, Path: "/api/1/outbound/:id", Token: true, PerPerson: limit.Rate{N: 600, Per: time.Minute}, Handle: p.takeBack,
	})
}

// maxWaiting bounds one answer, rows.
const maxWaiting = 200

// waiting is a row of GET /api/1/outbound.
type waiting struct {
	N     int64        `json:"n"`
	ID    protocol.ID  `json:"id"`
	To    protocol.UID `json:"to"`
	Host  string       `json:"host"`
	Since int64        `json:"since"`
	Tries int          `json:"tries"`
	Code  string       `json:"code,omitempty"`
}

// outbound tells a person what waits here for others, and why.
func (p *Peers) outbound(call *gate.Call) error {
	after, err := call.Int("after", 0)
	if err != nil {
		return err
	}
	limit, err := call.Int("limit", maxWaiting)
	if err != nil {
		return err
	}
	limit = min(max(limit, 1), maxWaiting)
	parcels, err := p.config.Store.Waiting(call.Context(), call.Caller.UID, after, int(limit)+1)
	if err != nil {
		return err
	}
	answer := struct {
		Rows []waiting `json:"rows"`
		More bool      `json:"more"`
	}{[]waiting{}, len(parcels) > int(limit)}
	for _, parcel := range parcels[:min(len(parcels), int(limit))] {
		row := waiting{N: parcel.N, ID: parcel.ID, To: parcel.To, Host: parcel.Host, Since: parcel.At}
		if c := p.courier(parcel.Host); c != nil {
			state := c.State()
			row.Tries, row.Code = state.Tries, state.Code
			if lane, ok := state.Lanes[parcel.To]; ok && state.Code == "" {
				row.Tries, row.Code = lane.Tries, lane.Code
			}
		}
		answer.Rows = append(answer.Rows, row)
	}
	return call.JSON(answer)
}
