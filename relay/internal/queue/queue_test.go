package queue_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/accounts"
	"github.com/courtyard-social/courtyard/relay/internal/queue"
	"github.com/courtyard-social/courtyard/relay/internal/relaytest"
	"github.com/courtyard-social/courtyard/relay/internal/space"
	"github.com/courtyard-social/courtyard/relay/internal/store/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small limits: 8,000 bytes a person, 1,000 a sender.
var small = space.Limits{Person: 8000, ShareDivisor: 8, Strangers: 3, StrangersOver: 1000, StrangerData: 200}

// scene is a writer over a fresh store, with a clock and a disk that tests move.
type scene struct {
	t *testing.T
	storetest.Opened
	writer *queue.Writer

	mu      sync.Mutex // all below
	now     time.Time
	full    error
	commits []int
	arrived map[protocol.UID]int
	kept    []queue.NewRow
	changes []space.Change
}

func each(t *testing.T, test func(t *testing.T, s *scene)) {
	storetest.Each(t, func(t *testing.T, o storetest.Opened) {
		s := newScene(t, o, small)
		go s.writer.Run()
		t.Cleanup(func() {
			s.writer.Stop()
			s.Counts(t)
		})
		test(t, s)
	})
}

func newScene(t *testing.T, o storetest.Opened, limits space.Limits) *scene {
	s := &scene{t: t, Opened: o, now: time.UnixMilli(storetest.Now), arrived: map[protocol.UID]int{}}
	s.writer = queue.NewWriter(o.Store, limits, s.clock, s.room, s)
	return s
}

func (s *scene) clock() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now }
func (s *scene) room() error      { s.mu.Lock(); defer s.mu.Unlock(); return s.full }
func (s *scene) move(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}
func (s *scene) Arrived(owner protocol.UID) { s.mu.Lock(); defer s.mu.Unlock(); s.arrived[owner]++ }
func (s *scene) SpaceChanged(c space.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, c)
}

func (s *scene) Kept(rows []queue.NewRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, rows...)
}

func (s *scene) Committed(n int) { s.mu.Lock(); defer s.mu.Unlock(); s.commits = append(s.commits, n) }

// put waits for the answer.
func (s *scene) put(p *queue.Put) queue.Result {
	s.t.Helper()
	answer := make(chan queue.Result, 1)
	must(s.t, s.writer.Put(s.t.Context(), p, func(r queue.Result) { answer <- r }))
	return <-answer
}

func (s *scene) accepted(p *queue.Put) []protocol.UID {
	s.t.Helper()
	r := s.put(p)
	must(s.t, r.Err)
	return r.Kept
}

func (s *scene) refused(code string, p *queue.Put) {
	s.t.Helper()
	if r := s.put(p); protocol.CodeOf(r.Err) != code {
		s.t.Fatalf("%v, want %s", r.Err, code)
	}
}

func (s *scene) confirm(p *relaytest.Person, device *ident.DeviceKeys, home bool, n int64) {
	s.t.Helper()
	answer := make(chan queue.Result, 1)
	must(s.t, s.writer.Confirm(s.t.Context(), &queue.Confirm{Owner: p.UID, Device: device.ID(), Home: home, N: n}, func(r queue.Result) { answer <- r }))
	must(s.t, (<-answer).Err)
}

// rows are the numbers and first bytes of what is kept.
func (s *scene) rows(p *relaytest.Person) string {
	s.t.Helper()
	found, err := s.Store.Rows(s.t.Context(), p.UID, 0, 1000, 1<<30)
	must(s.t, err)
	text := ""
	for _, r := range found {
		text += fmt.Sprintf("%d:%d ", r.N, r.Raw[0])
	}
	return text
}

