package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// results is everything that one run found; results.json holds it for later comparison.
type results struct {
	Started  time.Time         `json:"started"`
	Finished time.Time         `json:"finished"`
	Commit   string            `json:"commit"`
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Seconds  float64           `json:"seconds_per_round"`
	Rounds   int               `json:"rounds"`
	Cores    [2]string         `json:"server_and_client_core"`

	Scenarios []scenarioResult `json:"scenarios"`
	Loops     *loopsResult     `json:"loops,omitempty"`
	Launch    []launchResult   `json:"launch,omitempty"`
	Idle      []idleResult     `json:"idle,omitempty"`
	Memory    []memorySample   `json:"memory,omitempty"`

	Cold      []coldResult      `json:"coldstart,omitempty"`
	Density   []densityResult   `json:"density,omitempty"`
	Zipf      *zipfResult       `json:"zipf,omitempty"`
	Neighbour *neighbourResult  `json:"neighbour,omitempty"`
	Isolation []isolationResult `json:"isolation,omitempty"`
	Active    *activeResult     `json:"active1000,omitempty"`
	Observe   *observeResult    `json:"observe,omitempty"`
	Reload    *reloadResult     `json:"reload,omitempty"`
	Soak      *soakResult       `json:"soak,omitempty"`
	Dev       []*devResult      `json:"dev,omitempty"`

	Platform []platformResult `json:"platform,omitempty"`

	Transform  []bodyResult      `json:"transform100m,omitempty"`
	WebSockets []webSocketResult `json:"websocket,omitempty"`
	Giga       []bodyResult      `json:"giga,omitempty"`
	Pending    *pendingResult    `json:"pending10k,omitempty"`

	Weight   []microResult `json:"weight,omitempty"`
	Micro    []microResult `json:"micro,omitempty"`
	Targets  []target      `json:"targets"`
	Failures []string      `json:"failures,omitempty"`
}

// encode returns the results as JSON.
func (r *results) encode() ([]byte, error) {
	content, err := json.MarshalIndent(r, "", "  ")
	return append(content, '\n'), err
}

// markdown returns the results as a page to read.
func (r *results) markdown() string {
	var page strings.Builder
	fmt.Fprintf(&page, "# Benchmark results\n\nWritten by `make bench` (`go run ./bench`); all figures are in [results.json](results.json) too.\n\n")
	r.writeSetting(&page)
	r.writeTargets(&page)
	r.writeSummary(&page)
	for _, s := range r.Scenarios {
		s.write(&page)
	}
	r.writePlatform(&page)
	writeTransfers(&page, "A large body through a TransformStream (`transform100m`)", transformText, r.Transform)
	r.writeWebSockets(&page)
	writeTransfers(&page, "One gigabyte (`giga`)", gigaText, r.Giga)
	r.writePending(&page)
	r.writeLoops(&page)
	r.writeLaunch(&page)
	r.writeIdle(&page)
	r.writeMemory(&page)
	r.writeCold(&page)
	r.writeDensity(&page)
	r.writeZipf(&page)
	r.writeNeighbour(&page)
	r.writeIsolation(&page)
	r.writeActive(&page)
	r.writeObserve(&page)
	r.writeReload(&page)
	r.writeSoak(&page)
	r.writeDev(&page)
	r.writeWeight(&page)
	r.writeMicro(&page)
	if len(r.Failures) > 0 {
		page.WriteString("## What failed\n\n")
		for _, failure := range r.Failures {
			page.WriteString("- " + oneLine(failure) + "\n")
		}
		page.WriteString("\n")
	}
	page.WriteString(readingNotes)
	return page.String()
}

