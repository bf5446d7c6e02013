package post_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/post"
)

const (
	now    = vectortest.Now
	minute = 60_000
)

// author is alice with three devices, of which the tablet is revoked at minute 20,
// and her wall of nine changes.
type author struct {
	t                            testing.TB
	chain                        *ident.Chain
	phone, home, tablet, session *ident.DeviceKeys
	stranger                     *ident.DeviceKeys
	changes                      []post.Change // as written
	heads                        []post.Head   // after each
	signedHeads                  []protocol.Signed
	idA, idB, idC, idD           protocol.ID
	photo, photo2                post.Photo
}

func newAuthor(t testing.TB) *author {
	t.Helper()
	p := vectortest.NewPerson(t, "alice")
	p.AddHome(t)
	a := &author{t: t, chain: p.Chain, phone: p.Phone, home: p.Home, tablet: vectortest.Keys(t, "alice tablet"),
		session: vectortest.Keys(t, "alice session"), stranger: vectortest.Keys(t, "stranger phone"),
		idA: vectortest.FixedID("post A"), idB: vectortest.FixedID("post B"), idC: vectortest.FixedID("post C"), idD: vectortest.FixedID("post D")}
	must := vectortest.Must[protocol.Signed](t)
	p.Append(t, must(p.Chain.NewDeviceAdd(p.Phone, a.tablet.Device(ident.RoleAdmin, 0), now+2000)))
	p.Append(t, must(p.Chain.NewDeviceAdd(p.Phone, a.session.Device(ident.RoleSession, 0), now+3000)))
	p.Append(t, must(p.Chain.NewDeviceRevoke(p.Phone, a.tablet.ID(), 0, now+20*minute)))
	a.photo = post.Photo{Hash: protocol.Hash32(vectortest.Fixed("photo")), Size: 70_000, Width: 1600, Height: 1200, Thumb: vectortest.FixedBytes("thumb", 21), Alt: "A lane with lanterns 胡同"}
	a.photo2 = post.Photo{Hash: protocol.Hash32(vectortest.Fixed("photo 2")), Size: post.MaxPhotoSize, Width: 1, Height: post.MaxSide, Thumb: []byte{}}
	a.write(a.phone, post.Content{Op: post.OpProfile, Name: "Alice", About: ""})
	a.write(a.phone, post.Content{Op: post.OpPost, ID: a.idA, Text: "Hello.\n你好 👋", Photos: []post.Photo{}})
	a.write(a.home, post.Content{Op: post.OpPost, ID: a.idB, Photos: []post.Photo{a.photo, a.photo2}})
	a.write(a.phone, post.Content{Op: post.OpEdit, ID: a.idA, Text: "Hello, world.", Photos: []post.Photo{}, Posted: a.changes[1].TS, Gone: []int64{2}})
	a.write(a.tablet, post.Content{Op: post.OpPost, ID: a.idC, Text: "From the tablet <script>alert(1)</script>", Photos: []post.Photo{}})
	a.write(a.phone, post.Content{Op: post.OpEdit, ID: a.idA, Text: "Hello, all.", Photos: []post.Photo{a.photo2}, Posted: a.changes[1].TS, Gone: []int64{2, 4}})
	face := post.Picture{Hash: protocol.Hash32(vectortest.Fixed("face")), Size: 9000, Width: 256, Height: 256}
	a.write(a.home, post.Content{Op: post.OpProfile, Name: "Alice 爱", About: "Bread.", Picture: &face, Gone: []int64{1}})
	a.write(a.phone, post.Content{Op: post.OpDelete, ID: a.idC, Gone: []int64{5}})
	a.write(a.home, post.Content{Op: post.OpPost, ID: a.idD, Text: "The end, for now.", Photos: []post.Photo{}})
	return a
}

// write adds a change, a minute after the one before.
func (a *author) write(by protocol.Signer, c post.Content) {
	a.t.Helper()
	change, head := a.make(by, c, now+int64(len(a.changes)+1)*minute)
	a.take(change, head)
}

