package message_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/message"
)

type m = map[string]any

// sample is a body, good or bad, as it may come in a letter.
type sample struct {
	typ, kind, why, raw string
}

var (
	mid  = vectortest.FixedID("mid").String()
	uid  = vectortest.B(fixed("alice uid"))
	key  = vectortest.B(fixed("file key"))
	file = fmt.Sprintf(`{"id":"%s","key":"%s","size":70000,"hash":"%s","type":"image/jpeg"}`, mid, key, uid)
	// A candidate as a letter has it.
	candidate = `{"candidate":"x","sdpMid":"0"}`
	signed    = fmt.Sprintf(`{"payload":"e30","by":"%s","sig":"%s"}`, uid, vectortest.B(vectortest.FixedBytes("sig", 64)))
)

func fixed(name string) []byte { v := vectortest.Fixed(name); return v[:] }

func goodBodies() []sample {
	long := strings.Repeat("x", 20_000)
	return []sample{
		{"chat", "text", "short", `{"text":"你好 👋"}`},
		{"chat", "text", "20,000 characters", `{"text":"` + long + `"}`},
		{"chat", "text", "40,000 bytes", `{"text":"` + strings.Repeat("👋", 10_000) + `"}`},
		{"chat", "text", "reply and file", fmt.Sprintf(`{"text":"beginning","reply":{"mid":"%s","author":"%s"},"file":%s}`, mid, uid, file)},
		{"chat", "text", "keys of a later version", `{"text":"a","mood":{"x":[1.5,null]}}`},
		{"chat", "photo", "plain", fmt.Sprintf(`{"file":%s,"width":1600,"height":1200,"thumb":"AQID"}`, file)},
		{"chat", "photo", "caption and reply", fmt.Sprintf(`{"file":%s,"width":1,"height":20000,"thumb":"","text":"cat","reply":{"mid":"%s","author":"%s"}}`, file, mid, uid)},
		{"chat", "edit", "text", fmt.Sprintf(`{"target":"%s","text":"better"}`, mid)},
		{"chat", "edit", "caption taken away", fmt.Sprintf(`{"target":"%s","text":""}`, mid)},
		{"chat", "edit", "long text", fmt.Sprintf(`{"target":"%s","text":"beginning","file":%s}`, mid, file)},
		{"chat", "delete", "plain", fmt.Sprintf(`{"target":"%s"}`, mid)},
		{"chat", "react", "heart", fmt.Sprintf(`{"target":"%s","author":"%s","emoji":"❤️"}`, mid, uid)},
		{"chat", "react", "taken back", fmt.Sprintf(`{"target":"%s","author":"%s","emoji":""}`, mid, uid)},
		{"chat", "read", "plain", fmt.Sprintf(`{"upto":1790000000000,"mid":"%s"}`, mid)},
		{"chat", "profile", "without picture", `{"name":"Wei 陈","about":"","version":0}`},
		{"chat", "profile", "with picture", `{"name":"W","about":"line\nline","picture":"_9j_4A","version":3}`},
		{"friend", "request", "with words", `{"name":"Wei","words":"we met in Graz","username":"wei"}`},
		{"friend", "request", "without", `{"name":"Wei","username":"wei"}`},
		{"friend", "joined", "plain", fmt.Sprintf(`{"name":"Mei","username":"mei","invite":"%s","proof":"%s"}`, mid, uid)},
		{"friend", "accept", "named", `{"name":"Wei","username":"wei"}`},
		{"friend", "decline", "empty", `{}`},
		{"friend", "remove", "empty", `{}`},
		{"receipt", "home", "one", fmt.Sprintf(`{"items":[{"mid":"%s","hash":"%s"}]}`, mid, uid)},
		{"receipt", "stale", "plain", fmt.Sprintf(`{"id":"%s","uek":%s}`, mid, signed)},
		{"live", "typing", "empty", `{}`},
		{"live", "here", "empty", `{}`},
		{"live", "peer", "an offer", fmt.Sprintf(`{"id":"%s","to":"%s","sdp":{"type":"offer","sdp":"v=0\r\n"}}`, mid, uid)},
		{"live", "peer", "candidates, and no more", fmt.Sprintf(`{"id":"%s","to":"%s","candidates":[{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0"},{"candidate":"","sdpMid":""}]}`, mid, uid)},
		{"live", "peer", "the end", fmt.Sprintf(`{"id":"%s","to":"%s","end":true}`, mid, uid)},
		{"live", "call", "ring", fmt.Sprintf(`{"call":"%s","op":"ring","media":"video"}`, mid)},
		{"live", "call", "answer", fmt.Sprintf(`{"call":"%s","op":"answer","to":"%s","sdp":{"type":"offer","sdp":"v=0\r\n"}}`, mid, uid)},
		{"live", "call", "taken", fmt.Sprintf(`{"call":"%s","op":"taken","by":"%s"}`, mid, uid)},
		{"live", "call", "decline", fmt.Sprintf(`{"call":"%s","op":"decline"}`, mid)},
		{"live", "call", "busy", fmt.Sprintf(`{"call":"%s","op":"busy"}`, mid)},
		{"live", "call", "end", fmt.Sprintf(`{"call":"%s","op":"end"}`, mid)},
		{"live", "call", "signal", fmt.Sprintf(`{"call":"%s","op":"signal","to":"%s","candidates":[{"candidate":"","sdpMid":"0"}]}`, mid, uid)},
		{"chat", "call", "spoken", fmt.Sprintf(`{"call":"%s","media":"audio","result":"answered","seconds":86400}`, mid)},
		{"chat", "call", "missed", fmt.Sprintf(`{"call":"%s","media":"video","result":"missed","seconds":0}`, mid)},
	}
}

