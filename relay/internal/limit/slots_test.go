package limit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(3, 2, 5*time.Second)
		take := func(key string) func() {
			t.Helper()
			give, err := s.Take(t.Context(), key)
			if err != nil {
				t.Fatal(key, err)
			}
			return give
		}
		refused := func(code, key string) {
			t.Helper()
			began := time.Now()
			if _, err := s.Take(t.Context(), key); protocol.CodeOf(err) != code || time.Since(began) != 5*time.Second {
				t.Fatal(key, err, time.Since(began))
			}
		}
		first, second := take("mei"), take("mei")
		refused(protocol.CodeRateLimited, "mei")
		third := take("tom") // mei cannot have them all
		refused(protocol.CodeUnavailable, "tom")
		refused(protocol.CodeUnavailable, "eve")
		// Who waits gets the one that is given back.
		came := make(chan func())
		go func() { came <- take("mei") }()
		synctest.Wait()
		first()
		fourth := <-came
		second()
		fifth := take("eve")
		for _, give := range []func(){third, fourth, fifth} {
			give()
		}
		if len(s.held) != 0 || len(s.all) != 0 {
			t.Fatal("remembered:", s.held, len(s.all))
		}
	})
}
