package post_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/post"
)

type badChange struct {
	why    string
	record protocol.Signed
}

// badChanges are each refused, for alice's chain, by themselves.
func badChanges(t testing.TB) []badChange {
	a := newAuthor(t)
	edit := func(seq int, old, new string) protocol.Signed {
		text := string(a.changes[seq-1].Signed.Payload)
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %s", old, text)
		}
		return protocol.SignPayload(a.phone, "sign/post", []byte(strings.Replace(text, old, new, 1)))
	}
	by := func(signer protocol.Signer, seq int) protocol.Signed {
		return protocol.SignPayload(signer, "sign/post", a.changes[seq-1].Signed.Payload)
	}
	relabelled := a.changes[1].Signed
	relabelled.Sig = a.phone.Sign("sign/wall-head", relabelled.Payload)
	pretended := by(a.stranger, 2)
	pretended.By = a.phone.Public()
	photo := string(vectortest.Must[[]byte](t)(protocol.Marshal(a.photo)))
	return []badChange{
		{"version 2", edit(2, `"v":1`, `"v":2`)},
		{"unknown op", edit(2, `"op":"post"`, `"op":"poke"`)},
		{"seq 0", edit(1, `"seq":1`, `"seq":0`)},
		{"seq 1 with prev", edit(2, `"seq":2`, `"seq":1`)},
		{"seq 2 without prev", edit(1, `"seq":1`, `"seq":2`)},
		{"negative time", edit(2, fmt.Sprintf(`"ts":%d`, a.changes[1].TS), `"ts":-1`)},
		{"unknown key", edit(2, `"v":1`, `"v":1,"w":1`)},
		{"duplicate key", edit(2, `"v":1`, `"v":1,"v":1`)},
		{"another person's", edit(2, a.chain.UID().String(), vectortest.NewPerson(t, "bob").UID().String())},
		{"post without text", edit(9, `"text":"The end, for now.",`, ``)},
		{"post without photos", edit(9, `,"photos":[]`, ``)},
		{"neither text nor photos", edit(9, `"text":"The end, for now."`, `"text":""`)},
		{"post with gone", edit(9, `"photos":[]`, `"photos":[],"gone":[2]`)},
		{"post with posted", edit(9, `"photos":[]`, `"photos":[],"posted":1`)},
		{"post with a name", edit(9, `"photos":[]`, `"photos":[],"name":"Alice"`)},
		{"post with a picture", edit(9, `"photos":[]`, `"photos":[],"picture":`+strings.Replace(photo, `"thumb":"`+a.photo.Thumb.String()+`",`, ``, 1))},
		{"text of 20,001 characters", edit(9, "The end, for now.", strings.Repeat("a", post.MaxText+1))},
		{"text of 40,001 bytes", edit(9, "The end, for now.", strings.Repeat("字", 13_333)+"ab")},
		{"payload over its limit", edit(9, "The end, for now.", strings.Repeat(`\u0041`, 7200))},
		{"five photos", edit(3, `"photos":[`, `"photos":[`+other(photo, 1)+`,`+other(photo, 2)+`,`+other(photo, 3)+`,`)},
		{"a photo twice", edit(3, `"photos":[`, `"photos":[`+photo+`,`)},
		{"photo without size", edit(3, `"size":70000,`, ``)},
		{"photo of 0 bytes", edit(3, `"size":70000`, `"size":0`)},
		{"photo over 2 MiB", edit(3, `"size":70000`, `"size":2097153`)},
		{"photo without width", edit(3, `"width":1600`, `"width":0`)},
		{"photo too high", edit(3, `"height":1200`, `"height":20001`)},
		{"alt of 501 characters", edit(3, "A lane with lanterns 胡同", strings.Repeat("胡", post.MaxAlt+1))},
		{"thumb of 65 bytes", edit(3, a.photo.Thumb.String(), vectortest.B(make([]byte, 65)))},
		{"photo with a link", edit(3, `"size":70000`, `"size":70000,"url":"http://x"`)},
		{"edit without posted", edit(4, fmt.Sprintf(`"posted":%d,`, a.changes[1].TS), ``)},
		{"edit of what is posted later", edit(4, fmt.Sprintf(`"posted":%d`, a.changes[1].TS), fmt.Sprintf(`"posted":%d`, a.changes[3].TS+1))},
		{"edit without gone", edit(4, `,"gone":[2]`, ``)},
		{"edit of nothing", edit(4, `"gone":[2]`, `"gone":[]`)},
		{"gone not ascending", edit(6, `"gone":[2,4]`, `"gone":[4,2]`)},
		{"gone twice", edit(6, `"gone":[2,4]`, `"gone":[2,2]`)},
		{"gone is itself", edit(6, `"gone":[2,4]`, `"gone":[2,6]`)},
		{"gone is 0", edit(6, `"gone":[2,4]`, `"gone":[0,2]`)},
		{"delete with text", edit(8, `"gone":[5]`, `"gone":[5],"text":"x","photos":[]`)},
		{"delete without id", edit(8, fmt.Sprintf(`"id":"%v",`, a.idC), ``)},
		{"delete without gone", edit(8, `,"gone":[5]`, ``)},
		{"profile with an id", edit(1, `"name":"Alice"`, fmt.Sprintf(`"id":"%v","name":"Alice"`, a.idA))},
		{"profile without a name", edit(1, `"name":"Alice",`, ``)},
		{"profile with an empty name", edit(1, `"name":"Alice"`, `"name":""`)},
		{"name of 65 characters", edit(1, "Alice", strings.Repeat("爱", post.MaxName+1))},
		{"about of 1,001 characters", edit(1, `"about":""`, `"about":"`+strings.Repeat("b", post.MaxAbout+1)+`"`)},
		{"picture with a thumb", edit(7, `"size":9000`, `"size":9000,"thumb":""`)},
		{"profile without gone", edit(1, `,"gone":[]`, ``)},
		{"half a surrogate pair", edit(9, "The end, for now.", `\ud83d`)},
		{"signed by a stranger", by(a.stranger, 2)},
		{"signed by a session", by(a.session, 2)},
		{"by is changed to the phone", pretended},
		{"signed under another label", relabelled},
	}
}

