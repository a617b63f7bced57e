package loop

import (
	"errors"

	"nano/http1"
)

// A collector gathers a request whose small body did not arrive in one piece with its head, or keeps one
// while its app starts.
type collector struct {
	head    []byte // as received
	body    []byte // transfer coding removed; nil: none
	missing int    // bytes that have not come
	app     *sharedApp
}

// consume takes bytes that were received. They lie in a provided buffer and are parsed there, unless
// something before them was left over.
func (l *Loop) consume(c *connection, data []byte) {
	if c.in == nil {
		used := l.advance(c, data)
		if used < len(data) && c.takesInput() && (c.phase == phaseOpen || c.phase == phaseMoving) {
			c.in = l.buffers.append(nil, data[used:])
		}
	} else {
		l.compact(c)
		c.in = l.buffers.append(c.in, data)
		l.advanceBuffered(c)
	}
	l.afterInput(c)
}

// consumeBuffered goes on with what was left over, once an answer has made room.
func (l *Loop) consumeBuffered(c *connection) {
	c.isReady = false
	if c.phase != phaseOpen {
		l.settle(c)
		return
	}
	if c.in != nil && c.takesInput() {
		c.blocked = false
		l.advanceBuffered(c)
	}
	if c.inputEnded && c.in == nil && c.body != nil {
		l.bodyCutShort(c)
	}
	l.afterInput(c)
	if c.phase != phaseOpen {
		if c.phase == phaseMoving {
			l.endPhase(c)
		}
		return
	}
	if !c.receiving && !c.isStarved && c.wantsInput() {
		l.receive(c)
	}
}

// advanceBuffered uses up what it can of c.in.
func (l *Loop) advanceBuffered(c *connection) {
	used := l.advance(c, c.in[c.inStart:])
	if c.in == nil { // dropped on the way
		return
	}
	c.inStart += used
	if c.inStart == len(c.in) {
		l.buffers.give(c.in)
		c.in, c.inStart = nil, 0
	}
}

// compact moves what is left over to the start of its buffer, so that appending does not grow it.
func (l *Loop) compact(c *connection) {
	if c.inStart > 0 {
		c.in = c.in[:copy(c.in, c.in[c.inStart:])]
		c.inStart = 0
	}
}

// afterInput sees to what follows from new input: time-outs, or the end.
func (l *Loop) afterInput(c *connection) {
	if c.phase != phaseOpen {
		return
	}
	if !c.takesInput() {
		l.dropInput(c)
	}
	if c.looking != nil {
		if c.inputTimeout.list != &l.timeouts.header { // which may go on from the head
			l.timeouts.header.start(&c.inputTimeout, l.now)
		}
		return
	}
	if c.first != nil || c.isSending || c.isReady {
		if c.awaitsBody() {
			l.timeouts.body.start(&c.inputTimeout, l.now)
		} else { // not the client's turn: the wall limit or the send time-out watches
			c.inputTimeout.stop()
		}
		return
	}
	l.settle(c)
}

// advance takes requests off the start of input and dispatches those that are complete. It returns
// how many bytes it used; the rest must be kept, unless reading has stopped.
func (l *Loop) advance(c *connection, input []byte) (used int) {
	for used < len(input) && c.takesInput() && c.phase == phaseOpen {
		rest := input[used:]
		var n int
		switch {
		case c.body != nil:
			n = l.pass(c, rest)
		case c.collecting != nil:
			n = l.collect(c, rest)
		default:
			n = l.begin(c, rest)
		}
		if n == 0 {
			break
		}
		used += n
	}
	return used
}

// begin takes a request head off the start of input, and the body with it if it is complete there.
// It returns the number of bytes used: 0 if the head is incomplete or has to wait.
func (l *Loop) begin(c *connection, input []byte) int {
	if c.outstanding >= l.options.PipelineDepth || c.unsafeFirst || len(c.out) > outputMax {
		c.blocked = true
		return 0
	}
	head := l.head
	if c.partial != nil {
		head = c.partial
	}
	if err := head.Parse(input, l.options.MaxHeader); err != nil {
		if err == http1.ErrIncomplete {
			if c.partial == nil {
				c.partial, l.head = head, l.takeHead()
			}
			return 0
		}
		var refusal *http1.Error
		if errors.As(err, &refusal) {
			l.reject(c, refusal.Status, refusal.Reason)
		} else {
			l.reject(c, 400, "malformed request")
		}
		return 0
	}
	n := l.start(c, head, input)
	if c.partial != nil {
		if n == 0 && !c.stopReading { // has to wait: it is parsed again later
			c.partial.Reset()
		}
		l.giveHead(c.partial)
		c.partial = nil
	}
	return n
}

// outputMax is how many bytes of answers may wait for a client that sends more requests.
const outputMax = 64 << 10

