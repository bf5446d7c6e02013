// Package elsewhere asks other courtyards what people here want to know: chains,
// UEK records, invites, who has a name (section 14, lookups). What comes back is
// read strictly and written anew, so that no page of somebody else's reaches an
// app; whether it is true the asker finds out, as with an answer from here.
//
// It must never tell another courtyard who is asking, and never answer with a
// chain or a UEK record that it has kept: whoever asks has met something that is
// newer than what they know.
package elsewhere

import (
	"context"
	"net/http"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
)

const (
	// questions that are under way at once: of all people, of one, and to one
	// courtyard. An answer takes up to some 6 MB of memory and 10 s. Others wait for wait.
	questions     = 16
	questionsEach = 4
	questionsTo   = 8
	wait          = 5 * time.Second
)

// perPerson: somebody with many friends elsewhere asks for each when the app opens.
var perPerson = limit.Rate{N: 300, Per: time.Minute}

// Getter is the guarded dialer.
type Getter interface {
	Get(ctx context.Context, host, path, accept string, most int64) (reach.Answer, error)
}

// Lookups asks. Safe for use by several goroutines.
type Lookups struct {
	getter Getter
	own    map[string]bool
	shut   func(host string) bool
	rate   *limit.Book
	asking *limit.Slots // by person
	asked  *limit.Slots // by courtyard, so that one that hangs does not hold up the others
	found  *found
}

// New makes lookups; hosts are the relay's own, refused those its owner has nothing to do with.
func New(getter Getter, hosts []string, refused func(host string) bool, now func() time.Time) *Lookups {
	l := &Lookups{
		getter: getter, shut: refused, own: map[string]bool{}, rate: limit.NewBook(perPerson, now), found: newFound(now),
		asking: limit.NewSlots(questions, questionsEach, wait), asked: limit.NewSlots(questions, questionsTo, wait),
	}
	for _, host := range hosts {
		l.own[host] = true
	}
	return l
}

// Courtyard is another courtyard, as somebody here asks it.
type Courtyard struct {
	lookups *Lookups
	host    string
	asker   protocol.UID
}

// Of is the courtyard that host= of a call names, nil if there is none or it is
// this one. For another the call needs a token. Codes: bad-request, unauthorized,
// rate-limited, not-allowed for one that the owner refuses.
func (l *Lookups) Of(call *gate.Call) (*Courtyard, error) {
	text := call.Query("host")
	if text == "" {
		return nil, nil
	}
	host, err := protocol.ParseHost(text)
	if err != nil {
		return nil, err
	}
	if l.own[host] {
		return nil, nil
	}
	if err := call.Identify(); err != nil {
		return nil, err
	}
	if err := l.rate.Allow(call.Caller.UID.String()); err != nil {
		return nil, err
	}
	if l.shut(host) {
		return nil, protocol.Refuse("elsewhere.Of", protocol.CodeNotAllowed, "a courtyard that is refused")
	}
	return &Courtyard{l, host, call.Caller.UID}, nil
}

// Host is host[:port] of the courtyard.
func (c *Courtyard) Host() string { return c.host }

// Get asks for path and takes an answer of status 200, at most most bytes. Codes:
// address-refused; not-found and invite-unknown if the courtyard says so;
// rate-limited; unavailable; peer-away if there is no answer, or another.
func (c *Courtyard) Get(ctx context.Context, path, accept string, most int64) (reach.Answer, error) {
	const op = "elsewhere.Get"
	done, err := c.lookups.asked.Take(ctx, c.host)
	switch {
	case protocol.CodeOf(err) == protocol.CodeRateLimited: // so many wait for it already, and it does not answer
		return reach.Answer{}, &protocol.Error{Op: op, Code: protocol.CodePeerAway, Cause: err}
	case err != nil:
		return reach.Answer{}, err
	}
	defer done()
	done, err = c.lookups.asking.Take(ctx, c.asker.String())
	if err != nil {
		return reach.Answer{}, err
	}
	defer done()
	answer, err := c.lookups.getter.Get(ctx, c.host, path, accept, most)
	if err != nil {
		return reach.Answer{}, err
	}
	if answer.Status != http.StatusOK {
		return reach.Answer{}, &protocol.Error{Op: op, Code: said(answer), Params: waitOf(answer)}
	}
	return answer, nil
}

// problem is what of a problem is believed.
type problem struct {
	Code   string `json:"code"`
	Params params `json:"params"`
}

type params struct {
	Wait int64 `json:"wait,omitempty"`
}

func problemOf(answer reach.Answer) problem {
	var p problem
	if err := protocol.DecodeOpen(answer.Body, &p, 4); err != nil {
		return problem{} // a page of some other server: it says nothing to us
	}
	return p
}

// said is the code to pass on for an answer that is none: what the other side
// may say about its own things, and peer-away for the rest.
func said(answer reach.Answer) string {
	switch code := problemOf(answer).Code; {
	case code == protocol.CodeNotFound && answer.Status == http.StatusNotFound,
		code == protocol.CodeInviteUnknown && answer.Status == http.StatusNotFound,
		code == protocol.CodeRateLimited && answer.Status == http.StatusTooManyRequests:
		return code
	}
	return protocol.CodePeerAway
}

func waitOf(answer reach.Answer) map[string]any {
	if said(answer) != protocol.CodeRateLimited {
		return nil
	}
	ms := problemOf(answer).Params.Wait
	return map[string]any{"wait": max(1, min(ms, time.Hour.Milliseconds()))}
}
