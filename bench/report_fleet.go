package main

import (
	"fmt"
	"strings"
)

// This file writes the tables of the measurements of many apps.

func (r *results) writeCold(page *strings.Builder) {
	if len(r.Cold) == 0 {
		return
	}
	fmt.Fprintf(page, "## Cold start (`coldstart`)\n\n"+
		"From the request for an app that sleeps to the last byte of its answer, over a socket. %d copies of the app sleep after\n"+
		"%s without a request and are asked in turn. Each answer tells whether its instance was just started; only those\n"+
		"count. The time with a new connection includes connecting; the warm p50 is the same request when nothing sleeps.\n"+
		"The CPU time of the whole process includes putting the app to sleep again.\n\n",
		coldCopies, coldIdle)
	var rows [][]string
	for _, one := range r.Cold {
		row := append([]string{one.Title, one.Variant}, one.cells()...)
		rows = append(rows, append(row, milliseconds(one.Warm.P50), milliseconds(one.CPU), describeStarts(one.Starts), thousands(int64(one.Count)), thousands(int64(one.Awake)), oneLine(one.Failure)))
	}
	header := append([]string{"app", "way"}, latencyColumns...)
	writeTable(page, append(header, "warm p50", "CPU each", "started from", "cold starts", "awake", "failure"), rows)
	for _, one := range r.Cold {
		if one.Refused > 0 {
			fmt.Fprintf(page, "%s, %s: %d requests were refused before the app had an image.\n\n", one.Title, one.Variant, one.Refused)
		}
	}
}

func (r *results) writeDensity(page *strings.Builder) {
	if len(r.Density) == 0 {
		return
	}
	page.WriteString("## Memory of warm apps (`density`)\n\n" +
		"Hello-world apps with sources of their own, each warm, and shown to be so by its answers. workerd has a service and a\n" +
		"socket for each. An app's share is what it adds to the process that has one app. NANO starts the apps from images that\n" +
		"an earlier node built, as after a restart.\n\n")
	var rows [][]string
	for _, one := range r.Density {
		if one.Failure != "" {
			rows = append(rows, []string{one.Peer, thousands(int64(one.Apps)), "failed: " + oneLine(one.Failure), "", "", "", "", "", ""})
			continue
		}
		share := ""
		if one.Apps > 1 {
			share = fmt.Sprintf("%.3f MB", float64(one.perApp(r.Density))/(1<<20))
		}
		rows = append(rows, []string{one.Peer, thousands(int64(one.Apps)), thousands(int64(one.Requests)), share, megabytes(one.RSS), megabytes(one.PSS),
			thousands(one.Mappings), fmt.Sprintf("%.1f TB", float64(one.Virtual)/(1<<40)), milliseconds(one.Warming)})
	}
	writeTable(page, []string{"", "apps", "requests each", "RSS an app adds", "RSS", "PSS", "mappings", "address space", "start to last answer"}, rows)
}

func (r *results) writeZipf(page *strings.Builder) {
	if r.Zipf == nil {
		return
	}
	z := r.Zipf
	fmt.Fprintf(page, "## %s apps, Zipf traffic, %s (`zipf`)\n\n"+
		"Sources of their own, on one loop; the n-th app is asked in proportion to 1/n. Images were built before, in %.0f s.\n"+
		"At half of saturation requests come as a Poisson process, and their time runs from when they were to be sent.\n"+
		"The hit ratio is the part of answers that came from a warm instance. After all of it: RSS %s, %s warm apps that the\n"+
		"node believes to take %s. Starts at half of saturation, as the node counts them: %s.\n\n",
		thousands(int64(z.Apps)), zipfMemory, z.Building.Seconds(), megabytes(z.Memory.RSS),
		thousands(int64(z.Accounts.Warm)), megabytes(z.Accounts.Resident), describeStarts(z.HalfStarts))
	var rows [][]string
	for _, one := range []struct {
		name string
		arrivalsResult
	}{{fmt.Sprintf("saturation, %d connections", zipfConnections), z.Saturation}, {"half of that rate", z.Half}} {
		row := append([]string{one.name, thousands(int64(one.PerSecond))}, one.cells()...)
		rows = append(rows, append(row, fmt.Sprintf("%.3f", one.hits()), fmt.Sprintf("%.0f", one.startsPerSecond()), fmt.Sprint(one.Failed), oneLine(one.Failure)))
	}
	header := append([]string{"", "requests/s"}, latencyColumns...)
	writeTable(page, append(header, "hit ratio", "starts/s", "failed", "first failure"), rows)
}

