package protocol_test

import (
	"testing"

	"github.com/courtyard-social/courtyard/scripts/mutation"
)

// TestMutations takes out the checks of this folder; scripts/mutation tells how.
// All of them:
//
//	COURTYARD_MUTATIONS=all go test ./protocol -run Mutations -timeout 30m -v
func TestMutations(t *testing.T) { mutation.Run(t, mutations()) }

// mutations are the checks of this folder, each with the test that misses it.
func mutations() []mutation.Mutation {
	var all []mutation.Mutation
	in := func(file, pkg, test string, list ...mutation.Mutation) {
		for _, m := range list {
			m.File, m.Pkg = file, pkg
			if m.Test == "" {
				m.Test = test
			}
			all = append(all, m)
		}
	}
	one := func(what, line, without string) mutation.Mutation {
		return mutation.Mutation{What: what, Edits: []mutation.Edit{{line, without}}}
	}
	quick := func(m mutation.Mutation) mutation.Mutation { m.Quick = true; return m }
	by := func(test string, m mutation.Mutation) mutation.Mutation { m.Test = test; return m }

	in("letter/open.go", "letter", "TestHostileLetters",
		quick(one("letter: commitment", "if commit := commitment(p.h, mk[:]); !protocol.Equal(commit[:], data[33:65]) {", "if commit := commitment(p.h, mk[:]); false && !protocol.Equal(commit[:], data[33:65]) {")),
		by("TestTwoTextsForTwoSlots", one("letter: commitment, two texts", "if commit := commitment(p.h, mk[:]); !protocol.Equal(commit[:], data[33:65]) {", "if commit := commitment(p.h, mk[:]); false && !protocol.Equal(commit[:], data[33:65]) {")),
		quick(one("letter: MAC of the sender", "return protocol.Equal(mac[:], proof[slot*32:(slot+1)*32])", "return len(mac) == 32")),
		by("TestBobCannotPassItOn", one("letter: MAC, passed on", "return protocol.Equal(mac[:], proof[slot*32:(slot+1)*32])", "return len(mac) == 32")),
		one("letter: signature of the sender", `return protocol.Verify(device.Sign, protocol.Signature(proof), "sign/letter", p.h[:], p.prefix[:], what[:])`, "return len(what) == 32"),
		by("TestSealedTo", one("letter: kid", "if bytes.Equal(s[:kidSize], kid) { // a kid is public", "if bytes.Equal(kid, kid) {")),
		one("letter: suite", "if len(data) < headSize || len(data) > MaxSize || data[0] != suite {", "if len(data) < headSize || len(data) > MaxSize {"),
		one("letter: at most 200 slots", "if n < 1 || n > MaxSlots || len(data) < end+secretbox.Overhead+minPad {", "if n < 1 || len(data) < end+secretbox.Overhead+minPad {"),
		one("letter: no signature between two people", "if between(envelopeType) {", "if false && between(envelopeType) {"),
		by("TestRevokedDevice", one("letter: device still active", "if !author || device.ID() != claim.Dev {", "if _ = author; device.ID() != claim.Dev {")),
		by("TestSenderAnswersAnotherDevice", one("letter: the device that was asked for", "if !author || device.ID() != claim.Dev {", "if !author {")),
		by("TestSenderErrorComesThrough", one("letter: the reader's own trouble is told apart", "return nil, err", "return nil, errOpen()")),
	)
	in("letter/letter.go", "letter", "TestHostileLetters",
		quick(one("letter: zero padding", "if b != 0 {", "if false && b != 0 {")),
		one("letter: padded size", "if size != len(padded) {", "if false {"),
		one("letter: length inside the padding", "if int64(n) > int64(len(padded)-4) {", "if false {"),
		by("TestPaddingAndLimits", one("letter: chats are never signed", "if between(e.Type) {", "if false && between(e.Type) {")),
		by("TestPaddingAndLimits", one("letter: number of readers", "if len(ueks) < 1 || len(ueks) > MaxSlots {", "if false {")),
		by("TestEveryBoundHeaderField|TestBobCannotPassItOn", mutation.Mutation{What: "letter: H in proof, wraps and body", Edits: []mutation.Edit{
			{`n := protocol.Nonce24(protocol.Hash("letter/wrap", h[:], protocol.U8(i)))`, `n := protocol.Nonce24(protocol.Hash("letter/wrap", protocol.U8(i)))`},
			{`n := protocol.Nonce24(protocol.Hash("letter/body", p.h[:], p.prefix[:]))`, `n := protocol.Nonce24(protocol.Hash("letter/body", p.prefix[:]))`},
			{`key := protocol.KDF(dh[:], "letter/auth-key", p.h[:], protocol.U8(i))`, `key := protocol.KDF(dh[:], "letter/auth-key", protocol.U8(i))`},
			{`return protocol.MAC(key[:], "letter/auth", p.h[:], p.prefix[:], what[:])`, `return protocol.MAC(key[:], "letter/auth", p.prefix[:], what[:])`},
			{`return protocol.Hash("letter/commit", h[:], mk)`, `return protocol.Hash("letter/commit", mk)`},
			{`kid := protocol.Hash("letter/kid", shared, h[:])`, `kid := protocol.Hash("letter/kid", shared)`},
		}}),
	)
	in("letter/file.go", "letter", "TestHostileFiles",
		one("file: last flag", "n[23] = 1", "n[23] = 0"),
		one("file: chunk number in the nonce", "binary.BigEndian.PutUint32(n[16:], uint32(i))", "_, _ = binary.BigEndian, i"),
		one("file: hash", "if n != 0 || protocol.Hash32(sum.Sum(nil)) != f.Hash {", "if n != 0 {"),
		one("file: nothing after the last chunk", "if n != 0 || protocol.Hash32(sum.Sum(nil)) != f.Hash {", "if _ = n; protocol.Hash32(sum.Sum(nil)) != f.Hash {"),
		one("file: at most 20 MiB", "if size > message.MaxFile {", "if false && size > message.MaxFile {"),
	)
	in("secret.go", ".", "TestLowOrderKeysAreRefused",
		quick(one("X25519: low-order keys", "return [32]byte{}, errLowOrder", "return [32]byte{}, nil")),
	)
	in("secret.go", "letter", "TestHostileLetters",
		one("letter: low-order ephemeral key", "return [32]byte{}, errLowOrder", "return [32]byte{}, nil"),
		by("TestLowOrderDevice", one("letter: low-order device", "return [32]byte{}, errLowOrder", "return [32]byte{}, nil")),
	)
	in("secret.go", "vault", "TestForgedVaults",
		one("vault: low-order key", "return [32]byte{}, errLowOrder", "return [32]byte{}, nil"),
	)
	in("bytes.go", ".", "TestPrimitiveVectors|TestDecodeClosed",
		one("base64url: line breaks", `if bytes.ContainsAny(text, "\r\n") {`, `if false && bytes.ContainsAny(text, "\r\n") {`),
		one("base64url: trailing bits", "var base64url = base64.RawURLEncoding.Strict()", "var base64url = base64.RawURLEncoding"),
	)
	in("base32.go", ".", "TestBase32Vectors",
		one("base32: length and left-over bits", "if len(out) != size || n != (size*8+4)/5 || acc != 0 {", "if len(out) != size || n != (size*8+4)/5 {"),
	)
	in("decode.go", ".", "TestDecodeClosed",
		quick(one("JSON: anything after the value", "if d.pos != len(d.in) {", "if false {")),
		one("JSON: key twice", "if seen[i] {", "if false && seen[i] {"),
		one("JSON: unknown key", "if !d.open {", "if false && !d.open {"),
		one("JSON: missing key", "if !seen[i] && !f.optional {", "if false && !seen[i] {"),
		one("JSON: key twice in a map", "if v.MapIndex(k).IsValid() {", "if false && v.MapIndex(k).IsValid() {"),
		one("JSON: integers", `if err != nil || n > maxInteger || n < -maxInteger || text == "-0" {`, `if err != nil || text == "-0" {`),
		one("JSON: minus zero", `if err != nil || n > maxInteger || n < -maxInteger || text == "-0" {`, `if err != nil || n > maxInteger || n < -maxInteger {`),
		by("TestDecodeOpen", one("JSON: unknown key twice", "if others[key] {", "if false && others[key] {")),
		by("TestDepthBombIsFlat", one("JSON: size", "if len(raw) > MaxJSON {", "if false && len(raw) > MaxJSON {")),
	)
	in("scan.go", ".", "TestDecodeClosed",
		quick(by("TestDepthBombIsFlat|TestDecodeClosed", one("JSON: depth", "if s.depth > s.max {", "if false && s.depth > s.max {"))),
		one("JSON: key twice inside an unread value", "if seen[key] {", "if false && seen[key] {"),
		one("JSON: UTF-8", "if !utf8.Valid(plain) {", "if false && !utf8.Valid(plain) {"),
		one("JSON: UTF-8 beside escapes", "if !utf8.Valid(out) {", "if false && !utf8.Valid(out) {"),
		one("JSON: half a surrogate pair", "if r = utf16.DecodeRune(r, low); r == utf8.RuneError {", "if r = utf16.DecodeRune(r, low); false {"),
		one("JSON: lone surrogate", "if err != nil || !utf16.IsSurrogate(r) {", "if err != nil || true {"),
		one("JSON: leading zero", "if s.digits() > 0 {", "if s.digits() > 0 && false {"),
	)
	in("envelope.go", ".", "TestEnvelopeRefusals",
		one("envelope: size", "if len(raw) > MaxEnvelope {", "if false && len(raw) > MaxEnvelope {"),
		one("envelope: version", "case e.V != 1:", "case false:"),
		one("envelope: time", "case e.TS < 0 || e.Exp < 0:", "case false:"),
		one("envelope: type", "case !validType(e.Type):", "case false:"),
		quick(by("TestHBindsEveryField", one("envelope: recipient in H", `return Hash("envelope", U8(e.V), e.ID[:], U64(e.TS), U64(e.Exp), e.From.ID[:], e.To.ID[:], []byte(e.Type))`, `return Hash("envelope", U8(e.V), e.ID[:], U64(e.TS), U64(e.Exp), e.From.ID[:], []byte(e.Type))`))),
	)
	in("address.go", ".", "TestEnvelopeRefusals|TestNameVectors",
		one("address: host", "case !ValidHost(a.IP):", "case false:"),
		one("address: port", "case a.Port < 1 || a.Port > 65535:", "case false:"),
		one("address: username", `case a.Username != "" && !ValidUsername(a.Username):`, "case false:"),
		one("host: a number that is no address", "return last[0] < '0' || last[0] > '9'", "return len(last) > 0"),
		one("host: zone", `return addr.Zone() == ""`, "return addr.IsValid()"),
		one("username: reserved", "if reserved[username] {", "if false && reserved[username] {"),
	)
	return append(append(all, identMutations()...), roomMutations()...)
}

