package fakering

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// nudge is an eventfd that wakes an Enter which waits in real time.
type nudge struct{ fd int }

func newNudge() nudge {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		panic("fakering: " + err.Error())
	}
	return nudge{fd}
}

func (n *nudge) close() error {
	fd := n.fd
	n.fd = -1
	return unix.Close(fd)
}

// signal wakes a waiting Enter, now or when it comes to wait. The caller holds postMutex.
func (n *nudge) signal() {
	if n.fd < 0 {
		return
	}
	// The only possible failure is EAGAIN: the counter, and with it the signal, is there.
	_, _ = unix.Write(n.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// wait listens to the nudge and to fds, and tells whether there was anything.
func (n *nudge) wait(fds []unix.PollFd, patience time.Duration) bool {
	fds = append(fds, unix.PollFd{Fd: int32(n.fd), Events: unix.POLLIN})
	deadline := time.Now().Add(patience)
	for {
		left := max(0, time.Until(deadline))
		count, err := unix.Poll(fds, int((left+time.Millisecond-1)/time.Millisecond))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			panic("fakering: poll: " + err.Error())
		}
		var counter [8]byte
		_, _ = unix.Read(n.fd, counter[:])
		return count > 0
	}
}

// realDescriptors are those that reads wait for.
func (r *Ring) realDescriptors() []unix.PollFd {
	var fds []unix.PollFd
	for _, op := range r.operations {
		if op.kind == opRead && !op.ended {
			fds = append(fds, unix.PollFd{Fd: int32(op.fd), Events: unix.POLLIN})
		}
	}
	return fds
}

// readReal completes the reads of real descriptors that have something.
func (r *Ring) readReal() {
	fds := r.realDescriptors()
	if len(fds) == 0 {
		return
	}
	if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
		return
	}
	for _, fd := range fds {
		if fd.Revents == 0 {
			continue
		}
		for _, op := range r.operations {
			if op.kind == opRead && op.fd == int(fd.Fd) {
				r.readOne(op)
				break
			}
		}
	}
}

func (r *Ring) readOne(op *operation) {
	if checksum(op.memory) != op.sum {
		r.fail("%v: its memory was modified before the completion", op)
	}
	var n int
	var err error
	if op.offset < 0 {
		n, err = unix.Read(op.fd, op.memory)
	} else {
		n, err = unix.Pread(op.fd, op.memory, op.offset)
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		r.complete(op, failure(errno), 0)
		return
	}
	r.complete(op, int32(n), 0)
}
