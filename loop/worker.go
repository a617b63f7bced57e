package loop

import (
	"errors"
	"fmt"
	"time"

	"nano/hostcall"
	"nano/isolates"
)

// Shard makes the isolates of one loop. All calls come from the loop's thread.
type Shard interface {
	// Start makes the isolate of the app with that id and runs the app's top level in it. An error that is a
	// NotReady says that it cannot be done yet, and asks to be called again.
	Start(app int) (Worker, error)
	// Version is the version that Start has found, for an app whose App.Version is not known before; "": unknown.
	Version(app int) string
	// Prepare does a small piece of work that makes later starts faster, when the loop has nothing
	// else to do. False: nothing is left to do, until the next Start or Dispose.
	Prepare() bool
	// Close frees what the shard holds, after the last of its isolates was disposed of.
	Close()
}

// NotReady is an error of Shard.Start: what the app is started from is not there yet, and the loop must not wait
// for it, because its other apps would wait, too.
type NotReady interface {
	error
	// Then has ready called once, when Start is worth another call or will never be, by any goroutine, perhaps
	// at once. ready does not block.
	Then(ready func())
}

// Worker is one app's isolate on a loop. All calls come from the loop's thread.
type Worker interface {
	// AddRequest stages a request for the next Turn. It copies what it needs.
	AddRequest(*isolates.Request)
	// AddScheduled stages a firing of a cron trigger, which is answered as a request with this id is: with
	// status 200, or 500 if scheduled() failed. timeMS is when it was due, since 1970.
	AddScheduled(id uint32, logID uint64, cron []byte, timeMS int64)
	// AddTimer stages that the timer of a KindTimerSet record is due.
	AddTimer(id uint32)
	// AddSent stages that the last chunk of a streaming response has left.
	AddSent(id uint32)
	// AddGone stages that nobody waits for the rest of the answer to a request: its client is
	// gone, or was answered at the wall limit. Its life still ends with the record that would
	// have ended it (KindRespond, KindEnd, KindSettled).
	AddGone(id uint32)
	// AddResponse stages the head of the answer to a fetch. Like all that follow it copies what it needs.
	AddResponse(*isolates.Response)
	// AddData stages bytes of the read side of a handle, or a message.
	AddData(handle int32, data []byte, kind isolates.DataKind)
	// AddEnd stages the end of the read side of a handle, or with a fault that of all of it.
	AddEnd(handle int32, fault isolates.Fault, text []byte)
	// AddClosed stages the end of a WebSocket.
	AddClosed(handle int32, code uint16, reason []byte, clean bool)
	// AddWritten stages that the last KindWrite of a handle was taken: the next may come.
	AddWritten(handle int32)
	// AddOpened stages that a socket is open: "remote address\nlocal address", or for a WebSocket
	// "protocol\nextensions".
	AddOpened(handle int32, text []byte)
	// NewWork prepares the call that a KindOpen record of WhatHost asks for.
	NewWork(*isolates.Record) (*hostcall.Work, error)
	// AddWork stages the outcome of a work that has run; nothing more comes for its handle.
	AddWork(handle int32, work *hostcall.Work)
	// Expect says that the worker's turn comes next, after that of another one.
	Expect()
	// Turn is the crossing: everything staged goes in, microtasks drain. After an error the
	// isolate is dead: the records of the turn are still taken with Next, then it is disposed
	// of and replaced at the next request. The error may be a Failure.
	Turn() error
	// Unfinished reports that the last turn stopped after its share of time: what it did not get
	// to is still staged, and the worker wants another turn in the next tick.
	Unfinished() bool
	// Next gives the records of the last turn, one by one, in views valid until the next turn.
	Next() (*isolates.Record, bool)
	// HasTasks reports that V8 posted foreground tasks, to be run by a turn. Their poster
	// writes to the loop's eventfd.
	HasTasks() bool
	// TaskDeadline is how long it is until V8's next delayed task.
	TaskDeadline() (time.Duration, bool)
	// CPU is the CPU time of all turns so far.
	CPU() time.Duration
	// Resident estimates how many bytes of memory the isolate costs, heap and off-heap, as of
	// some turn ago. Cheap: it is asked after every turn.
	Resident() int64
	// Heap measures what the isolate holds, for reports.
	Heap() isolates.HeapStats
	// Prepare does a small piece of work that has no hurry, when the loop has nothing else to do:
	// it makes contexts for later requests, disposes of old ones, collects garbage. False: nothing
	// is left to do, until the next turn.
	Prepare() bool
	// WantsPrepare reports that Prepare may have something to do. Cheap: it is asked after every turn, so that
	// a loop with little to do does not wake up for nothing after each request.
	WantsPrepare() bool
	// ShrinkAfter is for how long the isolate is to have had nothing in hand before Shrink is worth it; 0: it is
	// not. One of few values. Cheap.
	ShrinkAfter() time.Duration
	// Shrink gives back what requests have left, in some milliseconds. Resident is less afterwards.
	Shrink()
	// Started tells what the isolate was started from, and how long it took.
	Started() isolates.Start
	// Dispose frees the isolate.
	Dispose()
}

