package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sampleResults has two scenarios in which different peers do best by different figures.
func sampleResults() *results {
	round := []measure{{Requests: 1000}}
	return &results{Scenarios: []scenarioResult{
		{Name: "plain", Title: "plain text", Peers: []peerResult{
			{Peer: "nano", UserMicros: 0.8, TotalMicros: 6, Rounds: round},
			{Peer: "deno", UserMicros: 1.6, TotalMicros: 7, Rounds: round},
			{Peer: "bun", UserMicros: 2.0, TotalMicros: 6.5, Rounds: round},
			{Peer: "node", Failure: "ended at start"},
		}},
		{Name: "json", Title: "JSON response", Peers: []peerResult{
			{Peer: "nano", UserMicros: 1, TotalMicros: 6.3, Rounds: round, Errors: 2},
			{Peer: "deno", UserMicros: 2, TotalMicros: 7, Rounds: round},
		}},
	}}
}

func TestCompareTakesTheBestPeerOfEachFigure(t *testing.T) {
	plain := sampleResults().Scenarios[0]
	if got, found := plain.compare(userOf); !found || got != (comparison{Nano: 0.8, Best: 1.6, BestPeer: "deno"}) || got.ratio() != 0.5 {
		t.Errorf("user: %+v, %v", got, found)
	}
	if got, found := plain.compare(totalOf); !found || got != (comparison{Nano: 6, Best: 6.5, BestPeer: "bun"}) {
		t.Errorf("total: %+v, %v", got, found)
	}
	plain.Peers = plain.Peers[1:]
	if got, found := plain.compare(totalOf); found {
		t.Errorf("a comparison without NANO: %+v", got)
	}
}

func TestJudge(t *testing.T) {
	found := sampleResults()
	found.Loops = &loopsResult{OneLoop: peerResult{TotalMicros: 10}, TwoProcesses: peerResult{TotalMicros: 10}, TwoLoops: peerResult{TotalMicros: 11.5}}
	found.Launch = []launchResult{{Name: "nano, later starts", P99: 50 * time.Millisecond, Samples: []time.Duration{1}}}
	found.Idle = []idleResult{{Peer: "deno", Switches: 9}, {Peer: "nano", Seconds: 10}}
	found.Memory = []memorySample{{100_000, memory{RSS: 30 << 20}}, {1_000_000, memory{RSS: 32 << 20}}}
	found.Weight = parseBenchmarks("./isolates", "BenchmarkDensity-2 1 5 ns/op 701 KB-blob 900 KB/isolate 1.1 ms-p50 1.4 ms-p99\n"+
		"BenchmarkTouch/nothing-2 1 5 ns/op 700 KB-used 50 us-cpu\nBenchmarkTouch/URL-2 1 5 ns/op 720 KB-used 250 us-cpu\n")
	verdicts := map[string]string{}
	for _, one := range found.judge() {
		for _, part := range []string{"µs per request", "0.65", "plain text: total", "JSON", "ten headers", "second loop", "snapshot of", "restored", "resident in", "launch", "idle", "allocations", "flat", "no errors"} {
			if strings.Contains(one.Text, part) {
				verdicts[part] = one.Verdict
			}
		}
	}
	want := map[string]string{
		"µs per request": met, "0.65": met, "plain text: total": met, "JSON": met, "ten headers": notMeasured,
		"second loop": missed, "snapshot of": missed, "restored": met, "resident in": met, "launch": met, "idle": met,
		"allocations": notMeasured, "flat": missed, "no errors": missed,
	}
	var page strings.Builder
	found.writeWeight(&page)
	if row := "| URL          | 200 µs | 20 KB  |"; !strings.Contains(page.String(), row) || strings.Contains(page.String(), "nothing ") {
		t.Errorf("no %q in\n%s", row, page.String())
	}
	for part, verdict := range want {
		if verdicts[part] != verdict {
			t.Errorf("%s: %q, want %q", part, verdicts[part], verdict)
		}
	}
}

func TestSummarise(t *testing.T) {
	result := peerResult{Rounds: []measure{
		{Requests: 1000, RequestsPerSecond: 300, P50: 3, P99: 30, User: 40 * time.Millisecond, System: 60 * time.Millisecond, Total: 7 * time.Millisecond},
		{Requests: 1000, RequestsPerSecond: 100, P50: 1, P99: 90, User: 10 * time.Millisecond, System: 90 * time.Millisecond, Total: 9 * time.Millisecond, Errors: 1},
		{Requests: 1000, RequestsPerSecond: 200, P50: 2, P99: 60, User: 10 * time.Millisecond, System: 90 * time.Millisecond, Total: 8 * time.Millisecond, Errors: 2},
	}}
	result.summarise()
	if result.RequestsPerSecond != 200 || result.P50 != 2 || result.P99 != 60 || result.TotalMicros != 8 || result.Errors != 3 {
		t.Errorf("got %+v", result)
	}
	// 60 of 300 ms were sampled in user mode.
	if got := result.UserMicros + result.SystemMicros; got != 8 || result.UserMicros < 1.599 || result.UserMicros > 1.601 {
		t.Errorf("user %v and system %v, want 1.6 of 8", result.UserMicros, result.SystemMicros)
	}
}

func TestMedianAndPercentile(t *testing.T) {
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median of three: %v", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four: %v", got)
	}
	var values []time.Duration
	for value := range 100 {
		values = append(values, time.Duration(100-value))
	}
	if p50, p99 := percentile(values, 0.5), percentile(values, 0.99); p50 != 50 || p99 != 99 {
		t.Errorf("percentiles %d and %d, want 50 and 99", p50, p99)
	}
}

