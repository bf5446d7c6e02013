package relay_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

func TestJoining(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		var info struct {
			Key     protocol.Key32 `json:"key"`
			Host    string         `json:"host"`
			Claimed bool           `json:"claimed"`
			Version string         `json:"version"`
			Time    int64          `json:"time"`
		}
		c.Well("GET", "/api/1/relay", "", nil, &info)
		if info.Key != c.Relay.Key() || info.Host != c.Host || info.Claimed {
			t.Fatalf("%+v", info)
		}
		join := func(code string, p *relaytest.Person, invite, claim *protocol.ID) {
			t.Helper()
			if code == "" {
				c.Well("POST", "/api/1/join", "", p.Application(invite, claim), nil)
			} else {
				c.Refused(code, "POST", "/api/1/join", "", p.Application(invite, claim))
			}
		}
		mei, token, wrong := c.Person("mei"), c.ClaimToken(), relaytest.NewID(t)
		join(protocol.CodeClaimUnknown, mei, nil, &wrong)
		join(protocol.CodeBadRequest, mei, nil, nil)
		join(protocol.CodeBadRequest, mei, &wrong, &token)
		join("", mei, nil, &token)
		join("", mei, nil, &token) // the answer was lost, say
		join(protocol.CodeClaimUnknown, c.Person("second"), nil, &token)
		c.Well("GET", "/api/1/relay", "", nil, &info)
		if !info.Claimed {
			t.Fatal("not claimed")
		}
		phone := c.Connect(mei, mei.Phone)
		invite := c.Invite(phone)
		var seen struct {
			UID      protocol.UID   `json:"uid"`
			Username string         `json:"username"`
			Card     protocol.Bytes `json:"card"`
		}
		for range 3 { // looking never spends
			c.Well("GET", "/api/1/invites/"+invite.String(), "", nil, &seen)
		}
		if seen.UID != mei.UID || seen.Username != "mei" || string(seen.Card) != "sealed card" {
			t.Fatalf("%+v", seen)
		}
		join(protocol.CodeUsernameTaken, c.Person("mei"), &invite, nil)
		join(protocol.CodeInviteUnknown, c.Person("tom"), &wrong, nil)
		join(protocol.CodeInviteUnknown, c.Person("mei"), &wrong, nil) // not: that there is one
		for name, free := range map[string]bool{"tom": true, "late": true, "mei": false, "relay": false, "X": false, "free.name": true} {
			var a struct {
				Free bool `json:"free"`
			}
			c.Well("GET", "/api/1/names/"+name+"?invite="+invite.String(), "", nil, &a)
			if a.Free != free {
				t.Errorf("%s is free: %v", name, a.Free)
			}
			for _, query := range []string{"", "?invite=", "?invite=" + wrong.String()} {
				c.Refused(protocol.CodeInviteUnknown, "GET", "/api/1/names/"+name+query, "", nil)
			}
		}
		for _, name := range []string{"", "a", "Tom", "-tom", "tom-", "t m", "relay", "admin", strings.Repeat("x", 33), "tüm", "梅"} {
			join(protocol.CodeUsernameBad, c.Person(name), &invite, nil)
		}
		tom := c.Person("tom")
		join("", tom, &invite, nil)
		join("", tom, &invite, nil)
		join(protocol.CodeInviteUnknown, c.Person("late"), &invite, nil)
		c.Refused(protocol.CodeInviteUnknown, "GET", "/api/1/invites/"+invite.String(), "", nil)
		c.Refused(protocol.CodeInviteUnknown, "GET", "/api/1/names/late?invite="+invite.String(), "", nil)
		// After a restart the spent claim is still spent.
		c.Restart()
		join(protocol.CodeClaimUnknown, c.Person("third"), nil, &token)
	})
}