func (s *scene) has(p *relaytest.Person, want string) {
	s.t.Helper()
	if got := s.rows(p); got != want {
		s.t.Fatalf("kept %q, want %q", got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func letter(from *relaytest.Person, id byte, size int, people ...*relaytest.Person) *queue.Put {
	uids := []protocol.UID{}
	for _, p := range people {
		uids = append(uids, p.UID)
	}
	return storetest.Letter(from.UID, id, size, uids...)
}

func request(from *relaytest.Person, id byte, size int, to *relaytest.Person) *queue.Put {
	p := letter(from, id, size, to)
	p.Type = protocol.TypeFriend
	return p
}

func TestALetterIsKeptForBoth(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, tom := s.Resident(t, "mei"), s.Resident(t, "tom")
		s.Friends(t, mei, tom)
		s.Enrol(t, tom, ident.RoleHome)
		if kept := s.accepted(letter(mei, 1, 100, tom, mei)); len(kept) != 1 || kept[0] != mei.UID {
			t.Fatal("kept for", kept)
		}
		s.accepted(letter(mei, 2, 100, tom))
		s.has(tom, "1:1 2:2 ")
		s.has(mei, "1:1 ")
		if s.arrived[tom.UID] != 2 || s.arrived[mei.UID] != 1 {
			t.Fatal("arrived:", s.arrived)
		}
	})
}

func TestIdenticalBytesAreKeptOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, tom := s.Resident(t, "mei"), s.Resident(t, "tom")
		s.Friends(t, mei, tom)
		for range 3 {
			s.accepted(letter(mei, 1, 100, tom))
		}
		s.has(tom, "1:1 ")
		// Now for both: the missing half is added.
		s.accepted(letter(mei, 1, 100, tom, mei))
		s.has(tom, "1:1 ")
		s.has(mei, "1:1 ")
		other := letter(mei, 1, 101, tom, mei)
		s.refused(protocol.CodeIDReused, other)
		// Refused for one is refused for both, also when the other comes first.
		other = letter(mei, 2, 100, tom)
		s.accepted(other)
		s.refused(protocol.CodeIDReused, letter(mei, 2, 99, mei, tom))
		s.has(mei, "1:1 ")
		// The same id from somebody else is another envelope.
		s.accepted(letter(tom, 1, 100, mei))
	})
}

func TestUnknownPrivateUnfriendedAndBlockingLookTheSame(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, shy, angry := s.Resident(t, "mei"), s.Resident(t, "shy"), s.Resident(t, "angry")
		nobody, _ := storetest.Joining(t, "nobody")
		must(t, s.Store.SetFindable(t.Context(), shy.UID, false))
		must(t, s.Store.SetContact(t.Context(), angry.UID, mei.UID, accounts.Block, 10))
		for _, make := range []func(to *relaytest.Person) *queue.Put{
			func(to *relaytest.Person) *queue.Put { return request(mei, 1, 100, to) },
			func(to *relaytest.Person) *queue.Put { return request(mei, 2, 5000, to) },
			func(to *relaytest.Person) *queue.Put { return letter(mei, 3, 100, to) },
			func(to *relaytest.Person) *queue.Put { return letter(mei, 4, 100, to, mei) },
			func(to *relaytest.Person) *queue.Put { return letter(mei, 5, 100, mei, to) },
		} {
			work := map[string]int64{}
			for _, to := range []*relaytest.Person{nobody, shy, angry} {
				before := s.Store.Statements()
				s.refused(protocol.CodeNotContact, make(to))
				work[to.Username] = s.Store.Statements() - before
			}
			if work["shy"] != work["nobody"] || work["angry"] != work["nobody"] {
				t.Errorf("statements: %v", work)
			}
		}
		s.has(mei, "")
		if n := s.Number(t, `SELECT COUNT(*) FROM queue`); n != 0 {
			t.Fatal(n, "rows of refused puts")
		}
	})
}

func TestStrangersHaveABucketOfTheirOwn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei := s.Resident(t, "mei")
		strangers := []*relaytest.Person{}
		for i := range 5 {
			strangers = append(strangers, s.Resident(t, fmt.Sprintf("stranger%d", i)))
		}
		s.refused(protocol.CodeTooLarge, request(strangers[0], 1, 201, mei))
		s.refused(protocol.CodeNotContact, letter(strangers[0], 2, 10, mei))
		s.accepted(request(strangers[0], 3, 200, mei))
		s.accepted(request(strangers[0], 3, 200, mei)) // the same once more
		s.refused(protocol.CodeRequestWaiting, request(strangers[0], 4, 200, mei))
		s.move(23 * time.Hour)
		s.refused(protocol.CodeRequestWaiting, request(strangers[0], 4, 200, mei))
		s.accepted(request(strangers[0], 4, 200, strangers[1])) // per person asked
		s.move(time.Hour)
		s.accepted(request(strangers[0], 4, 200, mei))
		s.accepted(request(strangers[1], 5, 200, mei))
		s.refused(protocol.CodeSpaceFull, request(strangers[2], 6, 200, mei)) // three wait
		s.confirm(mei, mei.Phone, false, 2)                                   // two are seen
		s.accepted(request(strangers[2], 6, 200, mei))
		// A full space still lets somebody ask.
		for i := range byte(7) {
			s.accepted(letter(mei, 100+i, 1000, mei))
		}
		s.accepted(request(strangers[3], 7, 200, mei))
		s.refused(protocol.CodeSpaceFull, request(strangers[4], 8, 200, mei))
	})
}

