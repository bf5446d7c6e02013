package relay_test

import (
	"bytes"
	"crypto/tls"
	"database/sql"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/pion/stun/v4"
)

// begun is a client by hand with an allocation, and where that is.
func begun(t *testing.T, s *relaytest.Socket) (r *byHand, relayed *net.UDPAddr) {
	t.Helper()
	r = handmade(t, s.Turn())
	answer := r.asks(stun.MethodAllocate, requestedUDP)
	if code := errorOf(answer); code != 0 {
		t.Fatal("no allocation:", code)
	}
	var at stun.XORMappedAddress
	must(t, at.GetFromAs(answer, stun.AttrXORRelayedAddress))
	return r, &net.UDPAddr{IP: at.IP, Port: at.Port}
}

// TestPeersThatNobodyIsLedTo: neither by permission nor by channel, in whatever way
// the address is written.
func TestPeersThatNobodyIsLedTo(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, calling())
	mei := c.Owner("mei")
	r, _ := begun(t, c.Connect(mei, mei.Phone))
	mapped := func(text string) []byte { return net.ParseIP(text).To16() } // ::ffff:…
	for _, ip := range [][]byte{
		{127, 0, 0, 2}, {127, 255, 255, 254}, {0, 0, 0, 0}, {10, 1, 2, 3}, {172, 16, 0, 1}, {192, 168, 1, 1}, {169, 254, 169, 254}, {168, 63, 129, 16},
		{100, 64, 0, 1}, {192, 0, 0, 192}, {198, 18, 0, 1}, {224, 0, 0, 1}, {255, 255, 255, 255},
		mapped("127.0.0.1"), mapped("127.0.0.2"), mapped("0.0.0.0"), mapped("169.254.169.254"), mapped("8.8.8.8"),
	} {
		if code := errorOf(r.asks(stun.MethodCreatePermission, peerAt(ip, 40000))); code != stun.CodeForbidden {
			t.Errorf("permission for % x: %d", ip, code)
		}
		if code := errorOf(r.asks(stun.MethodChannelBind, channel(0x4000), peerAt(ip, 40000))); code == 0 {
			t.Errorf("channel to % x", ip)
		}
	}
	// In an allocation for IPv4 no IPv6 address is one.
	for _, text := range []string{"::", "::1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001::1", "fd00::1", "fe80::1", "ff02::1", "::127.0.0.1", "2606:4700::1111"} {
		if code := errorOf(r.asks(stun.MethodCreatePermission, peerAt(net.ParseIP(text).To16(), 40000))); code == 0 {
			t.Errorf("permission for %s", text)
		}
	}
	// TCP is not relayed, to nobody.
	if code := errorOf(r.asks(stun.MethodCreatePermission, peerAt([]byte{8, 8, 8, 8}, 1))); code != 0 {
		t.Fatal("to the internet:", code)
	}
	if code := errorOf(r.asks(stun.MethodConnect, peerAt([]byte{8, 8, 8, 8}, 443))); code == 0 {
		t.Error("a TCP connection is made")
	}
	overTCP := handmade(t, r.offer)
	if code := errorOf(overTCP.asks(stun.MethodAllocate, attribute{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}})); code != stun.CodeInsufficientCapacity {
		t.Error("a TCP listener:", code)
	}
}

