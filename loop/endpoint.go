package loop

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/uring"
)

// An endpoint is our end of a socket that we opened: to an origin, a name server, whatever an app
// connects to. As with connections, a slot is reused with a new generation, and only once every operation
// of the earlier life has completed.
//
// Its life: connecting → open → closing (operations are cancelled and waited for, then the descriptor is
// closed) → free. What happens is told to its handler. After close, and after failed, only closed
// follows; whoever kept a pointer must forget it then.
type endpoint struct {
	slot
	loop       *Loop
	handler    endpointHandler
	fd         int32
	inFlight   int32 // operations that have not completed
	phase      endpointPhase
	isDatagram bool
	isAdopted  bool       // it was a client's connection, and counts as such
	app        *appWorker // whose it is, see outbound; nil: nobody's

	isPaused      bool       // nothing is received
	receiving     bool       // a receive is armed: a multishot one, one into bulk, or
	isPolling     bool       // it is awaited that there is something for a pipe
	cancelling    bool       // and its cancellation is under way
	inputEnded    bool       // the other end has shut its side
	isBulk        bool       // much is to come
	isWary        bool       // much is likely to follow what comes next
	isNonblocking bool       // sockets.neverWait was called
	isPipeless    bool       // nothing can be spliced from it
	isStarved     bool       // on endpoints.starved
	hasOutput     bool       // on endpoints.outgoing
	isSending     bool       // a send is in flight
	finishing     bool       // our side is to be shut once all is sent
	finished      bool       // and was
	broken        unix.Errno // why nothing can be sent any more, while the last of the input is awaited

	bulk      []byte  // of the pool: what is being received into; nil: provided buffers
	room      int     // bytes of the next large receive, within the loop's pace
	narrowing uint8   // how often what that takes at a time is halved for a pipe
	outputAt  int64   // when one was last sent on as it is
	out       []piece // not handed to the kernel yet
	sending   piece   // in flight, from sent on
	sent      int
	flight    flight
	waiting   int // bytes of out and of sending that have not left

	sendTimeout timeoutNode

	remote  netip.AddrPort
	address [uring.AddressMax]byte // of remote, as the kernel wants it
}

// An endpointHandler is told what becomes of an endpoint. It may call any method of the endpoint, and
// replace endpoint.handler.
type endpointHandler interface {
	// connected says that the connect has succeeded.
	connected()
	// received brings bytes, valid during the call; of a datagram socket one datagram. nil: the other
	// end has ended its stream. A few more bytes may come after pause.
	received(data []byte)
	// sent says that bytes have left; endpoint.queued tells how many are still waiting.
	sent()
	// failed says that the connect failed, or that the connection broke. The endpoint is closed.
	failed(errno unix.Errno)
	// closed is the last call, once the descriptor is closed.
	closed()
}

// A pipeHandler is an endpointHandler that can take much in pipes.
type pipeHandler interface {
	endpointHandler
	// takesPipes reports whether what comes next is to be received into a pipe.
	takesPipes() bool
	// pipeRoom is asked when something has come: how many bytes of it are to be received. 0: none now, and either
	// pause was called or takesPipes has changed.
	pipeRoom() int
	// receivedPipe is received for what a pipe holds, which is the handler's from then on.
	receivedPipe(p *pipe)
}

type endpointPhase uint8

const (
	endpointFree endpointPhase = iota
	endpointConnecting
	endpointOpen
	endpointClosing
)

// A piece is memory to be sent: a buffer of the loop's pool, or the body of a block.
type piece struct {
	data  []byte
	block Block
}

// pieceMax is up to where writes are gathered in one piece.
const pieceMax = 32 << 10

// Kinds of operations on endpoints; the index is the endpoint's.
const (
	opEndpoint uint8 = iota + 64 // from here on
	opEndpointConnect
	opEndpointReceive
	opEndpointSend
	opEndpointShutdown
	opEndpointCancel
	opEndpointClose
)

