package loop

import (
	"nano/http1"
	"nano/isolates"
)

// Block is a large body in memory of its own; see isolates.Record.
type Block = isolates.Block

var noBlock Block

// respond begins the answer to a request, or makes all of it, from a KindRespond record.
func (l *Loop) respond(e *exchange, record *isolates.Record) {
	e.pending = record.Pending
	e.ended = !record.Streaming || record.Source != 0
	if record.Pending {
		l.pendingWork++
	}
	switch {
	case record.Status == 101:
		l.switchProtocols(e, record)
	case e.caller != nil && !e.answered:
		l.answerCaller(e, record)
	case e.connection == nil || e.answered:
		// The client is gone, or has had its answer from us at the wall limit.
		l.freeBlock(record.Block)
		if record.Source != 0 {
			l.cancelSource(e.worker, record.Source)
		} else if record.Streaming {
			l.gone(e)
		}
	default:
		e.wall.stop()
		if e.developed == nil || !l.developUncaught(e, record) {
			l.writeResponse(e, record)
		}
	}
	l.watchBackground(e)
	l.workerDone(e)
}

// watchBackground bounds the waitUntil work that goes on after an answer is complete: it keeps a
// slot and the app awake, and a drain waits for it.
func (l *Loop) watchBackground(e *exchange) {
	if e.ended && e.pending && !e.hasSwitched {
		l.timeouts.background.start(&e.wall, l.now)
	}
}

// backgroundLimit gives up waiting for waitUntil work, or for a handler that goes on though its client
// is gone. The app may go on with it, unwatched, until it sleeps.
func (l *Loop) backgroundLimit(e *exchange) {
	if e.pending {
		e.pending = false
		l.pendingWork--
	}
	e.ended = true
	l.endHandles(e)
	l.workerDone(e)
}

// writeResponse formats the answer. e.worker may be done after it, the connection may be closing.
func (l *Loop) writeResponse(e *exchange, record *isolates.Record) {
	from, f := l.sourceOf(e, record)
	if f != nil {
		l.answerError(e, 502, "", "nano: "+e.worker.name+": "+f.text)
		return
	}
	c := e.connection
	status := int(record.Status)
	l.countAnswer(e.worker, e, status)
	// RFC 9110 §6.4.1: no content for these, whatever the app says.
	bodiless := e.headOnly || status == 204 || status == 304 || status == 205
	length := bodyLength(record, from, status)
	e.answered, e.status = true, status
	e.streaming = record.Streaming && !bodiless
	e.complete = !e.streaming
	e.isSized, e.remaining = e.streaming && length >= 0, length
	e.chunked = e.streaming && e.minor >= 1 && !e.isSized
	hasFraming := length >= 0 || e.minor >= 1 || status == 204 || status == 304
	l.decideClose(e, !hasFraming)

	if e.developed != nil && !bodiless {
		length = l.developPage(e, status, record.Head, length)
	}
	head := &l.responseHead
	head.Status, head.Reason, head.Head, head.Date = status, record.Reason, record.Head, l.date()
	head.Close, head.KeepAlive, head.Upgrade = e.closes, e.minor == 0 && !e.closes, ""
	head.ContentLength, head.Chunked = length, e.minor >= 1
	body := record.Body
	if bodiless {
		body = nil
		if from != nil {
			from.cancel()
		} else if record.Streaming {
			l.gone(e)
		}
	} else {
		e.length = int64(len(body))
	}
	if record.Block != noBlock && body != nil && e.addition() == "" && l.sendBlock(c, e, record) {
		l.pump(c)
		return
	}
	out := l.outputOf(e)
	*out = l.buffers.grow(*out, responseHeadRoom+len(record.Reason)+len(record.Head)+len(body))
	*out = http1.AppendResponseHead(*out, head)
	*out = append(*out, body...)
	if e.complete {
		l.add(e)
	}
	l.freeBlock(record.Block)
	l.pump(c)
	if from != nil && e.streaming {
		e.from = from
		from.attach(e)
		from.resume()
	}
}

// bodyLength is the content-length that an answer has; -1: it is not known, or there is to be none.
func bodyLength(record *isolates.Record, from source, status int) int64 {
	switch {
	case status == 205:
		return 0
	case record.Flags&isolates.RespondFixedLength != 0:
		return record.Number
	case from != nil:
		return from.length()
	case record.Streaming:
		return -1
	case status == 304 && (record.NoBody || len(record.Body) == 0):
		return -1
	}
	return int64(len(record.Body))
}

