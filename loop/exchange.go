package loop

import (
	"bytes"

	"nano/http1"
	"nano/isolates"
)

// An exchange is one request and its answer. It has two sides that end in any order: the
// connection's, until the answer has been handed to it or the client is gone, and the isolate's,
// until the isolate has said the last word about the request (waitUntil work may go on long after
// the answer). The slot is reused after both, so an isolate's record can only mean the request
// that it was made for.
type exchange struct {
	loop       *Loop
	id         uint32      // index and generation
	connection *connection // nil: gone, or answered in full, or there is
	caller     caller      // nil: answered in full, or there is a connection
	depth      uint8       // service calls that have led to it
	passes     uint8       // how often the request has gone through NANO, by CDN-Loop
	worker     *appWorker  // nil: never asked, or done
	next       *exchange   // of the connection, or of the free list

	previousOfWorker, nextOfWorker *exchange

	handles *handle   // that were opened under it
	body    *incoming // of the request, if it flows and has not come in whole
	upgrade *upgrade  // nil: the client did not ask for a WebSocket

	// The answer's body, if the loop moves it: the exchange is the sink.
	from      source
	isPaused  bool  // from has to wait for the client
	isOverrun bool  // from gave more than was announced
	isSized   bool  // the head has told the length
	remaining int64 // bytes of it to come

	wall timeoutNode // waits for response headers

	headOnly  bool // HEAD: the answer has no body
	minor     uint8
	keepAlive bool // the client's wish
	answered  bool // the response head is decided
	streaming bool // the body follows in chunks
	chunked   bool // and in chunked transfer coding
	complete  bool // the whole answer is formatted
	closes    bool // the connection ends with this answer
	hasChunk  bool // a chunk is on its way; the isolate waits to hear that it has left
	ended     bool // isolate's side: no more of the answer will come
	pending   bool // isolate's side: waitUntil work goes on

	hasSwitched bool // a WebSocket has the connection; pending until it has closed

	// waiting is the request while its app starts.
	waiting *collector

	// parked is formatted output that has to wait for the answers to earlier requests.
	parked []byte

	request uint64 // id for the logs; that of a service call is its caller's
	trace   *trace // nil: it belongs to none

	developed *DevRequest // nil: there is no Options.Developer

	// For the access log.
	status  int
	started int64
	length  int64  // bytes of the body
	line    []byte // what is known at the start
}

// An exchange's id has its slot's index in the low bits and above them a generation. 30 bits in
// all: then it is a small integer in JavaScript.
const (
	exchangeIndexBits      = 20
	exchangeIndexMask      = 1<<exchangeIndexBits - 1
	exchangeGenerationStep = 1 << exchangeIndexBits
	exchangeIDMask         = 1<<30 - 1
	exchangeChunk          = 64
)

// exchanges are the slots of a loop.
type exchanges struct {
	chunks []*[exchangeChunk]exchange
	free   *exchange
	inUse  int
}

// exchangesMax is how many slots a loop has. Of those that are free, an app may hold as many as a
// 1/appShare of them: however many apps never end their requests, some slots are left for others.
const (
	exchangesMax = exchangeIndexMask &^ (exchangeChunk - 1)
	appShare     = 4
)

// take returns a free slot; nil: a million requests are in the isolates.
func (s *exchanges) take(l *Loop) *exchange {
	if s.free == nil {
		base := uint32(len(s.chunks) * exchangeChunk)
		if base >= exchangesMax {
			return nil
		}
		chunk := new([exchangeChunk]exchange)
		s.chunks = append(s.chunks, chunk)
		for i := exchangeChunk - 1; i >= 0; i-- {
			e := &chunk[i]
			e.loop, e.id = l, base+uint32(i)
			e.wall.owner = e
			e.next, s.free = s.free, e
		}
	}
	e := s.free
	s.free, e.next = e.next, nil
	s.inUse++
	return e
}

// lookup finds the exchange that an isolate means by id, or nil.
func (s *exchanges) lookup(id uint32, worker *appWorker) *exchange {
	index := id & exchangeIndexMask
	if int(index) >= len(s.chunks)*exchangeChunk {
		return nil
	}
	e := &s.chunks[index/exchangeChunk][index%exchangeChunk]
	if e.id != id || e.worker != worker {
		return nil
	}
	return e
}

