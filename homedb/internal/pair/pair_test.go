package pair_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/pair"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostile is the relay as its operator would like it to be: what the real one
// holds, with changes.
type hostile struct {
	*gate.Gate
	message func(step gate.Step, raw []byte) []byte
	info    func(*gate.Info)
	chain   func([]protocol.Signed) []protocol.Signed
}

func (h *hostile) GetPair(ctx context.Context, box protocol.ID, step gate.Step) ([]byte, error) {
	raw, err := h.Gate.GetPair(ctx, box, step)
	if err == nil && h.message != nil {
		raw = h.message(step, bytes.Clone(raw))
	}
	return raw, err
}

func (h *hostile) Info(ctx context.Context) (gate.Info, error) {
	i, err := h.Gate.Info(ctx)
	if h.info != nil {
		h.info(&i)
	}
	return i, err
}

func (h *hostile) Chain(ctx context.Context, uid protocol.UID, after int) ([]protocol.Signed, error) {
	records, err := h.Gate.Chain(ctx, uid, after)
	if err == nil && h.chain != nil {
		records = h.chain(records)
	}
	return records, err
}

func newCode(t testing.TB) handshake.Code {
	t.Helper()
	code, err := handshake.NewCode(hometest.Random)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func newKeys(t testing.TB) *ident.DeviceKeys {
	t.Helper()
	keys, err := ident.GenerateDeviceKeys(hometest.Random)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// meet lets an app and a home pair through relay; the home confirms at once, as
// if it had connected.
func meet(app *hometest.App, relay *hostile, code handshake.Code, keys *ident.DeviceKeys) (paired *pair.Paired, homeErr, appErr error) {
	ctx, stop := context.WithTimeout(context.Background(), hometest.Patience)
	defer stop()
	var all sync.WaitGroup
	all.Go(func() {
		p := &pair.Pairing{Relay: relay, Code: code, Keys: keys, Clock: app.Clock, Random: hometest.Random, Begun: func() {}}
		paired, homeErr = p.Wait(ctx, 0)
		if homeErr == nil {
			homeErr = paired.Confirm(ctx)
		}
		if homeErr != nil {
			stop() // nobody goes on after that
		}
	})
	if appErr = app.TryApprove(ctx, code, relay); appErr != nil {
		stop() // nobody goes on after that
	}
	all.Wait()
	return paired, homeErr, appErr
}

func TestPairing(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	keys := newKeys(t)
	paired, homeErr, appErr := meet(wei, &hostile{Gate: c.Gate()}, newCode(t), keys)
	if homeErr != nil || appErr != nil {
		t.Fatal(homeErr, appErr)
	}
	if paired.UID != wei.UID || paired.Username != "wei" || paired.Name != wei.Name || paired.RelayKey != c.Relay.Key {
		t.Errorf("paired with %+v", paired)
	}
	if home, ok := wei.Chain().Home(wei.Now()); !ok || home.ID() != keys.ID() {
		t.Error("the chain does not list the home")
	}
}

// fields of the messages of section 10, by their place.
var fields = []struct {
	step gate.Step
	name string
	at   int
}{
	{gate.A1, "eph_a", 0}, {gate.A1, "uid", 32}, {gate.A1, "app sign", 64}, {gate.A1, "app box", 96},
	{gate.N1, "eph_n", 0}, {gate.N1, "home sign", 32}, {gate.N1, "home box", 64}, {gate.N1, "mac", 96},
	{gate.A2, "mac", 0}, {gate.A2, "bundle tag", 32}, {gate.A2, "bundle", 48},
	{gate.N2, "mac", 0},
}

func TestAHostileRelayAltersEveryField(t *testing.T) {
	c := hometest.Start(t)
	owner := c.Owner("wei")
	for i, f := range fields {
		for _, how := range []string{"flipped", "zeroed", "cut"} {
			t.Run(fmt.Sprintf("%s/%s/%s", f.step, f.name, how), func(t *testing.T) {
				app := c.Guest(owner, fmt.Sprintf("guest%d%s", i, how))
				defer app.Close()
				altered := false
				relay := &hostile{Gate: c.Gate(), message: func(step gate.Step, raw []byte) []byte {
					if step != f.step {
						return raw
					}
					altered = true
					switch how {
					case "flipped":
						raw[f.at+5] ^= 4
					case "zeroed":
						clear(raw[f.at:min(len(raw), f.at+32)])
					case "cut":
						raw = raw[:f.at]
					}
					return raw
				}}
				_, homeErr, appErr := meet(app, relay, newCode(t), newKeys(t))
				if !altered {
					t.Fatal("nothing was altered")
				}
				if appErr == nil {
					t.Error("the app is content")
				}
				if homeErr == nil && f.step != gate.N2 { // the last word is the home's own
					t.Error("the home is content")
				}
				if _, home := app.Chain().Home(app.Now()); home && f.step == gate.N1 {
					t.Error("the app has put the altered home into its chain")
				}
			})
		}
	}
}

func TestAHostileRelaySplices(t *testing.T) {
	c := hometest.Start(t)
	owner := c.Owner("wei")
	guest := 0
	app := func() *hometest.App {
		guest++
		return c.Guest(owner, fmt.Sprintf("guest%d", guest))
	}
	// What an earlier pairing of the same two kinds looked like.
	old := map[gate.Step][]byte{}
	earlier := app()
	record := &hostile{Gate: c.Gate(), message: func(step gate.Step, raw []byte) []byte { old[step] = bytes.Clone(raw); return raw }}
	if _, homeErr, appErr := meet(earlier, record, newCode(t), newKeys(t)); homeErr != nil || appErr != nil {
		t.Fatal(homeErr, appErr)
	}
	replay := func(step gate.Step) func(gate.Step, []byte) []byte {
		return func(s gate.Step, raw []byte) []byte {
			if s == step {
				return bytes.Clone(old[step])
			}
			return raw
		}
	}
	// The operator as a second app and a second home, who do not know the code.
	mallory := app()
	mallorysKeys := newKeys(t)
	asHome := func(step gate.Step, raw []byte) []byte {
		switch step {
		case gate.A1:
			old["real a1"] = bytes.Clone(raw)
			return raw
		case gate.N1:
			_, n1, err := handshake.NewNewcomer(hometest.Random, newCode(t), mallorysKeys, c.Relay.Key, c.Place.Host, old["real a1"])
			if err != nil {
				t.Fatal(err)
			}
			return n1
		}
		return raw
	}
	asApp := func(step gate.Step, raw []byte) []byte {
		if step != gate.A1 {
			return raw
		}
		me, _ := mallory.Chain().Device(mallory.Keys.ID())
		_, a1, err := handshake.NewApprover(hometest.Random, newCode(t), mallory.UID, me, c.Relay.Key, c.Place.Host)
		if err != nil {
			t.Fatal(err)
		}
		return a1
	}
	otherKey := func(i *gate.Info) { i.Key[3] ^= 1 }
	for name, relay := range map[string]*hostile{
		"a1 of an earlier pairing": {message: replay(gate.A1)},
		"n1 of an earlier pairing": {message: replay(gate.N1)},
		"a2 of an earlier pairing": {message: replay(gate.A2)},
		"its own home":             {message: asHome},
		"its own app":              {message: asApp},
		"another relay key":        {info: otherKey},
	} {
		t.Run(name, func(t *testing.T) {
			relay.Gate = c.Gate()
			_, homeErr, appErr := meet(app(), relay, newCode(t), newKeys(t))
			if homeErr == nil || appErr == nil {
				t.Errorf("home: %v, app: %v", homeErr, appErr)
			}
		})
	}
	t.Run("n2 of an earlier pairing", func(t *testing.T) {
		if _, _, appErr := meet(app(), &hostile{Gate: c.Gate(), message: replay(gate.N2)}, newCode(t), newKeys(t)); appErr == nil {
			t.Error("the app is content")
		}
	})
	t.Run("another host", func(t *testing.T) {
		// A relay in the middle that has a name of its own: the home dialled that.
		elsewhere := c.Place
		elsewhere.Host = "localhost:" + fmt.Sprint(c.Relay.Port)
		g := gate.New(elsewhere, hometest.Dial4)
		defer g.Close()
		_, homeErr, appErr := meet(app(), &hostile{Gate: g}, newCode(t), newKeys(t))
		if homeErr == nil || appErr == nil {
			t.Errorf("home: %v, app: %v", homeErr, appErr)
		}
	})
}

func TestAHostileRelayLiesAboutTheChain(t *testing.T) {
	c := hometest.Start(t)
	owner := c.Owner("wei")
	other := c.Guest(owner, "other")
	others := other.Chain().Records(0)
	guest := 0
	for name, lie := range map[string]func([]protocol.Signed) []protocol.Signed{
		"none":              func([]protocol.Signed) []protocol.Signed { return nil },
		"somebody else's":   func([]protocol.Signed) []protocol.Signed { return others },
		"without the home":  func(r []protocol.Signed) []protocol.Signed { return r[:1] },
		"a record changed":  func(r []protocol.Signed) []protocol.Signed { r[1].Payload[20] ^= 1; return r },
		"a genesis changed": func(r []protocol.Signed) []protocol.Signed { r[0].Payload[20] ^= 1; return r },
	} {
		t.Run(name, func(t *testing.T) {
			guest++
			app := c.Guest(owner, fmt.Sprintf("guest%d", guest))
			paired, homeErr, _ := meetHome(app, &hostile{Gate: c.Gate(), chain: lie}, newKeys(t))
			if !errors.Is(homeErr, pair.ErrRefused) || paired != nil {
				t.Errorf("home: %v, %v", paired, homeErr)
			}
		})
	}
}

// TestAnotherPersonsChainListsTheSameDevices: who knows the public keys of the
// app and of the home may list them in a chain of their own.
func TestAnotherPersonsChainListsTheSameDevices(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mallory, keys := c.Guest(wei, "mallory"), newKeys(t)
	chain := mallory.Chain()
	for _, d := range []ident.Device{wei.Keys.Device(ident.RoleAdmin, 0), keys.Device(ident.RoleHome, 0)} {
		rec, err := chain.NewDeviceAdd(mallory.Keys, d, mallory.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	relay := &hostile{Gate: c.Gate(), chain: func([]protocol.Signed) []protocol.Signed { return chain.Records(0) }}
	if paired, homeErr, _ := meetHome(wei, relay, keys); !errors.Is(homeErr, pair.ErrRefused) || paired != nil {
		t.Errorf("home: %v, %v", paired, homeErr)
	}
}

// TestTheChainNamesAnotherRelay: the relay shows the key that the app has, but
// the person's chain has moved on to another.
func TestTheChainNamesAnotherRelay(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	relay := &hostile{Gate: c.Gate(), chain: func(records []protocol.Signed) []protocol.Signed {
		chain, err := ident.ParseChain(records)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := chain.NewRelay(wei.Keys, ident.Relay{Key: protocol.Key32{5}, Host: "elsewhere.example", Port: 443}, wei.Now())
		if err != nil {
			t.Fatal(err)
		}
		return append(records, rec)
	}}
	if paired, homeErr, _ := meetHome(wei, relay, newKeys(t)); !errors.Is(homeErr, pair.ErrRefused) || paired != nil {
		t.Errorf("home: %v, %v", paired, homeErr)
	}
}

// meetHome is meet for lies that the home finds out last: the app hears nothing.
func meetHome(app *hometest.App, relay *hostile, keys *ident.DeviceKeys) (paired *pair.Paired, homeErr, appErr error) {
	ctx, stop := context.WithTimeout(context.Background(), hometest.Patience)
	defer stop()
	code, done := newCode(app.TB), make(chan struct{})
	p := &pair.Pairing{Relay: relay, Code: code, Keys: keys, Clock: app.Clock, Random: hometest.Random, Begun: func() {}}
	go func() {
		defer close(done)
		paired, homeErr = p.Wait(ctx, 0)
	}()
	appErr = app.TryApprove(ctx, code, &silent{Gate: app.Gate, heard: done})
	<-done
	return paired, homeErr, appErr
}

// silent ends the app's wait for n2 once the home has given up.
type silent struct {
	*gate.Gate
	heard <-chan struct{}
}

func (s *silent) GetPair(ctx context.Context, box protocol.ID, step gate.Step) ([]byte, error) {
	if step == gate.N2 {
		<-s.heard
		return nil, errors.New("the home says nothing")
	}
	return s.Gate.GetPair(ctx, box, step)
}

func TestACodeEnds(t *testing.T) {
	c := hometest.Start(t)
	relay := &empty{Gate: c.Gate(), asked: make(chan struct{}, 100)}
	p := &pair.Pairing{Relay: relay, Code: newCode(t), Keys: newKeys(t), Clock: c.Clock, Random: hometest.Random,
		Begun: func() { t.Error("nobody came") }}
	go func() {
		<-relay.asked
		c.Clock.Advance(9 * time.Minute)
		<-relay.asked
		c.Clock.Advance(2 * time.Minute)
	}()
	if _, err := p.Wait(t.Context(), pair.Life); !errors.Is(err, pair.ErrTimeout) {
		t.Error(err)
	}
}

// empty is a mailbox that answers at once that it is empty.
type empty struct {
	*gate.Gate
	asked chan struct{}
}

func (e *empty) GetPair(context.Context, protocol.ID, gate.Step) ([]byte, error) {
	e.asked <- struct{}{}
	return nil, &protocol.Error{Op: "test", Code: protocol.CodePairEmpty}
}
