// Package webfinger says who has a name here to anybody who asks, and reads what
// other courtyards say (RFC 7033, section 14 of protocol/README.md).
//
// It must never tell whether somebody exists who does not want to be found, and
// what it reads is that courtyard's word, not a proof.
package webfinger

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
)

const (
	// Path is where every courtyard answers.
	Path = "/.well-known/webfinger"
	// MediaType of the answer.
	MediaType = "application/jrd+json"
	// Most bounds an answer, bytes. Other software's may be longer than ours.
	Most = 16 << 10

	scheme   = "acct:"
	relRelay = "urn:courtyard:relay"
)

// Person is somebody with a name at a courtyard.
type Person struct {
	UID      protocol.UID `json:"uid"`
	Username string       `json:"username"`
	Host     string       `json:"host"` // where their relay is, host[:port]
}

// document is the answer, a JSON Resource Descriptor; other keys of it mean nothing here.
type document struct {
	Subject    string     `json:"subject"`
	Properties properties `json:"properties"`
	Links      []link     `json:"links"`
}

type properties struct {
	UID protocol.UID `json:"urn:courtyard:uid"`
}

type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href,omitempty"`
}

// Query is path and query of the question who has the name username at host[:port].
func Query(username, host string) string {
	return Path + "?" + url.Values{"resource": {scheme + username + "@" + host}}.Encode()
}

// Write is the answer about p. Code: bad-request if its host is none.
func Write(p Person) ([]byte, error) {
	base, err := reach.Base(p.Host)
	if err != nil {
		return nil, err
	}
	return protocol.Marshal(document{scheme + p.Username + "@" + p.Host, properties{p.UID}, []link{{relRelay, base}}})
}

// Read is the answer of another courtyard. It may name a relay at another place.
// Codes: bad-request, too-large.
func Read(raw []byte) (Person, error) {
	const op = "webfinger.Read"
	var d document
	if len(raw) > Most {
		return Person{}, &protocol.Error{Op: op, Code: protocol.CodeTooLarge, Params: map[string]any{"limit": Most}}
	}
	if err := protocol.DecodeOpen(raw, &d, 8); err != nil {
		return Person{}, err
	}
	name, ok := strings.CutPrefix(d.Subject, scheme)
	handle, err := protocol.ParseHandle(name)
	if !ok || err != nil {
		return Person{}, protocol.Refuse(op, protocol.CodeBadRequest, "subject")
	}
	for _, l := range d.Links {
		if l.Rel != relRelay {
			continue
		}
		_, text, _ := strings.Cut(l.Href, "://")
		host, err := protocol.ParseHost(text)
		if err != nil {
			return Person{}, err
		}
		if base, err := reach.Base(host); err != nil || base != l.Href {
			return Person{}, protocol.Refuse(op, protocol.CodeBadRequest, "the relay's address is not https://host[:port]")
		}
		return Person{d.Properties.UID, handle.Username, host}, nil
	}
	return Person{}, protocol.Refuse(op, protocol.CodeBadRequest, "no relay")
}

// Finder knows who may be found by name.
type Finder interface {
	// Find answers who has a name, to asker: the zero uid is anybody. Code: not-found.
	Find(ctx context.Context, username string, asker protocol.UID) (protocol.UID, error)
}

// Route answers for the names at hosts, of which the first is the public one.
func Route(hosts []string, finder Finder) gate.Route {
	return gate.Route{
		Method: http.MethodGet, Path: Path, PerAddress: limit.Rate{N: 30, Per: time.Minute},
		Handle: func(call *gate.Call) error {
			call.Writer().Header().Set("Access-Control-Allow-Origin", "*") // RFC 7033 section 5
			name, ok := strings.CutPrefix(call.Query("resource"), scheme)
			handle, err := protocol.ParseHandle(name)
			if !ok || err != nil {
				return protocol.Refuse("webfinger.Route", protocol.CodeBadRequest, "resource is not acct:name@host")
			}
			// A name elsewhere is not ours to know; the same question is asked as for one here.
			uid, err := finder.Find(call.Context(), handle.Username, protocol.UID{})
			if err != nil {
				return err
			}
			for _, host := range hosts {
				if host != protocol.JoinHost(handle.IP, handle.Port) {
					continue
				}
				raw, err := Write(Person{uid, handle.Username, hosts[0]})
				if err != nil {
					return err
				}
				return call.Blob(MediaType, raw)
			}
			return &protocol.Error{Op: "webfinger.Route", Code: protocol.CodeNotFound}
		},
	}
}