func (a *author) make(by protocol.Signer, c post.Content, at int64) (change, head protocol.Signed) {
	a.t.Helper()
	change, head, err := post.New(by, a.chain, a.last(), c, at)
	if err != nil {
		a.t.Fatal(err)
	}
	return change, head
}

func (a *author) last() *post.Head {
	if len(a.heads) == 0 {
		return nil
	}
	return &a.heads[len(a.heads)-1]
}

func (a *author) take(change, head protocol.Signed) {
	a.t.Helper()
	a.changes = append(a.changes, vectortest.Must[post.Change](a.t)(post.Verify(change, a.chain)))
	a.heads = append(a.heads, vectortest.Must[post.Head](a.t)(post.VerifyHead(head, a.chain)))
	a.signedHeads = append(a.signedHeads, head)
}

// gone are the seqs whose content is forgotten once upto changes are written.
func (a *author) gone(upto int) map[int64]bool {
	out := map[int64]bool{}
	for _, c := range a.changes[:upto] {
		for _, seq := range c.Gone {
			out[seq] = true
		}
	}
	return out
}

// page is what an honest relay gives after seq, when upto changes are written.
func (a *author) page(after, limit, upto int) post.Page {
	p := post.Page{UID: a.chain.UID(), Username: "alice", Host: "relay.example", Head: a.signedHeads[upto-1], Items: []post.Item{}}
	gone := a.gone(upto)
	for _, c := range a.changes[after:upto] {
		if len(p.Items) == limit {
			p.More = true
			break
		}
		if gone[c.Seq] {
			p.Items = append(p.Items, post.Item{Stub: &post.Stub{Seq: c.Seq, Hash: c.Hash}})
		} else {
			signed := c.Signed
			p.Items = append(p.Items, post.Item{Signed: &signed})
		}
	}
	return p
}

// whole is the wall with nothing forgotten, as one page.
func (a *author) whole() post.Page {
	p := a.page(0, 100, len(a.changes))
	for i := range p.Items {
		signed := a.changes[i].Signed
		p.Items[i] = post.Item{Signed: &signed}
	}
	return p
}

const (
	fine    = "fine"
	altered = "altered"
	stale   = "chain" // the chain may be out of date
)

// walk reads pages from pin and says how it went.
func (a *author) walk(pin post.Pin, pages ...post.Page) (verdict string, seqs []int64, end post.Pin, err error) {
	w := post.NewWalk(a.chain, pin)
	seqs = []int64{}
	for _, p := range pages {
		changes, err := w.Take(p)
		switch {
		case errors.Is(err, post.ErrAltered):
			return altered, nil, pin, err
		case protocol.CodeOf(err) == protocol.CodeBadChain:
			return stale, nil, pin, err
		case err != nil:
			return err.Error(), nil, pin, err
		}
		for _, c := range changes {
			seqs = append(seqs, c.Seq)
		}
	}
	if !w.Ended() {
		return "not at its end", nil, pin, nil
	}
	return fine, seqs, w.Head().Pin(), nil
}

type walkCase struct {
	why     string
	pin     post.Pin
	pages   []post.Page
	verdict string
}

