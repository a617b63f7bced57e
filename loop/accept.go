package loop

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/uring"
)

// A listener is a socket that a loop accepts connections from.
type listener struct {
	index   uint32 // in loop.listeners
	fd      int
	secure  bool // its scheme is https
	isOpen  bool
	isArmed bool // a multishot accept is in flight
	passed  int  // accepts since the socket was handed over, see passOn
}

// accepting is the state of back-off: after the file limit was hit, or at max_connections, no loop
// accepts until a connection has closed or acceptPause has passed (connections of other loops
// count, and files that are not connections). Clients wait in the kernel's backlog meanwhile.
type accepting struct {
	paused   bool
	until    int64 // when paused
	loggedAt int64 // when it was last said; 0: never
}

const (
	acceptPause = int64(100 * time.Millisecond)
	// acceptLogPause is for how long a shortage of files is not said again.
	acceptLogPause = int64(time.Minute)
)

func (a *accepting) pausedUntil() int64 {
	if !a.paused {
		return never
	}
	return a.until
}

// More kinds of operations; the index is the listener's.
const (
	opCloseListener = opCancelWake + 1 + iota
	opCloseRefused
)

func (from *listener) userData(kind uint8) uring.UserData { return uring.Pack(kind, 0, from.index) }

// accept arms the multishot accept of a listener, if there is no reason not to.
func (l *Loop) accept(from *listener) {
	if from.isOpen && !from.isArmed && !l.accepting.paused && !l.draining {
		from.isArmed = true
		l.ring.AcceptMultishot(from.userData(opAccept), from.fd)
	}
}

// accepted handles a completion of a multishot accept.
func (l *Loop) accepted(from *listener, completion *uring.Completion) {
	if !completion.More() {
		from.isArmed = false
	}
	switch result := completion.Result; {
	case result >= 0:
		l.admit(result, from)
	case result == -int32(unix.EMFILE), result == -int32(unix.ENFILE),
		result == -int32(unix.ENOMEM), result == -int32(unix.ENOBUFS):
		l.pauseAccepting()
		if l.accepting.loggedAt == 0 || l.now-l.accepting.loggedAt > acceptLogPause {
			l.accepting.loggedAt = max(l.now, 1)
			l.options.Logger.Server(isolates.LevelWarn, fmt.Sprintf(
				"accept: %v: new connections wait until others close (raise LimitNOFILE)", unix.Errno(-result)))
		}
	case result == -int32(unix.ECANCELED), result == -int32(unix.ECONNABORTED), result == -int32(unix.EINTR):
	case result == -int32(unix.EAGAIN):
		l.pauseAccepting() // the socket was made non-blocking by a process that shares it
	default:
		l.pauseAccepting()
		l.options.Logger.Server(isolates.LevelError, fmt.Sprintf("accept: %v", unix.Errno(-result)))
	}
	if from.isArmed {
		return
	}
	if l.draining {
		if !l.passOn(from) {
			l.takePending(from)
		}
		return
	}
	l.accept(from)
}

// passOnMax bounds the accepts of passOn. If connections come that fast, the next one is not far.
const passOnMax = 64

// passOn sees to it that no connection is forgotten in the backlog of a socket that was handed over. Of all that wait
// to accept from a socket, the kernel wakes one for each connection. If that was our accept, while it was
// cancelled, nobody else knows of the connection until the next one comes. So what is there after a cancellation is
// accepted by another accept, which is cancelled at once, until there is nothing.
func (l *Loop) passOn(from *listener) (goesOn bool) {
	limit := int64(l.options.MaxConnections)
	if !l.options.handedOver.Load() || from.passed == passOnMax || limit != 0 && l.options.open.Load() >= limit ||
		!l.options.sockets.isPending(from.fd) {
		return false
	}
	from.passed++
	from.isArmed = true
	l.ring.AcceptMultishot(from.userData(opAccept), from.fd)
	l.cancelAccept(from)
	return true
}

// admit serves a new connection, if there may be one more.
func (l *Loop) admit(fd int32, from *listener) {
	limit := int64(l.options.MaxConnections)
	if open := l.options.open.Add(1); limit != 0 && open >= limit {
		l.pauseAccepting()
		if open > limit { // accepted before the pause took effect
			l.options.open.Add(-1)
			l.stats.Refused++
			l.operations++
			l.ring.Close(from.userData(opCloseRefused), int(fd))
			return
		}
	}
	l.openConnection(fd, from)
}

// pauseAccepting stops accepting for a while.
func (l *Loop) pauseAccepting() {
	l.accepting.until = l.now + acceptPause
	if l.accepting.paused || l.draining {
		return
	}
	l.accepting.paused = true
	l.cancelAccepts()
}

func (l *Loop) cancelAccepts() {
	for i := range l.listeners {
		if from := &l.listeners[i]; from.isArmed {
			l.cancelAccept(from)
		}
	}
}

func (l *Loop) cancelAccept(from *listener) {
	l.operations++
	l.ring.Cancel(from.userData(opCancelAccept), from.userData(opAccept))
}

// acceptAgain ends a pause: a connection has closed, or it lasted long enough.
func (l *Loop) acceptAgain() {
	if !l.accepting.paused || l.draining {
		return
	}
	if limit := int64(l.options.MaxConnections); limit != 0 && l.options.open.Load() >= limit {
		l.accepting.until = l.now + acceptPause
		return
	}
	l.accepting.paused = false
	for i := range l.listeners {
		l.accept(&l.listeners[i])
	}
}
