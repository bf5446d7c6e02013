package devices_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/direct/directtest"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// revokes removes a device; the home has heard of it.
func (o *outdoors) revokes(keys *ident.DeviceKeys) {
	o.Helper()
	chain, err := ident.ParseChain(o.known.Load().Records(0))
	if err != nil {
		o.Fatal(err)
	}
	rec, err := chain.NewDeviceRevoke(o.phone, keys.ID(), 0, 9)
	if err == nil {
		err = chain.Append(rec)
	}
	if err != nil {
		o.Fatal(err)
	}
	o.known.Store(chain)
}

func TestARevokedDeviceLosesTheChannel(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	stays, _ := o.links(o.phone).connects(directtest.Plan{})
	goes, _ := o.links(o.hotel).connects(directtest.Plan{})
	o.revokes(o.hotel)
	o.paths.Check(context.Background())
	goes.Ends()
	if err := stays.Asks("asks", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestARevokedDeviceIsNotHeard: should the word have been lost, its next request ends it.
func TestARevokedDeviceIsNotHeard(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	phone, _ := o.links(o.hotel).connects(directtest.Plan{})
	o.revokes(o.hotel)
	if err := phone.Asks("asks", nil, nil); err == nil || protocol.CodeOf(err) != protocol.CodeInternal {
		t.Errorf("answered: %v", err)
	}
	o.counts("revoked")
}

// TestSomebodyElsesConnection: an id is one device's own.
func TestSomebodyElsesConnection(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	phone, id := o.links(o.phone).connects(directtest.Plan{})
	hotel := o.links(o.hotel)
	for _, method := range []string{"direct-path", "direct-more"} {
		if code := hotel.r(method, map[string]any{"id": id, "candidates": []string{}}, nil); code != protocol.CodeNotFound {
			t.Errorf("%s: %q", method, code)
		}
	}
	if code := hotel.r("direct-end", map[string]any{"id": id}, nil); code != "" {
		t.Error(code)
	}
	if err := phone.Asks("asks", nil, nil); err != nil {
		t.Errorf("another device has ended it: %v", err)
	}
}

// TestAnotherCertificate: who stands in between has no certificate that fits.
func TestAnotherCertificate(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	phone := directtest.New(t, directtest.Plan{})
	_, code := o.links(o.phone).calls(phone, func(sdp string) string {
		at := strings.Index(sdp, "sha-256 ") + len("sha-256 ")
		digit := byte('0')
		if sdp[at] == '0' {
			digit = '1'
		}
		return sdp[:at] + string(digit) + sdp[at+1:]
	})
	if code != "" {
		t.Fatal(code)
	}
	o.counts("failed")
	if phone.Opened() {
		t.Error("the channel is open")
	}
}

// ear is a socket that counts what it is sent.
type ear struct {
	*net.UDPConn
	heard atomic.Int64
	first chan struct{}
}

func hears(t testing.TB, at string) *ear {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{UDPConn: conn, first: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 2000); ; {
			if _, _, err := conn.ReadFromUDPAddrPort(buffer); err != nil {
				return
			}
			if e.heard.Add(1) == 1 {
				close(e.first)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done }) //nolint:errcheck // it is over
	return e
}

func (e *ear) line() string {
	at := e.LocalAddr().(*net.UDPAddr).AddrPort()
	return fmt.Sprintf("a=candidate:7 1 udp 2122252543 %s %d typ host\r\n", at.Addr(), at.Port())
}

// TestNothingIsSentElsewhere: a device says that it is where somebody else is. The
// home sends there as little as a packet, in a connection as in a probe; where the
// operator has allowed it, it does.
func TestNothingIsSentElsewhere(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		named := []string{"127.0.0.1/32"}
		if allowed {
			named = append(named, "127.0.0.9/32")
		}
		o := opens(t, named...)
		o.runs()
		victim := hears(t, "127.0.0.9:0")
		link := o.links(o.phone)
		phone := directtest.New(t, directtest.Plan{})
		id, code := link.calls(phone, func(sdp string) string {
			return strings.Replace(sdp, "a=candidate", victim.line()+"a=candidate", 1)
		})
		if code != "" {
			t.Fatal(code)
		}
		more := strings.TrimSpace(strings.Replace(victim.line(), "typ host", "typ srflx", 1))
		if code := link.r("direct-more", map[string]any{"id": id, "candidates": []string{more, ""}}, nil); code != "" {
			t.Fatal(code)
		}
		phone.Opens() // checks have gone wherever they go
		var probed direct.Probed
		ask := map[string]any{"ufrag": "abcd", "pwd": "0123456789012345678901", "to": []string{victim.LocalAddr().String(), "127.0.0.9:53"}}
		if code := link.r("probe", ask, &probed); code != "" || probed.Answered {
			t.Errorf("%q %+v", code, probed)
		}
		if allowed {
			select {
			case <-victim.first:
			case <-time.After(directtest.Patience):
				t.Error("nothing arrives where it may: this test would not notice")
			}
			if probed.Sent != 1 { // never to a low port
				t.Errorf("%+v", probed)
			}
			continue
		}
		if n := victim.heard.Load(); n != 0 || probed.Sent != 0 {
			t.Errorf("%d packets, and a probe to %d", n, probed.Sent)
		}
	}
}

// TestACheckFromElsewhere: a check that has the right password, but comes from where
// the device is not, gets no answer.
func TestACheckFromElsewhere(t *testing.T) {
	o := opens(t, "127.0.0.1/32")
	o.runs()
	phone := directtest.New(t, directtest.Plan{Settings: func(e *webrtc.SettingEngine) {
		e.SetIPFilter(func(ip net.IP) bool { return ip.String() == "127.0.0.1" })
	}})
	// The home is told nothing; it could only learn from the checks that reach it.
	_, code := o.links(o.phone).calls(phone, func(sdp string) string {
		var out strings.Builder
		for line := range strings.Lines(sdp) {
			if !strings.HasPrefix(line, "a=candidate") {
				out.WriteString(line)
			}
		}
		return out.String()
	})
	if code != "" {
		t.Fatal(code)
	}
	phone.Opens() // 127.0.0.1 is named

	o = opens(t, "127.0.0.9/32")
	o.runs()
	phone = directtest.New(t, directtest.Plan{})
	if _, code := o.links(o.phone).calls(phone); code != "" {
		t.Fatal(code)
	}
	o.counts(direct.Elsewhere, direct.Elsewhere) // its candidate, and its checks
	if phone.Opened() {
		t.Error("answered")
	}
}

// TestTheFilterTest: whoever lets the home in answers its probe. scripts/natlab does
// it with Chromium.
func TestTheFilterTest(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	link := o.links(o.phone)
	const ufrag, pwd = "Xq3S", "dM2oPhfV0nYHq0Zc1B7yX7mM"
	r := responds(t, ufrag, pwd)
	at := r
	probe := func() (direct.Probed, string) {
		var probed direct.Probed
		code := link.r("probe", map[string]any{"ufrag": ufrag, "pwd": pwd, "to": []string{at}}, &probed)
		return probed, code
	}
	for range 2 {
		if probed, code := probe(); code != "" || probed.Sent != 1 || !probed.Answered {
			t.Errorf("%q %+v", code, probed)
		}
	}
	at = hears(t, "127.0.0.1:0").LocalAddr().String()
	if probed, code := probe(); code != "" || probed.Sent != 1 || probed.Answered {
		t.Errorf("%q %+v", code, probed)
	}
	if _, code := probe(); code != protocol.CodeRateLimited {
		t.Errorf("the fourth in a minute: %q", code)
	}
	o.clock.Advance(time.Minute)
	at = r
	if probed, code := probe(); code != "" || !probed.Answered {
		t.Errorf("a minute later: %q %+v", code, probed)
	}
	for what, ask := range map[string]map[string]any{
		"five targets": {"ufrag": "abcd", "pwd": "0123456789012345678901", "to": []string{r, r, r, r, r}},
		"none":         {"ufrag": "abcd", "pwd": "0123456789012345678901"},
		"a name":       {"ufrag": "abcd", "pwd": "0123456789012345678901", "to": []string{"localhost:4000"}},
		"no password":  {"ufrag": "abcd", "to": []string{r}},
		"a colon":      {"ufrag": "ab:cd", "pwd": "0123456789012345678901", "to": []string{r}},
	} {
		if code := link.r("probe", ask, nil); code != protocol.CodeBadRequest {
			t.Errorf("%s: %q", what, code)
		}
	}
}

// responds answers checks that have its name and password, as Chromium does.
func responds(t testing.TB, ufrag, pwd string) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 2000); ; {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			m := &stun.Message{Raw: bytes.Clone(buffer[:n])}
			var name stun.Username
			key := stun.NewShortTermIntegrity(pwd)
			if m.Decode() != nil || name.GetFrom(m) != nil || !strings.HasPrefix(name.String(), ufrag+":") || key.Check(m) != nil {
				continue
			}
			answer, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: from.Addr().Unmap().AsSlice(), Port: int(from.Port())}, key, stun.Fingerprint)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := conn.WriteToUDPAddrPort(answer.Raw, from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done }) //nolint:errcheck // it is over
	return conn.LocalAddr().String()
}

