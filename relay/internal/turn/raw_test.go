package turn

import (
	"net"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/pion/stun/v4"
)

// raw is a client that costs as little as can be, so that the server's memory shows.
type raw struct{ conn *net.UDPConn }

func newRaw(t testing.TB, s *Server) *raw {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.config.Sockets[0].Bound))
	must(t, err)
	return &raw{conn}
}

type attribute struct {
	kind  stun.AttrType
	value []byte
}

// AddTo implements stun.Setter.
func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

type peerAt struct{ *net.UDPAddr }

// AddTo implements stun.Setter.
func (p peerAt) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress{IP: p.IP, Port: p.Port}.AddToAs(m, stun.AttrXORPeerAddress)
}

// begin makes an allocation with a channel to peer.
func (r *raw) begin(t testing.TB, s *Server, uid protocol.UID, peer *net.UDPAddr) {
	t.Helper()
	offer, err := s.Offer(uid, protocol.DeviceID{1}, 0)
	must(t, err)
	udp := attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}
	first := r.ask(t, stun.MethodAllocate, udp)
	var nonce stun.Nonce
	must(t, nonce.GetFrom(first))
	with := []stun.Setter{
		stun.NewUsername(offer.Username), stun.NewRealm(realm), nonce,
		stun.NewLongTermIntegrity(offer.Username, realm, offer.Credential), stun.Fingerprint,
	}
	for _, answer := range []*stun.Message{
		r.ask(t, stun.MethodAllocate, append([]stun.Setter{udp}, with...)...),
		r.ask(t, stun.MethodChannelBind, append([]stun.Setter{attribute{stun.AttrChannelNumber, []byte{0x40, 0, 0, 0}}, peerAt{peer}}, with...)...),
	} {
		if answer.Type.Class != stun.ClassSuccessResponse {
			t.Fatal(answer)
		}
	}
}

func (r *raw) ask(t testing.TB, method stun.Method, with ...stun.Setter) *stun.Message {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, with...)...)
	must(t, err)
	_, err = r.conn.Write(m.Raw)
	must(t, err)
	must(t, r.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	p := make([]byte, 1600)
	n, err := r.conn.Read(p)
	must(t, err)
	answer := &stun.Message{Raw: p[:n]}
	must(t, answer.Decode())
	return answer
}
