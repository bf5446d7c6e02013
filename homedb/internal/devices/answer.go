package devices

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

const (
	// maxEvents bounds one answer by number, room by size: with its frame an answer
	// stays below 60 KiB.
	maxEvents = 500
	maxTalks  = 100
	room      = handshake.MaxLinkPlaintext - 1024
	// maxBody is the largest body that fits an answer together with its event. A
	// larger one, which no app writes, is sent as null; it stays in the log.
	maxBody   = room - 2048
	filePiece = 40_000
	maxDepth  = 6
)

// request is a frame's plaintext. p is decoded by the method.
type request struct {
	ID int64           `json:"id"`
	M  string          `json:"m"`
	P  json.RawMessage `json:"p,omitempty"`
}

type cursor struct {
	Epoch chatlog.Epoch `json:"epoch"`
	N     int64         `json:"n"`
}

type asks struct {
	Asks []Ask `json:"asks"`
}

func refuse(code string) error { return &protocol.Error{Op: "devices", Code: code} }

// caller is who asks: a device, and the link session that vouches for it.
type caller struct {
	device  ident.Device
	session handshake.SessionID
}

// later is the rest of an answer that takes its time; others need not wait for it.
type later func(ctx context.Context) (json.RawMessage, error)

// answer never fails: what is wrong goes back as a code. There is either an answer
// or something that makes it.
func (d *Desk) answer(ctx context.Context, from caller, plain []byte) ([]byte, func(ctx context.Context) []byte) {
	var r request
	if err := protocol.DecodeOpen(plain, &r, maxDepth); err != nil {
		d.c.Counted("link-bad")
		return failure(0, protocol.CodeBadRequest), nil
	}
	result, rest, err := d.method(ctx, from, r)
	if err == nil && rest != nil {
		return nil, func(ctx context.Context) []byte {
			result, err := rest(ctx)
			return d.answered(r, result, err)
		}
	}
	return d.answered(r, result, err), nil
}

func (d *Desk) answered(r request, result json.RawMessage, err error) []byte {
	if err != nil {
		code := protocol.CodeOf(err)
		if code == protocol.CodeInternal {
			d.c.Logger.Error("devices: a request failed", "method", known(r.M), "error", err)
		}
		return failure(r.ID, code)
	}
	return encode(struct {
		ID int64           `json:"id"`
		R  json.RawMessage `json:"r"`
	}{r.ID, result})
}

func failure(id int64, code string) []byte {
	type problem struct {
		Code string `json:"code"`
	}
	return encode(struct {
		ID int64   `json:"id"`
		E  problem `json:"e"`
	}{id, problem{code}})
}

func unasked(m string, p any) []byte {
	return encode(struct {
		M string `json:"m"`
		P any    `json:"p"`
	}{m, p})
}

