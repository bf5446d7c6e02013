package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/courtyard-social/courtyard/protocol"
)

// Base is the start of every URL of the courtyard at host[:port]: https, and http
// for localhost and loopback addresses alone; the host in the form of section 1.
// A websocket is dialled with the same. Code: bad-request.
func Base(host string) (string, error) {
	name, port, err := protocol.SplitHost(host)
	if err != nil {
		return "", err
	}
	if Plain(name) {
		// Only https leaves 443 out.
		u := url.URL{Scheme: "http", Host: protocol.JoinHost(name, port)}
		if port == protocol.DefaultPort {
			u.Host += fmt.Sprintf(":%d", port)
		}
		return u.String(), nil
	}
	return "https://" + protocol.JoinHost(name, port), nil
}

// Plain reports whether a host without port is reached by http: only where
// nothing leaves this machine.
func Plain(name string) bool {
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.IsLoopback()
}

// guard refuses URLs whose scheme does not fit their host.
type guard struct{ *http.Transport }

// RoundTrip implements http.RoundTripper. Code: address-refused.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" || r.URL.Scheme == "http" && Plain(r.URL.Hostname()) {
		return g.Transport.RoundTrip(r)
	}
	if r.Body != nil { // a RoundTripper closes it, whatever happens
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	return nil, refused("scheme " + r.URL.Scheme)
}

// Client is for what Get does not do: websockets, POST. It follows no redirect
// (a 3xx is the answer), keeps no cookies, and has no timeout of its own but for
// connecting and for the head of the answer: the context's must bound the rest,
// and the caller the size of a body.
func (d *Dialer) Client() *http.Client { return d.client }

// Answer is what another courtyard said.
type Answer struct {
	Status int // never 3xx
	Header http.Header
	Body   []byte
}

// Get asks the courtyard at host[:port] for path, which begins with / and may
// have a query, and takes an answer of at most most bytes. It is over within the
// dialer's patience. Codes: bad-request if host is none; address-refused, also
// for a redirect; peer-away if nothing comes, or more than most, or it stops halfway.
func (d *Dialer) Get(ctx context.Context, host, path, accept string, most int64) (Answer, error) {
	base, err := Base(host)
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return Answer{}, &protocol.Error{Op: "reach.Get", Code: protocol.CodeBadRequest, Cause: err}
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "courtyard")
	res, err := d.client.Do(r)
	if err != nil {
		return Answer{}, failed(err)
	}
	body, err := bounded(res, most)
	if closed := res.Body.Close(); err == nil {
		err = closed
	}
	switch {
	case res.StatusCode/100 == 3:
		return Answer{}, protocol.Refuse("reach.Get", protocol.CodeAddressRefused, "a redirect")
	case err != nil:
		return Answer{}, failed(err)
	}
	return Answer{res.StatusCode, res.Header, body}, nil
}

func bounded(res *http.Response, most int64) ([]byte, error) {
	over := fmt.Errorf("an answer of more than %d bytes", most)
	if res.ContentLength > most {
		return nil, over
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err == nil && int64(len(body)) > most {
		return nil, over
	}
	return body, err
}

// failed keeps what the dialer said, and calls everything else peer-away.
func failed(err error) error {
	if known, ok := errors.AsType[*protocol.Error](err); ok {
		return known
	}
	return &protocol.Error{Op: "reach.Get", Code: protocol.CodePeerAway, Cause: err}
}
