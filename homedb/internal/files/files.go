// Package files brings home the sealed files that letters name (photos, long
// texts): it pulls them from the relay, checks size and hash with the key from
// the letter, keeps the sealed bytes on disk, and only then lets the relay drop
// them. It serves them to the person's own devices, still sealed.
//
// It must never write plaintext, and never let the relay drop what it has not
// checked and synced.
package files

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

const (
	piece     = 1 << 20 // fetched at a time
	firstWait = 30 * time.Second
	lastWait  = 6 * time.Hour
	// maxTries is about a month of asking for a file that the relay does not have.
	maxTries = 130
	// maxBad is how often bytes may be wrong before the file is called bad.
	maxBad = 3
	idle   = 10 * time.Minute
)

// States of a file.
const (
	wanted = "wanted"
	have   = "have"
	gone   = "gone" // the relay never had it
	bad    = "bad"  // what the relay has is not what the letter names
)

// Relay is where files come from.
type Relay interface {
	File(ctx context.Context, token string, id protocol.ID, offset, length int64) ([]byte, error)
	DropFile(ctx context.Context, token string, id protocol.ID) error
}

// Files are one person's files.
type Files struct {
	DB     *store.DB
	Dir    string
	Relay  Relay
	Clock  clock.Clock
	Logger *slog.Logger
	// Wake is sent to when something new is wanted; it holds one.
	Wake chan struct{}

	mu sync.Mutex // one pull or removal at a time
}

// Ref is a file and the message that names it. Of an edit, Mid is the message
// that is edited: both are forgotten together.
type Ref struct {
	Author, Peer protocol.UID
	Mid          protocol.ID
	File         message.File
}

// Want notes, in the transaction that commits a letter, that its file is to come home.
func (f *Files) Want(ctx context.Context, tx store.Tx, r Ref) error {
	key := r.File.Key.Expose()
	_, err := tx.Exec(ctx, `INSERT INTO files (author, id, mid, peer, key, size, hash, state, tries, due)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 'wanted', 0, 0) ON CONFLICT DO NOTHING`,
		r.Author[:], r.File.ID[:], r.Mid[:], r.Peer[:], key, r.File.Size, r.File.Hash[:])
	return err
}

// Again asks once more, and at once, for a file that is not here: its letter has
// come again.
func (f *Files) Again(ctx context.Context, tx store.Tx, r Ref) error {
	_, err := tx.Exec(ctx, `UPDATE files SET state = 'wanted', tries = 0, due = 0 WHERE author = $1 AND id = $2 AND state <> 'have'`,
		r.Author[:], r.File.ID[:])
	return err
}

// Forget removes, in a transaction, the files of a message that its author
// deleted. The bytes are to be removed with Remove once it has committed.
func (f *Files) Forget(ctx context.Context, tx store.Tx, author protocol.UID, mid protocol.ID) ([]protocol.ID, error) {
	rows, err := tx.Query(ctx, `SELECT id FROM files WHERE mid = $1 AND author = $2`, mid[:], author[:])
	if err != nil {
		return nil, err
	}
	ids, err := scanIDs(rows)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM files WHERE mid = $1 AND author = $2`, mid[:], author[:]); err != nil {
		return nil, err
	}
	var free []protocol.ID
	for _, id := range ids {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM files WHERE id = $1`, id[:]).Scan(&n); err != nil {
			return nil, err
		}
		if n > 0 {
			continue
		}
		if err := owe(ctx, tx, id); err != nil {
			return nil, err
		}
		free = append(free, id)
	}
	return free, nil
}

func owe(ctx context.Context, tx store.Tx, id protocol.ID) error {
	_, err := tx.Exec(ctx, `INSERT INTO drops (id, tries, due) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING`, id[:])
	return err
}

// Remove deletes bytes that nothing names any more.
func (f *Files) Remove(ids []protocol.ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, id := range ids {
		for _, path := range []string{f.path(id), f.path(id) + ".part"} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (f *Files) path(id protocol.ID) string {
	name := hex.EncodeToString(id[:])
	return filepath.Join(f.Dir, name[:2], name)
}

// Sweep removes bytes that a crash left without a row.
func (f *Files) Sweep(ctx context.Context) error {
	return filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := hex.DecodeString(d.Name()[:min(len(d.Name()), 32)])
		if err != nil || len(raw) != 16 {
			return nil // not ours
		}
		var n int
		if err := f.DB.QueryRow(ctx, `SELECT COUNT(*) FROM files WHERE id = $1`, raw).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
		return os.Remove(path)
	})
}

// Read gives up to limit sealed bytes of a file from offset on, and its sealed
// size. Code not-found, also while it is on its way.
func (f *Files) Read(ctx context.Context, id protocol.ID, offset int64, limit int) (data []byte, size int64, err error) {
	missing := &protocol.Error{Op: "files.Read", Code: protocol.CodeNotFound}
	var n int
	if err := f.DB.QueryRow(ctx, `SELECT COUNT(*) FROM files WHERE id = $1 AND state = 'have'`, id[:]).Scan(&n); err != nil {
		return nil, 0, err
	}
	if n == 0 || offset < 0 {
		return nil, 0, missing
	}
	file, err := os.Open(f.path(id))
	if err != nil {
		return nil, 0, &protocol.Error{Op: "files.Read", Code: protocol.CodeNotFound, Cause: err}
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	data = make([]byte, max(0, min(int64(limit), info.Size()-offset)))
	if _, err := file.ReadAt(data, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	return data, info.Size(), nil
}

// pull fetches what is missing of a file, checks it and puts it in place.
// The error has code not-found, or the cause letter.ErrFile, or may pass.
func (f *Files) pull(ctx context.Context, token string, file message.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := f.path(file.ID)
	if _, err := os.Stat(path); err == nil { // another letter named it before
		return f.check(path, file)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	part, err := os.OpenFile(path+".part", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = f.fill(ctx, token, part, file)
	if err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	if err := f.check(path+".part", file); err != nil {
		if errors.Is(err, letter.ErrFile) {
			return errors.Join(err, os.Remove(path+".part"))
		}
		return err
	}
	if err := os.Rename(path+".part", path); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(path)), syncDir(f.Dir))
}

// fill appends what the relay has from where the last attempt stopped.
func (f *Files) fill(ctx context.Context, token string, part *os.File, file message.File) error {
	size := letter.SealedSize(file.Size)
	at, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for at < size {
		data, err := f.Relay.File(ctx, token, file.ID, at, min(piece, size-at))
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return protocol.Refuse("files.fill", protocol.CodeNotFound, "not all of it is there yet")
		}
		if _, err := part.Write(data); err != nil {
			return err
		}
		at += int64(len(data))
	}
	return nil
}

func (f *Files) check(path string, file message.File) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	return letter.OpenFile(io.Discard, in, file)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Bytes is the space that the files take.
func (f *Files) Bytes(ctx context.Context) (int64, error) {
	var n int64
	err := f.DB.QueryRow(ctx, `SELECT COALESCE(SUM(size), 0) FROM files WHERE state = 'have'`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("files: %w", err)
	}
	return n, nil
}
