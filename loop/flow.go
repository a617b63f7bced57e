package loop

import (
	"nano/isolates"
)

// Bytes flow from a source to a sink: from a client's connection, an origin, a file or an isolate to
// an isolate, a client or an origin. Which of these they are is known at neither end, so that any two
// can be joined, and bytes that no JavaScript looks at go from one to the other without a turn of an
// isolate.
//
// The rules, for all of them:
//
//   - Everything happens on the loop's thread, and nothing of it runs JavaScript: what an isolate is to
//     know is staged for its turn.
//   - A source is joined to its sink once, by attach, as soon as it is given away, and is paused then. It pushes only between resume
//     and a push that answered false. So what is under way is bounded by what a sink takes at a time.
//     It may end while it is paused, if it has nothing more.
//   - The bytes of a push are valid during the call.
//   - The last call to a sink is end, unless the source was cancelled. Neither calls the other any more
//     after end or cancel.
//   - A sink calls neither resume nor cancel from within push or end. A source may push and end from
//     within resume, but not from within attach and cancel.
type (
	source interface {
		// attach says where the bytes go.
		attach(to sink)
		// resume says that the sink has room for more.
		resume()
		// cancel says that nobody wants the rest.
		cancel()
		// length is how many bytes there are in all that were not pushed yet; -1: unknown.
		length() int64
	}
	sink interface {
		// push takes bytes, one at least. If it answers false, the next are to wait for resume.
		push(data []byte) (more bool)
		// end says that there are no more bytes: they were all of them if f is nil.
		end(f *fault)
	}
	// A pipeSink is a sink that can take bytes in a pipe, where nobody sees them.
	pipeSink interface {
		sink
		// takesPipes reports whether it can for what comes next.
		takesPipes() bool
		// mayPushPipe reports whether it can now. If not, that is as a push that answered false: resume follows.
		mayPushPipe() bool
		// pushPipe is push for what a pipe holds, right after mayPushPipe. The pipe is the sink's from then on.
		pushPipe(p *pipe) (more bool)
	}
	// A blockSink is a sink that can take bytes in memory of their own without copying them.
	blockSink interface {
		sink
		// pushBlock is push for the body of a block, n bytes, which is the sink's from then on.
		pushBlock(block Block, n int) (more bool)
	}
)

// A fault is why something ended before it was whole, as JavaScript is told.
type fault struct {
	kind isolates.Fault
	text string
	// isExhaustion: of a dial, for which there was no socket, since so many are open already.
	isExhaustion bool
}

func newFault(kind isolates.Fault, text string) *fault { return &fault{kind: kind, text: text} }

// faultIf is f, or none.
func faultIf(failed bool, f *fault) *fault {
	if failed {
		return f
	}
	return nil
}

// Faults of the loop itself.
var (
	faultClientGone = newFault(isolates.FaultAborted, "the client is gone")
	faultCancelled  = newFault(isolates.FaultAborted, "the body was cancelled")
	faultGone       = newFault(isolates.FaultAborted, "the isolate has ended")

	faultStreamFailed = newFault(isolates.FaultNetwork, "the stream of the body failed")
)

// A jsReader is a sink that ends in JavaScript: the read side of a handle. JavaScript opens a window
// of so many bytes that it is ready to take; while that is closed the source is paused.
type jsReader struct {
	handle *handle
	from   source // nil: none yet, or it has ended
	window int64  // below 0: the last piece was larger than it
}

// start joins the reader to its source. to is the reader itself, or what it is embedded in: an object
// that adds to end.
func (r *jsReader) start(h *handle, from source, to sink) {
	r.handle, r.from = h, from
	from.attach(to)
	if r.window > 0 {
		from.resume()
	}
}

// read opens the window by so many bytes. That the last piece may have been larger is forgotten.
func (r *jsReader) read(bytes int) {
	wasClosed := r.window <= 0
	r.window = max(r.window, 0) + int64(bytes)
	if wasClosed && r.window > 0 && r.from != nil {
		r.from.resume()
	}
}

