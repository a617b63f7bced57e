package main

import (
	"fmt"
	"strings"
	"time"
)

const transformText = "The app makes the letters of a body of its origin upper-case, byte by byte. CPU is for each MB (2²⁰ bytes).\n\n"

const gigaText = "A body of 2³⁰ bytes. A slow client reads 100 KB/s for 5 s and leaves. What is more than before is memory that grows with\n" +
	"a body, or heap that was not collected yet.\n\n"

func (r *results) writeTransform(page *strings.Builder) {
	writeTransfers(page, "A large body through a TransformStream (`transform100m`)", transformText, r.Transform)
}

func (r *results) writeGiga(page *strings.Builder) {
	writeTransfers(page, "One gigabyte (`giga`)", gigaText, r.Giga)
}

// writeTransfers shows large bodies, by transfer and peer.
func writeTransfers(page *strings.Builder, title, text string, found []bodyResult) {
	if len(found) == 0 {
		return
	}
	page.WriteString("## " + title + "\n\n" + text)
	var rows [][]string
	for _, one := range found {
		if one.Failure != "" || len(one.Rounds) == 0 {
			rows = append(rows, []string{one.Title, one.Peer, "failed: " + oneLine(one.Failure), "", "", ""})
			continue
		}
		cpu := milliseconds(one.cpu())
		if strings.HasPrefix(one.Transfer, "slow") {
			cpu = "" // of next to nothing
		}
		first := one.Rounds[0]
		rows = append(rows, []string{one.Title, one.Peer, fmt.Sprintf("%s MB/s", figure(one.rate()/(1<<20))), cpu,
			megabytes(first.Before), megabytes(one.extra())})
	}
	writeTable(page, []string{"body", "", "rate", "CPU per MB", "RSS before", "more at the peak"}, rows)
}

// writeWebSockets shows echoes, and idle sockets.
func (r *results) writeWebSockets(page *strings.Builder) {
	if len(r.WebSockets) == 0 {
		return
	}
	fmt.Fprintf(page, "## WebSocket echo (`websocket`)\n\n%s sockets, each with one message of %d bytes under way. The client is one thread and shares no core with the\n"+
		"server. Then, with a new process, the memory of idle sockets that have had one echo each.\n\n", thousands(webSockets), messageSize)
	var echoes, idle [][]string
	for _, one := range r.WebSockets {
		if one.Failure != "" || len(one.Rounds) == 0 {
			echoes = append(echoes, []string{one.Peer, "failed: " + oneLine(one.Failure), "", "", "", "", ""})
			continue
		}
		median := func(figure func(webSocketMeasure) float64) float64 { return medianIn(one.Rounds, figure) }
		echoes = append(echoes, []string{one.Peer,
			thousands(int64(median(func(m webSocketMeasure) float64 { return m.PerSecond }))),
			thousands(int64(one.perCPUSecond())),
			fmt.Sprintf("%.2f", 1e6/one.perCPUSecond()),
			milliseconds(time.Duration(median(func(m webSocketMeasure) float64 { return float64(m.P50) }))),
			milliseconds(time.Duration(median(func(m webSocketMeasure) float64 { return float64(m.P99) }))),
			megabytes(int64(median(func(m webSocketMeasure) float64 { return float64(m.Memory.RSS) })))})
		if one.Idle.Failure != "" {
			idle = append(idle, []string{one.Peer, "failed: " + oneLine(one.Idle.Failure), "", "", "", ""})
			continue
		}
		idle = append(idle, []string{one.Peer, thousands(int64(one.Idle.Count)), megabytes(one.Idle.Before.RSS), megabytes(one.Idle.After.RSS),
			fmt.Sprintf("%.2f KB", one.Idle.each()/1024), thousands(int64(one.Idle.Alive))})
	}
	writeTable(page, []string{"", "messages/s", "messages per CPU second", "CPU µs", "p50", "p99", "RSS"}, echoes)
	if len(idle) > 0 {
		writeTable(page, []string{"", "idle sockets", "RSS before", "RSS with them", "each", "alive afterwards"}, idle)
	}
}

// writePending shows fetches that were all pending at once.
func (r *results) writePending(page *strings.Builder) {
	if r.Pending == nil {
		return
	}
	fmt.Fprintf(page, "## Many pending fetches (`pending10k`)\n\n%s fetches of %d requests. The origin answers none of them before all have come. Memory afterwards is\n"+
		"that when it was back to what it had been before, or else %s later.\n\n", thousands(int64(r.Pending.Fetches)), pendingRequests, pendingRest)
	var rows [][]string
	for index, round := range r.Pending.Rounds {
		rows = append(rows, []string{fmt.Sprint(index + 1), thousands(int64(round.Answered)), milliseconds(round.Elapsed), megabytes(round.Before),
			megabytes(round.Peak), megabytes(round.After), milliseconds(round.Rested), megabytes(round.AnonymousBefore),
			megabytes(round.AnonymousAfter)})
	}
	writeTable(page, []string{"round", "answered", "time", "RSS before", "peak", "afterwards", "after", "anonymous before", "anonymous afterwards"}, rows)
}
