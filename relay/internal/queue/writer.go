package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

// Writer commits puts and confirmations in groups: everything that is waiting
// when the disk is ready goes into one transaction, at once; nobody waits for
// company.
type Writer struct {
	store  Store
	limits space.Limits
	now    func() time.Time
	room   func() error // relay-full when the disk's reserve is reached
	told   Told
	// strangers elsewhere that a person may write to.
	strangers *limit.Book

	jobs    chan job
	stopped chan struct{}

	mu     sync.RWMutex // closed and the sending on jobs
	closed bool
}

// Told hears what a committed transaction changed. Its methods must not block.
type Told interface {
	// Arrived: there are new rows for owner.
	Arrived(owner protocol.UID)
	// Dispatched: there is more to pass on to another relay.
	Dispatched(to Away)
	// SpaceChanged: more or less of the owner's space is used.
	SpaceChanged(change space.Change)
	// Kept: these rows are new. They are not to be changed.
	Kept(rows []NewRow)
	// Committed: a transaction of so many puts and confirmations is on disk.
	Committed(jobs int)
}

// Result answers a put.
type Result struct {
	Kept []protocol.UID // those in For without a home
	Err  error          // a *protocol.Error, or nil: on disk
}

type job struct {
	put     *Put
	confirm *Confirm
	settle  *Settle
	answer  func(Result)
	result  Result
}

// Confirm says that rows up to N are on a device's disk.
type Confirm struct {
	Owner  protocol.UID
	Device protocol.DeviceID
	Home   bool
	N      int64
}

// Settle ends the custody of a parcel: the next relay has it, or never will.
type Settle struct {
	N int64
	// Back is what its sender gets if it was refused for good; nil: it was taken.
	Back *Back
}

// Back is a row of type returned (section 14).
type Back struct {
	From protocol.UID // this relay
	ID   protocol.ID
	Raw  []byte
}

// strangersElsewhere is how many friend letters a day one person may send to
// people elsewhere who are no contacts.
var strangersElsewhere = limit.Rate{N: 20, Per: 24 * time.Hour}

const (
	// waiting bounds the jobs that have been handed over and are not yet in a
	// transaction. When it is full the sockets stop reading, so senders wait.
	waiting = 1024
	// groupMost bounds one transaction, so that the first of it need not wait long.
	groupMost = 512
)

// NewWriter makes a writer; Run must be running for it to answer.
func NewWriter(store Store, limits space.Limits, now func() time.Time, room func() error, told Told) *Writer {
	return &Writer{
		store: store, limits: limits, now: now, room: room, told: told,
		strangers: limit.NewBook(strangersElsewhere, now),
		jobs:      make(chan job, waiting), stopped: make(chan struct{}),
	}
}

var errStopping = &protocol.Error{Op: "queue.Writer", Code: protocol.CodeUnavailable, Cause: errors.New("the relay is stopping")}

// Put hands p over. answer is called once, from the writer's goroutine, after
// the commit or the refusal; it must not block. Put itself blocks while the
// writer is behind, until ctx ends.
func (w *Writer) Put(ctx context.Context, p *Put, answer func(Result)) error {
	return w.send(ctx, job{put: p, answer: answer})
}

// Confirm hands a confirmation over; otherwise as Put.
func (w *Writer) Confirm(ctx context.Context, c *Confirm, answer func(Result)) error {
	return w.send(ctx, job{confirm: c, answer: answer})
}

// Settle hands the end of a custody over; otherwise as Put. Code: not-found if it
// has ended already.
func (w *Writer) Settle(ctx context.Context, s *Settle, answer func(Result)) error {
	return w.send(ctx, job{settle: s, answer: answer})
}

func (w *Writer) send(ctx context.Context, j job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errStopping
	}
	select {
	case w.jobs <- j:
		return nil
	case <-ctx.Done():
		return &protocol.Error{Op: "queue.Writer", Code: protocol.CodeUnavailable, Cause: ctx.Err()}
	}
}

// Run commits until Stop. Everything handed over before is answered.
func (w *Writer) Run() {
	defer close(w.stopped)
	group := make([]job, 0, groupMost)
	for j := range w.jobs {
		group = append(group[:0], j)
	fill:
		for len(group) < groupMost {
			select {
			case j, ok := <-w.jobs:
				if !ok {
					break fill
				}
				group = append(group, j)
			default:
				break fill
			}
		}
		w.commit(group)
		clear(group)
	}
}

