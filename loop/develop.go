package loop

import (
	"bytes"
	"slices"

	"nano/http1"
	"nano/isolates"
)

// A Developer is on a node that somebody develops apps on: it answers in the place of apps that do not work, and says
// what is wrong with them. Loops call it on their threads, several at once; what it does there, such as to read the
// lines of a source file, their other requests wait for.
type Developer interface {
	// Before may answer a request before its app is asked; nil: the app is.
	Before(r *DevRequest) *DevAnswer
	// Failed may answer a request that its app has failed, in the place of the line that says so; nil: that line
	// is the answer.
	Failed(r *DevRequest, f *DevFailure) *DevAnswer
}

// DevRequest is a request as a Developer sees it.
type DevRequest struct {
	App     string // that it is routed to; "": there is none
	Method  string
	Host    string // with its port, as the client has sent it
	Target  string // path and query
	Accept  string // the header of that name
	Request uint64 // its id in the logs

	worker *appWorker
}

// DevFailure is why a request has no answer of its app.
type DevFailure struct {
	Status    int
	NanoError string // the limit that was reached, as in the header nano-error; "": it was none
	Text      string // what clients are told in production
	Detail    string // the error with its stack, as it is logged; "": there is none
	Source    string // "file:line:column" that it is about; "": unknown
}

// DevAnswer is an answer of a Developer.
type DevAnswer struct {
	Status int    // of an answer of Before; Failed has no choice
	Head   string // lines, each ending in CR and LF
	Body   string
	// Events makes it an answer without end: Node.Tell adds to it.
	Events bool
}

// develop asks the Developer about a request that has come. It reports whether it is answered.
func (l *Loop) develop(e *exchange, w *appWorker, head *http1.Head, headBytes []byte) (answered bool) {
	r := &DevRequest{
		Method: string(headBytes[head.MethodOffset:][:head.MethodLength]),
		Host:   string(headBytes[head.HostOffset:][:head.HostLength]),
		Target: string(headBytes[head.TargetOffset:][:head.TargetLength]),

		Request: e.request, worker: w,
	}
	if w != nil {
		r.App = w.name
	}
	for i := range head.Fields {
		if bytes.EqualFold(head.Fields[i].Name(headBytes), acceptName) {
			r.Accept = string(head.Fields[i].Value(headBytes))
		}
	}
	e.developed = r
	a := l.options.Developer.Before(r)
	if a == nil {
		return false
	}
	l.answerDeveloped(e, a.Status, "", a)
	return true
}

var acceptName = []byte("accept")

// noteUncaught keeps an error that an app has not caught for the record after it, which may be the answer that says so.
func (l *Loop) noteUncaught(record *isolates.Record) {
	switch {
	case record.Kind == isolates.KindLog && record.Level == isolates.LevelUncaught:
		l.uncaught = DevFailure{Detail: string(record.Body), Source: string(record.Target)}
	case record.Kind != isolates.KindRespond:
		l.uncaught = DevFailure{}
	}
}

// developUncaught has the Developer answer in the place of a record with an answer, if that tells of an error which the
// app has not caught.
func (l *Loop) developUncaught(e *exchange, record *isolates.Record) (answered bool) {
	f := l.uncaught
	l.uncaught = DevFailure{}
	if f.Detail == "" || record.Status != 500 || record.Streaming || !bytes.HasPrefix(record.Body, []byte("nano: "+e.worker.name+": ")) {
		return false
	}
	f.Status, f.Text = 500, string(record.Body)
	a := l.options.Developer.Failed(e.developed, &f)
	if a == nil {
		return false
	}
	l.freeBlock(record.Block)
	l.countAnswer(e.worker, e, f.Status)
	l.answerDeveloped(e, f.Status, "", a)
	return true
}

// developError has the Developer answer in the place of an error of ours.
func (l *Loop) developError(e *exchange, status int, nanoError, text string) (answered bool) {
	f := DevFailure{Status: status, NanoError: nanoError, Text: text}
	if w := e.developed.worker; w != nil && w.startError != nil && text == w.failure {
		f.Detail = w.startError.Error()
	}
	a := l.options.Developer.Failed(e.developed, &f)
	if a == nil {
		return false
	}
	l.countError(e, status)
	l.answerDeveloped(e, status, nanoError, a)
	return true
}

// answerDeveloped sends an answer of the Developer.
func (l *Loop) answerDeveloped(e *exchange, status int, nanoError string, a *DevAnswer) {
	e.wall.stop()
	c := e.connection
	e.answered, e.status = true, status
	isEndless := a.Events && !e.headOnly && !l.draining
	l.decideClose(e, isEndless && e.minor == 0)
	lines := []byte(a.Head)
	if nanoError != "" {
		lines = append(lines, "nano-error: "+nanoError+"\r\n"...)
	}
	head := &l.responseHead
	*head = http1.ResponseHead{Status: status, Head: lines, Date: l.date(), ContentLength: int64(len(a.Body)),
		Close: e.closes, KeepAlive: e.minor == 0 && !e.closes}
	if isEndless {
		head.ContentLength, head.Chunked = -1, e.minor >= 1
	}
	body := a.Body
	if e.headOnly {
		body = ""
	}
	out := l.outputOf(e)
	*out = l.buffers.grow(*out, responseHeadRoom+len(lines)+len(body))
	*out = http1.AppendResponseHead(*out, head)
	if !isEndless {
		*out = append(*out, body...)
		e.length, e.complete = int64(len(body)), true
		l.pump(c)
		return
	}
	e.streaming, e.chunked = true, e.minor >= 1
	l.pump(c)
	from := &eventSource{loop: l, waiting: []byte(body)}
	l.events = append(l.events, from)
	e.from = from
	from.attach(e)
	from.resume()
}

// eventSource is the body of an answer without end.
type eventSource struct {
	loop    *Loop
	to      sink
	waiting []byte // for the client to have room
	isOpen  bool   // it has
}

// eventsWaitingMax bounds what waits for a client that does not read. It asks anew when it has lost its connection.
const eventsWaitingMax = 16 << 10

// attach implements source.
func (s *eventSource) attach(to sink) { s.to = to }

// resume implements source.
func (s *eventSource) resume() {
	s.isOpen = true
	if waiting := s.waiting; len(waiting) != 0 {
		s.waiting = nil
		s.isOpen = s.to.push(waiting)
	}
}

// tell adds to the body.
func (s *eventSource) tell(text []byte) {
	switch {
	case s.isOpen:
		s.isOpen = s.to.push(text)
	case len(s.waiting)+len(text) <= eventsWaitingMax:
		s.waiting = append(s.waiting, text...)
	}
}

// cancel implements source.
func (s *eventSource) cancel() {
	l := s.loop
	if i := slices.Index(l.events, s); i >= 0 {
		l.events = slices.Delete(l.events, i, i+1)
	}
}

// length implements source.
func (s *eventSource) length() int64 { return -1 }

// tellEvents adds to the bodies of all answers without end.
func (l *Loop) tellEvents(text []byte) {
	for _, s := range slices.Clone(l.events) {
		s.tell(text)
	}
}

// endEvents ends all answers without end: the loop drains. Who listens asks again, and gets those of the next process.
func (l *Loop) endEvents() {
	events := l.events
	l.events = nil
	for _, s := range events {
		s.to.end(nil)
	}
}

// Tell adds a text to all answers with DevAnswer.Events that are being given.
func (n *Node) Tell(text string) {
	n.options.catalog.tellAll(&change{kind: changeEvents, text: []byte(text)})
}
