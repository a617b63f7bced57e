package loop

import (
	"bytes"
	"time"

	"nano/http1"
	"nano/isolates"
)

// A fetch is a sub-request: one fetch() of an app, from its KindOpen record until its response is whole,
// with all redirects. It is the ioObject of its handle, the sink of its request's body (as fetchUpload) and the
// source of its response's body (as fetchDownload).
//
// Its life: asking, while it waits for a connection or for the head of the response; answered, while the
// body comes; over. What of the body its sink has no room for is held, up to fetchHeldMax; then the
// carrier has to wait. So the connection of a small body is free before JavaScript has read it.
type fetch struct {
	loop   *Loop
	handle *handle // nil: JavaScript is gone
	worker *appWorker
	state  fetchState

	// The request.
	text          []byte // of the pool: method, URL and header lines
	method        []byte // views of text
	url           []byte
	lines         []byte
	to            location // of url
	content       []byte   // the body; nil if there is none, or if it follows
	block         Block    // that body lies in, or noBlock: it is of the pool
	flags         uint16   // isolates.Open...
	isStream      bool     // the body follows
	uploadEnded   bool     // all of it has come
	from          source   // of a body that follows, until it ended
	writer        jsWriter // that source, if JavaScript writes it
	contentLength int64    // of a body that follows; -1: unknown
	toSend        int64    // what is missing of that; of a whole body what has not been written
	upgrade       upgrader // who wants to take the connection over; usually nil
	protocol      string   // that upgrade asks for

	// On the way to a connection.
	origin         *origin
	previous, next *fetch // of those that wait
	sequence       uint64
	passes         uint8 // as describe tells the origin
	isWaiting      bool
	isRetry        bool // a connection that had been idle was closed under it
	redirects      uint8
	refusals       uint8   // how often an origin would not process it
	carrier        carrier // nil: none yet, or not any more

	// The response.
	sink            sink // of its body; nil: none yet
	isOpen          bool // the sink has room
	isHeldUp        bool // the carrier waits for resume
	held            []byte
	ending          *ending // how the body ended, which the sink is to hear after what is held
	remaining       int64   // bytes that are still to come; -1: unknown
	codings         codings
	decoder         *decoder // between the body and its sink; nil: none
	reader          jsReader // the sink, if JavaScript reads
	isRead, isGiven bool     // by JavaScript; to another sink
	isUnwanted      bool     // JavaScript has cancelled the body before it came

	trace *trace // with the span of the fetch; nil: it is not recorded

	timeout timeoutNode // for the head of the response; then for the next piece of it
	excess  *fault      // why the request has to fail when that has passed; usually nil
}

type fetchState uint8

const (
	fetchOver fetchState = iota
	fetchAsking
	fetchAnswered
)

// An upgrader is who wants to take a connection over when its origin goes over to another protocol.
type upgrader interface {
	// switched gives the connection away, and the handle of the fetch, which is over. head and rest,
	// which follows it, are valid during the call. The upgrader becomes the handler of the transport.
	switched(t transport, head []byte, parsed *http1.Head, rest []byte)
	// refused says that another response came, with its status, or none (0) because of a fault. True:
	// that is all, the handle is the upgrader's, and the fetch is over. False: JavaScript is to hear of it
	// as of any other.
	refused(status int, why *fault) (handled bool)
}

const (
	// fetchHeldMax is how much of a body is held for a sink that has no room.
	fetchHeldMax = 64 << 10
	// handlesMax bounds the I/O objects of an isolate: what a loop of fetch() in one that has no request
	// any more, or very many, can take.
	handlesMax = 32 << 10
	// acceptEncoding is what is asked for where the app does not say: what decode.go removes.
	acceptEncoding = "gzip, br, zstd"
	userAgent      = "NANO"
	// wholePiece is how much of a whole body is handed to the connection at once.
	wholePiece = 32 << 10
)

// openFetch begins a sub-request, from a KindOpen record.
func (l *Loop) openFetch(h *handle, record *isolates.Record) ioObject {
	f := l.newFetch(h, record)
	if f == nil {
		return nil
	}
	f.start()
	if f.state == fetchOver { // it failed at once, and is forgotten
		return nil
	}
	return f
}