// encode writes what this package made itself, which always encodes.
func encode(v any) []byte {
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	to.SetEscapeHTML(false) // an answer must not grow over what its bodies were
	if err := to.Encode(v); err != nil {
		panic("devices: an answer does not encode: " + err.Error())
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// known keeps what a device calls a method out of the log file.
func known(m string) string {
	switch m {
	case "status", "keys", "since", "page", "talks", "file", "wall", "code", "asks", "allow",
		"direct", "direct-more", "direct-end", "direct-path", "probe":
		return m
	}
	return "unknown"
}

func (d *Desk) method(ctx context.Context, from caller, r request) (json.RawMessage, later, error) {
	switch r.M {
	case "direct", "direct-more", "direct-end", "direct-path", "probe":
		return d.direct(ctx, from, r)
	}
	result, err := d.question(ctx, from.device.Role == ident.RoleAdmin, r)
	return result, nil, err
}

func (d *Desk) question(ctx context.Context, admin bool, r request) (json.RawMessage, error) {
	switch r.M {
	case "status":
		return d.status(ctx)
	case "since":
		return d.since(ctx, r.P)
	case "page":
		return d.page(ctx, r.P)
	case "talks":
		return d.talks(ctx, r.P)
	case "file":
		return d.file(ctx, r.P)
	case "wall":
		return d.wall(ctx, r.P)
	case "asks":
		if !admin { // nothing waits for this one
			return encode(asks{[]Ask{}}), nil
		}
	case "keys", "code", "allow":
		if !admin {
			return nil, refuse(protocol.CodeNotAllowed)
		}
	default:
		return nil, refuse(protocol.CodeBadRequest)
	}
	switch r.M {
	case "keys":
		return vault.MarshalUEKs(d.c.Ring.Sealed())
	case "code":
		code, err := d.c.Household.Code(ctx, d.c.UID)
		return encode(map[string]string{"code": code}), err
	case "asks":
		return encode(asks{d.c.Household.Asks(d.c.UID)}), nil
	default:
		var p struct {
			ID  protocol.ID `json:"id"`
			Yes bool        `json:"yes"`
		}
		if err := params(r.P, &p); err != nil {
			return nil, err
		}
		return json.RawMessage("{}"), d.c.Household.Allow(ctx, d.c.UID, p.ID, p.Yes)
	}
}

func params(raw json.RawMessage, into any) error {
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	return protocol.DecodeOpen(raw, into, maxDepth)
}

func (d *Desk) status(ctx context.Context) (json.RawMessage, error) {
	s, err := d.c.Log.Status(ctx)
	if err != nil {
		return nil, err
	}
	files, err := d.c.Files.Bytes(ctx)
	if err != nil {
		return nil, err
	}
	free, err := d.c.Household.Free()
	if err != nil {
		return nil, err
	}
	return encode(struct {
		Messages int64         `json:"messages"`
		Bytes    int64         `json:"bytes"`
		Free     int64         `json:"free"`
		Since    int64         `json:"since"`
		People   int           `json:"people"`
		Version  string        `json:"version"`
		Direct   direct.Status `json:"direct"`
	}{s.Messages, s.Bytes + files, free, s.Since, d.c.Household.People(), d.c.Version, d.paths()}), nil
}

// list collects JSON values up to a size.
type list struct {
	raw  []byte
	n    int
	room int
}

func newList(room int) *list { return &list{raw: []byte{'['}, room: room} }

// add takes values together or not at all.
func (l *list) add(values ...[]byte) bool {
	size := 0
	for _, v := range values {
		size += len(v) + 1
	}
	if len(l.raw)+size+1 > l.room {
		return false
	}
	for _, v := range values {
		if l.n > 0 {
			l.raw = append(l.raw, ',')
		}
		l.raw = append(l.raw, v...)
		l.n++
	}
	return true
}

func (l *list) json() json.RawMessage { return append(l.raw, ']') }

func event(e chatlog.Event) []byte {
	if len(e.Body) > maxBody {
		e.Body = nil
	}
	return encode(e)
}

// since gives what the log has after a cursor. A cursor of another epoch is one
// of nothing; limit 0 asks for the end of the log alone.
func (d *Desk) since(ctx context.Context, raw json.RawMessage) (json.RawMessage, error) {
	var p struct {
		Epoch chatlog.Epoch `json:"epoch"`
		N     int64         `json:"n"`
		Limit int           `json:"limit"`
	}
	if err := params(raw, &p); err != nil {
		return nil, err
	}
	if p.N < 0 || p.Limit < 0 {
		return nil, refuse(protocol.CodeBadRequest)
	}
	if p.Epoch != d.c.Log.Epoch() {
		p.N = 0
	}
	out, at, more := newList(room), p.N, false
	if p.Limit == 0 {
		n, err := d.c.Log.N(ctx)
		if err != nil {
			return nil, err
		}
		at = n
	} else {
		events, left, err := d.c.Log.Since(ctx, p.N, min(p.Limit, maxEvents))
		if err != nil {
			return nil, err
		}
		more = left
		for _, e := range events {
			if !out.add(event(e)) {
				more = true
				break
			}
			at = e.N
		}
	}
	return encode(struct {
		cursor
		Events json.RawMessage `json:"events"`
		More   bool            `json:"more"`
	}{cursor{d.c.Log.Epoch(), at}, out.json(), more}), nil
}

// place is (clock, mid) as JSON: [clock, mid].
type place struct{ chatlog.Place }

func (p place) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{p.Clock, p.Mid})
}

