package queue

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

const (
	keepRows  = 200     // of one answer, and the default
	keepBytes = 1 << 20 // likewise
)

// Keep is the call of section 12 that pages through what is kept.
func Keep(store Store) gate.Route {
	return gate.Route{
		Method: http.MethodGet, Path: "/api/1/keep", Token: true, Patience: time.Minute,
		PerPerson: limit.Rate{N: 300, Per: time.Minute},
		Handle:    func(call *gate.Call) error { return keep(call, store) },
	}
}

func keep(call *gate.Call, store Store) error {
	before, err := call.Int("before", 0)
	if err != nil {
		return err
	}
	count, err := call.Int("limit", keepRows)
	if err != nil {
		return err
	}
	count = max(1, min(count, keepRows))
	// One more than asked for tells whether there is more.
	rows, err := store.Kept(call.Context(), call.Caller.UID, before, int(count)+1, keepBytes)
	if err != nil {
		return err
	}
	type row struct {
		N   int64           `json:"n"`
		Env json.RawMessage `json:"env"`
	}
	var answer struct {
		Rows []row `json:"rows"`
		More bool  `json:"more"`
	}
	answer.Rows = []row{}
	size := 0
	for _, r := range rows {
		if len(answer.Rows) == int(count) {
			answer.More = true
			break
		}
		size += len(r.Raw)
		answer.Rows = append(answer.Rows, row{r.N, r.Raw})
	}
	// A page that was cut by its bytes may not be the last.
	answer.More = answer.More || size+protocol.MaxEnvelope > keepBytes
	return call.JSON(answer)
}