func TestParseBenchmarks(t *testing.T) {
	output := `goos: linux
BenchmarkParse/short-2         	 5000000	       123.4 ns/op	 512.00 MB/s	       0 B/op	       0 allocs/op
BenchmarkDensity-2             	       1	1200000000 ns/op	       812.5 KB/isolate	         1.17 ms-p50	         1.37 ms-p99
PASS
BenchmarkBroken
ok  	nano/http1	1.2s
`
	got := parseBenchmarks("./http1", output)
	if len(got) != 2 || got[0].Name != "BenchmarkParse/short" || got[0].Iterations != 5000000 || got[1].Metrics["KB/isolate"] != 812.5 {
		t.Fatalf("got %+v", got)
	}
	if want := []string{"ns/op", "MB/s", "B/op", "allocs/op"}; !slices.Equal(got[0].Units, want) {
		t.Errorf("units %v, want %v", got[0].Units, want)
	}
}

func TestComplaint(t *testing.T) {
	output := "BenchmarkA-2 1 5 ns/op\n\none\ntwo\nthree\nfour\n--- FAIL: BenchmarkB\nFAIL\n"
	if got, want := complaint([]byte(output)), "two / three / four / --- FAIL: BenchmarkB / FAIL"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSwitchesSince(t *testing.T) {
	sum, threads := switchesSince(map[string]int64{"a/1": 5, "b/2": 7, "gone/3": 1}, map[string]int64{"a/1": 5, "b/2": 9, "new/4": 3})
	if sum != 5 || len(threads) != 2 || threads["b/2"] != 2 || threads["new/4"] != 3 {
		t.Errorf("got %d %v", sum, threads)
	}
}

func TestAnswerNamesTheFirstDifference(t *testing.T) {
	want := typed(200, textType, "Hello")
	for text, difference := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 5\r\n\r\nHello": "",
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello":                "",
		"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nHello":                 "content-type",
		"HTTP/1.1 404 No\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello":                "status 404",
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHallo":                "Hallo",
	} {
		response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = want.compare(response, text[len(text)-5:])
		if difference == "" && err != nil || difference != "" && (err == nil || !strings.Contains(err.Error(), difference)) {
			t.Errorf("%q: %v, want a difference in %q", text, err, difference)
		}
	}
}

// TestScenarioFilesExist holds the scenarios against the files that they name, and the requests
// that are verified against those that the wrk scripts send.
func TestScenarioFilesExist(t *testing.T) {
	for _, s := range scenarios() {
		if _, err := os.Stat(filepath.Join("apps", s.App)); err != nil {
			t.Error(err)
		}
		if s.Script == "" {
			continue
		}
		script, err := os.ReadFile(filepath.Join("load", s.Script))
		if err != nil {
			t.Error(err)
		}
		for _, one := range s.Exchanges {
			if one.Path != "/" && !strings.Contains(string(script), `"`+one.Path+`"`) {
				t.Errorf("%s does not ask for %s", s.Script, one.Path)
			}
		}
	}
	if !json.Valid([]byte(orderBody())) || len(orderBody()) < 900 || len(orderBody()) > 1100 {
		t.Errorf("the echoed body is not about 1 KB of JSON: %d bytes", len(orderBody()))
	}
}

func TestRouterBundleIsOfTheInstalledVersion(t *testing.T) {
	source, err := os.ReadFile("apps/router.src.js")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile("apps/router.js")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		if strings.HasPrefix(line, "app.") && !strings.Contains(string(bundle), line) {
			t.Errorf("router.js lacks %q: run bench/apps/bundle", line)
		}
	}
}

func TestMarkdownTablesLineUp(t *testing.T) {
	found := sampleResults()
	found.Targets = found.judge()
	page := found.markdown("", "")
	for _, want := range []string{"| JSON response | 0.90 × deno (6.30 against 7.00 µs) | 0.50 × deno (1.00 against 2.00 µs) |", "node: ended at start"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	columns, width := 0, 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		if columns == 0 {
			columns, width = strings.Count(line, "|"), len([]rune(line))
		}
		if strings.Count(line, "|") != columns || len([]rune(line)) != width {
			t.Errorf("a row does not line up: %q", line)
		}
	}
}

func TestParseFlags(t *testing.T) {
	b, names, err := parseFlags([]string{"--quick", "--scenario", "plain,launch", "--peers", "bun"})
	if err != nil {
		t.Fatal(err)
	}
	if b.duration != time.Second || b.out != "" || !slices.Equal(names, []string{"bun"}) || !slices.Equal(b.selected, []string{"plain", "launch"}) {
		t.Errorf("got %+v, %v", b, names)
	}
	if b, _, err = parseFlags(nil); err != nil || filepath.Base(b.out) != "RESULTS.md" || filepath.Base(jsonPath(b.out)) != "results.json" {
		t.Errorf("a complete run: %+v, %v", b, err)
	}
	if b, _, err = parseFlags([]string{"--scenario", noScenario}); err != nil || len(b.selected) != 0 || filepath.Base(b.out) != "RESULTS.md" {
		t.Errorf("no scenario: %+v, %v", b, err)
	}
	for _, bad := range [][]string{{"--scenario", "plane"}, {"--scenario", ""}, {"--peers", "php"}, {"--rounds", "0"}, {"extra"}} {
		if _, _, err := parseFlags(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

func TestFormats(t *testing.T) {
	if got := thousands(1234567); got != "1,234,567" {
		t.Errorf("got %s", got)
	}
	if got := thousands(1000005); got != "1,000,005" {
		t.Errorf("got %s", got)
	}
	if got := figure(10070.4); got != "10,070" {
		t.Errorf("got %s", got)
	}
	if got := figure(0.78931); got != "0.7893" {
		t.Errorf("got %s", got)
	}
	if got := milliseconds(1234 * time.Microsecond); got != "1.23 ms" {
		t.Errorf("got %s", got)
	}
}
