package intake_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/files"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/intake"
	"github.com/courtyard-social/courtyard/homedb/internal/keys"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relayKey is that of everybody's relay here.
var relayKey = protocol.Key32{1}

// desk is an intake with a friend who writes.
type desk struct {
	testing.TB
	*intake.Intake
	self   protocol.UID
	friend *ident.DeviceKeys
	chain  *ident.Chain
	own    *ident.Chain
	away   bool // the courtyard where the friend lives
	uek    protocol.Key32
	seq    int64
}

// Chain and UEK play the relay.
func (d *desk) Chain(_ context.Context, _ string, uid protocol.UID, after int) ([]protocol.Signed, error) {
	if uid == d.self {
		return d.own.Records(after + 1), nil
	}
	if d.away {
		return nil, &protocol.Error{Op: "test", Code: protocol.CodePeerAway}
	}
	return d.chain.Records(after + 1), nil
}

func (d *desk) UEK(context.Context, string, protocol.UID) (protocol.Signed, error) {
	return protocol.Signed{}, &protocol.Error{Op: "test", Code: protocol.CodeNotFound}
}

func open(t testing.TB) *desk {
	t.Helper()
	db, err := sqlite.OpenLog(context.Background(), filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, db)
}

// openOn takes ownership of the log's database.
func openOn(t testing.TB, db *store.DB) *desk {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d := &desk{TB: t}
	born := func() (*ident.DeviceKeys, *ident.Chain) {
		keys, err := ident.GenerateDeviceKeys(rand.Reader)
		must(err)
		genesis, _, err := ident.NewGenesis(rand.Reader, keys, ident.Relay{Key: relayKey, Host: "courtyard.example", Port: 443}, 1)
		must(err)
		chain, err := ident.ParseChain([]protocol.Signed{genesis})
		must(err)
		return keys, chain
	}
	d.friend, d.chain = born()
	_, d.own = born()
	d.self = d.own.UID()
	dir := t.TempDir()
	ctx := context.Background()
	t.Cleanup(func() { must(db.Close()) })
	ringDB, err := sqlite.OpenRing(ctx, filepath.Join(dir, "keys.db"))
	must(err)
	t.Cleanup(func() { must(ringDB.Close()) })
	ring, err := keys.OpenRing(ctx, ringDB)
	must(err)
	for counter := range int64(3) { // as many as a home commonly has
		secret, err := protocol.NewBoxSecret(rand.Reader)
		must(err)
		must(ring.Add(ctx, keys.Key{UEKSecret: ident.UEKSecret{Counter: counter + 1, Secret: secret}, TS: 1, Issued: 1}))
		d.uek = secret.Public()
	}
	log, err := chatlog.Open(ctx, db, d.self, rand.Reader, 1)
	must(err)
	logger := slog.New(slog.DiscardHandler)
	d.Intake = &intake.Intake{Self: d.self, DB: db, Log: log, Book: friends.Open(db, d.self, d, clock.System{}, logger), Ring: ring,
		Files: &files.Files{DB: db, Dir: filepath.Join(dir, "files")}, Clock: clock.System{}, Logger: logger,
		MoreKeys: func(context.Context) (bool, error) { return false, nil },
		Counted:  func(string, int) {}, Grown: func() {}, Owed: func() {}, Ahead: func() {}}
	return d
}

// writes is a letter of the friend, as the relay delivers it.
func (d *desk) writes(text string) []byte {
	d.Helper()
	must := func(err error) {
		if err != nil {
			d.Fatal(err)
		}
	}
	id, err := protocol.NewID(rand.Reader)
	must(err)
	now := clock.Millis(clock.System{})
	d.seq++
	meta, err := message.Meta{Kind: message.KindText, MID: id, Dev: d.friend.ID(), Seq: d.seq, Clock: now, Head: d.chain.Head()}.Marshal()
	must(err)
	body, err := message.MarshalBody(message.Text{Text: text})
	must(err)
	a := protocol.Address{IP: "courtyard.example", Port: 443}
	e := &protocol.Envelope{V: 1, ID: id, TS: now, From: a, To: a, Type: protocol.TypeChat}
	e.From.ID, e.To.ID = d.chain.UID(), d.self
	e.Data, err = letter.Seal(rand.Reader, e, d.friend, []protocol.Key32{d.uek, {9}}, meta, body)
	must(err)
	return e.Marshal()
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDurableLetters is how many letters a second one person's home opens,
// commits and confirms, in groups, with the relay's window of 64 unconfirmed.
func BenchmarkDurableLetters(b *testing.B) {
	d := open(b)
	raw := make([][]byte, b.N)
	for i := range raw {
		raw[i] = d.writes(fmt.Sprintf("letter %d: as long as people's messages commonly are", i))
	}
	deliveries := make(chan intake.Delivery)
	window := make(chan int64, 1)
	commits := 0
	b.ResetTimer()
	began := cpu(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(context.Background(), deliveries, func(int64) bool { return false }, func(n int64) { commits++; window <- n })
	}()
	var confirmed int64
	for i := range raw {
		for int64(i)-confirmed >= 64 {
			confirmed = <-window
		}
		for {
			select {
			case deliveries <- intake.Delivery{N: int64(i + 1), Raw: raw[i]}:
			case confirmed = <-window:
				continue
			}
			break
		}
	}
	for confirmed < int64(len(raw)) {
		confirmed = <-window
	}
	b.StopTimer()
	used := cpu(b) - began
	close(deliveries)
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
	b.ReportMetric(used.Seconds()/float64(b.N)*1e6, "cpu-s/M")
	b.ReportMetric(float64(b.N)/float64(commits), "letters/commit")
}

// FuzzDelivery: whatever a relay delivers is committed in some form, and the next
// letter is opened.
func FuzzDelivery(f *testing.F) {
	d := open(f)
	good := d.writes("hello")
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add(good[:len(good)-30])
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := *d
		d.TB = t
		rows := []intake.Delivery{{N: 1, Raw: raw}, {N: 2, Raw: d.writes("and the next")}}
		before, err := d.Intake.Log.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Take(t.Context(), rows, nil); err != nil {
			t.Fatal(err)
		}
		after, err := d.Intake.Log.Status(t.Context())
		if err != nil || after.Messages <= before.Messages {
			t.Error("the next letter is not in the log: ", err)
		}
	})
}
