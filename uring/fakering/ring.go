// Package fakering is an io_uring without a kernel, for tests of what drives a uring.Ring.
//
// Connections, listeners, sockets to connect, the remote ends that they reach, and time are virtual; faults come from a seed, so a run that fails is run
// again by its number. The ring also checks its caller and fails loudly: two sends at once on one
// descriptor, a descriptor used after Close, a buffer returned twice or never, memory of a send
// touched before its completion, Close with operations in flight, Stop with anything left.
//
// A test makes a Ring, a listener with Listen, peers with Dial, remote ends for the loop to connect to
// with Remote, and runs its loop. Peers are worked
// between ticks, from At and Config.Idle (on the loop's own thread, deterministic), or from other
// goroutines (then the order of events is not the seed's alone).
//
// Descriptors of connections are numbers that the process does not have: what a caller does with
// them past the ring (setsockopt, getpeername) fails with EBADF. Reads, though, are of real
// descriptors, so a uring.Waker works as it does on a kernel's ring.
package fakering

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// Faults are probabilities, 0 to 1, drawn each time the fault could happen. The zero value is a
// kernel at its best; Harsh is one at its worst.
type Faults struct {
	ShortReceive    float64 // a receive gives fewer bytes than have come
	ByteAtATime     float64 // of a connection: all its receives give one byte
	ShortSend       float64 // a send completes with fewer bytes than it was given
	NoBuffers       float64 // ENOBUFS although the caller holds few buffers
	MultishotEnds   float64 // a successful completion without More
	Interrupt       float64 // a waiting Enter returns at once, as after a signal
	Delay           float64 // what could complete now completes in a later Enter
	Reorder         float64 // completions of different user data overtake each other
	AcceptError     float64 // EMFILE, or ECONNABORTED and the connection is gone
	Reset           float64 // of a receive or send: the peer resets the connection
	CancelAlready   float64 // a cancel that succeeds says EALREADY
	ReuseDescriptor float64 // a new connection gets a descriptor that was closed before
	ConnectError    float64 // a connect fails with one of several errors
	MessageFails    float64 // a message to another ring is not posted (EOVERFLOW)
}

// Harsh has every fault.
func Harsh() Faults {
	return Faults{
		ShortReceive:    0.3,
		ByteAtATime:     0.1,
		ShortSend:       0.2,
		NoBuffers:       0.05,
		MultishotEnds:   0.1,
		Interrupt:       0.1,
		Delay:           0.3,
		Reorder:         0.5,
		AcceptError:     0.1,
		Reset:           0.01,
		CancelAlready:   0.1,
		ReuseDescriptor: 0.5,
		ConnectError:    0.1,
		MessageFails:    0.2,
	}
}

// Config of a ring. The zero value is a working ring without faults.
type Config struct {
	Seed       uint64
	Faults     Faults
	Buffers    int // default 64
	BufferSize int // default 4096

	// Start is the first virtual time; default 2025-01-01 UTC.
	Start time.Time

	// Idle is called, on the thread that entered, when Enter would wait and nothing is left to
	// complete: the loop has answered everything it was sent. It may work peers; true means that
	// it did, and the ring looks again before time passes.
	Idle func() bool

	// RealWait is how long, in real time, a waiting Enter listens to real descriptors (the
	// eventfd of a uring.Waker) and to peers worked by other goroutines before it lets virtual
	// time pass. Default 0: tests that use goroutines set it.
	RealWait time.Duration

	// Deadlock is how long, in real time, an Enter without limit waits for other goroutines until
	// it is a violation. Default 10 s.
	Deadlock time.Duration

	// Fail takes violations; default panic. It must not call the ring.
	Fail func(violation string)
}

const (
	buffersDefault    = 64
	bufferSizeDefault = 4096
	deadlockDefault   = 10 * time.Second

	// Virtual descriptors lie beyond every real one.
	descriptorFirst = 1 << 24
	// Joined rings number theirs from different starts.
	descriptorsJoined = 1 << 20
)

// ringFDs numbers the rings of the process; no behaviour depends on the numbers.
var ringFDs atomic.Int32

