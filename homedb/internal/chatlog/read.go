package chatlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
)

// columns of an event in the order that scan reads, of table alias e.
const columns = `e.n, e.peer, e.author, e.dev, e.mid, e.type, e.kind, e.clock, e.ts, e.received, e.envelope,
	e.proof, e.meta, e.body, e.hash, e.home, e.target, e.target_author`

func (l *Log) scan(rows *sql.Rows) ([]Event, error) {
	defer rows.Close()
	var out []Event
	for rows.Next() {
		var e Event
		var peer, author, dev int64
		var mid, envelope, hash, target []byte
		var targetAuthor sql.NullInt64
		if err := rows.Scan(&e.N, &peer, &author, &dev, &mid, &e.Type, &e.Kind, &e.Clock, &e.TS, &e.Received, &envelope,
			&e.Proof, &e.Meta, &e.Body, &hash, &e.Home, &target, &targetAuthor); err != nil {
			return nil, err
		}
		if len(mid) != 16 || len(envelope) != 16 || len(hash) != 32 {
			return nil, fmt.Errorf("chatlog: event %d is damaged", e.N)
		}
		e.Peer, e.Author, e.Dev = l.names.name(peer), l.names.name(author), l.names.name(dev)
		e.Mid, e.Envelope, e.Hash = protocol.ID(mid), protocol.ID(envelope), protocol.Hash32(hash)
		if len(target) == 16 && targetAuthor.Valid {
			e.Touches = &Touch{Mid: protocol.ID(target), Author: l.names.name(targetAuthor.Int64)}
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

func (l *Log) events(ctx context.Context, query string, args ...any) ([]Event, error) {
	rows, err := l.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return l.scan(rows)
}

// Since gives up to limit events after place n, in the order of arrival, and
// whether there are more.
func (l *Log) Since(ctx context.Context, n int64, limit int) (events []Event, more bool, err error) {
	events, err = l.events(ctx, `SELECT `+columns+` FROM events e WHERE e.n > $1 ORDER BY e.n LIMIT CAST($2 AS BIGINT)`, n, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("chatlog.Since: %w", err)
	}
	if len(events) > limit {
		events, more = events[:limit], true
	}
	return events, more, l.readMarks(ctx, events)
}

// Page gives up to limit messages of a conversation before a place, newest
// first, each followed by the edit, the deletion and the reactions in force, and by
// the news that it came back if that is the last word on it.
func (l *Log) Page(ctx context.Context, peer protocol.UID, before Place, limit int) (events []Event, more bool, err error) {
	id, ok := l.names.find(peer)
	if !ok {
		return nil, false, nil
	}
	messages, err := l.events(ctx, `SELECT `+columns+` FROM events e
		WHERE e.peer = $1 AND e.shown = 1 AND (e.clock, e.mid) < ($2, $3)
		ORDER BY e.clock DESC, e.mid DESC LIMIT CAST($4 AS BIGINT)`, id, before.Clock, before.Mid[:], limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("chatlog.Page: %w", err)
	}
	if len(messages) > limit {
		messages, more = messages[:limit], true
	}
	if len(messages) == 0 {
		return nil, false, nil
	}
	if err := l.readMarks(ctx, messages); err != nil {
		return nil, false, fmt.Errorf("chatlog.Page: %w", err)
	}
	last := messages[len(messages)-1]
	touches, err := l.events(ctx, `SELECT `+columns+` FROM events m JOIN events e
			ON e.target = m.mid AND e.target_author = m.author AND e.shown = 2 AND e.peer = m.peer
		WHERE m.peer = $1 AND m.shown = 1 AND (m.clock, m.mid) < ($2, $3) AND (m.clock, m.mid) >= ($4, $5)`,
		id, before.Clock, before.Mid[:], last.Clock, last.Mid[:])
	if err != nil {
		return nil, false, fmt.Errorf("chatlog.Page: %w", err)
	}
	return interleave(messages, touches), more, nil
}

// interleave puts each message's touches behind it.
func interleave(messages, touches []Event) []Event {
	if len(touches) == 0 {
		return messages
	}
	of := map[Touch][]Event{}
	for _, t := range touches {
		// Only the author may edit or delete; that it came back is the relay's to say.
		if t.Kind != KindReact && t.Type != TypeReturned && t.Author != t.Touches.Author {
			continue
		}
		of[*t.Touches] = append(of[*t.Touches], t)
	}
	out := make([]Event, 0, len(messages)+len(touches))
	for _, m := range messages {
		out = append(append(out, m), of[Touch{m.Mid, m.Author}]...)
	}
	return out
}

// Find gives the event of (author, mid), if there is one.
func (l *Log) Find(ctx context.Context, author protocol.UID, mid protocol.ID) (Event, bool, error) {
	id, ok := l.names.find(author)
	if !ok {
		return Event{}, false, nil
	}
	events, err := l.events(ctx, `SELECT `+columns+` FROM events e WHERE e.mid = $1 AND e.author = $2`, mid[:], id)
	if err != nil || len(events) == 0 {
		return Event{}, false, err
	}
	return events[0], true, nil
}

// ByEnvelope gives one's own event that travelled to peer in that envelope, the
// first time or sealed again.
func (l *Log) ByEnvelope(ctx context.Context, peer protocol.UID, envelope protocol.ID) (Event, bool, error) {
	id, ok := l.names.find(peer)
	if !ok {
		return Event{}, false, nil
	}
	events, err := l.events(ctx, `SELECT `+columns+` FROM events e WHERE e.author = 1 AND e.peer = $2 AND e.n IN (
		SELECT a.n FROM events a WHERE a.author = 1 AND a.envelope = $1
		UNION SELECT b.n FROM versions v JOIN events b ON b.mid = v.mid AND b.author = 1 WHERE v.envelope = $1)`, envelope[:], id)
	if err != nil || len(events) == 0 {
		return Event{}, false, err
	}
	return events[0], true, nil
}

// SealedTo is the highest counter of the friend's key to which this home has
// sealed that message again, 0 for none.
func (l *Log) SealedTo(ctx context.Context, mid protocol.ID) (int64, error) {
	var counter int64
	err := l.db.QueryRow(ctx, `SELECT COALESCE(MAX(uek), 0) FROM versions WHERE mid = $1`, mid[:]).Scan(&counter)
	return counter, err
}

// mark is a row of marks.
type mark struct {
	author   int64
	sort     string
	at       Place
	received int64
	n        int64
}

func (l *Log) marks(ctx context.Context, query string, args ...any) (map[int64][]mark, error) {
	rows, err := l.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64][]mark{}
	for rows.Next() {
		var peer int64
		var m mark
		var mid []byte
		if err := rows.Scan(&peer, &m.author, &m.sort, &m.at.Clock, &mid, &m.received, &m.n); err != nil {
			return nil, err
		}
		copy(m.at.Mid[:], mid)
		out[peer] = append(out[peer], m)
	}
	return out, rows.Err()
}

// readMarks fills in when the other side had read each message: the moment of
// the newest read mark that covers it.
func (l *Log) readMarks(ctx context.Context, events []Event) error {
	seen := map[protocol.UID][]mark{}
	for i := range events {
		e := &events[i]
		if !e.message() {
			continue
		}
		marks, ok := seen[e.Peer]
		if !ok {
			id, _ := l.names.find(e.Peer)
			all, err := l.marks(ctx, `SELECT peer, author, sort, clock, mid, received, n FROM marks WHERE peer = $1 AND sort = 'read'`, id)
			if err != nil {
				return err
			}
			marks = all[id]
			seen[e.Peer] = marks
		}
		for _, m := range marks {
			if protocol.UID(l.names.name(m.author)) != e.Author && m.at.Clock >= e.Clock {
				e.Read = m.received
			}
		}
	}
	return nil
}

// Talks gives up to limit conversations that stand before a place, the one with
// the newest message first.
func (l *Log) Talks(ctx context.Context, before Place, limit int) (talks []Talk, more bool, err error) {
	all, err := l.marks(ctx, `SELECT peer, author, sort, clock, mid, received, n FROM marks`)
	if err != nil {
		return nil, false, fmt.Errorf("chatlog.Talks: %w", err)
	}
	type talk struct {
		peer  int64
		at    Place
		marks []mark
	}
	var list []talk
	for peer, marks := range all {
		t := talk{peer: peer, marks: marks}
		for _, m := range marks {
			if m.sort == "last" || m.sort == "friend" && !hasLast(marks) {
				t.at = later(t.at, m.at)
			}
		}
		if t.at != (Place{}) && less(t.at, before) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b talk) int {
		if less(b.at, a.at) {
			return -1
		}
		return 1
	})
	if len(list) > limit {
		list, more = list[:limit], true
	}
	for _, t := range list {
		out := Talk{Peer: l.names.name(t.peer), At: t.at}
		for _, m := range t.marks {
			if m.sort == "last" {
				var last []Event
				last, _, err = l.Page(ctx, out.Peer, End, 1)
				out.Events = append(out.Events, last...)
			} else {
				var events []Event
				events, err = l.events(ctx, `SELECT `+columns+` FROM events e WHERE e.n = $1`, m.n)
				out.Events = append(out.Events, events...)
			}
			if err != nil {
				return nil, false, fmt.Errorf("chatlog.Talks: %w", err)
			}
		}
		talks = append(talks, out)
	}
	return talks, more, nil
}

func hasLast(marks []mark) bool {
	return slices.ContainsFunc(marks, func(m mark) bool { return m.sort == "last" })
}

func less(a, b Place) bool {
	return a.Clock < b.Clock || a.Clock == b.Clock && slices.Compare(a.Mid[:], b.Mid[:]) < 0
}

func later(a, b Place) Place {
	if less(a, b) {
		return b
	}
	return a
}

var errCursor = errors.New("chatlog: not a cursor")

// MarshalText writes the epoch in base64url.
func (e Epoch) MarshalText() ([]byte, error) { return []byte(protocol.EncodeBytes(e[:])), nil }

// UnmarshalText reads an epoch; an empty one is that of a device that has nothing yet.
func (e *Epoch) UnmarshalText(text []byte) error {
	b, err := protocol.DecodeBytes(string(text))
	if err != nil || len(b) != len(e) && len(b) != 0 {
		return errCursor
	}
	*e = Epoch{}
	copy(e[:], b)
	return nil
}

// HighestClock is the highest clock in the conversation with peer, 0 for none.
func (l *Log) HighestClock(ctx context.Context, peer protocol.UID) (int64, error) {
	id, ok := l.names.find(peer)
	if !ok {
		return 0, nil
	}
	var clock int64
	err := l.db.QueryRow(ctx, `SELECT COALESCE(MAX(clock), 0) FROM events WHERE peer = $1 AND shown = 1`, id).Scan(&clock)
	return clock, err
}

// HashOf replaces hash by that of the version of (author, mid) in the log, if
// there is one, as tx sees it.
func (l *Log) HashOf(ctx context.Context, tx store.Tx, author protocol.UID, mid protocol.ID, hash *protocol.Hash32) error {
	id, ok := l.names.find(author)
	if !ok {
		return nil
	}
	var raw []byte
	err := tx.QueryRow(ctx, `SELECT hash FROM events WHERE mid = $1 AND author = $2`, mid[:], id).Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	copy(hash[:], raw)
	return err
}
