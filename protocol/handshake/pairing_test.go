package handshake_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

// pair is an app and a home about to be paired, with what each believes.
type pair struct {
	alice              *vectortest.Person
	home               *ident.DeviceKeys
	appCode, homeCode  handshake.Code
	appKey, homeKey    protocol.Key32
	appHost, homeHost  string
	appRandom, nRandom *bytes.Reader // nil: crypto/rand
}

func newPair(t testing.TB) *pair {
	code := vectortest.Must[handshake.Code](t)(handshake.NewCode(vectortest.Random(vectortest.FixedBytes("pairing code", 10))))
	key := vectortest.Relay().Key
	return &pair{alice: vectortest.NewPerson(t, "alice"), home: vectortest.Keys(t, "alice home"),
		appCode: code, homeCode: code, appKey: key, homeKey: key, appHost: host, homeHost: host}
}

// paired is how far a pairing came.
type paired struct {
	messages map[string][]byte
	device   *ident.Device // what the app would add to the chain
	bundle   *handshake.Bundle
	done     bool
	errs     []error
}

// run plays the pairing with a relay that may change each message by its name.
func (p *pair) run(t testing.TB, relay func(name string, message []byte) []byte) (out paired) {
	t.Helper()
	out.messages = map[string][]byte{}
	pass := func(name string, message []byte) []byte {
		out.messages[name] = bytes.Clone(message)
		return relay(name, message)
	}
	fail := func(err error) paired { out.errs = append(out.errs, err); return out }
	appRandom, nRandom := rand.Reader, rand.Reader
	if p.appRandom != nil {
		appRandom, nRandom = p.appRandom, p.nRandom
	}
	a, a1, err := handshake.NewApprover(appRandom, p.appCode, p.alice.UID(), p.alice.Phone.Device(ident.RoleAdmin, 0), p.appKey, p.appHost)
	if err != nil {
		t.Fatal(err)
	}
	n, n1, err := handshake.NewNewcomer(nRandom, p.homeCode, p.home, p.homeKey, p.homeHost, pass("a1", a1))
	if err != nil {
		return fail(err)
	}
	device, err := a.Newcomer(pass("n1", n1))
	if err != nil {
		return fail(err)
	}
	out.device = &device
	a2, err := a.Approve("alice", "Alice 爱丽丝")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := n.Bundle(pass("a2", a2))
	if err != nil {
		return fail(err)
	}
	out.bundle = &bundle
	n2, err := n.Done()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Done(pass("n2", n2)); err != nil {
		return fail(err)
	}
	out.done = true
	return out
}

func honestMail(_ string, message []byte) []byte { return message }

var names = []string{"a1", "n1", "a2", "n2"}

