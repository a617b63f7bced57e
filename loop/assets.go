package loop

import (
	"bytes"
	"strconv"

	"nano/http1"
	"nano/isolates"
	"nano/static"
)

// An assetsCall is the ioObject of env.ASSETS.fetch(request): an app asks for one of its own static files.
// It gets what a client would get, and 404 where there is no file. If that is a precompressed sibling, which
// is passed on as it is, an app that reads it gets the file itself: nothing is ever decompressed.
type assetsCall struct {
	loop    *Loop
	handle  *handle // nil: JavaScript has heard the last of it, or is gone
	method  http1.Method
	target  []byte         // path and query
	head    []byte         // header lines
	answer  source         // the body, if it flows and nobody has it yet
	decoded *static.Answer // the same without its content coding; nil: it has none
	reader  jsReader
	isRead  bool
	unasked bool // cancelled before it was answered
}

// assetsInlineMax is the largest content that goes to the isolate together with the head, in bytes.
const assetsInlineMax = 64 << 10

// openAssets begins a call, from a KindOpen record.
func (l *Loop) openAssets(h *handle, record *isolates.Record) ioObject {
	method, url, _ := bytes.Cut(record.Target, space)
	var to location
	if why := to.parse(url); why != "" {
		h.fail(newFault(isolates.FaultRefused, why))
		return nil
	}
	if record.Source != 0 {
		l.cancelSource(h.worker, record.Source)
	}
	if h.worker.files == nil {
		h.fail(newFault(isolates.FaultRefused, "the app has no static files"))
		return nil
	}
	s := &assetsCall{loop: l, handle: h, method: http1.MethodOther}
	switch string(method) {
	case "GET":
		s.method = http1.MethodGet
	case "HEAD":
		s.method = http1.MethodHead
	}
	s.target = append(s.target, to.target...)
	s.head = append(s.head, record.Head...)
	h.object = s // the answer may come at once
	s.ask()
	if s.handle == nil {
		return nil
	}
	return s
}

// ask looks for the file.
func (s *assetsCall) ask() {
	if s.method == http1.MethodOther {
		s.respond(405, []byte("allow: GET, HEAD\r\n"), nil, 0)
		return
	}
	if found, waits := s.loop.findFile(s.handle.worker.files, s.target, s); waits == nil {
		s.answerWith(found)
	}
}

// fileFound implements fileWaiter.
func (s *assetsCall) fileFound(_ *Loop, _ *fileEntry, found *fileFound) {
	if s.handle != nil {
		s.answerWith(found)
	}
}

func (s *assetsCall) answerWith(found *fileFound) {
	w := s.handle.worker
	switch {
	case s.unasked:
		s.release()
	case found == nil:
		s.respond(404, nil, nil, 0)
	case found.err != nil:
		s.loop.logFor(w, s.handle.exchange, isolates.LevelError, []byte("static file: "+found.err.Error()))
		h := s.handle
		s.handle = nil
		h.fail(newFault(isolates.FaultRefused, fileProblem(found.err)))
	case found.IsFolder:
		s.respond(307, append(static.AppendLocation([]byte("location: "), s.target), "\r\n"...), nil, 0)
	case found.File == nil:
		w.files.noteNothing(s.target, found)
		s.respond(404, nil, nil, 0)
	default:
		s.answerFile(found.File)
	}
}

func (s *assetsCall) answerFile(file *static.File) {
	var request static.Request
	for rest := s.head; len(rest) != 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(": "))
		request.Take(name, value)
	}
	if request.Range != nil || s.method == http1.MethodHead {
		request.AcceptEncoding = nil // of a part of a sibling, the app could not have the file itself
	}
	if s.method == http1.MethodHead {
		request.Range = nil
	}
	a := file.Answer(&request, nil)
	length := a.End - a.Start
	if s.method == http1.MethodHead || length == 0 {
		s.respond(a.Status, a.Lines, nil, length)
		return
	}
	if a.Variant != file.Variants[static.Identity] {
		request = static.Request{}
		decoded := file.Answer(&request, nil)
		s.decoded = &decoded
	} else if a.Variant.Content != nil && length <= assetsInlineMax {
		s.respond(a.Status, a.Lines, a.Variant.Content[a.Start:a.End], length)
		return
	}
	if s.answer = s.loop.fileSource(&a); s.answer == nil { // given up meanwhile: looked for again
		s.ask()
		return
	}
	s.respond(a.Status, a.Lines, nil, length)
}

