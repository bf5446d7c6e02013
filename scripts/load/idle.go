package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

const (
	tabs = 8 // sockets of one device (section 12)
	// idleSockets to one relay; quickly fewer.
	idleSockets, idleSocketsQuick = 10_000, 2_048
)

// idle is what both programs hold in memory while nothing happens.
func (b *bench) idle(ctx context.Context) (err error) {
	rest := 10 * time.Second
	wanted := idleSockets
	if b.quick {
		rest, wanted = 3*time.Second, idleSocketsQuick
	}
	y, err := open(ctx, filepath.Join(b.dir, "idle"), setup{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, y.close()) }()
	how := fmt.Sprintf("VmRSS %.0f s after it was ready", rest.Seconds())
	if _, err = b.look(ctx, y, rest, "started, nobody there", how); err != nil {
		return err
	}
	owner, err := y.Join(ctx, "first")
	if err != nil {
		return err
	}
	if err := y.Pair(ctx, owner); err != nil {
		return err
	}
	tab, err := owner.Connect(ctx)
	if err != nil {
		return err
	}
	tab.Idle()
	defer func() { err = errors.Join(err, tab.Close()) }()
	if _, err := b.look(ctx, y, rest, "one person, home paired, one browser open", strings.Replace(how, "it was ready", "that", 1)); err != nil {
		return err
	}
	n, limit, err := filesAllow(wanted)
	if err != nil {
		return err
	}
	said := fmt.Sprintf("RssAnon with and without %s sockets of %s people, no TLS", digits(float64(n)), digits(float64(n/tabs)))
	if n < wanted {
		said += fmt.Sprintf("; this machine lets a process open no more than %d files (ulimit -Hn), so that they are not %s", limit, digits(float64(wanted)))
	}
	say("idle: %d people join", n/tabs)
	people, err := y.JoinAll(ctx, n/tabs, "guest")
	if err != nil {
		return err
	}
	each, err := b.eachIdle(ctx, y, people, rest)
	if err != nil {
		return err
	}
	b.table.figure("memory of an idle socket, relay", each, "KiB", said)
	return nil
}

// eachIdle is what one idle socket adds to the relay's memory, KiB, with eight of each person.
func (b *bench) eachIdle(ctx context.Context, y *courtyard, people []*crowd.Person, rest time.Duration) (kib float64, err error) {
	for _, p := range people {
		p.Client.CloseIdleConnections()
	}
	before, err := b.look(ctx, y, rest, "", "")
	if err != nil {
		return 0, err
	}
	var open []*crowd.Socket
	defer func() {
		for _, s := range open {
			err = errors.Join(err, s.Conn.CloseNow())
		}
	}()
	for _, p := range people {
		for range tabs {
			s, err := p.Connect(ctx)
			if err != nil {
				return 0, err
			}
			s.Idle()
			open = append(open, s)
		}
	}
	after, err := b.look(ctx, y, rest, "", "")
	return (after.Own - before.Own) / float64(len(open)) / 1024, err
}

// filesAllow is how many sockets, up to so many, this process and the relay may each
// have open: both raise their soft limit to the hard one.
func filesAllow(wanted int) (n int, limit uint64, err error) {
	const others = 200 // files, connections that come and go
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, 0, err
	}
	if files.Max < others+tabs {
		return 0, files.Max, fmt.Errorf("this machine lets a process open no more than %d files (ulimit -Hn)", files.Max)
	}
	if files.Max-others < uint64(wanted) {
		wanted = int(files.Max - others)
	}
	return wanted / tabs * tabs, files.Max, nil
}

// look samples both programs after they have rested, and returns the relay's.
func (b *bench) look(ctx context.Context, y *courtyard, rest time.Duration, when, how string) (crowd.Memory, error) {
	if err := idleFor(ctx, rest); err != nil {
		return crowd.Memory{}, err
	}
	relay, err := y.relay.Memory()
	if err != nil || when == "" {
		return relay, err
	}
	home, err := y.home.Memory()
	if err != nil {
		return relay, err
	}
	for _, m := range []struct {
		name string
		crowd.Memory
	}{{"relay", relay}, {"home", home}} {
		b.table.figure("memory, "+m.name+", "+when, m.Resident/(1<<20), "MiB", fmt.Sprintf("%s; %s MiB of it its own (RssAnon)", how, digits(m.Own/(1<<20))))
	}
	return relay, nil
}

// idleFor lets time pass: idle seconds are what is measured.
func idleFor(ctx context.Context, rest time.Duration) error {
	select {
	case <-time.After(rest):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
