// Command load measures what a courtyard costs: sealing and opening, letters
// through a real relay and a real home, history, memory, sizes, and other people's
// servers beside ours. It is what scripts/bench runs, from the root of the checkout, after the programs are
// built. Progress goes to stderr, one table to stdout.
//
// It must never judge: a slow machine is no failure. It exits with 1 only when
// something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bench is one run: how much is done, where, and what has come out so far.
type bench struct {
	quick bool
	dir   string // for data, removed at the end
	table table  // what is measured in general
	hubs  table  // relay and other servers, side by side
	turns table  // likewise, of TURN
}

// part is one group of lines of the table.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

var parts = []part{
	{"go", (*bench).sealInGo},
	{"browser", (*bench).sealInBrowser},
	{"letters", (*bench).letters},
	{"latency", (*bench).latency},
	{"across", (*bench).across},
	{"wall", (*bench).walls},
	{"history", (*bench).history},
	{"idle", (*bench).idle},
	{"backlog", (*bench).backlog},
	{"hub", (*bench).hub},
	{"turn", (*bench).turn},
	{"ways", (*bench).ways},
	{"size", (*bench).sizes},
}

func main() {
	quick := flag.Bool("quick", false, "a short run, rougher figures")
	only := flag.String("only", "", "some parts: "+names())
	flag.Parse()
	if *only == "" {
		*only = strings.Join(flag.Args(), ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *quick, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, quick bool, only string) (err error) {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(".cache/bench", 0o700); err != nil {
		return err
	}
	root, err := filepath.Abs(".cache/bench")
	if err != nil {
		return err
	}
	b := &bench{quick: quick, table: newTable("what", "figure", "unit", "how"), hubs: newTable(hubHead...)}
	if b.dir, err = os.MkdirTemp(root, "run-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	machine, err := describe(ctx, b.dir)
	if err != nil {
		return err
	}
	var failures []error
	for _, p := range chosen {
		say("%s …", p.name)
		began := time.Now()
		if err := p.run(b, ctx); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p.name, err))
			b.table.add(p.name, "-", "", "not measured: "+firstLine(err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		say("%s: %.0f s", p.name, time.Since(began).Seconds())
	}
	after, err := load()
	if err != nil {
		return err
	}
	fmt.Printf("%s; load before %s, after %s\n\n", machine.text, machine.load, after)
	for _, t := range []table{b.table, b.hubs, b.turns} {
		if len(t.rows) > 0 {
			fmt.Println(t.String())
		}
	}
	return errors.Join(failures...)
}

func names() string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	return strings.Join(all, ",")
}

func choose(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}
	var chosen []part
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, p := range parts {
			if p.name == name {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no part %q", name)
		}
	}
	return chosen, nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
