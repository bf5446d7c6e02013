package turn

import (
	"crypto/hmac"
	"crypto/sha1" // what TURN servers that share a secret agree on
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"golang.org/x/crypto/nacl/secretbox"
)

const (
	// credentialLife is how long something new may be begun with a credential.
	credentialLife = time.Hour
	// refreshLife is how long, after that, what was begun may be kept: a call goes
	// on, and the key that a credential was made with is known for a day and a day.
	refreshLife = 23 * time.Hour
	day         = 24 * time.Hour
)

// Device is a person's device.
type Device struct {
	UID protocol.UID
	ID  protocol.DeviceID
}

// device is one as credentials carry it: the id by its beginning,
// which only has to tell apart the devices of one person.
type device struct {
	uid protocol.UID
	id  [8]byte
}

func deviceOf(d Device) device { return device{d.UID, [8]byte(d.ID[:8])} }

// text is the device as pion/turn carries it about; it is never shown.
func (d device) text() string { return string(d.uid[:]) + string(d.id[:]) }

func deviceFrom(text string) (d device, ok bool) {
	if len(text) != len(d.uid)+len(d.id) {
		return d, false
	}
	copy(d.uid[:], text)
	copy(d.id[:], text[len(d.uid):])
	return d, true
}

// claim is what a user name says to the relay that made it, and to nobody else.
type claim struct {
	device
	begin int64 // allocations may begin until then, ms
	keep  int64 // and be kept until then
}

// credentials makes and knows user names and passwords without remembering any. A
// user name travels in the clear with each request: it is the claim, sealed with a
// key of the day, so that it says nothing and is another each time. The password
// is a MAC of it. Yesterday's keys are good still.
type credentials struct {
	seed   protocol.Secret
	now    func() time.Time
	random io.Reader

	mu     sync.Mutex // all below
	keys   map[int64]dayKeys
	denied map[device]bool
}

type dayKeys struct{ name, password [32]byte }

// newCredentials derives all keys from that of the relay, so that what was given
// out before a restart is good after it. denied are devices that were revoked.
func newCredentials(relay protocol.SignSecret, denied []Device, now func() time.Time, random io.Reader) *credentials {
	seed := relay.Expose()
	key := protocol.KDF(seed[:], "turn/seed")
	c := &credentials{
		seed: protocol.SecretOf(key[:]), now: now, random: random,
		keys: map[int64]dayKeys{}, denied: map[device]bool{},
	}
	for _, d := range denied {
		c.denied[deviceOf(d)] = true
	}
	return c
}

// keysOf are the keys of a day. The caller holds mu.
func (c *credentials) keysOf(n int64) dayKeys {
	k, there := c.keys[n]
	if !there {
		for old := range c.keys {
			if old < n-1 {
				delete(c.keys, old)
			}
		}
		k = dayKeys{
			name:     protocol.KDF(c.seed.Expose(), "turn/username", protocol.U64(n)),
			password: protocol.KDF(c.seed.Expose(), "turn/password", protocol.U64(n)),
		}
		c.keys[n] = k
	}
	return k
}

func (c *credentials) today() (now int64, n int64) {
	at := c.now()
	return at.UnixMilli(), at.Unix() / int64(day/time.Second)
}

const claimSize = 32 + 8 + 8 + 8

// issue makes a user name and a password for a device, which ends at exp unless
// that is 0. They are good for credentialLife.
func (c *credentials) issue(d device, exp int64) (username, password string, until int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, n := c.today()
	until = now + credentialLife.Milliseconds()
	keep := until + refreshLife.Milliseconds()
	if exp != 0 {
		until, keep = min(until, exp), min(keep, exp)
	}
	plain := make([]byte, 0, claimSize)
	plain = append(append(plain, d.uid[:]...), d.id[:]...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(until))
	plain = binary.BigEndian.AppendUint64(plain, uint64(keep))
	var nonce [24]byte
	if _, err := io.ReadFull(c.random, nonce[:]); err != nil {
		return "", "", 0, &protocol.Error{Op: "turn.issue", Code: protocol.CodeInternal, Cause: err}
	}
	keys := c.keysOf(n)
	username = protocol.EncodeBytes(secretbox.Seal(nonce[:], plain, &nonce, &keys.name))
	return username, passwordOf(username, keys), until, nil
}

func passwordOf(username string, keys dayKeys) string {
	mac := protocol.MAC(keys.password[:], "turn/password", []byte(username))
	return protocol.EncodeBytes(mac[:])
}

// usernameSize is the length of a user name's text.
var usernameSize = base64.RawURLEncoding.EncodedLen(24 + claimSize + secretbox.Overhead)

// read says what a user name claims and which password goes with it. Whether the
// claim is good now is for admits to say; without the password it is nobody's.
func (c *credentials) read(username string) (found claim, password string, ok bool) {
	if len(username) != usernameSize {
		return found, "", false
	}
	sealed, err := protocol.DecodeBytes(username)
	if err != nil {
		return found, "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, today := c.today()
	for _, n := range []int64{today, today - 1} {
		keys := c.keysOf(n)
		plain, ok := secretbox.Open(nil, sealed[24:], (*[24]byte)(sealed), &keys.name)
		if !ok || len(plain) != claimSize {
			continue
		}
		found.uid, found.id = protocol.UID(plain), [8]byte(plain[32:])
		found.begin = int64(binary.BigEndian.Uint64(plain[40:]))
		found.keep = int64(binary.BigEndian.Uint64(plain[48:]))
		return found, passwordOf(username, keys), true
	}
	return found, "", false
}

// admits says whether a claim is good for beginning an allocation, or for keeping
// one; if not, why.
func (c *credentials) admits(of claim, begins bool) (reason string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.denied[of.device] {
		return refusedRevoked, false
	}
	until := of.keep
	if begins {
		until = of.begin
	}
	if c.now().UnixMilli() >= until {
		return refusedExpired, false
	}
	return "", true
}

// deny makes what was given to a device worthless.
func (c *credentials) deny(d device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denied[d] = true
}

func (c *credentials) isDenied(d device) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.denied[d]
}

// alias is by what another TURN server knows a person: always the same, and nothing
// that anybody else knows him by.
func (c *credentials) alias(uid protocol.UID) string {
	mac := protocol.MAC(c.seed.Expose(), "turn/alias", uid[:])
	return protocol.EncodeBytes(mac[:8])
}

// shared makes a user name and a password for a TURN server that knows secret, as
// coturn's use-auth-secret has it: who is a word by which that server may count.
func shared(secret protocol.Secret, who string, until time.Time) (username, password string) {
	username = fmt.Sprintf("%d:%s", until.Unix(), who)
	mac := hmac.New(sha1.New, secret.Expose())
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
