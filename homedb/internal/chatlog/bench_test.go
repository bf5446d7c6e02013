package chatlog_test

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/homedb/internal/store/sqlite"
	"github.com/courtyard-social/courtyard/protocol"
)

// full makes a log of a million messages in 200 conversations, or as many as
// COURTYARD_LOG_SIZE says.
func full(b *testing.B) (*chatlog.Log, *store.DB, int) {
	b.Helper()
	size := 1_000_000
	if text := os.Getenv("COURTYARD_LOG_SIZE"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	db, err := sqlite.OpenLog(b.Context(), filepath.Join(b.TempDir(), "log.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	l, err := chatlog.Open(b.Context(), db, wei, rand.Reader, 1)
	if err != nil {
		b.Fatal(err)
	}
	const batch = 5000
	for at := 0; at < size; at += batch {
		var events []*chatlog.Event
		for i := at; i < min(at+batch, size); i++ {
			events = append(events, numbered(i))
		}
		add(b, l, db, events)
	}
	bytes, err := db.Size(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d messages, %d bytes each", size, bytes/int64(size))
	return l, db, size
}

func numbered(i int) *chatlog.Event {
	hash := protocol.Hash("bench", protocol.U64(int64(i)))
	e := &chatlog.Event{Peer: peerOf(i), Author: wei, Dev: protocol.DeviceID{1}, Type: "chat", Kind: "text", Mid: protocol.ID(hash[:16]),
		Clock: 1_790_000_000_000 + int64(i)*1000, TS: 1_790_000_000_000 + int64(i)*1000, Received: 1_790_000_000_000 + int64(i)*1000 + 80,
		Envelope: protocol.ID(hash[16:]), Proof: make([]byte, 64), Meta: make([]byte, 260), Hash: hash,
		Body: fmt.Appendf(nil, `{"text":"message %d: about as long as people's messages are, which is not very long"}`, i)}
	if i%2 == 0 {
		e.Author = e.Peer
	}
	return e
}

func peerOf(i int) (uid protocol.UID) {
	binary.BigEndian.PutUint32(uid[:], uint32(i*7919%200+1))
	uid[31] = 9
	return uid
}

func add(b *testing.B, l *chatlog.Log, db *store.DB, events []*chatlog.Event) {
	b.Helper()
	err := db.Write(b.Context(), func(tx store.Tx) error {
		_, err := l.Append(b.Context(), tx, events)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMillion: a page of history, a durable insert, and the list of talks,
// in a log of a million.
func BenchmarkMillion(b *testing.B) {
	l, db, size := full(b)
	b.Run("page", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			place := chatlog.Place{Clock: 1_790_000_000_000 + int64(i*104_729%size)*1000}
			events, _, err := l.Page(b.Context(), peerOf(i), place, 50)
			if err != nil {
				b.Fatal(err)
			}
			if len(events) == 0 && i%size > 20_000 {
				b.Fatal("an empty page")
			}
		}
	})
	b.Run("insert", func(b *testing.B) {
		for b.Loop() {
			add(b, l, db, []*chatlog.Event{numbered(size)})
			size++
		}
	})
	b.Run("insert64", func(b *testing.B) {
		for b.Loop() {
			var events []*chatlog.Event
			for range 64 {
				events = append(events, numbered(size))
				size++
			}
			add(b, l, db, events)
		}
		b.ReportMetric(float64(b.N)*64/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("talks", func(b *testing.B) {
		for b.Loop() {
			if talks, _, err := l.Talks(b.Context(), chatlog.End, 50); err != nil || len(talks) != 50 {
				b.Fatal(len(talks), err)
			}
		}
	})
}
