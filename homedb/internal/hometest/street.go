package hometest

import (
	"bytes"
	"context"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/protocol"
)

// Street is where courtyards stand: it knows who lives in which.
type Street struct {
	mu     sync.Mutex
	people map[protocol.UID]*Courtyard
}

// StartTwo starts two courtyards of one time, which can reach each other.
func StartTwo(t testing.TB) (one, other *Courtyard) {
	t.Helper()
	moved := clock.NewMoved()
	one, other = start(t, nil, "127.0.0.1:0", moved), start(t, nil, "127.0.0.2:0", moved)
	neighbours(one, other)
	return one, other
}

func neighbours(all ...*Courtyard) {
	s := &Street{people: map[protocol.UID]*Courtyard{}}
	for _, c := range all {
		c.lanes = s
	}
}

// moves notes where somebody lives.
func (s *Street) moves(a *App) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people[a.UID] = a.Courtyard
}

// of is where somebody lives; nil: not known, or there is but one courtyard.
func (s *Street) of(uid protocol.UID) *Courtyard {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.people[uid]
}

// from is the host to ask for somebody, as seen from c: "" for its own people.
func (s *Street) from(c *Courtyard, uid protocol.UID) string {
	if there := s.of(uid); there != nil && there != c {
		return protocol.JoinHost(there.Relay.Host, there.Relay.Port)
	}
	return ""
}

// tokenFor is the token with which somebody is asked for: none for the relay's own.
func (a *App) tokenFor(uid protocol.UID) string {
	if a.lanes.from(a.Courtyard, uid) == "" {
		return ""
	}
	return a.Token()
}

// Allows makes somebody a contact.
func (a *App) Allows(b *App) {
	a.Helper()
	a.Contact(b, "allow")
}

// Contact sets what somebody is to this person: allow, block or none.
func (a *App) Contact(b *App, state string) {
	a.Helper()
	a.must(a.Try("PUT", "/api/1/contacts/"+b.UID.String(), map[string]any{"state": state}))
}

// Meets makes two people each other's contacts, wherever they live.
func (a *App) Meets(b *App) {
	a.Helper()
	a.Allows(b)
	b.Allows(a)
}

// Parcel is a letter that waits here for another courtyard.
type Parcel struct {
	ID   protocol.ID  `json:"id"`
	To   protocol.UID `json:"to"`
	Code string       `json:"code"`
}

// Waiting asks for the letters of this person that wait for other courtyards until
// they are what is wanted. The relay allows 60 questions a minute.
func (a *App) Waiting(what string, wanted func([]Parcel) bool) {
	a.Helper()
	var asked time.Time
	Until(a.TB, what, func() bool {
		if time.Since(asked) < 1100*time.Millisecond {
			return false
		}
		asked = time.Now()
		var answer struct {
			Rows []Parcel `json:"rows"`
		}
		a.must(a.Get("/api/1/outbound", &answer))
		return wanted(answer.Rows)
	})
}

// Carried waits until nothing of this person waits for other courtyards.
func (a *App) Carried() {
	a.Helper()
	a.Waiting("nothing waits for other courtyards", func(rows []Parcel) bool { return len(rows) == 0 })
}

// process is a relay that runs as a program.
type process struct {
	program string
	cmd     *exec.Cmd
	log     bytes.Buffer
}

// LaunchTwo starts two courtyards as StartTwo does, but each as a program of its
// own, which Stop kills as a power cut would. Their limits are those of section 12.
func LaunchTwo(t testing.TB, program string) (one, other *Courtyard) {
	t.Helper()
	one, other = launched(t, program, "127.0.0.1"), launched(t, program, "127.0.0.2")
	neighbours(one, other)
	return one, other
}

func launched(t testing.TB, program, ip string) *Courtyard {
	t.Helper()
	c := &Courtyard{TB: t, Clock: clock.NewMoved(), dir: t.TempDir(), Logger: logs(t), proc: &process{program: program}}
	c.at = free(t, ip)
	info := c.launch()
	c.settles(gate.PlaceOf(c.at), info.Key)
	t.Cleanup(func() {
		c.proc.kill()
		if t.Failed() {
			t.Logf("relay at %s:\n%s", ip, &c.proc.log)
		}
	})
	return c
}

// launch starts the program where it was, and returns when it answers.
func (c *Courtyard) launch() (info gate.Info) {
	c.Helper()
	p := c.proc
	p.cmd = exec.Command(p.program, "serve", "--listen", c.at, "--data", c.dir, "--reach", "127.0.0.0/8")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	g := gate.New(gate.PlaceOf(c.at), Dial)
	defer g.Close()
	Until(c.TB, "the relay is up", func() (up bool) {
		var err error
		info, err = g.Info(context.Background())
		return err == nil
	})
	return info
}

// kill ends it at once; the second time it does nothing.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
	p.cmd.Wait()         //nolint:errcheck // killed
	p.cmd = nil
}
