package relay_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built != "" {
			if err := os.RemoveAll(built); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
		os.Exit(code)
	}))
}

// eachDatabase plays a story over SQLite and over PostgreSQL.
func eachDatabase(t *testing.T, o relaytest.Options, story func(t *testing.T, c *relaytest.Courtyard)) {
	t.Run("sqlite", func(t *testing.T) { story(t, relaytest.Start(t, o)) })
	t.Run("postgres", func(t *testing.T) {
		o.Config.Database = postgrestest.Start(t)
		story(t, relaytest.Start(t, o))
	})
}

func TestTwoWithoutHomesWriteToEachOther(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei := c.Owner("mei")
		phone := c.Connect(mei, mei.Phone)
		if r := phone.Ready; !r.Owner || r.Username != "mei" || r.Home.State != "none" || r.Vault != 1 || r.UEK != 1 || r.Cursor != 0 {
			t.Fatalf("ready says %+v", r)
		}
		tom := c.Guest(phone, "tom")
		if p := phone.Event("contact"); p["uid"] != tom.UID.String() || p["state"] != "allow" {
			t.Fatal("inviter hears", p)
		}
		tomPhone := c.Connect(tom, tom.Phone)

		hello := c.Envelope(mei, tom, protocol.TypeChat, 600)
		if f := phone.Sends(hello, tom, mei); len(f.Kept) != 2 {
			t.Fatal("kept for", f.Kept)
		}
		n := tomPhone.Sees(hello)
		phone.Sees(hello) // one's own devices have it too
		tomPhone.Confirm(n)
		// A confirmation has no answer; that of a later put says that it is written.
		tomPhone.Sends(c.Envelope(tom, mei, protocol.TypeChat, 10), mei)
		// Another device, later, finds it in the keep and in its own delivery.
		tablet := c.AddDevice(tom, ident.RoleAdmin, 0)
		tomPhone.Event("chain")
		second := c.Connect(tom, tablet)
		second.Sees(hello)
		var keep struct {
			Rows []struct {
				N   int64           `json:"n"`
				Env json.RawMessage `json:"env"`
			} `json:"rows"`
			More bool `json:"more"`
		}
		c.Well("GET", "/api/1/keep", second.Ready.Token, nil, &keep)
		if len(keep.Rows) != 1 || keep.More {
			t.Fatal("keep has", keep)
		}
		// The phone does not see it again after reconnecting.
		again := c.Envelope(mei, tom, protocol.TypeChat, 10)
		tomPhone.Close()
		tomPhone = c.Connect(tom, tom.Phone)
		phone.Sends(again, tom, mei)
		if _, e := tomPhone.Row(); e.ID != again.ID {
			t.Fatal("a confirmed row was delivered again")
		}
	})
}

func TestAHomeTakesEverythingAndEmptiesTheQueue(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei := c.Owner("mei")
		phone := c.Connect(mei, mei.Phone)
		tom := c.Guest(phone, "tom")
		before := c.Envelope(mei, tom, protocol.TypeChat, 600)
		phone.Sends(before, tom)

		tomPhone := c.Connect(tom, tom.Phone)
		homeKeys := c.AddDevice(tom, ident.RoleHome, 0)
		if p := tomPhone.Event("home"); p["state"] != "away" {
			t.Fatal("home is", p)
		}
		home := c.Connect(tom, homeKeys)
		if p := tomPhone.Event("home"); p["state"] != "online" {
			t.Fatal("home is", p)
		}
		home.Confirm(home.Sees(before)) // the keep moves into the home
		during := c.Envelope(mei, tom, protocol.TypeChat, 600)
		if f := phone.Sends(during, tom, mei); len(f.Kept) != 1 || f.Kept[0] != mei.UID {
			t.Fatal("kept for", f.Kept)
		}
		n := home.Sees(during)
		tomPhone.Sees(during)
		home.Confirm(n)
		// A confirmation has no answer; that of a later put says that it is written.
		home.Sends(c.Envelope(tom, mei, protocol.TypeChat, 10), mei)
		if n := len(keptBy(t, c, tomPhone)); n != 0 {
			t.Fatal(n, "rows still kept")
		}
		// The next home connection starts from what is still there: nothing.
		home.Close()
		if p := tomPhone.Event("home"); p["state"] != "away" {
			t.Fatal("home is", p)
		}
		after := c.Envelope(mei, tom, protocol.TypeChat, 600)
		phone.Sends(after, tom)
		home = c.Connect(tom, homeKeys)
		if _, e := home.Row(); e.ID != after.ID {
			t.Fatal("a confirmed row came again")
		}
	})
}
