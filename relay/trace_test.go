package relay_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// TestNothingIsAcceptedBeforeItIsSynced runs the real binary under strace and
// reads its system calls: the letter's row is written to the log, the log is
// synced, and only then does the socket carry `accepted`. A kill cannot show
// this: what a killed process has written survives without any sync.
func TestNothingIsAcceptedBeforeItIsSynced(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: apt-get install strace")
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	p := launch(t, filepath.Join(dir, "data"), "127.0.0.1:0",
		"strace", "-f", "-y", "-s", "5000", "-o", trace, "-e", "trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg")
	c := relaytest.Attach(t, p.url, p.data)
	mei := c.Owner("mei")
	var all sync.WaitGroup
	var mu sync.Mutex
	ids := []protocol.ID{}
	for range 4 { // together, so that groups are committed
		s := c.Connect(mei, mei.Phone)
		all.Go(func() {
			for range 25 {
				e := c.Envelope(mei, mei, protocol.TypeChat, 600)
				if err := s.TryPut(e, mei); err != nil {
					t.Error(err)
					return
				}
				if f, ok := s.TryAnswer(e.ID); !ok || f.Op != "accepted" {
					t.Error("not accepted:", f.Code)
					return
				}
				mu.Lock()
				ids = append(ids, e.ID)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	endTraced(t, p)
	lines := readLines(t, trace)
	if fault := unsynced(lines, ids); fault != "" {
		t.Fatal(fault)
	}
	// The reader of traces can fail: without the syncs it must find fault.
	without := []string{}
	for _, line := range lines {
		if !strings.Contains(line, "fdatasync(") && !strings.Contains(line, "fsync(") {
			without = append(without, line)
		}
	}
	if unsynced(without, ids) == "" {
		t.Fatal("a trace without any sync was found to be in order")
	}
}

// endTraced ends the traced relay, which is strace's child.
func endTraced(t *testing.T, p *process) {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", fmt.Sprint(p.cmd.Process.Pid)).Output()
	must(t, err)
	must(t, exec.Command("kill", "-INT", strings.TrimSpace(string(out))).Run())
	if err := <-p.ended; err != nil {
		t.Fatal(err, p.stderr)
	}
	p.cmd = nil
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	lines := []string{}
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		lines = append(lines, scan.Text())
	}
	must(t, scan.Err())
	return lines
}

var (
	// 1234 pwrite64(9</…/courtyard.db-wal>, "…", 4096, 12345) = 4096
	called  = regexp.MustCompile(`^(\d+) +(\w+)\((\d+)<([^>]*)>(.*)$`)
	resumed = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
)

// unsynced says what is wrong with a trace, "" for nothing. Calls of several
// threads overlap: a sync counts from its end, and only for what was written
// before it began.
func unsynced(lines []string, ids []protocol.ID) string {
	written, synced := map[string]bool{}, map[string]bool{} // ids whose row is in the log; on disk
	begun := map[string]map[string]bool{}                   // thread -> what its running sync covers
	accepted := 0
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id.String()] = true
	}
	idIn := regexp.MustCompile(`\\"id\\":\\"([A-Za-z0-9_-]{22})\\"`)
	finish := func(thread string) {
		for id := range begun[thread] {
			synced[id] = true
		}
		delete(begun, thread)
	}
	for _, line := range lines {
		if m := resumed.FindStringSubmatch(line); m != nil {
			if m[2] == "fdatasync" || m[2] == "fsync" {
				finish(m[1])
			}
			continue
		}
		m := called.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		thread, call, path, rest := m[1], m[2], m[4], m[5]
		switch {
		case call == "pwrite64" && strings.HasSuffix(path, "-wal"):
			for _, id := range idIn.FindAllStringSubmatch(rest, -1) {
				written[id[1]] = true
			}
		case call == "fdatasync" || call == "fsync":
			if !strings.HasSuffix(path, "-wal") {
				continue
			}
			covers := map[string]bool{}
			for id := range written {
				covers[id] = true
			}
			begun[thread] = covers
			if !strings.Contains(rest, "<unfinished") {
				finish(thread)
			}
		case strings.Contains(rest, `\"op\":\"accepted\"`):
			for _, id := range idIn.FindAllStringSubmatch(rest, -1) {
				if wanted[id[1]] {
					accepted++
					if !synced[id[1]] {
						return "accepted before the sync: " + id[1]
					}
				}
			}
		}
	}
	if accepted != len(ids) {
		return fmt.Sprintf("the trace shows %d of %d accepted frames", accepted, len(ids))
	}
	return ""
}
