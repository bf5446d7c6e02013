package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// sealInGo: protocol/letter, each letter timed by itself, so that the median
// stays true on a machine that does other things.
func (b *bench) sealInGo(context.Context) error {
	n := 5000
	if b.quick {
		n = 1000
	}
	// Nobody calls anybody here.
	y := &crowd.Yard{At: ident.Relay{Host: "relay.example", Port: 443}, Caller: func() *http.Client { return http.DefaultClient }}
	alice, _, err := y.Newcomer("alice")
	if err != nil {
		return err
	}
	bob, _, err := y.Newcomer("bob")
	if err != nil {
		return err
	}
	author := func(_ protocol.UID, dev protocol.DeviceID, _ []byte) (ident.Device, bool, error) {
		device, ok := alice.Chain.Author(dev, crowd.Now())
		return device, ok, nil
	}

	var sealing, opening []float64
	for range n {
		began := time.Now()
		_, e, err := alice.Seal(bob, 1, text)
		sealed := time.Now()
		if err != nil {
			return err
		}
		if _, err := letter.Open(e, []ident.UEKSecret{bob.Secret}, author); err != nil {
			return err
		}
		sealing = append(sealing, float64(sealed.Sub(began))/1e3)
		opening = append(opening, float64(time.Since(sealed))/1e3)
	}
	for _, line := range []struct {
		what string
		took []float64
	}{{"seal a letter of 300 B for two, Go", sealing}, {"open it, Go", opening}} {
		b.table.figure(line.what, median(line.took), "µs", fmt.Sprintf("protocol/letter, median of %d; go test -bench . ./protocol/letter has more", n))
		b.table.figure("the same, one core", 1e6/median(line.took), "letters/s", "from it")
	}
	return nil
}

// sealInBrowser: frontend/src/protocol, built as the app is, in the system's Chromium.
func (b *bench) sealInBrowser(ctx context.Context) error {
	n := 300
	if b.quick {
		n = 60
	}
	cmd := exec.CommandContext(ctx, "node", "scripts/load/browser/run.mjs", filepath.Join(b.dir, "browser"), strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("scripts/load/browser/run.mjs: %w", err)
	}
	var said struct {
		Browser string `json:"browser"`
		Runs    []struct {
			Slower int       `json:"slower"`
			Seal   []float64 `json:"seal"` // µs
			Open   []float64 `json:"open"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return err
	}
	for _, r := range said.Runs {
		where, how := "browser", fmt.Sprintf("%s, median of %d", said.Browser, n)
		if r.Slower > 1 {
			where, how = fmt.Sprintf("browser slowed %d ×", r.Slower), "likewise, as DevTools slow a processor down: nearer to a phone"
		}
		b.table.figure("seal a letter of 300 B for two, "+where, median(r.Seal), "µs", how)
		b.table.figure("open it, "+where, median(r.Open), "µs", "likewise")
	}
	return nil
}

// history: the home's own benchmark of its log, with SQLite.
func (b *bench) history(ctx context.Context) error {
	size := 1_000_000
	if b.quick {
		size = 50_000
	}
	env := fmt.Sprintf("COURTYARD_LOG_SIZE=%d", size)
	args := []string{"-bench", "^BenchmarkMillion$", "-benchtime", "2s", "-timeout", "20m"}
	r, err := goBench(ctx, "./homedb/internal/chatlog", env, args...)
	if err != nil {
		return err
	}
	how := fmt.Sprintf("%s go test ./homedb/internal/chatlog %s", env, strings.Join(args[:4], " "))
	for _, line := range [][2]string{
		{"page", "history page, 50 newest before any place"}, {"talks", "list of conversations, 50"},
		{"insert", "one message into it, synced"}, {"insert64", "64 messages into it, synced together"},
	} {
		ns := r["Million/"+line[0]]["ns/op"]
		if len(ns) == 0 {
			return fmt.Errorf("BenchmarkMillion of homedb/internal/chatlog has no %q", line[0])
		}
		b.table.figure(fmt.Sprintf("log of %s messages: %s", digits(float64(size)), line[1]), median(ns)/1e6, "ms", how)
		how = "likewise"
	}
	return nil
}

// sizes are of the programs and of what a browser loads first.
func (b *bench) sizes(ctx context.Context) error {
	for _, name := range []string{"courtyard-relay", "courtyard-home"} {
		info, err := os.Stat(filepath.Join("bin", name))
		if err != nil {
			return err
		}
		what := ""
		if name == "courtyard-relay" {
			what = ", the app in it"
		}
		b.table.figure("size of "+name+what, float64(info.Size())/1e6, "MB", "bin/"+name+", static, stripped")
	}
	out, err := exec.CommandContext(ctx, "node", "scripts/budget.mjs").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	size, _, _ := strings.Cut(strings.TrimSpace(lines[len(lines)-1]), " ")
	n, notNumber := strconv.ParseFloat(size, 64)
	if notNumber != nil {
		return fmt.Errorf("node scripts/budget.mjs: %w: %s", errors.Join(err, notNumber), out)
	}
	// Above its budget that script fails; here only the figure is wanted.
	b.table.figure("script of the first screen, gzip", n/1e3, "kB", "node scripts/budget.mjs; budget 120")
	return nil
}
