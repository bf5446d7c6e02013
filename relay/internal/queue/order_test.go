package queue

import (
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
)

func TestOrderHoldsUpWhatComesAfterARefusalThatMayChange(t *testing.T) {
	t.Parallel()
	var o Order
	tom, ann := protocol.UID{1}, protocol.UID{2}
	full := &protocol.Error{Code: protocol.CodeSpaceFull}
	lasting := &protocol.Error{Code: protocol.CodeNotContact}
	free := func(owner protocol.UID, n int64) bool { return o.before(owner, n) == nil }
	o.After(tom, 5, full)
	if free(tom, 6) || !free(tom, 5) || !free(tom, 4) || !free(ann, 6) {
		t.Fatal("held up otherwise than it should")
	}
	if code := protocol.CodeOf(o.before(tom, 6)); code != protocol.CodeSpaceFull {
		t.Fatal(code)
	}
	o.After(tom, 6, o.before(tom, 6)) // what is refused for it holds nothing else up
	o.After(tom, 3, full)             // but something earlier does
	if free(tom, 4) || !free(tom, 3) {
		t.Fatal("the earlier one does not count")
	}
	o.After(tom, 3, lasting) // never will: the way is free
	if !free(tom, 6) {
		t.Fatal("still held up")
	}
	o.After(tom, 7, full)
	o.After(tom, 8, nil) // another one's luck changes nothing
	if free(tom, 9) {
		t.Fatal("overtaken")
	}
	o.After(tom, 7, nil)
	if !free(tom, 9) {
		t.Fatal("held up for ever")
	}
	o.After(tom, 7, &protocol.Error{Code: protocol.CodeClockAhead})
	if !free(tom, 9) {
		t.Fatal("a clock holds up what comes after")
	}
	o.After(tom, 7, full)
	o.After(tom, 7, &protocol.Error{Code: protocol.CodeClockAhead})
	if !free(tom, 9) {
		t.Fatal("what came again and waits alone holds up what comes after")
	}
	var none *Order
	none.After(tom, 1, full)
	if none.before(tom, 2) != nil {
		t.Fatal("a socket has no order")
	}
}
