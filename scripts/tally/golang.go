package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
)

// goEvent is one line of `go test -json` (see `go doc test2json`).
type goEvent struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// goTest is one test while it runs. A test with subtests is not counted itself unless it alone failed.
type goTest struct {
	output      []string
	hasChildren bool
	childFailed bool
}

// goRun collects one stream of events.
type goRun struct {
	out    io.Writer
	total  counts
	tests  map[string]*goTest  // by package and test, those not finished
	pkgs   map[string]*counts  // by package
	noise  map[string][]string // output that belongs to a package, not to a test
	builds map[string][]string // output of the compiler, by import path
}

// readGo reads the events to their end, printing one line per finished package.
func readGo(in io.Reader, out io.Writer) (counts, error) {
	r := &goRun{out: out, tests: map[string]*goTest{}, pkgs: map[string]*counts{}, noise: map[string][]string{}, builds: map[string][]string{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e goEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// The go command itself speaks plainly when it cannot even begin.
			fmt.Fprintf(out, "%s\n", lines.Text())
			r.total.failed++
			continue
		}
		r.take(e)
	}
	if err := lines.Err(); err != nil {
		return r.total, err
	}
	for key := range r.tests {
		fmt.Fprintf(out, "never finished: %s\n", strings.ReplaceAll(key, "\x00", " "))
		r.total.failed++
	}
	return r.total, nil
}

func (r *goRun) take(e goEvent) {
	switch {
	case e.Action == "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
	case e.Action == "build-fail", e.Action == "start":
	case e.Test == "":
		r.takePackage(e)
	default:
		r.takeTest(e)
	}
}

func (r *goRun) pkg(name string) *counts {
	if r.pkgs[name] == nil {
		r.pkgs[name] = &counts{}
	}
	return r.pkgs[name]
}

func (r *goRun) takeTest(e goEvent) {
	key := e.Package + "\x00" + e.Test
	t := r.tests[key]
	if t == nil {
		t = &goTest{}
		r.tests[key] = t
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			if parent := r.tests[e.Package+"\x00"+e.Test[:i]]; parent != nil {
				parent.hasChildren = true
			}
		}
	}
	c := r.pkg(e.Package)
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
		return
	case "pass":
		if !t.hasChildren {
			c.passed++
		}
	case "skip":
		c.skipped++
		fmt.Fprintf(r.out, "skipped: %s %s: %s\n", e.Package, e.Test, reason(t.output))
	case "fail":
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			if parent := r.tests[e.Package+"\x00"+e.Test[:i]]; parent != nil {
				parent.childFailed = true
			}
		}
		if !t.childFailed {
			c.failed++
		}
		fmt.Fprintf(r.out, "FAILED: %s %s\n%s", e.Package, e.Test, strings.Join(t.output, ""))
	default:
		return
	}
	delete(r.tests, key)
}

func (r *goRun) takePackage(e goEvent) {
	switch e.Action {
	case "output":
		r.noise[e.Package] = append(r.noise[e.Package], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	c := r.pkg(e.Package)
	if e.Action == "fail" && c.failed == 0 {
		// Not a test but the package: it did not compile, crashed, or ran out of time.
		c.failed++
		fmt.Fprintf(r.out, "FAILED: %s\n%s%s", e.Package, strings.Join(r.builds[e.FailedBuild], ""), strings.Join(r.noise[e.Package], ""))
		r.endUnfinished(e.Package)
	}
	if *c != (counts{}) {
		fmt.Fprintf(r.out, "%-4s %s: %d passed, %d failed, %d skipped (%.1f s)\n",
			map[string]string{"pass": "ok", "fail": "FAIL", "skip": "skip"}[e.Action], e.Package, c.passed, c.failed, c.skipped, e.Elapsed)
	}
	r.total.passed += c.passed
	r.total.failed += c.failed
	r.total.skipped += c.skipped
	delete(r.noise, e.Package)
}

// endUnfinished prints what the tests that a crash cut off had said; the crash is counted already.
func (r *goRun) endUnfinished(pkg string) {
	var keys []string
	for key := range r.tests {
		if strings.HasPrefix(key, pkg+"\x00") {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	for _, key := range keys {
		fmt.Fprintf(r.out, "cut off: %s\n%s", strings.ReplaceAll(key, "\x00", " "), strings.Join(r.tests[key].output, ""))
		delete(r.tests, key)
	}
}

// reason is what a skipped test printed, without the runner's own lines.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		said = append(said, line)
	}
	if len(said) == 0 {
		return "(no reason given)"
	}
	return strings.Join(said, " ")
}
