package elsewhere

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
	"github.com/courtyard-social/courtyard/relay/internal/webfinger"
)

// says answers every question alike.
type says reach.Answer

func (s says) Get(context.Context, string, string, string, int64) (reach.Answer, error) {
	return reach.Answer(s), nil
}

// aChain is a genesis and one record more.
func aChain(f *testing.F) (uid protocol.UID, records []protocol.Signed) {
	f.Helper()
	must := func(err error) {
		if err != nil {
			f.Fatal(err)
		}
	}
	phone, err := ident.ParseDeviceKeys(make([]byte, 64))
	must(err)
	relay := ident.Relay{Key: phone.Public(), Host: "a.example", Port: 443}
	genesis, _, err := ident.NewGenesis(zeros{}, phone, relay, 1)
	must(err)
	chain, err := ident.ParseChain([]protocol.Signed{genesis})
	must(err)
	moved, err := chain.NewRelay(phone, relay, 2)
	must(err)
	must(chain.Append(moved))
	return chain.UID(), chain.Records(0)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzAnswers: whatever another courtyard says, and with whatever status, what is
// passed on is about whom it was asked, and a code that it may say.
func FuzzAnswers(f *testing.F) {
	uid, records := aChain(f)
	chain, err := protocol.Marshal(map[string][]protocol.Signed{"records": records})
	if err != nil {
		f.Fatal(err)
	}
	uek := protocol.Signed{Payload: []byte(`{"uid":"` + uid.String() + `","counter":1}`)}
	person, err := webfinger.Write(webfinger.Person{UID: uid, Username: "mei", Host: "a.example"})
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range [][]byte{chain, uek.Marshal(), person, []byte(`{"uid":"` + uid.String() + `","username":"mei","card":"AA"}`)} {
		f.Add(http.StatusOK, body)
	}
	for status, body := range map[int]string{404: `{"code":"not-found","params":{}}`, 429: `{"code":"rate-limited","params":{"wait":9007199254740991}}`, 500: `{"code":"internal","params":{}}`, 302: ``} {
		f.Add(status, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		never := func(string) bool { return false }
		c := &Courtyard{New(says{Status: status, Body: body}, nil, never, time.Now), "b.example", protocol.UID{1}}
		ctx := t.Context()
		check := func(err error) bool {
			switch code := protocol.CodeOf(err); code {
			case protocol.CodePeerAway, protocol.CodeNotFound, protocol.CodeInviteUnknown, protocol.CodeRateLimited:
			default:
				if err != nil {
					t.Fatal(err)
				}
			}
			return err == nil
		}
		if records, err := c.Records(ctx, uid, -1); check(err) {
			if genesis, err := ident.ParseChain(records[:1]); err != nil || genesis.UID() != uid {
				t.Fatal("another person's chain")
			}
		}
		if records, err := c.Records(ctx, uid, 1); check(err) && len(records) > mostRecords-2 {
			t.Fatal("too many records")
		}
		if rec, err := c.UEK(ctx, uid); check(err) && len(rec.Payload) == 0 {
			t.Fatal("nothing in it")
		}
		if invite, err := c.Invite(ctx, protocol.ID{1}); check(err) && !protocol.ValidUsername(invite.Username) {
			t.Fatalf("%+v", invite)
		}
		if p, err := c.Person(ctx, "mei"); check(err) && !protocol.ValidUsername(p.Username) {
			t.Fatalf("%+v", p)
		}
	})
}