// newFetch makes a fetch of a KindOpen record. nil: it has failed, and its handle is released.
func (l *Loop) newFetch(h *handle, record *isolates.Record) *fetch {
	if h.worker.handlesOpen > handlesMax {
		h.fail(newFault(isolates.FaultLimit, "too many sub-requests at once"))
		return nil
	}
	f := l.takeFetch()
	f.handle, f.worker, f.state, f.flags, f.passes = h, h.worker, fetchAsking, record.Flags, h.passes()+1
	traced, room := l.isTraced(h.exchange), len(record.Target)+len(record.Head)
	if traced {
		room += traceRoom
	}
	f.text = append(append(l.buffers.take(room), record.Target...), record.Head...)
	if traced {
		l.traceFetch(f, h.exchange, len(record.Target))
	}
	f.lines = f.text[len(record.Target):]
	f.method, f.url, _ = bytes.Cut(f.text[:len(record.Target)], space)
	if why := f.to.parse(f.url); why != "" {
		f.fail(f.fault(why))
		return nil
	}
	if why := f.takeBody(record); why != nil {
		f.fail(why)
		return nil
	}
	return f
}

var space = []byte{' '}

// takeBody takes the body of the request from its record. A fault: there is none where there must be.
func (f *fetch) takeBody(record *isolates.Record) *fault {
	l := f.loop
	f.contentLength = -1
	fixed := int64(-1)
	if f.flags&isolates.OpenFixedLength != 0 {
		fixed = record.Number
	}
	switch {
	case record.Source != 0:
		from, why := l.takeSource(f.worker, record.Source, false)
		if why != nil {
			return why
		}
		f.contentLength = from.length()
		if fixed >= 0 && f.contentLength >= 0 && fixed != f.contentLength {
			from.cancel()
			return f.fault("the length of the body is not what was announced")
		}
		f.from, f.contentLength = from, max(fixed, f.contentLength)
	case f.flags&isolates.OpenBodyFollows != 0:
		f.writer.open(f.handle, fixed)
		f.from, f.contentLength = &f.writer, fixed
	case f.flags&isolates.OpenHasBody != 0:
		if record.Block != noBlock {
			f.content, f.block = record.Body, record.Block
			record.Block = noBlock
		} else {
			f.content = append(l.buffers.take(len(record.Body)), record.Body...)
		}
		return nil
	default:
		return nil
	}
	f.isStream, f.toSend = true, f.contentLength
	f.from.attach((*fetchUpload)(f))
	return nil
}

// start sends the request, to whatever origin its URL names now.
func (f *fetch) start() {
	l := f.loop
	l.startTimeout(&f.timeout, l.options.FetchHead)
	l.originOf(f.worker, &f.to, f.upgrade != nil).request(f)
}

// describe says what the head of the request is. It is valid until the loop's scratch memory is used.
func (f *fetch) describe(head *http1.RequestHead) {
	*head = http1.RequestHead{
		Method: f.method, Target: f.to.target, Host: f.to.authority, Head: f.lines,
		ContentLength: -1, AcceptEncoding: acceptEncoding, UserAgent: userAgent, Upgrade: f.protocol, Hops: f.passes,
	}
	if proxy := f.worker.shared.Proxy; proxy != nil && !f.to.secure {
		f.loop.scratch = append(append(append(f.loop.scratch[:0], "http://"...), f.to.authority...), f.to.target...)
		head.Target, head.ProxyAuthorization = f.loop.scratch, proxy.Authorization
	}
	switch {
	case f.isStream:
		head.ContentLength, head.Chunked = f.contentLength, f.contentLength < 0
	case f.content != nil:
		head.ContentLength = int64(len(f.content))
	case string(f.method) == "POST" || string(f.method) == "PUT":
		head.ContentLength = 0
	}
}

func (f *fetch) isHead() bool { return string(f.method) == "HEAD" }