func (a *author) walks() []walkCase {
	none, n := post.Pin{}, len(a.changes)
	pin := func(upto int) post.Pin { return a.heads[upto-1].Pin() }
	with := func(p post.Page, change func(*post.Page)) post.Page {
		p.Items = append([]post.Item{}, p.Items...)
		change(&p)
		return p
	}
	raw := func(by protocol.Signer, label string, text string) protocol.Signed {
		return protocol.SignPayload(by, label, []byte(text))
	}
	renewed := vectortest.Must[protocol.Signed](a.t)(post.NewHead(a.home, a.chain, a.heads[n-1], now+24*60*minute))
	head := func(seq int64, hash protocol.Hash32, ts int64) string {
		return fmt.Sprintf(`{"v":1,"uid":"%v","seq":%d,"hash":"%v","ts":%d}`, a.chain.UID(), seq, hash, ts)
	}
	forged := raw(a.stranger, "sign/wall-head", head(3, a.changes[2].Hash, now+30*minute))
	pretended := forged
	pretended.By = a.phone.Public()
	other := vectortest.NewPerson(a.t, "bob")
	// What the author might have written in place of the last change, had she not.
	twin := *a
	twin.changes, twin.heads, twin.signedHeads = append([]post.Change{}, a.changes[:n-1]...), append([]post.Head{}, a.heads[:n-1]...), append([]protocol.Signed{}, a.signedHeads[:n-1]...)
	twin.write(a.home, post.Content{Op: post.OpPost, ID: a.idD, Text: "Another end.", Photos: []post.Photo{}})
	// A revoked device writes on.
	late := raw(a.tablet, "sign/post", fmt.Sprintf(`{"v":1,"uid":"%v","seq":10,"ts":%d,"prev":"%v","op":"post","id":"%v","text":"still here","photos":[]}`,
		a.chain.UID(), now+21*minute, a.changes[n-1].Hash, vectortest.FixedID("post E")))
	lateHead := raw(a.phone, "sign/wall-head", head(10, protocol.Hash("post", late.Payload), now+22*minute))
	early := raw(a.phone, "sign/post", strings.Replace(string(late.Payload), fmt.Sprint(now+21*minute), fmt.Sprint(now), 1))
	earlyHead := raw(a.phone, "sign/wall-head", head(10, protocol.Hash("post", early.Payload), now+22*minute))
	one := func(change, head protocol.Signed) post.Page {
		return post.Page{UID: a.chain.UID(), Username: "alice", Host: "relay.example", Head: head, Items: []post.Item{{Signed: &change}}}
	}
	flip := func(p *post.Page, i, at int) {
		s := *p.Items[i].Signed
		s.Payload = bytes.Clone(s.Payload)
		s.Payload[at] ^= 1
		p.Items[i].Signed = &s
	}
	return []walkCase{
		{"from the beginning, what is gone as stubs", none, []post.Page{a.page(0, 100, n)}, fine},
		{"nothing forgotten yet", none, []post.Page{a.whole()}, fine},
		{"in pages of three", none, []post.Page{a.page(0, 3, n), a.page(3, 3, n), a.page(6, 3, n)}, fine},
		{"the wall grows while it is read", none, []post.Page{a.page(0, 4, 7), a.page(4, 100, n)}, fine},
		{"everything since my last", pin(6), []post.Page{a.page(6, 100, n)}, fine},
		{"nothing new", pin(n), []post.Page{a.page(n, 100, n)}, fine},
		{"nothing new, a renewed head", pin(n), []post.Page{with(a.page(n, 100, n), func(p *post.Page) { p.Head = renewed })}, fine},

		{"rolled back by two changes", pin(n), []post.Page{a.page(n-2, 100, n-2)}, altered},
		{"rolled back, as an empty page", pin(n), []post.Page{with(a.page(n-2, 100, n-2), func(p *post.Page) { p.Items = []post.Item{} })}, altered},
		{"an older head for the same change", post.Pin{Seq: int64(n), Hash: a.heads[n-1].Hash, TS: now + 24*60*minute}, []post.Page{a.page(n, 100, n)}, altered},
		{"another change at the pinned place", pin(n), []post.Page{with(twin.page(n, 100, n), func(*post.Page) {})}, altered},
		{"goes on from another change than the pinned", post.Pin{Seq: 8, Hash: a.changes[6].Hash, TS: a.heads[7].TS}, []post.Page{a.page(8, 100, n)}, altered},
		{"a post is left out", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { p.Items = append(p.Items[:2], p.Items[3:]...) })}, altered},
		{"the newest is left out", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { p.Items = p.Items[:n-1] })}, altered},
		{"a post is shown as a stub that nothing accounts for", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) {
			p.Items[2] = post.Item{Stub: &post.Stub{Seq: 3, Hash: a.changes[2].Hash}}
		})}, altered},
		{"the newest is shown as a stub", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) {
			p.Items[n-1] = post.Item{Stub: &post.Stub{Seq: int64(n), Hash: a.changes[n-1].Hash}}
		})}, altered},
		{"a stub with another hash", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) {
			p.Items[1] = post.Item{Stub: &post.Stub{Seq: 2, Hash: a.changes[0].Hash}}
		})}, altered},
		{"a byte of a text is altered", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { flip(p, 8, len(p.Items[8].Signed.Payload)-20) })}, altered},
		{"two changes are exchanged", none, []post.Page{with(a.whole(), func(p *post.Page) { p.Items[1], p.Items[2] = p.Items[2], p.Items[1] })}, altered},
		{"a change twice", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { p.Items = append(p.Items, p.Items[n-1]) })}, altered},
		{"the first change twice", none, []post.Page{with(a.whole(), func(p *post.Page) { p.Items = append(p.Items[:1:1], p.Items...) })}, altered},
		{"the head's time goes back between pages", none, []post.Page{with(a.page(0, 4, n), func(p *post.Page) { p.Head = renewed }), a.page(4, 100, n)}, altered},
		{"behind its head", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { p.Head = a.signedHeads[n-2] })}, altered},
		{"more is promised at the end", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { p.More = true })}, altered},
		{"more is promised and nothing given", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { p.Items, p.More = []post.Item{}, true })}, altered},
		{"the head goes back between pages", none, []post.Page{a.page(0, 4, n), a.page(4, 100, 7)}, altered},
		{"a head by a stranger", none, []post.Page{with(a.page(0, 3, 3), func(p *post.Page) { p.Head = forged })}, stale},
		{"a head in the phone's name", none, []post.Page{with(a.page(0, 3, 3), func(p *post.Page) { p.Head = pretended })}, altered},
		{"a head for another change", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) {
			p.Head = raw(a.phone, "sign/wall-head", head(int64(n), a.changes[0].Hash, now+30*minute))
		})}, altered},
		{"a head signed under another label", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) {
			p.Head = raw(a.phone, "sign/post", head(int64(n), a.changes[n-1].Hash, now+30*minute))
		})}, altered},
		{"a head older than the last change", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) {
			p.Head = raw(a.phone, "sign/wall-head", head(int64(n), a.changes[n-1].Hash, now))
		})}, altered},
		{"a revoked device writes on", pin(n), []post.Page{one(late, lateHead)}, stale},
		{"dated before its predecessor", pin(n), []post.Page{one(early, earlyHead)}, altered},
		{"another person's wall", none, []post.Page{with(a.page(0, 100, n), func(p *post.Page) { p.UID = other.UID() })}, altered},
	}
}

