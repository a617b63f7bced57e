package loop

import (
	"math/bits"
	"time"
)

// A loop takes stock of what loads it every loadWindow. That costs nothing on the way of a request:
// the time that the thread has used comes from the kernel, once per window; how it divides among the
// apps follows from what their isolates count anyway.
const loadWindow = int64(100 * time.Millisecond)

// Loads are in ‰ of a loop's time.
const (
	busyFull = 1000
	// From busyHigh on a loop looks for relief; what it does must not bring the other one there.
	busyHigh = 750
	// busyGap is how much less busy a loop must be to take something over.
	busyGap = 250
	// busyLow is what a home may have to do, with what another loop does for it, for that one to
	// leave the app to it.
	busyLow = 500

	// A loop must be overloaded for two windows, and after a change it waits for five, to see
	// what came of it.
	overloadedWindows = 2
	settlingWindows   = 5
	// idleTime is for how long a further loop waits with little to do until it stops serving an app.
	idleTime = int64(3 * time.Second)
	// reviewPause is how long a loop sleeps at most while it serves apps for others. It is so long
	// that a loop at work does not take it for a near deadline.
	reviewPause = 3 * loadWindow
)

// meter is what a loop knows of its load.
type meter struct {
	begun, end int64 // of this window, on the loop's clock
	number     uint32
	used       int64        // by the thread when it begun
	active     []*appWorker // those that took turns in this window

	overloaded int // windows
	settling   int // windows until the next change
	further    []*appWorker
}

// appLoad is what a loop knows of one app's share.
type appLoad struct {
	count   uint64 // requests so far
	cpuSeen int64  // CPU time of the isolate at its last turn

	window uint32 // the last one in which it took turns, and what it did there:
	cpu    int64  // ns in turns
	long   int64  // of them, ns that longWork has been told of
	begun  uint64 // count before it

	// Once it has ended:
	time     int64 // ns of the loop's
	share    int64 // the same in ‰
	requests int64 // that came

	isFurther bool  // on meter.further: this loop is not its home
	idleSince int64 // it could do without this loop, on the loop's clock

	lane lane
}

// needFurtherSlow asks for a slow loop beside the least busy loop that has none.
func (l *Loop) needFurtherSlow() {
	without := l.others()
	for i := range l.placement.loops {
		if l.placement.seats[l.lane+i].loop.Load() != nil {
			without &^= 1 << i
		}
	}
	if core := l.leastBusy(0, without); core >= 0 && l.placement.needSlow != nil {
		l.placement.needSlow(core)
	}
}

// noteTurn accounts for a turn of w's isolate, in which it answered a number of requests.
func (l *Loop) noteTurn(w *appWorker, answers int) {
	load := &w.load
	seen := load.cpuSeen
	load.cpuSeen = int64(w.isolate.CPU())
	took := load.cpuSeen - seen
	l.neighbours.note(w, l.now)
	if load.window != l.meter.number {
		l.noteActive(w)
	}
	load.cpu += took
	if took >= longTurn {
		l.readClock() // for the length of the tick
	}
	if took >= longTurn && took >= longTurn*int64(answers) {
		load.long += took
		l.longWork(w, took)
	}
}

// takeStock ends a window: it tells others how busy this loop was, and looks for relief if it was
// too busy.
func (l *Loop) takeStock() {
	m := &l.meter
	length := max(l.now-m.begun, 1)
	used := l.usage.read()
	time := min(max(used-m.used, 0), length)
	busy := time * busyFull / length
	l.publishLoad(busy)
	l.shareOut(time, length)
	l.reviewHeavy()
	if l.placement.loops > 1 && !l.draining {
		l.balance(busy)
	}
	for i := range m.active {
		m.active[i] = nil
	}
	m.active = m.active[:0]
	m.begun, m.end, m.used = l.now, l.now+loadWindow, used
	m.number++
	l.tendBuffers()
}

// shareOut divides the time of a window among the apps: to each what its turns took, and the rest,
// which went into connections and HTTP, in proportion to requests.
func (l *Loop) shareOut(time, length int64) {
	rest, requests := time, uint64(0)
	for _, w := range l.meter.active {
		rest -= w.load.cpu
		requests += w.load.count - w.load.begun
	}
	rest = max(rest, 0)
	for _, w := range l.meter.active {
		load := &w.load
		load.requests = int64(load.count - load.begun)
		load.time = load.cpu
		if requests != 0 {
			load.time += rest * load.requests / int64(requests)
		}
		load.share = load.time * busyFull / length
		load.begun = load.count
	}
}