const readingNotes = `## How it was measured

- Each server runs on one core, with all its threads; wrk (one thread, 64 connections) runs on another. All servers of
  a scenario run at the same time, are verified to give the same answers, are warmed up, and are then loaded in turn,
  round by round. A figure is the median of all rounds.
- CPU per request is what the server's whole process tree consumed during wrk's run, divided by the requests that wrk
  counted. It holds steady where requests per second are capped by the client.
- The total is exact (/proc/PID/task/TID/schedstat). The kernel only samples whether a core is in user or system mode,
  250 times a second; the split is taken over all rounds together, and ± is its standard error.
- Over loopback, the kernel's work on both ends of a connection is charged to whoever sends.
- RSS counts pages that are shared with other processes whole, PSS by their share.
- NANO runs with loops = 1 in all scenarios. Its peers run as they come: ` + "`deno serve`, `Bun.serve`, `workerd serve`" + `, and
  Node with @hono/node-server. All of them serve the same module files, in bench/apps, but for
  WebSockets and static files, for which there is no common API.
- Proxies and the fan-out ask an origin of the benchmark's own (Go's net/http), which shares the client's core. Its CPU
  is not counted. nginx is one process, with keep-alive to the origin; it is no peer of the ratios, only of the targets
  for static files.
- The memory of large bodies is the peak of the process's resident memory during a transfer (VmHWM, reset before) less
  what was resident before it. A body of 16 MB has been through before, so that the heap has the size that it keeps.
- The time of a launch runs from just before the process is made to the first byte of the answer to its first request,
  on one core. Idle servers are watched for 10 s after one request and 5 s of rest.
`

func (r *results) writeSetting(page *strings.Builder) {
	m := r.Machine
	kind := "physical"
	if m.Virtual {
		kind = "virtual"
	}
	rows := [][]string{
		{"date", r.Started.UTC().Format("2006-01-02 15:04 UTC") + fmt.Sprintf(", %.0f minutes", r.Finished.Sub(r.Started).Minutes())},
		{"commit", r.Commit},
		{"processor", fmt.Sprintf("%s, %d cores (%s machine), %s memory", m.Processor, m.Cores, kind, m.Memory)},
		{"kernel, system", m.Kernel + ", " + m.System},
		{"server's and client's core", fmt.Sprintf("%s and %s (hardware threads of the server's core: %s)", r.Cores[0], r.Cores[1], m.Siblings)},
		{"load average at start", m.Load},
		{"rounds", fmt.Sprintf("%d of %.0f s", r.Rounds, r.Seconds)},
	}
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		rows = append(rows, []string{name, r.Versions[name]})
	}
	writeTable(page, []string{"", ""}, rows)
}

func (r *results) writeTargets(page *strings.Builder) {
	page.WriteString("## Targets\n\n")
	var rows [][]string
	for _, t := range r.Targets {
		rows = append(rows, []string{t.Text, t.Measured, "**" + t.Verdict + "**"})
	}
	writeTable(page, []string{"target", "measured", "verdict"}, rows)
}

// writeSummary shows NANO's ratios to the best peer of each scenario.
func (r *results) writeSummary(page *strings.Builder) {
	if len(r.Scenarios) == 0 {
		return
	}
	page.WriteString("## NANO against the best peer\n\nCPU per request as a ratio, less is better; each time against the peer that does best by that figure.\n\n")
	var rows [][]string
	for _, s := range r.Scenarios {
		row := []string{s.Title}
		for _, figure := range []func(peerResult) float64{totalOf, userOf} {
			if c, found := s.compare(figure); found {
				row = append(row, fmt.Sprintf("%.2f × %s (%.2f against %.2f µs)", c.ratio(), c.BestPeer, c.Nano, c.Best))
			} else {
				row = append(row, "")
			}
		}
		rows = append(rows, row)
	}
	writeTable(page, []string{"scenario", "total CPU", "user CPU"}, rows)
}

// write shows one scenario.
func (s scenarioResult) write(page *strings.Builder) {
	fmt.Fprintf(page, "## %s (`%s`)\n\n", strings.ToUpper(s.Title[:1])+s.Title[1:], s.Name)
	writeTable(page, scenarioColumns, scenarioRows(s.Peers))
	if s.Note != "" {
		page.WriteString(s.Note + "\n\n")
	}
	for _, p := range s.Peers {
		if p.Failure != "" {
			fmt.Fprintf(page, "%s: %s\n\n", p.Peer, oneLine(p.Failure))
		}
		if s.Name == "idle" && p.Failure == "" && p.IdleKept < 1000 {
			fmt.Fprintf(page, "%s had closed %d of the idle connections by the end of a round.\n\n", p.Peer, 1000-p.IdleKept)
		}
	}
}

