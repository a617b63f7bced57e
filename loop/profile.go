package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"nano/isolates"
)

// Profiled is a Worker that can be looked into.
type Profiled interface {
	Worker
	// HeapSnapshot begins a snapshot of the heap as it is now, which is read on another thread.
	HeapSnapshot() (io.ReadCloser, error)
	// StartProfile begins a CPU profile that goes on for d at most.
	StartProfile(d time.Duration) error
	// StopProfile ends it and gives it; nil: there is none.
	StopProfile() []byte
}

// Errors of HeapSnapshot and CPUProfile.
var (
	// ErrProfiling tells that the node has one in hand already. It does one at a time: each takes memory, and V8's
	// sampler is one for the process.
	ErrProfiling = errors.New("another heap snapshot or CPU profile is being taken")
	// ErrNoApp tells that there is no such app, or no more.
	ErrNoApp = errors.New("there is no such app")
	// ErrEnded tells that the node ends.
	ErrEnded = errors.New("the node ends")

	errNotProfiled = errors.New("its isolate cannot be looked into")
	errReplaced    = errors.New("its isolate was replaced meanwhile, and with it went the profile")
)

// ProfileMax is how long a CPU profile may take.
const ProfileMax = 5 * time.Minute

// snapshotAttempts is how often a heap snapshot is begun whose process waits for a lock.
const snapshotAttempts = 3

// HeapSnapshot writes a snapshot of the heap of app id into w, in the format of Chrome's DevTools
// (.heapsnapshot). If the app is asleep it is started; if several loops serve it, its home is asked.
//
// A child of the process takes it, for seconds and with several times the heap's size of memory. The loop
// waits only while the process is forked. A slow w holds up nobody.
func (n *Node) HeapSnapshot(ctx context.Context, id int, w io.Writer) error {
	if !n.profiling.CompareAndSwap(false, true) {
		return ErrProfiling
	}
	defer n.profiling.Store(false)
	for attempt := 1; ; attempt++ {
		err := n.heapSnapshot(ctx, id, w)
		if !errors.Is(err, isolates.ErrSnapshotStuck) || attempt == snapshotAttempts {
			return err
		}
	}
}

func (n *Node) heapSnapshot(ctx context.Context, id int, w io.Writer) error {
	app, err := n.options.catalog.find(id)
	if err != nil {
		return err
	}
	var snapshot io.ReadCloser
	err = n.visit(ctx, &visit{app: app, starts: true, do: func(_ *Loop, worker *appWorker) (err error) {
		profiled, ok := worker.isolate.(Profiled)
		if !ok {
			return errNotProfiled
		}
		snapshot, err = profiled.HeapSnapshot()
		return err
	}})
	if err != nil {
		return err
	}
	// At the end of ctx the child is ended, and Read returns.
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, snapshot)
		read <- err
	}()
	select {
	case err = <-read:
		return errors.Join(err, snapshot.Close())
	case <-ctx.Done():
		_ = snapshot.Close()
		<-read // w belongs to the caller again
		return ctx.Err()
	}
}

// CPUProfile writes a CPU profile of the next d of app id into w, in the format of Chrome's DevTools
// (.cpuprofile). The app is started if it is asleep, and stays awake; if several loops serve it, its home is
// asked. At the end of ctx nothing is written. Go's own CPU profiler must not run meanwhile: both use SIGPROF.
func (n *Node) CPUProfile(ctx context.Context, id int, d time.Duration, w io.Writer) error {
	if d <= 0 || d > ProfileMax {
		return fmt.Errorf("a CPU profile of %v: at most %v are possible", d, ProfileMax)
	}
	app, err := n.options.catalog.find(id)
	if err != nil {
		return err
	}
	if !n.profiling.CompareAndSwap(false, true) {
		return ErrProfiling
	}
	defer n.profiling.Store(false)
	var on *Loop
	var life uint32
	err = n.visit(ctx, &visit{app: app, starts: true, do: func(l *Loop, worker *appWorker) error {
		profiled, ok := worker.isolate.(Profiled)
		if !ok {
			return errNotProfiled
		}
		if err := profiled.StartProfile(d); err != nil {
			return err
		}
		l.hold(worker)
		on, life = l, worker.life
		return nil
	}})
	if err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	var profile []byte
	err = n.visit(context.WithoutCancel(ctx), &visit{app: app, on: on, do: func(l *Loop, worker *appWorker) error {
		l.release(worker)
		if profiled, ok := worker.isolate.(Profiled); ok && worker.life == life {
			profile = profiled.StopProfile()
		}
		if profile == nil {
			return errReplaced
		}
		return nil
	}})
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	_, err = w.Write(profile)
	return err
}

