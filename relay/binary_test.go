package relay_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/scripts/ports"
)

// program builds the real binary once for all tests of this package.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "courtyard-relay-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "courtyard-relay")
	out, err := exec.Command("go", "build", "-o", path, "github.com/courtyard-social/courtyard/relay/cmd/courtyard-relay").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// built is what program made, for TestMain to remove.
var built string

// process is a running binary.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	url    string
	data   string
	stderr *bytes.Buffer
	ended  chan error
}

// address is where nobody listens, and a relay can be started again.
func address(t testing.TB) string {
	t.Helper()
	at, err := ports.Address("127.0.0.1")
	must(t, err)
	return at
}

// launch starts `courtyard-relay serve` and waits for its ready line. before is
// put in front of the command line, as strace is.
func launch(t testing.TB, data, listen string, before ...string) *process {
	t.Helper()
	path, err := program()
	must(t, err)
	args := append(before, path, "serve", "--data", data, "--listen", listen)
	p := &process{t: t, cmd: exec.Command(args[0], args[1:]...), data: data, stderr: &bytes.Buffer{}, ended: make(chan error, 1)}
	p.cmd.Stderr = p.stderr
	p.cmd.Env = append(os.Environ(), "COURTYARD_TURN=off") // they run side by side
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { p.ended <- p.cmd.Wait() }()
	url, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ready {
		t.Fatalf("no ready line: %q %v\n%s", line, err, p.stderr)
	}
	p.url = url
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
	})
	return p
}

func (p *process) kill() {
	p.t.Helper()
	must(p.t, p.cmd.Process.Kill())
	<-p.ended
	p.cmd = nil
}

// stop asks politely and checks that the process ends well.
func (p *process) stop(signal os.Signal) {
	p.t.Helper()
	must(p.t, p.cmd.Process.Signal(signal))
	select {
	case err := <-p.ended:
		if err != nil {
			p.t.Fatalf("ended with %v\n%s", err, p.stderr)
		}
	case <-time.After(30 * time.Second):
		p.t.Fatal("does not end")
	}
	p.cmd = nil
}

// run runs a command that ends by itself.
func run(t testing.TB, environment []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := program()
	must(t, err)
	var out, errs bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return out.String(), errs.String(), exit.ExitCode()
	}
	must(t, err)
	return out.String(), errs.String(), 0
}

// sentence checks that a command failed with one clear sentence.
func sentence(t *testing.T, want string, environment []string, args ...string) {
	t.Helper()
	out, errs, code := run(t, environment, args...)
	if code != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
		t.Errorf("%v: code %d, said %q and %q, want %q", args, code, out, errs, want)
	}
}

