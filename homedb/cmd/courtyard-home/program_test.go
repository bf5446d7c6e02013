package main_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/courtyard-social/courtyard/homedb/internal/hometest"
	"github.com/courtyard-social/courtyard/protocol/handshake"
)

var program string // the binary under test

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "courtyard-home")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "courtyard-home")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// agent is the program as it runs.
type agent struct {
	testing.TB
	cmd *exec.Cmd
	dir string
	url string // of its page
	log *tail
}

// tail keeps what a program says, for when a test fails.
type tail struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

// starts runs the program and waits for its ready line. before goes in front of
// the command, as strace does.
func starts(t testing.TB, dir string, place string, before []string, more ...string) *agent {
	t.Helper()
	args := append(append([]string{}, before...), program, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--relay", place)
	args = append(args, more...)
	a := &agent{TB: t, dir: dir, log: &tail{}, cmd: exec.Command(args[0], args[1:]...)}
	a.cmd.Stderr = a.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("no ready line: %v\n%s", err, a.log)
	}
	m := regexp.MustCompile(`^courtyard-home \S+ is ready: (http://\S+/) \((\d+) people, data in .+\)\n$`).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("ready line %q", line)
	}
	a.url = m[1]
	go io.Copy(io.Discard, lines) //nolint:errcheck // ends with the program
	return a
}

// kills ends it as a power cut would.
func (a *agent) kills() {
	a.Helper()
	if err := a.cmd.Process.Kill(); err != nil {
		a.Fatal(err)
	}
	a.cmd.Wait() //nolint:errcheck // killed
}

// stops ends it politely.
func (a *agent) stops() {
	a.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		a.Fatal(err)
	}
	if err := a.cmd.Wait(); err != nil {
		a.Fatalf("stopped with %v\n%s", err, a.log)
	}
}