// fault is a network error, with where it happened.
func (f *fetch) fault(why string) *fault {
	return newFault(isolates.FaultNetwork, "fetch failed: "+why+" ("+f.place()+")")
}

// place is the URL for a message: without query, and not too long.
func (f *fetch) place() string {
	const longest = 200
	url, _, _ := bytes.Cut(f.url, []byte{'?'})
	url, _, _ = bytes.Cut(url, []byte{'#'})
	if len(url) > longest {
		return string(url[:longest]) + "…"
	}
	return string(url)
}

// carried is called when a carrier has taken the request.
func (f *fetch) carried(by carrier) {
	f.carrier = by
	switch {
	case f.isStream && f.uploadEnded:
		by.endBody()
	case f.isStream:
		f.from.resume()
	case len(f.content) > bodyWithHead:
		f.toSend = int64(len(f.content))
		f.bodyRoom()
	}
}

// bodyRoom is called when the carrier can take more of the request's body.
func (f *fetch) bodyRoom() {
	f.progressed()
	if f.isStream {
		if f.from != nil {
			f.from.resume()
		}
		return
	}
	for more := true; more && f.toSend > 0; {
		rest := f.content[int64(len(f.content))-f.toSend:]
		rest = rest[:min(len(rest), wholePiece)]
		f.toSend -= int64(len(rest))
		more = f.carrier.writeBody(rest)
		if f.toSend == 0 {
			f.carrier.endBody()
		}
	}
}

// progressed puts the time-out off for a response that cannot come before the request's body has left.
func (f *fetch) progressed() {
	if f.state == fetchAsking {
		f.loop.startTimeout(&f.timeout, f.loop.options.FetchHead)
	}
}

// fetchUpload is a fetch as the sink of its request's body.
type fetchUpload fetch

// push implements sink.
func (u *fetchUpload) push(data []byte) (more bool) {
	return (*fetch)(u).mayWrite(len(data)) && u.carrier.writeBody(data)
}

// pushBlock implements blockSink.
func (u *fetchUpload) pushBlock(block Block, n int) (more bool) {
	if !(*fetch)(u).mayWrite(n) {
		u.loop.freeBlock(block)
		return false
	}
	return u.carrier.writeBodyBlock(block, n)
}

// mayWrite reports whether n more bytes of the body can go out.
func (f *fetch) mayWrite(n int) bool {
	if f.carrier == nil || f.excess != nil {
		return false
	}
	f.progressed()
	if f.contentLength < 0 {
		return true
	}
	if f.toSend -= int64(n); f.toSend >= 0 {
		return true
	}
	f.failSoon(f.fault("the body is longer than was announced"))
	return false
}

// end implements sink.
func (u *fetchUpload) end(why *fault) {
	f := (*fetch)(u)
	f.from, f.uploadEnded = nil, true
	switch {
	case why != nil:
		f.fail(newFault(why.kind, "fetch failed: "+why.text+" ("+f.place()+")"))
	case f.excess != nil:
	case f.contentLength >= 0 && f.toSend != 0:
		f.fail(f.fault("the body is shorter than was announced"))
	case f.carrier != nil:
		f.carrier.endBody()
	}
}

// switched gives a connection away that has gone over to another protocol.
func (f *fetch) switched(t transport, head []byte, parsed *http1.Head, rest []byte) {
	by := f.upgrade
	f.carrier, f.handle = nil, nil
	if f.trace != nil {
		f.trace.span.Status = 101
	}
	by.switched(t, head, parsed, rest)
	f.stop()
	f.over()
}

// isRefused reports whether the upgrader takes another outcome on itself.
func (f *fetch) isRefused(status int, why *fault) bool {
	if f.upgrade == nil || !f.upgrade.refused(status, why) {
		return false
	}
	f.handle = nil
	f.stop()
	f.over()
	return true
}

