package apps

import (
	"runtime"
	"sync"
	"time"

	"nano/isolates"
)

// A loop does not read an app's source: that takes as long as disks and bundlers like, and all its apps would
// wait. Set.Start gives it a *Preparation instead, and the preparer does the work on a thread of its own rather
// than that of the background, which may be in the middle of something long.

// A Preparation is why an app cannot be started yet: what it is started from is being read.
type Preparation struct {
	owner *preparer
	entry *entry

	// Guarded by owner.mutex.
	isDone bool
	err    error // of what is done
	doneAt time.Time
	tell   []func()
}

// Error says so.
func (p *Preparation) Error() string { return "its source is being read" }

// Then has ready called once when Start is worth another call: by another goroutine, or at once if that is so
// already.
func (p *Preparation) Then(ready func()) {
	p.owner.mutex.Lock()
	isDone := p.isDone
	if !isDone {
		p.tell = append(p.tell, ready)
	}
	p.owner.mutex.Unlock()
	if isDone {
		ready()
	}
}

// outcomeKept is for how long a loop that has waited for a preparation is told that it has failed. Later it is
// tried again.
const outcomeKept = 10 * time.Second

// preparer prepares apps for loops, one after the other, in the order in which they are asked for. It has a thread
// only while there is something to do, and for a while after.
type preparer struct {
	prepare func(*entry, *reader) error

	mutex     sync.Mutex
	pending   []*Preparation
	isRunning bool
	isClosed  bool
	filled    chan struct{} // holds one token when something was added
	stop      chan struct{}
	running   sync.WaitGroup
}

func (r *preparer) init(prepare func(*entry, *reader) error) {
	r.prepare, r.filled, r.stop = prepare, make(chan struct{}, 1), make(chan struct{})
}

// want has an app prepared for the loop of a pool, and gives what to wait for, or why an attempt that it has
// waited for has failed.
func (r *preparer) want(e *entry, pool *isolates.Pool) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.isClosed {
		return errClosed
	}
	if p := e.asked[pool]; p != nil {
		if !p.isDone {
			return p
		}
		delete(e.asked, pool)
		if p.err != nil && time.Since(p.doneAt) < outcomeKept {
			return p.err
		}
	}
	if e.preparing == nil {
		e.preparing = &Preparation{owner: r, entry: e}
		r.add(e.preparing)
	}
	if e.asked == nil {
		e.asked = map[*isolates.Pool]*Preparation{}
	}
	e.asked[pool] = e.preparing
	return e.preparing
}

// add gives work to the thread. The mutex is held.
func (r *preparer) add(p *Preparation) {
	r.pending = append(r.pending, p)
	if !r.isRunning {
		r.isRunning = true
		r.running.Add(1)
		go r.run()
	}
	select {
	case r.filled <- struct{}{}:
	default:
	}
}

// next gives what to do, and waits for it. nil: there was nothing for long, or the Set was closed.
func (r *preparer) next() *Preparation {
	idle := time.NewTimer(builderIdle)
	defer idle.Stop()
	for isOver := false; ; {
		r.mutex.Lock()
		if p, ok := pop(&r.pending); ok { // none is left by close
			r.mutex.Unlock()
			return p
		}
		if isOver || r.isClosed {
			r.isRunning = false
			r.mutex.Unlock()
			return nil
		}
		r.mutex.Unlock()
		select {
		case <-r.filled:
		case <-r.stop:
		case <-idle.C:
			isOver = true
		}
	}
}

func (r *preparer) run() {
	defer r.running.Done()
	runtime.LockOSThread() // never unlocked; the resolver belongs to it
	var reader reader
	defer reader.close()
	for p := r.next(); p != nil; p = r.next() {
		err := errUnknown
		if !p.entry.isGone.Load() {
			err = r.prepare(p.entry, &reader)
		}
		r.done(p, err)
	}
}

// done tells those who wait.
func (r *preparer) done(p *Preparation, err error) {
	r.mutex.Lock()
	p.isDone, p.err, p.doneAt = true, err, time.Now()
	p.entry.preparing = nil
	tell := p.tell
	p.tell = nil
	r.mutex.Unlock()
	for _, ready := range tell {
		ready()
	}
}

// close ends the thread, after what it is doing.
func (r *preparer) close() {
	r.mutex.Lock()
	if !r.isClosed {
		r.isClosed = true
		close(r.stop)
	}
	pending := r.pending
	r.pending = nil
	r.mutex.Unlock()
	for _, p := range pending {
		r.done(p, errClosed)
	}
	r.running.Wait()
}
