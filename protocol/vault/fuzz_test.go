package vault_test

import (
	"bytes"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

// FuzzOpenVault signs whatever blob comes, so that it reaches the boxes.
func FuzzOpenVault(f *testing.F) {
	alice, _ := owner(f)
	s := sealed(f, alice, 3)
	uid, key := alice.UID(), alice.Phone.Box()
	f.Add([]byte(s.Blob))
	f.Add([]byte(s.Blob[:300]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		v := vault.Sealed{Version: 3, Blob: blob, By: alice.Phone.Public(), Sig: alice.Phone.Sign("sign/vault", uid[:], protocol.U64(int64(3)), blob)}
		_, err := vault.Open(v, alice.Chain, now+5000, key)
		if (err == nil) != bytes.Equal(blob, s.Blob) {
			t.Fatal(err)
		}
	})
}

// FuzzContents reads vault JSON as another app's version may have written it,
// writes it back, and must then have kept every key.
func FuzzContents(f *testing.F) {
	plain, err := protocol.MarshalSealed(contents(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"friends":[{"uid":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","state":"later","x":[1.5]}],"y":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c vault.Contents
		if protocol.DecodeOpen(raw, &c, 16) != nil {
			return
		}
		out, err := protocol.MarshalSealed(c)
		if err != nil {
			t.Fatal(err)
		}
		var again vault.Contents
		if err := protocol.DecodeOpen(out, &again, 16); err != nil {
			t.Fatalf("%s -> %s: %v", raw, out, err)
		}
		twice, err := protocol.MarshalSealed(again)
		if err != nil || !bytes.Equal(out, twice) || len(again.Rest) != len(c.Rest) || len(again.Friends) != len(c.Friends) {
			t.Fatalf("%s -> %s -> %s: %v", raw, out, twice, err)
		}
	})
}

func FuzzParseCard(f *testing.F) {
	_, card := owner(f)
	f.Add(card.Text(protocol.Handle{Username: "alice", IP: "relay.example", Port: 443}))
	f.Add(card.Text(protocol.Handle{Username: "alice", IP: "::1", Port: 8443}))
	f.Add("alice@relay.example\n0000-0000-0000-0000-0000-0000-0000")
	f.Fuzz(func(t *testing.T, text string) {
		h, c, err := vault.ParseCard(text)
		if err != nil {
			return
		}
		again, d, err := vault.ParseCard(c.Text(h))
		if err != nil || again != h || d.IK().Public() != c.IK().Public() || d.Text(again) != c.Text(h) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

func FuzzLinks(f *testing.F) {
	_, l, _ := inviteOf(f)
	f.Add(l.URL("https://relay.example:8443"))
	f.Add(vault.HandoverURL("http://[::1]:8080", protocol.SecretOf(make([]byte, 16)), l.Inviter))
	f.Add("https://relay.example/i/x#1.2.3.4")
	f.Fuzz(func(t *testing.T, link string) {
		if l, err := vault.ParseInvite(link); err == nil {
			if again, err := vault.ParseInvite(l.URL("https://" + l.Host)); err != nil || again.ID != l.ID || again.Host != l.Host || !again.Secret.Equal(l.Secret) {
				t.Fatalf("%q: %v", link, err)
			}
		}
		if host, s, uid, err := vault.ParseHandoverURL(link); err == nil {
			if h, s2, uid2, err := vault.ParseHandoverURL(vault.HandoverURL("https://"+host, s, uid)); err != nil || h != host || !s2.Equal(s) || uid2 != uid {
				t.Fatalf("%q: %v", link, err)
			}
		}
	})
}

// FuzzSealed opens invite cards and handovers from arbitrary bytes.
func FuzzSealed(f *testing.F) {
	i, l, _ := inviteOf(f)
	card, err := vault.SealInviteCard(i, l.Inviter, vault.InviteCard{Name: "Alice"})
	if err != nil {
		f.Fatal(err)
	}
	secret := protocol.SecretOf(vectortest.FixedBytes("handover secret", 16))
	handover, err := vault.SealHandover(secret, vault.Handover{UID: l.Inviter, Username: "alice", Keys: vectortest.Keys(f, "alice laptop")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(card)
	f.Add(handover)
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if _, err := vault.OpenInviteCard(l, sealed); (err == nil) != bytes.Equal(sealed, card) {
			t.Fatal(err)
		}
		if _, err := vault.OpenHandover(secret, l.Inviter, sealed); (err == nil) != bytes.Equal(sealed, handover) {
			t.Fatal(err)
		}
	})
}
