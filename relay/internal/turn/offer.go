package turn

import (
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

// Offered is where devices are sent.
type Offered struct {
	STUN, URLs []string
	// Secret is shared with another TURN server, which URLs name; zero: they are this one's.
	Secret protocol.Secret
}

// Offer is the answer to a device that asks how to get past NATs. exp is when the
// device ends, 0 for never. Code: internal.
func (s *Server) Offer(uid protocol.UID, id protocol.DeviceID, exp int64) (handshake.Turn, error) {
	offer := handshake.Turn{Op: handshake.OpTurn, STUN: s.config.Offered.STUN, URLs: []string{}}
	if offer.STUN == nil {
		offer.STUN = []string{}
	}
	if len(s.config.Offered.URLs) == 0 || s.ledger.spent(uid) {
		return offer, nil
	}
	offer.URLs = s.config.Offered.URLs
	if !s.config.Offered.Secret.IsZero() {
		until := s.config.Now().Add(credentialLife)
		if exp != 0 && exp < until.UnixMilli() {
			until = time.UnixMilli(exp)
		}
		offer.Username, offer.Credential = shared(s.config.Offered.Secret, s.credentials.alias(uid), until)
		offer.Until = until.UnixMilli()
		return offer, nil
	}
	var err error
	offer.Username, offer.Credential, offer.Until, err = s.credentials.issue(deviceOf(Device{uid, id}), exp)
	return offer, err
}
