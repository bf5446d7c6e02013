package household_test

import (
	"crypto/rand"
	"syscall"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// BenchmarkWays is a phone that reads a photo of 4 MiB from its home, a piece after the
// other: over a direct connection, over one through the relay's TURN, and in letters
// over its websocket. The relay, the home and the phone are this process, so the
// processor time is everybody's together.
func BenchmarkWays(b *testing.B) {
	c := hometest.StartCalling(b)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	home := c.Home(c.Directly())
	wei.Pairs(home)
	plain := make([]byte, 4<<20)
	rand.Read(plain) //nolint:errcheck // it never fails
	photo := mei.Upload(wei, plain)
	mei.Ticked(mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: message.KindPhoto, Body: message.Photo{File: photo, Width: 1, Height: 1}}))
	link := wei.Links()
	hometest.Until(b, "the photo is home", func() bool { return link.Asks("file", map[string]any{"id": photo.ID, "offset": 0}, nil) == nil })
	for _, way := range []string{"direct", "turn", "websocket"} { // a device's newer connection ends the older one
		b.Run(way, func(b *testing.B) {
			asks := link.Asks
			switch way {
			case "direct":
				phone, _ := link.Calls(b)
				asks = phone.Asks
			case "turn":
				phone, _ := link.CallsThroughTurn(b)
				asks = phone.Asks
			}
			before, size := spent(b), 0
			for b.Loop() {
				size = reads(b, asks, photo.ID)
			}
			b.SetBytes(int64(size)) // MB/s
			b.ReportMetric((spent(b)-before).Seconds()/(float64(size)*float64(b.N)/1e9), "CPU-s/GB")
		})
	}
}

// reads reads a whole file and returns its size.
func reads(b *testing.B, asks func(method string, params, into any) error, id protocol.ID) (have int) {
	b.Helper()
	for {
		var a struct {
			Data protocol.Bytes `json:"data"`
			Size int            `json:"size"`
		}
		if err := asks("file", map[string]any{"id": id, "offset": have}, &a); err != nil {
			b.Fatal(err)
		}
		if have += len(a.Data); have >= a.Size {
			return have
		}
	}
}

// spent is this process's processor time.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