// lineKeptMax is how many bytes for an access log line a free slot may keep.
const lineKeptMax = 512

// give frees a slot whose two sides have ended.
func (s *exchanges) give(e *exchange) {
	line := e.line[:0]
	if cap(line) > lineKeptMax {
		line = nil
	}
	if e.trace != nil {
		e.loop.giveTrace(e.trace)
	}
	*e = exchange{loop: e.loop, id: (e.id + exchangeGenerationStep) & exchangeIDMask, line: line}
	e.wall.owner = e
	e.next, s.free = s.free, e
	s.inUse--
}

// open makes an exchange for a request of c, last in order.
func (l *Loop) open(c *connection, head *http1.Head) *exchange {
	e := l.exchanges.take(l)
	if e == nil {
		return nil
	}
	e.connection = c
	if c.last == nil {
		c.first = e
	} else {
		c.last.next = e
	}
	c.last = e
	c.outstanding++
	e.started = l.now
	e.request = l.newRequestID()
	if head != nil {
		e.headOnly = head.Method == http1.MethodHead
		e.minor = head.Minor
		e.keepAlive = head.KeepAlive
		e.passes = head.Hops
	}
	return e
}

// dispatch gives a whole request to its app: it is staged for the app's next turn, in this tick, or
// waits for the app's start. head and body are copied, unless they lie in gathered, which may be nil:
// dispatch reports whether it keeps that. w is nil if there is no app.
func (l *Loop) dispatch(c *connection, w *appWorker, head *http1.Head, headBytes, body []byte, gathered *collector) (kept bool) {
	e := l.open(c, head)
	if e == nil {
		l.abort(c)
		return false
	}
	l.stats.Requests++
	if b := c.body; b != nil {
		e.body, b.exchange = b, e
	}
	c.unsafeFirst = c.first == e && (body != nil || e.body != nil || !isSafe(head.Method) || head.Upgrade)
	if head.Upgrade {
		e.upgrade = readUpgrade(head, headBytes)
	}
	if !head.KeepAlive {
		c.stopReading = true
	}
	if l.log != nil {
		l.noteRequest(e, c, w, head, headBytes)
	}
	if head.Traced || l.options.Tracing != nil {
		l.traceRequest(e, c, w, head, headBytes, true)
	}
	if l.options.Developer != nil && l.develop(e, w, head, headBytes) {
		return false
	}
	if w == nil {
		l.answerNoApp(e, head, headBytes)
		return false
	}
	w.load.count++
	if !l.takesOn(w, e) {
		return false
	}
	r := l.describe(e, head, headBytes, body)
	if w.isolate != nil {
		l.stage(w, e, r)
	} else {
		kept = l.wake(w, e, r, gathered)
	}
	l.attach(e, w)
	w.wall.start(&e.wall, l.now)
	return kept
}

// stage gives a request to its isolate.
func (l *Loop) stage(w *appWorker, e *exchange, r *isolates.Request) {
	var reader *bodyReader
	var body source
	if e.body != nil {
		reader, body = &e.body.reader, e.body
	} else if e.caller != nil {
		if f, ok := e.caller.(*firing); ok {
			w.isolate.AddScheduled(e.id, e.request, f.text, f.timeMS)
			l.wantTurn(w)
			return
		}
		reader, body = e.caller.requestBody()
	}
	r.Streams, r.Length = body != nil, 0
	if body != nil {
		r.Length = body.length()
		reader.open(l.openHandle(w, isolates.BodyHandle(e.id), e), body)
	}
	w.isolate.AddRequest(r)
	l.wantTurn(w)
}

