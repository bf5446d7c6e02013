package devices

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/files"
	"github.com/courtyard-social/courtyard/homedb/internal/keys"
	"github.com/courtyard-social/courtyard/homedb/internal/wall"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// Config is what a Desk needs. All fields are due.
type Config struct {
	UID       protocol.UID
	Keys      *ident.DeviceKeys
	RelayKey  protocol.Key32
	Host      string           // as dialled
	Address   protocol.Address // hints for envelopes
	Version   string
	Log       *chatlog.Log
	Ring      *keys.Ring
	Files     *files.Files
	Wall      *wall.Wall
	Household Household
	Direct    *direct.Paths                                   // nil: this home is reached over the relay alone
	Chain     func(ctx context.Context) (*ident.Chain, error) // the own one as known
	Refresh   func(ctx context.Context) (*ident.Chain, error) // and as the relay has it
	Clock     clock.Clock
	Random    io.Reader
	Logger    *slog.Logger
	Counted   func(what string)
}

// Desk answers the devices of one person, whichever way they come: the sessions
// of a line, and direct connections, which outlive it.
type Desk struct {
	c Config

	mu     sync.Mutex // guards what follows
	voices map[*news]struct{}
}

// New makes a desk.
func New(c Config) *Desk { return &Desk{c: c, voices: map[*news]struct{}{}} }

// news is what one conversation has not been told yet. Each holds one.
type news struct{ grown, asked chan struct{} }

// Grown tells every device that the log has grown.
func (d *Desk) Grown() { d.each(func(n *news) { clock.Wake(n.grown) }) }

// Asked tells every admin device that the asks have changed.
func (d *Desk) Asked() { d.each(func(n *news) { clock.Wake(n.asked) }) }

func (d *Desk) each(do func(*news)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.voices {
		do(n)
	}
}

func (d *Desk) listen() (*news, func()) {
	n := &news{make(chan struct{}, 1), make(chan struct{}, 1)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.voices[n] = struct{}{}
	return n, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.voices, n)
	}
}

// voice is how one device is heard and spoken to.
type voice struct {
	caller
	frames <-chan []byte // closed: the device has gone
	open   func(frame []byte) (plain []byte, err error)
	say    func(ctx context.Context, plain []byte) error
}

// converse answers a device's requests in their order, but for those that take
// their time, and tells it of news. It reports whether the device is owed a word
// about the end: it was silent for too long, or a frame did not open.
func (d *Desk) converse(ctx context.Context, v voice) (over bool) {
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	n, leave := d.listen()
	defer leave()
	late := make(chan []byte)
	busy := 0 // answers that are being made beside the others
	say := func(plain []byte) bool {
		err := v.say(ctx, plain)
		if err != nil && ctx.Err() == nil {
			d.c.Logger.Info("devices: an answer did not leave", "error", err)
		}
		return err == nil
	}
	idle := time.NewTimer(silence)
	defer idle.Stop()
	for {
		frames := v.frames
		if busy == maxLate { // the others wait
			frames = nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-idle.C:
			return true
		case data, ok := <-frames:
			if !ok {
				return false
			}
			idle.Reset(silence)
			plain, err := v.open(data)
			if err != nil {
				d.c.Counted("link-refused")
				return true
			}
			answer, rest := d.answer(ctx, v.caller, plain)
			if rest != nil {
				busy++
				all.Go(func() {
					select {
					case late <- rest(ctx):
					case <-ctx.Done():
					}
				})
				continue
			}
			if !say(answer) {
				return false
			}
		case answer := <-late:
			busy--
			if !say(answer) {
				return false
			}
		case <-n.grown:
			at, err := d.c.Log.N(ctx)
			if err != nil {
				d.c.Logger.Error("devices: the log is not readable", "error", err)
				return false
			}
			if !say(unasked("new", cursor{d.c.Log.Epoch(), at})) {
				return false
			}
		case <-n.asked:
			if v.device.Role == ident.RoleAdmin && !say(unasked("asks", asks{d.c.Household.Asks(d.c.UID)})) {
				return false
			}
		}
	}
}
