package push

import (
	"context"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

const (
	maxBody = 4 << 10
	// maxMuted bounds the people that one person may mute, and maxMuteBody what names them.
	maxMuted    = 1000
	maxMuteBody = 64 << 10
)

// Routes are the calls of section 16.
func (r *Room) Routes() []gate.Route {
	some := limit.Rate{N: 30, Per: time.Minute}
	return []gate.Route{
		{Method: http.MethodGet, Path: "/api/1/push", Token: true, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Handle: r.get},
		{Method: http.MethodPut, Path: "/api/1/push", Token: true, PerPerson: some, Handle: r.put},
		{Method: http.MethodDelete, Path: "/api/1/push", Token: true, PerPerson: some, Handle: r.remove},
		{Method: http.MethodPut, Path: "/api/1/push/muted", Signers: true, PerPerson: some, Handle: r.mute},
		{Method: http.MethodPost, Path: "/api/1/push/test", Token: true, PerPerson: limit.Rate{N: 6, Per: time.Minute}, Handle: r.test},
		{Method: http.MethodPost, Path: "/api/1/push/moved", PerAddress: limit.Rate{N: 10, Per: time.Minute}, Handle: r.moved},
	}
}

type keys struct {
	P256dh protocol.Bytes `json:"p256dh"`
	Auth   protocol.Bytes `json:"auth"`
}

func (r *Room) get(call *gate.Call) error {
	s, found, err := r.config.Store.Subscription(call.Context(), call.Caller.UID, call.Caller.Device)
	if err != nil {
		return err
	}
	muted, err := r.config.Store.Muted(call.Context(), call.Caller.UID)
	if err != nil {
		return err
	}
	answer := struct {
		Key        protocol.Bytes `json:"key"`
		Subscribed bool           `json:"subscribed"`
		Endpoint   *string        `json:"endpoint,omitempty"`
		Muted      []protocol.UID `json:"muted"`
	}{Key: r.vapid.public, Subscribed: found, Muted: muted}
	if found {
		answer.Endpoint = &s.Endpoint
	}
	return call.JSON(answer)
}

func (r *Room) put(call *gate.Call) error {
	if call.Caller.Role == ident.RoleHome {
		return &protocol.Error{Op: "push.put", Code: protocol.CodeNotAllowed} // it has no browser to be woken
	}
	var body struct {
		Endpoint string `json:"endpoint"`
		Keys     keys   `json:"keys"`
	}
	if err := call.Body(maxBody, &body); err != nil {
		return err
	}
	if err := r.subscribe(call.Context(), Subscription{
		UID: call.Caller.UID, Device: call.Caller.Device, Endpoint: body.Endpoint, Key: body.Keys.P256dh, Auth: body.Keys.Auth,
	}); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

// subscribe keeps a subscription. Codes: bad-request, address-refused, not-allowed, unauthorized, relay-full.
func (r *Room) subscribe(ctx context.Context, s Subscription) error {
	if err := r.check(&s); err != nil {
		return err
	}
	if err := r.config.Room(); err != nil {
		return err
	}
	// First, so that a letter kept meanwhile is not passed over.
	r.mu.Lock()
	r.people[s.UID] = struct{}{}
	r.mu.Unlock()
	return r.config.Store.Subscribe(ctx, s, r.config.Now().UnixMilli())
}

// check refuses what cannot be woken. Codes: bad-request, address-refused.
func (r *Room) check(s *Subscription) error {
	if _, err := r.checkEndpoint(s.Endpoint); err != nil {
		return err
	}
	if _, err := readKey(s.Key); err != nil {
		return err
	}
	if len(s.Auth) != authSize {
		return protocol.Refuse("push.check", protocol.CodeBadRequest, "auth is not 16 bytes")
	}
	return nil
}

func (r *Room) remove(call *gate.Call) error {
	if err := r.config.Store.Unsubscribe(call.Context(), call.Caller.UID, call.Caller.Device, ""); err != nil {
		return err
	}
	r.Present(call.Caller.UID, call.Caller.Device)
	return call.JSON(gate.Empty{})
}

func (r *Room) mute(call *gate.Call) error {
	var body struct {
		Muted []protocol.UID `json:"muted"`
	}
	if err := call.Body(maxMuteBody, &body); err != nil {
		return err
	}
	if len(body.Muted) > maxMuted {
		return &protocol.Error{Op: "push.mute", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": maxMuted}}
	}
	if err := r.config.Room(); err != nil {
		return err
	}
	if err := r.config.Store.Mute(call.Context(), call.Caller.UID, body.Muted); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

// test pushes to the caller's own device and answers when the vendor has.
func (r *Room) test(call *gate.Call) error {
	const op = "push.test"
	s, found, err := r.config.Store.Subscription(call.Context(), call.Caller.UID, call.Caller.Device)
	if err != nil {
		return err
	}
	if !found {
		return &protocol.Error{Op: op, Code: protocol.CodeNotFound}
	}
	select {
	case r.tests <- struct{}{}:
		defer func() { <-r.tests }()
	default:
		return &protocol.Error{Op: op, Code: protocol.CodeUnavailable}
	}
	came := r.send(call.Context(), &s, payload{V: 1, Kind: "test", To: &s.UID}, life)
	r.config.Counts.Pushed(came.what)
	switch came.what {
	case whatSent:
		return call.JSON(gate.Empty{})
	case whatGone:
		r.gone(call.Context(), &s)
		return &protocol.Error{Op: op, Code: protocol.CodeNotFound}
	case whatLater:
		return &protocol.Error{Op: op, Code: protocol.CodePeerAway, Params: map[string]any{"status": int64(came.status)}, Cause: came.err}
	default:
		if protocol.CodeOf(came.err) == protocol.CodeAddressRefused {
			return came.err
		}
		return &protocol.Error{Op: op, Code: protocol.CodeNotAllowed, Params: map[string]any{"status": int64(came.status)}, Cause: came.err}
	}
}

// moved puts a new subscription in the place of one that the browser has given
// up. A service worker has no token; that it knows the former endpoint and its
// secret says that it is that browser.
func (r *Room) moved(call *gate.Call) error {
	var body struct {
		From struct {
			Endpoint string         `json:"endpoint"`
			Auth     protocol.Bytes `json:"auth"`
		} `json:"from"`
		Endpoint string `json:"endpoint"`
		Keys     keys   `json:"keys"`
	}
	if err := call.Body(maxBody, &body); err != nil {
		return err
	}
	former, found, err := r.config.Store.SubscriptionAt(call.Context(), body.From.Endpoint)
	if err != nil {
		return err
	}
	if !found || !protocol.Equal(former.Auth, body.From.Auth) {
		return &protocol.Error{Op: "push.moved", Code: protocol.CodeNotFound}
	}
	if err := r.subscribe(call.Context(), Subscription{
		UID: former.UID, Device: former.Device, Endpoint: body.Endpoint, Key: body.Keys.P256dh, Auth: body.Keys.Auth,
	}); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}
