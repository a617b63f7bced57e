package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"nano/isolates"
	"nano/loop"
)

// fakeNode is a Source.
type fakeNode struct {
	accounts, gone []loop.AppStats
	err            error
}

func (n *fakeNode) Accounts(context.Context) (apps, gone []loop.AppStats, err error) {
	return n.accounts, n.gone, n.err
}
func (n *fakeNode) Memory() loop.MemoryStats {
	return loop.MemoryStats{Budget: 3, Limit: 2, Resident: 1}
}
func (n *fakeNode) FailedApps() int { return 1 }
func (n *fakeNode) Ready() bool     { return true }
func (n *fakeNode) LogDropped() map[string]uint64 {
	return map[string]uint64{"rate": 5, "slow_reader": 0}
}

func (n *fakeNode) Spans() (sent, dropped uint64) { return 8, 4 }

func (n *fakeNode) Loops(context.Context) []loop.LoopStatus {
	stats := loop.Stats{Completions: 10, Batches: [loop.BatchClasses]uint64{1, 2, 0, 1}, StallTime: 15e6, Ticks: 9}
	stats.Batches[loop.BatchClasses-1] = 3
	return []loop.LoopStatus{{Responsive: true, Busy: 250, Stats: stats}, {IsSlow: true, HasEnded: true}}
}

// account is one that has something of everything.
func account(name string, requests uint64) loop.AppStats {
	a := loop.AppStats{Name: name, CPU: 1500 * time.Millisecond, Warm: 1, InHand: 2, Resident: 1 << 20}
	a.Requests, a.Answers[2], a.Answers[5] = requests, requests-1, 1
	a.CPULimit, a.Subrequests, a.EgressRefusals = 1, 7, 3
	a.Starts[0] = loop.StartCounts{Count: 2, Total: 3 * time.Millisecond, Max: 2 * time.Millisecond}
	a.Sleeps, a.Deaths = 1, 1
	a.Latency.Buckets[0], a.Latency.Buckets[3], a.Latency.Buckets[len(loop.LatencyBounds)] = requests-2, 1, 1
	a.Latency.Total = 20 * time.Second
	a.Heap.Spaces[2] = isolates.HeapSpace{Used: 100 << 10, Committed: 256 << 10}
	a.Heap.External = 5
	return a
}

func scrape(t testing.TB, handler http.Handler) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	if recorder.Code != 200 {
		t.Fatalf("status %d: %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

func TestMetrics(t *testing.T) {
	node := &fakeNode{accounts: []loop.AppStats{account("hello", 10), {Name: "unused"}}}
	text := scrape(t, New(Options{Source: node, Version: "1.2.3", AppsMax: 10}))
	for _, want := range []string{
		`nano_build_info{version="1.2.3"} 1`,
		`nano_ready 1`,
		`nano_apps{state="warm"} 1`,
		`nano_apps{state="asleep"} 0`,
		`nano_apps{state="failed"} 1`,
		`nano_memory_limit_bytes 2`,
		`nano_log_lines_dropped_total{reason="rate"} 5`,
		`nano_trace_spans_total 8`,
		`nano_trace_spans_dropped_total 4`,
		`nano_app_requests_total{app="hello"} 10`,
		`nano_app_requests_total{app="unused"} 0`,
		`nano_app_responses_total{app="hello",class="2xx"} 9`,
		`nano_app_responses_total{app="hello",class="none"} 0`,
		`nano_app_errors_total{app="hello",kind="cpu_limit"} 1`,
		`nano_app_errors_total{app="hello",kind="overload"} 0`,
		`nano_app_cpu_seconds_total{app="hello"} 1.5`,
		`nano_app_subrequests_total{app="hello"} 7`,
		`nano_app_egress_refusals_total{app="hello"} 3`,
		`nano_app_starts_total{app="hello",from="snapshot"} 2`,
		`nano_app_start_seconds_total{app="hello",from="snapshot"} 0.003`,
		`nano_app_sleeps_total{app="hello",reason="idle"} 1`,
		`nano_app_heap_used_bytes{app="hello",space="old"} 102400`,
		`nano_app_external_bytes{app="hello"} 5`,
		`nano_app_response_seconds_bucket{app="hello",le="0.00025"} 8`,
		`nano_app_response_seconds_bucket{app="hello",le="0.0025"} 9`,
		`nano_app_response_seconds_bucket{app="hello",le="10"} 9`,
		`nano_app_response_seconds_bucket{app="hello",le="+Inf"} 10`,
		`nano_app_response_seconds_sum{app="hello"} 20`,
		`nano_loop_responsive{lane="normal",loop="0"} 1`,
		`nano_loop_responsive{lane="slow",loop="0"} 0`,
		`nano_loop_busy_ratio{lane="normal",loop="0"} 0.25`,
		`nano_loop_stall_seconds_total{lane="normal",loop="0"} 0.015`,
		`nano_loop_completions_per_tick_bucket{lane="normal",loop="0",le="1"} 1`,
		`nano_loop_completions_per_tick_bucket{lane="normal",loop="0",le="3"} 3`,
		`nano_loop_completions_per_tick_bucket{lane="normal",loop="0",le="511"} 4`,
		`nano_loop_completions_per_tick_count{lane="normal",loop="0"} 7`,
		`nano_loop_completions_per_tick_sum{lane="normal",loop="0"} 10`,
		`go_goroutines `,
		`process_cpu_seconds_total `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, `_total{app="unused",`) || strings.Contains(text, `app="`+OtherApps) {
		t.Error("series of what there is not")
	}
	series := map[string]bool{}
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, "} ")
		if !strings.HasPrefix(line, "#") && strings.Contains(line, "} ") && series[name] {
			t.Errorf("twice: %s", line)
		}
		series[name] = true
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) != 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

// TestAllShown compares the table, which docs/METRICS.md has too, with what a scrape shows.
func TestAllShown(t *testing.T) {
	text := scrape(t, New(Options{Source: &fakeNode{accounts: []loop.AppStats{account("hello", 10)}}, AppsMax: 10}))
	shown := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (nano_\w+) `).FindAllStringSubmatch(text, -1) {
		shown[match[1]] = true
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(nano_\\w+)` \\|").FindAllStringSubmatch(Table(), -1) {
		if !shown[match[1]] {
			t.Errorf("%s is documented, but not shown", match[1])
		}
		delete(shown, match[1])
	}
	for name := range shown {
		t.Errorf("%s is not documented", name)
	}
}

