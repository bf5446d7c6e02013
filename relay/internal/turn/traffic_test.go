package turn

import (
	"slices"
	"testing"
)

func TestTheForemostAreShown(t *testing.T) {
	if got := foremost([]amount{{"ana", 0, 5}, {"mei", 1, 7}, {"tom", 2, 5}}); !slices.Equal(got, []amount{{"mei", 1, 7}, {"ana", 0, 5}, {"tom", 2, 5}}) {
		t.Fatal(got)
	}
	many := []amount{}
	for n := range mostShown + 20 {
		many = append(many, amount{Bytes: int64(n)})
	}
	got := foremost(many)
	if len(got) != mostShown || got[0].Bytes != mostShown+19 || got[mostShown-1].Bytes != 20 {
		t.Fatal(len(got), got[0], got[len(got)-1])
	}
}