// hits is the part of answers that came from an instance that had served before.
func (a arrivalsResult) hits() float64 {
	if a.Count == 0 {
		return 0
	}
	return 1 - float64(a.Starts)/float64(a.Count)
}

func (a arrivalsResult) startsPerSecond() float64 { return (1 - a.hits()) * a.PerSecond }

func (r *results) writeNeighbour(page *strings.Builder) {
	if r.Neighbour == nil {
		return
	}
	fmt.Fprintf(page, "## A noisy neighbour (`neighbour`)\n\n"+
		"A hello-world tenant gets %d requests a second (Poisson), first alone and then beside an abuser on the same loop, which\n"+
		"asks again at once on %d connections and began half a second before (limits: %s).\n"+
		"Then a number of abusive requests to another node (limits, but of uploads: %s), with the resident memory after a tenth\n"+
		"of them and after all.\n\n", neighbourRate, abusers, strings.Join(abuseLimits, ", "), strings.Join(survivalLimits, ", "))
	var rows [][]string
	for _, one := range r.Neighbour.Abuses {
		state := "alive"
		switch {
		case one.Died:
			state = "**died**"
		case one.Busy:
			state = "alive, busy"
		}
		rows = append(rows, []string{one.Kind, milliseconds(one.Quiet.P50), milliseconds(one.Quiet.P99), milliseconds(one.Noisy.P50),
			milliseconds(one.Noisy.P99), fmt.Sprintf("%.2f", one.ratio()), fmt.Sprint(one.Noisy.Failed), one.Survival.String(),
			megabytes(one.Before.RSS) + " → " + megabytes(one.After.RSS), state})
	}
	writeTable(page, []string{"abuse", "quiet p50", "quiet p99", "beside p50", "beside p99", "ratio", "failed", "abusive answers", "RSS", "process"}, rows)
	for _, one := range r.Neighbour.Abuses {
		if one.Failure != "" {
			fmt.Fprintf(page, "%s: %s\n\n", one.Kind, oneLine(one.Failure))
		}
	}
}

func (r *results) writeIsolation(page *strings.Builder) {
	if len(r.Isolation) == 0 {
		return
	}
	fmt.Fprintf(page, "## A fresh context for each request (`isolation`)\n\n"+
		"The same app with isolation \"app\" and \"request\" on one node, a request each %s.\n\n", isolationPause)
	var rows [][]string
	for _, one := range r.Isolation {
		for _, kind := range []struct {
			name string
			latencies
		}{{"app", one.Shared}, {"request", one.Request}} {
			rows = append(rows, append(append([]string{one.App, kind.name}, kind.cells()...), oneLine(one.Failure)))
		}
	}
	writeTable(page, append(append([]string{"app", "isolation"}, latencyColumns...), "failure"), rows)
}

func (r *results) writeActive(page *strings.Builder) {
	if r.Active == nil {
		return
	}
	fmt.Fprintf(page, "## %s active apps (`active1000`)\n\n"+
		"Hello-world apps with sources of their own, all warm on one loop, asked in turn over 64 connections; one app of the same\n"+
		"node as the measure.\n\n", thousands(activeApps))
	writeTable(page, scenarioColumns, scenarioRows([]peerResult{r.Active.One, r.Active.Many}))
}
