package loop

import (
	"bytes"
	"slices"
	"strings"

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
	// Page may add a text to the end of the answer to a request with Navigates, whose status and header lines it is
	// told; "": it does not.
	Page(r *DevRequest, status int, lines []byte) (added string)
}

// DevRequest is a request as a Developer sees it.
type DevRequest struct {
	App     string // that it is routed to; "": there is none
	Method  string
	Host    string // with its port, as the client has sent it
	Target  string // path and query
	Accept  string // the header of that name
	Request uint64 // its id in the logs
	// Navigates tells that a browser asks for a page to show, by GET.
	Navigates bool

	worker *appWorker
	added  string // to the end of the answer's body
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
	r := newDevRequest(e, w, head, headBytes)
	e.developed = r
	a := l.options.Developer.Before(r)
	if a == nil {
		return false
	}
	l.answerDeveloped(e, a.Status, "", a)
	return true
}

// newDevRequest makes what a Developer sees of a request.
func newDevRequest(e *exchange, w *appWorker, head *http1.Head, headBytes []byte) *DevRequest {
	r := &DevRequest{
		Method: string(headBytes[head.MethodOffset:][:head.MethodLength]),
		Host:   string(headBytes[head.HostOffset:][:head.HostLength]),
		Target: string(headBytes[head.TargetOffset:][:head.TargetLength]),

		Request: e.request, worker: w,
	}
	if w != nil {
		r.App = w.name
	}
	destination, upgrades := "", false
	for i := range head.Fields {
		value := head.Fields[i].Value(headBytes)
		switch name := head.Fields[i].Name(headBytes); {
		case bytes.EqualFold(name, acceptName):
			r.Accept = string(value)
		case bytes.EqualFold(name, destinationName):
			destination = string(value)
		case bytes.EqualFold(name, upgradeName):
			upgrades = true
		}
	}
	// Browsers say what a request is for only to hosts that they trust, which an address of the local network is not.
	r.Navigates = head.Method == http1.MethodGet && (destination == "document" || destination == "" && upgrades) &&
		strings.Contains(strings.ToLower(r.Accept), "text/html")
	return r
}

var acceptName, destinationName, upgradeName = []byte("accept"), []byte("sec-fetch-dest"), []byte("upgrade-insecure-requests")

// developPage has the Developer add to an answer with a body, and gives its length with that; below 0: it is unknown.
func (l *Loop) developPage(e *exchange, status int, lines []byte, length int64) int64 {
	if !e.developed.Navigates {
		return length
	}
	e.developed.added = l.options.Developer.Page(e.developed, status, lines)
	if length < 0 {
		return length
	}
	return length + int64(len(e.developed.added))
}

// addition is what the Developer adds to the end of an answer.
func (e *exchange) addition() string {
	if e.developed == nil {
		return ""
	}
	return e.developed.added
}

// add puts it there.
func (l *Loop) add(e *exchange) {
	added := e.addition()
	if added == "" {
		return
	}
	e.length += int64(len(added))
	out := l.outputOf(e)
	*out = l.buffers.grow(*out, http1.MaxChunkHead+len(added)+len(http1.ChunkEnd))
	if !e.chunked {
		*out = append(*out, added...)
		return
	}
	*out = append(append(http1.AppendChunkHead(*out, len(added)), added...), http1.ChunkEnd...)
}

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
