package accounts

import (
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/elsewhere"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// maxApplication bounds the body of a join: a first vault is small.
const maxApplication = 512 << 10

// joins of one address in a minute (section 12).
const joins = 10

// Routes are the calls of section 12 about people, and that of section 14 about
// people elsewhere. joinsPerMinute of one address, 0: the usual.
func (a *Accounts) Routes(joinsPerMinute int, others *elsewhere.Lookups) []gate.Route {
	if joinsPerMinute == 0 {
		joinsPerMinute = joins
	}
	return []gate.Route{
		{Method: http.MethodPost, Path: "/api/1/join", PerAddress: limit.Rate{N: joinsPerMinute, Per: time.Minute}, Handle: a.join},
		{Method: http.MethodGet, Path: "/api/1/names/:username", PerAddress: limit.Rate{N: 30, Per: time.Minute}, Handle: a.name},
		{Method: http.MethodGet, Path: "/api/1/people/:username", Token: true, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Handle: func(call *gate.Call) error { return a.person(call, others) }},
		{Method: http.MethodGet, Path: "/api/1/recover/:username", PerAddress: limit.Rate{N: 10, Per: time.Hour}, Handle: a.recover},
		{Method: http.MethodPut, Path: "/api/1/contacts/:uid", Signers: true, PerPerson: limit.Rate{N: 120, Per: time.Minute}, Handle: a.contact},
		{Method: http.MethodPut, Path: "/api/1/settings", Signers: true, PerPerson: limit.Rate{N: 30, Per: time.Minute}, Handle: a.settings},
	}
}

func (a *Accounts) join(call *gate.Call) error {
	var app Application
	if err := call.Body(maxApplication, &app); err != nil {
		return err
	}
	if err := a.Join(call.Context(), app); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

// name says whether a name is free, to somebody who may take it: with an open
// invite, or before there is anybody. Code: invite-unknown.
func (a *Accounts) name(call *gate.Call) error {
	username := call.Param("username")
	claimed, err := a.store.Claimed(call.Context())
	if err == nil && claimed {
		err = a.mayJoin(call)
	}
	if err != nil {
		return err
	}
	free := protocol.CheckUsername(username) == nil
	if free {
		taken, err := a.store.NameTaken(call.Context(), username)
		if err != nil {
			return err
		}
		free = !taken
	}
	return call.JSON(struct {
		Free bool `json:"free"`
	}{free})
}

func (a *Accounts) mayJoin(call *gate.Call) error {
	const op = "accounts.mayJoin"
	id, err := protocol.ParseID(call.Query("invite"))
	if err != nil {
		return &protocol.Error{Op: op, Code: protocol.CodeInviteUnknown}
	}
	open, err := a.store.InviteOpen(call.Context(), handshake.InviteHash(id))
	if err == nil && !open {
		err = &protocol.Error{Op: op, Code: protocol.CodeInviteUnknown}
	}
	return err
}

func (a *Accounts) person(call *gate.Call, others *elsewhere.Lookups) error {
	username := call.Param("username")
	there, err := others.Of(call)
	if err != nil {
		return err
	}
	if there != nil {
		person, err := there.Person(call.Context(), username)
		if err != nil {
			return err
		}
		return call.JSON(person)
	}
	uid, err := a.Find(call.Context(), username, call.Caller.UID)
	if err != nil {
		return err
	}
	return call.JSON(struct {
		UID      protocol.UID `json:"uid"`
		Username string       `json:"username"`
	}{uid, username})
}

// recover tells a card's holder whose it is. Who cannot name the card's public key
// learns nothing, not even that there is somebody of that name: the same questions
// are asked of the database, and what is left is reading a few records.
func (a *Accounts) recover(call *gate.Call) error {
	const op = "accounts.recover"
	shown, err := protocol.ParseKey(call.Query("ik"))
	if err != nil {
		return protocol.Refuse(op, protocol.CodeBadRequest, "ik is no key")
	}
	uid, _, err := a.store.CardHolder(call.Context(), call.Param("username"))
	if err != nil {
		return err
	}
	records, err := a.store.Chain(call.Context(), uid, -1)
	if err != nil {
		return err
	}
	ik, found := ident.NewestCard(records)
	if same := subtle.ConstantTimeCompare(ik[:], shown[:]) == 1; !found || !same {
		return &protocol.Error{Op: op, Code: protocol.CodeNotFound}
	}
	return call.JSON(struct {
		UID protocol.UID `json:"uid"`
	}{uid})
}

func (a *Accounts) contact(call *gate.Call) error {
	uid, err := call.UID("uid")
	if err != nil {
		return err
	}
	var body struct {
		State string `json:"state"`
	}
	if err := call.Body(1024, &body); err != nil {
		return err
	}
	if err := a.SetContact(call.Context(), call.Caller.UID, uid, body.State); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

func (a *Accounts) settings(call *gate.Call) error {
	var body struct {
		Findable bool `json:"findable"`
	}
	if err := call.Body(1024, &body); err != nil {
		return err
	}
	defer a.told.WallsChange()()
	if err := a.store.SetFindable(call.Context(), call.Caller.UID, body.Findable); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}
