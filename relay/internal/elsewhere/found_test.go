package elsewhere

import (
	"strconv"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/webfinger"
)

func TestFoundNamesAreFewAndForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	f := newFound(func() time.Time { return now })
	person := func(n int) webfinger.Person {
		return webfinger.Person{UID: protocol.UID{byte(n), byte(n >> 8)}, Username: "mei", Host: "a.example"}
	}
	f.put("twice", person(1))
	f.put("twice", person(2))
	if p, ok := f.get("twice"); !ok || p != person(2) || len(f.when) != 1 {
		t.Errorf("%v %v %d", p, ok, len(f.when))
	}
	for n := range mostFound {
		f.put(strconv.Itoa(n), person(n))
	}
	if _, ok := f.get("twice"); ok || len(f.by) != mostFound || len(f.when) != mostFound {
		t.Errorf("%d of %d: the oldest made no room", len(f.by), len(f.when))
	}
	now = now.Add(foundFor - 1)
	if p, ok := f.get("7"); !ok || p != person(7) {
		t.Errorf("%v %v", p, ok)
	}
	now = now.Add(1)
	if _, ok := f.get("7"); ok || len(f.by) != 0 || len(f.when) != 0 {
		t.Errorf("%d of %d are left", len(f.by), len(f.when))
	}
}
