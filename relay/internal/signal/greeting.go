package signal

import (
	"context"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

const (
	authWithin = 10 * time.Second
	authFrame  = 4 << 10
)

var unauthorized = &protocol.Error{Op: "signal.meet", Code: protocol.CodeUnauthorized}

// meet lets the client prove who it is. Codes: unauthorized, bad-request,
// unavailable, internal.
func (s *socket) meet() (handshake.Auth, error) {
	h := s.hub
	// That the connection closes without a word when this context ends is right here.
	ctx, cancel := context.WithTimeout(s.ctx, authWithin)
	defer cancel()
	nonce, err := protocol.NewNonce(h.config.Random)
	if err != nil {
		return handshake.Auth{}, err
	}
	challenge, err := protocol.Marshal(handshake.Challenge{
		Op: handshake.OpChallenge, Nonce: nonce, Key: h.config.Key.Public(), Host: h.config.Hosts[0],
	})
	if err != nil {
		return handshake.Auth{}, err
	}
	s.conn.SetReadLimit(authFrame)
	if err := s.conn.Write(ctx, websocket.MessageText, challenge); err != nil {
		return handshake.Auth{}, gone(err)
	}
	kind, raw, err := receive(ctx, s.conn)
	if err != nil {
		return handshake.Auth{}, gone(err)
	}
	auth, err := handshake.ParseAuth(raw)
	if err != nil || kind != websocket.MessageText {
		return auth, &protocol.Error{Op: "signal.meet", Code: protocol.CodeBadRequest, Cause: err}
	}
	g, found, err := h.config.Store.Greet(ctx, auth.UID, auth.Device)
	if err != nil {
		return auth, err
	}
	// The same work for a stranger as for a wrong signature.
	if proven := s.proven(g.Sign, auth, nonce); !found || !proven || g.Revoked || s.expired(g.Exp) {
		return auth, unauthorized
	}
	s.uid, s.device, s.instance, s.role, s.exp = auth.UID, auth.Device, auth.Instance, g.Role, g.Exp
	return auth, nil
}

// proven tries the names of the relay's own configuration, never one that the
// request brought along, or a relay in the middle could choose it.
func (s *socket) proven(sign protocol.Key32, auth handshake.Auth, nonce protocol.Key32) bool {
	good := false
	for _, host := range s.hub.config.Hosts {
		good = handshake.AuthVerify(sign, auth.Sig, nonce, s.hub.config.Key.Public(), host, auth.UID, auth.Device) || good
	}
	return good
}

func (s *socket) expired(exp int64) bool {
	return exp != 0 && s.hub.config.Now().UnixMilli() >= exp
}

// welcome writes the ready frame. The socket is seated, so events that come
// after what is read here will follow it.
func (s *socket) welcome(auth handshake.Auth, token string) error {
	h := s.hub
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	g, found, err := h.config.Store.Greet(ctx, s.uid, s.device)
	if err != nil {
		return err
	}
	if !found || g.Revoked {
		return unauthorized
	}
	home := handshake.HomeState{State: "none"}
	if g.Home.There {
		home = handshake.HomeState{State: "away", Since: g.Home.Since}
		if g.Home.Online || s.role == ident.RoleHome {
			home.State = "online"
		}
	}
	// A home starts from what is still there, whatever it confirmed: it alone
	// empties the queue.
	if s.role != ident.RoleHome {
		s.mu.Lock() // another tab's confirmation may ask already
		s.sent = g.Cursor
		s.mu.Unlock()
	}
	ready, err := protocol.Marshal(handshake.Ready{
		Op: handshake.OpReady, Token: token, Time: h.config.Now().UnixMilli(), Host: h.config.Hosts[0],
		Username: g.Username, Owner: g.Owner, Proof: handshake.ReadySign(h.config.Key, auth.Nonce, auth.UID),
		Cursor: g.Cursor, Chain: g.Chain, Vault: g.Vault, UEK: g.UEK,
		Home: home, Space: handshake.Space{Used: g.Used, Limit: h.config.Space},
	})
	if err != nil {
		return err
	}
	if err := s.conn.Write(ctx, websocket.MessageText, ready); err != nil {
		return gone(err)
	}
	s.conn.SetReadLimit(maxFrame)
	return nil
}