// TestOffersAreBounded: 4 connections of a device, 32 in all.
func TestOffersAreBounded(t *testing.T) {
	o := opens(t)
	sdp := directtest.New(t, directtest.Plan{}).Offers()
	offer := func(keys *ident.DeviceKeys, n byte) error {
		_, err := o.paths.Offer(keys.Device(ident.RoleAdmin, 0), [8]byte{}, protocol.ID{n}, sdp)
		o.clock.Advance(3 * time.Second) // 30 a minute
		return err
	}
	for d := range 9 {
		keys, err := ident.GenerateDeviceKeys(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 4 {
			err := offer(keys, byte(n+1))
			for again := 0; d < 8 && protocol.CodeOf(err) == protocol.CodeUnavailable && again < 1000; again++ {
				runtime.Gosched() // the one that made room is just leaving
				err = offer(keys, byte(n+1))
			}
			switch {
			case d < 8 && err != nil:
				t.Fatalf("connection %d: %v", d*4+n+1, err)
			case d == 8 && protocol.CodeOf(err) != protocol.CodeUnavailable:
				t.Fatalf("connection %d: %v", d*4+n+1, err)
			}
			if d == 0 && n == 0 {
				if err := offer(keys, 1); protocol.CodeOf(err) != protocol.CodeBadRequest {
					t.Errorf("the same id again: %v", err)
				}
			}
		}
		if d == 0 { // the oldest makes room
			if err := offer(keys, 5); err != nil {
				t.Error(err)
			}
			o.counts("replaced")
			if _, err := o.paths.Where(keys.ID(), protocol.ID{1}); protocol.CodeOf(err) != protocol.CodeNotFound {
				t.Error(err)
			}
			if _, err := o.paths.Where(keys.ID(), protocol.ID{2}); err != nil {
				t.Error(err)
			}
		}
	}
	for n := byte(10); ; n++ { // without pauses
		_, err := o.paths.Offer(o.phone.Device(ident.RoleAdmin, 0), [8]byte{}, protocol.ID{n}, sdp)
		if protocol.CodeOf(err) == protocol.CodeRateLimited {
			break
		}
		if n > 60 {
			t.Fatal("as many offers as one likes")
		}
	}
}

// TestTheNewestReplacesTheOlder once it is open, and only its own session's.
func TestTheNewestReplacesTheOlder(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	link, tab := o.links(o.phone), o.links(o.phone)
	other, _ := tab.connects(directtest.Plan{})
	first, _ := link.connects(directtest.Plan{})
	unopened := directtest.New(t, directtest.Plan{}) // it never hears the answer
	if code := link.r("direct", map[string]any{"id": protocol.ID{9}, "sdp": unopened.Offers()}, nil); code != "" {
		t.Fatal(code)
	}
	if err := first.Asks("asks", nil, nil); err != nil {
		t.Errorf("before the next is open: %v", err)
	}
	second, _ := link.connects(directtest.Plan{})
	first.Ends()
	for _, p := range []*directtest.Phone{other, second} {
		if err := p.Asks("asks", nil, nil); err != nil {
			t.Error(err)
		}
	}
}

// TestOnlyTheChannelOfThisProtocol: whatever else is opened ends the connection.
func TestOnlyTheChannelOfThisProtocol(t *testing.T) {
	unordered, twice := false, uint16(2)
	for what, plan := range map[string]directtest.Plan{
		"another label":    {Label: "other"},
		"another protocol": {Protocol: "home/2"},
		"unordered":        {Channel: &webrtc.DataChannelInit{Ordered: &unordered}},
		"not reliable":     {Channel: &webrtc.DataChannelInit{MaxRetransmits: &twice}},
	} {
		o := opens(t, loopback)
		o.runs()
		phone := directtest.New(t, plan)
		if _, code := o.links(o.phone).calls(phone); code != "" {
			t.Fatalf("%s: %s", what, code)
		}
		o.counts("channel-bad")
	}
	o := opens(t, loopback)
	o.runs()
	link := o.links(o.phone)
	phone, _ := link.connects(directtest.Plan{})
	if _, err := phone.CreateDataChannel("courtyard", nil); err != nil {
		t.Fatal(err)
	}
	o.counts("channel-bad")
	phone.Ends()
	for what, says := range map[string]func(*directtest.Phone){
		"too long":    func(p *directtest.Phone) { p.Says(strings.Repeat("x", 61<<10)) },
		"not a text":  func(p *directtest.Phone) { p.SaysBytes([]byte(`{"id":1,"m":"asks"}`)) },
		"much longer": func(p *directtest.Phone) { p.Says(strings.Repeat("x", 200<<10)) },
	} {
		phone := directtest.New(t, directtest.Plan{})
		var a struct {
			SDP string `json:"sdp"`
		}
		if code := link.r("direct", map[string]any{"id": protocol.ID{byte(len(what))}, "sdp": phone.Offers()}, &a); code != "" {
			t.Fatal(code)
		}
		phone.Takes(strings.Replace(a.SDP, "max-message-size:61440", "max-message-size:262144", 1))
		phone.Opens()
		says(phone)
		o.counts("message-bad")
		phone.Ends()
	}
}

// TestASlowReader: a device asks for far more than it takes. What it does not take
// is not made; the home's memory stays as it was, and it can be read on.
func TestASlowReader(t *testing.T) {
	o := opens(t, loopback)
	o.runs()
	id, _ := o.keeps(1 << 20)
	phone, _ := o.links(o.phone).connects(directtest.Plan{Settings: func(e *webrtc.SettingEngine) { e.SetSCTPMaxReceiveBufferSize(1 << 20) }})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const requests = 600 // 32 MB of answers
	before := heap()
	sent := make(chan int, 1)
	go func() {
		n := 0
		for ; n < requests; n++ {
			ask, err := json.Marshal(map[string]any{"id": n + 1, "m": "file", "p": map[string]any{"id": id, "offset": 0}})
			if err != nil {
				break
			}
			if _, err := phone.Write(ask); err != nil {
				break
			}
		}
		sent <- n
	}()
	// When the phone's buffer is full, the home waits: nothing moves any more.
	settled := directtest.Settles(t, func() uint64 { return phone.BytesReceived() })
	if after := heap(); after > before+8<<20 {
		t.Errorf("%d MB, and %d MB while nothing is read", before>>20, after>>20)
	}
	t.Logf("%d bytes had come before anything was read", settled)
	for n := range requests {
		m, err := phone.Hears()
		if err != nil || m.ID != int64(n+1) || len(m.R) < 40_000 {
			t.Fatalf("answer %d: id %d, %v", n+1, m.ID, err)
		}
	}
	if n := <-sent; n != requests {
		t.Errorf("%d requests left", n)
	}
}

// TestByTCP: a home whose owner lets it listen is reached where no UDP passes.
func TestByTCP(t *testing.T) {
	o := opensAt(t, "127.0.0.1:0", loopback)
	o.runs()
	id, data := o.keeps(1 << 20)
	link := o.links(o.phone)
	phone, path := link.connects(directtest.Plan{Settings: func(e *webrtc.SettingEngine) {
		e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}})
	got, err := phone.File(id, nil)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
	var way direct.Way
	if code := link.r("direct-path", map[string]any{"id": path}, &way); code != "" || way.Protocol != "tcp" {
		t.Errorf("%s %+v", code, way)
	}
	udp, _ := link.connects(directtest.Plan{})
	if err := udp.Asks("asks", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestAForwardedPort: a home that listens says where the relay sees it, should its
// owner have forwarded the port by hand.
func TestAForwardedPort(t *testing.T) {
	o := opensAt(t, "127.0.0.1:0", loopback)
	o.runs()
	o.seen.Store(netip.MustParseAddr("93.184.216.34"))
	var a struct {
		SDP string `json:"sdp"`
	}
	link := o.links(o.phone)
	if code := link.r("direct", map[string]any{"id": protocol.ID{1}, "sdp": directtest.New(t, directtest.Plan{}).Offers()}, &a); code != "" {
		t.Fatal(code)
	}
	for _, want := range []string{" udp %d 93.184.216.34 %d typ srflx raddr 0.0.0.0 rport 9\r\n", " tcp %d 93.184.216.34 %d typ srflx raddr 0.0.0.0 rport 9 tcptype passive\r\n"} {
		found := false
		for line := range strings.Lines(a.SDP) {
			var priority, port int
			_, rest, ok := strings.Cut(line, " 1")
			if n, err := fmt.Sscanf(rest, want, &priority, &port); ok && err == nil && n == 2 && port == int(o.network.Port()) && priority > 0 {
				found = true
			}
		}
		if !found {
			t.Errorf("no%q in\n%s", want, a.SDP)
		}
	}
}

// TestTheDoorIsBounded: the port is open to everybody, and one address gets eight
// connections.
func TestTheDoorIsBounded(t *testing.T) {
	o := opensAt(t, "127.0.0.1:0", loopback)
	at := fmt.Sprintf("127.0.0.1:%d", o.network.Port())
	var conns []net.Conn
	for range 9 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	o.counts("door-full")
	if err := conns[8].SetReadDeadline(time.Now().Add(directtest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conns[8].Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the ninth is still there: %v", err)
	}
	if _, err := conns[0].Write([]byte{0xff, 0xff, 1, 2, 3}); err != nil { // longer than any first word
		t.Fatal(err)
	}
	if err := conns[0].SetReadDeadline(time.Now().Add(directtest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("rubbish is listened to: %v", err)
	}
}

// TestWithoutDirectConnections: a home whose owner does not want them says so.
func TestWithoutDirectConnections(t *testing.T) {
	h := open(t)
	h.runs()
	s := h.links(h.phone)
	for _, method := range []string{"direct", "direct-more", "direct-end", "direct-path", "probe"} {
		if code := s.r(method, map[string]any{}, nil); code != protocol.CodeUnavailable {
			t.Errorf("%s: %q", method, code)
		}
	}
}