var scenarioColumns = []string{"", "requests/s", "p50", "p99", "user µs", "system µs", "CPU µs", "client's µs", "RSS", "PSS", "errors"}

func scenarioRows(peers []peerResult) [][]string {
	var rows [][]string
	for _, p := range peers {
		if len(p.Rounds) == 0 {
			rows = append(rows, []string{p.Peer, "failed", "", "", "", "", "", "", "", "", ""})
			continue
		}
		rows = append(rows, []string{p.Peer, thousands(int64(p.RequestsPerSecond)), milliseconds(p.P50), milliseconds(p.P99),
			fmt.Sprintf("%.2f ± %.2f", p.UserMicros, p.UserErrorMicros), fmt.Sprintf("%.2f", p.SystemMicros),
			fmt.Sprintf("%.2f", p.TotalMicros), fmt.Sprintf("%.2f", p.ClientMicros), megabytes(p.Memory.RSS), megabytes(p.Memory.PSS), fmt.Sprint(p.Errors)})
	}
	return rows
}

func (r *results) writeLoops(page *strings.Builder) {
	if r.Loops == nil {
		return
	}
	page.WriteString("## A second loop (`loops`)\n\n" +
		"Plain text. The clients share the cores with the loops: every core carries one loop and one wrk of 64 connections.\n" +
		"Two processes of one loop each are the control: the kernel and the clients do the same, and the loops share nothing.\n\n")
	writeTable(page, scenarioColumns, scenarioRows([]peerResult{r.Loops.OneLoop, r.Loops.TwoProcesses, r.Loops.TwoLoops}))
}

func (r *results) writeLaunch(page *strings.Builder) {
	if len(r.Launch) == 0 {
		return
	}
	page.WriteString("## Launch to first answer (`launch`)\n\n")
	var rows [][]string
	for _, one := range r.Launch {
		if one.Failure != "" {
			rows = append(rows, []string{one.Name, "failed: " + oneLine(one.Failure), "", ""})
			continue
		}
		rows = append(rows, []string{one.Name, milliseconds(one.P50), milliseconds(one.P99), fmt.Sprint(len(one.Samples))})
	}
	writeTable(page, []string{"", "p50", "p99", "launches"}, rows)
}

func (r *results) writeIdle(page *strings.Builder) {
	if len(r.Idle) == 0 {
		return
	}
	page.WriteString("## Idle process (`wakeups`)\n\n")
	var rows [][]string
	for _, one := range r.Idle {
		if one.Failure != "" {
			rows = append(rows, []string{one.Peer, "failed: " + oneLine(one.Failure), "", "", ""})
			continue
		}
		var threads []string
		for _, thread := range slices.Sorted(maps.Keys(one.Threads)) {
			threads = append(threads, fmt.Sprintf("%s %d", thread, one.Threads[thread]))
		}
		rows = append(rows, []string{one.Peer, fmt.Sprintf("%d in %.0f s", one.Switches, one.Seconds), strings.Join(threads, ", "),
			megabytes(one.Memory.RSS), megabytes(one.Memory.PSS)})
	}
	writeTable(page, []string{"", "context switches", "threads that woke", "RSS", "PSS"}, rows)
}

func (r *results) writeMemory(page *strings.Builder) {
	if len(r.Memory) == 0 {
		return
	}
	page.WriteString("## NANO's memory over many requests (`memory`)\n\n")
	var rows [][]string
	for _, sample := range r.Memory {
		rows = append(rows, []string{thousands(sample.Requests), megabytes(sample.RSS), megabytes(sample.PSS)})
	}
	writeTable(page, []string{"requests", "RSS", "PSS"}, rows)
}

func (r *results) writeMicro(page *strings.Builder) {
	if len(r.Micro) == 0 {
		return
	}
	page.WriteString("## Micro-benchmarks (`micro`)\n\n")
	var rows [][]string
	for _, micro := range r.Micro {
		var metrics []string
		for _, unit := range micro.Units {
			metrics = append(metrics, figure(micro.Metrics[unit])+" "+unit)
		}
		rows = append(rows, []string{strings.TrimPrefix(micro.Package, "./"), strings.TrimPrefix(micro.Name, "Benchmark"), strings.Join(metrics, ", ")})
	}
	writeTable(page, []string{"package", "benchmark", "result"}, rows)
}

