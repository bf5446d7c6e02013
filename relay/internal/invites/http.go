package invites

import (
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/relay/internal/elsewhere"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// Routes are the calls of section 12 about invites, and that of section 14 which
// looks at another courtyard's.
func (i *Invites) Routes(others *elsewhere.Lookups, links Elsewhere) []gate.Route {
	few := limit.Rate{N: 30, Per: time.Minute}
	return []gate.Route{
		{Method: http.MethodGet, Path: "/api/1/invites/:id", PerAddress: limit.Rate{N: 60, Per: time.Minute}, Handle: func(call *gate.Call) error { return i.get(call, others) }},
		{Method: http.MethodPost, Path: "/api/1/invites", Signers: true, PerPerson: few, Handle: i.post},
		{Method: http.MethodDelete, Path: "/api/1/invites/:id", Signers: true, PerPerson: few, Handle: i.drop},
		{Method: http.MethodPost, Path: "/api/1/invites/:id/spend", Signers: true, PerPerson: few, Handle: func(call *gate.Call) error { return i.spend(call, others, links) }},
	}
}

func (i *Invites) get(call *gate.Call, others *elsewhere.Lookups) error {
	id, err := call.ID("id", protocol.CodeInviteUnknown)
	if err != nil {
		return err
	}
	there, err := others.Of(call)
	if err != nil {
		return err
	}
	if there != nil {
		invite, err := there.Invite(call.Context(), id)
		if err != nil {
			return err
		}
		return call.JSON(invite)
	}
	invite, found, err := i.store.Invite(call.Context(), handshake.InviteHash(id))
	if err != nil {
		return err
	}
	if !found {
		return &protocol.Error{Op: "invites.get", Code: protocol.CodeInviteUnknown}
	}
	return call.JSON(elsewhere.Invite{UID: invite.UID, Username: invite.Username, Card: invite.Card})
}

func (i *Invites) post(call *gate.Call) error {
	var body struct {
		ID   protocol.Hash32 `json:"id"`
		Card protocol.Bytes  `json:"card"`
	}
	if err := call.Body(MaxCard*4/3+1024, &body); err != nil {
		return err
	}
	if len(body.Card) > MaxCard {
		return &protocol.Error{Op: "invites.post", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxCard}}
	}
	if err := i.room(); err != nil {
		return err
	}
	if err := i.store.SaveInvite(call.Context(), call.Caller.UID, body.ID, body.Card, perPerson, i.now().UnixMilli()); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

// drop takes the hash, which is what the inviter's device put there.
func (i *Invites) drop(call *gate.Call) error {
	hash, err := protocol.ParseHash(call.Param("id"))
	if err != nil {
		return &protocol.Error{Op: "invites.drop", Code: protocol.CodeNotFound}
	}
	if err := i.store.DropInvite(call.Context(), call.Caller.UID, hash); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

func (i *Invites) spend(call *gate.Call, others *elsewhere.Lookups, links Elsewhere) error {
	id, err := call.ID("id", protocol.CodeInviteUnknown)
	if err != nil {
		return err
	}
	there, err := others.Of(call)
	if err != nil {
		return err
	}
	if there != nil {
		if err := links.Spend(call.Context(), there.Host(), id, call.Caller.UID); err != nil {
			return err
		}
		return call.JSON(gate.Empty{})
	}
	if err := i.Spend(call.Context(), id, call.Caller.UID); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}
