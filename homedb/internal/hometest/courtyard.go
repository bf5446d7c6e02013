// Package hometest is the world around a home in tests: a real relay in this
// process whose clock the test moves, and apps that join, write letters and
// approve homes as a browser does. Tests read like a play.
//
// It is for tests alone, and must never be imported by the agent.
package hometest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay"
	"github.com/courtyard-social/courtyard/scripts/ports"
)

// Courtyard is a relay and its clock.
type Courtyard struct {
	testing.TB
	Clock *clock.Moved
	Place gate.Place
	Relay ident.Relay
	// Logger takes what relay and homes log; it is shown when the test fails.
	Logger *slog.Logger

	calls relay.CallsConfig // STUN and TURN: off, unless said otherwise
	dir   string
	ahead atomic.Int64     // of Clock, which is everybody else's; what the relay goes by
	lanes *Street          // what other courtyards there are; nil: none
	proc  *process         // the relay as a program; nil: in this process
	at    string           // where the relay itself listens
	front *httptest.Server // speaks TLS and HTTP/2 before the relay; nil for none
	stop  context.CancelFunc
	done  chan error
}

// Start starts a relay. Its limits on sockets, joins and frames are lifted: one
// address plays everybody here.
func Start(t testing.TB) *Courtyard {
	t.Helper()
	return start(t, nil, free(t, "127.0.0.1"), clock.NewMoved())
}

// StartCalling starts a relay with STUN and TURN, which relay to this machine, and as
// much as anybody likes.
func StartCalling(t testing.TB) *Courtyard {
	t.Helper()
	c := &Courtyard{TB: t, calls: relay.CallsConfig{Turn: "on", TurnListen: []string{"127.0.0.1:0"}, TurnReach: []string{"127.0.0.0/8"}}}
	return c.start(free(t, "127.0.0.1"), clock.NewMoved())
}

// StartSecure starts a relay behind something that speaks TLS and HTTP/2, as on
// the net, and writes its certificate to the file certificate.
func StartSecure(t testing.TB, certificate string) *Courtyard {
	t.Helper()
	front := httptest.NewUnstartedServer(nil)
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(certificate, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, front, free(t, "127.0.0.1"), clock.NewMoved())
}

func start(t testing.TB, front *httptest.Server, listen string, moved *clock.Moved) *Courtyard {
	t.Helper()
	return (&Courtyard{front: front, TB: t, calls: relay.CallsConfig{Turn: "off"}}).start(listen, moved)
}

func (c *Courtyard) start(listen string, moved *clock.Moved) *Courtyard {
	c.Helper()
	c.Clock, c.dir, c.Logger = moved, filepath.Join(c.TempDir(), "relay"), logs(c.TB)
	c.run(listen)
	c.Cleanup(c.Stop)
	return c
}

func (c *Courtyard) run(listen string) {
	c.Helper()
	ctx, stop := context.WithCancel(context.Background())
	config := relay.Config{Listen: listen, Data: c.dir, SpaceMiB: 1024, Reach: []string{"127.0.0.0/8", "::1/128"}, CallsConfig: c.calls}
	if c.front != nil {
		config.Host = c.front.Listener.Addr().String()
	}
	r, err := relay.New(ctx, config, relay.Surroundings{
		Log: c.Logger.With("who", "relay"), Now: c.relayNow,
		FramesPerMinute: math.MaxInt32, SocketsPerMinute: math.MaxInt32, JoinsPerMinute: math.MaxInt32,
	})
	if err != nil {
		c.Fatal(err)
	}
	place, err := gate.ParsePlace(r.URL())
	if err != nil {
		c.Fatal(err)
	}
	c.at = place.Host
	if c.front != nil {
		c.front.Config.Handler = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: place.Host})
		place = gate.Place{Host: config.Host, Secure: true}
	}
	c.settles(place, r.Key())
	c.stop, c.done = stop, make(chan error, 1)
	go func() {
		err := r.Run(ctx)
		if closed := r.Close(); err == nil {
			err = closed
		}
		c.done <- err
	}()
}

// relayNow is the relay's time.
func (c *Courtyard) relayNow() time.Time { return c.Clock.Now().Add(time.Duration(c.ahead.Load())) }

// SetClock makes the relay's clock so far ahead of everybody else's.
func (c *Courtyard) SetClock(ahead time.Duration) { c.ahead.Store(int64(ahead)) }

// settles notes where the relay is and who it is.
func (c *Courtyard) settles(place gate.Place, key protocol.Key32) {
	c.Helper()
	host, port, err := protocol.SplitHost(place.Host)
	if err != nil {
		c.Fatal(err)
	}
	c.Place, c.Relay = place, ident.Relay{Key: key, Host: host, Port: port}
}

// Stop ends the relay; the second time it does nothing.
func (c *Courtyard) Stop() {
	if c.proc != nil {
		c.proc.kill()
		return
	}
	if c.stop == nil {
		return
	}
	c.stop()
	c.stop = nil
	if err := <-c.done; err != nil {
		c.Errorf("relay: %v", err)
	}
}

// Restart starts the relay again, where it was, with what it has on disk.
func (c *Courtyard) Restart() {
	c.Helper()
	if c.proc != nil {
		c.launch()
		return
	}
	c.run(c.at)
}

// Dir is the relay's data directory.
func (c *Courtyard) Dir() string { return c.dir }

// Gate makes a way to the relay.
func (c *Courtyard) Gate() *gate.Gate {
	g := gate.New(c.Place, Dial)
	transport := g.Client().Transport.(*http.Transport)
	transport.DisableKeepAlives = true // a new address for each request
	if c.front != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		transport.TLSClientConfig.RootCAs.AddCert(c.front.Certificate())
	}
	c.Cleanup(g.Close)
	return g
}

var dials atomic.Uint32

// Dial comes from another loopback address each time: the relay bounds how many
// connections one address may have.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n := dials.Add(1)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>7), byte(n%127)+1)}}
	return d.DialContext(ctx, network, address)
}

// Random is the machine's randomness.
var Random io.Reader = rand.Reader

// Patience is how long a test waits for something that will come.
const Patience = 30 * time.Second

// Until waits until do is true, asking again whenever the world may have moved.
func Until(t testing.TB, what string, do func() bool) {
	t.Helper()
	began := time.Now()
	pause := 5 * time.Millisecond
	for !do() {
		if time.Since(began) > Patience {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(pause) // asking, not synchronising; less often later, because a relay counts
		if time.Since(began) > time.Second {
			pause = 150 * time.Millisecond
		}
	}
}

func logs(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(&output{t: t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// free is an address at which nobody listens, on that loopback interface.
func free(t testing.TB, ip string) string {
	t.Helper()
	address, err := ports.Address(ip)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// output writes log lines to the test while it runs.
type output struct{ t testing.TB }

func (o *output) Write(line []byte) (int, error) {
	if o.t.Context().Err() == nil {
		o.t.Logf("%s", line[:max(0, len(line)-1)])
	}
	return len(line), nil
}

// Dial4 is Dial for a host name, which may have an IPv6 address as well.
func Dial4(ctx context.Context, _, address string) (net.Conn, error) {
	return Dial(ctx, "tcp4", address)
}
