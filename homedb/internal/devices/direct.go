package devices

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/protocol"
)

// direct answers what concerns direct connections (section 17).
func (d *Desk) direct(ctx context.Context, from caller, r request) (json.RawMessage, later, error) {
	if d.c.Direct == nil {
		return nil, nil, refuse(protocol.CodeUnavailable)
	}
	var p struct {
		ID         protocol.ID `json:"id,omitempty"`
		SDP        string      `json:"sdp,omitempty"`
		Candidates []string    `json:"candidates,omitempty"`
		Ufrag      string      `json:"ufrag,omitempty"`
		Pwd        string      `json:"pwd,omitempty"`
		To         []string    `json:"to,omitempty"`
	}
	if err := params(r.P, &p); err != nil {
		return nil, nil, err
	}
	device := from.device.ID()
	nothing := json.RawMessage("{}")
	switch r.M {
	case "direct":
		offered, err := d.c.Direct.Offer(from.device, from.session, p.ID, p.SDP)
		if err != nil {
			return nil, nil, err
		}
		return nil, func(ctx context.Context) (json.RawMessage, error) {
			sdp, err := offered.Answer(ctx)
			return encode(map[string]string{"sdp": sdp}), err
		}, nil
	case "direct-more":
		return nothing, nil, d.c.Direct.More(device, p.ID, p.Candidates)
	case "direct-end":
		d.c.Direct.End(device, p.ID)
		return nothing, nil, nil
	case "direct-path":
		way, err := d.c.Direct.Where(device, p.ID)
		return encode(way), nil, err
	default: // probe
		return nil, func(ctx context.Context) (json.RawMessage, error) {
			probed, err := d.c.Direct.Probe(ctx, from.device, p.Ufrag, p.Pwd, p.To)
			return encode(probed), err
		}, nil
	}
}

// paths is what status says about direct connections.
func (d *Desk) paths() direct.Status {
	if d.c.Direct == nil {
		return direct.Status{}
	}
	return d.c.Direct.Status()
}

// Serve answers a device over a direct connection, as over the link. A device that
// asks faster than it takes the answers waits: its requests are not read meanwhile.
func (d *Desk) Serve(ctx context.Context, c *direct.Channel) {
	ctx, stop := context.WithCancel(ctx)
	frames := make(chan []byte, maxAhead)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer c.Close()
	defer stop()
	reading.Go(func() {
		defer close(frames)
		for {
			frame, err := c.Receive(ctx)
			if err != nil {
				return
			}
			select {
			case frames <- frame:
			case <-ctx.Done():
				return
			}
		}
	})
	d.converse(ctx, voice{caller: caller{c.Device(), c.Session()}, frames: frames,
		open: func(frame []byte) ([]byte, error) { return frame, nil }, say: c.Send})
}
