package peer

import (
	"fmt"
	"os"
	"path/filepath"
)

// CoturnUser and CoturnPassword are what Coturn and CoturnOne admit.
const CoturnUser, CoturnPassword = "bench", "loopback-only"

// Coturn and CoturnOne are TURN servers, which pass packets and no messages: they have
// no ways and are not among Kinds. Coturn is set as Debian sets it, and has a
// thread for each processor; CoturnOne does everything in one, which costs less.
var (
	Coturn    = Kind{Name: "coturn", Path: turnserver, configure: coturn("")}
	CoturnOne = Kind{Name: "coturn", Path: turnserver, configure: coturn("relay-threads=0\n")}
)

const turnserver = "/usr/bin/turnserver"

// Address is where it listens, as host:port.
func (s *Server) Address() string { return s.address }

// coturn writes Debian's settings (the last three lines) and those that keep it on
// 127.0.0.1, with more. Its account is in memory: of its ways to know people the
// cheapest. It logs to a file, since nobody may read a system's own log here.
func coturn(more string) func(dir string, port int) ([]string, error) {
	return func(dir string, port int) ([]string, error) {
		config := filepath.Join(dir, "turnserver.conf")
		text := fmt.Sprintf(`listening-ip=127.0.0.1
relay-ip=127.0.0.1
listening-port=%d
allow-loopback-peers
lt-cred-mech
realm=courtyard
user=%s:%s
userdb=%s
no-tls
no-dtls
no-cli
no-stdout-log
simple-log
log-file=%s
pidfile=%s
%sno-rfc5780
no-stun-backward-compatibility
response-origin-only-with-rfc5780
`, port, CoturnUser, CoturnPassword, filepath.Join(dir, "turndb"), filepath.Join(dir, "turnserver.log"), filepath.Join(dir, "turnserver.pid"), more)
		return []string{turnserver, "-c", config}, os.WriteFile(config, []byte(text), 0o600)
	}
}
