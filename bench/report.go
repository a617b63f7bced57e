package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// check is what is measured, and shown, otherwise than a scenario.
type check struct {
	Name    string
	measure func(ctx context.Context, b *bench, into *results) error // puts a new value into a field
	write   func(r *results, page *strings.Builder)                  // a section with a heading and a blank line; nothing, if there is no value
}

// checks are in the order in which they are measured and shown.
var checks = []check{
	{"platform", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Platform, err = b.runPlatform(ctx)
		return err
	}, (*results).writePlatform},
	{"transform100m", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Transform, err = b.runTransform(ctx)
		return err
	}, (*results).writeTransform},
	{"websocket", func(ctx context.Context, b *bench, r *results) (err error) {
		r.WebSockets, err = b.runWebSockets(ctx)
		return err
	}, (*results).writeWebSockets},
	{"giga", func(ctx context.Context, b *bench, r *results) (err error) { r.Giga, err = b.runGiga(ctx); return err }, (*results).writeGiga},
	{"pending10k", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Pending, err = b.runPending(ctx)
		return err
	}, (*results).writePending},
	{"loops", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Loops, err = b.runLoops(ctx)
		return err
	}, (*results).writeLoops},
	{"launch", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Launch, err = b.runLaunch(ctx)
		return err
	}, (*results).writeLaunch},
	{"wakeups", func(ctx context.Context, b *bench, r *results) (err error) { r.Idle, err = b.runIdle(ctx); return err }, (*results).writeIdle},
	{"memory", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Memory, err = b.runMemory(ctx)
		return err
	}, (*results).writeMemory},
	{"coldstart", func(ctx context.Context, b *bench, r *results) (err error) { r.Cold, err = b.runCold(ctx); return err }, (*results).writeCold},
	{"density", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Density, err = b.runDensity(ctx)
		return err
	}, (*results).writeDensity},
	{"zipf", func(ctx context.Context, b *bench, r *results) (err error) { r.Zipf, err = b.runZipf(ctx); return err }, (*results).writeZipf},
	{"neighbour", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Neighbour, err = b.runNeighbour(ctx)
		return err
	}, (*results).writeNeighbour},
	{"isolation", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Isolation, err = b.runIsolation(ctx)
		return err
	}, (*results).writeIsolation},
	{"active1000", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Active, err = b.runActive(ctx)
		return err
	}, (*results).writeActive},
	{"observe", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Observe, err = b.runObserve(ctx)
		return err
	}, (*results).writeObserve},
	{"reload", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Reload, err = b.runReload(ctx)
		return err
	}, (*results).writeReload},
	{"soak", func(ctx context.Context, b *bench, r *results) (err error) { r.Soak, err = b.runSoak(ctx); return err }, (*results).writeSoak},
	{"dev", func(ctx context.Context, b *bench, r *results) (err error) { r.Dev, err = b.runDev(ctx); return err }, (*results).writeDev},
	{"weight", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Weight, err = b.runMicro(ctx, weightJobs)
		return err
	}, (*results).writeWeight},
	{"micro", func(ctx context.Context, b *bench, r *results) (err error) {
		r.Micro, err = b.runMicro(ctx, microJobs)
		return err
	}, (*results).writeMicro},
}

// noScenario is what --scenario takes for none of them.
const noScenario = "none"

// partNames are the names of all scenarios and checks, in their order.
func partNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.Name)
	}
	for _, one := range checks {
		names = append(names, one.Name)
	}
	return names
}

// markdown returns the results as a page to read, with the name of the file that has all of them, and remarks; "": none.
func (r *results) markdown(file, remarks string) string {
	var page strings.Builder
	page.WriteString("# Benchmark results\n\nWritten by `make bench` (`go run ./bench`)")
	if file != "" {
		fmt.Fprintf(&page, "; all figures are in [%[1]s](%[1]s) too", file)
	}
	page.WriteString(".\n\n")
	r.writeRuns(&page)
	if remarks != "" {
		page.WriteString(strings.TrimSpace(remarks) + "\n\n")
	}
	r.writeTargets(&page)
	r.writeSummary(&page)
	for _, s := range r.Scenarios {
		r.writePart(&page, s.Name, s.write)
	}
	for _, one := range checks {
		r.writePart(&page, one.Name, func(section *strings.Builder) { one.write(r, section) })
	}
	r.writeFailures(&page)
	page.WriteString(readingNotes)
	return page.String()
}

