// Package datadir is the relay's folder: its key, the claim token, the lock that
// keeps a second relay out, and the SQLite file.
//
// Secrets are made once, with O_EXCL and mode 0600. It must never write over one,
// and never make a new one, or an empty database, in place of one that is lost.
package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/courtyard-social/courtyard/protocol"
)

const (
	keyFile   = "relay.key"
	claimFile = "claim"
	pushFile  = "push.key"
	lockFile  = "lock"
	// Database is the name of the SQLite file.
	Database = "courtyard.db"
)

// Dir is an open, locked data directory.
type Dir struct {
	path string
	lock *os.File
	made []string // by this run, in the order they were made
	key  protocol.SignSecret
	push protocol.Secret
	// fresh: the key was made by this run.
	fresh bool

	mu    sync.Mutex
	claim protocol.Secret // guarded by mu; zero when spent
}

// Open makes the directory if need be, locks it and reads or makes the key and
// the claim token; beside a database without its key it makes nothing and returns
// a sentence. Undo or Close must follow.
func Open(path string, random io.Reader) (*Dir, error) {
	d := &Dir{path: path}
	if err := d.open(random); err != nil {
		return nil, errors.Join(err, d.Undo())
	}
	return d, nil
}

func (d *Dir) open(random io.Reader) error {
	if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(d.path, 0o700); err != nil {
			return sentence("cannot make the data directory", err)
		}
		d.made = append(d.made, d.path)
	} else if err != nil {
		return sentence("cannot look at the data directory", err)
	}
	lock, err := os.OpenFile(d.file(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return sentence("cannot write in the data directory", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("another relay is using the data in %s", d.path), lock.Close())
	}
	d.lock = lock
	keyless, err := d.missing(keyFile)
	if err != nil {
		return err
	}
	if keyless {
		alone, err := d.missing(Database)
		if err != nil {
			return err
		}
		if !alone {
			return fmt.Errorf("%s is there and its key, %s, is missing: put that file back from a backup", d.file(Database), d.file(keyFile))
		}
	}
	// The claim token is made just before the key and never again: without it and
	// with the key, the relay has been claimed.
	if d.claim, _, err = d.secret(claimFile, 16, random, keyless); err != nil {
		return err
	}
	if err := syncDir(d.path); err != nil {
		return err
	}
	seed, fresh, err := d.secret(keyFile, 32, random, keyless)
	if err != nil {
		return err
	}
	d.key, d.fresh = protocol.SignSecretOf([32]byte(seed.Expose())), fresh
	// Made anew if it is lost, unlike the others: the apps notice and subscribe again.
	if d.push, _, err = d.secret(pushFile, 32, random, true); err != nil {
		return err
	}
	return syncDir(d.path)
}

// missing reports that there is no file of this name.
func (d *Dir) missing(name string) (bool, error) {
	_, err := os.Lstat(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, sentence("cannot look at "+d.file(name), err)
	}
	return false, nil
}

