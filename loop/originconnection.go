package loop

import (
	"math"
	"time"

	"golang.org/x/sys/unix"

	"nano/http1"
)

// An originConnection is an HTTP/1.1 connection to an origin. It carries one request at a time, without
// pipelining, and implements carrier for it. Slots are reused once closed has come.
//
// Its life: idle ⇄ carrying a request (→ draining: the rest of a response that nobody wants is read off) →
// closed. What has come in is parsed where it was received; only what cannot be used yet is kept in in.
type originConnection struct {
	loop      *Loop
	origin    *origin
	transport transport // nil: closed
	fetch     *fetch    // whose request is carried; nil: none, or draining
	timeout   timeoutNode

	previousIdle, nextIdle *originConnection // of the origin
	older, newer           *originConnection // of all idle ones of the loop

	isIdle     bool
	isReused   bool // a response came over it before
	isDraining bool
	isLast     bool // no request may follow
	isPaused   bool // the fetch has no room
	isStopped  bool // so much has come that nothing is received
	isBulk     bool // the transport knows that much is to come
	wasBulk    bool // and knew it of the last response
	hasEnded   bool // the origin has shut its side; bytes before that are in in
	isSending  bool // the request's body is not complete
	isChunked  bool // and has chunked transfer coding
	hasBegun   bool // a byte of the response has come

	inBody           bool // the head of the response has come
	toHead           bool // it answers a HEAD request
	interim          uint8
	framing          http1.Framing
	missing          int64 // bytes of the body, if it has a length
	decoder          http1.ChunkDecoder
	keepAliveSeconds int32 // as the origin said; -1: it did not

	in      []byte      // received and not used up: from inStart
	inStart int         //
	later   [][]byte    // what follows in, received while the fetch has no room
	kept    int         // bytes of all that
	partial *http1.Head // how far parsing a head came that is still incomplete
}

const (
	// originHeadMax bounds a response head, in bytes.
	originHeadMax = http1.MaxHeadLength
	// interimMax bounds the interim responses (1xx) before a response.
	interimMax = 32
	// originInputMax is how much is received that cannot be used yet: then the origin has to wait.
	originInputMax = 64 << 10
	// originPieceMax is how much of that lies in one buffer.
	originPieceMax = 128 << 10
	// originOutputMax is how much of a request's body waits to be sent: then its source has to wait.
	originOutputMax = 64 << 10
	// bodyWithHead is up to which length a body is sent together with the head.
	bodyWithHead = 16 << 10
	// What is left of a response that nobody wants is read off if it is no more than that, and comes within
	// that time: cheaper than another connection.
	drainMax  = 32 << 10
	drainTime = time.Second
)

// From these lengths on a body is received in large pieces. The origin of one of unknown length must have had to wait
// once. Only tests change them.
var (
	bulkFrom       = int64(256 << 10) // from a client
	originBulkFrom = int64(64 << 10)  // from an origin: usually it goes on to a client
)

func (l *Loop) takeOriginConnection() *originConnection {
	if spare := l.origins.connections.take(); spare != nil {
		return spare
	}
	c := &originConnection{loop: l, keepAliveSeconds: -1}
	c.timeout.owner = c
	return c
}

// begin sends the request of a fetch. False: it could not be formatted, and has failed.
func (c *originConnection) begin(f *fetch) bool {
	l := c.loop
	head := &l.origins.head
	f.describe(head)
	buffer := l.buffers.take(originHeadRoom + len(head.Method) + len(head.Target) + len(head.Host) + len(head.Head) + len(head.ProxyAuthorization) + min(len(f.content), bodyWithHead))
	buffer, err := http1.AppendRequestHead(buffer, head)
	if err != nil {
		l.buffers.give(buffer)
		f.fail(f.fault("the request cannot be sent: " + err.Error()))
		return false
	}
	c.fetch, c.isDraining, c.isLast = f, false, false
	c.inBody, c.hasBegun, c.isPaused, c.interim = false, false, false, 0
	c.toHead, c.isChunked = f.isHead(), head.Chunked
	c.isSending = f.from != nil
	if c.isSending || len(f.content) > bodyWithHead {
		c.isSending = true
		c.transport.writeBuffer(buffer)
	} else {
		c.transport.writeBuffer(append(buffer, f.content...))
	}
	f.carried(c)
	return true
}

