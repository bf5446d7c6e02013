package admin

import (
	"github.com/courtyard-social/courtyard/relay/internal/turn"
	"github.com/prometheus/client_golang/prometheus"
)

// Relaying is what counts packets by itself; *turn.Server.
type Relaying interface{ Totals() turn.Totals }

var (
	turnAllocations = prometheus.NewDesc("courtyard_turn_allocations", "Open TURN allocations.", nil, nil)
	turnPackets     = prometheus.NewDesc("courtyard_turn_packets_total", "Packets relayed to peers (out) and from them (in).", []string{"direction"}, nil)
	turnBytes       = prometheus.NewDesc("courtyard_turn_bytes_total", "Bytes in them.", []string{"direction"}, nil)
	turnDropped     = prometheus.NewDesc("courtyard_turn_dropped_total", "Packets that were not relayed, by reason.", []string{"reason"}, nil)
	turnRefused     = prometheus.NewDesc("courtyard_turn_refused_total", "TURN requests and connections that were refused, by reason.", []string{"reason"}, nil)
)

// relaying asks only when somebody looks, so that a packet costs no more.
type relaying struct{ source Relaying }

// Describe implements prometheus.Collector.
func (r relaying) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{turnAllocations, turnPackets, turnBytes, turnDropped, turnRefused} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (r relaying) Collect(out chan<- prometheus.Metric) {
	t := r.source.Totals()
	counter := func(d *prometheus.Desc, n int64, label string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
	out <- prometheus.MustNewConstMetric(turnAllocations, prometheus.GaugeValue, float64(t.Allocations))
	counter(turnPackets, t.Out.Packets, "out")
	counter(turnPackets, t.In.Packets, "in")
	counter(turnBytes, t.Out.Bytes, "out")
	counter(turnBytes, t.In.Bytes, "in")
	for reason, n := range t.Dropped {
		counter(turnDropped, n, reason)
	}
	for reason, n := range t.Refused {
		counter(turnRefused, n, reason)
	}
}

// Watch shows what source counts.
func (c *Counts) Watch(source Relaying) { c.registry.MustRegister(relaying{source}) }
