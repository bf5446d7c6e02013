package share

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// warnBefore a certificate ends the operator is told: renewals are due a month before.
const warnBefore = 7 * 24 * time.Hour

// Certificate is one that stands in two files, and is read again when they change.
// Safe for use by several goroutines.
type Certificate struct {
	chain, key string
	now        func() time.Time
	current    atomic.Pointer[tls.Certificate]

	mu   sync.Mutex // all below
	seen [2]stamp
	told error // what was last returned, so that it is said once
}

// stamp tells whether a file is the same as before.
type stamp struct {
	changed time.Time
	size    int64
}

// ReadCertificate reads a certificate and its key, PEM. The error is a sentence.
func ReadCertificate(chain, key string, now func() time.Time) (*Certificate, error) {
	c := &Certificate{chain: chain, key: key, now: now}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is tls.Config's GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// Renew reads the files again if they have changed; called every minute. An error
// is a sentence, said once; the certificate that was there is used until there is
// a better one.
func (c *Certificate) Renew() error {
	err := c.read()
	if err == nil {
		if left := c.current.Load().Leaf.NotAfter.Sub(c.now()); left < warnBefore {
			err = fmt.Errorf("the certificate in %s ends on %s: renew it", c.chain, c.current.Load().Leaf.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.told
	c.told = err
	if err != nil && before != nil && err.Error() == before.Error() {
		return nil
	}
	return err
}

func (c *Certificate) read() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var now [2]stamp
	for i, name := range []string{c.chain, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("the certificate cannot be read: %w", err)
		}
		now[i] = stamp{info.ModTime(), info.Size()}
	}
	if now == c.seen {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.chain, c.key)
	if err == nil && pair.Leaf == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err != nil {
		return fmt.Errorf("the certificate in %s and the key in %s cannot be used: %w", c.chain, c.key, err)
	}
	c.current.Store(&pair)
	c.seen = now
	return nil
}
