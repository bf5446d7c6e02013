// Package vectortest is for tests: it keeps the vectors in protocol/testdata in
// step with the code, and provides the people who play in tests and vectors.
//
// Everything here is fixed and public, keys included. It must never be imported
// by anything that is not a test.
package vectortest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

var update = flag.Bool("update", false, "write protocol/testdata instead of comparing with it")

// Now is the time at which vectors play, ms.
const Now = 1_790_000_000_000

// Path is a file of protocol/testdata, seen from a package of protocol/.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for filepath.Base(dir) != "protocol" {
		if dir == filepath.Dir(dir) {
			t.Fatal("no folder protocol above the test")
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, "testdata", name)
}

// Compare asserts that the vector file name holds exactly v; with -update it
// writes it.
func Compare(t testing.TB, name string, v any) {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	path := Path(t, name)
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, out.Bytes()) {
		t.Errorf("%s differs from what the code makes; if the protocol was meant to change: go test ./protocol/... -update", name)
	}
}

// Read reads a vector file into v.
func Read(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Fixed is 32 fixed bytes with a name.
func Fixed(name string) [32]byte { return sha256.Sum256([]byte("courtyard vector: " + name)) }

// FixedID is 16 fixed bytes with a name.
func FixedID(name string) protocol.ID { b := Fixed(name); return protocol.ID(b[:16]) }

// FixedBytes is n fixed bytes with a name.
func FixedBytes(name string, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("courtyard vector: "+name+" "), i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// Random gives exactly the named bytes, one after the other, as injected randomness.
func Random(parts ...[]byte) *bytes.Reader { return bytes.NewReader(bytes.Join(parts, nil)) }

// B is b as vectors show it.
func B(b []byte) string { return protocol.EncodeBytes(b) }

// Must fails the test on err.
func Must[V any](t testing.TB) func(V, error) V {
	return func(v V, err error) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Keys are the fixed keys of a named device.
func Keys(t testing.TB, name string) *ident.DeviceKeys {
	t.Helper()
	return Must[*ident.DeviceKeys](t)(ident.ParseDeviceKeys(FixedBytes(name, 64)))
}

// RelayKey is the key of the one relay.
func RelayKey() protocol.SignSecret { return protocol.SignSecretOf(Fixed("relay key")) }

// Relay is the one relay.
func Relay() ident.Relay {
	return ident.Relay{Key: RelayKey().Public(), Host: "relay.example", Port: 443}
}

// Person is somebody with a phone, perhaps a home, and a UEK.
type Person struct {
	Name    string
	Phone   *ident.DeviceKeys
	Home    *ident.DeviceKeys
	Chain   *ident.Chain
	UEK     ident.UEKSecret
	Record  protocol.Signed
	UEKInfo ident.UEKRecord
}

// NewPerson makes a person without a home, fixed by name.
func NewPerson(t testing.TB, name string) *Person {
	t.Helper()
	p := &Person{Name: name, Phone: Keys(t, name+" phone")}
	nonce := FixedID(name + " genesis nonce")
	rec, _, err := ident.NewGenesis(Random(nonce[:]), p.Phone, Relay(), Now)
	if err != nil {
		t.Fatal(err)
	}
	p.Chain = Must[*ident.Chain](t)(ident.ParseChain([]protocol.Signed{rec}))
	p.UEK = ident.UEKSecret{Counter: 1, Secret: protocol.BoxSecretOf(Fixed(name + " uek 1"))}
	p.Record = Must[protocol.Signed](t)(ident.NewUEKRecord(p.Phone, p.Chain, nil, p.UEK.Secret.Public(), Now))
	p.UEKInfo = Must[ident.UEKRecord](t)(ident.VerifyUEK(p.Record, p.Chain))
	return p
}

// AddHome pairs a home.
func (p *Person) AddHome(t testing.TB) {
	t.Helper()
	p.Home = Keys(t, p.Name+" home")
	p.Append(t, Must[protocol.Signed](t)(p.Chain.NewDeviceAdd(p.Phone, p.Home.Device(ident.RoleHome, 0), Now+1000)))
}

// Append takes a record into the person's chain.
func (p *Person) Append(t testing.TB, rec protocol.Signed) {
	t.Helper()
	if err := p.Chain.Append(rec); err != nil {
		t.Fatal(err)
	}
}

// UID is the person's uid.
func (p *Person) UID() protocol.UID { return p.Chain.UID() }

// Address is one end of an envelope.
func (p *Person) Address() protocol.Address {
	return protocol.Address{IP: "relay.example", Port: 443, Username: p.Name, ID: p.UID()}
}

// Envelope is a header from one person to another, without data.
func Envelope(from, to *Person, envelopeType string) *protocol.Envelope {
	return &protocol.Envelope{V: 1, ID: FixedID("envelope " + envelopeType), TS: Now + 5000,
		From: from.Address(), To: to.Address(), Type: envelopeType}
}

// Book finds devices in the chains of these people, as letter.Open asks.
func Book(people ...*Person) func(protocol.UID, protocol.DeviceID, []byte) (ident.Device, bool, error) {
	return func(uid protocol.UID, dev protocol.DeviceID, _ []byte) (ident.Device, bool, error) {
		for _, p := range people {
			if p.UID() == uid {
				d, author := p.Chain.Author(dev, Now+5000) // the ts of Envelope
				return d, author, nil
			}
		}
		return ident.Device{}, false, nil
	}
}
