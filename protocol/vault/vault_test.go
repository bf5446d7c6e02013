package vault_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"
	//lint:ignore SA1019 HSalsa20 alone is NaCl's beforenm; the package is deprecated as a cipher.
	"golang.org/x/crypto/salsa20/salsa"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

const now = vectortest.Now

type m = map[string]any

// owner is Alice with phone, home, an expiring session and a recovery card.
func owner(t testing.TB) (*vectortest.Person, vault.Card) {
	t.Helper()
	alice := vectortest.NewPerson(t, "alice")
	alice.AddHome(t)
	session := vectortest.Keys(t, "alice session").Device(ident.RoleSession, now+86_400_000)
	alice.Append(t, vectortest.Must[protocol.Signed](t)(alice.Chain.NewDeviceAdd(alice.Phone, session, now+1000)))
	card := vectortest.Must[vault.Card](t)(vault.NewCard(vectortest.Random(vectortest.FixedBytes("card", 16))))
	alice.Append(t, vectortest.Must[protocol.Signed](t)(alice.Chain.NewCard(alice.Phone, card.IK(), card.Box().Public(), now+2000)))
	return alice, card
}

func contents(t testing.TB) vault.Contents {
	t.Helper()
	bob := vectortest.NewPerson(t, "bob")
	return vault.Contents{
		V: 1, Username: "alice", Name: "Alice 爱丽丝", About: "two\nlines",
		Friends: []vault.Friend{
			{UID: bob.UID(), Username: "bob", Host: "relay.example", Port: 443, Name: "Bob", State: vault.StateFriend, Confirmed: true,
				Since: now, Seq: 0, Head: bob.Chain.Head(), UEK: 1, UEKKey: bob.UEK.Secret.Public()},
			{UID: vectortest.Fixed("carol uid"), Username: "carol", Host: "203.0.113.5", Port: 8443, State: vault.StateAsks, MID: vectortest.FixedID("request"),
				Rest: protocol.Rest{"nick": json.RawMessage(`"C"`)}},
		},
		Invites:  []vault.Invite{{ID: vectortest.FixedID("invite"), Secret: protocol.SecretOf(vectortest.FixedBytes("invite secret", 16)), Created: now}},
		UEKs:     []vault.UEK{vault.NewUEK(vectortest.NewPerson(t, "alice").UEK, now)},
		Settings: map[string]json.RawMessage{"theme": json.RawMessage(`"dark"`), "scale": json.RawMessage(`1.25`)},
		Devices:  map[string]string{vectortest.Keys(t, "alice phone").ID().String(): "Phone"},
		Rest:     protocol.Rest{"drafts": json.RawMessage(`{"later":[1,null,{"x":true}]}`)},
	}
}

func sealed(t testing.TB, alice *vectortest.Person, version int64) vault.Sealed {
	t.Helper()
	random := vectortest.Random(vectortest.FixedBytes("vault eph and vk", 64))
	return vectortest.Must[vault.Sealed](t)(vault.Seal(random, alice.Phone, alice.UID(), version, vault.Slots(alice.Chain, now+5000), contents(t)))
}

