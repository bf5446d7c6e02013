package relay_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// TestTheReserveIsForFreeingAndProtecting: on a disk that is full but for the
// reserve nothing grows any more, and everything that people need to free it or
// to protect themselves still works.
func TestTheReserveIsForFreeingAndProtecting(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	o := relaytest.Options{Config: relaytest.Config{ReserveMiB: 64}, Free: func() (int64, error) { return free.Load(), nil }}
	eachDatabase(t, o, func(t *testing.T, c *relaytest.Courtyard) {
		disk := func(bytes int64) {
			free.Store(bytes)
			c.Clock.Move(2 * time.Second) // an answer of the file system is believed for one
		}
		disk(1 << 40)
		mei := c.Owner("mei")
		phone := c.Connect(mei, mei.Phone)
		token := phone.Ready.Token
		tom, lost := c.Guest(phone, "tom"), c.AddDevice(mei, ident.RoleAdmin, 0)
		tomPhone := c.Connect(tom, tom.Phone)
		homeKeys := c.AddDevice(mei, ident.RoleHome, 0)
		home := c.Connect(mei, homeKeys)
		letter := c.Envelope(tom, mei, protocol.TypeChat, 100)
		tomPhone.Sends(letter)
		n := home.Sees(letter)
		held, taken, open, box := relaytest.NewID(t), c.Invite(phone), c.Invite(phone), relaytest.NewID(t)
		file := func(id protocol.ID) string {
			return "/api/1/files/" + id.String() + "?offset=0&size=3&for=" + mei.UID.String()
		}
		c.Well("PUT", file(held), token, []byte("abc"), nil)
		c.Well("PUT", "/api/1/handover/"+box.String(), token, []byte("sealed"), nil)

		disk(10 << 20)
		now := c.Clock.Now().UnixMilli()
		chainPath, contact := "/api/1/chains/"+mei.UID.String(), "/api/1/contacts/"
		fresh, err := mei.Chain.NewDeviceAdd(mei.Phone, relaytest.NewDevice(t).Device(ident.RoleAdmin, 0), now)
		must(t, err)
		moved, err := mei.Chain.NewRelay(mei.Phone, c.Address(), now)
		must(t, err)
		last, err := ident.VerifyUEK(mei.UEK, mei.Chain)
		must(t, err)
		uek, err := ident.NewUEKRecord(mei.Phone, mei.Chain, &last, relaytest.NewBox(t), now)
		must(t, err)
		full := protocol.CodeRelayFull
		refused := func() {
			t.Helper()
			tomPhone.IsRefused(full, c.Envelope(tom, mei, protocol.TypeChat, 10))
			c.Refused(full, "PUT", file(relaytest.NewID(t)), token, []byte("abc"))
			c.Refused(full, "POST", "/api/1/join", "", c.Person("eve").Application(&open, nil))
			c.Refused(full, "PUT", "/api/1/vault", token, mei.SealVault(t, mei.Phone, 2))
			c.Refused(full, "POST", chainPath, "", fresh)
			c.Refused(full, "POST", chainPath, "", moved)
			c.Refused(full, "POST", "/api/1/ueks", token, uek)
			c.Refused(full, "POST", "/api/1/invites", token, invitation{handshake.InviteHash(relaytest.NewID(t)), []byte("card")})
			c.Refused(full, "POST", "/api/1/invites/"+open.String()+"/spend", tomPhone.Ready.Token, struct{}{})
			c.Refused(full, "PUT", "/api/1/handover/"+relaytest.NewID(t).String(), token, []byte("sealed"))
			c.Refused(full, "PUT", contact+protocol.UID{7}.String(), token, state{"allow"})
		}
		refused()
		refused()

		home.Confirm(n)
		c.Well("DELETE", file(held), home.Ready.Token, nil, nil)
		home.IsRefused(full, c.Envelope(mei, mei, protocol.TypeChat, 10)) // answered after the confirmation
		if used := c.Connect(mei, mei.Phone).Ready.Space.Used; used != 0 {
			t.Error("confirmed and let go, and still used:", used)
		}
		c.Well("DELETE", "/api/1/invites/"+handshake.InviteHash(taken).String(), token, nil, nil)
		c.Well("POST", "/api/1/handover/"+box.String()+"/take", "", nil, nil)
		c.Well("PUT", contact+tom.UID.String(), token, state{"none"}, nil)
		c.Well("PUT", contact+tom.UID.String(), token, state{"block"}, nil)
		c.Well("PUT", contact+protocol.UID{8}.String(), token, state{"block"}, nil)
		c.Revoke(mei, lost.ID())
		if got := strings.Count(c.Log.String(), "level=WARN"); got != 1 {
			t.Errorf("the operator is told %d times:\n%s", got, c.Log)
		}

		disk(1 << 40)
		c.Well("PUT", "/api/1/vault", token, mei.SealVault(t, mei.Phone, 2), nil)
		c.Well("POST", "/api/1/ueks", token, uek, nil)
		c.Well("PUT", contact+tom.UID.String(), token, state{"allow"}, nil)
	})
}

type invitation struct {
	ID   protocol.Hash32 `json:"id"`
	Card protocol.Bytes  `json:"card"`
}
