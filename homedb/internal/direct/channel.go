package direct

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/pion/datachannel"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// taking is how long a device may let an answer wait. One that takes nothing for
// so long is gone, or does not mean well.
const taking = 30 * time.Second

// Channel is an open channel of a device. One goroutine receives, one sends.
type Channel struct {
	path   *path
	raw    datachannel.ReadWriteCloserDeadliner
	buffer []byte
}

// Device is whose it is.
func (c *Channel) Device() ident.Device { return c.path.device }

// Session is the link session that vouched for it.
func (c *Channel) Session() handshake.SessionID { return c.path.session }

// Receive waits for a message. A device that has been revoked is not heard.
func (c *Channel) Receive(ctx context.Context) ([]byte, error) {
	if c.buffer == nil {
		c.buffer = make([]byte, maxMessage+1)
	}
	n, text, err := c.raw.ReadDataChannel(c.buffer)
	switch {
	case err != nil && !errors.Is(err, io.ErrShortBuffer):
		return nil, err
	case err != nil, !text, n > maxMessage:
		c.path.count("message-bad")
		return nil, errors.New("direct: not a message of the channel")
	case !c.path.paths.c.Active(ctx, c.path.key.device):
		c.path.count("revoked")
		return nil, protocol.Refuse("direct", protocol.CodeNotAllowed, "not an active device")
	}
	return slices.Clone(c.buffer[:n]), nil
}

// Send waits until there is room: what a device does not take is not made. An
// error ends the channel.
func (c *Channel) Send(ctx context.Context, message []byte) error {
	if err := c.raw.SetWriteDeadline(time.Now().Add(taking)); err != nil {
		return err
	}
	// Set last, so that it wins: a write must not outlive the connection.
	defer context.AfterFunc(ctx, func() { c.raw.SetWriteDeadline(time.Unix(1, 0)) })() //nolint:errcheck // it is over either way
	_, err := c.raw.WriteDataChannel(message, true)
	return err
}

func (n *path) count(what string) { n.paths.count(what) }

// Close lets a Receive that waits return.
func (c *Channel) Close() {
	if err := c.raw.SetReadDeadline(time.Unix(1, 0)); err != nil {
		c.path.count("channel-bad")
	}
}
