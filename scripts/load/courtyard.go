package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// courtyard is a relay and a home agent, running.
type courtyard struct {
	*crowd.Yard
	relay *crowd.Program
	home  *crowd.Program // nil while there is none
	dir   string
	comes int // how many callers there were: each has an address of its own
}

// setup is how a courtyard runs; the zero value is what people get.
type setup struct {
	listen string   // another address of this machine than 127.0.0.1
	flags  []string // of the relay
	pinned []string // what the relay's command line begins with
	noHome bool
}

// open starts a relay and a home for it, with empty data.
func open(ctx context.Context, dir string, how setup) (_ *courtyard, err error) {
	y := &courtyard{Yard: &crowd.Yard{
		Relay: "bin/courtyard-relay", RelayData: filepath.Join(dir, "relay"),
		Home: "bin/courtyard-home", HomeData: filepath.Join(dir, "home"),
	}, dir: dir}
	y.Caller = y.caller
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, y.close())
		}
	}()
	if how.listen == "" {
		how.listen = "127.0.0.1"
	}
	line := slices.Concat(how.pinned, []string{y.Relay, "serve", "--data", y.RelayData, "--listen", how.listen + ":0"}, how.flags)
	if y.relay, err = crowd.Start(ctx, filepath.Join(dir, "relay.log"), "ready ", line...); err != nil {
		return nil, err
	}
	y.URL = strings.TrimPrefix(y.relay.Said, "ready ")
	if !how.noHome {
		if err := y.startHome(ctx); err != nil {
			return nil, err
		}
	}
	return y, y.Meet(ctx, http.DefaultClient)
}

// startHome starts the home, with what it has on its disk.
func (y *courtyard) startHome(ctx context.Context) (err error) {
	y.home, err = crowd.Start(ctx, filepath.Join(y.dir, "home.log"), "courtyard-home ", y.Home, "serve", "--data", y.HomeData, "--listen", "127.0.0.1:0", "--relay", y.URL)
	return err
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
