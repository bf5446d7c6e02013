package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/courtyards"
	"github.com/courtyard-social/courtyard/relay/internal/peer"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

func lists(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	set := func(owner *protocol.UID, host, state string, at int64) error {
		return o.Store.SetCourtyard(t.Context(), owner, courtyards.Entry{Host: host, State: state, Since: at}, 2)
	}
	must(t, set(nil, "b.example", courtyards.Block, Now))
	must(t, set(nil, "b.example", courtyards.Block, Now+1)) // since the first time
	must(t, set(nil, "c.example", courtyards.Block, Now))
	must(t, set(nil, "c.example", courtyards.Allow, Now+2))
	wantCode(t, set(nil, "d.example", courtyards.Block, Now), protocol.CodeNotAllowed)
	must(t, set(&mei.UID, "d.example", courtyards.Block, Now))
	must(t, set(&mei.UID, "e.example", courtyards.Block, Now))
	must(t, set(&mei.UID, "e.example", courtyards.None, Now))
	must(t, set(&mei.UID, "e.example", courtyards.None, Now))
	b1, b2, c1 := protocol.Key32{1}, protocol.Key32{2}, protocol.Key32{3}
	for _, k := range []courtyards.Key{{Host: "b.example", Relay: b1}, {Host: "b.example", Relay: b2}, {Host: "c.example", Relay: c1}, {Host: "c.example", Relay: c1, Proved: true}, {Host: "x.example", Relay: c1}} {
		must(t, o.Store.SaveKey(t.Context(), k, 4, Now))
	}
	rules, err := o.Store.CourtyardRules(t.Context())
	must(t, err)
	slices.SortFunc(rules.Keys, func(a, b courtyards.Key) int { return int(a.Relay[0]) - int(b.Relay[0]) })
	if rules.Only || !slices.Equal(rules.Entries, []courtyards.Entry{{Host: "b.example", State: "block", Since: Now}, {Host: "c.example", State: "allow", Since: Now + 2}}) ||
		!slices.Equal(rules.Keys, []courtyards.Key{{Host: "b.example", Relay: b1}, {Host: "b.example", Relay: b2}, {Host: "c.example", Relay: c1, Proved: true}}) {
		t.Fatalf("%+v", rules)
	}
	for _, only := range []bool{true, true, false} {
		must(t, o.Store.SetOnly(t.Context(), only))
		if rules, err = o.Store.CourtyardRules(t.Context()); err != nil || rules.Only != only {
			t.Fatal(rules.Only, err)
		}
	}
	mine, err := o.Store.List(t.Context(), &mei.UID)
	must(t, err)
	if len(mine) != 1 || mine[0].Host != "d.example" {
		t.Fatal(mine)
	}
}

