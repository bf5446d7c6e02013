package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// courtyard is the real programs, each on its machine in the lab.
type courtyard struct {
	net         *internet
	bin, dir    string
	cert, key   string
	relay, home *crowd.Program
}

// newCourtyard makes what its programs need; they do not run yet.
func newCourtyard(n *internet, bin, dir string) (*courtyard, error) {
	c := &courtyard{net: n, bin: bin, dir: dir, cert: filepath.Join(dir, "relay.pem"), key: filepath.Join(dir, "relay.key")}
	ca := filepath.Join(dir, "ca.pem")
	authority, err := crowd.NewAuthority("scripts/natlab", ca)
	if err != nil {
		return nil, err
	}
	// The home, which is started from here, trusts nobody else.
	if err := os.Setenv("SSL_CERT_FILE", ca); err != nil {
		return nil, err
	}
	return c, authority.Issue(relayAddress, c.cert, c.key)
}

func (c *courtyard) url() string                { return "https://" + relayAddress }
func (c *courtyard) program(name string) string { return filepath.Join(c.bin, name) }
func (c *courtyard) data(name string) string    { return filepath.Join(c.dir, name) }

// startRelay starts the relay where the lab has placed it.
func (c *courtyard) startRelay(ctx context.Context) error {
	if c.relay != nil {
		return fmt.Errorf("the relay runs already")
	}
	listen := relayAddress
	if c.net.behind {
		listen = relayInside
	}
	var err error
	c.relay, err = crowd.Start(ctx, c.data("relay.log"), "ready ", c.net.relay.Inside(c.program("courtyard-relay"), "serve",
		"--data", c.data("relay"), "--host", relayAddress, "--listen", "127.0.0.1:8787",
		"--tls-listen", listen+":443", "--tls-certificate", c.cert, "--tls-key", c.key,
		"--turn", "on", "--turn-listen", listen, "--public-ip", relayAddress, "--turn-bandwidth", "0", "--space-mib", "8192")...)
	return err
}

func (c *courtyard) startHome(ctx context.Context) error {
	if c.home != nil {
		return fmt.Errorf("the home runs already")
	}
	var err error
	c.home, err = crowd.Start(ctx, c.data("home.log"), "courtyard-home ", c.net.home.Inside(c.program("courtyard-home"), "serve",
		"--data", c.data("home"), "--listen", "", "--relay", c.url())...)
	return err
}

// claim is the first link, which pairs the home as well.
func (c *courtyard) claim(ctx context.Context) (string, error) {
	link, err := exec.CommandContext(ctx, c.program("courtyard-relay"), "claim", "--data", c.data("relay"), "--link", c.url()).Output()
	if err != nil {
		return "", fmt.Errorf("claim: %w", err)
	}
	offer, err := exec.CommandContext(ctx, c.program("courtyard-home"), "offer", "--data", c.data("home")).Output()
	if err != nil {
		return "", fmt.Errorf("offer: %w", err)
	}
	return strings.TrimSpace(string(link)) + "." + strings.TrimSpace(string(offer)), nil
}

// filed is how many files the home has.
func (c *courtyard) filed() (n int, err error) {
	err = filepath.WalkDir(c.data("home"), func(path string, d fs.DirEntry, err error) error {
		// files/ab/ab…, 32 digits; what is still coming has another name
		if err == nil && d.Type().IsRegular() && len(d.Name()) == 32 && filepath.Base(filepath.Dir(path)) == d.Name()[:2] {
			n++
		}
		if errors.Is(err, fs.ErrNotExist) { // gone while this was looking
			return nil
		}
		return err
	})
	return n, err
}

func (c *courtyard) stopRelay() error { return stop(&c.relay) }
func (c *courtyard) stopHome() error  { return stop(&c.home) }

func stop(p **crowd.Program) error {
	if *p == nil {
		return nil
	}
	err := (*p).Stop()
	*p = nil
	return err
}

func (c *courtyard) close() error { return errors.Join(c.stopHome(), c.stopRelay()) }
