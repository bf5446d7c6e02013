// Package admin is what the operator sees: counters on a private port, and
// whether the relay is well.
//
// It must never have a person, a name or an address as a label.
package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/courtyard-social/courtyard/protocol"
	"github.com/courtyard-social/courtyard/relay/internal/gate"
	"github.com/courtyard-social/courtyard/relay/internal/space"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Counts are the relay's counters. Safe for use by several goroutines.
type Counts struct {
	registry  *prometheus.Registry
	refused   *prometheus.CounterVec
	answered  *prometheus.CounterVec
	took      prometheus.Histogram
	sockets   prometheus.Gauge
	links     *prometheus.GaugeVec
	delivered prometheus.Counter
	dropped   *prometheus.CounterVec
	reached   *prometheus.CounterVec
	pushed    *prometheus.CounterVec
	groups    prometheus.Counter
	jobs      prometheus.Counter
}

// NewCounts makes counters of their own, so that several relays in one process
// do not share any. statements is read when somebody looks.
func NewCounts(statements func() int64) *Counts {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "courtyard_" + name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "courtyard_" + name, Help: help}, labels)
	}
	c := &Counts{
		registry: prometheus.NewRegistry(),
		refused:  vector("refused_total", "What was refused, by code.", "code"),
		answered: vector("http_answers_total", "HTTP answers, by route and status.", "route", "status"),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "courtyard_http_seconds", Help: "How long HTTP answers took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		links:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "courtyard_links", Help: "Open links with other relays."}, []string{"direction"}),
		sockets:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "courtyard_sockets", Help: "Open websockets."}),
		delivered: counter("rows_delivered_total", "Queue rows written to sockets."),
		dropped:   vector("dropped_total", "Live frames and sockets that could not keep up, connections beyond the limit.", "what"),
		reached:   vector("dials_total", "Connections to elsewhere, by outcome.", "outcome"),
		pushed:    vector("pushes_total", "Pushes to people's devices, by what became of them.", "what"),
		groups:    counter("commits_total", "Transactions of the queue."),
		jobs:      counter("commit_jobs_total", "Puts and confirmations in them."),
	}
	c.registry.MustRegister(
		c.refused, c.answered, c.took, c.sockets, c.links, c.delivered, c.dropped, c.reached, c.pushed, c.groups, c.jobs,
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "courtyard_statements_total", Help: "SQL statements."},
			func() float64 { return float64(statements()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, code := range protocol.Codes() {
		c.refused.WithLabelValues(code) // a code that never occurred shows as 0
	}
	return c
}

// Refused counts a refusal.
func (c *Counts) Refused(code string) { c.refused.WithLabelValues(code).Inc() }

// Answered counts an HTTP answer. route is a pattern, never a path.
func (c *Counts) Answered(route string, status int, took time.Duration) {
	c.answered.WithLabelValues(route, strconv.Itoa(status)).Inc()
	c.took.Observe(took.Seconds())
}

// Connected counts sockets that open (1) and close (-1).
func (c *Counts) Connected(delta int) { c.sockets.Add(float64(delta)) }

// Linked counts links that open (1) and close (-1): out those that this relay opened, in the others.
func (c *Counts) Linked(direction string, delta int) {
	c.links.WithLabelValues(direction).Add(float64(delta))
}

// Delivered counts rows written to sockets.
func (c *Counts) Delivered(rows int) { c.delivered.Add(float64(rows)) }

// Dropped counts live frames and sockets that could not keep up, and connections
// beyond the limit.
func (c *Counts) Dropped(what string) { c.dropped.WithLabelValues(what).Inc() }

// Reached counts attempts to open a connection to elsewhere.
func (c *Counts) Reached(outcome string) { c.reached.WithLabelValues(outcome).Inc() }

// Pushed counts a push: sent, gone, later (tried again), refused, dropped (never made).
func (c *Counts) Pushed(what string) { c.pushed.WithLabelValues(what).Inc() }

// Committed counts a transaction of the queue.
func (c *Counts) Committed(jobs int) {
	c.groups.Inc()
	c.jobs.Add(float64(jobs))
}

// Handler serves the counters, for the private port.
func (c *Counts) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.registry, promhttp.HandlerOpts{}))
	return mux
}

// Store is what the package needs of the database.
type Store interface {
	Claimed(ctx context.Context) (bool, error)
}

// Info is what GET /api/1/relay says, besides claimed and the time.
type Info struct {
	Key     protocol.Key32
	Host    string
	Version string
	Card    protocol.Signed // what hop records to this relay are sealed to (section 14)
}

// Routes are the calls about the relay itself.
func Routes(info Info, store Store, room func() error, now func() time.Time) []gate.Route {
	return []gate.Route{
		{Method: http.MethodGet, Path: "/api/1/relay", Handle: func(call *gate.Call) error {
			claimed, err := store.Claimed(call.Context())
			if err != nil {
				return err
			}
			return call.JSON(struct {
				Key     protocol.Key32  `json:"key"`
				Host    string          `json:"host"`
				Claimed bool            `json:"claimed"`
				Version string          `json:"version"`
				Time    int64           `json:"time"`
				Card    protocol.Signed `json:"card"`
			}{info.Key, info.Host, claimed, info.Version, now().UnixMilli(), info.Card})
		}},
		{Method: http.MethodGet, Path: "/api/1/health", Handle: func(call *gate.Call) error {
			if _, err := store.Claimed(call.Context()); err != nil {
				return &protocol.Error{Op: "admin.health", Code: protocol.CodeUnavailable, Cause: err}
			}
			if err := room(); err != nil {
				return err
			}
			return call.JSON(struct {
				OK bool `json:"ok"`
			}{true})
		}},
	}
}

// Step says whether a change of an owner's space is worth telling: one of 64
// steps of the limit was crossed.
func Step(change space.Change, limit int64) bool {
	return change.Before*64/limit != change.After*64/limit
}
