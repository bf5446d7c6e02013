// Package intake takes letters into custody: it opens what the relay delivers,
// commits what has arrived in one transaction, and only then lets the relay
// forget it. Whatever cannot be opened is committed as it came.
//
// It must never confirm before the commit, and never let a letter go without a
// trace because something could not be asked at the moment.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/chatlog"
	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/files"
	"github.com/courtyard-social/courtyard/homedb/internal/friends"
	"github.com/courtyard-social/courtyard/homedb/internal/keys"
	"github.com/courtyard-social/courtyard/homedb/internal/outbox"
	"github.com/courtyard-social/courtyard/homedb/internal/store"
	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/protocol/letter"
	"github.com/courtyard-social/courtyard/protocol/message"
)

// Intake opens and commits for one person.
type Intake struct {
	Self   protocol.UID
	DB     *store.DB
	Log    *chatlog.Log
	Book   *friends.Book
	Ring   *keys.Ring
	Files  *files.Files
	Clock  clock.Clock
	Logger *slog.Logger
	// MoreKeys looks for daily keys that came into the vault since (a device issues
	// one while the home is away) and reports whether the ring has grown.
	MoreKeys func(ctx context.Context) (bool, error)
	// Counted is told what became of each letter: added, again, held-…, dropped.
	Counted func(what string, n int)
	// Grown is called after every commit that added events; Owed after every commit
	// that made letters or files due.
	Grown func()
	Owed  func()
	// Ahead is called when a letter came back because of its date.
	Ahead func()
}

// item is a delivery after it was looked at: an event, or held, or neither
// (a notice that has been understood).
type item struct {
	n       int64
	event   *chatlog.Event
	receipt bool // the sender is to hear that the home has it
	file    *files.Ref
	owes    []owed
	held    *held
	rewrite *rewrite
}

// rewrite is a letter of this home's own that has to be written again.
type rewrite struct {
	outbox.Posted
	peer     protocol.UID
	envelope protocol.ID // in which nobody asks for it any more; zero: the relay may tell of it once more
}

type owed struct {
	kind string
	peer protocol.UID
	ref  protocol.ID
}

// open looks at one delivery. It asks the relay for chains where it must, but
// never fails: what cannot be opened now is held.
func (i *Intake) open(ctx context.Context, n int64, raw []byte) item {
	now := clock.Millis(i.Clock)
	it := item{n: n}
	e, err := protocol.ParseEnvelope(raw)
	if err != nil || e.From.ID != i.Self && e.To.ID != i.Self {
		it.held = hold(raw, protocol.UID{}, protocol.ID{}, invalid, now)
		return it
	}
	switch e.Type {
	case protocol.TypeChat, protocol.TypeFriend, protocol.TypeReceipt:
	case protocol.TypeReturned:
		return i.returned(ctx, n, raw, e, now)
	default: // of a later version of the protocol: kept for it
		it.held = hold(raw, e.From.ID, e.ID, invalid, now)
		return it
	}
	if err := i.Book.Hint(ctx, e.From.ID, e.From); err != nil {
		i.Logger.Warn("intake: where a stranger lives was not noted", "error", err)
	}
	sender := i.Book.Sender(ctx, e.TS)
	opened, err := letter.Open(e, i.Ring.Secrets(), sender)
	if errors.Is(err, letter.ErrLetter) && !letter.SealedTo(e, i.Ring.Secrets()) {
		if !i.found(ctx, e) {
			it.held = hold(raw, e.From.ID, e.ID, noKey, now)
			it.owes = append(it.owes, owed{outbox.Stale, e.From.ID, e.ID})
			return it
		}
		opened, err = letter.Open(e, i.Ring.Secrets(), sender)
	}
	if err != nil {
		i.Logger.Info("intake: a letter was not opened", "reason", reasonOf(err), "code", protocol.CodeOf(err))
		it.held = hold(raw, e.From.ID, e.ID, reasonOf(err), now)
		return it
	}
	if err := i.understand(ctx, &it, e, opened, now); err != nil {
		i.Logger.Info("intake: a letter was not understood", "reason", reasonOf(err), "code", protocol.CodeOf(err))
		it = item{n: n, held: hold(raw, e.From.ID, e.ID, reasonOf(err), now)}
	}
	return it
}

