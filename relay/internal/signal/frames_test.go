package signal

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
)

func TestFramesAreJSON(t *testing.T) {
	id, uid := protocol.ID{1}, protocol.UID{2}
	e := &protocol.Error{Code: protocol.CodeSpaceFull, Params: map[string]any{"of": uid.String(), "limit": int64(5)}}
	for want, frame := range map[string][]byte{
		`{"op":"accepted","id":"` + id.String() + `","kept":[]}`:                                                           acceptedFrame(id, nil),
		`{"op":"accepted","id":"` + id.String() + `","kept":["` + uid.String() + `","` + uid.String() + `"]}`:              acceptedFrame(id, []protocol.UID{uid, uid}),
		`{"op":"refused","id":"` + id.String() + `","code":"space-full","params":{"limit":5,"of":"` + uid.String() + `"}}`: refusedFrame(id, e),
		`{"op":"refused","code":"internal","params":{}}`:                                                                   refusedFrame(protocol.ID{}, errGone),
		`{"op":"event","what":"chain","params":{"seq":3}}`:                                                                 eventFrame("chain", map[string]any{"seq": 3}),
		`{"op":"deliver","n":7,"env":{"v":1}}`:                                                                             deliverFrame(7, []byte(`{"v":1}`)),
		`{"op":"live","env":{"v":1}}`:                                                                                      liveFrame([]byte(`{"v":1}`)),
	} {
		if string(frame) != want || !json.Valid(frame) {
			t.Errorf("%s, want %s", frame, want)
		}
	}
}

// FuzzRequest: whatever a client sends, it is refused or has the shape that the
// rest relies on; nothing panics and nothing grows.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"op":"put","for":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],"env":{"v":1,"id":"AAAAAAAAAAAAAAAAAAAAAA"}}`,
		`{"op":"confirm","n":9007199254740991}`, `{"op":"put","env":{"id":"AAAAAAAAAAAAAAAAAAAAAA","x":[[[[]]]]}}`, `{"n":1}`, `[]`, `"`, "{\"op\":\"\\ud800\"}",
		`{"op":"put","env":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, `{"op":"put","op":"put"}`, `{"op":"confirm","n":-0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRequest(raw)
		if err != nil {
			if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodeTooLarge {
				t.Fatal("code", code)
			}
			return
		}
		if !json.Valid(raw) {
			t.Fatal("taken, but no JSON")
		}
		if len(r.Env) > len(raw) || len(r.Env) > 0 && !json.Valid(r.Env) {
			t.Fatal("the envelope is not a part of the frame")
		}
		id := idOf(r.Env)
		e, err := protocol.ParseEnvelope(r.Env)
		if err == nil && e.ID != id {
			t.Fatal("two readings of one id")
		}
		if !json.Valid(refusedFrame(id, err)) {
			t.Fatal("the refusal is no JSON")
		}
	})
}
