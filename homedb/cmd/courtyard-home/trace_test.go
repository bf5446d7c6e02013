package main_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// TestNothingIsSaidBeforeItIsSynced looks at the system calls of the home: the
// letter's row is written to the log's write-ahead file, then synced, and only
// after that a confirm frame or a receipt leaves. kill -9 cannot prove this: the
// kernel keeps what a dead process has written.
func TestNothingIsSaidBeforeItIsSynced(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: apt-get install strace")
	}
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	output := filepath.Join(t.TempDir(), "trace")
	before := []string{"strace", "-f", "-qq", "-xx", "-s", "400000", "-o", output, "-e",
		"trace=?open,openat,pwrite64,write,read,fsync,fdatasync,close,connect"}
	a := starts(t, filepath.Join(t.TempDir(), "home"), c.Place.URL("http", ""), before)
	pairs(t, wei, a)
	const letters = 12
	for i := range letters { // one at a time: the nth receipt is for the nth letter
		mei.Ticked(mei.Says(wei, fmt.Sprint("letter ", i)))
	}
	hometest.Until(t, "the relay is empty", func() bool { return wei.Kept() == 0 })
	// strace passes a signal on to nobody: its child gets its own.
	strace := a.cmd.Process.Pid
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", strace, strace))
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	a.cmd.Wait() //nolint:errcheck // strace repeats the program's end

	trace := readTrace(t, output)
	if len(trace.synced) < letters || trace.confirms == 0 || trace.receipts < letters {
		t.Fatalf("the trace shows %d letters synced, %d confirms and %d receipts: this test proves nothing", len(trace.synced), trace.confirms, trace.receipts)
	}
	t.Logf("%d letters, %d syncs of the log, %d confirm frames, %d receipts, in their order", len(trace.synced), trace.syncs, trace.confirms, trace.receipts)
}

// delivered is a row that the relay has delivered.
type delivered struct {
	n  int64
	id []byte // the envelope's, as it lies in the row
}

// trace follows the system calls in their order.
type trace struct {
	*testing.T
	wal       map[string]bool   // descriptors of the log's write-ahead file
	reading   map[string][]byte // what came in over a descriptor and is no whole frame yet
	delivered []delivered
	written   map[string]bool            // letters whose row is in the write-ahead file
	synced    map[string]bool            // and synced
	covered   map[string]map[string]bool // by thread: what a sync that has begun will cover

	syncs, confirms, receipts int
}

var (
	opens   = regexp.MustCompile(`^open(?:at)?\(.*"((?:\\x[0-9a-f]{2})*)".*\) = (\d+)$`)
	writes  = regexp.MustCompile(`(pwrite64|write)\((\d+), "((?:\\x[0-9a-f]{2})*)"`)
	reads   = regexp.MustCompile(`read\((\d+), "((?:\\x[0-9a-f]{2})*)", \d+\) = \d+$`)
	resumed = regexp.MustCompile(`^<\.\.\. (read|fsync|fdatasync|open|openat) resumed>(.*)$`)
	synced  = regexp.MustCompile(`^(?:fsync|fdatasync)\((\d+)\).*= 0$`)
	closes  = regexp.MustCompile(`close\((\d+)`)
	begun   = regexp.MustCompile(`^(read|fsync|fdatasync|open|openat)\((.*) <unfinished \.\.\.>$`)
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readTrace(t *testing.T, path string) *trace {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tr := &trace{T: t, wal: map[string]bool{}, reading: map[string][]byte{}, written: map[string]bool{}, synced: map[string]bool{}, covered: map[string]map[string]bool{}}
	waiting := map[string]string{} // by thread: what a call began with
	lines := bufio.NewReaderSize(file, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			thread, call, _ := strings.Cut(line, " ")
			call = strings.TrimSpace(call)
			// A call that is cut in two counts when it ends; a write, when it begins.
			if m := begun.FindStringSubmatch(call); m != nil {
				waiting[thread] = m[1] + "(" + m[2]
				if m[1] == "fsync" || m[1] == "fdatasync" {
					tr.syncBegins(thread)
				}
			} else if m := resumed.FindStringSubmatch(call); m != nil {
				tr.call(thread, waiting[thread]+m[2])
				delete(waiting, thread)
			} else {
				if strings.HasPrefix(call, "fsync") || strings.HasPrefix(call, "fdatasync") {
					tr.syncBegins(thread)
				}
				tr.call(thread, call)
			}
		}
		if err != nil {
			return tr
		}
	}
}