// reasonOf tells what is wrong with a letter from what could not be asked.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, friends.ErrFork):
		return forked
	case errors.Is(err, letter.ErrLetter):
		return invalid
	}
	switch protocol.CodeOf(err) {
	case protocol.CodeBadRequest, protocol.CodeNotAllowed, protocol.CodeTooLarge:
		return invalid
	}
	return noChain
}

// found looks into the vault for the key of a letter that no key opens: a device
// may have issued one meanwhile.
func (i *Intake) found(ctx context.Context, e *protocol.Envelope) bool {
	grown, err := i.MoreKeys(ctx)
	if err != nil {
		i.Logger.Info("intake: no look into the vault", "code", protocol.CodeOf(err))
	}
	return grown && letter.SealedTo(e, i.Ring.Secrets())
}

// understand turns an opened letter into an event and what it sets off.
func (i *Intake) understand(ctx context.Context, it *item, e *protocol.Envelope, opened *letter.Opened, now int64) error {
	meta, err := message.ParseMeta(opened.Meta)
	if err != nil {
		return err
	}
	body, err := message.ParseBody(e.Type, meta.Kind, opened.Body)
	if err != nil {
		return err
	}
	peer := e.From.ID
	if peer == i.Self {
		peer = e.To.ID
	}
	event := &chatlog.Event{
		Peer: peer, Author: e.From.ID, Dev: meta.Dev, Type: e.Type, Kind: meta.Kind, Mid: meta.MID,
		Clock: message.ReadClock(meta.Clock, e.TS), TS: e.TS, Received: now, Envelope: e.ID,
		Proof: proof(e), Meta: opened.Meta, Body: opened.Body, Hash: opened.Hash,
	}
	theirs := e.From.ID != i.Self
	switch b := body.(type) {
	case message.Home:
		if opened.Device.Role != ident.RoleHome {
			i.Counted("forged-tick", 1)
			return protocol.Refuse("intake", protocol.CodeNotAllowed, "a home receipt that is not a home's")
		}
		if !theirs {
			return nil
		}
		for _, item := range b.Items {
			event.Items = append(event.Items, chatlog.Tick{Mid: item.MID, Hash: item.Hash})
		}
	case message.Stale:
		return i.stale(ctx, it, e, opened, b)
	case message.Edit:
		event.Touches = &chatlog.Touch{Mid: b.Target, Author: e.From.ID}
		it.file = ref(event, b.Target, b.File)
	case message.Delete:
		event.Touches = &chatlog.Touch{Mid: b.Target, Author: e.From.ID}
	case message.React:
		event.Touches = &chatlog.Touch{Mid: b.Target, Author: b.Author}
	case message.Read:
		event.Rank = b.Upto
	case message.Profile:
		event.Rank = b.Version
	case message.Text:
		it.file = ref(event, meta.MID, b.File)
	case message.Photo:
		it.file = ref(event, meta.MID, &b.File)
	case message.Joined:
		if theirs {
			it.owes = append(it.owes, owed{outbox.Accept, e.From.ID, meta.MID})
		}
	}
	it.event = event
	it.receipt = theirs && e.Type == protocol.TypeChat
	return nil
}

// proof is what the log keeps of a letter besides meta and body: H and the hash
// of everything before the sealed part.
func proof(e *protocol.Envelope) []byte {
	h, prefix := e.H(), protocol.Hash32(sha256Prefix(e.Data))
	return append(append(make([]byte, 0, 64), h[:]...), prefix[:]...)
}

