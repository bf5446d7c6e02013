// Command courtyard-home is the home agent: it dials out to the courtyards of
// the people it looks after and keeps what they write and receive.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/courtyard-social/courtyard/homedb/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := command.Run(ctx, command.System(), os.Args[1:])
	stop()
	os.Exit(code)
}
