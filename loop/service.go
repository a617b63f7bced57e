package loop

import (
	"bytes"

	"nano/http1"
	"nano/isolates"
	"nano/tracecontext"
)

// A service call is a request of one app to another, env.OTHER.fetch(request): the callee gets it as it
// gets those that come over connections, with the same limits, and what it answers goes to the caller.
// No socket is in between. If the callee lives on this loop, or may, everything goes from source to sink;
// else both halves live on their own loops, and the mailboxes are in between (tunnel.go).

// serviceDepthMax is how many calls may wait for each other: apps that call each other in a circle
// get an error instead of filling the node.
const serviceDepthMax = 16

// A chain is the apps that wait for an answer, the one that was asked by a client first.
type chain struct {
	apps    [serviceDepthMax]*sharedApp
	depth   int
	request uint64 // id of what that client asked, for the log; 0: of no client
	// isTraced says that the traceparent of the call is ours, and names the span of the call. span is that of the
	// last of apps, if it is recorded.
	isTraced bool
	span     tracecontext.SpanID
}

// A caller is where a request comes from that did not come over a connection.
type caller interface {
	// describe adds what the callee is to know of the request beside its head.
	describe(r *isolates.Request)
	// requestBody is the body of the request, if it flows, and who reads it; else nil.
	requestBody() (*bodyReader, source)
	// answered takes an answer in a KindRespond record. from is its body, if that streams by itself.
	// streams: it comes by chunk and finished. Otherwise it is in the record, or there is none (bodiless).
	// Unless it streams this is the last call.
	answered(record *isolates.Record, from source, streams, bodiless bool)
	// chunk takes a piece of the answer, from a KindChunk record. exchange.sent says that the next may come.
	chunk(record *isolates.Record)
	// finished ends an answer that streams.
	finished(f *fault)
	// refused takes an answer of ours instead: header lines and a text. It is the last call.
	refused(status int, lines []byte, text string)
	// asked gives the exchange, which the caller may end by callerGone until it has had the last call.
	asked(e *exchange)
	// chain is who waits for the answer.
	chain() *chain
}

// A serviceCall is the ioObject of the handle of a call and, if the callee is on the same loop, the caller of
// its exchange.
type serviceCall struct {
	loop     *Loop
	handle   *handle   // nil: JavaScript has heard the last of it, or is gone
	exchange *exchange // of the callee, if it is on this loop; nil: it is done with its answer
	tunnel   *tunnel   // to the callee, if it is on another one
	callers  chain
	secure   bool
	remote   []byte // address of the client that asked first

	up      joint // the body of the request, if it flows
	writer  jsWriter
	reading bodyReader

	down       joint // the body of the answer, if it flows
	chunks     jsWriter
	reader     jsReader
	isAnswered bool
	isRead     bool // by JavaScript
	isGiven    bool // to another sink
	isUnwanted bool // cancelled before it came
}

// openService begins a call, from a KindOpen record.
func (l *Loop) openService(h *handle, record *isolates.Record) ioObject {
	name, rest, _ := bytes.Cut(record.Target, space)
	method, url, _ := bytes.Cut(rest, space)
	app := l.service(name)
	if app == nil {
		h.fail(newFault(isolates.FaultRefused, "there is no app "+string(name)))
		return nil
	}
	s := l.takeCall()
	s.handle = h
	if e := h.exchange; e != nil {
		s.inherit(e)
	}
	if s.callers.depth == serviceDepthMax {
		h.fail(newFault(isolates.FaultLimit, "service calls are nested too deep: "+l.chainText(&s.callers, app)))
		l.giveCall(s)
		return nil
	}
	s.callers.apps[s.callers.depth] = h.worker.shared
	s.callers.depth++
	var to location
	if why := to.parse(url); why != "" {
		h.fail(newFault(isolates.FaultRefused, why))
		l.giveCall(s)
		return nil
	}
	s.secure = to.secure
	length, f := s.takeBody(record)
	if f != nil {
		h.fail(f)
		l.giveCall(s)
		return nil
	}
	lines := record.Head
	if l.isTraced(h.exchange) {
		lines = l.traceService(s, h.exchange, lines)
	}
	head := http1.RequestHead{Method: method, Target: to.target, Host: to.authority, Head: lines, ContentLength: length,
		Chunked: length < 0 && s.up.from != nil, Hops: h.passes()}
	text, err := http1.AppendRequestHead(l.buffers.take(len(record.Target)+len(lines)+256), &head)
	if err == nil {
		err = l.head.Parse(text, http1.MaxHeadLength)
	}
	if err != nil {
		l.buffers.give(text)
		s.up.cut(faultCancelled)
		h.fail(newFault(isolates.FaultRefused, err.Error()))
		l.giveCall(s)
		return nil
	}
	h.object = s // the answer may come at once
	var body []byte
	if record.Flags&isolates.OpenHasBody != 0 {
		body = record.Body
	}
	if seat := l.seatOf(app); seat < 0 || !l.callFar(seat, app, s, text, body) {
		l.call(app, s, text, body)
	}
	l.buffers.give(text)
	if s.handle == nil {
		return nil
	}
	return s
}