// responded takes the head of the response, whose carrier goes on with the body unless that is whole.
func (f *fetch) responded(head []byte, parsed *http1.Head, body []byte, whole bool) {
	if whole {
		f.carrier = nil
	}
	if f.follows(head, parsed) {
		return
	}
	if f.trace != nil {
		f.trace.span.Status = int(parsed.Status)
	}
	if f.isRefused(int(parsed.Status), nil) {
		return
	}
	response := &f.loop.response
	*response = isolates.Response{
		Status: int(parsed.Status), Reason: head[parsed.ReasonOffset:][:parsed.ReasonLength],
		Head: head, Fields: parsed.Fields, Redirected: f.redirects != 0,
	}
	if response.Redirected {
		response.URL, _, _ = bytes.Cut(f.url, []byte{'#'})
	}
	f.state = fetchAnswered
	response.NullBody = f.isHead() || hasNullBody(parsed.Status)
	if !response.NullBody {
		f.codings = codingsOf(head, parsed)
		response.Encoded = f.codings.count != 0
		response.Streams = !whole || response.Encoded && len(body) != 0
		response.Body = body
	}
	f.stopUploadIf(whole)
	if response.Streams {
		response.Body = nil
		f.hold(body, whole, parsed)
	}
	f.handle.response(response)
	if !response.Streams || f.isUnwanted {
		f.stop()
		f.over()
	}
}

// hasNullBody reports whether a response with that status has no body for an app, whatever the origin
// sends (Fetch standard, null body status).
func hasNullBody(status uint16) bool {
	return status == 101 || status == 204 || status == 205 || status == 304
}

// hold prepares for the body of the response. body is all of it if it is whole.
func (f *fetch) hold(body []byte, whole bool, parsed *http1.Head) {
	f.remaining = parsed.ContentLength
	if whole {
		f.timeout.stop()
		f.held = f.loop.buffers.append(nil, body)
		f.ending, f.remaining = wholeEnding, 0
		return
	}
	f.awaitBody()
}

// receive takes a piece of the body from the carrier.
func (f *fetch) receive(data []byte) (more bool) {
	if f.remaining > 0 {
		f.remaining -= int64(len(data))
	}
	isOutput := false
	if f.isOpen && len(f.held) == 0 {
		pool := &f.loop.buffers
		pool.isOutput = false
		f.isOpen = f.sink.push(data)
		more, isOutput = f.isOpen, pool.isOutput
	} else if kept := f.keep(data); kept != nil {
		f.held = kept
	} else {
		f.held = f.loop.buffers.append(f.held, data)
	}
	if more || len(f.held) < fetchHeldMax && !isOutput {
		f.awaitBody()
		return true
	}
	// Nothing is received ahead of a large piece that is being sent on: see endpoint.adapt.
	f.holdUp()
	return false
}

// takesPipes reports whether what comes next of the body can be taken in a pipe: whoever takes it wants it as it is.
func (f *fetch) takesPipes() bool {
	if !f.isOpen || len(f.held) != 0 {
		return false
	}
	to, ok := f.sink.(pipeSink)
	return ok && to.takesPipes()
}

// mayReceivePipe reports whether it can be now, after takesPipes. If not, the carrier has to wait.
func (f *fetch) mayReceivePipe() bool {
	if f.sink.(pipeSink).mayPushPipe() {
		return true
	}
	f.isOpen = false
	f.holdUp()
	return false
}

// receivePipe is receive for what a pipe holds, after mayReceivePipe.
func (f *fetch) receivePipe(p *pipe) (more bool) {
	if f.remaining > 0 {
		f.remaining -= int64(p.held)
	}
	f.isOpen = f.sink.(pipeSink).pushPipe(p)
	if f.isOpen {
		f.awaitBody()
		return true
	}
	f.holdUp()
	return false
}

// holdUp has the carrier wait until there is room for more of the body.
func (f *fetch) holdUp() {
	if f.excess == nil {
		f.timeout.stop() // it is not the origin's turn
	}
	f.isHeldUp = true
}

// keep returns data as what is to be held, if that can be without copying them.
func (f *fetch) keep(data []byte) []byte {
	if len(f.held) != 0 {
		return nil
	}
	return f.loop.buffers.keep(data)
}

// awaitBody starts the time-out for the next piece of the body.
func (f *fetch) awaitBody() {
	if f.excess == nil {
		f.loop.startTimeout(&f.timeout, f.loop.options.FetchIdle)
	}
}

