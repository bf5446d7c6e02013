package storetest

import (
	"bytes"
	"context"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
	"github.com/courtyard-social/courtyard/relay/internal/files"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/space"
)

// equalWork: unknown, private and blocking people cost the same statements.
func equalWork(t *testing.T, o Opened) {
	mei, shy, angry := o.Resident(t, "mei"), o.Resident(t, "shy"), o.Resident(t, "angry")
	must(t, o.Store.SetFindable(t.Context(), shy.UID, false))
	must(t, o.Store.SetContact(t.Context(), angry.UID, mei.UID, accounts.Block, 10))
	work := func(f func() error) int64 {
		before := o.Store.Statements()
		must(t, f())
		return o.Store.Statements() - before
	}
	for what, ask := range map[string]func(name string, uid protocol.UID) error{
		"named": func(name string, _ protocol.UID) error {
			_, err := o.Store.Named(t.Context(), name, mei.UID)
			return err
		},
		"holder": func(name string, _ protocol.UID) error {
			_, _, err := o.Store.CardHolder(t.Context(), name)
			return err
		},
		"greet": func(_ string, uid protocol.UID) error {
			_, _, err := o.Store.Greet(t.Context(), uid, mei.Phone.ID())
			return err
		},
		"standing": func(_ string, uid protocol.UID) error {
			return o.Store.Custody(t.Context(), func(l queue.Ledger) error {
				_, err := l.Standing(t.Context(), uid, mei.UID, queue.Via{})
				return err
			})
		},
	} {
		want := work(func() error { return ask("nobody", protocol.UID{9}) })
		for name, uid := range map[string]protocol.UID{"shy": shy.UID, "angry": angry.UID, "mei": mei.UID} {
			if got := work(func() error { return ask(name, uid) }); got != want {
				t.Errorf("%s: %d statements for %s, %d for nobody", what, got, name, want)
			}
		}
	}
	n, err := o.Store.Named(t.Context(), "angry", mei.UID)
	must(t, err)
	if !n.Known || n.State != accounts.Block || !n.Findable || n.UID != angry.UID {
		t.Fatalf("%+v", n)
	}
}

func contacts(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	a, b, c := protocol.UID{1}, protocol.UID{2}, protocol.UID{3} // they need not exist
	accepts := func(peer protocol.UID) bool {
		ok, err := o.Store.Accepts(t.Context(), mei.UID, peer)
		must(t, err)
		return ok
	}
	must(t, o.Store.SetContact(t.Context(), mei.UID, a, accounts.Allow, 2))
	must(t, o.Store.SetContact(t.Context(), mei.UID, b, accounts.Block, 2))
	wantCode(t, o.Store.SetContact(t.Context(), mei.UID, c, accounts.Allow, 2), protocol.CodeNotAllowed)
	if !accepts(a) || accepts(b) || accepts(c) {
		t.Fatal("contacts are wrong")
	}
	must(t, o.Store.SetContact(t.Context(), mei.UID, a, accounts.None, 2))
	must(t, o.Store.SetContact(t.Context(), mei.UID, b, accounts.Allow, 2))
	if accepts(a) || !accepts(b) {
		t.Fatal("changes are lost")
	}
}

func handoverOnce(t *testing.T, o Opened) {
	mei, box := o.Resident(t, "mei"), protocol.ID{1}
	must(t, o.Store.SaveHandover(t.Context(), mei.UID, box, []byte("keys"), 3, Now, Now+10))
	must(t, o.Store.SaveHandover(t.Context(), mei.UID, box, []byte("keys"), 3, Now, Now+10))
	wantCode(t, o.Store.SaveHandover(t.Context(), mei.UID, box, []byte("others"), 3, Now, Now+10), protocol.CodeNotAllowed)
	wantCode(t, o.Store.SaveHandover(t.Context(), protocol.UID{8}, box, []byte("keys"), 3, Now, Now+10), protocol.CodeNotAllowed)
	taken := make([]bool, 5)
	race(len(taken), func(i int) func() error {
		return func() error {
			sealed, found, err := o.Store.TakeHandover(t.Context(), box, Now+9)
			taken[i] = found && bytes.Equal(sealed, []byte("keys"))
			return err
		}
	})
	n := 0
	for _, ok := range taken {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Fatal("taken", n, "times")
	}
	must(t, o.Store.SaveHandover(t.Context(), mei.UID, box, []byte("keys"), 3, Now, Now+10))
	if _, found, err := o.Store.TakeHandover(t.Context(), box, Now+10); err != nil || found {
		t.Fatal("taken after its time", err)
	}
	must(t, o.Store.SweepHandovers(t.Context(), Now+10))
	if n := o.Number(t, `SELECT COUNT(*) FROM handovers`); n != 0 {
		t.Fatal(n, "left")
	}
}