// Ring implements uring.Ring.
type Ring struct {
	fd     int
	config Config

	// mutex guards everything below, for peers worked by other goroutines.
	mutex  sync.Mutex
	random *rand.Rand
	now    time.Time

	queued     []*operation // until the next Enter
	operations []*operation // submitted, their last completion not made yet
	made       []completion // not visible yet
	visible    []completion // for Reap

	descriptors    map[int]*descriptor
	order          []*descriptor // those not closed, oldest first: maps have no order
	descriptorLow  int           // where this ring's own numbers begin
	descriptorNext int
	closed         []int // numbers that can come again
	remotes        map[remoteName]*Remote

	buffers buffers
	pipes   map[int]*[]byte // by both of their descriptors, and what is in them
	events  []event         // by time
	record  record
	stopped bool
	nudge   nudge
	changed bool  // by a peer since the last step
	failure error // of the next Enter

	failing  int // how many connects, receives and sends until one fails, that one included; 0: none will
	failWith unix.Errno

	// postMutex guards what other rings touch. It is taken last.
	postMutex  sync.Mutex
	neighbours map[int]*Ring
	inbox      []uring.Completion
}

var _ uring.Ring = (*Ring)(nil)

// completion is one on its way, with the operation that it belongs to (nil for a message).
type completion struct {
	uring.Completion
	operation *operation
}

// event is a function of the test that runs at a virtual time.
type event struct {
	at  time.Time
	run func()
}

// New makes a ring.
func New(config Config) *Ring {
	if config.Buffers == 0 {
		config.Buffers = buffersDefault
	}
	if config.BufferSize == 0 {
		config.BufferSize = bufferSizeDefault
	}
	if config.Deadlock == 0 {
		config.Deadlock = deadlockDefault
	}
	if config.Start.IsZero() {
		config.Start = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &Ring{
		fd:             descriptorFirst - int(ringFDs.Add(1)),
		config:         config,
		random:         rand.New(rand.NewPCG(config.Seed, 0)),
		now:            config.Start,
		descriptors:    map[int]*descriptor{},
		remotes:        map[remoteName]*Remote{},
		descriptorLow:  descriptorFirst,
		descriptorNext: descriptorFirst,
		buffers:        newBuffers(config.Buffers, config.BufferSize),
		nudge:          newNudge(),
		neighbours:     map[int]*Ring{},
		pipes:          map[int]*[]byte{},
	}
}

// Join lets rings send messages to each other and use each other's connections: descriptors are the
// process's, and a connection goes over to the ring that queues an operation on it. That is a
// violation while the ring before it has one in flight. Join rings before they have descriptors; those
// that hand connections over must run on one thread.
func Join(rings ...*Ring) {
	for i, from := range rings {
		if len(from.descriptors) != 0 {
			from.fail("Join after Listen")
		}
		from.descriptorNext = descriptorFirst + i*descriptorsJoined
		from.descriptorLow = from.descriptorNext
		from.postMutex.Lock()
		for _, to := range rings {
			from.neighbours[to.fd] = to
		}
		from.postMutex.Unlock()
	}
}

// Now is the virtual time. The loop under test takes it as its clock.
func (r *Ring) Now() time.Time {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.now
}

// At runs f on the entering thread once the virtual time has advanced by after.
func (r *Ring) At(after time.Duration, f func()) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	at := r.now.Add(after)
	i := len(r.events)
	for i > 0 && r.events[i-1].at.After(at) {
		i--
	}
	r.events = append(r.events, event{})
	copy(r.events[i+1:], r.events[i:])
	r.events[i] = event{at, f}
}

// FailEnter makes the next Enter do nothing and return err, such as uring.ErrCompletionsLost.
func (r *Ring) FailEnter(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.failure = err
}

// FailOperation makes one connect, receive or send fail: the nth that is submitted from now on, the first
// being 1.
func (r *Ring) FailOperation(nth int, errno unix.Errno) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.failing, r.failWith = nth, errno
}

// chance draws a fault.
func (r *Ring) chance(probability float64) bool {
	return probability > 0 && r.random.Float64() < probability
}

// FD is the ring's descriptor, for Message.
func (r *Ring) FD() int { return r.fd }

// AcceptMultishot implements uring.Ring.
func (r *Ring) AcceptMultishot(u uring.UserData, fd int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opAccept, userData: u, fd: fd})
	d := r.open(op)
	if d == nil {
		return
	}
	if !d.listening {
		r.fail("%v: not a listener", op)
		return
	}
	r.claim(op, &d.accept)
}

// RecvMultishot implements uring.Ring.
func (r *Ring) RecvMultishot(u uring.UserData, fd int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opReceive, userData: u, fd: fd})
	if d := r.openConnection(op); d != nil {
		r.claim(op, &d.receive)
	}
}

