package turn

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func testCredentials(t *testing.T, clock *clock, denied ...Device) *credentials {
	t.Helper()
	key, err := protocol.NewSignSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return newCredentials(key, denied, clock.now, rand.Reader)
}

func issued(t *testing.T, c *credentials, d device, exp int64) (username, password string, until int64) {
	t.Helper()
	username, password, until, err := c.issue(d, exp)
	if err != nil {
		t.Fatal(err)
	}
	return username, password, until
}

var phone = device{protocol.UID{1}, [8]byte{2}}

func TestACredentialSaysWhoseItIsToTheRelayAlone(t *testing.T) {
	clock := &clock{time.Unix(1_790_000_000, 0)}
	c := testCredentials(t, clock)
	username, password, until := issued(t, c, phone, 0)
	if until != clock.at.Add(time.Hour).UnixMilli() {
		t.Fatal("until", until)
	}
	claim, again, ok := c.read(username)
	if !ok || claim.device != phone || claim.begin != until || again != password {
		t.Fatal(claim, ok)
	}
	other, otherPassword, _ := issued(t, c, phone, 0)
	if other == username || otherPassword == password || bytes.Contains([]byte(username), []byte(protocol.EncodeBytes(phone.uid[:8]))) {
		t.Fatal("it tells whose it is")
	}
	// A relay with the same key, after a restart say, knows it; one with another does not.
	if claim, again, ok := testCredentials(t, clock).read(username); !ok || claim.device != phone || again != password {
		t.Fatal("forgotten by a restart")
	}
	stranger, err := protocol.NewSignSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := newCredentials(stranger, nil, clock.now, rand.Reader).read(username); ok {
		t.Fatal("another relay knows it")
	}
	for i := range username {
		forged := []byte(username)
		forged[i] ^= 1
		if _, _, ok := c.read(string(forged)); ok {
			t.Fatal("forged at", i)
		}
	}
	for _, text := range []string{"", "a", username[1:], username + "A", username[:len(username)-1] + "\n", "1790000000:AAAAAAAAAAA:x"} {
		if _, _, ok := c.read(text); ok {
			t.Fatalf("%q is a user name", text)
		}
	}
}

func TestHowLongACredentialIsGood(t *testing.T) {
	begin := time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC) // the key of this day is soon yesterday's
	for what, v := range map[string]struct {
		exp, after   time.Duration // exp 0: never
		begins, keep bool
	}{
		"at once":                   {0, 0, true, true},
		"an hour less a second":     {0, time.Hour - time.Second, true, true},
		"an hour":                   {0, time.Hour, false, true},
		"a day less a second":       {0, 24*time.Hour - time.Second, false, true},
		"a day":                     {0, 24 * time.Hour, false, false},
		"before the device ends":    {10 * time.Minute, 9 * time.Minute, true, true},
		"when the device ends":      {10 * time.Minute, 10 * time.Minute, false, false},
		"while a late device lasts": {3 * time.Hour, 2 * time.Hour, false, true},
		"when a late device ends":   {3 * time.Hour, 3 * time.Hour, false, false},
	} {
		clock := &clock{begin}
		c := testCredentials(t, clock)
		exp := int64(0)
		if v.exp > 0 {
			exp = begin.Add(v.exp).UnixMilli()
		}
		username, _, _ := issued(t, c, phone, exp)
		clock.at = begin.Add(v.after)
		claim, _, ok := c.read(username)
		if !ok {
			t.Fatal(what, "is not known")
		}
		_, begins := c.admits(claim, true)
		_, keep := c.admits(claim, false)
		if begins != v.begins || keep != v.keep {
			t.Errorf("%s: begins %v, keep %v", what, begins, keep)
		}
	}
	clock := &clock{begin}
	c := testCredentials(t, clock)
	username, _, _ := issued(t, c, phone, 0)
	clock.at = begin.Add(48 * time.Hour)
	if _, _, ok := c.read(username); ok {
		t.Fatal("the key of the day before yesterday is used")
	}
	if len(c.keys) > 2 {
		t.Fatal(len(c.keys), "keys are remembered")
	}
}

func TestRevokedDevicesHaveNoCredential(t *testing.T) {
	clock := &clock{time.Unix(1_790_000_000, 0)}
	id := protocol.DeviceID{9}
	c := testCredentials(t, clock, Device{protocol.UID{1}, id})
	username, _, _ := issued(t, c, deviceOf(Device{protocol.UID{1}, id}), 0)
	claim, _, _ := c.read(username)
	if reason, ok := c.admits(claim, true); ok || reason != refusedRevoked {
		t.Fatal(reason, ok)
	}
	username, _, _ = issued(t, c, phone, 0)
	claim, _, _ = c.read(username)
	if _, ok := c.admits(claim, true); !ok {
		t.Fatal("another device is refused")
	}
	c.deny(phone)
	if reason, ok := c.admits(claim, false); ok || reason != refusedRevoked {
		t.Fatal("a call goes on", reason)
	}
}

// TestTheOtherServersScheme: the user name and password that coturn's
// use-auth-secret would compute, by `printf '1790003600:mei' | openssl sha1 -hmac courtyard -binary | base64`.
func TestTheOtherServersScheme(t *testing.T) {
	username, password := shared(protocol.SecretOf([]byte("courtyard")), "mei", time.Unix(1_790_003_600, 0))
	if username != "1790003600:mei" || password != "C7IsPl5GXo3IfCI/wwESSJ/VOSE=" {
		t.Fatal(username, password)
	}
	c := testCredentials(t, &clock{time.Unix(1_790_000_000, 0)})
	if a := c.alias(protocol.UID{1}); a != c.alias(protocol.UID{1}) || a == c.alias(protocol.UID{2}) || len(a) != 11 {
		t.Fatal(a)
	}
}