// push implements sink.
func (r *jsReader) push(data []byte) (more bool) {
	r.handle.data(data, isolates.DataBytes)
	r.window -= int64(len(data))
	return r.window > 0
}

// end implements sink. The handle is still the object's.
func (r *jsReader) end(f *fault) {
	r.from = nil
	r.handle.end(f)
}

// stop ends the reader: JavaScript does not want the rest, or is gone.
func (r *jsReader) stop() {
	if from := r.from; from != nil {
		r.from = nil
		from.cancel()
	}
}

// A jsWriter is a source that begins in JavaScript: the write side of a handle, or the answer to a request
// that did not come over a connection. At most one piece is held: the next one comes after JavaScript has
// heard that the last one was taken.
type jsWriter struct {
	loop     *Loop
	handle   *handle   // who is told; nil: nobody, or
	exchange *exchange // whose answer this is
	to       sink
	size     int64 // bytes that are still to come; -1: unknown
	isOpen   bool  // the sink has room
	isOver   bool  // ended or cancelled
	mustTell bool  // JavaScript waits to hear that the last piece was taken
	held     []byte
	block    Block // if held lies in one
	ending   *ending
}

// An ending is the end of a flow that has to wait for bytes before it.
type ending struct{ fault *fault }

var wholeEnding = &ending{}

func endingOf(f *fault) *ending {
	if f == nil {
		return wholeEnding
	}
	return &ending{f}
}

// open prepares for the bytes that follow. size is how many, or -1.
func (s *jsWriter) open(h *handle, size int64) {
	*s = jsWriter{loop: h.loop, handle: h, size: size}
}

// begin prepares for the body of an answer that comes in KindChunk records.
func (s *jsWriter) begin(e *exchange, record *isolates.Record) {
	*s = jsWriter{loop: e.loop, exchange: e, size: -1}
	if record.Flags&isolates.RespondFixedLength != 0 {
		s.size = record.Number
	}
}

// attach implements source.
func (s *jsWriter) attach(to sink) { s.to = to }

// length implements source.
func (s *jsWriter) length() int64 { return s.size }

// resume implements source.
func (s *jsWriter) resume() {
	if s.isOver {
		return
	}
	s.isOpen = true
	s.advance()
}

// cancel implements source. What JavaScript still writes is dropped.
func (s *jsWriter) cancel() {
	s.isOver, s.to = true, nil
	s.drop()
	s.tell()
}

// drop frees what is held.
func (s *jsWriter) drop() {
	if s.held == nil {
		return
	}
	if s.block != noBlock {
		s.loop.freeBlock(s.block)
	} else {
		s.loop.buffers.give(s.held)
	}
	s.held, s.block = nil, noBlock
}

// tell lets JavaScript make the next piece.
func (s *jsWriter) tell() {
	if !s.mustTell {
		return
	}
	s.mustTell = false
	if s.handle != nil {
		s.handle.written()
	} else if e := s.exchange; e != nil && e.worker != nil && !e.ended {
		e.worker.isolate.AddSent(e.id)
		s.loop.wantTurn(e.worker)
	}
}

// write takes a piece, from a KindWrite or KindChunk record.
func (s *jsWriter) write(record *isolates.Record) {
	s.mustTell = true
	if s.isOver || s.held != nil || s.ending != nil || len(record.Body) == 0 {
		s.tell()
		return
	}
	if s.size >= 0 {
		if s.size -= int64(len(record.Body)); s.size < 0 {
			s.close(newFault(isolates.FaultNetwork, "the body is longer than was announced"))
			s.tell()
			return
		}
	}
	if s.isOpen && record.Block == noBlock {
		s.isOpen = s.to.push(record.Body)
		if s.isOpen {
			s.tell()
		}
		return
	}
	s.held, s.block = record.Body, record.Block
	if s.block == noBlock {
		s.held = s.loop.buffers.append(nil, record.Body)
	}
	record.Block = noBlock
	s.advance()
}

// finish takes the end, from a KindFinish record.
func (s *jsWriter) finish(record *isolates.Record) {
	if record.Flags&isolates.FinishFailed != 0 {
		s.close(faultStreamFailed)
	} else {
		s.close(nil)
	}
}

