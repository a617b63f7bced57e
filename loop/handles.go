package loop

import (
	"nano/isolates"
)

// An ioObject is what a handle names: an I/O object of an isolate, such as a fetch, a socket or the body
// of a request. Its methods are what JavaScript asks of it. None of them may call into an isolate but by
// the methods of the handle, which stage.
//
// An object lives until it calls handle.release, which it does when both its sides have ended, or until
// drop. What JavaScript asks of a handle after that, not having heard of it yet, is dropped.
type ioObject interface {
	// read opens the window of the read side by so many bytes. decoded: content codings are to be
	// removed; it does not change after the first call.
	read(window int, decoded bool)
	// cancel says that nobody wants the rest of the read side. abort: both sides are to end, at once and
	// visibly for whoever is at their other ends.
	cancel(abort bool)
	// write takes a KindWrite record, and answers with handle.written when the next may come. The object
	// takes record.Block over by setting it to noBlock.
	write(record *isolates.Record)
	// finish takes a KindFinish record.
	finish(record *isolates.Record)
	// body gives the read side away as a source, of which JavaScript has read nothing; nil: there is
	// none. raw: content codings are kept. The handle stays until the object releases it.
	body(raw bool) source
	// drop ends both sides as cancel(true) does, but JavaScript is gone: the handle must not be used any
	// more, not even to release it.
	drop()
}

// A handle is the name that JavaScript gave to an I/O object, and the way by which the object reaches
// JavaScript. As long as it is open the isolate stays awake.
type handle struct {
	loop     *Loop
	worker   *appWorker
	key      handleKey
	object   ioObject
	exchange *exchange // under which it was opened; nil: its request has ended
	isPiped  bool      // its bytes are moved by the loop, JavaScript has forgotten it
	isKept   bool      // it outlives its request, whatever Options.Background says
	isLate   bool      // its request has ended
	isUnread bool      // it has brought something, and JavaScript has not asked for more

	timeout timeoutNode

	previousOfWorker, nextOfWorker     *handle // nextOfWorker: also of the free list
	previousOfExchange, nextOfExchange *handle
}

// A handleKey is unique on a loop: isolates that replace others have new lives.
type handleKey struct {
	life   uint32
	number int32
}

// handles are those of all isolates of a loop.
type handles struct {
	byKey map[handleKey]*handle
	free  *handle
	spare int // in free
}

// handlesSpareMax bounds what is kept after many handles were open at once.
const handlesSpareMax = 1024

func newHandles() handles { return handles{byKey: make(map[handleKey]*handle)} }

// openHandle makes a handle for an object that is about to be opened under e, which may be nil.
func (l *Loop) openHandle(w *appWorker, number int32, e *exchange) *handle {
	h := l.handles.free
	if h != nil {
		l.handles.free = h.nextOfWorker
		l.handles.spare--
	} else {
		h = new(handle)
	}
	*h = handle{loop: l, worker: w, key: handleKey{w.life, number}, nextOfWorker: w.handles}
	h.timeout.owner = h
	if w.handles != nil {
		w.handles.previousOfWorker = h
	}
	w.handles = h
	if w.handlesOpen++; w.handlesOpen == 1 && w.inHand == 0 {
		l.noteBusy(w)
	}
	l.handles.byKey[h.key] = h
	if e != nil {
		h.exchange, h.nextOfExchange = e, e.handles
		if e.handles != nil {
			e.handles.previousOfExchange = h
		}
		e.handles = h
	}
	return h
}

// passes is how often what the handle's object does goes through NANO already. After a request has ended
// that is unknown, and must not be a way to go on for ever: it is what the isolate's last request had. (Not
// the most that one had: a client that claims much must not keep an app from fetching for good.)
func (h *handle) passes() uint8 {
	if h.exchange != nil {
		return h.exchange.passes
	}
	return h.worker.passes
}

