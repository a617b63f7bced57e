package loop

import (
	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/static"
	"nano/uring"
)

// The content of files as a source: from memory, or through the ring. To a client's connection both go from
// where they lie.

// A directSink is a sink that can send bytes from where they lie, at times.
type directSink interface {
	sink
	// pushDirect takes data as push does, but it goes on to lie where it is: in memory that does not change
	// (isShared), or in a buffer of the loop's pool, which is the sink's from then on. False: not now. Either
	// way the source has to wait for resume.
	pushDirect(data []byte, isShared bool) (taken bool)
}

// pushDirect implements directSink. It is possible if the connection has nothing else to send first.
func (e *exchange) pushDirect(data []byte, isShared bool) (taken bool) {
	l, c := e.loop, e.connection
	e.isPaused = true
	if e.chunked || c.first != e || c.isSending || len(c.out) != 0 || !e.takes(len(data)) {
		return false
	}
	if c.out != nil {
		l.buffers.give(c.out)
		c.out = nil
	}
	c.sending, c.sendingIsShared = data, isShared
	l.sendPiece(c)
	return true
}

// fileSource is the body of an answer as a source. nil: the file has been given up since it was found.
func (l *Loop) fileSource(a *static.Answer) source {
	if content := a.Variant.Content; content != nil {
		return l.newMemorySource(content[a.Start:a.End])
	}
	open := a.Variant.Use()
	if open == nil {
		return nil
	}
	return l.files.readers.take(l, open, a.Start, a.End)
}

// A memorySource is a source of bytes in memory that does not change.
type memorySource struct {
	loop   *Loop
	data   []byte
	to     sink
	direct directSink // to, if it is one
	begun  bool
}

func (l *Loop) newMemorySource(data []byte) *memorySource {
	s := l.files.spare.take()
	if s == nil {
		s = new(memorySource)
	}
	s.loop, s.data = l, data
	return s
}

// give makes the source free to be used for something else.
func (s *memorySource) give() {
	l := s.loop
	*s = memorySource{}
	l.files.spare.give(s, sparesMax)
}

// attach implements source.
func (s *memorySource) attach(to sink) {
	s.to = to
	s.direct, _ = to.(directSink)
}

// length implements source.
func (s *memorySource) length() int64 { return int64(len(s.data)) }

// cancel implements source.
func (s *memorySource) cancel() { s.give() }

// resume implements source. The first bytes go with the head of the answer.
func (s *memorySource) resume() {
	for len(s.data) != 0 {
		n, more := min(len(s.data), pushMax), false
		if s.direct != nil && s.begun {
			if !s.direct.pushDirect(s.data, true) {
				return
			}
			n = len(s.data)
		} else {
			if s.direct != nil {
				n = min(n, fileCopyMax)
			}
			s.begun = true
			more = s.to.push(s.data[:n])
		}
		s.data = s.data[n:]
		if !more && len(s.data) != 0 {
			return
		}
	}
	to := s.to
	s.give()
	to.end(nil)
}

// A fileReader is a source that reads a file through the ring. It is one piece ahead of its sink: while one is
// being sent, the next is read.
type fileReader struct {
	loop  *Loop
	index uint32
	file  *static.OpenFile

	offset, end int64  // what was not read yet
	reading     []byte // where to, if a read is in flight
	ready       []byte // read, for the sink

	to     sink
	direct directSink // to, if it is one
	isOpen bool
	isOver bool // ended or cancelled
}

// opFileRead reads a file; the index is the reader's.
const opFileRead uint8 = 48

// fileReadMax is how much is read at once: a size of the pool.
const fileReadMax = 128 << 10

// fileReaders are the slots of a loop. One is free again when nothing is in flight on it.
type fileReaders struct {
	all  []*fileReader
	free []uint32
}

func (s *fileReaders) take(l *Loop, file *static.OpenFile, start, end int64) *fileReader {
	if len(s.free) == 0 {
		s.free = append(s.free, uint32(len(s.all)))
		s.all = append(s.all, &fileReader{loop: l, index: uint32(len(s.all))})
	}
	last := len(s.free) - 1
	r := s.all[s.free[last]]
	s.free = s.free[:last]
	r.file, r.offset, r.end = file, start, end
	return r
}

// leave frees the slot, if the reader is over and nothing is in flight.
func (r *fileReader) leave() {
	if !r.isOver || r.reading != nil {
		return
	}
	l := r.loop
	if r.ready != nil {
		l.buffers.give(r.ready)
	}
	r.file.Leave()
	*r = fileReader{loop: l, index: r.index}
	l.files.readers.free = append(l.files.readers.free, r.index)
}

// attach implements source.
func (r *fileReader) attach(to sink) {
	r.to = to
	r.direct, _ = to.(directSink)
}

// length implements source.
func (r *fileReader) length() int64 { return r.end - r.offset + int64(len(r.ready)) }

// cancel implements source.
func (r *fileReader) cancel() {
	r.isOver, r.to, r.direct = true, nil, nil
	r.leave()
}

// resume implements source.
func (r *fileReader) resume() {
	r.isOpen = true
	r.advance()
}

// advance pushes what is there, if the sink has room, and reads on.
func (r *fileReader) advance() {
	if r.isOpen && r.ready != nil && !r.pushReady() {
		return
	}
	switch {
	case r.ready != nil || r.reading != nil:
	case r.offset < r.end:
		r.read()
	default:
		r.finish(nil)
	}
}

// pushReady pushes what was read. False: the sink could not take it now.
func (r *fileReader) pushReady() bool {
	data := r.ready
	if r.direct != nil {
		r.isOpen = false
		if !r.direct.pushDirect(data, false) {
			return false
		}
		r.ready = nil
		return true
	}
	r.ready = nil
	r.isOpen = r.loop.buffers.offer(r.to, data)
	return true
}

// finish ends the flow.
func (r *fileReader) finish(f *fault) {
	to := r.to
	r.isOver, r.to, r.direct = true, nil, nil
	r.leave()
	to.end(f)
}

// read reads the next piece.
func (r *fileReader) read() {
	l := r.loop
	n := min(r.end-r.offset, fileReadMax)
	r.reading = l.buffers.take(int(n))[:n]
	l.operations++
	l.ring.ReadAt(uring.Pack(opFileRead, 0, r.index), r.file.FD(), r.reading, r.offset)
}

var (
	faultFileChanged = newFault(isolates.FaultNetwork, "the file was changed while it was read")
	faultFileFailed  = newFault(isolates.FaultNetwork, "the file cannot be read")
)

// fileRead handles the completion of a read.
func (l *Loop) fileRead(index uint32, result int32) {
	l.operations--
	r := l.files.readers.all[index]
	data := r.reading
	r.reading = nil
	if r.isOver {
		l.buffers.give(data)
		r.leave()
		return
	}
	switch {
	case result == -int32(unix.EINTR), result == -int32(unix.EAGAIN):
		l.buffers.give(data)
		r.advance()
		return
	case result < 0:
		l.buffers.give(data)
		r.finish(faultFileFailed)
		return
	case result == 0 || r.file.IsChanged():
		// What was sent before may not belong to what would follow.
		l.buffers.give(data)
		r.finish(faultFileChanged)
		return
	}
	r.ready = data[:result]
	r.offset += int64(result)
	r.advance()
}