// close ends the flow after what is held.
func (s *jsWriter) close(f *fault) {
	if s.isOver || s.ending != nil {
		return
	}
	if f == nil && s.size > 0 {
		f = newFault(isolates.FaultNetwork, "the body is shorter than was announced")
	}
	s.ending = endingOf(f)
	s.advance()
}

// advance pushes what is held, if there is room, and then the end.
func (s *jsWriter) advance() {
	if s.isOpen && s.held != nil {
		held, block := s.held, s.block
		s.held, s.block = nil, noBlock
		s.isOpen = s.pushHeld(held, block)
	}
	if s.isOpen {
		s.tell()
	}
	if s.ending != nil && s.held == nil && s.to != nil {
		to := s.to
		s.isOver, s.to = true, nil
		to.end(s.ending.fault)
	}
}

// pushHeld pushes a piece that the writer owns.
func (s *jsWriter) pushHeld(held []byte, block Block) (more bool) {
	if block == noBlock {
		return s.loop.buffers.offer(s.to, held)
	}
	return s.loop.pushBlockTo(s.to, block, len(held))
}

// pushBlockTo pushes the body of a block, n bytes, which is the sink's or freed.
func (l *Loop) pushBlockTo(to sink, block Block, n int) (more bool) {
	if to, ok := to.(blockSink); ok {
		return to.pushBlock(block, n)
	}
	more = to.push(l.options.Blocks.Memory(block, n)[isolates.HeadRoom:])
	l.freeBlock(block)
	return more
}

// A joint is where a flow can be cut by somebody who is neither its source nor its sink: the sink of the
// one, and the source of the other, which may come later.
type joint struct {
	from   source // nil: it has ended, or nobody wants more
	to     sink   // nil: none yet, or it has heard the end
	owner  jointOwner
	ending *ending // for a sink that is still to come
}

// A jointOwner is told when a flow has ended or was cancelled. Its sink has heard it before.
type jointOwner interface{ jointOver(j *joint) }

// join begins a flow. owner may be nil.
func (j *joint) join(from source, owner jointOwner) {
	*j = joint{from: from, owner: owner}
	from.attach(j)
}

// attach implements source.
func (j *joint) attach(to sink) { j.to = to }

// resume implements source.
func (j *joint) resume() {
	if j.ending != nil {
		f := j.ending.fault
		j.ending = nil
		j.end(f)
	} else if j.from != nil {
		j.from.resume()
	}
}

// cancel implements source.
func (j *joint) cancel() {
	j.to = nil
	j.cut(nil)
	j.over()
}

// length implements source.
func (j *joint) length() int64 {
	switch {
	case j.from != nil:
		return j.from.length()
	case j.ending != nil && j.ending.fault == nil:
		return 0
	}
	return -1
}

// push implements sink.
func (j *joint) push(data []byte) (more bool) { return j.to.push(data) }

// takesPipes, mayPushPipe and pushPipe implement pipeSink, if the sink does.
func (j *joint) takesPipes() bool {
	to, ok := j.to.(pipeSink)
	return ok && to.takesPipes()
}

func (j *joint) mayPushPipe() bool            { return j.to.(pipeSink).mayPushPipe() }
func (j *joint) pushPipe(p *pipe) (more bool) { return j.to.(pipeSink).pushPipe(p) }

// end implements sink.
func (j *joint) end(f *fault) {
	j.from = nil
	to := j.to
	if to == nil {
		j.ending = endingOf(f)
		return
	}
	j.to = nil
	to.end(f)
	j.over()
}

// cut ends the flow on both sides, for its sink by a fault. nil: the sink is not to hear of it.
func (j *joint) cut(f *fault) {
	if from := j.from; from != nil {
		j.from = nil
		from.cancel()
	}
	to := j.to
	j.to, j.ending = nil, nil
	if to != nil && f != nil {
		to.end(f)
	}
}

func (j *joint) over() {
	if owner := j.owner; owner != nil {
		j.owner = nil
		owner.jointOver(j)
	}
}
