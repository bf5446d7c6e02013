package relay_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The relay must not be able to read mail: not by promise but because the code
// that seals and opens letters, vaults and messages is not in its binary. Tests
// under relay/ keep to it as well.
func TestTheRelayHasNoMeansToReadLetters(t *testing.T) {
	t.Parallel()
	const module = "github.com/courtyard-social/courtyard/"
	out, err := exec.Command("go", "list", "-deps", "-test", "-f", "{{.ImportPath}}", "./...").Output()
	must(t, err)
	forbidden := map[string]string{
		module + "protocol/letter":  "seals and opens letters",
		module + "protocol/vault":   "seals and opens vaults",
		module + "protocol/message": "knows what letters say",
		module + "homedb":           "is another tier",
	}
	found := false
	for path := range strings.FieldsSeq(string(out)) {
		for prefix, why := range forbidden {
			if path == prefix || strings.HasPrefix(path, prefix+"/") {
				t.Errorf("relay reaches %s, which %s", path, why)
			}
		}
		found = found || path == module+"protocol/ident"
	}
	if !found {
		t.Error("the list of imports is not what it seems: protocol/ident is missing")
	}
}
