package protocol_test

import (
	"testing"

	"github.com/courtyard-social/courtyard/scripts/mutation"
)

// TestLinkMutations takes out the checks of the link between relays, as
// TestMutations does with the others: the vectors alone must miss each of them.
func TestLinkMutations(t *testing.T) {
	var all []mutation.Mutation
	in := func(file, test string, list ...[3]string) {
		for _, m := range list {
			all = append(all, mutation.Mutation{What: m[0], File: "link/" + file, Edits: []mutation.Edit{{m[1], m[2]}}, Pkg: "link", Test: test,
				Quick: m[0] == "link: the counter that is due" || m[0] == "hop: no hop in a hop"})
		}
	}
	in("handshake.go", "TestPeerVectors",
		[3]string{"link: the answer is signed", `if !protocol.Verify(a.Key, a.Sig, signLabel, []byte("r"), t[:]) {`, "if false {"},
		[3]string{"link: a version that was offered", "if !slices.Contains(d.hello.Versions, a.Version) {", "if false {"},
		[3]string{"link: the proof is signed", `if p.Op != "proof" || !protocol.Verify(g.Hello.Key, p.Sig, signLabel, []byte("i"), g.t[:]) {`, `if p.Op != "proof" {`},
		[3]string{"link: meant for this relay", "if !own(hello.To) || hello.Key == key.Public() {", "if hello.Key == key.Public() {"},
		[3]string{"link: not with itself", "if !own(hello.To) || hello.Key == key.Public() {", "if !own(hello.To) {"},
		[3]string{"link: versions are a byte", "if v < 1 || v > 255 {", "if false && v < 1 {"},
		[3]string{"link: number of versions", `if h.Op != "hello" || len(h.Versions) == 0 || len(h.Versions) > maxVersions {`, `if h.Op != "hello" {`},
		[3]string{"link: one form of a host", "if own, err := protocol.ParseHost(host); err != nil || own != host {", "if _, err := protocol.ParseHost(host); err != nil {"},
		[3]string{"link: the card in T", "about = card.Payload", "_ = card.Payload"},
		[3]string{"link: the versions in T", "versions = append(versions, byte(v))", "_ = v"},
		[3]string{"link: a card of its own", "if _, err := ReadCard(*a.Card, a.Key); err != nil {", "if _, err := ReadCard(*a.Card, a.Key); false && err != nil {"},
		[3]string{"link: length of a hello", "if len(frame) > MaxHello {", "if false {"},
	)
	in("session.go", "TestPeerVectors",
		[3]string{"link: the counter that is due", "if binary.BigEndian.Uint64(frame) != s.seen {", "if false {"},
		[3]string{"link: length of a frame", "if len(frame) < 8+secretbox.Overhead || len(frame) > MaxFrame {", "if len(frame) < 8+secretbox.Overhead {"},
		[3]string{"link: the counter in the nonce", "binary.BigEndian.PutUint64(n[16:], counter)", "_ = counter"},
		[3]string{"link: an error ends it", "s.ended = true", "s.ended = false"},
	)
	in("hop.go", "TestPeerVectors",
		[3]string{"card: whose", "if s.By != key || !s.Verify(cardLabel) {", "if !s.Verify(cardLabel) {"},
		[3]string{"card: signature", "if s.By != key || !s.Verify(cardLabel) {", "if s.By != key {"},
		[3]string{"card: version", "if c.V != 1 || protocol.LowOrder(c.Box) {", "if protocol.LowOrder(c.Box) {"},
		[3]string{"card: low-order key", "if c.V != 1 || protocol.LowOrder(c.Box) {", "if c.V != 1 {"},
	)
	in("hop.go", "TestHopVectors|TestARecordThatIsTooLong",
		[3]string{"hop: suite", "if len(sealed) < hopHead || len(sealed) > MaxHop || sealed[0] != hopSuite {", "if len(sealed) < hopHead || len(sealed) > MaxHop {"},
		[3]string{"hop: length", "if len(sealed) < hopHead || len(sealed) > MaxHop || sealed[0] != hopSuite {", "if len(sealed) < hopHead || sealed[0] != hopSuite {"},
		[3]string{"hop: signature", "if !s.Verify(hopLabel) {", "if false {"},
		[3]string{"hop: to this relay", "if h.To != key.Public() || h.Eph != eph || !validHost(h.Host) {", "if h.Eph != eph || !validHost(h.Host) {"},
		[3]string{"hop: in this record", "if h.To != key.Public() || h.Eph != eph || !validHost(h.Host) {", "if h.To != key.Public() || !validHost(h.Host) {"},
		[3]string{"hop: one form of a host", "if h.To != key.Public() || h.Eph != eph || !validHost(h.Host) {", "if h.To != key.Public() || h.Eph != eph {"},
		[3]string{"hop: not too old", "if h.TS < now-HopLife || h.TS > now+HopLife {", "if h.TS > now+HopLife {"},
		[3]string{"hop: not ahead", "if h.TS < now-HopLife || h.TS > now+HopLife {", "if h.TS < now-HopLife {"},
		[3]string{"hop: number of frames", "if len(raws) < 1 || len(raws) > hopFrames {", "if false {"},
		[3]string{"hop: no hop in a hop", "default: // a hop in a hop would go on for ever", "case OpHop, OpStep:\ndefault:"},
		[3]string{"hop: padded length", "if !ok || hopSize(len(padded)) != len(padded) {", "if !ok || len(padded) < 4 {"},
		[3]string{"hop: length in the padding", "if int64(n) > int64(len(padded)-4) {", "if false {"},
		[3]string{"hop: zero padding", "if b != 0 {", "if false && b != 0 {"},
		[3]string{"hop: too large", "if len(head)+size+secretbox.Overhead > MaxHop {", "if false {"},
		[3]string{"hop: eph in the key", `a, b := protocol.KDF(shared[:], "hop/there", to[:], eph[:]), protocol.KDF(shared[:], "hop/back", to[:], eph[:])`,
			`a, b := protocol.KDF(shared[:], "hop/there", to[:]), protocol.KDF(shared[:], "hop/back", to[:])`},
	)
	in("hop.go", "TestTwoAnswersToOneRecordAreSealedApart",
		[3]string{"hop: a nonce for each answer", "if _, err := io.ReadFull(random, nonce[:]); err != nil {", "if false {"},
	)
	mutation.Run(t, all)
}