// failSoon has the fetch fail in a moment, when whoever pushes has returned.
func (f *fetch) failSoon(why *fault) {
	if f.excess == nil {
		f.excess = why
		f.loop.startTimeout(&f.timeout, time.Nanosecond)
	}
}

// received takes the end of the body from the carrier, which may carry another request already.
func (f *fetch) received(why *fault) {
	f.carrier = nil
	f.stop()
	f.noteFault(why)
	f.endBody(why)
}

// noteFault notes a fault, or nil, for the trace.
func (f *fetch) noteFault(why *fault) {
	if f.trace != nil && why != nil {
		f.trace.fails(spanFaults[why.kind])
	}
}

// lost is called when the carrier has failed. isStale: it may have failed before the request came to the
// origin, whose idle connection it was.
func (f *fetch) lost(why *fault, isStale bool) {
	f.carrier = nil
	if f.state == fetchAsking && isStale && !f.isRetry && !f.isStream && isIdempotent(f.method) {
		f.isRetry = true
		f.start()
		return
	}
	f.fail(why)
}

// unprocessed is called when the origin has said that it did nothing with the request, which may be sent again
// whatever it is, if it is still at hand.
func (f *fetch) unprocessed(why *fault) {
	f.carrier = nil
	if f.state == fetchAsking && !f.isStream && f.refusals < refusalsMax {
		f.refusals++
		f.start()
		return
	}
	f.fail(why)
}

// refusalsMax is how often a request is sent again that an origin did nothing with.
const refusalsMax = 3

// notConnected is called when no connection to the origin can be had.
func (f *fetch) notConnected(why *fault) {
	f.fail(newFault(why.kind, "fetch failed: "+why.text+" ("+f.place()+")"))
}

// isIdempotent reports whether a request may be sent again without asking (RFC 9110 §9.2.2).
func isIdempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// fail ends the fetch with a fault, of which JavaScript hears, or whoever takes the body.
func (f *fetch) fail(why *fault) {
	f.stop()
	f.noteFault(why)
	if f.state == fetchAsking {
		if f.isRefused(0, why) {
			return
		}
		f.handle.end(why)
		f.over()
		return
	}
	f.endBody(why)
}

// endBody notes how the body of the response has ended.
func (f *fetch) endBody(why *fault) {
	if f.ending == nil {
		f.ending = endingOf(why)
	}
	f.deliver()
}

// deliver gives the sink what is held, if it has room, and then the end.
func (f *fetch) deliver() {
	if f.sink == nil {
		return
	}
	if f.isOpen && len(f.held) != 0 {
		held := f.held
		f.held = nil
		f.isOpen = f.loop.buffers.offer(f.sink, held)
	}
	switch {
	case len(f.held) != 0:
	case f.ending != nil:
		to, why, isDecoded := f.sink, f.ending.fault, f.decoder != nil
		f.sink = nil
		to.end(why)
		if !isDecoded { // else the decoder says when it is over
			f.over()
		}
	case f.isHeldUp: // there is room again, here at least
		f.isHeldUp = false
		f.awaitBody()
		f.carrier.resume()
	}
}

// fetchDownload is a fetch as the source of its response's body.
type fetchDownload fetch

// attach implements source.
func (d *fetchDownload) attach(to sink) { d.sink = to }

// resume implements source.
func (d *fetchDownload) resume() {
	d.isOpen = true
	(*fetch)(d).deliver()
}

// cancel implements source.
func (d *fetchDownload) cancel() {
	d.sink = nil
	(*fetch)(d).stop()
	(*fetch)(d).over()
}

// length implements source.
func (d *fetchDownload) length() int64 {
	if d.remaining < 0 || d.ending != nil && d.ending.fault != nil {
		return -1
	}
	return d.remaining + int64(len(d.held))
}

