package wall

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

const (
	// maxPosted bounds a change and a head as they travel.
	maxPosted = post.MaxPayload*4/3 + 12<<10
	// perPhoto is how long a client may take for a photo of 2 MiB: 100 kbit/s.
	perPhoto = 3 * time.Minute
)

// Routes are the calls of section 15.
func (w *Walls) Routes() []gate.Route {
	reads := limit.Rate{N: 120, Per: time.Minute}
	photos := limit.Rate{N: 600, Per: time.Minute}
	routes := []gate.Route{
		{Method: http.MethodPost, Path: "/api/1/wall", Signers: true, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Handle: w.post},
		{Method: http.MethodPut, Path: "/api/1/media/:hash", Signers: true, PerPerson: limit.Rate{N: 60, Per: time.Minute}, Patience: perPhoto, Handle: w.putMedia},
		{Method: http.MethodGet, Path: "/api/1/media/:hash", Token: true, PerPerson: photos, Patience: perPhoto, Handle: w.getMedia},
		{Method: http.MethodGet, Path: "/api/1/walls/:username", Token: true, PerPerson: limit.Rate{N: 300, Per: time.Minute}, Handle: w.getWall},
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for path, handle := range map[string]func(*gate.Call) error{
			"/@:username": w.getPage, "/@:username/p/:id": w.getPost, "/@:username/posts": w.getPosts,
			"/@:username/feed.atom": w.getAtom, "/@:username/feed.json": w.getFeed, "/@:username/follow": w.getFollow,
		} {
			routes = append(routes, gate.Route{Method: method, Path: path, PerAddress: reads, Handle: handle})
		}
		routes = append(routes, gate.Route{Method: method, Path: "/media/:file", PerAddress: photos, Patience: perPhoto, Handle: w.getPhoto})
	}
	return routes
}

func (w *Walls) post(call *gate.Call) error {
	var body struct {
		Change *protocol.Signed `json:"change,omitempty"`
		Head   protocol.Signed  `json:"head"`
	}
	if err := call.Body(maxPosted, &body); err != nil {
		return err
	}
	if err := w.Post(call.Context(), call.Caller.UID, body.Change, body.Head); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

func (w *Walls) putMedia(call *gate.Call) error {
	hash, err := protocol.ParseHash(call.Param("hash"))
	if err != nil {
		return refuse("wall.putMedia", "no hash")
	}
	data, err := call.Raw(post.MaxPhotoSize)
	if err != nil {
		return err
	}
	if err := w.PutMedia(call.Context(), call.Caller.UID, hash, data); err != nil {
		return err
	}
	return call.JSON(gate.Empty{})
}

func (w *Walls) getMedia(call *gate.Call) error {
	hash, err := protocol.ParseHash(call.Param("hash"))
	if err != nil {
		return missing("wall.getMedia")
	}
	other, err := w.c.Others.Of(call)
	if err != nil {
		return err
	}
	var data []byte
	if other == nil {
		data, err = w.own(call.Context(), call.Caller.UID, hash)
	} else {
		data, err = photoOf(call.Context(), other, hash)
	}
	if err != nil {
		return err
	}
	return call.Bytes(data)
}

// span reads after and limit.
func span(call *gate.Call) (after int64, limit int, err error) {
	if after, err = call.Int("after", 0); err != nil {
		return 0, 0, err
	}
	n, err := call.Int("limit", post.MaxPageItems)
	return after, int(n), err
}

func (w *Walls) getWall(call *gate.Call) error {
	after, limit, err := span(call)
	if err != nil {
		return err
	}
	other, err := w.c.Others.Of(call)
	if err != nil {
		return err
	}
	var raw []byte
	if other == nil {
		raw, err = w.written(call.Context(), call.Param("username"), call.Caller.UID, after, limit)
	} else {
		raw, err = lookup(call.Context(), other, call.Param("username"), after, limit)
	}
	if err != nil {
		return err
	}
	h := call.Writer().Header()
	h.Set("Content-Security-Policy", dead)
	h.Set("Content-Type", "application/json")
	return body(call, http.StatusOK, raw)
}

func (w *Walls) getPosts(call *gate.Call) error {
	after, limit, err := span(call)
	if err != nil {
		return err
	}
	// Whoever follows somebody need not live here, nor use our app.
	call.Writer().Header().Set("Access-Control-Allow-Origin", "*")
	a, err := w.posts(call.Context(), call.Param("username"), after, limit)
	if err != nil {
		return err
	}
	// Nothing on the way may mix pages of now with pages of before: the reader would
	// take that for a wall that was rolled back.
	return send(call, a, dead, "public, no-cache")
}

// briefly is for what people and feed readers look at.
const briefly = "public, max-age=5"

// dead is the policy of what is no page: nothing in it runs or loads.
const dead = "default-src 'none'; sandbox"

// send gives an answer from memory, or says that the reader has it.
func send(call *gate.Call, a *answer, policy, keep string) error {
	h := call.Writer().Header()
	h.Set("Cache-Control", keep)
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.etag)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if has(call, a.etag) {
		return call.NoContent(http.StatusNotModified)
	}
	return body(call, http.StatusOK, a.body)
}