func badBodies() []sample {
	item := fmt.Sprintf(`{"mid":"%s","hash":"%s"}`, mid, uid)
	photo := func(old, new string) string {
		return strings.Replace(fmt.Sprintf(`{"file":%s,"width":1600,"height":1200,"thumb":"AQID"}`, file), old, new, 1)
	}
	return []sample{
		{"chat", "text", "empty", `{"text":""}`},
		{"chat", "text", "missing", `{}`},
		{"chat", "text", "null", `{"text":null}`},
		{"chat", "text", "number", `{"text":1}`},
		{"chat", "text", "key twice", `{"text":"a","text":"b"}`},
		{"chat", "text", "another case", `{"Text":"a"}`},
		{"chat", "text", "lone surrogate", `{"text":"\ud800"}`},
		{"chat", "text", "20,001 characters", `{"text":"` + strings.Repeat("x", 20_001) + `"}`},
		{"chat", "text", "over 40,000 bytes", `{"text":"` + strings.Repeat("👋", 10_001) + `"}`},
		{"chat", "text", "too deep", `{"text":"a","x":[[[[1]]]]}`},
		{"chat", "text", "reply without author", fmt.Sprintf(`{"text":"a","reply":{"mid":"%s"}}`, mid)},
		{"chat", "text", "file null", `{"text":"a","file":null}`},
		{"chat", "text", "trailing", `{"text":"a"}{}`},
		{"chat", "text", "array", `["a"]`},
		{"chat", "text", "nothing", ``},
		{"chat", "photo", "without file", `{"width":1,"height":1,"thumb":""}`},
		{"chat", "photo", "width 0", photo(`"width":1600`, `"width":0`)},
		{"chat", "photo", "width negative", photo(`"width":1600`, `"width":-1`)},
		{"chat", "photo", "height too large", photo(`"height":1200`, `"height":20001`)},
		{"chat", "photo", "width fraction", photo(`"width":1600`, `"width":1.5`)},
		{"chat", "photo", "thumb too long", photo(`"AQID"`, `"`+strings.Repeat("AAAA", 22)+`"`)},
		{"chat", "photo", "file over 20 MiB", photo(`"size":70000`, `"size":20971521`)},
		{"chat", "photo", "negative size", photo(`"size":70000`, `"size":-1`)},
		{"chat", "photo", "short key", photo(key, key[:40])},
		{"chat", "photo", "media type with a line break", photo(`image/jpeg`, `image/jpeg\n`)},
		{"chat", "photo", "media type without slash", photo(`image/jpeg`, `jpeg`)},
		{"chat", "photo", "media type like a path", photo(`image/jpeg`, `../x`)},
		{"chat", "edit", "without target", `{"text":"a"}`},
		{"chat", "delete", "target too short", `{"target":"AAAA"}`},
		{"chat", "react", "emoji too long", fmt.Sprintf(`{"target":"%s","author":"%s","emoji":"%s"}`, mid, uid, strings.Repeat("x", 65))},
		{"chat", "read", "negative", fmt.Sprintf(`{"upto":-1,"mid":"%s"}`, mid)},
		{"chat", "profile", "no name", `{"name":"","about":"","version":1}`},
		{"chat", "profile", "name of 65", `{"name":"` + strings.Repeat("熊", 65) + `","about":"","version":1}`},
		{"chat", "profile", "about of 1,001", `{"name":"W","about":"` + strings.Repeat("熊", 1001) + `","version":1}`},
		{"chat", "profile", "picture over 24 KiB", `{"name":"W","about":"","picture":"` + strings.Repeat("AAAA", 8<<10+1) + `","version":1}`},
		{"chat", "profile", "negative version", `{"name":"W","about":"","version":-1}`},
		{"friend", "request", "bad username", `{"name":"W","username":"W"}`},
		{"friend", "request", "words of 101", `{"name":"W","words":"` + strings.Repeat("熊", 101) + `","username":"wei"}`},
		{"friend", "joined", "without proof", fmt.Sprintf(`{"name":"Mei","username":"mei","invite":"%s"}`, mid)},
		{"friend", "accept", "bad username", `{"username":"-"}`},
		{"receipt", "home", "no items", `{"items":[]}`},
		{"receipt", "home", "501 items", `{"items":[` + strings.Repeat(item+",", 500) + item + `]}`},
		{"receipt", "stale", "record with an unknown type", fmt.Sprintf(`{"id":"%s","uek":"x"}`, mid)},
		{"live", "typing", "null", `null`},
		{"live", "peer", "to nobody", fmt.Sprintf(`{"id":"%s"}`, mid)},
		{"live", "peer", "a description of another type", fmt.Sprintf(`{"id":"%s","to":"%s","sdp":{"type":"rollback","sdp":"v=0"}}`, mid, uid)},
		{"live", "peer", "an empty description", fmt.Sprintf(`{"id":"%s","to":"%s","sdp":{"type":"offer","sdp":""}}`, mid, uid)},
		{"live", "peer", "17 candidates", fmt.Sprintf(`{"id":"%s","to":"%s","candidates":[%s]}`, mid, uid, strings.Repeat(candidate+",", 16)+candidate)},
		{"live", "peer", "a candidate of 257 bytes", fmt.Sprintf(`{"id":"%s","to":"%s","candidates":[{"candidate":"%s","sdpMid":"0"}]}`, mid, uid, strings.Repeat("x", 257))},
		{"live", "peer", "a name of 17 bytes", fmt.Sprintf(`{"id":"%s","to":"%s","candidates":[{"candidate":"x","sdpMid":"%s"}]}`, mid, uid, strings.Repeat("x", 17))},
		{"live", "peer", "a description of 16 KiB and a byte", fmt.Sprintf(`{"id":"%s","to":"%s","sdp":{"type":"offer","sdp":"%s"}}`, mid, uid, strings.Repeat("x", 16<<10+1))},
		{"live", "call", "an op that is none", fmt.Sprintf(`{"call":"%s","op":"hold"}`, mid)},
		{"live", "call", "a ring of nothing", fmt.Sprintf(`{"call":"%s","op":"ring"}`, mid)},
		{"live", "call", "a ring of smells", fmt.Sprintf(`{"call":"%s","op":"ring","media":"smell"}`, mid)},
		{"live", "call", "an answer to no device", fmt.Sprintf(`{"call":"%s","op":"answer"}`, mid)},
		{"live", "call", "a signal to no device", fmt.Sprintf(`{"call":"%s","op":"signal"}`, mid)},
		{"live", "call", "taken by nobody", fmt.Sprintf(`{"call":"%s","op":"taken"}`, mid)},
		{"live", "call", "without the call", `{"op":"end"}`},
		{"live", "call", "candidates that are none", fmt.Sprintf(`{"call":"%s","op":"signal","to":"%s","candidates":["x"]}`, mid, uid)},
		{"chat", "call", "another result", fmt.Sprintf(`{"call":"%s","media":"audio","result":"lost","seconds":0}`, mid)},
		{"chat", "call", "more than a day", fmt.Sprintf(`{"call":"%s","media":"audio","result":"answered","seconds":86401}`, mid)},
		{"chat", "call", "before it began", fmt.Sprintf(`{"call":"%s","media":"audio","result":"answered","seconds":-1}`, mid)},
		{"chat", "call", "without media", fmt.Sprintf(`{"call":"%s","result":"missed","seconds":0}`, mid)},
		{"chat", "a-later-kind", "not JSON", `{`},
	}
}