// RecvProvided implements uring.Ring.
func (r *Ring) RecvProvided(u uring.UserData, fd int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opReceive, userData: u, fd: fd, isOnce: true})
	if d := r.openConnection(op); d != nil {
		r.claim(op, &d.receive)
	}
}

// Recv implements uring.Ring.
func (r *Ring) Recv(u uring.UserData, fd int, b []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opReceive, userData: u, fd: fd, memory: b})
	if d := r.openConnection(op); d != nil {
		r.claim(op, &d.receive)
	}
}

// Poll implements uring.Ring.
func (r *Ring) Poll(u uring.UserData, fd int, events uint32) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	kind := opReceive
	if events == unix.POLLOUT {
		kind = opSend
	} else if events != unix.POLLIN {
		r.fail("poll of descriptor %d for %#x", fd, events)
	}
	op := r.queue(&operation{kind: kind, userData: u, fd: fd, sum: checksum(nil), isPoll: true})
	d := r.openConnection(op)
	switch {
	case d == nil:
	case kind == opReceive:
		r.claim(op, &d.receive)
	default:
		r.claim(op, &d.send)
	}
}

// Connect implements uring.Ring, to a Remote.
func (r *Ring) Connect(u uring.UserData, fd int, address []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opConnect, userData: u, fd: fd, memory: address, sum: checksum(address)})
	d := r.open(op)
	if d == nil {
		return
	}
	if d.listening || d.peer != nil {
		r.fail("%v: not an unconnected socket", op)
		return
	}
	r.claim(op, &d.connect)
}

// Send implements uring.Ring.
func (r *Ring) Send(u uring.UserData, fd int, b []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opSend, userData: u, fd: fd, memory: b, sum: checksum(b)})
	if d := r.openConnection(op); d != nil {
		r.claim(op, &d.send)
	}
}

// SendPart implements uring.Ring.
func (r *Ring) SendPart(u uring.UserData, fd int, b []byte, _ bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opSend, userData: u, fd: fd, memory: b, sum: checksum(b), isPart: true})
	if d := r.openConnection(op); d != nil {
		r.claim(op, &d.send)
	}
}

// Read implements uring.Ring, for real descriptors that poll(2) understands.
func (r *Ring) Read(u uring.UserData, fd int, b []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.read(&operation{kind: opRead, userData: u, fd: fd, memory: b, sum: checksum(b), offset: -1})
}

// ReadAt implements uring.Ring, for real files.
func (r *Ring) ReadAt(u uring.UserData, fd int, b []byte, offset int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.read(&operation{kind: opRead, userData: u, fd: fd, memory: b, sum: checksum(b), offset: offset})
}

func (r *Ring) read(op *operation) {
	r.queue(op)
	if op.fd >= descriptorFirst {
		r.fail("%v: sockets are received from, not read", op)
	}
}

// Shutdown implements uring.Ring.
func (r *Ring) Shutdown(u uring.UserData, fd int, how int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opShutdown, userData: u, fd: fd, how: how})
	op.descriptor = r.open(op)
}

// Close implements uring.Ring. A real descriptor is really closed.
func (r *Ring) Close(u uring.UserData, fd int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	op := r.queue(&operation{kind: opClose, userData: u, fd: fd})
	if fd < descriptorFirst {
		if fd <= 2 {
			r.fail("%v: a standard stream; was a result taken for a descriptor?", op)
		}
		return
	}
	d := r.open(op)
	if d == nil {
		return
	}
	for _, flying := range []*operation{d.accept, d.connect, d.receive, d.send} {
		if flying != nil {
			r.fail("%v: with %v in flight", op, flying)
		}
	}
	op.descriptor = d
	d.closing = true
}

// Cancel implements uring.Ring.
func (r *Ring) Cancel(u uring.UserData, target uring.UserData) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.queue(&operation{kind: opCancel, userData: u, fd: -1, target: target})
}

// Message implements uring.Ring, between rings that were joined.
func (r *Ring) Message(u uring.UserData, ring int, payload uring.UserData, result int32) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.queue(&operation{kind: opMessage, userData: u, fd: ring, target: payload, result: result})
}

// queue notes an operation for the next Enter.
func (r *Ring) queue(op *operation) *operation {
	if r.stopped {
		r.fail("%v: after Stop", op)
	}
	r.record.note(r.now, "queue", op, 0, 0)
	r.queued = append(r.queued, op)
	return op
}

