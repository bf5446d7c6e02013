package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/courtyard-social/courtyard/protocol"
	_ "modernc.org/sqlite" // the homes' databases
)

// shelf is where somebody's letters are in the end: in the home's log, or in the
// keep of the relay for those without a home.
type shelf struct {
	Who     string
	Home    bool
	Rows    []entry // chat letters and returned ones, in the order of their arrival
	Ticks   []entry // receipts that came, and for which letter
	Again   []entry // as what the home has sealed own letters again: mid, envelope, hash
	Waiting int     // letters that the own relay still has for others
	Kept    int     // rows that the relay still has for a home
	Owed    int     // receipts and other letters that the home still owes
	Strange []string
}

// pageRows is what is asked for at once.
const pageRows = 100

// waiting counts what the relay has of p's letters for others.
func (p *phone) waiting(ctx context.Context) (n int, err error) {
	for after, more := int64(0), true; more; {
		var page struct {
			Rows []struct {
				N int64 `json:"n"`
			} `json:"rows"`
			More bool `json:"more"`
		}
		if err := p.get(ctx, fmt.Sprintf("/api/1/outbound?after=%d&limit=%d", after, pageRows), &page); err != nil {
			return 0, err
		}
		more = page.More
		for _, row := range page.Rows {
			after = row.N
			n++
		}
	}
	return n, nil
}

// keep fetches everything that the relay has for p, in the order of its arrival.
func (p *phone) keep(ctx context.Context) (entries []entry, rows int, err error) {
	var pages [][]entry
	for before, more := int64(0), true; more; {
		var page struct {
			Rows []struct {
				N   int64           `json:"n"`
				Env json.RawMessage `json:"env"`
			} `json:"rows"`
			More bool `json:"more"`
		}
		if err := p.get(ctx, fmt.Sprintf("/api/1/keep?before=%d&limit=%d", before, pageRows), &page); err != nil {
			return nil, 0, err
		}
		more = page.More
		for _, row := range page.Rows {
			before = row.N
			rows++
			pages = append(pages, p.read(row.N, row.Env))
		}
	}
	for i := len(pages) - 1; i >= 0; i-- {
		entries = append(entries, pages[i]...)
	}
	return entries, rows, nil
}

// shelf collects what there is of p.
func (p *phone) shelf(ctx context.Context) (s shelf, err error) {
	s = shelf{Who: p.Username, Home: p.home}
	if s.Waiting, err = p.waiting(ctx); err != nil {
		return s, err
	}
	kept, rows, err := p.keep(ctx)
	if err != nil {
		return s, err
	}
	if p.home {
		s.Kept = rows
		return s, p.log(ctx, &s)
	}
	for _, e := range kept {
		switch {
		case e.What == wasTicked:
			s.Ticks = append(s.Ticks, e)
		case e.What == wasReturned || e.What == wasDelivered && e.Type == protocol.TypeChat:
			s.Rows = append(s.Rows, e)
		case e.What == wasTrouble:
			s.Strange = append(s.Strange, e.Note)
		}
	}
	return s, nil
}

// database opens p's log, read only; the home may be running.
func (p *phone) database() (*sql.DB, error) {
	path := filepath.Join(p.house.HomeData, "people", hex.EncodeToString(p.UID[:]), "log.db")
	u := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	return sql.Open("sqlite", u.String())
}

// owed counts what the home has still to send or to open.
func (p *phone) owed(ctx context.Context) (n int, err error) {
	db, err := p.database()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM receipts) + (SELECT count(*) FROM errands) + (SELECT count(*) FROM held WHERE due > 0)`).Scan(&n)
	return n, err
}

// log reads the home's log of p.
func (p *phone) log(ctx context.Context, s *shelf) (err error) {
	db, err := p.database()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if s.Owed, err = p.owed(ctx); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT e.n, e.mid, e.envelope, e.hash, e.type, e.clock, e.home, e.meta, e.body, a.key, o.key
		FROM events e JOIN names a ON a.id = e.author JOIN names o ON o.id = e.peer ORDER BY e.n`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e entry
		var ticked int64
		var mid, envelope, hash, meta, body, author, peer []byte
		if err := rows.Scan(&e.N, &mid, &envelope, &hash, &e.Type, &e.Clock, &ticked, &meta, &body, &author, &peer); err != nil {
			return err
		}
		copy(e.Mid[:], mid)
		copy(e.Env[:], envelope)
		copy(e.Hash[:], hash)
		e.What, e.From, e.To = wasDelivered, p.name(author), p.name(peer)
		if e.From != p.Username {
			e.To = p.Username
		}
		var said struct {
			Seq int64 `json:"seq"`
		}
		if len(meta) > 0 { // what the own relay says has none
			if err := json.Unmarshal(meta, &said); err != nil {
				return err
			}
		}
		e.Seq = said.Seq
		switch e.Type {
		case protocol.TypeChat:
			s.Rows = append(s.Rows, e)
		case protocol.TypeReturned:
			e.What = wasReturned
			var why struct {
				Code string `json:"code"`
			}
			if err := json.Unmarshal(body, &why); err != nil {
				return err
			}
			e.Code = why.Code
			s.Rows = append(s.Rows, e)
		}
		if ticked > 0 {
			s.Ticks = append(s.Ticks, entry{What: wasTicked, From: e.To, Mid: e.Mid, Hash: e.Hash})
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return errors.Join(p.again(ctx, db, s), p.strange(ctx, db, s))
}

// again reads which of p's own letters the home has sealed again.
func (p *phone) again(ctx context.Context, db *sql.DB, s *shelf) error {
	rows, err := db.QueryContext(ctx, `SELECT v.mid, v.envelope, v.hash FROM versions v JOIN events e ON e.mid = v.mid AND e.author = 1 WHERE v.hash <> e.hash`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		e := entry{From: p.Username}
		var mid, envelope, hash []byte
		if err := rows.Scan(&mid, &envelope, &hash); err != nil {
			return err
		}
		copy(e.Mid[:], mid)
		copy(e.Env[:], envelope)
		copy(e.Hash[:], hash)
		s.Again = append(s.Again, e)
	}
	return rows.Err()
}

// strange finds what the home would show as an alarm, or could not open.
func (p *phone) strange(ctx context.Context, db *sql.DB, s *shelf) error {
	for what, query := range map[string]string{
		"%d people whose chain it takes for another one": `SELECT count(*) FROM pins WHERE fork <> 0`,
		"%d letters set aside":                           `SELECT count(*) FROM held`,
		"%d receipts for letters it does not have":       `SELECT count(*) FROM ticks`,
	} {
		var n int
		if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			s.Strange = append(s.Strange, fmt.Sprintf("the home of %s has "+what, p.Username, n))
		}
	}
	return nil
}

func (p *phone) name(uid []byte) string {
	if len(uid) == len(protocol.UID{}) {
		if r, ok := p.people[protocol.UID(uid)]; ok {
			return r.Username
		}
	}
	return "?" + hex.EncodeToString(uid)
}