// writePart writes a section, and below its heading of which run it is.
func (r *results) writePart(page *strings.Builder, name string, write func(*strings.Builder)) {
	var section strings.Builder
	write(&section)
	heading, text, found := strings.Cut(section.String(), "\n\n")
	if !found {
		return
	}
	page.WriteString(heading + "\n\n")
	if measured, number, one := r.runOf(name); measured != nil {
		fmt.Fprintf(page, "Run %d, %s: commit %s, %s.\n\n", number, day(one.Started), measured.Commit, measured.extent())
	}
	page.WriteString(text)
}

// extent tells how long a run loaded servers.
func (r *runRecord) extent() string {
	text := fmt.Sprintf("%d rounds of %.0f s", r.Rounds, r.Seconds)
	if r.Quick {
		text += " (--quick)"
	}
	return text
}

// day writes a time to the minute.
func day(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

// writeFailures lists what failed of the parts that are shown.
func (r *results) writeFailures(page *strings.Builder) {
	var list strings.Builder
	for _, one := range r.Runs {
		for _, measured := range one.Parts {
			for _, failure := range measured.Failures {
				list.WriteString("- " + measured.Name + ": " + oneLine(failure) + "\n")
			}
		}
	}
	if list.Len() > 0 {
		page.WriteString("## What failed\n\n" + list.String() + "\n")
	}
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
  on one core. Idle servers are watched for 10 s after one request and 75 s of rest.
`

// writeRuns shows the runs of which the results are, and on what they were made.
func (r *results) writeRuns(page *strings.Builder) {
	var runs [][]string
	facts := map[string][]string{} // of each run, by what they are called
	for index, one := range r.Runs {
		var minutes float64
		var names []string
		for _, measured := range one.Parts {
			minutes += measured.Seconds / 60
			names = append(names, measured.Name)
		}
		took := ""
		if minutes > 0 {
			took = fmt.Sprintf("%.0f", math.Ceil(minutes))
		}
		runs = append(runs, []string{fmt.Sprint(index + 1), day(one.Started), one.Commit, one.extent(), one.Machine.Load, took, strings.Join(names, " ")})
		for name, value := range one.facts() {
			if facts[name] == nil {
				facts[name] = make([]string, len(r.Runs))
			}
			facts[name][index] = value
		}
	}
	if len(runs) == 0 {
		return
	}
	page.WriteString("A scenario's results stay until it is measured again. They are of these runs:\n\n")
	writeTable(page, []string{"run", "date", "commit", "rounds", "load average before", "minutes", "measured"}, runs)
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		rows = append(rows, []string{name, agree(facts[name])})
	}
	writeTable(page, []string{"", ""}, rows)
}

// facts are the machine and the versions of a run.
func (r *runRecord) facts() map[string]string {
	m := r.Machine
	kind := "physical"
	if m.Virtual {
		kind = "virtual"
	}
	facts := map[string]string{
		"processor":                  fmt.Sprintf("%s, %d cores (%s machine), %s memory", m.Processor, m.Cores, kind, m.Memory),
		"kernel, system":             m.Kernel + ", " + m.System,
		"server's and client's core": fmt.Sprintf("%s and %s (hardware threads of the server's core: %s)", r.Cores[0], r.Cores[1], m.Siblings),
	}
	for name, version := range r.Versions {
		facts[name] = strings.Join(strings.Fields(version), " ")
	}
	return facts
}

// agree writes what is the same in all runs once, and otherwise says in which run it is what. In a run that has no
// value, nobody took part whom it is of.
func agree(values []string) string {
	runs := map[string][]string{}
	var distinct []string
	for index, value := range values {
		if value == "" {
			continue
		}
		if runs[value] == nil {
			distinct = append(distinct, value)
		}
		runs[value] = append(runs[value], fmt.Sprint(index+1))
	}
	if len(distinct) == 1 {
		return distinct[0]
	}
	for index, value := range distinct {
		distinct[index] = strings.Join(runs[value], ", ") + ": " + value
	}
	return strings.Join(distinct, "; ")
}

// runNumber writes the number of the run of a part; "": it was not measured, or there is no such part.
func (r *results) runNumber(name string) string {
	if measured, number, _ := r.runOf(name); measured != nil {
		return fmt.Sprint(number)
	}
	return ""
}

func (r *results) writeTargets(page *strings.Builder) {
	page.WriteString("## Targets\n\n")
	var rows [][]string
	for _, t := range r.Targets {
		rows = append(rows, []string{t.Text, t.Measured, "**" + t.Verdict + "**", r.runNumber(t.Part)})
	}
	writeTable(page, []string{"target", "measured", "verdict", "run"}, rows)
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
		rows = append(rows, append(row, r.runNumber(s.Name)))
	}
	writeTable(page, []string{"scenario", "total CPU", "user CPU", "run"}, rows)
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
	fmt.Fprintf(page, "After one request and %s of rest, in which a runtime finishes what its start left.\n\n", idleSettle)
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
