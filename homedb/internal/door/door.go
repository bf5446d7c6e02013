// Package door is how the command line speaks to the agent that is running: a
// socket in the data directory that only the owner of that directory can open.
// One question and one answer on each connection, a JSON line each.
//
// It must never be reachable from the network.
package door

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/household"
	"github.com/courtyard-social/courtyard/protocol"
)

// ErrClosed says that no agent is running in the directory.
var ErrClosed = errors.New("no home agent is running here")

const (
	maxLine = 4 << 10
	// maxCallers bounds the connections at a time; further ones wait in the kernel.
	maxCallers = 16
	// offerPatience is how long an offer may take to be made.
	offerPatience = 20 * time.Second
)

// Question is what the command line asks.
type Question struct {
	Op   string `json:"op"` // offer, pair, people
	Code string `json:"code,omitempty"`
}

// Answer is what the agent says.
type Answer struct {
	Problem string   `json:"problem,omitempty"` // a sentence
	Device  string   `json:"device,omitempty"`  // offer
	Code    string   `json:"code,omitempty"`    // offer: XXXX-…
	Host    string   `json:"host,omitempty"`    // offer
	Stage   string   `json:"stage,omitempty"`   // pair: how it ended
	People  []Person `json:"people,omitempty"`
}

// Person is one line of `people`.
type Person struct {
	Handle    string `json:"handle"`
	Paired    int64  `json:"paired"` // ms
	Connected bool   `json:"connected"`
	Trouble   string `json:"trouble,omitempty"`
}

// Household is what the door leads to.
type Household interface {
	Residents() []household.Person
	Offered() *household.Offer
	Changed() <-chan struct{}
	Pair(code string) (*household.Attempt, error)
	Stage(id protocol.ID) household.Stage
}

func path(dir string) string { return filepath.Join(dir, "home.sock") }

// Listen opens the door of a directory, whose lock the caller holds: a socket
// that is there already is that of an agent that has died.
func Listen(dir string) (net.Listener, error) {
	if err := os.Remove(path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path(dir))
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path(dir), 0o600)
}

// Serve answers until ctx ends, and waits for everybody inside.
func Serve(ctx context.Context, l net.Listener, h Household, logger *slog.Logger) {
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() {
		<-ctx.Done()
		if err := l.Close(); err != nil {
			logger.Debug("door: was closed already", "error", err)
		}
	})
	free := make(chan struct{}, maxCallers)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil {
				logger.Error("door: closed", "error", err)
			}
			return
		}
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			defer c.Close()
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			if err := answer(ctx, c, h); err != nil {
				logger.Debug("door: caller went away", "error", err)
			}
		})
	}
}

func answer(ctx context.Context, c net.Conn, h Household) error {
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c, maxLine)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	var q Question
	a := Answer{Problem: "this agent does not understand the question"}
	if err := json.Unmarshal(line, &q); err == nil {
		a = Converse(ctx, h, q)
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = c.Write(append(raw, '\n'))
	return err
}

// Converse answers a question without the socket.
func Converse(ctx context.Context, h Household, q Question) Answer {
	switch q.Op {
	case "offer":
		return offer(ctx, h)
	case "pair":
		return pair(ctx, h, q.Code)
	case "people":
		return Answer{People: people(h.Residents())}
	}
	return Answer{Problem: "this agent does not understand the question"}
}

func offer(ctx context.Context, h Household) Answer {
	ctx, stop := context.WithTimeout(ctx, offerPatience)
	defer stop()
	for {
		changed := h.Changed()
		if o := h.Offered(); o != nil {
			return Answer{Device: o.Device.String(), Code: o.Code.Text(), Host: o.Place.Host}
		}
		if n := len(h.Residents()); n > 0 {
			return Answer{Problem: "no code is waiting: this home looks after somebody already"}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Answer{Problem: "no code is waiting: start the agent with --relay"}
		}
	}
}

func pair(ctx context.Context, h Household, code string) Answer {
	a, err := h.Pair(code)
	if err != nil {
		return Answer{Problem: problem(err)}
	}
	for {
		changed := h.Changed()
		switch stage := h.Stage(a.ID); stage {
		case household.Waiting, household.Begun:
		default:
			return Answer{Stage: string(stage)}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Answer{Problem: "the agent is stopping"}
		}
	}
}

func problem(err error) string {
	switch protocol.CodeOf(err) {
	case protocol.CodeBadRequest:
		return "that is not a pairing code (host/XXXX-XXXX-XXXX-XXXX)"
	case protocol.CodeRateLimited:
		return "too many pairings are under way; try again in ten minutes"
	}
	return err.Error()
}

func people(list []household.Person) []Person {
	out := make([]Person, 0, len(list))
	for _, p := range list {
		out = append(out, Person{Handle: p.Handle(), Paired: p.Paired, Connected: p.State.Connected, Trouble: string(p.State.Trouble)})
	}
	return out
}

// Ask puts a question to the agent of a directory. ErrClosed if none runs there.
func Ask(ctx context.Context, dir string, q Question) (Answer, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		return Answer{}, ErrClosed
	}
	if err != nil {
		return Answer{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	raw, err := json.Marshal(q)
	if err != nil {
		return Answer{}, err
	}
	if _, err := c.Write(append(raw, '\n')); err != nil {
		return Answer{}, err
	}
	var a Answer
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return Answer{}, err
	}
	return a, nil
}
