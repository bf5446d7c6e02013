// Command relay is courtyard-relay with a clock that can be set from outside, for
// scripts/chaos. Nothing else differs: it takes the same settings.
//
// It must never be what people run.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/alecthomas/kong"

	"github.com/courtyard-social/courtyard/relay"
)

type serve struct {
	relay.Config
	Clock string `placeholder:"FILE" help:"How many seconds the clock is ahead: 8 bytes, in this machine's order."`
}

// Run serves until SIGINT or SIGTERM.
func (s *serve) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := open(s.Clock)
	if err != nil {
		return err
	}
	s.Config.Version = "chaos"
	r, err := relay.New(ctx, s.Config, relay.Surroundings{Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Now: c.now})
	if err != nil {
		return err
	}
	fmt.Println("ready", r.URL())
	err = r.Run(ctx)
	if closed := r.Close(); err == nil {
		err = closed
	}
	return err
}

// clock is this machine's, so many seconds ahead.
type clock struct{ ahead *int64 }

func open(path string) (clock, error) {
	f, err := os.Open(path)
	if err != nil {
		return clock{}, err
	}
	defer f.Close()
	shared, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return clock{}, fmt.Errorf("%s: %w", path, err)
	}
	c := clock{(*int64)(unsafe.Pointer(&shared[0]))}
	return c, c.try()
}

// wall is how package time lays out a Time: whether there is a monotonic reading,
// 33 bits of seconds, 30 of nanoseconds.
type wall struct {
	wall uint64
	_    int64
	_    *time.Location
}

// now is a time as it is after somebody has set the machine's clock: the wall has
// moved, while what time.Since and timers go by has not. Time.Add would move both,
// which no machine does and which would blame the relay for waits it never has.
func (c clock) now() time.Time { return set(time.Now(), atomic.LoadInt64(c.ahead)) }

func set(t time.Time, ahead int64) time.Time {
	(*wall)(unsafe.Pointer(&t)).wall += uint64(ahead) << 30
	return t
}

// try fails if package time is laid out otherwise by now.
func (clock) try() error {
	before := time.Now()
	for _, ahead := range []int64{3600, -3600} {
		after := set(before, ahead)
		if after.Unix() != before.Unix()+ahead || after.Sub(before) != 0 || after.Nanosecond() != before.Nanosecond() {
			return fmt.Errorf("this Go keeps time in another way: set() has to follow")
		}
	}
	return nil
}

func main() {
	var s serve
	parsed := kong.Parse(&s, kong.Name("relay"))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}
