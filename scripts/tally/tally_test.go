package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadGo(t *testing.T) {
	tests := []struct {
		name, in string
		want     counts
		says     string // must be in what is printed
	}{
		{"one passes", `
{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":0.1}`, counts{passed: 1}, "ok   p: 1 passed"},
		{"subtests count, their parent does not", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"run","Package":"p","Test":"TestA/y"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA/y"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, counts{passed: 1, failed: 1}, "FAILED: p TestA/y"},
		{"a parent that fails by itself counts", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, counts{passed: 1, failed: 1}, "FAILED: p TestA"},
		{"a skip prints its reason", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: no such machine\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`, counts{skipped: 1}, "no such machine"},
		{"a package that does not compile", `
{"ImportPath":"p [p.test]","Action":"build-output","Output":"a.go:1: undefined: b\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`, counts{failed: 1}, "undefined: b"},
		{"a crash", `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"fatal error: all goroutines are asleep\n"}
{"Action":"fail","Package":"p"}`, counts{failed: 1}, "all goroutines are asleep"},
		{"a stream that breaks off", `
{"Action":"run","Package":"p","Test":"TestA"}`, counts{failed: 1}, "never finished: p TestA"},
		{"the go command refusing to begin", `go: cannot find main module`, counts{failed: 1}, "cannot find main module"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			got, err := readGo(strings.NewReader(strings.TrimPrefix(test.in, "\n")), &out)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("counted %+v, want %+v", got, test.want)
			}
			if !strings.Contains(out.String(), test.says) {
				t.Errorf("printed %q, which lacks %q", out.String(), test.says)
			}
		})
	}
}

func TestReadReports(t *testing.T) {
	tests := []struct {
		name, report string
		read         func(string) (counts, string, error)
		want         counts
		says         string
	}{
		{"vitest", `{"success":false,"testResults":[
			{"name":"a.test.ts","status":"failed","assertionResults":[
				{"fullName":"adds","status":"passed"},{"fullName":"subtracts","status":"failed","failureMessages":["1 is not 2"]},{"fullName":"later","status":"pending"}]},
			{"name":"b.test.ts","status":"failed","message":"cannot import","assertionResults":[]}]}`,
			vitest, counts{1, 2, 1}, "cannot import"},
		{"playwright", `{"suites":[{"title":"join.spec.ts","specs":[
				{"title":"claims","file":"join.spec.ts","tests":[{"status":"expected"}]}],
			"suites":[{"title":"inner","specs":[
				{"title":"sometimes","file":"join.spec.ts","tests":[{"status":"flaky","results":[
					{"error":{"message":"\u001b[31mexpected\u001b[39m\n  a tick"}},{}]}]},
				{"title":"not here","file":"join.spec.ts","tests":[{"status":"skipped","annotations":[{"type":"skip","description":"no camera"}]}]}]}]}],
			"errors":[{"message":"a worker died"}]}`,
			playwright, counts{1, 2, 1}, "sometimes (expected a tick)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report.json")
			if err := os.WriteFile(path, []byte(test.report), 0o600); err != nil {
				t.Fatal(err)
			}
			got, out, err := test.read(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want || !strings.Contains(out, test.says) {
				t.Errorf("counted %+v, want %+v; printed %q, wanted %q in it", got, test.want, out, test.says)
			}
		})
	}
}

func vitest(path string) (counts, string, error) {
	var out strings.Builder
	c, err := readVitest(path, &out)
	return c, out.String(), err
}

func playwright(path string) (counts, string, error) {
	var out strings.Builder
	c, err := readPlaywright(path, &out)
	return c, out.String(), err
}

func TestSum(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	for _, c := range []counts{{3, 0, 0}, {2, 0, 1}} {
		if failed, err := record(results, "some", c, "", nil); failed || err != nil {
			t.Fatal(failed, err)
		}
	}
	var out strings.Builder
	failed, err := sum(results, &out)
	if failed || err != nil || out.String() != "5 passed, 0 failed, 1 skipped\n" {
		t.Errorf("sum printed %q, failed %v, %v", out.String(), failed, err)
	}
	if failed, err := record(results, "empty", counts{}, "", nil); !failed || err != nil {
		t.Errorf("a run without a test must fail: %v, %v", failed, err)
	}
	said := failures("ok   p: 1 passed\nFAILED: p TestA\n    a_test.go:9: 1 is not 2\n")
	if failed, err := record(results, "bad", counts{failed: 1}, said, nil); !failed || err != nil {
		t.Errorf("a failed test must fail: %v, %v", failed, err)
	}
	if raw, err := os.ReadFile(results + ".failed"); err != nil || string(raw) != "FAILED: empty: no test ran\nFAILED: p TestA\n" {
		t.Errorf("kept %q of the failures, %v", raw, err)
	}
	out.Reset()
	if failed, _ := sum(results, &out); !failed || out.String() != "5 passed, 2 failed, 1 skipped\n" {
		t.Errorf("sum printed %q, failed %v", out.String(), failed)
	}
}

func TestSumOfNothing(t *testing.T) {
	if failed, err := sum(filepath.Join(t.TempDir(), "none"), os.Stderr); !failed || err == nil {
		t.Error("results that are not there must not pass")
	}
}