// start is begin for a head that was parsed: routing, limits, and where the body comes from.
func (l *Loop) start(c *connection, head *http1.Head, input []byte) int {
	hasBody := head.Chunked || head.ContentLength > 0
	if (hasBody || !isSafe(head.Method) || head.Upgrade) && c.first != nil {
		c.blocked = true
		return 0
	}
	c.hasRequested = true
	if c.inputTimeout.list != nil {
		c.inputTimeout.stop()
	}
	host := input[head.HostOffset : int(head.HostOffset)+int(head.HostLength)]
	target := input[head.TargetOffset : int(head.TargetOffset)+int(head.TargetLength)]
	app := l.route(c, host, target)
	if app != nil && app.files != nil && !hasBody && !head.Upgrade {
		switch l.serveFile(c, app, head, input) {
		case fileServed:
			return head.Length
		case fileWaits:
			return 0
		}
	}
	if app != nil && !l.staysHere(app.shared) && l.leaves(c, app.shared) {
		return 0
	}
	c.taken()
	if !hasBody {
		l.dispatch(c, app, head, input[:head.Length], nil, nil)
		return head.Length
	}
	if app == nil {
		// A body that nobody wants is not read, so where the next request begins is unknown.
		c.stopReading = true
		l.dispatch(c, app, head, input[:head.Length], nil, nil)
		return head.Length
	}
	if head.ContentLength > app.maxBody {
		app.counts.BodyLimit++
		l.reject(c, 413, "request body too large")
		return 0
	}
	switch end := int64(head.Length) + head.ContentLength; {
	case head.Chunked:
		return l.startChunked(c, app, head, input)
	case int64(len(input)) >= end:
		l.dispatch(c, app, head, input[:head.Length], input[head.Length:end], nil)
		return int(end)
	case head.ContentLength <= gatheredMax:
		l.startCollecting(c, app, head, input)
	default:
		l.startBody(c, app, head, input)
	}
	return head.Length
}

// startChunked dispatches a request with a chunked body: whole if all of it is there.
func (l *Loop) startChunked(c *connection, app *appWorker, head *http1.Head, input []byte) int {
	var decoder http1.ChunkDecoder
	body, used, limit := l.scratch[:0], head.Length, app.maxBody
	for used < len(input) {
		data, n, ended, err := decoder.Decode(input[used:])
		body, used = append(body, data...), used+n
		l.scratch = body
		switch {
		case err != nil:
			l.reject(c, 400, err.Error())
			return 0
		case int64(len(body)) > limit:
			app.counts.BodyLimit++
			l.reject(c, 413, "request body too large")
			return 0
		case ended:
			if len(body) == 0 {
				body = nil
			}
			l.dispatch(c, app, head, input[:head.Length], body, nil)
			return used
		}
	}
	l.startBody(c, app, head, input)
	return head.Length
}

// isSafe reports whether requests with method m may run beside others of the same connection: they
// promise to change nothing (RFC 9110 §9.2.1).
func isSafe(m http1.Method) bool {
	return m == http1.MethodGet || m == http1.MethodHead || m == http1.MethodOptions
}

// startCollecting prepares for a body that is still to come, and asks the client for it if it waits
// to be asked.
func (l *Loop) startCollecting(c *connection, app *appWorker, head *http1.Head, input []byte) {
	collecting := l.takeCollector()
	collecting.app = app.shared
	collecting.missing = int(head.ContentLength)
	collecting.head = l.buffers.append(nil, input[:head.Length])
	collecting.body = l.buffers.take(collecting.missing)
	c.collecting = collecting
	if head.Continue && head.Minor >= 1 && len(input) == head.Length {
		c.out = l.buffers.append(c.out, continueHead)
		l.wantSend(c)
	}
}

var continueHead = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// collect takes bytes of the body that is being collected off the start of input, and dispatches
// the request when that was the last of it. It returns the number of bytes used.
func (l *Loop) collect(c *connection, input []byte) int {
	collecting := c.collecting
	used := min(len(input), collecting.missing)
	collecting.body = append(collecting.body, input[:used]...)
	collecting.missing -= used
	if collecting.missing != 0 {
		return used
	}
	c.collecting = nil
	c.inputTimeout.stop()
	kept := false
	// The head was parsed when it came; this does not fail.
	if err := l.head.Parse(collecting.head, http1.MaxHeadLength); err == nil {
		kept = l.dispatch(c, l.appOf(c, collecting), l.head, collecting.head, collecting.body, collecting)
	} else {
		l.reject(c, 400, "malformed request")
	}
	if !kept {
		l.giveCollector(collecting)
	}
	return used
}

// appOf is the app for a request whose body was collected, and whose head is in l.head: if the one that it was
// routed to is being removed, or has been, whichever is there now. nil: none.
func (l *Loop) appOf(c *connection, collected *collector) *appWorker {
	if w := l.known(collected.app); w != nil && w.removal == nil {
		return w
	}
	head, text := l.head, collected.head
	w := l.route(c, text[head.HostOffset:][:head.HostLength], text[head.TargetOffset:][:head.TargetLength])
	c.taken()
	return w
}

// headerTimedOut handles a request head that did not arrive in time, or whose file was not found in time.
func (l *Loop) headerTimedOut(c *connection) {
	if c.looking != nil {
		c.looking = nil
		l.reject(c, 503, "the file system does not answer")
		return
	}
	if len(c.in) == c.inStart {
		l.shut(c) // nothing was said: nothing to answer
		return
	}
	l.reject(c, 408, "request head timed out")
}

// What incomplete requests need.

func (l *Loop) takeHead() *http1.Head {
	if spare := l.heads.take(); spare != nil {
		return spare
	}
	return new(http1.Head)
}

func (l *Loop) giveHead(head *http1.Head) {
	head.Reset()
	l.heads.give(head, sparesMax)
}

func (l *Loop) takeCollector() *collector {
	if spare := l.collectors.take(); spare != nil {
		return spare
	}
	return new(collector)
}

func (l *Loop) giveCollector(used *collector) {
	l.buffers.give(used.head)
	l.buffers.give(used.body)
	*used = collector{}
	l.collectors.give(used, sparesMax)
}
