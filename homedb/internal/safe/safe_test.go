package safe_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/safe"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relay keeps every version and serves the newest, or what the operator likes.
type relay struct {
	versions []vault.Sealed
	serve    int // 0: the newest
	before   func()
}

func (r *relay) Vault(context.Context, string) ([]byte, error) {
	at := len(r.versions)
	if r.serve > 0 {
		at = r.serve
	}
	return protocol.Marshal(r.versions[at-1])
}

func (r *relay) PutVault(_ context.Context, _ string, v any) error {
	if r.before != nil {
		r.before()
	}
	sealed := v.(vault.Sealed)
	if sealed.Version != int64(len(r.versions)+1) {
		return &protocol.Error{Op: "test", Code: protocol.CodeVaultConflict}
	}
	r.versions = append(r.versions, sealed)
	return nil
}

type owner struct {
	*testing.T
	*safe.Safe
	phone *ident.DeviceKeys
	chain *ident.Chain
	relay *relay
	seen  int
}

func open(t *testing.T) *owner {
	t.Helper()
	o := &owner{T: t, relay: &relay{}}
	keys := func() *ident.DeviceKeys {
		k, err := ident.GenerateDeviceKeys(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	o.phone = keys()
	home := keys()
	genesis, _, err := ident.NewGenesis(rand.Reader, o.phone, ident.Relay{Key: protocol.Key32{1}, Host: "courtyard.example", Port: 443}, 1)
	if err == nil {
		o.chain, err = ident.ParseChain([]protocol.Signed{genesis})
	}
	if err != nil {
		t.Fatal(err)
	}
	o.adds(home.Device(ident.RoleHome, 0))
	db, err := sqlite.OpenLog(t.Context(), filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Safe = &safe.Safe{DB: db, Register: o.relay, Keys: home, Clock: clock.System{}, Random: rand.Reader,
		Chain:  func(context.Context) (*ident.Chain, error) { return o.chain, nil },
		Opened: func(vault.Contents) { o.seen++ }}
	o.writes(vault.Contents{V: 1, Name: "Wei", Rest: protocol.Rest{"app": json.RawMessage(`[1,{"x":null}]`)}})
	return o
}

func (o *owner) adds(d ident.Device) {
	o.Helper()
	rec, err := o.chain.NewDeviceAdd(o.phone, d, 2)
	if err == nil {
		err = o.chain.Append(rec)
	}
	if err != nil {
		o.Fatal(err)
	}
}

// writes is the phone's next version.
func (o *owner) writes(c vault.Contents) {
	o.Helper()
	sealed, err := vault.Seal(rand.Reader, o.phone, o.chain.UID(), int64(len(o.relay.versions)+1), vault.Slots(o.chain, 5), c)
	if err != nil {
		o.Fatal(err)
	}
	o.relay.versions = append(o.relay.versions, sealed)
}

func (o *owner) phones() vault.Contents {
	o.Helper()
	c, err := vault.Open(o.relay.versions[len(o.relay.versions)-1], o.chain, 5, o.phone.Box())
	if err != nil {
		o.Fatal(err)
	}
	return c
}

func TestAChangeLosesNothing(t *testing.T) {
	o := open(t)
	// Meanwhile the phone writes, and a tablet comes to be.
	races := 0
	o.relay.before = func() {
		if races++; races > 1 {
			return
		}
		c := o.phones()
		c.About = "written meanwhile"
		tablet, err := ident.GenerateDeviceKeys(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		o.adds(tablet.Device(ident.RoleAdmin, 0))
		o.writes(c)
	}
	if err := o.Change(t.Context(), "", func(c *vault.Contents) bool { c.Username = "wei"; return true }); err != nil {
		t.Fatal(err)
	}
	c := o.phones()
	if c.Username != "wei" || c.About != "written meanwhile" || c.Name != "Wei" || string(c.Rest["app"]) != `[1,{"x":null}]` {
		t.Errorf("%+v", c)
	}
	if n := o.relay.versions[len(o.relay.versions)-1].Blob[41]; n != 3 {
		t.Errorf("sealed for %d devices", n)
	}
	before := len(o.relay.versions)
	if err := o.Change(t.Context(), "", func(*vault.Contents) bool { return false }); err != nil || len(o.relay.versions) != before {
		t.Error("written without a change: ", err)
	}
}

func TestAnOlderVaultIsRefused(t *testing.T) {
	o := open(t)
	o.writes(vault.Contents{V: 1, Name: "Wei the second"})
	if c, err := o.Open(t.Context(), ""); err != nil || c.Name != "Wei the second" {
		t.Fatal(err)
	}
	seen := o.seen
	o.relay.serve = 1
	if _, err := o.Open(t.Context(), ""); !errors.Is(err, safe.ErrRollback) {
		t.Error(err)
	}
	if err := o.Change(t.Context(), "", func(*vault.Contents) bool { return true }); !errors.Is(err, safe.ErrRollback) {
		t.Error(err)
	}
	if o.seen != seen {
		t.Error("its pins were believed")
	}
	o.relay.serve = 0
	o.relay.versions[1].Blob[100] ^= 1
	if _, err := o.Open(t.Context(), ""); err == nil {
		t.Error("an altered vault was opened")
	}
}
