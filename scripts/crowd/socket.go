package crowd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/coder/websocket"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

// Socket is a browser's connection (section 12).
type Socket struct {
	Conn  *websocket.Conn
	Ready handshake.Ready
}

// Frame is what the relay sends after ready.
type Frame struct {
	Op     string          `json:"op"`
	ID     protocol.ID     `json:"id"`
	Code   string          `json:"code"`
	N      int64           `json:"n"`
	Env    json.RawMessage `json:"env"`
	What   string          `json:"what"`
	Params json.RawMessage `json:"params"`
}

const maxFrame = 256 << 10

// Connect opens a socket of p's browser, as a tab of its own.
func (p *Person) Connect(ctx context.Context) (_ *Socket, err error) {
	ctx, stop := context.WithTimeout(ctx, Patience)
	defer stop()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(p.Yard.URL, "http")+"/api/1/socket", &websocket.DialOptions{HTTPClient: p.Client})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.CloseNow() //nolint:errcheck // there is an error to tell already
		}
	}()
	conn.SetReadLimit(maxFrame)
	_, raw, err := conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	challenge, err := handshake.ParseChallenge(raw)
	if err != nil {
		return nil, err
	}
	nonce, err := protocol.NewNonce(Random)
	if err != nil {
		return nil, err
	}
	instance, err := protocol.NewID(Random)
	if err != nil {
		return nil, err
	}
	device := p.Keys.ID()
	auth, err := protocol.Marshal(handshake.Auth{Op: handshake.OpAuth, UID: p.UID, Device: device, Nonce: nonce, Instance: instance,
		Sig: handshake.AuthSign(p.Keys, challenge.Nonce, p.Yard.At.Key, p.Yard.Host, p.UID, device)})
	if err != nil {
		return nil, err
	}
	if err := conn.Write(ctx, websocket.MessageText, auth); err != nil {
		return nil, err
	}
	if _, raw, err = conn.Read(ctx); err != nil {
		return nil, err
	}
	s := &Socket{Conn: conn}
	if s.Ready, err = handshake.ParseReady(raw); err != nil {
		return nil, fmt.Errorf("%w: %s", err, raw)
	}
	if !handshake.ReadyVerify(p.Yard.At.Key, s.Ready.Proof, nonce, p.UID) {
		return nil, fmt.Errorf("the relay has not proven itself")
	}
	return s, nil
}

// Read takes the next frame.
func (s *Socket) Read(ctx context.Context) (f Frame, err error) {
	_, raw, err := s.Conn.Read(ctx)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(raw, &f)
}

// Write is not cut short by ctx, which would break the connection.
func (s *Socket) Write(ctx context.Context, frame []byte) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), Patience)
	defer stop()
	return s.Conn.Write(ctx, websocket.MessageText, frame)
}

// Idle reads and forgets until the connection ends: pings are answered on the way.
func (s *Socket) Idle() {
	go func() {
		for {
			if _, _, err := s.Conn.Read(context.Background()); err != nil {
				return
			}
		}
	}()
}

// Close says goodbye.
func (s *Socket) Close() error { return s.Conn.Close(websocket.StatusNormalClosure, "") }
