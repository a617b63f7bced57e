package loop

import "time"

// A timeoutList holds what waits for the same length of time. As every entry gets the deadline
// now + duration, appending keeps the list sorted: starting, stopping and finding the next one due
// cost O(1) and allocate nothing, whatever the number of connections.
type timeoutList struct {
	users       int   // apps, of a list of wall limits
	duration    int64 // nanoseconds
	first, last *timeoutNode
}

// A timeoutNode is the part of its owner that lies on a timeoutList, on one at most at a time.
// There is one in each slot, or more: of what it takes, thousands are idle.
type timeoutNode struct {
	list           *timeoutList // nil: not waiting
	previous, next *timeoutNode
	deadline       int64 // on the loop's clock
	owner          any   // what it is a part of; on lists of timeouts.others a waiter
}

// start lets node wait on list from now on; if it was waiting anywhere, that ends.
func (list *timeoutList) start(node *timeoutNode, now int64) {
	if node.list != nil {
		node.stop()
	}
	node.list, node.deadline = list, now+list.duration
	node.previous, node.next = list.last, nil
	if list.last != nil {
		list.last.next = node
	} else {
		list.first = node
	}
	list.last = node
}

// stop takes node off its list, if it is on one.
func (node *timeoutNode) stop() {
	list := node.list
	if list == nil {
		return
	}
	if node.previous != nil {
		node.previous.next = node.next
	} else {
		list.first = node.next
	}
	if node.next != nil {
		node.next.previous = node.previous
	} else {
		list.last = node.previous
	}
	node.list, node.previous, node.next = nil, nil, nil
}

// expired takes the first node off the list if its deadline has passed, else returns nil.
func (list *timeoutList) expired(now int64) *timeoutNode {
	node := list.first
	if node == nil || node.deadline > now {
		return nil
	}
	node.stop()
	return node
}

// timeouts are the loop's lists. A connection lies on at most one of those for its input (header,
// idle, body, linger, grace) and on send while bytes of it are under way; an exchange lies on one
// of walls until it is answered.
type timeouts struct {
	header timeoutList // for a whole request head, from accept or from its first byte
	idle   timeoutList // keep-alive
	body   timeoutList // since the last piece of a request body
	send   timeoutList // since the last progress of a send
	linger timeoutList // for the client to close after our last answer
	grace  timeoutList // idle connections while draining
	// An exchange lies here while the isolate is at work on it that nobody waits for: its answer
	// is complete, or its client is gone. So do handles that are still open after that.
	background timeoutList
	// A connection lies here whose client has shut its side while an app is at work on its answer, and
	// a handle whose request has ended while nobody reads what it brings.
	leaving timeoutList
	sleep   timeoutList // apps with nothing in hand, see shard.go
	walls   []*timeoutList
	others  []*timeoutList // of waiters, see startTimeout
}

func newTimeouts(options *Options) timeouts {
	return timeouts{
		header: timeoutList{duration: int64(options.HeaderTimeout)},
		idle:   timeoutList{duration: int64(options.IdleTimeout)},
		body:   timeoutList{duration: int64(options.BodyTimeout)},
		send:   timeoutList{duration: int64(options.SendTimeout)},
		linger: timeoutList{duration: int64(options.LingerTimeout)},
		grace:  timeoutList{duration: int64(options.DrainGrace)},

		background: timeoutList{duration: int64(options.Background)},
		leaving:    timeoutList{duration: leavingTime},
		sleep:      timeoutList{duration: int64(options.Idle)},
	}
}

// leavingTime is for how long it is not taken for an end that somebody who has ended one side does nothing.
const leavingTime = int64(time.Second)

// wall returns the list for wall limits of that length, which apps with the same limit share, until each of them
// has called leaveWall.
func (t *timeouts) wall(limit time.Duration) *timeoutList {
	for _, list := range t.walls {
		if list.duration == int64(limit) {
			list.users++
			return list
		}
	}
	list := &timeoutList{duration: int64(limit), users: 1}
	t.walls = append(t.walls, list)
	return list
}

// leaveWall forgets the list of an app that is removed, if no other has it.
func (t *timeouts) leaveWall(list *timeoutList) {
	if list.users--; list.users == 0 && list.first == nil {
		t.walls = without(t.walls, list)
	}
}

// next is the earliest deadline of all lists, or never.
func (t *timeouts) next() int64 {
	deadline := int64(never)
	for _, list := range [...]*timeoutList{&t.header, &t.idle, &t.body, &t.send, &t.linger, &t.grace, &t.background, &t.leaving, &t.sleep} {
		if list.first != nil && list.first.deadline < deadline {
			deadline = list.first.deadline
		}
	}
	for _, list := range t.walls {
		if list.first != nil && list.first.deadline < deadline {
			deadline = list.first.deadline
		}
	}
	return min(deadline, nextOf(t.others))
}

// expireTimeouts acts on everything whose time is up.
func (l *Loop) expireTimeouts() {
	t := &l.timeouts
	for node := t.header.expired(l.now); node != nil; node = t.header.expired(l.now) {
		l.headerTimedOut(node.owner.(*connection))
	}
	for node := t.idle.expired(l.now); node != nil; node = t.idle.expired(l.now) {
		l.shut(node.owner.(*connection))
	}
	for node := t.body.expired(l.now); node != nil; node = t.body.expired(l.now) {
		l.bodyTimedOut(node.owner.(*connection))
	}
	for node := t.send.expired(l.now); node != nil; node = t.send.expired(l.now) {
		l.abort(node.owner.(*connection))
	}
	for node := t.linger.expired(l.now); node != nil; node = t.linger.expired(l.now) {
		l.shut(node.owner.(*connection))
	}
	for node := t.grace.expired(l.now); node != nil; node = t.grace.expired(l.now) {
		l.shut(node.owner.(*connection))
	}
	for node := t.background.expired(l.now); node != nil; node = t.background.expired(l.now) {
		if h, isHandle := node.owner.(*handle); isHandle {
			l.handleLimit(h)
		} else {
			l.backgroundLimit(node.owner.(*exchange))
		}
	}
	for node := t.leaving.expired(l.now); node != nil; node = t.leaving.expired(l.now) {
		if h, isHandle := node.owner.(*handle); isHandle {
			l.handleLimit(h)
		} else {
			l.clientLeft(node.owner.(*connection))
		}
	}
	for _, list := range t.walls {
		for node := list.expired(l.now); node != nil; node = list.expired(l.now) {
			l.wallLimit(node.owner.(*exchange))
		}
	}
	l.expireWaiters()
}
