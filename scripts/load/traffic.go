package main

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// turnRate is the fixed rate, packets a second: with 1,200 bytes 50 pictures of 4 Mbit/s.
	turnRate = 20_000
	// turnBurst is how many packets an allocation gets at once at full speed.
	turnBurst = 8
	// turnUnderWay bounds the packets under way at full speed. A socket's buffer of the
	// usual size (rmem_default) holds 92 of 1,200 bytes: none needs to be dropped.
	turnUnderWay = 64
	// turnPatience is how long nothing has come when what is missing was dropped.
	turnPatience = 500 * time.Millisecond
)

// carried is what a TURN server did in a round.
type carried struct {
	cpu  float64 // seconds of the server per million packets
	rate float64 // packets/s
	lost float64 // share of the packets
}

// flood sends n packets from one source after the other, a burst of each, and no
// more at a time than may be under way.
func (in *intake) flood(ctx context.Context, from []*source, n int) error {
	lost := 0
	begun := int(in.packets.Load())
	for sent, turn := 0, 0; sent < n; turn++ {
		for sent+turnBurst-lost-(int(in.packets.Load())-begun) > turnUnderWay {
			there, err := in.wait(ctx)
			if err != nil {
				return err
			}
			if !there {
				lost = sent - (int(in.packets.Load()) - begun)
			}
		}
		if err := from[turn%len(from)].send(turnBurst); err != nil {
			return err
		}
		sent += turnBurst
	}
	return nil
}

// pour sends n packets at the fixed rate, one from each source in turn.
func (in *intake) pour(ctx context.Context, from []*source, n int) error {
	// A thread may sleep 50 µs longer than it asks for, unless it says otherwise.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}
	steady := pace(turnRate)
	return steady.run(ctx, n, func(k int) error { return from[k%len(from)].send(1) })
}

// wait returns when more packets have come; not there if none has for a while.
func (in *intake) wait(ctx context.Context) (there bool, err error) {
	patience := time.NewTimer(turnPatience)
	defer patience.Stop()
	select {
	case <-in.more:
		return true, nil
	case <-patience.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// measure lets a process relay n packets of a size, and says what that took.
func (in *intake) measure(ctx context.Context, pid int, size, n int, send func(context.Context) error) (c carried, err error) {
	ctx, stop := context.WithTimeout(ctx, hubWithin)
	defer stop()
	in.size.Store(int64(size))
	begun, before := int(in.packets.Load()), time.Duration(0)
	if before, err = processor(pid); err != nil {
		return c, err
	}
	began := clock()
	if err := send(ctx); err != nil {
		return c, err
	}
	for there := true; there && int(in.packets.Load())-begun < n; {
		if there, err = in.wait(ctx); err != nil {
			return c, err
		}
	}
	after, err := processor(pid)
	came := int(in.packets.Load()) - begun
	c.cpu = (after - before).Seconds() * 1e6 / float64(came)
	c.rate = per(came, time.Duration(in.last.Load())-began)
	c.lost = 1 - float64(came)/float64(n)
	return c, err
}
