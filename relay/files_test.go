package relay_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// upload is a file of mei's on its way.
type upload struct {
	id   protocol.ID
	data []byte
	who  string
}

func (p *pair) newUpload(t *testing.T, size int, people ...*relaytest.Person) upload {
	t.Helper()
	u := upload{id: relaytest.NewID(t), data: make([]byte, size)}
	if _, err := rand.Read(u.data); err != nil {
		t.Fatal(err)
	}
	uids := []string{}
	for _, q := range people {
		uids = append(uids, q.UID.String())
	}
	u.who = strings.Join(uids, ",")
	return u
}

func (u upload) path() string { return "/api/1/files/" + u.id.String() }

func (u upload) piece(offset, end int) string {
	return fmt.Sprintf("%s?offset=%d&size=%d&for=%s", u.path(), offset, len(u.data), u.who)
}

// put sends bytes [from, to).
func (p *pair) put(u upload, token string, from, to int) relaytest.Answer {
	return p.Call("PUT", u.piece(from, to), token, u.data[from:to])
}

func (p *pair) putAll(t *testing.T, u upload) {
	t.Helper()
	for from := 0; from < len(u.data); from += 1 << 20 {
		if a := p.put(u, p.meiPhone.Ready.Token, from, min(from+1<<20, len(u.data))); a.Status != 200 {
			t.Fatal(a.Status, string(a.Body))
		}
	}
}

func TestAFileInPieces(t *testing.T) {
	t.Parallel()
	eachDatabase(t, relaytest.Options{}, func(t *testing.T, c *relaytest.Courtyard) {
		p := &pair{Courtyard: c, mei: c.Owner("mei")}
		p.meiPhone = c.Connect(p.mei, p.mei.Phone)
		p.tom = c.Guest(p.meiPhone, "tom")
		p.tomPhone = c.Connect(p.tom, p.tom.Phone)
		eve := c.Guest(p.meiPhone, "eve")
		evePhone := c.Connect(eve, eve.Phone)
		mei, tom := p.meiPhone.Ready.Token, p.tomPhone.Ready.Token

		u := p.newUpload(t, 2500, p.tom, p.mei)
		have := func(want string, a relaytest.Answer) {
			t.Helper()
			if a.Status != 200 || string(a.Body) != `{"have":`+want+`}` {
				t.Fatalf("%d %s, want %s", a.Status, a.Body, want)
			}
		}
		p.Refused(protocol.CodeNotFound, "GET", u.path(), mei, nil)
		if a := p.put(u, mei, 100, 200); a.Code != protocol.CodeBadRequest || !bytes.Contains(a.Body, []byte(`"have":0`)) {
			t.Fatal(string(a.Body))
		}
		have("1000", p.put(u, mei, 0, 1000))
		have("1000", p.put(u, mei, 0, 1000)) // again: the answer was lost, say
		have("1500", p.put(u, mei, 500, 1500))
		if a := p.put(u, mei, 1600, 1700); a.Code != protocol.CodeBadRequest || !bytes.Contains(a.Body, []byte(`"have":1500`)) {
			t.Fatal(string(a.Body))
		}
		head := p.Call("HEAD", u.path(), mei, nil)
		if head.Status != 200 || head.Header.Get("Upload-Offset") != "1500" || head.Header.Get("Upload-Length") != "2500" {
			t.Fatal(head.Status, head.Header)
		}
		p.Refused(protocol.CodeNotFound, "GET", u.path(), tom, nil) // not complete
		if a := p.put(u, tom, 1500, 2500); a.Code != protocol.CodeNotFound {
			t.Fatal("tom goes on with mei's upload:", a.Status)
		}
		have("2500", p.put(u, mei, 1500, 2500))

		for _, token := range []string{mei, tom} {
			if a := p.Call("GET", u.path(), token, nil); a.Status != 200 || !bytes.Equal(a.Body, u.data) {
				t.Fatal(a.Status, len(a.Body))
			}
		}
		for header, want := range map[string]struct {
			status, from, to int
		}{
			"bytes=0-99": {206, 0, 100}, "bytes=900-1600": {206, 900, 1601}, "bytes=2400-": {206, 2400, 2500}, "bytes=-10": {206, 2490, 2500},
			"bytes=2499-9999": {206, 2499, 2500}, "bytes=-9999": {206, 0, 2500}, "bytes=0-1,5-6": {200, 0, 2500}, "bytes=5-1": {200, 0, 2500}, "chunks=1": {200, 0, 2500},
			"bytes=2500-": {416, 0, 0}, "bytes=-0": {416, 0, 0}, "bytes=99999999999999999999-": {200, 0, 2500},
		} {
			a := p.Call("GET", u.path(), tom, nil, "Range", header)
			if a.Status != want.status || !bytes.Equal(a.Body, u.data[want.from:want.to]) {
				t.Errorf("%s: %d, %d bytes", header, a.Status, len(a.Body))
			}
		}
		// To others it does not exist.
		none := p.newUpload(t, 10)
		for _, method := range []string{"GET", "HEAD"} {
			same(t, method, p.Call(method, none.path(), evePhone.Ready.Token, nil), p.Call(method, u.path(), evePhone.Ready.Token, nil))
		}
		p.Refused(protocol.CodeUnauthorized, "GET", u.path(), "", nil)
		p.Refused(protocol.CodeNotFound, "GET", "/api/1/files/xyz", tom, nil)
	})
}

