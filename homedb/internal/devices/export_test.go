package devices

import (
	"context"

	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Take is what the fuzzers reach for.
var Take = (*Devices).take

// Answer is the whole answer, also of what takes its time.
func Answer(d *Devices, ctx context.Context, device ident.Device, plain []byte) []byte {
	answer, rest := d.answer(ctx, caller{device: device}, plain)
	if rest != nil {
		answer = rest(ctx)
	}
	return answer
}