func TestAForgedApplicationIsRefused(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	token := c.ClaimToken()
	other := c.Person("other")
	for what, v := range map[string]struct {
		code string
		edit func(*relaytest.Person)
	}{
		"somebody else's uek":      {protocol.CodeBadChain, func(p *relaytest.Person) { p.UEK = other.UEK }},
		"a changed uek":            {protocol.CodeBadRequest, func(p *relaytest.Person) { p.UEK.Sig[0] ^= 1 }},
		"a changed genesis":        {protocol.CodeBadChain, func(p *relaytest.Person) { p.Genesis.Sig[0] ^= 1 }},
		"somebody else's vault":    {protocol.CodeNotAllowed, func(p *relaytest.Person) { p.Vault = other.Vault }},
		"a changed vault":          {protocol.CodeBadRequest, func(p *relaytest.Person) { p.Vault.Blob[3] ^= 1 }},
		"a second version":         {protocol.CodeBadRequest, func(p *relaytest.Person) { p.Vault = p.SealVault(t, p.Phone, 2) }},
		"a chain of another relay": {protocol.CodeBadChain, func(p *relaytest.Person) { *p = *elsewhere(t, c) }},
		"a clock ahead": {protocol.CodeClockAhead, func(p *relaytest.Person) {
			*p = *relaytest.NewPerson(t, "mei", c.Address(), c.Clock.Now().Add(10*time.Minute))
		}},
	} {
		p := c.Person("mei")
		v.edit(p)
		if a := c.Call("POST", "/api/1/join", "", p.Application(nil, &token)); a.Code != v.code {
			t.Errorf("%s: %d %s, want %s", what, a.Status, a.Body, v.code)
		}
	}
	c.Well("POST", "/api/1/join", "", c.Person("mei").Application(nil, &token), nil) // nothing was spent
}

func elsewhere(t *testing.T, c *relaytest.Courtyard) *relaytest.Person {
	at := c.Address()
	at.Key[0] ^= 1
	return relaytest.NewPerson(t, "mei", at, c.Clock.Now())
}

func TestPeopleAreFoundOnlyAsTheyWish(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei := c.Owner("mei")
		phone := c.Connect(mei, mei.Phone)
		tom, eve := c.Guest(phone, "tom"), c.Guest(phone, "eve")
		tomPhone, evePhone := c.Connect(tom, tom.Phone), c.Connect(eve, eve.Phone)
		find := func(by *relaytest.Socket, name string) relaytest.Answer {
			return c.Call("GET", "/api/1/people/"+name, by.Ready.Token, nil)
		}
		if a := find(evePhone, "tom"); a.Status != 200 || !bytes.Contains(a.Body, []byte(tom.UID.String())) {
			t.Fatal(a.Status, string(a.Body))
		}
		nobody := find(evePhone, "nobody")
		if nobody.Code != protocol.CodeNotFound {
			t.Fatal(nobody)
		}
		c.Well("PUT", "/api/1/settings", tomPhone.Ready.Token, settings{false}, nil)
		same(t, "private", nobody, find(evePhone, "tom"))
		if a := find(phone, "tom"); a.Status != 200 { // a contact
			t.Fatal(a.Status)
		}
		c.Well("PUT", "/api/1/settings", tomPhone.Ready.Token, settings{true}, nil)
		c.Well("PUT", "/api/1/contacts/"+eve.UID.String(), tomPhone.Ready.Token, state{"block"}, nil)
		same(t, "blocked", nobody, find(evePhone, "tom"))
		if p := tomPhone.Event("contact"); p["uid"] != eve.UID.String() || p["state"] != "block" {
			t.Fatal(p)
		}
		c.Well("PUT", "/api/1/contacts/"+eve.UID.String(), tomPhone.Ready.Token, state{"none"}, nil)
		if a := find(evePhone, "tom"); a.Status != 200 {
			t.Fatal(a.Status)
		}
		c.Refused(protocol.CodeBadRequest, "PUT", "/api/1/contacts/"+eve.UID.String(), tomPhone.Ready.Token, state{"friend"})
		c.Refused(protocol.CodeBadRequest, "PUT", "/api/1/contacts/"+tom.UID.String(), tomPhone.Ready.Token, state{"allow"})
		c.Refused(protocol.CodeUnauthorized, "GET", "/api/1/people/tom", "", nil)
		c.Refused(protocol.CodeUnauthorized, "GET", "/api/1/people/tom", "made up", nil)

		// Friend requests through the socket: unknown, private, blocked are one answer.
		c.Well("PUT", "/api/1/contacts/"+eve.UID.String(), tomPhone.Ready.Token, state{"block"}, nil)
		shy := c.Guest(phone, "shy")
		shyPhone := c.Connect(shy, shy.Phone)
		c.Well("PUT", "/api/1/settings", shyPhone.Ready.Token, settings{false}, nil)
		answers := map[string]string{}
		for _, to := range []*relaytest.Person{c.Person("nobody"), tom, shy} {
			for _, kind := range []string{protocol.TypeFriend, protocol.TypeChat} {
				f := evePhone.IsRefused(protocol.CodeNotContact, c.Envelope(eve, to, kind, 100))
				f.ID = protocol.ID{}
				raw, err := json.Marshal(f)
				if err != nil {
					t.Fatal(err)
				}
				answers[string(raw)] = to.Username
			}
		}
		if len(answers) != 1 {
			t.Fatal("told apart:", answers)
		}
		// And one that passes.
		open := c.Guest(phone, "open")
		evePhone.Sends(c.Envelope(eve, open, protocol.TypeFriend, 100))
	})
}

