// Command nat is what scripts/natlab runs, as root, in a network of its own: a relay,
// a home and two people with real browsers, each behind a router of one kind after
// another. It looks whether all gets through, and by which way.
//
// It must never touch the network of the machine it runs on, and never count what it
// could not look at as passed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	var l lab
	flag.BoolVar(&l.quick, "quick", false, "two combinations, and the phone that leaves")
	flag.StringVar(&l.only, "only", "", "combinations by number, such as 3,7; 0 is the lab itself")
	flag.StringVar(&l.root, "root", "", "the checkout")
	flag.StringVar(&l.bin, "bin", "", "folder of the programs")
	flag.StringVar(&l.dir, "dir", "", "an empty folder for everything else")
	flag.StringVar(&l.chromium, "chromium", "", "the browser")
	flag.Parse()
	if l.root == "" || l.bin == "" || l.dir == "" || l.chromium == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "nat is started by scripts/natlab")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	l.verdict = &verdict{out: os.Stdout}
	l.began = time.Now()
	err := l.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "natlab:", err)
		l.verdict.failed++
	}
	fmt.Printf("%d passed, %d failed\n", l.verdict.passed, l.verdict.failed)
	if l.verdict.failed > 0 || l.verdict.passed == 0 {
		os.Exit(1)
	}
}

// lab is one run.
type lab struct {
	quick                    bool
	only                     string
	root, bin, dir, chromium string
	began                    time.Time

	*verdict
	net     *internet
	yard    *courtyard
	driver  *driver
	mei     *person // owns the courtyard and the home; hers is the phone
	tom     *person // her friend
	words   int     // written so far
	picture photo   // of more than 20 MB
	small   photo
	// keepsake is the photo that the home took last.
	keepsake sent
}

// photo is a file, and how many bytes the app keeps of it at least.
type photo struct {
	path    string
	atLeast int
}

func (l *lab) run(ctx context.Context) (err error) {
	if l.net, err = newInternet(ctx); err != nil {
		return err
	}
	if l.wants(0) {
		l.say("the lab itself")
		if err := l.net.prove(ctx, l.verdict); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.settle(ctx); err != nil {
		return err
	}
	var rows []outcome
	defer func() { err = errors.Join(err, l.table(rows)) }()
	for i, c := range combinations {
		if !l.wants(i+1) || (l.quick && i >= quick) {
			continue
		}
		rows = append(rows, l.play(ctx, i+1, c))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if l.wants(len(combinations) + 1) {
		return l.swap(ctx)
	}
	return nil
}

// wants tells whether a part was asked for, by its number.
func (l *lab) wants(number int) bool {
	return l.only == "" || slices.Contains(strings.Split(l.only, ","), strconv.Itoa(number))
}

// say tells how far it is.
func (l *lab) say(format string, args ...any) {
	fmt.Printf("%4.0f s  %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

// settle starts everything once: an account each, friends, a home. Each combination
// then finds it as people do who open the app another day.
func (l *lab) settle(ctx context.Context) (err error) {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	if l.yard, err = newCourtyard(l.net, l.bin, l.dir); err != nil {
		return err
	}
	if err := errors.Join(l.yard.startRelay(ctx), l.yard.startHome(ctx)); err != nil {
		return err
	}
	l.say("relay and home run")
	if l.driver, err = newDriver(ctx, l.root, l.dir, l.chromium, l.yard.cert); err != nil {
		return err
	}
	if err := l.driver.accept(); err != nil {
		return err
	}
	if l.mei, err = l.driver.newPerson("林美", l.net.phone, l.chromium); err != nil {
		return err
	}
	if l.tom, err = l.driver.newPerson("Tomás", l.net.friend, l.chromium); err != nil {
		return err
	}
	claim, err := l.yard.claim(ctx)
	if err != nil {
		return err
	}
	if err := l.mei.begin(ctx); err != nil {
		return err
	}
	if err := l.mei.does(ctx, "join", map[string]string{"link": claim, "name": l.mei.name}); err != nil {
		return err
	}
	if err := l.mei.does(ctx, "hasHome", nil); err != nil {
		return err
	}
	var invite string
	if err := l.mei.sees(ctx, "invite", &invite); err != nil {
		return err
	}
	if err := l.tom.begin(ctx); err != nil {
		return err
	}
	if err := l.tom.does(ctx, "join", map[string]string{"link": invite, "name": l.tom.name}); err != nil {
		return err
	}
	l.say("two friends, one home")
	l.picture, l.small = photo{filepath.Join(l.dir, "photo.jpg"), heavy}, photo{filepath.Join(l.dir, "small.jpg"), smallest}
	for file, side := range map[photo]string{l.picture: "4096", l.small: "512"} {
		if err := l.tom.does(ctx, "makePhoto", map[string]string{"path": file.path, "side": side}); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) close() error {
	var errs []error
	if l.driver != nil {
		errs = append(errs, l.driver.close())
	}
	if l.yard != nil {
		errs = append(errs, l.yard.close())
	}
	return errors.Join(errs...)
}
