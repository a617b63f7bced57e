package fakering

import (
	"golang.org/x/sys/unix"
)

// What a caller does with the kernel's pipes past the ring, as splice(2) does on sockets that do not wait.

// Pipe makes a pipe, and returns the descriptors that are read from and written to.
func (r *Ring) Pipe() (from, to int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	from, to = r.descriptorNext, r.descriptorNext+1
	r.descriptorNext += 2
	held := new([]byte)
	r.pipes[from], r.pipes[to] = held, held
	return from, to
}

// ClosePipe closes both ends of a pipe, and loses what is in it.
func (r *Ring) ClosePipe(from, to int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.pipes[from] == nil || r.pipes[from] != r.pipes[to] {
		r.fail("%d and %d are not the ends of a pipe", from, to)
	}
	delete(r.pipes, from)
	delete(r.pipes, to)
}

// SpliceIn moves up to n bytes from a socket to a pipe, which must be empty: what another request has left in it would
// go to whoever gets these.
func (r *Ring) SpliceIn(fd, to, n int) (int, unix.Errno) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	held, p, errno := r.spliced(fd, to, n)
	if errno != 0 {
		return 0, errno
	}
	if r.descriptors[fd].receive != nil {
		r.fail("splice from descriptor %d with a receive in flight", fd)
	}
	if len(*held) != 0 {
		r.fail("splice from descriptor %d to a pipe with %d bytes in it", fd, len(*held))
	}
	switch {
	case p.reset:
		return 0, unix.ECONNRESET
	case len(p.toLoop) == 0 && p.ended:
		return 0, 0
	case len(p.toLoop) == 0 || r.chance(r.config.Faults.Delay):
		return 0, unix.EAGAIN
	}
	n = r.some(min(n, len(p.toLoop)), p.byteWise, r.config.Faults.ShortReceive)
	*held = append([]byte(nil), p.toLoop[:n]...)
	p.toLoop = p.toLoop[n:]
	return n, 0
}

// SpliceOut moves up to n bytes from a pipe to a socket.
func (r *Ring) SpliceOut(from, fd, n int) (int, unix.Errno) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	held, p, errno := r.spliced(fd, from, n)
	if errno != 0 {
		return 0, errno
	}
	if r.descriptors[fd].send != nil {
		r.fail("splice to descriptor %d with a send in flight", fd)
	}
	if n > len(*held) {
		r.fail("splice of %d bytes from a pipe with %d", n, len(*held))
		return 0, unix.EINVAL
	}
	switch {
	case p.gone || p.loopEnded:
		return 0, unix.EPIPE
	case p.window == 0 || r.chance(r.config.Faults.Delay):
		return 0, unix.EAGAIN
	case p.window > 0:
		n = min(n, p.window)
	}
	n = r.some(n, false, r.config.Faults.ShortSend)
	if p.window > 0 {
		p.window -= n
	}
	p.fromLoop = append(p.fromLoop, (*held)[:n]...)
	*held = (*held)[n:]
	return n, 0
}

// spliced finds what a splice is about, of which the connection may break now. EBADF: it is not there, which is a
// violation.
func (r *Ring) spliced(fd, pipe, n int) (held *[]byte, p *Peer, errno unix.Errno) {
	d := r.descriptors[fd]
	held = r.pipes[pipe]
	if d == nil || d.closing || d.peer == nil || held == nil || n <= 0 {
		r.fail("splice of %d bytes between socket %d and pipe %d", n, fd, pipe)
		return nil, nil, unix.EBADF
	}
	if r.chance(r.config.Faults.Reset) {
		d.peer.breakConnection()
	}
	return held, d.peer, 0
}

// some is how many of n bytes move.
func (r *Ring) some(n int, byteWise bool, short float64) int {
	switch {
	case byteWise:
		return 1
	case r.chance(short):
		return 1 + r.random.IntN(n)
	}
	return n
}
