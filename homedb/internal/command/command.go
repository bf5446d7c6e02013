// Package command is the command line of courtyard-home: flags, environment and
// the sentences that people read when something is wrong. What the agent does is
// elsewhere.
package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/direct"
	"github.com/courtyard-social/courtyard/homedb/internal/door"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/homedb/internal/metrics"
	"github.com/courtyard-social/courtyard/homedb/internal/person"
)

// Version of the home agent.
const Version = "0.1.0"

// Line is everything that can be said to courtyard-home.
type Line struct {
	Data string `help:"Directory for everything this home keeps." env:"COURTYARD_HOME_DATA" default:"${data}" placeholder:"DIR"`
	Log  string `help:"How much is logged: error, warn, info or debug." env:"COURTYARD_HOME_LOG" default:"info" enum:"error,warn,info,debug"`

	Serve   Serve   `cmd:"" default:"withargs" help:"Look after everybody who is paired with this home (the default)."`
	Pair    Pair    `cmd:"" help:"Pair this home by a code that the app shows."`
	Offer   Offer   `cmd:"" help:"Print the waiting home's device id and pairing code, for a claim link."`
	People  People  `cmd:"" help:"List who is looked after."`
	Version Release `cmd:"" help:"Print the version."`
}

// Place is where the program runs.
type Place struct {
	Out, Err io.Writer
	Env      []string // NAME=value
	Clock    clock.Clock
}

// System is this process's own place.
func System() Place {
	return Place{Out: os.Stdout, Err: os.Stderr, Env: os.Environ(), Clock: clock.System{}}
}

// Run runs the command line and returns the exit code. Whatever goes wrong is
// said in one sentence.
func Run(ctx context.Context, place Place, args []string) int {
	env, err := environment(place.Env)
	if err == nil {
		err = run(ctx, place, env, args)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(place.Err, "courtyard-home:", say(err))
	return 1
}

// say keeps to one line whatever happened.
func say(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

func run(ctx context.Context, place Place, env map[string]string, args []string) error {
	var line Line
	exited := -1
	parser, err := kong.New(&line,
		kong.Name("courtyard-home"), kong.Description("The home agent of Courtyard: keeps what its people write and receive, on a machine of their own."),
		kong.Writers(place.Out, place.Err), kong.Exit(func(code int) { exited = code }), kong.Vars{"data": dataDir(env)},
		kong.Resolvers(variables(env)), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return nil
	}
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(place.Err, &slog.HandlerOptions{Level: level(line.Log)}))
	return parsed.Run(&session{ctx: ctx, place: place, env: env, data: line.Data, logger: logger})
}

// session is what a command gets.
type session struct {
	ctx    context.Context
	place  Place
	env    map[string]string
	data   string
	logger *slog.Logger
}

func level(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo // kong has checked the name
	}
	return l
}

func dataDir(env map[string]string) string {
	if dir := env["XDG_DATA_HOME"]; dir != "" {
		return filepath.Join(dir, "courtyard-home")
	}
	if dir := env["HOME"]; dir != "" {
		return filepath.Join(dir, ".local", "share", "courtyard-home")
	}
	return "courtyard-home-data"
}

const prefix = "COURTYARD_HOME_"

// environment reads the variables, and the files that their _FILE twins name.
func environment(env []string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		out[name] = value
	}
	for name, path := range out {
		bare, ok := strings.CutSuffix(name, "_FILE")
		if !ok || !strings.HasPrefix(name, prefix) && bare != "COURTYARD_PAIR" {
			continue
		}
		if _, both := out[bare]; both {
			return nil, fmt.Errorf("%s and %s are both set; choose one", bare, name)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s names a file that cannot be read: %w", name, err)
		}
		out[bare] = strings.TrimRight(string(raw), "\r\n")
	}
	return out, nil
}

// variables lets kong read the environment that it was given, not the process's.
func variables(env map[string]string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if value, ok := env[name]; ok {
				return value, nil
			}
		}
		return nil, nil
	})
}

// open makes the household of a command that looks after people itself.
func (s *session) open(database, relay string, counts *metrics.Counts, network *direct.Network) (*household.Household, error) {
	var at *gate.Place
	if relay != "" {
		p, err := gate.ParsePlace(relay)
		if err != nil {
			return nil, err
		}
		at = &p
	}
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return household.Open(s.ctx, household.Config{
		Dir: s.data, Database: database, Relay: at, Version: Version, Clock: s.place.Clock, Random: rand.Reader,
		Jitter: mathrand.New(mathrand.NewChaCha8(seed)), Dial: dialer.DialContext, Logger: s.logger, Counts: counts, Network: network,
	})
}

// Release prints the version.
type Release struct{}

// Run prints.
func (Release) Run(s *session) error {
	_, err := fmt.Fprintln(s.place.Out, "courtyard-home", Version)
	return err
}

// Offer prints the code that waits, as the end of a claim link: DEVICE.CODE (section 9).
type Offer struct{}

// Run asks the agent that is running.
func (Offer) Run(s *session) error {
	a, err := door.Ask(s.ctx, s.data, door.Question{Op: "offer"})
	if err != nil {
		return err
	}
	if a.Problem != "" {
		return errors.New(a.Problem)
	}
	_, err = fmt.Fprintln(s.place.Out, a.Device+"."+a.Code)
	return err
}

// People lists who is looked after.
type People struct{}

// Run asks the agent, or reads the directory if none is running.
func (People) Run(s *session) error {
	a, err := door.Ask(s.ctx, s.data, door.Question{Op: "people"})
	if errors.Is(err, door.ErrClosed) {
		list, err := household.Listed(s.data)
		if err != nil {
			return err
		}
		for _, p := range list {
			line := p.Handle() + since(p.Paired)
			if p.State.Trouble != person.None {
				line += "\t" + string(p.State.Trouble)
			}
			if _, err := fmt.Fprintln(s.place.Out, line); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range a.People {
		state := "connected"
		if !p.Connected {
			state = "not connected"
		}
		if p.Trouble != "" {
			state += ", " + p.Trouble
		}
		if _, err := fmt.Fprintf(s.place.Out, "%s%s\t%s\n", p.Handle, since(p.Paired), state); err != nil {
			return err
		}
	}
	return nil
}

// since is a column, empty if it is not known.
func since(ms int64) string {
	if ms == 0 {
		return ""
	}
	return "\tsince " + time.UnixMilli(ms).Format(time.DateOnly)
}
