package relay_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
)

// vendor is a push service on this machine: it takes pushes for browsers that
// it knows, and lets them read what came.
type vendor struct {
	t    testing.TB
	URL  string
	host string

	mu       sync.Mutex // all below
	browsers map[string]*browser
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	tries    int
}

// browser has one subscription.
type browser struct {
	vendor   *vendor
	Endpoint string
	key      *ecdh.PrivateKey
	auth     []byte
	pushes   chan push
}

// push is what a service worker would see.
type push struct {
	V    int           `json:"v"`
	Kind string        `json:"kind"`
	To   *protocol.UID `json:"to,omitempty"`
	UID  *protocol.UID `json:"uid,omitempty"`
	N    int           `json:"n"`
	ttl  string
	size int
}

func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{t: t, browsers: map[string]*browser{}}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	v.URL, v.host = server.URL, strings.TrimPrefix(server.URL, "http://")
	return v
}

// Browser subscribes somewhere new.
func (v *vendor) Browser() *browser {
	v.t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	must(v.t, err)
	b := &browser{vendor: v, key: key, auth: make([]byte, 16), pushes: make(chan push, 64)}
	_, err = rand.Read(b.auth)
	must(v.t, err)
	path := "/push/" + relaytest.NewID(v.t).String()
	b.Endpoint = v.URL + path
	v.mu.Lock()
	defer v.mu.Unlock()
	v.browsers[path] = b
	return b
}

// subscribing is what the app puts to the relay, and its worker when it has moved.
type subscribing struct {
	From     *formerly   `json:"from,omitempty"`
	Endpoint string      `json:"endpoint"`
	Keys     browserKeys `json:"keys"`
}

type browserKeys struct {
	P256dh protocol.Bytes `json:"p256dh"`
	Auth   protocol.Bytes `json:"auth"`
}

type formerly struct {
	Endpoint string         `json:"endpoint"`
	Auth     protocol.Bytes `json:"auth"`
}

// Body subscribes this browser.
func (b *browser) Body() subscribing {
	return subscribing{Endpoint: b.Endpoint, Keys: browserKeys{b.key.PublicKey().Bytes(), b.auth}}
}

// Moved says that this browser was at another address before.
func (b *browser) Moved(endpoint string, auth []byte) subscribing {
	body := b.Body()
	body.From = &formerly{endpoint, auth}
	return body
}

type muting struct {
	Muted []protocol.UID `json:"muted"`
}

// Woken waits for the next push.
func (b *browser) Woken() push {
	b.vendor.t.Helper()
	select {
	case p := <-b.pushes:
		return p
	case <-time.After(30 * time.Second):
		b.vendor.t.Fatal("no push came")
		panic("unreachable")
	}
}

// Answers lets the vendor answer otherwise, until it is told nil.
func (v *vendor) Answers(answer func(w http.ResponseWriter, r *http.Request) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = answer
}

// Tries is how many requests came.
func (v *vendor) Tries() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tries
}

// ServeHTTP implements http.Handler.
func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	b, answer := v.browsers[r.URL.Path], v.answer
	v.tries++
	v.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	if b == nil {
		w.WriteHeader(http.StatusGone)
		return
	}
	p, err := b.open(r)
	if err != nil {
		v.t.Error("a push that no browser reads:", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	select {
	case b.pushes <- p:
		w.WriteHeader(http.StatusCreated)
	default:
		v.t.Error("more pushes than anybody looks at")
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// open reads a push as RFC 8291 says that a browser does; written apart from
// what seals it.
func (b *browser) open(r *http.Request) (push, error) {
	p := push{ttl: r.Header.Get("TTL")}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return p, err
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "aes128gcm" || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid t=") || len(body) < 86 || len(body) > 4096 {
		return p, fmt.Errorf("%s %v, %d bytes", r.Method, r.Header, len(body))
	}
	salt, size, length := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	sender, err := ecdh.P256().NewPublicKey(body[21 : 21+length])
	if err != nil {
		return p, err
	}
	sealed := body[21+length:]
	shared, err := b.key.ECDH(sender)
	if err != nil {
		return p, err
	}
	if uint32(len(sealed)) > size {
		return p, fmt.Errorf("a record of %d in %d", len(sealed), size)
	}
	prk, err := hkdf.Extract(sha256.New, shared, b.auth)
	if err != nil {
		return p, err
	}
	ikm, err := hkdf.Expand(sha256.New, prk, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(sender.Bytes()), 32)
	if err != nil {
		return p, err
	}
	prk, err = hkdf.Extract(sha256.New, ikm, salt)
	if err != nil {
		return p, err
	}
	key, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return p, err
	}
	nonce, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return p, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return p, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return p, err
	}
	record, err := gcm.Open(nil, nonce, sealed, nil)
	if err != nil {
		return p, err
	}
	text, padded := strings.TrimRight(string(record), "\x00"), len(record)
	p.size = padded
	return p, protocol.DecodeClosed([]byte(strings.TrimSuffix(text, "\x02")), &p, 2)
}