// other is the photo with another hash.
func other(photo string, i int) string {
	at := strings.Index(photo, `"hash":"`) + len(`"hash":"`)
	return photo[:at] + string("abc"[i-1]) + photo[at+1:]
}

func TestBadChanges(t *testing.T) {
	a := newAuthor(t)
	for _, bad := range badChanges(t) {
		if _, err := post.Verify(bad.record, a.chain); err == nil || protocol.CodeOf(err) == protocol.CodeInternal {
			t.Errorf("%s: %v", bad.why, err)
		}
	}
}

func TestChangesAtTheirLimits(t *testing.T) {
	a := newAuthor(t)
	photos := []post.Photo{}
	for i := range post.MaxPhotos {
		photo := a.photo
		photo.Hash[0], photo.Alt = byte(i), strings.Repeat("胡", post.MaxAlt)
		photos = append(photos, photo)
	}
	for why, c := range map[string]post.Content{
		"20,000 characters": {Op: post.OpPost, ID: a.idD, Text: strings.Repeat("a", post.MaxText), Photos: photos},
		"40,000 bytes":      {Op: post.OpPost, ID: a.idD, Text: strings.Repeat("字", 13_333) + "a", Photos: []post.Photo{}},
		"name and about":    {Op: post.OpProfile, Name: strings.Repeat("爱", post.MaxName), About: strings.Repeat("爱", post.MaxAbout), Gone: []int64{1, 7}},
	} {
		if _, _, err := post.New(a.phone, a.chain, a.last(), c, now+30*minute); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// What a device wrote before it was revoked counts; what is dated at the
// revocation or later does not, whoever keeps the key.
func TestRevokedDevice(t *testing.T) {
	a := newAuthor(t)
	revoked := int64(now + 20*minute)
	for at, ok := range map[int64]bool{revoked - 1: true, revoked: false, revoked + minute: false} {
		_, _, err := post.New(a.tablet, a.chain, a.last(), post.Content{Op: post.OpPost, ID: a.idD, Text: "x", Photos: []post.Photo{}}, at)
		if (err == nil) != ok || err != nil && protocol.CodeOf(err) != protocol.CodeBadChain {
			t.Errorf("at %d: %v", at, err)
		}
	}
	expiring := vectortest.Keys(t, "alice laptop")
	rec := vectortest.Must[protocol.Signed](t)(a.chain.NewDeviceAdd(a.phone, expiring.Device(ident.RoleAdmin, now+40*minute), now+21*minute))
	if err := a.chain.Append(rec); err != nil {
		t.Fatal(err)
	}
	for at, ok := range map[int64]bool{now + 40*minute - 1: true, now + 40*minute: false} {
		if _, err := post.NewHead(expiring, a.chain, *a.last(), at); (err == nil) != ok {
			t.Errorf("expiring device at %d: %v", at, err)
		}
	}
}

func TestPages(t *testing.T) {
	a := newAuthor(t)
	raw := vectortest.Must[[]byte](t)(a.page(0, 100, len(a.changes)).Marshal())
	p := vectortest.Must[post.Page](t)(post.ParsePage(raw))
	if got, _, _, err := a.walk(post.Pin{}, p); got != fine {
		t.Fatal(got, err)
	}
	text := string(raw)
	for why, bad := range map[string]string{
		"half a change":        strings.Replace(text, `"by":"`+a.home.Public().String()+`",`, ``, 1),
		"a change and a stub":  strings.Replace(text, `"changes":[{`, `"changes":[{"payload":"e30",`, 1),
		"a stub without hash":  strings.Replace(text, `,"hash":"`+a.changes[0].Hash.String()+`"`, ``, 1),
		"a name with a slash":  strings.Replace(text, `"username":"alice"`, `"username":"a/b"`, 1),
		"a host in capitals":   strings.Replace(text, `"relay.example"`, `"Relay.example"`, 1),
		"no head":              strings.Replace(text, `"head":`, `"neck":`, 1),
		"101 changes":          strings.Replace(text, `"changes":[`, `"changes":[`+strings.Repeat(`{"seq":1,"hash":"`+a.changes[0].Hash.String()+`"},`, 100), 1),
		"something behind it":  text + "{}",
		"more than a mebibyte": text + strings.Repeat(" ", post.MaxPage),
	} {
		if bad == text {
			t.Fatal(why, "changes nothing")
		}
		if _, err := post.ParsePage([]byte(bad)); err == nil {
			t.Error(why)
		}
	}
	if _, err := post.ParsePage([]byte(strings.Replace(text, `"more":`, `"tomorrow":{},"more":`, 1))); err != nil {
		t.Error("a key of tomorrow:", err)
	}
	for _, i := range p.Items {
		one, err := post.Page{UID: p.UID, Username: p.Username, Host: p.Host, Head: p.Head, Items: []post.Item{i}}.Marshal()
		if err != nil || len(one) > post.FrameWeight+i.Weight() {
			t.Error("weighs more than it says:", len(one), i.Weight(), err)
		}
	}
}
