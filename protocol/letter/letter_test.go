package letter_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/internal/vectortest"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// play is Alice, who writes, and Bob and Carol, who read.
type play struct {
	alice, bob, carol *vectortest.Person
}

func newPlay(t testing.TB) *play {
	return &play{vectortest.NewPerson(t, "alice"), vectortest.NewPerson(t, "bob"), vectortest.NewPerson(t, "carol")}
}

func (p *play) envelope(envelopeType string) *protocol.Envelope {
	return vectortest.Envelope(p.alice, p.bob, envelopeType)
}

func (p *play) book() letter.Sender { return vectortest.Book(p.alice, p.bob, p.carol) }

func metaOf(from *vectortest.Person) string {
	return fmt.Sprintf(`{"kind":"text","mid":"%v","dev":"%v","seq":1,"clock":%d,"head":"%v","chain":0,"uek":1}`,
		vectortest.FixedID("mid"), from.Phone.ID(), vectortest.Now, from.Chain.Head())
}

const body = `{"text":"你好 👋 hello"}`

// readers makes n UEKs; the first is Bob's, the second Alice's own.
func (p *play) readers(n int) []ident.UEKSecret {
	out := []ident.UEKSecret{p.bob.UEK, p.alice.UEK}
	for i := 2; i < n; i++ {
		out = append(out, ident.UEKSecret{Counter: int64(i), Secret: protocol.BoxSecretOf(vectortest.Fixed(fmt.Sprintf("reader %d uek", i)))})
	}
	return out[:n]
}

func publics(keys []ident.UEKSecret) (out []protocol.Key32) {
	for _, k := range keys {
		out = append(out, k.Secret.Public())
	}
	return out
}