// inherit takes over what a request says of who has asked first.
func (s *serviceCall) inherit(e *exchange) {
	switch {
	case e.caller != nil:
		s.callers = *e.caller.chain()
		var r isolates.Request
		e.caller.describe(&r)
		s.remote = append(s.remote, r.RemoteAddress...)
	case e.connection != nil:
		s.remote = append(s.remote, s.loop.remoteAddress(e.connection)...)
	default: // the caller has its answer already; that must not be a way to go on for ever
		for s.callers.depth < int(e.depth) {
			s.callers.apps[s.callers.depth] = e.worker.shared
			s.callers.depth++
		}
	}
	s.callers.request = e.request
	s.callers.isTraced = false
}

// chainText names the apps that wait for each other, and the one that is called in the end.
func (l *Loop) chainText(c *chain, app *sharedApp) string {
	text := ""
	for _, each := range c.apps[:c.depth] {
		text += each.Name + " > "
	}
	return text + app.Name
}

// takeBody takes the body that a KindOpen record has for the callee. It returns its length; -1: there is
// none, or it is unknown.
func (s *serviceCall) takeBody(record *isolates.Record) (length int64, _ *fault) {
	length = -1
	if record.Flags&isolates.OpenFixedLength != 0 {
		length = record.Number
	}
	switch {
	case record.Source != 0:
		from, f := s.loop.takeSource(s.handle.worker, record.Source, false)
		if f != nil {
			return 0, f
		}
		if length < 0 {
			length = from.length()
		}
		s.up.join(from, nil)
	case record.Flags&isolates.OpenBodyFollows != 0:
		s.writer.open(s.handle, length)
		s.up.join(&s.writer, nil)
	case record.Flags&isolates.OpenHasBody != 0:
		length = int64(len(record.Body))
	}
	return length, nil
}

// service finds the app that is called by a name now; nil: there is none.
func (l *Loop) service(name []byte) *sharedApp {
	i, ok := l.table.byName[string(name)]
	if !ok {
		return nil
	}
	if w := l.routed[i]; w != nil {
		return w.shared
	}
	return l.choose(&l.table.routes[i])
}

// seatOf is where an app is to be asked; -1: here.
func (l *Loop) seatOf(app *sharedApp) int {
	if app.where.Load()&l.seatMask == l.seatBits || l.draining {
		return -1
	}
	return l.destination(app)
}