// timedOut implements waiter.
func (f *fetch) timedOut(*timeoutNode) {
	why := f.excess
	switch {
	case why != nil:
		f.loop.buffers.give(f.held)
		f.held = nil
	case f.state == fetchAnswered:
		why = f.timeoutFault("the origin stopped in the middle of the body for ", f.loop.options.FetchIdle)
	default:
		why = f.timeoutFault("the origin did not answer within ", f.loop.options.FetchHead)
	}
	f.fail(why)
}

func (f *fetch) timeoutFault(why string, length time.Duration) *fault {
	why = f.fault(why + length.String()).text
	return newFault(isolates.FaultTimeout, why)
}

// stopUploadIf stops the request's body if the response is whole: nobody waits for the rest.
func (f *fetch) stopUploadIf(whole bool) {
	if from := f.from; whole && from != nil {
		f.from = nil
		from.cancel()
	}
}

// stop ends what goes on outside: the request wherever it is, and its body.
func (f *fetch) stop() {
	f.timeout.stop()
	f.stopUploadIf(true)
	if f.isWaiting {
		f.origin.leave(f)
	}
	if by := f.carrier; by != nil {
		f.carrier = nil
		by.abandon()
	}
}

// over ends the life of the fetch: nothing refers to it any more but its handle.
func (f *fetch) over() {
	l := f.loop
	f.state = fetchOver
	f.timeout.stop()
	if f.trace != nil {
		f.endTrace()
	}
	if f.handle != nil {
		f.handle.release()
	}
	if f.decoder != nil {
		f.decoder.close()
	}
	l.buffers.give(f.text)
	l.buffers.give(f.held)
	f.freeBody()
	*f = fetch{loop: l}
	f.timeout.owner = f
	l.origins.fetches.give(f, originSparesMax)
}

// freeBody gives a whole body back.
func (f *fetch) freeBody() {
	if f.block != noBlock {
		f.loop.freeBlock(f.block)
	} else {
		f.loop.buffers.give(f.content)
	}
	f.content, f.block = nil, noBlock
}

func (l *Loop) takeFetch() *fetch {
	if spare := l.origins.fetches.take(); spare != nil {
		return spare
	}
	f := &fetch{loop: l}
	f.timeout.owner = f
	return f
}

// What JavaScript asks for

// read implements ioObject.
func (f *fetch) read(window int, decoded bool) {
	switch {
	case f.state != fetchAnswered || f.isGiven:
	case f.isRead:
		f.reader.read(window)
	default:
		f.isRead = true
		f.reader.window = int64(window)
		f.reader.start(f.handle, f.give(decoded), &f.reader)
	}
}

// body implements ioObject.
func (f *fetch) body(raw bool) source {
	if f.state != fetchAnswered || f.isRead || f.isGiven {
		return nil
	}
	f.isGiven = true
	return f.give(!raw)
}

// give returns the body of the response as a source, with or without its content codings.
func (f *fetch) give(decoded bool) source {
	if !decoded || f.codings.count == 0 {
		return (*fetchDownload)(f)
	}
	f.decoder = f.loop.newDecoder(f)
	return f.decoder
}

// cancel implements ioObject.
func (f *fetch) cancel(abort bool) {
	if !abort && f.state == fetchAsking {
		f.isUnwanted = true
		return
	}
	f.reader.from = nil
	f.stop()
	f.over()
}

// write implements ioObject.
func (f *fetch) write(record *isolates.Record) {
	if f.writer.handle == nil {
		f.handle.written()
		return
	}
	f.writer.write(record)
}

// finish implements ioObject.
func (f *fetch) finish(record *isolates.Record) {
	if f.writer.handle != nil {
		f.writer.finish(record)
	}
}

// drop implements ioObject.
func (f *fetch) drop() {
	f.handle = nil
	if w := &f.writer; w.handle != nil {
		// Its handle is gone: what it holds is freed here.
		if w.block != noBlock {
			f.loop.freeBlock(w.block)
		} else {
			f.loop.buffers.give(w.held)
		}
		*w = jsWriter{isOver: true}
	}
	f.stop()
	to := f.sink
	if f.decoder != nil {
		to = f.decoder.to
	}
	if f.isGiven && to != nil {
		to.end(faultGone)
	}
	f.over()
}