// release ends the life of a handle, whose object is over.
func (h *handle) release() {
	l, w := h.loop, h.worker
	if l.handles.byKey[h.key] != h {
		panic("loop: handle released twice")
	}
	delete(l.handles.byKey, h.key)
	h.timeout.stop()
	h.leaveExchange()
	if h.previousOfWorker != nil {
		h.previousOfWorker.nextOfWorker = h.nextOfWorker
	} else {
		w.handles = h.nextOfWorker
	}
	if h.nextOfWorker != nil {
		h.nextOfWorker.previousOfWorker = h.previousOfWorker
	}
	*h = handle{}
	if l.handles.spare < handlesSpareMax {
		h.nextOfWorker, l.handles.free = l.handles.free, h
		l.handles.spare++
	}
	if w.handlesOpen--; w.handlesOpen == 0 && w.inHand == 0 {
		l.noteIdle(w)
	}
}

// leaveExchange takes a handle off the list of its request.
func (h *handle) leaveExchange() {
	e := h.exchange
	if e == nil {
		return
	}
	if h.previousOfExchange != nil {
		h.previousOfExchange.nextOfExchange = h.nextOfExchange
	} else {
		e.handles = h.nextOfExchange
	}
	if h.nextOfExchange != nil {
		h.nextOfExchange.previousOfExchange = h.previousOfExchange
	}
	h.exchange, h.previousOfExchange, h.nextOfExchange = nil, nil, nil
}

// What an object tells JavaScript, in the isolate's next turn.

func (h *handle) stage() Worker {
	h.loop.wantTurn(h.worker)
	return h.worker.isolate
}

// response stages the head of the answer to a fetch.
func (h *handle) response(r *isolates.Response) {
	r.Handle = h.key.number
	h.stage().AddResponse(r)
	h.brought(r.Streams)
}

// data stages bytes of the read side.
func (h *handle) data(data []byte, kind isolates.DataKind) {
	h.stage().AddData(h.key.number, data, kind)
	h.brought(true)
}

// brought notes whether JavaScript has something to read now, or to ask for.
func (h *handle) brought(something bool) {
	h.isUnread = something
	h.loop.bound(h)
}

// end stages the end of the read side, or with a fault that of the whole object.
func (h *handle) end(f *fault) {
	if f == nil {
		h.stage().AddEnd(h.key.number, isolates.FaultNone, nil)
		return
	}
	if f.kind == isolates.FaultEgress {
		h.worker.counts.EgressRefusals++
	}
	h.stage().AddEnd(h.key.number, f.kind, []byte(f.text))
}

// written stages that the last piece of the write side was taken.
func (h *handle) written() { h.stage().AddWritten(h.key.number) }

// opened stages that a socket is open.
func (h *handle) opened(text []byte) { h.stage().AddOpened(h.key.number, text) }

// closed stages the end of a WebSocket.
func (h *handle) closed(code uint16, reason []byte, clean bool) {
	h.stage().AddClosed(h.key.number, code, reason, clean)
}

// fail stages a fault and releases the handle.
func (h *handle) fail(f *fault) {
	h.end(f)
	h.release()
}

// What JavaScript asks

// openObject makes the object that a KindOpen record asks for. Its opener returns it, or nil if it has told the
// handle why there is none, by handle.fail; it takes record.Block over by setting it to noBlock.
func (l *Loop) openObject(w *appWorker, record *isolates.Record) {
	var e *exchange
	if record.Pending {
		e = l.exchanges.lookup(record.Exchange, w)
	}
	h := l.openHandle(w, record.Handle, e)
	h.isLate = record.Pending && e == nil
	l.bound(h)
	switch record.What {
	case isolates.WhatFetch, isolates.WhatService, isolates.WhatAssets, isolates.WhatTCP, isolates.WhatWebSocket:
		w.counts.Subrequests++
	}
	switch record.What {
	case isolates.WhatFetch:
		h.object = l.openFetch(h, record)
	case isolates.WhatService:
		h.object = l.openService(h, record)
	case isolates.WhatAssets:
		h.object = l.openAssets(h, record)
	case isolates.WhatTCP:
		h.object = l.openTCP(h, record)
	case isolates.WhatWebSocket:
		h.object = l.openWebSocket(h, record)
	case isolates.WhatUpgrade:
		h.object = l.newWebSocket(h, false)
		h.isKept = true
	case isolates.WhatHost:
		h.object = l.openHostWork(h, record)
	default:
		h.fail(newFault(isolates.FaultRefused, "unknown kind of object"))
	}
	if h.object == nil && record.Source != 0 && record.What != isolates.WhatTCP {
		l.cancelSource(w, record.Source) // refused before it was taken
	}
	l.freeBlock(record.Block)
}

