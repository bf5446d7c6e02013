package ident_test

import (
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

// FuzzChain signs whatever payload comes with the phone's and the card's key
// and offers it to a chain that has all kinds of records. What is accepted must
// keep the rules.
func FuzzChain(f *testing.F) {
	c := newCast(f)
	base := c.grow(c.genesis(), add(c.phone, homed(c.home)), add(c.phone, c.session.Device(ident.RoleSession, 0)), card(c.phone, c.ik, c.cardBox.Public()))
	for _, mk := range []maker{
		add(c.ik, admin(c.laptop)), revoke(c.phone, c.home.ID(), 5), card(c.ik, c.ik2, c.cardBox2.Public()), relay(c.phone, "other.example"),
	} {
		rec, err := mk(base)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(rec.Payload))
	}
	for _, b := range badChains(f) {
		if p := b.records[len(b.records)-1].Payload; len(p) < 2000 {
			f.Add([]byte(p))
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if chain, err := ident.ParseChain([]protocol.Signed{protocol.SignPayload(c.phone, "sign/chain", payload)}); err == nil {
			if chain.Seq() != 0 || len(chain.Devices(0)) == 0 && chain.UEKFloor() != 0 {
				t.Fatal("genesis")
			}
		}
		for _, signer := range []protocol.Signer{c.phone, c.ik, c.home, c.session, c.stranger} {
			rec := protocol.SignPayload(signer, "sign/chain", payload)
			chain := base.Clone()
			err := chain.Append(rec)
			if err != nil {
				if protocol.CodeOf(err) != protocol.CodeBadChain || chain.Head() != base.Head() || chain.Seq() != base.Seq() {
					t.Fatal(err)
				}
				continue
			}
			if signer == protocol.Signer(c.session) || signer == protocol.Signer(c.stranger) {
				t.Fatalf("%s: signed by somebody who may not", payload)
			}
			homes := 0
			for _, d := range chain.Devices(vectortest.Now) {
				if d.Role == ident.RoleHome && d.Exp == 0 {
					homes++
				}
			}
			if homes > 1 || chain.Seq() != base.Seq()+1 || chain.CheckPin(base.Pin()) != nil {
				t.Fatalf("%s: %d homes", payload, homes)
			}
			if _, err := ident.ParseChain(chain.Records(0)); err != nil {
				t.Fatalf("%s: accepted once, refused the next time: %v", payload, err)
			}
		}
	})
}

func FuzzUEK(f *testing.F) {
	c := newCast(f)
	chain, records, _ := uekRecords(f)
	for _, r := range records {
		f.Add([]byte(r.Payload))
	}
	for _, b := range badUEKs(f) {
		f.Add([]byte(b.record.Payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := ident.VerifyUEK(protocol.SignPayload(c.stranger, "sign/uek", payload), chain); err == nil {
			t.Fatal("a stranger's record")
		}
		r, err := ident.VerifyUEK(protocol.SignPayload(c.home, "sign/uek", payload), chain)
		if err != nil {
			return
		}
		if r.Counter < 1 || r.UID != chain.UID() || !chain.Contains(r.Head) || (r.Counter == 1) != (r.Prev == nil) || protocol.LowOrder(r.Key) {
			t.Fatalf("%s", payload)
		}
	})
}
