package main

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"
)

// A server that stops for a while delays all that was due meanwhile, also what was
// not sent because of it.
func TestWhatAStopDelaysIsCounted(t *testing.T) {
	const n, stop = 20, 50 * time.Millisecond
	came := newArrivals("sent", n, n, nil)
	steady := pace(1000)
	err := steady.run(t.Context(), n, func(k int) error {
		if k == 5 {
			time.Sleep(stop)
		}
		came.mark(k)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := came.wait(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	took := came.took(steady.due)
	if len(took) != n {
		t.Fatal(len(took), "of", n)
	}
	for k, ms := range took {
		if ms < 0 {
			t.Errorf("message %d was sent %v ms early", k, -ms)
		}
		if k >= 5 && ms < float64(stop.Milliseconds()-int64(k-5)) {
			t.Errorf("message %d was due while nothing went, and took %v ms", k, ms)
		}
	}
}

func TestThePaceEndsWithWhatWentWrong(t *testing.T) {
	wrong := errors.New("wrong")
	if err := pace(1000).run(t.Context(), 3, func(k int) error { return wrong }); !errors.Is(err, wrong) {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := pace(1000).run(ctx, 3, func(int) error { t.Error("sent"); return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestArrivalsCountEachOnce(t *testing.T) {
	var heard []int
	a := newArrivals("there", 4, 2, func(n int) { heard = append(heard, n) }) // of four, two are due
	a.mark(3)
	first := a.time(3)
	a.mark(3)
	if a.time(3) != first || len(heard) != 1 {
		t.Error("twice is not once:", heard)
	}
	if missing, err := a.settle(t.Context(), nil, time.Millisecond); err != nil || missing != 1 {
		t.Error(missing, err)
	}
	a.mark(1)
	if err := a.wait(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if a.last() != a.time(1) || len(a.took(func(int) time.Duration { return 0 })) != 2 {
		t.Error(a.last())
	}
	broken := make(chan error, 1)
	broken <- errors.New("gone")
	if err := newArrivals("there", 1, 1, nil).wait(t.Context(), broken); err == nil {
		t.Error("nobody reads, and all is well")
	}
}

func TestQuantiles(t *testing.T) {
	var figures []float64
	for i := range 100 {
		figures = append(figures, float64(100-i))
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(figures, share); got != want {
			t.Errorf("%v of 1 to 100 is %v", share, got)
		}
	}
	if got := quantile([]float64{7}, 0.99); got != 7 {
		t.Error(got)
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("nothing has a median")
	}
}