// endpoints are the slots of a loop.
type endpoints struct {
	slots[endpoint, *endpoint]
	starved  []*endpoint // they found no provided buffer
	outgoing []*endpoint // they have output
	bulks    int         // they and connections that receive into a buffer of their own
	posted   int         // bytes of these buffers
}

// give makes a slot free again. Nothing may be in flight on it, and no list name it.
func (s *endpoints) give(e *endpoint) {
	if e.inFlight != 0 {
		panic("loop: endpoint slot freed with operations in flight")
	}
	if e.isStarved {
		s.starved = without(s.starved, e)
	}
	if e.hasOutput {
		s.outgoing = without(s.outgoing, e)
	}
	*e = endpoint{slot: e.next(), out: e.out[:0]}
	s.slots.give(e.index)
}

// outbound counts the endpoints of all loops, and the descriptors of their pipes, which must leave descriptors for clients, and those of one
// app for other apps.
type outbound struct {
	open    atomic.Int64
	pipes   atomic.Int64 // of these
	limit   int64
	catalog *catalog
}

// mayOpen reports whether an app may have one more endpoint: as many as are left for all. So one that
// takes what it gets has half of them, two have a third each, and there is always something left.
func (o *outbound) mayOpen(app *sharedApp) bool {
	return o.catalog.live.Load() < 2 || app.outbound.Load() < o.limit-o.open.Load()
}

// owned notes that an endpoint is an app's.
func (e *endpoint) owned(app *appWorker) {
	e.app = app
	app.endpoints++
	app.shared.outbound.Add(1)
}

// newOutbound lets endpoints have three quarters of the files that the process may open.
func newOutbound(c *catalog) *outbound {
	o := &outbound{limit: math.MaxInt64, catalog: c}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		o.limit = int64(min(files.Cur, math.MaxInt64/4) / 4 * 3)
	}
	return o
}

// connect opens a socket and begins to connect it. What becomes of it is told to handler in a later
// tick. An errno: there is no socket (EMFILE), and no endpoint.
func (l *Loop) connect(to netip.AddrPort, isDatagram bool, handler endpointHandler) (*endpoint, unix.Errno) {
	count := l.options.outbound
	if count.open.Add(1) > count.limit {
		count.open.Add(-1)
		return nil, unix.EMFILE
	}
	fd, errno := l.options.sockets.open(to.Addr(), isDatagram)
	if errno != 0 {
		count.open.Add(-1)
		return nil, errno
	}
	e := l.endpoints.take()
	e.loop, e.handler, e.fd, e.isDatagram = l, handler, int32(fd), isDatagram
	e.phase, e.isPaused, e.remote = endpointConnecting, true, to
	e.sendTimeout.owner = e
	e.inFlight++
	l.ring.Connect(e.userData(opEndpointConnect), fd, uring.AppendAddress(e.address[:0], to))
	return e, 0
}

// resume has bytes received, from the time on that the endpoint is connected.
func (e *endpoint) resume() {
	e.isPaused = false
	if e.broken != 0 && e.phase == endpointOpen {
		e.loop.startTimeout(&e.sendTimeout, brokenPatience)
	}
	if !e.receiving && !e.isStarved && e.wantsInput() {
		e.loop.receiveFrom(e)
	}
}

// pause leaves what comes in the kernel, so that the other end has to wait. What was received before
// still comes.
func (e *endpoint) pause() {
	e.isPaused = true
	e.stopReceiving()
}

// wantsInput reports whether a receive should be armed.
func (e *endpoint) wantsInput() bool {
	return e.phase == endpointOpen && !e.isPaused && !e.inputEnded
}

const (
	// bulkSize is how much is received at a time where much is to come: provided buffers are small, since all
	// connections share them, and a megabyte that comes in by 4 KB costs twice as much as by 128 KB.
	bulkSize = 128 << 10
	// bulksMax is how many endpoints and connections of a loop may have a buffer of that size wait for what comes.
	bulksMax = 16
	// roomMax is how much is received at a time of what is passed on as it is, at a good pace. Each receive lets the
	// origin send more, and each send wakes the client up, so a megabyte costs half by 1 MB of what it costs by 128 KB.
	roomMax = 1 << 20
	// postedMax bounds the bytes of all large buffers that wait for what comes, if some are larger than bulkSize: that
	// much may be copied in one system call.
	postedMax = 8 << 20
	// sendMax bounds one send, likewise.
	sendMax = 1 << 20
)

