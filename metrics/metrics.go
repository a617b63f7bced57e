// Package metrics shows a node's accounts to Prometheus. Nothing is counted here: loops count for
// themselves, without locks, and tell their counters when somebody scrapes; what is named here exists only
// during a scrape. table.go has all metrics, from which docs/METRICS.md is made too; ledger.go bounds how many
// apps have series of their own, and makes counters that only grow of accounts that come and go.
package metrics

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nano/loop"
)

// Source is where the numbers come from.
type Source interface {
	// Accounts are those of all apps, and of those that were removed, as loop.Node.Accounts tells them.
	Accounts(ctx context.Context) (apps, gone []loop.AppStats, err error)
	// Loops tells how each loop does, as loop.Node.Loops does.
	Loops(ctx context.Context) []loop.LoopStatus
	// Memory tells how the node stands to its budget.
	Memory() loop.MemoryStats
	// FailedApps is how many apps cannot be started.
	FailedApps() int
	// Ready tells whether the node serves.
	Ready() bool
	// LogDropped is how many lines of apps were not logged, by reason.
	LogDropped() map[string]uint64
}

// Options set up a Handler.
type Options struct {
	Source  Source
	Version string // of NANO
	AppsMax int    // that have series of their own; 0: none
}

const (
	// patience is how long loops may take to tell their counters. Prometheus waits for 10 s by default.
	patience = 5 * time.Second
	// loopPatience is the part of it for a loop to say that it is responsive.
	loopPatience = time.Second
	// scrapesMax is how many scrapes are answered at once: each takes tens of MB on a large node.
	scrapesMax = 2
)

// New makes what answers GET /metrics, in the text formats of Prometheus and OpenMetrics.
func New(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(o), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesMax, Timeout: 2 * patience, EnableOpenMetrics: true,
		ErrorHandling: promhttp.ContinueOnError,
	})
}

// collector implements prometheus.Collector.
type collector struct {
	options Options

	apps, loops, node []*prometheus.Desc
	latency, batches  *prometheus.Desc
	latencyBounds     []float64

	mutex  sync.Mutex // one scrape at a time enters its accounts
	ledger *ledger
}

func newCollector(o Options) *collector {
	c := &collector{options: o, ledger: newLedger(o.AppsMax)}
	for _, m := range appMetrics {
		c.apps = append(c.apps, describe(m.name, m.help, "app", m.label))
	}
	for _, m := range loopMetrics {
		c.loops = append(c.loops, describe(m.name, m.help, "loop", "lane"))
	}
	for _, m := range nodeMetrics {
		c.node = append(c.node, describe(m.name, m.help, m.label))
	}
	c.latency = describe(appLatencyName, appLatencyHelp, "app")
	c.batches = describe(loopBatchesName, loopBatchesHelp, "loop", "lane")
	for _, bound := range loop.LatencyBounds {
		c.latencyBounds = append(c.latencyBounds, bound.Seconds())
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, all := range [][]*prometheus.Desc{c.apps, c.loops, c.node, {c.latency, c.batches}} {
		for _, each := range all {
			to <- each
		}
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	accounts, gone, err := c.options.Source.Accounts(ctx)
	c.collectNode(to, accounts)
	c.collectLoops(to)
	if err != nil {
		// A loop is in a turn without end. A sum without it would be a counter that falls: apps have no series
		// this time, and the loops' own tell why.
		to <- prometheus.NewInvalidMetric(c.apps[0], err)
		return
	}
	named, other := c.ledger.enter(accounts, gone)
	for _, a := range named {
		c.collectApp(to, a)
		if isUsed(a) {
			to <- c.latencyOf(a)
		}
	}
	if other != nil {
		c.collectApp(to, other)
	}
}

func (c *collector) collectApp(to chan<- prometheus.Metric, a *loop.AppStats) {
	for i := range appMetrics {
		m := &appMetrics[i]
		m.values(a, func(label string, value float64) {
			if m.label == "" {
				to <- constant(c.apps[i], m.kind, value, a.Name)
			} else {
				to <- constant(c.apps[i], m.kind, value, a.Name, label)
			}
		})
	}
}

func constant(description *prometheus.Desc, kind kind, value float64, labels ...string) prometheus.Metric {
	valueType := prometheus.GaugeValue
	if kind == counter {
		valueType = prometheus.CounterValue
	}
	return prometheus.MustNewConstMetric(description, valueType, value, labels...)
}

func (c *collector) latencyOf(a *loop.AppStats) prometheus.Metric {
	buckets := make(map[float64]uint64, len(c.latencyBounds))
	sum := uint64(0)
	for i, bound := range c.latencyBounds {
		sum += a.Latency.Buckets[i]
		buckets[bound] = sum
	}
	return prometheus.MustNewConstHistogram(c.latency, a.Latency.Count(), a.Latency.Total.Seconds(), buckets, a.Name)
}

func (c *collector) collectLoops(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	for _, status := range c.options.Source.Loops(ctx) {
		seat, lane := strconv.Itoa(status.Loop), "normal"
		if status.IsSlow {
			lane = "slow"
		}
		for i, m := range loopMetrics {
			to <- constant(c.loops[i], m.kind, m.value(&status), seat, lane)
		}
		buckets := make(map[float64]uint64, loop.BatchClasses-1)
		count := uint64(0)
		for class, ticks := range status.Stats.Batches {
			count += ticks
			if class < loop.BatchClasses-1 {
				buckets[float64(int(2)<<class-1)] = count
			}
		}
		to <- prometheus.MustNewConstHistogram(c.batches, count, float64(status.Stats.Completions), buckets, seat, lane)
	}
}

// collectNode fills nodeMetrics, in their order.
func (c *collector) collectNode(to chan<- prometheus.Metric, accounts []loop.AppStats) {
	source := c.options.Source
	next := 0
	tell := func(value float64, labels ...string) {
		to <- constant(c.node[next], nodeMetrics[next].kind, value, labels...)
	}
	tell(1, c.options.Version)
	next++
	tell(number(source.Ready()))
	next++
	apps := map[string]bool{} // by name: whether it is warm
	for i := range accounts {
		apps[accounts[i].Name] = apps[accounts[i].Name] || accounts[i].Warm != 0
	}
	warm, failed := 0, source.FailedApps()
	for _, isWarm := range apps {
		if isWarm {
			warm++
		}
	}
	if accounts != nil {
		tell(float64(warm), "warm")
		tell(float64(max(len(apps)-warm-failed, 0)), "asleep")
	}
	tell(float64(failed), "failed")
	next++
	memory := source.Memory()
	tell(float64(memory.Budget))
	next++
	tell(float64(memory.Limit))
	next++
	tell(float64(memory.Resident))
	next++
	dropped := source.LogDropped()
	var reasons []string
	for reason := range dropped {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		tell(float64(dropped[reason]), reason)
	}
}
