package relay_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// TestAnExpiredDeviceCannotWriteIntoThePast: readers judge a record by its own
// time, so only the relay can see that its signer has set the clock back.
func TestAnExpiredDeviceCannotWriteIntoThePast(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei := c.Owner("mei")
		ik, err := protocol.NewSignSecret(rand.Reader)
		must(t, err)
		c.Record(mei, func(chain *ident.Chain) (protocol.Signed, error) {
			return chain.NewCard(mei.Phone, ik, relaytest.NewBox(t), c.Clock.Now().UnixMilli())
		})
		exp := c.Clock.Now().Add(time.Hour)
		guest := c.AddDevice(mei, ident.RoleAdmin, exp.UnixMilli())
		before := exp.Add(-time.Minute).UnixMilli()
		path := "/api/1/chains/" + mei.UID.String()
		add := func(signer protocol.Signer, ts int64) protocol.Signed {
			t.Helper()
			rec, err := mei.Chain.NewDeviceAdd(signer, relaytest.NewDevice(t).Device(ident.RoleAdmin, 0), ts)
			must(t, err) // a reader takes it
			return rec
		}
		c.Clock.Move(50 * time.Minute)
		last := add(guest, c.Clock.Now().UnixMilli())
		c.Well("POST", path, "", last, nil) // active still
		must(t, mei.Chain.Append(last))

		c.Clock.Move(11 * time.Minute)
		c.Refused(protocol.CodeBadChain, "POST", path, "", add(guest, before))
		revoke, err := mei.Chain.NewDeviceRevoke(guest, mei.Phone.ID(), 0, before)
		must(t, err)
		c.Refused(protocol.CodeBadChain, "POST", path, "", revoke)
		c.Well("POST", path, "", last, nil) // written in time; the answer was lost, say
		// The card is no device: what it signs, with whatever clock, is taken.
		byCard := add(ik, before)
		c.Well("POST", path, "", byCard, nil)
		must(t, mei.Chain.Append(byCard))
		byPhone := add(mei.Phone, before)
		c.Well("POST", path, "", byPhone, nil)
	})
}
