// Package handover keeps the sealed keys of a new device for a day, to be taken
// once (section 10, one-use link).
//
// It must never give one out twice: the second to come must notice.
package handover

import (
	"context"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

const (
	maxSealed = 4 << 10
	life      = 24 * time.Hour
	// perPerson bounds what one person may leave at once.
	perPerson = 8
)

// Store is what the package needs of the database.
type Store interface {
	// SaveHandover keeps sealed until expires, ms. Code: not-allowed if the box is
	// taken or the person has most of them.
	SaveHandover(ctx context.Context, uid protocol.UID, box protocol.ID, sealed []byte, most int, now, expires int64) error
	// TakeHandover removes and returns what is there and has not expired.
	TakeHandover(ctx context.Context, box protocol.ID, now int64) ([]byte, bool, error)
	// SweepHandovers removes what has expired.
	SweepHandovers(ctx context.Context, now int64) error
}

// Handovers is the room of handovers.
type Handovers struct {
	store Store
	room  func() error
	now   func() time.Time
}

// New makes the room. room answers relay-full when the disk's reserve is reached.
func New(store Store, room func() error, now func() time.Time) *Handovers {
	return &Handovers{store: store, room: room, now: now}
}

// Routes are the calls of section 12 about handing over.
func (h *Handovers) Routes() []gate.Route {
	return []gate.Route{
		{Method: http.MethodPut, Path: "/api/1/handover/:box", Signers: true, PerPerson: limit.Rate{N: 10, Per: time.Minute}, Handle: h.put},
		{Method: http.MethodPost, Path: "/api/1/handover/:box/take", PerAddress: limit.Rate{N: 20, Per: time.Minute}, Handle: h.take},
	}
}

func (h *Handovers) put(call *gate.Call) error {
	box, err := call.ID("box", protocol.CodeBadRequest)
	if err != nil {
		return err
	}
	sealed, err := call.Raw(maxSealed)
	if err != nil {
		return err
	}
	if len(sealed) == 0 {
		return protocol.Refuse("handover.put", protocol.CodeBadRequest, "empty")
	}
	if err := h.room(); err != nil {
		return err
	}
	now := h.now()
	if err := h.store.SaveHandover(call.Context(), call.Caller.UID, box, sealed, perPerson, now.UnixMilli(), now.Add(life).UnixMilli()); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

func (h *Handovers) take(call *gate.Call) error {
	box, err := call.ID("box", protocol.CodeHandoverUnknown)
	if err != nil {
		return err
	}
	sealed, found, err := h.store.TakeHandover(call.Context(), box, h.now().UnixMilli())
	if err != nil {
		return err
	}
	if !found {
		return &protocol.Error{Op: "handover.take", Code: protocol.CodeHandoverUnknown}
	}
	return call.Bytes(sealed)
}

// Sweep forgets what nobody took; called now and then.
func (h *Handovers) Sweep(ctx context.Context) error {
	return h.store.SweepHandovers(ctx, h.now().UnixMilli())
}