// same compares everything about two answers that a stranger sees.
func same(t *testing.T, what string, a, b relaytest.Answer) {
	t.Helper()
	a.Header.Del("Date")
	b.Header.Del("Date")
	if a.Status != b.Status || !bytes.Equal(a.Body, b.Body) || len(a.Header) != len(b.Header) {
		t.Errorf("%s differs: %d %s / %d %s", what, a.Status, a.Body, b.Status, b.Body)
	}
	for k := range a.Header {
		if a.Header.Get(k) != b.Header.Get(k) {
			t.Errorf("%s differs in %s", what, k)
		}
	}
}

type state struct {
	State string `json:"state"`
}

func TestRecoverNeedsACard(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei := c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	ik, err := protocol.NewSignSecret(bytes.NewReader(bytes.Repeat([]byte{3}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	hers, another := "?ik="+ik.Public().String(), "?ik="+mei.UID.String()
	without, unknown := c.Call("GET", "/api/1/recover/mei"+hers, "", nil), c.Call("GET", "/api/1/recover/nobody"+hers, "", nil)
	same(t, "without a card", without, unknown)
	if unknown.Code != protocol.CodeNotFound {
		t.Fatal(unknown)
	}
	c.Refused(protocol.CodeBadRequest, "GET", "/api/1/recover/mei", "", nil)
	c.Record(mei, func(chain *ident.Chain) (protocol.Signed, error) {
		return chain.NewCard(mei.Phone, ik, relaytest.NewBox(t), c.Clock.Now().UnixMilli())
	})
	if p := phone.Event("chain"); p["seq"] != 1.0 {
		t.Fatal(p)
	}
	var found struct {
		UID protocol.UID `json:"uid"`
	}
	same(t, "another card", c.Call("GET", "/api/1/recover/mei"+another, "", nil), unknown)
	c.Well("GET", "/api/1/recover/mei"+hers, "", nil, &found)
	if found.UID != mei.UID {
		t.Fatal("another person")
	}
	// The card signs a vault and adds a device.
	c.Well("PUT", "/api/1/vault", phone.Ready.Token, mei.SealVault(t, ik, 2), nil)
	fresh := relaytest.NewDevice(t)
	c.Record(mei, func(chain *ident.Chain) (protocol.Signed, error) {
		return chain.NewDeviceAdd(ik, fresh.Device(ident.RoleAdmin, 0), c.Clock.Now().UnixMilli())
	})
	c.Connect(mei, fresh)
	for range 10 {
		c.Call("GET", "/api/1/recover/mei"+another, "", nil)
	}
	c.Refused(protocol.CodeRateLimited, "GET", "/api/1/recover/mei"+hers, "", nil)
	c.Clock.Move(time.Hour)
	c.Well("GET", "/api/1/recover/mei"+hers, "", nil, nil)
}

func TestLimitsOfAnAddress(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{Limits: relaytest.Limits{Joins: 10}})
	wrong := relaytest.NewID(t)
	for range 10 {
		c.Refused(protocol.CodeClaimUnknown, "POST", "/api/1/join", "", c.Person("mei").Application(nil, &wrong))
	}
	a := c.Refused(protocol.CodeRateLimited, "POST", "/api/1/join", "", c.Person("mei").Application(nil, &wrong))
	if a.Status != 429 || a.Header.Get("Retry-After") == "" {
		t.Fatal(a)
	}
	for range 30 {
		c.Well("GET", "/api/1/names/mei", "", nil, nil)
	}
	c.Refused(protocol.CodeRateLimited, "GET", "/api/1/names/mei", "", nil)
	c.Clock.Move(time.Minute)
	c.Well("GET", "/api/1/names/mei", "", nil, nil)
}

func TestChainsAndKeys(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei := c.Owner("mei")
		phone := c.Connect(mei, mei.Phone)
		path := "/api/1/chains/" + mei.UID.String()
		now := c.Clock.Now().UnixMilli()
		one, two := relaytest.NewDevice(t), relaytest.NewDevice(t)
		first, err := mei.Chain.NewDeviceAdd(mei.Phone, one.Device(ident.RoleHome, 0), now)
		must(t, err)
		second, err := mei.Chain.NewDeviceAdd(mei.Phone, two.Device(ident.RoleAdmin, 0), now)
		must(t, err)
		c.Well("POST", path, "", first, nil)
		c.Well("POST", path, "", first, nil) // the answer was lost, say
		c.Refused(protocol.CodeChainConflict, "POST", path, "", second)
		must(t, mei.Chain.Append(first))
		home2, err := mei.Chain.NewDeviceAdd(mei.Phone, two.Device(ident.RoleAdmin, 0), now)
		must(t, err)
		forged := home2
		forged.Sig[5] ^= 1
		c.Refused(protocol.CodeBadChain, "POST", path, "", forged)
		other := c.Person("other")
		c.Refused(protocol.CodeNotFound, "POST", "/api/1/chains/"+other.UID.String(), "", home2)
		c.Refused(protocol.CodeHomeExists, "POST", path, "", secondHome(t, mei, now))
		ahead, err := mei.Chain.NewDeviceAdd(mei.Phone, two.Device(ident.RoleAdmin, 0), now+10*60*1000)
		must(t, err)
		c.Refused(protocol.CodeClockAhead, "POST", path, "", ahead)
		var got struct {
			Records []protocol.Signed `json:"records"`
		}
		c.Well("GET", path, "", nil, &got)
		if chain, err := ident.ParseChain(got.Records); err != nil || chain.Head() != mei.Chain.Head() {
			t.Fatal(err)
		}
		c.Well("GET", path+"?after=0", "", nil, &got)
		if len(got.Records) != 1 {
			t.Fatal(len(got.Records), "records after genesis")
		}
		c.Well("GET", path+"?after=1", "", nil, &got)
		if len(got.Records) != 0 {
			t.Fatal(len(got.Records), "records after the last")
		}
		c.Refused(protocol.CodeNotFound, "GET", "/api/1/chains/"+other.UID.String(), "", nil)
		c.Refused(protocol.CodeNotFound, "GET", "/api/1/chains/xyz", "", nil)

		// UEK: the home issues the next one.
		last, err := ident.VerifyUEK(mei.UEK, mei.Chain)
		must(t, err)
		next, err := ident.NewUEKRecord(one, mei.Chain, &last, relaytest.NewBox(t), now)
		must(t, err)
		rival, err := ident.NewUEKRecord(mei.Phone, mei.Chain, &last, relaytest.NewBox(t), now)
		must(t, err)
		c.Well("POST", "/api/1/ueks", phone.Ready.Token, next, nil)
		c.Well("POST", "/api/1/ueks", phone.Ready.Token, next, nil)
		c.Refused(protocol.CodeUEKConflict, "POST", "/api/1/ueks", phone.Ready.Token, rival)
		c.Refused(protocol.CodeUEKConflict, "POST", "/api/1/ueks", phone.Ready.Token, mei.UEK) // rolled back
		c.Refused(protocol.CodeUnauthorized, "POST", "/api/1/ueks", "", rival)
		var newest protocol.Signed
		c.Well("GET", "/api/1/ueks/"+mei.UID.String(), "", nil, &newest)
		if !bytes.Equal(newest.Payload, next.Payload) {
			t.Fatal("another record")
		}
		c.Refused(protocol.CodeNotFound, "GET", "/api/1/ueks/"+other.UID.String(), "", nil)
		// A revoked device signs nothing more, not even with an old clock.
		c.Revoke(mei, one.ID())
		last, err = ident.VerifyUEK(next, beforeLast(t, mei.Chain))
		must(t, err)
		late, err := ident.NewUEKRecord(one, beforeLast(t, mei.Chain), &last, relaytest.NewBox(t), now)
		must(t, err)
		c.Refused(protocol.CodeBadChain, "POST", "/api/1/ueks", phone.Ready.Token, late)
	})
}