// respond tells JavaScript the head of the answer, and the body unless that flows.
func (s *assetsCall) respond(status int, lines, body []byte, length int64) {
	l := s.loop
	text := l.buffers.take(responseHeadRoom + len(lines))
	text = append(text, "HTTP/1.1 "...)
	text = strconv.AppendInt(text, int64(status), 10)
	text = append(append(append(text, ' '), http1.ReasonPhrase(status)...), "\r\n"...)
	text = append(text, lines...)
	if status != 304 {
		text = append(text, "content-length: "...)
		text = append(strconv.AppendInt(text, length, 10), "\r\n"...)
	}
	text = append(text, "\r\n"...)
	if err := l.head.ParseResponse(text, http1.MaxHeadLength); err != nil {
		panic("loop: the head of a static file is malformed: " + err.Error())
	}
	s.handle.response(&isolates.Response{Status: status, Reason: []byte(http1.ReasonPhrase(status)), Head: text, Fields: l.head.Fields,
		NullBody: status == 304 || s.method == http1.MethodHead, Streams: s.answer != nil, Encoded: s.decoded != nil, Body: body})
	l.buffers.give(text)
	if s.answer == nil {
		s.release()
	}
}

// release ends the life of the handle.
func (s *assetsCall) release() {
	h := s.handle
	s.handle = nil
	h.release()
}

// decode takes the file itself in place of its sibling. False: it has been given up, which JavaScript was told.
func (s *assetsCall) decode() bool {
	s.answer.cancel()
	if s.answer = s.loop.fileSource(s.decoded); s.answer == nil {
		h := s.handle
		s.handle = nil
		h.fail(faultFileChanged)
		return false
	}
	return true
}

// read implements ioObject.
func (s *assetsCall) read(window int, decoded bool) {
	if decoded && s.answer != nil && s.decoded != nil && !s.decode() {
		return
	}
	if from := s.answer; from != nil {
		s.answer, s.isRead = nil, true
		s.reader.start(s.handle, from, s)
	}
	if s.isRead {
		s.reader.read(window)
	}
}

// push implements sink: the body goes to JavaScript.
func (s *assetsCall) push(data []byte) (more bool) { return s.reader.push(data) }

// end implements sink.
func (s *assetsCall) end(f *fault) {
	s.reader.end(f)
	s.release()
}

// body implements ioObject. The source needs no isolate, so the handle is released at once.
func (s *assetsCall) body(raw bool) source {
	if s.answer == nil || !raw && s.decoded != nil && !s.decode() {
		return nil
	}
	from := s.answer
	s.answer = nil
	s.release()
	return from
}

// cancel implements ioObject.
func (s *assetsCall) cancel(abort bool) {
	if !abort && s.answer == nil && !s.isRead {
		s.unasked = true
		return
	}
	s.release()
	s.stop()
}

// stop ends the body.
func (s *assetsCall) stop() {
	if from := s.answer; from != nil {
		s.answer = nil
		from.cancel()
	}
	s.reader.stop()
}

// write implements ioObject: nobody reads the body of a request for a file.
func (s *assetsCall) write(*isolates.Record) { s.handle.written() }

// finish implements ioObject.
func (s *assetsCall) finish(*isolates.Record) {}

// drop implements ioObject.
func (s *assetsCall) drop() {
	s.handle = nil
	s.stop()
}
