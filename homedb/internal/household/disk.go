package household

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/courtyard-social/courtyard/homedb/internal/gate"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/handshake"
	"github.com/courtyard-social/courtyard/protocol/ident"
)

// disk is the data directory. Everything in it is for its owner's eyes alone.
//
//	home.lock                  held while an agent runs
//	offer.json                 the code that waits for the first person, and the keys for it
//	used.json                  codes from the environment that have been tried
//	people/UID/person.json     who this is, and where their relay is
//	people/UID/device-ID.key   this home's device keys
//	people/UID/log.db          the log (unless it is in PostgreSQL)
//	people/UID/keys.db         the daily keys
//	people/UID/files/          sealed files
type disk struct{ dir string }

// member is person.json.
type member struct {
	UID      protocol.UID      `json:"uid"`
	Username string            `json:"username"`
	Host     string            `json:"host"`
	Secure   bool              `json:"secure"`
	RelayKey protocol.Key32    `json:"relay"`
	Device   protocol.DeviceID `json:"device"`
	Paired   int64             `json:"paired"` // ms
}

func (m member) place() gate.Place { return gate.Place{Host: m.Host, Secure: m.Secure} }

func (d disk) person(uid protocol.UID) string {
	return filepath.Join(d.dir, "people", hex.EncodeToString(uid[:]))
}

// found is somebody on the disk; with a problem only UID and Username are known,
// the latter being the name of the directory.
type found struct {
	member
	problem error
}

func keyName(id protocol.DeviceID) string { return "device-" + hex.EncodeToString(id[:8]) + ".key" }

// lock makes the directory this agent's own.
func (d disk) lock() (*os.File, error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, sentence("cannot use the data directory %s: %v", d.dir, cause(err))
	}
	f, err := os.OpenFile(filepath.Join(d.dir, "home.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, sentence("cannot write to the data directory %s: %v", d.dir, cause(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(sentence("another home agent is using the data directory %s", d.dir), f.Close())
	}
	return f, nil
}

// members reads everybody, the earliest first. Those whose person.json cannot be
// read come before all others: they may well have been the first, and nobody else
// is to decide in their place.
func (d disk) members() ([]found, error) {
	entries, err := os.ReadDir(filepath.Join(d.dir, "people"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []found
	for _, e := range entries {
		path := filepath.Join(d.dir, "people", e.Name(), "person.json")
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue // a pairing that a crash cut short, or nothing of ours
		}
		name, bad := hex.DecodeString(e.Name())
		if bad != nil || len(name) != len(protocol.UID{}) {
			return nil, sentence("%s is not a person's directory: put it elsewhere", filepath.Dir(path))
		}
		uid := protocol.UID(name)
		var m member
		if err == nil {
			err = protocol.DecodeOpen(raw, &m, 2)
		}
		if err == nil && m.UID != uid {
			err = errors.New("it is another person's")
		}
		if err == nil {
			_, _, err = protocol.SplitHost(m.Host)
		}
		if err != nil {
			handle := filepath.Join("people", e.Name()[:8])
			out = append(out, found{member{UID: uid, Username: handle}, unreadable("the name and courtyard of "+handle, path, cause(err))})
			continue
		}
		out = append(out, found{member: m})
	}
	slices.SortFunc(out, func(a, b found) int {
		if a.Paired != b.Paired {
			return cmp.Compare(a.Paired, b.Paired)
		}
		return bytes.Compare(a.UID[:], b.UID[:])
	})
	return out, nil
}

// unreadable is the sentence for what is on disk and cannot be used, or is not
// there and should be.
func unreadable(what, path string, why error) error {
	return sentence("%s cannot be read (%s): put back a backup; nothing was changed (%v)", what, path, why)
}

func (d disk) keys(m member) (*ident.DeviceKeys, error) {
	path := filepath.Join(d.person(m.UID), keyName(m.Device))
	what := "the device key of " + m.Username
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(what, path, cause(err))
	}
	keys, err := ident.ParseDeviceKeys(raw)
	if err != nil || keys.ID() != m.Device {
		return nil, unreadable(what, path, errors.New("it is damaged")) // without what is in it
	}
	return keys, nil
}

// keep writes a member down, durably: first the keys, which nothing ever
// overwrites, then who they are for.
func (d disk) keep(m member, keys *ident.DeviceKeys) error {
	dir := d.person(m.UID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key := filepath.Join(dir, keyName(m.Device))
	f, err := os.OpenFile(key, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(keys.Expose())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(key))
	}
	raw, err := protocol.Marshal(m)
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, "person.json"), raw); err != nil {
		return err
	}
	for _, parent := range []string{filepath.Dir(dir), d.dir} {
		if err := syncDir(parent); err != nil {
			return err
		}
	}
	// Keys of an earlier pairing, which the chain has revoked, open nothing any more.
	old, err := filepath.Glob(filepath.Join(dir, "device-*.key"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if path != key {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// replace writes a file so that a crash leaves the old or the new one.
func replace(path string, raw []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// waiting is offer.json: a code, and the device that will answer it.
type waiting struct {
	Host   string          `json:"host"`
	Secure bool            `json:"secure"`
	Code   protocol.Secret `json:"code"`
	Keys   protocol.Secret `json:"keys"`
}

func (d disk) offer() (*waiting, error) {
	raw, err := os.ReadFile(filepath.Join(d.dir, "offer.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var w waiting
	if err := protocol.DecodeOpen(raw, &w, 2); err != nil || w.Code.Len() != 10 || w.Keys.Len() != 64 {
		return nil, d.dropOffer() // damaged: another is made
	}
	return &w, nil
}

func (w *waiting) code() handshake.Code { return handshake.Code{Secret: w.Code} }

func (d disk) keepOffer(w waiting) error {
	raw, err := protocol.MarshalSealed(w) // readable by the owner of this machine, like the keys it becomes
	if err != nil {
		return err
	}
	return replace(filepath.Join(d.dir, "offer.json"), raw)
}

func (d disk) dropOffer() error {
	err := os.Remove(filepath.Join(d.dir, "offer.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// tried notes a code, by its mailbox, so that an agent that is started again with
// the same environment does not wait for it once more. It reports whether the
// code was tried before.
func (d disk) tried(code handshake.Code) (before bool, err error) {
	path := filepath.Join(d.dir, "used.json")
	var boxes []protocol.ID
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err == nil {
		if err := json.Unmarshal(raw, &boxes); err != nil {
			return false, sentence("used.json is damaged")
		}
	}
	if slices.Contains(boxes, code.Mailbox()) {
		return true, nil
	}
	const most = 100
	boxes = append(boxes, code.Mailbox())
	if raw, err = json.Marshal(boxes[max(0, len(boxes)-most):]); err != nil {
		return false, err
	}
	return false, replace(path, raw)
}

// free is the room on the disk, in bytes.
func (d disk) free() (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// Sentence is an error that is said to a person as it is.
type Sentence struct{ text string }

func (s *Sentence) Error() string { return s.text }

func sentence(format string, args ...any) error { return &Sentence{fmt.Sprintf(format, args...)} }

// cause drops the path that package os puts before the reason.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
