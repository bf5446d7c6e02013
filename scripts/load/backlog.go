package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the home's log

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

const (
	// returnWithin bounds how long a home may take to fetch what has waited for it.
	returnWithin = 10 * time.Minute
	// askSlowly is how often the relay is asked then: it allows no more for minutes.
	askSlowly = 250 * time.Millisecond
)

// backlog: somebody's home is away while many write, and comes back. The space is
// what people have, 256 MiB, of which each writer may fill an eighth.
func (b *bench) backlog(ctx context.Context) (err error) {
	each, rounds := 521, 3 // a socket's first 600 frames come at full speed, and each round has sockets of its own
	if b.quick {
		each, rounds = 157, 1
	}
	y, err := open(ctx, filepath.Join(b.dir, "backlog"), setup{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, y.close()) }()
	writers, err := y.JoinAll(ctx, senders, "writer")
	if err != nil {
		return err
	}
	reader, err := y.Join(ctx, "traveller")
	if err != nil {
		return err
	}
	for _, w := range writers {
		if err := w.Befriend(ctx, reader); err != nil {
			return err
		}
	}
	if err := y.Pair(ctx, reader); err != nil {
		return err
	}
	if err := y.home.Stop(); err != nil {
		return err
	}
	y.home = nil
	n := senders * each * rounds
	for round := range rounds {
		say("backlog: %s of %s letters are queued", digits(float64(senders*each*round)), digits(float64(n)))
		if _, err := y.converse(ctx, writers, []*crowd.Person{reader}, conversation{each: each}); err != nil {
			return err
		}
	}
	tab, err := reader.Connect(ctx)
	if err != nil {
		return err
	}
	kept := float64(tab.Ready.Space.Used)
	if err := tab.Close(); err != nil {
		return err
	}
	before, err := processor(y.relay.PID())
	if err != nil {
		return err
	}
	if err := y.relay.ForgetPeak(); err != nil {
		return err
	}
	say("backlog: the home returns")
	began := time.Now()
	if err := y.startHome(ctx); err != nil {
		return err
	}
	within, stop := context.WithTimeout(ctx, returnWithin)
	defer stop()
	if err := drained(within, reader, askSlowly); err != nil {
		return err
	}
	took := time.Since(began)
	return b.returned(ctx, y, reader, n, kept, took, before)
}

// returned looks whether everything is in the log, and says what it took.
func (b *bench) returned(ctx context.Context, y *courtyard, reader *crowd.Person, n int, kept float64, took, before time.Duration) error {
	relay, err := y.relay.Memory()
	if err != nil {
		return err
	}
	home, err := y.home.Memory()
	if err != nil {
		return err
	}
	relaySpent, err := processor(y.relay.PID())
	if err != nil {
		return err
	}
	homeSpent, err := processor(y.home.PID())
	if err != nil {
		return err
	}
	logged, err := lettersAtHome(ctx, y, reader)
	if err != nil {
		return err
	}
	if logged != n {
		return fmt.Errorf("%d letters were accepted, %d are in the home's log", n, logged)
	}
	queued := fmt.Sprintf("%s queued letters, %s MiB, for one home that returns", digits(float64(n)), digits(kept/(1<<20)))
	b.table.figure(queued, took.Seconds(), "s", fmt.Sprintf("from its start until all are in its log, synced and confirmed; %s different letters counted there", digits(float64(logged))))
	b.table.figure("the same", per(n, took), "letters/s", "64 unconfirmed at a time (section 12); it sends receipts meanwhile")
	b.table.add("the same, relay / home", digits((relaySpent-before).Seconds()*1e6/float64(n))+" / "+digits(homeSpent.Seconds()*1e6/float64(n)), "CPU-s per million", "user and system")
	b.table.add("the same, peak of relay / home", digits(relay.Peak/(1<<20))+" / "+digits(home.Peak/(1<<20)), "MiB", "VmHWM, the relay's from when the home came")
	return nil
}

// lettersAtHome counts the different chat letters in somebody's log; the home is running.
func lettersAtHome(ctx context.Context, y *courtyard, p *crowd.Person) (n int, err error) {
	path := filepath.Join(y.HomeData, "people", hex.EncodeToString(p.UID[:]), "log.db")
	u := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT DISTINCT author, mid FROM events WHERE type = 'chat')`).Scan(&n)
	return n, err
}
