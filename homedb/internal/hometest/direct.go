package hometest

import (
	"net/netip"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/direct/directtest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

// Directly lets devices on this machine connect to a home directly.
func (c *Courtyard) Directly() func(*household.Config) {
	c.Helper()
	return func(h *household.Config) {
		n, err := direct.Open(c.Context(), direct.Settings{Named: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Logger: h.Logger, Counted: func(string) {}, Open: func(int) {}})
		if err != nil {
			c.Fatal(err)
		}
		c.Cleanup(func() {
			if err := n.Close(); err != nil {
				c.Error(err)
			}
		})
		h.Network = n
	}
}

// Calls opens a direct connection, vouched for by this session.
func (l *Linked) Calls(t testing.TB) (*directtest.Phone, protocol.ID) {
	l.Helper()
	return l.calls(t, directtest.Plan{})
}

// CallsThroughTurn is Calls where the phone cannot reach anybody but the relay.
func (l *Linked) CallsThroughTurn(t testing.TB) (*directtest.Phone, protocol.ID) {
	l.Helper()
	raw, err := l.line.Ask(l.Context(), handshake.OpTurn, "")
	l.must(err)
	offer, err := handshake.ParseTurn(raw)
	l.must(err)
	return l.calls(t, directtest.Plan{Through: &webrtc.ICEServer{URLs: offer.URLs[:1], Username: offer.Username, Credential: offer.Credential}})
}

func (l *Linked) calls(t testing.TB, plan directtest.Plan) (*directtest.Phone, protocol.ID) {
	l.Helper()
	p := directtest.New(t, plan)
	id, err := protocol.NewID(Random)
	l.must(err)
	var answer struct {
		SDP string `json:"sdp"`
	}
	l.must(l.Asks("direct", map[string]any{"id": id, "sdp": p.Offers()}, &answer))
	p.Takes(answer.SDP)
	p.Opens()
	return p, id
}