// sourceOf takes the source that the body of an answer comes from, if it is one that the loop moves.
func (l *Loop) sourceOf(e *exchange, record *isolates.Record) (source, *fault) {
	if record.Source == 0 {
		return nil, nil
	}
	return l.takeSource(e.worker, record.Source, record.Flags&isolates.RespondRaw != 0)
}

// answerHigh is from how many bytes on an answer that the loop moves has to wait for the send before them.
// With one push more it still fits into a buffer of bulkSize.
const answerHigh = 60 << 10

// push implements sink for the answer to a request: bytes of its body.
func (e *exchange) push(data []byte) (more bool) {
	l := e.loop
	if !e.takes(len(data)) {
		return false
	}
	out := l.outputOf(e)
	if len(*out) == 0 && !e.chunked {
		if kept := l.buffers.keep(data); kept != nil {
			l.buffers.give(*out)
			*out = kept
			l.buffers.isOutput = true
			return e.pushed(len(kept))
		}
	}
	*out = l.buffers.grow(*out, http1.MaxChunkHead+len(data)+len(http1.ChunkEnd))
	if e.chunked {
		*out = http1.AppendChunkHead(*out, len(data))
	}
	*out = append(*out, data...)
	if e.chunked {
		*out = append(*out, http1.ChunkEnd...)
	}
	return e.pushed(len(*out))
}

// pushBlock implements blockSink.
func (e *exchange) pushBlock(block Block, n int) (more bool) {
	l, c := e.loop, e.connection
	if !e.takes(n) {
		l.freeBlock(block)
		return false
	}
	if l.sendChunkBlock(c, e, block, n) {
		e.isPaused = true // until the block has left
		return false
	}
	e.untake(n)
	more = e.push(l.options.Blocks.Memory(block, n)[isolates.HeadRoom:])
	l.freeBlock(block)
	return more
}

// takesPipes implements pipeSink: a body without framing of its own can be sent from a pipe.
func (e *exchange) takesPipes() bool { return e.isSized && e.connection.first == e }

// mayPushPipe implements pipeSink: what the connection has to send goes first.
func (e *exchange) mayPushPipe() bool {
	c := e.connection
	e.isPaused = c.isSending || len(c.out) != 0
	return !e.isPaused
}

// pushPipe implements pipeSink.
func (e *exchange) pushPipe(p *pipe) (more bool) {
	if !e.takes(p.held) {
		e.loop.givePipe(p)
		return false
	}
	e.isPaused = true // until all of it has left
	e.loop.startPipe(e.connection, p)
	return false
}

// takes counts n bytes of the body, unless they are more than was announced. Then the answer breaks off
// when what came before has left.
func (e *exchange) takes(n int) bool {
	if e.isSized && int64(n) > e.remaining {
		e.isOverrun, e.isPaused = true, true
		e.loop.wantSend(e.connection)
		return false
	}
	e.remaining -= int64(n)
	e.length += int64(n)
	return true
}

func (e *exchange) untake(n int) {
	e.remaining += int64(n)
	e.length -= int64(n)
}

// pushed sees to the sending of what has become output, and reports whether there may be more.
func (e *exchange) pushed(waiting int) (more bool) {
	if c := e.connection; c.first == e && !c.isSending {
		e.loop.wantSend(c)
	}
	e.isPaused = waiting >= answerHigh
	return !e.isPaused
}

// end implements sink: the body of the answer has ended.
func (e *exchange) end(f *fault) {
	e.from = nil
	e.loop.endAnswer(e, f != nil || e.isSized && e.remaining > 0)
}

// resumeAnswer goes on with the body of an answer when its connection has room for more.
func (l *Loop) resumeAnswer(e *exchange) {
	switch {
	case e.from == nil || !e.isPaused || len(e.parked) != 0:
	case e.isOverrun:
		from := e.from
		e.from = nil
		from.cancel()
		l.endAnswer(e, true)
	default:
		e.isPaused = false
		e.from.resume()
	}
}

// responseHeadRoom is what AppendResponseHead needs beside reason and header lines.
const responseHeadRoom = 200

// outputOf is where e's output goes: to the connection if e is first, else it has to wait in e.
func (l *Loop) outputOf(e *exchange) *[]byte {
	if c := e.connection; c.first == e {
		return &c.out
	}
	return &e.parked
}

