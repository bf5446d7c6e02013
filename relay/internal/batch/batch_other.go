//go:build !linux

package batch

import "net/netip"

func batching() bool { return false }

// What stands here instead of Linux's batches: nothing, as none is ever used.
type (
	name  struct{}
	inbox struct{}
)

func (*name) set(netip.AddrPort) {}

func (*Conn) receive(uintptr) bool { return true }

func (*Conn) next([]byte) (int, netip.AddrPort, bool) { return 0, netip.AddrPort{}, false }

func (*Conn) transmit(first *packet) { recycle(first) }
