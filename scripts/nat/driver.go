package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/courtyard-social/courtyard/scripts/crowd"
)

// driver is the browsers of all people: one process of Playwright (frontend/tests/lab)
// which is told over a socket what somebody does, and tells what they see.
type driver struct {
	program *crowd.Program
	listen  net.Listener
	conn    net.Conn
	dir     string
	key     string // of the relay's certificate, as Chromium wants it

	mu      sync.Mutex
	last    int                   // guarded by mu
	waiting map[int]chan answered // guarded by mu
	over    error                 // guarded by mu; why there are no more answers
}

type answered struct {
	Result json.RawMessage
	Error  string
}

// newDriver starts Playwright from the checkout at root. Everything it writes is below dir.
func newDriver(ctx context.Context, root, dir, chromium, certificate string) (*driver, error) {
	d := &driver{dir: dir, waiting: map[int]chan answered{}}
	var err error
	if d.key, err = keyOf(certificate); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "driver.sock")
	if d.listen, err = net.Listen("unix", socket); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"NATLAB_SOCKET": socket, "NATLAB_OUTPUT": filepath.Join(dir, "driver"), "CHROMIUM": chromium} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	app := filepath.Join(root, "frontend")
	if d.program, err = crowd.Start(ctx, filepath.Join(dir, "driver.log"), "Running 1 test",
		"node", filepath.Join(app, "node_modules/@playwright/test/cli.js"), "test", "--config", filepath.Join(app, "lab.config.ts")); err != nil {
		return nil, errors.Join(err, d.listen.Close())
	}
	return d, nil
}

// keyOf is the hash of a certificate's public key. Chromium then trusts this one and no other.
func keyOf(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return "", fmt.Errorf("%s holds no certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// accept waits for Playwright's call and reads its answers until it ends.
func (d *driver) accept() error {
	conn, err := d.listen.Accept()
	if err != nil {
		return err
	}
	d.conn = conn
	go func() {
		in := bufio.NewScanner(conn)
		in.Buffer(nil, 1<<22)
		for in.Scan() {
			var a struct {
				ID int
				answered
			}
			if err := json.Unmarshal(in.Bytes(), &a); err != nil {
				d.end(err)
				return
			}
			d.mu.Lock()
			to := d.waiting[a.ID]
			delete(d.waiting, a.ID)
			d.mu.Unlock()
			if to != nil {
				to <- a.answered
			}
		}
		d.end(errors.Join(errors.New("the browsers' driver has ended"), in.Err()))
	}()
	return nil
}

func (d *driver) end(why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = why
	for id, to := range d.waiting {
		to <- answered{Error: why.Error()}
		delete(d.waiting, id)
	}
}

// does has somebody do something; into takes what they see, if it is not nil.
func (d *driver) does(ctx context.Context, who, what string, with map[string]string, into any) error {
	to := make(chan answered, 1)
	d.mu.Lock()
	if d.over != nil {
		d.mu.Unlock()
		return d.over
	}
	d.last++
	id := d.last
	d.waiting[id] = to
	d.mu.Unlock()
	line, err := json.Marshal(map[string]any{"id": id, "do": what, "who": who, "with": with})
	if err != nil {
		return err
	}
	if _, err := d.conn.Write(append(line, '\n')); err != nil {
		return err
	}
	select {
	case a := <-to:
		if a.Error != "" {
			return fmt.Errorf("%s: %s: %s", who, what, a.Error)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(a.Result, into)
	case <-ctx.Done():
		return fmt.Errorf("%s: %s: %w", who, what, ctx.Err())
	}
}

func (d *driver) close() error {
	err := d.listen.Close()
	if d.conn == nil {
		return errors.Join(err, stop(&d.program))
	}
	err = errors.Join(err, d.conn.Close())
	<-d.program.Ended() // it closes the browsers before
	return err
}

// person is somebody with a browser of their own, which lives in a namespace.
type person struct {
	name   string // as friends call them
	at     *host
	driver *driver
	open   bool
}

func (d *driver) newPerson(name string, at *host, chromium string) (*person, error) {
	p := &person{name: name, at: at, driver: d}
	script := "#!/bin/sh\nexec"
	for _, word := range at.Inside(chromium) {
		script += " " + word
	}
	return p, os.WriteFile(p.browser(), []byte(script+` "$@"`+"\n"), 0o700)
}

func (p *person) browser() string { return filepath.Join(p.driver.dir, string(p.at.Space)+"-chromium") }

func (p *person) does(ctx context.Context, what string, with map[string]string) error {
	return p.driver.does(ctx, string(p.at.Space), what, with, nil)
}

func (p *person) sees(ctx context.Context, what string, into any) error {
	return p.driver.does(ctx, string(p.at.Space), what, nil, into)
}

// begin opens the browser.
func (p *person) begin(ctx context.Context) error {
	p.open = true
	return p.does(ctx, "begin", map[string]string{
		"browser": p.browser(), "folder": filepath.Join(p.driver.dir, string(p.at.Space)+"-browser"), "certificate": p.driver.key,
	})
}

// end closes it, if it is open.
func (p *person) end(ctx context.Context) error {
	if !p.open {
		return nil
	}
	p.open = false
	return p.does(ctx, "end", nil)
}
