package loop

import (
	"errors"
	"slices"
	"time"

	"nano/http1"
	"nano/isolates"
)

// An app is, on a loop:
//
//   - cold: it has no isolate here.
//   - waking: requests for it have come and wait, copied, for the one start of its isolate. Starts
//     have a phase of their own at the end of a tick, one start each, after what the tick has to
//     send was submitted: however many apps wake up at once, requests for warm ones wait for one
//     start at most. If what it is started from has to be fetched first (NotReady), that is waited
//     for without holding up the loop; meanwhile the requests that wait may reach their limits.
//   - warm and busy: it has requests in hand (those whose client is gone and those with waitUntil
//     work count), and is left alone.
//   - warm and idle: it lies on timeouts.sleep, in the order in which apps became idle, which is the
//     order of least recent use. From there it falls asleep when its time is up, or before if the
//     budget of memory (budget.go) says so.
//
// Falling asleep disposes of the isolate, and its timers go with it: an app that only waits for its
// own timers does not stay awake for them.

// shardState is what a loop keeps for the isolates that it has.
type shardState struct {
	waking     []*appWorker // their start is due, in order
	unfinished []*appWorker // their last turn was cut short
	unprepared []*appWorker // their isolates may have work for an idle loop
	retired    []*appWorker // to sleep as soon as they are idle

	warm         int   // isolates
	resident     int64 // of all isolates, in bytes
	sleptAt      int64 // when an app was put to sleep under load
	wantsPrepare bool  // the shard may have work for an idle loop
	wantsRoom    bool  // there is more to evict
	isResting    bool  // the last tick had nothing to do

	shrink timeoutNode // for the next look at heaps that a burst has swollen
}

// wake keeps a request until its app has started. gathered is what its head and body lie in, or nil.
// It reports whether it keeps gathered.
func (l *Loop) wake(w *appWorker, e *exchange, r *isolates.Request, gathered *collector) (kept bool) {
	kept = gathered != nil
	if !kept {
		gathered = l.takeCollector()
		gathered.head = l.buffers.append(nil, r.Head)
		if r.Body != nil {
			gathered.body = l.buffers.append(nil, r.Body)
		}
	}
	e.waiting = gathered
	if w.isPreparing && len(w.waiting) == cap(w.waiting) {
		l.dropEnded(w)
	}
	w.waiting = append(w.waiting, e.id)
	l.wantStart(w)
	return kept
}

// wantStart has an app's isolate started, unless that is due already.
func (l *Loop) wantStart(w *appWorker) {
	if !w.isWaking {
		w.isWaking = true
		l.waking = append(l.waking, w)
	}
}

// dropEnded forgets requests that do not wait any more for an app that takes long, and makes room for as many
// as are left, so that this comes the less often the less it helps.
func (l *Loop) dropEnded(w *appWorker) {
	w.waiting = slices.DeleteFunc(w.waiting, func(id uint32) bool {
		e := l.exchanges.lookup(id, w)
		return e == nil || e.waiting == nil
	})
	w.waiting = slices.Grow(w.waiting, len(w.waiting)+1)
}

// startNext starts the app that has waited for longest, and stages the requests that waited for it.
func (l *Loop) startNext() error {
	w := l.waking[0]
	last := copy(l.waking, l.waking[1:])
	l.waking[last] = nil
	l.waking = l.waking[:last]
	w.isWaking = false
	if w.inHand == 0 && len(w.wakers) == 0 { // their clients are gone
		w.waiting = w.waiting[:0]
		return nil
	}
	// What this tick has to send need not wait for the start.
	if err := l.ring.Enter(false, 0); err != nil {
		return err
	}
	started := w.isolate != nil
	if !started {
		var notReady NotReady
		if started, notReady = l.startIsolate(w); notReady != nil {
			l.startWhenReady(w, notReady)
			return nil
		}
	}
	for _, id := range w.waiting {
		if e := l.exchanges.lookup(id, w); e != nil && e.waiting != nil {
			l.endWaiting(w, e, started)
		}
	}
	w.waiting = w.waiting[:0]
	if len(w.wakers) != 0 {
		l.woken(w, started)
	}
	return nil
}

// woken tells those who wanted an app to be awake, without a request.
func (l *Loop) woken(w *appWorker, started bool) {
	if !started {
		l.tellWakers(w, w.startError)
		return
	}
	l.tellWakers(w, nil)
	if w.isIdle() {
		l.noteIdle(w)
	}
}

// endWaiting stages a request that waited for its app's start, or answers it if the start failed.
func (l *Loop) endWaiting(w *appWorker, e *exchange, started bool) {
	gathered := e.waiting
	e.waiting = nil
	switch {
	case !started:
		e.ended = true
		w.counts.StartFailures++
		l.answerError(e, w.failStatus, "", w.failure)
		l.workerDone(e)
	case l.head.Parse(gathered.head, http1.MaxHeadLength) != nil:
		panic("loop: a head that was parsed before is malformed")
	default:
		l.stage(w, e, l.describe(e, l.head, gathered.head, gathered.body))
	}
	l.giveCollector(gathered)
}