func identMutations() []mutation.Mutation {
	var all []mutation.Mutation
	in := func(file, test string, list ...[3]string) {
		for _, m := range list {
			all = append(all, mutation.Mutation{What: m[0], File: "ident/" + file, Edits: []mutation.Edit{{m[1], m[2]}}, Pkg: "ident", Test: test,
				Quick: m[0] == "chain: prev" || m[0] == "chain: the card outranks devices"})
		}
	}
	in("chain.go", "TestBadChains",
		[3]string{"chain: seq", "if p.Seq != len(c.records) {", "if false {"},
		[3]string{"chain: genesis only first", "if (p.Op == OpGenesis) != (p.Seq == 0) {", "if false {"},
		[3]string{"chain: prev", "if p.Seq > 0 && *p.Prev != c.Head() {", "if false {"},
		[3]string{"chain: who may sign", "if !c.maySign(rec.By, p) {", "if false && !c.maySign(rec.By, p) {"},
		[3]string{"chain: signature", "if !rec.Verify(labelChain) {", "if false && !rec.Verify(labelChain) {"},
		[3]string{"chain: genesis signed by its device", "return by == p.Device.Sign", "return true"},
		[3]string{"chain: the card outranks devices", "return false // the card outranks devices", "_ = by"},
		[3]string{"chain: signer active", "return d.active(p.TS) && d.Role != RoleSession", "return d.Role != RoleSession"},
		[3]string{"chain: sessions sign nothing", "return d.active(p.TS) && d.Role != RoleSession", "return d.active(p.TS)"},
		[3]string{"chain: expiry", "func (d deviceState) active(now int64) bool { return !d.revoked && (d.Exp == 0 || now < d.Exp) }", "func (d deviceState) active(now int64) bool { return !d.revoked }"},
		[3]string{"chain: one home", "if d.Role == RoleHome && d.active(p.TS) {", "if false && d.active(p.TS) {"},
		[3]string{"chain: a device's key twice", "if c.keys[p.Device.Sign] {", "if false && c.keys[p.Device.Sign] {"},
		[3]string{"chain: a card's key twice", "if c.keys[*p.IK] {", "if false && c.keys[*p.IK] {"},
		[3]string{"chain: revoked twice", "if i < 0 || c.devices[i].revoked {", "if i < 0 {"},
		[3]string{"chain: revokes what is not there", "if i < 0 || c.devices[i].revoked {", "if i < 0 { return \"\" }; if c.devices[i].revoked {"},
		[3]string{"chain: card proof", `if !protocol.Verify(*p.IK, *p.Proof, "card-proof", c.uid[:], protocol.U64(p.Seq), p.IK[:], p.Box[:]) {`, "if false {"},
	)
	in("chain.go", "TestChainIsBounded", [3]string{"chain: 1,000 records", "if len(c.records) >= maxRecords {", "if false {"})
	in("chain.go", "TestAuthor",
		[3]string{"author: revoked before", "return d.Device, (d.Exp == 0 || ts < d.Exp) && (!d.revoked || ts < d.revokedAt)", "return d.Device, d.Exp == 0 || ts < d.Exp"},
		[3]string{"author: expired before", "return d.Device, (d.Exp == 0 || ts < d.Exp) && (!d.revoked || ts < d.revokedAt)", "return d.Device, !d.revoked || ts < d.revokedAt"},
	)
	in("chain.go", "TestPins",
		[3]string{"pin: fork", "if at, ok := c.HashAt(p.Seq); !ok || at != p.Head {", "if _, ok := c.HashAt(p.Seq); !ok {"},
		[3]string{"pin: truncated", "if at, ok := c.HashAt(p.Seq); !ok || at != p.Head {", "if at, ok := c.HashAt(p.Seq); ok && at != p.Head {"},
	)
	in("record.go", "TestBadChains",
		[3]string{"record: size", "if len(raw) > maxPayload {", "if false {"},
		[3]string{"record: version and suite", "case p.V != 1 || p.Suite != 1:", "case false:"},
		[3]string{"record: role of genesis", "case genesis && p.Device.Role != RoleAdmin:", "case false:"},
		[3]string{"record: low-order card", "case card && protocol.LowOrder(*p.Box):", "case false:"},
		[3]string{"record: negative floor", "case revoke && *p.UEKFloor < 0:", "case false:"},
		[3]string{"record: fields of the op", "case revoke != (p.ID != nil), revoke != (p.UEKFloor != nil):", "case revoke && (p.ID == nil || p.UEKFloor == nil):"},
		[3]string{"record: relay host", "if !protocol.ValidHost(r.Host) {", "if false {"},
	)
	in("device.go", "TestBadChains",
		[3]string{"device: role", "case d.Role != RoleAdmin && d.Role != RoleHome && d.Role != RoleSession:", "case false:"},
		[3]string{"device: low-order key", "case protocol.LowOrder(d.Box):", "case false:"},
		[3]string{"device: negative expiry", "case d.Exp < 0:", "case false:"},
	)
	in("uek.go", "TestBadUEKs",
		[3]string{"uek: version, counter, time", "case p.V != 1 || p.Counter < 1 || p.TS < 0:", "case false:"},
		[3]string{"uek: prev in place", "case (p.Counter == 1) != (p.Prev == nil):", "case false:"},
		[3]string{"uek: low-order key", "case protocol.LowOrder(p.Key):", "case false:"},
		[3]string{"uek: whose", "case p.UID != chain.UID():", "case false:"},
		[3]string{"uek: chain head", "case !chain.Contains(p.Head):", "case false:"},
		[3]string{"uek: floor", "case p.Counter < chain.UEKFloor():", "case false:"},
		[3]string{"uek: signer", "if !ok || device.Role == RoleSession {", "if _ = device; !ok {"},
		[3]string{"uek: signer active", "if !ok || device.Role == RoleSession {", "if _ = ok; device.Role == RoleSession {"},
		[3]string{"uek: signature", "if !rec.Verify(labelUEK) {", "if false {"},
	)
	in("uek.go", "TestUEKRollback",
		[3]string{"uek pin: lower counter", "if r.Counter < p.Counter || r.Counter == p.Counter && r.Key != p.Key {", "if r.Counter == p.Counter && r.Key != p.Key {"},
		[3]string{"uek pin: another key", "if r.Counter < p.Counter || r.Counter == p.Counter && r.Key != p.Key {", "if r.Counter < p.Counter {"},
		[3]string{"uek: follows by counter", "if r.Counter != last.Counter+1 || *r.Prev != last.Hash {", "if r.Prev != nil && *r.Prev != last.Hash {"},
		[3]string{"uek: follows by hash", "if r.Counter != last.Counter+1 || *r.Prev != last.Hash {", "if r.Counter != last.Counter+1 {"},
	)
	return all
}

