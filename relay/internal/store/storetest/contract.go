package storetest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
	"github.com/courtyard-social/courtyard/relay/internal/chain"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// Contract is what every store promises; open gives a fresh one.
func Contract(t *testing.T, open func(testing.TB) Opened) {
	for name, test := range map[string]func(*testing.T, Opened){
		"join writes everything":             joinWritesEverything,
		"a refused join leaves nothing":      refusedJoinLeavesNothing,
		"a name is given once":               nameIsGivenOnce,
		"the claim is spent once":            claimIsSpentOnce,
		"an invite is spent once":            inviteIsSpentOnce,
		"an invite by its own and blocked":   inviteOwnAndBlocked,
		"invites and handovers are bounded":  boundedInvites,
		"records are compare and swap":       recordsCompareAndSwap,
		"devices follow the chain":           devicesFollowTheChain,
		"uek and vault are compare and swap": compareAndSwap,
		"names answer with equal work":       equalWork,
		"contacts":                           contacts,
		"a handover is taken once":           handoverOnce,
		"presence":                           presence,
		"rows":                               rows,
		"files":                              fileChunks,
		"outbound":                           outbound,
		"pins":                               pins,
		"a wall":                             wallAndPhotos,
		"a wall is compare and swap":         wallCompareAndSwap,
		"lists of courtyards":                lists,
		"keys of a courtyard":                keysOfAHost,
		"known courtyards":                   knownCourtyards,
		"refused by a person":                shunned,
		"what was relayed":                   traffic,
		"revoked devices":                    revokedDevices,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func joinWritesEverything(t *testing.T, o Opened) {
	p, j := Joining(t, "mei")
	joined, err := o.Store.Join(t.Context(), j)
	must(t, err)
	if joined.Again || joined.Inviter != nil {
		t.Fatal("first join:", joined)
	}
	joined, err = o.Store.Join(t.Context(), j)
	must(t, err)
	if !joined.Again {
		t.Fatal("the same join again was taken for news")
	}
	j.Username = "another"
	_, err = o.Store.Join(t.Context(), j)
	wantCode(t, err, protocol.CodeUsernameTaken)

	records, err := o.Store.Chain(t.Context(), p.UID, -1)
	must(t, err)
	if len(records) != 1 || !bytes.Equal(records[0].Payload, p.Genesis.Payload) || !records[0].Verify("sign/chain") {
		t.Fatal("chain is", records)
	}
	rec, counter, found, err := o.Store.UEK(t.Context(), p.UID)
	must(t, err)
	if !found || counter != 1 || !rec.Verify("sign/uek") {
		t.Fatal("uek is", rec, counter, found)
	}
	v, found, err := o.Store.Vault(t.Context(), p.UID)
	must(t, err)
	if !found || v.Check(p.Chain, Now) != nil {
		t.Fatal("vault is", v.Version, found)
	}
	g, found, err := o.Store.Greet(t.Context(), p.UID, p.Phone.ID())
	must(t, err)
	if !found || g.Sign != p.Phone.Public() || g.Role != ident.RoleAdmin || g.Username != "mei" || g.Owner || g.Chain != 0 || g.Vault != 1 || g.UEK != 1 || g.Home.There {
		t.Fatalf("greeting %+v", g)
	}
}

func refusedJoinLeavesNothing(t *testing.T, o Opened) {
	p, j := Joining(t, "mei")
	unknown := protocol.Hash("nothing")
	j.Invite = &unknown
	_, err := o.Store.Join(t.Context(), j)
	wantCode(t, err, protocol.CodeInviteUnknown)
	taken, err := o.Store.NameTaken(t.Context(), "mei")
	must(t, err)
	records, err := o.Store.Chain(t.Context(), p.UID, -1)
	must(t, err)
	if taken || len(records) != 0 {
		t.Fatal("a refused join left", taken, records)
	}
	for _, table := range []string{"people", "names", "devices", "spaces", "ueks", "vaults", "contacts"} {
		if n := o.Number(t, "SELECT COUNT(*) FROM "+table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

func nameIsGivenOnce(t *testing.T, o Opened) {
	const rivals = 8
	results := race(rivals, func(int) func() error {
		_, j := Joining(t, "mei")
		return func() error { _, err := o.Store.Join(t.Context(), j); return err }
	})
	oneWins(t, results, protocol.CodeUsernameTaken)
	// A person who is gone one day does not free the name.
	_, err := o.Raw.ExecContext(t.Context(), `DELETE FROM people`)
	must(t, err)
	_, j := Joining(t, "mei")
	_, err = o.Store.Join(t.Context(), j)
	wantCode(t, err, protocol.CodeUsernameTaken)
	taken, err := o.Store.NameTaken(t.Context(), "mei")
	must(t, err)
	if !taken {
		t.Fatal("the name is free again")
	}
}

func claimIsSpentOnce(t *testing.T, o Opened) {
	claimed, err := o.Store.Claimed(t.Context())
	must(t, err)
	if claimed {
		t.Fatal("claimed by nobody")
	}
	results := race(4, func(i int) func() error {
		_, j := Joining(t, fmt.Sprintf("owner%d", i))
		j.Claim = true
		return func() error { _, err := o.Store.Join(t.Context(), j); return err }
	})
	oneWins(t, results, protocol.CodeClaimUnknown)
	if claimed, err = o.Store.Claimed(t.Context()); err != nil || !claimed {
		t.Fatal("not claimed", err)
	}
}

func inviteIsSpentOnce(t *testing.T, o Opened) {
	mei, hash := o.Resident(t, "mei"), protocol.Hash("invite")
	must(t, o.Store.SaveInvite(t.Context(), mei.UID, hash, []byte("card"), 10, Now))
	must(t, o.Store.SaveInvite(t.Context(), mei.UID, hash, []byte("card"), 10, Now))
	for range 2 { // looking does not spend
		i, found, err := o.Store.Invite(t.Context(), hash)
		must(t, err)
		if !found || i.UID != mei.UID || i.Username != "mei" || string(i.Card) != "card" {
			t.Fatal("invite is", i, found)
		}
	}
	guests := make([]accounts.Joining, 6)
	results := race(len(guests), func(i int) func() error {
		_, guests[i] = Joining(t, fmt.Sprintf("guest%d", i))
		guests[i].Invite = &hash
		return func() error { _, err := o.Store.Join(t.Context(), guests[i]); return err }
	})
	winner := guests[oneWins(t, results, protocol.CodeInviteUnknown)]
	for _, pair := range [][2]protocol.UID{{mei.UID, winner.UID}, {winner.UID, mei.UID}} {
		if ok, err := o.Store.Accepts(t.Context(), pair[0], pair[1]); err != nil || !ok {
			t.Fatal("no contact", err)
		}
	}
	if _, found, err := o.Store.Invite(t.Context(), hash); err != nil || found {
		t.Fatal("a spent invite shows", err)
	}
	spent, err := o.Store.Spend(t.Context(), hash, winner.UID, Now)
	must(t, err)
	if !spent.Again || spent.Inviter != mei.UID {
		t.Fatal("spending again:", spent)
	}
}

func inviteOwnAndBlocked(t *testing.T, o Opened) {
	mei, tom := o.Resident(t, "mei"), o.Resident(t, "tom")
	hash := protocol.Hash("invite")
	must(t, o.Store.SaveInvite(t.Context(), mei.UID, hash, []byte("card"), 10, Now))
	_, err := o.Store.Spend(t.Context(), hash, mei.UID, Now)
	wantCode(t, err, protocol.CodeNotAllowed)
	must(t, o.Store.SetContact(t.Context(), mei.UID, tom.UID, accounts.Block, 10))
	_, err = o.Store.Spend(t.Context(), hash, tom.UID, Now)
	wantCode(t, err, protocol.CodeInviteUnknown)
	must(t, o.Store.DropInvite(t.Context(), tom.UID, hash)) // not his: nothing happens
	if _, found, err := o.Store.Invite(t.Context(), hash); err != nil || !found {
		t.Fatal("somebody else dropped it", err)
	}
	must(t, o.Store.DropInvite(t.Context(), mei.UID, hash))
	if _, found, err := o.Store.Invite(t.Context(), hash); err != nil || found {
		t.Fatal("still there", err)
	}
}

func boundedInvites(t *testing.T, o Opened) {
	mei, tom := o.Resident(t, "mei"), o.Resident(t, "tom")
	for i := range 3 {
		must(t, o.Store.SaveInvite(t.Context(), mei.UID, protocol.Hash("invite", protocol.U8(i)), []byte("card"), 3, Now))
		must(t, o.Store.SaveHandover(t.Context(), mei.UID, protocol.ID{byte(i)}, []byte("keys"), 3, Now, Now+10))
	}
	err := o.Store.SaveInvite(t.Context(), mei.UID, protocol.Hash("invite", protocol.U8(3)), []byte("card"), 3, Now)
	wantCode(t, err, protocol.CodeNotAllowed)
	err = o.Store.SaveInvite(t.Context(), tom.UID, protocol.Hash("invite", protocol.U8(0)), []byte("card"), 3, Now)
	wantCode(t, err, protocol.CodeNotAllowed)
	err = o.Store.SaveHandover(t.Context(), mei.UID, protocol.ID{9}, []byte("keys"), 3, Now, Now+10)
	wantCode(t, err, protocol.CodeNotAllowed)
	if n := o.Number(t, `SELECT COUNT(*) FROM invites`) + o.Number(t, `SELECT COUNT(*) FROM handovers`); n != 6 {
		t.Fatal(n, "rows after refusals")
	}
}

func recordsCompareAndSwap(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	results := race(6, func(int) func() error {
		device := relaytest.NewDevice(t).Device(ident.RoleAdmin, 0)
		rec, err := mei.Chain.NewDeviceAdd(mei.Phone, device, Now)
		must(t, err)
		return func() error {
			_, err := o.Store.Extend(t.Context(), chain.Addition{UID: mei.UID, Seq: 1, Record: rec, Added: &device, At: Now})
			return err
		}
	})
	oneWins(t, results, protocol.CodeChainConflict)
	if n := o.Number(t, `SELECT COUNT(*) FROM devices`); n != 2 {
		t.Fatal(n, "devices")
	}
	records, err := o.Store.Chain(t.Context(), mei.UID, 0)
	must(t, err)
	if len(records) != 1 {
		t.Fatal(len(records), "records after the first")
	}
}

func devicesFollowTheChain(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	home := o.Enrol(t, mei, ident.RoleHome)
	g, _, err := o.Store.Greet(t.Context(), mei.UID, mei.Phone.ID())
	must(t, err)
	if !g.Home.There || g.Home.Device != home.ID() || g.Home.Online || g.Home.Since != Now || g.Chain != 1 {
		t.Fatalf("with a home: %+v", g)
	}
	if !o.Revoke(t, mei, home.ID()) {
		t.Fatal("the home did not go")
	}
	g, found, err := o.Store.Greet(t.Context(), mei.UID, home.ID())
	must(t, err)
	if !found || !g.Revoked || g.Home.There {
		t.Fatalf("after revoking: %+v", g)
	}
	tablet := o.Enrol(t, mei, ident.RoleAdmin)
	if o.Revoke(t, mei, tablet.ID()) {
		t.Fatal("a tablet is no home")
	}
	if _, found, err := o.Store.Greet(t.Context(), protocol.UID{1}, mei.Phone.ID()); err != nil || found {
		t.Fatal("another person has mei's device", err)
	}
	// A card makes somebody found for recovery.
	if _, found, err := o.Store.CardHolder(t.Context(), "mei"); err != nil || found {
		t.Fatal("has a card", err)
	}
	ik, err := protocol.NewSignSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	must(t, err)
	rec, err := mei.Chain.NewCard(mei.Phone, ik, relaytest.NewBox(t), Now)
	must(t, err)
	_, err = o.Store.Extend(t.Context(), chain.Addition{UID: mei.UID, Seq: mei.Chain.Seq() + 1, Record: rec, Card: true, At: Now})
	must(t, err)
	if uid, found, err := o.Store.CardHolder(t.Context(), "mei"); err != nil || !found || uid != mei.UID {
		t.Fatal("has no card", err)
	}
}

func compareAndSwap(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	results := race(6, func(int) func() error {
		v := mei.SealVault(t, mei.Phone, 2)
		return func() error { return o.Store.SaveVault(t.Context(), mei.UID, v) }
	})
	oneWins(t, results, protocol.CodeVaultConflict)
	wantCode(t, o.Store.SaveVault(t.Context(), mei.UID, mei.SealVault(t, mei.Phone, 2)), protocol.CodeVaultConflict)
	wantCode(t, o.Store.SaveVault(t.Context(), mei.UID, mei.SealVault(t, mei.Phone, 4)), protocol.CodeVaultConflict)

	first, err := ident.VerifyUEK(mei.UEK, mei.Chain)
	must(t, err)
	results = race(6, func(int) func() error {
		rec, err := ident.NewUEKRecord(mei.Phone, mei.Chain, &first, relaytest.NewBox(t), Now)
		must(t, err)
		return func() error { return o.Store.SaveUEK(t.Context(), mei.UID, 2, rec) }
	})
	oneWins(t, results, protocol.CodeUEKConflict)
	if _, counter, _, err := o.Store.UEK(t.Context(), mei.UID); err != nil || counter != 2 {
		t.Fatal("counter", counter, err)
	}
}

// race runs what prepare returned, all at once.
func race(n int, prepare func(i int) func() error) []error {
	runs, errs := make([]func() error, n), make([]error, n)
	for i := range n {
		runs[i] = prepare(i)
	}
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = runs[i]()
		})
	}
	close(start)
	all.Wait()
	return errs
}

// oneWins checks that one succeeded and the others were refused with code.
func oneWins(t *testing.T, errs []error, code string) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatal("two won")
		case protocol.CodeOf(err) != code:
			t.Fatal(err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}