// balance acts on how busy this loop was in the last window.
func (l *Loop) balance(busy int64) {
	m := &l.meter
	l.shedding = 0
	l.reviewFurther()
	if m.settling > 0 {
		m.settling--
	}
	if busy < busyHigh {
		m.overloaded = 0
		return
	}
	m.overloaded++
	if l.isSlow() && m.overloaded == overloadedWindows {
		l.needFurtherSlow()
	}
	to := l.leastBusy(l.lane, l.others())
	if to < 0 {
		return
	}
	room := busy - l.busy(l.lane+to)
	if room < busyGap {
		return
	}
	if m.overloaded >= overloadedWindows && m.settling == 0 && l.relieve(to, busy, room) {
		m.settling = settlingWindows
	}
	l.shed(to, busy, room)
}

// shed lets some connections go over to a less busy loop at their next request, if they ask for an app
// that is served there as well: as many as would level out half of the difference.
func (l *Loop) shed(to int, busy, room int64) {
	for _, w := range l.meter.active {
		if where := l.whereIs(w); where&l.seatMask == l.seatBits && where&(1<<to) != 0 {
			l.shedTo, l.shedding = to, int64(l.connections.open)*room/(2*busy)
			return
		}
	}
}

// relieve gives a less busy loop some of the load: a copy of the app that makes most of it, or if none
// does, the home of as many apps as would level out the difference. It reports whether it could.
func (l *Loop) relieve(to int, busy, room int64) bool {
	var largest *appWorker
	for _, w := range l.meter.active {
		if largest == nil || w.load.share > largest.load.share {
			largest = w
		}
	}
	if largest != nil && largest.load.share >= busy/2 {
		where := l.whereIs(largest)
		return where&l.seatMask == l.seatBits && where&(1<<to) == 0 &&
			l.placement.change(largest.shared, where, where|1<<to)
	}
	if l.isSlow() {
		return false // whoever is here goes home soon
	}
	level := room / 2
	for _, w := range l.meter.active {
		share := w.load.share
		if share == 0 || share > level {
			continue
		}
		if where := servedBy(l.seat); l.placement.change(w.shared, where, servedBy(to)) {
			level -= share
			l.retire(w)
		}
	}
	return level != room/2
}

// reviewFurther stops serving apps that live elsewhere, and whose homes have had room for them for
// some time. Of several loops the one with the highest number goes first.
func (l *Loop) reviewFurther() {
	m := &l.meter
	kept := m.further[:0]
	for _, w := range m.further {
		where := l.whereIs(w)
		home := homeOf(where)
		if where&l.seatMask != l.seatBits || home == l.core() {
			w.load.isFurther = false
			l.retire(w)
			continue
		}
		share := int64(0)
		if w.load.window == m.number {
			share = w.load.share
		}
		last := bits.Len64(where&loopsMask&^(1<<home)) - 1
		if l.busy(l.lane+home)+share > busyLow || last != l.core() {
			w.load.idleSince = l.now
		}
		if l.now-w.load.idleSince >= idleTime && l.placement.change(w.shared, where, where&^(1<<l.core())) {
			w.load.isFurther = false
			l.retire(w)
			continue
		}
		kept = append(kept, w)
	}
	clear(m.further[len(kept):])
	m.further = kept
}

func (l *Loop) whereIs(w *appWorker) uint64 { return w.shared.where.Load() }

// noteActive begins a window for an app.
func (l *Loop) noteActive(w *appWorker) {
	load := &w.load
	load.window, load.cpu, load.long = l.meter.number, 0, 0
	l.meter.active = append(l.meter.active, w)
	if l.placement.loops == 1 || load.isFurther {
		return
	}
	if where := l.whereIs(w); where&l.seatMask == l.seatBits && homeOf(where) != l.core() {
		load.isFurther, load.idleSince = true, l.now
		l.meter.further = append(l.meter.further, w)
	}
}
