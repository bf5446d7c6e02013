package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// verdict counts what was looked at.
type verdict struct {
	out            io.Writer
	passed, failed int
}

// equal holds what was seen against what must be.
func (v *verdict) equal(what string, got, want any) {
	if got == want {
		v.passed++
		fmt.Fprintf(v.out, "ok       %s: %v\n", what, got)
		return
	}
	v.failed++
	fmt.Fprintf(v.out, "FAILED   %s: %v, want %v\n", what, got, want)
}

// table prints all combinations, one a line.
func (v *verdict) table(rows []outcome) error {
	if len(rows) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("phone", "home", "friend", "relay", "open", "to the home", "from it", "to the friend", "call", "a word", "photo", "failed")
	ms := func(d time.Duration) string {
		if d == 0 {
			return "-"
		}
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	for _, r := range rows {
		phone, friend, relay := string(r.of.phone), string(r.of.friend), "public"
		if r.of.together != apart {
			phone = "in the house"
		}
		if r.of.together == all {
			friend = "in the house"
		}
		if r.of.behind {
			relay = "1:1 NAT"
		}
		line(phone, string(r.of.home), friend, relay, ms(r.ready), r.home, ms(r.kept), r.friend, r.call, ms(r.chat), ms(r.photo), fmt.Sprint(r.failed))
	}
	return w.Flush()
}
