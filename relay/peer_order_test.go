package relay_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// callee is a relay of the test's own that is called, and answers when it likes.
type callee struct {
	t       *testing.T
	key     protocol.SignSecret
	host    string
	tom     *relaytest.Person // who lives there
	conn    *websocket.Conn
	session *link.Session
	greeted chan struct{} // closed when conn and session are there
	ctx     context.Context
}

func newCallee(t *testing.T) *callee {
	t.Helper()
	key, err := protocol.NewSignSecret(rand.Reader)
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	c := &callee{t: t, key: key, greeted: make(chan struct{}), ctx: ctx}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/1/chains/{uid}", func(w http.ResponseWriter, r *http.Request) {
		answer, err := protocol.Marshal(map[string][]protocol.Signed{"records": c.tom.Chain.Records(0)})
		if err != nil || r.PathValue("uid") != c.tom.UID.String() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // the test waits for what comes of it
	})
	mux.HandleFunc("GET /api/1/link", c.receive)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		cancel()
		server.Close()
	})
	c.host = strings.TrimPrefix(server.URL, "http://")
	host, port, err := protocol.SplitHost(c.host)
	must(t, err)
	c.tom = relaytest.NewPerson(t, "tom", ident.Relay{Key: key.Public(), Host: host, Port: port}, time.Now())
	return c
}

// receive lets the one link in, and keeps it for the test.
func (c *callee) receive(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		c.t.Error(err)
		return
	}
	conn.SetReadLimit(link.MaxFrame)
	session, err := c.greet(r, conn)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.conn, c.session = conn, session
	close(c.greeted)
	<-c.ctx.Done()
}

func (c *callee) greet(r *http.Request, conn *websocket.Conn) (*link.Session, error) {
	_, hello, err := conn.Read(r.Context())
	if err != nil {
		return nil, err
	}
	stranger, answer, err := link.Receive(rand.Reader, c.key, func(host string) bool { return host == c.host }, hello)
	if err != nil {
		return nil, err
	}
	if err := conn.Write(r.Context(), websocket.MessageText, answer); err != nil {
		return nil, err
	}
	_, proof, err := conn.Read(r.Context())
	if err != nil {
		return nil, err
	}
	return stranger.Finish(proof)
}

// put is the next letter that comes.
func (c *callee) put() link.Request {
	c.t.Helper()
	for {
		_, frame, err := c.conn.Read(c.ctx)
		must(c.t, err)
		plaintext, err := c.session.Open(frame)
		must(c.t, err)
		r, err := link.ParseRequest(plaintext)
		must(c.t, err)
		if r.Op == link.OpPut {
			return r
		}
	}
}

func (c *callee) answers(r link.Response) {
	c.t.Helper()
	seals(c.t, c.ctx, c.conn, c.session, r)
}

// A relay refuses what follows a refused letter, until that comes again. So nothing
// new may go while the refusals of those between are still on their way.
func TestNothingOvertakesWhatIsGoingToBeRefused(t *testing.T) {
	t.Parallel()
	a, b := relaytest.Start(t, relaytest.Options{}), newCallee(t)
	mei := a.Owner("mei")
	phone := a.Connect(mei, mei.Phone)
	a.Allow(phone, b.tom)
	host, port, err := protocol.SplitHost(b.host)
	must(t, err)
	sends := func() {
		e := a.Envelope(mei, b.tom, protocol.TypeChat, 100)
		e.To.IP, e.To.Port = host, port
		phone.Sends(e)
	}

	for range 3 {
		sends()
	}
	select {
	case <-b.greeted:
	case <-b.ctx.Done():
		t.Fatal("it has not called")
	}
	first := []int64{b.put().N, b.put().N, b.put().N}
	b.answers(link.Response{Op: link.OpRefused, N: first[0], Code: protocol.CodeChainNeeded})
	if again := b.put().N; again != first[0] {
		t.Fatal(again, "came, and the first is due again")
	}
	sends() // while the second and third are unanswered
	sends()
	for _, n := range first[1:] {
		b.answers(link.Response{Op: link.OpRefused, N: n, Code: protocol.CodeChainNeeded})
	}
	b.answers(link.Response{Op: link.OpAccepted, N: first[0]})
	then := []int64{b.put().N, b.put().N, b.put().N, b.put().N}
	if !slices.IsSorted(then) || then[0] != first[1] || then[1] != first[2] {
		t.Fatal("they come as", then, "after", first)
	}
}
