package link_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"slices"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/link"
)

const now = 1_790_000_000_000

// aHop seals frames from one relay to another.
func aHop(t testing.TB, from, to protocol.SignSecret, frames ...link.Request) ([]byte, link.HopKey) {
	t.Helper()
	sealed, back, err := link.SealHop(rand.Reader, from, hostA, to.Public(), link.BoxSecret(to).Public(), now, frames...)
	must(t, err)
	return sealed, back
}

func TestTheLargestFramesFitIntoAHopRecord(t *testing.T) {
	t.Parallel()
	keyA, keyB := key(t), key(t)
	record := protocol.Signed{Payload: make([]byte, link.MaxRecords*3/4-200), By: keyA.Public()}
	for _, frame := range []link.Request{
		{Op: link.OpPut, N: 1 << 52, Env: json.RawMessage(`"` + string(bytes.Repeat([]byte("e"), protocol.MaxEnvelope-2)) + `"`), Quiet: true},
		{Op: link.OpChain, UID: protocol.UID{1}, At: 999, Records: []protocol.Signed{record}, More: true},
		{Op: link.OpPart, N: 1 << 52, Offset: 20 << 20, Data: make([]byte, link.MaxPart)},
	} {
		sealed, _ := aHop(t, keyA, keyB, frame)
		h, _, err := link.OpenHop(keyB, sealed, now)
		if err != nil || len(h.Frames) != 1 || h.From != keyA.Public() || h.Host != hostA {
			t.Errorf("%s: %v", frame.Op, err)
		}
	}
}

// A relay in between may bring a record twice, and what happened since makes the
// second answer another one. Were both sealed alike, it could read and forge them.
func TestTwoAnswersToOneRecordAreSealedApart(t *testing.T) {
	t.Parallel()
	keyA, keyB := key(t), key(t)
	sealed, key := aHop(t, keyA, keyB, link.Request{Op: link.OpSpend, N: 1, ID: protocol.ID{1}, UID: protocol.UID{1}})
	answers := [][]byte{}
	for range 2 {
		_, back, err := link.OpenHop(keyB, sealed, now)
		must(t, err)
		answer, err := back.Seal(rand.Reader, link.Response{Op: link.OpAccepted, N: 1})
		must(t, err)
		if r, err := key.Open(answer); err != nil || r.Op != link.OpAccepted {
			t.Fatal(r, err)
		}
		answers = append(answers, answer)
	}
	const nonce = 24
	if bytes.Equal(answers[0][:nonce], answers[1][:nonce]) || bytes.Equal(answers[0][nonce+16:], answers[1][nonce+16:]) {
		t.Error("the same key stream twice")
	}
}

func TestAnyChangedByteOfAHopRecordIsRefused(t *testing.T) {
	t.Parallel()
	keyA, keyB := key(t), key(t)
	sealed, back := aHop(t, keyA, keyB, link.Request{Op: link.OpSpend, N: 1, ID: protocol.ID{1}, UID: protocol.UID{1}})
	_, answering, err := link.OpenHop(keyB, sealed, now)
	must(t, err)
	answer, err := answering.Seal(rand.Reader, link.Response{Op: link.OpAccepted, N: 1})
	must(t, err)
	for at := range sealed {
		changed := slices.Clone(sealed)
		changed[at] ^= 1 << (at % 8)
		if _, _, err := link.OpenHop(keyB, changed, now); err == nil {
			t.Errorf("record, byte %d", at)
		}
	}
	for at := range answer {
		changed := slices.Clone(answer)
		changed[at] ^= 1 << (at % 8)
		if _, err := back.Open(changed); err == nil {
			t.Errorf("answer, byte %d", at)
		}
	}
	for _, n := range []int{0, 1, 23, 24, 33, 40, len(answer) - 1} {
		if _, err := back.Open(answer[:n]); err == nil {
			t.Errorf("answer of %d bytes", n)
		}
		if _, _, err := link.OpenHop(keyB, sealed[:n], now); err == nil {
			t.Errorf("record of %d bytes", n)
		}
	}
	if _, _, err := link.OpenHop(keyA, sealed, now); err == nil {
		t.Error("opened by who wrote it")
	}
}