// TestTheMachinesOwnServicesAreOutOfReach: on the address where allocations are,
// only they are.
func TestTheMachinesOwnServicesAreOutOfReach(t *testing.T) {
	t.Parallel()
	o := calling()
	o.Config.Metrics = "127.0.0.1:0"
	c := relaytest.Start(t, o)
	mei := c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	r, own := begun(t, phone)
	service := friend(t)
	at := service.LocalAddr().(*net.UDPAddr)
	_, turnPort, err := net.SplitHostPort(leads(t, r.offer, "turn udp"))
	must(t, err)
	stunPort, err := strconv.Atoi(turnPort)
	must(t, err)
	if code := errorOf(r.asks(stun.MethodCreatePermission, peerAt(at.IP.To4(), at.Port))); code != 0 {
		t.Fatal("other allocations are out of reach, too:", code)
	}
	hello := stun.MustBuild(stun.TransactionID, stun.BindingRequest) // which STUN would answer
	sends := func(port int) {
		t.Helper()
		for _, ip := range [][]byte{at.IP.To4(), at.IP.To16()} {
			_, err := r.conn.Write(r.build(stun.MethodSend, stun.ClassIndication, peerAt(ip, port), attribute{stun.AttrData, hello.Raw}).Raw)
			must(t, err)
		}
	}
	sends(at.Port)
	sends(stunPort)
	sends(53)
	if code := errorOf(r.asks(stun.MethodChannelBind, channel(0x4000), peerAt(at.IP.To4(), at.Port))); code != 0 {
		t.Fatal(code)
	}
	frame := append(binary.BigEndian.AppendUint16([]byte{0x40, 0}, uint16(len(hello.Raw))), hello.Raw...)
	_, err = r.conn.Write(frame)
	must(t, err)
	// What goes to itself is an allocation's, and comes back; before it nothing has.
	sends(own.Port)
	must(t, r.conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	for range 2 {
		p := make([]byte, 1600)
		n, err := r.conn.Read(p)
		must(t, err)
		m := &stun.Message{Raw: p[:n]}
		var from stun.XORMappedAddress
		must(t, m.Decode())
		if data, err := m.Get(stun.AttrData); err != nil || !bytes.Equal(data, hello.Raw) || from.GetFromAs(m, stun.AttrXORPeerAddress) != nil || from.Port != own.Port {
			t.Fatalf("came back: %v from %v (%v)", m, from, err)
		}
	}
	if got := hears(service)(100 * time.Millisecond); got != "" {
		t.Fatal("a service of this machine hears", got)
	}
	if n := counter(t, c, `courtyard_turn_dropped_total{reason="own"}`); n != 5 {
		t.Error(n, "packets to the machine itself were dropped")
	}
	if n := counter(t, c, `courtyard_turn_dropped_total{reason="port"}`); n != 2 {
		t.Error(n, "packets to low ports were dropped")
	}
}

// counter reads one from the relay's private port.
func counter(t *testing.T, c *relaytest.Courtyard, name string) float64 {
	t.Helper()
	return counted(t, c.Relay.MetricsURL(), name)
}

func counted(t *testing.T, url, name string) float64 {
	t.Helper()
	res, err := http.Get(url)
	must(t, err)
	text, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			must(t, err)
			return n
		}
	}
	t.Fatal("no counter", name)
	return 0
}

// TestAnAllocationIsItsMakersAlone: somebody else with a good credential, even on
// the very socket, can do nothing with it (RFC 8656, section 5).
func TestAnAllocationIsItsMakersAlone(t *testing.T) {
	t.Parallel()
	p := newPair(t, calling())
	r, _ := begun(t, p.meiPhone)
	thief := *r
	thief.offer = p.tomPhone.Turn()
	for _, method := range []stun.Method{stun.MethodCreatePermission, stun.MethodChannelBind} {
		if answer := thief.tries(300*time.Millisecond, method, channel(0x4000), peerAt([]byte{8, 8, 8, 8}, 9)); answer != nil && errorOf(answer) == 0 {
			t.Error(method, "by somebody else:", answer)
		}
	}
	gone := attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}}
	if answer := thief.tries(300*time.Millisecond, stun.MethodRefresh, gone); answer != nil && errorOf(answer) == 0 {
		t.Error("ended by somebody else:", answer)
	}
	if code := errorOf(thief.asks(stun.MethodAllocate, requestedUDP)); code != stun.CodeAllocMismatch {
		t.Error("a second one on the socket:", code)
	}
	thief.offer.Credential = r.offer.Credential
	if code := errorOf(thief.asks(stun.MethodAllocate, requestedUDP)); code != stun.CodeBadRequest {
		t.Error("with another's password:", code)
	}
	thief.offer = r.offer
	thief.offer.Username = thief.offer.Username[:len(thief.offer.Username)-1] + "A"
	if code := errorOf(thief.asks(stun.MethodAllocate, requestedUDP)); code != stun.CodeBadRequest {
		t.Error("with a made-up name:", code)
	}
	if code := errorOf(r.asks(stun.MethodCreatePermission, peerAt([]byte{8, 8, 8, 8}, 9))); code != 0 {
		t.Error("its maker:", code)
	}
}

func TestTheSeventhAllocationIsRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t, calling())
	all := []*byHand{}
	for range 6 {
		r, _ := begun(t, p.meiPhone)
		all = append(all, r)
	}
	seventh := handmade(t, p.meiPhone.Turn())
	if code := errorOf(seventh.asks(stun.MethodAllocate, requestedUDP)); code != stun.CodeAllocQuotaReached {
		t.Fatal("the seventh:", code)
	}
	if _, err := dial(t, p.meiPhone.Turn(), "turn tcp").Allocate(); err == nil {
		t.Fatal("the seventh, over TCP")
	}
	begun(t, p.tomPhone)
	if code := errorOf(all[0].asks(stun.MethodRefresh, attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})); code != 0 {
		t.Fatal(code)
	}
	if code := errorOf(seventh.asks(stun.MethodAllocate, requestedUDP)); code != 0 {
		t.Fatal("in place of one that has ended:", code)
	}
}

// TestAnAllocationHasFewPeersAndChannels: pion/turn itself would take thousands, and
// looks through all channels for each packet.
func TestAnAllocationHasFewPeersAndChannels(t *testing.T) {
	t.Parallel()
	p := newPair(t, calling())
	r, _ := begun(t, p.meiPhone)
	had := 0
	for i := range 300 {
		if errorOf(r.asks(stun.MethodCreatePermission, peerAt([]byte{8, 8, byte(i >> 8), byte(i)}, 9))) == 0 {
			had++
		}
	}
	if had != 64 {
		t.Error(had, "peers")
	}
	r, _ = begun(t, p.tomPhone)
	had = 0
	for i := range 300 {
		if errorOf(r.asks(stun.MethodChannelBind, channel(uint16(0x4000+i)), peerAt([]byte{8, 8, 8, 8}, 2000+i))) == 0 {
			had++
		}
	}
	if had != 128 { // of one peer, that may be asked for again; of several together 64
		t.Error(had, "channels to one peer")
	}
	r, _ = begun(t, p.tomPhone)
	had = 0
	for i := range 300 {
		if errorOf(r.asks(stun.MethodChannelBind, channel(uint16(0x4000+i)), peerAt([]byte{8, 8, byte(i >> 8), byte(i)}, 2000))) == 0 {
			had++
		}
	}
	if had != 64 {
		t.Error(had, "channels")
	}
}

func TestNobodyHasMoreThanHisBandwidth(t *testing.T) {
	t.Parallel()
	o := calling("127.0.0.0/8")
	o.Config.TurnBandwidth = 1 // Mbit/s: 62,500 bytes at once, then 125,000 a second
	c := relaytest.Start(t, o)
	mei := c.Owner("mei")
	r, _ := begun(t, c.Connect(mei, mei.Phone))
	tom := friend(t)
	must(t, tom.SetReadBuffer(4<<20))
	at := tom.LocalAddr().(*net.UDPAddr)
	if code := errorOf(r.asks(stun.MethodChannelBind, channel(0x4000), peerAt(at.IP.To4(), at.Port))); code != 0 {
		t.Fatal(code)
	}
	frame := make([]byte, 4+1000)
	copy(frame, []byte{0x40, 0, 1000 >> 8, 1000 & 0xff})
	began := time.Now()
	for range 50 {
		for range 100 {
			_, err := r.conn.Write(frame)
			must(t, err)
		}
		r.asks(stun.MethodRefresh) // all of them have been looked at
	}
	allowed := 63 + int(time.Since(began).Seconds()*125) + 1
	heard := 0
	for hears(tom)(500*time.Millisecond) != "" {
		heard++
	}
	if heard < 50 || heard > allowed {
		t.Fatal(heard, "packets of 1,000 bytes passed,", allowed, "may")
	}
}