// before reads a place; nothing means the end.
func before(raw json.RawMessage) (chatlog.Place, error) {
	if raw == nil {
		return chatlog.End, nil
	}
	var parts []json.RawMessage
	var out chatlog.Place
	if err := protocol.DecodeOpen(raw, &parts, 2); err != nil {
		return out, err
	}
	if len(parts) != 2 {
		return out, refuse(protocol.CodeBadRequest)
	}
	if err := protocol.DecodeOpen(parts[0], &out.Clock, 1); err != nil {
		return out, err
	}
	return out, protocol.DecodeOpen(parts[1], &out.Mid, 1)
}

func (d *Desk) page(ctx context.Context, raw json.RawMessage) (json.RawMessage, error) {
	var p struct {
		Peer   protocol.UID    `json:"peer"`
		Before json.RawMessage `json:"before,omitempty"`
		Limit  int             `json:"limit"`
	}
	if err := params(raw, &p); err != nil {
		return nil, err
	}
	at, err := before(p.Before)
	if err != nil {
		return nil, err
	}
	if p.Limit < 1 {
		return nil, refuse(protocol.CodeBadRequest)
	}
	events, more, err := d.c.Log.Page(ctx, p.Peer, at, min(p.Limit, maxEvents))
	if err != nil {
		return nil, err
	}
	out := newList(room)
	for len(events) > 0 {
		n := 1 // a message and what touches it stay together
		for n < len(events) && events[n].Touches != nil {
			n++
		}
		if !out.add(all(events[:n])...) {
			more = true
			break
		}
		events = events[n:]
	}
	return encode(struct {
		Events json.RawMessage `json:"events"`
		More   bool            `json:"more"`
	}{out.json(), more}), nil
}

// all encodes events that go together. Should they be too large for one answer
// even alone, the bodies go, the largest first.
func all(events []chatlog.Event) [][]byte {
	events = slices.Clone(events)
	out := make([][]byte, len(events))
	size := 0
	for i, e := range events {
		out[i] = event(e)
		size += len(out[i]) + 1
	}
	for size > maxBody {
		largest := 0
		for i := range out {
			if len(out[i]) > len(out[largest]) {
				largest = i
			}
		}
		if events[largest].Body == nil {
			break
		}
		events[largest].Body = nil
		size -= len(out[largest])
		out[largest] = event(events[largest])
		size += len(out[largest])
	}
	return out
}

func (d *Desk) talks(ctx context.Context, raw json.RawMessage) (json.RawMessage, error) {
	var p struct {
		Before json.RawMessage `json:"before,omitempty"`
		Limit  int             `json:"limit,omitempty"`
	}
	if err := params(raw, &p); err != nil {
		return nil, err
	}
	at, err := before(p.Before)
	if err != nil {
		return nil, err
	}
	if p.Limit < 1 {
		p.Limit = maxTalks
	}
	talks, more, err := d.c.Log.Talks(ctx, at, min(p.Limit, maxTalks))
	if err != nil {
		return nil, err
	}
	out := newList(room)
	for _, t := range talks {
		events := newList(room)
		events.add(all(t.Events)...)
		one := encode(struct {
			Peer   protocol.UID    `json:"peer"`
			At     place           `json:"at"`
			Events json.RawMessage `json:"events"`
		}{t.Peer, place{t.At}, events.json()})
		if !out.add(one) {
			more = true
			break
		}
	}
	return encode(struct {
		Talks json.RawMessage `json:"talks"`
		More  bool            `json:"more"`
	}{out.json(), more}), nil
}

func (d *Desk) file(ctx context.Context, raw json.RawMessage) (json.RawMessage, error) {
	var p struct {
		ID     protocol.ID `json:"id"`
		Offset int64       `json:"offset"`
	}
	if err := params(raw, &p); err != nil {
		return nil, err
	}
	data, size, err := d.c.Files.Read(ctx, p.ID, p.Offset, filePiece)
	if err != nil {
		return nil, err
	}
	return encode(struct {
		Data protocol.Bytes `json:"data"`
		Size int64          `json:"size"`
	}{data, size}), nil
}

// wall is a part of the person's own public wall, as it is kept here (section 15).
func (d *Desk) wall(ctx context.Context, raw json.RawMessage) (json.RawMessage, error) {
	var p struct {
		After int64 `json:"after,omitempty"`
		Limit int   `json:"limit"`
	}
	if err := params(raw, &p); err != nil {
		return nil, err
	}
	page, err := d.c.Wall.Page(ctx, p.After, p.Limit, room)
	if err != nil {
		return nil, err
	}
	return page.Marshal()
}
