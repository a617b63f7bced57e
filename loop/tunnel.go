package loop

import (
	"nano/http1"
	"nano/isolates"
)

// A tunnel joins the two halves of a service call whose callee lives on another loop: the near one, with
// the caller, and the far one, with the callee. Each belongs to its loop alone. They name each other in
// the messages that they send, in order, through the mailboxes; bytes go over in buffers of the pool,
// tunnelHigh of them at most before the receiver has passed some on.
//
// The near half begins with wireRequest and ends with wireOver, whatever happens in between; the far half
// lives from the one to the other.
type tunnel struct {
	loop  *Loop
	seat  int     // of the other half's loop
	other *tunnel // never looked into from here
	call  *serviceCall
	far   *farRequest // one of the two; both nil: this half has ended

	// What goes to the other half.
	out         source // nil: none, or it has ended
	outstanding int    // bytes that it has not passed on yet
	isOutPaused bool

	// What comes from it.
	to       sink
	isOpen   bool // to has room
	size     int64
	queue    [][]byte
	ending   *ending
	isInOver bool
}

// tunnelHigh is how many bytes may be under way in one direction of a tunnel.
const tunnelHigh = 128 << 10

// A wire is a message of one half of a tunnel to the other.
type wire struct {
	to     *tunnel
	kind   wireKind
	buffer []byte // of wireData; the receiver's pool gets it
	number int    // of wireRoom
	fault  *fault // of wireEnd
	begin  *wireHead
}

type wireKind uint8

const (
	wireRequest wireKind = iota + 1 // begin: a call
	wireAnswer                      // begin: the answer to it
	wireData                        // bytes of a body
	wireRoom                        // number bytes were passed on
	wireEnd                         // the body has ended
	wireStop                        // nobody wants the rest of the body
	wireOver                        // nobody wants anything any more
)

// A wireHead is a request or an answer without the body that flows.
type wireHead struct {
	head     []byte // of a request; header lines of an answer
	body     []byte // whole; nil: none, or it flows
	flows    bool
	length   int64 // of a body that flows; -1: unknown
	app      *sharedApp
	callers  chain
	secure   bool
	remote   []byte
	status   int
	reason   []byte
	bodiless bool
}

// send sends a message to the other half. False: its loop takes none any more.
func (t *tunnel) send(w wire) bool {
	w.to = t.other
	return t.loop.post(t.seat, message{kind: messageWire, wire: w})
}

// callFar gives a request to an app on another loop. False: that takes none any more.
func (l *Loop) callFar(seat int, app *sharedApp, s *serviceCall, head, body []byte) bool {
	near := &tunnel{loop: l, seat: seat, call: s}
	near.other = &tunnel{loop: l.placement.seats[seat].loop.Load(), seat: l.seat, other: near}
	begin := &wireHead{head: append([]byte(nil), head...), flows: s.up.from != nil || s.up.ending != nil, length: s.up.length(), app: app,
		callers: s.callers, secure: s.secure, remote: append([]byte(nil), s.remote...)}
	if body != nil {
		begin.body = append([]byte{}, body...)
	}
	if !near.send(wire{kind: wireRequest, begin: begin}) {
		return false
	}
	l.tunnels++
	s.tunnel = near
	if begin.flows {
		near.carry(&s.up)
	}
	return true
}

// carry sends all that comes from a source to the other half.
func (t *tunnel) carry(from source) {
	t.out = from
	from.attach(t)
	from.resume()
}

// push implements sink.
func (t *tunnel) push(data []byte) (more bool) {
	t.send(wire{kind: wireData, buffer: t.loop.buffers.append(nil, data)})
	t.outstanding += len(data)
	t.isOutPaused = t.outstanding >= tunnelHigh
	return !t.isOutPaused
}

// end implements sink.
func (t *tunnel) end(f *fault) {
	t.out = nil
	t.send(wire{kind: wireEnd, fault: f})
}

// tunnelOut is a tunnel as the source of what comes out of it.
type tunnelOut tunnel

// attach implements source.
func (o *tunnelOut) attach(to sink) { o.to = to }

// length implements source.
func (o *tunnelOut) length() int64 { return o.size }

// resume implements source.
func (o *tunnelOut) resume() {
	o.isOpen = true
	(*tunnel)(o).deliver()
}

// cancel implements source.
func (o *tunnelOut) cancel() {
	t := (*tunnel)(o)
	t.dropInput()
	t.send(wire{kind: wireStop})
}

// dropInput forgets what has come and was not passed on. What still comes is dropped, too.
func (t *tunnel) dropInput() {
	t.isInOver, t.to, t.ending = true, nil, nil
	for i := range t.queue {
		t.loop.buffers.give(t.queue[i])
	}
	t.queue = nil
}

// deliver passes on what has come, as far as there is room.
func (t *tunnel) deliver() {
	passed := 0
	for t.isOpen && len(t.queue) != 0 && t.to != nil {
		buffer := t.queue[0]
		rest := copy(t.queue, t.queue[1:])
		t.queue[rest] = nil
		t.queue = t.queue[:rest]
		passed += len(buffer)
		if t.size > 0 {
			t.size = max(t.size-int64(len(buffer)), 0)
		}
		t.isOpen = t.loop.buffers.offer(t.to, buffer)
	}
	if passed != 0 {
		t.send(wire{kind: wireRoom, number: passed})
	}
	if t.ending != nil && len(t.queue) == 0 && t.to != nil {
		to, f := t.to, t.ending.fault
		t.isInOver, t.to, t.ending = true, nil, nil
		to.end(f)
	}
}

