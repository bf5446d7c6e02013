// Package relaytest lets tests read like a play: people with keys join a real
// relay, connect, send and see. Only tests import it.
//
// It must never know what a letter says: like the relay, it has no means to.
package relaytest

import (
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
	"github.com/courtyard-social/courtyard/relay/internal/vaults"
)

// Clock is real time that a test may move forward.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

// Now is the moved time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Move moves it by d.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// Person is somebody with keys.
type Person struct {
	Username string
	UID      protocol.UID
	Phone    *ident.DeviceKeys
	Chain    *ident.Chain
	Genesis  protocol.Signed
	UEK      protocol.Signed
	Vault    vaults.Vault
}

// NewPerson makes keys, the first record, UEK and vault of somebody whose relay is at.
func NewPerson(t testing.TB, username string, at ident.Relay, now time.Time) *Person {
	t.Helper()
	phone := NewDevice(t)
	genesis, uid, err := ident.NewGenesis(rand.Reader, phone, at, now.UnixMilli())
	must(t, err)
	chain, err := ident.ParseChain([]protocol.Signed{genesis})
	must(t, err)
	p := &Person{Username: username, UID: uid, Phone: phone, Chain: chain, Genesis: genesis}
	p.UEK, err = ident.NewUEKRecord(phone, chain, nil, NewBox(t), now.UnixMilli())
	must(t, err)
	p.Vault = p.SealVault(t, phone, 1)
	return p
}

// NewDevice makes the keys of a device.
func NewDevice(t testing.TB) *ident.DeviceKeys {
	t.Helper()
	keys, err := ident.GenerateDeviceKeys(rand.Reader)
	must(t, err)
	return keys
}

// NewBox makes an X25519 public key whose secret is thrown away.
func NewBox(t testing.TB) protocol.Key32 {
	t.Helper()
	box, err := protocol.NewBoxSecret(rand.Reader)
	must(t, err)
	return box.Public()
}

// NewID makes a random id.
func NewID(t testing.TB) protocol.ID {
	t.Helper()
	id, err := protocol.NewID(rand.Reader)
	must(t, err)
	return id
}

// SealVault makes a version of the vault: random bytes, truly signed.
func (p *Person) SealVault(t testing.TB, by protocol.Signer, version int64) vaults.Vault {
	t.Helper()
	blob := make([]byte, 5000)
	_, err := rand.Read(blob)
	must(t, err)
	return vaults.Vault{
		Version: version, Blob: blob, By: by.Public(),
		Sig: by.Sign("sign/vault", p.UID[:], protocol.U64(version), blob),
	}
}

// Application is the body of a join.
func (p *Person) Application(invite, claim *protocol.ID) accounts.Application {
	return accounts.Application{
		Username: p.Username, Chain: []protocol.Signed{p.Genesis}, UEK: p.UEK, Vault: p.Vault, Invite: invite, Claim: claim,
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
