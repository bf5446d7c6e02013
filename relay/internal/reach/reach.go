// Package reach is the one way out: whatever the relay opens to elsewhere (links,
// lookups, pushes) is dialled here (section 14). Names that come from strangers
// must not make this machine call what only it can see, so a name is resolved
// once, every address it has is checked, and one of those is dialled as a number.
//
// It must never dial an address it has not checked, ask a name server twice about
// one connection, follow a redirect, or heed a proxy from the environment.
package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	// patience is how long a connection may take to open, and an answer to Get to come whole.
	patience = 10 * time.Second
	// mostDialled bounds how many addresses of one name are tried; all are checked.
	mostDialled = 4
	// mostAddresses bounds what a name may have.
	mostAddresses = 64
)

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Counts hears how attempts to open a connection ended: "open",
// address-refused or peer-away.
type Counts interface{ Reached(outcome string) }

// Open is counted for a connection that was opened.
const Open = "open"

// Config is what a dialer needs.
type Config struct {
	Resolver Resolver
	// Dial opens a connection to a checked address, an IP literal with a port;
	// (*net.Dialer).DialContext does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Named are the networks besides the public ones that the operator has named.
	Named    []netip.Prefix
	Roots    *x509.CertPool // nil: the system's
	Patience time.Duration  // 0: 10 s
	Counts   Counts
}

// Dialer is the guarded dialer. Safe for use by several goroutines.
type Dialer struct {
	config Config
	client *http.Client
}

// New makes a dialer. Close it.
func New(config Config) *Dialer {
	if config.Patience == 0 {
		config.Patience = patience
	}
	d := &Dialer{config: config}
	d.client = &http.Client{
		Transport: &guard{&http.Transport{
			Proxy:       nil,
			DialContext: d.DialContext,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12, RootCAs: config.Roots,
				NextProtos: []string{"http/1.1"}, // websockets need it, and a GET needs no more
			},
			TLSHandshakeTimeout:    config.Patience,
			ResponseHeaderTimeout:  config.Patience,
			MaxResponseHeaderBytes: 16 << 10,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConns:           64, // the oldest is closed
			MaxIdleConnsPerHost:    2,
			DisableCompression:     true, // a small answer stays small
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return d
}

// Close closes connections that nobody uses; those in use are their users'.
func (d *Dialer) Close() { d.client.CloseIdleConnections() }

// DialContext opens a TCP connection to address, host:port with a host of section
// 1, within the dialer's patience. Codes: address-refused if the port or any
// address of the name is not allowed, or the name is none; peer-away if the name
// is unknown or nobody answers.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		d.config.Counts.Reached(protocol.CodeOf(err))
		return nil, err
	}
	d.config.Counts.Reached(Open)
	return conn, nil
}

func (d *Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, refused("network " + network)
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, refused(err.Error())
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || !allowedPort(uint16(port)) {
		return nil, refused("port " + strconv.Quote(text))
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.Patience)
	defer cancel()
	addrs, err := d.addresses(ctx, network, host)
	if err != nil {
		return nil, err
	}
	var failed []error
	for i, addr := range addrs {
		// One that swallows everything leaves the next ones their share of the time.
		conn, err := d.attempt(ctx, len(addrs)-i, netip.AddrPortFrom(addr, uint16(port)))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	return nil, away(errors.Join(failed...))
}

func (d *Dialer) attempt(ctx context.Context, left int, to netip.AddrPort) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	return d.config.Dial(ctx, "tcp", to.String())
}

// addresses are those to dial for host: all that it has are allowed.
func (d *Dialer) addresses(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if !protocol.ValidHost(host) { // 0177.1, 2130706433 and the like, which some libraries read as addresses
		return nil, refused("no host: " + strconv.Quote(host))
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if err := d.check(addr); err != nil {
			return nil, err
		}
		return []netip.Addr{addr}, nil
	}
	found, err := d.config.Resolver.LookupNetIP(ctx, "ip"+network[len("tcp"):], host)
	if err != nil {
		return nil, away(err)
	}
	switch {
	case len(found) == 0:
		return nil, away(errors.New("the name has no address"))
	case len(found) > mostAddresses:
		return nil, refused(fmt.Sprintf("%d addresses", len(found)))
	}
	addrs := make([]netip.Addr, 0, len(found))
	for _, addr := range found {
		addr = addr.Unmap() // net.Resolver writes IPv4 either way
		if err := d.check(addr); err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	return addrs[:min(len(addrs), mostDialled)], nil
}

func refused(reason string) error {
	return protocol.Refuse("reach.Dial", protocol.CodeAddressRefused, reason)
}

func away(cause error) error {
	return &protocol.Error{Op: "reach.Dial", Code: protocol.CodePeerAway, Cause: cause}
}