// call gives a request to an app on this loop. head was parsed to l.head.
func (l *Loop) call(app *sharedApp, from caller, head, body []byte) *exchange {
	w := l.workerOf(app)
	if w == nil { // RemoveApp did not wait for it
		from.refused(503, nil, "nano: "+app.Name+": the app was removed")
		return nil
	}
	e := l.exchanges.take(l)
	if e == nil {
		from.refused(503, nil, "nano: "+w.name+": too many requests in hand")
		return nil
	}
	e.caller = from
	l.called++
	e.started = l.now
	chain := from.chain()
	e.depth, e.passes = uint8(chain.depth), l.head.Hops
	if e.request = chain.request; e.request == 0 {
		e.request = l.newRequestID()
	}
	e.headOnly, e.minor, e.keepAlive = l.head.Method == http1.MethodHead, 1, true
	if l.head.Traced || l.options.Tracing != nil {
		l.traceCall(e, w, from, head)
	}
	w.load.count++
	if !l.takesOn(w, e) {
		return nil
	}
	from.asked(e)
	r := l.describe(e, l.head, head, body)
	if w.isolate != nil {
		l.stage(w, e, r)
	} else {
		l.wake(w, e, r, nil)
	}
	l.attach(e, w)
	w.wall.start(&e.wall, l.now)
	return e
}

// callerDone ends the caller's side of an exchange: it has its answer, or does not want it.
func (l *Loop) callerDone(e *exchange) {
	if e.trace != nil {
		l.endSpan(e.trace, e.status)
	}
	e.caller = nil
	l.called--
	if e.worker == nil {
		l.exchanges.give(e)
	}
}

// callerGone ends the caller's side of an exchange because it does not want the rest of the answer.
func (l *Loop) callerGone(e *exchange) {
	w := e.worker
	if !e.answered {
		e.wall.stop()
		w.counts.answered(0)
		e.trace.fails(spanClientGone)
	}
	if e.trace != nil {
		l.endSpan(e.trace, e.status)
	}
	e.caller = nil
	l.called--
	if w != nil {
		l.gone(e)
	} else {
		l.exchanges.give(e)
	}
}

// answerCaller is writeResponse for an exchange without a connection.
func (l *Loop) answerCaller(e *exchange, record *isolates.Record) {
	from, f := l.sourceOf(e, record)
	if f != nil {
		l.answerError(e, 502, "", "nano: "+e.worker.name+": "+f.text)
		return
	}
	status := int(record.Status)
	l.countAnswer(e.worker, e, status)
	e.wall.stop()
	e.answered, e.status = true, status
	bodiless := e.headOnly || hasNullBody(record.Status)
	to := e.caller
	e.streaming = record.Streaming && from == nil && !bodiless
	if !e.streaming {
		l.callerDone(e)
	}
	switch {
	case bodiless && from != nil:
		from.cancel()
		from = nil
	case bodiless && record.Streaming:
		l.gone(e)
	}
	to.answered(record, from, e.streaming, bodiless)
	l.freeBlock(record.Block)
}

// loseCall ends the answer of an exchange without a connection, whose isolate has died.
func (l *Loop) loseCall(e *exchange, status int, nanoError, text string) {
	if !e.answered {
		e.worker.counts.died(nanoError)
		l.answerError(e, status, nanoError, text)
		return
	}
	to := e.caller
	e.trace.fails(spanBroken)
	l.callerDone(e)
	to.finished(newFault(isolates.FaultNetwork, text))
}

// describe implements caller.
func (s *serviceCall) describe(r *isolates.Request) {
	r.Secure, r.RemoteAddress = s.secure, s.remote
}

// requestBody implements caller.
func (s *serviceCall) requestBody() (*bodyReader, source) {
	if s.up.from == nil && s.up.ending == nil {
		return nil, nil
	}
	return &s.reading, &s.up
}

// asked implements caller.
func (s *serviceCall) asked(e *exchange) { s.exchange = e }

// chain implements caller.
func (s *serviceCall) chain() *chain { return &s.callers }

// answered implements caller.
func (s *serviceCall) answered(record *isolates.Record, from source, streams, bodiless bool) {
	if streams {
		s.chunks.begin(s.exchange, record)
		from = &s.chunks
	} else {
		s.exchange = nil
	}
	head := http1.ResponseHead{Status: int(record.Status), Reason: record.Reason, Head: record.Head,
		ContentLength: bodyLength(record, from, int(record.Status))}
	s.begin(&head, record.Body, from, bodiless || record.NoBody)
}

// refused implements caller.
func (s *serviceCall) refused(status int, lines []byte, text string) {
	s.exchange = nil
	lines = append(append([]byte(nil), lines...), plainText...)
	head := http1.ResponseHead{Status: status, Head: lines, ContentLength: int64(len(text))}
	s.begin(&head, []byte(text), nil, false)
}