// syncBegins: what is written after this moment is not covered.
func (tr *trace) syncBegins(thread string) { tr.covered[thread] = maps.Clone(tr.written) }

func (tr *trace) call(thread, call string) {
	if m := opens.FindStringSubmatch(call); m != nil {
		if strings.HasSuffix(string(unhex(tr.T, m[1])), "/log.db-wal") {
			tr.wal[m[2]] = true
		}
		return
	}
	if m := closes.FindStringSubmatch(call); m != nil {
		delete(tr.wal, m[1])
		delete(tr.reading, m[1])
		return
	}
	if m := synced.FindStringSubmatch(call); m != nil {
		if tr.wal[m[1]] {
			tr.syncs++
			for id := range tr.covered[thread] {
				tr.synced[id] = true
			}
		}
		return
	}
	if m := writes.FindStringSubmatch(call); m != nil {
		data := unhex(tr.T, m[3])
		switch {
		case m[1] == "pwrite64" && tr.wal[m[2]]:
			for _, d := range tr.delivered {
				if bytes.Contains(data, d.id) {
					tr.written[string(d.id)] = true
				}
			}
		case m[1] == "write":
			tr.leaves(data)
		}
		return
	}
	if m := reads.FindStringSubmatch(call); m != nil {
		tr.arrives(m[1], unhex(tr.T, m[2]))
	}
}

// arrives takes frames of the relay apart. They are not masked.
func (tr *trace) arrives(fd string, data []byte) {
	all := append(tr.reading[fd], data...)
	for {
		at := bytes.Index(all, []byte(`{"op":"deliver","n":`))
		if at < 0 {
			if len(all) > 64 {
				all = all[len(all)-64:]
			}
			break
		}
		var f struct {
			N   int64
			Env struct{ ID protocol.ID }
		}
		if err := json.NewDecoder(bytes.NewReader(all[at:])).Decode(&f); err != nil {
			all = all[at:] // the rest is still to come
			break
		}
		tr.delivered = append(tr.delivered, delivered{f.N, bytes.Clone(f.Env.ID[:])})
		all = all[at+1:]
	}
	tr.reading[fd] = bytes.Clone(all)
}

// leaves looks at the frames that the home writes: they are masked, but the mask
// goes with them (RFC 6455).
func (tr *trace) leaves(data []byte) {
	for len(data) >= 6 && data[0] == 0x81 && data[1]&0x80 != 0 {
		size, at := int(data[1]&0x7f), 2
		switch size {
		case 126:
			size, at = int(data[2])<<8|int(data[3]), 4
		case 127:
			size, at = int(data[6])<<24|int(data[7])<<16|int(data[8])<<8|int(data[9]), 10
		}
		mask := data[at : at+4]
		at += 4
		if len(data) < at+size {
			tr.Fatal("a frame in several writes")
		}
		plain := bytes.Clone(data[at : at+size])
		for i := range plain {
			plain[i] ^= mask[i%4]
		}
		tr.frame(plain)
		data = data[at+size:]
	}
}

func (tr *trace) frame(plain []byte) {
	var f struct {
		Op  string
		N   int64
		Env struct{ Type string }
	}
	if err := json.Unmarshal(plain, &f); err != nil {
		tr.Fatalf("a frame that is no JSON: %v", err)
	}
	switch {
	case f.Op == "confirm":
		tr.confirms++
		for _, d := range tr.delivered {
			if d.n <= f.N && !tr.synced[string(d.id)] {
				tr.Errorf("row %d was confirmed (up to %d) before it was synced", d.n, f.N)
			}
		}
	case f.Op == "put" && f.Env.Type == "receipt":
		tr.receipts++
		if len(tr.synced) < tr.receipts {
			tr.Errorf("receipt %d left when %d letters were synced", tr.receipts, len(tr.synced))
		}
	}
}
