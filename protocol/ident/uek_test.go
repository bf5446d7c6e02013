package ident_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

func uekKey(n int) protocol.BoxSecret {
	return protocol.BoxSecretOf(vectortest.Fixed(fmt.Sprintf("alice uek %d", n)))
}

// uekRecords are three records in order, by phone, home and home.
func uekRecords(t testing.TB) (*ident.Chain, []protocol.Signed, []ident.UEKRecord) {
	c := newCast(t)
	chain := c.grow(c.genesis(), add(c.phone, homed(c.home)))
	var signed []protocol.Signed
	var records []ident.UEKRecord
	var last *ident.UEKRecord
	for i, signer := range []protocol.Signer{c.phone, c.home, c.home} {
		rec, err := ident.NewUEKRecord(signer, chain, last, uekKey(i+1).Public(), now+int64(i)*86_400_000)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ident.VerifyUEK(rec, chain)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Follows(last); err != nil {
			t.Fatal(err)
		}
		signed, records, last = append(signed, rec), append(records, r), &r
	}
	return chain, signed, records
}

type badUEK struct {
	why    string
	chain  *ident.Chain
	record protocol.Signed
}

func badUEKs(t testing.TB) []badUEK {
	c := newCast(t)
	chain, records, _ := uekRecords(t)
	edit := func(signer protocol.Signer, i int, old, new string) protocol.Signed {
		text := string(records[i].Payload)
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %s", old, text)
		}
		return protocol.SignPayload(signer, "sign/uek", []byte(strings.Replace(text, old, new, 1)))
	}
	relabelled := records[1]
	relabelled.Sig = c.home.Sign("sign/chain", relabelled.Payload)
	byOther := edit(c.stranger, 1, `"v":1`, `"v":1`)
	byOther.By = c.home.Public()
	withSession := c.grow(chain.Clone(), add(c.phone, c.session.Device(ident.RoleSession, 0)))
	revoked := c.grow(chain.Clone(), revoke(c.phone, c.home.ID(), 0))
	floored := c.grow(chain.Clone(), add(c.phone, admin(c.laptop)), revoke(c.phone, c.laptop.ID(), 3))
	return []badUEK{
		{"version 2", chain, edit(c.home, 1, `"v":1`, `"v":2`)},
		{"counter 0", chain, edit(c.phone, 0, `"counter":1`, `"counter":0`)},
		{"counter 1 with prev", chain, edit(c.home, 1, `"counter":2`, `"counter":1`)},
		{"counter 2 without prev", chain, edit(c.phone, 0, `"counter":1`, `"counter":2`)},
		{"duplicate key", chain, edit(c.home, 1, `"v":1`, `"v":1,"v":1`)},
		{"unknown key", chain, edit(c.home, 1, `"v":1`, `"v":1,"w":1`)},
		{"negative time", chain, edit(c.phone, 0, fmt.Sprintf(`"ts":%d`, now), `"ts":-1`)},
		{"another person's uid", chain, edit(c.phone, 0, chain.UID().String(), vectortest.NewPerson(t, "bob").UID().String())},
		{"a chain head that is not in the chain", chain, edit(c.phone, 0, chain.Head().String(), protocol.Hash32(chain.UID()).String())},
		{"low-order key", chain, edit(c.phone, 0, uekKey(1).Public().String(), protocol.Key32{}.String())},
		{"signed by a stranger", chain, edit(c.stranger, 1, `"v":1`, `"v":1`)},
		{"by is changed to the home", chain, byOther},
		{"signed under another label", chain, relabelled},
		{"signed by a session", withSession, edit(c.session, 1, `"v":1`, `"v":1`)},
		{"signed by a revoked device", revoked, records[1]},
		{"below the floor of a revocation", floored, records[1]},
	}
}

func TestBadUEKs(t *testing.T) {
	for _, bad := range badUEKs(t) {
		if _, err := ident.VerifyUEK(bad.record, bad.chain); err == nil || protocol.CodeOf(err) == protocol.CodeInternal {
			t.Errorf("%s: %v", bad.why, err)
		}
	}
	c := newCast(t)
	chain, records, _ := uekRecords(t)
	floored := c.grow(chain.Clone(), add(c.phone, admin(c.laptop)), revoke(c.phone, c.laptop.ID(), 3))
	if _, err := ident.VerifyUEK(records[2], floored); err != nil {
		t.Error("at the floor:", err)
	}
	big := protocol.SignPayload(c.phone, "sign/uek", make([]byte, 4097))
	if _, err := ident.VerifyUEK(big, chain); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error("oversize:", err)
	}
}

// A relay that serves an older record, or another key for one already seen, is
// caught by the pin.
func TestUEKRollback(t *testing.T) {
	c := newCast(t)
	chain, _, r := uekRecords(t)
	pin := r[1].Pin()
	if pin.Check(r[1]) != nil || pin.Check(r[2]) != nil || (ident.UEKPin{}).Check(r[0]) != nil {
		t.Error("a good record is refused")
	}
	other, err := ident.NewUEKRecord(c.home, chain, &r[0], uekKey(9).Public(), now)
	if err != nil {
		t.Fatal(err)
	}
	swapped, err := ident.VerifyUEK(other, chain)
	if err != nil {
		t.Fatal(err)
	}
	for what, rec := range map[string]ident.UEKRecord{"rolled back": r[0], "another key at the same counter": swapped} {
		if err := pin.Check(rec); !errors.Is(err, ident.ErrRollback) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"same again": r[1].Follows(&r[1]), "skips": r[2].Follows(&r[0]), "starts at 2": r[1].Follows(nil),
		"another predecessor": r[2].Follows(&swapped), "first again": r[0].Follows(&r[2]),
	} {
		if protocol.CodeOf(err) != protocol.CodeUEKConflict {
			t.Errorf("%s: %v", what, err)
		}
	}
}