// secret reads a secret of size bytes, or makes it if it may and there is none.
func (d *Dir) secret(name string, size int, random io.Reader, make bool) (s protocol.Secret, fresh bool, err error) {
	raw, err := os.ReadFile(d.file(name))
	if err == nil {
		err := s.UnmarshalText(trim(raw))
		if err != nil || s.Len() != size {
			return s, false, fmt.Errorf("%s is damaged: restore it from a backup", d.file(name))
		}
		return s, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return s, false, sentence("cannot read "+d.file(name), err)
	}
	if !make {
		return s, false, nil
	}
	if s, err = protocol.NewSecret(random, size); err != nil {
		return s, false, err
	}
	f, err := os.OpenFile(d.file(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return s, false, sentence("cannot make "+d.file(name), err)
	}
	d.made = append(d.made, d.file(name))
	_, err = f.WriteString(protocol.EncodeBytes(s.Expose()) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return s, false, sentence("cannot write "+d.file(name), err)
	}
	return s, true, nil
}

func trim(raw []byte) []byte {
	for len(raw) > 0 && (raw[len(raw)-1] == '\n' || raw[len(raw)-1] == '\r') {
		raw = raw[:len(raw)-1]
	}
	return raw
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sentence keeps the reason short: path errors repeat what the operator typed.
func sentence(what string, err error) error {
	if full := new(syscall.Errno); errors.As(err, full) && (*full == syscall.ENOSPC || *full == syscall.EDQUOT) {
		return fmt.Errorf("%s: the disk is full", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// Path is the directory.
func (d *Dir) Path() string { return d.path }

// Database is the path of the SQLite file, made if need be so that only its
// owner reads it. If this run makes it, Undo removes it. Once the relay has been
// claimed a file that is missing or empty is lost data: a sentence.
func (d *Dir) Database() (string, error) {
	name := d.file(Database)
	if d.spent() {
		info, err := os.Stat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", sentence("cannot look at "+name, err)
		}
		if err != nil || info.Size() == 0 {
			return "", fmt.Errorf("this relay has been claimed and its database, %s, is missing or empty: restore it from a backup", name)
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return name, nil
	}
	if err != nil {
		return "", sentence("cannot make "+name, err)
	}
	d.made = append(d.made, name, name+"-wal", name+"-shm")
	return name, f.Close()
}

func (d *Dir) spent() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.claim.IsZero()
}

// Fits refuses, with a sentence, a database that is not the one of this
// directory: one that has been claimed beside a key of today, or one that nobody
// has claimed beside a key whose claim is spent.
func (d *Dir) Fits(claimed bool) error {
	switch {
	case claimed && d.fresh:
		return fmt.Errorf("the database holds a courtyard and its key, %s, is missing: put that file back from a backup", d.file(keyFile))
	case !claimed && d.spent():
		return fmt.Errorf("the relay in %s has been claimed and its database holds nobody: restore the database from a backup", d.path)
	}
	return nil
}

// Key is the relay key.
func (d *Dir) Key() protocol.SignSecret { return d.key }

// Push is what the key is made from by which the relay names itself to push services.
func (d *Dir) Push() protocol.Secret { return d.push }

// Matches compares a claim token in constant time; false once it is spent.
func (d *Dir) Matches(token protocol.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.claim.IsZero() && protocol.Equal(d.claim.Expose(), token[:])
}

// Spend forgets the claim token and removes its file.
func (d *Dir) Spend() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claim = protocol.Secret{}
	if err := os.Remove(d.file(claimFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sentence("cannot remove the spent claim token", err)
	}
	return nil
}

// Undo removes what this run has made, for a first run that fails halfway.
func (d *Dir) Undo() error {
	errs := []error{}
	for i := len(d.made) - 1; i >= 0; i-- {
		if d.made[i] == d.path {
			errs = append(errs, remove(d.file(lockFile)))
		}
		errs = append(errs, remove(d.made[i]))
	}
	d.made = nil
	return errors.Join(append(errs, d.Close())...)
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Close gives the lock back.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	lock := d.lock
	d.lock = nil
	return lock.Close()
}

// Claim reads the claim token and the relay's public key beside a running relay.
func Claim(path string) (token protocol.Secret, key protocol.Key32, err error) {
	d := &Dir{path: path}
	seed, _, err := d.secret(keyFile, 32, nil, false)
	if err != nil {
		return token, key, err
	}
	if seed.IsZero() {
		return token, key, fmt.Errorf("there is no relay in %s yet: start it once with `courtyard-relay serve`", path)
	}
	if token, _, err = d.secret(claimFile, 16, nil, false); err != nil {
		return token, key, err
	}
	if token.IsZero() {
		return token, key, errors.New("this relay has been claimed; its owner invites others")
	}
	return token, protocol.SignSecretOf([32]byte(seed.Expose())).Public(), nil
}

// Free asks the file system.
func (d *Dir) Free() (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