// tendShard is the last phase of a tick.
func (l *Loop) tendShard() error {
	if len(l.leaving) != 0 {
		l.tendLeaving()
	}
	l.keepBudget()
	l.sleepUnderLoad()
	if len(l.reports) != 0 {
		l.fillReports()
	}
	if len(l.visits) != 0 {
		l.receiveVisit()
	}
	if len(l.waking) != 0 {
		return l.startNext()
	}
	if l.isResting && !l.isBusy() && l.hasIdleWork() {
		l.doIdleWork()
	}
	return nil
}

// An attempt to make an isolate that failed is repeated after startRetry, or after startRetryFactor
// times what it took: an app that does nothing but compute while it starts must not hold up the
// other apps of the loop again and again.
const (
	startRetry       = int64(time.Second)
	startRetryFactor = 64
)

// startIsolate makes the isolate of an app at its first request, or after the last one died.
// A start that is to be tried again, when notReady says so, has not failed.
func (l *Loop) startIsolate(w *appWorker) (started bool, notReady NotReady) {
	begun := l.readClock()
	if begun < w.retryAt {
		return false, nil
	}
	l.makeRoom(w.costThen())
	isolate, err := l.shard.Start(w.app)
	for evicted := 0; errors.Is(err, isolates.ErrNoRoom) && evicted < evictionsForRoom && l.evictOldest(); evicted++ {
		isolate, err = l.shard.Start(w.app)
	}
	l.learnVersion(w)
	l.wantsPrepare = true
	if errors.As(err, &notReady) {
		return false, notReady
	}
	l.startedLong(w, l.readClock()-begun)
	if err != nil {
		ended := l.readClock()
		w.retryAt = ended + max(startRetry, startRetryFactor*(ended-begun))
		w.failure, w.failStatus, w.startError = "nano: "+w.name+": failed to start", 500, err
		if errors.Is(err, isolates.ErrNoRoom) {
			w.failure, w.failStatus = "nano: "+w.name+": the node has no room for it", 503
			w.retryAt = ended + startRetry
		}
		l.logAbout(w, isolates.LevelError, []byte(err.Error()))
		return false, nil
	}
	w.isolate, w.retryAt = isolate, 0
	w.paused = 0
	if l.options.Debugged {
		l.standStill(w)
	}
	w.load.cpuSeen = 0
	w.taskDeadline = never
	w.isRetired = false
	l.lives++
	w.life = l.lives
	l.warm++
	w.counts.started(isolate.Started())
	l.noteResident(w)
	l.noteUnprepared(w)
	return true, nil
}

// startWhenReady has an app started as soon as that is possible, if somebody still waits for it then.
func (l *Loop) startWhenReady(w *appWorker, notReady NotReady) {
	w.isWaking, w.isPreparing = true, true
	app := w.shared
	notReady.Then(func() { l.mailbox.Post(message{kind: messageReady, app: app}) })
}

// becomeReady is startWhenReady's end. An app that was removed meanwhile is not known any more.
func (l *Loop) becomeReady(app *sharedApp) {
	w := l.known(app)
	if w == nil || !w.isPreparing {
		return
	}
	w.isPreparing = false
	l.waking = append(l.waking, w)
}

// learnVersion asks for the version of an app that was not read before its start.
func (l *Loop) learnVersion(w *appWorker) {
	if w.version != "" {
		return
	}
	if version := l.shard.Version(w.app); version != "" {
		w.version = version
		w.shared.found.Store(&version)
	}
}

// Idle apps

// isIdle reports that an app has nothing in hand: neither requests nor open handles.
func (w *appWorker) isIdle() bool { return w.inHand == 0 && w.handlesOpen == 0 }

// noteIdle is called when an app has nothing in hand any more.
func (l *Loop) noteIdle(w *appWorker) {
	if w.isolate == nil || w.held != 0 || l.options.Debugged { // a debugger looks at it, whatever the memory
		return
	}
	l.timeouts.sleep.start(&w.sleep, l.now)
	l.tendHeaps(w)
	if w.isRetired {
		l.retired = append(l.retired, w)
	}
}

// noteBusy is called when an app has something in hand again.
func (l *Loop) noteBusy(w *appWorker) {
	w.sleep.stop()
	w.isRetired = false // it is wanted here after all
}

// retire puts an app to sleep as soon as it has nothing in hand, if no request for it comes before:
// it lives elsewhere from now on.
func (l *Loop) retire(w *appWorker) {
	if w.isolate == nil || w.isRetired {
		return
	}
	w.isRetired = true
	if w.isIdle() {
		l.retired = append(l.retired, w)
	}
}

// sleep disposes of the isolate of an app that has nothing in hand.
func (l *Loop) sleep(w *appWorker) {
	if !w.isIdle() {
		panic("loop: an app with requests in hand put to sleep")
	}
	isolate := w.isolate
	l.forgetIsolate(w)
	isolate.Dispose()
}