// actOnHandle does what a record asks of an open handle.
func (l *Loop) actOnHandle(w *appWorker, record *isolates.Record) {
	h := l.handles.byKey[handleKey{w.life, record.Handle}]
	if h == nil || h.isPiped && (record.Kind == isolates.KindRead || record.Kind == isolates.KindCancel) {
		l.freeBlock(record.Block)
		return
	}
	switch record.Kind {
	case isolates.KindRead:
		h.isUnread = false
		l.bound(h)
		h.object.read(int(record.Number), record.Flags&isolates.ReadDecoded != 0)
	case isolates.KindCancel:
		h.object.cancel(record.Flags&isolates.CancelAll != 0)
	case isolates.KindWrite:
		h.object.write(record)
		l.freeBlock(record.Block)
	case isolates.KindFinish:
		h.object.finish(record)
	}
}

// takeSource gives the read side of a handle away, which moves without JavaScript from here on. A fault:
// there is none.
func (l *Loop) takeSource(w *appWorker, number int32, raw bool) (source, *fault) {
	h := l.handles.byKey[handleKey{w.life, number}]
	if h == nil || h.isPiped {
		return nil, faultNoSource
	}
	h.isPiped = true
	h.timeout.stop()
	from := h.object.body(raw)
	if from == nil {
		return nil, faultNoSource
	}
	return from, nil
}

// cancelSource says that nobody wants the source that a record names.
func (l *Loop) cancelSource(w *appWorker, number int32) {
	if from, f := l.takeSource(w, number, true); f == nil {
		from.cancel()
	}
}

var faultNoSource = newFault(isolates.FaultAborted, "the body to be sent has ended")

// abandon gives up the handles of a request that has ended.
func (l *Loop) abandon(e *exchange) {
	for h := e.handles; h != nil; h = e.handles {
		h.leaveExchange()
		h.isLate = true
		l.bound(h)
	}
}

// bound limits the time that a handle has without its request: Options.Background, or less if nobody reads
// what it brings, as happens with responses of which only the status was looked at. There is no limit for
// what the loop moves by itself.
func (l *Loop) bound(h *handle) {
	switch {
	case !h.isLate || h.isPiped || h.isKept:
	case h.isUnread:
		l.timeouts.leaving.start(&h.timeout, l.now)
	default:
		l.timeouts.background.start(&h.timeout, l.now)
	}
}

// endHandles ends the objects of a request whose time is up, but for those that the loop moves by itself.
func (l *Loop) endHandles(e *exchange) {
	for h := e.handles; h != nil; {
		if h.isPiped || h.isKept {
			h = h.nextOfExchange
			continue
		}
		l.handleLimit(h)
		h = e.handles // others may have ended with it
	}
}

// handleLimit ends an object that has gone on for too long after its request.
func (l *Loop) handleLimit(h *handle) {
	object := h.object
	h.end(newFault(isolates.FaultTimeout, "the request has ended"))
	h.release()
	object.drop()
}

// dropHandles ends all objects of an isolate that is going away.
func (l *Loop) dropHandles(w *appWorker) {
	for h := w.handles; h != nil; h = w.handles {
		object := h.object
		h.release()
		object.drop()
	}
}
