package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// courtyard is a relay and a home agent, running.
type courtyard struct {
	*crowd.Yard
	relay *crowd.Program
	home  *crowd.Program
	comes int // how many callers there were: each has an address of its own
}

// open starts a relay and a home for it, with empty data.
func open(ctx context.Context, dir string) (_ *courtyard, err error) {
	y := &courtyard{Yard: &crowd.Yard{
		Relay: "bin/courtyard-relay", RelayData: filepath.Join(dir, "relay"),
		Home: "bin/courtyard-home", HomeData: filepath.Join(dir, "home"),
	}}
	y.Caller = y.caller
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, y.close())
		}
	}()
	y.relay, err = crowd.Start(ctx, filepath.Join(dir, "relay.log"), "ready ", y.Relay, "serve", "--data", y.RelayData, "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	y.URL = strings.TrimPrefix(y.relay.Said, "ready ")
	y.home, err = crowd.Start(ctx, filepath.Join(dir, "home.log"), "courtyard-home ", y.Home, "serve", "--data", y.HomeData, "--listen", "127.0.0.1:0", "--relay", y.URL)
	if err != nil {
		return nil, err
	}
	return y, y.Meet(ctx, http.DefaultClient)
}

func (y *courtyard) close() error {
	var errs []error
	for _, p := range []*crowd.Program{y.home, y.relay} {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	return errors.Join(errs...)
}

// caller calls from an address of this machine that nobody else uses.
func (y *courtyard) caller() *http.Client {
	y.comes++
	from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(y.comes>>8), byte(y.comes))}
	dialer := &net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: dialer.DialContext}}
}
