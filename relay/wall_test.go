package relay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/post"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

func newAuthor(c *relaytest.Courtyard, username string) (*relaytest.Author, *relaytest.Socket) {
	mei := c.Owner(username)
	phone := c.Connect(mei, mei.Phone)
	return c.Author(phone), phone
}

func (s *stranger) get(path string, headers ...string) relaytest.Answer {
	s.t.Helper()
	return s.c.Call("GET", path, "", nil, headers...)
}

// stranger reads without an account.
type stranger struct {
	t *testing.T
	c *relaytest.Courtyard
}

// page gets a page that must be there, and checks what every page promises.
func (s *stranger) page(path string, headers ...string) string {
	s.t.Helper()
	a := s.get(path, headers...)
	if a.Status != 200 || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		s.t.Fatal(path, a.Status, string(a.Body))
	}
	policy := a.Header.Get("Content-Security-Policy")
	for _, must := range []string{"default-src 'none'", "sandbox allow-forms", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, must) {
			s.t.Error("policy:", policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") || strings.Contains(policy, "allow-scripts") || strings.Contains(policy, "allow-same-origin") {
		s.t.Error("policy:", policy)
	}
	if a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Set-Cookie") != "" || a.Header.Get("Content-Length") != strconv.Itoa(len(a.Body)) {
		s.t.Error("headers:", a.Header)
	}
	if bytes.Contains(bytes.ToLower(a.Body), []byte("<script")) {
		s.t.Error("a script")
	}
	return string(a.Body)
}

func contains(t *testing.T, where, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s has no %q:\n%s", where, part, text)
		}
	}
}

