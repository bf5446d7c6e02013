package relay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// cut is a dialer whose way to one address can be closed.
type cut struct{ address atomic.Pointer[string] }

func (c *cut) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if to := c.address.Load(); to != nil && *to == address {
		return nil, errors.New("no route")
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// detour is a street whose b cannot be reached from a; ann's f can reach both.
type detour struct {
	*street
	cut      *cut
	f        *relaytest.Courtyard
	ann      *relaytest.Person
	annPhone *relaytest.Socket
}

func newDetour(t *testing.T) *detour {
	t.Helper()
	clock := &relaytest.Clock{}
	return newDetourWith(t, relaytest.Options{Clock: clock}, relaytest.Options{}, clock)
}

// newDetourWith is newDetour with options of a and b, and f's clock.
func newDetourWith(t *testing.T, a, b relaytest.Options, clock *relaytest.Clock) *detour {
	t.Helper()
	cut := &cut{}
	a.Dial = cut.dial
	w := newStreet(t, a, b)
	d := &detour{street: w, cut: cut, f: relaytest.Start(t, relaytest.Options{Clock: clock})}
	d.ann = d.f.Owner("ann")
	d.annPhone = d.f.Connect(d.ann, d.ann.Phone)
	w.a.Allow(w.meiPhone, d.ann)
	d.f.Allow(d.annPhone, w.mei)
	// Everybody has met: that is how a knows who is who.
	for _, e := range []*protocol.Envelope{w.chat(10), w.a.Across(w.mei, d.f, d.ann, protocol.TypeChat, 10)} {
		w.meiPhone.Sends(e)
		w.meiPhone.Event("carried")
	}
	e := d.f.Across(d.ann, w.a, w.mei, protocol.TypeChat, 10)
	d.annPhone.Sends(e)
	w.meiPhone.Sees(e)
	return d
}

// grant lets a pass by way of f.
func (d *detour) grant(until, daily int64) {
	d.t.Helper()
	d.f.Well("PUT", "/api/1/grants/"+d.a.Host, d.annPhone.Ready.Token, map[string]int64{"until": until, "daily": daily}, nil)
	// What is written after it arrives after it.
	e := d.f.Across(d.ann, d.a, d.mei, protocol.TypeChat, 10)
	d.annPhone.Sends(e)
	d.meiPhone.Sees(e)
}

// close makes b unreachable from a, from the next connection on.
func (d *detour) close() {
	d.t.Helper()
	d.cut.address.Store(&d.b.Host)
	d.a.Restart() // the link that is open would do
	d.meiPhone = d.a.Connect(d.mei, d.mei.Phone)
}

func (d *detour) now() int64 { return d.a.Clock.Now().UnixMilli() }

func TestByWayOfAFriendsCourtyard(t *testing.T) {
	t.Parallel()
	d := newDetour(t)
	d.grant(d.now()+3600_000, 10<<20)
	d.close()
	sent := []*protocol.Envelope{}
	for i := range 5 {
		e := d.chat(1000 * i)
		d.meiPhone.Sends(e)
		sent = append(sent, e)
	}
	sealed := make([]byte, 300_000)
	_, err := rand.Read(sealed)
	must(t, err)
	id := relaytest.NewID(t)
	path := fmt.Sprintf("/api/1/files/%s?offset=0&size=%d&for=%s,%s@%s", id, len(sealed), d.mei.UID, d.tom.UID, d.b.Host)
	d.a.Well("PUT", path, d.meiPhone.Ready.Token, sealed, nil)
	last := d.chat(10)
	d.meiPhone.Sends(last)
	for _, e := range append(sent, last) {
		d.tomPhone.Sees(e)
		if p := d.meiPhone.Event("carried"); p["by"] != d.f.Host || p["id"] != e.ID.String() || p["kept"] != true {
			t.Fatal(p)
		}
	}
	if got := d.b.Call("GET", "/api/1/files/"+id.String(), d.tomPhone.Ready.Token, nil); !bytes.Equal(got.Body, sealed) {
		t.Fatal(got.Status, len(got.Body), "bytes")
	}
	// The owner sees what it cost.
	var shown struct {
		Grants []struct {
			Host string `json:"host"`
			Used int64  `json:"used"`
		} `json:"grants"`
	}
	d.f.Well("GET", "/api/1/grants", d.annPhone.Ready.Token, nil, &shown)
	if len(shown.Grants) != 1 || shown.Grants[0].Host != d.a.Host || shown.Grants[0].Used < 300_000 {
		t.Fatalf("%+v", shown)
	}
	// Back on the straight way when there is one.
	none := ""
	d.cut.address.Store(&none)
	call := d.b.Across(d.tom, d.a, d.mei, protocol.TypeChat, 10)
	d.tomPhone.Sends(call)
	d.meiPhone.Sees(call) // b has called, so a tries at once
	e := d.chat(10)
	d.meiPhone.Sends(e)
	d.tomPhone.Sees(e)
	if p := d.meiPhone.Event("carried"); p["by"] != "" {
		t.Fatal(p)
	}
}

func TestNobodyPassesWithoutAGrant(t *testing.T) {
	t.Parallel()
	d := newDetour(t)
	evil := newCaller(t)
	evil.calls(d.f)
	hop := func(c *caller, to string) string {
		key, err := protocol.NewSignSecret(rand.Reader)
		must(t, err)
		sealed, _, err := link.SealHop(rand.Reader, c.key, c.host, d.b.Key, link.BoxSecret(key).Public(), d.now(), link.Request{Op: link.OpPut, N: 1, Env: d.chat(10).Marshal()})
		must(t, err)
		c.n++
		c.write(link.Request{Op: link.OpHop, N: c.n, Host: to, Data: sealed})
		r := c.read()
		if r.Op != link.OpRefused {
			t.Fatal(r.Op)
		}
		return r.Code
	}
	if code := hop(evil, d.b.Host); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	evil.n++
	evil.write(link.Request{Op: link.OpCard, N: evil.n, Host: d.b.Host})
	if r := evil.read(); r.Code != protocol.CodeNotAllowed {
		t.Fatal(r)
	}
	// With a grant, but to itself, to a relay that does not exist, and beyond the day's part.
	friend := newCaller(t)
	host := friendlyRelay(t, friend)
	d.f.Well("PUT", "/api/1/grants/"+host, d.annPhone.Ready.Token, map[string]int64{"until": d.now() + 3600_000, "daily": 2000}, nil)
	friend.host = host
	friend.calls(d.f)
	if code := hop(friend, d.f.Host); code != protocol.CodeBadRequest {
		t.Fatal("a loop:", code)
	}
	if code := hop(friend, host); code != protocol.CodeBadRequest {
		t.Fatal("back to where it came from:", code)
	}
	if code := hop(friend, d.b.Host); code != protocol.CodeBadRequest {
		t.Fatal("sealed to another:", code)
	}
	for hop(friend, d.b.Host) != protocol.CodeRateLimited {
	}
	// The next day, and after it is over.
	d.a.Clock.Move(30 * 60 * 1e9)
	d.f.Well("PUT", "/api/1/grants/"+host, d.annPhone.Ready.Token, map[string]int64{"until": 0, "daily": 0}, nil)
	if code := hop(friend, d.b.Host); code != protocol.CodeNotAllowed {
		t.Fatal(code)
	}
	// Only the owner gives and sees grants.
	ben := d.f.Guest(d.annPhone, "ben")
	benPhone := d.f.Connect(ben, ben.Phone)
	d.f.Refused(protocol.CodeNotAllowed, "PUT", "/api/1/grants/"+d.a.Host, benPhone.Ready.Token, map[string]int64{"until": 1, "daily": 1})
	d.f.Refused(protocol.CodeNotAllowed, "GET", "/api/1/grants", benPhone.Ready.Token, nil)
}

// friendlyRelay is a real relay whose key the caller has taken; it returns its host.
func friendlyRelay(t *testing.T, c *caller) string {
	t.Helper()
	r := relaytest.Start(t, relaytest.Options{})
	raw, err := os.ReadFile(filepath.Join(r.Data, "relay.key"))
	must(t, err)
	seed, err := protocol.DecodeBytes(strings.TrimSpace(string(raw)))
	must(t, err)
	c.key = protocol.SignSecretOf([32]byte(seed))
	return r.Host
}
