package friends

import (
	"context"
	"encoding/json"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
)

// Sender finds the device that wrote a letter, as letter.Open asks for it. ts is
// the envelope's: a device that was revoked later still counts (section 8). The
// relay is asked when the letter names a later place in the chain than is known,
// or a device that is not known.
func (b *Book) Sender(ctx context.Context, ts int64) letter.Sender {
	return func(uid protocol.UID, dev protocol.DeviceID, meta []byte) (ident.Device, bool, error) {
		var claim struct {
			Chain int             `json:"chain"`
			Head  protocol.Hash32 `json:"head"`
		}
		if err := protocol.DecodeOpen(meta, &claim, 4); err != nil {
			return ident.Device{}, false, nil
		}
		chain, err := b.Chain(ctx, uid)
		if err != nil {
			return ident.Device{}, false, err
		}
		if _, listed := chain.Device(dev); !listed || claim.Chain > chain.Seq() {
			if chain, err = b.Refresh(ctx, uid); err != nil {
				return ident.Device{}, false, err
			}
		}
		switch at, ok := chain.HashAt(claim.Chain); {
		case !ok:
			return ident.Device{}, false, ErrBehind
		case at != claim.Head:
			// The letter's writer and the relay know different chains. Sealing to that
			// person stops only when the relay itself shows another chain than before:
			// otherwise one device could stop it by a lie.
			return ident.Device{}, false, ErrFork
		}
		device, author := chain.Author(dev, ts)
		return device, author, nil
	}
}

// AsWritten is the chain as it was when the device with this Ed25519 key was
// still active. What a device wrote into the vault before it was revoked stays
// good until another device writes.
func AsWritten(chain *ident.Chain, sign protocol.Key32) *ident.Chain {
	var id protocol.DeviceID
	records := chain.Records(0)
	for i, r := range records {
		var p struct {
			Op     string            `json:"op"`
			ID     protocol.DeviceID `json:"id,omitempty"`
			Device *ident.Device     `json:"device,omitempty"`
		}
		if json.Unmarshal(r.Payload, &p) != nil {
			continue
		}
		if p.Device != nil && p.Device.Sign == sign {
			id = p.Device.ID()
		}
		if p.Op == ident.OpDeviceRevoke && !id.IsZero() && p.ID == id {
			if earlier, err := ident.ParseChain(records[:i]); err == nil {
				return earlier
			}
		}
	}
	return chain
}