func TestAWall(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei, phone := newAuthor(c, "mei")
		s := &stranger{t, c}
		nobody := s.get("/@nobody", "Accept", "text/html")
		if a := s.get("/@mei", "Accept", "text/html"); a.Status != 404 || !bytes.Equal(a.Body, nobody.Body) {
			t.Fatal("before there is a wall:", a.Status)
		}
		face := mei.Upload(relaytest.JPEG(t, 64, 64), 64, 64)
		mei.Post(post.Content{Op: post.OpProfile, Name: "Mei Lindqvist 林美", About: "Bread, and a lane.",
			Picture: &post.Picture{Hash: face.Hash, Size: face.Size, Width: 64, Height: 64}})
		if p := phone.Event("wall"); p["seq"] != 1.0 {
			t.Error("event says", p)
		}
		raw := relaytest.JPEG(t, 80, 60)
		lane := mei.Upload(raw, 80, 60)
		lane.Alt = "A lane with lanterns"
		first := mei.Say("The baker signs her loaves.\n\nSee https://bread.example/m?a=1&b=2.")
		second := mei.Say("胡同里的灯笼又挂起来了。", lane)
		c.Clock.Move(time.Minute)
		edited := mei.Post(post.Content{Op: post.OpEdit, ID: first.ID, Text: "The baker has begun to sign her loaves.", Posted: first.TS, Gone: []int64{first.Seq}})

		page := s.page("/@mei", "Accept-Language", "fr, en;q=0.5")
		contains(t, "page", page, `<html lang="en">`, "Mei Lindqvist 林美", "mei@"+c.Host, "Bread, and a lane.", "The baker has begun", "胡同里的灯笼", `alt="A lane with lanterns"`,
			"/media/"+lane.Hash.String()+".jpg", "/media/"+face.Hash.String()+".jpg", `property="og:image"`, `application/atom+xml`, `application/feed+json`, "edited", "What Mei Lindqvist 林美 wrote")
		if strings.Contains(page, "signs her loaves.") || strings.Index(page, "胡同") > strings.Index(page, "The baker") {
			t.Error("what was edited shows, or the order is wrong")
		}
		contains(t, "Chinese page", s.page("/@mei", "Accept-Language", "zh-TW"), `<html lang="zh-Hant">`, "追蹤", "已編輯")
		contains(t, "Chinese page", s.page("/@mei", "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8"), `<html lang="zh-Hans">`, "关注")
		contains(t, "one post", s.page("/@mei/p/"+second.ID.String()), "胡同里的灯笼", `content="article"`, `og:url" content="http://`+c.Host+"/@mei/p/"+second.ID.String())

		photo := s.get("/media/" + lane.Hash.String() + ".jpg")
		if photo.Status != 200 || !bytes.Equal(photo.Body, raw) || photo.Header.Get("Content-Type") != "image/jpeg" || !strings.Contains(photo.Header.Get("Cache-Control"), "immutable") ||
			!strings.Contains(photo.Header.Get("Content-Security-Policy"), "sandbox") || photo.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Error("photo:", photo.Status, photo.Header)
		}
		posts := s.get("/@mei/posts")
		if posts.Header.Get("Access-Control-Allow-Origin") != "*" || posts.Header.Get("ETag") == "" || posts.Header.Get("Content-Length") == "" {
			t.Error("posts:", posts.Header)
		}
		for _, tag := range []string{posts.Header.Get("ETag"), `"x", W/` + posts.Header.Get("ETag")} {
			if again := s.get("/@mei/posts", "If-None-Match", tag); again.Status != 304 || len(again.Body) > 0 {
				t.Error("unchanged:", again.Status)
			}
		}
		if head := c.Call("HEAD", "/@mei/posts", "", nil); head.Status != 200 || head.Header.Get("Content-Length") != posts.Header.Get("Content-Length") || len(head.Body) > 0 {
			t.Error("HEAD:", head.Status, head.Header)
		}
		if a := s.get("/@mei/posts", "Origin", "https://elsewhere.example"); a.Status != 200 {
			t.Error("another origin reads:", a.Status)
		}
		all, pin, err := c.Reads(mei.Person.Chain, post.Pin{}, "/@mei/posts", "", 2)
		must(t, err)
		if len(all) != 3 || pin != mei.Last.Pin() || all[2].Hash != edited.Hash {
			t.Fatal("a follower reads", len(all), pin)
		}

		var feed struct {
			Version string
			Title   string
			Items   []struct {
				URL         string `json:"url"`
				HTML        string `json:"content_html"`
				Published   string `json:"date_published"`
				Attachments []struct{ URL string }
			}
		}
		must(t, json.Unmarshal(s.get("/@mei/feed.json").Body, &feed))
		if feed.Version != "https://jsonfeed.org/version/1.1" || len(feed.Items) != 2 || len(feed.Items[0].Attachments) != 1 || feed.Items[1].Published != time.UnixMilli(first.TS).UTC().Format(time.RFC3339) {
			t.Errorf("%+v", feed)
		}
		var atom struct {
			XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
			ID      string   `xml:"id"`
			Updated string   `xml:"updated"`
			Entries []struct {
				ID      string `xml:"id"`
				Title   string `xml:"title"`
				Content string `xml:"content"`
			} `xml:"entry"`
		}
		must(t, xml.Unmarshal(s.get("/@mei/feed.atom").Body, &atom))
		if len(atom.Entries) != 2 || atom.Entries[1].Title != "The baker has begun to sign her loaves." || !strings.Contains(atom.Entries[0].Content, "<img src=\"http://"+c.Host) {
			t.Errorf("%+v", atom)
		}

		// Taken back: nowhere any more, the photo included.
		mei.Post(post.Content{Op: post.OpDelete, ID: second.ID, Gone: []int64{second.Seq}})
		if a := s.get("/media/" + lane.Hash.String() + ".jpg"); a.Status != 404 {
			t.Error("the photo of a deleted post:", a.Status)
		}
		c.Refused(protocol.CodeNotFound, "GET", "/@mei/p/"+second.ID.String(), "", nil)
		for _, path := range []string{"/@mei", "/@mei/posts", "/@mei/feed.atom", "/@mei/feed.json"} {
			if a := s.get(path); bytes.Contains(a.Body, []byte("胡同")) || bytes.Contains(a.Body, []byte(lane.Hash.String())) || bytes.Contains(a.Body, []byte(protocol.EncodeBytes(second.Signed.Payload))) {
				t.Error(path, "still has it")
			}
		}
		before := atom.Updated
		must(t, xml.Unmarshal(s.get("/@mei/feed.atom").Body, &atom))
		if was, err := time.Parse(time.RFC3339, before); err != nil || was.Year() < 2020 || atom.Updated < before {
			t.Error("updated", before, "and then", atom.Updated)
		}
		news, pin, err := c.Reads(mei.Person.Chain, pin, "/@mei/posts", "", 100)
		must(t, err)
		if len(news) != 1 || news[0].Gone[0] != second.Seq {
			t.Error("news:", news)
		}
		// Not findable: the same 404 as nobody, also for what it had.
		s.get("/@mei") // so that an answer is ready
		c.Well("PUT", "/api/1/settings", mei.Token, map[string]bool{"findable": false}, nil)
		for _, path := range []string{"/@mei", "/@mei/posts", "/@mei/feed.atom", "/@mei/p/" + first.ID.String(), "/@mei/follow?with=a@b.example"} {
			if a := s.get(path, "Accept", "text/html"); a.Status != 404 || !bytes.Equal(a.Body, nobody.Body) {
				t.Error(path, "of somebody who is not findable:", a.Status)
			}
		}
		if a := s.get("/media/" + face.Hash.String() + ".jpg"); a.Status != 404 {
			t.Error("a photo of somebody who is not findable:", a.Status)
		}
		if _, again, err := c.Reads(mei.Person.Chain, pin, "/api/1/walls/mei", mei.Token, 100); err != nil || again != pin {
			t.Error("her own:", err)
		}
	})
}

