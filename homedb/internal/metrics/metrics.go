// Package metrics counts what the home agent does, for a private port. It must
// never carry a name, a uid or anything said: a household is not watched.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Counts are all figures of one agent.
type Counts struct {
	registry *prometheus.Registry
	letters  *prometheus.CounterVec
	links    *prometheus.CounterVec
	given    *prometheus.CounterVec
	refused  *prometheus.CounterVec
	direct   *prometheus.CounterVec
	channels prometheus.Gauge
	up       prometheus.Gauge
	people   prometheus.Gauge
}

// New makes the figures in a registry of their own.
func New() *Counts {
	c := &Counts{
		registry: prometheus.NewRegistry(),
		letters:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "courtyard_home_letters_total", Help: "Letters taken into custody, by what became of them."}, []string{"what"}),
		links:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "courtyard_home_link_total", Help: "What went wrong on links of devices, and connections to relays."}, []string{"what"}),
		given:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "courtyard_home_given_up_total", Help: "Letters of the home itself that were given up, by kind."}, []string{"kind"}),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "courtyard_home_page_refused_total", Help: "Requests to the home's own page that were refused, by reason."}, []string{"reason"}),
		direct:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "courtyard_home_direct_total", Help: "Direct connections, probes and candidates, by what became of them."}, []string{"what"}),
		channels: prometheus.NewGauge(prometheus.GaugeOpts{Name: "courtyard_home_direct_open", Help: "Direct connections that are open."}),
		up:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "courtyard_home_connected", Help: "People whose relay is connected."}),
		people:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "courtyard_home_people", Help: "People this home looks after."}),
	}
	c.registry.MustRegister(c.letters, c.links, c.given, c.refused, c.direct, c.channels, c.up, c.people,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

// Letters counts letters.
func (c *Counts) Letters(what string, n int) { c.letters.WithLabelValues(what).Add(float64(n)) }

// Link counts a trouble of a link.
func (c *Counts) Link(what string) { c.links.WithLabelValues(what).Inc() }

// Given counts an errand that was given up.
func (c *Counts) Given(kind string) { c.given.WithLabelValues(kind).Inc() }

// Refused counts a refused request to the page.
func (c *Counts) Refused(reason string) { c.refused.WithLabelValues(reason).Inc() }

// Direct counts what happens on direct paths.
func (c *Counts) Direct(what string) { c.direct.WithLabelValues(what).Inc() }

// DirectOpen moves the number of direct connections that are open.
func (c *Counts) DirectOpen(delta int) { c.channels.Add(float64(delta)) }

// Connected moves the number of people whose relay is connected.
func (c *Counts) Connected(delta int) { c.up.Add(float64(delta)) }

// People sets how many people there are.
func (c *Counts) People(n int) { c.people.Set(float64(n)) }

// Handler serves the figures.
func (c *Counts) Handler() http.Handler {
	return promhttp.HandlerFor(c.registry, promhttp.HandlerOpts{})
}