func TestWalks(t *testing.T) {
	a := newAuthor(t)
	for _, c := range a.walks() {
		got, seqs, end, err := a.walk(c.pin, c.pages...)
		if got != c.verdict {
			t.Errorf("%s: %s (%v), want %s", c.why, got, err, c.verdict)
		}
		if got == fine && (end.Seq != int64(len(a.changes)) || len(seqs) == 0 && c.pin.Seq != end.Seq) {
			t.Errorf("%s: ends at %v with %v", c.why, end, seqs)
		}
	}
}

// The change of any single byte of a page is noticed.
func TestEveryByteCounts(t *testing.T) {
	a := newAuthor(t)
	good := a.page(0, 100, len(a.changes))
	flipped := func(s protocol.Signed, part, at int) protocol.Signed {
		switch s.Payload = bytes.Clone(s.Payload); part {
		case 0:
			s.Payload[at%len(s.Payload)] ^= 1
		case 1:
			s.By[at%32] ^= 1
		case 2:
			s.Sig[at%64] ^= 1
		}
		return s
	}
	for i := range len(good.Items) + 1 {
		for part := range 3 {
			for at := range 64 {
				p := good
				p.Items = append([]post.Item{}, good.Items...)
				switch {
				case i == len(good.Items):
					p.Head = flipped(good.Head, part, at*7)
				case p.Items[i].Signed != nil:
					s := flipped(*p.Items[i].Signed, part, at*7)
					p.Items[i].Signed = &s
				default:
					s := *p.Items[i].Stub
					s.Hash[at%32] ^= 1
					p.Items[i].Stub = &s
				}
				if got, _, _, _ := a.walk(post.Pin{}, p); got != altered && got != stale {
					// What comes after a stub vouches for its hash, unless that is a stub as well: neither says anything then.
					if good.Items[i].Stub != nil && good.Items[i+1].Stub != nil {
						continue
					}
					t.Fatalf("item %d part %d byte %d: %s", i, part, at, got)
				}
			}
		}
	}
}