// receiveWire takes a message from the other half of a tunnel, or the call that begins one.
func (l *Loop) receiveWire(w *wire) {
	t := w.to
	switch w.kind {
	case wireRequest:
		t.beginFar(w.begin)
	case wireAnswer:
		if s := t.call; s != nil {
			s.answeredFar(t, w.begin)
		}
	case wireData:
		if t.isInOver || t.hasEnded() {
			l.buffers.give(w.buffer)
			return
		}
		t.queue = append(t.queue, w.buffer)
		t.deliver()
	case wireRoom:
		t.outstanding -= w.number
		if t.out != nil && t.isOutPaused && t.outstanding <= tunnelHigh/2 {
			t.isOutPaused = false
			t.out.resume()
		}
	case wireEnd:
		if !t.isInOver && !t.hasEnded() {
			t.ending = endingOf(w.fault)
			t.deliver()
		}
	case wireStop:
		if out := t.out; out != nil {
			t.out = nil
			out.cancel()
		}
	case wireOver:
		t.endFar()
	}
}

func (t *tunnel) hasEnded() bool { return t.call == nil && t.far == nil }

// close ends the near half.
func (t *tunnel) close() {
	t.call, t.out = nil, nil
	t.dropInput()
	t.loop.tunnels--
	t.send(wire{kind: wireOver})
}

// beginFar makes the far half, and asks the callee.
func (t *tunnel) beginFar(begin *wireHead) {
	l := t.loop
	l.tunnels++
	r := &farRequest{tunnel: t, begin: begin}
	t.far, t.size = r, begin.length
	if err := l.head.Parse(begin.head, http1.MaxHeadLength); err != nil {
		panic("loop: a head that was parsed before is malformed: " + err.Error())
	}
	l.call(begin.app, r, begin.head, begin.body)
	begin.head, begin.body = nil, nil
}

// endFar ends the far half: whatever still goes on is not wanted.
func (t *tunnel) endFar() {
	r := t.far
	if r == nil {
		return
	}
	t.far = nil
	t.loop.tunnels--
	if e := r.exchange; e != nil {
		r.exchange, r.chunks.exchange = nil, nil
		t.loop.callerGone(e)
	}
	if out := t.out; out != nil {
		t.out = nil
		out.cancel()
	}
	r.endUpload(faultAnswered)
}

// answeredFar takes the answer of a callee on another loop.
func (s *serviceCall) answeredFar(t *tunnel, begin *wireHead) {
	head := http1.ResponseHead{Status: begin.status, Reason: begin.reason, Head: begin.head, ContentLength: begin.length}
	var from source
	if begin.flows {
		t.size = begin.length
		from = (*tunnelOut)(t)
	}
	s.begin(&head, begin.body, from, begin.bodiless)
}

// A farRequest is the caller of an exchange whose answer goes through a tunnel.
type farRequest struct {
	tunnel   *tunnel
	begin    *wireHead
	exchange *exchange // nil: it is done with its answer
	reading  bodyReader
	chunks   jsWriter
}

// describe implements caller.
func (r *farRequest) describe(request *isolates.Request) {
	request.Secure, request.RemoteAddress = r.begin.secure, r.begin.remote
}

// requestBody implements caller.
func (r *farRequest) requestBody() (*bodyReader, source) {
	if !r.begin.flows {
		return nil, nil
	}
	return &r.reading, (*tunnelOut)(r.tunnel)
}

// asked implements caller.
func (r *farRequest) asked(e *exchange) { r.exchange = e }

// chain implements caller.
func (r *farRequest) chain() *chain { return &r.begin.callers }

// answered implements caller.
func (r *farRequest) answered(record *isolates.Record, from source, streams, bodiless bool) {
	if streams {
		r.chunks.begin(r.exchange, record)
		from = &r.chunks
	} else {
		r.exchange = nil
	}
	answer := &wireHead{status: int(record.Status), reason: append([]byte(nil), record.Reason...), head: append([]byte(nil), record.Head...),
		length: bodyLength(record, from, int(record.Status)), bodiless: bodiless || record.NoBody, flows: from != nil}
	if from == nil {
		answer.body = append([]byte(nil), record.Body...)
	}
	r.answer(answer, from)
}

// refused implements caller.
func (r *farRequest) refused(status int, lines []byte, text string) {
	r.exchange = nil
	lines = append(append([]byte(nil), lines...), plainText...)
	r.answer(&wireHead{status: status, head: lines, body: []byte(text), length: int64(len(text))}, nil)
}

func (r *farRequest) answer(answer *wireHead, from source) {
	r.tunnel.send(wire{kind: wireAnswer, begin: answer})
	if from != nil {
		r.tunnel.carry(from)
	}
}

// chunk implements caller.
func (r *farRequest) chunk(record *isolates.Record) { r.chunks.write(record) }

// finished implements caller.
func (r *farRequest) finished(f *fault) {
	r.exchange, r.chunks.exchange = nil, nil
	r.chunks.close(f)
}

// endUpload ends the body of the request for who reads it, if it has not ended.
func (r *farRequest) endUpload(f *fault) {
	t := r.tunnel
	to := t.to
	t.dropInput()
	if to != nil {
		to.end(f)
	} else if h := r.reading.handle; h != nil {
		r.reading.handle = nil
		h.fail(f)
	}
}

// refuseWire answers a call that comes when this loop has ended. It cannot hear of what follows.
func (l *Loop) refuseWire(w *wire) {
	if w.kind == wireRequest {
		text := "nano: " + w.begin.app.Name + ": the node is stopping"
		w.to.send(wire{kind: wireAnswer, begin: &wireHead{status: 503, head: []byte(plainText), body: []byte(text), length: int64(len(text))}})
	}
}
