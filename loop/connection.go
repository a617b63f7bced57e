package loop

import (
	"slices"

	"golang.org/x/sys/unix"

	"nano/http1"
	"nano/uring"
)

// A connection is a slot for one client. A slot is reused with a new generation, and only once
// every operation of the earlier life has completed.
//
// Its life: open (requests are read and answered) → flushing (the last answer is on its way) →
// lingering (we have shut our side; what the client still sends is thrown away until it closes) →
// closing (operations are cancelled and waited for, then the descriptor is closed) → free. Any
// step may be left out. An open one may become moving and then free: another loop has it (move.go); or
// switching and then free: a WebSocket has it (upgrade.go).
type connection struct {
	slot
	fd       int32
	inFlight int32 // operations that have not completed
	phase    phase
	secure   bool // its requests' scheme is https

	destination uint16 // the seat that a moving connection goes to
	hops        uint8  // moves since the last request that was taken up

	receiving     bool // a receive is armed: a multishot one, or one into bulk
	cancelling    bool // and its cancellation is under way
	inputEnded    bool // the client has shut its side
	stopReading   bool // no further request is taken: the last answer is decided
	hasRequested  bool // a request has come before
	blocked       bool // input waits for an answer to go out first
	isReady       bool // on loop.ready
	isStarved     bool // on loop.starved
	hasOutput     bool // on loop.outgoing
	isSending     bool // a send is in flight
	isRemoteKnown bool
	isLocal       bool // the client is on this machine

	// Requests being answered, in order of arrival.
	first, last *exchange
	outstanding int
	unsafeFirst bool // first has an unsafe method or a body: it runs alone

	in         []byte      // received and not used up: from inStart
	inStart    int         //
	partial    *http1.Head // how far parsing a head came that is still incomplete
	collecting *collector  // a small request body that is still coming in
	body       *incoming   // one that flows

	bulk         []byte // of the pool: what is being received into; nil: provided buffers
	out          []byte // formatted, for the next send
	sending      []byte // handed to the kernel: whole buffer or block
	sent         int    // bytes of sending that have left
	flight       flight // of the send
	sendingBlock Block  // if sending lies in one

	sendingIsShared bool // sending is memory that others use, too

	sendingPipe   *pipe // what is being sent instead; nil: sending
	isNonblocking bool  // sockets.neverWait was called

	socket *webSocket // that a switching connection goes to

	inputTimeout timeoutNode // header, idle, body, linger or grace
	sendTimeout  timeoutNode

	routes *hostRoutes // of the previous request, see Router.route
	choice choice      // of the next request, if it has to wait; usually none

	looking *fileEntry // at which the next request waits until somebody has looked; nil: it does not
	found   *fileFound // what was found there

	remoteLength uint8
	remote       [remoteMax]byte
}

type phase uint8

const (
	phaseFree phase = iota
	phaseOpen
	phaseMoving
	phaseSwitching
	phaseFlushing
	phaseLingering
	phaseClosing
)

// Kinds of operations, in the UserData of their completions. The index is the connection's, for
// accepts the listener's.
const (
	opReceive uint8 = iota + 1
	opSend
	opShutdown
	opCancel
	opClose
	opAccept
	opCancelAccept
	opWake
	opCancelWake
)

// connections are the slots of a loop.
type connections struct {
	slots[connection, *connection]
}

// take returns a free slot.
func (s *connections) take() *connection {
	c := s.slots.take()
	c.inputTimeout.owner, c.sendTimeout.owner = c, c
	return c
}

// give makes a slot free again. Nothing may be in flight on it.
func (s *connections) give(c *connection) {
	if c.inFlight != 0 {
		panic("loop: connection slot freed with operations in flight")
	}
	*c = connection{slot: c.next()}
	s.slots.give(c.index)
}

// taken forgets what was known of a request that had to wait, or has moved: it is taken up now.
func (c *connection) taken() {
	c.hops = 0
	if c.choice.of != nil {
		c.choice = choice{}
	}
	if c.looking != nil || c.found != nil {
		c.looking, c.found = nil, nil
	}
}

// openConnection starts to serve a descriptor that was accepted.
func (l *Loop) openConnection(fd int32, from *listener) {
	c := l.connections.take()
	c.fd, c.secure, c.phase = fd, from.secure, phaseOpen
	l.stats.Accepted++
	if l.draining {
		l.timeouts.grace.start(&c.inputTimeout, l.now)
	} else {
		l.timeouts.header.start(&c.inputTimeout, l.now)
	}
	l.receive(c)
}