// pace is how much a loop takes of bodies at a time.
type pace struct {
	bulk  int // bytes of a large receive
	room  int // to which it may grow
	bulks int // how many of them may wait
	flow  int // bytes that are handed on in one tick
	send  int // bytes of one send
}

var (
	normalPace = pace{bulkSize, roomMax, bulksMax, flowMax, sendMax}
	// slowPace is that of a slow loop. What all receives of a tick copy is one system call, and on a kernel without
	// preemption nobody else gets the core before it ends: here that is less than a tenth of a millisecond.
	slowPace = pace{bulkSize / 4, bulkSize / 4, bulksMax / 4, flowMax / 4, sendPieceMax}
)

// expectBulk says whether much is to come. Then what is received lies in a buffer of the pool, which the handler
// can keep: see buffers.keep.
func (e *endpoint) expectBulk(isBulk bool) {
	if e.isBulk == isBulk {
		return
	}
	e.isBulk = isBulk
	e.outputAt = e.loop.now
	if e.receiving && (!isBulk || e.loop.endpoints.bulks < e.loop.pace.bulks) {
		e.stopReceiving() // and it is armed again in the other way
	}
}

// expectHead says whether expectBulk is likely to follow what comes next, a response's head. Then that is received
// alone: a multishot receive would go on with a megabyte of the body by 4 KB before it hears of its cancellation.
func (e *endpoint) expectHead(ofBulk bool) { e.isWary = ofBulk }

// receiveFrom arms the receive.
func (l *Loop) receiveFrom(e *endpoint) {
	e.receiving = true
	e.inFlight++
	switch {
	case e.isBulk && e.takesPipes():
		e.isPolling = true
		l.ring.Poll(e.userData(opEndpointReceive), int(e.fd), unix.POLLIN)
	case e.isBulk && l.endpoints.bulks < l.pace.bulks:
		n := max(min(e.room, l.pace.room), l.pace.bulk)
		if l.endpoints.posted+n > postedMax {
			n = l.pace.bulk
		}
		l.postBulk(&e.bulk, n)
		l.ring.Recv(e.userData(opEndpointReceive), int(e.fd), e.bulk)
	case e.isWary && !e.isBulk:
		l.ring.RecvProvided(e.userData(opEndpointReceive), int(e.fd))
	default:
		l.ring.RecvMultishot(e.userData(opEndpointReceive), int(e.fd))
	}
}

// takesPipes reports whether what comes next is to be received into a pipe.
func (e *endpoint) takesPipes() bool {
	if e.isPipeless || !e.loop.mayTakePipe() {
		return false
	}
	h, ok := e.handler.(pipeHandler)
	return ok && h.takesPipes()
}

// readable goes on when there is something for a pipe. What there is stays in the socket if it is not wanted any more.
func (e *endpoint) readable(result int32) {
	l := e.loop
	e.isPolling = false
	switch {
	case !e.wantsInput(), result == -int32(unix.ECANCELED):
	case result < 0 && !isAgain(result):
		e.fail(unix.Errno(-result))
	case l.pipes.spliced < splicedMax: // else in the next tick
		e.receivePipe()
	}
	if !e.receiving && !e.isStarved && e.wantsInput() {
		l.receiveFrom(e)
	}
	e.endClosing()
}

