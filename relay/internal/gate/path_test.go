package gate

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

// FuzzPath: a path that passes means the same to everybody who reads it.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/app/", "/app/../x", "/app/%2e%2e/x", "//x", "/a\\b", "/\x00", "/%ff", "/app/.well-known", "/…", "/a/./b", "/..a", "*", "app"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.ParseRequestURI(text)
		if err != nil || u.Host != "" || !straight(u.Path, u.RawPath) {
			return
		}
		clean := path.Clean(u.Path)
		if strings.HasSuffix(u.Path, "/") && clean != "/" {
			clean += "/"
		}
		if u.Path != clean || u.EscapedPath() != (&url.URL{Path: u.Path}).EscapedPath() {
			t.Fatalf("%q passes as %q, which is %q", text, u.Path, clean)
		}
	})
}
