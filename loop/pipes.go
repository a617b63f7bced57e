package loop

import (
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bytes that go from one socket to another as they are need not come into the process: splice(2) moves the pages that
// the kernel has received them in from the socket to a pipe, and from there to another socket. So the body of an
// origin's response that an app gives back untouched is not copied at all.
//
// The ring has an operation for that, but gives it to a thread of the kernel, always. So the ring tells when a socket
// is ready (Ring.Poll), and the loop's thread makes the call, which does not wait.
//
// A pipe is to such bytes what a buffer of the pool is to others. The endpoint takes one when there is something to
// receive (endpoint.receivePipe), it goes to the sink by pushPipe, and the sink gives it back when all has been sent
// or nobody wants it any more. While nothing is under way, a transfer has none.

// A pipe is one of the kernel's. It has one owner at a time.
type pipe struct {
	from, to int32 // the descriptors that are read from, and written to
	held     int   // bytes in it
	more     bool  // there were more where these came from
}

const (
	// pipeSize is what a pipe has room for, if each of its slots holds a page, 256 of them. What a network card has
	// received lies in pieces of a few hundred bytes up to a page, over loopback it is up to 32 KB.
	pipeSize = 1 << 20
	// pipesMax is how many pipes a loop has, if there are descriptors. What else is to be passed on is copied.
	pipesMax = 256
	// pipesKept is how many of them it keeps for later.
	pipesKept = 16
	// pipesPause is for how long none is made after one could not be: a user who is not root may have 64 of that size
	// (fs.pipe-user-pages-soft).
	pipesPause = int64(time.Second)
	// splicedMax is from how many bytes on that were moved in one tick, to pipes and out of them, the rest waits for
	// the next: see largeSendsMax. A byte is counted twice.
	splicedMax = 8 << 20
)

// pipes are those of a loop.
type pipes struct {
	free    []*pipe // empty
	open    int
	retryAt int64 // none is made before
	spliced int   // bytes in this tick
}

// mayTakePipe reports whether there may be a pipe to be had.
func (l *Loop) mayTakePipe() bool {
	p := &l.pipes
	return len(p.free) != 0 || p.open < pipesMax && l.now >= p.retryAt
}

// takePipe takes an empty pipe. nil: there is none, so that bytes have to be copied.
func (l *Loop) takePipe() *pipe {
	p := &l.pipes
	if last := len(p.free) - 1; last >= 0 {
		taken := p.free[last]
		p.free[last] = nil
		p.free = p.free[:last]
		return taken
	}
	if !l.mayTakePipe() {
		return nil
	}
	if !l.options.outbound.mayPipe() {
		p.retryAt = l.now + pipesPause
		return nil
	}
	from, to, errno := l.options.sockets.openPipe()
	if errno != 0 {
		l.options.outbound.pipeClosed()
		p.retryAt = l.now + pipesPause
		return nil
	}
	p.open++
	return &pipe{from: int32(from), to: int32(to)}
}

// givePipe takes a pipe back. One that is not empty is closed: nobody else may ever get what is in it.
func (l *Loop) givePipe(given *pipe) {
	given.more = false
	if given.held != 0 || len(l.pipes.free) >= pipesKept {
		l.closePipe(given)
		return
	}
	l.pipes.free = append(l.pipes.free, given)
}

func (l *Loop) closePipe(closed *pipe) {
	l.options.sockets.closePipe(int(closed.from), int(closed.to))
	l.options.outbound.pipeClosed()
	l.pipes.open--
	*closed = pipe{from: -1, to: -1}
}

// closeFreePipes closes all pipes that are not in use.
func (l *Loop) closeFreePipes() {
	for _, each := range l.pipes.free {
		l.closePipe(each)
	}
	l.pipes.free = nil
}

// pipeDescriptors is how many descriptors a pipe takes, and pipesShare which part of those that are not kept for
// clients all pipes together may have.
const (
	pipeDescriptors = 2
	pipesShare      = 8
)

// mayPipe counts one more pipe, if there are descriptors for it.
func (o *outbound) mayPipe() bool {
	isRoom := o.open.Add(pipeDescriptors) <= o.limit
	if o.pipes.Add(pipeDescriptors) > o.limit/pipesShare || !isRoom {
		o.pipeClosed()
		return false
	}
	return true
}

// pipeClosed is the opposite.
func (o *outbound) pipeClosed() {
	o.pipes.Add(-pipeDescriptors)
	o.open.Add(-pipeDescriptors)
}

// receive moves up to n bytes from a socket that does not wait into the pipe, which must be empty.
func (p *pipe) receive(s sockets, fd int32, n int) (int, unix.Errno) {
	if p.held != 0 {
		panic("loop: a pipe is filled that is not empty")
	}
	received, more, errno := s.spliceIn(int(fd), int(p.to), n)
	p.held, p.more = received, more
	return received, errno
}

// send moves what the pipe holds to a socket that does not wait, as far as that has room.
func (p *pipe) send(s sockets, fd int32) (int, unix.Errno) {
	sent, errno := s.spliceOut(int(p.from), int(fd), p.held, p.more)
	p.held -= sent
	return sent, errno
}

// Sending

// startPipe sends what a pipe holds, as its owner. The connection has nothing else to send first. It is done at the end
// of the tick, since whoever pushes must not hear of the outcome meanwhile.
func (l *Loop) startPipe(c *connection, p *pipe) {
	c.sendingPipe = p
	c.isSending = true
	c.inFlight++ // from now on, as if the kernel had it
	l.piped = append(l.piped, c)
}

// sendPipes sends what lies in pipes, or as much as is due in one tick.
func (l *Loop) sendPipes() {
	n := len(l.piped)
	for i := 0; i < n; i++ {
		c := l.piped[i]
		l.piped[i] = nil
		switch {
		case c.phase == phaseClosing:
			l.pipeSent(c, -int32(unix.ECANCELED))
		case l.pipes.spliced >= splicedMax:
			l.piped = append(l.piped, c)
		default:
			l.sendPipe(c)
		}
	}
	l.piped = l.piped[:copy(l.piped, l.piped[n:])]
}

func (l *Loop) sendPipe(c *connection) {
	p := c.sendingPipe
	if c.flight.begins() {
		l.timeouts.send.start(&c.sendTimeout, l.now)
	}
	sockets := l.options.sockets
	if !c.isNonblocking {
		c.isNonblocking = true
		sockets.neverWait(int(c.fd))
	}
	c.flight.asked = p.held
	n, errno := p.send(sockets, c.fd)
	l.pipes.spliced += n
	if n == 0 {
		n = -int(errno)
	}
	l.pipeSent(c, int32(n))
}

// pipeSent goes on after a piece of what lies in a pipe has been sent, or was not.
func (l *Loop) pipeSent(c *connection, result int32) {
	if c.flight.landed(result) {
		c.sendTimeout.stop()
	}
	l.stats.BytesOut += uint64(max(result, 0))
	isOpen := c.phase != phaseClosing
	if isOpen && c.sendingPipe.held != 0 && (result > 0 || isAgain(result)) {
		if c.flight.begins() {
			l.timeouts.send.start(&c.sendTimeout, l.now)
		}
		l.ring.Poll(c.userData(opSend), int(c.fd), unix.POLLOUT)
		return
	}
	c.isSending = false
	c.inFlight--
	c.sendTimeout.stop()
	l.releaseSending(c)
	switch {
	case !isOpen:
	case result <= 0:
		l.abort(c)
	default:
		l.outputLeft(c)
		l.watchLeft(c)
	}
	l.endPhase(c)
}

// pipeHasRoom goes on with a pipe whose socket has room again, or has failed, as the next attempt will tell.
func (l *Loop) pipeHasRoom(c *connection, result int32) {
	c.inFlight++
	if result < 0 && !isAgain(result) {
		l.pipeSent(c, result)
		return
	}
	l.piped = append(l.piped, c)
}

// The calls

// splice is splice(2). It waits neither for the pipe nor for a socket after neverWait.
func splice(from, to, n, flags int) (int, unix.Errno) {
	// Not a raw system call, though it does not wait: a megabyte is a tenth of a millisecond of work.
	moved, _, errno := unix.Syscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n),
		uintptr(flags|unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK))
	if errno != 0 {
		return 0, errno
	}
	return int(moved), 0
}

