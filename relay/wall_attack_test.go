package relay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// hostile is what somebody writes who wants more than text on a page.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `<svg onload=alert(1)>`, `</style><script>alert(1)</script>`,
	`javascript:alert(1)`, `{{.Style}}`, `<!--`, `]]>`, "\x00\x1b[31m", "\u202eabc", `https://a.example/"onmouseover="alert(1)`, `https://a.example/<script>`, `&lt;b&gt;`,
}

func TestWallsShowTextOnly(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei, _ := newAuthor(c, "mei")
	s := &stranger{t, c}
	raw := relaytest.JPEG(t, 8, 8)
	for i, text := range hostile {
		name := []rune(text)
		gone := []int64{}
		if i > 0 {
			for n := range i {
				gone = append(gone, int64(2*n+1))
			}
		}
		mei.Post(post.Content{Op: post.OpProfile, Name: string(name[:min(len(name), 64)]), About: text, Gone: gone})
		photo := mei.Upload(raw, 8, 8)
		photo.Alt = text
		p := mei.Say(text, photo)
		c.Clock.Move(time.Minute)
		for _, path := range []string{"/@mei", "/@mei/p/" + p.ID.String()} {
			page := s.page(path)
			for _, bad := range []string{"<script", "<svg", "<img src=x", "onerror=alert(1)>", `href="javascript`, `"onmouseover=`} {
				if strings.Contains(strings.ToLower(page), bad) {
					t.Errorf("%q: %s has %s", text, path, bad)
				}
			}
			if n := strings.Count(page, "<style>"); n != 1 {
				t.Errorf("%q: %d styles", text, n)
			}
		}
		var feed struct {
			Items []struct {
				HTML string `json:"content_html"`
			} `json:"items"`
		}
		must(t, json.Unmarshal(s.get("/@mei/feed.json").Body, &feed))
		if html := feed.Items[0].HTML; strings.Contains(html, "<script") || strings.Contains(html, "<svg") || strings.Contains(html, "<img src=x") {
			t.Errorf("%q: feed has %s", text, html)
		}
		must(t, xml.Unmarshal(s.get("/@mei/feed.atom").Body, new(any)))
	}
}

func TestMediaAreBarePhotos(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei, phone := newAuthor(c, "mei")
	var vectors struct {
		Photos []struct {
			Why  string         `json:"why"`
			JPEG protocol.Bytes `json:"jpeg"`
			OK   bool           `json:"ok"`
		} `json:"photos"`
	}
	raw, err := os.ReadFile("../protocol/testdata/wall.json")
	must(t, err)
	must(t, json.Unmarshal(raw, &vectors))
	path := func(data []byte) string {
		hash := protocol.Hash32(sha256.Sum256(data))
		return "/api/1/media/" + hash.String()
	}
	for _, v := range vectors.Photos {
		if a := c.Call("PUT", path(v.JPEG), mei.Token, []byte(v.JPEG)); (a.Status == 200) != v.OK {
			t.Errorf("%s: %d %s", v.Why, a.Status, a.Body)
		}
	}
	// It is a JPEG from outside and does not decode.
	good := []byte(vectors.Photos[0].JPEG)
	broken := bytes.Clone(good)
	scan := bytes.Index(broken, []byte{0xff, 0xda})
	broken = append(broken[:scan+20], 0xff, 0xd9)
	if _, _, err := post.CheckJPEG(broken); err != nil {
		t.Fatal(err)
	}
	c.Refused(protocol.CodeBadRequest, "PUT", path(broken), mei.Token, broken)
	c.Refused(protocol.CodeBadRequest, "PUT", path(broken), mei.Token, good) // another's hash
	c.Refused(protocol.CodeTooLarge, "PUT", path(good), mei.Token, make([]byte, post.MaxPhotoSize+1))
	c.Refused(protocol.CodeUnauthorized, "PUT", path(good), "", good)
	session := c.Connect(phone.Person, c.AddDevice(phone.Person, ident.RoleSession, 0))
	c.Refused(protocol.CodeNotAllowed, "PUT", path(good), session.Ready.Token, good)
	// Whatever is uploaded, nothing of it is shown before a wall does.
	if a := c.Call("GET", "/media/"+strings.TrimPrefix(path(good), "/api/1/media/")+".jpg", "", nil); a.Status != 404 {
		t.Error("shown:", a.Status)
	}
	for _, bad := range []string{"/media/x.jpg", "/media/" + strings.TrimPrefix(path(good), "/api/1/media/"), "/media/"} {
		if a := c.Call("GET", bad, "", nil); a.Status != 404 {
			t.Error(bad, a.Status)
		}
	}
}