func TestVault(t *testing.T) {
	alice, card := owner(t)
	s := sealed(t, alice, 3)
	for what, key := range map[string]protocol.BoxSecret{"phone": alice.Phone.Box(), "home": alice.Home.Box(), "card": card.Box()} {
		got, err := vault.Open(s, alice.Chain, now+5000, key)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		// Rewriting must lose nothing that another version wrote.
		again, err := vault.Seal(vectortest.Random(vectortest.FixedBytes("vault eph and vk", 64)), alice.Phone, alice.UID(), 3, vault.Slots(alice.Chain, now+5000), got)
		if err != nil || !bytes.Equal(again.Blob, s.Blob) {
			t.Errorf("%s: written back, it is another vault: %v", what, err)
		}
		if got.Friends[1].Rest["nick"] == nil || got.Rest["drafts"] == nil || string(got.Settings["scale"]) != "1.25" {
			t.Errorf("%s: lost what it does not know", what)
		}
		if k := got.UEKs[0].Key(); k.Secret.Public() != alice.UEK.Secret.Public() {
			t.Errorf("%s: UEK", what)
		}
	}
	for what, key := range map[string]protocol.BoxSecret{"session": vectortest.Keys(t, "alice session").Box(), "bob": vectortest.Keys(t, "bob phone").Box()} {
		if _, err := vault.Open(s, alice.Chain, now+5000, key); !errors.Is(err, vault.ErrVault) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if slots := vault.Slots(alice.Chain, now+5000); len(slots) != 3 || slots[2] != card.Box().Public() {
		t.Error("slots")
	}
}

// Independent of the package: the layout as section 5 draws it.
func TestVaultLayout(t *testing.T) {
	alice, _ := owner(t)
	s := sealed(t, alice, 3)
	uid, blob := alice.UID(), []byte(s.Blob)
	version := protocol.U64(int64(3))
	if blob[0] != 1 || !bytes.Equal(blob[1:9], version) || blob[41] != 3 {
		t.Fatal("head")
	}
	eph, secret := [32]byte(blob[9:41]), alice.Home.Box().Expose()
	var shared [32]byte
	box.Precompute(&shared, &eph, &secret)
	slot := blob[42+56 : 42+2*56]
	kid := protocol.Hash("vault/kid", shared[:], version)
	if !bytes.Equal(slot[:8], kid[:8]) {
		t.Fatal("kid")
	}
	wrap := protocol.Hash("vault/wrap", uid[:], version, eph[:], []byte{1})
	nonce := [24]byte(wrap[:24])
	vk, ok := box.OpenAfterPrecomputation(nil, slot[8:], &nonce, &shared)
	if !ok {
		t.Fatal("slot")
	}
	sum := sha256.Sum256(blob[:42+3*56])
	bodyHash := protocol.Hash("vault/body", uid[:], sum[:])
	nonce = [24]byte(bodyHash[:24])
	padded, ok := secretbox.Open(nil, blob[42+3*56:], &nonce, (*[32]byte)(vk))
	if !ok || len(padded) != 4096 {
		t.Fatal("body")
	}
	n := binary.BigEndian.Uint32(padded)
	if !json.Valid(padded[4:4+n]) || len(bytes.Trim(padded[4+n:], "\x00")) != 0 {
		t.Error("padding")
	}
}

func TestHostileVaults(t *testing.T) {
	alice, card := owner(t)
	key := alice.Phone.Box()
	s := sealed(t, alice, 3)
	uid := alice.UID()
	open := func(s vault.Sealed) error {
		got, err := vault.Open(s, alice.Chain, now+5000, key)
		if err == nil {
			t.Logf("%+v", got)
		}
		return err
	}
	resign := func(s vault.Sealed) vault.Sealed {
		s.Sig = alice.Phone.Sign("sign/vault", uid[:], protocol.U64(s.Version), s.Blob)
		s.By = alice.Phone.Public()
		return s
	}
	// The relay changes a byte: the signature. Somebody with a device's key
	// changes one: the boxes, for whoever's slot it is.
	for at := range s.Blob {
		bad := s
		bad.Blob = bytes.Clone(s.Blob)
		bad.Blob[at] ^= 0x10
		if err := open(bad); protocol.CodeOf(err) != protocol.CodeUnauthorized {
			t.Fatalf("byte %d: %v", at, err)
		}
		if err := open(resign(bad)); !errors.Is(err, vault.ErrVault) {
			t.Fatalf("byte %d, signed anew: %v", at, err)
		}
	}
	older := s
	older.Version = 4
	stranger := s
	stranger.By, stranger.Sig = vectortest.Keys(t, "stranger phone").Public(), vectortest.Keys(t, "stranger phone").Sign("sign/vault", uid[:], protocol.U64(int64(3)), s.Blob)
	otherUID := s
	bob := vectortest.NewPerson(t, "bob").UID()
	otherUID.Sig = alice.Phone.Sign("sign/vault", bob[:], protocol.U64(int64(3)), s.Blob)
	zero := s
	zero.Version = 0
	for what, c := range map[string]struct {
		s    vault.Sealed
		code string
	}{
		"an old blob as a new version":         {older, protocol.CodeUnauthorized},
		"an old blob as a new version, signed": {resign(older), protocol.CodeBadRequest},
		"signed by a stranger":                 {stranger, protocol.CodeUnauthorized},
		"signed for another uid":               {otherUID, protocol.CodeUnauthorized},
		"version 0":                            {resign(zero), protocol.CodeBadRequest},
		"oversize":                             {resign(vault.Sealed{Version: 3, Blob: make([]byte, vault.MaxBlob+1)}), protocol.CodeBadRequest},
	} {
		if err := open(c.s); protocol.CodeOf(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range len(s.Blob) {
		if n > 300 && n < len(s.Blob)-50 {
			continue
		}
		if err := open(resign(vault.Sealed{Version: 3, Blob: s.Blob[:n]})); !errors.Is(err, vault.ErrVault) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	// A revoked phone can still read what it had, but no longer sign.
	alice.Append(t, vectortest.Must[protocol.Signed](t)(alice.Chain.NewDeviceRevoke(card.IK(), alice.Phone.ID(), 2, now+3000)))
	if err := open(s); protocol.CodeOf(err) != protocol.CodeUnauthorized {
		t.Error("signed by a revoked device:", err)
	}
	byCard, err := vault.Seal(rand.Reader, card.IK(), uid, 4, vault.Slots(alice.Chain, now+5000), contents(t))
	if err != nil || byCard.Verify(alice.Chain, now+5000) != nil {
		t.Error("signed by the card:", err)
	}
	if _, err := vault.Open(byCard, alice.Chain, now+5000, key); !errors.Is(err, vault.ErrVault) {
		t.Error("a revoked device opens the next vault:", err)
	}
}

// Paddings and low-order keys, as only somebody with a slot could make them.
func TestForgedVaults(t *testing.T) {
	alice, _ := owner(t)
	uid, phone := alice.UID(), alice.Phone
	honest := func(v []byte) []byte { return v }
	suite := byte(1)
	forge := func(edit func(padded []byte) []byte, eph *protocol.Key32) error {
		plain := []byte(`{"v":1}`)
		padded := make([]byte, 4096)
		binary.BigEndian.PutUint32(padded, uint32(len(plain)))
		copy(padded[4:], plain)
		padded = edit(padded)
		secret := protocol.BoxSecretOf(vectortest.Fixed("forged vault"))
		ephPub := secret.Public()
		shared := vectortest.Must[[32]byte](t)(secret.SharedKey(phone.BoxPublic()))
		if eph != nil {
			ephPub = *eph
			salsa.HSalsa20(&shared, new([16]byte), new([32]byte), &salsa.Sigma) // what a low-order key gives everybody
		}
		version := protocol.U64(int64(1))
		blob := append([]byte{suite}, version...)
		blob = append(append(blob, ephPub[:]...), 1)
		kid := protocol.Hash("vault/kid", shared[:], version)
		wrap := protocol.Nonce24(protocol.Hash("vault/wrap", uid[:], version, ephPub[:], []byte{0}))
		vk := vectortest.Fixed("vk")
		blob = box.SealAfterPrecomputation(append(blob, kid[:8]...), vk[:], &wrap, &shared)
		sum := sha256.Sum256(blob)
		nonce := protocol.Nonce24(protocol.Hash("vault/body", uid[:], sum[:]))
		blob = secretbox.Seal(blob, padded, &nonce, &vk)
		s := vault.Sealed{Version: 1, Blob: blob, By: phone.Public(), Sig: phone.Sign("sign/vault", uid[:], version, blob)}
		_, err := vault.Open(s, alice.Chain, now, phone.Box())
		return err
	}
	if err := forge(honest, nil); err != nil {
		t.Fatal("the forger's honest vault is refused:", err)
	}
	for what, err := range map[string]error{
		"padding not zero": forge(func(v []byte) []byte { v[4095] = 1; return v }, nil),
		"another size":     forge(func(v []byte) []byte { return append(v, 0) }, nil),
		"length too long":  forge(func(v []byte) []byte { binary.BigEndian.PutUint32(v, 4093); return v }, nil),
		"length 2^32-1":    forge(func(v []byte) []byte { binary.BigEndian.PutUint32(v, 1<<32-1); return v }, nil),
		"over 1 MiB":       forge(func(v []byte) []byte { return append(v, make([]byte, 2<<20-4096)...) }, nil),
		"low-order key":    forge(honest, &protocol.Key32{}),
	} {
		if err == nil {
			t.Errorf("%s is let in", what)
		}
	}
	suite = 2
	if err := forge(honest, nil); !errors.Is(err, vault.ErrVault) {
		t.Error("another suite:", err)
	}
	suite = 1
	for what, plain := range map[string]string{
		"version 2": `{"v":2}`, "key twice": `{"v":1,"v":1}`, "not JSON": `{`, "null": `{"v":null}`,
		"port":                `{"v":1,"friends":[{"uid":"` + uid.String() + `","state":"friend","port":70000}]}`,
		"short invite secret": `{"v":1,"invites":[{"id":"` + vectortest.FixedID("x").String() + `","secret":"AAAA"}]}`,
		"short UEK secret":    `{"v":1,"ueks":[{"counter":1,"secret":"AAAA"}]}`,
		"UEK counter 0":       `{"v":1,"ueks":[{"counter":0,"secret":"` + uid.String() + `"}]}`,
	} {
		err := forge(func(v []byte) []byte {
			out := make([]byte, 4096)
			binary.BigEndian.PutUint32(out, uint32(len(plain)))
			copy(out[4:], plain)
			return out
		}, nil)
		if protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSealLimits(t *testing.T) {
	alice, _ := owner(t)
	slots := vault.Slots(alice.Chain, now+5000)
	c := contents(t)
	seal := func(version int64, slots []protocol.Key32, c vault.Contents) error {
		_, err := vault.Seal(rand.Reader, alice.Phone, alice.UID(), version, slots, c)
		return err
	}
	c.About = strings.Repeat("x", 1<<20)
	for what, e := range map[string]struct {
		err  error
		code string
	}{
		"over 1 MiB":     {seal(1, slots, c), protocol.CodeTooLarge},
		"version 0":      {seal(0, slots, vault.Contents{V: 1}), protocol.CodeBadRequest},
		"no slots":       {seal(1, nil, vault.Contents{V: 1}), protocol.CodeBadRequest},
		"256 slots":      {seal(1, make([]protocol.Key32, 256), vault.Contents{V: 1}), protocol.CodeBadRequest},
		"low-order slot": {seal(1, []protocol.Key32{{}}, vault.Contents{V: 1}), protocol.CodeBadRequest},
		"no version":     {seal(1, slots, vault.Contents{}), protocol.CodeBadRequest},
	} {
		if protocol.CodeOf(e.err) != e.code {
			t.Errorf("%s: %v", what, e.err)
		}
	}
	if _, err := json.Marshal(contents(t)); err == nil {
		t.Error("json.Marshal writes a vault's secrets")
	}
	if text := fmt.Sprintf("%v %+v %#v", contents(t), contents(t), contents(t)); strings.Contains(text, vectortest.B(vectortest.FixedBytes("invite secret", 16))) {
		t.Error("a vault prints its secrets")
	}
}

func TestUEKsOverTheLink(t *testing.T) {
	raw, err := vault.MarshalUEKs(contents(t).UEKs)
	if err != nil {
		t.Fatal(err)
	}
	back, err := vault.ParseUEKs(raw)
	if err != nil || len(back) != 1 || !back[0].Secret.Equal(contents(t).UEKs[0].Secret) {
		t.Error(err)
	}
	if none, err := vault.MarshalUEKs(nil); err != nil || string(none) != `{"ueks":[]}` {
		t.Errorf("%s %v", none, err)
	}
	if _, err := vault.ParseUEKs([]byte(`{"ueks":[{"counter":1,"secret":"AAAA"}]}`)); err == nil {
		t.Error("a short secret")
	}
}