func TestTheCommandLine(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	sentence(t, "there is no relay in", nil, "claim", "--data", data)
	p := launch(t, data, "127.0.0.1:0")
	host := strings.TrimPrefix(p.url, "http://")

	sentence(t, "is taken by another program", nil, "serve", "--data", data, "--listen", host)
	sentence(t, "another relay is using the data", nil, "serve", "--data", data, "--listen", "127.0.0.1:0")
	token, _, code := run(t, nil, "claim", "--data", data)
	if code != 0 || len(strings.TrimSpace(token)) != 22 {
		t.Fatalf("claim says %q", token)
	}
	link, _, _ := run(t, nil, "claim", "--data", data, "--link", "https://courtyard.example")
	if !strings.HasPrefix(link, "https://courtyard.example/i/claim#0."+strings.TrimSpace(token)+".") {
		t.Fatalf("claim says %q", link)
	}
	c := relaytest.Attach(t, p.url, data)
	mei := c.Owner("mei")
	c.Connect(mei, mei.Phone)
	sentence(t, "has been claimed", nil, "claim", "--data", data)
	p.stop(syscall.SIGTERM)
	if said := p.stderr.String(); said != "" {
		t.Errorf("a quiet day's log says %q", said)
	}
	p = launch(t, data, host)
	c.Connect(mei, mei.Phone)
	p.stop(os.Interrupt)

	for _, name := range []string{"relay.key", "courtyard.db", "lock"} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if version, _, code := run(t, nil, "version"); code != 0 || strings.TrimSpace(version) != "0.1.0" {
		t.Errorf("version says %q", version)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serve := func(args ...string) []string {
		return append([]string{"serve", "--data", filepath.Join(dir, "data")}, args...)
	}
	sentence(t, "--listen", nil, serve("--listen", "nowhere")...)
	sentence(t, "--host", nil, serve("--host", "not a host")...)
	sentence(t, "--allow-origin", nil, serve("--allow-origin", "app.example")...)
	sentence(t, "--trust-proxy", nil, serve("--trust-proxy", "everybody")...)
	sentence(t, "--reach", nil, serve("--reach", "everything")...)
	sentence(t, "--space-mib", nil, serve("--space-mib", "0")...)
	sentence(t, "--database", nil, serve("--database", "mysql://x")...)
	sentence(t, "127.0.0.1:1 does not answer", nil, serve("--listen", "127.0.0.1:0", "--database", "postgres://a:s3cret@127.0.0.1:1/b")...)

	secret := filepath.Join(dir, "database")
	must(t, os.WriteFile(secret, []byte("postgres://a:s3cret@127.0.0.1:1/b\n"), 0o600))
	sentence(t, "127.0.0.1:1 does not answer", []string{"COURTYARD_DATABASE_FILE=" + secret}, serve("--listen", "127.0.0.1:0")...)
	_, errs, _ := run(t, []string{"COURTYARD_DATABASE_FILE=" + secret}, serve("--listen", "127.0.0.1:0")...)
	if strings.Contains(errs, "s3cret") {
		t.Error("a password is printed:", errs)
	}
	for _, environment := range [][]string{{"COURTYARD_DATABASE_FILE=" + filepath.Join(dir, "missing")}, {"COURTYARD_DATABASE=postgres://x", "COURTYARD_DATABASE_FILE=" + secret}} {
		if _, errs, code := run(t, environment, serve()...); code == 0 || !strings.Contains(errs, "COURTYARD_DATABASE_FILE") {
			t.Error(code, errs)
		}
	}
	// A first run that failed has left nothing behind.
	if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a failed first run left its folder:", err)
	}
}

func TestAFullDiskIsASentence(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(mount, 0)) })
	data := filepath.Join(mount, "data")
	sentence(t, "the disk is full", nil, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Error("a failed first run left its folder:", err)
	}
}

// A disk that fills up while people write: they are told, and what was accepted
// is there. The reserve is switched off, so that the database meets the end itself.
func TestADiskThatFillsUpLosesNothing(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=6m"); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(mount, 0)) })
	t.Setenv("COURTYARD_RESERVE_MIB", "0")
	data := filepath.Join(mount, "data")
	listen := address(t)
	p := launch(t, data, listen)
	c := relaytest.Attach(t, p.url, data)
	mei := c.Owner("mei")
	s := c.Connect(mei, mei.Phone)
	accepted := map[protocol.ID]bool{}
	full := 0
	for range 300 {
		e := c.Envelope(mei, mei, protocol.TypeChat, 30<<10)
		s.Put(e)
		f := s.Answer(e.ID)
		switch {
		case f.Op == "accepted":
			accepted[e.ID] = true
		case f.Code == protocol.CodeRelayFull:
			full++
		default:
			t.Fatal("refused: ", f.Code)
		}
		if full == 5 {
			break
		}
	}
	if full == 0 || len(accepted) == 0 {
		t.Fatal("accepted", len(accepted), "refused", full)
	}
	p.kill()
	must(t, syscall.Mount("tmpfs", mount, "tmpfs", syscall.MS_REMOUNT, "size=32m")) // the operator helps
	p = launch(t, data, listen)
	s = c.Connect(mei, mei.Phone)
	kept := keptBy(t, c, s)
	for id := range accepted {
		if kept[id] != 1 {
			t.Fatal("an accepted letter is kept", kept[id], "times")
		}
	}
	s.Sends(c.Envelope(mei, mei, protocol.TypeChat, 30<<10))
	p.stop(os.Interrupt)
}

func TestDataThatCannotBeReadIsASentence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	sentence(t, "data directory", nil, "serve", "--data", filepath.Join(file, "data"), "--listen", "127.0.0.1:0")
	data := filepath.Join(dir, "data")
	must(t, os.Mkdir(data, 0o700))
	must(t, os.WriteFile(filepath.Join(data, "relay.key"), []byte("short"), 0o600))
	sentence(t, "is damaged: restore it", nil, "serve", "--data", data, "--listen", "127.0.0.1:0")
}