// open finds the descriptor that op names, and fails if it is closed or was never open. Who used
// it goes on in a kernel with the descriptor of somebody else.
func (r *Ring) open(op *operation) *descriptor {
	d := r.descriptors[op.fd]
	if d == nil {
		d = r.takeOver(op)
	}
	if d == nil {
		if op.fd >= r.descriptorLow && op.fd < r.descriptorNext {
			r.fail("%v: after Close", op)
		} else {
			r.fail("%v: not a descriptor of this ring", op)
		}
		return nil
	}
	if d.closing {
		r.fail("%v: after Close", op)
		return nil
	}
	return d
}

// takeOver moves a connection of a joined ring to this one, or returns nil if there is none.
func (r *Ring) takeOver(op *operation) *descriptor {
	r.postMutex.Lock()
	defer r.postMutex.Unlock()
	for _, other := range r.neighbours {
		if other == r {
			continue
		}
		other.mutex.Lock()
		d := other.giveUp(r, op)
		other.mutex.Unlock()
		if d != nil {
			r.descriptors[d.fd] = d
			r.order = append(r.order, d)
			return d
		}
	}
	return nil
}

// giveUp takes the connection that op of ring to names out of this one.
func (r *Ring) giveUp(to *Ring, op *operation) *descriptor {
	d := r.descriptors[op.fd]
	if d == nil || d.peer == nil || d.closing {
		return nil
	}
	for _, flying := range []*operation{d.receive, d.send} {
		if flying != nil {
			r.fail("%v on another ring, with %v in flight", op, flying)
		}
	}
	delete(r.descriptors, d.fd)
	r.order = slices.DeleteFunc(r.order, func(o *descriptor) bool { return o == d })
	d.peer.ring.Store(to)
	return d
}

func (r *Ring) openConnection(op *operation) *descriptor {
	d := r.open(op)
	if d != nil && d.peer == nil {
		r.fail("%v: not a connection", op)
		return nil
	}
	return d
}

// claim makes op the one operation of its kind on its descriptor.
func (r *Ring) claim(op *operation, place **operation) {
	if *place != nil {
		r.fail("%v: with %v in flight", op, *place)
		return
	}
	*place = op
	op.place = place
	op.descriptor = r.descriptors[op.fd]
}

// Buffer implements uring.Ring.
func (r *Ring) Buffer(id uint16, n int) []byte {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	b, violation := r.buffers.view(id, n)
	if violation != "" {
		r.fail("%s", violation)
	}
	return b
}

// ReturnBuffer implements uring.Ring. The memory is overwritten at once, so who still looks at it
// or sends from it is found out.
func (r *Ring) ReturnBuffer(id uint16) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if violation := r.buffers.giveBack(id); violation != "" {
		r.fail("%s", violation)
	}
}

// TrimBuffers implements uring.Ring. Nobody may look at what is not held, so there is nothing to do.
func (r *Ring) TrimBuffers() {}

// Stop implements uring.Ring, and fails if anything is left: an operation in flight, a completion
// not reaped, a buffer not returned, a connection not closed.
func (r *Ring) Stop() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.stopped {
		return nil
	}
	r.stopped = true
	for _, op := range append(r.queued, r.operations...) {
		r.fail("Stop with %v in flight", op)
	}
	for _, c := range append(r.visible, r.made...) {
		if c.operation != nil { // a message may come at any time
			r.fail("Stop before the completion of %v was reaped", c.operation)
		}
	}
	if held := r.buffers.held(); held > 0 {
		r.fail("Stop with %d buffers never returned", held)
	}
	for _, d := range r.order {
		if !d.listening {
			r.fail("Stop with connection %d never closed", d.fd)
		}
	}
	if len(r.pipes) != 0 {
		r.fail("Stop with %d descriptors of pipes never closed", len(r.pipes))
	}
	r.postMutex.Lock()
	defer r.postMutex.Unlock()
	return r.nudge.close()
}

// Connections is the number of accepted connections that are not closed.
func (r *Ring) Connections() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	n := 0
	for _, d := range r.order {
		if !d.listening {
			n++
		}
	}
	return n
}

// HeldBuffers is the number of provided buffers that the caller has not returned.
func (r *Ring) HeldBuffers() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.buffers.held()
}

// fail reports a violation with what led to it.
func (r *Ring) fail(format string, arguments ...any) {
	message := fmt.Sprintf("fakering: seed %d: ", r.config.Seed) + fmt.Sprintf(format, arguments...)
	if r.config.Fail == nil {
		panic(message + "\n" + r.record.String())
	}
	r.config.Fail(message)
}

// failure is an errno as a Completion.Result.
func failure(errno unix.Errno) int32 { return -int32(errno) }