// receivePipe receives into a pipe what has come.
func (e *endpoint) receivePipe() {
	l := e.loop
	h, ok := e.handler.(pipeHandler)
	if !ok {
		return
	}
	n := h.pipeRoom()
	if n == 0 {
		return
	}
	p := l.takePipe()
	if p == nil {
		return
	}
	if !e.isNonblocking {
		e.isNonblocking = true
		l.options.sockets.neverWait(int(e.fd))
	}
	received, errno := p.receive(l.options.sockets, e.fd, min(n, l.pace.room>>e.narrowing))
	if received > 0 {
		l.stats.BytesIn += uint64(received)
		l.pipes.spliced += received
		h.receivedPipe(p)
		e.adaptPipe()
		return
	}
	l.givePipe(p)
	switch errno {
	case 0:
		e.inputEnd()
	case unix.EAGAIN, unix.EINTR:
	case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM: // the last by a filter of system calls
		e.isPipeless = true
	default:
		e.fail(errno)
	}
}

// inputEnd handles the end of what the other end sends.
func (e *endpoint) inputEnd() {
	e.inputEnded = true
	if e.broken != 0 {
		e.fail(e.broken)
	} else if e.phase == endpointOpen {
		e.handler.received(nil)
	}
}

// postBulk takes a buffer for a receive of n bytes.
func (l *Loop) postBulk(bulk *[]byte, n int) {
	*bulk = l.buffers.take(n)[:n]
	l.endpoints.bulks++
	l.endpoints.posted += cap(*bulk)
}

// takeBulk takes the buffer of a receive that has completed out of its place, if it has one.
func (l *Loop) takeBulk(bulk *[]byte) []byte {
	buffer := *bulk
	if buffer != nil {
		*bulk = nil
		l.endpoints.bulks--
		l.endpoints.posted -= cap(buffer)
	}
	return buffer
}

const (
	// Who sends on what was received within roomGrows of the last time is given four times as much, and who takes longer
	// than roomShrinks half of it. So a transfer holds a megabyte from 20 MB/s on, and many slow clients hold little each.
	roomGrows   = 20 * int64(time.Millisecond)
	roomShrinks = 50 * int64(time.Millisecond)
)

// adapt adapts the next large receive to what became of the last one, which brought n bytes and had room for so many:
// it is large only if they are sent on as they are.
func (e *endpoint) adapt(n, room int, isOutput bool) {
	passed := e.loop.now - e.outputAt
	switch {
	case !isOutput:
		e.room = 0
		return
	case passed > roomShrinks || n < room/16:
		e.room = room / 2
	case passed <= roomGrows && n == room:
		e.room = 4 * room
	}
	e.outputAt = e.loop.now
}

// adaptPipe adapts the next piece for a pipe likewise. It may be large from the start: what is not there takes no memory.
func (e *endpoint) adaptPipe() {
	passed := e.loop.now - e.outputAt
	switch {
	case passed > roomShrinks && e.narrowing < narrowingMax:
		e.narrowing++
	case passed <= roomGrows && e.narrowing > 0:
		e.narrowing--
	}
	e.outputAt = e.loop.now
}

// narrowingMax is how often the pieces for a pipe are halved at the most: those of 1 MB to 128 KB.
const narrowingMax = 3

func (e *endpoint) stopReceiving() {
	if e.receiving && !e.cancelling {
		e.cancelling = true
		e.cancel(opEndpointReceive)
	}
}

// cancel asks the kernel for the end of an operation of this endpoint.
func (e *endpoint) cancel(kind uint8) {
	e.inFlight++
	e.loop.ring.Cancel(e.userData(opEndpointCancel), e.userData(kind))
}

// queued is how many bytes wait to be sent, or are on their way to the kernel.
func (e *endpoint) queued() int { return e.waiting }

// write sends a copy of data, with what else is written in this tick.
func (e *endpoint) write(data []byte) {
	if !e.takesOutput() || len(data) == 0 {
		return
	}
	e.waiting += len(data)
	if last := len(e.out) - 1; last >= 0 && e.out[last].block == noBlock && !e.isDatagram && len(e.out[last].data)+len(data) <= pieceMax {
		e.out[last].data = e.loop.buffers.append(e.out[last].data, data)
	} else {
		e.out = append(e.out, piece{data: e.loop.buffers.append(nil, data)})
	}
	e.wantSend()
}