// originHeadRoom is what AppendRequestHead needs beside the texts.
const originHeadRoom = 256

// writeBody implements carrier.
func (c *originConnection) writeBody(data []byte) (more bool) {
	t := c.transport
	if c.isChunked {
		c.loop.scratch = http1.AppendChunkHead(c.loop.scratch[:0], len(data))
		t.write(c.loop.scratch)
	}
	t.write(data)
	if c.isChunked {
		t.write(chunkEnd)
	}
	return t.queued() < originOutputMax
}

var (
	chunkEnd  = []byte(http1.ChunkEnd)
	lastChunk = []byte(http1.LastChunk)
)

// writeBodyBlock implements carrier.
func (c *originConnection) writeBodyBlock(block Block, n int) (more bool) {
	t := c.transport
	if c.isChunked {
		c.loop.scratch = http1.AppendChunkHead(c.loop.scratch[:0], n)
		t.write(c.loop.scratch)
	}
	t.writeBlock(block, n)
	if c.isChunked {
		t.write(chunkEnd)
	}
	return t.queued() < originOutputMax
}

// endBody implements carrier.
func (c *originConnection) endBody() {
	c.isSending = false
	if c.isChunked {
		c.transport.write(lastChunk)
	}
}

// sent implements endpointHandler.
func (c *originConnection) sent() {
	if c.fetch != nil && c.isSending && c.transport.queued() <= originOutputMax/2 {
		c.fetch.bodyRoom()
	}
}

// connected implements endpointHandler; the connection was made before this was its handler.
func (c *originConnection) connected() {}

// received implements endpointHandler.
func (c *originConnection) received(data []byte) {
	switch {
	case c.transport == nil:
		return
	case c.fetch == nil && !c.isDraining:
		// Nothing is to come: an origin that closes, or that has lost count of its responses.
		c.close()
		return
	case data == nil:
		c.hasEnded = true
		if !c.isPaused {
			c.inputEnd()
		}
		return
	}
	switch {
	case c.in == nil:
		used := c.consume(data)
		if used < len(data) && c.transport != nil {
			c.keep(data[used:])
		}
	case c.isPaused:
		c.keep(data)
	default: // an incomplete head
		c.keep(data)
		c.consumeKept()
	}
	c.limitInput()
}

// keep keeps what cannot be used yet: a head in one piece, a body in pieces that are not larger than the
// buffers of the pool, however much of it comes at a time.
func (c *originConnection) keep(data []byte) {
	pool := &c.loop.buffers
	c.kept += len(data)
	last := len(c.later) - 1
	switch {
	case last < 0 && (!c.isPaused || c.in == nil || len(c.in)+len(data) <= originPieceMax):
		c.in = pool.append(c.in, data)
	case last >= 0 && len(c.later[last])+len(data) <= originPieceMax:
		c.later[last] = pool.append(c.later[last], data)
	default:
		c.later = append(c.later, pool.append(nil, data))
	}
}

// dropKept forgets all that was kept.
func (c *originConnection) dropKept() {
	c.loop.buffers.give(c.in)
	for i, piece := range c.later {
		c.loop.buffers.give(piece)
		c.later[i] = nil
	}
	c.in, c.inStart, c.later, c.kept = nil, 0, c.later[:0], 0
}

// limitInput makes the origin wait if too much has come in that has to wait here.
func (c *originConnection) limitInput() {
	if c.isPaused && c.transport != nil && (c.isBulk || c.kept >= originInputMax) {
		c.isStopped = true
		c.expectBulk(c.inBody)
		c.transport.pause()
	}
}

// expectHead notes whether the next response may well be one of which much is to come.
func (c *originConnection) expectHead(ofBulk bool) {
	if e, ok := c.transport.(*endpoint); ok {
		e.expectHead(ofBulk)
	}
}