// writeWeight shows what the platform weighs: the snapshot, an isolate that serves, and first uses.
func (r *results) writeWeight(page *strings.Builder) {
	if len(r.Weight) == 0 {
		return
	}
	page.WriteString("## Weight of the platform (`weight`)\n\n")
	var whole, rows [][]string
	for _, fact := range []struct{ title, unit, format string }{
		{"snapshot of the runtime", "KB-blob", "%.0f KB"}, {"isolate that has answered, of 500: resident", "KB/isolate", "%.0f KB"},
		{"isolate restored, p50", "ms-p50", "%.2f ms"}, {"isolate restored, p99", "ms-p99", "%.2f ms"},
		{"isolate restored, p99 of the thread's CPU", "ms-cpu-p99", "%.2f ms"},
	} {
		if value, found := r.metric("./isolates", "Density", fact.unit); found {
			whole = append(whole, []string{fact.title, fmt.Sprintf(fact.format, value)})
		}
	}
	writeTable(page, []string{"", ""}, whole)
	page.WriteString("Scripts of the platform are run when something of theirs is first used. What that costs an isolate, in a process that has\n" +
		"compiled them for another one before: CPU of the request more than that of one which uses nothing, and what V8 has in\n" +
		"use more than there.\n\n")
	cpu, _ := r.metric("./isolates", "Touch/nothing", "us-cpu")
	used, _ := r.metric("./isolates", "Touch/nothing", "KB-used")
	for _, one := range r.Weight {
		if name, found := strings.CutPrefix(one.Name, "BenchmarkTouch/"); found && name != "nothing" {
			rows = append(rows, []string{name, fmt.Sprintf("%.0f µs", one.Metrics["us-cpu"]-cpu), fmt.Sprintf("%.0f KB", one.Metrics["KB-used"]-used)})
		}
	}
	writeTable(page, []string{"first use of", "CPU", "memory"}, rows)
}

// writeTable writes a Markdown table whose columns line up in the source, too.
func writeTable(page *strings.Builder, header []string, rows [][]string) {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for index, cell := range row {
			widths[index] = max(widths[index], len([]rune(cell)), 3)
		}
	}
	write := func(row []string, fill string) {
		for index, cell := range row {
			page.WriteString("| " + cell + strings.Repeat(fill, widths[index]-len([]rune(cell))) + " ")
		}
		page.WriteString("|\n")
	}
	write(header, " ")
	write(make([]string, len(header)), "-")
	for _, row := range rows {
		write(row, " ")
	}
	page.WriteString("\n")
}

// milliseconds writes a time with three significant figures or so.
func milliseconds(duration time.Duration) string {
	value := float64(duration) / float64(time.Millisecond)
	switch {
	case value == 0: // wrk has no latencies if a pipeline was never empty
		return "–"
	case value < 1:
		return fmt.Sprintf("%.3f ms", value)
	case value < 100:
		return fmt.Sprintf("%.2f ms", value)
	}
	return fmt.Sprintf("%.0f ms", value)
}

// megabytes writes a number of bytes.
func megabytes(bytes int64) string {
	return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20))
}

// thousands writes a number with commas.
func thousands(number int64) string {
	if number < 1000 {
		return fmt.Sprint(number)
	}
	return thousands(number/1000) + fmt.Sprintf(",%03d", number%1000)
}

// figure writes a number with at least three significant figures.
func figure(value float64) string {
	if value >= 1000 {
		return thousands(int64(math.Round(value)))
	}
	return fmt.Sprintf("%.4g", value)
}

// oneLine makes a failure fit into a list or a table.
func oneLine(text string) string {
	line := strings.Join(strings.Fields(strings.ReplaceAll(text, "|", "/")), " ")
	if runes := []rune(line); len(runes) > 300 {
		return string(runes[:300]) + " …"
	}
	return line
}