// writeBuffer sends a buffer of the loop's pool, which is the endpoint's from then on.
func (e *endpoint) writeBuffer(buffer []byte) {
	if !e.takesOutput() || len(buffer) == 0 {
		e.loop.buffers.give(buffer)
		return
	}
	e.waiting += len(buffer)
	e.out = append(e.out, piece{data: buffer})
	e.wantSend()
}

// writeBlock sends the body of a block, n bytes, which is the endpoint's from then on.
func (e *endpoint) writeBlock(block Block, n int) {
	if !e.takesOutput() || n == 0 {
		e.loop.freeBlock(block)
		return
	}
	e.waiting += n
	e.out = append(e.out, piece{e.loop.options.Blocks.Memory(block, n)[isolates.HeadRoom:], block})
	e.wantSend()
}

// takesOutput reports whether what is written can still be sent.
func (e *endpoint) takesOutput() bool {
	return (e.phase == endpointConnecting || e.phase == endpointOpen) && !e.finishing
}

// finish shuts our side of the connection once all that was written is sent.
func (e *endpoint) finish() {
	if e.takesOutput() {
		e.finishing = true
		e.endOutput()
	}
}

// endOutput shuts our side, if it is time to.
func (e *endpoint) endOutput() {
	if !e.finishing || e.finished || e.phase != endpointOpen || e.waiting != 0 {
		return
	}
	e.finished = true
	if !e.loop.options.sockets.shutdownWrite(int(e.fd)) {
		e.inFlight++
		e.loop.ring.Shutdown(e.userData(opEndpointShutdown), int(e.fd), unix.SHUT_WR)
	}
}

// wantSend has the endpoint send at the end of the tick.
func (e *endpoint) wantSend() {
	if !e.hasOutput && !e.isSending && e.phase == endpointOpen {
		e.hasOutput = true
		e.loop.endpoints.outgoing = append(e.loop.endpoints.outgoing, e)
	}
}

// sendEndpoints hands to the kernel what was written in this tick.
func (l *Loop) sendEndpoints() {
	s := &l.endpoints
	for i, e := range s.outgoing {
		s.outgoing[i] = nil
		e.hasOutput = false
		if e.phase == endpointOpen && !e.isSending && len(e.out) != 0 {
			e.sendNext()
		}
	}
	s.outgoing = s.outgoing[:0]
}

// sendNext sends the next piece.
func (e *endpoint) sendNext() {
	e.sending, e.sent = e.out[0], 0
	last := copy(e.out, e.out[1:])
	e.out[last] = piece{}
	e.out = e.out[:last]
	e.sendRest()
}

// sendRest sends what is left of a piece.
func (e *endpoint) sendRest() {
	e.isSending = true
	e.inFlight++
	if e.flight.begins() {
		e.loop.startTimeout(&e.sendTimeout, e.loop.options.SendTimeout)
	}
	e.loop.sendSome(&e.flight, e.userData(opEndpointSend), e.fd, e.sending.data[e.sent:])
}

// releaseSending gives back what a send that is over used.
func (e *endpoint) releaseSending() {
	e.loop.releasePiece(&e.sending)
	e.sent, e.flight = 0, flight{}
	e.sendTimeout.stop()
}

func (l *Loop) releasePiece(p *piece) {
	if p.block != noBlock {
		l.options.Blocks.Free(p.block)
	} else {
		l.buffers.give(p.data)
	}
	*p = piece{}
}

// close ends an endpoint at once: what was not sent is dropped. The handler only hears closed.
func (e *endpoint) close() {
	if e.phase == endpointClosing || e.phase == endpointFree {
		return
	}
	wasConnecting := e.phase == endpointConnecting
	e.phase = endpointClosing
	e.sendTimeout.stop()
	for i := range e.out {
		e.loop.releasePiece(&e.out[i])
	}
	e.out, e.waiting = e.out[:0], 0
	if wasConnecting {
		e.cancel(opEndpointConnect)
	}
	e.stopReceiving()
	if e.isSending {
		e.cancel(opEndpointSend)
	}
	e.endClosing()
}

