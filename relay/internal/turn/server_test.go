package turn

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	pion "github.com/pion/turn/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a server on ports of its own, which relays on this machine.
func serve(t testing.TB) *Server {
	t.Helper()
	sockets, err := Listen(Place{Bound: netip.MustParseAddrPort("127.0.0.1:0"), Seen: netip.MustParseAddr("127.0.0.1")})
	must(t, err)
	key, err := protocol.NewSignSecret(rand.Reader)
	must(t, err)
	s, err := New(t.Context(), Config{
		Sockets: []*Sockets{sockets}, Ports: Ports{20_000, 60_000}, Reach: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Key: key, Store: newBook(), Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
		Offered: Offered{URLs: []string{"turn:" + sockets.Bound.String() + "?transport=udp"}},
	})
	must(t, err)
	must(t, s.Start())
	return s
}

// caller is a client with an allocation.
type caller struct {
	*pion.Client
	conn, at net.PacketConn
}

func (s *Server) call(t testing.TB, uid protocol.UID, network string) *caller {
	t.Helper()
	offer, err := s.Offer(uid, protocol.DeviceID{1}, 0)
	must(t, err)
	at := s.config.Sockets[0].Bound.String()
	var conn net.PacketConn
	if network == "tcp" {
		stream, err := net.Dial("tcp", at)
		must(t, err)
		conn = pion.NewSTUNConn(stream)
	} else {
		conn, err = net.ListenPacket("udp4", "127.0.0.1:0")
		must(t, err)
	}
	client, err := pion.NewClient(&pion.ClientConfig{TURNServerAddr: at, Conn: conn, Username: offer.Username, Password: offer.Credential, Realm: realm, LoggerFactory: silence{}})
	must(t, err)
	must(t, client.Listen())
	c := &caller{Client: client, conn: conn}
	c.at, err = client.Allocate()
	must(t, err)
	return c
}

func (c *caller) end() {
	_ = c.at.Close()
	c.Close()
	_ = c.conn.Close()
}

// knows is what the server remembers about clients.
func (s *Server) knows() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(s.relays) + len(s.clients) + len(s.open)
	for _, f := range s.fronts {
		f.mu.RLock()
		n += len(f.known)
		f.mu.RUnlock()
	}
	return n
}

// TestNothingIsRememberedOfWhatHasEnded: neither clients nor peers nor ports.
func TestNothingIsRememberedOfWhatHasEnded(t *testing.T) {
	s := serve(t)
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	defer peer.Close()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 3 {
				c := s.call(t, protocol.UID{byte(i)}, []string{"udp", "tcp"}[i%2])
				must(t, c.CreatePermission(peer.LocalAddr()))
				_, err := c.at.WriteTo([]byte("hello"), peer.LocalAddr())
				must(t, err)
				c.end()
			}
		})
	}
	all.Wait()
	late := time.Now().Add(10 * time.Second)
	for s.knows() > 0 {
		if time.Now().After(late) {
			t.Fatal(s.knows(), "things are remembered")
		}
		time.Sleep(10 * time.Millisecond) // the last connections are being closed
	}
	for _, a := range s.addresses.all {
		for port := range 1 << 16 {
			if a.open(uint16(port)) {
				t.Fatal("port", port, "is open")
			}
		}
	}
	if got := s.Totals(); got.Allocations != 0 || got.Out.Packets < 20 {
		t.Fatalf("%+v", got)
	}
	must(t, s.Stop())
}

// TestStoppingEndsEverything: with allocations that go on, over UDP and TCP, while
// packets come in. TestMain looks for what is left.
func TestStoppingEndsEverything(t *testing.T) {
	s := serve(t)
	a, b := s.call(t, mei, "udp"), s.call(t, tom, "tcp")
	defer a.end()
	defer b.end()
	must(t, b.CreatePermission(a.at.LocalAddr()))
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = a.at.WriteTo(make([]byte, 500), b.at.LocalAddr()) // it ends at some time
			}
		}
	})
	must(t, b.at.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, _, err := b.at.ReadFrom(make([]byte, 1500))
	must(t, err)
	must(t, s.Stop())
	close(stop)
	all.Wait()
	if s.knows() != 0 {
		t.Fatal(s.knows(), "things are remembered")
	}
	if n := s.config.Store.(*book).rows[monthOf(time.Now())][mei]; n < 500 {
		t.Fatal(n, "bytes were written down")
	}
}

func TestWhoHasUsedUpTheMonthIsEnded(t *testing.T) {
	s := serve(t)
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer peer.Close() //nolint:errcheck // it has done its work
	mine, theirs := newRaw(t, s), newRaw(t, s)
	mine.begin(t, s, mei, peer.LocalAddr().(*net.UDPAddr))
	theirs.begin(t, s, protocol.UID{9}, peer.LocalAddr().(*net.UDPAddr))
	frame := make([]byte, 4+1000)
	copy(frame, []byte{0x40, 0, 1000 >> 8, 1000 & 0xff})
	_, err = mine.conn.Write(frame)
	must(t, err)
	must(t, peer.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, _, err = peer.ReadFrom(make([]byte, 1500))
	must(t, err)
	must(t, s.Sweep(t.Context()))
	if n, _ := s.ledger.used(mei); n != 1 {
		t.Fatal("without a limit", n, "are open")
	}
	s.ledger.limit = 1000
	must(t, s.Sweep(t.Context()))
	if n, bytes := s.ledger.used(mei); n != 0 || bytes < 1000 {
		t.Error(n, "are open after", bytes, "bytes")
	}
	if n, _ := s.ledger.used(protocol.UID{9}); n != 1 {
		t.Error("somebody else has", n)
	}
	must(t, s.Stop())
}

// BenchmarkAllocations says what one costs that has a peer and a channel and is idle.
//
//	go test ./relay/internal/turn -run xxx -bench Allocations -benchtime 1x
func BenchmarkAllocations(b *testing.B) {
	const n = 1000
	s := serve(b)
	memory := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(b, err)
	defer peer.Close()
	for b.Loop() {
		clients := make([]*raw, n)
		for i := range clients {
			clients[i] = newRaw(b, s)
		}
		before := memory()
		for i, c := range clients {
			c.begin(b, s, protocol.UID{byte(i), byte(i >> 8)}, peer.LocalAddr().(*net.UDPAddr))
		}
		b.ReportMetric(float64(memory()-before)/n, "B/allocation")
		for _, c := range clients {
			_ = c.conn.Close()
		}
	}
	must(b, s.Stop())
}

// FuzzUsername: whatever is given as a name, it is one that was given out, or none.
func FuzzUsername(f *testing.F) {
	key, err := protocol.NewSignSecret(rand.Reader)
	must(f, err)
	c := newCredentials(key, nil, time.Now, rand.Reader)
	username, _, _, err := c.issue(phone, 0)
	must(f, err)
	for _, seed := range []string{username, username[1:], username + "=", "", "1790000000:mei", fmt.Sprint(make([]byte, 200))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if claim, _, ok := c.read(text); ok && (text != username || claim.device != phone) {
			t.Fatalf("%q is known", text)
		}
	})
}
