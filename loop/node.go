package loop

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// A Node is a running server: a number of loops, each on an OS thread of its own with a ring of its
// own.
type Node struct {
	addresses []net.Addr
	cores     []int // to pin the loops to; nil: none
	cleanup   func()
	running   sync.WaitGroup

	mutex sync.Mutex
	loops []*Loop // all there once Start has returned
	err   error
}

// NodeOptions set up a Node.
type NodeOptions struct {
	Options Options
	Loops   int      // at least 1
	Listen  []string // see Listen
	// OnThread is called on each loop's thread before anything else; may be nil.
	OnThread func() error
	// NewRing makes the ring of a loop, on its thread; nil: the kernel's, with Ring.
	NewRing func() (uring.Ring, error)
	Ring    uring.Config
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
	if o.NewRing == nil {
		o.NewRing = func() (uring.Ring, error) { return uring.New(o.Ring) }
	}
	sockets, addresses, cleanup, err := Listen(o.Listen, o.Loops)
	if err != nil {
		return nil, err
	}
	// A loop's thread that wakes up while all Ps are busy waits for one for 5 to 20 ms.
	if want := o.Loops + 2; runtime.GOMAXPROCS(0) < want {
		runtime.GOMAXPROCS(want)
	}
	n := &Node{addresses: addresses, cores: coresOf(o.Loops), cleanup: cleanup, loops: make([]*Loop, o.Loops)}
	started := make(chan error, o.Loops)
	for i := range n.loops {
		n.running.Add(1)
		go n.run(i, &o, options, sockets[i], started)
	}
	for range n.loops {
		if failed := <-started; failed != nil {
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		n.Drain()
		return nil, errors.Join(err, n.Wait())
	}
	return n, nil
}

// run is the life of one loop. Its goroutine ends locked to its thread, so the thread ends too.
func (n *Node) run(i int, o *NodeOptions, options *Options, sockets []Socket, started chan<- error) {
	defer n.running.Done()
	runtime.LockOSThread()
	if n.cores != nil {
		pinThread(n.cores[i])
	}
	if o.OnThread != nil {
		if err := o.OnThread(); err != nil {
			started <- err
			return
		}
	}
	ring, err := o.NewRing()
	if err != nil {
		started <- err
		return
	}
	l, err := New(i, options, ring, sockets)
	if err != nil {
		started <- errors.Join(err, ring.Stop())
		return
	}
	n.mutex.Lock()
	n.loops[i] = l
	n.mutex.Unlock()
	started <- nil
	if err := l.Run(); err != nil {
		n.mutex.Lock()
		n.err = errors.Join(n.err, err)
		n.mutex.Unlock()
		n.Drain() // half a server is none: the supervisor starts a whole one
	}
}

// Addresses are what the node listens on, in the order of NodeOptions.Listen.
func (n *Node) Addresses() []net.Addr { return n.addresses }

// Drain begins the orderly end of all loops; see Loop.Drain.
func (n *Node) Drain() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, l := range n.loops {
		if l != nil {
			l.Drain()
		}
	}
}

// Wait returns when all loops have ended, with what made any of them fail.
func (n *Node) Wait() error {
	n.running.Wait()
	n.cleanup()
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.err
}

// Stats are the counters of each loop.
func (n *Node) Stats() []Stats {
	stats := make([]Stats, len(n.loops))
	for i, l := range n.loops {
		stats[i] = l.Stats()
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
