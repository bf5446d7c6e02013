package tokens_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/tokens"
)

func TestTokens(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_000)
	b := tokens.New(rand.Reader, func() time.Time { return now })
	phone := tokens.Caller{UID: protocol.UID{1}, Device: protocol.DeviceID{2}, Role: "admin"}
	open := func(c tokens.Caller) string {
		token, err := b.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	valid := func(token string, want bool) {
		t.Helper()
		c, ok := b.Caller(token)
		if ok != want || ok && c != phone {
			t.Fatal(c, ok)
		}
	}
	first, second := open(phone), open(phone)
	if first == second {
		t.Fatal("the same token twice")
	}
	valid(first, true)
	valid(second, true)
	valid(first+"x", false)
	valid("", false)
	b.Close(phone.UID, phone.Device)
	now = now.Add(48 * time.Hour)
	valid(first, true) // one socket is still open
	b.Close(phone.UID, phone.Device)
	now = now.Add(tokens.Life - time.Second)
	b.Sweep()
	valid(first, true)
	now = now.Add(time.Second)
	valid(first, false)
	valid(second, false)

	third := open(phone)
	b.Revoke(phone.UID, phone.Device)
	valid(third, false)
	b.Close(phone.UID, phone.Device) // of the revoked one: nothing happens

	oldest := open(phone)
	for range 16 {
		open(phone)
	}
	valid(oldest, false)

	session := tokens.Caller{UID: protocol.UID{1}, Device: protocol.DeviceID{3}, Role: "session", Exp: now.UnixMilli() + 1000}
	token := open(session)
	if c, ok := b.Caller(token); !ok || c != session {
		t.Fatal(c, ok)
	}
	now = now.Add(time.Second)
	if _, ok := b.Caller(token); ok {
		t.Fatal("an expired device calls")
	}
}
