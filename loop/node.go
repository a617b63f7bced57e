package loop

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/uring"
)

// A Node is a running server: a number of loops, each on an OS thread of its own with a ring of its
// own, and beside each a slow loop from the time on that one is needed.
type Node struct {
	addresses []net.Addr
	sockets   [][]Socket // by loop, which own them
	settings  *NodeOptions
	options   *Options
	cores     []int // to pin the loops to; nil: none
	cleanup   func()
	endWatch  func() // of memory pressure; nil: not begun
	running   sync.WaitGroup
	over      chan struct{} // closed when no loop runs any more

	profiling atomic.Bool // a heap snapshot or a CPU profile is being taken

	mutex    sync.Mutex
	loops    []*Loop // by seat: once Start has returned all but slow ones are there
	isSlowed []bool  // by loop: its slow loop was asked for
	draining bool
	isClosed bool // what Wait frees
	err      error
}

// NodeOptions set up a Node.
type NodeOptions struct {
	Options Options
	Loops   int      // at least 1
	Listen  []string // see Listen
	// Inherited are listening sockets that another process has handed over, see Node.ListenerFiles. Start closes
	// the files.
	Inherited []ListenerFile
	// OnThread is called on each loop's thread before anything else; may be nil.
	OnThread func() error
	// NewRing makes the ring of a loop, on its thread; nil: the kernel's, with Ring.
	NewRing func() (uring.Ring, error)
	Ring    uring.Config
}

// slowRing is for slow loops, which have few connections.
var slowRing = uring.Config{Entries: 256, Buffers: 64}

// slowNice is the nice value of a slow loop's thread, against 0 of the others: while both have work,
// it gets a tenth of their core.
const slowNice = 10

// loopSlice is the slice of CPU time, in nanoseconds, that the thread of a normal loop asks the kernel's
// scheduler for. Of two threads that have had their share the one with the shorter slice comes first, at
// once when it wakes up, instead of when the other's 3 ms are over.
const loopSlice = 100_000

// shortenSlice asks for it, on the calling thread. Kernels before 6.12 ignore that, and a sandbox may
// forbid it: then a slow loop is more of a neighbour.
func shortenSlice() {
	attributes, err := unix.SchedGetAttr(0, 0)
	if err != nil || attributes.Policy != unix.SCHED_NORMAL {
		return
	}
	attributes.Runtime = loopSlice
	_ = unix.SchedSetAttr(0, attributes, 0)
}

// Start opens the listeners and starts the loops. When it returns without an error, clients are
// served.
func Start(o NodeOptions) (*Node, error) {
	if o.Loops < 1 {
		return nil, fmt.Errorf("loop: %d loops", o.Loops)
	}
	options, err := o.Options.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Loops > LoopsMax {
		options.Logger.Server(isolates.LevelWarn, fmt.Sprintf("%d loops are too many for one process: starting %d", o.Loops, LoopsMax))
		o.Loops = LoopsMax
	}
	sockets, addresses, cleanup, err := Listen(o.Listen, o.Loops, o.Inherited)
	if err != nil {
		return nil, err
	}
	// A loop's thread that wakes up while all Ps are busy waits for one for 5 to 20 ms.
	wantProcessors(o.Loops + options.works.most + sparePs)
	n := &Node{
		addresses: addresses, sockets: sockets, settings: &o, options: options, cores: coresOf(o.Loops), cleanup: cleanup,
		loops: make([]*Loop, 2*o.Loops), isSlowed: make([]bool, o.Loops), over: make(chan struct{}),
	}
	options.placement = newPlacement(o.Loops, options.Clock())
	if !options.Debugged {
		options.placement.needSlow = n.needSlow
	}
	started := make(chan error, o.Loops)
	for i := range o.Loops {
		n.running.Add(1)
		go n.run(i, sockets[i], func(_ *Loop, err error) { started <- err })
	}
	go func() {
		n.running.Wait()
		close(n.over)
	}()
	for range o.Loops {
		if failed := <-started; failed != nil {
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		n.Drain()
		return nil, errors.Join(err, n.Wait())
	}
	gauge, err := options.newGauge()
	if err != nil {
		n.Drain()
		return nil, errors.Join(err, n.Wait())
	}
	n.endWatch = watchPressure(options, gauge)
	return n, nil
}

// sparePs are the processors of Go beside one for each loop and each worker.
const sparePs = 2

func wantProcessors(want int) {
	if runtime.GOMAXPROCS(0) < want {
		runtime.GOMAXPROCS(want)
	}
}

// run is the life of one loop. Its goroutine ends locked to its thread, so the thread ends too.
func (n *Node) run(seat int, sockets []Socket, started func(*Loop, error)) {
	defer n.running.Done()
	runtime.LockOSThread()
	l, err := n.make(seat, sockets)
	if err == nil {
		n.mutex.Lock()
		n.loops[seat] = l
		if n.draining {
			l.Drain()
		}
		n.mutex.Unlock()
	}
	started(l, err)
	if err != nil {
		return
	}
	if err := l.Run(); err != nil {
		n.mutex.Lock()
		n.err = errors.Join(n.err, err)
		n.mutex.Unlock()
		n.Drain() // half a server is none: the supervisor starts a whole one
		n.wakeAll()
	}
}

// make makes a loop on the calling thread.
func (n *Node) make(seat int, sockets []Socket) (*Loop, error) {
	o := n.settings
	isSlow := seat >= o.Loops
	nameThread(seat, o.Loops)
	if n.cores != nil {
		pinThread(n.cores[seat%o.Loops])
	}
	if isSlow {
		// Failing, it only makes the lane less slow.
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), slowNice)
	} else {
		shortenSlice()
	}
	if o.OnThread != nil {
		if err := o.OnThread(); err != nil {
			return nil, err
		}
	}
	newRing := o.NewRing
	if newRing == nil {
		config := o.Ring
		if isSlow {
			config = slowRing
		}
		newRing = func() (uring.Ring, error) { return uring.New(config) }
	}
	ring, err := newRing()
	if err != nil {
		return nil, err
	}
	l, err := New(seat, n.options, ring, sockets)
	if err != nil {
		return nil, errors.Join(err, ring.Stop())
	}
	return l, nil
}