// A Failure is an error of Turn that says how to answer the requests that were in the isolate.
// Other errors are answered with status 500.
type Failure interface {
	error
	// Status is the HTTP status, such as 503.
	Status() int
	// NanoError is the value of the nano-error header, such as "memory-limit", or "".
	NanoError() string
}

// appWorker is an app on a loop: its isolate, if there is one, and what concerns it.
type appWorker struct {
	app     int // its id
	shared  *sharedApp
	name    string
	version string
	logRate int
	maxBody int64
	wall    *timeoutList
	files   *appFiles // that are served before the app is asked; nil: none

	isolate     Worker // nil: none yet, or it sleeps, or it died
	life        uint32 // of the isolate: numbered through for all isolates of the loop
	isRunnable  bool   // on loop.runnable or loop.unfinished
	exchanges   *exchange
	handles     *handle
	handlesOpen int   // they keep the isolate awake, as exchanges do
	inHand      int   // of exchanges
	held        int   // it does not fall asleep by itself, see profile.go
	endpoints   int   // sockets that are open for it
	works       int   // that Go computes for it
	timers      int   // of the isolate
	passes      uint8 // of the last request

	// See shard.go and budget.go.
	isWaking     bool      // on loop.waking, or isPreparing
	isPreparing  bool      // it comes there when its shard has called ready
	waiting      []uint32  // exchanges whose requests wait for the start
	wakers       []*change // for them, too
	isUnprepared bool      // on loop.unprepared
	isRetired    bool      // to sleep when it is idle
	sleep        timeoutNode
	cost         int64 // of the isolate, in bytes
	costBefore   int64 // of the one before it; 0: there was none

	turn        uint64    // the loop's count of turns at the last one of the isolate
	counts      AppCounts // but for Requests: load.count
	heap        *heapSeen // of isolate; nil: nobody has asked for it
	cpuBefore   time.Duration
	paused      time.Duration // of the isolate, as the clock has heard of it
	concurrency *concurrency

	taskDeadline int64 // of V8's next delayed task, or never

	load appLoad

	retryAt    int64  // no isolate is made before, since the last attempt failed; 0: it did not
	failure    string // what clients are told
	failStatus int    // and the status
	startError error  // why

	// See removal.go.
	removal *change // by which the loop is to forget it; nil: it stays
	isCut   bool    // and without waiting for anything
}

// wantTurn gives w's isolate a turn in this tick, or the next one if the turns have begun.
func (l *Loop) wantTurn(w *appWorker) {
	if !w.isRunnable {
		w.isRunnable = true
		l.runnable = append(l.runnable, w)
	}
}

// takeTurns gives one turn to every isolate that has work, and acts on what comes out. Of those whose
// last turn was cut short one gets the next, after all others: an app with much to do costs each other
// app no more than one share of time per tick.
func (l *Loop) takeTurns() {
	l.running, l.runnable = l.runnable, l.running[:0]
	if len(l.unfinished) != 0 {
		l.running = append(l.running, l.unfinished[0])
		last := copy(l.unfinished, l.unfinished[1:])
		l.unfinished[last] = nil
		l.unfinished = l.unfinished[:last]
	}
	for i, w := range l.running {
		l.running[i] = nil
		w.isRunnable = false
		if w.isolate == nil {
			continue
		}
		l.expectAfter(i)
		l.stats.Turns++
		w.turn = l.stats.Turns
		err := w.isolate.Turn()
		if l.options.Debugged {
			l.standStill(w)
		}
		answers := 0
		for record, ok := w.isolate.Next(); ok; record, ok = w.isolate.Next() {
			if record.Kind == isolates.KindRespond {
				if answers == 0 {
					l.readClock() // once for all answers of the turn: their latency, and the length of the tick
				}
				answers++
			}
			if l.options.Developer != nil {
				l.noteUncaught(record)
			}
			l.act(w, record)
		}
		if err != nil {
			l.readClock()
			l.replace(w, err)
			l.diedLong(w, err)
			continue
		}
		l.noteTurn(w, answers)
		if w.isolate.Unfinished() {
			w.isRunnable = true
			l.unfinished = append(l.unfinished, w)
		}
		l.noteTaskDeadline(w)
		l.noteResident(w)
		l.noteUnprepared(w)
	}
	l.running = l.running[:0]
}

