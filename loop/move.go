package loop

import (
	"nano/uring"
)

// A connection may change loops between two requests. Its app may live elsewhere, or this loop may
// have more to do than another: then the connection goes, with the bytes that have been received and
// not used, and the other loop goes on as if it had received them itself. A client sees nothing of it.
//
// On the way of a request this costs one atomic load (staysHere). A move itself:
//
//  1. leaves, at a request's head: answers to earlier requests are waited for (the head stays where
//     it is, and is looked at again after the last of them), then the receive is cancelled. From here
//     on the connection is in phaseMoving: what still arrives is kept, not looked at.
//  2. handOver, once nothing is in flight on it: the descriptor and all that is known go to the other
//     loop's mailbox, and the slot is free. If the other loop takes no more, the request is served here.
//  3. adopt, on the other loop: a new slot, and the request is taken up in the same tick.
//
// Nothing is lost: at each moment exactly one loop owns the descriptor and the bytes.

// moved is a connection on its way to another loop. The receiver owns the descriptor and in, which
// joins its pool of buffers.
type moved struct {
	fd      int32
	inStart int
	in      []byte
	routes  *hostRoutes
	choice  choice

	secure        bool
	hasRequested  bool
	inputEnded    bool
	isRemoteKnown bool
	isLocal       bool
	hops          uint8
	remoteLength  uint8
	remote        [remoteMax]byte
}

// Kinds of operations for messages between loops: opMessage completes where it was sent, if it fails,
// with the receiver's seat for an index, opMail where it arrives.
const (
	opMessage = opCloseRefused + 1 + iota
	opMail
)

// hopsMax bounds how often a request may be handed on while placements change under it.
const hopsMax = 3

// staysHere reports whether a request for app is served where it is, which is nearly always so.
func (l *Loop) staysHere(app *sharedApp) bool {
	return app.where.Load()&l.seatMask == l.seatBits && l.shedding == 0
}

// leaves decides what becomes of a request that has not begun and for which staysHere is false. True:
// it must not begin here, because its connection goes elsewhere, now or after the answers before it.
func (l *Loop) leaves(c *connection, app *sharedApp) bool {
	if l.draining || c.hops >= hopsMax {
		return false
	}
	to := l.destination(app)
	if to < 0 {
		return false
	}
	if c.first != nil || c.isSending || len(c.out) != 0 {
		c.blocked = true
		return true
	}
	if l.shedding > 0 {
		l.shedding--
	}
	c.phase, c.destination = phaseMoving, uint16(to)
	l.stopReceiving(c)
	return true
}

// handOver gives a connection on which nothing is in flight any more to the loop that it goes to.
func (l *Loop) handOver(c *connection) {
	if c.isReady || c.isStarved || c.hasOutput {
		l.leaveLists(c)
	}
	on := message{kind: messageConnection, connection: moved{
		fd: c.fd, in: c.in, inStart: c.inStart, routes: c.routes, choice: c.choice,
		secure: c.secure, hasRequested: c.hasRequested, inputEnded: c.inputEnded,
		isRemoteKnown: c.isRemoteKnown, isLocal: c.isLocal, hops: c.hops + 1,
		remoteLength: c.remoteLength, remote: c.remote,
	}}
	if l.draining || !l.post(int(c.destination), on) {
		c.phase, c.hops = phaseOpen, hopsMax
		l.wantReady(c)
		return
	}
	c.in = nil
	l.buffers.give(c.out)
	l.connections.give(c)
}

// adopt goes on with a connection that another loop has handed over.
func (l *Loop) adopt(m *moved) {
	c := l.connections.take()
	c.fd, c.in, c.inStart, c.routes, c.choice = m.fd, m.in, m.inStart, m.routes, m.choice
	c.secure, c.hasRequested, c.inputEnded = m.secure, m.hasRequested, m.inputEnded
	c.isRemoteKnown, c.isLocal, c.hops = m.isRemoteKnown, m.isLocal, m.hops
	c.remoteLength, c.remote = m.remoteLength, m.remote
	c.phase = phaseOpen
	l.stats.Moved++
	if l.forced {
		l.abort(c)
		return
	}
	l.consumeBuffered(c)
}

// post puts a message into the mailbox of the loop on a seat, and sees to it that the loop wakes up.
// False: there is none any more.
func (l *Loop) post(to int, m message) bool {
	target := l.placement.seats[to].loop.Load()
	if target == nil || !target.mailbox.Put(m) {
		return false
	}
	if target.waker.Claim() {
		l.hasMessages = true
		l.ring.Message(uring.Pack(opMessage, 0, uint32(to)), target.ringFD, uring.Pack(opMail, 0, 0), 0)
	}
	return true
}

// messageFailed handles the completion of a message to the ring of another loop that was asleep, of
// which there is only one if the kernel could not deliver it. Then the eventfd wakes that loop.
func (l *Loop) messageFailed(to uint32) {
	l.placement.seats[to].loop.Load().waker.Signal()
}

// sendMessages submits messages before the turns, which may take long: who has been sent something
// need not wait for them.
func (l *Loop) sendMessages() error {
	l.hasMessages = false
	if len(l.runnable)+len(l.unfinished) == 0 {
		return nil // the next wait submits them
	}
	return l.ring.Enter(false, 0)
}
