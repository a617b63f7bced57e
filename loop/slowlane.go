package loop

import (
	"errors"
	"fmt"
	"time"

	"nano/isolates"
)

// While an isolate takes its turn, everything else on its loop waits. Most turns take microseconds,
// and a turn of many requests is cut; but one request may compute until its CPU limit, or grow until its
// heap limit. An app that does so again and again beside others is put into
// the slow lane for a time: a second loop beside its home, with a thread of its own, between which and
// the others the kernel's scheduler preempts. It is served there as it would be elsewhere, but in the
// time that the home leaves.
//
// The same word that places an app puts it there and back, and connections go there by the same moves.

// lane is what a loop knows of an app with long turns.
type lane struct {
	debt   int64 // ns of long work that count still
	debtAt int64

	isWaiting bool  // for the slow loop to be made
	isSlow    bool  // on Loop.slowed
	until     int64 // on the loop's clock: then it comes back
	length    int64 // of its last time there, in ns
}

const (
	// A turn of longTurn for each request that it answered is long.
	longTurn = int64(time.Millisecond)
	// Turns of heavyRequest for each request that came, on the average of a window, are long as well.
	heavyRequest = int64(300 * time.Microsecond)
	// Of an app whose requests are cheaper, but cost crowdingRequest with all that the loop does for them,
	// 1/crowdingPart counts: that is too much from 40 % of a loop's time on, and after some seconds.
	crowdingRequest = int64(30 * time.Microsecond)
	crowdingPart    = 16
	// longWorkMax is the long work that is too much: once, or before debtDecay has worn it off.
	longWorkMax = int64(20 * time.Millisecond)
	// A start from longStart on is long: an app that has a snapshot needs less.
	longStart    = int64(5 * time.Millisecond)
	longStartMax = longWorkMax * 3 / 4
	debtDecay    = 40 // 1/40 of the time that passes: 25 ms a second
	debtMax      = 2 * longWorkMax

	// The first time in the slow lane, and the longest; each within slowMemory of the one before
	// takes twice as long.
	slowFirst  = int64(10 * time.Second)
	slowMax    = int64(10 * time.Minute)
	slowMemory = int64(10 * time.Minute)

	// neighbourTime is for how long an app counts as a neighbour after its last turn.
	neighbourTime = int64(5 * time.Second)
)

// neighbours are the two apps that took turns last, so that there is always one that another can
// look at.
type neighbours struct {
	last, previous     *appWorker
	lastAt, previousAt int64
}

// note is called for each turn.
func (n *neighbours) note(w *appWorker, now int64) {
	if n.last != w {
		n.previous, n.previousAt = n.last, n.lastAt
		n.last = w
	}
	n.lastAt = now
}

// has reports whether any app but w has taken turns lately.
func (n *neighbours) has(w *appWorker, now int64) bool {
	if n.last != nil && n.last != w {
		return now-n.lastAt < neighbourTime
	}
	return n.previous != nil && now-n.previousAt < neighbourTime
}

// longWork accounts for work of ns that held up everything else, and puts its app into the slow lane
// if that was too much.
//
// In the slow lane it is the reason to stay.
func (l *Loop) longWork(w *appWorker, ns int64) {
	lane := &w.load.lane
	lane.debt = max(lane.debt-(l.now-lane.debtAt)/debtDecay, 0) + ns
	lane.debt = min(lane.debt, debtMax) // what it did alone here must not count for long
	lane.debtAt = l.now
	switch {
	case lane.debt < longWorkMax:
	case l.isSlow():
		lane.debt = 0
		w.shared.slowAt.Store(l.since())
	default:
		l.slowDown(w)
	}
}

// reviewHeavy accounts for apps none of whose turns need be long: for requests that cost much though
// several fit into a turn of longTurn; for work that answers no request, such as that of timers; and for
// apps that take most of the loop's time.
func (l *Loop) reviewHeavy() {
	for _, w := range l.meter.active {
		load := &w.load
		requests := max(load.requests, 1)
		switch {
		case load.cpu >= heavyRequest*requests:
			if load.cpu > load.long {
				l.longWork(w, load.cpu-load.long)
			}
		case load.time >= crowdingRequest*requests && load.long == 0:
			l.longWork(w, load.time/crowdingPart)
		}
	}
}

