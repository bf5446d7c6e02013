package main

import (
	"fmt"
	"slices"
	"strings"
)

// turnTable has a line for each figure, and after the servers' columns how ours
// compares with each of the others in the same round.
func turnTable(servers []*turnServer, measured string) table {
	head := []string{"turn", "unit"}
	for _, s := range servers {
		head = append(head, s.name)
	}
	for _, s := range servers[1:] {
		head = append(head, servers[0].name+" ÷ "+s.name)
	}
	t := newTable(append(head, "how")...)
	line := func(what, unit, how string, of func(*turnServer) []float64) {
		cells := []string{what, unit}
		for _, s := range servers {
			cells = append(cells, digits(median(of(s))))
		}
		for _, s := range servers[1:] {
			cells = append(cells, digits(median(quotients(of(servers[0]), of(s)))))
		}
		t.add(append(cells, how)...)
	}
	const cpu = "CPU-s per million"
	paced := "packets over a channel, one of each allocation in turn; " + measured
	for _, s := range servers {
		if s.how != "" {
			paced += fmt.Sprintf("; %s: %s", s.name, s.how)
		}
	}
	full := fmt.Sprintf("%d of each allocation in turn, %d under way in all", turnBurst, turnUnderWay)
	rate := "likewise; as fast as server and generator go together"
	for i, c := range turnCases() {
		line(fmt.Sprintf("%s, %s/s", c, digits(turnRate)), cpu, paced+lost(servers, func(s *turnServer) rounds { return s.paced[i] }), func(s *turnServer) []float64 { return s.paced[i].cpu })
		line(c.String()+", full speed", cpu, full+lost(servers, func(s *turnServer) rounds { return s.full[i] }), func(s *turnServer) []float64 { return s.full[i].cpu })
		line("the same", "packets/s", rate, func(s *turnServer) []float64 { return s.full[i].rate })
		paced, full, rate = "likewise", "likewise", "likewise"
	}
	n := len(servers[0].logins) * turnEach
	line("making allocations", cpu, fmt.Sprintf("%d, by %d clients at a time, two questions each", n, turnMakers), func(s *turnServer) []float64 { return s.made.cpu })
	line("the same", "allocations/s", "likewise; as fast as server and generator go together", func(s *turnServer) []float64 { return s.made.rate })
	line("memory of an idle allocation", "KiB", fmt.Sprintf("RssAnon with and without %d", n), func(s *turnServer) []float64 { return []float64{s.kib} })
	return t
}

// lost says which servers dropped packets, "" if none did.
func lost(servers []*turnServer, in func(*turnServer) rounds) string {
	var said []string
	for _, s := range servers {
		if share := slices.Max(in(s).lost); share > 0 {
			said = append(said, fmt.Sprintf("%s %s %%", s.name, digits(100*share)))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return "; dropped at most: " + strings.Join(said, ", ")
}

// quotients are of the same round each, when the machine had the same to do.
func quotients(a, b []float64) (out []float64) {
	for i := range min(len(a), len(b)) {
		out = append(out, a[i]/b[i])
	}
	return out
}
