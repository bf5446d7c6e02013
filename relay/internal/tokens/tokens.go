// Package tokens remembers which bearer token was given to which device. A
// token comes with a socket's greeting and is the caller's name in HTTP calls.
//
// Only hashes are kept, in memory: after a restart every client connects anew
// and gets another. It must never outlive the device: revoking kills it at once.
package tokens

import (
	"crypto/sha256"
	"io"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// Caller is who a request comes from.
type Caller struct {
	UID    protocol.UID
	Device protocol.DeviceID
	Role   string
	Exp    int64 // of the device, ms, 0 never
}

const (
	// Life is how long a token works after the device's last socket closed.
	Life = 24 * time.Hour
	// perDevice bounds the tokens of a device (several tabs, reconnects): the
	// oldest goes.
	perDevice = 16
)

type deviceKey struct {
	uid protocol.UID
	id  protocol.DeviceID
}

type device struct {
	tokens [][32]byte // oldest first
	open   int        // sockets
	closed time.Time  // when the last one closed
}

// Book holds the tokens. Safe for use by several goroutines. Its size is
// bounded by the devices that were connected in the last day.
type Book struct {
	random io.Reader
	now    func() time.Time

	mu      sync.Mutex // all below
	callers map[[32]byte]Caller
	devices map[deviceKey]*device
}

// New makes an empty book.
func New(random io.Reader, now func() time.Time) *Book {
	return &Book{random: random, now: now, callers: map[[32]byte]Caller{}, devices: map[deviceKey]*device{}}
}

// Open notes a socket of c and gives a token for it. Each Open needs a Close.
func (b *Book) Open(c Caller) (string, error) {
	secret := make([]byte, 32)
	if _, err := io.ReadFull(b.random, secret); err != nil {
		return "", &protocol.Error{Op: "tokens.Open", Code: protocol.CodeInternal, Cause: err}
	}
	token := protocol.EncodeBytes(secret)
	hash := sha256.Sum256([]byte(token))
	b.mu.Lock()
	defer b.mu.Unlock()
	key := deviceKey{c.UID, c.Device}
	d := b.devices[key]
	if d == nil {
		d = &device{}
		b.devices[key] = d
	}
	d.open++
	d.tokens = append(d.tokens, hash)
	if len(d.tokens) > perDevice {
		delete(b.callers, d.tokens[0])
		d.tokens = d.tokens[1:]
	}
	b.callers[hash] = c
	return token, nil
}

// Close notes that a socket of the device has closed.
func (b *Book) Close(uid protocol.UID, id protocol.DeviceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.devices[deviceKey{uid, id}]; d != nil {
		d.open--
		d.closed = b.now()
	}
}

// Revoke ends all tokens of a device.
func (b *Book) Revoke(uid protocol.UID, id protocol.DeviceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(deviceKey{uid, id})
}

func (b *Book) drop(key deviceKey) {
	if d := b.devices[key]; d != nil {
		for _, hash := range d.tokens {
			delete(b.callers, hash)
		}
		delete(b.devices, key)
	}
}

// Caller finds who has the token. The search is by hash, so its time says
// nothing about a token.
func (b *Book) Caller(token string) (Caller, bool) {
	hash := sha256.Sum256([]byte(token))
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.callers[hash]
	if !ok {
		return Caller{}, false
	}
	now := b.now()
	d := b.devices[deviceKey{c.UID, c.Device}]
	if c.Exp != 0 && now.UnixMilli() >= c.Exp || d == nil || d.open <= 0 && now.Sub(d.closed) >= Life {
		b.drop(deviceKey{c.UID, c.Device})
		return Caller{}, false
	}
	return c, true
}

// Sweep forgets the tokens of devices that have been away too long.
func (b *Book) Sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for key, d := range b.devices {
		if d.open <= 0 && now.Sub(d.closed) >= Life {
			b.drop(key)
		}
	}
}
