package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/courtyard-social/courtyard/scripts/crowd"
	"github.com/courtyard-social/courtyard/scripts/netns"
)

const (
	ownAddress = "10.77.0.1"
	network    = "10.77.0.0/16"
	diskBytes  = 96 << 20 // of each machine
	reserveMiB = 16       // that a relay leaves free
)

// machine is a network namespace with a cable of its own, a disk of its own and
// one of the courtyard's programs.
type machine struct {
	name, address string
	space         netns.Space
	disk          string // a small file system
	log           string
	ready         string
	line          []string
	history       *history

	mu   sync.Mutex
	prog *crowd.Program // guarded by mu; nil while it is meant to be off
	peak float64        // guarded by mu; bytes, of all its processes
}

// bridge makes the network that all machines hang on, and people's addresses in it.
func bridge(ctx context.Context) error {
	return netns.IP(ctx, "link set lo up", "link add town type bridge", "addr add "+ownAddress+"/16 dev town", "link set town up")
}

// newMachine plugs in a machine with an empty disk.
func newMachine(ctx context.Context, h *history, dir, name, address string) (*machine, error) {
	m := &machine{name: name, address: address, disk: filepath.Join(dir, name), log: filepath.Join(dir, name+".log"), history: h}
	var err error
	if m.space, err = netns.New(ctx, name); err != nil {
		return nil, err
	}
	if err := netns.IP(ctx, "link add "+name+" type veth peer name cable netns "+name, "link set "+name+" master town up"); err != nil {
		return nil, err
	}
	if err := m.space.IP(ctx, "addr add "+address+"/16 dev cable", "link set cable up"); err != nil {
		return nil, err
	}
	if err := os.Mkdir(m.disk, 0o700); err != nil {
		return nil, err
	}
	return m, syscall.Mount("tmpfs", m.disk, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskBytes))
}

