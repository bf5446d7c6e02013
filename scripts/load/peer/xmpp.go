package peer

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var ejabberd = Kind{
	// Debian's ejabberdctl runs it as a user of its own, with the system's folders, and
	// starts a daemon besides: here the virtual machine runs by itself, without a name.
	Name: "ejabberd", Path: "/usr/sbin/ejabberdctl",
	configure: func(dir string, port int) ([]string, error) {
		config := filepath.Join(dir, "ejabberd.yml")
		text := fmt.Sprintf(`hosts: [localhost]
loglevel: error
listen:
  - {port: %d, ip: "127.0.0.1", module: ejabberd_c2s, access: all, shaper: none, starttls: false, backlog: 1024}
auth_method: anonymous
anonymous_protocol: login_anon
modules:
  mod_roster: {}
`, port)
		return []string{"env", "ERL_LIBS=" + erlangLibraries(), "EJABBERD_CONFIG_PATH=" + config, "EJABBERD_LOG_PATH=" + filepath.Join(dir, "ejabberd-own.log"),
			"ERL_MAX_PORTS=32000", "ERL_CRASH_DUMP=" + filepath.Join(dir, "crash"), "HOME=" + dir,
			"erl", "-noinput", "+K", "true", "+P", "250000", "-start_epmd", "false", "-mnesia", "dir", fmt.Sprintf("%q", filepath.Join(dir, "spool")), "-s", "ejabberd",
		}, os.WriteFile(config, []byte(text), 0o600)
	},
	Ways: []Way{{Name: "chat messages", How: "XMPP between two users who are logged in, in memory; erl without a node name", dial: dialXMPP}},
}

// erlangLibraries is where Debian puts ejabberd, by kind of machine.
func erlangLibraries() string {
	found, err := filepath.Glob("/usr/lib/*/ejabberd-*")
	if err != nil || len(found) == 0 {
		return "/usr/lib"
	}
	return filepath.Dir(found[0])
}

// users is how many accounts there are; more log in nowhere here.
const users = 2048

var prosody = Kind{
	Name: "prosody", Path: "/usr/bin/prosody",
	configure: func(dir string, port int) ([]string, error) {
		config := filepath.Join(dir, "prosody.cfg.lua")
		text := fmt.Sprintf(`run_as_root = true
pidfile = %q
data_path = %q
log = { { levels = { min = "warn" }, to = "file", filename = %q } }
modules_enabled = { "roster", "saslauth" }
modules_disabled = { "s2s", "tls" }
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
VirtualHost "localhost"
`, filepath.Join(dir, "pid"), filepath.Join(dir, "data"), filepath.Join(dir, "prosody-own.log"), port)
		accounts := filepath.Join(dir, "data", "localhost", "accounts")
		if err := os.MkdirAll(accounts, 0o700); err != nil {
			return nil, err
		}
		for i := range users {
			for _, role := range []string{"s", "r"} {
				name := filepath.Join(accounts, fmt.Sprintf("%s%d.dat", role, i))
				if err := os.WriteFile(name, []byte(`return { ["password"] = "secret" };`), 0o600); err != nil {
					return nil, err
				}
			}
		}
		return []string{"/usr/bin/prosody", "-F", "--config", config}, os.WriteFile(config, []byte(text), 0o600)
	},
	Ways: []Way{{Name: "chat messages", How: "XMPP between two users who are logged in, in memory", dial: dialXMPP}},
}

// xmpp is a client of RFC 6120 that reads only what it waits for: messages here have
// bodies without markup.
type xmpp struct{ *conn }

const xmppStream = `<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`

func dialXMPP(c *conn, i int, receives bool) (Client, error) {
	x := &xmpp{conn: c}
	role := "s"
	if receives {
		role = "r"
	}
	plain := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "\x00%s%d\x00secret", role, i))
	steps := [][2]string{
		{xmppStream, "</stream:features>"},
		{"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain + "</auth>", "<success"},
		{xmppStream, "</stream:features>"},
		{"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind></iq>", "</iq>"},
	}
	if receives {
		steps = append(steps, [2]string{"<presence/>", "<presence"}) // one's own comes back
	}
	for _, step := range steps {
		if err := x.say("%s", step[0]); err != nil {
			return nil, err
		}
		if err := x.await(step[1]); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// await reads up to a tag; how the server says no is the same in all places.
func (x *xmpp) await(tag string) error {
	for {
		token, err := x.in.ReadSlice('>')
		if err != nil {
			return fmt.Errorf("before %s: %w", tag, err)
		}
		text := strings.TrimSpace(string(token))
		if strings.HasPrefix(text, tag) {
			return nil
		}
		if strings.HasPrefix(text, "<failure") || strings.HasPrefix(text, "<stream:error") || strings.Contains(text, "type='error'") {
			return fmt.Errorf("instead of %s: %s", tag, text)
		}
	}
}

func (x *xmpp) Send(i int, body []byte) error {
	return x.write(func(out []byte) []byte {
		out = fmt.Appendf(out, "<message to='r%d@localhost' type='chat'><body>", i)
		return append(append(out, body...), "</body></message>"...)
	})
}

func (x *xmpp) Receive() ([]byte, error) {
	end := []byte("</body>")
	for {
		token, err := x.in.ReadSlice('>')
		if err != nil {
			return nil, err
		}
		if bytes.HasSuffix(token, end) {
			return token[:len(token)-len(end)], nil
		}
	}
}