// A clock that went back does not make a wall that its readers would refuse.
func TestTimeDoesNotGoBack(t *testing.T) {
	a := newAuthor(t)
	change, head := a.make(a.phone, post.Content{Op: post.OpPost, ID: vectortest.FixedID("post E"), Text: "early", Photos: []post.Photo{}}, now-minute)
	before := *a.last()
	a.take(change, head)
	last := a.changes[len(a.changes)-1]
	if last.TS != before.TS || a.last().TS != before.TS {
		t.Error("dated", last.TS, a.last().TS)
	}
	renewed := vectortest.Must[protocol.Signed](t)(post.NewHead(a.home, a.chain, *a.last(), now))
	if h, err := post.VerifyHead(renewed, a.chain); err != nil || h.TS != before.TS {
		t.Error(h, err)
	}
}

// jpegs are photos and what pretends to be one.
func jpegs(t testing.TB) (good []byte, all []jpegCase) {
	t.Helper()
	good = vectortest.Must[[]byte](t)(os.ReadFile("testdata/photo.jpg")) // 24 x 16, 4:2:0
	segment := func(marker byte, body string) []byte {
		return append([]byte{0xff, marker, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
	}
	after := func(parts ...[]byte) []byte {
		return bytes.Join(append(append([][]byte{good[:2]}, parts...), good[2:]), nil)
	}
	html := "<!doctype html><script>alert(1)</script>"
	frame := bytes.Index(good, []byte{0xff, 0xc0})
	edit := func(at int, b ...byte) []byte { out := bytes.Clone(good); copy(out[at:], b); return out }
	return good, []jpegCase{
		{"a photo", good, true},
		{"with a JFIF header", after(segment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")), true},
		{"with a colour profile", after(segment(0xe2, "ICC_PROFILE\x00\x01\x01profile")), true},
		{"EXIF", after(segment(0xe1, "Exif\x00\x00place and camera")), false},
		{"XMP", after(segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00<x/>")), false},
		{"IPTC", after(segment(0xed, "Photoshop 3.0\x00")), false},
		{"a comment with a page in it", after(segment(0xfe, html)), false},
		{"JFIF with a thumbnail", after(segment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x01\x01abc")), false},
		{"a page in APP0", after(segment(0xe0, html)), false},
		{"a page in APP2", after(segment(0xe2, html)), false},
		{"a page behind the end", append(bytes.Clone(good), html...), false},
		{"two pictures", append(bytes.Clone(good), good...), false},
		{"progressive", edit(frame, 0xff, 0xc2), false},
		{"no sides", edit(frame+5, 0, 0), false},
		{"2^24 pixels and more", edit(frame+5, 0x40, 0, 0x40, 0), false},
		{"cut short", good[:len(good)-2], false},
		{"empty", []byte{}, false},
		{"nothing but its ends", []byte{0xff, 0xd8, 0xff, 0xd9}, false},
		{"a page", []byte(html), false},
		{"SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`), false},
		{"PNG", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), false},
		{"GIF", []byte("GIF89a\x01\x00\x01\x00"), false},
	}
}

type jpegCase struct {
	why string
	raw []byte
	ok  bool
}

func TestJPEGs(t *testing.T) {
	good, cases := jpegs(t)
	for _, c := range cases {
		w, h, err := post.CheckJPEG(c.raw)
		if (err == nil) != c.ok || c.ok && (w != 24 || h != 16) {
			t.Errorf("%s: %d x %d, %v", c.why, w, h, err)
		}
	}
	big := append(bytes.Clone(good), make([]byte, post.MaxPhotoSize)...)
	if _, _, err := post.CheckJPEG(big); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error(err)
	}
}