// expectBulk notes whether much of a body is to come.
func (c *originConnection) expectBulk(isBulk bool) {
	c.wasBulk = c.wasBulk || isBulk
	if e, ok := c.transport.(*endpoint); ok && c.isBulk != isBulk {
		c.isBulk = isBulk
		e.expectBulk(isBulk)
	}
}

// letInput is the opposite.
func (c *originConnection) letInput() {
	if c.isStopped {
		c.isStopped = false
		c.transport.resume()
	}
}

// consumeKept uses up what it can of what was kept. A piece is nobody else's meanwhile: closing the
// connection does not free what a response's head is being read from.
func (c *originConnection) consumeKept() {
	for c.in != nil {
		piece, start := c.in, c.inStart
		c.in, c.inStart = nil, 0
		used := c.consume(piece[start:])
		if c.transport == nil {
			c.loop.buffers.give(piece)
			return
		}
		c.kept -= used
		if start += used; start < len(piece) {
			c.in, c.inStart = piece, start
			return
		}
		c.loop.buffers.give(piece)
		if len(c.later) != 0 {
			c.in = c.later[0]
			last := copy(c.later, c.later[1:])
			c.later[last] = nil
			c.later = c.later[:last]
		}
	}
}

// consume takes what it can off the start of input, and returns how much that is: all of it, but for an
// incomplete head and for what has to wait for resume.
func (c *originConnection) consume(input []byte) (used int) {
	for used < len(input) && c.transport != nil && !c.isPaused {
		rest := input[used:]
		n := 0
		switch {
		case c.fetch == nil && !c.isDraining:
			c.close() // more than the response
			return len(input)
		case c.inBody:
			n = c.consumeBody(rest)
		default:
			n = c.consumeHead(rest)
		}
		if n == 0 {
			break
		}
		used += n
	}
	return used
}

// consumeHead takes a response head off the start of input, and with it the body if it is complete there.
func (c *originConnection) consumeHead(input []byte) (used int) {
	c.hasBegun = true
	l := c.loop
	head := l.head
	if c.partial != nil {
		head = c.partial
	}
	err := head.ParseResponse(input, originHeadMax)
	switch {
	case err == http1.ErrIncomplete:
		if c.partial == nil {
			c.partial, l.head = head, l.takeHead()
		}
		return 0
	case err != nil:
		c.lose("the origin's response is not HTTP: " + err.Error())
		return 0
	}
	defer c.givePartial()
	if head.Status < 200 && head.Status != 101 {
		if c.interim++; c.interim > interimMax {
			c.lose("the origin sent too many interim responses")
			return 0
		}
		return head.Length
	}
	c.expectHead(false) // it is here
	c.wasBulk = false
	if head.Status == 101 {
		return c.switchProtocol(head, input)
	}
	c.framing, c.missing, c.decoder = head.Framing(c.toHead), head.ContentLength, http1.ChunkDecoder{}
	c.isLast = c.isLast || !head.KeepAlive || c.framing == http1.FramingClose
	if head.KeepAliveSeconds >= 0 {
		c.keepAliveSeconds = head.KeepAliveSeconds
	}
	body, n, whole := c.wholeBody(input[head.Length:])
	f := c.fetch
	if whole {
		used = head.Length + n
		c.isLast = c.isLast || used < len(input) // what follows belongs to nothing
		c.finish()
		f.responded(input[:head.Length], head, body, true)
		return used
	}
	c.inBody = true
	c.expectBulk(c.framing == http1.FramingLength && c.missing >= originBulkFrom)
	f.responded(input[:head.Length], head, nil, false)
	if c.isBulk && c.fetch == f { // how to receive it depends on who takes it
		c.isPaused = true
		f.holdUp()
	}
	return head.Length
}

// givePartial gives back what an incomplete head needed.
func (c *originConnection) givePartial() {
	if c.partial != nil {
		c.loop.giveHead(c.partial)
		c.partial = nil
	}
}

