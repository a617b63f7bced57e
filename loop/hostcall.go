package loop

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nano/hostcall"
	"nano/isolates"
)

// What an app has Go compute that takes long (internals.hostAsync) leaves the loop: the works of all loops wait
// for one of a few goroutines, each with a thread of its own that has little of the cores while loops want them.

// A hostWork is a call of Go by an app as an ioObject: there is nothing to read or write, but the outcome.
type hostWork struct {
	loop   *Loop
	worker *appWorker
	handle *handle // nil: nobody wants the outcome
	work   *hostcall.Work
	bytes  int // of its arguments
}

// openHostWork takes a KindOpen record of isolates.WhatHost.
func (l *Loop) openHostWork(h *handle, record *isolates.Record) ioObject {
	packed := *record
	packed.Body = bytes.Clone(record.Body)
	work, err := h.worker.isolate.NewWork(&packed)
	if err != nil {
		h.fail(newFault(isolates.FaultRefused, err.Error()))
		return nil
	}
	w := &hostWork{loop: l, worker: h.worker, handle: h, work: work, bytes: len(packed.Body)}
	if !l.options.works.add(w) {
		work.Drop()
		h.fail(newFault(isolates.FaultLimit, worksText))
		return nil
	}
	w.worker.works++
	return w
}

// read implements ioObject.
func (w *hostWork) read(int, bool) {}

// cancel implements ioObject.
func (w *hostWork) cancel(bool) {
	h := w.handle
	w.drop()
	h.release()
}

// write implements ioObject.
func (w *hostWork) write(*isolates.Record) {}

// finish implements ioObject.
func (w *hostWork) finish(*isolates.Record) {}

// body implements ioObject.
func (w *hostWork) body(bool) source { return nil }

// drop implements ioObject. The function may still run.
func (w *hostWork) drop() {
	w.handle = nil
	w.work.Cancel()
}

// run runs on a goroutine of the pool.
func (w *hostWork) run() {
	w.work.Run()
	if !w.loop.mailbox.Post(message{kind: messageWork, work: w}) {
		w.work.Drop()
	}
}

// workDone takes the outcome of a work that has run.
func (l *Loop) workDone(w *hostWork) {
	w.worker.works--
	w.worker.cpuBefore += w.work.CPU()
	h := w.handle
	if h == nil {
		w.work.Drop()
		return
	}
	h.stage().AddWork(h.key.number, w.work)
	h.release()
}

const (
	// worksMax bounds how many works of an app may wait, and worksBytes their arguments.
	worksMax   = 1024
	worksBytes = 64 << 20
	// worksText tells of both.
	worksText = "too many operations of the app wait to be computed: 1024 may, or as many as have 64 MiB of data"
	// workerRest is for how long a worker waits for work before its thread ends.
	workerRest = 10 * time.Second
	// workNice is the nice value of the workers' threads.
	workNice = slowNice
)

// workersMax is how many works run at once.
func workersMax() int { return min(max(runtime.NumCPU(), 2), 16) }

// workPool runs the works of all loops, those of one app in the order in which they came, and the apps in turn.
type workPool struct {
	mutex   sync.Mutex
	some    sync.Cond
	turns   []*sharedApp // apps with works that wait, the next one first
	waiting int          // works of all apps
	workers int
	resting int // of them, those that wait for work, though one may have been woken for it
	most    int
	giveWay func(works bool) // Options.GiveWay
}

// workQueue are the works of an app that wait.
type workQueue struct {
	works []*hostWork
	bytes int
}

func newWorkPool(most int, giveWay func(works bool)) *workPool {
	if giveWay == nil {
		giveWay = func(bool) {}
	}
	p := &workPool{most: most, giveWay: giveWay}
	p.some.L = &p.mutex
	return p
}

// add has a work run. False: too much of the app's waits already.
func (p *workPool) add(w *hostWork) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	app := w.worker.shared
	q := &app.works
	if len(q.works) >= worksMax || len(q.works) != 0 && q.bytes+w.bytes > worksBytes {
		return false
	}
	if len(q.works) == 0 {
		p.turns = append(p.turns, app)
	}
	q.works = append(q.works, w)
	q.bytes += w.bytes
	p.waiting++
	if p.waiting > p.resting && p.workers < p.most {
		p.workers++
		go p.serve()
	} else {
		p.some.Signal()
	}
	return true
}

// next takes the work whose turn it is; nil: there is none.
func (p *workPool) next() *hostWork {
	if len(p.turns) == 0 {
		return nil
	}
	app := p.turns[0]
	p.turns = slices.Delete(p.turns, 0, 1)
	q := &app.works
	w := q.works[0]
	q.works[0] = nil
	q.works = q.works[1:]
	q.bytes -= w.bytes
	p.waiting--
	if len(q.works) != 0 {
		p.turns = append(p.turns, app)
	} else {
		q.works = nil
	}
	return w
}

// serve is the life of a worker. Its goroutine ends locked to its thread, which ends with it: that has been made
// nice for ever.
func (p *workPool) serve() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), workNice) // failing, it only gets more of the cores
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for {
		w := p.next()
		if w == nil {
			if !p.rest() {
				p.workers--
				return
			}
			continue
		}
		p.mutex.Unlock()
		p.giveWay(true)
		w.run()
		p.giveWay(false)
		p.mutex.Lock()
	}
}

// rest waits until there may be work. False: there was none for long.
func (p *workPool) rest() bool {
	isOver := false
	alarm := time.AfterFunc(workerRest, func() {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		isOver = true
		p.some.Broadcast()
	})
	defer alarm.Stop()
	p.resting++
	defer func() { p.resting-- }()
	for len(p.turns) == 0 && !isOver {
		p.some.Wait()
	}
	return len(p.turns) != 0
}