func ref(event *chatlog.Event, mid protocol.ID, f *message.File) *files.Ref {
	if f == nil {
		return nil
	}
	return &files.Ref{Author: event.Author, Peer: event.Peer, Mid: mid, File: *f}
}

// stale is a friend who could not open a letter of ours: it is owed again, if
// it is in the log, for a key that it was not sealed to yet; one of this home's own
// once.
func (i *Intake) stale(ctx context.Context, it *item, e *protocol.Envelope, opened *letter.Opened, b message.Stale) error {
	if e.From.ID == i.Self || opened.Device.Role == ident.RoleSession {
		return nil
	}
	rec, err := i.Book.Verify(ctx, e.From.ID, b.UEK)
	if errors.Is(err, ident.ErrRollback) {
		return nil // an old notice; the letter has been sealed to a newer key, or will be
	}
	if err != nil {
		return err
	}
	event, ok, err := i.Log.ByEnvelope(ctx, e.From.ID, b.ID)
	if err != nil {
		return err
	}
	if !ok { // a receipt, say
		posted, err := outbox.FindPosted(ctx, i.DB, e.From.ID, b.ID)
		if err == nil && posted.Kind != "" {
			it.rewrite = &rewrite{posted, e.From.ID, b.ID}
		}
		return err
	}
	counter, err := i.Log.SealedTo(ctx, event.Mid)
	if err != nil || counter >= rec.Counter {
		return err
	}
	it.owes = append(it.owes, owed{outbox.Reseal, e.From.ID, b.ID})
	return nil
}

// commit takes what was opened into the log in one transaction, durably; also is
// committed with it.
func (i *Intake) commit(ctx context.Context, items []item, also func(store.Tx) error) error {
	var added []bool
	var free []protocol.ID
	var events []*chatlog.Event
	for _, it := range items {
		if it.event != nil {
			events = append(events, it.event)
		}
	}
	now := clock.Millis(i.Clock)
	err := i.DB.Write(ctx, func(tx store.Tx) (err error) {
		free = nil
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		if added, err = i.Log.Append(ctx, tx, events); err != nil {
			return err
		}
		at := 0
		for _, it := range items {
			if it.held != nil {
				if err := it.held.keep(ctx, tx); err != nil {
					return err
				}
			}
			for _, o := range it.owes {
				if err := outbox.Owe(ctx, tx, o.kind, o.peer, o.ref, now); err != nil {
					return err
				}
			}
			if it.rewrite != nil {
				if err := outbox.Rewrite(ctx, tx, it.rewrite.peer, it.rewrite.Posted, it.rewrite.envelope, now); err != nil {
					return err
				}
			}
			if it.event == nil {
				continue
			}
			gone, err := i.follow(ctx, tx, it, added[at])
			if err != nil {
				return err
			}
			free = append(free, gone...)
			at++
		}
		if err := hurry(ctx, tx, items, now); err != nil {
			return err
		}
		return i.trim(ctx, tx, items)
	})
	if err != nil {
		return errors.Join(fmt.Errorf("intake: %w", err), i.Log.Forget(ctx))
	}
	i.told(items, added)
	if err := i.Files.Remove(free); err != nil {
		i.Logger.Warn("intake: the bytes of a deleted file stay until the next start", "error", err)
	}
	return nil
}