func TestWritingAWall(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei, phone := newAuthor(c, "mei")
		tom := c.Guest(phone, "tom")
		tomPhone := c.Connect(tom, tom.Phone)
		refused := func(code string, p relaytest.Posted, token string) map[string]any {
			t.Helper()
			a := c.Refused(code, "POST", "/api/1/wall", token, p)
			var problem struct{ Params map[string]any }
			must(t, json.Unmarshal(a.Body, &problem))
			return problem.Params
		}
		text := func(s string) post.Content {
			return post.Content{Op: post.OpPost, ID: relaytest.NewID(t), Text: s}
		}
		p := mei.Make(text("one"))
		refused(protocol.CodeBadRequest, p, tomPhone.Ready.Token) // with another's token
		refused(protocol.CodeUnauthorized, p, "")
		c.Well("POST", "/api/1/wall", mei.Token, p, nil)
		c.Well("POST", "/api/1/wall", mei.Token, p, nil) // the answer was lost
		rival := mei.Make(text("also one"))
		if params := refused(protocol.CodeWallConflict, rival, mei.Token); params["seq"] != 1.0 {
			t.Error(params)
		}
		one := mei.Took(p)
		two := mei.Say("two")
		c.Well("POST", "/api/1/wall", mei.Token, p, nil) // still fine
		// A head of another change, by a stranger, of another person.
		three := mei.Make(text("three"))
		stolen, err := post.NewHead(mei.Keys, mei.Person.Chain, *mei.Last, c.Clock.Now().UnixMilli())
		must(t, err)
		refused(protocol.CodeBadRequest, relaytest.Posted{Change: three.Change, Head: stolen}, mei.Token)
		forged := protocol.SignPayload(tom.Phone, "sign/wall-head", three.Head.Payload)
		refused(protocol.CodeBadChain, relaytest.Posted{Change: three.Change, Head: forged}, mei.Token)
		forged.By = mei.Keys.Public()
		refused(protocol.CodeBadRequest, relaytest.Posted{Change: three.Change, Head: forged}, mei.Token)
		refused(protocol.CodeBadRequest, relaytest.Posted{Head: forged}, mei.Token)
		// Posts that do not continue what is there.
		refused(protocol.CodeBadRequest, mei.Make(post.Content{Op: post.OpPost, ID: one.ID, Text: "again"}), mei.Token)
		edit := post.Content{Op: post.OpEdit, ID: one.ID, Text: "One.", Posted: one.TS, Gone: []int64{two.Seq}}
		refused(protocol.CodeBadRequest, mei.Make(edit), mei.Token)
		edit.Gone, edit.Posted = []int64{one.Seq}, one.TS-1
		refused(protocol.CodeBadRequest, mei.Make(edit), mei.Token)
		edit.Posted = one.TS
		mei.Post(edit)
		refused(protocol.CodeBadRequest, mei.Make(edit), mei.Token) // gone is not all any more
		refused(protocol.CodeBadRequest, mei.Make(post.Content{Op: post.OpDelete, ID: relaytest.NewID(t), Gone: []int64{1}}), mei.Token)
		mei.Post(post.Content{Op: post.OpDelete, ID: one.ID, Gone: []int64{1, 3}})
		edit.Gone = []int64{1, 3, 4}
		refused(protocol.CodeBadRequest, mei.Make(edit), mei.Token) // it does not come back
		// Photos must be here, one's own, and as described.
		raw := relaytest.JPEG(t, 16, 8)
		photo := c.Author(tomPhone).Upload(raw, 16, 8)
		with := func(p post.Photo) relaytest.Posted {
			return mei.Make(post.Content{Op: post.OpPost, ID: relaytest.NewID(t), Photos: []post.Photo{p}})
		}
		if params := refused(protocol.CodeNotFound, with(photo), mei.Token); params["hash"] != photo.Hash.String() {
			t.Error(params)
		}
		mei.Upload(raw, 16, 8)
		wide := photo
		wide.Width = 17
		refused(protocol.CodeBadRequest, with(wide), mei.Token)
		if a := c.Call("GET", "/media/"+photo.Hash.String()+".jpg", "", nil); a.Status != 404 {
			t.Error("a photo that no wall shows:", a.Status)
		}
		if a := c.Call("GET", "/api/1/media/"+photo.Hash.String(), mei.Token, nil); a.Status != 200 || !bytes.Equal(a.Body, raw) {
			t.Error("one's own:", a.Status)
		}
		good := with(photo)
		c.Well("POST", "/api/1/wall", mei.Token, good, nil)
		mei.Took(good)
		// Heads are renewed, and do not go back.
		early := mei.Make(text("from before"))
		c.Clock.Move(time.Hour)
		head, err := post.NewHead(mei.Keys, mei.Person.Chain, *mei.Last, c.Clock.Now().UnixMilli())
		must(t, err)
		c.Well("POST", "/api/1/wall", mei.Token, relaytest.Posted{Head: head}, nil)
		refused(protocol.CodeBadRequest, relaytest.Posted{Head: good.Head}, mei.Token)
		refused(protocol.CodeBadRequest, early, mei.Token) // its writer has not seen the newer head
		renewed, err := post.ParseHead(head)
		must(t, err)
		mei.Last = &renewed
		ahead := *mei.Last
		ahead.TS += (10 * time.Minute).Milliseconds()
		late, err := post.NewHead(mei.Keys, mei.Person.Chain, ahead, 0)
		must(t, err)
		refused(protocol.CodeClockAhead, relaytest.Posted{Head: late}, mei.Token)
		// Devices that may not write: a borrowed one, one that was revoked.
		session := c.AddDevice(mei.Person, ident.RoleSession, 0)
		borrowed := c.Author(c.Connect(mei.Person, session))
		refused(protocol.CodeNotAllowed, mei.Make(text("x")), borrowed.Token)
		tablet := c.AddDevice(mei.Person, ident.RoleAdmin, 0)
		lost := c.Author(c.Connect(mei.Person, tablet))
		lost.Last = mei.Last
		kept := lost.Make(text("while it was mine"))
		c.Revoke(mei.Person, tablet.ID())
		refused(protocol.CodeUnauthorized, kept, lost.Token)
		refused(protocol.CodeBadChain, kept, mei.Token)
		mei.Say("the end")
		if _, _, err := c.Reads(mei.Person.Chain, post.Pin{}, "/@mei/posts", "", 3); err != nil {
			t.Error(err)
		}
	})
}