func presence(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	home := o.Enrol(t, mei, ident.RoleHome)
	set := func(id protocol.DeviceID, online bool, at int64) bool {
		news, err := o.Store.SetHome(t.Context(), mei.UID, id, online, at)
		must(t, err)
		return news
	}
	if !set(home.ID(), true, Now+1) || set(home.ID(), true, Now+2) || set(mei.Phone.ID(), false, Now+3) {
		t.Fatal("news is wrong")
	}
	must(t, o.Store.HomesAway(t.Context(), Now+5))
	g, _, err := o.Store.Greet(t.Context(), mei.UID, mei.Phone.ID())
	must(t, err)
	if g.Home.Online || g.Home.Since != Now+5 {
		t.Fatalf("%+v", g.Home)
	}
}

// Letter is a put of size bytes.
func Letter(sender protocol.UID, id byte, size int, people ...protocol.UID) *queue.Put {
	return &queue.Put{Sender: sender, For: people, ID: protocol.ID{id}, Type: protocol.TypeChat, Data: size, Raw: bytes.Repeat([]byte{id}, size)}
}

func rows(t *testing.T, o Opened) {
	mei, tom := o.Resident(t, "mei"), o.Resident(t, "tom")
	home := o.Enrol(t, tom, ident.RoleHome)
	keep := func(n int64, p *queue.Put, stranger bool) error {
		return o.Store.Custody(t.Context(), func(l queue.Ledger) error {
			return l.Keep(t.Context(), queue.NewRow{Owner: tom.UID, N: n, Put: p, Stranger: stranger, At: Now + n})
		})
	}
	for n := int64(1); n <= 5; n++ {
		must(t, keep(n, Letter(mei.UID, byte(n), 100, tom.UID), n == 5))
	}
	if err := keep(6, Letter(mei.UID, 1, 100, tom.UID), false); err == nil {
		t.Fatal("the same envelope id twice")
	}
	if err := keep(5, Letter(mei.UID, 6, 100, tom.UID), false); err == nil {
		t.Fatal("the same number twice")
	}
	page := func(after int64, limit, most int) (ns []int64) {
		found, err := o.Store.Rows(t.Context(), tom.UID, after, limit, most)
		must(t, err)
		for _, r := range found {
			ns = append(ns, r.N)
			if len(r.Raw) != 100 || r.Raw[0] != byte(r.N) {
				t.Fatal("row", r.N, "is changed")
			}
		}
		return ns
	}
	same(t, page(0, 10, 1000), 1, 2, 3, 4, 5)
	same(t, page(3, 10, 1000), 4, 5)
	same(t, page(0, 2, 1000), 1, 2)
	same(t, page(0, 10, 250), 1, 2)
	same(t, page(0, 10, 10), 1) // the first always
	kept, err := o.Store.Kept(t.Context(), tom.UID, 0, 2, 1000)
	must(t, err)
	same(t, []int64{kept[0].N, kept[1].N}, 5, 4)
	kept, err = o.Store.Kept(t.Context(), tom.UID, 3, 10, 1000)
	must(t, err)
	same(t, []int64{kept[0].N, kept[1].N}, 2, 1)

	custody := func(fn func(ctx context.Context, l queue.Ledger)) {
		must(t, o.Store.Custody(t.Context(), func(l queue.Ledger) error { fn(t.Context(), l); return nil }))
	}
	custody(func(ctx context.Context, l queue.Ledger) {
		a, err := l.Account(ctx, tom.UID)
		must(t, err)
		if !a.Home || a.Used != 0 || a.Last != 0 {
			t.Fatalf("%+v", a)
		}
		a.Last, a.Used = 5, 500
		must(t, l.SaveAccount(ctx, a))
		must(t, l.SaveShare(ctx, tom.UID, mei.UID, 500))
		s, err := l.Standing(ctx, tom.UID, mei.UID, queue.Via{})
		must(t, err)
		if !s.Known || !s.Findable || s.State != "" || s.Waiting != 1 || s.Asked != 0 {
			t.Fatalf("%+v", s)
		}
		must(t, l.Asked(ctx, tom.UID, mei.UID, Now))
		must(t, l.Seen(ctx, tom.UID, tom.Phone.ID(), 6)) // beyond the last: nothing
		must(t, l.Seen(ctx, tom.UID, tom.Phone.ID(), 3))
		must(t, l.Seen(ctx, tom.UID, tom.Phone.ID(), 2)) // never back
		items, err := l.Oldest(ctx, tom.UID, protocol.UID{}, 2)
		must(t, err)
		same(t, numbers(items), 1, 2)
		items, err = l.Oldest(ctx, tom.UID, mei.UID, 10)
		must(t, err)
		same(t, numbers(items), 1, 2, 3)
		items, err = l.Oldest(ctx, tom.UID, tom.UID, 10)
		must(t, err)
		same(t, numbers(items))
		must(t, l.Drop(ctx, tom.UID, space.Item{N: 1}))
		raw, err := l.Held(ctx, tom.UID, mei.UID, protocol.ID{2})
		must(t, err)
		gone, err := l.Held(ctx, tom.UID, mei.UID, protocol.ID{1})
		must(t, err)
		if len(raw) != 100 || gone != nil {
			t.Fatal("held", len(raw), gone)
		}
	})
	custody(func(ctx context.Context, l queue.Ledger) {
		freed, err := l.Forget(ctx, tom.UID, tom.Phone.ID(), 5) // not the home
		must(t, err)
		if len(freed) != 0 {
			t.Fatal("a phone emptied the queue")
		}
		freed, err = l.Forget(ctx, tom.UID, home.ID(), 3)
		must(t, err)
		if len(freed) != 2 || freed[0].Size != 100 || freed[0].Sender != mei.UID {
			t.Fatal("freed", freed)
		}
		used, err := l.Share(ctx, tom.UID, mei.UID)
		must(t, err)
		if used != 500 {
			t.Fatal("share", used)
		}
		must(t, l.SaveShare(ctx, tom.UID, mei.UID, 0))
		if used, err = l.Share(ctx, tom.UID, mei.UID); err != nil || used != 0 {
			t.Fatal("share", used, err)
		}
	})
	same(t, page(0, 10, 1000), 4, 5)
}

