package chain

import (
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/elsewhere"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// maxSigned bounds a signed object on the wire: 4 KiB of payload in base64url.
const maxSigned = 8 << 10

// Routes are the calls of section 12 about chains and UEK records, and those of
// section 14 that ask other courtyards for theirs.
func (c *Chains) Routes(others *elsewhere.Lookups) []gate.Route {
	// Somebody with many friends asks for each of them when the app opens.
	many := limit.Rate{N: 600, Per: time.Minute}
	return []gate.Route{
		{Method: http.MethodGet, Path: "/api/1/chains/:uid", PerAddress: many, Handle: func(call *gate.Call) error { return c.get(call, others) }},
		{Method: http.MethodPost, Path: "/api/1/chains/:uid", PerAddress: limit.Rate{N: 30, Per: time.Minute}, Handle: c.post},
		{Method: http.MethodGet, Path: "/api/1/ueks/:uid", PerAddress: many, Handle: func(call *gate.Call) error { return c.getUEK(call, others) }},
		{Method: http.MethodPost, Path: "/api/1/ueks", Signers: true, PerPerson: limit.Rate{N: 30, Per: time.Minute}, Handle: c.postUEK},
	}
}

func (c *Chains) get(call *gate.Call, others *elsewhere.Lookups) error {
	uid, err := call.UID("uid")
	if err != nil {
		return err
	}
	// after = 0 leaves the genesis out; none at all asks for everything.
	after := int64(-1)
	if call.Query("after") != "" {
		if after, err = call.Int("after", -1); err != nil {
			return err
		}
	}
	there, err := others.Of(call)
	if err != nil {
		return err
	}
	var records []protocol.Signed
	if there != nil {
		records, err = there.Records(call.Context(), uid, after)
	} else {
		records, err = c.store.Chain(call.Context(), uid, after)
	}
	if err != nil {
		return err
	}
	if len(records) == 0 && after < 0 {
		return &protocol.Error{Op: "chain.get", Code: protocol.CodeNotFound}
	}
	return call.JSON(struct {
		Records []protocol.Signed `json:"records"`
	}{records})
}

func (c *Chains) post(call *gate.Call) error {
	uid, err := call.UID("uid")
	if err != nil {
		return err
	}
	var rec protocol.Signed
	if err := call.Body(maxSigned, &rec); err != nil {
		return err
	}
	if err := c.Append(call.Context(), uid, rec); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

func (c *Chains) getUEK(call *gate.Call, others *elsewhere.Lookups) error {
	uid, err := call.UID("uid")
	if err != nil {
		return err
	}
	there, err := others.Of(call)
	if err != nil {
		return err
	}
	if there != nil {
		rec, err := there.UEK(call.Context(), uid)
		if err != nil {
			return err
		}
		return call.JSON(rec)
	}
	rec, _, found, err := c.store.UEK(call.Context(), uid)
	if err != nil {
		return err
	}
	if !found {
		return &protocol.Error{Op: "chain.getUEK", Code: protocol.CodeNotFound}
	}
	return call.JSON(rec)
}

func (c *Chains) postUEK(call *gate.Call) error {
	var rec protocol.Signed
	if err := call.Body(maxSigned, &rec); err != nil {
		return err
	}
	if err := c.PutUEK(call.Context(), call.Caller.UID, rec); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}
