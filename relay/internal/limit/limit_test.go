package limit_test

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/limit"
)

func TestABookGivesBackEvenly(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := limit.NewBook(limit.Rate{N: 6, Per: time.Minute}, func() time.Time { return now })
	for range 6 {
		if err := b.Allow("a"); err != nil {
			t.Fatal(err)
		}
	}
	err := b.Allow("a")
	if protocol.CodeOf(err) != protocol.CodeRateLimited || err.(*protocol.Error).Params["wait"].(int64) > 10_001 {
		t.Fatal(err)
	}
	if err := b.Allow("b"); err != nil {
		t.Fatal("another key:", err)
	}
	now = now.Add(10 * time.Second)
	if err := b.Allow("a"); err != nil {
		t.Fatal(err)
	}
	if err := b.Allow("a"); err == nil {
		t.Fatal("twice in ten seconds")
	}
}

func TestABookIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := limit.NewBook(limit.Rate{N: 1, Per: time.Hour}, func() time.Time { return now })
	for i := range 20_000 {
		if err := b.Allow(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Len(); n > 4<<10 {
		t.Fatal(n, "keys")
	}
	now = now.Add(2 * time.Hour) // all have their allowance back
	if err := b.Allow("busy"); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 { // those who have make room, not who has not: a quarter of them is left at the end
		if err := b.Allow(fmt.Sprint("late", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Allow("busy"); err == nil {
		t.Fatal("forgotten while idle keys were there")
	}
	if n := b.Len(); n > 4<<10 {
		t.Fatal(n, "keys")
	}
}

func TestAddressKeys(t *testing.T) {
	for ip, want := range map[string]string{
		"203.0.113.5": "203.0.113.5", "::ffff:203.0.113.5": "203.0.113.5", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "unknown", "nonsense": "unknown",
	} {
		if got := limit.Address(ip); got != want {
			t.Errorf("%s is %s, want %s", ip, got, want)
		}
	}
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	var refused atomic.Int64
	l := limit.Connections(inner, limit.HTTP, nil, func() { refused.Add(1) })
	accepted := make(chan net.Conn, 1000)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	held := []net.Conn{}
	for range 256 {
		dial()
		held = append(held, <-accepted)
	}
	// One more is closed at once.
	extra := dial()
	if n, err := extra.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the 257th connection lives")
	}
	if err := held[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := held[0].Close(); err == nil {
		t.Fatal("closed twice without a word")
	}
	dial()
	<-accepted
	extra = dial()
	if _, err := extra.Read(make([]byte, 1)); err == nil {
		t.Fatal("one connection was given back twice")
	}
	if n := refused.Load(); n != 2 {
		t.Fatal(n, "refusals counted")
	}
	// A proxy holds those of many.
	inner2, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner2.Close()
	proxied := limit.Connections(inner2, limit.HTTP, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, func() { t.Error("refused") })
	for range 300 {
		if _, err := net.Dial("tcp", inner2.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if _, err := proxied.Accept(); err != nil {
			t.Fatal(err)
		}
	}
}
