package router_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/router"
)

const port = 8789

// box plays a router on loopback. open is what it lets in: protocol to external port.
type box struct {
	testing.TB
	mu       sync.Mutex
	open     map[string]uint16
	external netip.Addr
	heard    []string
}

func plugged(t testing.TB) *box {
	return &box{TB: t, open: map[string]uint16{}, external: netip.MustParseAddr("93.184.216.34")}
}

func (b *box) opened() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.open)
}

// datagrams serves PCP and NAT-PMP: what answer returns goes back.
func (b *box) datagrams(answer func(ask []byte) []byte) netip.AddrPort {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 2000); ; {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			b.mu.Lock()
			out := answer(buffer[:n])
			b.mu.Unlock()
			if out != nil {
				conn.WriteToUDPAddrPort(out, from) //nolint:errcheck // lost, as datagrams are
			}
		}
	}()
	b.Cleanup(func() { conn.Close(); <-done }) //nolint:errcheck // it is over
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// pcp answers MAP of RFC 6887, and as somebody else would in change.
func (b *box) pcp(change func(answer []byte)) netip.AddrPort {
	return b.datagrams(func(ask []byte) []byte {
		if len(ask) != 60 || ask[0] != 2 || ask[1] != 1 {
			return nil
		}
		protocol := map[byte]string{6: "tcp", 17: "udp"}[ask[36]]
		lifetime, internal := binary.BigEndian.Uint32(ask[4:]), binary.BigEndian.Uint16(ask[40:])
		client := netip.AddrFrom16([16]byte(ask[8:24])).Unmap()
		b.heard = append(b.heard, fmt.Sprintf("%s %d %d for %s by %x", protocol, internal, lifetime, client, ask[24:36]))
		out := make([]byte, 60)
		out[0], out[1] = 2, 0x81
		binary.BigEndian.PutUint32(out[4:], min(lifetime, 1200))
		copy(out[24:], ask[24:60])
		binary.BigEndian.PutUint16(out[42:], internal+1)
		address := b.external.As16()
		copy(out[44:], address[:])
		if lifetime == 0 {
			delete(b.open, protocol)
		} else {
			b.open[protocol] = internal + 1
		}
		if change != nil {
			change(out)
		}
		return out
	})
}

// natpmp answers as RFC 6886 says.
func (b *box) natpmp() netip.AddrPort {
	return b.datagrams(func(ask []byte) []byte {
		switch {
		case len(ask) < 2 || ask[0] != 0: // PCP: another version
			return []byte{0, 0x80 | ask[1], 0, 1, 0, 0, 0, 9}
		case ask[1] == 0:
			out := append([]byte{0, 0x80, 0, 0, 0, 0, 0, 9}, b.external.AsSlice()...)
			return out
		case len(ask) == 12:
			out := append([]byte{0, 0x80 | ask[1], 0, 0, 0, 0, 0, 9}, ask[4:12]...)
			protocol := map[byte]string{1: "udp", 2: "tcp"}[ask[1]]
			if binary.BigEndian.Uint32(ask[8:]) == 0 {
				delete(b.open, protocol)
			} else {
				b.open[protocol] = binary.BigEndian.Uint16(ask[6:])
			}
			return out
		}
		return nil
	})
}