// Stop refuses new jobs, commits those handed over and returns when Run has.
func (w *Writer) Stop() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.jobs)
	}
	w.mu.Unlock()
	<-w.stopped
}

// commit runs a group. If the transaction fails as a whole, each job is tried
// alone, so that one that the database cannot take does not fail its neighbours.
func (w *Writer) commit(group []job) {
	err := w.attempt(group)
	if err != nil && len(group) > 1 {
		for i := range group {
			if err := w.attempt(group[i : i+1]); err != nil {
				group[i].fail(err)
			}
		}
	} else if err != nil {
		group[0].fail(err)
	}
	for i := range group {
		group[i].answer(group[i].result)
	}
}

// fail is the end of a job that the database could not take.
func (j *job) fail(err error) {
	j.result = Result{Err: err}
	if j.put != nil {
		j.put.note(err)
	}
}

// attempt runs the group in one transaction and tells what came of it. An error
// means that nothing of it is on disk, or that nobody knows.
func (w *Writer) attempt(group []job) error {
	full := w.room()
	news := news{arrived: map[protocol.UID]bool{}, dispatched: map[Away]bool{}, kept: &[]NewRow{}}
	changes := []space.Change{}
	// Not to be interrupted: an answer is due to everybody in the group.
	err := w.store.Custody(context.Background(), func(ledger Ledger) error {
		clear(news.arrived)
		clear(news.dispatched)
		*news.kept = nil
		tally := space.NewTally(w.limits, ledger)
		ctx := context.Background()
		for i := range group {
			j := &group[i]
			var err error
			switch {
			case j.confirm != nil:
				err = w.confirm(ctx, ledger, tally, j.confirm)
			case j.settle != nil:
				j.result, err = w.settle(ctx, ledger, tally, j.settle, news)
			case full != nil:
				j.result = Result{Err: full}
				j.put.note(full)
			default:
				j.result, err = w.put(ctx, ledger, tally, j.put, news)
			}
			if err != nil {
				return err
			}
		}
		var err error
		changes, err = tally.Flush(ctx)
		return err
	})
	if err != nil {
		return err
	}
	w.told.Committed(len(group))
	for owner := range news.arrived {
		w.told.Arrived(owner)
	}
	for away := range news.dispatched {
		w.told.Dispatched(away)
	}
	if rows := *news.kept; len(rows) > 0 {
		w.told.Kept(rows)
	}
	for _, change := range changes {
		w.told.SpaceChanged(change)
	}
	return nil
}

// news is what a transaction will have changed when it is on disk.
type news struct {
	arrived    map[protocol.UID]bool // there are new rows
	dispatched map[Away]bool         // there is something to pass on
	kept       *[]NewRow
}

// note tells the link's order what became of a letter it brought.
func (p *Put) note(err error) {
	for _, owner := range p.For {
		p.Order.After(owner, p.N, err)
	}
}