// TestStuckLoop: while a loop does not tell its accounts, the others' numbers are there.
func TestStuckLoop(t *testing.T) {
	text := scrape(t, New(Options{Source: &fakeNode{err: errors.New("a loop does not answer")}, AppsMax: 10}))
	if !strings.Contains(text, "nano_loop_responsive{") || strings.Contains(text, "nano_app_requests_total") {
		t.Error(text)
	}
}

func TestLedger(t *testing.T) {
	l := newLedger(2)
	enter := func(accounts, gone []loop.AppStats) string {
		named, other := l.enter(accounts, gone)
		var text strings.Builder
		for _, a := range named {
			fmt.Fprintf(&text, "%s:%d ", a.Name, a.Requests)
		}
		if other != nil {
			fmt.Fprintf(&text, "%s:%d warm %d", other.Name, other.Requests, other.Warm)
		}
		return strings.TrimSpace(text.String())
	}
	of := func(name string, requests uint64) loop.AppStats {
		return loop.AppStats{Name: name, Warm: 1, AppCounts: loop.AppCounts{Requests: requests}}
	}
	gone := func(name string, requests uint64) []loop.AppStats {
		return []loop.AppStats{{Name: name, AppCounts: loop.AppCounts{Requests: requests}}}
	}
	for i, step := range []struct {
		accounts []loop.AppStats
		gone     []loop.AppStats
		want     string
	}{
		{[]loop.AppStats{of("a", 10), of("b", 20)}, nil, "a:10 b:20"},
		// A third one is counted among the others, from when it comes.
		{[]loop.AppStats{of("a", 10), of("b", 20), of("c", 15)}, nil, "a:10 b:20 _other:15 warm 1"},
		{[]loop.AppStats{of("a", 11), of("b", 20), of("c", 19)}, nil, "a:11 b:20 _other:19 warm 1"},
		// With more than twice as many it has the place of the smallest, whose later requests count there.
		{[]loop.AppStats{of("a", 11), of("b", 20), of("c", 123)}, nil, "b:20 c:123 _other:19 warm 1"},
		{[]loop.AppStats{of("a", 18), of("b", 20), of("c", 123)}, nil, "b:20 c:123 _other:26 warm 1"},
		// An app that is gone makes room; what came to it after the last scrape is the others'.
		{[]loop.AppStats{of("a", 18), of("c", 123)}, gone("b", 25), "a:18 c:123 _other:31 warm 0"},
		// A version that was replaced begins again, but the app's counter does not.
		{[]loop.AppStats{of("a", 5), of("c", 100), of("c", 23)}, append(gone("a", 18), gone("b", 25)...), "a:23 c:123 _other:31 warm 0"},
		// It comes back: what it had is not counted again. Another one came and went between two scrapes.
		{[]loop.AppStats{of("a", 23), of("b", 4), of("c", 123)}, append(gone("b", 25), gone("d", 3)...), "a:23 c:123 _other:38 warm 1"},
		{[]loop.AppStats{of("a", 23), of("b", 4), of("c", 123)}, append(gone("", 3), gone("b", 25)...), "a:23 c:123 _other:38 warm 1"},
	} {
		if got := enter(step.accounts, step.gone); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// TestLargeNode measures a scrape of ten thousand apps, all of which have been asked for something. Its
// memory is bounded.
func TestLargeNode(t *testing.T) {
	node := &fakeNode{}
	for i := range 10_000 {
		node.accounts = append(node.accounts, account(fmt.Sprint("app-", i), uint64(10+i)))
	}
	handler := New(Options{Source: node, AppsMax: 1000})
	server := httptest.NewServer(handler)
	defer server.Close()
	var before, after runtime.MemStats
	var size int64
	var took time.Duration
	ask := func() {
		begun := time.Now()
		response, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if size, err = io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		took = time.Since(begun)
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	ask()
	runtime.ReadMemStats(&after)
	first := after.TotalAlloc - before.TotalAlloc
	ask()
	runtime.GC()
	runtime.ReadMemStats(&before)
	ask()
	runtime.ReadMemStats(&after)
	t.Logf("%d KB of text in %v; %d MB allocated, %d MB at first", size>>10, took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, first>>20)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 50<<20 {
		t.Errorf("a scrape allocates %d MB", allocated>>20)
	}
}
