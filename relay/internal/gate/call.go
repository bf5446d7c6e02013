package gate

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/tokens"
	"github.com/labstack/echo/v4"
)

// Call is one request on its way through a handler.
type Call struct {
	Caller tokens.Caller // zero unless the route asks for a token
	e      echo.Context
	gate   *Gate
	slot   func() // gives back what a large body holds, until the call is answered; nil for none
}

// Context ends when the client goes away.
func (c *Call) Context() context.Context { return c.e.Request().Context() }

// Request is the request.
func (c *Call) Request() *http.Request { return c.e.Request() }

// Writer is where the answer goes.
func (c *Call) Writer() http.ResponseWriter { return c.e.Response() }

// Address is the key of the caller's address for limits; see limit.Address.
func (c *Call) Address() string { return limit.Address(c.e.RealIP()) }

// IP is the caller's address, "" if there is none: with a proxy that the operator
// trusts, the one that it has forwarded.
func (c *Call) IP() string {
	addr, err := netip.ParseAddr(c.e.RealIP())
	if err != nil {
		return ""
	}
	return addr.Unmap().WithZone("").String()
}

// Identify finds the caller by token, on a route that needs one only sometimes.
// Codes: unauthorized, rate-limited.
func (c *Call) Identify() error {
	if c.Caller != (tokens.Caller{}) {
		return nil
	}
	return c.gate.identify(c, false)
}

// Wait gives the client so long, from now, to send its body, and as long again
// to take the answer.
func (c *Call) Wait(patience time.Duration) error {
	control, now := http.NewResponseController(c.e.Response()), time.Now()
	if err := errors.Join(control.SetReadDeadline(now.Add(patience)), control.SetWriteDeadline(now.Add(2*patience))); err != nil {
		return &protocol.Error{Op: "gate.Wait", Code: protocol.CodeInternal, Cause: err}
	}
	return nil
}

// Param is a part of the path, as it stands there.
func (c *Call) Param(name string) string { return c.e.Param(name) }

// Query is a parameter of the query, "" if absent.
func (c *Call) Query(name string) string { return c.e.QueryParam(name) }

// Int is a parameter of the query as an integer from 0 to 2^53, or otherwise if absent.
func (c *Call) Int(name string, otherwise int64) (int64, error) {
	text := c.Query(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0, bad("gate.Int", name+" is no number")
	}
	return n, nil
}

// UID is a part of the path as a uid. What is none belongs to nobody: not-found.
func (c *Call) UID(name string) (protocol.UID, error) {
	uid, err := protocol.ParseUID(c.Param(name))
	if err != nil {
		return uid, &protocol.Error{Op: "gate.UID", Code: protocol.CodeNotFound}
	}
	return uid, nil
}

// ID is a part of the path as an id; code if it is none.
func (c *Call) ID(name, code string) (protocol.ID, error) {
	id, err := protocol.ParseID(c.Param(name))
	if err != nil {
		return id, &protocol.Error{Op: "gate.ID", Code: code}
	}
	return id, nil
}

// Body reads a JSON body of at most most bytes into v, which names the keys it
// needs; others are allowed. Codes: bad-request, too-large, and rate-limited or
// unavailable if too many large bodies are under way.
func (c *Call) Body(most int64, v any) error {
	raw, err := c.read("application/json", most)
	if err != nil {
		return err
	}
	return protocol.DecodeOpen(raw, v, 8)
}

// Raw reads a body of bytes. Codes: as Body.
func (c *Call) Raw(most int64) ([]byte, error) { return c.read("application/octet-stream", most) }

// read insists on the content type: a form of another site cannot send these two.
func (c *Call) read(want string, most int64) ([]byte, error) {
	r := c.Request()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != want {
		return nil, bad("gate.read", "content type is not "+want)
	}
	if r.ContentLength > most {
		return nil, large(most)
	}
	if err := c.holdBody(most); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Writer(), r.Body, most))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, large(most)
	}
	if err != nil {
		return nil, &protocol.Error{Op: "gate.read", Code: protocol.CodeBadRequest, Cause: err}
	}
	return raw, nil
}

// holdBody takes a slot if the body may be large; a length that is not told is.
func (c *Call) holdBody(most int64) error {
	size := c.Request().ContentLength
	if size < 0 {
		size = most
	}
	if size <= largeBody || c.slot != nil {
		return nil
	}
	slots, key := c.gate.strange, c.Address()
	if c.Caller != (tokens.Caller{}) {
		slots, key = c.gate.bodies, c.Caller.UID.String()
	}
	give, err := slots.Take(c.Context(), key)
	c.slot = give
	return err
}

func (c *Call) giveBack() {
	if c.slot != nil {
		c.slot()
		c.slot = nil
	}
}

func large(most int64) error {
	return &protocol.Error{Op: "gate.read", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": most}}
}

func bad(op, reason string) error { return protocol.Refuse(op, protocol.CodeBadRequest, reason) }

// Empty is the answer {}.
type Empty struct{}

// JSON answers 200 with v.
func (c *Call) JSON(v any) error {
	raw, err := protocol.Marshal(v)
	if err != nil {
		return &protocol.Error{Op: "gate.JSON", Code: protocol.CodeInternal, Cause: err}
	}
	c.Writer().Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	return c.e.Blob(http.StatusOK, "application/json", raw)
}

// Blob answers 200 with what is of a kind of its own, which no browser shall run.
func (c *Call) Blob(kind string, raw []byte) error {
	c.Writer().Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	return c.e.Blob(http.StatusOK, kind, raw)
}

// Bytes answers 200 with bytes.
func (c *Call) Bytes(raw []byte) error {
	c.Writer().Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	return c.e.Blob(http.StatusOK, "application/octet-stream", raw)
}

// NoContent answers with a status and headers alone.
func (c *Call) NoContent(status int) error { return c.e.NoContent(status) }