// receive arms the multishot receive.
func (l *Loop) receive(c *connection) {
	c.receiving = true
	c.inFlight++
	if l.mayReceiveBulk(c) {
		l.postBulk(&c.bulk, l.pace.bulk)
		l.ring.Recv(c.userData(opReceive), int(c.fd), c.bulk)
		return
	}
	l.ring.RecvMultishot(c.userData(opReceive), int(c.fd))
}

// mayReceiveBulk reports whether much is to come and a large buffer may wait for it.
func (l *Loop) mayReceiveBulk(c *connection) bool {
	return c.body != nil && c.body.isBulk && l.endpoints.bulks < l.pace.bulks
}

// stopReceiving cancels the receive, if there is one: back-pressure, or the end.
func (l *Loop) stopReceiving(c *connection) {
	if c.receiving && !c.cancelling {
		c.cancelling = true
		c.inFlight++
		l.ring.Cancel(c.userData(opCancel), c.userData(opReceive))
	}
}

// wantsInput reports whether a receive should be armed. What has come in and cannot be used yet is
// bounded by inputMax: then the client has to wait, and the kernel makes it.
func (c *connection) wantsInput() bool {
	switch c.phase {
	case phaseOpen, phaseFlushing:
		return !c.inputEnded && !(c.blocked && len(c.in)-c.inStart >= inputMax)
	case phaseLingering:
		return !c.inputEnded
	}
	return false
}

// inputMax is how many bytes a connection buffers that have to wait: requests for earlier answers, a body
// for who reads it.
const inputMax = 16 << 10

// completed handles the completion of an operation of a connection.
func (l *Loop) completed(kind uint8, generation, index uint32, completion *uring.Completion) {
	c := l.connections.at(index)
	if c.generation != generation || c.phase == phaseFree {
		// Cannot happen while operations are counted; a buffer must not get lost all the same.
		if id, ok := completion.Buffer(); ok {
			l.ring.ReturnBuffer(id)
		}
		return
	}
	switch kind {
	case opReceive:
		l.received(c, completion)
		return
	case opSend:
		c.inFlight--
		if c.sendingPipe != nil {
			l.pipeHasRoom(c, completion.Result)
		} else {
			l.sendCompleted(c, completion.Result)
		}
	case opClose:
		c.inFlight--
		l.closed(c)
		return
	default: // opShutdown, opCancel
		c.inFlight--
	}
	l.endPhase(c)
}

// endPhase goes on with a connection whose phase lasts until nothing is in flight.
func (l *Loop) endPhase(c *connection) {
	if c.inFlight != 0 {
		return
	}
	switch c.phase {
	case phaseClosing:
		l.closeDescriptor(c)
	case phaseMoving:
		l.handOver(c)
	case phaseSwitching:
		l.becomeEndpoint(c)
	}
}

// received handles a completion of a receive.
func (l *Loop) received(c *connection, completion *uring.Completion) {
	if !completion.More() {
		c.receiving, c.cancelling = false, false
		c.inFlight--
	}
	id, hasBuffer := completion.Buffer()
	bulk := l.takeBulk(&c.bulk)
	switch n := completion.Result; {
	case n > 0:
		l.stats.BytesIn += uint64(n)
		data := bulk[:min(int(n), cap(bulk))]
		if hasBuffer {
			data = l.ring.Buffer(id, int(n))
		}
		if c.phase == phaseOpen && c.takesInput() {
			l.consume(c, data)
		} else if c.phase == phaseMoving || c.phase == phaseSwitching {
			c.in = l.buffers.append(c.in, data)
		}
	case n == 0:
		l.inputEnd(c)
	case n == -int32(unix.ENOBUFS):
		// Buffers come back at the end of this phase: armed again there.
		l.stats.Starved++
		if !c.isStarved && !c.receiving {
			c.isStarved = true
			l.starved = append(l.starved, c)
		}
	case n == -int32(unix.ECANCELED), n == -int32(unix.EINTR), n == -int32(unix.EAGAIN):
		// Ours, or nothing of importance: armed again below if still wanted.
	default:
		l.abort(c)
	}
	if hasBuffer {
		l.ring.ReturnBuffer(id)
	}
	l.buffers.give(bulk)
	switch {
	case c.inFlight == 0 && (c.phase == phaseClosing || c.phase == phaseMoving || c.phase == phaseSwitching):
		l.endPhase(c)
	case bulk != nil && c.blocked: // when there is room, see consumeBuffered
	case !c.receiving && !c.isStarved && c.wantsInput():
		l.receive(c)
	case c.receiving && !c.wantsInput():
		l.stopReceiving(c)
	}
}