// forgetIsolate ends all that the loop has for an isolate that is about to be disposed of.
func (l *Loop) forgetIsolate(w *appWorker) {
	w.cpuBefore += w.isolate.CPU()
	w.isolate, w.heap, w.passes = nil, nil, 0 // nobody stages anything with it any more
	w.sleep.stop()
	w.isRetired = false
	w.costBefore = w.cost
	l.resident -= w.cost
	w.cost = 0
	l.warm--
	l.wantsPrepare = true
	if w.timers != 0 {
		l.timers.clearWorker(w.life)
	}
	w.taskDeadline = never
}

// A loop under load puts an app to sleep that lives elsewhere by now, or whose time has been up for
// sleepLate, one every sleepPause; an idle one does it at once.
const (
	sleepLate  = int64(time.Second)
	sleepPause = int64(20 * time.Millisecond)
)

// sleepUnderLoad sees to it that apps fall asleep on a loop that is never idle, too: perhaps it is not
// because of the timers of the very app that was put into the slow lane.
func (l *Loop) sleepUnderLoad() {
	if l.now-l.sleptAt < sleepPause {
		return
	}
	if len(l.retired) != 0 {
		l.sleptAt = l.now
		l.sleepRetired()
		return
	}
	first := l.timeouts.sleep.first
	if first == nil || l.now-first.deadline < sleepLate {
		return
	}
	l.sleptAt = l.now
	w := first.owner.(*appWorker)
	w.counts.Sleeps++
	l.sleep(w)
}

// Work for an idle loop

// idlePause is for how long a loop waits for something to do before it turns to work that has no
// hurry. Requests that come one after the other leave gaps of a few dozen µs.
const idlePause = 100 * time.Microsecond

// noteUnprepared is called for an isolate that may have work for an idle loop.
func (l *Loop) noteUnprepared(w *appWorker) {
	if !w.isUnprepared && w.isolate.WantsPrepare() {
		w.isUnprepared = true
		l.unprepared = append(l.unprepared, w)
	}
}

// hasIdleWork reports whether an idle loop has something to do.
func (l *Loop) hasIdleWork() bool {
	return l.wantsPrepare || len(l.unprepared)+len(l.retired) != 0 ||
		l.timeouts.sleep.first != nil && l.timeouts.sleep.first.deadline <= l.now
}

// shrinkPause is the time between two isolates that are shrunk, so that even a loop with a thousand of them is not
// kept from requests for more than half a percent of its time.
const shrinkPause = 500 * time.Millisecond

// tendHeaps has the isolates looked at in a while if w's has grown.
func (l *Loop) tendHeaps(w *appWorker) {
	after := w.isolate.ShrinkAfter()
	if after == 0 || l.shrink.list != nil && l.shrink.deadline <= l.now+int64(after) {
		return
	}
	l.shrink.owner = (*heapShrink)(l)
	l.startTimeout(&l.shrink, after)
}

// heapShrink is a loop as who looks at the heaps of its isolates.
type heapShrink Loop

// timedOut implements waiter. It shrinks one isolate at a time, so that requests for others wait for no
// more than that. Those that are busy are looked at when they are idle.
func (s *heapShrink) timedOut(*timeoutNode) {
	l := (*Loop)(s)
	list, isDone := &l.timeouts.sleep, false
	for node := list.first; node != nil; node = node.next {
		w := node.owner.(*appWorker)
		after := w.isolate.ShrinkAfter()
		switch {
		case after == 0:
		case l.now-(node.deadline-list.duration) < int64(after):
			l.tendHeaps(w)
		case isDone:
			l.startTimeout(&l.shrink, shrinkPause)
			return
		default:
			w.isolate.Shrink()
			l.noteResident(w)
			isDone = true
		}
	}
}

// sleepRetired puts one of the retired apps to sleep, unless it is wanted here after all.
func (l *Loop) sleepRetired() {
	last := len(l.retired) - 1
	w := l.retired[last]
	l.retired[last] = nil
	l.retired = l.retired[:last]
	if w.isRetired && w.isIdle() && w.held == 0 && w.isolate != nil {
		w.counts.Retirements++
		l.sleep(w)
	}
}

// doIdleWork does one small piece of it. Between two pieces the loop looks for completions.
func (l *Loop) doIdleWork() {
	if len(l.retired) != 0 {
		l.sleepRetired()
		return
	}
	if node := l.timeouts.sleep.expired(l.now); node != nil {
		w := node.owner.(*appWorker)
		w.counts.Sleeps++
		l.sleep(w)
		return
	}
	if last := len(l.unprepared) - 1; last >= 0 {
		w := l.unprepared[0]
		if w.isolate != nil && w.isolate.Prepare() {
			l.noteResident(w)
			copy(l.unprepared, l.unprepared[1:])
			l.unprepared[last] = w
			return
		}
		if w.isolate != nil {
			l.noteResident(w)
		}
		w.isUnprepared = false
		l.unprepared[0] = l.unprepared[last]
		l.unprepared[last] = nil
		l.unprepared = l.unprepared[:last]
		return
	}
	if l.wantsPrepare {
		l.wantsPrepare = l.shard != nil && l.shard.Prepare()
	}
}
