package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// halfway begins to send a file and stops once the relay has begun to read it.
func (p *pair) halfway(t *testing.T, u upload, token string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Host)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		u.piece(0, len(u.data)), p.Host, token, len(u.data))
	must(t, err)
	reader := bufio.NewReader(conn)
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
		line, err := reader.ReadString('\n')
		must(t, err)
		if line != want {
			t.Fatalf("the relay says %q", line)
		}
	}
	return conn, reader
}

func TestOnePersonHoldsFewBodies(t *testing.T) {
	t.Parallel()
	p := newPair(t, relaytest.Options{})
	mei, tom := p.meiPhone.Ready.Token, p.tomPhone.Ready.Token
	var conns [4]net.Conn
	var readers [4]*bufio.Reader
	var files [4]upload
	for i := range 4 {
		files[i] = p.newUpload(t, 1<<20, p.mei)
		conns[i], readers[i] = p.halfway(t, files[i], mei)
	}
	fifth := p.newUpload(t, 1<<20, p.mei)
	if a := p.put(fifth, mei, 0, 1<<20); a.Code != protocol.CodeRateLimited || a.Header.Get("Retry-After") == "" {
		t.Fatal(a.Status, string(a.Body))
	}
	// Small things pass, and so do other people.
	p.Well("PUT", "/api/1/contacts/"+protocol.UID{7}.String(), mei, state{"block"}, nil)
	if a := p.put(p.newUpload(t, 1000, p.mei), mei, 0, 1000); a.Status != 200 {
		t.Fatal(a.Status, string(a.Body))
	}
	if a := p.put(p.newUpload(t, 1<<20, p.tom), tom, 0, 1<<20); a.Status != 200 {
		t.Fatal(a.Status, string(a.Body))
	}
	// One that goes on ends well, one that goes away leaves its place.
	_, err := conns[0].Write(files[0].data)
	must(t, err)
	res, err := http.ReadResponse(readers[0], nil)
	must(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 200 {
		t.Fatal(res.StatusCode)
	}
	must(t, conns[1].Close())
	for _, u := range []upload{fifth, files[1]} {
		if a := p.put(u, mei, 0, 1<<20); a.Status != 200 {
			t.Fatal(a.Status, string(a.Body))
		}
	}
}