func TestFollowLeadsToOnesOwnCourtyardAndNowhereElse(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei, _ := newAuthor(c, "mei")
	mei.Say("hello")
	for with, want := range map[string]string{
		"you@your.example":        "https://your.example/app/",
		" @You@Your.Example:8443": "https://your.example:8443/app/",
		"your.example":            "https://your.example/app/",
		"you@localhost:8787":      "http://localhost:8787/app/",
		"you@127.0.0.2:8787":      "http://127.0.0.2:8787/app/",
		"you@[2001:db8::1]":       "https://[2001:db8::1]/app/",
	} {
		a := c.Call("GET", "/@mei/follow?with="+url.QueryEscape(with), "", nil)
		if a.Status != 303 || a.Header.Get("Location") != want+"#follow.mei@"+c.Host {
			t.Errorf("%q: %d %s", with, a.Status, a.Header.Get("Location"))
		}
	}
	for _, with := range []string{
		"", "you", "you@", "@", "https://evil.example/", "you@evil.example/path", "you@evil.example?x", "you@evil.example#x", `you@evil.example\x`, "you@evil.example:0",
		"you@evil.example:99999", "javascript:alert(1)", "you@a b", "//evil.example", "you@evil.example\r\nSet-Cookie: a=b", "you@user:pw@evil.example", "you@2130706433", "you@0x7f.1",
		strings.Repeat("a", 400) + ".example", "1.2.3",
	} {
		a := c.Call("GET", "/@mei/follow?with="+url.QueryEscape(with), "", nil)
		if a.Status != 400 || a.Header.Get("Location") != "" || a.Header.Get("Set-Cookie") != "" || !strings.Contains(string(a.Body), "That is no address") {
			t.Errorf("%q: %d %s", with, a.Status, a.Header.Get("Location"))
		}
	}
}

// TestARelayThatRollsBackIsNoticed: the operator puts back last night's database,
// and the wall is where it was then.
func TestARelayThatRollsBackIsNoticed(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei, phone := newAuthor(c, "mei")
	mei.Say("one")
	phone.Close()
	database := filepath.Join(c.Data, "courtyard.db")
	c.Stop()
	night, err := os.ReadFile(database)
	must(t, err)
	c.Restart()
	mei.Token = c.Connect(mei.Person, mei.Keys).Ready.Token
	mei.Say("two")
	_, pin, err := c.Reads(mei.Person.Chain, post.Pin{}, "/@mei/posts", "", 100)
	must(t, err)
	if _, again, err := c.Reads(mei.Person.Chain, pin, "/@mei/posts", "", 100); err != nil || again != pin {
		t.Fatal("nothing new:", again, err)
	}
	c.Stop()
	must(t, os.WriteFile(database, night, 0o600))
	c.Restart()
	if _, _, err := c.Reads(mei.Person.Chain, pin, "/@mei/posts", "", 100); !errors.Is(err, post.ErrAltered) {
		t.Error("rolled back:", err)
	}
	// And a device that writes on from there is told where the wall stands now.
	mei.Token = c.Connect(mei.Person, mei.Keys).Ready.Token
	c.Refused(protocol.CodeWallConflict, "POST", "/api/1/wall", mei.Token, mei.Make(post.Content{Op: post.OpPost, ID: relaytest.NewID(t), Text: "three"}))
}

func TestWallsElsewhere(t *testing.T) {
	t.Parallel()
	near, far := relaytest.Start(t, relaytest.Options{}), relaytest.Start(t, relaytest.Options{})
	tom := near.Owner("tom")
	token := near.Connect(tom, tom.Phone).Ready.Token
	mei, _ := newAuthor(far, "mei")
	raw := relaytest.JPEG(t, 32, 32)
	photo := mei.Upload(raw, 32, 32)
	for i := range 5 {
		mei.Say("number "+strconv.Itoa(i), photo)
	}
	path := "/api/1/walls/mei?host=" + far.Host
	all, pin, err := near.Reads(mei.Person.Chain, post.Pin{}, path, token, 2)
	must(t, err)
	if len(all) != 5 || pin != mei.Last.Pin() {
		t.Fatal(len(all), pin)
	}
	media := "/api/1/media/" + photo.Hash.String() + "?host=" + far.Host
	if a := near.Call("GET", media, token, nil); a.Status != 200 || !bytes.Equal(a.Body, raw) {
		t.Error("photo:", a.Status)
	}
	near.Refused(protocol.CodeUnauthorized, "GET", path, "", nil)
	near.Refused(protocol.CodeNotFound, "GET", "/api/1/walls/nobody?host="+far.Host, token, nil)
	near.Refused(protocol.CodeNotFound, "GET", "/api/1/walls/mei", token, nil)
	near.Refused(protocol.CodeBadRequest, "GET", "/api/1/walls/mei?host=a/b", token, nil)
	near.Refused(protocol.CodeAddressRefused, "GET", "/api/1/walls/mei?host=169.254.169.254", token, nil)
	if a, err := far.Try("GET", "/api/1/walls/mei?host="+far.Host, mei.Token, nil); err != nil || a.Status != 200 { // its own name
		t.Error(a.Status, err)
	}
	far.Stop()
	near.Refused(protocol.CodePeerAway, "GET", path+"&after=1", token, nil)
}

