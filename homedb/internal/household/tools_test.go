package household_test

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

func newCode(t *testing.T) handshake.Code {
	t.Helper()
	code, err := handshake.NewCode(hometest.Random)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func codeOf(t *testing.T, text string) handshake.Code {
	t.Helper()
	_, code, err := handshake.ParsePairing(text)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// grep looks for bytes in every file below dir and names the first that has them.
func grep(t *testing.T, dir string, what []byte) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || found != "" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && bytes.Contains(raw, what) {
			found = filepath.Base(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, raw, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// flaky is a network on which requests that begin with a text get lost.
type flaky struct {
	prefix atomic.Pointer[string]
	count  atomic.Int32
}

func (f *flaky) config(c *household.Config) {
	dial := c.Dial
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &flakyConn{conn, f}, nil
	}
}

// lose loses such requests from now on, none with "".
func (f *flaky) lose(prefix string) { f.prefix.Store(&prefix) }

// lost is how many got lost.
func (f *flaky) lost() int { return int(f.count.Load()) }

type flakyConn struct {
	net.Conn
	f *flaky
}

func (c *flakyConn) Write(b []byte) (int, error) {
	if p := c.f.prefix.Load(); p != nil && *p != "" && bytes.HasPrefix(b, []byte(*p)) {
		c.f.count.Add(1)
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}
