package person

import (
	"testing"
	"time"

	"github.com/courtyard-social/courtyard/homedb/internal/clock"
	"github.com/courtyard-social/courtyard/homedb/internal/link"
)

func TestWhoseClockIsFollowed(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for _, c := range []struct {
		lead             time.Duration // of the relay's clock
		unsure, followed bool          // followed: this machine's, once there is a doubt
	}{
		{lead: 0}, {lead: 4 * time.Minute}, {lead: -hour}, {lead: -400 * day},
		{6 * time.Minute, true, true}, {hour, true, true}, {23 * hour, true, true},
		{lead: 25 * hour}, {lead: 20 * 365 * day},
	} {
		moved := clock.NewMoved()
		p := &Person{c: Config{Clock: moved}}
		p.current = &line{Line: &link.Line{}, now: moved.Now}
		p.current.time.Store(&told{moved.Now().Add(c.lead).UnixMilli(), moved.Now()})
		moved.Advance(time.Hour) // what has passed since is counted
		near := func(at int64, lead time.Duration) bool {
			return (time.Duration(at-moved.Now().UnixMilli())*time.Millisecond - lead).Abs() < time.Minute
		}
		at, unsure := p.date()
		if !near(at, c.lead) || unsure != c.unsure {
			t.Errorf("relay %v ahead: dated %v, unsure %v", c.lead, time.UnixMilli(at), unsure)
		}
		p.doubt()
		at, unsure = p.date()
		if c.followed && !near(at, 0) || !c.followed && !near(at, c.lead) || unsure {
			t.Errorf("relay %v ahead, and found to be: dated %v, unsure %v", c.lead, time.UnixMilli(at), unsure)
		}
	}
	p := &Person{c: Config{Clock: clock.NewMoved()}} // without a line there is one clock
	p.doubt()
	if _, unsure := p.date(); unsure {
		t.Error("unsure of nothing")
	}
}
