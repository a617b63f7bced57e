package fakering

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// Flags of a uring.Completion, as the kernel defines them.
const (
	completionBuffer = 1 << 0
	completionMore   = 1 << 1
)

// enterTime is the virtual time that an Enter takes, at least.
const enterTime = time.Microsecond

// Enter implements uring.Ring: it carries out what is queued, makes completions, and if it would
// wait lets virtual time pass until something completes or the timeout is over.
func (r *Ring) Enter(wait bool, timeout time.Duration) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.stopped {
		r.fail("Enter after Stop")
	}
	if err := r.failure; err != nil {
		r.failure = nil
		return err
	}
	r.buffers.publish()
	r.now = r.now.Add(enterTime)
	for _, op := range r.queued {
		r.submit(op)
	}
	r.queued = r.queued[:0]
	r.step()
	r.show()
	if !wait || len(r.visible) > 0 {
		return nil
	}
	r.wait(timeout)
	return nil
}

// wait lets time pass until something is visible, the timeout is over, or a signal comes.
func (r *Ring) wait(timeout time.Duration) {
	deadline := r.now.Add(timeout)
	listened := false
	for len(r.visible) == 0 {
		if r.chance(r.config.Faults.Interrupt) {
			r.record.note(r.now, "interrupted", nil, 0, 0)
			return
		}
		r.now = r.now.Add(enterTime)
		if timeout >= 0 && r.now.After(deadline) {
			r.now = deadline
			return
		}
		moved := r.step()
		if len(r.made) > 0 {
			r.show()
			continue
		}
		if moved || r.delayed() || r.idle() {
			continue
		}
		if !listened && r.config.RealWait > 0 {
			listened = !r.listen(r.config.RealWait)
			continue
		}
		if len(r.events) > 0 && (timeout < 0 || !r.events[0].at.After(deadline)) {
			r.now = later(r.now, r.events[0].at)
			continue
		}
		if timeout >= 0 {
			r.now = deadline
			return
		}
		if !r.listen(r.config.Deadlock) {
			r.fail("Enter without limit, and nothing to come")
			return
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// delayed tells whether something could complete that the seed has put off.
func (r *Ring) delayed() bool {
	if r.config.Faults.Delay == 0 {
		return false
	}
	for _, d := range r.order {
		switch {
		case d.accept != nil && !d.accept.ended && len(d.backlog) > 0,
			d.connect != nil && !d.connect.ended && !r.isSilent(d.connect),
			d.receive != nil && !d.receive.ended && (d.peer.hasInput() || d.peer.ended),
			d.send != nil && !d.send.ended && (d.peer.window != 0 || d.peer.gone || d.peer.loopEnded):
			return true
		}
	}
	return false
}

// idle asks the test for more.
func (r *Ring) idle() bool {
	if r.config.Idle == nil {
		return false
	}
	more := false
	r.unlocked(func() { more = r.config.Idle() })
	return more
}

// unlocked runs a function of the test, which may work peers, and may end the test.
func (r *Ring) unlocked(f func()) {
	r.mutex.Unlock()
	defer r.mutex.Lock()
	f()
}

// listen waits, in real time, for a real descriptor or a peer worked by another goroutine.
func (r *Ring) listen(patience time.Duration) (something bool) {
	if r.changed {
		return true
	}
	fds := r.realDescriptors()
	r.unlocked(func() { something = r.nudge.wait(fds, patience) })
	return something
}

// step runs due events of the test and makes the completions that are possible now. It tells
// whether an event ran.
func (r *Ring) step() (moved bool) {
	r.changed = false
	for len(r.events) > 0 && !r.events[0].at.After(r.now) {
		run := r.events[0].run
		r.events = r.events[1:]
		r.unlocked(run)
		moved = true
	}
	r.takeMessages()
	r.readReal()
	// Accepted connections are appended meanwhile; they are armed later.
	for _, d := range slices.Clone(r.order) {
		if d.accept != nil {
			r.progressAccept(d)
		}
		if d.connect != nil && d.connect.submitted {
			r.progressConnect(d)
		}
		if d.receive != nil && d.receive.submitted {
			r.progressReceive(d)
		}
		if d.send != nil && d.send.submitted {
			r.progressSend(d)
		}
	}
	return moved
}

// complete makes a completion of op; without completionMore it is the last.
func (r *Ring) complete(op *operation, result int32, flags uint32) {
	r.record.note(r.now, "complete", op, result, flags)
	if flags&completionMore == 0 {
		r.end(op)
		if (op.kind == opSend || op.kind == opConnect) && checksum(op.memory) != op.sum {
			r.fail("%v: its memory was modified before the completion", op)
		}
	}
	r.made = append(r.made, completion{uring.Completion{UserData: op.userData, Result: result, Flags: flags}, op})
}

// end takes op from those in flight.
func (r *Ring) end(op *operation) {
	op.ended = true
	r.operations = slices.DeleteFunc(r.operations, func(o *operation) bool { return o == op })
}

// show makes completions visible, in an order that the seed draws. Those of one user data keep
// their order.
func (r *Ring) show() {
	if len(r.made) > 1 && r.chance(r.config.Faults.Reorder) {
		r.made = r.shuffle(r.made)
	}
	r.visible = append(r.visible, r.made...)
	r.made = r.made[:0]
}

// shuffle draws places for the user datas and then fills each place with the next completion of
// the user data that it fell to.
func (r *Ring) shuffle(made []completion) []completion {
	places := slices.Clone(made)
	r.random.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	byUserData := map[uring.UserData][]completion{}
	for _, c := range made {
		byUserData[c.UserData] = append(byUserData[c.UserData], c)
	}
	for i := range places {
		u := places[i].UserData
		places[i] = byUserData[u][0]
		byUserData[u] = byUserData[u][1:]
	}
	return places
}

// Reap implements uring.Ring.
func (r *Ring) Reap(into []uring.Completion) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	n := min(len(into), len(r.visible))
	for i, c := range r.visible[:n] {
		into[i] = c.Completion
		if c.operation != nil && !c.More() {
			r.land(c.operation)
		}
	}
	r.visible = slices.Delete(r.visible, 0, n)
	return n
}

// land forgets an operation whose last completion was reaped.
func (r *Ring) land(op *operation) {
	if op.place != nil && *op.place == op {
		*op.place = nil
	}
	if op.kind == opClose && op.descriptor != nil {
		r.closed = append(r.closed, op.fd)
	}
}

// submit carries an operation out, as far as it goes at once.
func (r *Ring) submit(op *operation) {
	r.record.note(r.now, "submit", op, 0, 0)
	r.operations = append(r.operations, op)
	op.submitted = true
	if r.failing > 0 && op.descriptor != nil && (op.kind == opConnect || op.kind == opReceive || op.kind == opSend) {
		if r.failing--; r.failing == 0 {
			r.complete(op, failure(r.failWith), 0)
			return
		}
	}
	switch op.kind {
	case opReceive:
		// The kernel picks a buffer before it looks for bytes.
		if op.descriptor != nil && op.memory == nil && !op.isPoll && len(r.buffers.free) == 0 {
			r.complete(op, failure(unix.ENOBUFS), 0)
		}
	case opShutdown:
		r.shutdown(op)
	case opClose:
		r.close(op)
	case opCancel:
		r.cancel(op)
	case opMessage:
		r.message(op)
	}
	if op.descriptor == nil && op.kind <= opSend {
		r.complete(op, failure(unix.EBADF), 0)
	}
}

func (r *Ring) shutdown(op *operation) {
	if op.descriptor == nil || op.descriptor.peer == nil {
		r.complete(op, failure(unix.EBADF), 0)
		return
	}
	p := op.descriptor.peer
	if p.reset {
		r.complete(op, failure(unix.ENOTCONN), 0)
		return
	}
	p.loopEnded = p.loopEnded || op.how != unix.SHUT_RD
	p.loopDeaf = p.loopDeaf || op.how != unix.SHUT_WR
	r.complete(op, 0, 0)
}

func (r *Ring) close(op *operation) {
	d := op.descriptor
	if d == nil {
		result := int32(0)
		if op.fd >= descriptorFirst {
			result = failure(unix.EBADF)
		} else if err := unix.Close(op.fd); err != nil {
			result = failure(err.(unix.Errno))
		}
		r.complete(op, result, 0)
		return
	}
	delete(r.descriptors, d.fd)
	r.order = slices.DeleteFunc(r.order, func(o *descriptor) bool { return o == d })
	if d.peer != nil {
		d.peer.loopEnded, d.peer.loopGone = true, true
	}
	for _, waiting := range d.backlog {
		waiting.refused = true
	}
	r.complete(op, 0, 0)
}

// cancel ends the first operation that has the target's user data. Cancel and target complete in
// either order; what has come for a receive may be told before it ends.
func (r *Ring) cancel(op *operation) {
	i := slices.IndexFunc(r.operations, func(o *operation) bool { return o != op && o.userData == op.target })
	if i < 0 {
		r.complete(op, failure(unix.ENOENT), 0)
		return
	}
	target, result := r.operations[i], int32(0)
	if target.kind == opReceive && target.descriptor != nil && r.random.IntN(2) == 0 {
		if r.progressReceive(target.descriptor); target.ended {
			r.complete(op, failure(unix.ENOENT), 0)
			return
		}
	}
	if r.chance(r.config.Faults.CancelAlready) {
		result = failure(unix.EALREADY)
	}
	ending := failure(unix.ECANCELED)
	if target.kind == opSend && target.done > 0 {
		ending = int32(target.done)
	}
	if r.random.IntN(2) == 0 {
		r.complete(op, result, 0)
		r.complete(target, ending, 0)
		return
	}
	r.complete(target, ending, 0)
	r.complete(op, result, 0)
}

func (r *Ring) message(op *operation) {
	r.postMutex.Lock()
	to := r.neighbours[op.fd]
	r.postMutex.Unlock()
	if to == nil {
		r.complete(op, failure(unix.EBADF), 0)
		return
	}
	if r.chance(r.config.Faults.MessageFails) {
		r.complete(op, failure(unix.EOVERFLOW), 0)
		return
	}
	to.postMutex.Lock()
	if to.nudge.fd < 0 { // stopped
		to.postMutex.Unlock()
		r.complete(op, failure(unix.EBADFD), 0)
		return
	}
	to.inbox = append(to.inbox, uring.Completion{UserData: op.target, Result: op.result})
	to.nudge.signal()
	to.postMutex.Unlock()
	r.end(op) // nothing tells of a success
}

func (r *Ring) takeMessages() {
	r.postMutex.Lock()
	defer r.postMutex.Unlock()
	for _, c := range r.inbox {
		r.record.note(r.now, "message", nil, c.Result, 0)
		r.made = append(r.made, completion{Completion: c})
	}
	r.inbox = r.inbox[:0]
}
