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
	e.ended = !record.Streaming
	if record.Pending {
		l.pendingWork++
	}
	switch {
	case e.connection == nil || e.answered:
		// The client is gone, or has had its answer from us at the wall limit.
		l.freeBlock(record.Block)
		if record.Streaming {
			l.gone(e)
		}
	default:
		e.wall.stop()
		l.writeResponse(e, record)
	}
	l.watchBackground(e)
	l.workerDone(e)
}

// watchBackground bounds the waitUntil work that goes on after an answer is complete: it keeps a
// slot and the app awake, and a drain waits for it.
func (l *Loop) watchBackground(e *exchange) {
	if e.ended && e.pending {
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
	l.workerDone(e)
}

// writeResponse formats the answer. e.worker may be done after it, the connection may be closing.
func (l *Loop) writeResponse(e *exchange, record *isolates.Record) {
	c := e.connection
	status := int(record.Status)
	e.worker.counts.answered(status)
	// RFC 9110 §6.4.1: no content for these, whatever the app says.
	bodiless := e.headOnly || status == 204 || status == 304 || status == 205
	e.answered, e.status = true, status
	e.streaming = record.Streaming && !bodiless
	e.complete = !e.streaming
	e.chunked = e.streaming && e.minor >= 1
	hasFraming := !record.Streaming || e.minor >= 1 || status == 204 || status == 304 || status == 205
	l.decideClose(e, !hasFraming)

	head := &l.responseHead
	head.Status, head.Reason, head.Head, head.Date = status, record.Reason, record.Head, l.date()
	head.Close, head.KeepAlive = e.closes, e.minor == 0 && !e.closes
	head.Chunked = e.minor >= 1
	switch {
	case record.Streaming && status != 205:
		head.ContentLength = -1
	case status == 304 && record.NoBody, status == 304 && len(record.Body) == 0:
		head.ContentLength = -1
	case status == 205:
		head.ContentLength = 0
	default:
		head.ContentLength = int64(len(record.Body))
	}
	body := record.Body
	if bodiless {
		body = nil
		if record.Streaming {
			l.gone(e)
		}
	} else {
		e.length = int64(len(body))
	}
	if record.Block != noBlock && body != nil && l.sendBlock(c, e, record) {
		l.pump(c)
		return
	}
	out := l.outputOf(e)
	*out = l.buffers.grow(*out, responseHeadRoom+len(record.Reason)+len(record.Head)+len(body))
	*out = http1.AppendResponseHead(*out, head)
	*out = append(*out, body...)
	l.freeBlock(record.Block)
	l.pump(c)
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
	if c == nil || !e.streaming || e.complete {
		l.freeBlock(record.Block)
		return
	}
	n := len(record.Body)
	if n == 0 { // it would read as the end of the body
		l.freeBlock(record.Block)
		e.worker.isolate.AddSent(e.id)
		l.wantTurn(e.worker)
		return
	}
	e.length += int64(n)
	e.hasChunk = true
	if record.Block != noBlock && l.sendChunkBlock(c, e, record) {
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
func (l *Loop) sendChunkBlock(c *connection, e *exchange, record *isolates.Record) bool {
	if c.first != e || c.isSending || len(c.out)+http1.MaxChunkHead > isolates.HeadRoom {
		return false
	}
	n := len(record.Body)
	l.scratch = append(l.scratch[:0], c.out...)
	if e.chunked {
		l.scratch = http1.AppendChunkHead(l.scratch, n)
	}
	memory := l.options.Blocks.Memory(record.Block, n)
	start := isolates.HeadRoom - len(l.scratch)
	copy(memory[start:], l.scratch)
	l.startBlock(c, record.Block, memory[start:])
	if e.chunked {
		c.out = append(l.buffers.grow(c.out, len(http1.ChunkEnd)), http1.ChunkEnd...)
	}
	return true
}

// respondEnd ends a streaming answer, from a KindEnd record.
func (l *Loop) respondEnd(e *exchange, record *isolates.Record) {
	e.ended = true
	if c := e.connection; c != nil && e.streaming && !e.complete {
		e.complete = true
		if record.Failed {
			l.breakStream(e)
		} else if e.chunked {
			out := l.outputOf(e)
			*out = append(l.buffers.grow(*out, len(http1.LastChunk)), http1.LastChunk...)
		}
		l.pump(c)
	}
	l.watchBackground(e)
	l.workerDone(e)
}

// breakStream ends a streaming answer that cannot be completed, so that the client notices: the last
// chunk is never sent. Where the end of the connection is the end of the body, only a reset tells.
func (l *Loop) breakStream(e *exchange) {
	e.complete, e.closes = true, true
	if !e.chunked {
		l.options.sockets.resetOnClose(int(e.connection.fd))
	}
}

// answerError answers with an error of ours: a plain text, and perhaps a nano-error header that
// names the limit that was hit.
func (l *Loop) answerError(e *exchange, status int, nanoError, text string) {
	lines := l.scratch[:0]
	if nanoError != "" {
		lines = append(lines, "nano-error: "...)
		lines = append(lines, nanoError...)
		lines = append(lines, "\r\n"...)
	}
	l.scratch = lines
	l.writeError(e, status, lines, text)
}

func (l *Loop) writeError(e *exchange, status int, lines []byte, text string) {
	c := e.connection
	e.wall.stop()
	e.answered, e.complete, e.status, e.length = true, true, status, int64(len(text))
	l.decideClose(e, false)
	head := &l.responseHead
	*head = http1.ResponseHead{
		Status: status, Date: l.date(), Head: lines,
		Close: e.closes, KeepAlive: e.minor == 0 && !e.closes,
	}
	out := l.outputOf(e)
	*out = l.buffers.grow(*out, 2*responseHeadRoom+len(lines)+len(text))
	*out = http1.AppendErrorResponse(*out, head, text, e.headOnly)
	if status >= 500 {
		l.stats.Errors++
	}
	if e.worker != nil {
		e.worker.counts.answered(status)
	}
	l.pump(c)
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