func (kernelSockets) spliceIn(fd, pipe, n int) (moved int, more bool, errno unix.Errno) {
	moved, errno = splice(fd, pipe, n, 0)
	return moved, moved == n && hasInput(fd), errno
}

// hasInput reports whether a socket has bytes to be received.
func hasInput(fd int) bool {
	var waiting int32
	_, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&waiting)))
	return errno == 0 && waiting > 0
}

func (kernelSockets) spliceOut(pipe, fd, n int, more bool) (int, unix.Errno) {
	flags := 0
	if more {
		flags = unix.SPLICE_F_MORE
	}
	return splice(pipe, fd, n, flags)
}

func (kernelSockets) neverWait(fd int) {
	// It fails only where there is no such descriptor, and then so does what follows.
	_ = unix.SetNonblock(fd, true)
}

func (kernelSockets) openPipe() (from, to int, errno unix.Errno) {
	if !canSplice() {
		return -1, -1, unix.ENOSYS
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		errno, _ = err.(unix.Errno)
		return -1, -1, errno
	}
	if _, _, errno = syscall.RawSyscall(unix.SYS_FCNTL, uintptr(ends[0]), unix.F_SETPIPE_SZ, pipeSize); errno != 0 {
		kernelSockets{}.closePipe(ends[0], ends[1])
		return -1, -1, errno
	}
	return ends[0], ends[1], 0
}

func (kernelSockets) closePipe(from, to int) {
	_ = unix.Close(from) // whatever it says, the descriptor is gone
	_ = unix.Close(to)
}

// canSplice reports whether the kernel sends from a pipe without waiting for the socket. Linux 6.5 did not heed that
// the socket was set so (mended in 6.6 by "splice, net: Fix splice_to_socket() for O_NONBLOCK socket").
var canSplice = sync.OnceValue(func() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	return !strings.HasPrefix(unix.ByteSliceToString(name.Release[:]), "6.5.")
})