// beforeLast is a chain as it was before its last record.
func beforeLast(t *testing.T, chain *ident.Chain) *ident.Chain {
	records := chain.Records(0)
	old, err := ident.ParseChain(records[:len(records)-1])
	must(t, err)
	return old
}

// secondHome is a record that a chain with a home must not take, signed well.
func secondHome(t *testing.T, p *relaytest.Person, now int64) protocol.Signed {
	keys := relaytest.NewDevice(t)
	payload, err := protocol.Marshal(struct {
		V      int             `json:"v"`
		Suite  int             `json:"suite"`
		Op     string          `json:"op"`
		Seq    int             `json:"seq"`
		Prev   protocol.Hash32 `json:"prev"`
		TS     int64           `json:"ts"`
		Device ident.Device    `json:"device"`
	}{1, 1, ident.OpDeviceAdd, p.Chain.Seq() + 1, p.Chain.Head(), now, keys.Device(ident.RoleHome, 0)})
	must(t, err)
	return protocol.SignPayload(p.Phone, "sign/chain", payload)
}

func TestVault(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	token := p.meiPhone.Ready.Token
	second := p.mei.SealVault(t, p.mei.Phone, 2)
	p.Well("PUT", "/api/1/vault", token, second, nil)
	if e := p.meiPhone.Event("vault"); e["version"] != 2.0 {
		t.Fatal(e)
	}
	p.Well("PUT", "/api/1/vault", token, second, nil)
	a := p.Refused(protocol.CodeVaultConflict, "PUT", "/api/1/vault", token, p.mei.SealVault(t, p.mei.Phone, 2))
	if !bytes.Contains(a.Body, []byte(`"version":2`)) {
		t.Fatal(string(a.Body))
	}
	p.Refused(protocol.CodeVaultConflict, "PUT", "/api/1/vault", token, p.mei.SealVault(t, p.mei.Phone, 4))
	p.Refused(protocol.CodeNotAllowed, "PUT", "/api/1/vault", token, p.mei.SealVault(t, p.tom.Phone, 3))
	forged := p.mei.SealVault(t, p.mei.Phone, 3)
	forged.Blob[0] ^= 1
	p.Refused(protocol.CodeBadRequest, "PUT", "/api/1/vault", token, forged)
	// The largest there may be.
	third := p.mei.Vault
	third.Version, third.Blob = 3, bytes.Repeat([]byte{7}, 1<<20)
	third.Sig = p.mei.Phone.Sign("sign/vault", p.mei.UID[:], protocol.U64(3), third.Blob)
	p.Well("PUT", "/api/1/vault", token, third, nil)
	third.Blob = bytes.Repeat([]byte{7}, 1<<21)
	p.Refused(protocol.CodeTooLarge, "PUT", "/api/1/vault", token, third)
	var got struct {
		Version int64          `json:"version"`
		Blob    protocol.Bytes `json:"blob"`
	}
	p.Well("GET", "/api/1/vault", token, nil, &got)
	if got.Version != 3 || len(got.Blob) != 1<<20 {
		t.Fatal(got.Version, len(got.Blob))
	}
}