const plainText = "content-type: text/plain; charset=utf-8\r\n"

// begin tells JavaScript the head of the answer, and the body unless it is to come from a source.
func (s *serviceCall) begin(head *http1.ResponseHead, body []byte, from source, bodiless bool) {
	s.isAnswered = true
	if from != nil {
		s.down.join(from, s)
	}
	if s.handle == nil || s.isUnwanted {
		s.jointOver(&s.down)
		return
	}
	l := s.loop
	l.scratch = http1.AppendResponseHead(l.scratch[:0], head)
	if err := l.head.ParseResponse(l.scratch, http1.MaxHeadLength); err != nil {
		s.handle.end(newFault(isolates.FaultNetwork, "the answer of the service: "+err.Error()))
		s.jointOver(&s.down)
		return
	}
	r := &l.response
	*r = isolates.Response{Status: head.Status, Reason: head.Reason, Head: l.scratch, Fields: l.head.Fields,
		NullBody: bodiless, Streams: from != nil}
	if !bodiless && from == nil {
		r.Body = body
	}
	s.handle.response(r)
	if from == nil {
		s.jointOver(&s.down)
	}
}

// chunk implements caller.
func (s *serviceCall) chunk(record *isolates.Record) { s.chunks.write(record) }

// finished implements caller.
func (s *serviceCall) finished(f *fault) {
	s.exchange, s.chunks.exchange = nil, nil
	s.chunks.close(f)
}

// jointOver implements jointOwner. The answer has ended, or is not wanted. So nothing of the request is
// wanted any more, either.
func (s *serviceCall) jointOver(*joint) {
	s.down.cut(nil)
	if e := s.exchange; e != nil {
		s.exchange, s.chunks.exchange = nil, nil
		s.loop.callerGone(e)
	}
	if t := s.tunnel; t != nil {
		s.tunnel = nil
		t.close()
	}
	if to := s.up.to; to != nil || s.reading.handle == nil {
		s.up.cut(faultAnswered)
	} else {
		h := s.reading.handle
		s.reading.handle = nil
		s.up.cut(nil)
		h.fail(faultAnswered)
	}
	if h := s.handle; h != nil {
		s.handle, s.writer.handle = nil, nil
		h.release()
	}
	s.loop.giveCall(s)
}

// takeCall returns a free call.
func (l *Loop) takeCall() *serviceCall {
	if spare := l.calls.take(); spare != nil {
		return spare
	}
	return &serviceCall{loop: l}
}

// giveCall takes a call back that is over on both sides.
func (l *Loop) giveCall(s *serviceCall) {
	*s = serviceCall{loop: l, remote: s.remote[:0]}
	l.calls.give(s, sparesMax)
}

// read implements ioObject.
func (s *serviceCall) read(window int, _ bool) {
	if !s.isAnswered || s.isGiven {
		return
	}
	if !s.isRead {
		s.isRead = true
		s.reader.start(s.handle, &s.down, &s.reader)
	}
	s.reader.read(window)
}

// body implements ioObject.
func (s *serviceCall) body(bool) source {
	if !s.isAnswered || s.isRead || s.isGiven {
		return nil
	}
	s.isGiven = true
	return &s.down
}

// cancel implements ioObject.
func (s *serviceCall) cancel(abort bool) {
	if !abort && !s.isAnswered {
		s.isUnwanted = true
		return
	}
	s.jointOver(&s.down)
}

// write implements ioObject.
func (s *serviceCall) write(record *isolates.Record) {
	if s.writer.loop == nil {
		s.handle.written()
		return
	}
	s.writer.write(record)
}

// finish implements ioObject.
func (s *serviceCall) finish(record *isolates.Record) {
	if s.writer.loop != nil {
		s.writer.finish(record)
	}
}

// drop implements ioObject.
func (s *serviceCall) drop() {
	s.handle, s.writer.handle = nil, nil
	if s.isGiven {
		s.down.cut(faultGone)
	}
	s.jointOver(&s.down)
}
