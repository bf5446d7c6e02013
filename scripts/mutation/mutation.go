// Package mutation takes checks out of a program's source, one at a time, and
// sees whether the test that should miss each of them fails: a check that no test
// would miss is not a check.
//
// It is for tests alone. The checkout is not touched: the changed source stands
// in an overlay of the go command.
package mutation

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Mutation is one check taken out.
type Mutation struct {
	What  string // the check that is missing
	File  string // where it stands, from the folder of the test that calls Run
	Edits []Edit
	Pkg   string // whose test must fail, from the same folder
	Test  string // its name, or several with | between
	Quick bool   // run also when not all are
}

// Edit is a line, without its indentation, and what stands there instead.
type Edit [2]string

// Run looks up every line, and runs the quick mutations, or all of them with
// COURTYARD_MUTATIONS=all. A line that does not occur exactly once fails the test,
// so that the list follows the source. With -v it prints what each test noticed.
func Run(t *testing.T, list []Mutation) {
	t.Helper()
	all := os.Getenv("COURTYARD_MUTATIONS") == "all"
	if !all {
		t.Logf("a quick subset of %d; COURTYARD_MUTATIONS=all runs all", len(list))
	}
	passes := map[string]bool{}
	for _, m := range list {
		source, mutated := m.apply(t)
		if !all && !m.Quick {
			continue
		}
		t.Run(m.What, func(t *testing.T) {
			if key := m.Pkg + " " + m.Test; !passes[key] {
				if out, err := m.run(""); err != nil || strings.Contains(out, "no tests to run") {
					t.Fatalf("without a mutation %s must pass:\n%s", key, out)
				}
				passes[key] = true
			}
			out, err := m.run(overlay(t, source, mutated))
			switch {
			case err == nil:
				t.Errorf("no test misses this check: %s", m.What)
			case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") || !strings.Contains(out, "--- FAIL"):
				t.Errorf("the test did not run:\n%s", out)
			default:
				t.Logf("noticed:\n%s", out) // for -v: is it the reason that was meant?
			}
		})
	}
}

func (m Mutation) apply(t *testing.T) (source string, mutated []byte) {
	t.Helper()
	source, mutated, err := Rewrite(m.File, m.Edits)
	if err != nil {
		t.Errorf("%s: %v", m.What, err)
	}
	return source, mutated
}

// Rewrite reads a file and makes the edits in it; source is its whole path. It
// fails unless every line occurs exactly once.
func Rewrite(file string, edits []Edit) (source string, mutated []byte, err error) {
	if source, err = filepath.Abs(filepath.FromSlash(file)); err != nil {
		return "", nil, err
	}
	raw, err := os.ReadFile(source)
	if err != nil {
		return "", nil, err
	}
	lines := strings.Split(string(raw), "\n")
	for _, e := range edits {
		found := 0
		for i, line := range lines {
			if strings.TrimLeft(line, "\t ") == e[0] {
				lines[i] = e[1]
				found++
			}
		}
		if found != 1 {
			err = errors.Join(err, fmt.Errorf("%d lines of %s are %q; the source has changed, mend the list", found, file, e[0]))
		}
	}
	return source, []byte(strings.Join(lines, "\n")), err
}

func overlay(t *testing.T, source string, mutated []byte) string {
	t.Helper()
	path, err := Overlay(t.TempDir(), source, mutated)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Overlay writes what the go command takes with -overlay into dir, so that it
// compiles mutated in the place of source.
func Overlay(dir, source string, mutated []byte) (path string, err error) {
	changed, path := filepath.Join(dir, filepath.Base(source)), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		return "", err
	}
	return path, errors.Join(os.WriteFile(changed, mutated, 0o600), os.WriteFile(path, list, 0o600))
}

// run runs the test. A program that the test builds sees the overlay by GOFLAGS.
func (m Mutation) run(overlay string) (string, error) {
	cmd := exec.Command("go", "test", "-vet=off", "-count=1", "-timeout=5m", "-run", "^("+m.Test+")$", "./"+m.Pkg)
	cmd.Env = os.Environ()
	if overlay != "" {
		cmd.Env = append(cmd.Env, "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