// put keeps a letter for everybody it is for, or refuses it for all of them.
func (w *Writer) put(ctx context.Context, ledger Ledger, tally *space.Tally, p *Put, news news) (Result, error) {
	places, err := w.places(ctx, ledger, tally, p)
	if err != nil {
		result, failure := refused(err)
		if failure == nil {
			p.note(err)
		}
		return result, failure
	}
	p.note(nil)
	result := Result{Kept: []protocol.UID{}}
	for _, to := range places {
		if to.away != nil {
			err = w.dispatch(ctx, ledger, tally, p, to, news)
		} else {
			err = w.keep(ctx, ledger, tally, p, to, news, &result)
		}
		if err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

func (w *Writer) places(ctx context.Context, ledger Ledger, tally *space.Tally, p *Put) ([]place, error) {
	now := w.now().UnixMilli()
	places := make([]place, 0, len(p.For))
	for _, owner := range p.For {
		if err := p.Order.before(owner, p.N); err != nil {
			return nil, err
		}
		found, err := w.admit(ctx, ledger, tally, p, owner, now)
		if err != nil {
			return nil, err
		}
		places = append(places, found)
	}
	return places, nil
}

func (w *Writer) keep(ctx context.Context, ledger Ledger, tally *space.Tally, p *Put, to place, news news, result *Result) error {
	home, err := tally.Home(ctx, to.owner)
	if err != nil {
		return err
	}
	if !home {
		result.Kept = append(result.Kept, to.owner)
	}
	if to.held {
		return nil
	}
	if err := tally.Make(ctx, to.room); err != nil {
		return err
	}
	n, err := tally.Number(ctx, to.owner)
	if err != nil {
		return err
	}
	now := w.now().UnixMilli()
	row := NewRow{Owner: to.owner, N: n, Put: p, Stranger: to.stranger, At: now}
	if err := ledger.Keep(ctx, row); err != nil {
		return err
	}
	if to.stranger {
		if err := ledger.Asked(ctx, to.owner, p.Sender, now); err != nil {
			return err
		}
	}
	news.arrived[to.owner] = true
	*news.kept = append(*news.kept, row)
	return tally.Charge(ctx, to.owner, p.Sender, int64(len(p.Raw)))
}

// dispatch takes custody of a letter for somebody elsewhere. Until the next
// relay has it, it counts in its sender's space.
func (w *Writer) dispatch(ctx context.Context, ledger Ledger, tally *space.Tally, p *Put, to place, news news) error {
	if to.held {
		return nil
	}
	if err := tally.Make(ctx, to.room); err != nil {
		return err
	}
	size := int64(len(p.Raw))
	parcel := Parcel{Host: to.away.Host, Sender: p.Sender, To: to.owner, ID: p.ID, Size: size, At: w.now().UnixMilli(), Raw: p.Raw, Quiet: p.Quiet, Unsure: p.Unsure}
	if _, err := ledger.Dispatch(ctx, parcel); err != nil {
		return err
	}
	news.dispatched[*to.away] = true
	return tally.Charge(ctx, p.Sender, p.Sender, size)
}

// settle ends a custody. Code: not-found if it has ended already.
func (w *Writer) settle(ctx context.Context, ledger Ledger, tally *space.Tally, s *Settle, news news) (Result, error) {
	parcel, found, err := ledger.Parcel(ctx, s.N)
	if err != nil {
		return Result{}, err
	}
	if !found {
		return Result{Err: &protocol.Error{Op: "queue.settle", Code: protocol.CodeNotFound}}, nil
	}
	// The owner is locked before his rows, as everywhere.
	if _, err := tally.Home(ctx, parcel.Sender); err != nil {
		return Result{}, err
	}
	if err := ledger.Passed(ctx, parcel); err != nil {
		return Result{}, err
	}
	if err := tally.Release(ctx, parcel.Sender, parcel.Sender, parcel.Size); err != nil || s.Back == nil {
		return Result{}, err
	}
	n, err := tally.Number(ctx, parcel.Sender)
	if err != nil {
		return Result{}, err
	}
	back := &Put{Sender: s.Back.From, For: []protocol.UID{parcel.Sender}, ID: s.Back.ID, Raw: s.Back.Raw}
	if err := ledger.Keep(ctx, NewRow{Owner: parcel.Sender, N: n, Put: back, At: w.now().UnixMilli()}); err != nil {
		return Result{}, err
	}
	news.arrived[parcel.Sender] = true
	return Result{}, tally.Charge(ctx, parcel.Sender, s.Back.From, int64(len(s.Back.Raw)))
}

// refused sorts a refusal, which concerns one put, from a failure, which
// concerns the transaction.
func refused(err error) (Result, error) {
	if e, ok := errors.AsType[*protocol.Error](err); ok && e.Code != protocol.CodeInternal && e.Code != protocol.CodeUnavailable {
		return Result{Err: e}, nil
	}
	return Result{}, err
}

func (w *Writer) confirm(ctx context.Context, ledger Ledger, tally *space.Tally, c *Confirm) error {
	if !c.Home {
		return ledger.Seen(ctx, c.Owner, c.Device, c.N)
	}
	// The owner is locked before his rows, as everywhere, so that transactions of
	// several processes cannot wait for each other in a circle.
	if _, err := tally.Home(ctx, c.Owner); err != nil {
		return err
	}
	freed, err := ledger.Forget(ctx, c.Owner, c.Device, c.N)
	if err != nil {
		return err
	}
	for _, row := range freed {
		if err := tally.Release(ctx, c.Owner, row.Sender, row.Size); err != nil {
			return err
		}
	}
	return ledger.Seen(ctx, c.Owner, c.Device, c.N)
}
