package loop

import "sync/atomic"

// A change is something that loops are to do with the apps of their node. It goes to their mailboxes, and each
// does it between two ticks.
type change struct {
	kind  changeKind
	app   *sharedApp  // but of changeTable and changeNothing
	table *routeTable // of changeTable
	probe *probe      // of changeProbe
	text  []byte      // of changeEvents

	missing atomic.Int32  // loops that have not done it
	done    chan struct{} // closed when all have

	isAwake atomic.Bool // after changeSleep: on some loop the app has something in hand
	err     error       // after changeWake, which goes to one loop
}

type changeKind uint8

const (
	changeNothing changeKind = iota // but to have read all mail that came before
	changeTable                     // use other routes
	changeRemove                    // let go of an app when it has nothing in hand
	changeCut                       // do so now
	changeWake                      // start an app's isolate
	changeSleep                     // dispose of it, if the app has nothing in hand
	changeProbe                     // send it a request
	changeEvents                    // add to the answers without end, see Node.Tell
)

// tell posts a change to all loops. The mutex is held.
func (c *catalog) tell(m *change) *change {
	m.begin(len(c.loops) + 1)
	for _, l := range c.loops {
		m.post(l)
	}
	m.finished()
	return m
}

// tellAll is tell with the mutex.
func (c *catalog) tellAll(m *change) *change {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.tell(m)
}

// begin prepares a change for so many loops.
func (m *change) begin(loops int) {
	m.done = make(chan struct{})
	m.missing.Store(int32(loops))
}

// post gives a change to a loop. For one that has ended, there is nothing to do. False: it has.
func (m *change) post(l *Loop) bool {
	if l.mailbox.Post(message{kind: messageChange, change: m}) {
		return true
	}
	m.finished()
	return false
}

// finished is called for each loop that has done its part.
func (m *change) finished() {
	if m.missing.Add(-1) == 0 {
		close(m.done)
	}
}

// apply does what a change asks of this loop, or begins to.
func (l *Loop) apply(m *change) {
	switch m.kind {
	case changeTable:
		l.useTable(m.table)
	case changeRemove:
		if w := l.known(m.app); w != nil {
			l.remove(w, m)
			return
		}
	case changeCut:
		if w := l.known(m.app); w != nil && w.removal != nil {
			l.cut(w)
		}
	case changeWake:
		l.wakeUp(m)
		return
	case changeSleep:
		if w := l.known(m.app); w != nil && !l.sleepNow(w) {
			m.isAwake.Store(true)
		}
	case changeProbe:
		m.probe.begin(l)
		return
	case changeEvents:
		l.tellEvents(m.text)
	}
	m.finished()
}

// known is an app on this loop, if it was ever met here; else nil.
func (l *Loop) known(app *sharedApp) *appWorker {
	if int(app.id) >= len(l.apps) {
		return nil
	}
	if w := l.apps[app.id]; w != nil && w.shared == app {
		return w
	}
	return nil
}

// wakeUp starts the isolate of an app for which no request has come.
func (l *Loop) wakeUp(m *change) {
	w := l.workerOf(m.app)
	switch {
	case w == nil:
		m.err = errRemoved
	case l.draining:
		m.err = ErrEnded
	case w.isolate != nil:
	case w.retryAt != 0 && l.readClock() < w.retryAt:
		m.err = w.startError
	default:
		w.wakers = append(w.wakers, m)
		l.wantStart(w)
		return
	}
	m.finished()
}

// tellWakers tells those who wanted an app's isolate to be started. err: it is not.
func (l *Loop) tellWakers(w *appWorker, err error) {
	for i, m := range w.wakers {
		w.wakers[i] = nil
		m.err = err
		m.finished()
	}
	w.wakers = w.wakers[:0]
}

// sleepNow disposes of an app's isolate, if there is one. False: it has something in hand.
func (l *Loop) sleepNow(w *appWorker) bool {
	switch {
	case !w.isIdle() || w.isWaking:
		return false
	case w.isolate != nil:
		w.counts.Sleeps++
		l.sleep(w)
	}
	return true
}
