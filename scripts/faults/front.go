package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// front speaks https before a relay, as a reverse proxy does on a VPS, and breaks
// connections when it is told so, one word a line: "reset", or "half front" and
// "half back" for the end of one direction towards callers or towards the relay.
type front struct {
	mu    sync.Mutex
	known map[*net.TCPConn]string // guarded by mu; front or back
}

// serveFront runs until its input ends.
func serveFront(listen, behind, cert, key string) error {
	f := &front{known: map[*net.TCPConn]string{}}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: behind})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return f.watch(conn, "back"), nil
		}},
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() {
		failed <- server.Serve(tls.NewListener(&watched{l, f}, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}))
	}()
	fmt.Println("front ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		f.spoil(in.Text())
	}
	return errors.Join(server.Close(), swallowClosed(<-failed))
}

func swallowClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

type watched struct {
	net.Listener
	front *front
}

// Accept implements net.Listener.
func (w *watched) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.front.watch(conn, "front"), nil
}

// conn forgets itself when it is closed.
type conn struct {
	net.Conn
	forget func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.forget()
	return c.Conn.Close()
}

func (f *front) watch(c net.Conn, side string) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok { // both sides are TCP
		return c
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[t] = side
	return &conn{c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.known, t)
	}}
}

func (f *front) spoil(how string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, side := range f.known {
		var err error
		switch how {
		case "reset":
			err = errors.Join(c.SetLinger(0), c.Close())
		case "half " + side:
			err = c.CloseWrite()
		}
		if err != nil && !errors.Is(err, net.ErrClosed) { // gone by itself meanwhile
			fmt.Fprintln(os.Stderr, "front:", how, err)
		}
	}
}