func TestAnInviteForSomebodyWhoIsHereAlready(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	eve := p.Guest(p.tomPhone, "eve")
	evePhone := p.Connect(eve, eve.Phone)
	invite := p.Invite(p.meiPhone)
	path := "/api/1/invites/" + invite.String() + "/spend"
	p.Refused(protocol.CodeNotAllowed, "POST", path, p.meiPhone.Ready.Token, struct{}{})
	p.Refused(protocol.CodeUnauthorized, "POST", path, "", struct{}{})
	p.Well("POST", path, evePhone.Ready.Token, struct{}{}, nil)
	p.Well("POST", path, evePhone.Ready.Token, struct{}{}, nil)
	p.Refused(protocol.CodeInviteUnknown, "POST", path, p.tomPhone.Ready.Token, struct{}{})
	if e := evePhone.Event("contact"); e["uid"] != p.mei.UID.String() {
		t.Fatal(e)
	}
	evePhone.Sends(p.Envelope(eve, p.mei, protocol.TypeChat, 10))
	p.meiPhone.Sends(p.Envelope(p.mei, eve, protocol.TypeChat, 10))
	// Taken back, it is gone.
	invite = p.Invite(p.meiPhone)
	p.Well("DELETE", "/api/1/invites/"+handshake.InviteHash(invite).String(), p.tomPhone.Ready.Token, nil, nil) // not his
	p.Well("GET", "/api/1/invites/"+invite.String(), "", nil, nil)
	p.Well("DELETE", "/api/1/invites/"+handshake.InviteHash(invite).String(), p.meiPhone.Ready.Token, nil, nil)
	p.Refused(protocol.CodeInviteUnknown, "GET", "/api/1/invites/"+invite.String(), "", nil)
}