// reset is close, but the other end sees that the connection broke.
func (e *endpoint) reset() {
	if e.phase == endpointOpen {
		e.loop.options.sockets.resetOnClose(int(e.fd))
	}
	e.close()
}

// endClosing closes the descriptor once nothing else is in flight.
func (e *endpoint) endClosing() {
	if e.phase == endpointClosing && e.inFlight == 0 {
		e.inFlight++
		e.loop.ring.Close(e.userData(opEndpointClose), int(e.fd))
	}
}

// fail closes an endpoint whose connection broke.
func (e *endpoint) fail(errno unix.Errno) {
	if e.phase == endpointConnecting || e.phase == endpointOpen {
		handler := e.handler
		e.close()
		handler.failed(errno)
	}
}

// timedOut implements waiter: a send has not moved on for too long.
func (e *endpoint) timedOut(*timeoutNode) {
	if e.broken != 0 {
		e.fail(e.broken)
		return
	}
	e.fail(unix.ETIMEDOUT)
}

// endpointCompleted handles the completion of an operation of an endpoint.
func (l *Loop) endpointCompleted(kind uint8, generation, index uint32, completion *uring.Completion) {
	e := l.endpoints.at(index)
	if e.generation != generation || e.phase == endpointFree {
		panic("loop: completion for an endpoint that is closed")
	}
	if kind == opEndpointReceive {
		e.receiveCompleted(completion)
		return
	}
	e.inFlight--
	switch kind {
	case opEndpointConnect:
		e.connectCompleted(completion.Result)
	case opEndpointSend:
		e.sendCompleted(completion.Result)
	case opEndpointClose:
		handler := e.handler
		if app := e.app; app != nil {
			app.endpoints--
			app.shared.outbound.Add(-1)
		}
		if !e.isAdopted {
			l.options.outbound.open.Add(-1)
		}
		l.endpoints.give(e)
		handler.closed()
		return
	}
	e.endClosing()
}

func (e *endpoint) connectCompleted(result int32) {
	if e.phase != endpointConnecting {
		return
	}
	e.phase = endpointOpen
	if result < 0 {
		e.fail(unix.Errno(-result))
		return
	}
	if !e.isPaused {
		e.loop.receiveFrom(e)
	}
	if len(e.out) != 0 {
		e.wantSend()
	}
	e.endOutput()
	e.handler.connected()
}

// receiveCompleted handles a completion of a receive.
func (e *endpoint) receiveCompleted(completion *uring.Completion) {
	l := e.loop
	if !completion.More() {
		e.receiving, e.cancelling = false, false
		e.inFlight--
	}
	if e.isPolling {
		e.readable(completion.Result)
		return
	}
	id, hasBuffer := completion.Buffer()
	bulk := l.takeBulk(&e.bulk)
	isOpen := e.phase == endpointOpen
	switch n := completion.Result; {
	case n > 0 && hasBuffer:
		l.stats.BytesIn += uint64(n)
		if isOpen {
			e.handler.received(l.ring.Buffer(id, int(n)))
		}
	case n > 0:
		l.stats.BytesIn += uint64(n)
		if isOpen {
			l.buffers.offered, l.buffers.isOutput = bulk[:n], false
			e.handler.received(bulk[:n])
			e.adapt(int(n), len(bulk), l.buffers.isOutput)
			if l.buffers.offered == nil {
				bulk = nil // it was kept
			}
			l.buffers.offered = nil
		}
	case n == 0 && e.isDatagram: // an empty one
	case n == 0:
		e.inputEnd()
	case n == -int32(unix.ENOBUFS):
		// Buffers come back at the end of this phase: armed again there.
		l.stats.Starved++
		if isOpen && !e.isStarved && !e.receiving {
			e.isStarved = true
			l.endpoints.starved = append(l.endpoints.starved, e)
		}
	case n == -int32(unix.ECANCELED), n == -int32(unix.EINTR), n == -int32(unix.EAGAIN):
		// Ours, or nothing of importance: armed again below if still wanted.
	default:
		e.fail(unix.Errno(-n))
	}
	if hasBuffer {
		l.ring.ReturnBuffer(id)
	}
	l.buffers.give(bulk)
	if !e.receiving && !e.isStarved && e.wantsInput() {
		l.receiveFrom(e)
	}
	e.endClosing()
}

