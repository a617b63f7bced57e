package loop

import (
	"fmt"

	"nano/isolates"
	"nano/uring"
)

// Drain makes the loop end: it takes the connections that wait in the backlog and closes its
// listeners, answers every request that it has received with "connection: close", closes idle
// connections after a grace (a request may be on its way on them), waits for waitUntil work, and
// lets Run return. After drain_timeout it gives up what is left. Any goroutine may call it, more
// than once.
func (l *Loop) Drain() { l.mailbox.Post(message{kind: messageDrain}) }

func (l *Loop) startDrain() {
	if l.draining {
		return
	}
	l.draining = true
	l.drainDeadline = l.now + int64(l.options.DrainTimeout)
	l.cancelAccepts()
	l.accepting.paused = false // there will be no again
	listeners := l.listeners   // which takePending empties in the end
	for i := range listeners {
		// One with an accept in flight goes on when that has ended.
		if from := &listeners[i]; !from.isArmed {
			l.takePending(from)
		}
	}
	l.graceIdle()
	l.closeWebSockets()
	l.endEvents()
}

// graceIdle moves connections that wait for a request from their time-out to the grace.
func (l *Loop) graceIdle() {
	for node := l.timeouts.idle.first; node != nil; node = l.timeouts.idle.first {
		l.timeouts.grace.start(node, l.now)
	}
	for node := l.timeouts.header.first; node != nil; {
		next := node.next
		if node.owner.(*connection).in == nil { // else the request has begun
			l.timeouts.grace.start(node, l.now)
		}
		node = next
	}
}

// takePending accepts what the kernel has completed handshakes with, then closes the listener: to
// close it right away would reset those clients. If others accept from the same socket, they are theirs.
func (l *Loop) takePending(from *listener) {
	for !l.options.handedOver.Load() {
		fd, ok := l.options.sockets.acceptPending(from.fd)
		if !ok {
			break
		}
		l.admit(int32(fd), from)
	}
	from.isOpen = false
	// At once, not with the next Enter: who connects in between is reset.
	if !l.options.sockets.closeListener(from.fd) {
		l.operations++
		l.ring.Close(from.userData(opCloseListener), from.fd)
	}
	for i := range l.listeners {
		if l.listeners[i].isOpen {
			return
		}
	}
	l.listenersClosed()
}

// listenersClosed notes that this loop listens no more. When none does, answers begin to say
// "connection: close".
func (l *Loop) listenersClosed() {
	if len(l.listeners) != 0 {
		l.options.listening.Add(-1)
		l.listeners = nil
	}
}

// isDrained reports whether Run has nothing left to do.
func (l *Loop) isDrained() bool {
	if !l.draining || len(l.listeners) != 0 || l.connections.open != 0 || l.operations != 0 {
		return false
	}
	if !l.forced && !l.isWorkDone() {
		return false
	}
	l.closeEndpoints() // what is left of them is idle, or nobody waits for it
	return l.endpoints.open == 0
}

// isWorkDone reports whether no isolate has anything to do.
func (l *Loop) isWorkDone() bool {
	return l.pendingWork == 0 && l.called == 0 && l.tunnels == 0 && len(l.handles.byKey) == 0 && len(l.runnable)+len(l.unfinished) == 0
}

// forceDrain gives up what has not ended in time.
func (l *Loop) forceDrain() {
	l.forced = true
	if open := l.connections.open; l.options.Developer == nil && (open != 0 || l.pendingWork != 0) {
		l.options.Logger.Server(isolates.LevelWarn, fmt.Sprintf(
			"drain timed out: %d connections cut, waitUntil work of %d requests given up", open, l.pendingWork))
	}
	for _, chunk := range l.connections.chunks {
		if chunk == nil {
			continue
		}
		for i := range chunk {
			l.abort(&chunk[i])
		}
	}
	for _, w := range l.apps {
		if w != nil {
			l.dropHandles(w)
		}
	}
}

// closeMailbox has a drained loop take nothing more. It reports whether there was something left:
// connections that another loop handed over at the last moment, which are served.
func (l *Loop) closeMailbox() (hasMore bool) {
	rest := l.mailbox.Close()
	for i := range rest {
		switch m := &rest[i]; m.kind {
		case messageConnection:
			hasMore = true
			l.adopt(&m.connection)
		case messageWire:
			l.refuseWire(&m.wire)
		case messageWork:
			l.workDone(m.work)
		case messageReport:
			l.reports = append(l.reports, m.report)
		case messageStatus:
			m.status <- l.stats
		case messageVisit:
			m.visit.done <- ErrEnded
		case messageChange:
			l.apply(m.change)
		case messageGiveBack:
			m.done <- struct{}{}
		}
	}
	return hasMore
}

// Close frees what others may use until they have ended, too: after Run, and that of all other loops.
func (l *Loop) Close() error { return l.waker.Close() }

// end frees what the loop owns, after it has drained.
func (l *Loop) end() error {
	for _, m := range l.mailbox.Close() {
		switch m.kind {
		case messageReport:
			l.reports = append(l.reports, m.report)
		case messageWork:
			l.workDone(m.work)
		case messageStatus:
			m.status <- l.stats
		case messageVisit:
			l.visits = append(l.visits, m.visit)
		}
	}
	l.endReports()
	l.endVisits()
	l.closeFreePipes()
	l.operations++
	l.ring.Cancel(uring.Pack(opCancelWake, 0, 0), uring.Pack(opWake, 0, 0))
	for l.wakeArmed || l.operations != 0 {
		if err := l.ring.Enter(true, -1); err != nil {
			return fmt.Errorf("loop: %w", err)
		}
		l.reap()
		for i := range l.completions {
			switch kind, _, index := l.completions[i].UserData.Unpack(); kind {
			case opWake:
				l.wakeArmed = false
			case opMail:
			case opMessage:
				l.messageFailed(index)
			default:
				l.operations--
			}
		}
		l.completions = l.completions[:0]
	}
	for _, w := range l.apps {
		if w == nil {
			continue
		}
		if isolate := w.isolate; isolate != nil {
			l.dropHandles(w)
			l.forgetIsolate(w)
			isolate.Dispose()
		}
		l.tellWakers(w, ErrEnded)
	}
	for _, w := range l.leaving {
		w.removal.finished()
	}
	l.leaving = nil
	l.options.catalog.leave(l)
	l.publishPortion()
	l.options.memory.leave(l.portion)
	if l.shard != nil {
		l.shard.Close()
	}
	if l.log != nil {
		l.handOverLines()
	}
	l.published.publish(&l.stats)
	if err := l.ring.Stop(); err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	l.usage.close()
	return nil
}
