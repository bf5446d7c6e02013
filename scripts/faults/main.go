// Command faults is what scripts/chaos runs, as root, in a network of its own:
// several courtyards on machines of their own whose people write to each other
// while machines die, freeze, lose their cable, their disk and their time. In the
// end everything heals, and what there is is held against what was seen.
//
// It must never touch the network of the machine it runs on, and never let a
// broken promise pass: what it cannot look at counts as broken.
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
	"sync"
	"syscall"
	"time"
)

func main() {
	switch {
	case len(os.Args) == 6 && os.Args[1] == "front":
		if err := serveFront(os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
			fmt.Fprintln(os.Stderr, "front:", err)
			os.Exit(1)
		}
		return
	case len(os.Args) == 4 && os.Args[1] == "broken":
		if _, err := overlay(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			os.Exit(2)
		}
		return
	}
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "which faults and letters")
	length := flag.Duration("for", 2*time.Minute, "how long there are faults")
	relays := flag.Int("relays", 3, "how many courtyards, 1 to 9")
	only := flag.String("only", "", "some kinds of faults, such as kill,cut; the others of the plan are left out")
	bin := flag.String("bin", "", "folder of the programs")
	dir := flag.String("dir", "", "an empty folder for everything else")
	flag.Parse()
	if *bin == "" || *dir == "" || flag.NArg() > 0 || *relays < 1 || *relays > 9 || *length < 5*time.Second {
		fmt.Fprintln(os.Stderr, "faults is started by scripts/chaos")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	broken, err := play(ctx, *dir, *bin, *seed, *length, strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }), *relays)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || broken > 0 {
		os.Exit(1)
	}
}

const (
	// calm is how long everything may take to arrive once it can. The longest pause
	// of a home is a minute, that of a relay as long as the trouble before it.
	calm = 4 * time.Minute
	// sayEvery is how often a line tells how it goes.
	sayEvery = 10 * time.Second
)

// play is one run; it returns how many promises were broken.
func play(ctx context.Context, dir, bin string, seed uint64, length time.Duration, only []string, relays int) (broken int, err error) {
	fmt.Printf("seed %d, %v of faults, %d courtyards\n", seed, length, relays)
	h, err := newHistory(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	t, err := open(ctx, dir, bin, h, relays)
	defer func() {
		if err = errors.Join(err, t.close()); err != nil || broken > 0 {
			err = errors.Join(err, t.keep(context.WithoutCancel(ctx)))
		}
	}()
	if err != nil {
		return 0, err
	}
	people, err := t.settle(ctx)
	if err != nil {
		return 0, err
	}
	names := func(all []*machine) (out []string) {
		for _, m := range all {
			out = append(out, m.name)
		}
		return out
	}
	relayed, homes := t.machines()
	p := draw(seed, length, only, names(relayed), names(homes), pairs(people))
	fmt.Printf("%d people, %d letters, %d faults\n", len(people), len(p.Words), len(p.Faults))

	talking, hush := context.WithCancel(ctx)
	var all, troubles sync.WaitGroup
	defer all.Wait()
	defer hush()
	began := time.Now()
	phones := []*phone{}
	for _, r := range people {
		phone := newPhone(r, people, h, p.Words)
		phones = append(phones, phone)
		all.Go(func() { phone.run(talking, began) })
	}
	all.Go(func() { t.weigh(talking) })
	all.Go(func() { t.tell(talking, began, phones) })
	troubles.Go(func() { t.play(ctx, p.Faults, began) })
	troubles.Wait()
	if err := quiet(ctx, h, phones, began.Add(length)); err != nil {
		return 0, err
	}
	e := ending{Shut: map[string]bool{}, Peaks: map[string]float64{}}
	for _, phone := range phones {
		s, err := phone.shelf(ctx)
		if err != nil {
			s.Strange = append(s.Strange, fmt.Sprintf("nobody knows what %s has: %v", phone.Username, err))
		}
		e.Shelves = append(e.Shelves, s)
		if phone.shut {
			e.Shut[phone.Username] = true
		}
	}
	hush()
	all.Wait()
	t.weighOnce()
	for _, m := range append(relayed, homes...) {
		e.Peaks[m.name] = m.peak
	}
	e.History = h.all()
	report(e, p)
	return verdict(judge(e)), ctx.Err()
}