// startedLong accounts for the start of an isolate. A single one is forgiven, however long: the next
// requests find the app awake.
func (l *Loop) startedLong(w *appWorker, ns int64) {
	if ns >= longStart {
		l.longWork(w, min(ns, longStartMax))
	}
}

// diedLong accounts for the death of an isolate: by a limit, it is long work.
func (l *Loop) diedLong(w *appWorker, cause error) {
	var failure Failure
	if errors.As(cause, &failure) && failure.NanoError() != "" {
		l.longWork(w, longWorkMax)
	}
}

// slowDown puts an app into the slow lane beside this loop, if there are others here that it disturbs. Where somebody
// develops, a start from source after each save is no sign of what the app costs, and a second thread of no use.
func (l *Loop) slowDown(w *appWorker) {
	p := l.placement
	lane := &w.load.lane
	if l.draining || l.options.Developer != nil || p.needSlow == nil || lane.isWaiting || !l.neighbours.has(w, l.now) {
		return
	}
	if p.seats[p.loops+l.seat].loop.Load() == nil {
		lane.isWaiting = true
		l.waitingForSlow = append(l.waitingForSlow, w)
		p.needSlow(l.seat)
		return
	}
	where := l.whereIs(w)
	if where&slowBit != 0 || where != 0 && where&l.seatMask != l.seatBits ||
		!p.change(w.shared, where, servedSlow(l.seat)) {
		return
	}
	lane.debt = 0
	if lane.length == 0 || l.now-lane.until > slowMemory {
		lane.length = slowFirst
	} else {
		lane.length = min(2*lane.length, slowMax)
	}
	lane.until = l.now + lane.length
	if !lane.isSlow {
		lane.isSlow = true
		l.slowed = append(l.slowed, w)
	}
	l.reviewSlowedAt = min(l.reviewSlowedAt, lane.until)
	l.stats.Slowed++
	l.logSlow(w)
	l.retire(w)
}

func (l *Loop) logSlow(w *appWorker) {
	l.logAbout(w, isolates.LevelWarn, fmt.Appendf(nil,
		"in the slow lane for %v: what it computes held up other apps", time.Duration(w.load.lane.length)))
}

// slowReady puts the apps into the slow lane that were waiting for it to be there.
func (l *Loop) slowReady() {
	for i, w := range l.waitingForSlow {
		l.waitingForSlow[i] = nil
		w.load.lane.isWaiting = false
		l.slowDown(w)
	}
	l.waitingForSlow = l.waitingForSlow[:0]
}

// reviewSlowed lets apps out of the slow lane whose time is up, unless they have gone on as before
// and there are still others here.
func (l *Loop) reviewSlowed() {
	p := l.placement
	l.reviewSlowedAt = never
	kept := l.slowed[:0]
	for _, w := range l.slowed {
		lane := &w.load.lane
		if lane.until > l.now {
			l.reviewSlowedAt = min(l.reviewSlowedAt, lane.until)
			kept = append(kept, w)
			continue
		}
		slowAt := w.shared.slowAt.Load()
		if slowAt != 0 && l.since()-slowAt < lane.length/2 && l.neighbours.has(w, l.now) {
			lane.length = min(2*lane.length, slowMax)
			lane.until = l.now + lane.length
			l.reviewSlowedAt = min(l.reviewSlowedAt, lane.until)
			l.logSlow(w)
			kept = append(kept, w)
			continue
		}
		where := l.whereIs(w)
		if where&slowBit != 0 && homeOf(where) == l.seat && p.change(w.shared, where, servedBy(l.seat)) {
			l.post(p.loops+l.seat, message{kind: messageRetire, app: w.shared})
		}
		lane.isSlow = false
	}
	clear(l.slowed[len(kept):])
	l.slowed = kept
}