// fooled fails the test if the relay's change of message `changed` went further
// than it may.
func (out paired) fooled(t testing.TB, what, changed string) {
	t.Helper()
	at := slices.Index(names, changed)
	if out.done || (at <= 2 && out.bundle != nil) || (at <= 1 && out.device != nil) {
		t.Errorf("%s: done %v, bundle %v, device %v", what, out.done, out.bundle, out.device)
	}
	for _, err := range out.errs {
		if code := protocol.CodeOf(err); code != protocol.CodeUnauthorized && code != protocol.CodeBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPairing(t *testing.T) {
	p := newPair(t)
	out := p.run(t, honestMail)
	if !out.done || *out.device != p.home.Device(ident.RoleHome, 0) || *out.bundle != (handshake.Bundle{UID: p.alice.UID(), Username: "alice", Name: "Alice 爱丽丝"}) {
		t.Fatalf("%+v", out)
	}
}

func TestRelayChangesAnyByteOfAPairing(t *testing.T) {
	p := newPair(t)
	whole := p.run(t, honestMail).messages
	for _, name := range names {
		for at := range whole[name] {
			out := p.run(t, func(n string, message []byte) []byte {
				if n == name {
					message = bytes.Clone(message)
					message[at] ^= 1 << (at % 8)
				}
				return message
			})
			// X25519 ignores the top bit of a public key, but the transcript does not.
			out.fooled(t, fmt.Sprintf("%s, byte %d", name, at), name)
		}
		for _, n := range []int{0, 1, len(whole[name]) - 1, len(whole[name]) + 1} {
			out := p.run(t, func(m string, message []byte) []byte {
				if m == name {
					message = append(bytes.Clone(message), 0)[:n]
				}
				return message
			})
			out.fooled(t, fmt.Sprintf("%s, %d bytes", name, n), name)
		}
	}
}

func TestPairingEndsDisagree(t *testing.T) {
	for what, edit := range map[string]func(*pair){
		"code":      func(p *pair) { p.homeCode = vectortest.Must[handshake.Code](t)(handshake.NewCode(rand.Reader)) },
		"relay key": func(p *pair) { p.homeKey[0] ^= 1 }, "host": func(p *pair) { p.homeHost = "evil.example" },
	} {
		p := newPair(t)
		edit(p)
		p.run(t, honestMail).fooled(t, what, "a1")
	}
}

// A relay that does not know the code plays either part, swaps keys, or puts
// together pieces of pairings it has carried before.
func TestRelaySplicesPairings(t *testing.T) {
	p := newPair(t)
	mallory := vectortest.Keys(t, "mallory")
	guess := vectortest.Must[handshake.Code](t)(handshake.NewCode(rand.Reader))
	p.run(t, func(name string, message []byte) []byte {
		if name == "a1" {
			_, a1, err := handshake.NewApprover(rand.Reader, guess, p.alice.UID(), mallory.Device(ident.RoleAdmin, 0), p.appKey, host)
			if err != nil {
				t.Fatal(err)
			}
			return a1
		}
		return message
	}).fooled(t, "another app", "a1")
	var a1 []byte
	p.run(t, func(name string, message []byte) []byte {
		switch name {
		case "a1":
			a1 = message
		case "n1":
			_, n1, err := handshake.NewNewcomer(rand.Reader, guess, mallory, p.homeKey, host, a1)
			if err != nil {
				t.Fatal(err)
			}
			return n1
		}
		return message
	}).fooled(t, "another home", "n1")
	for _, name := range []string{"a1", "n1"} {
		for _, low := range []protocol.Key32{{}, {1}} {
			p.run(t, func(n string, message []byte) []byte {
				if n == name {
					message = bytes.Clone(message)
					copy(message, low[:])
				}
				return message
			}).fooled(t, "low-order key in "+name, name)
		}
	}
	earlier := p.run(t, honestMail).messages // with the same code, as if used twice
	for mask := 1; mask < 16; mask++ {
		var replayed []string
		for i, name := range names {
			if mask>>i&1 == 1 {
				replayed = append(replayed, name)
			}
		}
		out := p.run(t, func(name string, message []byte) []byte {
			if slices.Contains(replayed, name) {
				return earlier[name]
			}
			return message
		})
		out.fooled(t, fmt.Sprintf("replayed %v", replayed), replayed[0])
	}
	// One side's proof is not the other's.
	p.run(t, func(name string, message []byte) []byte {
		if name == "n2" {
			return earlier["a2"][:32]
		}
		return message
	}).fooled(t, "the app's own proof back", "n2")
	var n1 []byte
	p.run(t, func(name string, message []byte) []byte {
		switch name {
		case "n1":
			n1 = message
		case "n2":
			return n1[96:]
		}
		return message
	}).fooled(t, "n1's proof as n2's", "n2")
	p.run(t, func(name string, message []byte) []byte {
		if name == "a2" {
			return append(bytes.Clone(n1[96:]), message[32:]...)
		}
		return message
	}).fooled(t, "n1's proof as a2's", "a2")
	// Nothing to do with the relay: the bundle of somebody else, under the right key.
	q := newPair(t)
	b := q.run(t, honestMail)
	if b.bundle.UID != p.alice.UID() {
		t.Error("bundle")
	}
}

// bundleKey is what anybody computes who knows the code and one ephemeral
// secret: here to write a2 messages that only the bundle's own checks refuse.
func TestBundleOfAnotherPerson(t *testing.T) {
	p := newPair(t)
	eph := protocol.BoxSecretOf(vectortest.Fixed("app eph"))
	ephPub, uid, app := eph.Public(), p.alice.UID(), p.alice.Phone
	appSign, appBox := app.Public(), app.BoxPublic()
	a1 := bytes.Join([][]byte{ephPub[:], uid[:], appSign[:], appBox[:]}, nil)
	for what, text := range map[string]string{
		"honest":        fmt.Sprintf(`{"uid":"%v","username":"alice","name":"A"}`, uid),
		"another uid":   fmt.Sprintf(`{"uid":"%v","username":"alice","name":"A"}`, vectortest.NewPerson(t, "bob").UID()),
		"not JSON":      `{`,
		"a key missing": fmt.Sprintf(`{"uid":"%v","username":"alice"}`, uid),
	} {
		n, n1, err := handshake.NewNewcomer(rand.Reader, p.homeCode, p.home, p.homeKey, host, a1)
		if err != nil {
			t.Fatal(err)
		}
		homeSign, homeBox := p.home.Public(), p.home.BoxPublic()
		transcript := protocol.Hash("pair", []byte("home"), uid[:], appSign[:], appBox[:], homeSign[:], homeBox[:], p.homeKey[:], []byte(host), ephPub[:], n1[:32])
		dh := vectortest.Must[[32]byte](t)(eph.DH(protocol.Key32(n1[:32])))
		key := protocol.KDF(append(dh[:], p.appCode.Expose()...), "pair/key", transcript[:])
		if mac := protocol.MAC(key[:], "pair/newcomer", transcript[:]); !bytes.Equal(mac[:], n1[96:]) {
			t.Fatal("n1 is not what section 10 says")
		}
		mac, bundleKey := protocol.MAC(key[:], "pair/approver", transcript[:]), protocol.KDF(key[:], "pair/bundle")
		a2 := secretbox.Seal(mac[:], []byte(text), &[24]byte{}, &bundleKey)
		if b, err := n.Bundle(a2); (err == nil) != (what == "honest") {
			t.Errorf("%s: %+v %v", what, b, err)
		}
		if _, err := n.Done(); (err == nil) != (what == "honest") {
			t.Errorf("%s: n2: %v", what, err)
		}
	}
}

// The steps have an order, and a failed pairing does not go on.
func TestPairingOrder(t *testing.T) {
	p := newPair(t)
	a, a1, err := handshake.NewApprover(rand.Reader, p.appCode, p.alice.UID(), p.alice.Phone.Device(ident.RoleAdmin, 0), p.appKey, host)
	if err != nil {
		t.Fatal(err)
	}
	n, n1, err := handshake.NewNewcomer(rand.Reader, p.homeCode, p.home, p.homeKey, host, a1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Approve("alice", "A"); err == nil {
		t.Error("a2 before n1")
	}
	if a.Done(make([]byte, 32)) == nil {
		t.Error("n2 before n1")
	}
	if _, err := n.Done(); err == nil {
		t.Error("n2 before a2")
	}
	bad := bytes.Clone(n1)
	bad[96] ^= 1
	if _, err := a.Newcomer(bad); err == nil {
		t.Fatal("bad n1")
	}
	if _, err := a.Newcomer(n1); err == nil {
		t.Error("a second try after a bad n1: an online guess of the code")
	}
	if _, err := a.Approve("alice", "A"); err == nil {
		t.Error("a2 after a bad n1")
	}
}

func TestCodes(t *testing.T) {
	code := newPair(t).appCode
	text := handshake.PairingText(host, code)
	for _, typed := range []string{text, " https://" + strings.ToUpper(host) + "/" + strings.ToLower(code.Text()), "http://" + host + "/" + strings.ReplaceAll(code.Text(), "-", " ")} {
		h, c, err := handshake.ParsePairing(typed)
		if err != nil || h != host || !c.Equal(code.Secret) || c.Mailbox() != code.Mailbox() {
			t.Errorf("%q: %v", typed, err)
		}
	}
	for _, typed := range []string{"", host, host + "/", "/" + code.Text(), host + "/" + code.Text()[1:], host + "/" + code.Text() + "0", strings.Repeat("x", 600), "a b/" + code.Text()} {
		if _, _, err := handshake.ParsePairing(typed); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%q: %v", typed, err)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %s %+v %x", code, code, code, code), code.Text()) {
		t.Error("a code prints")
	}
}

func TestClaims(t *testing.T) {
	p := newPair(t)
	claim := handshake.Claim{Token: protocol.SecretOf(vectortest.FixedBytes("claim token", 16)), RelayKey: p.appKey}
	withHome := claim
	withHome.Home, withHome.Code = p.home.ID(), p.homeCode
	for _, c := range []handshake.Claim{claim, withHome} {
		link := c.Link("http://localhost:8080")
		h, got, err := handshake.ParseClaim(link)
		if err != nil || h != "localhost:8080" || !got.Token.Equal(c.Token) || got.RelayKey != c.RelayKey || got.Home != c.Home || got.Code.Text() != c.Code.Text() {
			t.Errorf("%s: %v", link, err)
		}
		for _, bad := range []string{"", link[:len(link)-1], link + "0", link + ".x", strings.Replace(link, "#0.", "#1.", 1), strings.Replace(link, "claim", "clam", 1), strings.Replace(link, "http:", "ftp:", 1), strings.Replace(link, "localhost", "relay.example", 1)} {
			if _, _, err := handshake.ParseClaim(bad); protocol.CodeOf(err) != protocol.CodeBadRequest {
				t.Errorf("%s: %v", bad, err)
			}
		}
	}
}

func TestPairingVectors(t *testing.T) {
	p := newPair(t)
	ephA, ephN := vectortest.Fixed("pair eph a"), vectortest.Fixed("pair eph n")
	p.appRandom, p.nRandom = vectortest.Random(ephA[:]), vectortest.Random(ephN[:])
	out := p.run(t, honestMail)
	if !out.done {
		t.Fatal(out.errs)
	}
	mails := m{}
	for name, message := range out.messages {
		mails[name] = vectortest.B(message)
	}
	uid := p.alice.UID()
	a, n := protocol.BoxSecretOf(ephA), protocol.BoxSecretOf(ephN)
	aPub, nPub := a.Public(), n.Public()
	as, ab, hs, hb := p.alice.Phone.Public(), p.alice.Phone.BoxPublic(), p.home.Public(), p.home.BoxPublic()
	transcript := protocol.Hash("pair", []byte("home"), uid[:], as[:], ab[:], hs[:], hb[:], p.appKey[:], []byte(host), aPub[:], nPub[:])
	dh := vectortest.Must[[32]byte](t)(a.DH(nPub))
	key := protocol.KDF(append(dh[:], p.appCode.Expose()...), "pair/key", transcript[:])
	vectortest.Compare(t, "pairing.json", m{
		"about": "Section 10, a home. text is what a person copies; messages are the bytes in the mailbox; the app's random source gives eph_a_secret, the home's eph_n_secret. " +
			"bundle is the JSON inside a2. Any byte changed in any message, any of code, relay_key, host different at one end, any message of another run: refused.",
		"encoding": encoding, "text": handshake.PairingText(host, p.appCode), "code": vectortest.B(p.appCode.Expose()), "mailbox": p.appCode.Mailbox(), "host": host,
		"relay_key": p.appKey, "uid": uid, "app": keyVector(p.alice.Phone), "home": keyVector(p.home), "home_id": p.home.ID(),
		"eph_a_secret": vectortest.B(ephA[:]), "eph_n_secret": vectortest.B(ephN[:]), "T": transcript, "K": vectortest.B(key[:]),
		"messages": mails, "bundle": string(vectortest.Must[[]byte](t)(protocol.Marshal(*out.bundle))),
	})
}