// feedStarved arms the receives again that found no provided buffer.
func (l *Loop) feedStarved() {
	for i, c := range l.starved {
		l.starved[i] = nil
		c.isStarved = false
		if !c.receiving && c.wantsInput() {
			l.receive(c)
		}
	}
	l.starved = l.starved[:0]
}

// inputEnd handles the end of what the client sends. It may have shut only its own side: requests
// that have arrived are still answered.
func (l *Loop) inputEnd(c *connection) {
	c.inputEnded = true
	switch c.phase {
	case phaseLingering:
		l.shut(c)
	case phaseOpen, phaseFlushing:
		if c.body != nil {
			if c.in == nil { // else that comes first
				l.bodyCutShort(c)
			}
			return
		}
		if c.collecting != nil {
			// The rest of the body will not come.
			c.stopReading = true
			l.dropInput(c)
		}
		if e := c.first; e != nil && !e.answered {
			l.timeouts.leaving.start(&c.inputTimeout, l.now)
		}
		l.watchLeft(c)
		l.settle(c)
	}
}

// watchLeft bounds an answer that goes on for a client that has shut its side, while there is nothing to
// send: nothing is received any more, so that only a send would find out that the client is gone for good.
func (l *Loop) watchLeft(c *connection) {
	if e := c.first; c.inputEnded && !c.isSending && e != nil && e.answered {
		l.timeouts.send.start(&c.sendTimeout, l.now)
	}
}

// clientLeft tells apps that the client has most likely gone: it has shut its side, as few do who go on
// reading, and an app has not answered since. If it does, its answer is sent all the same.
func (l *Loop) clientLeft(c *connection) {
	for e := c.first; e != nil; e = e.next {
		if w := e.worker; !e.answered && e.waiting == nil && w != nil && w.isolate != nil {
			w.isolate.AddGone(e.id)
			l.wantTurn(w)
		}
	}
}

// settle moves a connection on if it has nothing more to do in its phase. Called after whatever may
// have been the last thing.
func (l *Loop) settle(c *connection) {
	if c.first != nil || c.isSending || len(c.out) != 0 || c.isReady || c.looking != nil {
		return
	}
	switch c.phase {
	case phaseOpen:
		if !c.inputEnded && !c.stopReading {
			l.waitForInput(c)
			return
		}
		// What is left of the input is an incomplete request.
		l.endOutput(c)
	case phaseFlushing:
		l.endOutput(c)
	}
}

// waitForInput starts the time-out that fits what the connection waits for.
func (l *Loop) waitForInput(c *connection) {
	t := &l.timeouts
	list := c.inputTimeout.list
	switch {
	case c.collecting != nil || c.body != nil:
		t.body.start(&c.inputTimeout, l.now)
	case len(c.in) != c.inStart:
		if list != &t.header {
			t.header.start(&c.inputTimeout, l.now)
		}
	case l.draining:
		if list != &t.grace {
			t.grace.start(&c.inputTimeout, l.now)
		}
	case c.hasRequested:
		if list != &t.idle {
			t.idle.start(&c.inputTimeout, l.now)
		}
	}
}

// endOutput closes our side after the last answer. If the client has not closed its side, bytes of
// it may be on the way that nobody will read; closing at once would make the kernel answer them
// with a reset, and a reset can overtake our answer (RFC 9112 §9.6). So linger. It costs no more
// than cancelling the receive would.
func (l *Loop) endOutput(c *connection) {
	if c.inputEnded {
		l.shut(c)
		return
	}
	c.phase = phaseLingering
	l.dropInput(c)
	if !l.options.sockets.shutdownWrite(int(c.fd)) {
		c.inFlight++
		l.ring.Shutdown(c.userData(opShutdown), int(c.fd), unix.SHUT_WR)
	}
	l.timeouts.linger.start(&c.inputTimeout, l.now)
	if !c.receiving && !c.isStarved {
		l.receive(c)
	}
}

