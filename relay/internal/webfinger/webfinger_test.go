package webfinger_test

import (
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/webfinger"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"a.example", "a.example:8443", "[2a00::1]:8443", "127.0.0.2:8787", "93.184.216.34"} {
		p := webfinger.Person{UID: protocol.UID{1, 2, 3}, Username: "mei", Host: host}
		raw, err := webfinger.Write(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := webfinger.Read(raw); err != nil || got != p {
			t.Errorf("%s: %+v %v", host, got, err)
		}
	}
	if got, want := webfinger.Query("mei", "[2a00::1]:8443"), "/.well-known/webfinger?resource=acct%3Amei%40%5B2a00%3A%3A1%5D%3A8443"; got != want {
		t.Error(got)
	}
	if _, err := webfinger.Read([]byte(strings.Repeat(" ", webfinger.Most+1))); protocol.CodeOf(err) != protocol.CodeTooLarge {
		t.Error(err)
	}
}

// FuzzRead: whatever another courtyard says, what is read is a person who can be written again.
func FuzzRead(f *testing.F) {
	for _, host := range []string{"a.example", "[2a00::1]:8443", "127.0.0.2:8787"} {
		raw, err := webfinger.Write(webfinger.Person{UID: protocol.UID{1}, Username: "mei", Host: host})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add([]byte(strings.ReplaceAll(string(raw), "https://", "HTTPS://u@")))
		f.Add([]byte(strings.ReplaceAll(string(raw), host, "A.Example:443/")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := webfinger.Read(raw)
		if err != nil {
			if code := protocol.CodeOf(err); code != protocol.CodeBadRequest && code != protocol.CodeTooLarge {
				t.Fatal(err)
			}
			return
		}
		if canonical, err := protocol.ParseHost(p.Host); err != nil || canonical != p.Host || !protocol.ValidUsername(p.Username) {
			t.Fatalf("%+v", p)
		}
		again, err := webfinger.Write(p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := webfinger.Read(again); err != nil || q != p {
			t.Fatalf("%+v %+v %v", p, q, err)
		}
	})
}
