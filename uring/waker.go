package uring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Waker ends the sleep of a loop from other threads. An eventfd read stays armed on the loop's
// ring; whoever writes to the eventfd completes it.
//
// Each tick of the loop that may sleep goes:
//
//	waker.Sleep()               // from here on a Wake writes to the eventfd
//	if !mailbox.Empty() {       // look again: who posted before Sleep saw the loop awake
//		timeout = 0
//	}
//	err := ring.Enter(true, timeout)
//	waker.Awake()               // from here on a Wake costs one atomic load
//
// and on the completion of the armed read, Arm. Other threads post to the mailbox first and call
// Wake then. Both orders of "post, look at the flag" and "set the flag, look at the mailbox" see
// each other, because Go's atomics are sequentially consistent.
type Waker struct {
	fd     int
	asleep atomic.Bool

	// counter is what the armed read reads into.
	counter [8]byte
}

// NewWaker makes the eventfd.
func NewWaker() (*Waker, error) {
	// Blocking: what a ring's read of a non-blocking descriptor does, stay armed or end with
	// EAGAIN, has changed between kernels.
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("uring: eventfd: %w", err)
	}
	return &Waker{fd: fd}, nil
}

// FD is the eventfd. Threads that know nothing of Go wake the loop by writing the eight bytes of
// the number 1 to it.
func (w *Waker) FD() int { return w.fd }

// Arm queues the read of the eventfd: at the start of the loop, and on each completion of it.
// It takes effect with the next Enter. A Wake between completion and Arm is not lost: the eventfd
// counts.
func (w *Waker) Arm(ring Ring, u UserData) { ring.Read(u, w.fd, w.counter[:]) }

// Sleep says that the loop is about to wait. Look at the mailboxes after it.
func (w *Waker) Sleep() { w.asleep.Store(true) }

// Awake says that the loop looks at its mailboxes before it sleeps again.
func (w *Waker) Awake() { w.asleep.Store(false) }

// Wake makes a sleeping loop's Enter return, from any thread. Among several callers one writes.
func (w *Waker) Wake() {
	if w.Claim() {
		w.Signal()
	}
}

// Claim tells whether the loop sleeps and nobody else is about to wake it. If so the caller has to,
// soon: by Ring.Message from its own ring, which costs no system call of its own, or by Signal.
func (w *Waker) Claim() bool {
	return w.asleep.Load() && w.asleep.CompareAndSwap(true, false)
}

// IsAsleep tells whether the loop waits, or is about to.
func (w *Waker) IsAsleep() bool { return w.asleep.Load() }

// one is what a signal writes; nobody changes it.
var one = binary.NativeEndian.AppendUint64(nil, 1)

// Signal writes to the eventfd, whether the loop sleeps or not.
func (w *Waker) Signal() {
	for {
		// The write can only block with 2^64-2 signals unread, and fail if the waker is closed.
		_, err := unix.Write(w.fd, one)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("uring: wake: %v", err))
		}
	}
}

// Close closes the eventfd: after the armed read has ended, and when nobody will wake any more.
func (w *Waker) Close() error { return unix.Close(w.fd) }