// on starts the program unless it runs, again and again until it does: a full disk
// may keep it off. Of two faults that had ended it the first starts it.
func (m *machine) on(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.prog == nil {
		p, err := crowd.Start(ctx, m.log, m.ready, m.space.Inside(m.line...)...)
		if err == nil {
			m.prog = p
			m.history.add(entry{Who: m.name, What: wasStarted, Note: fmt.Sprint(p.PID())})
			go m.watch(ctx, p)
			break
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		m.history.add(entry{Who: m.name, What: wasOffline, Note: err.Error()})
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// watch starts a program again that has ended by itself, and says so.
func (m *machine) watch(ctx context.Context, p *crowd.Program) {
	<-p.Ended()
	m.mu.Lock()
	meant := m.prog != p
	if !meant {
		m.prog = nil
	}
	m.mu.Unlock()
	if meant || ctx.Err() != nil {
		return
	}
	m.history.add(entry{Who: m.name, What: wasDead, Note: p.Trouble(errors.New("ended by itself")).Error()})
	if err := m.on(ctx); err != nil && ctx.Err() == nil {
		m.history.add(entry{Who: m.name, What: wasTrouble, Note: err.Error()})
	}
}

// off ends the program in some way and waits until it is gone.
func (m *machine) off(end func(*crowd.Program) error) error {
	m.weigh()
	m.mu.Lock()
	p := m.prog
	m.prog = nil
	m.mu.Unlock()
	if p == nil {
		return nil
	}
	return end(p)
}

func (m *machine) signal(s syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.prog == nil {
		return nil
	}
	return m.prog.Signal(s)
}

// weigh notes how much memory the program has taken at most.
func (m *machine) weigh() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.prog == nil {
		return
	}
	if now, err := m.prog.Memory(); err == nil { // or it is ending just now
		m.peak = max(m.peak, now.Peak)
	}
}

// filler is the file that fills a disk.
func (m *machine) filler() string { return filepath.Join(m.disk, "filler") }

// fill leaves so many bytes of the disk.
func (m *machine) fill(left int64) error {
	var now syscall.Statfs_t
	if err := syscall.Statfs(m.disk, &now); err != nil {
		return err
	}
	f, err := os.OpenFile(m.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	size := int64(now.Bavail)*now.Bsize - left
	if size > 0 {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
		if errors.Is(err, syscall.ENOSPC) { // somebody else has taken the last of it: all the better
			err = nil
		}
	}
	return errors.Join(err, f.Close())
}

// free takes the filler away.
func (m *machine) free() error { return os.Remove(m.filler()) }

// house is a courtyard: a relay with a front, and a home.
type house struct {
	*crowd.Yard
	relay, home *machine
	front       *crowd.Program
	clock       *os.File
}

// spoil breaks the front's connections.
func (h *house) spoil(how string) error {
	_, err := io.WriteString(h.front.In, how+"\n")
	return err
}

// setClock sets the relay's clock so far ahead.
func (h *house) setClock(ahead time.Duration) error {
	raw := binary.NativeEndian.AppendUint64(nil, uint64(int64(ahead/time.Second)))
	_, err := h.clock.WriteAt(raw, 0)
	return err
}

// town is all courtyards of a run.
type town struct {
	dir     string
	bin     string
	history *history
	houses  []*house
	callers int
}

// open makes n courtyards, running and empty.
func open(ctx context.Context, dir, bin string, h *history, n int) (*town, error) {
	t := &town{dir: dir, bin: bin, history: h}
	if err := bridge(ctx); err != nil {
		return t, err
	}
	ca := filepath.Join(dir, "ca.pem")
	authority, err := crowd.NewAuthority("scripts/chaos", ca)
	if err != nil {
		return t, err
	}
	// Everybody who is started from here, and this process, trusts nobody else.
	if err := os.Setenv("SSL_CERT_FILE", ca); err != nil {
		return t, err
	}
	for i := range n {
		y, err := t.build(ctx, authority, i+1)
		if err != nil {
			return t, fmt.Errorf("courtyard %d: %w", i+1, err)
		}
		t.houses = append(t.houses, y)
	}
	return t, nil
}

func (t *town) build(ctx context.Context, a *crowd.Authority, number int) (*house, error) {
	relay, home := fmt.Sprintf("relay%d", number), fmt.Sprintf("home%d", number)
	address := fmt.Sprintf("10.77.1.%d", number)
	y := &house{Yard: &crowd.Yard{URL: "https://" + address, Relay: filepath.Join(t.bin, "courtyard-relay"), Home: filepath.Join(t.bin, "courtyard-home"), Caller: t.caller}}
	var err error
	if y.relay, err = newMachine(ctx, t.history, t.dir, relay, address); err != nil {
		return nil, err
	}
	if y.home, err = newMachine(ctx, t.history, t.dir, home, fmt.Sprintf("10.77.2.%d", number)); err != nil {
		return nil, err
	}
	path := func(end string) string { return filepath.Join(t.dir, relay+"."+end) }
	if err := a.Issue(address, path("pem"), path("key")); err != nil {
		return nil, err
	}
	if y.clock, err = os.OpenFile(path("clock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := y.setClock(0); err != nil {
		return nil, err
	}
	y.RelayData, y.HomeData = filepath.Join(y.relay.disk, "data"), filepath.Join(y.home.disk, "data")
	y.relay.ready, y.home.ready = "ready ", "courtyard-home "
	y.relay.line = []string{filepath.Join(t.bin, "relay"), "--clock", path("clock"), "--data", y.RelayData, "--listen", "127.0.0.1:8787", "--host", address,
		"--reach", network, "--trust-proxy", "127.0.0.0/8", "--reserve-mib", fmt.Sprint(reserveMiB)}
	y.home.line = []string{y.Home, "serve", "--data", y.HomeData, "--listen", "", "--relay", y.URL}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	y.front, err = crowd.Start(ctx, path("front.log"), "front ready", y.relay.space.Inside(self, "front", address+":443", "127.0.0.1:8787", path("pem"), path("key"))...)
	if err != nil {
		return nil, err
	}
	if err := y.relay.on(ctx); err != nil {
		return nil, err
	}
	if err := y.home.on(ctx); err != nil {
		return nil, err
	}
	return y, y.Meet(ctx, http.DefaultClient)
}

// caller calls from an address that nobody else has.
func (t *town) caller() *http.Client {
	t.callers++
	address := fmt.Sprintf("10.77.3.%d", t.callers)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 5 * time.Second}
	if err := netns.IP(context.Background(), "addr add "+address+"/16 dev town"); err != nil {
		t.history.add(entry{What: wasTrouble, Note: err.Error()})
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second}}
}

// machines are all of them, relays first.
func (t *town) machines() (relays, homes []*machine) {
	for _, y := range t.houses {
		relays, homes = append(relays, y.relay), append(homes, y.home)
	}
	return relays, homes
}

// close ends everything; what a namespace holds goes with it.
func (t *town) close() error {
	var errs []error
	for _, y := range t.houses {
		errs = append(errs, y.home.off((*crowd.Program).Stop), y.relay.off((*crowd.Program).Stop), y.front.Kill(), y.clock.Close())
	}
	return errors.Join(errs...)
}

// keep copies what is on the disks to where it outlives them.
func (t *town) keep(ctx context.Context) error {
	var errs []error
	relays, homes := t.machines()
	for _, m := range append(relays, homes...) {
		errs = append(errs, netns.Run(ctx, "cp", "-a", m.disk, m.disk+"-disk"))
	}
	return errors.Join(errs...)
}
