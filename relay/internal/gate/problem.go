package gate

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/labstack/echo/v4"
)

// statuses says which HTTP status carries a code; codes not here are 400.
var statuses = map[string]int{
	protocol.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	protocol.CodeNotFound:        http.StatusNotFound,
	protocol.CodeNotAllowed:      http.StatusForbidden,
	protocol.CodeUnauthorized:    http.StatusUnauthorized,
	protocol.CodeRateLimited:     http.StatusTooManyRequests,
	protocol.CodeExpired:         http.StatusGone,
	protocol.CodeIDReused:        http.StatusConflict,
	protocol.CodeNotContact:      http.StatusForbidden,
	protocol.CodeRequestWaiting:  http.StatusConflict,
	protocol.CodeSpaceFull:       http.StatusInsufficientStorage,
	protocol.CodeSenderFull:      http.StatusInsufficientStorage,
	protocol.CodeRelayFull:       http.StatusInsufficientStorage,
	protocol.CodeHomeAway:        http.StatusConflict,
	protocol.CodeChainConflict:   http.StatusConflict,
	protocol.CodeUEKConflict:     http.StatusConflict,
	protocol.CodeVaultConflict:   http.StatusConflict,
	protocol.CodeUsernameTaken:   http.StatusConflict,
	protocol.CodeInviteUnknown:   http.StatusNotFound,
	protocol.CodeClaimUnknown:    http.StatusNotFound,
	protocol.CodePairEmpty:       http.StatusNotFound,
	protocol.CodePairUsed:        http.StatusConflict,
	protocol.CodeHandoverUnknown: http.StatusNotFound,
	protocol.CodeHomeExists:      http.StatusConflict,
	protocol.CodeOrigin:          http.StatusForbidden,
	protocol.CodeInternal:        http.StatusInternalServerError,
	protocol.CodeUnavailable:     http.StatusServiceUnavailable,
	protocol.CodeWallConflict:    http.StatusConflict,
	protocol.CodePerhapsThere:    http.StatusConflict,
	protocol.CodeAddressRefused:  http.StatusBadGateway,
	protocol.CodePeerAway:        http.StatusBadGateway,
	protocol.CodePeerKey:         http.StatusBadGateway,
}

// problem is RFC 9457 with the two members of section 12.
type problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Code   string         `json:"code"`
	Params map[string]any `json:"params"`
}

// fail writes err as a problem, counts it, and logs what the operator should
// know: failures of the relay, never refusals, which are somebody's private matter.
func (g *Gate) fail(err error, e echo.Context) {
	p := problemOf(err)
	g.config.Counts.Refused(p.Code)
	switch p.Code {
	case protocol.CodeInternal:
		g.config.Log.Error("request failed", "route", e.Path(), "err", err)
	case protocol.CodeUnavailable:
		g.config.Log.Warn("request not served", "route", e.Path(), "err", err)
	}
	if e.Response().Committed {
		return
	}
	if wait, ok := p.Params["wait"].(int64); ok && p.Status == http.StatusTooManyRequests {
		e.Response().Header().Set("Retry-After", strconv.FormatInt(wait/1000+1, 10))
	}
	h := e.Response().Header()
	h.Add("Vary", "Accept")
	if g.config.Lost != nil && g.config.Lost(e.Response(), e.Request(), p.Status) {
		return
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if e.Request().Method == http.MethodHead {
		e.Response().WriteHeader(p.Status)
		return
	}
	raw, marshal := json.Marshal(p)
	if marshal != nil {
		g.config.Log.Error("problem does not encode", "code", p.Code, "err", marshal)
		raw = []byte(`{"code":"internal","params":{}}`)
	}
	if err := e.Blob(p.Status, "application/problem+json", raw); err != nil {
		g.config.Log.Debug("client went away", "route", e.Path(), "err", err)
	}
}

func problemOf(err error) problem {
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		code := protocol.CodeBadRequest
		switch he.Code {
		case http.StatusNotFound:
			code = protocol.CodeNotFound
		case http.StatusRequestEntityTooLarge:
			code = protocol.CodeTooLarge
		}
		return problem{"about:blank", http.StatusText(he.Code), he.Code, code, map[string]any{}}
	}
	code, params := protocol.CodeOf(err), map[string]any{}
	if e, ok := errors.AsType[*protocol.Error](err); ok && e.Params != nil {
		params = e.Params
	}
	status, ok := statuses[code]
	if !ok {
		status = http.StatusBadRequest
	}
	return problem{"about:blank", http.StatusText(status), status, code, params}
}