// forgottenAfter is after how many turns of others hardly anything of an isolate is left in the caches of the core.
const forgottenAfter = 24

// expectAfter says to the worker whose turn comes after that of l.running[i] that it does.
func (l *Loop) expectAfter(i int) {
	if i+1 < len(l.running) {
		l.expect(l.running[i+1])
	}
}

// expect says to the isolate of w, unless it has run lately, that its turn is next.
func (l *Loop) expect(w *appWorker) {
	if w.isolate != nil && l.stats.Turns-w.turn >= forgottenAfter {
		w.isolate.Expect()
	}
}

// act does what one record asks for.
func (l *Loop) act(w *appWorker, record *isolates.Record) {
	switch record.Kind {
	case isolates.KindTimerSet:
		// From now, not from the start of the tick: a timer must not be early.
		l.timers.set(w, record.ID, l.readClock()+int64(max(record.Delay, 0)))
		return
	case isolates.KindTimerClear:
		l.timers.clear(timerKey{life: w.life, id: record.ID})
		return
	case isolates.KindOpen:
		l.openObject(w, record)
		return
	case isolates.KindRead, isolates.KindCancel, isolates.KindWrite, isolates.KindFinish:
		l.actOnHandle(w, record)
		return
	case isolates.KindLog:
		if record.Level == isolates.LevelUncaught {
			w.counts.Uncaught++
		}
		l.logRecord(w, record)
		return
	}
	e := l.exchanges.lookup(record.ID, w)
	if e == nil {
		l.freeBlock(record.Block)
		l.stats.StrayRecords++
		return
	}
	switch record.Kind {
	case isolates.KindRespond:
		l.respond(e, record)
	case isolates.KindChunk:
		l.respondChunk(e, record)
	case isolates.KindEnd:
		l.respondEnd(e, record)
	case isolates.KindSettled:
		if e.pending {
			e.pending = false
			l.pendingWork--
			l.workerDone(e)
		}
	}
}

// noteTaskDeadline keeps the timer for V8's delayed tasks in step.
func (l *Loop) noteTaskDeadline(w *appWorker) {
	delay, ok := w.isolate.TaskDeadline()
	if !ok {
		if w.taskDeadline != never {
			w.taskDeadline = never
			l.timers.clear(timerKey{life: w.life, id: taskTimer})
		}
		return
	}
	if deadline := l.readClock() + int64(max(delay, 0)); w.taskDeadline == never || deadline < w.taskDeadline ||
		deadline > w.taskDeadline+int64(time.Millisecond) {
		w.taskDeadline = deadline
		l.timers.set(w, taskTimer, deadline)
	}
}

// pumpTasks gives a turn to the isolates for which V8 has posted tasks, after a wake-up.
func (l *Loop) pumpTasks() {
	for _, w := range l.apps {
		if w != nil && w.isolate != nil && w.isolate.HasTasks() {
			l.wantTurn(w)
		}
	}
}

// replace disposes of an isolate that is dead. The requests that were in it are answered; nothing of
// it reaches any other app. The next request makes a new one.
func (l *Loop) replace(w *appWorker, cause error) {
	status, nanoError := 500, ""
	var failure Failure
	if errors.As(cause, &failure) {
		status, nanoError = failure.Status(), failure.NanoError()
	}
	l.logAbout(w, isolates.LevelError, fmt.Appendf(nil, "isolate replaced: %v", cause))
	l.stats.Replaced++
	text := "nano: " + w.name + ": isolate failed"
	if nanoError != "" {
		text = "nano: " + w.name + ": " + nanoError
	}
	w.counts.Deaths++
	l.endAll(w, status, nanoError, text)
}

// endAll disposes of an app's isolate, if there is one, whatever it has in hand. Its requests are answered.
func (l *Loop) endAll(w *appWorker, status int, nanoError, text string) {
	isolate := w.isolate
	l.dropHandles(w)
	if isolate != nil {
		l.forgetIsolate(w)
	}
	for e := w.exchanges; e != nil; e = w.exchanges {
		if e.waiting != nil { // for the start
			l.giveCollector(e.waiting)
			e.waiting = nil
		}
		if e.pending {
			l.pendingWork--
		}
		e.ended, e.pending = true, false
		if c := e.connection; c != nil && !e.answered {
			w.counts.died(nanoError)
			l.answerError(e, status, nanoError, text)
		} else if c != nil && e.streaming && !e.complete {
			l.breakStream(e)
			l.pump(c)
		} else if e.caller != nil {
			l.loseCall(e, status, nanoError, text)
		}
		l.workerDone(e)
	}
	if isolate != nil {
		isolate.Dispose()
	}
}