const described = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device><deviceList><device>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/control</controlURL></service></serviceList></device></deviceList></device></deviceList></device></root>`

// igd answers as UPnP's gateway; leases: false if it knows permanent mappings alone.
func (b *box) igd(leases bool, where func(own string) string) netip.AddrPort {
	b.Helper()
	own := b.web("127.0.0.1", leases)
	return b.datagrams(func(ask []byte) []byte {
		if !strings.HasPrefix(string(ask), "M-SEARCH * HTTP/1.1\r\n") {
			return nil
		}
		return []byte("HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: " + where(own) + "\r\n\r\n")
	})
}

// web is the part of it that speaks HTTP; its address.
func (b *box) web(ip string, leases bool) string {
	b.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /desc.xml", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, described) }) //nolint:errcheck // to a test
	mux.HandleFunc("POST /control", func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		said, err := router.Texts(raw)
		if err != nil {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		_, action, _ := strings.Cut(strings.Trim(r.Header.Get("SOAPAction"), `"`), "#")
		protocol := strings.ToLower(said["NewProtocol"])
		b.heard = append(b.heard, action+" "+said["NewLeaseDuration"]+" "+said["NewInternalClient"])
		answer := ""
		switch action {
		case "GetExternalIPAddress":
			answer = "<NewExternalIPAddress>" + b.external.String() + "</NewExternalIPAddress>"
		case "AddPortMapping":
			if !leases && said["NewLeaseDuration"] != "0" {
				w.WriteHeader(http.StatusInternalServerError)
				io.WriteString(w, `<s:Envelope xmlns:s="x"><s:Body><s:Fault><detail><UPnPError><errorCode>725</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>`) //nolint:errcheck // to a test
				return
			}
			if said["NewExternalPort"] != said["NewInternalPort"] {
				b.Errorf("%v", said)
			}
			b.open[protocol] = port
		case "DeletePortMapping":
			delete(b.open, protocol)
		}
		fmt.Fprintf(w, `<s:Envelope xmlns:s="x"><s:Body><u:%sResponse xmlns:u="y">%s</u:%sResponse></s:Body></s:Envelope>`, action, answer, action)
	})
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		b.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	server.Start()
	b.Cleanup(server.Close)
	return server.URL
}

var quiet = slog.New(slog.DiscardHandler)

// keeps runs a keeper until the test lets it go.
func keeps(t testing.TB, ways ...router.Method) (k *router.Keeper, ends func()) {
	t.Helper()
	k = router.Asking(port, quiet, ways...)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	ends = sync.OnceFunc(func() { stop(); <-done })
	t.Cleanup(ends)
	return k, ends
}