// TestAHostileCourtyardsWall: what another courtyard answers is read strictly.
func TestAHostileCourtyardsWall(t *testing.T) {
	t.Parallel()
	near := relaytest.Start(t, relaytest.Options{})
	tom := near.Owner("tom")
	token := near.Connect(tom, tom.Phone).Ready.Token
	answers := map[string][]byte{}
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/@redirect/posts" {
			http.Redirect(w, r, near.URL+"/api/1/relay", http.StatusFound)
			return
		}
		if _, err := w.Write(answers[r.URL.Path]); err != nil {
			return // it was more than the relay reads
		}
	}))
	t.Cleanup(far.Close)
	host := strings.TrimPrefix(far.URL, "http://")
	photo := relaytest.JPEG(t, 8, 8)
	hash := protocol.Hash32(sha256.Sum256(photo))
	page := []byte("<script>alert(1)</script>")
	pageHash := protocol.Hash32(sha256.Sum256(page))
	answers["/media/"+hash.String()+".jpg"] = append(bytes.Clone(photo), 0)
	answers["/media/"+pageHash.String()+".jpg"] = page
	answers["/@garbage/posts"] = []byte(`{"uid":1}`)
	answers["/@large/posts"] = bytes.Repeat([]byte(" "), 10<<20)
	empty := `{"uid":"` + tom.UID.String() + `","username":"mei","host":"a.example","head":` + string(protocol.SignPayload(tom.Phone, "x", []byte("{}")).Marshal()) + `,"changes":[],"more":false}`
	answers["/@other/posts"] = []byte(empty)
	for _, name := range []string{"garbage", "large", "other", "redirect", "nothing"} {
		if a := near.Call("GET", "/api/1/walls/"+name+"?host="+host, token, nil); a.Status/100 == 2 || a.Code == "" || a.Code == protocol.CodeInternal {
			t.Error(name, a.Status, a.Code)
		}
	}
	answers["/@mei/posts"] = []byte(empty)
	if a := near.Call("GET", "/api/1/walls/mei?host="+host, token, nil); a.Status != 200 {
		t.Error("what is well formed is passed on:", a.Status, a.Code)
	}
	for _, h := range []protocol.Hash32{hash, pageHash} {
		near.Refused(protocol.CodePeerAway, "GET", "/api/1/media/"+h.String()+"?host="+host, token, nil)
	}
}

func TestWallLimits(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, relaytest.Options{})
	mei, phone := newAuthor(c, "mei")
	first := mei.Say("first")
	for i := range 199 {
		if i%50 == 0 {
			c.Clock.Move(time.Minute) // 60 calls in each
		}
		mei.Say("number " + strconv.Itoa(i))
	}
	c.Clock.Move(time.Minute)
	over := mei.Make(post.Content{Op: post.OpPost, ID: relaytest.NewID(t), Text: "one more"})
	c.Refused(protocol.CodeRateLimited, "POST", "/api/1/wall", mei.Token, over)
	mei.Post(post.Content{Op: post.OpDelete, ID: first.ID, Gone: []int64{1}}) // taking back is always possible
	c.Clock.Move(23*time.Hour + 59*time.Minute)
	mei.Token = c.Connect(phone.Person, mei.Keys).Ready.Token
	mei.Say("the next day")
	if _, _, err := c.Reads(mei.Person.Chain, post.Pin{}, "/@mei/posts", "", 100); err != nil {
		t.Error(err)
	}
	c.Clock.Move(time.Minute)
	codes := map[int]int{}
	for range 125 {
		codes[c.Call("GET", "/@mei", "", nil).Status]++
	}
	if codes[200] < 120 || codes[429] == 0 {
		t.Error("reads:", codes)
	}
	// Pages of twenty, each post once.
	s := &stranger{t, c}
	c.Clock.Move(time.Minute)
	seen := map[string]int{}
	pages := 0
	for path := "/@mei"; path != ""; pages++ {
		page := s.page(path)
		for _, part := range strings.Split(page, `<a class="when" href="`)[1:] {
			seen[part[:strings.IndexByte(part, '"')]]++
		}
		_, older, more := strings.Cut(page, `" rel="next"`)
		path = ""
		if more {
			before := page[:len(page)-len(older)-len(`" rel="next"`)]
			path = before[strings.LastIndexByte(before, '"')+1:]
		}
	}
	if len(seen) != 200 || pages != 10 {
		t.Error(len(seen), "posts on", pages, "pages")
	}
}
