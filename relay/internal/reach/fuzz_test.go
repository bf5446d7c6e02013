package reach_test

import (
	"net"
	"net/netip"
	"testing"
)

// inside is what the list must keep out, said with other means than the list's.
func inside(addr netip.Addr) bool {
	b := addr.AsSlice()
	if addr.Is4In6() || addr.Zone() != "" || !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return true
	}
	if addr.Is4() {
		return b[0] == 0 || b[0] >= 224 || b[0] == 100 && b[1]>>6 == 1 || b[0] == 198 && b[1]|1 == 19 || b[0] == 192 && b[1] == 0 && b[2]|2 == 2
	}
	// Outside 2000::/3, or 2001:0000-01ff, 2001:db8, 2002.
	return b[0]>>5 != 1 || b[0] == 0x20 && b[1] == 1 && (b[2] < 2 || b[2] == 0x0d && b[3] == 0xb8) || b[0] == 0x20 && b[1] == 2
}

// FuzzAddress: whatever the text, and whatever a name server says, nothing inside is dialled.
func FuzzAddress(f *testing.F) {
	for _, host := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "0x7f.1", "a.example", "2002:7f00:1::", "64:ff9b::a00:1", "fe80::1%lo", "8.8.8.8", "2a00::1"} {
		f.Add(host, "443", []byte{93, 184, 216, 34}, []byte{10, 0, 0, 1})
		f.Add(host, "1024", []byte{0x20, 2, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1})
	}
	f.Fuzz(func(t *testing.T, host, port string, first, second []byte) {
		answer := ""
		for _, raw := range [][]byte{first, second} {
			if addr, ok := netip.AddrFromSlice(raw); ok {
				answer += addr.String() + ","
			}
		}
		w := &world{names: map[string][]string{host: {answer}}}
		try(t, w.dialer(t), net.JoinHostPort(host, port))
		for _, text := range w.dialled {
			to, err := netip.ParseAddrPort(text)
			if err != nil {
				t.Fatalf("dialled %q, which a resolver would have to read", text)
			}
			if inside(to.Addr()) || to.Port() != 443 && to.Port() < 1024 {
				t.Fatalf("%q (%s) dialled %s", host, answer, to)
			}
		}
		if len(w.counted) != 1 {
			t.Fatalf("counted %v", w.counted)
		}
	})
}
