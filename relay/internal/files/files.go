// Package files keeps sealed bytes (photos, long texts) for the people they are
// for, until each one's home has fetched them (section 12).
//
// It must never serve a byte to anybody who is not a holder, and must never
// know what is inside: keys travel in letters.
package files

import (
	"context"
	"slices"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

const (
	// MaxSize is 20 MiB in sealed chunks of 65,536 bytes with 16 bytes each (section 8).
	MaxSize = 20<<20 + 320*16
	// MaxChunk bounds one request.
	MaxChunk = 1 << 20
	// unfinished uploads without progress for this long give their room back.
	// Letters never go by a clock; no letter names a file that is not complete.
	unfinished = 7 * 24 * time.Hour
)

// File is what the relay knows of a file.
type File struct {
	ID       protocol.ID
	Uploader protocol.UID
	Size     int64 // sealed bytes, all of them
	Have     int64 // received so far
}

// Holder is somebody for whom a file is kept.
type Holder struct {
	Owner  protocol.UID
	Sender protocol.UID
	Size   int64
}

// Ledger is one transaction over files; the store has it.
type Ledger interface {
	space.Ledger
	// File finds a file and locks it until the transaction ends.
	File(ctx context.Context, id protocol.ID) (File, bool, error)
	// Accepts reports, in one question, whether owner takes files from sender.
	Accepts(ctx context.Context, owner, sender protocol.UID) (bool, error)
	Create(ctx context.Context, f File, now int64) error
	Hold(ctx context.Context, id protocol.ID, h Holder, now int64) error
	Append(ctx context.Context, id protocol.ID, at int64, data []byte, now int64) error
	// LetGo removes a holder; with the last one the bytes go.
	LetGo(ctx context.Context, owner protocol.UID, id protocol.ID) (Holder, bool, error)
	// Dispatch makes a file wait for another relay; false if it waits already.
	Dispatch(ctx context.Context, p queue.Parcel) (bool, error)
}

// Store is what the package needs of the database.
type Store interface {
	Files(ctx context.Context, fn func(Ledger) error) error
	// Look finds a file that uid uploaded or holds; holds says which.
	Look(ctx context.Context, uid protocol.UID, id protocol.ID) (f File, holds, found bool, err error)
	// Chunk returns the stored chunk that contains the byte at, and where it starts.
	Chunk(ctx context.Context, id protocol.ID, at int64) (start int64, data []byte, err error)
	// Fetched notes that a device of owner has had the whole file.
	Fetched(ctx context.Context, owner protocol.UID, id protocol.ID) error
	// Unfinished lists up to limit uploads without progress since before, ms.
	Unfinished(ctx context.Context, before int64, limit int) ([]protocol.ID, error)
	// Holders lists for whom a file is kept.
	Holders(ctx context.Context, id protocol.ID) ([]Holder, error)
}

// Files is the room of files.
type Files struct {
	store      Store
	limits     space.Limits
	now        func() time.Time
	room       func() error
	hosts      []string // of this relay
	told       func([]space.Change)
	dispatched func(to queue.Away)
}

// New makes the room. room answers relay-full when the disk's reserve is
// reached; told hears of spaces that changed, dispatched of files that wait for
// another relay; neither may block.
func New(store Store, hosts []string, limits space.Limits, now func() time.Time, room func() error, told func([]space.Change), dispatched func(queue.Away)) *Files {
	return &Files{store: store, hosts: hosts, limits: limits, now: now, room: room, told: told, dispatched: dispatched}
}

// Upload is one piece of a file.
type Upload struct {
	ID     protocol.ID
	By     protocol.UID
	For    []protocol.UID
	Away   []queue.Away // people elsewhere; then By is in For
	Size   int64        // of the whole file
	Offset int64
	Data   []byte
}

// Put appends a piece and returns how far the file is, once that is on disk. A
// piece that is there already is passed over, so that a lost answer costs
// nothing. Codes: not-found (somebody else's), not-contact, bad-request (params
// have: where to go on), too-large, space-full, sender-full, relay-full.
func (f *Files) Put(ctx context.Context, u Upload) (int64, error) {
	if u.Size < 1 || u.Size > MaxSize {
		return 0, &protocol.Error{Op: "files.Put", Code: protocol.CodeTooLarge, Params: map[string]any{"limit": MaxSize}}
	}
	if u.Offset < 0 || u.Offset+int64(len(u.Data)) > u.Size || len(u.For) == 0 {
		return 0, protocol.Refuse("files.Put", protocol.CodeBadRequest, "piece beyond the file")
	}
	if len(u.Away) > 0 && !slices.Contains(u.For, u.By) {
		return 0, protocol.Refuse("files.Put", protocol.CodeBadRequest, "for somebody elsewhere and not for oneself")
	}
	if err := f.room(); err != nil {
		return 0, err
	}
	have := int64(0)
	var changes []space.Change
	var dispatched []queue.Away
	err := f.store.Files(ctx, func(ledger Ledger) error {
		tally := space.NewTally(f.limits, ledger)
		file, found, err := ledger.File(ctx, u.ID)
		if err != nil {
			return err
		}
		if !found {
			if file, err = f.begin(ctx, ledger, tally, u); err != nil {
				return err
			}
		}
		if have, err = f.extend(ctx, ledger, file, u); err != nil {
			return err
		}
		// Only a whole file goes on its way, so that letters never wait for the rest of one. Its end, sent again,
		// sends it on its way again: with a letter that came back and is tried once more.
		dispatched = dispatched[:0]
		if have == file.Size && len(u.Data) > 0 && u.Offset+int64(len(u.Data)) == u.Size {
			if dispatched, err = f.dispatch(ctx, ledger, tally, u); err != nil {
				return err
			}
		}
		changes, err = tally.Flush(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	f.told(changes)
	for _, to := range dispatched {
		f.dispatched(to)
	}
	return have, nil
}

// dispatch makes a whole file wait for the relays of people elsewhere, whom the
// uploader must have allowed to answer. Code: not-contact, space-full.
func (f *Files) dispatch(ctx context.Context, ledger Ledger, tally *space.Tally, u Upload) ([]queue.Away, error) {
	dispatched := []queue.Away{}
	for _, to := range u.Away {
		ok, err := ledger.Accepts(ctx, u.By, to.UID)
		if err == nil && !ok {
			err = &protocol.Error{Op: "files.dispatch", Code: protocol.CodeNotContact}
		}
		if err != nil {
			return nil, err
		}
		room, err := tally.Room(ctx, u.By, u.By, u.Size)
		if err != nil {
			return nil, err
		}
		if err := tally.Make(ctx, room); err != nil {
			return nil, err
		}
		fresh, err := ledger.Dispatch(ctx, queue.Parcel{Host: to.Host, Sender: u.By, To: to.UID, ID: u.ID, File: true, Size: u.Size, At: f.now().UnixMilli()})
		if err != nil {
			return nil, err
		}
		if fresh {
			if err := tally.Charge(ctx, u.By, u.By, u.Size); err != nil {
				return nil, err
			}
			dispatched = append(dispatched, to)
		}
	}
	return dispatched, nil
}

func (f *Files) begin(ctx context.Context, ledger Ledger, tally *space.Tally, u Upload) (File, error) {
	if u.Offset != 0 {
		return File{}, behind(0)
	}
	now := f.now().UnixMilli()
	rooms := make([]space.Room, 0, len(u.For))
	for _, owner := range u.For {
		ok, err := ledger.Accepts(ctx, owner, u.By)
		if err != nil {
			return File{}, err
		}
		if !ok && owner != u.By {
			return File{}, &protocol.Error{Op: "files.Put", Code: protocol.CodeNotContact}
		}
		room, err := tally.Room(ctx, owner, u.By, u.Size)
		if err != nil {
			return File{}, err
		}
		rooms = append(rooms, room)
	}
	file := File{ID: u.ID, Uploader: u.By, Size: u.Size}
	if err := ledger.Create(ctx, file, now); err != nil {
		return File{}, err
	}
	for i, owner := range u.For {
		if err := tally.Make(ctx, rooms[i]); err != nil {
			return File{}, err
		}
		if err := ledger.Hold(ctx, u.ID, Holder{owner, u.By, u.Size}, now); err != nil {
			return File{}, err
		}
		if err := tally.Charge(ctx, owner, u.By, u.Size); err != nil {
			return File{}, err
		}
	}
	return file, nil
}

func (f *Files) extend(ctx context.Context, ledger Ledger, file File, u Upload) (int64, error) {
	switch {
	case file.Uploader != u.By:
		return 0, &protocol.Error{Op: "files.Put", Code: protocol.CodeNotFound}
	case file.Size != u.Size:
		return 0, protocol.Refuse("files.Put", protocol.CodeBadRequest, "another size than before")
	case u.Offset > file.Have:
		return 0, behind(file.Have)
	}
	known := file.Have - u.Offset
	if known >= int64(len(u.Data)) {
		return file.Have, nil
	}
	fresh := u.Data[known:]
	if err := ledger.Append(ctx, u.ID, file.Have, fresh, f.now().UnixMilli()); err != nil {
		return 0, err
	}
	return file.Have + int64(len(fresh)), nil
}

func behind(have int64) error {
	return &protocol.Error{Op: "files.Put", Code: protocol.CodeBadRequest, Params: map[string]any{"have": have}}
}

// Have says how far an upload is, to its uploader and its holders; to others not-found.
func (f *Files) Have(ctx context.Context, uid protocol.UID, id protocol.ID) (File, error) {
	file, _, found, err := f.store.Look(ctx, uid, id)
	if err == nil && !found {
		err = &protocol.Error{Op: "files.Have", Code: protocol.CodeNotFound}
	}
	return file, err
}

// Open finds a complete file for a holder; to others, and before it is complete, not-found.
func (f *Files) Open(ctx context.Context, uid protocol.UID, id protocol.ID) (File, error) {
	file, holds, found, err := f.store.Look(ctx, uid, id)
	if err == nil && (!found || !holds || file.Have < file.Size) {
		err = &protocol.Error{Op: "files.Open", Code: protocol.CodeNotFound}
	}
	return file, err
}

// Let removes the holder: a home has the bytes on its own disk. To anybody who
// holds nothing, not-found.
func (f *Files) Let(ctx context.Context, owner protocol.UID, id protocol.ID) error {
	var changes []space.Change
	err := f.store.Files(ctx, func(ledger Ledger) error {
		tally := space.NewTally(f.limits, ledger)
		holder, found, err := ledger.LetGo(ctx, owner, id)
		if err != nil {
			return err
		}
		if !found {
			return &protocol.Error{Op: "files.Let", Code: protocol.CodeNotFound}
		}
		if err := tally.Release(ctx, owner, holder.Sender, holder.Size); err != nil {
			return err
		}
		changes, err = tally.Flush(ctx)
		return err
	})
	if err != nil {
		return err
	}
	f.told(changes)
	return nil
}

// Sweep gives back the room of uploads that nobody has gone on with; called now and then.
func (f *Files) Sweep(ctx context.Context) error {
	ids, err := f.store.Unfinished(ctx, f.now().Add(-unfinished).UnixMilli(), 64)
	if err != nil {
		return err
	}
	for _, id := range ids {
		holders, err := f.store.Holders(ctx, id)
		if err != nil {
			return err
		}
		for _, h := range holders {
			if err := f.Let(ctx, h.Owner, id); err != nil && protocol.CodeOf(err) != protocol.CodeNotFound {
				return err
			}
		}
	}
	return nil
}