// feedStarvedEndpoints arms the receives again that found no provided buffer.
func (l *Loop) feedStarvedEndpoints() {
	s := &l.endpoints
	for i, e := range s.starved {
		s.starved[i] = nil
		e.isStarved = false
		if !e.receiving && e.wantsInput() {
			l.receiveFrom(e)
		}
	}
	s.starved = s.starved[:0]
}

// sendCompleted handles the completion of a send.
func (e *endpoint) sendCompleted(result int32) {
	l := e.loop
	e.isSending = false
	if e.flight.landed(result) {
		e.sendTimeout.stop()
	}
	if e.phase != endpointOpen {
		e.releaseSending()
		return
	}
	switch {
	case result > 0:
		l.stats.BytesOut += uint64(result)
		e.sent += int(result)
		e.waiting -= int(result)
	case isAgain(result):
	default:
		e.outputBroke(unix.Errno(-result))
		return
	}
	if e.sent < len(e.sending.data) {
		e.sendRest()
	} else {
		e.releaseSending()
		if len(e.out) != 0 {
			e.sendNext()
		}
		e.endOutput()
	}
	if result > 0 {
		e.handler.sent()
	}
}

// outputBroke handles a send that failed. The other end may have said why before it closed (a server
// that refuses a body answers first), so what can still be received is waited for.
func (e *endpoint) outputBroke(errno unix.Errno) {
	if errno == 0 { // nothing was sent, and nothing said why
		errno = unix.EPIPE
	}
	e.releaseSending()
	if e.inputEnded || e.isDatagram {
		e.fail(errno)
		return
	}
	e.broken, e.finishing, e.finished = errno, true, true
	for i := range e.out {
		e.loop.releasePiece(&e.out[i])
	}
	e.out, e.waiting = e.out[:0], 0
	e.loop.startTimeout(&e.sendTimeout, brokenPatience)
	e.handler.sent()
}

// brokenPatience bounds the wait for the last of the input once nothing can be sent any more, from when it
// was last resumed. Who writes and never reads hears of the failure then.
const brokenPatience = 5 * time.Second

// closeEndpoints fails all that are open: the loop ends.
func (l *Loop) closeEndpoints() {
	for _, chunk := range l.endpoints.chunks {
		if chunk == nil {
			continue
		}
		for i := range chunk {
			chunk[i].fail(unix.ECANCELED)
		}
	}
}

// A waiter is told when the time of one of its nodes is up.
type waiter interface {
	timedOut(node *timeoutNode)
}

// startTimeout lets a node with a waiter wait for a length of time, of which there must be few
// different ones: each has its list.
func (l *Loop) startTimeout(node *timeoutNode, length time.Duration) {
	t := &l.timeouts
	for _, list := range t.others {
		if list.duration == int64(length) {
			list.start(node, l.now)
			return
		}
	}
	list := &timeoutList{duration: int64(length)}
	t.others = append(t.others, list)
	list.start(node, l.now)
}

// nextOf is the earliest deadline of some lists, or never.
func nextOf(lists []*timeoutList) int64 {
	deadline := int64(never)
	for _, list := range lists {
		if list.first != nil && list.first.deadline < deadline {
			deadline = list.first.deadline
		}
	}
	return deadline
}

// expireWaiters tells those whose time is up.
func (l *Loop) expireWaiters() {
	t := &l.timeouts
	for i := 0; i < len(t.others); i++ { // a waiter may add to them
		list := t.others[i]
		for node := list.expired(l.now); node != nil; node = list.expired(l.now) {
			node.owner.(waiter).timedOut(node)
		}
	}
}