// abort ends a connection at once: the client is gone, or has used up our patience. Its requests
// are told.
func (l *Loop) abort(c *connection) {
	if c.phase == phaseClosing || c.phase == phaseFree {
		return
	}
	for e := c.first; e != nil; e = c.first {
		l.orphan(e)
	}
	l.shut(c)
}

// shut closes a connection as soon as nothing is in flight on it. close() would not end the
// operations, so they are cancelled first and waited for.
func (l *Loop) shut(c *connection) {
	if c.phase == phaseClosing || c.phase == phaseFree {
		return
	}
	if c.first != nil {
		panic("loop: connection closed with requests unanswered")
	}
	c.phase = phaseClosing
	c.inputTimeout.stop()
	c.sendTimeout.stop()
	l.dropInput(c)
	if s := c.socket; s != nil {
		c.socket = nil
		s.neverJoined(faultClientGone)
	}
	l.buffers.give(c.out)
	c.out = nil
	l.stopReceiving(c)
	if c.isSending {
		c.inFlight++
		l.ring.Cancel(c.userData(opCancel), c.userData(opSend))
	}
	if c.inFlight == 0 {
		l.closeDescriptor(c)
	}
}

// dropInput forgets what was received and not used.
func (l *Loop) dropInput(c *connection) {
	l.buffers.give(c.in)
	c.in, c.inStart, c.blocked = nil, 0, false
	if c.partial != nil {
		l.giveHead(c.partial)
		c.partial = nil
	}
	if c.collecting != nil {
		l.giveCollector(c.collecting)
		c.collecting = nil
	}
	l.dropBody(c, faultClientGone)
}

// closeDescriptor closes a connection on which nothing is in flight any more.
func (l *Loop) closeDescriptor(c *connection) {
	c.inFlight++
	l.ring.Close(c.userData(opClose), int(c.fd))
}

// closed frees the slot. Lists of this tick may still name it, so it leaves them first.
func (l *Loop) closed(c *connection) {
	if c.isReady || c.isStarved || c.hasOutput {
		l.leaveLists(c)
	}
	l.connections.give(c)
	l.stats.Closed++
	l.options.open.Add(-1)
	l.acceptAgain()
}

// leaveLists takes a connection off the lists of this tick.
func (l *Loop) leaveLists(c *connection) {
	l.ready = without(l.ready, c)
	l.starved = without(l.starved, c)
	l.outgoing = without(l.outgoing, c)
	c.isReady, c.isStarved, c.hasOutput = false, false, false
}

// without takes item off a list, in place.
func without[T comparable](list []T, item T) []T {
	return slices.DeleteFunc(list, func(other T) bool { return other == item })
}

// send hands the formatted output of a connection to the kernel, unless a send is in flight.
func (l *Loop) send(c *connection) {
	c.hasOutput = false
	if c.isSending || c.phase == phaseClosing {
		return
	}
	if len(c.out) == 0 {
		if e := c.first; e != nil && e.isOverrun {
			l.resumeAnswer(e)
		}
		return
	}
	c.sending, c.out = c.out, nil
	l.sendPiece(c)
	if e := c.first; e != nil && len(c.sending) <= aheadMax {
		l.resumeAnswer(e)
	}
}

// aheadMax is up to how many bytes being sent the source of an answer goes on meanwhile. While more are, the kernel
// has enough to bridge the time, and a transfer does with one large buffer.
const aheadMax = bulkSize

// sendPieceMax is how much of a send must have left within SendTimeout, so that the progress of a slow client counts.
const sendPieceMax = 256 << 10

// A flight is what becomes of the sends on one socket, one at a time.
type flight struct {
	asked     int  // bytes of the last send
	passed    int  // bytes that have left since the time-out was started
	isWatched bool // the time-out runs
	isFull    bool // the socket had no room for all of the last send
}

// begins reports whether a send that is about to be made starts the time-out.
func (f *flight) begins() bool {
	wasWatched := f.isWatched
	f.isWatched = true
	return !wasWatched
}

