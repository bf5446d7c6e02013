package ident_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
)

const now = vectortest.Now

type m = map[string]any

// signed makes a record from payload text, whatever it says: what a hostile
// client or relay would write.
func signed(signer protocol.Signer, format string, args ...any) protocol.Signed {
	return protocol.SignPayload(signer, "sign/chain", fmt.Appendf(nil, format, args...))
}

func deviceJSON(d ident.Device) string {
	return fmt.Sprintf(`{"sign":"%v","box":"%v","role":"%s","exp":%d}`, d.Sign, d.Box, d.Role, d.Exp)
}

func relayJSON(host string, port int) string {
	return fmt.Sprintf(`{"key":"%v","host":"%s","port":%d}`, vectortest.Relay().Key, host, port)
}

// cast is everybody who signs in these tests.
type cast struct {
	t                            testing.TB
	phone, laptop, home, session *ident.DeviceKeys
	home2, stranger              *ident.DeviceKeys
	ik, ik2                      protocol.SignSecret
	cardBox, cardBox2            protocol.BoxSecret
}

func newCast(t testing.TB) *cast {
	return &cast{
		t: t, phone: vectortest.Keys(t, "alice phone"), laptop: vectortest.Keys(t, "alice laptop"), home: vectortest.Keys(t, "alice home"),
		session: vectortest.Keys(t, "alice session"), home2: vectortest.Keys(t, "alice home 2"), stranger: vectortest.Keys(t, "stranger phone"),
		ik: protocol.SignSecretOf(vectortest.Fixed("card ik")), ik2: protocol.SignSecretOf(vectortest.Fixed("card ik 2")),
		cardBox: protocol.BoxSecretOf(vectortest.Fixed("card box")), cardBox2: protocol.BoxSecretOf(vectortest.Fixed("card box 2")),
	}
}

func (c *cast) genesis() *ident.Chain { return vectortest.NewPerson(c.t, "alice").Chain }

func (c *cast) grow(chain *ident.Chain, makes ...func(*ident.Chain) (protocol.Signed, error)) *ident.Chain {
	c.t.Helper()
	for i, mk := range makes {
		rec, err := mk(chain)
		if err != nil {
			c.t.Fatalf("record %d: %v", i, err)
		}
		if err := chain.Append(rec); err != nil {
			c.t.Fatalf("record %d: %v", i, err)
		}
	}
	return chain
}

type maker = func(*ident.Chain) (protocol.Signed, error)

func add(by protocol.Signer, d ident.Device) maker {
	return func(c *ident.Chain) (protocol.Signed, error) { return c.NewDeviceAdd(by, d, now+1000) }
}

func revoke(by protocol.Signer, id protocol.DeviceID, floor int64) maker {
	return func(c *ident.Chain) (protocol.Signed, error) { return c.NewDeviceRevoke(by, id, floor, now+2000) }
}

func card(by, ik protocol.Signer, box protocol.Key32) maker {
	return func(c *ident.Chain) (protocol.Signed, error) { return c.NewCard(by, ik, box, now+3000) }
}

func relay(by protocol.Signer, host string) maker {
	return func(c *ident.Chain) (protocol.Signed, error) {
		return c.NewRelay(by, ident.Relay{Key: vectortest.Relay().Key, Host: host, Port: 8443}, now+4000)
	}
}

func admin(k *ident.DeviceKeys) ident.Device { return k.Device(ident.RoleAdmin, 0) }
func homed(k *ident.DeviceKeys) ident.Device { return k.Device(ident.RoleHome, 0) }

// goodChains are chains that every reader accepts.
func goodChains(t testing.TB) map[string]*ident.Chain {
	c := newCast(t)
	return map[string]*ident.Chain{
		"1 genesis": c.genesis(),
		"2 home and laptop": c.grow(c.genesis(), add(c.phone, homed(c.home)), add(c.home, admin(c.laptop)),
			add(c.laptop, c.session.Device(ident.RoleSession, now+86_400_000))),
		"3 card by a device, then by the card": c.grow(c.genesis(), card(c.phone, c.ik, c.cardBox.Public()),
			card(c.ik, c.ik2, c.cardBox2.Public()), add(c.ik2, admin(c.laptop))),
		"4 lost phone: revoked by the card, next home": c.grow(c.genesis(), add(c.phone, homed(c.home)), card(c.home, c.ik, c.cardBox.Public()),
			revoke(c.ik, c.phone.ID(), 7), revoke(c.ik, c.home.ID(), 5), add(c.ik, homed(c.home2)), relay(c.home2, "other.example")),
		"5 a device revokes itself": c.grow(c.genesis(), add(c.phone, admin(c.laptop)), revoke(c.phone, c.phone.ID(), 2)),
		"6 a home after one that has expired": c.grow(c.genesis(), add(c.phone, c.home.Device(ident.RoleHome, now+500)),
			add(c.phone, homed(c.home2))),
	}
}