// nameThread names the calling thread after its loop, for whoever looks at the threads of the process (top -H, perf).
// The first thread's name is that of the process, which stays.
func nameThread(seat, loops int) {
	if unix.Gettid() == unix.Getpid() {
		return
	}
	name := fmt.Sprintf("nano-loop-%d", seat)
	if seat >= loops {
		name = fmt.Sprintf("nano-slow-%d", seat-loops)
	}
	if text, err := unix.BytePtrFromString(name); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(text)), 0, 0, 0) // nothing depends on it
	}
}

// needSlow makes the slow loop beside a loop, which is told when it is there. If it cannot be made, the
// log says so and the node goes on without.
func (n *Node) needSlow(loop int) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.draining || n.isSlowed[loop] {
		return
	}
	n.isSlowed[loop] = true
	n.running.Add(1) // the loop that asks still counts: nobody is done waiting
	go func() {
		n.mutex.Lock()
		slow := 0
		for _, asked := range n.isSlowed {
			if asked {
				slow++
			}
		}
		n.mutex.Unlock()
		wantProcessors(n.settings.Loops + slow + n.options.works.most + sparePs)
		n.run(n.settings.Loops+loop, nil, func(_ *Loop, err error) {
			if err != nil {
				n.options.Logger.Server(isolates.LevelError, fmt.Sprintf("no slow loop beside loop %d: %v", loop, err))
				return
			}
			n.loops[loop].mailbox.Post(message{kind: messageSlowReady})
		})
	}()
}

// wakeAll makes all loops look at their mailboxes: one that failed may have owed them a wake-up.
func (n *Node) wakeAll() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, l := range n.loops {
		if l != nil {
			l.waker.Signal()
		}
	}
}

// Addresses are what the node listens on, in the order of NodeOptions.Listen.
func (n *Node) Addresses() []net.Addr { return n.addresses }

// Drain begins the orderly end of all loops; see Loop.Drain.
func (n *Node) Drain() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.draining = true
	for _, l := range n.loops {
		if l != nil {
			l.Drain()
		}
	}
}

// Wait returns when all loops have ended, with what made any of them fail.
func (n *Node) Wait() error {
	n.running.Wait()
	if !n.options.handedOver.Load() {
		n.cleanup()
	}
	if n.endWatch != nil {
		n.endWatch()
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, l := range n.loops {
		if l != nil && !n.isClosed {
			n.err = errors.Join(n.err, l.Close())
		}
	}
	n.isClosed = true
	return n.err
}

// Stats are the counters of each loop, those of slow loops included.
func (n *Node) Stats() []Stats {
	stats := make([]Stats, n.settings.Loops)
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for i, l := range n.loops {
		if l != nil {
			stats[i%len(stats)] = stats[i%len(stats)].Add(l.Stats())
		}
	}
	return stats
}

// coresOf are the cores to pin loops to: one for each, if the process may use as many as there are
// loops, and otherwise none. A pinned loop keeps its caches, and two never share a core while another
// one rests; with more or fewer loops than cores the kernel knows better.
func coresOf(loops int) []int {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil || allowed.Count() != loops {
		return nil
	}
	var cores []int
	for cpu := 0; len(cores) < loops; cpu++ {
		if allowed.IsSet(cpu) {
			cores = append(cores, cpu)
		}
	}
	return cores
}

// pinThread keeps the calling thread on one core. Where that is not allowed, it works all the same.
func pinThread(core int) {
	var own unix.CPUSet
	own.Set(core)
	_ = unix.SchedSetaffinity(0, &own)
}
