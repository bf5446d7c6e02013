package vaults

import (
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

// maxBody is a vault in base64url and its frame.
const maxBody = MaxBlob*4/3 + 1024

// Routes are the calls of section 12 about the vault.
func (s *Vaults) Routes() []gate.Route {
	return []gate.Route{
		{Method: http.MethodGet, Path: "/api/1/vault", Signers: true, Patience: time.Minute, Handle: s.get},
		{Method: http.MethodPut, Path: "/api/1/vault", Signers: true, Patience: time.Minute, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Handle: s.put},
	}
}

func (s *Vaults) get(call *gate.Call) error {
	v, found, err := s.store.Vault(call.Context(), call.Caller.UID)
	if err != nil {
		return err
	}
	if !found {
		return &protocol.Error{Op: "vaults.get", Code: protocol.CodeNotFound}
	}
	return call.JSON(v)
}

func (s *Vaults) put(call *gate.Call) error {
	var v Vault
	if err := call.Body(maxBody, &v); err != nil {
		return err
	}
	if err := s.Put(call.Context(), call.Caller.UID, v); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}
