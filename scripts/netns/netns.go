// Package netns makes network namespaces and cables between them, and lets programs
// and sockets live inside. scripts/faults and scripts/nat are made of it.
//
// It must only be used by a process in a network namespace of its own, which takes
// everything along when it ends: nothing here is ever cleaned up.
package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const folder = "/run/netns/"

// Run runs a command of the system, which says why it fails.
func Run(ctx context.Context, name string, args ...string) error {
	return Feed(ctx, "", name, args...)
}

// Feed is Run for a command that reads.
func Feed(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)), indented(input))
	}
	return nil
}

func indented(input string) string {
	return strings.ReplaceAll("\n"+strings.TrimSpace(input), "\n", "\n\t")
}

// IP runs lines of ip(8), one after another, as far as they go well.
func IP(ctx context.Context, lines ...string) error {
	return Feed(ctx, strings.Join(lines, "\n"), "ip", "-batch", "-")
}

// Space is a network namespace, known to ip(8) by its name.
type Space string

// New makes one, in which nothing is up but the loopback.
func New(ctx context.Context, name string) (Space, error) {
	if err := IP(ctx, "netns add "+name); err != nil {
		return "", err
	}
	return Space(name), Space(name).IP(ctx, "link set lo up")
}

// IP runs lines of ip(8) inside.
func (s Space) IP(ctx context.Context, lines ...string) error {
	return Feed(ctx, strings.Join(lines, "\n"), "ip", "-n", string(s), "-batch", "-")
}

// Inside is a command line that runs inside.
func (s Space) Inside(line ...string) []string {
	return append([]string{"nsenter", "--net=" + folder + string(s), "--"}, line...)
}

// Do runs f inside; a socket that f opens stays there.
func (s Space) Do(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- s.do(f) }()
	return <-done
}

func (s Space) do(f func() error) error {
	there, err := os.Open(folder + string(s))
	if err != nil {
		return err
	}
	defer there.Close()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer back.Close()
	runtime.LockOSThread() // and never given back where it cannot return: Go then ends the thread with the goroutine
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("into %s: %w", s, err)
	}
	err = f()
	if left := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); left != nil {
		return errors.Join(err, left)
	}
	runtime.UnlockOSThread()
	return err
}

// Set writes a setting of sysctl(8), such as net/ipv4/ip_forward, inside.
func (s Space) Set(name, value string) error {
	return s.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}
