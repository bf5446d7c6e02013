package storetest

import (
	"context"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/files"
	"github.com/courtyard-social/courtyard/relay/internal/peer"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
)

func outbound(t *testing.T, o Opened) {
	mei, j := Joining(t, "mei")
	_, err := o.Store.Join(t.Context(), j)
	must(t, err)
	tom, ann := protocol.UID{1}, protocol.UID{2}
	custody := func(fn func(ctx context.Context, l queue.Ledger)) {
		must(t, o.Store.Custody(t.Context(), func(l queue.Ledger) error { fn(t.Context(), l); return nil }))
	}
	parcel := func(host string, to protocol.UID, id byte) queue.Parcel {
		return queue.Parcel{Host: host, Sender: mei.UID, To: to, ID: protocol.ID{id}, Size: 3, At: Now, Raw: []byte{id, id, id}}
	}
	custody(func(ctx context.Context, l queue.Ledger) {
		for i, p := range []queue.Parcel{parcel("b.example", tom, 1), parcel("b.example", ann, 2), parcel("b.example", tom, 3), parcel("c.example", tom, 4)} {
			if fresh, err := l.Dispatch(ctx, p); err != nil || !fresh {
				t.Fatal(i, fresh, err)
			}
		}
		if fresh, err := l.Dispatch(ctx, parcel("c.example", tom, 1)); err != nil || fresh {
			t.Fatal("twice", fresh, err)
		}
		raw, err := l.Waits(ctx, mei.UID, tom, protocol.ID{3})
		must(t, err)
		none, err := l.Waits(ctx, mei.UID, ann, protocol.ID{3})
		must(t, err)
		if len(raw) != 3 || raw[0] != 3 || none != nil {
			t.Fatal("waits", raw, none)
		}
	})
	lane := func(host string, to protocol.UID, after int64, limit int) (ids []int64) {
		page, err := o.Store.Parcels(t.Context(), queue.Away{UID: to, Host: host}, after, limit)
		must(t, err)
		for _, p := range page {
			ids = append(ids, int64(p.ID[0]))
			if len(p.Raw) != 3 || p.Sender != mei.UID || p.To != to || p.Host != host || p.File || p.At != Now {
				t.Fatalf("%+v", p)
			}
		}
		return ids
	}
	same(t, lane("b.example", tom, 0, 10), 1, 3)
	same(t, lane("b.example", tom, 0, 1), 1)
	same(t, lane("b.example", tom, 1, 10), 3)
	same(t, lane("c.example", tom, 0, 10), 4)
	to, err := o.Store.Destinations(t.Context())
	must(t, err)
	if len(to) != 3 {
		t.Fatal(to)
	}
	waiting, err := o.Store.Waiting(t.Context(), mei.UID, 1, 2)
	must(t, err)
	if len(waiting) != 2 || waiting[0].N != 2 || waiting[1].N != 3 {
		t.Fatalf("%+v", waiting)
	}
	custody(func(ctx context.Context, l queue.Ledger) {
		p, found, err := l.Parcel(ctx, 1)
		must(t, err)
		if !found || p.ID != (protocol.ID{1}) || p.Host != "b.example" {
			t.Fatal(p, found)
		}
		must(t, l.Passed(ctx, p))
		if _, found, err := l.Parcel(ctx, 1); err != nil || found {
			t.Fatal("passed and there", err)
		}
	})
	same(t, lane("b.example", tom, 0, 10), 3)

	// How it was put is kept with it.
	custody(func(ctx context.Context, l queue.Ledger) {
		p := parcel("d.example", tom, 5)
		p.Quiet, p.Unsure = true, true
		_, err := l.Dispatch(ctx, p)
		must(t, err)
	})
	put, err := o.Store.Parcels(t.Context(), queue.Away{UID: tom, Host: "d.example"}, 0, 10)
	must(t, err)
	if len(put) != 1 || !put[0].Quiet || !put[0].Unsure {
		t.Fatalf("%+v", put)
	}

	// What was on a line that ended without an answer may have arrived.
	find := func(to protocol.UID, id byte) (lost, found bool) {
		p, found, err := o.Store.Find(t.Context(), mei.UID, to, protocol.ID{id})
		must(t, err)
		return p.Lost, found && p.ID == protocol.ID{id} && p.To == to
	}
	if lost, found := find(tom, 5); lost || !found {
		t.Fatal(lost, found)
	}
	if _, found := find(ann, 5); found {
		t.Fatal("somebody else's")
	}
	must(t, o.Store.LineOpens(t.Context(), "d.example"))
	must(t, o.Store.LineOpens(t.Context(), "d.example"))
	must(t, o.Store.LineEnds(t.Context(), "d.example", nil))
	must(t, o.Store.LinesCrashed(t.Context())) // there is none
	if lost, _ := find(tom, 5); lost {
		t.Fatal("nothing was on that line")
	}
	must(t, o.Store.LineEnds(t.Context(), "d.example", []int64{put[0].N, 1000}))
	must(t, o.Store.LineOpens(t.Context(), "c.example"))
	for range 2 {
		for id, want := range map[byte]bool{3: false, 4: false, 5: true} {
			if lost, found := find(tom, id); lost != want || !found {
				t.Fatal(id, lost, found)
			}
		}
		must(t, o.Store.LineEnds(t.Context(), "b.example", nil))
	}
	must(t, o.Store.LinesCrashed(t.Context()))
	must(t, o.Store.LinesCrashed(t.Context()))
	if lost, _ := find(tom, 4); !lost {
		t.Fatal("a crash, and nobody knows what was on the line")
	}
	if lost, _ := find(tom, 3); lost {
		t.Fatal("another line's")
	}

	// A file's bytes stay while it waits, also when its last holder has let go.
	file := protocol.ID{9}
	must(t, o.Store.Files(t.Context(), func(l files.Ledger) error {
		must(t, l.Create(t.Context(), files.File{ID: file, Uploader: mei.UID, Size: 4}, Now))
		must(t, l.Hold(t.Context(), file, files.Holder{Owner: mei.UID, Sender: mei.UID, Size: 4}, Now))
		must(t, l.Append(t.Context(), file, 0, []byte("four"), Now))
		p := parcel("b.example", tom, 9)
		p.File, p.Raw = true, nil
		_, err := l.Dispatch(t.Context(), p)
		must(t, err)
		_, _, err = l.LetGo(t.Context(), mei.UID, file)
		return err
	}))
	_, data, err := o.Store.Chunk(t.Context(), file, 0)
	must(t, err)
	if string(data) != "four" {
		t.Fatalf("%q", data)
	}
	page, err := o.Store.Parcels(t.Context(), queue.Away{UID: tom, Host: "b.example"}, 3, 10)
	must(t, err)
	if len(page) != 1 || !page[0].File || page[0].ID != file {
		t.Fatalf("%+v", page)
	}
	custody(func(ctx context.Context, l queue.Ledger) { must(t, l.Passed(ctx, page[0])) })
	_, _, err = o.Store.Chunk(t.Context(), file, 0)
	wantCode(t, err, protocol.CodeNotFound)
}

func pins(t *testing.T, o Opened) {
	uid := protocol.UID{7}
	if _, found, err := o.Store.Pin(t.Context(), uid); err != nil || found {
		t.Fatal(found, err)
	}
	for _, seq := range []int{3, 5, 4} { // never back
		must(t, o.Store.SavePin(t.Context(), uid, peer.Pin{Seq: seq, Head: protocol.Hash32{byte(seq)}, Relay: protocol.Key32{byte(seq)}}, Now))
	}
	p, found, err := o.Store.Pin(t.Context(), uid)
	must(t, err)
	if !found || p != (peer.Pin{Seq: 5, Head: protocol.Hash32{5}, Relay: protocol.Key32{5}}) {
		t.Fatal(p, found)
	}
}
