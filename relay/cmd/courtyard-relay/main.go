// Command courtyard-relay runs the server that friends share. See relay/README.md.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay"
)

// version is what Diagnostics says, the same as the home agent's and the app's.
const version = "0.1.0"

type cli struct {
	Serve   serve   `cmd:"" default:"withargs" help:"Run the relay (the default)."`
	Claim   claim   `cmd:"" help:"Print the claim token of a relay that nobody owns yet."`
	Version printed `cmd:"" help:"Print the version."`
}

type serve struct{ relay.Config }

// Run serves until SIGINT or SIGTERM.
func (s *serve) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s.Config.Version = version
	r, err := relay.New(ctx, s.Config, relay.Surroundings{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	fmt.Println("ready", r.URL())
	err = r.Run(ctx)
	if closed := r.Close(); err == nil {
		err = closed
	}
	return err
}

type claim struct {
	Data string `env:"COURTYARD_DATA" default:"courtyard-data" type:"path" placeholder:"DIR" help:"The relay's data folder."`
	Link string `placeholder:"URL" help:"Print the whole claim link below this address, such as https://courtyard.example."`
}

// Run prints the token, or the link, on one line.
func (c *claim) Run() error {
	found, err := relay.Claim(c.Data)
	if err != nil {
		return err
	}
	if c.Link != "" {
		fmt.Println(found.Link(c.Link))
		return nil
	}
	fmt.Println(protocol.EncodeBytes(found.Token.Expose()))
	return nil
}

type printed struct{}

// Run prints the version.
func (printed) Run() error { fmt.Println(version); return nil }

func main() {
	var c cli
	parsed := kong.Parse(&c, kong.Name("courtyard-relay"), kong.Description("The server of a courtyard: friends share it, and it cannot read what they write."), kong.Resolvers(relay.SecretFiles()))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "courtyard-relay:", err)
		os.Exit(1)
	}
}
