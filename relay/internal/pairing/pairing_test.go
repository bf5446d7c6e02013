package pairing

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
)

// The rules of time; the rest is asked of the running relay.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan struct{})
		b := New(time.Now, stopped)
		id := protocol.ID{1}
		get := func(part int) (string, time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), longest)
			defer cancel()
			began := time.Now()
			raw, err := b.Get(ctx, id, part, "home")
			return string(raw), time.Since(began), err
		}
		if _, took, err := get(0); protocol.CodeOf(err) != protocol.CodePairEmpty || took != longest {
			t.Fatal(took, err)
		}
		go func() {
			time.Sleep(5 * time.Second)
			if err := b.Put(id, 1, "app", []byte("another part")); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
			if err := b.Put(id, 0, "app", []byte("hello")); err != nil {
				t.Error(err)
			}
		}()
		if text, took, err := get(0); err != nil || text != "hello" || took != 10*time.Second {
			t.Fatal(text, took, err)
		}
		if text, took, err := get(0); err != nil || text != "hello" || took != 0 {
			t.Fatal("a second reader:", text, took, err)
		}
		if err := b.Put(id, 0, "app", []byte("other")); protocol.CodeOf(err) != protocol.CodePairUsed {
			t.Fatal(err)
		}
		time.Sleep(life)
		if _, _, err := get(0); protocol.CodeOf(err) != protocol.CodePairEmpty {
			t.Fatal("after ten minutes:", err)
		}
		// Waiting ends with the relay, and too many from one address are told so.
		ends := make(chan error, waitersPerAddress)
		for range waitersPerAddress {
			go func() { _, _, err := get(2); ends <- err }()
		}
		synctest.Wait()
		if _, _, err := get(2); protocol.CodeOf(err) != protocol.CodeRateLimited {
			t.Fatal(err)
		}
		close(stopped)
		for range waitersPerAddress {
			if err := <-ends; protocol.CodeOf(err) != protocol.CodePairEmpty {
				t.Fatal(err)
			}
		}
		if len(b.waits) != 0 || len(b.waiters) != 0 {
			t.Fatal("waiters are remembered:", b.waits, b.waiters)
		}
	})
}

func TestBoxesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(time.Now, nil)
		fill := func() {
			t.Helper()
			for i := range mostBoxes {
				if err := b.Put(protocol.ID{1, byte(i), byte(i >> 8)}, 0, strconv.Itoa(i/boxesPerAddress), []byte("x")); err != nil {
					t.Fatal(i, err)
				}
			}
		}
		fill()
		if err := b.Put(protocol.ID{2}, 0, "0", []byte("x")); protocol.CodeOf(err) != protocol.CodeRateLimited {
			t.Fatal(err)
		}
		if err := b.Put(protocol.ID{2}, 0, "somebody else", []byte("x")); protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Fatal(err)
		}
		if err := b.Put(protocol.ID{1}, 1, "somebody else", []byte("an answer")); err != nil {
			t.Fatal("an open box takes no more:", err)
		}
		time.Sleep(life)
		fill() // all of it was forgotten
		if b.bytes != mostBoxes || len(b.boxes) != mostBoxes || len(b.order) != mostBoxes || len(b.opened) != mostBoxes/boxesPerAddress {
			t.Fatal(b.bytes, len(b.boxes), len(b.order), len(b.opened))
		}
	})
}

// TestAFewAddressesDoNotStopPairing: sixteen of them had all boxes once.
func TestAFewAddressesDoNotStopPairing(t *testing.T) {
	b := New(time.Now, nil)
	for i := range 16 * boxesPerAddress {
		for part, most := range maxMessage {
			if err := b.Put(protocol.ID{1, byte(i), byte(i >> 8)}, part, strconv.Itoa(i%16), make([]byte, most)); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	if err := b.Put(protocol.ID{2}, 0, "somebody else", []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func TestTheBytesOfAllBoxesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(time.Now, nil)
		whole := make([]byte, maxMessage[2])
		n := mostBytes / len(whole)
		for i := range n {
			if err := b.Put(protocol.ID{1, byte(i), byte(i >> 8)}, 2, strconv.Itoa(i/boxesPerAddress), whole); err != nil {
				t.Fatal(i, err)
			}
		}
		for _, id := range []protocol.ID{{1}, {2}} { // in a new box or in an old one
			if err := b.Put(id, 0, "somebody else", []byte("x")); protocol.CodeOf(err) != protocol.CodeUnavailable {
				t.Fatal(err)
			}
		}
		if err := b.Put(protocol.ID{1}, 2, "0", whole); err != nil {
			t.Fatal("the same again:", err)
		}
		if b.bytes != mostBytes || len(b.boxes) != n {
			t.Fatal(b.bytes, len(b.boxes))
		}
		time.Sleep(life)
		if err := b.Put(protocol.ID{2}, 0, "somebody else", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if b.bytes != 1 || len(b.boxes) != 1 || len(b.opened) != 1 {
			t.Fatal("not forgotten:", b.bytes, len(b.boxes), b.opened)
		}
	})
}