// follow does, in the transaction, what an event sets off.
func (i *Intake) follow(ctx context.Context, tx store.Tx, it item, added bool) ([]protocol.ID, error) {
	e := it.event
	if it.receipt {
		hash := e.Hash
		if !added { // the receipt names what is on disk: the first version
			if err := i.Log.HashOf(ctx, tx, e.Author, e.Mid, &hash); err != nil {
				return nil, err
			}
		}
		if err := outbox.OweReceipt(ctx, tx, e.Author, e.Mid, hash); err != nil {
			return nil, err
		}
		if hash != e.Hash { // and this one as well, whose sender may know no other
			if err := outbox.OweReceipt(ctx, tx, e.Author, e.Mid, e.Hash); err != nil {
				return nil, err
			}
		}
	}
	if !added {
		if it.file != nil { // its author has sent it again, perhaps with the bytes that were missing
			return nil, i.Files.Again(ctx, tx, *it.file)
		}
		return nil, nil
	}
	if it.file != nil && e.Body != nil {
		return nil, i.Files.Want(ctx, tx, *it.file)
	}
	if e.Kind == chatlog.KindDelete && e.Touches != nil {
		return i.Files.Forget(ctx, tx, e.Author, e.Touches.Mid)
	}
	return nil, nil
}

func (i *Intake) told(items []item, added []bool) {
	at, grown, owes := 0, 0, false
	for _, it := range items {
		owes = owes || len(it.owes) > 0 || it.receipt || it.file != nil || it.rewrite != nil
		switch {
		case it.held != nil:
			i.Counted("held-"+it.held.reason, 1)
		case it.event != nil && added[at]:
			grown++
		case it.event != nil:
			i.Counted("again", 1)
		}
		if it.event != nil {
			at++
		}
	}
	if grown > 0 {
		i.Counted("added", grown)
		i.Grown()
	}
	if owes || grown > 0 {
		i.Owed()
	}
}

// Delivery is a row as the relay delivers it.
type Delivery struct {
	N   int64
	Raw []byte
}

// Take opens and commits rows at once, with what also does in the same transaction.
func (i *Intake) Take(ctx context.Context, rows []Delivery, also func(store.Tx) error) error {
	items := make([]item, 0, len(rows))
	for _, r := range rows {
		items = append(items, i.open(ctx, r.N, r.Raw))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return i.commit(ctx, items, also)
}

// group bounds what one transaction takes; a relay has at most 64 unconfirmed.
const group = 64

// Run opens and commits deliveries until ctx ends or the channel is closed,
// confirming the last of each transaction. Rows that are known to be in the log
// are not opened again. Opening runs ahead of committing:
// while one group is on its way to the disk, the next is opened, and everything
// that is open when the disk is ready goes into one transaction.
func (i *Intake) Run(ctx context.Context, deliveries <-chan Delivery, known func(n int64) bool, confirm func(n int64)) {
	opened := make(chan item, group) // full: opening waits for the disk
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.commits(ctx, opened, confirm)
	}()
	defer func() {
		close(opened)
		<-done
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case d, ok := <-deliveries:
			if !ok {
				return
			}
			it := item{n: d.N}
			if !known(d.N) {
				it = i.open(ctx, d.N, d.Raw)
			}
			if ctx.Err() != nil {
				return // what failed may have failed for that reason
			}
			select {
			case opened <- it:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (i *Intake) commits(ctx context.Context, opened <-chan item, confirm func(n int64)) {
	batch := make([]item, 0, group)
	for {
		select {
		case <-ctx.Done():
			return
		case it, ok := <-opened:
			if !ok {
				return
			}
			batch = append(batch[:0], it)
		}
	fill:
		for len(batch) < group {
			select {
			case it, ok := <-opened:
				if !ok {
					break fill
				}
				batch = append(batch, it)
			default:
				break fill
			}
		}
		if !i.persist(ctx, batch) {
			return
		}
		confirm(batch[len(batch)-1].n)
		clear(batch)
	}
}

const retry = 5 * time.Second

// persist commits, again and again while the disk does not take it: until then
// the relay keeps the letters.
func (i *Intake) persist(ctx context.Context, batch []item) bool {
	for {
		err := i.commit(ctx, batch, nil)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		i.Logger.Error("intake: nothing is confirmed while the disk does not take it", "full", errors.Is(err, store.ErrFull), "error", err)
		i.Counted("commit-failed", 1)
		if i.Clock.Wait(ctx, retry) != nil {
			return false
		}
	}
}