// has reports whether the reader says that he has this very answer; something on
// the way may have compressed it and called its tag weak.
func has(call *gate.Call, etag string) bool {
	for tag := range strings.SplitSeq(call.Request().Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == etag {
			return true
		}
	}
	return false
}

func body(call *gate.Call, status int, raw []byte) error {
	call.Writer().Header().Set("Content-Length", strconv.Itoa(len(raw)))
	call.Writer().WriteHeader(status)
	if call.Request().Method == http.MethodHead {
		return nil
	}
	_, _ = call.Writer().Write(raw) // the reader may go away at any time; nothing is owed to him
	return nil
}

func (w *Walls) getPhoto(call *gate.Call) error {
	name, ok := strings.CutSuffix(call.Param("file"), ".jpg")
	hash, err := protocol.ParseHash(name)
	if !ok || err != nil {
		return missing("wall.getPhoto")
	}
	etag := `"` + hash.String() + `"`
	data, err := w.public(call.Context(), hash)
	if err != nil {
		return err
	}
	h := call.Writer().Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", dead)
	h.Set("Content-Type", "image/jpeg")
	h.Set("ETag", etag)
	// The pages are in a sandbox, of no origin, and a wall may be shown elsewhere.
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", "*")
	if has(call, etag) {
		return call.NoContent(http.StatusNotModified)
	}
	return body(call, http.StatusOK, data)
}

func (w *Walls) getPage(call *gate.Call) error {
	before, err := call.Int("before", last)
	if err != nil {
		return err
	}
	t := tongueOf(call.Request().Header.Get("Accept-Language"))
	username := call.Param("username")
	call.Writer().Header().Add("Vary", "Accept-Language")
	a, err := w.cache.get("page "+t.Lang+" "+username+" "+strconv.FormatInt(before, 10), func() (*answer, error) {
		return w.render(call.Context(), t, username, view{before: before})
	})
	if err != nil {
		return err
	}
	return send(call, a, w.design.policy, briefly)
}

func (w *Walls) getPost(call *gate.Call) error {
	id, err := call.ID("id", protocol.CodeNotFound)
	if err != nil {
		return err
	}
	t := tongueOf(call.Request().Header.Get("Accept-Language"))
	username := call.Param("username")
	call.Writer().Header().Add("Vary", "Accept-Language")
	a, err := w.cache.get("post "+t.Lang+" "+username+" "+id.String(), func() (*answer, error) {
		return w.render(call.Context(), t, username, view{id: id, single: true})
	})
	if err != nil {
		return err
	}
	return send(call, a, w.design.policy, briefly)
}

func (w *Walls) getAtom(call *gate.Call) error { return w.getFeedOf(call, "atom", w.atom) }

func (w *Walls) getFeed(call *gate.Call) error { return w.getFeedOf(call, "feed", w.jsonFeed) }

// getFollow takes a reader to his own courtyard, where he may follow this wall: to
// its app, at the one route that is meant for it, and nowhere else.
func (w *Walls) getFollow(call *gate.Call) error {
	username := call.Param("username")
	if _, err := w.find(call.Context(), username, everybody); err != nil {
		return err
	}
	base, ok := courtyardOf(call.Query("with"))
	if !ok {
		t := tongueOf(call.Request().Header.Get("Accept-Language"))
		a, err := w.render(call.Context(), t, username, view{before: last, astray: true})
		if err != nil {
			return err
		}
		h := call.Writer().Header()
		h.Set("Content-Security-Policy", w.design.policy)
		h.Set("Content-Type", a.kind)
		return body(call, http.StatusBadRequest, a.body)
	}
	call.Writer().Header().Set("Location", base+"/app/#follow."+w.design.handle(username))
	return call.NoContent(http.StatusSeeOther)
}
