package vault_test

import (
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

const encoding = "byte strings are base64url without padding; times are ms"

func TestVaultVectors(t *testing.T) {
	alice, card := owner(t)
	s := sealed(t, alice, 3)
	plain, err := protocol.MarshalSealed(contents(t))
	if err != nil {
		t.Fatal(err)
	}
	var keys []m
	for _, k := range []struct {
		who string
		box protocol.BoxSecret
	}{{"phone", alice.Phone.Box()}, {"home", alice.Home.Box()}, {"card", card.Box()}} {
		secret := k.box.Expose()
		keys = append(keys, m{"who": k.who, "box_secret": vectortest.B(secret[:])})
	}
	random := vectortest.FixedBytes("vault eph and vk", 64)
	seed := alice.Phone.Expose()[:32]
	vectortest.Compare(t, "vault.json", m{
		"about": "Section 5. sealed is plain (the exact JSON text) of the person with this chain, sealed for the slots in this order at the time `at` and signed by the phone (sign_seed); " +
			"the random source gives eph_secret, then vk. Each of keys opens it. With any byte of blob changed it must be refused, also when by and sig fit the changed blob. " +
			"A client that reads plain and writes it back must keep drafts, the friend's nick and settings.scale (1.25).",
		"encoding": encoding, "at": now + 5000, "chain": alice.Chain.Records(0), "uid": alice.UID(),
		"slots": vault.Slots(alice.Chain, now+5000), "keys": keys, "sign_seed": vectortest.B(seed),
		"eph_secret": vectortest.B(random[:32]), "vk": vectortest.B(random[32:]), "plain": string(plain), "sealed": s,
	})
}

func badCardCodes(code string) []m {
	other := func(c byte, one, two string) string {
		if one[0] == c {
			return two
		}
		return one
	}
	n := len(code)
	last := other(code[n-1], "0", "G") // 16 times 0 or 16: the left-over bits stay zero
	return []m{
		{"why": "too short", "text": code[:len(code)-1]}, {"why": "too long", "text": code + "0"},
		{"why": "two characters swapped", "text": code[1:2] + code[:1] + code[2:]},
		{"why": "check changed", "text": code[:n-2] + other(code[n-2], "7", "8") + code[n-1:]},
		{"why": "last character changed", "text": code[:len(code)-1] + last},
		{"why": "left-over bits", "text": code[:len(code)-1] + "1"},
		{"why": "the letter U", "text": "U" + code[1:]}, {"why": "empty", "text": ""},
	}
}

func TestCardVectors(t *testing.T) {
	_, card := owner(t)
	h, err := protocol.ParseHandle("alice@relay.example:8443")
	if err != nil {
		t.Fatal(err)
	}
	text := card.Text(h)
	code := strings.Split(text, "\n")[1]
	if len(strings.ReplaceAll(code, "-", "")) != 28 {
		t.Error(code)
	}
	typed := []string{text, " Alice@Relay.Example:8443\r\n" + strings.ToLower(code) + "\n", "alice@relay.example:8443 " + strings.ReplaceAll(code, "-", " "),
		"alice@relay.example:8443 " + strings.NewReplacer("0", "O", "1", "I").Replace(code)}
	for _, text := range typed {
		got, c, err := vault.ParseCard(text)
		if err != nil || got != h || c.IK().Public() != card.IK().Public() || c.Box().Public() != card.Box().Public() {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, bad := range badCardCodes(code) {
		if _, err := vault.ParseCardCode(bad["text"].(string)); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", bad["why"], err)
		}
	}
	for _, text := range []string{"", code, "alice@relay.example", "alice " + code, strings.Repeat("x", 2000)} {
		if _, _, err := vault.ParseCard(text); err == nil {
			t.Errorf("%q", text)
		}
	}
	seed, secret, ik, box := card.IK().Expose(), card.Box().Expose(), card.IK().Public(), card.Box().Public()
	vectortest.Compare(t, "card.json", m{
		"about":    "Section 6. bits (c) give ik and box; text is what the card shows for the handle; typed must be read as the same card; bad: the code alone, must be refused.",
		"encoding": encoding, "bits": vectortest.B(vectortest.FixedBytes("card", 16)), "ik_seed": vectortest.B(seed[:]), "ik": ik,
		"box_secret": vectortest.B(secret[:]), "box": box, "handle": h.String(), "code": code, "text": text, "typed": typed, "bad": badCardCodes(code),
	})
}

func inviteOf(t testing.TB) (vault.Invite, vault.InviteLink, protocol.UID) {
	alice, bob := vectortest.NewPerson(t, "alice"), vectortest.NewPerson(t, "bob")
	i := contents(t).Invites[0]
	return i, vault.InviteLink{Host: "relay.example:8443", ID: i.ID, Inviter: alice.UID(), Head: alice.Chain.Head(), Secret: i.Secret}, bob.UID()
}

func TestInviteVectors(t *testing.T) {
	i, l, joiner := inviteOf(t)
	url := l.URL("https://relay.example:8443")
	back, err := vault.ParseInvite(url)
	if err != nil || back.Host != l.Host || back.ID != l.ID || back.Inviter != l.Inviter || back.Head != l.Head || !back.Secret.Equal(l.Secret) {
		t.Fatalf("%+v %v", back, err)
	}
	var cards []m
	for _, c := range []vault.InviteCard{{Name: "Alice 爱丽丝"}, {Name: "A", Picture: vectortest.FixedBytes("picture", 100)}} {
		plain, err := protocol.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := vault.SealInviteCard(i, l.Inviter, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := vault.OpenInviteCard(l, sealed)
		if err != nil || got.Name != c.Name {
			t.Error(err)
		}
		cards = append(cards, m{"plain": string(plain), "sealed": vectortest.B(sealed)})
	}
	proof := vault.InviteProof(i.Secret, i.ID, l.Inviter, joiner)
	bad := []string{"", "https://relay.example/i/", strings.Replace(url, "#1.", "#2.", 1), strings.Replace(url, "/i/", "/x/", 1), url + ".x", url + "A",
		strings.Replace(url, "https:", "javascript:", 1), strings.Replace(url, "https://", "https://user@", 1), strings.Replace(url, "#", "?a=b#", 1), url[:len(url)-2]}
	for _, link := range bad {
		if _, err := vault.ParseInvite(link); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%q: %v", link, err)
		}
	}
	claim := handshake.Claim{Token: protocol.SecretOf(vectortest.FixedBytes("claim token", 16)), RelayKey: vectortest.Relay().Key}
	code := vectortest.Must[handshake.Code](t)(handshake.NewCode(vectortest.Random(vectortest.FixedBytes("claim code", 10))))
	withHome := claim
	withHome.Home, withHome.Code = vectortest.Keys(t, "alice home").ID(), code
	vectortest.Compare(t, "invite.json", m{
		"about": "Section 9. link holds the fields beside it; the relay keeps the card under relay_id. Each sealed card opens to plain (the real relay sees only one per invite). " +
			"proof is what joiner sends. bad_links must be refused. claim and claim_with_home are the owner's first link.",
		"encoding": encoding, "link": url, "host": l.Host, "id": l.ID, "inviter": l.Inviter, "head": l.Head, "secret": vectortest.B(i.Secret.Expose()),
		"relay_id": handshake.InviteHash(i.ID), "cards": cards, "joiner": joiner, "proof": proof, "bad_links": bad,
		"claim": m{"link": claim.Link("https://relay.example"), "host": "relay.example", "token": vectortest.B(claim.Token.Expose()), "relay_key": claim.RelayKey},
		"claim_with_home": m{"link": withHome.Link("http://localhost:8080"), "host": "localhost:8080", "token": vectortest.B(claim.Token.Expose()),
			"relay_key": claim.RelayKey, "home": withHome.Home, "code": code.Text()},
	})
}

// A relay that puts itself in the place of either person, or swaps invites, is refused.
func TestHostileInvites(t *testing.T) {
	i, l, joiner := inviteOf(t)
	sealed, err := vault.SealInviteCard(i, l.Inviter, vault.InviteCard{Name: "Alice"})
	if err != nil {
		t.Fatal(err)
	}
	for at := range sealed {
		sealed[at] ^= 1
		if _, err := vault.OpenInviteCard(l, sealed); err == nil {
			t.Errorf("byte %d of the card", at)
		}
		sealed[at] ^= 1
	}
	mallory := vectortest.NewPerson(t, "mallory").UID()
	for what, edit := range map[string]func(*vault.InviteLink){
		"another inviter": func(l *vault.InviteLink) { l.Inviter = mallory }, "another id": func(l *vault.InviteLink) { l.ID[0] ^= 1 },
		"another secret": func(l *vault.InviteLink) { l.Secret = protocol.SecretOf(make([]byte, 16)) },
	} {
		other := l
		edit(&other)
		if _, err := vault.OpenInviteCard(other, sealed); err == nil {
			t.Errorf("card opened with %s", what)
		}
	}
	if _, err := vault.OpenInviteCard(l, make([]byte, 41<<10)); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error("oversize", err)
	}
	if _, err := vault.SealInviteCard(i, l.Inviter, vault.InviteCard{}); err == nil {
		t.Error("a card without a name")
	}
	proof := vault.InviteProof(i.Secret, i.ID, l.Inviter, joiner)
	if !vault.CheckInviteProof(proof, i.Secret, i.ID, l.Inviter, joiner) {
		t.Fatal("a good proof is refused")
	}
	flipped := proof
	flipped[31] ^= 1
	for what, ok := range map[string]bool{
		"flipped":             vault.CheckInviteProof(flipped, i.Secret, i.ID, l.Inviter, joiner),
		"for another joiner":  vault.CheckInviteProof(proof, i.Secret, i.ID, l.Inviter, mallory),
		"for another inviter": vault.CheckInviteProof(proof, i.Secret, i.ID, mallory, joiner),
		"the two swapped":     vault.CheckInviteProof(proof, i.Secret, i.ID, joiner, l.Inviter),
		"for another invite":  vault.CheckInviteProof(proof, i.Secret, vectortest.FixedID("other"), l.Inviter, joiner),
		"without the secret":  vault.CheckInviteProof(vault.InviteProof(protocol.SecretOf(make([]byte, 16)), i.ID, l.Inviter, joiner), i.Secret, i.ID, l.Inviter, joiner),
		"empty":               vault.CheckInviteProof(protocol.Key32{}, i.Secret, i.ID, l.Inviter, joiner),
	} {
		if ok {
			t.Errorf("a proof %s is accepted", what)
		}
	}
}

func TestHandoverVectors(t *testing.T) {
	alice := vectortest.NewPerson(t, "alice")
	secret := protocol.SecretOf(vectortest.FixedBytes("handover secret", 16))
	keys := vectortest.Keys(t, "alice laptop")
	sealed, err := vault.SealHandover(secret, vault.Handover{UID: alice.UID(), Username: "alice", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	got, err := vault.OpenHandover(secret, alice.UID(), sealed)
	if err != nil || got.Keys.ID() != keys.ID() || got.Username != "alice" || got.UID != alice.UID() {
		t.Fatal(err)
	}
	url := vault.HandoverURL("https://relay.example:8443", secret, alice.UID())
	host, s, uid, err := vault.ParseHandoverURL(url)
	if err != nil || host != "relay.example:8443" || !s.Equal(secret) || uid != alice.UID() {
		t.Fatal(err)
	}
	bad := []string{"", url + ".x", strings.Replace(url, "handover", "handout", 1), strings.Replace(url, "/app/", "/", 1), url[:len(url)-1], strings.Replace(url, "handover.", "handover.A", 1)}
	for _, link := range bad {
		if _, _, _, err := vault.ParseHandoverURL(link); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%q: %v", link, err)
		}
	}
	for at := range sealed {
		sealed[at] ^= 1
		if _, err := vault.OpenHandover(secret, alice.UID(), sealed); err == nil {
			t.Errorf("byte %d", at)
		}
		sealed[at] ^= 1
	}
	if _, err := vault.OpenHandover(secret, vectortest.NewPerson(t, "bob").UID(), sealed); err == nil {
		t.Error("another uid")
	}
	if _, err := vault.OpenHandover(protocol.SecretOf(make([]byte, 16)), alice.UID(), sealed); err == nil {
		t.Error("another secret")
	}
	if _, err := vault.OpenHandover(secret, alice.UID(), make([]byte, vault.MaxHandover+1)); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error("oversize", err)
	}
	if _, err := vault.SealHandover(protocol.SecretOf(nil), vault.Handover{Keys: keys}); err == nil {
		t.Error("sealed without a secret")
	}
	both := keys.Expose()
	vectortest.Compare(t, "handover.json", m{
		"about":    "Section 10, one-use link. sealed holds the keys of the new device and lies at the relay under mailbox.",
		"encoding": encoding, "link": url, "host": host, "secret": vectortest.B(secret.Expose()), "uid": alice.UID(), "username": "alice", "mailbox": vault.HandoverMailbox(secret),
		"sign_seed": vectortest.B(both[:32]), "box_secret": vectortest.B(both[32:]), "device_id": keys.ID(), "sealed": vectortest.B(sealed), "bad_links": bad,
	})
}