func (p *play) seal(t testing.TB, e *protocol.Envelope, kind letter.Auth, n int, meta, text string) []byte {
	t.Helper()
	random := vectortest.Random(vectortest.FixedBytes("eph and mk", 64))
	write := letter.Seal
	if kind == letter.AuthSign {
		write = letter.SealSigned
	}
	data, err := write(random, e, p.alice.Phone, publics(p.readers(n)), []byte(meta), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (p *play) open(e *protocol.Envelope, data []byte, keys ...ident.UEKSecret) (*letter.Opened, error) {
	with := *e
	with.Data = data
	return letter.Open(&with, keys, p.book())
}

// refused asserts the one and same error.
func refused(t testing.TB, what string, opened *letter.Opened, err error) {
	t.Helper()
	if opened != nil || !errors.Is(err, letter.ErrLetter) || protocol.CodeOf(err) != protocol.CodeBadRequest ||
		err.Error() != "letter.Open: bad-request: letter cannot be opened" {
		t.Errorf("%s: %v", what, err)
	}
}

type shape struct {
	kind  letter.Auth
	typ   string
	slots int
}

func shapes() []shape {
	var out []shape
	for _, n := range []int{1, 2, 200} {
		out = append(out, shape{letter.AuthMAC, "chat", n}, shape{letter.AuthSign, "room", n})
	}
	return out
}

func TestSealAndOpen(t *testing.T) {
	p := newPlay(t)
	for _, s := range shapes() {
		e := p.envelope(s.typ)
		data := p.seal(t, e, s.kind, s.slots, metaOf(p.alice), body)
		forged := newForgery(e, p.alice.Phone, metaOf(p.alice), body, publics(p.readers(s.slots))...)
		random := vectortest.FixedBytes("eph and mk", 64)
		forged.kind, forged.eph, forged.mk = byte(s.kind), protocol.BoxSecretOf([32]byte(random[:32])), [32]byte(random[32:])
		if !bytes.Equal(forged.letter(t), data) {
			t.Errorf("%+v: not what the specification says", s)
		}
		for i, key := range p.readers(s.slots) {
			got, err := p.open(e, data, p.carol.UEK, key)
			if err != nil {
				t.Fatalf("%+v, reader %d: %v", s, i, err)
			}
			if string(got.Meta) != metaOf(p.alice) || string(got.Body) != body || got.Slot != i || got.UEK != key.Counter ||
				got.Auth != s.kind || got.Device.ID() != p.alice.Phone.ID() || got.Hash != letter.Hash(e.H(), data) {
				t.Errorf("%+v, reader %d: %+v", s, i, got)
			}
		}
		opened, err := p.open(e, data, p.carol.UEK)
		refused(t, "somebody it is not sealed to", opened, err)
		opened, err = p.open(e, data)
		refused(t, "no keys", opened, err)
	}
}

// Every byte of a letter is covered, in every reader's eyes.
func TestEveryByteFlip(t *testing.T) {
	p := newPlay(t)
	for _, s := range shapes() {
		t.Run(fmt.Sprintf("%s, %d slots", s.typ, s.slots), func(t *testing.T) {
			e := p.envelope(s.typ)
			data := p.seal(t, e, s.kind, s.slots, metaOf(p.alice), body)
			key := p.readers(s.slots)[s.slots-1]
			flips := 0
			var mu sync.Mutex
			var group sync.WaitGroup
			for w := range runtime.NumCPU() {
				group.Go(func() {
					mine := bytes.Clone(data)
					n := 0
					for at := w; at < len(mine); at += runtime.NumCPU() {
						mine[at] ^= 1 << (at % 8)
						opened, err := p.open(e, mine, key)
						refused(t, fmt.Sprintf("byte %d", at), opened, err)
						mine[at] = data[at]
						n++
					}
					mu.Lock()
					flips += n
					mu.Unlock()
				})
			}
			group.Wait()
			if flips != len(data) {
				t.Errorf("%d of %d bytes", flips, len(data))
			}
		})
	}
}

func TestEveryBoundHeaderField(t *testing.T) {
	p := newPlay(t)
	for _, s := range []shape{{letter.AuthMAC, "chat", 2}, {letter.AuthSign, "room", 2}} {
		e := p.envelope(s.typ)
		data := p.seal(t, e, s.kind, s.slots, metaOf(p.alice), body)
		for what, edit := range map[string]func(*protocol.Envelope){
			"v": func(e *protocol.Envelope) { e.V = 2 }, "id": func(e *protocol.Envelope) { e.ID[0] ^= 1 },
			"ts": func(e *protocol.Envelope) { e.TS++ }, "exp": func(e *protocol.Envelope) { e.Exp = e.TS + 1 },
			"from.id": func(e *protocol.Envelope) { e.From.ID = p.carol.UID() }, "to.id": func(e *protocol.Envelope) { e.To.ID = p.carol.UID() },
			"type": func(e *protocol.Envelope) { e.Type += "x" }, "receipt": func(e *protocol.Envelope) { e.Type = "receipt" },
		} {
			edited := *e
			edit(&edited)
			opened, err := p.open(&edited, data, p.bob.UEK)
			refused(t, what, opened, err)
		}
		moved := *e
		moved.From.IP, moved.To.Port, moved.To.Username = "203.0.113.9", 8443, ""
		if _, err := p.open(&moved, data, p.bob.UEK); err != nil {
			t.Error("hints may change:", err)
		}
	}
}

func TestCutAndExtended(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	data := p.seal(t, e, letter.AuthMAC, 2, metaOf(p.alice), body)
	for n := range data {
		opened, err := p.open(e, data[:n], p.bob.UEK)
		refused(t, fmt.Sprintf("cut to %d", n), opened, err)
	}
	for _, more := range []int{1, 512, letter.MaxSize} {
		opened, err := p.open(e, append(bytes.Clone(data), make([]byte, more)...), p.bob.UEK)
		refused(t, "extended", opened, err)
	}
}

func TestPaddingAndLimits(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	overhead := 66 + 2*56 + 16
	// auth 1+64, u16, meta; 4 bytes of length
	used := 4 + 65 + 2 + len(metaOf(p.alice))
	for _, c := range []struct{ text, padded int }{{0, 512}, {512 - used, 512}, {513 - used, 1024}, {65536 - used, 65536}} {
		data := p.seal(t, e, letter.AuthMAC, 2, metaOf(p.alice), strings.Repeat("x", c.text))
		if len(data) != overhead+c.padded {
			t.Errorf("%d bytes of text: %d", c.text, len(data))
		}
		if got, err := p.open(e, data, p.bob.UEK); err != nil || len(got.Body) != c.text {
			t.Errorf("%d bytes of text: %v", c.text, err)
		}
	}
	seal := func(n int, meta, body []byte) error {
		_, err := letter.Seal(rand.Reader, e, p.alice.Phone, publics(p.readers(200))[:n], meta, body)
		return err
	}
	many := append(publics(p.readers(200)), p.carol.UEK.Secret.Public())
	_, tooMany := letter.Seal(rand.Reader, e, p.alice.Phone, many, nil, nil)
	for what, c := range map[string]struct {
		err  error
		code string
	}{
		"one byte too many": {seal(2, []byte(metaOf(p.alice)), make([]byte, 65537-used)), protocol.CodeTooLarge},
		"huge body":         {seal(2, nil, make([]byte, 1<<20)), protocol.CodeTooLarge},
		"huge meta":         {seal(2, make([]byte, 1<<16), nil), protocol.CodeTooLarge},
		"no readers":        {seal(0, nil, nil), protocol.CodeBadRequest},
		"201 readers":       {tooMany, protocol.CodeBadRequest},
	} {
		if protocol.CodeOf(c.err) != c.code {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if _, err := letter.Seal(strings.NewReader("short"), e, p.alice.Phone, publics(p.readers(1)), nil, nil); err == nil {
		t.Error("sealed without randomness")
	}
	if _, err := letter.SealSigned(rand.Reader, e, p.alice.Phone, publics(p.readers(1)), nil, nil); err == nil {
		t.Error("a chat was signed")
	}
}

// The longest friend request must fit into the 2 KiB that a relay takes from a
// stranger (section 7).
func TestLongestRequestFits(t *testing.T) {
	p := newPlay(t)
	raw, err := message.MarshalBody(message.Request{Name: strings.Repeat("👋", message.MaxName), Words: strings.Repeat("👋", message.MaxWords), Username: strings.Repeat("w", 32)})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := message.Meta{Kind: message.KindRequest, MID: vectortest.FixedID("mid"), Dev: p.alice.Phone.ID(), Seq: 1, Clock: vectortest.Now,
		Head: p.alice.Chain.Head(), Chain: 999, UEK: 9999}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	data, err := letter.Seal(rand.Reader, p.envelope("friend"), p.alice.Phone, publics(p.readers(1)), meta, raw)
	if err != nil || len(data) > 2<<10 {
		t.Errorf("%d bytes: %v", len(data), err)
	}
}

// The same text twice never gives the same bytes: key and nonce are fresh.
func TestFreshness(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	var seen [2][]byte
	for i := range seen {
		data, err := letter.Seal(rand.Reader, e, p.alice.Phone, publics(p.readers(2)), []byte(metaOf(p.alice)), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		seen[i] = data
	}
	if bytes.Equal(seen[0][1:33], seen[1][1:33]) || bytes.Equal(seen[0][66:], seen[1][66:]) {
		t.Error("something is used twice")
	}
}

// A trouble of the reader's own (no network to fetch the chain) must not look
// like a bad letter: it would be dropped for ever.
func TestSenderErrorComesThrough(t *testing.T) {
	p := newPlay(t)
	e := p.envelope("chat")
	e.Data = p.seal(t, e, letter.AuthMAC, 2, metaOf(p.alice), body)
	away := errors.New("relay away")
	_, err := letter.Open(e, p.readers(1), func(uid protocol.UID, dev protocol.DeviceID, meta []byte) (ident.Device, bool, error) {
		if uid != p.alice.UID() || dev != p.alice.Phone.ID() || string(meta) != metaOf(p.alice) {
			t.Error("asked for somebody else")
		}
		return ident.Device{}, false, away
	})
	if !errors.Is(err, away) || errors.Is(err, letter.ErrLetter) {
		t.Error(err)
	}
}

func benchmarkSeal(b *testing.B, n int) {
	p := newPlay(b)
	e := p.envelope("chat")
	ueks, meta, text := publics(p.readers(n)), []byte(metaOf(p.alice)), []byte(strings.Repeat("x", 300))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := letter.Seal(rand.Reader, e, p.alice.Phone, ueks, meta, text); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkOpen(b *testing.B, n int) {
	p := newPlay(b)
	e := p.envelope("chat")
	e.Data = p.seal(b, e, letter.AuthMAC, n, metaOf(p.alice), strings.Repeat("x", 300))
	keys, book := p.readers(n)[n-1:], p.book()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := letter.Open(e, keys, book); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal1(b *testing.B)   { benchmarkSeal(b, 1) }
func BenchmarkSeal2(b *testing.B)   { benchmarkSeal(b, 2) }
func BenchmarkSeal200(b *testing.B) { benchmarkSeal(b, 200) }
func BenchmarkOpen1(b *testing.B)   { benchmarkOpen(b, 1) }
func BenchmarkOpen2(b *testing.B)   { benchmarkOpen(b, 2) }
func BenchmarkOpen200(b *testing.B) { benchmarkOpen(b, 200) }
