// Package storetest is the one contract that every database of the relay keeps.
// Only tests import it.
//
// It must never ask which engine it runs on.
package storetest

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
	"github.com/courtyard-social/courtyard/relay/internal/chain"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/relay/internal/store"
	"github.com/courtyard-social/courtyard/relay/internal/store/postgres"
	"github.com/courtyard-social/courtyard/relay/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
)

// Opened is a fresh store and a second way to look into its database.
type Opened struct {
	Store *store.Store
	Raw   *sql.DB
}

// Each runs a test over every engine.
func Each(t *testing.T, test func(t *testing.T, o Opened)) {
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite opens a fresh file.
func SQLite(t testing.TB) Opened {
	t.Helper()
	path := filepath.Join(t.TempDir(), "courtyard.db")
	s, err := sqlite.Open(t.Context(), path)
	must(t, err)
	return opened(t, s, "sqlite", "file:"+path+"?_busy_timeout=10000")
}

// Postgres opens a fresh database.
func Postgres(t testing.TB) Opened {
	t.Helper()
	url := postgrestest.Start(t)
	s, err := postgres.Open(t.Context(), url)
	must(t, err)
	return opened(t, s, "pgx", url)
}

func opened(t testing.TB, s *store.Store, driver, source string) Opened {
	t.Helper()
	raw, err := sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() {
		if err := raw.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return Opened{s, raw}
}

// Now is when these tests take place, ms.
const Now = int64(1_790_000_000_000)

// Relay is what the people of these tests name in their chains.
var Relay = ident.Relay{Host: "relay.example", Port: 443}

// Joining makes somebody who may join.
func Joining(t testing.TB, username string) (*relaytest.Person, accounts.Joining) {
	t.Helper()
	p := relaytest.NewPerson(t, username, Relay, time.UnixMilli(Now))
	return p, accounts.Joining{
		UID: p.UID, Username: username, Genesis: p.Genesis, Device: p.Phone.Device(ident.RoleAdmin, 0),
		UEK: p.UEK, Vault: p.Vault, At: Now,
	}
}

// Resident is somebody who has joined.
func (o Opened) Resident(t testing.TB, username string) *relaytest.Person {
	t.Helper()
	p, j := Joining(t, username)
	_, err := o.Store.Join(t.Context(), j)
	must(t, err)
	return p
}

// Friends makes each a contact of the other.
func (o Opened) Friends(t testing.TB, a, b *relaytest.Person) {
	t.Helper()
	must(t, o.Store.SetContact(t.Context(), a.UID, b.UID, accounts.Allow, 100))
	must(t, o.Store.SetContact(t.Context(), b.UID, a.UID, accounts.Allow, 100))
}

// Enrol gives p another device.
func (o Opened) Enrol(t testing.TB, p *relaytest.Person, role string) *ident.DeviceKeys {
	t.Helper()
	keys := relaytest.NewDevice(t)
	device := keys.Device(role, 0)
	rec, err := p.Chain.NewDeviceAdd(p.Phone, device, Now)
	must(t, err)
	_, err = o.Store.Extend(t.Context(), chain.Addition{UID: p.UID, Seq: p.Chain.Seq() + 1, Record: rec, Added: &device, At: Now})
	must(t, err)
	must(t, p.Chain.Append(rec))
	return keys
}

// Revoke takes a device out.
func (o Opened) Revoke(t testing.TB, p *relaytest.Person, id protocol.DeviceID) (homeGone bool) {
	t.Helper()
	rec, err := p.Chain.NewDeviceRevoke(p.Phone, id, 0, Now)
	must(t, err)
	homeGone, err = o.Store.Extend(t.Context(), chain.Addition{UID: p.UID, Seq: p.Chain.Seq() + 1, Record: rec, Revoked: &id, At: Now})
	must(t, err)
	must(t, p.Chain.Append(rec))
	return homeGone
}

// Number asks the database for one number, past the store.
func (o Opened) Number(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	var n int64
	must(t, o.Raw.QueryRowContext(context.WithoutCancel(t.Context()), query, args...).Scan(&n))
	return n
}

// Counts checks that what is counted is what is there.
func (o Opened) Counts(t testing.TB) {
	t.Helper()
	wrong := o.Number(t, `SELECT COUNT(*) FROM spaces s WHERE s.used <>
		(SELECT COALESCE(SUM(size), 0) FROM queue q WHERE q.owner = s.owner) +
		(SELECT COALESCE(SUM(size), 0) FROM holders h WHERE h.owner = s.owner) +
		(SELECT COALESCE(SUM(size), 0) FROM changes c WHERE c.uid = s.owner) +
		(SELECT COALESCE(SUM(size), 0) FROM media m WHERE m.uid = s.owner)`)
	if wrong != 0 {
		t.Errorf("%d people's space is miscounted", wrong)
	}
	wrong = o.Number(t, `SELECT COUNT(*) FROM shares s WHERE s.used <>
		(SELECT COALESCE(SUM(size), 0) FROM queue q WHERE q.owner = s.owner AND q.sender = s.sender) +
		(SELECT COALESCE(SUM(size), 0) FROM holders h WHERE h.owner = s.owner AND h.sender = s.sender)`)
	if wrong != 0 {
		t.Errorf("%d shares are miscounted", wrong)
	}
	wrong = o.Number(t, `SELECT COUNT(*) FROM (SELECT owner, sender FROM queue UNION SELECT owner, sender FROM holders) AS x
		WHERE x.owner <> x.sender AND NOT EXISTS (SELECT 1 FROM shares s WHERE s.owner = x.owner AND s.sender = x.sender)`)
	if wrong != 0 {
		t.Errorf("%d shares are missing", wrong)
	}
	wrong = o.Number(t, `SELECT COUNT(*) FROM files f WHERE NOT EXISTS (SELECT 1 FROM holders h WHERE h.file = f.id)`) +
		o.Number(t, `SELECT COUNT(*) FROM chunks c WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.id = c.file)`)
	if wrong != 0 {
		t.Errorf("%d files or chunks that nobody holds", wrong)
	}
	wrong = o.Number(t, `SELECT COUNT(*) FROM named n WHERE NOT EXISTS (SELECT 1 FROM media m WHERE m.uid = n.uid AND m.hash = n.hash)`) +
		o.Number(t, `SELECT COUNT(*) FROM named n JOIN changes c ON c.uid = n.uid AND c.seq = n.seq WHERE c.size = 0`) +
		o.Number(t, `SELECT COUNT(*) FROM changes WHERE (size = 0) <> (payload IS NULL) OR size = 0 AND first > 0`) +
		o.Number(t, `SELECT COUNT(*) FROM walls w WHERE w.seq <> (SELECT MAX(seq) FROM changes c WHERE c.uid = w.uid)
			OR w.seq <> (SELECT COUNT(*) FROM changes c WHERE c.uid = w.uid)`)
	if wrong != 0 {
		t.Errorf("%d faults in walls", wrong)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if got := protocol.CodeOf(err); got != code {
		t.Fatalf("code %q (%v), want %q", got, err, code)
	}
}
