package main

import (
	"fmt"
	"math"
)

const (
	bodyExtraMost   = 8 << 20   // bytes that a body of a gigabyte may take
	idleSocketsMost = 100 << 20 // bytes resident with idleWebSockets
	pendingKeptMost = 8 << 20   // bytes that many pending fetches may leave behind
)

// judgeNginx compares the CPU per request with nginx's.
func (r *results) judgeNginx(s scenario) target {
	t := target{Text: fmt.Sprintf("%s: total CPU ≤ %.1f × nginx", s.Title, s.NginxTarget), Verdict: notMeasured}
	var nano, nginx float64
	for _, one := range r.Scenarios {
		for _, p := range one.Peers {
			switch {
			case one.Name != s.Name || p.Failure != "":
			case p.Peer == nanoName:
				nano = p.TotalMicros
			case p.Peer == nginxName:
				nginx = p.TotalMicros
			}
		}
	}
	if nano > 0 && nginx > 0 {
		t.Measured = fmt.Sprintf("%.2f × (%.2f µs against %.2f)", nano/nginx, nano, nginx)
		t.Verdict = verdict(nano <= s.NginxTarget*nginx)
	}
	return t
}

func (r *results) judgeEchoes() target {
	t := target{Text: "WebSocket echo: messages per second of CPU ≥ the best peer's", Verdict: notMeasured}
	var nano, best float64
	var bestPeer string
	for _, one := range r.WebSockets {
		rate := one.perCPUSecond()
		switch {
		case one.Failure != "" || len(one.Rounds) == 0 || one.Peer == otherName:
		case one.Peer == nanoName:
			nano = rate
		case rate > best:
			best, bestPeer = rate, one.Peer
		}
	}
	if nano > 0 && best > 0 {
		t.Measured = fmt.Sprintf("%.2f × %s (%s against %s)", nano/best, bestPeer, thousands(int64(nano)), thousands(int64(best)))
		t.Verdict = verdict(nano >= best)
	}
	return t
}

func (r *results) judgeIdleSockets() target {
	t := target{Text: fmt.Sprintf("%s idle WebSockets: the process in ≤ %s", thousands(idleWebSockets), megabytes(idleSocketsMost)), Verdict: notMeasured}
	for _, one := range r.WebSockets {
		idle := one.Idle
		if one.Peer != nanoName || idle.Count != idleWebSockets {
			continue
		}
		t.Measured = fmt.Sprintf("%s, %s before; %d alive", megabytes(idle.After.RSS), megabytes(idle.Before.RSS), idle.Alive)
		t.Verdict = verdict(idle.After.RSS <= idleSocketsMost && idle.Alive == idle.Count && idle.Failure == "")
	}
	return t
}

// judgeGiga judges the transfer that took most memory.
func (r *results) judgeGiga() target {
	t := target{Text: fmt.Sprintf("a body of 1 GB in each direction, also with a slow client: ≤ %s more memory", megabytes(bodyExtraMost)), Verdict: notMeasured}
	most, measured, failed := int64(math.MinInt64), 0, ""
	worst := ""
	for _, one := range r.Giga {
		switch {
		case one.Peer != nanoName:
		case one.Failure != "" || len(one.Rounds) == 0:
			failed = one.Title
		case one.Rounds[0].Bytes != gigaSize && one.Transfer != "slowdown" && one.Transfer != "slowproduce": // a quick run
		default:
			measured++
			if one.extra() > most {
				most, worst = one.extra(), one.Title
			}
		}
	}
	if measured > 0 || failed != "" {
		t.Measured = fmt.Sprintf("at most %s (%s)", megabytes(max(most, 0)), worst)
		if failed != "" {
			t.Measured += "; failed: " + failed
		}
		t.Verdict = verdict(failed == "" && most <= bodyExtraMost)
	}
	return t
}

// judgePending judges the round that left most memory behind.
func (r *results) judgePending() target {
	t := target{Text: fmt.Sprintf("%s pending fetches: all answered, memory back to ≤ %s more", thousands(pendingFetches), megabytes(pendingKeptMost)), Verdict: notMeasured}
	if r.Pending == nil || r.Pending.Fetches != pendingFetches || len(r.Pending.Rounds) == 0 {
		return t
	}
	holds, worst := len(r.Pending.Rounds) == pendingTries, pendingRound{}
	for _, round := range r.Pending.Rounds {
		holds = holds && round.Answered == pendingFetches && round.After-round.Before <= pendingKeptMost
		if round.After-round.Before >= worst.After-worst.Before {
			worst = round
		}
	}
	last := r.Pending.Rounds[len(r.Pending.Rounds)-1]
	t.Measured = fmt.Sprintf("%s before, %s at the peak, %s afterwards; in the last round %s before, %s afterwards", megabytes(worst.Before),
		megabytes(worst.Peak), megabytes(worst.After), megabytes(last.Before), megabytes(last.After))
	t.Verdict = verdict(holds)
	return t
}
