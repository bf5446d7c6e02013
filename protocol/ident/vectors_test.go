package ident_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

const encoding = "byte strings are base64url without padding; times are ms"

func TestChainVectors(t *testing.T) {
	const at = now + 10_000
	var good, bad []m
	chains := goodChains(t)
	for _, name := range slices.Sorted(maps.Keys(chains)) {
		chain, err := ident.ParseChain(chains[name].Records(0))
		if err != nil {
			t.Fatal(name, err)
		}
		v := m{"name": name, "records": chain.Records(0), "uid": chain.UID(), "seq": chain.Seq(), "head": chain.Head(),
			"relay": chain.Relay(), "uek_floor": chain.UEKFloor()}
		var active []m
		for _, d := range chain.Devices(at) {
			active = append(active, m{"id": d.ID(), "device": d})
		}
		v["active"] = active
		if home, ok := chain.Home(at); ok {
			v["home"] = home.ID()
		}
		if card, ok := chain.Card(); ok {
			v["card"] = m{"ik": card.IK, "box": card.Box}
		}
		good = append(good, v)
	}
	for _, c := range badChains(t) {
		bad = append(bad, m{"why": c.why, "records": c.records})
	}
	c := newCast(t)
	long := c.grow(c.genesis(), add(c.phone, homed(c.home)), add(c.phone, admin(c.laptop)))
	fork := c.grow(c.genesis(), add(c.phone, homed(c.home2)), add(c.phone, admin(c.laptop)))
	pins := []m{
		{"why": "same", "records": long.Records(0), "pin": long.Pin(), "fork": false},
		{"why": "grown since", "records": long.Records(0), "pin": c.genesis().Pin(), "fork": false},
		{"why": "forked", "records": fork.Records(0), "pin": long.Pin(), "fork": true},
		{"why": "truncated", "records": c.genesis().Records(0), "pin": long.Pin(), "fork": true},
	}
	written, authors := authors(t)
	vectortest.Compare(t, "chain.json", m{
		"about": "Section 3. good: a chain and what follows from it; active and home as seen at the time `at`. " +
			"bad: the last record must be refused, and all before it are good. pins: the chain against what a reader pinned. " +
			"authors: whether a letter in an envelope of this ts may be from the device (section 8).",
		"encoding": encoding, "at": at, "good": good, "bad": bad, "pins": pins,
		"authors": m{"records": written.Records(0), "cases": authors},
	})
}

func TestUEKVectors(t *testing.T) {
	chain, signed, records := uekRecords(t)
	var good, bad []m
	for i, r := range records {
		secret := uekKey(i + 1).Expose()
		v := m{"record": signed[i], "counter": r.Counter, "ts": r.TS, "head": r.Head, "key": r.Key, "secret": vectortest.B(secret[:]), "hash": r.Hash}
		if r.Prev != nil {
			v["prev"] = *r.Prev
		}
		good = append(good, v)
	}
	for _, b := range badUEKs(t) {
		bad = append(bad, m{"why": b.why, "chain": b.chain.Records(0), "record": b.record})
	}
	vectortest.Compare(t, "uek.json", m{
		"about": "Section 4. good: three records of the person with this chain, each after the other; secret is the X25519 secret of key. " +
			"bad: must be refused for the person with that chain. Whoever has seen counter 2 must refuse counter 1, and another key under counter 2.",
		"encoding": encoding, "chain": chain.Records(0), "good": good, "bad": bad,
	})
}

func BenchmarkParseChain10(b *testing.B) {
	keys, err := ident.ParseDeviceKeys(vectortest.FixedBytes("alice phone", 64))
	if err != nil {
		b.Fatal(err)
	}
	rec, _, err := ident.NewGenesis(vectortest.Random(vectortest.FixedBytes("nonce", 16)), keys, vectortest.Relay(), now)
	if err != nil {
		b.Fatal(err)
	}
	chain, err := ident.ParseChain([]protocol.Signed{rec})
	if err != nil {
		b.Fatal(err)
	}
	for chain.Seq() < 9 {
		rec, err := chain.NewRelay(keys, vectortest.Relay(), now)
		if err != nil {
			b.Fatal(err)
		}
		if err := chain.Append(rec); err != nil {
			b.Fatal(err)
		}
	}
	records := chain.Records(0)
	for b.Loop() {
		if _, err := ident.ParseChain(records); err != nil {
			b.Fatal(err)
		}
	}
}