// decideClose settles whether the connection ends with e's answer.
func (l *Loop) decideClose(e *exchange, closeDelimited bool) {
	c := e.connection
	last := c.last == e
	switch {
	case !e.keepAlive, closeDelimited, last && c.stopReading:
		e.closes = true
	case e.body != nil && !e.streaming && e.body.isTooMuch():
		e.closes = true
	case l.draining && l.options.listening.Load() == 0 && last && c.in == nil && c.collecting == nil:
		// Requests that have been received are all answered; this is the last one. As long as
		// any loop listens, a client that is sent away would only come back.
		e.closes = true
	}
	if e.closes {
		c.stopReading = true
	}
}

// sendBlock sends a large body from where it lies, with the head put right before it, without
// copying. Only possible if the connection has nothing else to send first; if not, false.
func (l *Loop) sendBlock(c *connection, e *exchange, record *isolates.Record) bool {
	if c.first != e || c.isSending || len(c.out) != 0 {
		return false
	}
	l.scratch = http1.AppendResponseHead(l.scratch[:0], &l.responseHead)
	if len(l.scratch) > isolates.HeadRoom {
		return false
	}
	memory := l.options.Blocks.Memory(record.Block, len(record.Body))
	start := isolates.HeadRoom - len(l.scratch)
	copy(memory[start:], l.scratch)
	l.startBlock(c, record.Block, memory[start:])
	return true
}

// startBlock sends bytes that lie in a block at once: nothing can be appended to them.
func (l *Loop) startBlock(c *connection, block Block, bytes []byte) {
	if c.out != nil {
		l.buffers.give(c.out)
		c.out = nil
	}
	c.sending, c.sendingBlock = bytes, block
	l.sendPiece(c)
}

func (l *Loop) freeBlock(block Block) {
	if block != noBlock {
		l.options.Blocks.Free(block)
	}
}

// respondChunk adds a piece to the body of a streaming answer, from a KindChunk record.
func (l *Loop) respondChunk(e *exchange, record *isolates.Record) {
	c := e.connection
	if e.caller != nil && e.streaming {
		e.caller.chunk(record)
		l.freeBlock(record.Block)
		return
	}
	if c == nil || !e.streaming || e.complete {
		l.freeBlock(record.Block)
		return
	}
	n := len(record.Body)
	if e.isSized && int64(n) > e.remaining {
		l.freeBlock(record.Block)
		l.endAnswer(e, true)
		l.gone(e)
		return
	}
	e.remaining -= int64(n)
	e.length += int64(n)
	if n == 0 { // it would read as the end of the body
		l.freeBlock(record.Block)
		e.worker.isolate.AddSent(e.id)
		l.wantTurn(e.worker)
		return
	}
	e.hasChunk = true
	if record.Block != noBlock && l.sendChunkBlock(c, e, record.Block, n) {
		return
	}
	out := l.outputOf(e)
	*out = l.buffers.grow(*out, http1.MaxChunkHead+n+len(http1.ChunkEnd))
	if e.chunked {
		*out = http1.AppendChunkHead(*out, n)
	}
	*out = append(*out, record.Body...)
	if e.chunked {
		*out = append(*out, http1.ChunkEnd...)
	}
	l.freeBlock(record.Block)
	if c.first == e {
		l.wantSend(c)
	}
}

// sendChunkBlock sends a large chunk from where it lies, without copying it. What the connection has
// as output, such as the response head, goes into the room before it. If that cannot be, false.
func (l *Loop) sendChunkBlock(c *connection, e *exchange, block Block, n int) bool {
	if c.first != e || c.isSending || len(c.out)+http1.MaxChunkHead > isolates.HeadRoom {
		return false
	}
	l.scratch = append(l.scratch[:0], c.out...)
	if e.chunked {
		l.scratch = http1.AppendChunkHead(l.scratch, n)
	}
	memory := l.options.Blocks.Memory(block, n)
	start := isolates.HeadRoom - len(l.scratch)
	copy(memory[start:], l.scratch)
	l.startBlock(c, block, memory[start:])
	if e.chunked {
		c.out = append(l.buffers.grow(c.out, len(http1.ChunkEnd)), http1.ChunkEnd...)
	}
	return true
}

// respondEnd ends a streaming answer, from a KindEnd record.
func (l *Loop) respondEnd(e *exchange, record *isolates.Record) {
	e.ended = true
	if e.connection != nil && e.streaming && !e.complete {
		l.endAnswer(e, record.Failed || e.isSized && e.remaining > 0)
	} else if to := e.caller; to != nil && e.streaming {
		l.callerDone(e)
		to.finished(faultIf(record.Failed, faultStreamFailed))
	}
	l.watchBackground(e)
	l.workerDone(e)
}

