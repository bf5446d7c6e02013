// Package ports finds ports for programs that tests start, stop and start again
// at the same address. It must never be part of a shipped program.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"time"
)

// Registered ports (RFC 6335 section 6) below 32768, where Linux begins to give
// ports to outgoing connections. From there on a port that is left for a moment may
// be taken by anybody's connection, and who dials an address of this machine where
// nobody listens can even be given that very port, and be connected to himself.
const first, last = 15_000, 32_767

// Free is a TCP port of ip at which nobody listens now. It asks by calling there:
// a listener of our own, to try it out, could outlive its Close in a child process
// between fork and exec.
func Free(ip string) (int, error) {
	for range 100 {
		port := first + rand.IntN(last-first+1)
		c, err := net.DialTimeout("tcp", net.JoinHostPort(ip, strconv.Itoa(port)), time.Second)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return port, nil
		}
		if err != nil {
			return 0, fmt.Errorf("no free port at %s: %w", ip, err)
		}
		if err := c.Close(); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("no free port at %s", ip)
}

// Address is ip with a free port.
func Address(ip string) (string, error) {
	port, err := Free(ip)
	return net.JoinHostPort(ip, strconv.Itoa(port)), err
}
