package clock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMovedWakesWhoeverWaits(t *testing.T) {
	c := clock.NewMoved()
	done := make(chan error, 1)
	before := c.Now()
	go func() { done <- c.Wait(t.Context(), time.Hour) }()
	for waiting := true; waiting; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			waiting = false
		default:
			c.Advance(10 * time.Second)
			runtime.Gosched()
		}
	}
	if moved := c.Now().Sub(before); moved < time.Hour {
		t.Errorf("woken after %v", moved)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, any := range []clock.Clock{c, clock.System{}} {
		if err := any.Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestUntil(t *testing.T) {
	wake := make(chan struct{}, 1)
	clock.Wake(wake)
	clock.Wake(wake) // one is enough, and none blocks
	clock.Until(t.Context(), clock.System{}, time.Hour, wake)
	clock.Until(t.Context(), clock.System{}, time.Millisecond, wake)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	clock.Until(ctx, clock.System{}, time.Hour, wake)
}

func TestBackoff(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 100 {
		d := clock.Backoff(time.Second, 30*time.Second, n, random)
		most := 30 * time.Second
		if n < 5 {
			most = time.Second << n
		}
		if d < most/2 || d > most {
			t.Errorf("pause %d is %v", n, d)
		}
	}
}
