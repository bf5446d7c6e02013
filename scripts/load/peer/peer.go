// Package peer runs other people's servers beside ours, with configurations of our
// own in a folder of our own, and speaks with them: the smallest client of each
// protocol that passes messages from one logged-in connection to another.
//
// It must never touch what the system runs or how it is configured, listen on more
// than 127.0.0.1, or become a client for anything but measuring.
package peer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
	"github.com/courtyard-social/courtyard/scripts/ports"
)

// Kind is a server that Debian has.
type Kind struct {
	Name string // of the package
	Path string // of what shows that it is there
	Ways []Way
	// configure writes what it needs into dir and returns its command line.
	configure func(dir string, port int) ([]string, error)
	// once prepares what its ways need; nil for nothing.
	once func(address string) error
}

// Way is one of the ways in which messages pass through a server.
type Way struct {
	Name string
	How  string // what the server promises
	Kept bool   // for somebody who is not there, on disk sooner or later
	dial func(conn *conn, i int, receives bool) (Client, error)
}

// Client is a logged-in connection. One goroutine sends, one receives.
type Client interface {
	// Send passes a message, with no byte that XML would escape, to receiver i.
	Send(i int, body []byte) error
	// Receive blocks until the next message; the bytes are good until the next call.
	Receive() ([]byte, error)
	io.Closer
}

// Kinds are all that are compared.
func Kinds() []Kind { return []Kind{natsServer, mosquitto, ejabberd, prosody} }

// There reports whether it is installed.
func (k Kind) There() bool {
	_, err := os.Stat(k.Path)
	return err == nil
}

// Server is one that runs.
type Server struct {
	*crowd.Program
	Kind    Kind
	Version string // of the package
	address string
}

// startWithin bounds how long a server may take until it answers: ejabberd, on a
// machine that does other things, takes a minute.
const startWithin = 3 * time.Minute

// Start runs a server with its data in dir; pinned is what its command line begins with, or nothing.
func (k Kind) Start(ctx context.Context, dir string, pinned []string) (*Server, error) {
	dir = filepath.Join(dir, k.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	port, err := ports.Free("127.0.0.1")
	if err != nil {
		return nil, err
	}
	line, err := k.configure(dir, port)
	if err != nil {
		return nil, err
	}
	s := &Server{Kind: k, Version: version(ctx, k.Name), address: fmt.Sprintf("127.0.0.1:%d", port)}
	// The system's soft limit of open files is often less than there are clients here.
	line = append([]string{"sh", "-c", `ulimit -S -n 8192 && exec "$@"`, "sh"}, append(pinned, line...)...)
	within, stop := context.WithTimeout(ctx, startWithin)
	defer stop()
	if s.Program, err = crowd.StartAt(within, filepath.Join(dir, k.Name+".log"), s.address, line...); err != nil {
		return nil, err
	}
	if k.once != nil {
		if err := k.once(s.address); err != nil {
			return nil, fmt.Errorf("%w, %w", err, s.Stop())
		}
	}
	return s, nil
}

// Dial logs in as the i-th person, to receive or to send.
func (s *Server) Dial(ctx context.Context, w Way, i int, receives bool) (Client, error) {
	c, err := dial(ctx, s.address)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(crowd.Patience)); err != nil {
		return nil, err
	}
	client, err := w.dial(c, i, receives)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", s.Kind.Name, err)
	}
	return client, c.SetDeadline(time.Time{})
}

// version is what the package manager says.
func version(ctx context.Context, name string) string {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", name).Output()
	if err != nil { // not installed by it
		return "of unknown version"
	}
	return strings.TrimSpace(string(out))
}

// conn is a connection with a buffer for reading. Each message is written with one
// system call, as our own client does it.
type conn struct {
	net.Conn
	in *bufio.Reader

	mu  sync.Mutex
	out []byte // guarded by mu
}

func dial(ctx context.Context, address string) (*conn, error) {
	dialer := net.Dialer{Timeout: crowd.Patience}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReaderSize(c, 16<<10)}, nil
}

// write sends what make appends to an empty buffer.
func (c *conn) write(make func([]byte) []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = make(c.out[:0])
	_, err := c.Write(c.out)
	return err
}

func (c *conn) say(format string, args ...any) error {
	return c.write(func(out []byte) []byte { return fmt.Appendf(out, format, args...) })
}