// TestWhoHasUsedUpHisMonth begins nothing, and what there is ends with its lifetime.
func TestWhoHasUsedUpHisMonth(t *testing.T) {
	t.Parallel()
	o := calling()
	o.Config.TurnMonthGiB = 1
	c := relaytest.Start(t, o)
	mei := c.Owner("mei")
	phone := c.Connect(mei, mei.Phone)
	tom := c.Guest(phone, "tom")
	before := phone.Turn()
	c.Stop()
	db, err := sql.Open("sqlite", filepath.Join(c.Data, "courtyard.db"))
	must(t, err)
	_, err = db.Exec(`INSERT INTO traffic (month, uid, bytes) VALUES ($1, $2, $3)`, c.Clock.Now().UTC().Format("2006-01"), mei.UID[:], int64(1)<<30)
	must(t, err)
	must(t, db.Close())
	c.Restart()
	offer := c.Connect(mei, mei.Phone).Turn()
	if len(offer.URLs) != 0 || offer.Username != "" || len(offer.STUN) == 0 {
		t.Fatalf("offered %+v", offer)
	}
	toms := c.Connect(tom, tom.Phone)
	before.URLs = toms.Turn().URLs
	r := handmade(t, before)
	if code := errorOf(r.asks(stun.MethodAllocate, requestedUDP)); code != stun.CodeAllocQuotaReached {
		t.Fatal("an old credential:", code)
	}
	if code := errorOf(r.asks(stun.MethodRefresh)); code != stun.CodeBadRequest {
		t.Fatal("refreshed:", code)
	}
	begun(t, toms)
	c.Clock.Move(32 * 24 * time.Hour)
	if offer := c.Connect(mei, mei.Phone).Turn(); len(offer.URLs) == 0 {
		t.Fatal("nothing next month")
	}
}

// besieged is a relay in a process of its own, whose memory and time can be watched.
type besieged struct {
	*process
	metrics   string
	tcp, stun string
	tls       string // shared with HTTPS
	c         *relaytest.Courtyard
	phone     *relaytest.Socket
}

func siege(t *testing.T) *besieged {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("needs Linux's /proc")
	}
	metrics := address(t)
	data := filepath.Join(t.TempDir(), "data")
	secure := address(t)
	chain, key := certify(t, t.TempDir(), "one.example")
	p := launch(t, data, "127.0.0.1:0", "env", "COURTYARD_TURN=on", "COURTYARD_TURN_LISTEN=127.0.0.1:0", "COURTYARD_METRICS="+metrics,
		"COURTYARD_TLS_LISTEN="+secure, "COURTYARD_TLS_CERTIFICATE="+chain, "COURTYARD_TLS_KEY="+key)
	c := relaytest.Attach(t, p.url, data)
	mei := c.Owner("mei")
	b := &besieged{process: p, metrics: "http://" + metrics + "/metrics", tls: secure, c: c, phone: c.Connect(mei, mei.Phone)}
	offer := b.phone.Turn()
	b.tcp = leads(t, offer, "turn tcp")
	b.stun = strings.TrimPrefix(offer.STUN[1], "stun:")
	return b
}

// quiet checks that the relay has nothing to do, and still works.
func (b *besieged) quiet(t *testing.T) {
	t.Helper()
	before := processor(t, b.process)
	time.Sleep(2 * time.Second) // that is what is measured
	if spent := processor(t, b.process) - before; spent > 400*time.Millisecond {
		t.Errorf("it is busy with nothing: %v in two seconds", spent)
	}
	allocates(t, b.phone.Turn(), "turn tcp")
}

// TestNoFrameKeepsACoreBusy: 24 bytes, by nobody, kept an unguarded server busy for
// ever, also after the connection had ended.
func TestNoFrameKeepsACoreBusy(t *testing.T) {
	t.Parallel()
	b := siege(t)
	for _, head := range [][4]byte{
		{0x00, 0x01, 0xFF, 0xEC}, {0x00, 0x01, 0xFF, 0xFC}, {0x40, 0x00, 0xFF, 0xFC}, {0x40, 0x00, 0xFF, 0xFF}, {0x4F, 0xFF, 0xFF, 0xFD},
		{0x00, 0x01, 0x00, 0x03}, {0x00, 0x01, 0x06, 0x2C}, {0x80, 0x00, 0x00, 0x00}, {0xFF, 0xFF, 0xFF, 0xFF},
	} {
		conn, err := net.Dial("tcp", b.tcp)
		must(t, err)
		m := make([]byte, 24)
		copy(m, head[:])
		binary.BigEndian.PutUint32(m[4:], 0x2112A442)
		_, err = conn.Write(m)
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
		if n, err := conn.Read(m); n != 0 || os.IsTimeout(err) {
			t.Errorf("% x: %d bytes, %v", head, n, err)
		}
		must(t, conn.Close())
	}
	b.quiet(t)
}

