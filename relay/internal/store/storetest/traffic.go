package storetest

import (
	"slices"
	"testing"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/protocol/ident"
	"github.com/courtyard-social/courtyard/relay/internal/turn"
)

func traffic(t *testing.T, o Opened) {
	mei, tom := o.Resident(t, "mei"), o.Resident(t, "tom")
	add := func(oldest string, rows ...turn.Traffic) {
		t.Helper()
		must(t, o.Store.AddTraffic(t.Context(), rows, oldest))
	}
	sees := func(month string, want ...turn.Traffic) {
		t.Helper()
		got, err := o.Store.Traffic(t.Context(), month)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %+v", month, got)
		}
	}
	sees("2026-11")
	add("2026-10")
	add("2026-10",
		turn.Traffic{UID: tom.UID, Month: "2026-11", Bytes: 7},
		turn.Traffic{UID: mei.UID, Month: "2026-11", Bytes: 1 << 52},
		turn.Traffic{UID: mei.UID, Month: "2026-10", Bytes: 3})
	add("2026-10", turn.Traffic{UID: mei.UID, Month: "2026-11", Bytes: 1})
	sees("2026-11", turn.Traffic{UID: mei.UID, Username: "mei", Month: "2026-11", Bytes: 1<<52 + 1}, turn.Traffic{UID: tom.UID, Username: "tom", Month: "2026-11", Bytes: 7})
	sees("2026-10", turn.Traffic{UID: mei.UID, Username: "mei", Month: "2026-10", Bytes: 3})
	// All at once add up, whoever writes first.
	for _, err := range race(6, func(int) func() error {
		return func() error {
			return o.Store.AddTraffic(t.Context(), []turn.Traffic{{UID: tom.UID, Month: "2026-11", Bytes: 10}, {UID: mei.UID, Month: "2026-11", Bytes: 10}}, "2026-10")
		}
	}) {
		must(t, err)
	}
	add("2026-11")
	sees("2026-10")
	sees("2026-11", turn.Traffic{UID: mei.UID, Username: "mei", Month: "2026-11", Bytes: 1<<52 + 61}, turn.Traffic{UID: tom.UID, Username: "tom", Month: "2026-11", Bytes: 67})
	// Who does not live here is not shown.
	add("2026-11", turn.Traffic{UID: protocol.UID{9}, Month: "2026-11", Bytes: 1})
	if got, err := o.Store.Traffic(t.Context(), "2026-11"); err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
}

func revokedDevices(t *testing.T, o Opened) {
	mei := o.Resident(t, "mei")
	kept, lost := o.Enrol(t, mei, ident.RoleAdmin), o.Enrol(t, mei, ident.RoleAdmin)
	o.Revoke(t, mei, lost.ID())
	got, err := o.Store.Revoked(t.Context())
	must(t, err)
	if !slices.Equal(got, []turn.Device{{UID: mei.UID, ID: lost.ID()}}) {
		t.Fatal(got, "kept is", kept.ID())
	}
}
