package crowd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Program is a process, such as one of the courtyard's two, running as people run it.
type Program struct {
	Said  string         // the line that says it is ready
	In    io.WriteCloser // what it reads
	name  string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
}

const (
	// Patience is how long a program may take to be ready, and to answer.
	Patience     = time.Minute
	stopPatience = 15 * time.Second
	quitPatience = 5 * time.Second
)

// Start runs a command line, with what it complains of appended to the file log,
// and returns when its line that begins with ready has come.
func Start(ctx context.Context, log, ready string, line ...string) (*Program, error) {
	lines := make(chan string, 1)
	p, err := launch(log, line, func(said string) {
		if strings.HasPrefix(said, ready) {
			select {
			case lines <- said:
			default: // said twice: once is enough
			}
		}
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, Patience)
	defer stop()
	select {
	case p.Said = <-lines:
		return p, nil
	case <-p.ended:
		return nil, p.Trouble(errors.New("ended at once"))
	case <-ctx.Done():
		return nil, errors.Join(p.Trouble(ctx.Err()), p.Stop())
	}
}

// StartAt runs a program that does not say when it is ready, and returns when
// something answers at its address, or when ctx ends.
func StartAt(ctx context.Context, log, address string, line ...string) (*Program, error) {
	p, err := launch(log, line, func(string) {})
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			return p, conn.Close()
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return nil, p.Trouble(errors.New("ended at once"))
		case <-ctx.Done():
			return nil, errors.Join(p.Trouble(ctx.Err()), p.Stop())
		}
	}
}

func launch(log string, line []string, heard func(string)) (*Program, error) {
	p := &Program{name: strings.TrimSuffix(filepath.Base(log), ".log"), log: log, ended: make(chan struct{}), cmd: exec.Command(line[0], line[1:]...)}
	p.cmd.Env = Surroundings()
	complaints, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer complaints.Close()
	p.cmd.Stderr = complaints
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.In, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		for in := bufio.NewScanner(out); in.Scan(); {
			heard(in.Text())
		}
		// How it ended shows in its log, and in whatever was asked of it.
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// Surroundings is this process's environment without settings of a courtyard.
func Surroundings() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "COURTYARD_") {
			env = append(env, pair)
		}
	}
	return env
}

// Trouble adds the last that a program has logged.
func (p *Program) Trouble(err error) error {
	raw, unread := os.ReadFile(p.log)
	if unread != nil {
		return errors.Join(fmt.Errorf("%s: %w", p.name, err), unread)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return fmt.Errorf("%s: %w: %s", p.name, err, lines[len(lines)-1])
}

// PID is the process.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process is gone.
func (p *Program) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal; to a process that is gone it is nothing.
func (p *Program) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill ends the program at once (SIGKILL) and waits until it is gone.
func (p *Program) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// Stop ends the program politely and waits until it is gone. One that takes too
// long writes what it was doing into its log, and is killed.
func (p *Program) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopPatience):
	}
	slow := p.Trouble(errors.New("had to be killed"))
	err := p.Signal(syscall.SIGQUIT) // Go's runtime prints where every goroutine stands
	select {
	case <-p.ended:
	case <-time.After(quitPatience):
		err = errors.Join(err, p.Kill())
	}
	return errors.Join(slow, err)
}