// takesOn reports whether an app may have one more request in hand, which counts from now on. If not,
// it is answered.
func (l *Loop) takesOn(w *appWorker, e *exchange) bool {
	switch {
	case e.passes >= passesMax:
		l.countAnswer(w, e, 508)
		l.answerError(e, 508, "", "nano: "+w.name+": the request has gone in a circle")
	case w.inHand >= (exchangesMax-l.exchanges.inUse)/appShare:
		w.counts.Overload++
		l.countAnswer(w, e, 503)
		l.answerError(e, 503, "", "nano: "+w.name+": too many requests in hand")
	case w.isolate == nil && w.retryAt != 0 && l.readClock() < w.retryAt:
		w.counts.StartFailures++
		l.countAnswer(w, e, w.failStatus)
		l.answerError(e, w.failStatus, "", w.failure)
	case !w.concurrency.take():
		w.counts.ConcurrencyLimit++
		l.countAnswer(w, e, 503)
		l.answerError(e, 503, "concurrency-limit", "nano: "+w.name+": too many concurrent requests")
	default:
		w.passes = e.passes
		return true
	}
	return false
}

// passesMax is how often a request may go through NANO: an app that fetches its own URL would go on for ever,
// even when its client has long left. Two nodes behind each other are two hops, service calls are none.
const passesMax = 16

// describe says what an isolate is to know of a request. What it returns is valid until the next call.
func (l *Loop) describe(e *exchange, head *http1.Head, headBytes, body []byte) *isolates.Request {
	r := &l.request
	r.ID, r.LogID = e.id, e.request
	r.Head, r.Parsed, r.Body = headBytes, head, body
	c := e.connection
	if c == nil {
		e.caller.describe(r)
		return r
	}
	r.Secure = c.secure
	r.RemoteAddress = l.remoteAddress(c)
	if !c.isLocal {
		head.Fields = withoutRealIP(head.Fields, headBytes)
	}
	return r
}

// attach puts an exchange on the list of those that an isolate has in hand.
func (l *Loop) attach(e *exchange, w *appWorker) {
	e.worker = w
	if w.inHand++; w.inHand == 1 && w.handlesOpen == 0 {
		l.noteBusy(w)
	}
	e.nextOfWorker = w.exchanges
	if w.exchanges != nil {
		w.exchanges.previousOfWorker = e
	}
	w.exchanges = e
}

// workerDone ends the isolate's side of an exchange, if all that it will say has been said.
func (l *Loop) workerDone(e *exchange) {
	if !e.ended || e.pending {
		return
	}
	e.wall.stop()
	w := e.worker
	if !e.hasSwitched { // else it was given back then
		w.concurrency.give()
	}
	l.abandon(e)
	if w.inHand--; w.inHand == 0 && w.handlesOpen == 0 {
		l.noteIdle(w)
	}
	if e.previousOfWorker != nil {
		e.previousOfWorker.nextOfWorker = e.nextOfWorker
	} else {
		w.exchanges = e.nextOfWorker
	}
	if e.nextOfWorker != nil {
		e.nextOfWorker.previousOfWorker = e.previousOfWorker
	}
	e.previousOfWorker, e.nextOfWorker, e.worker = nil, nil, nil
	if e.connection == nil && e.caller == nil {
		l.exchanges.give(e)
	}
}

// connectionDone ends the connection's side of an exchange, which has left its queue.
func (l *Loop) connectionDone(e *exchange) {
	e.connection, e.next = nil, nil
	if e.parked != nil {
		l.buffers.give(e.parked)
		e.parked = nil
	}
	if e.worker == nil {
		l.exchanges.give(e)
	}
}

// orphan takes the first exchange of a connection out because nobody will read its answer. The
// isolate is told if it is still at work on it.
func (l *Loop) orphan(e *exchange) {
	c := e.connection
	l.unqueue(c, e)
	if !e.answered {
		e.wall.stop()
		if e.worker != nil {
			e.worker.counts.answered(0)
		}
		e.trace.fails(spanClientGone)
	}
	if from := e.from; from != nil {
		e.from = nil
		from.cancel()
	}
	if e.worker != nil && !e.ended {
		l.gone(e)
	}
	if e.body != nil { // after that: an app that knows why need not wonder
		l.loseBody(c, faultClientGone)
	}
	if l.log != nil {
		l.logAnswer(e)
	}
	if e.trace != nil {
		l.endSpan(e.trace, e.status)
	}
	l.connectionDone(e)
}