// endAnswer ends a streaming answer. Its connection is done with it if nothing is before it. broken: the
// client must see that something is missing.
func (l *Loop) endAnswer(e *exchange, broken bool) {
	e.complete = true
	if !broken {
		l.add(e)
	}
	if broken {
		l.breakStream(e)
	} else if e.chunked {
		out := l.outputOf(e)
		*out = append(l.buffers.grow(*out, len(http1.LastChunk)), http1.LastChunk...)
	}
	l.pump(e.connection)
}

// breakStream ends a streaming answer that cannot be completed, so that the client notices: the last
// chunk is never sent. Where the end of the connection is the end of the body, only a reset tells.
func (l *Loop) breakStream(e *exchange) {
	e.complete, e.closes = true, true
	e.trace.fails(spanBroken)
	if !e.chunked {
		l.options.sockets.resetOnClose(int(e.connection.fd))
	}
}

// answerError answers with an error of ours: a plain text, and perhaps a nano-error header that
// names the limit that was hit.
func (l *Loop) answerError(e *exchange, status int, nanoError, text string) {
	if e.developed != nil && e.caller == nil && l.developError(e, status, nanoError, text) {
		return
	}
	lines := l.scratch[:0]
	if nanoError != "" {
		lines = append(lines, "nano-error: "...)
		lines = append(lines, nanoError...)
		lines = append(lines, "\r\n"...)
	}
	l.scratch = lines
	e.trace.fails(nanoError)
	l.writeError(e, status, lines, text)
}

func (l *Loop) writeError(e *exchange, status int, lines []byte, text string) {
	e.wall.stop()
	e.answered, e.complete, e.status, e.length = true, true, status, int64(len(text))
	if to := e.caller; to != nil {
		l.countError(e, status)
		l.callerDone(e)
		to.refused(status, lines, text)
		return
	}
	c := e.connection
	l.decideClose(e, false)
	head := &l.responseHead
	*head = http1.ResponseHead{
		Status: status, Date: l.date(), Head: lines,
		Close: e.closes, KeepAlive: e.minor == 0 && !e.closes,
	}
	if status == 426 {
		head.Upgrade = webSocketProtocol // RFC 9110 §15.5.22
	}
	out := l.outputOf(e)
	*out = l.buffers.grow(*out, 2*responseHeadRoom+len(lines)+len(text))
	*out = http1.AppendErrorResponse(*out, head, text, e.headOnly)
	l.countError(e, status)
	l.pump(c)
}

// countError counts an answer of ours.
func (l *Loop) countError(e *exchange, status int) {
	if status >= 500 {
		l.stats.Errors++
	}
	if e.worker != nil {
		l.countAnswer(e.worker, e, status)
	}
}

// answerNoApp answers a request for a host and path that no app serves.
func (l *Loop) answerNoApp(e *exchange, head *http1.Head, headBytes []byte) {
	target := headBytes[head.TargetOffset:][:head.TargetLength]
	for i, b := range target {
		if b == '?' {
			target = target[:i]
			break
		}
	}
	host := withoutPort(headBytes[head.HostOffset:][:head.HostLength])
	text := "nano: no app for " + string(host)
	if len(target) == 0 {
		text += "/"
	}
	l.writeError(e, 404, nil, text+string(target))
}

// reject answers a request that cannot be served or understood, after the answers to the requests
// before it, and ends the connection: where the next request begins is not known.
func (l *Loop) reject(c *connection, status int, reason string) {
	if c.phase != phaseOpen {
		return
	}
	c.stopReading = true
	l.dropInput(c)
	c.inputTimeout.stop()
	e := l.open(c, nil)
	if e == nil {
		l.abort(c)
		return
	}
	l.stats.Rejected++
	l.answerError(e, status, "", "nano: "+reason)
}

// wallLimit answers for an app that has not done so in time. What it says later is dropped.
func (l *Loop) wallLimit(e *exchange) {
	e.worker.counts.WallLimit++
	l.answerError(e, 504, "wall-limit", "nano: "+e.worker.name+": wall limit exceeded")
	l.gone(e)
}

// date is the value of the date header, formatted once a second.
func (l *Loop) date() []byte {
	if second := l.wallClock / 1e9; second != l.dateSecond || len(l.dateText) == 0 {
		l.dateSecond = second
		l.dateText = http1.AppendDate(l.dateText[:0], second)
	}
	return l.dateText
}