// roomMutations are those of handshake and vault.
func roomMutations() []mutation.Mutation {
	var all []mutation.Mutation
	in := func(file, pkg, test string, list ...[3]string) {
		for _, m := range list {
			all = append(all, mutation.Mutation{What: m[0], File: file, Edits: []mutation.Edit{{m[1], m[2]}}, Pkg: pkg, Test: test,
				Quick: m[0] == "link: host in the transcript" || m[0] == "pairing: n1's proof"})
		}
	}
	const linkT = `return protocol.Hash("link", p.UID[:], p.Device[:], p.Home[:], p.RelayKey[:], []byte(p.Host), session[:], ephI[:], ephR[:])`
	in("handshake/link.go", "handshake", "TestLinkEndsDisagree",
		[3]string{"link: uid in the transcript", linkT, `return protocol.Hash("link", p.Device[:], p.Home[:], p.RelayKey[:], []byte(p.Host), session[:], ephI[:], ephR[:])`},
		[3]string{"link: device in the transcript", linkT, `return protocol.Hash("link", p.UID[:], p.Home[:], p.RelayKey[:], []byte(p.Host), session[:], ephI[:], ephR[:])`},
		[3]string{"link: home in the transcript", linkT, `return protocol.Hash("link", p.UID[:], p.Device[:], p.RelayKey[:], []byte(p.Host), session[:], ephI[:], ephR[:])`},
		[3]string{"link: relay key in the transcript", linkT, `return protocol.Hash("link", p.UID[:], p.Device[:], p.Home[:], []byte(p.Host), session[:], ephI[:], ephR[:])`},
		[3]string{"link: host in the transcript", linkT, `return protocol.Hash("link", p.UID[:], p.Device[:], p.Home[:], p.RelayKey[:], session[:], ephI[:], ephR[:])`},
	)
	in("handshake/link.go", "handshake", "TestRelayChangesAnyByteOfTheLink|TestRelaySplicesLinks",
		[3]string{"link: the home's signature", `if !protocol.Verify(i.home, protocol.Signature(payload[32:]), "sign/link", []byte("r"), t[:]) {`, "if false {"},
		[3]string{"link: the device's signature", `if !protocol.Verify(r.device, protocol.Signature(payload), "sign/link", []byte("i"), r.t[:]) {`, "if _ = payload; false {"},
		[3]string{"link: ephemeral keys in the transcript", linkT, `return protocol.Hash("link", p.UID[:], p.Device[:], p.Home[:], p.RelayKey[:], []byte(p.Host), session[:])`},
		[3]string{"link: the finish of this session", "if kind != LinkFinish || session != r.session.id {", "if _ = session; kind != LinkFinish {"},
	)
	all = append(all, mutation.Mutation{What: "link: roles are signed", File: "handshake/link.go", Pkg: "handshake", Test: "TestLinkRolesAreSigned", Edits: []mutation.Edit{
		{`if !protocol.Verify(r.device, protocol.Signature(payload), "sign/link", []byte("i"), r.t[:]) {`, `if !protocol.Verify(r.device, protocol.Signature(payload), "sign/link", []byte("r"), r.t[:]) {`},
		{`sig := i.keys.Sign("sign/link", []byte("i"), t[:])`, `sig := i.keys.Sign("sign/link", []byte("r"), t[:])`},
	}})
	in("handshake/link.go", "handshake", "TestHostileFrames",
		[3]string{"link: tag", `return nil, refuse(op, "wrong tag")`, "_ = op"},
		[3]string{"link: an error ends the session", "s.ended = true", "s.ended = false"},
	)
	all = append(all, mutation.Mutation{What: "link: counter", File: "handshake/link.go", Pkg: "handshake", Test: "TestHostileFrames", Edits: []mutation.Edit{
		{"if binary.BigEndian.Uint64(payload) != s.seen {", "s.seen = binary.BigEndian.Uint64(payload); if false {"},
	}})
	in("handshake/pairing.go", "handshake", "TestRelayChangesAnyByteOfAPairing|TestRelaySplicesPairings|TestPairingEndsDisagree",
		[3]string{"pairing: n1's proof", `if mac := a.mac("pair/newcomer"); !protocol.Equal(mac[:], n1[96:]) {`, "if false {"},
		[3]string{"pairing: a2's proof", `if mac := n.mac("pair/approver"); !protocol.Equal(mac[:], a2[:32]) {`, "if false {"},
		[3]string{"pairing: n2's proof", `if mac := a.mac("pair/done"); !a.newcomer || a.closed || !protocol.Equal(mac[:], n2) {`, "if !a.newcomer || a.closed {"},
		[3]string{"pairing: the bundle's tag", `return Bundle{}, refuse(op, "bundle")`, `raw, _ = protocol.Marshal(Bundle{n.uid, "", ""})`},
		[3]string{"pairing: the code in the key", `key := protocol.KDF(append(shared[:], p.code.Expose()...), "pair/key", p.transcript[:])`, `key := protocol.KDF(shared[:], "pair/key", p.transcript[:])`},
		[3]string{"pairing: host and relay key in the transcript", "p.relayKey[:], []byte(p.host), p.ephA[:], p.ephN[:])", "p.ephA[:], p.ephN[:])"},
		[3]string{"pairing: host in the transcript", "p.relayKey[:], []byte(p.host), p.ephA[:], p.ephN[:])", "p.relayKey[:], p.ephA[:], p.ephN[:])"},
		[3]string{"pairing: device keys in the transcript", `p.transcript = protocol.Hash("pair", []byte("home"), p.uid[:], p.appSign[:], p.appBox[:], p.homeSign[:], p.homeBox[:],`, `p.transcript = protocol.Hash("pair", []byte("home"), p.uid[:],`},
		[3]string{"pairing: uid in the transcript", `p.transcript = protocol.Hash("pair", []byte("home"), p.uid[:], p.appSign[:], p.appBox[:], p.homeSign[:], p.homeBox[:],`, `p.transcript = protocol.Hash("pair", []byte("home"), p.appSign[:], p.appBox[:], p.homeSign[:], p.homeBox[:],`},
	)
	in("handshake/pairing.go", "handshake", "TestBundleOfAnotherPerson", [3]string{"pairing: whose bundle", "if b.UID != n.uid {", "if false {"})
	all = append(all,
		mutation.Mutation{What: "socket: host in auth", File: "handshake/socket.go", Pkg: "handshake", Test: "TestAuthIsBound", Edits: []mutation.Edit{
			{`return device.Sign("sign/auth", relayNonce[:], relayKey[:], []byte(host), uid[:], id[:])`, `return device.Sign("sign/auth", relayNonce[:], relayKey[:], uid[:], id[:])`},
			{`return protocol.Verify(sign, sig, "sign/auth", relayNonce[:], relayKey[:], []byte(host), uid[:], id[:])`, `return protocol.Verify(sign, sig, "sign/auth", relayNonce[:], relayKey[:], uid[:], id[:])`},
		}},
		mutation.Mutation{What: "socket: nonce in auth", File: "handshake/socket.go", Pkg: "handshake", Test: "TestAuthIsBound", Edits: []mutation.Edit{
			{`return device.Sign("sign/auth", relayNonce[:], relayKey[:], []byte(host), uid[:], id[:])`, `return device.Sign("sign/auth", relayKey[:], []byte(host), uid[:], id[:])`},
			{`return protocol.Verify(sign, sig, "sign/auth", relayNonce[:], relayKey[:], []byte(host), uid[:], id[:])`, `return protocol.Verify(sign, sig, "sign/auth", relayKey[:], []byte(host), uid[:], id[:])`},
		}},
		mutation.Mutation{What: "socket: nonce in ready", File: "handshake/socket.go", Pkg: "handshake", Test: "TestAuthIsBound", Edits: []mutation.Edit{
			{`return relay.Sign("sign/ready", clientNonce[:], uid[:])`, `return relay.Sign("sign/ready", uid[:])`},
			{`return protocol.Verify(relayKey, sig, "sign/ready", clientNonce[:], uid[:])`, `return protocol.Verify(relayKey, sig, "sign/ready", uid[:])`},
		}},
	)
	in("vault/blob.go", "vault", "TestHostileVaults",
		[3]string{"vault: signature", `if !ok || !protocol.Verify(s.By, s.Sig, "sign/vault", uid[:], protocol.U64(s.Version), s.Blob) {`, "if _ = uid; !ok {"},
		[3]string{"vault: signer", `if !ok || !protocol.Verify(s.By, s.Sig, "sign/vault", uid[:], protocol.U64(s.Version), s.Blob) {`, `if _ = ok; !protocol.Verify(s.By, s.Sig, "sign/vault", uid[:], protocol.U64(s.Version), s.Blob) {`},
	)
	in("vault/blob.go", "vault", "TestForgedVaults",
		[3]string{"vault: suite", "if len(blob) < headSize || len(blob) > MaxBlob || blob[0] != suite {", "if len(blob) < headSize || len(blob) > MaxBlob {"},
		[3]string{"vault: zero padding", "if b != 0 {", "if false && b != 0 {"},
		[3]string{"vault: padded size", "if size != len(padded) {", "if false {"},
		[3]string{"vault: length inside the padding", "if int64(n) > int64(len(padded)-4) {", "if false {"},
	)
	in("vault/card.go", "vault", "TestCardVectors", [3]string{"card: check", "if b[cardSize] != cardCheck(b[:cardSize]) {", "if false {"})
	in("vault/invite.go", "vault", "TestHostileInvites",
		[3]string{"invite: proof", "return protocol.Equal(want[:], proof[:])", "return len(want) == len(proof)"},
		[3]string{"invite: both uids in the proof", `return protocol.MAC(secret.Expose(), "invite/proof", id[:], inviter[:], joiner[:])`, `return protocol.MAC(secret.Expose(), "invite/proof", id[:], inviter[:])`},
	)
	return all
}