// On a disk that is full but for the reserve nothing is posted any more, and
// everything can be taken back.
func TestTakingBackOnAFullDisk(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 40)
	o := relaytest.Options{Config: relaytest.Config{ReserveMiB: 64}, Free: func() (int64, error) { return free.Load(), nil }}
	eachDatabase(t, o, func(t *testing.T, c *relaytest.Courtyard) {
		free.Store(1 << 40)
		mei, _ := newAuthor(c, "mei")
		photo := mei.Upload(relaytest.JPEG(t, 16, 16), 16, 16)
		p := mei.Say("too much said", photo)
		free.Store(10 << 20)
		c.Clock.Move(2 * time.Second) // an answer of the file system is believed for one
		raw := relaytest.JPEG(t, 16, 16)
		hash := protocol.Hash32(sha256.Sum256(raw))
		c.Refused(protocol.CodeRelayFull, "PUT", "/api/1/media/"+hash.String(), mei.Token, raw)
		c.Refused(protocol.CodeRelayFull, "POST", "/api/1/wall", mei.Token, mei.Make(post.Content{Op: post.OpPost, ID: relaytest.NewID(t), Text: "more"}))
		mei.Post(post.Content{Op: post.OpDelete, ID: p.ID, Gone: []int64{p.Seq}})
		if a := c.Call("GET", "/media/"+photo.Hash.String()+".jpg", "", nil); a.Status != 404 {
			t.Error("the photo:", a.Status)
		}
	})
}

