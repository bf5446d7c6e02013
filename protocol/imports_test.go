package protocol_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/courtyard-social/courtyard"

// rules are the imports that no package below the folder may reach, itself or
// through others, and why.
var rules = []struct {
	folder    string
	forbidden []string
	tests     bool // packages for tests, named …test, may
	why       string
}{
	{"relay", []string{"protocol/letter", "protocol/vault", "protocol/message"}, false,
		"the relay must not be able to read mail: it does not even carry the code that opens letters and vaults"},
	{"relay", []string{"homedb"}, true, "the relay is not the home: what the home may read, the relay may not"},
	{"homedb", []string{"relay"}, true, "a home works with any relay that speaks the protocol, so it must not know one from inside"},
	{"protocol", []string{"relay", "homedb", "frontend"}, false, "the protocol is what the tiers share; it has no tier's behaviour"},
	{"protocol", []string{"protocol/internal/vectortest"}, true, "the keys in there are public; only tests may use them"},
}

// doing is what packages of the protocol must not import: they do no I/O, read
// no clock and take randomness as a parameter.
var doing = map[string]string{
	"os": "files", "net/http": "the network", "time": "the clock", "crypto/rand": "randomness that is not injected",
	"math/rand": "bad randomness", "math/rand/v2": "bad randomness", "os/exec": "processes", "database/sql": "a database",
	"io/ioutil": "files", "syscall": "the system", "embed": "files",
}

// list asks go list for one line per package; ok is false if the folder has none yet.
func list(t *testing.T, folder, format string) (lines []string, ok bool) {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", format, "./"+folder+"/...")
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	text := strings.TrimSpace(string(out))
	if text == "" && (err == nil || strings.Contains(stderr.String(), "no such file or directory")) {
		return nil, false
	}
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", folder, err, stderr.String())
	}
	return strings.Split(text, "\n"), true
}

func TestImportRules(t *testing.T) {
	for _, rule := range rules {
		lines, ok := list(t, rule.folder, `{{.ImportPath}} {{join .Deps " "}}`)
		if !ok {
			t.Logf("nothing in %s/ yet", rule.folder)
			if rule.folder == "protocol" {
				t.Error("go list does not find the protocol, so this test shows nothing")
			}
			continue
		}
		for _, line := range lines {
			fields := strings.Fields(line)
			if rule.tests && strings.HasSuffix(fields[0], "test") {
				continue
			}
			for _, dep := range fields[1:] {
				for _, f := range rule.forbidden {
					if dep == module+"/"+f || strings.HasPrefix(dep, module+"/"+f+"/") {
						t.Errorf("%s reaches %s: %s", fields[0], dep, rule.why)
					}
				}
			}
		}
	}
}

func TestProtocolDoesNothing(t *testing.T) {
	lines, ok := list(t, "protocol", `{{.ImportPath}} {{join .Imports " "}}`)
	if !ok || len(lines) < 6 {
		t.Fatal("go list does not find the protocol's packages:", lines)
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		if strings.HasSuffix(fields[0], "/vectortest") {
			continue
		}
		for _, dep := range fields[1:] {
			if what, bad := doing[dep]; bad {
				t.Errorf("%s imports %s: %s", fields[0], dep, what)
			}
		}
	}
}
