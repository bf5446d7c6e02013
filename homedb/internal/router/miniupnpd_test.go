package router_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/courtyard-social/courtyard/homedb/internal/router"
)

// inside is set for the process that runs behind the router, to the way it asks.
const inside = "COURTYARD_ROUTER_INSIDE"

func TestMain(m *testing.M) {
	if by := os.Getenv(inside); by != "" {
		behind(by)
		return
	}
	goleak.VerifyTestMain(m)
}

// behind maps a port, says so, and takes it back when its input ends.
func behind(by string) {
	k := router.Only(port, slog.New(slog.NewTextHandler(os.Stderr, nil)), by)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	for {
		if mapped, problem := k.Mapped(); len(mapped) > 0 || problem != "" {
			fmt.Printf("%s %q %d\n", by, problem, len(mapped))
			for _, m := range mapped {
				fmt.Printf("%s %s %s\n", m.By, m.Protocol, m.External)
			}
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	fmt.Println("end")
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // it ends either way
	stop()
	<-done
}

const daemon = `ext_ifname=wan0
ext_ip=93.184.216.34
listening_ip=lan0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
uuid=11111111-1111-1111-1111-111111111111
allow 1024-65535 192.168.77.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`

const tables = `table inet filter {
 chain forward { type filter hook forward priority 0; policy drop; jump miniupnpd; }
 chain miniupnpd { }
 chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
 chain postrouting { type nat hook postrouting priority 100; policy accept; jump postrouting_miniupnpd; }
 chain prerouting_miniupnpd { }
 chain postrouting_miniupnpd { }
}
`

// TestMiniupnpd: the daemon that is in most home routers, between two networks of
// this machine.
func TestMiniupnpd(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft", "miniupnpd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP: no %s on this machine (Debian: miniupnpd-nftables)", tool)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	gate, home := fmt.Sprintf("cy%dr", os.Getpid()), fmt.Sprintf("cy%dh", os.Getpid())
	for _, ns := range []string{gate, home} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("SKIP: no network namespaces here: %s", out)
		}
		t.Cleanup(func() { run("ip", "netns", "del", ns) })
		run("ip", "-n", ns, "link", "set", "lo", "up")
	}
	run("ip", "link", "add", "lan0", "netns", gate, "type", "veth", "peer", "name", "eth0", "netns", home)
	run("ip", "-n", gate, "addr", "add", "192.168.77.1/24", "dev", "lan0")
	run("ip", "-n", gate, "link", "set", "lan0", "up")
	run("ip", "-n", home, "addr", "add", "192.168.77.2/24", "dev", "eth0")
	run("ip", "-n", home, "link", "set", "eth0", "up")
	run("ip", "-n", home, "route", "add", "default", "via", "192.168.77.1")
	run("ip", "-n", gate, "link", "add", "wan0", "type", "veth", "peer", "name", "wan1")
	run("ip", "-n", gate, "addr", "add", "93.184.216.34/24", "dev", "wan0")
	run("ip", "-n", gate, "link", "set", "wan0", "up")
	dir := t.TempDir()
	for name, text := range map[string]string{"miniupnpd.conf": daemon, "tables.nft": tables} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("ip", "netns", "exec", gate, "nft", "-f", filepath.Join(dir, "tables.nft"))
	starts(t, gate, dir)
	rules := func() string {
		return run("ip", "netns", "exec", gate, "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
	}

	for _, by := range []string{"pcp", "nat-pmp", "upnp"} {
		t.Run(by, func(t *testing.T) {
			client := exec.Command("ip", "netns", "exec", home, os.Args[0])
			client.Env = append(os.Environ(), inside+"="+by)
			client.Stderr = os.Stderr
			in, err := client.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := client.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "end"; {
				said.WriteString(lines.Text() + "\n")
			}
			want := fmt.Sprintf("%[1]s \"\" 2\n%[1]s udp 93.184.216.34:8789\n%[1]s tcp 93.184.216.34:8789\n", by)
			if said.String() != want {
				t.Errorf("got\n%swant\n%s", &said, want)
			}
			if r := rules(); strings.Count(r, "dnat") != 2 || strings.Count(r, "192.168.77.2:8789") != 2 {
				t.Errorf("the router's rules:\n%s", r)
			}
			if err := in.Close(); err != nil {
				t.Error(err)
			}
			if err := client.Wait(); err != nil {
				t.Error(err)
			}
			if r := rules(); strings.Contains(r, "dnat") {
				t.Errorf("left open:\n%s", r)
			}
		})
	}
}

// starts runs the daemon and returns when it listens.
func starts(t *testing.T, ns, dir string) {
	t.Helper()
	d := exec.Command("ip", "netns", "exec", ns, "miniupnpd", "-d", "-f", filepath.Join(dir, "miniupnpd.conf"), "-P", filepath.Join(dir, "pid"))
	d.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := d.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	up, done := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "NAT-PMP/PCP traffic") {
				up <- true
			}
		}
		close(up)
	}()
	t.Cleanup(func() {
		d.Process.Kill() //nolint:errcheck // it may have ended by itself
		<-done
		d.Wait() //nolint:errcheck // killed
	})
	if !<-up {
		t.Fatal("miniupnpd does not start")
	}
}