// says runs another command.
func says(t testing.TB, args ...string) (out, problem string, code int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// pairs lets a phone approve the home that waits, as a claim link would.
func pairs(t testing.TB, app *hometest.App, a *agent) {
	t.Helper()
	out, problem, code := says(t, "offer", "--data", a.dir)
	if code != 0 {
		t.Fatal(problem)
	}
	m := regexp.MustCompile(`^(\S{43})\.([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})\n$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("offer says %q", out)
	}
	parsed, err := handshake.ParseCode(m[2])
	if err != nil {
		t.Fatal(err)
	}
	app.Approves(parsed)
	if home, ok := app.Chain().Home(app.Now()); !ok || home.ID().String() != m[1] {
		t.Fatal("another home than the one that was offered")
	}
	app.Learn()
}

// TestBehindTLS: on the net something in front of the relay speaks TLS, and
// offers HTTP/2, which has no websockets of this kind.
func TestBehindTLS(t *testing.T) {
	certificate := filepath.Join(t.TempDir(), "front.pem")
	t.Setenv("SSL_CERT_FILE", certificate)
	c := hometest.StartSecure(t, certificate)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	a := starts(t, filepath.Join(t.TempDir(), "home"), c.Place.URL("http", ""), nil)
	pairs(t, wei, a)
	mei.Ticked(mei.Says(wei, "through TLS"))
	a.stops()
}

func TestTheProgram(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	mei := c.Guest(wei, "mei")
	dir := filepath.Join(t.TempDir(), "home")
	url := c.Place.URL("http", "")
	a := starts(t, dir, url, nil)
	pairs(t, wei, a)
	mei.Ticked(mei.Says(wei, "hello"))
	out, _, code := says(t, "people", "--data", dir)
	if code != 0 || !strings.HasPrefix(out, "wei@"+c.Place.Host+"\t") || !strings.Contains(out, "\tconnected") {
		t.Errorf("people: %q", out)
	}
	if _, problem, code := says(t, "offer", "--data", dir); code != 1 || !strings.Contains(problem, "looks after somebody already") {
		t.Errorf("offer: %q", problem)
	}
	// A code typed at the command line, while the agent runs and while it does not.
	text := func(app *hometest.App) string {
		made, err := handshake.NewCode(hometest.Random)
		if err != nil {
			t.Fatal(err)
		}
		go app.Approves(made)
		return handshake.PairingText(c.Place.Host, made)
	}
	if out, problem, _ := says(t, "pair", text(mei), "--data", dir); out != "Paired.\n" {
		t.Errorf("pair: %q, %q", out, problem)
	}
	mei.Learn()
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "home.sock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode().Perm(), err)
		}
	}
	keys, err := filepath.Glob(filepath.Join(dir, "people", "*", "*"))
	if err != nil || len(keys) < 8 {
		t.Fatal(keys, err)
	}
	for _, path := range keys {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v %v", path, info.Mode(), err)
		}
	}
	a.stops()
	out, _, code = says(t, "people", "--data", dir)
	if code != 0 || strings.Count(out, "\n") != 2 {
		t.Errorf("people of an agent at rest: %q", out)
	}
	tom := c.Guest(mei, "tom")
	if out, problem, _ := says(t, "pair", text(tom), "--data", dir); !strings.HasPrefix(out, "Paired.") {
		t.Errorf("pair without an agent: %q, %q", out, problem)
	}
	a = starts(t, dir, url, nil)
	mei.Ticked(mei.Says(wei, "again"))
	a.stops()
	if strings.Contains(a.log.String(), "hello") || strings.Contains(a.log.String(), wei.UID.String()) {
		t.Error("the log says too much")
	}
}

func TestSentences(t *testing.T) {
	c := hometest.Start(t)
	url := c.Place.URL("http", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy := filepath.Join(t.TempDir(), "busy")
	a := starts(t, busy, url, nil)
	defer a.stops()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"port":      {[]string{"serve", "--data", t.TempDir(), "--listen", taken.Addr().String()}, "is taken by another program; choose another address with --listen"},
		"metrics":   {[]string{"serve", "--data", t.TempDir(), "--listen", "", "--metrics", taken.Addr().String()}, "choose another address with --metrics"},
		"second":    {[]string{"serve", "--data", busy, "--listen", "127.0.0.1:0"}, "another home agent is using the data directory"},
		"directory": {[]string{"serve", "--data", filepath.Join(file, "x"), "--listen", ""}, "cannot use the data directory"},
		"relay":     {[]string{"serve", "--data", t.TempDir(), "--relay", "ftp://x/y"}, "is not the address of a relay"},
		"direct":    {[]string{"serve", "--data", t.TempDir(), "--listen", "", "--direct-listen", taken.Addr().String()}, "choose another address with --direct-listen"},
		"neither":   {[]string{"serve", "--data", t.TempDir(), "--listen", "", "--no-direct", "--map-ports"}, "--no-direct does not go with --direct-listen or --map-ports"},
		"reach":     {[]string{"serve", "--data", t.TempDir(), "--listen", "", "--reach", "10.8.0.1"}, "--reach wants networks such as 10.8.0.0/16"},
		"code":      {[]string{"pair", "nonsense", "--data", busy}, "that is not a pairing code"},
		"no agent":  {[]string{"offer", "--data", t.TempDir()}, "no home agent is running here"},
		"database":  {[]string{"pair", c.Place.Host + "/AAAA-AAAA-AAAA-AAAA", "--relay", "%%", "--data", file}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, problem, code := says(t, test.args...)
			if code != 1 || out != "" || strings.Count(problem, "\n") != 1 || !strings.Contains(problem, test.want) {
				t.Errorf("exit %d, %q, %q", code, out, problem)
			}
		})
	}
}

// paired makes a data directory in which somebody is looked after.
func paired(t *testing.T) (c *hometest.Courtyard, dir string) {
	c = hometest.Start(t)
	wei := c.Owner("wei")
	dir = filepath.Join(t.TempDir(), "home")
	a := starts(t, dir, c.Place.URL("http", ""), nil)
	pairs(t, wei, a)
	a.stops()
	return c, dir
}

func TestDataOfANewerVersion(t *testing.T) {
	_, dir := paired(t)
	logs, err := filepath.Glob(filepath.Join(dir, "people", "*", "log.db"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	db, err := sql.Open("sqlite", logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, problem, code := says(t, "serve", "--data", dir, "--listen", "")
	if code != 1 || !strings.Contains(problem, "written by a newer version of courtyard-home") || strings.Count(problem, "\n") != 1 {
		t.Errorf("exit %d: %q", code, problem)
	}
}

// TestALostLog: the program does not say that it is ready with an empty log.
func TestALostLog(t *testing.T) {
	_, dir := paired(t)
	logs, err := filepath.Glob(filepath.Join(dir, "people", "*", "log.db"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	want := "the log of wei cannot be read (" + logs[0] + "): put back a backup; nothing was changed"
	for name, damage := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(logs[0], bytes.Repeat([]byte("rubbish "), 1000), 0o600) },
		"missing": func() error { return os.Remove(logs[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			out, problem, code := says(t, "serve", "--data", dir, "--listen", "")
			if code != 1 || out != "" || strings.Count(problem, "\n") != 1 || !strings.HasPrefix(problem, "courtyard-home: "+want) {
				t.Errorf("exit %d, %q, %q", code, out, problem)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(logs[0]), "person.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, problem, code := says(t, "people", "--data", dir); code != 0 || !strings.HasPrefix(out, "people/") || !strings.HasSuffix(out, "\tdamaged\n") {
		t.Errorf("exit %d, %q, %q", code, out, problem)
	}
}

func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=600k"); err != nil {
		t.Skipf("making a small disk needs root: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	_, full := paired(t)
	if out, err := exec.Command("cp", "-r", full+"/.", dir).CombinedOutput(); err != nil {
		t.Logf("%s", out) // it is full before the end, as it shall be
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := filler.Write(make([]byte, 1024)); err != nil {
			break
		}
	}
	if err := filler.Close(); err != nil {
		t.Log(err)
	}
	_, problem, code := says(t, "serve", "--data", dir, "--listen", "")
	if code != 1 || strings.Count(problem, "\n") != 1 || !(strings.Contains(problem, "the disk is full") || strings.Contains(problem, "no space left")) {
		t.Errorf("exit %d: %q", code, problem)
	}
}

func TestSettingsFromFiles(t *testing.T) {
	c := hometest.Start(t)
	wei := c.Owner("wei")
	code, err := handshake.NewCode(hometest.Random)
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(secret, []byte(handshake.PairingText(c.Place.Host, code)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COURTYARD_PAIR_FILE", secret)
	t.Setenv("COURTYARD_HOME_LOG", "debug")
	a := starts(t, filepath.Join(t.TempDir(), "home"), "", nil)
	wei.Approves(code)
	wei.Learn()
	a.stops()
	t.Setenv("COURTYARD_PAIR", "x")
	if _, problem, code := says(t, "serve", "--data", t.TempDir(), "--listen", ""); code != 1 || !strings.Contains(problem, "are both set") {
		t.Errorf("%d, %q", code, problem)
	}
}
