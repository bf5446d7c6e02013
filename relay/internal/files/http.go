package files

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

// perChunk is how long a client may take for 1 MiB: 100 kbit/s.
const perChunk = 90 * time.Second

// Routes are the calls of section 12 about files.
func (f *Files) Routes() []gate.Route {
	const path = "/api/1/files/:id"
	many := limit.Rate{N: 300, Per: time.Minute}
	return []gate.Route{
		{Method: http.MethodPut, Path: path, Token: true, PerPerson: many, Patience: perChunk, Handle: f.put},
		{Method: http.MethodHead, Path: path, Token: true, PerPerson: many, Handle: f.head},
		{Method: http.MethodGet, Path: path, Token: true, PerPerson: many, Patience: perChunk, Handle: f.get},
		{Method: http.MethodDelete, Path: path, Token: true, PerPerson: many, Handle: f.drop},
	}
}

func (f *Files) put(call *gate.Call) error {
	id, err := call.ID("id", protocol.CodeBadRequest)
	if err != nil {
		return err
	}
	u := Upload{ID: id, By: call.Caller.UID}
	if u.Offset, err = call.Int("offset", 0); err != nil {
		return err
	}
	if u.Size, err = call.Int("size", 0); err != nil {
		return err
	}
	if u.For, u.Away, err = f.people(call.Query("for")); err != nil {
		return err
	}
	if u.Data, err = call.Raw(MaxChunk); err != nil {
		return err
	}
	have, err := f.Put(call.Context(), u)
	if err != nil {
		return err
	}
	return call.JSON(struct {
		Have int64 `json:"have"`
	}{have})
}

// people reads one or two of uid or uid@host[:port].
func (f *Files) people(text string) (uids []protocol.UID, away []queue.Away, err error) {
	bad := func(reason string) error { return protocol.Refuse("files.people", protocol.CodeBadRequest, reason) }
	parts := strings.Split(text, ",")
	if len(parts) > 2 {
		return nil, nil, bad("for names more than two")
	}
	known := map[protocol.UID]bool{}
	for _, part := range parts {
		who, where, elsewhere := strings.Cut(part, "@")
		uid, err := protocol.ParseUID(who)
		if err != nil || known[uid] {
			return nil, nil, bad("for is no list of uids")
		}
		known[uid] = true
		if !elsewhere {
			uids = append(uids, uid)
			continue
		}
		host, err := protocol.ParseHost(where)
		if err != nil {
			return nil, nil, bad("for names no host")
		}
		if slices.Contains(f.hosts, host) {
			uids = append(uids, uid)
		} else {
			away = append(away, queue.Away{UID: uid, Host: host})
		}
	}
	return uids, away, nil
}

func (f *Files) head(call *gate.Call) error {
	id, err := call.ID("id", protocol.CodeNotFound)
	if err != nil {
		return err
	}
	file, err := f.Have(call.Context(), call.Caller.UID, id)
	if err != nil {
		return err
	}
	h := call.Writer().Header()
	h.Set("Upload-Offset", strconv.FormatInt(file.Have, 10))
	h.Set("Upload-Length", strconv.FormatInt(file.Size, 10))
	return call.NoContent(http.StatusOK)
}

func (f *Files) get(call *gate.Call) error {
	id, err := call.ID("id", protocol.CodeNotFound)
	if err != nil {
		return err
	}
	file, err := f.Open(call.Context(), call.Caller.UID, id)
	if err != nil {
		return err
	}
	h := call.Writer().Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	from, to, partial, ok := span(call.Request().Header.Get("Range"), file.Size)
	if !ok {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", file.Size))
		return call.NoContent(http.StatusRequestedRangeNotSatisfiable)
	}
	h.Set("Content-Length", strconv.FormatInt(to-from, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, file.Size))
	}
	call.Writer().WriteHeader(status)
	if err := f.send(call, id, from, to); err != nil {
		return err
	}
	if to < file.Size || call.Caller.Role == ident.RoleSession {
		return nil
	}
	// The client has taken the end of the file. For somebody without a home this
	// lets the bytes make room one day; nothing is owed to a client that has gone.
	return f.store.Fetched(context.WithoutCancel(call.Context()), call.Caller.UID, id)
}

func (f *Files) send(call *gate.Call, id protocol.ID, from, to int64) error {
	for from < to {
		start, data, err := f.store.Chunk(call.Context(), id, from)
		if err != nil {
			return err
		}
		if err := call.Wait(perChunk); err != nil {
			return err
		}
		part := data[from-start : min(int64(len(data)), to-start)]
		if _, err := call.Writer().Write(part); err != nil {
			return &protocol.Error{Op: "files.send", Code: protocol.CodeUnavailable, Cause: err}
		}
		from += int64(len(part))
	}
	return nil
}

// span reads a Range header of one range; others are ignored, as RFC 9110 allows.
func span(header string, size int64) (from, to int64, partial, ok bool) {
	text, found := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(text, "-")
	if !found || !dash || strings.Contains(last, ",") {
		return 0, size, false, true
	}
	a, errA := strconv.ParseUint(first, 10, 62)
	b, errB := strconv.ParseUint(last, 10, 62)
	switch {
	case first == "" && errB == nil: // the last b bytes
		if b == 0 {
			return 0, 0, false, false
		}
		return max(0, size-int64(b)), size, true, true
	case errA != nil || last != "" && errB != nil || last != "" && b < a:
		return 0, size, false, true
	case int64(a) >= size:
		return 0, 0, false, false
	case last == "":
		return int64(a), size, true, true
	default:
		return int64(a), min(int64(b)+1, size), true, true
	}
}

// drop is a home saying that it has the bytes. Devices cannot let go: without a
// home the relay's copy is the only one.
func (f *Files) drop(call *gate.Call) error {
	id, err := call.ID("id", protocol.CodeNotFound)
	if err != nil {
		return err
	}
	if call.Caller.Role != ident.RoleHome {
		return &protocol.Error{Op: "files.drop", Code: protocol.CodeNotAllowed}
	}
	if err := f.Let(call.Context(), call.Caller.UID, id); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}
