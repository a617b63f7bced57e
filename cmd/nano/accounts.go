package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"nano/config"
	"nano/isolates"
	"nano/loop"
)

const (
	// accountsPatience is how long the loops may take to tell their accounts.
	accountsPatience = 10 * time.Second
	// How many apps are listed, those with the most CPU time: a reader sees a screen of them, a
	// machine what the log's queue holds in one piece.
	accountRowsMax    = 50
	accountRecordsMax = 1000
)

// report writes the accounts of the apps to the log, for SIGUSR1.
func (n *node) report(logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), accountsPatience)
	defer cancel()
	accounts, err := n.loops.Apps(ctx)
	if err != nil {
		logger.Warn("accounts of the apps: " + err.Error())
		return
	}
	if n.configured.Server.Log == config.LogJSON {
		logAccounts(logger, accounts)
		return
	}
	logger.Info("accounts of the apps\n" + accountTable(accounts))
}

// byCPU sorts accounts, the most CPU time first, keeps at most rowsMax of them, and sums up all. Apps
// that were never asked for anything are left out unless there is room for all.
func byCPU(accounts []loop.AppStats, rowsMax int) (rows []loop.AppStats, total loop.AppStats) {
	for i := range accounts {
		total.Add(&accounts[i])
	}
	total.Name = "total"
	if len(accounts) > rowsMax {
		total.Name = fmt.Sprintf("total of %d apps", len(accounts))
	}
	rows = slices.Clone(accounts)
	if len(rows) > rowsMax {
		rows = slices.DeleteFunc(rows, func(a loop.AppStats) bool { return a.Requests == 0 && a.Errors() == 0 })
	}
	slices.SortStableFunc(rows, func(a, b loop.AppStats) int { return int(min(max(b.CPU-a.CPU, -1), 1)) })
	return rows[:min(len(rows), rowsMax)], total
}

// accountTable is the accounts for people, a line for each app, numbers flush right.
func accountTable(accounts []loop.AppStats) string {
	rows, total := byCPU(accounts, accountRowsMax)
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "requests\terrors\tcpu\tin hand\twarm\tresident\theap\texternal\trestored\tcached\tcompiled\tmean\tmax\tasleep\tevicted\tended\t  app")
	for i := range rows {
		writeAccountRow(table, &rows[i])
	}
	writeAccountRow(table, &total)
	table.Flush()
	return text.String()
}

func writeAccountRow(table *tabwriter.Writer, a *loop.AppStats) {
	starts := allStarts(a)
	fmt.Fprintf(table, "%d\t%d\t%s\t%d\t%d\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t  %s\n",
		a.Requests, a.Errors(), shortDuration(a.CPU), a.InHand, a.Warm,
		shortSize(a.Resident), shortSize(heapUsed(&a.Heap)), shortSize(a.Heap.External),
		a.Starts[0].Count, a.Starts[1].Count, a.Starts[2].Count, shortDuration(meanStart(starts)), shortDuration(starts.Max),
		a.Sleeps, a.Evictions+a.PressureEvictions, a.Deaths, a.Name)
}

// allStarts adds up starts of all kinds.
func allStarts(a *loop.AppStats) (sum loop.StartCounts) {
	for _, kind := range a.Starts {
		sum.Count += kind.Count
		sum.Total += kind.Total
		sum.Max = max(sum.Max, kind.Max)
	}
	return sum
}

func meanStart(starts loop.StartCounts) time.Duration {
	return starts.Total / time.Duration(max(starts.Count, 1))
}

func heapUsed(heap *isolates.HeapStats) (used int64) {
	for _, space := range heap.Spaces {
		used += space.Used
	}
	return used
}

// shortDuration has two or three digits: "0", "83µs", "1.2ms", "15s".
func shortDuration(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= 100*unit {
			return d.Round(unit).String()
		}
		if d >= unit {
			return d.Round(unit / 10).String()
		}
	}
	return "0"
}

// shortSize is "0", "512K", "1.5M".
func shortSize(bytes int64) string {
	switch {
	case bytes <= 0:
		return "0"
	case bytes < 1<<20:
		return fmt.Sprintf("%dK", (bytes+1023)>>10)
	case bytes < 100<<20:
		return fmt.Sprintf("%.1fM", float64(bytes)/(1<<20))
	default:
		return fmt.Sprintf("%dM", bytes>>20)
	}
}

// logAccounts writes the accounts for machines: a record for each app, and one of the sum.
func logAccounts(logger *slog.Logger, accounts []loop.AppStats) {
	rows, total := byCPU(accounts, accountRecordsMax)
	for i := range rows {
		logger.LogAttrs(context.Background(), slog.LevelInfo, "account", append([]slog.Attr{slog.String("app", rows[i].Name)}, accountAttributes(&rows[i])...)...)
	}
	logger.LogAttrs(context.Background(), slog.LevelInfo, "accounts", append([]slog.Attr{slog.Int("apps", len(accounts))}, accountAttributes(&total)...)...)
}

// accountAttributes are an account, in bytes and nanoseconds.
func accountAttributes(a *loop.AppStats) []slog.Attr {
	group := func(name string, values ...slog.Attr) slog.Attr {
		return slog.Attr{Key: name, Value: slog.GroupValue(values...)}
	}
	var answers, starts, spaces []slog.Attr
	for class, answered := range a.Answers {
		name := "none"
		if class > 0 {
			name = fmt.Sprintf("%dxx", class)
		}
		answers = append(answers, slog.Uint64(name, answered))
	}
	for i, kind := range a.Starts {
		starts = append(starts, group(loop.StartKinds[i],
			slog.Uint64("count", kind.Count), slog.Int64("total_ns", kind.Total.Nanoseconds()), slog.Int64("max_ns", kind.Max.Nanoseconds())))
	}
	for i, space := range a.Heap.Spaces {
		if space != (isolates.HeapSpace{}) {
			spaces = append(spaces, group(isolates.HeapSpaceNames[i], slog.Int64("used", space.Used), slog.Int64("committed", space.Committed)))
		}
	}
	return []slog.Attr{
		slog.Uint64("requests", a.Requests),
		group("answers", answers...),
		group("errors",
			slog.Uint64("uncaught", a.Uncaught), slog.Uint64("cpu_limit", a.CPULimit), slog.Uint64("memory_limit", a.MemoryLimit),
			slog.Uint64("wall_limit", a.WallLimit), slog.Uint64("body_limit", a.BodyLimit),
			slog.Uint64("concurrency_limit", a.ConcurrencyLimit), slog.Uint64("overload", a.Overload),
			slog.Uint64("start_failures", a.StartFailures), slog.Uint64("failures", a.Failures)),
		slog.Int64("cpu_ns", a.CPU.Nanoseconds()),
		slog.Int("in_hand", a.InHand),
		slog.Int("warm", a.Warm),
		slog.Int64("resident", a.Resident),
		group("heap", append(spaces, slog.Int64("external", a.Heap.External), slog.Int64("malloced", a.Heap.Malloced))...),
		group("starts", starts...),
		slog.Uint64("sleeps", a.Sleeps),
		slog.Uint64("evictions", a.Evictions),
		slog.Uint64("pressure_evictions", a.PressureEvictions),
		slog.Uint64("retirements", a.Retirements),
		slog.Uint64("deaths", a.Deaths),
	}
}