// gone tells the isolate that nobody waits for the rest of an answer. The slot is free when the isolate
// has ended its side, or has gone on for Options.Background.
func (l *Loop) gone(e *exchange) {
	w := e.worker
	switch {
	case e.waiting != nil: // for the app's start: no isolate has heard of it
		l.giveCollector(e.waiting)
		e.waiting = nil
		e.ended = true
		l.workerDone(e)
	case w.isolate != nil:
		w.isolate.AddGone(e.id)
		l.wantTurn(w)
		l.timeouts.background.start(&e.wall, l.now)
	}
}

// unqueue takes the first exchange out of its connection's queue.
func (l *Loop) unqueue(c *connection, e *exchange) {
	c.first = e.next
	if c.first == nil {
		c.last = nil
	}
	c.outstanding--
	c.unsafeFirst = false
}

// pump moves a connection's answers on, after one has grown or the one before it has gone: what the
// first one has parked becomes output, and complete ones make way for the next.
func (l *Loop) pump(c *connection) {
	for e := c.first; e != nil; e = c.first {
		if len(e.parked) != 0 {
			c.out = l.join(c.out, e.parked)
			e.parked = nil
		}
		if !e.complete {
			break
		}
		closes := e.closes
		if b := e.body; b != nil {
			closes = l.answeredEarly(c, b, closes)
		}
		l.unqueue(c, e)
		if l.log != nil {
			l.logAnswer(e)
		}
		if e.trace != nil {
			l.endSpan(e.trace, e.status)
		}
		l.connectionDone(e)
		if closes {
			l.lastAnswerGiven(c)
			break
		}
	}
	if len(c.out) != 0 || c.first != nil && c.first.isOverrun {
		l.wantSend(c)
	}
	if c.in != nil && c.first == nil || c.blocked && c.outstanding < l.options.PipelineDepth {
		l.wantReady(c)
	}
}

// lastAnswerGiven ends a connection after what it has as output. Later requests are dropped.
func (l *Loop) lastAnswerGiven(c *connection) {
	for e := c.first; e != nil; e = c.first {
		l.orphan(e)
	}
	c.stopReading = true
	l.dropInput(c)
	c.inputTimeout.stop()
	if c.phase == phaseOpen {
		c.phase = phaseFlushing
	}
	if c.collecting == nil {
		l.settle(c)
	}
}

// join returns the bytes of a and b, both of the pool, in one buffer of it.
func (l *Loop) join(a, b []byte) []byte {
	if a == nil {
		return b
	}
	a = l.buffers.append(a, b)
	l.buffers.give(b)
	return a
}

// outputLeft continues after all of a send has left.
func (l *Loop) outputLeft(c *connection) {
	if len(c.out) != 0 {
		l.wantSend(c)
		return
	}
	if e := c.first; e != nil {
		l.resumeAnswer(e)
		if e.hasChunk && e.parked == nil {
			e.hasChunk = false
			if w := e.worker; w != nil && !e.ended {
				w.isolate.AddSent(e.id)
				l.wantTurn(w)
			}
		}
		return
	}
	if c.blocked {
		l.wantReady(c)
	}
	l.settle(c)
}

// remoteAddress is the client's address as text, asked of the kernel once per connection.
func (l *Loop) remoteAddress(c *connection) []byte {
	if !c.isRemoteKnown {
		c.isRemoteKnown = true
		remote := l.options.sockets.peer(int(c.fd), c.remote[:0])
		c.remoteLength = uint8(len(remote))
		c.isLocal = isLocal(remote)
	}
	return c.remote[:c.remoteLength]
}

// isLocal tells a client on this machine, by its address as text ("" on a unix socket). Only a proxy
// there is trusted to say for whom it asks.
func isLocal(remote []byte) bool {
	return len(remote) == 0 || bytes.HasPrefix(remote, []byte("127.")) || bytes.HasPrefix(remote, []byte("[::1]")) ||
		bytes.HasPrefix(remote, []byte("[::ffff:127."))
}

var realIP = []byte("x-real-ip")

// withoutRealIP takes the fields out that only a trusted proxy may set.
func withoutRealIP(fields []http1.Field, head []byte) []http1.Field {
	for i := 0; i < len(fields); {
		name := head[fields[i].NameOffset:][:fields[i].NameLength]
		if len(name) == len(realIP) && bytes.EqualFold(name, realIP) {
			fields = append(fields[:i], fields[i+1:]...)
		} else {
			i++
		}
	}
	return fields
}
