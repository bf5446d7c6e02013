// Command nat is what scripts/natlab runs, as root, in a network of its own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	n, err := newInternet(ctx)
	v := &verdict{out: os.Stdout}
	if err == nil {
		err = n.prove(ctx, v)
	}
	if err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%d passed, %d failed\n", v.passed, v.failed)
}