// TestGarbageLeavesNothingBehind: connections by thousands, to TURN's own port and to
// that of HTTPS, that say nonsense, or nothing, or half of something, and packets of
// all kinds.
func TestGarbageLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	n := 1000
	if os.Getenv("COURTYARD_LONG") != "" {
		n = 10_000
	}
	b := siege(t)
	udp := leads(t, b.phone.Turn(), "turn udp")
	storm := func(n int) {
		var all sync.WaitGroup
		for w := range 16 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), uint64(n)))
				for i := range n / 16 {
					garbage(t, random, b, udp, &net.TCPAddr{IP: net.IPv4(127, 1, byte(w), byte(1+i%200))})
				}
			})
		}
		all.Wait()
	}
	storm(n / 2) // pools and stacks grow to what they need
	before, threads := memory(t, b.process, "VmRSS:"), counted(t, b.metrics, "go_goroutines")
	storm(n)
	deadline := time.Now().Add(30 * time.Second)
	for counted(t, b.metrics, "go_goroutines") > threads+20 {
		if time.Now().After(deadline) {
			t.Fatal("goroutines stay: ", threads, " before, ", counted(t, b.metrics, "go_goroutines"), " after")
		}
		time.Sleep(100 * time.Millisecond) // connections end when they notice
	}
	after := memory(t, b.process, "VmRSS:")
	t.Logf("%d connections and as many packets: %d KiB before, %d after", n, before, after)
	if after > before+16<<10 {
		t.Errorf("memory grows: %d KiB before, %d after", before, after)
	}
	b.quiet(t)
}

// garbage is a connection to each port from an address, and some packets.
func garbage(t *testing.T, random *rand.Rand, b *besieged, udp string, from *net.TCPAddr) {
	noise := make([]byte, random.IntN(2000))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	switch random.IntN(4) {
	case 0: // as it is
	case 1: // as if it were STUN
		head := stun.MustBuild(stun.TransactionID, stun.NewType(stun.Method(random.IntN(16)), stun.MessageClass(random.IntN(4))))
		binary.BigEndian.PutUint16(head.Raw[2:], uint16(len(noise)&^3))
		noise = append(head.Raw, noise...)
	case 2: // as if it were channel data
		noise = append(binary.BigEndian.AppendUint16([]byte{0x40, byte(random.Uint32())}, uint16(len(noise))), noise...)
	case 3: // nothing
		noise = nil
	}
	for _, to := range []string{udp, b.stun} {
		conn, err := net.Dial("udp", to)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write(noise)
		_ = conn.Close()
	}
	for _, to := range []string{b.tcp, b.tls} {
		conn, err := (&net.Dialer{LocalAddr: from, Timeout: 30 * time.Second}).Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		talk := conn
		if to == b.tls && random.IntN(2) == 0 { // no ALPN: it may be TURN
			talk = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		_, _ = talk.Write(noise) // it may be cut off
		if random.IntN(2) == 0 {
			_ = talk.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			_, _ = talk.Read(make([]byte, 100))
		}
		_ = conn.Close()
	}
}

// TestOneAddressHoldsFewConnections: the ninth is closed as it comes.
func TestOneAddressHoldsFewConnections(t *testing.T) {
	t.Parallel()
	c := relaytest.Start(t, calling())
	mei := c.Owner("mei")
	at := leads(t, c.Connect(mei, mei.Phone).Turn(), "turn tcp")
	ask := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	answered := func(from string) bool {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", at)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = conn.Write(ask)
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		n, _ := conn.Read(make([]byte, 100))
		return n > 0
	}
	for i := range 8 {
		if !answered("127.0.0.5") {
			t.Fatal("the connection number", i+1)
		}
	}
	if answered("127.0.0.5") {
		t.Fatal("the ninth")
	}
	if !answered("127.0.0.6") {
		t.Fatal("another address")
	}
}