// maps waits until something is mapped, or there is a problem.
func maps(t testing.TB, k *router.Keeper) ([]router.Mapping, string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if mapped, problem := k.Mapped(); len(mapped) > 0 || problem != "" {
			return mapped, problem
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal("nothing came of it")
	return nil, ""
}

// TestARouterLetsDevicesIn by each of the three, and closes the door at the end.
func TestARouterLetsDevicesIn(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	same := func(own string) string { return own + "/desc.xml" }
	for by, c := range map[string]struct {
		way      func(b *box) []router.Method
		external uint16
	}{
		"pcp": {func(b *box) []router.Method { return []router.Method{router.PCP(b.pcp(nil))} }, port + 1},
		"nat-pmp": {func(b *box) []router.Method { // PCP is tried first, and refused by its version
			at := b.natpmp()
			return []router.Method{router.PCP(at), router.NATPMP(at)}
		}, port},
		"upnp":                {func(b *box) []router.Method { return []router.Method{router.IGD(loopback, b.igd(true, same))} }, port},
		"upnp without leases": {func(b *box) []router.Method { return []router.Method{router.IGD(loopback, b.igd(false, same))} }, port},
	} {
		t.Run(by, func(t *testing.T) {
			b := plugged(t)
			k, ends := keeps(t, c.way(b)...)
			mapped, problem := maps(t, k)
			if problem != "" || len(mapped) != 2 || b.opened() != fmt.Sprintf("map[tcp:%d udp:%d]", c.external, c.external) {
				t.Fatalf("%+v %q, open %s", mapped, problem, b.opened())
			}
			for _, m := range mapped {
				if m.External != netip.AddrPortFrom(b.external, c.external) || m.By != strings.Fields(by)[0] || time.Until(m.Until) < 10*time.Minute {
					t.Errorf("%+v", m)
				}
			}
			if next := router.Renew(k, context.Background()); next < 9*time.Minute || next > 30*time.Minute {
				t.Errorf("renewed in %s", next)
			}
			ends()
			if b.opened() != "map[]" {
				t.Errorf("left open: %s", b.opened())
			}
			if mapped, _ := k.Mapped(); len(mapped) != 0 {
				t.Errorf("still said: %+v", mapped)
			}
		})
	}
}

// TestPCPIsRenewedByWhoeverBegan: the nonce stays, so that nobody else's mapping is meant.
func TestPCPIsRenewedByWhoeverBegan(t *testing.T) {
	b := plugged(t)
	k, _ := keeps(t, router.PCP(b.pcp(nil)))
	maps(t, k)
	router.Renew(k, context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.heard) < 4 || b.heard[0] != b.heard[2] || b.heard[1] != b.heard[3] || !strings.HasPrefix(b.heard[0], "udp 8789 3600 for 127.0.0.1 by ") {
		t.Errorf("%q", b.heard)
	}
}

// TestARouterThatDoesNotHelp: what is said is believed only if it is an answer.
func TestARouterThatDoesNotHelp(t *testing.T) {
	other := plugged(t) // another machine of the network, which would map anything
	elsewhere := other.web("127.0.0.2", true)
	t.Cleanup(func() {
		if other.opened() != "map[]" || len(other.heard) > 0 {
			t.Errorf("another machine was asked: %s %q", other.opened(), other.heard)
		}
	})
	for what, c := range map[string]struct {
		way     func(b *box) router.Method
		problem string
	}{
		"it is silent":   {func(b *box) router.Method { return router.PCP(b.datagrams(func([]byte) []byte { return nil })) }, router.NoAnswer},
		"it refuses":     {func(b *box) router.Method { return router.PCP(b.pcp(func(a []byte) { a[3] = 2 })) }, router.NoAnswer},
		"another nonce":  {func(b *box) router.Method { return router.PCP(b.pcp(func(a []byte) { a[24] ^= 1 })) }, router.NoAnswer},
		"another port":   {func(b *box) router.Method { return router.PCP(b.pcp(func(a []byte) { a[40] ^= 1 })) }, router.NoAnswer},
		"nothing mapped": {func(b *box) router.Method { return router.PCP(b.pcp(func(a []byte) { a[42], a[43] = 0, 0 })) }, router.NoAnswer},
		"a description elsewhere": {func(b *box) router.Method {
			return router.IGD(netip.MustParseAddr("127.0.0.1"), b.igd(true, func(string) string { return elsewhere + "/desc.xml" }))
		}, router.NoAnswer},
		"a description in a file": {func(b *box) router.Method {
			return router.IGD(netip.MustParseAddr("127.0.0.1"), b.igd(true, func(string) string { return "file:///etc/passwd" }))
		}, router.NoAnswer},
		"rubbish where it should be": {func(b *box) router.Method {
			return router.IGD(netip.MustParseAddr("127.0.0.1"), b.igd(true, func(own string) string { return own + "/control" }))
		}, router.NoAnswer},
		"there is another router": {func(b *box) router.Method {
			b.external = netip.MustParseAddr("100.64.7.7")
			return router.PCP(b.pcp(nil))
		}, router.NotPublic},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := plugged(t)
			k, _ := keeps(t, c.way(b))
			if mapped, problem := maps(t, k); problem != c.problem || (problem == router.NoAnswer) != (len(mapped) == 0) {
				t.Errorf("%+v %q", mapped, problem)
			}
		})
	}
}

func TestTheDefaultGateway(t *testing.T) {
	const table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t0007A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	if _, err := router.ParseRoutes(table); err == nil {
		t.Error("a gateway where there is none")
	}
	got, err := router.ParseRoutes(table + "eth0\t00000000\t0107A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")
	if err != nil || got != netip.MustParseAddr("192.168.7.1") {
		t.Error(got, err)
	}
}

// FuzzAnswers: whatever a router says, it is read or refused, and no address but
// one that it names comes of it.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nLOCATION: http://192.168.7.1:5000/desc.xml\r\n\r\n"))
	f.Add([]byte(described))
	f.Add([]byte("Iface\nx 00000000 0107A8C0 3 0 0 0 00000000"))
	f.Add(append([]byte{2, 0x81}, make([]byte, 58)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if at, err := router.Location(raw); err == nil {
			if _, err := url.Parse(at.String()); err != nil {
				t.Fatal(err)
			}
		}
		if said, err := router.Texts(raw); err == nil && len(said) > 64 {
			t.Fatal("as much as one likes")
		}
		if path, ok := router.Describe(raw); !ok && path != "" {
			t.Fatal(path)
		}
		if addr, err := router.ParseRoutes(string(raw)); err == nil && (!addr.Is4() || addr.IsUnspecified()) {
			t.Fatal(addr)
		}
		if router.ParsePCP(raw) && len(raw) < 4 {
			t.Fatal("an answer of nothing")
		}
	})
}
