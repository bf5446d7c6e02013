// Package postgrestest gives tests a real PostgreSQL: one private cluster for
// the test process, started when first asked for, and a fresh database per call.
//
// It must never touch a cluster that it did not start, and never outlive the
// test process, not even one that was killed.
package postgrestest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/courtyard-social/courtyard/scripts/ports"
)

// install is the line that brings what is missing, on Debian and its like.
const install = "PostgreSQL is not installed: apt-get install postgresql"

const (
	startWithin = 60 * time.Second
	callWithin  = 30 * time.Second
)

type cluster struct {
	port     int
	password string
	// life keeps the cluster running: its shell stops when the write end closes,
	// which happens when this process ends, however it ends.
	life *os.File
}

var once = sync.OnceValues(start)

// Start returns the URL of a fresh, empty database; it is dropped when t ends.
// Without PostgreSQL the test is skipped, or fails if CI=true.
func Start(t testing.TB) string {
	t.Helper()
	c, err := once()
	if errors.Is(err, errMissing) {
		if os.Getenv("CI") == "true" {
			t.Fatal(install)
		}
		t.Skip(install)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + random()
	c.do(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { c.do(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	return c.url(name)
}

var errMissing = errors.New(install)

func (c *cluster) url(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable", c.password, c.port, database)
}

func (c *cluster) do(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Error(err)
	}
	if err := conn.Close(ctx); err != nil {
		t.Error(err)
	}
}

func random() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand does not fail
	}
	return hex.EncodeToString(b[:])
}

// binaries finds the newest installed server.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return "", errMissing
		}
		found = []string{path}
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

func version(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0 // found by PATH: there is only one
	}
	return n
}

// account is who the server runs as: it refuses to be root.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errU, errG); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run PostgreSQL as")
}

func start() (*cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	who, err := account()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "courtyard-postgres-")
	if err != nil {
		return nil, err
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return nil, err
		}
	}
	c := &cluster{password: random()}
	for range 5 { // a port that was free a moment ago may be taken
		if c.port, err = ports.Free("127.0.0.1"); err != nil {
			return nil, err
		}
		if err = c.run(bin, dir, who); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// script makes the cluster unless a former attempt has, runs the server, and
// ends both server and directory when nobody holds its standard input any more.
const script = `
set -e
cd "$dir"
if [ ! -d data ]; then
  printf '%s\n' "$password" >pw
  "$bin/initdb" -D data -U postgres -E UTF8 --locale=C --auth=scram-sha-256 --pwfile=pw --no-sync >log 2>&1
fi
"$bin/postgres" -D data -h 127.0.0.1 -p "$port" -k '' -c max_connections=200 >>log 2>&1 &
server=$!
trap 'kill -INT $server 2>/dev/null; wait $server; cd /; rm -rf "$dir"' EXIT
trap '' INT TERM HUP
cat >/dev/null
`

func (c *cluster) run(bin, dir string, who *syscall.Credential) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "dir=" + dir, "bin=" + bin, "password=" + c.password, "port=" + strconv.Itoa(c.port)}
	cmd.Stdin = read
	// A group of its own: Ctrl-C in the terminal is for the tests, which then end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true}
	if err := errors.Join(cmd.Start(), read.Close()); err != nil {
		return errors.Join(err, write.Close())
	}
	if err := c.answers(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log")) // only to say more
		return errors.Join(fmt.Errorf("PostgreSQL did not start: %w\n%s", err, strings.TrimSpace(string(log))), write.Close(), cmd.Process.Kill())
	}
	c.life = write
	return nil
}

// answers waits until the server takes connections.
func (c *cluster) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond): // between two attempts to connect
		}
	}
}
