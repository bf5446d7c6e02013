package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/message"
	"github.com/courtyard-social/courtyard/protocol/vault"
)

type errand struct {
	kind  string
	peer  protocol.UID
	ref   protocol.ID
	made  int64
	tries int
	due   int64 // as it was read; Rewrite changes it
}

// errands sends some single letters and returns how many it dealt with.
func (o *Outbox) errands(ctx context.Context, put Put, token string) (int, error) {
	list, err := o.turn(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		err := o.run(ctx, put, token, e)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if errors.Is(err, errEarly) {
			o.Logger.Debug("outbox: a letter waits for the courtyards' clocks", "error", err)
			if err := o.wait(ctx, e, clock.Millis(o.Clock)+pause.Milliseconds()); err != nil {
				return 0, err
			}
			continue
		}
		again, wait := verdict(err, e.tries)
		if err != nil {
			o.Logger.Info("outbox: an errand failed", "kind", e.kind, "code", protocol.CodeOf(err), "again", again)
		}
		if again && e.tries+1 >= maxTries && !elsewhere(err) {
			again = false
			o.Given(e.kind)
		}
		if err := o.done(ctx, e, again, clock.Millis(o.Clock)+wait.Milliseconds()); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// turn picks the errands that are sent next, a few, because receipts wait for
// them meanwhile: a relay takes about ten letters a second. A notice about a
// letter that nobody could open comes after everything else, and whoever has
// caused many errands waits for those who have caused one: one of each peer, then
// a second of each, beginning after the peer who came last the time before.
func (o *Outbox) turn(ctx context.Context) ([]errand, error) {
	rows, err := o.DB.Query(ctx, `SELECT kind, peer, ref, made, tries, due FROM (
			SELECT kind, peer, ref, made, tries, due, CASE kind WHEN 'stale' THEN 1 ELSE 0 END AS later,
				ROW_NUMBER() OVER (PARTITION BY kind, peer ORDER BY made, ref) AS turn
			FROM errands WHERE due <= $1) x
		ORDER BY later, turn, CASE WHEN peer > $2 THEN 0 ELSE 1 END, peer, kind LIMIT CAST($3 AS BIGINT)`,
		clock.Millis(o.Clock), o.last[:], atOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []errand
	for rows.Next() {
		var e errand
		var peer, ref []byte
		if err := rows.Scan(&e.kind, &peer, &ref, &e.made, &e.tries, &e.due); err != nil {
			return nil, err
		}
		e.peer, e.ref = protocol.UID(peer), protocol.ID(ref)
		list = append(list, e)
	}
	if n := len(list); n > 0 {
		o.last = list[n-1].peer
	}
	return list, rows.Err()
}

// done strikes out what was sent, or puts it off; as told does.
func (o *Outbox) done(ctx context.Context, e errand, again bool, due int64) error {
	return o.DB.Write(ctx, func(tx store.Tx) error {
		query, args := `DELETE FROM errands WHERE kind = $1 AND peer = $2 AND ref = $3 AND due = $4`, []any{e.kind, e.peer[:], e.ref[:], e.due}
		if again {
			query = `UPDATE errands SET tries = tries + 1, due = $5 WHERE kind = $1 AND peer = $2 AND ref = $3 AND due = $4`
			args = append(args, due)
		}
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

// wait puts off what was not tried.
func (o *Outbox) wait(ctx context.Context, e errand, due int64) error {
	return o.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE errands SET due = $5 WHERE kind = $1 AND peer = $2 AND ref = $3 AND due = $4`, e.kind, e.peer[:], e.ref[:], e.due, due)
		return err
	})
}

func (o *Outbox) run(ctx context.Context, put Put, token string, e errand) error {
	switch e.kind {
	case Stale:
		return o.stale(ctx, put, e)
	case Reseal:
		return o.reseal(ctx, put, e)
	case Again:
		return o.again(ctx, put, e)
	case Accept:
		return o.accept(ctx, put, token, e)
	}
	return protocol.Refuse("outbox", protocol.CodeBadRequest, "an errand of another version")
}

// stale asks peer to seal a letter again, for the record that is in use now. It is
// sealed to no pinned key: two who know only old keys of each other would ask each
// other for ever.
func (o *Outbox) stale(ctx context.Context, put Put, e errand) error {
	record, err := o.Writer.Book.OwnRecord(ctx)
	if err != nil {
		return err
	}
	body, err := message.MarshalBody(message.Stale{ID: e.ref, UEK: record})
	if err != nil {
		return err
	}
	return o.send(ctx, put, Posted{Kind: Stale, Ref: e.ref}, draft{peer: e.peer, typ: protocol.TypeReceipt, kind: message.KindStale, body: body, shown: true})
}

// reseal seals one of one's own letters again: same mid, seq, clock and words, new
// envelope, the friend's newest key. Of a chat one's own devices get it too, so
// that they know the hash that a receipt will name.
func (o *Outbox) reseal(ctx context.Context, put Put, e errand) error {
	event, ok, err := o.Log.ByEnvelope(ctx, e.peer, e.ref)
	if err != nil || !ok || event.Body == nil { // not ours, or deleted since
		return err
	}
	meta, err := message.ParseMeta(event.Meta)
	if err != nil {
		return err
	}
	s, err := o.Writer.seal(ctx, draft{peer: e.peer, typ: event.Type, kind: event.Kind, mid: event.Mid, clock: meta.Clock,
		seq: meta.Seq, body: event.Body, own: event.Type == protocol.TypeChat, freshlyUEK: true})
	if err != nil {
		return err
	}
	err = o.DB.Write(ctx, func(tx store.Tx) error {
		return o.Log.AddVersion(ctx, tx, event.Mid, chatlog.Version{Hash: s.hash, Envelope: s.envelope.ID, UEK: s.uek})
	})
	if err != nil {
		return err
	}
	_, err = put(ctx, s.to, s.marks, s.envelope)
	if _, refused := errors.AsType[*protocol.Error](err); refused {
		// It is nowhere, so nobody has to hear that it came back.
		return errors.Join(err, o.DB.Write(ctx, func(tx store.Tx) error {
			return o.Log.DropVersion(ctx, tx, event.Mid, s.envelope.ID)
		}))
	}
	return err
}

const (
	// certain is how far a date may be ahead of a clock and be called right.
	certain = 5 * time.Minute
	// askEvery is how often the relay is asked for its time, for any number of letters.
	askEvery = 10 * time.Second
)

// errEarly says that a letter waits for the courtyards' clocks to get to its date.
var errEarly = errors.New("the relay's clock is behind the date of the letter")

// again seals a letter anew that came back because of its date, unless one of the
// person's devices has done so meanwhile.
func (o *Outbox) again(ctx context.Context, put Put, e errand) error {
	if e.tries == 0 {
		back, err := o.Log.CameBack(ctx, e.peer, e.ref)
		if err != nil || !back {
			return err
		}
		if early, err := o.early(ctx, e); early || err != nil {
			return errors.Join(err, errEarly)
		}
		// What is sealed anew counts as under way, before it is: a crash must not leave it so.
		if err := o.done(ctx, e, true, e.due); err != nil {
			return err
		}
	}
	return o.reseal(ctx, put, e)
}

// early reports whether a letter that came back has the right date and the
// courtyards' clocks are behind, as this machine's says: dated by them it would
// stand before what was written earlier. So it waits, for Patience at most.
func (o *Outbox) early(ctx context.Context, e errand) (bool, error) {
	now := clock.Millis(o.Clock)
	if now >= e.made+Patience.Milliseconds() {
		return false, nil
	}
	event, ok, err := o.Log.ByEnvelope(ctx, e.peer, e.ref)
	if err != nil || !ok || event.TS > now+certain.Milliseconds() {
		return false, err
	}
	if now >= o.asked+askEvery.Milliseconds() {
		relay, err := o.RelayTime(ctx)
		if err != nil {
			return true, err
		}
		o.asked, o.lead = now, relay-now
	}
	return event.TS > now+o.lead+certain.Milliseconds(), nil
}

// accept answers somebody who joined by one of the invites in the vault: if the
// proof fits, they become a friend there, and hear of it. It works while no
// browser is open; if a device was faster there is nothing left to do.
func (o *Outbox) accept(ctx context.Context, put Put, token string, e errand) error {
	event, ok, err := o.Log.Find(ctx, e.peer, e.ref)
	if err != nil || !ok || event.Body == nil {
		return err
	}
	body, err := message.ParseBody(event.Type, event.Kind, event.Body)
	if err != nil {
		return err
	}
	joined, ok := body.(message.Joined)
	if !ok {
		return protocol.Refuse("outbox.accept", protocol.CodeBadRequest, "not a joined letter")
	}
	chain, err := o.Writer.Book.Chain(ctx, e.peer)
	if err != nil {
		return err
	}
	uek, err := o.Writer.Book.UEK(ctx, e.peer, false)
	if err != nil {
		return err
	}
	own, err := o.Writer.Book.Own(ctx)
	if err != nil {
		return err
	}
	username, err := o.verified(ctx, e.peer, joined.Username)
	if err != nil {
		return err
	}
	// From here on a crash must not leave a friend in the vault who never hears of it.
	if err := o.done(ctx, e, true, e.due); err != nil {
		return err
	}
	var answer *message.Answer
	err = o.Safe.Change(ctx, token, func(c *vault.Contents) bool {
		answer = nil
		invite := findInvite(c, joined.Invite)
		if invite == nil || !invite.By.IsZero() && invite.By != e.peer ||
			!vault.CheckInviteProof(joined.Proof, invite.Secret, invite.ID, own.UID(), e.peer) {
			return false
		}
		friend := findFriend(c, e.peer)
		if friend != nil && friend.State == vault.StateBlocked {
			return false
		}
		if friend != nil && event.Clock < friend.Since {
			return false // something has happened between the two since
		}
		if friend != nil && friend.State == vault.StateFriend && invite.By == e.peer {
			if e.tries > 0 { // perhaps our own work, before a crash
				answer = &message.Answer{Name: c.Name, Username: c.Username}
			}
			return false
		}
		if friend == nil {
			c.Friends = append(c.Friends, vault.Friend{UID: e.peer})
			friend = &c.Friends[len(c.Friends)-1]
		}
		friend.Username, friend.Name = username, joined.Name
		friend.Host, friend.Port = chain.Relay().Host, chain.Relay().Port
		friend.State, friend.Confirmed, friend.Since, friend.MID = vault.StateFriend, true, event.Clock, event.Mid
		friend.Seq, friend.Head, friend.UEK, friend.UEKKey = chain.Seq(), chain.Head(), uek.Counter, uek.Key
		invite.By = e.peer
		answer = &message.Answer{Name: c.Name, Username: c.Username}
		return true
	})
	if err != nil || answer == nil {
		return err
	}
	raw, err := message.MarshalBody(*answer)
	if err != nil {
		return err
	}
	return o.send(ctx, put, Posted{Kind: Accept, Ref: e.ref}, draft{peer: e.peer, typ: protocol.TypeFriend, kind: message.KindAccept, body: raw})
}

// verified is the username as claimed, if the courtyard where that person lives
// gives it to them, else none: nobody shall be taken for somebody else.
func (o *Outbox) verified(ctx context.Context, uid protocol.UID, claimed string) (string, error) {
	relay, elsewhere, err := o.Writer.Book.Relay(ctx, uid)
	if err != nil || claimed == "" {
		return "", err
	}
	host := ""
	if elsewhere {
		host = protocol.JoinHost(relay.Host, relay.Port)
	}
	whose, err := o.Named(ctx, host, claimed)
	if protocol.CodeOf(err) == protocol.CodeNotFound || err == nil && whose != uid {
		return "", nil
	}
	return claimed, err
}

func findInvite(c *vault.Contents, id protocol.ID) *vault.Invite {
	for i := range c.Invites {
		if c.Invites[i].ID == id {
			return &c.Invites[i]
		}
	}
	return nil
}

func findFriend(c *vault.Contents, uid protocol.UID) *vault.Friend {
	for i := range c.Friends {
		if c.Friends[i].UID == uid {
			return &c.Friends[i]
		}
	}
	return nil
}
