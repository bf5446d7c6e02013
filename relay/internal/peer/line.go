package peer

import (
	"context"
	"time"

	"github.com/coder/websocket"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
	"github.com/courtyard-social/courtyard/relay/internal/reach"
)

const (
	dialWithin  = 20 * time.Second // connection and handshake
	writeWithin = 30 * time.Second
	pingEvery   = 30 * time.Second
	pongWithin  = 15 * time.Second
)

// line is a websocket whose frames are sealed.
type line struct {
	conn    *websocket.Conn
	session *link.Session
}

// dial opens a link to the relay at host and meets it. Codes: peer-away,
// address-refused, and what a refusal says: version, not-allowed, rate-limited.
func (p *Peers) dial(ctx context.Context, host string) (*line, link.Peer, error) {
	if p.config.Lists.Refused(host) {
		return nil, link.Peer{}, protocol.Refuse("peer.dial", protocol.CodeNotAllowed, "a courtyard that is refused here")
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	base, err := reach.Base(host)
	if err != nil {
		return nil, link.Peer{}, err
	}
	conn, _, err := websocket.Dial(ctx, base+"/api/1/link", &websocket.DialOptions{HTTPClient: p.config.Reach.Client()}) //nolint:bodyclose // the library has it
	if err != nil {
		return nil, link.Peer{}, away(err)
	}
	conn.SetReadLimit(link.MaxFrame)
	l, peer, err := p.meet(ctx, conn, host)
	if err == nil {
		err = p.config.Lists.Takes(ctx, host, peer.Key, true)
	}
	if err != nil {
		conn.CloseNow() //nolint:errcheck // there is nothing to part from
		return nil, link.Peer{}, err
	}
	return l, peer, nil
}

func (p *Peers) meet(ctx context.Context, conn *websocket.Conn, host string) (*line, link.Peer, error) {
	d, hello, err := link.Dial(p.config.Random, p.config.Key, p.config.Hosts[0], host)
	if err != nil {
		return nil, link.Peer{}, err
	}
	if err := conn.Write(ctx, websocket.MessageText, hello); err != nil {
		return nil, link.Peer{}, away(err)
	}
	_, answer, err := conn.Read(ctx)
	if err != nil {
		return nil, link.Peer{}, away(err)
	}
	proof, session, peer, err := d.Finish(answer)
	if err != nil {
		return nil, link.Peer{}, err
	}
	if err := conn.Write(ctx, websocket.MessageText, proof); err != nil {
		return nil, link.Peer{}, away(err)
	}
	return &line{conn, session}, peer, nil
}

// away keeps what the dialer said, and calls everything else peer-away.
func away(err error) error {
	code := protocol.CodeOf(err)
	if code != protocol.CodeAddressRefused {
		code = protocol.CodePeerAway
	}
	return &protocol.Error{Op: "peer.dial", Code: code, Cause: err}
}

// parted keeps what a relay said when it would not have this one after all.
func parted(err error) error {
	if code := protocol.CodeOf(err); code == protocol.CodeNotAllowed || code == protocol.CodeVersion {
		return &protocol.Error{Op: "peer.parted", Code: code, Cause: err}
	}
	return away(err)
}

// write seals and sends one frame. Not for use by several goroutines at once.
func (l *line) write(frame any) error {
	plaintext, err := protocol.Marshal(frame)
	if err != nil {
		return &protocol.Error{Op: "peer.write", Code: protocol.CodeInternal, Cause: err}
	}
	sealed, err := l.session.Seal(plaintext)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeWithin)
	defer cancel()
	return l.conn.Write(ctx, websocket.MessageBinary, sealed)
}

// show sends somebody's chain.
func (l *line) show(uid protocol.UID, records []protocol.Signed) error {
	for _, frame := range showing(uid, records) {
		if err := l.write(frame); err != nil {
			return err
		}
	}
	return nil
}

// showing are the frames that show somebody's chain: several if it is long.
func showing(uid protocol.UID, records []protocol.Signed) []link.Request {
	weight := func(r protocol.Signed) int { return len(r.Payload)*4/3 + 200 }
	frames := []link.Request{}
	for at := 0; at < len(records); {
		size, end := 0, at
		for end < len(records) && (end == at || size+weight(records[end]) <= link.MaxRecords) {
			size += weight(records[end])
			end++
		}
		frames = append(frames, link.Request{Op: link.OpChain, UID: uid, At: at, Records: records[at:end], More: end < len(records)})
		at = end
	}
	return frames
}

// read opens the next frame; it ends with the connection alone, since a
// cancelled read would close it without a word.
func (l *line) read() ([]byte, error) {
	kind, sealed, err := l.conn.Read(context.Background())
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageBinary {
		if err := link.Refused(sealed); err != nil { // it has looked at the proof, and refuses
			return nil, err
		}
		return nil, protocol.Refuse("peer.read", protocol.CodeBadRequest, "not a sealed frame")
	}
	return l.session.Open(sealed)
}

// ping waits for a sign of life.
func (l *line) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pongWithin)
	defer cancel()
	return l.conn.Ping(ctx)
}
