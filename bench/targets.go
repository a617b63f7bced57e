package main

import (
	"fmt"
	"strings"
	"time"
)

// target is something that NANO promises, and whether this run showed it.
type target struct {
	Text     string `json:"text"`
	Measured string `json:"measured"`
	Verdict  string `json:"verdict"`
}

const (
	met         = "met"
	missed      = "missed"
	notMeasured = "not measured"
)

const (
	userMicrosMost    = 1.0  // plain text, user CPU per request
	userRatioMost     = 0.65 // of the best peer's
	secondLoopMost    = 1.10 // CPU per request with two loops over that with one
	restoreMillisMost = 1.5  // p99
	isolateKBMost     = 1024
	launchMost        = 100 * time.Millisecond
	memoryGrowthMost  = 1 << 20 // bytes from 100,000 to 1,000,000 requests
)

// verdict is met if the condition holds.
func verdict(holds bool) string {
	if holds {
		return met
	}
	return missed
}

// judge compares the results with all targets.
func (r *results) judge() []target {
	targets := r.judgeUser()
	for _, s := range scenarios() {
		if s.TotalTarget != 0 {
			targets = append(targets, r.judgeTotal(s))
		}
	}
	targets = append(targets, r.judgeLoops())
	targets = append(targets, r.judgeIsolates()...)
	targets = append(targets, r.judgeLaunch()...)
	return append(targets, r.judgeIdle(), r.judgeAllocations(), r.judgeMemory(), r.judgeErrors())
}

func userOf(p peerResult) float64  { return p.UserMicros }
func totalOf(p peerResult) float64 { return p.TotalMicros }

// comparison is NANO beside the peer that does best by one figure; less is better.
type comparison struct {
	Nano, Best float64
	BestPeer   string
}

func (c comparison) ratio() float64 { return c.Nano / c.Best }

// compare finds NANO and the best peer of a scenario; false if either has no result.
func (s scenarioResult) compare(figure func(peerResult) float64) (comparison, bool) {
	var c comparison
	for _, p := range s.Peers {
		value := figure(p)
		switch {
		case p.Failure != "" || value == 0 || p.Peer == otherName:
		case p.Peer == nanoName:
			c.Nano = value
		case c.BestPeer == "" || value < c.Best:
			c.Best, c.BestPeer = value, p.Peer
		}
	}
	return c, c.Nano != 0 && c.BestPeer != ""
}

// compareScenario is compare of a scenario by name.
func (r *results) compareScenario(name string, figure func(peerResult) float64) (comparison, bool) {
	for _, s := range r.Scenarios {
		if s.Name == name {
			return s.compare(figure)
		}
	}
	return comparison{}, false
}

func (r *results) judgeUser() []target {
	absolute := target{Text: fmt.Sprintf("plain text: user CPU ≤ %.1f µs per request", userMicrosMost), Verdict: notMeasured}
	relative := target{Text: fmt.Sprintf("plain text: user CPU ≤ %.2f × the best peer", userRatioMost), Verdict: notMeasured}
	if c, found := r.compareScenario("plain", userOf); found {
		absolute.Measured = fmt.Sprintf("%.2f µs", c.Nano)
		absolute.Verdict = verdict(c.Nano <= userMicrosMost)
		relative.Measured = fmt.Sprintf("%.2f × %s (%.2f µs)", c.ratio(), c.BestPeer, c.Best)
		relative.Verdict = verdict(c.ratio() <= userRatioMost)
	}
	return []target{absolute, relative}
}

func (r *results) judgeTotal(s scenario) target {
	t := target{Text: fmt.Sprintf("%s: total CPU ≤ %.1f × the best peer", s.Title, s.TotalTarget), Verdict: notMeasured}
	if c, found := r.compareScenario(s.Name, totalOf); found {
		t.Measured = fmt.Sprintf("%.2f × %s (%.2f µs against %.2f)", c.ratio(), c.BestPeer, c.Nano, c.Best)
		t.Verdict = verdict(c.ratio() <= s.TotalTarget)
	}
	return t
}

