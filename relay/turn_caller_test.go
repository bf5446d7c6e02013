package relay_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/relay"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
)

// calling is a courtyard with STUN and TURN on ports of its own. reach are networks
// to which it relays besides the internet and its own allocations.
func calling(reach ...string) relaytest.Options {
	return relaytest.Options{Config: relaytest.Config{CallsConfig: relay.CallsConfig{
		Turn: "on", TurnListen: []string{"127.0.0.1:0"}, TurnReach: reach,
	}}}
}

// leg is one end of a call: a client of TURN, and the socket that it has there.
type leg struct {
	*pion.Client
	t  *testing.T
	at net.PacketConn // relayed
}

// leads finds where an offer says TURN is, by scheme and transport.
func leads(t *testing.T, offer handshake.Turn, how string) string {
	t.Helper()
	scheme, transport, _ := strings.Cut(how, " ")
	for _, u := range offer.URLs {
		rest, ok := strings.CutPrefix(u, scheme+":")
		if at, ok2 := strings.CutSuffix(rest, "?transport="+transport); ok && ok2 {
			return at
		}
	}
	t.Fatalf("no %s in %v", how, offer.URLs)
	return ""
}

// dial connects to TURN as an offer says, how being "turn udp", "turn tcp" or "turns tcp".
func dial(t *testing.T, offer handshake.Turn, how string) *leg {
	t.Helper()
	at := leads(t, offer, how)
	var conn net.PacketConn
	switch how {
	case "turn udp":
		udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
		must(t, err)
		conn = udp
	case "turn tcp":
		tcp, err := net.Dial("tcp", at)
		must(t, err)
		conn = pion.NewSTUNConn(tcp)
	case "turns tcp":
		tcp, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true}) // no ALPN, as Chromium's
		must(t, err)
		conn = pion.NewSTUNConn(tcp)
	}
	client, err := pion.NewClient(&pion.ClientConfig{
		STUNServerAddr: at, TURNServerAddr: at, Conn: conn, Username: offer.Username, Password: offer.Credential, Realm: "courtyard", RTO: time.Second,
	})
	must(t, err)
	must(t, client.Listen())
	l := &leg{Client: client, t: t}
	t.Cleanup(func() {
		if l.at != nil {
			_ = l.at.Close()
		}
		client.Close()
		_ = conn.Close()
	})
	return l
}

// allocates is dial with an allocation, which must be had.
func allocates(t *testing.T, offer handshake.Turn, how string) *leg {
	t.Helper()
	l := dial(t, offer, how)
	var err error
	l.at, err = l.Allocate()
	must(t, err)
	return l
}

// says sends a peer something until it is heard there by listen: the first packets
// may come before the peer may be heard.
func (l *leg) says(what string, to net.Addr, listen func(time.Duration) string) {
	l.t.Helper()
	for range 60 {
		_, err := l.at.WriteTo([]byte(what), to)
		must(l.t, err)
		if listen(time.Second/2) == what {
			return
		}
	}
	l.t.Fatalf("%q was not heard", what)
}

// hears is what comes to a socket in time, "" for nothing.
func hears(conn net.PacketConn) func(time.Duration) string {
	return func(within time.Duration) string {
		if conn.SetReadDeadline(time.Now().Add(within)) != nil {
			return ""
		}
		p := make([]byte, 1500)
		n, _, err := conn.ReadFrom(p)
		if err != nil {
			return ""
		}
		return string(p[:n])
	}
}

// friend is somebody's socket on this machine, outside of the relay.
func friend(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// byHand speaks STUN by hand, for what no client would say.
type byHand struct {
	t     *testing.T
	conn  net.Conn
	offer handshake.Turn
	nonce stun.Nonce
	realm stun.Realm
}

func handmade(t *testing.T, offer handshake.Turn) *byHand {
	t.Helper()
	conn, err := net.Dial("udp", leads(t, offer, "turn udp"))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	r := &byHand{t: t, conn: conn, offer: offer}
	refused := r.asks(stun.MethodAllocate, requestedUDP)
	must(t, r.nonce.GetFrom(refused))
	must(t, r.realm.GetFrom(refused))
	return r
}

// attribute is one as it is on the wire.
type attribute struct {
	kind  stun.AttrType
	value []byte
}

// AddTo implements stun.Setter.
func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

var requestedUDP = attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}

// peerAt names a peer by its bytes: 4 are written as IPv4, 16 as IPv6, whatever they are.
func peerAt(ip []byte, port int) stun.Setter { return xorPeer{ip, port} }

type xorPeer struct {
	ip   []byte
	port int
}

// AddTo implements stun.Setter.
func (x xorPeer) AddTo(m *stun.Message) error {
	value := make([]byte, 4, 20)
	value[1] = 1
	if len(x.ip) == 16 {
		value[1] = 2
	}
	key := append([]byte{0x21, 0x12, 0xA4, 0x42}, m.TransactionID[:]...)
	value[2], value[3] = byte(x.port>>8)^key[0], byte(x.port)^key[1]
	for i, b := range x.ip {
		value = append(value, b^key[i])
	}
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}

// build makes a message, with credentials once the nonce is known.
func (r *byHand) build(method stun.Method, class stun.MessageClass, with ...stun.Setter) *stun.Message {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, class)}, with...)
	if len(r.nonce) > 0 && class == stun.ClassRequest {
		setters = append(setters, stun.NewUsername(r.offer.Username), r.realm, r.nonce,
			stun.NewLongTermIntegrity(r.offer.Username, r.realm.String(), r.offer.Credential), stun.Fingerprint)
	}
	m, err := stun.Build(setters...)
	must(r.t, err)
	return m
}

// asks sends a request and waits for its answer; it fails the test if none comes.
func (r *byHand) asks(method stun.Method, with ...stun.Setter) *stun.Message {
	r.t.Helper()
	answer := r.tries(10*time.Second, method, with...)
	if answer == nil {
		r.t.Fatal("no answer to", method)
	}
	return answer
}

// tries is asks that may stay without an answer.
func (r *byHand) tries(within time.Duration, method stun.Method, with ...stun.Setter) *stun.Message {
	r.t.Helper()
	m := r.build(method, stun.ClassRequest, with...)
	_, err := r.conn.Write(m.Raw)
	must(r.t, err)
	must(r.t, r.conn.SetReadDeadline(time.Now().Add(within)))
	for {
		p := make([]byte, 1600)
		n, err := r.conn.Read(p)
		if err != nil {
			return nil
		}
		answer := &stun.Message{Raw: p[:n]}
		if answer.Decode() == nil && answer.TransactionID == m.TransactionID {
			return answer
		}
	}
}

// errorOf is the code of a refusal, 0 for a success.
func errorOf(m *stun.Message) stun.ErrorCode {
	var code stun.ErrorCodeAttribute
	if m.Type.Class == stun.ClassSuccessResponse || code.GetFrom(m) != nil {
		return 0
	}
	return code.Code
}

func channel(number uint16) stun.Setter {
	return attribute{stun.AttrChannelNumber, []byte{byte(number >> 8), byte(number), 0, 0}}
}

func (l *leg) String() string { return fmt.Sprint(l.at.LocalAddr()) }
