package turn

import "sync/atomic"

// Why packets are dropped.
const (
	droppedPort     = "port"     // below 1024
	droppedOwn      = "own"      // to this machine, where there is no allocation
	droppedRate     = "rate"     // the person's bandwidth
	droppedLarge    = "large"    // more than 1,600 bytes
	droppedSend     = "send"     // the kernel did not take it
	droppedOften    = "often"    // from an address without an allocation
	droppedStranger = "stranger" // to an allocation, from somebody whom its client has not asked for
)

// Why requests and connections are refused.
const (
	refusedCredential  = "credential"  // none that was given out
	refusedExpired     = "expired"     // no longer good
	refusedRevoked     = "revoked"     // the device's
	refusedQuota       = "quota"       // enough allocations
	refusedRate        = "rate"        // too many begun in a minute
	refusedMonth       = "month"       // the person's traffic is used up
	refusedPorts       = "ports"       // none free
	refusedPeer        = "peer"        // an address to which nothing is relayed
	refusedPermissions = "permissions" // enough peers
	refusedFrame       = "frame"       // not TURN
	refusedIdle        = "idle"        // nothing, or half a frame, for too long
	refusedConnections = "connections" // enough from that address
)

var (
	droppedReasons = []string{droppedPort, droppedOwn, droppedRate, droppedLarge, droppedSend, droppedOften, droppedStranger}
	refusedReasons = []string{
		refusedCredential, refusedExpired, refusedRevoked, refusedQuota, refusedRate, refusedMonth, refusedPorts,
		refusedPeer, refusedPermissions, refusedFrame, refusedIdle, refusedConnections,
	}
)

// tally counts by reason.
type tally map[string]*atomic.Int64

func newTally(reasons []string) tally {
	t := tally{}
	for _, reason := range reasons {
		t[reason] = &atomic.Int64{}
	}
	return t
}

func (t tally) add(reason string) { t[reason].Add(1) }

func (t tally) read() map[string]int64 {
	out := map[string]int64{}
	for reason, n := range t {
		out[reason] = n.Load()
	}
	return out
}

// Flow is what went in one direction so far.
type Flow struct{ Packets, Bytes int64 }

// Totals are the server's counters.
type Totals struct {
	Allocations      int
	Out, In          Flow // to peers, from them
	Dropped, Refused map[string]int64
}

// Totals reads the counters.
func (s *Server) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out, in flow
	for _, r := range s.relays {
		out.merge(&r.out)
		in.merge(&r.in)
	}
	out.merge(&s.gone.out)
	in.merge(&s.gone.in)
	t := Totals{
		Allocations: len(s.relays), Out: Flow{out.packets.Load(), out.bytes.Load()}, In: Flow{in.packets.Load(), in.bytes.Load()},
		Dropped: s.dropped.read(), Refused: s.refused.read(),
	}
	t.Dropped[droppedLarge], t.Dropped[droppedSend] = s.outbox.Large(), s.outbox.Unsent()
	return t
}
