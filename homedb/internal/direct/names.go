package direct

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
)

const (
	// maxNames are those of a connection that are asked for; a browser has one for
	// each of its interfaces.
	maxNames = 4
	// asking is how long the own network is asked.
	asking = 3 * time.Second
)

// names asks the own network for whom the candidates' names stand (RFC 6762), and
// hands on each that is answered. It only asks: this home has no name there. What
// the answers mean is for Rules to judge.
func names(ctx context.Context, n *Network, all []Candidate, found func(Candidate)) {
	ctx, stop := context.WithTimeout(ctx, asking)
	defer stop()
	conn, err := listenNames(n)
	if err != nil {
		n.s.Logger.Debug("direct: names of the own network cannot be asked for", "error", err)
		n.s.Counted(Unnamed)
		return
	}
	defer conn.Close()
	var wait sync.WaitGroup
	defer wait.Wait()
	for _, c := range all {
		wait.Go(func() {
			_, addr, err := conn.QueryAddr(ctx, c.Name)
			if err != nil {
				n.s.Counted(Unnamed)
				return
			}
			c.Addr, c.Name = addr.WithZone("").Unmap(), ""
			found(c)
		})
	}
}

// listenNames opens multicast DNS for questions, over IPv4: every browser answers there.
func listenNames(n *Network) (*mdns.Conn, error) {
	at, err := net.ResolveUDPAddr("udp4", mdns.DefaultAddressIPv4)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp4", at)
	if err != nil {
		return nil, err
	}
	return mdns.NewServer(ipv4.NewPacketConn(conn), nil, mdns.WithLoggerFactory(factory{n.s.Logger}), mdns.WithIncludeLoopback(n.loopback()), mdns.WithCacheRefresh(false))
}