// wholeBody returns the body of a response if it is complete in what was received with its head. n is how
// much of rest it takes up there.
func (c *originConnection) wholeBody(rest []byte) (body []byte, n int, whole bool) {
	switch c.framing {
	case http1.FramingNone:
		return nil, 0, true
	case http1.FramingLength:
		if int64(len(rest)) < c.missing {
			return nil, 0, false
		}
		n = int(c.missing)
		return rest[:n], n, true
	case http1.FramingChunked:
		return c.wholeChunks(rest)
	}
	return nil, 0, false
}

// wholeChunks is wholeBody for a chunked one: a single chunk is given where it lies, several are copied
// together.
func (c *originConnection) wholeChunks(rest []byte) (body []byte, n int, whole bool) {
	var decoder http1.ChunkDecoder
	pieces := 0
	for n < len(rest) {
		data, consumed, done, err := decoder.Decode(rest[n:])
		if err != nil {
			return nil, 0, false // found again, and told, when the body is read
		}
		n += consumed
		switch {
		case len(data) == 0:
		case pieces == 0:
			body = data
			pieces = 1
		default:
			if pieces == 1 {
				c.loop.origins.chunks = append(c.loop.origins.chunks[:0], body...)
			}
			pieces++
			c.loop.origins.chunks = append(c.loop.origins.chunks, data...)
			body = c.loop.origins.chunks
		}
		if done {
			return body, n, true
		}
	}
	return nil, 0, false
}

// switchProtocol hands the connection to whoever has asked for another protocol on it.
func (c *originConnection) switchProtocol(head *http1.Head, input []byte) (used int) {
	f := c.fetch
	if f.upgrade == nil {
		c.lose("the origin went over to another protocol, which was not asked for")
		return 0
	}
	t := c.transport
	c.fetch, c.transport = nil, nil
	c.leaveOrigin()
	f.switched(t, input[:head.Length], head, input[head.Length:])
	return len(input)
}

// consumeBody takes bytes of the body off the start of input.
func (c *originConnection) consumeBody(input []byte) (used int) {
	var data []byte
	done := false
	switch c.framing {
	case http1.FramingChunked:
		var err error
		if data, used, done, err = c.decoder.Decode(input); err != nil {
			c.lose("the origin sent a malformed chunk: " + err.Error())
			return len(input)
		}
	case http1.FramingLength:
		used = int(min(int64(len(input)), c.missing))
		data = input[:used]
		c.missing -= int64(used)
		done = c.missing == 0
	default:
		data, used = input, len(input)
	}
	f := c.fetch
	if len(data) != 0 && f != nil {
		more := f.receive(data)
		switch {
		case c.fetch == f:
			c.isPaused = !more
		case !c.isDraining: // abandoned from within, and closed
			return len(input)
		default:
			f = nil
		}
	}
	if done {
		c.isLast = c.isLast || used < len(input)
		c.bodyWhole(f)
	}
	return used
}

// bodyWhole ends a response whose body has come in whole; f is whose it is, or nil.
func (c *originConnection) bodyWhole(f *fetch) {
	c.isPaused = false
	c.finish()
	if f != nil {
		f.received(nil)
	}
}

// takesPipes implements pipeHandler. The bytes of a body with content-length go on as they are.
func (c *originConnection) takesPipes() bool {
	return c.inBody && c.framing == http1.FramingLength && !c.isPaused && c.in == nil && c.fetch != nil && c.fetch.takesPipes()
}

// pipeRoom implements pipeHandler.
func (c *originConnection) pipeRoom() int {
	switch {
	case !c.takesPipes():
		return 0
	case !c.fetch.mayReceivePipe():
		c.isPaused = true
		c.limitInput()
		return 0
	}
	return int(min(c.missing, math.MaxInt32))
}

// receivedPipe implements pipeHandler.
func (c *originConnection) receivedPipe(p *pipe) {
	f := c.fetch
	c.missing -= int64(p.held)
	p.more = p.more && c.missing != 0
	c.isPaused = !f.receivePipe(p)
	if c.missing == 0 {
		c.bodyWhole(f)
	}
	c.limitInput()
}