func numbers(items []space.Item) (ns []int64) {
	for _, i := range items {
		ns = append(ns, i.N)
	}
	return ns
}

func same(t testing.TB, got []int64, want ...int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatal("got", got, "want", want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatal("got", got, "want", want)
		}
	}
}

func fileChunks(t *testing.T, o Opened) {
	mei, tom, eve := o.Resident(t, "mei"), o.Resident(t, "tom"), o.Resident(t, "eve")
	o.Friends(t, mei, tom)
	id := protocol.ID{1}
	custody := func(fn func(ctx context.Context, l files.Ledger)) {
		must(t, o.Store.Files(t.Context(), func(l files.Ledger) error { fn(t.Context(), l); return nil }))
	}
	custody(func(ctx context.Context, l files.Ledger) {
		for owner, want := range map[protocol.UID]bool{tom.UID: true, eve.UID: false, {7}: false} {
			if ok, err := l.Accepts(ctx, owner, mei.UID); err != nil || ok != want {
				t.Fatal("accepts", ok, err)
			}
		}
		must(t, l.Create(ctx, files.File{ID: id, Uploader: mei.UID, Size: 6}, Now))
		must(t, l.Hold(ctx, id, files.Holder{Owner: mei.UID, Sender: mei.UID, Size: 6}, Now))
		must(t, l.Hold(ctx, id, files.Holder{Owner: tom.UID, Sender: mei.UID, Size: 6}, Now))
		must(t, l.Append(ctx, id, 0, []byte("abc"), Now))
	})
	look := func(uid protocol.UID, wantHolds, wantFound bool, have int64) {
		t.Helper()
		f, holds, found, err := o.Store.Look(t.Context(), uid, id)
		must(t, err)
		if found != wantFound || found && (holds != wantHolds || f.Have != have || f.Size != 6) {
			t.Fatal("look:", f, holds, found)
		}
	}
	look(tom.UID, true, true, 3)
	look(eve.UID, false, false, 0)
	stale, err := o.Store.Unfinished(t.Context(), Now+1, 10)
	must(t, err)
	if len(stale) != 1 || stale[0] != id {
		t.Fatal("unfinished:", stale)
	}
	custody(func(ctx context.Context, l files.Ledger) { must(t, l.Append(ctx, id, 3, []byte("def"), Now)) })
	for at, want := range map[int64]string{0: "abc", 2: "abc", 3: "def", 5: "def"} {
		start, data, err := o.Store.Chunk(t.Context(), id, at)
		must(t, err)
		if string(data) != want || start != at/3*3 {
			t.Fatal("chunk at", at, "is", start, string(data))
		}
	}
	if _, _, err := o.Store.Chunk(t.Context(), id, 6); err == nil {
		t.Fatal("a chunk beyond the end")
	}
	must(t, o.Store.Fetched(t.Context(), tom.UID, id))
	must(t, o.Store.Custody(t.Context(), func(l queue.Ledger) error {
		items, err := l.Oldest(t.Context(), tom.UID, mei.UID, 10)
		must(t, err)
		if len(items) != 1 || items[0].File != id || items[0].Size != 6 {
			t.Fatal("oldest", items)
		}
		return nil
	}))
	custody(func(ctx context.Context, l files.Ledger) {
		if _, found, err := l.LetGo(ctx, eve.UID, id); err != nil || found {
			t.Fatal("eve held it", err)
		}
		if h, found, err := l.LetGo(ctx, tom.UID, id); err != nil || !found || h.Size != 6 || h.Sender != mei.UID {
			t.Fatal("tom did not hold it", h, err)
		}
	})
	look(tom.UID, false, false, 0)
	look(mei.UID, true, true, 6)
	custody(func(ctx context.Context, l files.Ledger) {
		if _, found, err := l.LetGo(ctx, mei.UID, id); err != nil || !found {
			t.Fatal("mei did not hold it", err)
		}
	})
	look(mei.UID, false, false, 0)
	if n := o.Number(t, `SELECT COUNT(*) FROM chunks`) + o.Number(t, `SELECT COUNT(*) FROM files`); n != 0 {
		t.Fatal(n, "rows left of a file that nobody holds")
	}
}
