package store

import (
	"encoding/binary"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
)

func TestWhatIsRememberedOfContacts(t *testing.T) {
	var a accepted
	q := acceptance{protocol.UID{1}, protocol.UID{2}}
	known := func(want bool) {
		t.Helper()
		if yes, known, _ := a.look(q); yes != want || known != want {
			t.Errorf("known %v, %v", known, yes)
		}
	}
	_, _, turn := a.look(q)
	a.keep(q, true, turn)
	known(true)
	a.forget()
	known(false)

	// Read before a change, kept after it.
	_, _, turn = a.look(q)
	a.forget()
	a.keep(q, true, turn)
	known(false)

	_, _, turn = a.look(q)
	for n := range uint64(3 * mostAccepted) {
		var other acceptance
		binary.BigEndian.PutUint64(other.owner[:], n)
		a.keep(other, true, turn)
		if len(a.known) > mostAccepted {
			t.Fatalf("%d pairs are remembered", len(a.known))
		}
	}
}
