package homedb_test

import (
	"testing"

	"github.com/courtyard-social/courtyard/scripts/mutation"
)

// TestMutations takes out the checks of this folder; scripts/mutation tells how.
// All of them:
//
//	COURTYARD_MUTATIONS=all go test ./homedb -run Mutations -timeout 60m -v
func TestMutations(t *testing.T) {
	list := make([]mutation.Mutation, len(mutations))
	for i, c := range mutations {
		list[i] = mutation.Mutation{What: c.what, File: "internal/" + c.file, Edits: []mutation.Edit{{c.line, c.without}},
			Pkg: c.pkg, Test: c.test, Quick: c.quick}
	}
	mutation.Run(t, list)
}

type check struct {
	what    string
	file    string // below internal/
	line    string // without indentation
	without string
	pkg     string // whose test must fail, below homedb/
	test    string
	quick   bool
}

var mutations = []check{
	{"a commit before the confirmation", "intake/intake.go", "if !i.persist(ctx, batch) {",
		"confirm(batch[len(batch)-1].n); if !i.persist(ctx, batch) {", "cmd/courtyard-home", "TestNothingIsSaidBeforeItIsSynced", false},
	{"a commit that is synced", "store/sqlite/sqlite.go", `"_synchronous":  {"FULL"},`, `"_synchronous":  {"OFF"},`, "cmd/courtyard-home", "TestNothingIsSaidBeforeItIsSynced", false},
	{"deleted keys are wiped", "keys/ring.go", "err = sqlite.Wipe(ctx, r.db)", "_ = sqlite.Wipe", "internal/keys", "TestKeysSurviveAndEnd", true},
	{"keys live their 48 hours", "keys/ring.go", "if next > 0 && now-next >= Grace.Milliseconds() {", "if next > 0 {", "internal/keys", "TestWhenAKeysTimeIsOver", false},
	{"the secret is kept before its record is published", "keys/issue.go", "if err := i.Ring.Add(ctx, k); err != nil {", "if err := i.Ring.Add(ctx); err != nil {", "internal/keys", "TestTheAnswerGetsLost", false},
	{"one event for each author and mid", "chatlog/append.go", "if rows == 0 {", "if false && rows == 0 {", "internal/chatlog", "TestOneEventForEachAuthorAndMid", false},
	{"a tick names the letter that was sent", "chatlog/append.go", "WHERE mid = $2 AND author = $3 AND peer = $4 AND home = 0 AND (hash = $5 OR EXISTS (",
		"WHERE mid = $2 AND author = $3 AND peer = $4 AND home = 0 AND (hash <> $5 OR hash = $5 OR EXISTS (", "internal/chatlog", "TestHomeTicks", false},
	{"a tick is a home's", "intake/intake.go", "if opened.Device.Role != ident.RoleHome {", "if false {", "internal/household", "TestATickThatIsNotAHomesDoesNotCount", false},
	{"rubbish is kept, and does not stand in the way", "intake/intake.go", "if err := it.held.keep(ctx, tx); err != nil {", "if err := error(nil); err != nil {", "internal/household", "TestALetterWhoseSenderCannotBeAskedForIsKept", false},
	{"a fork", "friends/book.go", "if len(records) == 0 || string(records[0].Payload) != string(head.Payload) {", "if _ = head; len(records) == 0 {", "internal/friends", "TestForksAndRollbacksAreNoticed", true},
	{"a shorter chain", "friends/book.go", "if len(records) == 0 || string(records[0].Payload) != string(head.Payload) {", "if len(records) == 0 { return e.chain, nil }; if string(records[0].Payload) != string(head.Payload) {", "internal/friends", "TestForksAndRollbacksAreNoticed", false},
	{"an old pin is no decision", "friends/book.go", "if pin, ok := b.trusted(uid); ok && uid != b.self && e.chain.CheckPin(pin) != nil && other.CheckPin(pin) == nil {",
		"if pin, ok := b.trusted(uid); ok && uid != b.self && other.CheckPin(pin) == nil {", "internal/friends", "TestForksAndRollbacksAreNoticed", false},
	{"the app's pin at first contact", "friends/book.go", "if err := chain.CheckPin(pin); err != nil {", "if err := chain.CheckPin(pin); false && err != nil {", "internal/friends", "TestFirstContactHoldsTheAppsPin", false},
	{"an older daily key", "friends/book.go", "if err := e.pin.Check(rec); err != nil {", "if err := e.pin.Check(rec); false && err != nil {", "internal/friends", "TestAnOlderDailyKeyIsRefused", false},
	{"the letter's place in the chain", "friends/sender.go", "case at != claim.Head:", "case false && at != claim.Head:", "internal/friends", "TestWhoMayHaveWrittenALetter", false},
	{"an older vault", "safe/safe.go", "if version < seen {", "if false {", "internal/safe", "TestAnOlderVaultIsRefused", true},
	{"the relay's key", "link/link.go", "if challenge.Key != l.c.RelayKey {", "if false {", "internal/link", "TestOnlyTheRelayOfTheChain", false},
	{"the relay's proof", "link/link.go", "if !handshake.ReadyVerify(l.c.RelayKey, ready.Proof, nonce, l.c.UID) {", "if false {", "internal/link", "TestOnlyTheRelayOfTheChain", false},
	{"the relay's window", "link/line.go", `return errors.New("the relay sends more than may be unconfirmed")`, "continue", "internal/link", "TestARelayThatSendsTooMuch", false},
	{"pairing: the chain is the person's", "pair/pair.go", "if chain.UID() != uid {", "if false {", "internal/pair", "TestAnotherPersonsChainListsTheSameDevices", false},
	{"pairing: the chain lists this home", "pair/pair.go", "if !ok || home.Role != ident.RoleHome {", "if _ = home; false {", "internal/pair", "TestAHostileRelayLiesAboutTheChain", false},
	{"pairing: the relay key of the chain", "pair/pair.go", "if chain.Relay().Key != relayKey {", "if false {", "internal/pair", "TestTheChainNamesAnotherRelay", false},
	{"a link is for active devices", "devices/devices.go", "return chain.Active(id, now)", "return chain.Device(id)", "internal/devices", "TestOnlyOwnDevices", false},
	{"a revoked device's link", "devices/devices.go", "if _, ever := chain.Device(id); ever {", "if d, ever := chain.Device(id); ever { return d, true }; if false {", "internal/devices", "TestOnlyOwnDevices", false},
	{"a link envelope that is over", "devices/devices.go", "if e.Exp == 0 || e.Exp < d.now() {", "if false {", "internal/devices", "TestOnlyOwnDevices", true},
	{"keys are for admin devices", "devices/answer.go", `case "keys", "code", "allow":`, "case `keys`:\ncase `code`, `allow`:", "internal/household", "TestASessionDeviceGetsNoKeys", false},
	{"consent is the first person's", "household/pairing.go", "if i < 0 || uid != h.ownerLocked() {", "if i < 0 {", "internal/household", "TestAHouseholdOfTwo", false},
	{"the page asks for consent", "household/pairing.go", "if h.owner().IsZero() {", "if true {", "internal/household", "TestAHouseholdOfTwo", false},
	{"an invite's proof", "outbox/errand.go", "!vault.CheckInviteProof(joined.Proof, invite.Secret, invite.ID, own.UID(), e.peer) {", "own == nil {", "internal/household", "TestSomebodyJoinsWhileNoBrowserIsOpen", false},
	{"a file is what the letter names", "files/files.go", "return letter.OpenFile(io.Discard, in, file)", "_ = letter.OpenFile; _ = io.Discard; return nil", "internal/household", "TestAFileThatIsNotWhatTheLetterNames", false},
	{"the page's host", "lan/lan.go", "if !p.called(r.Host) {", "if false {", "internal/lan", "TestOnlyByItsOwnNames", true},
	{"the form's origin", "lan/lan.go", `if origin != "http://"+host && origin != "https://"+host {`, "if _, _ = origin, host; false {", "internal/lan", "TestFormsOfOtherSites", false},
	{"the form's token", "lan/lan.go", `if err != nil || !hmac.Equal([]byte(p.token(c.Value)), []byte(r.PostForm.Get("token"))) {`, "if _ = c; err != nil {", "internal/lan", "TestFormsOfOtherSites", false},
	{"accept and reseal before stale", "outbox/errand.go", "ORDER BY later, turn, CASE WHEN peer > $2 THEN 0 ELSE 1 END, peer, kind LIMIT CAST($3 AS BIGINT)`,",
		"ORDER BY turn, CASE WHEN peer > $2 THEN 0 ELSE 1 END, peer, kind LIMIT CAST($3 AS BIGINT)`,", "internal/outbox", "TestAFloodWaitsForEverythingElse", false},
	{"the stale notices owed to one peer", "outbox/owe.go", "if n >= mostStale {", "if false {", "internal/outbox", "TestAFloodWaitsForEverythingElse", false},
	{"what is held, in bytes", "intake/held.go", "WHERE bytes > CAST($2 AS BIGINT))`, reason, mostBytes); err != nil {",
		"WHERE bytes > 9 * CAST($2 AS BIGINT))`, reason, mostBytes); err != nil {", "internal/intake", "TestWhatIsHeldIsBoundedInBytes", false},
	{"a lost log", "household/household.go", "if err := sqlite.Exists(path); err != nil {", "if err := error(nil); err != nil {", "internal/household", "TestALostLogIsNotReplacedByAnEmptyOne", false},
	{"a lost schema", "household/household.go", "if err := postgres.Exists(ctx, h.c.Database, uid); err != nil {", "if err := error(nil); err != nil {", "internal/household", "TestALostLogIsNotReplacedByAnEmptyOne", false},
	{"the first stays the first", "household/pairing.go", "if _, ok := h.refused[uid]; ok {", "if false {", "internal/household", "TestDamagedFilesOfOnePerson", false},
	{"who says that a letter came back", "intake/returned.go", "if e.From.ID != protocol.UID(own.Relay().Key) || e.To.ID != i.Self || len(e.Data) > maxReturned ||",
		"if _ = own; e.To.ID != i.Self || len(e.Data) > maxReturned ||", "internal/intake", "TestOnlyTheOwnRelaySaysWhatCameBack", true},
	{"receipts that come back are no event", "intake/returned.go", "case outbox.Receipt, outbox.Stale: // they do not want to hear it", "case outbox.Stale:",
		"internal/intake", "TestWhatCameBackIsSaidOnce", false},
	{"the right date is kept", "outbox/errand.go", "if early, err := o.early(ctx, e); early || err != nil {", "if early, err := o.early(ctx, e); false && early || err != nil {", "internal/household", "TestWhatHasTheRightDateKeepsIt", false},
	{"a date is not kept for ever", "outbox/errand.go", "if now >= e.made+Patience.Milliseconds() {", "if false {", "internal/household", "TestWhatHasTheRightDateKeepsIt", false},
	{"what the relay did not take is not under way", "chatlog/append.go", "if _, err := tx.Exec(ctx, `DELETE FROM versions WHERE mid = $1 AND envelope = $2`, mid[:], envelope[:]); err != nil {", "if err := error(nil); err != nil {",
		"internal/chatlog", "TestWhatCameBackStandsBesideItsMessage", false},
	{"what is dated ahead is written again", "intake/returned.go", "if back.Code == protocol.CodeClockAhead {", "if false {", "internal/intake", "TestWhatWasDatedAheadIsWrittenAgain", false},
	{"a receipt that came back while it was sent", "outbox/owe.go", "ON CONFLICT (peer, mid, hash) DO UPDATE SET due = receipts.due - 1`, peer[:], i.MID[:], i.Hash[:]); err != nil {",
		"ON CONFLICT DO NOTHING`, peer[:], i.MID[:], i.Hash[:]); err != nil {", "internal/outbox", "TestWhatComesBackBeforeItIsAnsweredForStaysOwed", false},
	{"what a device has sent anew", "outbox/errand.go", "if err != nil || !back {", "if _ = back; err != nil {", "internal/household", "TestWhatADeviceHasSealedAnewIsLeftToIt", false},
	{"a clock that is years behind is not followed", "person/date.go", "if lead := time.Duration(relay-own) * time.Millisecond; lead <= maxSkew || lead > maxDoubt {",
		"if lead := time.Duration(relay-own) * time.Millisecond; lead <= maxSkew {", "internal/person", "TestWhoseClockIsFollowed", false},
	{"a receipt that nobody could open is asked for", "intake/intake.go", "it.owes = append(it.owes, owed{outbox.Stale, e.From.ID, e.ID})",
		"if e.Type != protocol.TypeReceipt { it.owes = append(it.owes, owed{outbox.Stale, e.From.ID, e.ID}) }", "internal/household", "TestAHouseTickThatWaitedTooLong", false},
	{"a receipt that is asked for is written once more", "intake/intake.go", `if err == nil && posted.Kind != "" {`, "if false {", "internal/household", "TestAHouseTickThatWaitedTooLong", false},
	{"who asks again has a key of today", "outbox/writer.go", "if d.shown {", "if false {", "internal/household", "TestWhoAsksAgainAsksWithAKeyOfToday", false},
	{"a message that is under way again", "chatlog/append.go", "if err := l.underWay(ctx, tx, mid, v.Envelope); err != nil {", "if err := error(nil); err != nil {",
		"internal/chatlog", "TestWhatCameBackStandsBesideItsMessage", false},
	{"one of its letters is still under way", "chatlog/returned.go", "if err != nil || others > 0 {", "if _ = others; err != nil {", "internal/chatlog", "TestWhatCameBackStandsBesideItsMessage", false},
	{"delivered twice is not sent again", "chatlog/returned.go", "if err != nil || back {", "if _ = back; err != nil {", "internal/chatlog", "TestWhatCameBackStandsBesideItsMessage", false},
	{"the pinned key's signer", "friends/book.go", "return e.pin, err == nil && rec.Pin() == e.pin", "_, _ = rec, err; return e.pin, true",
		"internal/friends", "TestThePinnedKeyWhileACourtyardIsAway", false},
	{"no pinned key in place of an answer", "friends/book.go", "if !away(err) {", "if false {", "internal/friends", "TestThePinnedKeyWhileACourtyardIsAway", false},
	{"no pinned key for a fork", "friends/book.go", "if e.chain == nil || e.fork != 0 || e.record == nil {", "if e.chain == nil || e.record == nil {",
		"internal/friends", "TestAForkIsNotSealedToWhileTheirCourtyardIsAway", false},
	{"no pinned key for the own courtyard's people", "friends/book.go", `if e, known := b.known(ctx, uid); known == nil && e.chain != nil && b.hostOf(ctx, uid, e) != "" {`,
		"if e, known := b.known(ctx, uid); known == nil && e.chain != nil {", "internal/friends", "TestNobodyHereIsSealedToUnasked", false},
	{"a silent courtyard is left alone", "friends/neighbours.go", "if since, ok := n.silent[host]; ok && n.clock.Now().Sub(since) < patience {",
		"if since, ok := n.silent[host]; false && ok && n.clock.Now().Sub(since) < patience {", "internal/friends", "TestThePinnedKeyWhileACourtyardIsAway", false},
	{"the chain says where somebody lives", "friends/place.go", "if err != nil || e.chain != nil || uid == b.self {", "if _ = e; err != nil || uid == b.self {",
		"internal/friends", "TestWhereSomebodyIsAskedFor", false},
	{"hints are bounded", "friends/place.go", "_, err := tx.Exec(ctx, `DELETE FROM hints WHERE seen < (SELECT seen FROM hints ORDER BY seen DESC LIMIT 1 OFFSET $1)`, mostHints-1)",
		"var err error; _ = mostHints", "internal/friends", "TestHintsAreBounded", false},
	{"a username of elsewhere", "outbox/errand.go", "if protocol.CodeOf(err) == protocol.CodeNotFound || err == nil && whose != uid {",
		"if _ = whose; protocol.CodeOf(err) == protocol.CodeNotFound {", "internal/household", "TestSomebodyElsewhereJoinsWhileNoBrowserIsOpen", false},
	{"a receipt finds the way to another courtyard", "outbox/writer.go", "To:   protocol.Address{IP: relay.Host, Port: relay.Port, ID: d.peer}}",
		"To:   protocol.Address{IP: chain.Relay().Host, Port: chain.Relay().Port, ID: d.peer}}; _ = relay", "internal/household", "TestFriendsInAnotherCourtyard", false},
	{"what waited for a courtyard hurries", "intake/held.go", "if it.event == nil || done[it.event.Author] {", "if true {", "internal/intake", "TestWhatWaitsForACourtyardHurries", false},
	{"a newer schema", "store/store.go", "if current > target {", "if false && current > target {", "internal/store", "TestANewerSchemaIsRefused", false},
	{"a candidate is where the relay sees the device", "direct/filter.go", "case r.seen(c.Addr), r.neighbour(c.Addr):", "default:", "internal/direct", "TestWhichCandidatesAreUsed", true},
	{"nothing is sent elsewhere", "direct/filter.go", "case r.seen(c.Addr), r.neighbour(c.Addr):", "default:", "internal/devices", "TestNothingIsSentElsewhere", false},
	{"what the relay sees is public", "direct/filter.go", "return r.Seen.IsValid() && addr == r.Seen && protocol.PublicUnicast(addr)", "return r.Seen.IsValid() && addr == r.Seen",
		"internal/direct", "TestWhichCandidatesAreUsed", false},
	{"whom a relay names", "direct/servers.go", "return (at.Port() >= lowestPort || at.Port() == https) && (at.Addr() == relay || protocol.PublicUnicast(at.Addr()))", "return at.IsValid()",
		"internal/direct", "TestTheCourtyardsServers", false},
	{"ports of other services", "direct/servers.go", "return (at.Port() >= lowestPort || at.Port() == https) && (at.Addr() == relay || protocol.PublicUnicast(at.Addr()))", "return at.Addr() == relay || protocol.PublicUnicast(at.Addr())",
		"internal/direct", "TestTheCourtyardsServers", false},
	{"low ports", "direct/filter.go", "case c.Port < lowestPort:", "case false:", "internal/direct", "TestWhichCandidatesAreUsed", false},
	{"broadcast", "direct/filter.go", "if p.Contains(addr) && !(addr.Is4() && p.Bits() < 31 && (addr == p.Masked().Addr() || addr == last4(p))) {", "if _ = last4; p.Contains(addr) {",
		"internal/direct", "TestWhichCandidatesAreUsed", false},
	{"a check from elsewhere", "direct/network.go", "if ok && rules.Allows(addr.Unmap()) {", "if _ = addr; ok {", "internal/devices", "TestACheckFromElsewhere", false},
	{"the certificate is the offer's", "direct/network.go", "e.DetachDataChannels()", "e.DetachDataChannels(); e.DisableCertificateFingerprintVerification(true)",
		"internal/devices", "TestAnotherCertificate", false},
	{"a slow reader holds the writer up", "direct/network.go", "e.EnableDataChannelBlockWrite(true) // what the device does not take stays in the log and in the files",
		"e.EnableDataChannelBlockWrite(false)", "internal/devices", "TestASlowReader", false},
	{"connections of a home", "direct/network.go", "n := &Network{s: s, slots: make(chan struct{}, maxAll)}", "n := &Network{s: s, slots: make(chan struct{}, 9*maxAll)}",
		"internal/devices", "TestOffersAreBounded", false},
	{"probes in a minute", "direct/probe.go", "if !p.probes.take(p.c.Clock.Now()) {", "if false {", "internal/devices", "TestTheFilterTest", false},
	{"a revoked device on the channel", "direct/channel.go", "case !c.path.paths.c.Active(ctx, c.path.key.device):", "case false:", "internal/devices", "TestARevokedDeviceIsNotHeard", false},
	{"somebody else's connection", "direct/paths.go", "if n := p.paths[key{device, id}]; n != nil {",
		"for k, n := range p.paths { if k.id == id { return n, nil } }; if n := p.paths[key{device, id}]; n != nil {", "internal/devices", "TestSomebodyElsesConnection", false},
	{"one channel, of this protocol", "direct/path.go", "if asked.Swap(true) || d.Label() != Label || d.Protocol() != Protocol || !d.Ordered() || d.MaxRetransmits() != nil || d.MaxPacketLifeTime() != nil {",
		"if asked.Swap(true) && false {", "internal/devices", "TestOnlyTheChannelOfThisProtocol", false},
	{"the chain ends connections", "person/upkeep.go", "p.paths.Check(ctx) // a device may have been removed", "_ = p.paths", "internal/household", "TestARevokedDeviceLosesItsConnection", false},
	{"the router alone is spoken to", "router/igd.go", `if err != nil || host != g.gateway || at.Scheme != "http" {`, `if err != nil || !host.IsValid() || at.Scheme != "http" {`,
		"internal/router", "TestARouterThatDoesNotHelp", false},
	{"a mapping is taken back", "router/router.go", "k.remove(context.WithoutCancel(ctx))", "_ = k.remove", "internal/router", "TestARouterLetsDevicesIn", false},
	{"an answer to another question", "router/pcp.go", "if ok && (a.version != pcpVersion || a.nonce == m.nonce && a.protocol == protocolNumber(m.Protocol) && a.internal == port) {",
		"if ok {", "internal/router", "TestARouterThatDoesNotHelp", false},
}
