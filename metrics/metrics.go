// Package metrics shows a node's accounts to Prometheus. Nothing is counted here: loops count for
// themselves, without locks, and tell their counters when somebody scrapes; what is named here exists only
// during a scrape. table.go has all metrics, from which docs/METRICS.md is made too; ledger.go bounds how many
// apps have series of their own, and makes counters that only grow of accounts that come and go.
package metrics

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

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
	// Spans are how many the collector of traces has taken, and how many were lost.
	Spans() (sent, dropped uint64)
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

// formats are the ones of answers, the best one first.
var formats = []expfmt.Format{expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1, expfmt.FmtText}

// New makes what answers GET /metrics, in the text formats of Prometheus and OpenMetrics. Answers are not compressed:
// for a large node that would cost more than all else of a scrape.
func New(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &gatherer{options: o, runtime: registry, ledger: newLedger(o.AppsMax), scrapes: make(chan struct{}, scrapesMax)}
}

// gatherer answers scrapes. It makes families of metrics by itself: a Registry would look at each series of each scrape
// for what cannot be wrong here.
type gatherer struct {
	options Options
	runtime prometheus.Gatherer // of Go and the process
	scrapes chan struct{}       // has an element for each scrape that is being answered
	sheets  sync.Pool           // of *sheet

	mutex  sync.Mutex // one scrape at a time enters its accounts
	ledger *ledger
}

// ServeHTTP implements http.Handler.
func (g *gatherer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case g.scrapes <- struct{}{}:
		defer func() { <-g.scrapes }()
	default:
		http.Error(w, fmt.Sprintf("%d scrapes are being answered; ask again later", scrapesMax), http.StatusServiceUnavailable)
		return
	}
	format := expfmt.NegotiateAccept(r.Header, formats...)
	s, isOld := g.sheets.Get().(*sheet)
	if !isOld {
		s = &sheet{}
	}
	s.reset(format.FormatType() == expfmt.TypeOpenMetrics)
	if err := g.write(s, format); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text := s.close()
	header := w.Header()
	header.Set("Content-Type", string(format))
	header.Add("Vary", "Accept")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // whoever asked has gone away, perhaps
	if !s.isLarge() {
		g.sheets.Put(s)
	}
}

// write writes all metrics: those of Go, the process, the node and the loops, and then those of apps.
func (g *gatherer) write(s *sheet, format expfmt.Format) error {
	families, _ := g.runtime.Gather() // what could be read, there is no more
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.mutex.Lock()
	defer g.mutex.Unlock()
	accounts, gone, err := g.options.Source.Accounts(ctx)
	families = append(families, g.node(accounts)...)
	families = append(families, g.loops()...)
	encoder := expfmt.NewEncoder(s, format)
	for _, f := range families {
		if len(f.Metric) == 0 {
			continue
		}
		if err := encoder.Encode(f); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	if err == nil {
		s.apps(g.ledger.enter(accounts, gone))
	}
	// Else a loop is in a turn without end. A sum without it would be a counter that falls: apps have no series this
	// time, and the loops' own tell why.
	return nil
}

// loops are the metrics of loops.
func (g *gatherer) loops() (families []*dto.MetricFamily) {
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	all := g.options.Source.Loops(ctx)
	labels := make([][]*dto.LabelPair, len(all))
	for i := range all {
		lane := "normal"
		if all[i].IsSlow {
			lane = "slow"
		}
		labels[i] = []*dto.LabelPair{pair("lane", lane), pair("loop", strconv.Itoa(all[i].Loop))}
	}
	for _, m := range loopMetrics {
		f := newFamily(m.name, m.help, m.kind)
		for i := range all {
			f.add(m.value(&all[i]), labels[i]...)
		}
		families = append(families, &f.MetricFamily)
	}
	batches := newFamily(loopBatchesName, loopBatchesHelp, histogram)
	for i := range all {
		s := &all[i].Stats
		batches.addHistogram(batchBounds, s.Batches[:], float64(s.Completions), labels[i]...)
	}
	return append(families, &batches.MetricFamily)
}

// node are nodeMetrics, in their order.
func (g *gatherer) node(accounts []loop.AppStats) (families []*dto.MetricFamily) {
	source := g.options.Source
	next := 0
	tell := func(values map[string]float64) {
		m := &nodeMetrics[next]
		next++
		f := newFamily(m.name, m.help, m.kind)
		for _, label := range slices.Sorted(maps.Keys(values)) {
			if m.label == "" {
				f.add(values[label])
			} else {
				f.add(values[label], pair(m.label, label))
			}
		}
		families = append(families, &f.MetricFamily)
	}
	tell(map[string]float64{g.options.Version: 1})
	tell(map[string]float64{"": number(source.Ready())})
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
	states := map[string]float64{"failed": float64(failed)}
	if accounts != nil {
		states["warm"], states["asleep"] = float64(warm), float64(max(len(apps)-warm-failed, 0))
	}
	tell(states)
	memory := source.Memory()
	tell(map[string]float64{"": float64(memory.Budget)})
	tell(map[string]float64{"": float64(memory.Limit)})
	tell(map[string]float64{"": float64(memory.Resident)})
	dropped := map[string]float64{}
	for reason, lines := range source.LogDropped() {
		dropped[reason] = float64(lines)
	}
	tell(dropped)
	sent, lost := source.Spans()
	tell(map[string]float64{"": float64(sent)})
	tell(map[string]float64{"": float64(lost)})
	return families
}
