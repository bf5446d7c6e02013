package share

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certify writes a certificate for a name into two files.
func certify(t testing.TB, chain, key, name string, until time.Time) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(secret)
	must(t, err)
	must(t, os.WriteFile(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}

func certificate(t testing.TB) *Certificate {
	t.Helper()
	chain, key := filepath.Join(t.TempDir(), "chain.pem"), filepath.Join(t.TempDir(), "key.pem")
	certify(t, chain, key, "yard.example", time.Now().Add(90*24*time.Hour))
	c, err := ReadCertificate(chain, key, time.Now)
	must(t, err)
	return c
}

// open runs a shared port for the test.
func open(t testing.TB) *Port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := New(l, certificate(t).Get)
	done := make(chan error, 1)
	go func() { done <- p.Run() }()
	t.Cleanup(func() {
		must(t, p.Close())
		must(t, <-done)
		must(t, p.HTTP().Close())
		must(t, p.TURN().Close())
	})
	return p
}

// dial connects with what a client would agree on.
func dial(t testing.TB, p *Port, protocols ...string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", p.raw.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// arrives takes the next connection of a side.
func arrives(t testing.TB, side net.Listener) net.Conn {
	t.Helper()
	conn, err := side.Accept()
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestWhatAConnectionIs(t *testing.T) {
	p := open(t)
	for _, v := range []struct {
		protocols []string
		first     string
		turn      bool
	}{
		{[]string{"h2", "http/1.1"}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false},
		{[]string{"http/1.1"}, "GET / HTTP/1.1\r\n\r\n", false},
		{[]string{"http/1.1"}, "\x00\x01\x00\x00", false}, // it has said what it is
		{nil, "GET / HTTP/1.1\r\n\r\n", false},
		{nil, "\x00\x03\x00\x08!\x12\xa4B", true}, // Chromium, Allocate
		{nil, "\x3f\xff\x00\x00", true},
		{nil, "\x40\x00\x00\x04abcd", false}, // channel data does not begin a connection
		{nil, "\x16\x03\x01\x02\x00", true},  // TLS in TLS: the guard turns it away
		{nil, "\xff", false},
		{[]string{"stun.turn"}, "\x00\x01\x00\x00", true},
		{[]string{"http/1.1", "stun.turn", "stun.nat-discovery"}, "\x00\x01\x00\x00", true}, // coturn's client
	} {
		client := dial(t, p, v.protocols...)
		_, err := client.Write([]byte(v.first))
		must(t, err)
		side := p.HTTP()
		if v.turn {
			side = p.TURN()
		}
		conn := arrives(t, side)
		got := make([]byte, len(v.first))
		_, err = io.ReadFull(conn, got)
		must(t, err)
		if string(got) != v.first {
			t.Errorf("%q came as %q", v.first, got)
		}
		_, err = conn.Write([]byte("back"))
		must(t, err)
		back := make([]byte, 4)
		_, err = io.ReadFull(client, back)
		must(t, err)
		if _, whole := conn.(*tls.Conn); whole != (len(v.protocols) > 0) {
			t.Errorf("%q is a %T", v.first, conn)
		}
	}
	// Who agrees on nothing we have is told so, as TLS does.
	if _, err := tls.Dial("tcp", p.raw.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"smtp"}}); err == nil {
		t.Error("SMTP is spoken")
	}
	if _, err := tls.Dial("tcp", p.raw.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

// TestNobodyWaitsForAnother: connections that say nothing, or no TLS, do not keep the
// next one, and end with the port.
func TestNobodyWaitsForAnother(t *testing.T) {
	p := open(t)
	silent, err := net.Dial("tcp", p.raw.Addr().String())
	must(t, err)
	defer silent.Close()
	dial(t, p) // agreed on TLS, and then nothing
	plain, err := net.Dial("tcp", p.raw.Addr().String())
	must(t, err)
	defer plain.Close()
	_, err = plain.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	must(t, err)
	must(t, plain.SetReadDeadline(time.Now().Add(10*time.Second)))
	if said, err := io.ReadAll(plain); os.IsTimeout(err) || bytes.Contains(said, []byte("200")) {
		t.Fatalf("without TLS: %q %v", said, err)
	}
	dial(t, p, "http/1.1")
	arrives(t, p.HTTP())
	// A side that is closed takes nothing: whoever comes for it is turned away.
	must(t, p.TURN().Close())
	client := dial(t, p)
	_, err = client.Write([]byte{0, 1, 0, 0})
	must(t, err)
	must(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := client.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Fatal("it is kept:", err)
	}
	if _, err := p.TURN().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestACertificateIsReadAgainWhenItChanges(t *testing.T) {
	chain, key := filepath.Join(t.TempDir(), "chain.pem"), filepath.Join(t.TempDir(), "key.pem")
	now := time.Now()
	if _, err := ReadCertificate(chain, key, time.Now); err == nil || !strings.Contains(err.Error(), chain) {
		t.Fatal("without files:", err)
	}
	certify(t, chain, key, "one.example", now.Add(90*24*time.Hour))
	c, err := ReadCertificate(chain, key, func() time.Time { return now })
	must(t, err)
	name := func() string {
		t.Helper()
		got, err := c.Get(nil)
		must(t, err)
		return got.Leaf.DNSNames[0]
	}
	later := func(file string) { // a file system's clock may be coarse
		t.Helper()
		stamp := now.Add(time.Minute)
		must(t, os.Chtimes(file, stamp, stamp))
	}
	must(t, c.Renew())
	if name() != "one.example" {
		t.Fatal(name())
	}
	certify(t, chain, key, "two.example", now.Add(90*24*time.Hour))
	later(chain)
	later(key)
	must(t, c.Renew())
	if name() != "two.example" {
		t.Fatal("it is still", name())
	}
	// What cannot be used is said once, and the former one is kept.
	must(t, os.WriteFile(key, []byte("half a file"), 0o600))
	if err := c.Renew(); err == nil || !strings.Contains(err.Error(), key) {
		t.Fatal(err)
	}
	must(t, c.Renew())
	if name() != "two.example" {
		t.Fatal(name())
	}
	certify(t, chain, key, "three.example", now.Add(6*24*time.Hour))
	if err := c.Renew(); err == nil || !strings.Contains(err.Error(), "renew it") {
		t.Fatal("nobody is told that it ends:", err)
	}
	must(t, c.Renew())
	if name() != "three.example" {
		t.Fatal(name())
	}
}

// FuzzPort: whatever a connection begins with, one side gets all of it as it came:
// TURN what begins with a byte below 0x40, HTTP everything else.
func FuzzPort(f *testing.F) {
	for _, seed := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x03\x00\x08!\x12\xa4B", "\x3f", "\x40", "\xff\xff", "\x16\x03\x01"} {
		f.Add([]byte(seed))
	}
	cert := certificate(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		here, there := net.Pipe()
		p := New(&one{conn: here, closed: make(chan struct{})}, cert.Get)
		done := make(chan error, 1)
		go func() { done <- p.Run() }()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			client := tls.Client(there, &tls.Config{InsecureSkipVerify: true})
			_, _ = client.Write(in)
			_ = client.Close()
		}()
		side, other := p.HTTP(), p.TURN()
		if len(in) > 0 && in[0] < 0x40 {
			side, other = other, side
		}
		if len(in) > 0 {
			conn, err := side.Accept()
			must(t, err)
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, in) {
				t.Fatalf("%x came as %x (%v)", in, got, err)
			}
			_ = conn.Close()
		}
		<-sent
		must(t, p.Close())
		must(t, <-done)
		must(t, other.Close())
		if conn, err := other.Accept(); err == nil {
			t.Fatal("the other side has", conn)
		}
	})
}

// one is a listener with one connection.
type one struct {
	conn   net.Conn
	closed chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	if conn := o.conn; conn != nil {
		o.conn = nil
		return conn, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}

func (o *one) Close() error {
	close(o.closed)
	return nil
}

func (o *one) Addr() net.Addr { return &net.TCPAddr{} }
