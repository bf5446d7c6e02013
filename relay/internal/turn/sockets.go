package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// StandardPort is that of STUN and TURN.
const StandardPort = 3478

// Sockets are the ports of a place, taken.
type Sockets struct {
	Place
	udp    *net.UDPConn
	tcp    *net.TCPListener
	second *net.UDPConn // STUN alone, to tell symmetric NATs
}

// Listen takes the ports of a place; of port 0, some that are free. The error is a
// sentence.
func Listen(place Place) (*Sockets, error) {
	if place.Bound.Port() != 0 {
		return listen(place)
	}
	var s *Sockets
	var err error
	for range tries {
		var udp *net.UDPConn
		if udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(place.Bound)); err != nil {
			return nil, sentence(place.Bound, "UDP", err)
		}
		free := udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		if err = udp.Close(); err != nil || free == 1<<16-1 {
			continue
		}
		this := place
		this.Bound = netip.AddrPortFrom(place.Bound.Addr(), free)
		if s, err = listen(this); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func listen(place Place) (*Sockets, error) {
	s := &Sockets{Place: place}
	at := place.Bound
	next := netip.AddrPortFrom(at.Addr(), at.Port()+1)
	var err error
	if s.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
		return nil, errors.Join(sentence(at, "UDP", err), s.Close())
	}
	if s.tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at)); err != nil {
		return nil, errors.Join(sentence(at, "TCP", err), s.Close())
	}
	if s.second, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(next)); err != nil {
		return nil, errors.Join(sentence(next, "UDP", err), s.Close())
	}
	return s, nil
}

func sentence(at netip.AddrPort, what string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s (%s, for calls) is taken by another program: stop that one, choose another place with --turn-listen, or say --turn off", at, what)
	}
	return fmt.Errorf("cannot listen on %s (%s, for calls): %w", at, what, err)
}

// Close gives the ports back.
func (s *Sockets) Close() error {
	errs := []error{}
	if s.udp != nil {
		errs = append(errs, s.udp.Close())
	}
	if s.tcp != nil {
		errs = append(errs, s.tcp.Close())
	}
	if s.second != nil {
		errs = append(errs, s.second.Close())
	}
	for i, err := range errs {
		if errors.Is(err, net.ErrClosed) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}