func TestOnlyAHomeLetsAFileGo(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	u := p.newUpload(t, 1000, p.tom, p.mei)
	p.putAll(t, u)
	tom := p.tomPhone.Ready.Token
	p.Refused(protocol.CodeNotAllowed, "DELETE", u.path(), tom, nil)
	home := p.Connect(p.tom, p.AddDevice(p.tom, ident.RoleHome, 0))
	p.Well("GET", u.path(), home.Ready.Token, nil, nil)
	p.Well("DELETE", u.path(), home.Ready.Token, nil, nil)
	p.Refused(protocol.CodeNotFound, "DELETE", u.path(), home.Ready.Token, nil)
	p.Refused(protocol.CodeNotFound, "GET", u.path(), tom, nil)
	if a := p.Call("GET", u.path(), p.meiPhone.Ready.Token, nil); !bytes.Equal(a.Body, u.data) {
		t.Fatal("mei's copy went with tom's")
	}
}

func TestWhatAFileMayBe(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	mei, eve := p.meiPhone.Ready.Token, p.Person("eve")
	for what, v := range map[string]struct{ code, path string }{
		"for nobody":        {protocol.CodeBadRequest, "?offset=0&size=3"},
		"for three":         {protocol.CodeBadRequest, "?offset=0&size=3&for=" + strings.Join([]string{p.mei.UID.String(), p.tom.UID.String(), eve.UID.String()}, ",")},
		"for one twice":     {protocol.CodeBadRequest, "?offset=0&size=3&for=" + p.mei.UID.String() + "," + p.mei.UID.String()},
		"for a stranger":    {protocol.CodeNotContact, "?offset=0&size=3&for=" + eve.UID.String()},
		"no size":           {protocol.CodeTooLarge, "?offset=0&for=" + p.tom.UID.String()},
		"too large":         {protocol.CodeTooLarge, "?offset=0&size=20976641&for=" + p.tom.UID.String()},
		"longer than it is": {protocol.CodeBadRequest, "?offset=0&size=2&for=" + p.tom.UID.String()},
		"negative":          {protocol.CodeBadRequest, "?offset=-1&size=3&for=" + p.tom.UID.String()},
		"overflowing":       {protocol.CodeBadRequest, "?offset=9223372036854775807&size=3&for=" + p.tom.UID.String()},
	} {
		a := p.Call("PUT", "/api/1/files/"+relaytest.NewID(t).String()+v.path, mei, []byte("abc"))
		if a.Code != v.code {
			t.Errorf("%s: %d %s, want %s", what, a.Status, a.Body, v.code)
		}
	}
	u := p.newUpload(t, 1<<20+1, p.tom)
	if a := p.put(u, mei, 0, 1<<20+1); a.Code != protocol.CodeTooLarge {
		t.Fatal(a.Status)
	}
	// The largest file, in 1 MiB pieces.
	u = p.newUpload(t, 20<<20+320*16, p.tom)
	p.putAll(t, u)
	if a := p.Call("GET", u.path(), p.tomPhone.Ready.Token, nil); !bytes.Equal(a.Body, u.data) {
		t.Fatal(a.Status, len(a.Body))
	}
}

func TestFilesShareTheSpaceOfLetters(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{Config: relaytest.Config{SpaceMiB: 8}})
	mei := p.meiPhone.Ready.Token
	// One sender has an eighth: 1 MiB.
	u := p.newUpload(t, 600<<10, p.tom)
	p.putAll(t, u)
	if e := p.tomPhone.Event("space"); e["used"] != float64(600<<10) || e["limit"] != float64(8<<20) {
		t.Fatal(e)
	}
	second := p.newUpload(t, 600<<10, p.tom)
	if a := p.put(second, mei, 0, 600<<10); a.Code != protocol.CodeSenderFull || !bytes.Contains(a.Body, []byte(p.tom.UID.String())) {
		t.Fatal(a.Status, string(a.Body))
	}
	// Once a device of tom's has had the first, it makes room: tom has no home.
	p.Well("GET", u.path(), p.tomPhone.Ready.Token, nil, nil)
	waitStatus(t, func() int { return p.put(second, mei, 0, 600<<10).Status }, 200)
	p.Refused(protocol.CodeNotFound, "GET", u.path(), p.tomPhone.Ready.Token, nil)
	// An upload that nobody goes on with gives its room back after a week.
	third := p.newUpload(t, 600<<10, p.mei)
	if a := p.put(third, mei, 0, 1000); a.Status != 200 {
		t.Fatal(a.Status)
	}
	space := func() int64 { return p.Connect(p.mei, p.mei.Phone).Ready.Space.Used }
	if space() != 600<<10 {
		t.Fatal("used", space())
	}
	p.Clock.Move(6 * 24 * time.Hour)
	p.Sweep()
	if a := p.put(third, mei, 1000, 2000); a.Status != 200 {
		t.Fatal(a.Status)
	}
	p.Clock.Move(7*24*time.Hour + time.Second)
	p.Sweep()
	if space() != 0 {
		t.Fatal("used", space())
	}
}

// waitStatus asks until the answer is there; what it waits for is written after
// the answer that a client sees.
func waitStatus(t *testing.T, ask func() int, want int) {
	t.Helper()
	got := 0
	for range 200 {
		if got = ask(); got == want {
			return
		}
	}
	t.Fatal("status", got)
}
