package loop

import (
	"nano/http1"
	"nano/isolates"
)

// A request body is there before its app is asked if it came with its head, or if it is known to be
// small: then it is gathered first, in a buffer of the pool (see collector). Any other flows: the app is
// asked at once, and what the client sends goes on from the buffer in which it was received to whoever
// takes it, as fast as that does. What is not taken is not received, so it waits in the kernel, and then
// at the client.

// gatheredMax is the largest body that is gathered, in bytes. Only tests change it.
var gatheredMax = int64(64 << 10)

// pushMax bounds what is pushed at a time, so that a sink's room is not exceeded by much.
const pushMax = 64 << 10

// flowMax is how many bytes of bodies a loop hands on in one tick, for all connections together. The rest
// waits for its turn in the next: however many clients send however much, other requests wait for the
// work that this many bytes make.
const flowMax = 256 << 10

// discardMax is how much of a body that nobody wants is read in order to keep the connection. If there
// is more, the connection ends with the answer.
const discardMax = 256 << 10

// An incoming is the body of a request that flows: the source at the connection, and the object through
// which the isolate reads it.
type incoming struct {
	loop       *Loop
	connection *connection
	app        *appWorker
	exchange   *exchange // nil: it has been answered, what still comes is thrown away
	to         sink      // nil: nobody has asked for it yet, or nobody wants it any more
	isOpen     bool      // the sink has room
	isUnwanted bool
	isBulk     bool // somebody reads it, and it is large

	chunked       bool
	wantsContinue bool  // the client waits to be asked for it
	missing       int64 // bytes of a body with content-length that have not come
	taken         int64 // bytes that have
	discarded     int64 // bytes of them that nobody wanted
	decoder       http1.ChunkDecoder

	reader bodyReader
}

// flows reports whether bytes that come in can go on.
func (b *incoming) flows() bool { return b.isOpen || b.isUnwanted && b.exchange == nil }

// attach implements source.
func (b *incoming) attach(to sink) { b.to = to }

// length implements source.
func (b *incoming) length() int64 {
	if b.chunked {
		return -1
	}
	return b.missing
}

// resume implements source. What has been received goes on in the next tick.
func (b *incoming) resume() {
	if b.isUnwanted || b.isOpen {
		return
	}
	l, c := b.loop, b.connection
	b.isOpen = true
	if !b.isBulk && !b.chunked && b.missing >= bulkFrom {
		b.isBulk = true
		if c.receiving && l.mayReceiveBulk(c) {
			l.stopReceiving(c) // and it is armed again, see receive
		}
	}
	if b.wantsContinue {
		b.wantsContinue = false
		if !b.exchange.answered {
			c.out = l.buffers.append(c.out, continueHead)
			l.wantSend(c)
		}
	}
	l.timeouts.body.start(&c.inputTimeout, l.now)
	if c.in != nil {
		l.wantReady(c)
	} else if !c.receiving && !c.isStarved && c.wantsInput() {
		l.receive(c)
	}
}

// cancel implements source. The rest is not received before the request has been answered: then it is
// known whether the connection can go on.
func (b *incoming) cancel() {
	b.to, b.isOpen, b.isUnwanted = nil, false, true
	b.connection.inputTimeout.stop()
}

// startBody has the body of a request flow, and dispatches the request.
func (l *Loop) startBody(c *connection, app *appWorker, head *http1.Head, input []byte) {
	b := l.takeIncoming()
	b.connection, b.app = c, app
	b.chunked = head.Chunked
	b.missing = head.ContentLength
	b.wantsContinue = head.Continue && head.Minor >= 1 && len(input) == head.Length
	c.body = b
	l.dispatch(c, app, head, input[:head.Length], nil, nil)
}

// pass takes bytes of the body that flows off the start of input, and hands them on. It returns the
// number of bytes used: fewer than there are if their sink has no room for more, or the body has ended.
func (l *Loop) pass(c *connection, input []byte) (used int) {
	b := c.body
	for used < len(input) && c.body == b {
		if !b.flows() {
			c.blocked = true
			return used
		}
		if l.flowed >= l.pace.flow {
			c.blocked = true
			l.wantReady(c)
			return used
		}
		data, n, ended, err := b.next(input[used:])
		if err != nil {
			l.refuseBody(c, 400, err.Error(), newFault(isolates.FaultNetwork, "the request body is malformed: "+err.Error()))
			return used
		}
		used += n
		if len(data) != 0 && !l.handOn(c, b, data) {
			return used
		}
		if ended {
			l.bodyWhole(c)
			return used
		}
	}
	return used
}

// next finds the next piece of the body in what was received, as http1.ChunkDecoder does.
func (b *incoming) next(input []byte) (data []byte, n int, ended bool, err error) {
	if b.chunked {
		return b.decoder.Decode(input[:min(len(input), pushMax)])
	}
	data = input[:min(int64(len(input)), b.missing, pushMax)]
	b.missing -= int64(len(data))
	return data, len(data), b.missing == 0, nil
}

// handOn gives a piece of the body to who wants it. False: the body cannot go on.
func (l *Loop) handOn(c *connection, b *incoming, data []byte) bool {
	b.taken += int64(len(data))
	l.flowed += len(data)
	if b.exchange == nil {
		if b.discarded += int64(len(data)); b.discarded > discardMax {
			l.dropInput(c)
			l.endReading(c)
			return false
		}
		return true
	}
	if b.taken > b.app.maxBody {
		b.app.counts.BodyLimit++
		l.refuseBody(c, 413, "request body too large", newFault(isolates.FaultLimit, "the request body is too large"))
		return false
	}
	b.isOpen = b.to.push(data)
	return true
}