func TestAFloodingFriendIsToldAndOthersAreDelivered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, flood, tom, ann := s.Resident(t, "mei"), s.Resident(t, "flood"), s.Resident(t, "tom"), s.Resident(t, "ann")
		s.Friends(t, mei, flood)
		s.Friends(t, mei, ann)
		s.Friends(t, mei, tom)
		s.Enrol(t, mei, ident.RoleHome)
		for i := range byte(10) {
			s.accepted(letter(flood, i, 100, mei))
		}
		r := s.put(letter(flood, 10, 100, mei))
		var e *protocol.Error
		if !errors.As(r.Err, &e) || e.Code != protocol.CodeSenderFull || e.Params["of"] != mei.UID.String() || e.Params["limit"] != int64(1000) {
			t.Fatal(r.Err)
		}
		// Others, and the person's own letters, pass.
		s.accepted(letter(tom, 1, 900, mei))
		s.accepted(letter(mei, 1, 6000, mei))
		s.refused(protocol.CodeSpaceFull, letter(ann, 2, 101, mei))
		// With a home nothing goes for them, however often a phone has confirmed.
		s.confirm(mei, mei.Phone, false, 12)
		s.refused(protocol.CodeSpaceFull, letter(ann, 2, 101, mei))
		s.refused(protocol.CodeSenderFull, letter(flood, 10, 100, mei))
	})
}

func TestWithoutAHomeTheOldestConfirmedMakesRoom(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, tom := s.Resident(t, "mei"), s.Resident(t, "tom")
		s.Friends(t, mei, tom)
		for i := range byte(8) {
			s.accepted(letter(mei, i, 1000, mei))
		}
		s.refused(protocol.CodeSpaceFull, letter(mei, 8, 1000, mei)) // no device has any of it
		s.confirm(mei, mei.Phone, false, 3)
		s.accepted(letter(mei, 8, 1000, mei))
		s.has(mei, "2:1 3:2 4:3 5:4 6:5 7:6 8:7 9:8 ")
		s.accepted(letter(mei, 9, 2000, mei))
		s.has(mei, "4:3 5:4 6:5 7:6 8:7 9:8 10:9 ")
		s.refused(protocol.CodeSpaceFull, letter(tom, 1, 500, mei))
		s.refused(protocol.CodeSpaceFull, letter(mei, 10, 8001, mei))
		// A borrowed browser keeps nothing, so its confirmation frees nothing.
		session := s.Enrol(t, mei, ident.RoleSession)
		s.confirm(mei, session, false, 10)
		s.refused(protocol.CodeSpaceFull, letter(tom, 1, 500, mei))
		// A revoked device's confirmation counts no more.
		tablet := s.Enrol(t, mei, ident.RoleAdmin)
		s.confirm(mei, tablet, false, 10)
		s.Revoke(t, mei, tablet.ID())
		s.refused(protocol.CodeSpaceFull, letter(tom, 1, 500, mei))
		s.confirm(mei, mei.Phone, false, 10)
		s.accepted(letter(tom, 1, 500, mei))
	})
}

func TestASendersShareMakesRoomFromItsOwn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, tom := s.Resident(t, "mei"), s.Resident(t, "tom")
		s.Friends(t, mei, tom)
		s.accepted(letter(mei, 99, 100, mei))
		for i := range byte(10) {
			s.accepted(letter(tom, i, 100, mei))
		}
		s.refused(protocol.CodeSenderFull, letter(tom, 10, 100, mei))
		s.confirm(mei, mei.Phone, false, 5)
		s.accepted(letter(tom, 10, 100, mei))
		s.has(mei, "1:99 3:1 4:2 5:3 6:4 7:5 8:6 9:7 10:8 11:9 12:10 ")
		s.refused(protocol.CodeSenderFull, letter(tom, 11, 1001, mei))
	})
}

func TestARefusedPutEvictsNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, tom := s.Resident(t, "mei"), s.Resident(t, "tom")
		s.Friends(t, mei, tom)
		for i := range byte(8) {
			s.accepted(letter(mei, i, 1000, mei))
			s.accepted(letter(tom, i, 1000, tom))
		}
		s.confirm(mei, mei.Phone, false, 8)
		before := s.rows(mei)
		s.refused(protocol.CodeSpaceFull, letter(mei, 50, 500, mei, tom)) // there is room at mei's, none at tom's
		s.has(mei, before)
	})
}

func TestThirtyDaysAwayFindsEverythingInOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei, tom := s.Resident(t, "mei"), s.Resident(t, "tom")
		s.Friends(t, mei, tom)
		home := s.Enrol(t, tom, ident.RoleHome)
		want := ""
		for day := range byte(30) {
			s.accepted(letter(mei, day, 30, tom))
			want += fmt.Sprintf("%d:%d ", day+1, day)
			s.confirm(tom, tom.Phone, false, int64(day)+1) // the phone reads along and deletes nothing
			s.move(24 * time.Hour)
		}
		s.has(tom, want)
		s.confirm(tom, home, true, 29)
		s.has(tom, "30:29 ")
		s.confirm(tom, home, true, 30)
		s.has(tom, "")
		// A number is never given twice.
		s.accepted(letter(mei, 31, 30, tom))
		s.has(tom, "31:31 ")
	})
}

func TestOnlyTheActiveHomeEmptiesTheQueue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		tom := s.Resident(t, "tom")
		home := s.Enrol(t, tom, ident.RoleHome)
		s.accepted(letter(tom, 1, 100, tom))
		// A stolen phone that says it is the home.
		s.confirm(tom, tom.Phone, true, 1)
		s.has(tom, "1:1 ")
		s.Revoke(t, tom, home.ID())
		s.confirm(tom, home, true, 1)
		s.has(tom, "1:1 ")
	})
}

func TestAFullDiskRefusesPutsAndTakesConfirmations(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		tom := s.Resident(t, "tom")
		home := s.Enrol(t, tom, ident.RoleHome)
		s.accepted(letter(tom, 1, 100, tom))
		s.mu.Lock()
		s.full = &protocol.Error{Code: protocol.CodeRelayFull}
		s.mu.Unlock()
		s.refused(protocol.CodeRelayFull, letter(tom, 2, 100, tom))
		s.confirm(tom, home, true, 1)
		s.has(tom, "")
	})
}

func TestOneThatTheDatabaseCannotTakeDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, o storetest.Opened) {
		s := newScene(t, o, small)
		mei := s.Resident(t, "mei")
		broken := letter(mei, 1, 10, mei)
		broken.Raw = nil // a row needs bytes
		results := make([]error, 3)
		var answered sync.WaitGroup
		answered.Add(3)
		for i, p := range []*queue.Put{letter(mei, 0, 10, mei), broken, letter(mei, 2, 10, mei)} {
			must(t, s.writer.Put(t.Context(), p, func(r queue.Result) { results[i] = r.Err; answered.Done() }))
		}
		go s.writer.Run()
		answered.Wait()
		s.writer.Stop()
		if results[0] != nil || results[2] != nil || protocol.CodeOf(results[1]) != protocol.CodeInternal {
			t.Fatal(results)
		}
		s.has(mei, "1:0 2:2 ")
		s.Counts(t)
	})
}

func TestWhatIsWaitingGoesIntoOneTransaction(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, o storetest.Opened) {
		s := newScene(t, o, space.Defaults())
		mei := s.Resident(t, "mei")
		const puts = 200
		order := []byte{}
		for i := range byte(puts) {
			must(t, s.writer.Put(t.Context(), letter(mei, i, 50, mei), func(r queue.Result) {
				if r.Err != nil {
					t.Error(r.Err)
				}
				order = append(order, i)
			}))
		}
		go s.writer.Run()
		s.writer.Stop() // commits what was handed over
		if len(s.commits) != 1 || s.commits[0] != puts || len(order) != puts {
			t.Fatal("commits:", s.commits, "answers:", len(order))
		}
		if err := s.writer.Put(t.Context(), letter(mei, 1, 50, mei), nil); protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Fatal("after stopping:", err)
		}
		s.Counts(t)
	})
}

func TestSpaceIsToldInChanges(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *scene) {
		mei := s.Resident(t, "mei")
		s.accepted(letter(mei, 1, 100, mei))
		s.accepted(letter(mei, 2, 50, mei))
		want := []space.Change{{Owner: mei.UID, After: 100}, {Owner: mei.UID, Before: 100, After: 150}}
		if fmt.Sprint(s.changes) != fmt.Sprint(want) {
			t.Fatal(s.changes)
		}
	})
}