type badChain struct {
	why     string
	records []protocol.Signed
}

// badChains are chains whose last record every reader refuses, and only that one.
func badChains(t testing.TB) []badChain {
	c := newCast(t)
	var out []badChain
	refused := func(why string, base *ident.Chain, rec protocol.Signed) {
		out = append(out, badChain{why, append(base.Records(0), rec)})
	}
	first := func(why string, rec protocol.Signed) { out = append(out, badChain{why, []protocol.Signed{rec}}) }

	gen := func(signer protocol.Signer, old, new string) protocol.Signed {
		text := string(c.genesis().Records(0)[0].Payload)
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %s", old, text)
		}
		return signed(signer, "%s", strings.Replace(text, old, new, 1))
	}
	first("genesis not signed by its device", gen(c.stranger, `"v":1`, `"v":1`))
	first("genesis of role home", gen(c.phone, `"role":"admin"`, `"role":"home"`))
	first("genesis of role session", gen(c.phone, `"role":"admin"`, `"role":"session"`))
	first("genesis with seq 1", gen(c.phone, `"seq":0`, `"seq":1`))
	first("genesis with prev", gen(c.phone, `"ts"`, `"prev":"`+protocol.Hash32{}.String()+`","ts"`))
	first("genesis without nonce", gen(c.phone, fmt.Sprintf(`"nonce":"%v",`, vectortest.FixedID("alice genesis nonce")), ""))
	first("version 2", gen(c.phone, `"v":1`, `"v":2`))
	first("suite 2", gen(c.phone, `"suite":1`, `"suite":2`))
	first("duplicate key", gen(c.phone, `"v":1`, `"v":1,"v":1`))
	first("unknown key", gen(c.phone, `"v":1`, `"v":1,"w":1`))
	first("unknown key in device", gen(c.phone, `"role":`, `"w":1,"role":`))
	first("null", gen(c.phone, `"ts"`, `"prev":null,"ts"`))
	first("port 0", gen(c.phone, `"port":443`, `"port":0`))
	first("relay host with a port in it", gen(c.phone, `"host":"relay.example"`, `"host":"relay.example:443"`))
	first("negative exp", gen(c.phone, `"exp":0`, `"exp":-1`))
	first("trailing bytes", gen(c.phone, `"port":443}}`, `"port":443}} x`))
	first("over 4 KiB", gen(c.phone, `"v":1`, strings.Repeat(" ", 4096)+`"v":1`))
	wrongLabel := c.genesis().Records(0)[0]
	wrongLabel.Sig = c.phone.Sign("sign/uek", wrongLabel.Payload)
	first("signed under another label", wrongLabel)
	flipped := c.genesis().Records(0)[0]
	flipped.Sig[3] ^= 1
	first("signature flipped", flipped)
	first("starts with device.add", c.genesis().Records(0)[0])
	out[len(out)-1].records = c.grow(c.genesis(), add(c.phone, homed(c.home))).Records(1)

	first("device.add with seq 0", signed(c.phone, `{"v":1,"suite":1,"op":"device.add","seq":0,"prev":"%v","ts":1,"device":%s}`, protocol.Hash32{}, deviceJSON(admin(c.phone))))

	g := c.genesis()
	next := func(base *ident.Chain, op, rest string) string {
		return fmt.Sprintf(`{"v":1,"suite":1,"op":"%s","seq":%d,"prev":"%v","ts":%d,%s}`, op, base.Seq()+1, base.Head(), now+1000, rest)
	}
	device := func(d ident.Device) string { return `"device":` + deviceJSON(d) }
	refused("a second genesis", g, g.Records(0)[0])
	refused("a second genesis that continues", g, gen(c.phone, `"seq":0`, `"seq":1`))
	refused("seq skips", g, signed(c.phone, "%s", strings.Replace(next(g, "device.add", device(homed(c.home))), `"seq":1`, `"seq":2`, 1)))
	refused("seq repeats", g, signed(c.phone, "%s", strings.Replace(next(g, "device.add", device(homed(c.home))), `"seq":1`, `"seq":0`, 1)))
	refused("prev is not the last record", g, signed(c.phone, "%s", strings.Replace(next(g, "device.add", device(homed(c.home))), g.Head().String(), protocol.Hash32(g.UID()).String(), 1)))
	refused("prev missing", g, signed(c.phone, `{"v":1,"suite":1,"op":"device.add","seq":1,"ts":1,%s}`, device(homed(c.home))))
	refused("unknown op", g, signed(c.phone, "%s", next(g, "device.rename", device(homed(c.home)))))
	refused("unknown role", g, signed(c.phone, "%s", next(g, "device.add", `"device":`+strings.Replace(deviceJSON(homed(c.home)), "home", "root", 1))))
	refused("field of another op", g, signed(c.phone, "%s", next(g, "device.add", device(homed(c.home))+`,"uek_floor":1`)))
	refused("relay in device.add", g, signed(c.phone, "%s", next(g, "device.add", device(homed(c.home))+`,"relay":`+relayJSON("a.example", 443))))
	refused("device.add without device", g, signed(c.phone, "%s", next(g, "device.add", `"nonce":"AAAAAAAAAAAAAAAAAAAAAA"`)))
	refused("signed by a stranger", g, signed(c.stranger, "%s", next(g, "device.add", device(admin(c.stranger)))))
	byOther := signed(c.stranger, "%s", next(g, "device.add", device(admin(c.stranger))))
	byOther.By = c.phone.Public()
	refused("by is changed to an active device", g, byOther)
	low := admin(c.laptop)
	low.Box = protocol.Key32{1}
	refused("low-order box key", g, signed(c.phone, "%s", next(g, "device.add", device(low))))
	refused("the same device twice", g, signed(c.phone, "%s", next(g, "device.add", device(admin(c.phone)))))
	sameSign := admin(c.laptop)
	sameSign.Sign = c.phone.Public()
	refused("a sign key twice", g, signed(c.phone, "%s", next(g, "device.add", device(sameSign))))

	withHome := c.grow(c.genesis(), add(c.phone, homed(c.home)))
	refused("a second active home", withHome, signed(c.phone, "%s", next(withHome, "device.add", device(homed(c.home2)))))
	withSession := c.grow(c.genesis(), add(c.phone, c.session.Device(ident.RoleSession, 0)))
	refused("signed by a session", withSession, signed(c.session, "%s", next(withSession, "device.add", device(admin(c.laptop)))))
	expired := c.grow(c.genesis(), add(c.phone, c.laptop.Device(ident.RoleAdmin, now+1000)))
	refused("signed by an expired device", expired, signed(c.laptop, "%s", next(expired, "device.add", device(homed(c.home)))))
	revoked := c.grow(c.genesis(), add(c.phone, admin(c.laptop)), revoke(c.phone, c.laptop.ID(), 0))
	refused("signed by a revoked device", revoked, signed(c.laptop, "%s", next(revoked, "device.add", device(homed(c.home)))))
	refused("a revoked device comes back", revoked, signed(c.phone, "%s", next(revoked, "device.add", device(admin(c.laptop)))))
	id := func(d protocol.DeviceID) string { return fmt.Sprintf(`"id":"%v","uek_floor":0`, d) }
	refused("revoked twice", revoked, signed(c.phone, "%s", next(revoked, "device.revoke", id(c.laptop.ID()))))
	refused("revokes a device that is not there", g, signed(c.phone, "%s", next(g, "device.revoke", id(c.stranger.ID()))))
	refused("negative uek_floor", g, signed(c.phone, "%s", next(g, "device.revoke", fmt.Sprintf(`"id":"%v","uek_floor":-1`, c.phone.ID()))))
	refused("revoke without uek_floor", g, signed(c.phone, "%s", next(g, "device.revoke", fmt.Sprintf(`"id":"%v"`, c.phone.ID()))))

	cardJSON := func(base *ident.Chain, ik protocol.SignSecret, box protocol.Key32, seq int) string {
		uid, key := base.UID(), ik.Public()
		proof := ik.Sign("card-proof", uid[:], protocol.U64(seq), key[:], box[:])
		return fmt.Sprintf(`"ik":"%v","box":"%v","proof":"%v"`, key, box, proof)
	}
	withCard := c.grow(c.genesis(), card(c.phone, c.ik, c.cardBox.Public()))
	refused("a device replaces the card", withCard, signed(c.phone, "%s", next(withCard, "card", cardJSON(withCard, c.ik2, c.cardBox2.Public(), 2))))
	refused("the next card signs itself in", withCard, signed(c.ik2, "%s", next(withCard, "card", cardJSON(withCard, c.ik2, c.cardBox2.Public(), 2))))
	refused("a card that nobody has yet signs itself in", g, signed(c.ik, "%s", next(g, "card", cardJSON(g, c.ik, c.cardBox.Public(), 1))))
	refused("card proof for another seq", g, signed(c.phone, "%s", next(g, "card", cardJSON(g, c.ik, c.cardBox.Public(), 2))))
	refused("card proof of another key", g, signed(c.phone, "%s", next(g, "card", strings.Replace(cardJSON(g, c.ik2, c.cardBox.Public(), 1), c.ik2.Public().String(), c.ik.Public().String(), 1))))
	refused("card proof for another box", g, signed(c.phone, "%s", next(g, "card", strings.Replace(cardJSON(g, c.ik, c.cardBox.Public(), 1), c.cardBox.Public().String(), c.cardBox2.Public().String(), 1))))
	refused("card with a low-order box", g, signed(c.phone, "%s", next(g, "card", cardJSON(g, c.ik, protocol.Key32{}, 1))))
	refused("card whose ik is a device's key", g, signed(c.phone, "%s", next(g, "card", cardJSON(g, phoneAsCard(c), c.cardBox.Public(), 1))))
	rotated := c.grow(c.genesis(), card(c.phone, c.ik, c.cardBox.Public()), card(c.ik, c.ik2, c.cardBox2.Public()))
	refused("signed by the former card", rotated, signed(c.ik, "%s", next(rotated, "device.add", device(admin(c.laptop)))))
	refused("the former card comes back", rotated, signed(c.ik2, "%s", next(rotated, "card", cardJSON(rotated, c.ik, c.cardBox.Public(), 3))))
	return out
}