// TestNoFalseAlarmWhileAWallIsWritten: followers read page by page while the
// author writes, edits and takes back, and none of them is alarmed.
func TestNoFalseAlarmWhileAWallIsWritten(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		mei, phone := newAuthor(c, "mei")
		tom := c.Guest(phone, "tom")
		token := c.Connect(tom, tom.Phone).Ready.Token
		mei.Say("first")
		chain := mei.Person.Chain.Clone()
		stop := make(chan struct{})
		var all sync.WaitGroup
		reads := [4]int{}
		for i := range reads {
			via := c.From(from(20 + i))
			all.Go(func() {
				pin := post.Pin{}
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					path, as := "/@mei/posts", ""
					if i%2 == 1 {
						path, as = "/api/1/walls/mei", token
					}
					if n%3 == 0 {
						pin = post.Pin{}
					}
					_, next, err := via.Reads(chain, pin, path, as, 7)
					if protocol.CodeOf(err) == protocol.CodeRateLimited {
						c.Clock.Move(time.Second)
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					pin = next
					reads[i]++
				}
			})
		}
		for i := range 60 {
			p := mei.Say("number " + strconv.Itoa(i))
			switch i % 3 {
			case 0:
				mei.Post(post.Content{Op: post.OpDelete, ID: p.ID, Gone: []int64{p.Seq}})
			case 1:
				mei.Post(post.Content{Op: post.OpEdit, ID: p.ID, Text: "edited", Posted: p.TS, Gone: []int64{p.Seq}})
			}
			c.Clock.Move(2 * time.Second) // 60 changes a minute
		}
		close(stop)
		all.Wait()
		for i, n := range reads {
			if n < 3 {
				t.Error("follower", i, "read", n, "times")
			}
		}
		t.Log("walls read:", reads)
	})
}
