package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// target is something that NANO promises, and whether the results show it.
type target struct {
	Part     string `json:"part,omitempty"` // that measures it; "": several
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
	snapshotKBMost    = 700
	launchMost        = 100 * time.Millisecond
	memoryGrowthMost  = 1 << 20 // bytes from 100,000 to 1,000,000 requests

	warmAppMost    = 1 << 20 // bytes that a warm app adds, at densityJudged
	zipfMost       = 10 * time.Millisecond
	isolationMost  = 600 * time.Microsecond
	neighbourMost  = 2.0 // p99 beside an abuser over p99 alone
	activeMost     = 1.3 // CPU per request at activeApps over that of one app
	densityMost    = 2000
	neighbourAbuse = 10_000
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
	var targets []target
	add := func(part string, judged ...target) {
		for _, one := range judged {
			one.Part = part
			targets = append(targets, one)
		}
	}
	add("plain", r.judgeUser()...)
	for _, s := range scenarios() {
		if s.TotalTarget != 0 {
			add(s.Name, r.judgeTotal(s))
		}
	}
	add("platform", r.judgePlatform()...)
	for _, s := range scenarios() {
		if s.NginxTarget != 0 {
			add(s.Name, r.judgeNginx(s))
		}
	}
	add("websocket", r.judgeEchoes(), r.judgeIdleSockets())
	add("giga", r.judgeGiga())
	add("pending10k", r.judgePending())
	add("loops", r.judgeLoops())
	add("weight", r.judgeIsolates()...)
	add("launch", r.judgeLaunch()...)
	add("wakeups", r.judgeIdle())
	add("micro", r.judgeAllocations())
	add("memory", r.judgeMemory())
	add("", r.judgeErrors())
	add("coldstart", r.judgeCold()...)
	add("density", r.judgeDensity()...)
	add("zipf", r.judgeZipf()...)
	add("neighbour", r.judgeNeighbour()...)
	add("reload", r.judgeReload()...)
	add("soak", r.judgeSoak()...)
	add("dev", r.judgeDev()...)
	add("isolation", r.judgeIsolation())
	add("active1000", r.judgeActive())
	add("observe", r.judgeObserve())
	return targets
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
		case p.Failure != "" || value == 0 || p.Peer == otherName || p.Peer == nginxName:
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
	for _, micro := range append(slices.Clone(r.Weight), r.Micro...) {
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
	snapshot := target{Text: fmt.Sprintf("snapshot of the runtime ≤ %d KB", snapshotKBMost), Verdict: notMeasured}
	if value, found := r.metric("./isolates", "Density", "KB-blob"); found {
		snapshot.Measured = fmt.Sprintf("%.0f KB", value)
		snapshot.Verdict = verdict(value <= snapshotKBMost)
	}
	return []target{snapshot, restore, density}
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

// judgeCold judges each app by its worst way to be asked. The bundles are judged as an operator who
// wants fast starts deploys them, with a warmup; without one, the first request compiles what it runs.
func (r *results) judgeCold() []target {
	var targets []target
	for _, app := range coldApps {
		hasWarmup := app.warmup() != ""
		t := target{Text: fmt.Sprintf("cold start over the socket: %s ≤ %s p99", app.Title, app.Most), Verdict: notMeasured}
		if hasWarmup {
			t.Text += " (with warmup)"
		}
		var parts []string
		holds, judged := true, false
		for _, one := range r.Cold {
			if one.App != app.Name {
				continue
			}
			part := one.Variant + ": " + milliseconds(one.P99)
			if one.Failure != "" {
				part = one.Variant + ": failed"
			}
			parts = append(parts, part)
			if one.Warmup == hasWarmup {
				judged = true
				holds = holds && one.Failure == "" && one.P99 <= app.Most
			}
		}
		t.Measured = strings.Join(parts, "; ")
		if judged {
			t.Verdict = verdict(holds)
		}
		targets = append(targets, t)
	}
	return targets
}

func (r *results) judgeDensity() []target {
	share := target{Text: fmt.Sprintf("warm hello app ≤ 1.0 MB resident, at %s apps", thousands(densityJudged)), Verdict: notMeasured}
	if one, err := r.densityOf(nanoName, densityJudged); err == nil {
		each := one.perApp(r.Density)
		share.Measured = fmt.Sprintf("%.3f MB", float64(each)/(1<<20))
		if other, err := r.densityOf("workerd", densityJudged); err == nil {
			share.Measured += fmt.Sprintf(" (workerd: %.3f MB)", float64(other.perApp(r.Density))/(1<<20))
		}
		share.Verdict = verdict(each > 0 && each <= warmAppMost)
	}
	many := target{Text: fmt.Sprintf("%s warm apps in one process", thousands(densityMost)), Verdict: notMeasured}
	if len(r.Density) > 0 {
		one, err := r.densityOf(nanoName, densityMost)
		many.Measured, many.Verdict = megabytes(one.RSS), verdict(err == nil)
		if err != nil {
			many.Measured = oneLine(err.Error())
		}
	}
	return []target{share, many}
}

func (r *results) judgeZipf() []target {
	failed := target{Text: fmt.Sprintf("%s apps, Zipf(1.0), %s: no failed request", thousands(zipfApps), zipfMemory), Verdict: notMeasured}
	late := target{Text: fmt.Sprintf("%s apps, Zipf(1.0), %s: p99 ≤ %s at half of saturation", thousands(zipfApps), zipfMemory, zipfMost), Verdict: notMeasured}
	if z := r.Zipf; z != nil && z.Apps == zipfApps && z.Half.Count > 0 {
		failed.Measured = fmt.Sprintf("%d of %s", z.Saturation.Failed+z.Half.Failed, thousands(int64(z.Saturation.Count+z.Half.Count)))
		failed.Verdict = verdict(z.Saturation.Failed+z.Half.Failed == 0)
		late.Measured = fmt.Sprintf("%s at %s/s", milliseconds(z.Half.P99), thousands(int64(z.Half.PerSecond)))
		late.Verdict = verdict(z.Half.P99 <= zipfMost)
	}
	return []target{failed, late}
}

func (r *results) judgeNeighbour() []target {
	quiet := target{Text: fmt.Sprintf("neighbour's p99 within %.0f × of its quiet value beside every abuser", neighbourMost), Verdict: notMeasured}
	deaths := target{Text: fmt.Sprintf("0 process deaths over abusive requests of each kind (%s with --abuse %d)", thousands(neighbourAbuse), neighbourAbuse), Verdict: notMeasured}
	if r.Neighbour == nil || len(r.Neighbour.Abuses) == 0 {
		return []target{quiet, deaths}
	}
	worst, died, requests := abuseResult{}, 0, 0
	holds := true
	for _, one := range r.Neighbour.Abuses {
		if one.Quiet.Count == 0 || one.Noisy.Count == 0 || one.Noisy.Failed > 0 {
			holds = false
		}
		if one.ratio() >= worst.ratio() {
			worst = one
		}
		if one.Died {
			died++
		}
		requests += one.Survival.Requests + one.Beside.Requests
	}
	quiet.Measured = fmt.Sprintf("at most %.2f × (%s: %s against %s)", worst.ratio(), worst.Kind, milliseconds(worst.Noisy.P99), milliseconds(worst.Quiet.P99))
	quiet.Verdict = verdict(holds && worst.ratio() <= neighbourMost)
	deaths.Measured = fmt.Sprintf("%d over %s abusive requests of %d kinds", died, thousands(int64(requests)), len(r.Neighbour.Abuses))
	deaths.Verdict = verdict(died == 0)
	return []target{quiet, deaths}
}

func (r *results) judgeIsolation() target {
	t := target{Text: fmt.Sprintf("isolation = \"request\" adds ≤ %s at p50 (hello)", isolationMost), Verdict: notMeasured}
	for _, one := range r.Isolation {
		if one.App != coldApps[0].Title {
			continue
		}
		if one.Failure != "" {
			t.Measured, t.Verdict = oneLine(one.Failure), missed
			continue
		}
		added := one.Request.P50 - one.Shared.P50
		t.Measured = fmt.Sprintf("%s (%s against %s)", milliseconds(added), milliseconds(one.Request.P50), milliseconds(one.Shared.P50))
		t.Verdict = verdict(added <= isolationMost)
	}
	return t
}

func (r *results) judgeActive() target {
	t := target{Text: fmt.Sprintf("CPU per request at %s active apps ≤ %.1f × that of one app", thousands(activeApps), activeMost), Verdict: notMeasured}
	if r.Active != nil && r.Active.One.TotalMicros > 0 && r.Active.Many.TotalMicros > 0 {
		one, many := r.Active.One, r.Active.Many
		t.Measured = fmt.Sprintf("%.2f × (%.2f µs against %.2f)", many.TotalMicros/one.TotalMicros, many.TotalMicros, one.TotalMicros)
		if len(r.Active.Restarts) > 0 {
			t.Measured += "; not all stayed warm: " + describeStarts(r.Active.Restarts)
		}
		t.Verdict = verdict(many.TotalMicros <= activeMost*one.TotalMicros && many.Errors == 0 && len(r.Active.Restarts) == 0)
	}
	return t
}