func TestHandover(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	box := relaytest.NewID(t).String()
	sealed := []byte("sealed keys of a new device")
	p.Refused(protocol.CodeUnauthorized, "PUT", "/api/1/handover/"+box, "", sealed)
	p.Refused(protocol.CodeTooLarge, "PUT", "/api/1/handover/"+box, p.meiPhone.Ready.Token, make([]byte, 5000))
	p.Well("PUT", "/api/1/handover/"+box, p.meiPhone.Ready.Token, sealed, nil)
	a := p.Call("POST", "/api/1/handover/"+box+"/take", "", nil)
	if a.Status != 200 || !bytes.Equal(a.Body, sealed) {
		t.Fatal(a.Status, string(a.Body))
	}
	p.Refused(protocol.CodeHandoverUnknown, "POST", "/api/1/handover/"+box+"/take", "", nil)
	p.Well("PUT", "/api/1/handover/"+box, p.meiPhone.Ready.Token, sealed, nil)
	p.Clock.Move(24 * time.Hour)
	p.Refused(protocol.CodeHandoverUnknown, "POST", "/api/1/handover/"+box+"/take", "", nil)
}

func TestPairing(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	box := relaytest.NewID(t).String()
	put := func(part string, body []byte) relaytest.Answer {
		return c.Call("PUT", "/api/1/pair/"+box+"/"+part, "", body)
	}
	// The home waits before the app has come.
	came := make(chan relaytest.Answer, 1)
	go func() {
		a, err := c.Try("GET", "/api/1/pair/"+box+"/a1", "", nil)
		if err != nil {
			t.Error(err)
		}
		came <- a
	}()
	if a := put("a1", []byte("first")); a.Status != 200 {
		t.Fatal(a)
	}
	if a := <-came; a.Status != 200 || string(a.Body) != "first" {
		t.Fatal(a.Status, string(a.Body))
	}
	if a := put("a1", []byte("first")); a.Status != 200 {
		t.Fatal(a)
	}
	if a := put("a1", []byte("other")); a.Code != protocol.CodePairUsed {
		t.Fatal(a)
	}
	for part, most := range map[string]int{"a1": 1 << 10, "n1": 1 << 10, "a2": 8 << 10, "n2": 1 << 10} {
		if a := put(part, make([]byte, most+1)); a.Code != protocol.CodeTooLarge {
			t.Fatal(part, a)
		}
	}
	if a := put("a2", make([]byte, 8<<10)); a.Status != 200 {
		t.Fatal(a)
	}
	if a := put("n1", []byte{}); a.Code != protocol.CodeBadRequest {
		t.Fatal(a)
	}
	for _, part := range []string{"a3", "x", ""} {
		if a := put(part, []byte("x")); a.Status != 404 {
			t.Fatal(part, a)
		}
	}
	c.Clock.Move(10 * time.Minute)
	if a := put("a1", []byte("other")); a.Status != 200 {
		t.Fatal("the box is not gone after ten minutes:", a)
	}
	// One address holds a few boxes, others are not kept from theirs.
	for i := range 20 {
		a := c.Call("PUT", "/api/1/pair/"+relaytest.NewID(t).String()+"/a1", "", []byte("x"))
		if well := i < 15; (a.Status == 200) != well {
			t.Fatal(i, a.Status, a.Code)
		}
	}
	// A stop of the relay ends the waiting with an answer.
	go func() {
		a, err := c.Try("GET", "/api/1/pair/"+box+"/n2", "", nil)
		if err == nil && a.Code != protocol.CodePairEmpty {
			t.Error(a)
		}
		came <- a
	}()
	c.Stop()
	<-came
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
