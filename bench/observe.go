package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// observeMost is what metrics and logs may add to the CPU of a request.
const observeMost = 0.03

// observeResult compares nodes with many apps that are watched with one that is not, under the same load.
type observeResult struct {
	Quiet   peerResult `json:"quiet"`
	Metrics peerResult `json:"metrics"` // scraped each second
	Logs    peerResult `json:"logs"`    // that, and an access log
	Scrapes int        `json:"scrapes"`
	// ScrapeSeconds and ScrapeBytes are those of the last scrape.
	ScrapeSeconds float64 `json:"scrape_seconds"`
	ScrapeBytes   int64   `json:"scrape_bytes"`
}

// runObserve gives each kind of node the same load in turn. All are there all the time, since none that rests takes
// time from the others.
func (b *bench) runObserve(ctx context.Context) (*observeResult, error) {
	p, found := b.nano()
	if !found {
		return nil, nil
	}
	tenants, err := b.distinct(activeApps)
	if err != nil {
		return nil, err
	}
	if err := b.build(ctx, p, tenants); err != nil {
		return nil, err
	}
	result := &observeResult{Quiet: peerResult{Peer: "quiet"}, Metrics: peerResult{Peer: "metrics"}, Logs: peerResult{Peer: "metrics, access log"}}
	type side struct {
		result *peerResult
		fleet  fleet
		house  *apartment
	}
	sides := []*side{{result: &result.Quiet}, {result: &result.Metrics}, {result: &result.Logs}}
	for i, s := range sides {
		s.fleet = fleet{Memory: "16GiB", Idle: time.Hour, Tenants: tenants, AccessLog: i == 2}
		if i > 0 {
			if s.fleet.Admin, err = freePort(); err != nil {
				return nil, err
			}
		}
		if s.house, err = b.rentFleet(ctx, p, s.fleet); err != nil {
			return nil, err
		}
		defer s.house.leave()
		if err := s.house.askAll(1); err != nil {
			return nil, err
		}
	}
	for round := range b.rounds + 1 {
		for i := range sides {
			s := sides[(round+i)%len(sides)] // what the one before leaves behind meets each of them
			endScrapes := result.scrape(ctx, s.fleet.Admin)
			load := scenario{Script: "hosts.lua", Arguments: []string{fmt.Sprint(activeApps), "app-%d.test"}}
			measured, err := b.load(ctx, s.house.server, load, b.duration)
			if failed := endScrapes(); err == nil {
				err = failed
			}
			if err != nil {
				return nil, err
			}
			progress("observe round %d/%d %-20s %8.0f requests/s %7.2f us CPU each, %d errors", round, b.rounds, s.result.Peer,
				measured.RequestsPerSecond, micros(measured.Total)/float64(measured.Requests), measured.Errors)
			if round > 0 { // the first round warms up
				s.result.Rounds = append(s.result.Rounds, measured)
			}
		}
	}
	for _, s := range sides {
		s.result.summarise()
	}
	return result, nil
}

// scrape asks for metrics each second, as Prometheus does, until end is called, which tells what went wrong. port 0:
// nobody is asked.
func (r *observeResult) scrape(ctx context.Context, port int) (end func() error) {
	if port == 0 {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				failed <- nil
				return
			case <-ticker.C:
			}
			begun := time.Now()
			size, err := scrapeOnce(ctx, port)
			if err != nil && ctx.Err() == nil {
				failed <- err
				return
			}
			if err == nil {
				r.Scrapes++
				r.ScrapeSeconds, r.ScrapeBytes = time.Since(begun).Seconds(), size
			}
		}
	}()
	return func() error {
		cancel()
		return <-failed
	}
}

func scrapeOnce(ctx context.Context, port int) (size int64, err error) {
	request, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("metrics: status %d", response.StatusCode)
	}
	return io.Copy(io.Discard, response.Body)
}

// added is how much more CPU a request takes than where nobody looks.
func (r *observeResult) added(watched *peerResult) float64 {
	return watched.TotalMicros/r.Quiet.TotalMicros - 1
}

func (r *results) judgeObserve() target {
	t := target{Text: fmt.Sprintf("metrics and logs cost ≤ %.0f %% CPU per request with %s apps", 100*observeMost, thousands(activeApps)), Verdict: notMeasured}
	if o := r.Observe; o != nil && o.Quiet.TotalMicros > 0 && o.Metrics.TotalMicros > 0 && o.Logs.TotalMicros > 0 {
		t.Measured = fmt.Sprintf("metrics %+.1f %%, with an access log %+.1f %% (%.2f µs)", 100*o.added(&o.Metrics), 100*o.added(&o.Logs), o.Quiet.TotalMicros)
		t.Verdict = verdict(o.added(&o.Logs) <= observeMost && o.Metrics.Errors == 0 && o.Logs.Errors == 0)
	}
	return t
}

func (r *results) writeObserve(page *strings.Builder) {
	if r.Observe == nil {
		return
	}
	o := r.Observe
	fmt.Fprintf(page, "## Metrics and logs (`observe`)\n\n"+
		"%s apps, all warm, on one loop each, asked in turn over 64 connections: a node that nobody watches, one that is scraped\n"+
		"each second (%d KB in %.0f ms), and one that also writes a line for each request to its access log. The CPU is that of the\n"+
		"whole process.\n\n", thousands(activeApps), o.ScrapeBytes>>10, 1000*o.ScrapeSeconds)
	writeTable(page, scenarioColumns, scenarioRows([]peerResult{o.Quiet, o.Metrics, o.Logs}))
}
