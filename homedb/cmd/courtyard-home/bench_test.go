package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// BenchmarkIdleMemory is what the program holds (resident) while it looks after
// one person, connected, with nothing to do.
func BenchmarkIdleMemory(b *testing.B) {
	c := hometest.Start(b)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	a := starts(b, filepath.Join(b.TempDir(), "home"), c.Place.URL("http", ""), nil)
	pairs(b, wei, a)
	for i := range 50 {
		mei.Says(wei, fmt.Sprint("warm up ", i))
	}
	mei.Ticked(mei.Says(wei, "the last one"))
	for b.Loop() {
		b.ReportMetric(a.resident(), "MiB")
	}
	a.stops()
}

// BenchmarkDirectMemory is the same with a direct connection: when it has opened,
// and when it has carried a photo of 10 MiB.
func BenchmarkDirectMemory(b *testing.B) {
	c := hometest.Start(b)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	a := starts(b, filepath.Join(b.TempDir(), "home"), c.Place.URL("http", ""), nil, "--reach", "127.0.0.0/8")
	pairs(b, wei, a)
	file := mei.Upload(wei, make([]byte, 10<<20))
	mei.Ticked(mei.Sends(wei.UID, hometest.Draft{Type: "chat", Kind: message.KindPhoto, Body: message.Photo{File: file, Width: 1, Height: 1}}))
	link := wei.Links()
	hometest.Until(b, "the photo is home", func() bool { return link.Asks("file", map[string]any{"id": file.ID, "offset": 0}, nil) == nil })
	for b.Loop() {
		b.ReportMetric(a.resident(), "MiB-before")
		phone, id := link.Calls(b)
		b.ReportMetric(a.resident(), "MiB-open")
		if _, err := phone.File(file.ID, nil); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(a.resident(), "MiB-after")
		if err := link.Asks("direct-end", map[string]any{"id": id}, nil); err != nil {
			b.Fatal(err)
		}
	}
	a.stops()
}

// resident is what the program holds in memory, in MiB.
func (a *agent) resident() float64 {
	a.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		a.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(raw)
	if m == nil {
		a.Fatal("no VmRSS")
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		a.Fatal(err)
	}
	return float64(kib) / 1024
}