// resume implements carrier.
func (c *originConnection) resume() {
	c.isPaused = false
	if c.in != nil {
		c.consumeKept()
	}
	switch {
	case c.transport == nil || c.fetch == nil || c.isPaused:
	case c.hasEnded:
		c.inputEnd()
	default:
		c.letInput()
	}
}

// inputEnd handles the end of what the origin sends, after all that came before was used.
func (c *originConnection) inputEnd() {
	f := c.fetch
	switch {
	case f == nil:
		c.close()
	case !c.hasBegun:
		c.loseAs("the origin closed the connection without an answer", true)
	case !c.inBody:
		c.lose("the origin closed the connection before the whole response head had come")
	case c.framing == http1.FramingClose && isTruncated(c.transport):
		c.lose("the origin ended the connection without the close_notify of TLS, so the body may not be whole")
	case c.framing == http1.FramingClose:
		c.fetch = nil
		c.close()
		f.received(nil)
	default:
		c.lose("the origin closed the connection before the whole body had come")
	}
}

// failed implements endpointHandler.
func (c *originConnection) failed(errno unix.Errno) {
	if c.transport == nil {
		return
	}
	c.loseAs(failureText(c.transport, errno), !c.hasBegun)
}

// closed implements endpointHandler: nothing refers to the connection any more.
func (c *originConnection) closed() {
	*c = originConnection{loop: c.loop, later: c.later[:0], keepAliveSeconds: -1}
	c.timeout.owner = c
	c.loop.origins.connections.give(c, originSparesMax)
}

// lose closes the connection because of what the origin has done.
func (c *originConnection) lose(why string) { c.loseAs(why, false) }

// loseAs closes the connection. isUnanswered: nothing of a response has come. If the connection was idle
// before, it may have been closed before the request reached the origin.
func (c *originConnection) loseAs(why string, isUnanswered bool) {
	f, isStale := c.fetch, isUnanswered && c.isReused
	c.fetch = nil
	c.close()
	if f != nil {
		f.lost(f.fault(why), isStale)
	}
}

// finish is called when the response is complete: the connection is free for the next request, if it can
// be used again.
func (c *originConnection) finish() {
	c.fetch, c.isDraining, c.inBody = nil, false, false
	c.isReused = true
	c.expectBulk(false)
	c.expectHead(c.wasBulk)
	if c.isLast || c.isSending || c.hasEnded {
		c.close() // an origin that answers early does not want the rest of the request
		return
	}
	c.timeout.stop()
	c.letInput()
	c.origin.serve(c)
}

// abandon implements carrier.
func (c *originConnection) abandon() {
	c.fetch = nil
	canDrain := c.inBody && c.framing == http1.FramingLength && c.missing-int64(c.kept) <= drainMax
	if !canDrain || c.isLast || c.isSending || c.hasEnded || c.transport == nil {
		c.close()
		return
	}
	c.isDraining = true
	c.expectBulk(false)
	c.loop.startTimeout(&c.timeout, drainTime)
	c.resumeDraining()
}

// resumeDraining goes on with what came in and was not used.
func (c *originConnection) resumeDraining() {
	c.isPaused = false
	c.letInput()
	if c.in != nil {
		c.consumeKept()
	}
}

// timedOut implements waiter: it was idle, or draining, for long enough.
func (c *originConnection) timedOut(*timeoutNode) { c.close() }

// close closes the connection; its fetch has been told, or has been taken off.
func (c *originConnection) close() {
	t := c.transport
	if t == nil {
		return
	}
	c.transport, c.fetch, c.isDraining = nil, nil, false
	c.timeout.stop()
	c.leaveOrigin()
	c.dropKept()
	c.givePartial()
	t.close()
}

// leaveOrigin takes the connection off its origin's books.
func (c *originConnection) leaveOrigin() {
	o := c.origin
	if c.isIdle {
		o.unpark(c)
	}
	o.open--
	o.dialMore()
}