// bodyWhole ends a body that has come in whole. Its end may be that of the answer, too.
func (l *Loop) bodyWhole(c *connection) {
	b := c.body
	c.body = nil
	c.inputTimeout.stop()
	l.endBody(b, nil)
	if c.first == nil {
		l.wantReady(c) // for the next request, or the end
	}
}

// loseBody ends a body of which no more will come.
func (l *Loop) loseBody(c *connection, f *fault) {
	b := c.body
	c.body = nil
	l.endBody(b, f)
}

// endBody tells whoever takes a body that it has ended. The connection has forgotten it.
func (l *Loop) endBody(b *incoming, f *fault) {
	if e := b.exchange; e != nil {
		e.body = nil
	}
	to, h := b.to, b.reader.handle
	b.to = nil
	switch {
	case to != nil:
		to.end(f)
	case h != nil: // nobody has asked for it
		b.reader.handle = nil
		h.fail(f)
	}
	l.giveIncoming(b)
}

// refuseBody ends a body that breaks a rule, and with it the connection: where the next request begins
// is not known. The client is told if its request has not been answered.
func (l *Loop) refuseBody(c *connection, status int, reason string, f *fault) {
	e := c.body.exchange
	c.stopReading = true
	l.stats.Rejected++
	if e == nil || e.answered {
		l.dropBody(c, f)
		l.dropInput(c)
		l.endReading(c)
		return
	}
	l.dropBody(c, f)
	l.dropInput(c)
	w := e.worker // the answer may be the end of e's other side
	l.answerError(e, status, "", "nano: "+reason)
	if w != nil {
		l.gone(e)
	}
}

// dropBody is loseBody if there is one.
func (l *Loop) dropBody(c *connection, f *fault) {
	if c.body != nil {
		l.loseBody(c, f)
	}
}

// endReading ends a connection whose input is of no use any more, after the answers that it has.
func (l *Loop) endReading(c *connection) {
	c.stopReading = true
	if c.phase == phaseOpen { // else it has ended by what ended the body
		c.inputTimeout.stop()
		l.settle(c)
	}
}

// answeredEarly is called when a request has been answered in full while its body is still coming in.
// Nobody may read it any more. closes: the connection is to end. It reports whether it has to.
func (l *Loop) answeredEarly(c *connection, b *incoming, closes bool) bool {
	b.exchange.body = nil
	b.exchange = nil
	to, h := b.to, b.reader.handle
	b.cancel()
	if to != nil {
		to.end(faultAnswered)
	} else if h != nil {
		b.reader.handle = nil
		h.fail(faultAnswered)
	}
	if closes || b.isTooMuch() {
		return true
	}
	l.timeouts.body.start(&c.inputTimeout, l.now)
	l.wantReady(c)
	return false
}

var faultAnswered = newFault(isolates.FaultAborted, "Can't read from the request's body after the response has been sent.")

// isTooMuch reports whether the rest of the body is not worth being read for the sake of the connection
// alone, or may never come.
func (b *incoming) isTooMuch() bool { return b.wantsContinue || b.missing > discardMax }

// bodyCutShort is called when the client has shut its side in the middle of a body.
func (l *Loop) bodyCutShort(c *connection) {
	if c.body.exchange != nil {
		l.abort(c)
		return
	}
	l.dropInput(c)
	l.endReading(c)
}

// bodyTimedOut is called when nothing has come of a body for too long, though it would have been taken.
func (l *Loop) bodyTimedOut(c *connection) {
	if c.body == nil {
		l.reject(c, 408, "request body timed out")
		return
	}
	l.refuseBody(c, 408, "request body timed out", newFault(isolates.FaultTimeout, "the request body timed out"))
}

// awaitsBody reports whether it is the client's turn to send more of a body.
func (c *connection) awaitsBody() bool {
	return c.collecting != nil || c.body != nil && c.body.flows()
}

// takesInput reports whether what comes in is of use.
func (c *connection) takesInput() bool { return !c.stopReading || c.body != nil }

func (l *Loop) takeIncoming() *incoming {
	if spare := l.incomings.take(); spare != nil {
		return spare
	}
	return &incoming{loop: l}
}

func (l *Loop) giveIncoming(b *incoming) {
	*b = incoming{loop: l}
	l.incomings.give(b, sparesMax)
}

// A bodyReader is the body of a request as an object of the isolate.
type bodyReader struct {
	jsReader
	isReading bool
}

// open gives the body a name that JavaScript knows.
func (r *bodyReader) open(h *handle, body source) {
	*r = bodyReader{jsReader: jsReader{handle: h, from: body}}
	h.object = r
}

// read implements ioObject.
func (r *bodyReader) read(window int, decoded bool) {
	if !r.isReading {
		r.isReading = true
		r.from.attach(r)
	}
	r.jsReader.read(window)
}

// end implements sink.
func (r *bodyReader) end(f *fault) {
	h := r.handle
	r.jsReader.end(f)
	r.handle = nil
	h.release()
}

// cancel implements ioObject.
func (r *bodyReader) cancel(bool) {
	r.handle.release()
	r.drop()
}

// write and finish implement ioObject: there is nothing to write to.
func (r *bodyReader) write(*isolates.Record)  {}
func (r *bodyReader) finish(*isolates.Record) {}

// body implements ioObject. The source needs no isolate, so the handle is released at once.
func (r *bodyReader) body(bool) source {
	r.handle.release()
	from := r.from
	r.handle, r.from = nil, nil
	return from
}

// drop implements ioObject.
func (r *bodyReader) drop() {
	r.handle = nil
	r.stop()
}
