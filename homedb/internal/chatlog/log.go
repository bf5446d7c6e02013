package chatlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

// Epoch names one database. A cursor (epoch, n) of another epoch is worth nothing here.
type Epoch [16]byte

// Log is a person's log. Its methods may be called from many goroutines; Append
// and AddVersion run within a transaction, of which the store allows one.
type Log struct {
	db    *store.DB
	self  protocol.UID
	epoch Epoch
	names names
}

// Open readies the log of self in db. A database that holds none yet gets an
// epoch from random and begins at now.
func Open(ctx context.Context, db *store.DB, self protocol.UID, random io.Reader, now int64) (*Log, error) {
	l := &Log{db: db, self: self}
	var fresh Epoch
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return nil, err
	}
	var epoch []byte
	err := db.QueryRow(ctx, `SELECT epoch FROM log WHERE one = 1`).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		epoch = fresh[:]
		err = db.Write(ctx, func(tx store.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO names (id, key) VALUES ($1, $2)`, selfNumber, self[:]); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO log (one, epoch, n, messages, since) VALUES (1, $1, 0, 0, $2)`, epoch, now)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("chatlog: %w", err)
	}
	if len(epoch) != len(l.epoch) {
		return nil, errors.New("chatlog: the epoch is damaged")
	}
	copy(l.epoch[:], epoch)
	if err := l.names.load(ctx, db); err != nil {
		return nil, fmt.Errorf("chatlog: %w", err)
	}
	if l.names.name(selfNumber) != self {
		return nil, errors.New("chatlog: this database is somebody else's")
	}
	return l, nil
}

// selfNumber is the number of the log's own person: the partial indexes of the
// schema name it.
const selfNumber = 1

// Epoch is the name of this database.
func (l *Log) Epoch() Epoch { return l.epoch }

// N is the place of the newest event that has been committed.
func (l *Log) N(ctx context.Context) (int64, error) {
	var n int64
	err := l.db.QueryRow(ctx, `SELECT n FROM log WHERE one = 1`).Scan(&n)
	return n, err
}

// Status says how much there is.
func (l *Log) Status(ctx context.Context) (Status, error) {
	var s Status
	err := l.db.QueryRow(ctx, `SELECT messages, since FROM log WHERE one = 1`).Scan(&s.Messages, &s.Since)
	if err != nil {
		return s, err
	}
	s.Bytes, err = l.db.Size(ctx)
	return s, err
}

// names gives uids and device ids small numbers. It is as long as the list of
// people and devices that have ever written.
type names struct {
	mu     sync.RWMutex
	number map[[32]byte]int64
	key    map[int64][32]byte
	last   int64
}

func (s *names) load(ctx context.Context, from store.Source) error {
	rows, err := from.Query(ctx, `SELECT id, key FROM names`)
	if err != nil {
		return err
	}
	defer rows.Close()
	number, key, last := map[[32]byte]int64{}, map[int64][32]byte{}, int64(0)
	for rows.Next() {
		var id int64
		var b []byte
		if err := rows.Scan(&id, &b); err != nil {
			return err
		}
		if len(b) != 32 {
			return errors.New("a name is damaged")
		}
		number[[32]byte(b)], key[id], last = id, [32]byte(b), max(last, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number, s.key, s.last = number, key, last
	return rows.Err()
}

func (s *names) find(k [32]byte) (int64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.number[k]
	return id, ok
}

func (s *names) name(id int64) [32]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.key[id]
}

// numbered gives k its number within tx. Numbers given in a transaction that
// then fails must be forgotten: the caller loads the names again.
func (s *names) numbered(ctx context.Context, tx store.Tx, k [32]byte) (int64, error) {
	if id, ok := s.find(k); ok {
		return id, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.last + 1
	if _, err := tx.Exec(ctx, `INSERT INTO names (id, key) VALUES ($1, $2)`, id, k[:]); err != nil {
		return 0, err
	}
	s.number[k], s.key[id], s.last = id, k, id
	return id, nil
}

// Forget drops what a failed transaction may have left in memory.
func (l *Log) Forget(ctx context.Context) error { return l.names.load(ctx, l.db) }
