package files

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// Run pulls and drops until ctx ends. token is that of the line.
func (f *Files) Run(ctx context.Context, token string) {
	if err := f.restart(ctx); err != nil {
		f.Logger.Error("files: not readable", "error", err)
	}
	for ctx.Err() == nil {
		next, err := f.round(ctx, token)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.Logger.Warn("files: waiting", "error", err)
			next = time.Minute
		}
		clock.Until(ctx, f.Clock, next, f.Wake)
	}
}

// restart makes everything due: what failed may work on a new line.
func (f *Files) restart(ctx context.Context) error {
	return f.DB.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE files SET due = 0 WHERE state = 'wanted' AND due > 0`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE drops SET due = 0 WHERE due > 0`)
		return err
	})
}

// round deals with everything that is due and returns when to look again.
func (f *Files) round(ctx context.Context, token string) (time.Duration, error) {
	for {
		list, err := f.due(ctx)
		if err != nil {
			return 0, err
		}
		drops, err := f.dueDrops(ctx)
		if err != nil {
			return 0, err
		}
		for _, r := range list {
			if err := f.one(ctx, token, r); err != nil {
				return 0, err
			}
		}
		for _, d := range drops {
			if err := f.drop(ctx, token, d); err != nil {
				return 0, err
			}
		}
		if len(list)+len(drops) == 0 {
			break
		}
	}
	var due int64
	err := f.DB.QueryRow(ctx, `SELECT COALESCE(MIN(due), 0) FROM (
		SELECT due FROM files WHERE state = 'wanted' UNION ALL SELECT due FROM drops) x`).Scan(&due)
	if err != nil {
		return 0, err
	}
	if due == 0 {
		return idle, nil
	}
	return max(time.Second, time.Duration(due-clock.Millis(f.Clock))*time.Millisecond), nil
}

type pulling struct {
	author protocol.UID
	file   message.File
	tries  int
}

func (f *Files) due(ctx context.Context) ([]pulling, error) {
	rows, err := f.DB.Query(ctx, `SELECT author, id, key, size, hash, tries FROM files WHERE state = 'wanted' AND due <= $1
		ORDER BY due LIMIT 20`, clock.Millis(f.Clock))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []pulling
	for rows.Next() {
		var p pulling
		var author, id, key, hash []byte
		if err := rows.Scan(&author, &id, &key, &p.file.Size, &hash, &p.tries); err != nil {
			return nil, err
		}
		p.author, p.file.ID, p.file.Hash = protocol.UID(author), protocol.ID(id), protocol.Hash32(hash)
		p.file.Key, p.file.Type = protocol.SecretOf(key), "application/octet-stream"
		out = append(out, p)
	}
	return out, rows.Err()
}

// one pulls one file and notes how it went; its own failure is no error here.
func (f *Files) one(ctx context.Context, token string, p pulling) error {
	err := f.pull(ctx, token, p.file)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	state := wanted
	switch {
	case err == nil:
		state = have
	case errors.Is(err, letter.ErrFile) && p.tries+1 >= maxBad:
		state = bad
	case p.tries+1 >= maxTries:
		state = gone
	}
	if err != nil {
		f.Logger.Info("files: not pulled", "code", protocol.CodeOf(err), "tries", p.tries+1, "state", state)
	}
	due := clock.Millis(f.Clock) + wait(p.tries).Milliseconds()
	return f.DB.Write(ctx, func(tx store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE files SET state = $1, tries = tries + 1, due = $2 WHERE author = $3 AND id = $4`,
			state, due, p.author[:], p.file.ID[:])
		if err != nil || state == wanted || state == gone || n == 0 { // n 0: forgotten meanwhile; Sweep finds the bytes
			return err
		}
		return owe(ctx, tx, p.file.ID)
	})
}

func wait(tries int) time.Duration {
	if tries > 12 {
		return lastWait
	}
	return min(firstWait<<tries, lastWait)
}

type dropping struct {
	id    protocol.ID
	tries int
}

func (f *Files) dueDrops(ctx context.Context) ([]dropping, error) {
	rows, err := f.DB.Query(ctx, `SELECT id, tries FROM drops WHERE due <= $1 ORDER BY due LIMIT 100`, clock.Millis(f.Clock))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []dropping
	for rows.Next() {
		var d dropping
		var id []byte
		if err := rows.Scan(&id, &d.tries); err != nil {
			return nil, err
		}
		d.id = protocol.ID(id)
		out = append(out, d)
	}
	return out, rows.Err()
}

func (f *Files) drop(ctx context.Context, token string, d dropping) error {
	err := f.Relay.DropFile(ctx, token, d.id)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		f.Logger.Info("files: not dropped at the relay", "code", protocol.CodeOf(err))
	}
	return f.DB.Write(ctx, func(tx store.Tx) error {
		query, args := `DELETE FROM drops WHERE id = $1`, []any{d.id[:]}
		if err != nil && d.tries < maxTries {
			query = `UPDATE drops SET tries = tries + 1, due = $2 WHERE id = $1`
			args = append(args, clock.Millis(f.Clock)+wait(d.tries).Milliseconds())
		}
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

func scanIDs(rows *sql.Rows) ([]protocol.ID, error) {
	defer rows.Close()
	var out []protocol.ID
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, protocol.ID(id))
	}
	return out, rows.Err()
}
