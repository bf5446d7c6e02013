package chatlog_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

var relay = protocol.UID{99}

// cameBack is the relay's word that a letter to mei came back.
func (r *room) cameBack(envelope protocol.ID) *chatlog.Event {
	return r.says(relay, mei, chatlog.KindReturned, "", func(e *chatlog.Event) {
		e.Type, e.Envelope, e.Body = chatlog.TypeReturned, envelope, nil
		e.Back = &chatlog.Back{To: mei, Code: "not-contact"}
	})
}

// kinds are the kinds of a conversation's page, newest first.
func (r *room) kinds() (kinds []string) {
	r.Helper()
	events, _, err := r.Page(r.Context(), mei, chatlog.End, 10)
	if err != nil {
		r.Fatal(err)
	}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestWhatCameBackStandsBesideItsMessage(t *testing.T) {
	engines(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		defer db.Close() //nolint:errcheck // nothing is left to lose
		r := enter(t, db)
		first := r.says(wei, mei, "text", `{"text":"one"}`)
		back := r.cameBack(first.Envelope)
		r.append(first, back) // in one transaction, as they may come
		var body struct {
			ID, Mid protocol.ID
			To      protocol.UID
			Code    string
			Kind    string
		}
		if err := json.Unmarshal(back.Body, &body); err != nil || body.ID != first.Envelope || body.Mid != first.Mid || body.To != mei ||
			body.Code != "not-contact" || body.Kind != "text" {
			t.Errorf("%s, %v", back.Body, err)
		}
		want := func(when string, kinds ...string) {
			t.Helper()
			if got := r.kinds(); !slices.Equal(got, kinds) {
				t.Errorf("%s: the conversation shows %q", when, got)
			}
		}
		want("it came back", "text", "returned")
		// Delivered once more, both of them: nothing changes.
		twin, twinBack := *first, *back
		r.append(&twin, &twinBack)
		want("delivered again", "text", "returned")
		// Sent again, and back again.
		second := *first
		second.Envelope, second.Hash = protocol.ID{50}, protocol.Hash("test", []byte("second"))
		r.append(&second)
		want("sent again", "text")
		late := r.cameBack(first.Envelope) // of the first letter: no news
		r.append(late)
		want("the first letter is mentioned once more", "text")
		// Sealed once more, which the relay did not take: that is not under way.
		third := protocol.ID{52}
		for _, write := range []func(store.Tx) error{
			func(tx store.Tx) error {
				return r.AddVersion(t.Context(), tx, first.Mid, chatlog.Version{Hash: protocol.Hash32{3}, Envelope: third})
			},
			func(tx store.Tx) error { return r.DropVersion(t.Context(), tx, first.Mid, third) },
		} {
			if err := db.Write(t.Context(), write); err != nil {
				t.Fatal(err)
			}
		}
		want("still under way", "text")
		r.append(r.cameBack(second.Envelope))
		want("back again", "text", "returned")
		for _, write := range []func(store.Tx) error{
			func(tx store.Tx) error {
				return r.AddVersion(t.Context(), tx, first.Mid, chatlog.Version{Hash: protocol.Hash32{4}, Envelope: third})
			},
			func(tx store.Tx) error { want("sealed anew", "text"); return nil },
			func(tx store.Tx) error { return r.DropVersion(t.Context(), tx, first.Mid, third) },
		} {
			if err := db.Write(t.Context(), write); err != nil {
				t.Fatal(err)
			}
		}
		want("the relay did not take it", "text", "returned")
		// A letter that is not in the log, and one to somebody else under that id.
		unknown := r.cameBack(protocol.ID{51})
		other := r.says(relay, tom, chatlog.KindReturned, "", func(e *chatlog.Event) {
			e.Type, e.Envelope, e.Back = chatlog.TypeReturned, first.Envelope, &chatlog.Back{To: tom, Code: "not-contact"}
		})
		r.append(unknown, other)
		for _, e := range []*chatlog.Event{unknown, other} {
			var m map[string]any
			if err := json.Unmarshal(e.Body, &m); err != nil || m["mid"] != nil {
				t.Errorf("%s, %v", e.Body, err)
			}
		}
		want("in the end", "text", "returned")
		for of, came := range map[protocol.ID]bool{first.Envelope: false, second.Envelope: true, unknown.Envelope: false} {
			if got, err := r.CameBack(t.Context(), mei, of); err != nil || got != came {
				t.Errorf("%v came back, and nothing else carries it: %v, %v", of, got, err)
			}
		}
		if talks, _, err := r.Talks(t.Context(), chatlog.End, 10); err != nil || len(talks) != 1 || len(talks[0].Events) != 2 {
			t.Errorf("%+v, %v", talks, err)
		}
	})
}