// sendSome sends the first bytes of what is to be sent. The kernel reports a small send when all of it has left,
// which saves a completion, and of a large one, which may take a slow client minutes, what there was room for.
func (l *Loop) sendSome(f *flight, u uring.UserData, fd int32, data []byte) {
	f.asked = min(len(data), l.pace.send)
	if f.asked <= sendPieceMax {
		l.ring.Send(u, int(fd), data[:f.asked])
		return
	}
	l.ring.SendPart(u, int(fd), data[:f.asked], f.isFull)
}

// landed notes the result of a send. It reports whether the time-out is to end: for another send it starts anew.
func (f *flight) landed(result int32) bool {
	f.isFull = 0 < result && int(result) < f.asked
	f.passed += int(max(result, 0))
	if f.passed < sendPieceMax && (f.isFull || isAgain(result)) {
		return false
	}
	f.passed, f.isWatched = 0, false
	return true
}

// isAgain tells the results of an operation that is to be tried again.
func isAgain(result int32) bool { return result == -int32(unix.EINTR) || result == -int32(unix.EAGAIN) }

// sendPiece sends the next piece of what is being sent. A large one has to wait for the next tick if this one has
// enough of them.
func (l *Loop) sendPiece(c *connection) {
	c.isSending = true
	c.inFlight++ // from now on: the postponed are waited for as if the kernel had them
	if len(c.sending)-c.sent > sendPieceMax && l.largeSends >= largeSendsMax {
		l.postponed = append(l.postponed, c)
		return
	}
	l.submitPiece(c)
}

// largeSendsMax is from how many bytes of large sends on in one tick the next of them is postponed: the kernel works
// them off in one system call, which others have to wait for.
const largeSendsMax = 4 << 20

// sendPostponed sends what the last tick has postponed, or some of it.
func (l *Loop) sendPostponed() {
	l.largeSends = 0
	n := len(l.postponed)
	for i := 0; i < n; i++ {
		c := l.postponed[i]
		l.postponed[i] = nil
		switch {
		case c.phase == phaseClosing:
			c.inFlight--
			l.sendCompleted(c, -int32(unix.ECANCELED))
			l.endPhase(c)
		case l.largeSends >= largeSendsMax:
			l.postponed = append(l.postponed, c)
		default:
			l.submitPiece(c)
		}
	}
	l.postponed = l.postponed[:copy(l.postponed, l.postponed[n:])]
}

func (l *Loop) submitPiece(c *connection) {
	if c.flight.begins() {
		l.timeouts.send.start(&c.sendTimeout, l.now)
	}
	l.sendSome(&c.flight, c.userData(opSend), c.fd, c.sending[c.sent:])
	if c.flight.asked > sendPieceMax {
		l.largeSends += c.flight.asked
	}
}

// sendCompleted handles the completion of a send.
func (l *Loop) sendCompleted(c *connection, result int32) {
	c.isSending = false
	if c.flight.landed(result) {
		c.sendTimeout.stop()
	}
	if result > 0 {
		l.stats.BytesOut += uint64(result)
		c.sent += int(result)
		if c.sent < len(c.sending) && c.phase != phaseClosing {
			l.sendPiece(c)
			return
		}
	} else if c.phase != phaseClosing && isAgain(result) {
		l.sendPiece(c)
		return
	}
	c.sendTimeout.stop()
	l.releaseSending(c)
	if c.phase == phaseClosing {
		return
	}
	if result <= 0 {
		l.abort(c)
		return
	}
	l.outputLeft(c)
	l.watchLeft(c)
}

// releaseSending gives back what a send that is over used.
func (l *Loop) releaseSending(c *connection) {
	if c.sendingPipe != nil {
		l.givePipe(c.sendingPipe)
		c.sendingPipe = nil
	} else if c.sendingBlock != noBlock {
		l.options.Blocks.Free(c.sendingBlock)
		c.sendingBlock = noBlock
	} else if !c.sendingIsShared {
		l.buffers.give(c.sending)
	}
	c.sending, c.sent, c.sendingIsShared, c.flight = nil, 0, false, flight{}
}

// wantSend puts a connection on the list of those that have output.
func (l *Loop) wantSend(c *connection) {
	if !c.hasOutput {
		c.hasOutput = true
		l.outgoing = append(l.outgoing, c)
	}
}

// wantReady makes the next tick look at a connection's buffered input again.
func (l *Loop) wantReady(c *connection) {
	if !c.isReady {
		c.isReady = true
		l.ready = append(l.ready, c)
	}
}
