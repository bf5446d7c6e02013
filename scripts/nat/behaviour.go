package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/courtyard-social/courtyard/scripts/netns"
)

// The lab's own eyes: two addresses on the internet with two ports each, which tell
// whoever sends them a datagram where it came from (RFC 5780, as plain text).
const (
	vantageOne = "5.9.0.1"
	vantageTwo = "5.9.0.2"
	firstPort  = 3478
	secondPort = 3479
)

// passing is how long a datagram may take that is expected; what has not come by then
// was dropped. Everything is in one kernel, and two cores may have other work.
const passing = 400 * time.Millisecond

// vantage is one of the four.
type vantage struct{ *net.UDPConn }

type vantages struct {
	here, otherPort, otherAddress vantage
	tcp                           []net.Listener
}

// stand opens them all.
func stand() (*vantages, error) {
	v := &vantages{}
	for _, one := range []struct {
		at      *vantage
		address string
		port    int
	}{{&v.here, vantageOne, firstPort}, {&v.otherPort, vantageOne, secondPort}, {&v.otherAddress, vantageTwo, firstPort}} {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(one.address), Port: one.port})
		if err != nil {
			return nil, errors.Join(err, v.close())
		}
		*one.at = vantage{conn}
	}
	for _, port := range []int{443, firstPort} {
		l, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", vantageOne, port))
		if err != nil {
			return nil, errors.Join(err, v.close())
		}
		v.tcp = append(v.tcp, l)
	}
	return v, nil
}

func (v *vantages) close() error {
	var errs []error
	for _, one := range []vantage{v.here, v.otherPort, v.otherAddress} {
		if one.UDPConn != nil {
			errs = append(errs, one.Close())
		}
	}
	for _, l := range v.tcp {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// listen opens a socket of a host; port 0 is any.
func listen(at netns.Space, port int) (conn *net.UDPConn, err error) {
	err = at.Do(func() error {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		return err
	})
	return conn, err
}

// hears waits for a datagram with these words and tells where it came from. One that
// does not come is no error, and has no address.
func hears(conn *net.UDPConn, words string) (netip.AddrPort, error) {
	if err := conn.SetReadDeadline(time.Now().Add(passing)); err != nil {
		return netip.AddrPort{}, err
	}
	for buf := make([]byte, 256); ; {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return netip.AddrPort{}, nil
		}
		if err != nil {
			return netip.AddrPort{}, err
		}
		if string(buf[:n]) == words {
			return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
		}
	}
}

func says(conn *net.UDPConn, to netip.AddrPort, words string) error {
	_, err := conn.WriteToUDPAddrPort([]byte(words), to)
	return err
}

func (v vantage) address() netip.AddrPort {
	return v.LocalAddr().(*net.UDPAddr).AddrPort()
}

// mapped is how a vantage sees a host's socket; none if nothing comes through.
func (v vantage) mapped(conn *net.UDPConn) (netip.AddrPort, error) {
	words := fmt.Sprint("where am I? ", time.Now().UnixNano())
	if err := says(conn, v.address(), words); err != nil {
		return netip.AddrPort{}, err
	}
	return hears(v.UDPConn, words)
}

// mapping is the mapping behaviour of whatever is before a host, and the address it gives.
func (v *vantages) mapping(at netns.Space) (string, netip.Addr, error) {
	conn, err := listen(at, 0)
	if err != nil {
		return "", netip.Addr{}, err
	}
	defer conn.Close()
	var seen [3]netip.AddrPort
	for i, from := range []vantage{v.here, v.otherPort, v.otherAddress} {
		if seen[i], err = from.mapped(conn); err != nil {
			return "", netip.Addr{}, err
		}
	}
	switch {
	case !seen[0].IsValid() && !seen[1].IsValid() && !seen[2].IsValid():
		return none, netip.Addr{}, nil
	case seen[0] == seen[1] && seen[0] == seen[2]:
		return independent, seen[0].Addr(), nil
	case seen[0] == seen[1]:
		return "address-dependent", seen[0].Addr(), nil
	}
	return addressAndPort, seen[0].Addr(), nil
}

// filtering is the filtering behaviour: who may answer a host that has sent to one vantage.
func (v *vantages) filtering(at netns.Space) (string, error) {
	conn, err := listen(at, 0)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	seen, err := v.here.mapped(conn)
	if err != nil || !seen.IsValid() {
		return none, err
	}
	comes := func(from vantage, words string) (bool, error) {
		if err := says(from.UDPConn, seen, words); err != nil {
			return false, err
		}
		who, err := hears(conn, words)
		return who == from.address(), err
	}
	otherAddress, err := comes(v.otherAddress, "another address")
	if err != nil {
		return "", err
	}
	otherPort, err := comes(v.otherPort, "another port")
	if err != nil {
		return "", err
	}
	asked, err := comes(v.here, "the one that was asked")
	switch {
	case err != nil:
		return "", err
	case !asked:
		return "nobody, not even the one that was asked", nil
	case otherAddress && otherPort:
		return independent, nil
	case otherPort:
		return "address-dependent", nil
	case otherAddress:
		return "another address, but not another port", nil
	}
	return addressAndPort, nil
}

// unimpressed tells whether somebody who knocks at a router unasked changes nothing:
// the host behind still gets the port that it would have got.
func (v *vantages) unimpressed(at *host) (bool, error) {
	const knocked = 40404
	if err := says(v.here.UDPConn, netip.AddrPortFrom(netip.MustParseAddr(at.at.public()), knocked), "knock"); err != nil {
		return false, err
	}
	conn, err := listen(at.Space, knocked)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	seen, err := v.here.mapped(conn)
	return seen.Port() == knocked, err
}

// punches lets two hosts try to get through to each other, both knowing how a third sees
// them, and tells whether both did.
func (v *vantages) punches(a, b netns.Space) (bool, error) {
	one, err := listen(a, 0)
	if err != nil {
		return false, err
	}
	defer one.Close()
	two, err := listen(b, 0)
	if err != nil {
		return false, err
	}
	defer two.Close()
	ones, err := v.here.mapped(one)
	if err != nil {
		return false, err
	}
	twos, err := v.here.mapped(two)
	if err != nil || !ones.IsValid() || !twos.IsValid() {
		return false, err
	}
	// As ICE does it: whoever hears something answers to where it really came from.
	for range 2 {
		if err := errors.Join(says(one, twos, "hole"), says(two, ones, "hole")); err != nil {
			return false, err
		}
	}
	from, err := hears(one, "hole")
	if err != nil {
		return false, err
	}
	if from.IsValid() {
		twos = from
	} else if from, err = hears(two, "hole"); err != nil || !from.IsValid() {
		return false, err
	} else {
		ones = from
	}
	if err := errors.Join(says(one, twos, "through"), says(two, ones, "through")); err != nil {
		return false, err
	}
	there, err := hears(two, "through")
	if err != nil || !there.IsValid() {
		return false, err
	}
	if err := says(two, there, "and back"); err != nil {
		return false, err
	}
	back, err := hears(one, "and back")
	return back.IsValid(), err
}

// reaches tells whether a host gets a TCP connection to a port of the internet.
func reaches(ctx context.Context, from netns.Space, port int) (bool, error) {
	var conn net.Conn
	err := from.Do(func() error {
		var err error
		dialer := &net.Dialer{Timeout: passing}
		conn, err = dialer.DialContext(ctx, "tcp4", fmt.Sprintf("%s:%d", vantageOne, port))
		return err
	})
	if err == nil {
		return true, conn.Close()
	}
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() { // dropped, as it should be where it is
		return false, nil
	}
	return false, err
}