func TestBodies(t *testing.T) {
	for _, s := range goodBodies() {
		b, err := message.ParseBody(s.typ, s.kind, []byte(s.raw))
		if err != nil {
			t.Errorf("%s/%s, %s: %v", s.typ, s.kind, s.why, err)
			continue
		}
		out, err := message.MarshalBody(b)
		if err != nil {
			t.Errorf("%s/%s, %s: %v", s.typ, s.kind, s.why, err)
		}
		again, err := message.ParseBody(s.typ, s.kind, out)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := message.MarshalBody(again); err != nil || !bytes.Equal(out, twice) {
			t.Errorf("%s/%s, %s: %v", s.typ, s.kind, s.why, err)
		}
	}
	for _, s := range badBodies() {
		if b, err := message.ParseBody(s.typ, s.kind, []byte(s.raw)); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s/%s, %s: %v %v", s.typ, s.kind, s.why, b, err)
		}
	}
	if _, err := message.ParseBody("chat", "text", make([]byte, 64<<10+1)); protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Error("oversize", err)
	}
	if _, err := message.MarshalBody(message.Text{}); err == nil {
		t.Error("an empty text is written")
	}
}

// A kind means something only under its own envelope type: a home's receipt in
// a chat is no receipt.
func TestKindsOfAnotherType(t *testing.T) {
	for _, s := range goodBodies() {
		for _, typ := range []string{"chat", "friend", "receipt", "live", "room"} {
			b, err := message.ParseBody(typ, s.kind, []byte(s.raw))
			// A call under way and the note of one that is over have one name and different bodies.
			if s.kind == message.KindCall && typ != s.typ && (typ == "chat" || typ == "live") {
				if protocol.CodeOf(err) != protocol.CodeBadRequest {
					t.Errorf("%s/%s was read as %T", typ, s.kind, b)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, unknown := b.(message.Unknown); unknown != (typ != s.typ) {
				t.Errorf("%s/%s was read as %T", typ, s.kind, b)
			}
		}
	}
	b, err := message.ParseBody("chat", "poll", []byte(`{"options":["a"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := message.MarshalBody(b); err != nil || string(out) != `{"options":["a"]}` {
		t.Errorf("an unknown kind is not kept: %s %v", out, err)
	}
}

func goodMeta() message.Meta {
	return message.Meta{Kind: "text", MID: vectortest.FixedID("mid"), Dev: vectortest.Fixed("device"), Seq: 1, Clock: vectortest.Now,
		Head: vectortest.Fixed("head"), Chain: 0, UEK: 0}
}

func badMetas(t testing.TB) []sample {
	raw, err := goodMeta().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(why, old, new string) sample {
		if !strings.Contains(string(raw), old) {
			t.Fatalf("%s is not in %s", old, raw)
		}
		return sample{why: why, raw: strings.Replace(string(raw), old, new, 1)}
	}
	return []sample{
		edit("kind empty", `"kind":"text"`, `"kind":""`),
		edit("kind upper case", `"kind":"text"`, `"kind":"Text"`),
		edit("kind of 33", `"kind":"text"`, `"kind":"`+strings.Repeat("a", 33)+`"`),
		edit("mid all zero", mid, protocol.ID{}.String()),
		edit("mid missing", `"mid":`, `"m":`),
		edit("seq 0", `"seq":1`, `"seq":0`),
		edit("seq fraction", `"seq":1`, `"seq":1.0`),
		edit("clock negative", `"clock":1`, `"clock":-1`),
		edit("clock from 2^53", fmt.Sprint(int64(vectortest.Now)), "9007199254740992"),
		edit("chain negative", `"chain":0`, `"chain":-1`),
		edit("uek negative", `"uek":0`, `"uek":-1`),
		edit("key twice", `"seq":1`, `"seq":1,"seq":1`),
		edit("over 4 KiB", `"seq":1`, `"seq":1,"x":"`+strings.Repeat("x", 4096)+`"`),
		{why: "nothing"}, {why: "array", raw: "[]"},
	}
}

func TestMeta(t *testing.T) {
	raw, err := goodMeta().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m, err := message.ParseMeta(raw)
	if err != nil || m != goodMeta() {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := message.ParseMeta(bytes.Replace(raw, []byte(`{`), []byte(`{"later":[null],`), 1)); err != nil {
		t.Error("a key of a later version:", err)
	}
	for _, s := range badMetas(t) {
		if _, err := message.ParseMeta([]byte(s.raw)); protocol.CodeOf(err) != protocol.CodeBadRequest {
			t.Errorf("%s: %v", s.why, err)
		}
	}
	if _, err := (message.Meta{}).Marshal(); err == nil {
		t.Error("an empty meta is written")
	}
}

func TestClocks(t *testing.T) {
	const now = vectortest.Now
	if message.NextClock(now, now-5) != now || message.NextClock(now, now) != now+1 || message.NextClock(now, now+50) != now+51 {
		t.Error("NextClock")
	}
	if message.ReadClock(now, now) != now || message.ReadClock(now+600_000, now) != now+600_000 || message.ReadClock(now+600_001, now) != now+600_000 {
		t.Error("ReadClock")
	}
}

func TestMessageVectors(t *testing.T) {
	raw, err := goodMeta().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	list := func(samples []sample) (out []m) {
		for _, s := range samples {
			v := m{"why": s.why, "raw": s.raw}
			if s.typ != "" {
				v["type"], v["kind"] = s.typ, s.kind
			}
			out = append(out, v)
		}
		return out
	}
	// Long texts would fill the file; tests of both languages make their own.
	short := func(samples []sample) (out []sample) {
		for _, s := range samples {
			if len(s.raw) < 2000 {
				out = append(out, s)
			}
		}
		return out
	}
	vectortest.Compare(t, "message.json", m{
		"about": "Section 8: meta and bodies as JSON text. good must be read, bad must be refused. Keys that a version does not know are allowed. " +
			"Bodies of unknown kinds are only checked to be JSON. Limits with long texts are not in this file: 20,000 code points and 40,000 bytes of text, 24 KiB of picture, 500 items.",
		"meta":   m{"good": []m{{"why": "plain", "raw": string(raw)}}, "bad": list(short(badMetas(t)))},
		"bodies": m{"good": list(short(goodBodies())), "bad": list(short(badBodies()))},
	})
}

func FuzzParseMeta(f *testing.F) {
	raw, err := goodMeta().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	for _, s := range badMetas(f) {
		if len(s.raw) < 2000 {
			f.Add([]byte(s.raw))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := message.ParseMeta(raw)
		if err != nil {
			if protocol.CodeOf(err) != protocol.CodeBadRequest {
				t.Fatal(err)
			}
			return
		}
		out, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := message.ParseMeta(out); err != nil || again != m {
			t.Fatalf("%s -> %s: %v", raw, out, err)
		}
	})
}

func FuzzParseBody(f *testing.F) {
	for _, s := range append(goodBodies(), badBodies()...) {
		if len(s.raw) < 2000 {
			f.Add(s.typ, s.kind, []byte(s.raw))
		}
	}
	f.Fuzz(func(t *testing.T, typ, kind string, raw []byte) {
		b, err := message.ParseBody(typ, kind, raw)
		if err != nil {
			if protocol.CodeOf(err) != protocol.CodeBadRequest {
				t.Fatal(err)
			}
			return
		}
		out, err := message.MarshalBody(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := message.ParseBody(typ, kind, out)
		if err != nil {
			t.Fatalf("%s -> %s: %v", raw, out, err)
		}
		if twice, err := message.MarshalBody(again); err != nil || !bytes.Equal(out, twice) {
			t.Fatalf("%s -> %s -> %s: %v", raw, out, twice, err)
		}
	})
}