func phoneAsCard(c *cast) protocol.SignSecret {
	return protocol.SignSecretOf([32]byte(c.phone.Expose()[:32]))
}

func TestBadChains(t *testing.T) {
	for _, bad := range badChains(t) {
		t.Run(bad.why, func(t *testing.T) {
			_, err := ident.ParseChain(bad.records)
			if protocol.CodeOf(err) != protocol.CodeBadChain {
				t.Fatalf("accepted, or another code: %v", err)
			}
			n := len(bad.records) - 1
			if n == 0 {
				return
			}
			good, err := ident.ParseChain(bad.records[:n])
			if err != nil {
				t.Fatalf("refused before its last record: %v", err)
			}
			head, devices := good.Head(), len(good.Devices(now))
			if good.Append(bad.records[n]) == nil || good.Head() != head || good.Seq() != n-1 || len(good.Devices(now)) != devices {
				t.Error("a refused record left something behind")
			}
		})
	}
	if _, err := ident.ParseChain(nil); protocol.CodeOf(err) != protocol.CodeBadChain {
		t.Error("empty chain")
	}
}

// Makers must not publish what readers refuse.
func TestMakersRefuse(t *testing.T) {
	c := newCast(t)
	withCard := c.grow(c.genesis(), add(c.phone, homed(c.home)), card(c.phone, c.ik, c.cardBox.Public()))
	for what, mk := range map[string]maker{
		"second home": add(c.phone, homed(c.home2)), "card over a card": card(c.phone, c.ik2, c.cardBox2.Public()),
		"stranger": add(c.stranger, admin(c.laptop)), "unknown device": revoke(c.phone, c.stranger.ID(), 0), "bad host": relay(c.phone, "a b"),
	} {
		if _, err := mk(withCard); protocol.CodeOf(err) != protocol.CodeBadChain {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestChainIsBounded(t *testing.T) {
	c := newCast(t)
	chain := c.genesis()
	for chain.Seq() < 999 {
		c.grow(chain, relay(c.phone, "relay.example"))
	}
	if _, err := relay(c.phone, "relay.example")(chain); protocol.CodeOf(err) != protocol.CodeBadChain {
		t.Errorf("record 1,001: %v", err)
	}
}

func TestPins(t *testing.T) {
	c := newCast(t)
	chain := c.grow(c.genesis(), add(c.phone, homed(c.home)), add(c.phone, admin(c.laptop)))
	fork := c.grow(c.genesis(), add(c.phone, homed(c.home2)), add(c.phone, admin(c.laptop)), relay(c.phone, "evil.example"))
	short := c.grow(c.genesis(), add(c.phone, homed(c.home)))
	for _, p := range []ident.Pin{c.genesis().Pin(), short.Pin(), chain.Pin()} {
		if err := chain.CheckPin(p); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for what, err := range map[string]error{
		"forked": chain.CheckPin(fork.Pin()), "longer fork": fork.CheckPin(chain.Pin()), "truncated": short.CheckPin(chain.Pin()),
		"another person": vectortest.NewPerson(t, "bob").Chain.CheckPin(c.genesis().Pin()),
		"negative":       chain.CheckPin(ident.Pin{Seq: -1}),
	} {
		if !errors.Is(err, ident.ErrFork) || protocol.CodeOf(err) != protocol.CodeBadChain {
			t.Errorf("%s: %v", what, err)
		}
	}
	// At first contact there is no pin, but the invite's head (section 9).
	if !chain.Contains(short.Head()) || short.Contains(chain.Head()) || fork.Contains(short.Head()) {
		t.Error("Contains")
	}
}

// authors are who may have written what is dated ts.
func authors(t testing.TB) (chain *ident.Chain, cases []m) {
	c := newCast(t)
	chain = c.grow(c.genesis(), add(c.phone, admin(c.laptop)), add(c.phone, c.session.Device(ident.RoleSession, now+9000)),
		revoke(c.phone, c.laptop.ID(), 2)) // revoked at now+2000
	for _, a := range []struct {
		why string
		id  protocol.DeviceID
		ts  int64
		ok  bool
	}{
		{"active", c.phone.ID(), now + 5000, true}, {"before it was revoked", c.laptop.ID(), now + 1999, true},
		{"at the time of the revocation", c.laptop.ID(), now + 2000, false}, {"after it", c.laptop.ID(), now + 2001, false},
		{"before it expires", c.session.ID(), now + 8999, true}, {"expired", c.session.ID(), now + 9000, false},
		{"not in the chain", c.stranger.ID(), now + 5000, false},
	} {
		cases = append(cases, m{"why": a.why, "id": a.id, "ts": a.ts, "author": a.ok})
	}
	return chain, cases
}

func TestAuthor(t *testing.T) {
	chain, cases := authors(t)
	for _, a := range cases {
		if _, ok := chain.Author(a["id"].(protocol.DeviceID), a["ts"].(int64)); ok != a["author"].(bool) {
			t.Errorf("%s: %v", a["why"], ok)
		}
	}
}

func TestCloneIsIndependent(t *testing.T) {
	c := newCast(t)
	base := c.grow(c.genesis(), add(c.phone, admin(c.laptop)))
	one, two := base.Clone(), base.Clone()
	c.grow(one, revoke(c.phone, c.laptop.ID(), 3), add(c.phone, homed(c.home)))
	c.grow(two, add(c.phone, homed(c.home2)))
	if _, ok := base.Active(c.laptop.ID(), now); !ok || base.Seq() != 1 || base.UEKFloor() != 0 {
		t.Error("a copy changed the original")
	}
	if h, _ := two.Home(now); h.ID() != c.home2.ID() {
		t.Error("copies share")
	}
}

func TestDeviceKeysDoNotPrint(t *testing.T) {
	k := vectortest.Keys(t, "alice phone")
	text := fmt.Sprintf("%v %+v %#v %s %x %d %v", k, k, k, k, k, k, struct{ k *ident.DeviceKeys }{k})
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		text += fmt.Sprintf(verb, any(*k))
	}
	secret := k.Expose()
	if strings.Contains(text, fmt.Sprintf("%x", secret[:4])) || strings.Contains(text, fmt.Sprint(secret[:3])[1:9]) {
		t.Error(text)
	}
	again, err := ident.ParseDeviceKeys(secret)
	if err != nil || again.ID() != k.ID() || !bytes.Equal(again.Expose(), secret) {
		t.Error("Expose and ParseDeviceKeys")
	}
	if _, err := ident.ParseDeviceKeys(secret[:63]); err == nil {
		t.Error("63 bytes")
	}
}
