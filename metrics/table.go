package metrics

import (
	"fmt"
	"strings"
	"time"

	"nano/isolates"
	"nano/loop"
)

// kind is the type of a metric.
type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

func (k kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// appMetric is a metric of each app.
type appMetric struct {
	name  string
	kind  kind
	help  string
	label string // beside app; "": none
	// values tells the values by label, "" if there is none. Labels without one have none: an app that has done
	// nothing yet, or sleeps, has few series.
	values func(a *loop.AppStats, tell func(label string, value float64))
}

// one is the values of a metric without a label beside app.
func one(value func(a *loop.AppStats) float64) func(*loop.AppStats, func(string, float64)) {
	return func(a *loop.AppStats, tell func(string, float64)) { tell("", value(a)) }
}

// used is one for what stays 0 in an app that nobody has asked for anything.
func used(value func(a *loop.AppStats) float64) func(*loop.AppStats, func(string, float64)) {
	return func(a *loop.AppStats, tell func(string, float64)) {
		if isUsed(a) {
			tell("", value(a))
		}
	}
}

func isUsed(a *loop.AppStats) bool { return a.AppCounts != (loop.AppCounts{}) }

// warm is one for what an app has only while it is warm.
func warm(value func(a *loop.AppStats) float64) func(*loop.AppStats, func(string, float64)) {
	return func(a *loop.AppStats, tell func(string, float64)) {
		if a.Warm != 0 {
			tell("", value(a))
		}
	}
}

// statusClasses are the label values of AppCounts.Answers.
var statusClasses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// errorKinds are what requests came to nothing by.
var errorKinds = []struct {
	label string
	value func(a *loop.AppCounts) uint64
}{
	{"uncaught", func(a *loop.AppCounts) uint64 { return a.Uncaught }},
	{"cpu_limit", func(a *loop.AppCounts) uint64 { return a.CPULimit }},
	{"memory_limit", func(a *loop.AppCounts) uint64 { return a.MemoryLimit }},
	{"wall_limit", func(a *loop.AppCounts) uint64 { return a.WallLimit }},
	{"body_limit", func(a *loop.AppCounts) uint64 { return a.BodyLimit }},
	{"concurrency_limit", func(a *loop.AppCounts) uint64 { return a.ConcurrencyLimit }},
	{"overload", func(a *loop.AppCounts) uint64 { return a.Overload }},
	{"start", func(a *loop.AppCounts) uint64 { return a.StartFailures }},
	{"isolate", func(a *loop.AppCounts) uint64 { return a.Failures }},
}

// sleepReasons are what ends isolates.
var sleepReasons = []struct {
	label string
	value func(a *loop.AppCounts) uint64
}{
	{"idle", func(a *loop.AppCounts) uint64 { return a.Sleeps }},
	{"memory", func(a *loop.AppCounts) uint64 { return a.Evictions }},
	{"pressure", func(a *loop.AppCounts) uint64 { return a.PressureEvictions }},
	{"moved", func(a *loop.AppCounts) uint64 { return a.Retirements }},
	{"died", func(a *loop.AppCounts) uint64 { return a.Deaths }},
}

// appMetrics are those of apps, in the order of the documentation. The histogram stands apart: appLatency.
var appMetrics = []appMetric{
	{"nano_app_requests_total", counter, "Requests that were routed to the app.", "",
		one(func(a *loop.AppStats) float64 { return float64(a.Requests) })},
	{"nano_app_responses_total", counter,
		"Answers of the app, or of the node in its place, by class of status; none: the client was gone before.", "class",
		func(a *loop.AppStats, tell func(string, float64)) {
			if isUsed(a) {
				for class, count := range a.Answers {
					tell(statusClasses[class], float64(count))
				}
			}
		}},
	{"nano_app_errors_total", counter, "Requests that came to nothing, by cause, and errors that no code of the app caught.", "kind",
		func(a *loop.AppStats, tell func(string, float64)) {
			if isUsed(a) {
				for _, kind := range errorKinds {
					tell(kind.label, float64(kind.value(&a.AppCounts)))
				}
			}
		}},
	{"nano_app_requests_in_hand", gauge, "Requests that the app has in hand now, waitUntil work included.", "",
		used(func(a *loop.AppStats) float64 { return float64(a.InHand) })},
	{"nano_app_cpu_seconds_total", counter, "Processor time in the app's JavaScript.", "",
		used(func(a *loop.AppStats) float64 { return a.CPU.Seconds() })},
	{"nano_app_subrequests_total", counter, "What the app has opened: fetch(), service calls, assets, sockets.", "",
		used(func(a *loop.AppStats) float64 { return float64(a.Subrequests) })},
	{"nano_app_egress_refusals_total", counter, "What of that its egress rules forbade.", "",
		used(func(a *loop.AppStats) float64 { return float64(a.EgressRefusals) })},
	{"nano_app_starts_total", counter, "Starts of isolates of the app, by what they came from.", "from",
		func(a *loop.AppStats, tell func(string, float64)) {
			for i, starts := range a.Starts {
				if starts.Count != 0 {
					tell(loop.StartKinds[i], float64(starts.Count))
				}
			}
		}},
	{"nano_app_start_seconds_total", counter, "What these starts took together.", "from",
		func(a *loop.AppStats, tell func(string, float64)) {
			for i, starts := range a.Starts {
				if starts.Count != 0 {
					tell(loop.StartKinds[i], starts.Total.Seconds())
				}
			}
		}},
	{"nano_app_sleeps_total", counter, "Ends of isolates of the app, by reason.", "reason",
		func(a *loop.AppStats, tell func(string, float64)) {
			for _, reason := range sleepReasons {
				if count := reason.value(&a.AppCounts); count != 0 {
					tell(reason.label, float64(count))
				}
			}
		}},
	{"nano_app_isolates", gauge, "Isolates of the app that are warm now, at most one for each loop.", "",
		one(func(a *loop.AppStats) float64 { return float64(a.Warm) })},
	{"nano_app_resident_bytes", gauge, "Estimate of what its warm isolates cost, which counts for [isolates] memory.", "",
		warm(func(a *loop.AppStats) float64 { return float64(a.Resident) })},
	{"nano_app_heap_used_bytes", gauge, "Bytes of objects in its warm isolates, by V8 space.", "space",
		func(a *loop.AppStats, tell func(string, float64)) {
			for i, space := range a.Heap.Spaces {
				if space.Used != 0 {
					tell(isolates.HeapSpaceNames[i], float64(space.Used))
				}
			}
		}},
	{"nano_app_external_bytes", gauge, "Bytes outside the heap that objects of it own, such as those of ArrayBuffers.", "",
		warm(func(a *loop.AppStats) float64 { return float64(a.Heap.External) })},
}

const (
	appLatencyName = "nano_app_response_seconds"
	appLatencyHelp = "From the arrival of a request until the head of its answer: what wall limits. Not of " + OtherApps + "."
)

// loopMetric is a metric of each loop, with the labels loop and lane.
type loopMetric struct {
	name  string
	kind  kind
	help  string
	value func(s *loop.LoopStatus) float64
}

func stat(value func(s *loop.Stats) uint64) func(*loop.LoopStatus) float64 {
	return func(s *loop.LoopStatus) float64 { return float64(value(&s.Stats)) }
}

func seconds(nanoseconds uint64) float64 { return time.Duration(nanoseconds).Seconds() }

// loopMetrics are those of loops. The histogram stands apart: loopBatches.
var loopMetrics = []loopMetric{
	{"nano_loop_responsive", gauge, "1 if the loop has answered within the time of a scrape; 0: it is in a turn without end, or has ended.",
		func(s *loop.LoopStatus) float64 { return number(s.Responsive) }},
	{"nano_loop_busy_ratio", gauge, "How much of its time the loop has used lately.",
		func(s *loop.LoopStatus) float64 { return float64(s.Busy) / 1000 }},
	{"nano_loop_connections", gauge, "Open connections of clients.", stat(func(s *loop.Stats) uint64 { return s.Connections })},
	{"nano_loop_connections_accepted_total", counter, "Connections that were accepted.", stat(func(s *loop.Stats) uint64 { return s.Accepted })},
	{"nano_loop_connections_closed_total", counter, "Connections that were closed.", stat(func(s *loop.Stats) uint64 { return s.Closed })},
	{"nano_loop_connections_refused_total", counter, "Connections over max_connections.", stat(func(s *loop.Stats) uint64 { return s.Refused })},
	{"nano_loop_connections_moved_total", counter, "Connections that were taken over from other loops.", stat(func(s *loop.Stats) uint64 { return s.Moved })},
	{"nano_loop_requests_total", counter, "Requests that were given to an app, or answered 404.", stat(func(s *loop.Stats) uint64 { return s.Requests })},
	{"nano_loop_requests_rejected_total", counter, "Requests that could not be understood, were too large or too slow.", stat(func(s *loop.Stats) uint64 { return s.Rejected })},
	{"nano_loop_server_errors_total", counter, "Answers of the node itself with status 5xx.", stat(func(s *loop.Stats) uint64 { return s.Errors })},
	{"nano_loop_received_bytes_total", counter, "Bytes that were received.", stat(func(s *loop.Stats) uint64 { return s.BytesIn })},
	{"nano_loop_sent_bytes_total", counter, "Bytes that were sent.", stat(func(s *loop.Stats) uint64 { return s.BytesOut })},
	{"nano_loop_ticks_total", counter, "Rounds of the loop.", stat(func(s *loop.Stats) uint64 { return s.Ticks })},
	{"nano_loop_turns_total", counter, "Crossings into isolates.", stat(func(s *loop.Stats) uint64 { return s.Turns })},
	{"nano_loop_buffers_exhausted_total", counter, "Receives that found no provided buffer, and waited until one came back.", stat(func(s *loop.Stats) uint64 { return s.Starved })},
	{"nano_loop_stalls_total", counter, "Ticks of 10 ms or more, in which everything else on the loop waited.", stat(func(s *loop.Stats) uint64 { return s.Stalls })},
	{"nano_loop_stall_seconds_total", counter, "What these ticks took together.", func(s *loop.LoopStatus) float64 { return seconds(s.Stats.StallTime) }},
	{"nano_loop_longest_tick_seconds", gauge, "The longest tick since the start.", func(s *loop.LoopStatus) float64 { return seconds(s.Stats.LongestTick) }},
	{"nano_loop_isolates_replaced_total", counter, "Isolates that were ended at a limit, or failed.", stat(func(s *loop.Stats) uint64 { return s.Replaced })},
	{"nano_loop_apps_slowed_total", counter, "Apps that were put into the slow lane.", stat(func(s *loop.Stats) uint64 { return s.Slowed })},
	{"nano_loop_access_lines_dropped_total", counter, "Lines of the access log that were lost because it was read too slowly.", stat(func(s *loop.Stats) uint64 { return s.LogDropped })},
	{"nano_loop_stray_records_total", counter, "Records of isolates about requests that have ended: a defect if not 0.", stat(func(s *loop.Stats) uint64 { return s.StrayRecords })},
}

const (
	loopBatchesName = "nano_loop_completions_per_tick"
	loopBatchesHelp = "Completions of the ring that a tick has found, of ticks that found any; the sum counts all completions."
)

// nodeMetric is a metric of the node, with the label that its name may have.
type nodeMetric struct {
	name  string
	kind  kind
	help  string
	label string
}

// nodeMetrics are those of the node, in the order in which gatherer.node tells them.
var nodeMetrics = []nodeMetric{
	{"nano_build_info", gauge, "1, with the version of NANO.", "version"},
	{"nano_ready", gauge, "1 if the node serves and does not drain.", ""},
	{"nano_apps", gauge, "Apps of the node, by state.", "state"},
	{"nano_memory_budget_bytes", gauge, "[isolates] memory.", ""},
	{"nano_memory_limit_bytes", gauge, "What of that isolates may take now: less while the machine is short of memory.", ""},
	{"nano_memory_resident_bytes", gauge, "Estimate of what all warm isolates cost.", ""},
	{"nano_log_lines_dropped_total", counter, "Lines of apps that were not logged, by reason: rate is log_rate of the app, slow_reader a log that is read too slowly.", "reason"},
	{"nano_trace_spans_total", counter, "Spans that the collector of [tracing] has taken.", ""},
	{"nano_trace_spans_dropped_total", counter, "Spans that were lost: they came faster than they were sent, or the collector did not take them.", ""},
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Table is the documentation of all metrics as a table of Markdown.
func Table() string {
	var text strings.Builder
	text.WriteString("| metric | type | labels | tells |\n|---|---|---|---|\n")
	row := func(name string, kind kind, help string, labels ...string) {
		var all []string
		for _, label := range labels {
			if label != "" {
				all = append(all, "`"+label+"`")
			}
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(all, ", "), strings.TrimSuffix(help, "."))
	}
	for _, m := range nodeMetrics {
		row(m.name, m.kind, m.help, m.label)
	}
	for _, m := range appMetrics {
		row(m.name, m.kind, m.help, "app", m.label)
	}
	row(appLatencyName, histogram, appLatencyHelp, "app")
	for _, m := range loopMetrics {
		row(m.name, m.kind, m.help, "loop", "lane")
	}
	row(loopBatchesName, histogram, loopBatchesHelp, "loop", "lane")
	return text.String()
}