// keysOfAHost: what callers say is bounded and stays, what was met is bounded and the newest stays.
func keysOfAHost(t *testing.T, o Opened) {
	must(t, o.Store.SetCourtyard(t.Context(), nil, courtyards.Entry{Host: "b.example", State: courtyards.Block, Since: Now}, 10))
	for i := range 6 {
		for _, proved := range []bool{false, true} {
			key := protocol.Key32{byte(i + 1), byte(flag(proved))}
			must(t, o.Store.SaveKey(t.Context(), courtyards.Key{Host: "b.example", Relay: key, Proved: proved}, 4, Now+int64(i)))
		}
	}
	rules, err := o.Store.CourtyardRules(t.Context())
	must(t, err)
	said, met := []int64{}, []int64{}
	for _, k := range rules.Keys {
		if k.Proved {
			met = append(met, int64(k.Relay[0]))
		} else {
			said = append(said, int64(k.Relay[0]))
		}
	}
	slices.Sort(said)
	slices.Sort(met)
	same(t, said, 1, 2, 3, 4)
	same(t, met, 3, 4, 5, 6)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func knownCourtyards(t *testing.T, o Opened) {
	mei, tom := o.Resident(t, "mei"), o.Resident(t, "tom")
	eve, friendOfEve := protocol.UID{1}, protocol.UID{2}
	key := protocol.Key32{7}
	must(t, o.Store.SavePin(t.Context(), eve, peer.Pin{Relay: key}, Now))
	must(t, o.Store.SavePin(t.Context(), friendOfEve, peer.Pin{Relay: key}, Now))
	for _, owner := range []protocol.UID{mei.UID, tom.UID} {
		for _, friend := range []protocol.UID{eve, friendOfEve} {
			must(t, o.Store.SetContact(t.Context(), owner, friend, "allow", 10))
		}
	}
	must(t, o.Store.SaveKey(t.Context(), courtyards.Key{Host: "b.example", Relay: key, Proved: true}, 4, Now))
	must(t, o.Store.SetCourtyard(t.Context(), nil, courtyards.Entry{Host: "d.example", State: courtyards.Block, Since: Now}, 10))
	must(t, o.Store.Custody(t.Context(), func(l queue.Ledger) error {
		for i := range 3 {
			if _, err := l.Dispatch(t.Context(), queue.Parcel{Host: "c.example", Sender: mei.UID, To: eve, ID: protocol.ID{byte(i)}, At: Now, Raw: []byte("x")}); err != nil {
				return err
			}
		}
		return nil
	}))
	known, err := o.Store.KnownCourtyards(t.Context(), 10)
	must(t, err)
	want := []courtyards.Known{{Host: "b.example", People: 2, Seen: Now}, {Host: "c.example", Waiting: 3}, {Host: "d.example"}}
	if !slices.Equal(known, want) {
		t.Fatalf("%+v", known)
	}
	if known, err = o.Store.KnownCourtyards(t.Context(), 1); err != nil || len(known) != 1 {
		t.Fatal(known, err)
	}
}

// shunned: whom a person refuses, by name and by key, with the same work for everybody.
func shunned(t *testing.T, o Opened) {
	mei, tom := o.Resident(t, "mei"), o.Resident(t, "tom")
	eve, key, other := protocol.UID{1}, protocol.Key32{7}, protocol.Key32{8}
	hash := protocol.Hash("invite")
	must(t, o.Store.SaveInvite(t.Context(), mei.UID, hash, []byte("card"), 10, Now))
	for _, owner := range []protocol.UID{mei.UID, tom.UID} {
		must(t, o.Store.SetContact(t.Context(), owner, eve, "allow", 10))
	}
	must(t, o.Store.SaveKey(t.Context(), courtyards.Key{Host: "b.example", Relay: key}, 4, Now))
	must(t, o.Store.SetCourtyard(t.Context(), &mei.UID, courtyards.Entry{Host: "b.example", State: courtyards.Block, Since: Now}, 10))
	for _, c := range []struct {
		owner protocol.UID
		relay protocol.Key32
		host  string
		want  bool
	}{
		{mei.UID, key, "b.example", true},
		{mei.UID, key, "another.example", true},
		{mei.UID, other, "b.example", true},
		{mei.UID, other, "another.example", false},
		{tom.UID, key, "b.example", false},
	} {
		name := fmt.Sprintf("%v %s", c.relay[0], c.host)
		ok, err := o.Store.AcceptsFrom(t.Context(), c.owner, eve, c.relay, c.host)
		must(t, err)
		if ok == c.want {
			t.Error(name, "accepted:", ok)
		}
		must(t, o.Store.Custody(t.Context(), func(l queue.Ledger) error {
			before := o.Store.Statements()
			s, err := l.Standing(context.Background(), c.owner, eve, queue.Via{Relay: c.relay, Host: c.host})
			if n := o.Store.Statements() - before; s.Shunned != c.want || n != 1 {
				t.Errorf("%s: %+v with %d statements", name, s, n)
			}
			return err
		}))
		if c.owner == mei.UID {
			unwelcome, err := o.Store.Unwelcome(t.Context(), hash, c.relay, c.host)
			must(t, err)
			if unwelcome != c.want {
				t.Error(name, "unwelcome:", unwelcome)
			}
		}
	}
}
