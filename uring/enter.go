package uring

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// ErrCompletionsLost is what Enter returns when the kernel had no memory to keep a completion
// (EBADR). Operations are in flight that will never be heard of again: the ring must be given up.
var ErrCompletionsLost = errors.New("uring: the kernel dropped completions for want of memory")

// ErrWrongThread is what Enter returns on any thread but the one that made the ring.
var ErrWrongThread = errors.New("uring: the ring belongs to another thread")

// congestedWaitMax bounds a wait while the kernel refuses submissions, after which they are tried
// again.
const congestedWaitMax = 10 * time.Millisecond

// Enter submits what is queued and waits if asked to; see Ring. Completions are worked off by the
// kernel only inside Enter, even if it does not wait.
//
// It may return early, with nothing to reap, after a signal or while the kernel is short of memory.
// What it could not submit stays queued for the next Enter.
func (r *KernelRing) Enter(wait bool, timeout time.Duration) error {
	r.buffers.publish()
	if len(r.backlog) > 0 {
		r.drainBacklog()
	}
	if r.failure != nil {
		return r.failure
	}
	minimum := uint32(0)
	if wait && timeout != 0 && r.ready() == 0 {
		minimum = r.gathering()
	}
	r.reaped = 0
	errno := r.getEvents(r.flush(), minimum, timeout)
	if errno == unix.EAGAIN || errno == unix.EBUSY {
		// The completions that wait to be reaped may be what holds up the submission. If there
		// are none, sleep without submitting rather than spin.
		if minimum == 0 || r.ready() > 0 {
			return nil
		}
		if timeout < 0 || timeout > congestedWaitMax {
			timeout = congestedWaitMax
		}
		errno = r.getEvents(0, minimum, timeout)
	}
	if errno != 0 && !transient(errno) {
		return enterError(errno)
	}
	return nil
}

// A busy ring gathers: while completions come by the handful, the next enter sleeps until there are
// gatherCompletions of them, but not longer than gatherTime once it sleeps. Every crossing, wake-up
// and walk through the tick then serves more requests. One of a few clients never waits: its
// requests do not come by the handful.
const (
	gatherFrom        = 8
	gatherCompletions = 16
	gatherTime        = 50 * time.Microsecond

	// featureMinimumWait is IORING_FEAT_MIN_TIMEOUT, which giouring does not know.
	featureMinimumWait = 1 << 15
)

// gathering is how many completions an enter that waits should wait for.
func (r *KernelRing) gathering() uint32 {
	if r.gathers && r.reaped >= gatherFrom {
		return gatherCompletions
	}
	return 1
}

// drainBacklog moves the backlog to the submission queue, as far as the kernel takes it.
func (r *KernelRing) drainBacklog() {
	waiting := r.backlog
	r.backlog = nil
	moved := 0
	for moved < len(waiting) && r.room() {
		r.push(waiting[moved])
		moved++
	}
	r.backlog = append(waiting[:0], waiting[moved:]...)
}

// getEvents enters the kernel once. A timeout below 0 is no limit.
func (r *KernelRing) getEvents(submit, minimum uint32, timeout time.Duration) syscall.Errno {
	flags, argument := giouring.EnterGetEvents, (*getEventsArgument)(nil)
	if minimum > 1 || minimum > 0 && timeout >= 0 {
		r.argument = getEventsArgument{}
		if timeout >= 0 {
			r.timeout = unix.NsecToTimespec(int64(timeout))
			r.argument.timeout = uint64(uintptr(unsafe.Pointer(&r.timeout)))
		}
		if minimum > 1 {
			r.argument.minimumWait = uint32(gatherTime / time.Microsecond)
		}
		flags |= giouring.EnterExtArg
		argument = &r.argument
	}
	errno := r.enter(r.fd, submit, minimum, flags, argument)
	runtime.KeepAlive(r)
	return errno
}

// enterKernel is io_uring_enter(2). How many operations it took is read from the queue's head, which
// holds true even where the call reports an error of the wait after the submission. It goes through Syscall6 and never RawSyscall6: a goroutine in
// the latter cannot be stopped, and the garbage collector of every other thread would wait for it.
func enterKernel(fd int, submit, minimum, flags uint32, argument *getEventsArgument) syscall.Errno {
	size := uintptr(0)
	if argument != nil {
		size = unsafe.Sizeof(*argument)
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(submit), uintptr(minimum),
		uintptr(flags), uintptr(unsafe.Pointer(argument)), size)
	return errno
}

// transient tells the outcomes of an enter that are not errors of the ring: the deadline passed, a
// signal came, memory is short or completions must be reaped first. What was not submitted stays.
func transient(errno syscall.Errno) bool {
	return errno == unix.ETIME || errno == unix.EINTR || errno == unix.EAGAIN || errno == unix.EBUSY
}

func enterError(errno syscall.Errno) error {
	switch errno {
	case unix.EBADR:
		return ErrCompletionsLost
	case unix.EEXIST:
		return ErrWrongThread
	}
	return fmt.Errorf("uring: io_uring_enter: %w", errno)
}

// ready is the number of completions to reap.
func (r *KernelRing) ready() uint32 {
	return atomic.LoadUint32(r.completion.tail) - r.completionHead
}

// Reap copies completions out, at most len(into), and returns their number. Completions that
// overflowed the queue come with the Enter after the queue was emptied.
func (r *KernelRing) Reap(into []Completion) int {
	n := min(int(r.ready()), len(into))
	if n == 0 {
		return 0
	}
	head := r.completionHead
	for i := range into[:n] {
		c := (*Completion)(unsafe.Pointer(&r.cqes[head&r.completionMask]))
		into[i] = *c
		if c.Flags&flagBuffer != 0 {
			r.buffers.take(uint16(c.Flags >> giouring.CQEBufferShift))
		}
		head++
	}
	r.reaped += uint32(n)
	r.completionHead = head
	atomic.StoreUint32(r.completion.head, head)
	return n
}
