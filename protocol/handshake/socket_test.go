package handshake_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

// proof is everything that an auth signature covers.
type proof struct {
	nonce, key protocol.Key32
	host       string
	uid        protocol.UID
	id         protocol.DeviceID
}

func (p proof) sign(k *ident.DeviceKeys) protocol.Signature {
	return handshake.AuthSign(k, p.nonce, p.key, p.host, p.uid, p.id)
}

func (p proof) verify(k *ident.DeviceKeys, sig protocol.Signature) bool {
	return handshake.AuthVerify(k.Public(), sig, p.nonce, p.key, p.host, p.uid, p.id)
}

func newProof(t testing.TB) (*vectortest.Person, proof) {
	alice := vectortest.NewPerson(t, "alice")
	return alice, proof{vectortest.Fixed("relay nonce"), vectortest.Relay().Key, host, alice.UID(), alice.Phone.ID()}
}

// A signature made for one socket is worth nothing on another: a relay in the
// middle, another relay, another moment, another person.
func TestAuthIsBound(t *testing.T) {
	alice, p := newProof(t)
	sig := p.sign(alice.Phone)
	if !p.verify(alice.Phone, sig) {
		t.Fatal("a good proof is refused")
	}
	for what, edit := range map[string]func(*proof){
		"nonce": func(p *proof) { p.nonce[0] ^= 1 }, "relay key": func(p *proof) { p.key[0] ^= 1 }, "host": func(p *proof) { p.host = "evil.example" },
		"uid": func(p *proof) { p.uid[0] ^= 1 }, "device": func(p *proof) { p.id[0] ^= 1 },
	} {
		other := p
		edit(&other)
		if other.verify(alice.Phone, sig) {
			t.Errorf("%s is not bound", what)
		}
	}
	if p.verify(vectortest.Keys(t, "mallory"), sig) {
		t.Error("another device")
	}
	for at := range sig {
		sig[at] ^= 1
		if p.verify(alice.Phone, sig) {
			t.Errorf("byte %d", at)
		}
		sig[at] ^= 1
	}
	relay, nonce := vectortest.RelayKey(), protocol.Key32(vectortest.Fixed("client nonce"))
	ready := handshake.ReadySign(relay, nonce, p.uid)
	if !handshake.ReadyVerify(relay.Public(), ready, nonce, p.uid) {
		t.Fatal("a good ready is refused")
	}
	other := nonce
	other[0] ^= 1
	for what, ok := range map[string]bool{
		"another nonce":     handshake.ReadyVerify(relay.Public(), ready, other, p.uid),
		"another uid":       handshake.ReadyVerify(relay.Public(), ready, nonce, protocol.UID{}),
		"another relay":     handshake.ReadyVerify(alice.Phone.Public(), ready, nonce, p.uid),
		"an auth signature": handshake.ReadyVerify(alice.Phone.Public(), p.sign(alice.Phone), p.nonce, p.uid),
	} {
		if ok {
			t.Errorf("ready: %s is accepted", what)
		}
	}
}

func socketFrames(t testing.TB) (challenge handshake.Challenge, auth handshake.Auth, ready handshake.Ready) {
	alice, p := newProof(t)
	nonce := protocol.Key32(vectortest.Fixed("client nonce"))
	challenge = handshake.Challenge{Op: handshake.OpChallenge, Nonce: p.nonce, Key: p.key, Host: host}
	auth = handshake.Auth{Op: handshake.OpAuth, UID: p.uid, Device: p.id, Nonce: nonce, Instance: vectortest.FixedID("instance"), Sig: p.sign(alice.Phone)}
	ready = handshake.Ready{Op: handshake.OpReady, Token: "dG9rZW4", Time: now, Host: host, Username: "alice", Owner: true,
		Proof: handshake.ReadySign(vectortest.RelayKey(), nonce, p.uid), Cursor: 7, Chain: 1, Vault: 3, UEK: 2,
		Home: handshake.HomeState{State: "online", Since: now}, Space: handshake.Space{Used: 10, Limit: 256 << 20}}
	return challenge, auth, ready
}

func TestSocketFrames(t *testing.T) {
	challenge, auth, ready := socketFrames(t)
	text := func(v any) string { return string(vectortest.Must[[]byte](t)(protocol.Marshal(v))) }
	if got, err := handshake.ParseChallenge([]byte(text(challenge))); err != nil || got != challenge {
		t.Error(err)
	}
	if got, err := handshake.ParseAuth([]byte(text(auth))); err != nil || got != auth {
		t.Error(err)
	}
	later := strings.Replace(text(ready), `"op"`, `"later":{"x":[1]},"op"`, 1)
	if got, err := handshake.ParseReady([]byte(later)); err != nil || got != ready {
		t.Error(err)
	}
	for what, raw := range map[string]string{
		"another op": text(challenge), "unknown key": strings.Replace(text(auth), `"op"`, `"x":1,"op"`, 1),
		"key twice": strings.Replace(text(auth), `"op"`, `"op":"auth","op"`, 1), "short nonce": strings.Replace(text(auth), `"nonce":"`, `"nonce":"A`, 1),
		"op changed": strings.Replace(text(auth), `"op":"auth"`, `"op":"ready"`, 1), "no sig": strings.Replace(text(auth), `"sig"`, `"gis"`, 1),
	} {
		if _, err := handshake.ParseAuth([]byte(raw)); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
	huge := []byte(strings.Replace(text(ready), `"token":"`, `"token":"`+strings.Repeat("x", 4096), 1))
	_, e1 := handshake.ParseAuth(huge)
	_, e2 := handshake.ParseReady(huge)
	_, e3 := handshake.ParseChallenge(huge)
	for _, err := range []error{e1, e2, e3} {
		if protocol.CodeOf(err) != protocol.CodeTooLarge {
			t.Error("oversize:", err)
		}
	}
	if _, err := handshake.ParseReady([]byte(text(auth))); err == nil {
		t.Error("auth as ready")
	}
}

func TestSocketVectors(t *testing.T) {
	alice, p := newProof(t)
	challenge, auth, ready := socketFrames(t)
	text := func(v any) string { return string(vectortest.Must[[]byte](t)(protocol.Marshal(v))) }
	seed := vectortest.RelayKey().Expose()
	vectortest.Compare(t, "socket.json", m{
		"about":    fmt.Sprintf("Section 12, socket. The device dialled %s and signs that, whatever challenge says. auth.sig and ready.proof verify for these frames and for no other nonce, key, host, uid or device.", host),
		"encoding": encoding, "host": p.host, "device": keyVector(alice.Phone), "relay_seed": vectortest.B(seed[:]), "relay_key": p.key,
		"challenge": text(challenge), "auth": text(auth), "ready": text(ready),
	})
}