func (r *results) judgeLoops() target {
	t := target{Text: fmt.Sprintf("second loop: CPU per request ≤ %.2f × that of two single loops", secondLoopMost), Verdict: notMeasured}
	if r.Loops == nil || r.Loops.TwoProcesses.TotalMicros == 0 || r.Loops.OneLoop.TotalMicros == 0 {
		return t
	}
	two, control, one := r.Loops.TwoLoops.TotalMicros, r.Loops.TwoProcesses.TotalMicros, r.Loops.OneLoop.TotalMicros
	t.Measured = fmt.Sprintf("%.2f × two processes of one loop; %.2f × one loop that shares its core with wrk", two/control, two/one)
	t.Verdict = verdict(two/control <= secondLoopMost)
	return t
}

// metric looks a metric of a benchmark up, by the package and a part of the benchmark's name.
func (r *results) metric(packageName, name, unit string) (float64, bool) {
	for _, micro := range r.Micro {
		if value, found := micro.Metrics[unit]; found && micro.Package == packageName && strings.Contains(micro.Name, name) {
			return value, true
		}
	}
	return 0, false
}

func (r *results) judgeIsolates() []target {
	restore := target{Text: fmt.Sprintf("isolate restored in ≤ %.1f ms p99, at 500 isolates", restoreMillisMost), Verdict: notMeasured}
	if value, found := r.metric("./isolates", "Density", "ms-p99"); found {
		restore.Measured = fmt.Sprintf("%.2f ms", value)
		restore.Verdict = verdict(value <= restoreMillisMost)
	}
	density := target{Text: "isolate resident in ≤ 1.0 MB, at 500 isolates", Verdict: notMeasured}
	if value, found := r.metric("./isolates", "Density", "KB/isolate"); found {
		density.Measured = fmt.Sprintf("%.0f KB", value)
		density.Verdict = verdict(value <= isolateKBMost)
	}
	return []target{restore, density}
}

func (r *results) judgeLaunch() []target {
	var targets []target
	for _, one := range r.Launch {
		if !strings.HasPrefix(one.Name, nanoName) {
			continue
		}
		t := target{Text: fmt.Sprintf("launch to first answer ≤ %s (%s)", launchMost, one.Name), Verdict: notMeasured}
		if len(one.Samples) > 0 && one.Failure == "" {
			t.Measured = fmt.Sprintf("p50 %s, p99 %s", milliseconds(one.P50), milliseconds(one.P99))
			t.Verdict = verdict(one.P99 <= launchMost)
		}
		targets = append(targets, t)
	}
	if targets == nil {
		targets = append(targets, target{Text: fmt.Sprintf("launch to first answer ≤ %s", launchMost), Verdict: notMeasured})
	}
	return targets
}

func (r *results) judgeIdle() target {
	t := target{Text: "idle process: no wake-ups", Verdict: notMeasured}
	for _, one := range r.Idle {
		if one.Peer == nanoName && one.Failure == "" {
			t.Measured = fmt.Sprintf("%d context switches in %.0f s", one.Switches, one.Seconds)
			t.Verdict = verdict(one.Switches == 0)
		}
	}
	return t
}

func (r *results) judgeAllocations() target {
	t := target{Text: "0 Go allocations per plain-text request", Verdict: notMeasured}
	loop, foundLoop := r.metric("./loop", "BenchmarkRequest/connections=64", "allocs/op")
	turn, foundTurn := r.metric("./isolates", "BenchmarkTurn/text/64", "allocs/op")
	if foundLoop && foundTurn {
		t.Measured = fmt.Sprintf("%.0f in the loop, %.0f in the crossing", loop, turn)
		t.Verdict = verdict(loop == 0 && turn == 0)
	}
	return t
}

func (r *results) judgeMemory() target {
	t := target{Text: "resident memory flat over 1,000,000 requests (grows ≤ 1 MB after the first 100,000)", Verdict: notMeasured}
	if count := len(r.Memory); count > 1 {
		growth := r.Memory[count-1].RSS - r.Memory[0].RSS
		t.Measured = fmt.Sprintf("%+.2f MB", float64(growth)/(1<<20))
		t.Verdict = verdict(growth <= memoryGrowthMost)
	}
	return t
}

func (r *results) judgeErrors() target {
	t := target{Text: "no errors under load", Verdict: notMeasured}
	var failed int64
	measured := 0
	for _, s := range r.Scenarios {
		for _, p := range s.Peers {
			if p.Peer != nanoName {
				continue
			}
			measured++
			failed += p.Errors
			if p.Failure != "" {
				failed++
			}
		}
	}
	if measured > 0 {
		t.Measured = fmt.Sprintf("%d in %d scenarios", failed, measured)
		t.Verdict = verdict(failed == 0)
	}
	return t
}