// A visit is something that is done with an app on the thread of a loop that serves it.
type visit struct {
	app    *sharedApp
	on     *Loop // nil: the app's home, or the slow loop beside it
	starts bool  // the app is started if it is asleep
	do     func(*Loop, *appWorker) error
	hops   int
	state  atomic.Uint32 // visitWaits, or what became of it
	done   chan error
}

const (
	visitWaits = iota
	visitTaken // by the loop
	visitLeft  // by who has asked
)

// visitHops is how often a visit follows an app that moves.
const visitHops = 8

// visit has a loop do something, and waits for it. At the end of ctx it was either done or never will be.
func (n *Node) visit(ctx context.Context, v *visit) error {
	v.done = make(chan error, 1)
	first := v.on
	if first == nil {
		n.mutex.Lock()
		first = n.loops[0]
		n.mutex.Unlock()
	}
	if first == nil || !first.mailbox.Post(message{kind: messageVisit, visit: v}) {
		return ErrEnded
	}
	select {
	case err := <-v.done:
		return err
	case <-ctx.Done():
		if v.state.CompareAndSwap(visitWaits, visitLeft) {
			return ctx.Err()
		}
		return <-v.done
	}
}

// takeVisit keeps a visit for the end of the tick, or sends it on to where the app is served.
func (l *Loop) takeVisit(v *visit) {
	if v.on == nil {
		if seat := l.placement.house(v.app, 0); seat != l.seat && v.hops < visitHops {
			v.hops++
			if !l.placement.seats[seat].loop.Load().mailbox.Post(message{kind: messageVisit, visit: v}) {
				v.done <- ErrEnded
			}
			return
		}
	}
	l.visits = append(l.visits, v)
}

// receiveVisit does the visit that has waited for longest. An app that it has to start for it is idle
// afterwards.
func (l *Loop) receiveVisit() {
	v := l.visits[0]
	last := copy(l.visits, l.visits[1:])
	l.visits[last] = nil
	l.visits = l.visits[:last]
	if !v.state.CompareAndSwap(visitWaits, visitTaken) {
		return
	}
	w := l.workerOf(v.app)
	if w == nil {
		v.done <- ErrNoApp
		return
	}
	if v.starts && w.isolate == nil {
		started, notReady := l.startIsolate(w)
		if notReady != nil {
			l.visitWhenReady(v, notReady)
			return
		}
		if !started {
			v.done <- errors.New("the app does not start: see its log")
			return
		}
		defer l.rest(w)
	}
	v.done <- v.do(l, w)
}

// visitWhenReady has a visit come again when its app can be started.
func (l *Loop) visitWhenReady(v *visit, notReady NotReady) {
	v.state.Store(visitWaits)
	notReady.Then(func() {
		if !l.mailbox.Post(message{kind: messageVisit, visit: v}) {
			v.done <- ErrEnded
		}
	})
}

// endVisits tells those who wait that the loop ends.
func (l *Loop) endVisits() {
	for _, v := range l.visits {
		v.done <- ErrEnded
	}
	l.visits = nil
}

// hold keeps an app from falling asleep by itself until release. Whoever removes it does not wait for that.
func (l *Loop) hold(w *appWorker) {
	l.noteBusy(w)
	w.held++
}

func (l *Loop) release(w *appWorker) {
	w.held--
	l.rest(w)
}

// rest notes that an app with nothing in hand may fall asleep.
func (l *Loop) rest(w *appWorker) {
	if w.isIdle() {
		l.noteIdle(w)
	}
}
