package loop

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nano/h2"
	"nano/http1"
	"nano/isolates"
)

// An http2Connection is an HTTP/2 connection to an origin, which carries many requests at once, each on a
// stream. It is shared by all requests of an app to that origin: there is another one only when
// this one has as many streams as the origin allows.
type http2Connection struct {
	loop         *Loop
	origin       *origin
	transport    transport // nil: closed
	conn         *h2.Conn
	timeout      timeoutNode      // while it is idle
	older, newer *http2Connection // of those of the loop that are idle
	isIdle       bool

	first     *http2Stream // those in use
	answered  *http2Stream // whose heads have come in this moment, by nextAnswered
	isReused  bool         // a response has come
	isRetired bool         // no more requests
	heardAt   int64        // when something came last
}

// An http2Stream carries one request over an http2Connection: a carrier, and the owner of its stream.
type http2Stream struct {
	connection     *http2Connection
	fetch          *fetch
	stream         h2.Stream
	next, previous *http2Stream
	nextAnswered   *http2Stream
	serial         uint32 // of its use
	begunAt        int64

	head         []byte // of the response, as one of HTTP/1.1, until the fetch has heard
	missing      int64  // bytes of the body; -1: unknown
	isStale      bool   // the connection was used before, and may have been closed meanwhile
	isAnswered   bool
	awaitsOutput bool // the body is to go on when the transport has room
}

// originProtocol is what an origin speaks over TLS.
type originProtocol uint8

const (
	protocolUnknown originProtocol = iota
	protocolHTTP1
	protocolHTTP2
)

// protocolsHTTP2 are offered by ALPN where HTTP/2 will do.
var protocolsHTTP2 = []string{"h2", "http/1.1"}

const (
	// http2ConnectionsMax bounds the connections to one origin.
	http2ConnectionsMax = 16
	// http2IdleMax bounds the idle connections of a loop; beyond it those go that were idle for longest.
	http2IdleMax = 512
	// http2Idle is for how long one is kept without a request. Usual servers keep it for longer.
	http2Idle = 59 * time.Second
	// http2Silence is how long a connection may be silent while a request waits; if that is given up then, no
	// other one is sent after it.
	http2Silence = 5 * time.Second
)

// connectedHTTP2 takes over a connection on which HTTP/2 was agreed on.
func (o *origin) connectedHTTP2(t transport) endpointHandler {
	c := &http2Connection{loop: o.loop, origin: o, transport: t, heardAt: o.loop.now}
	c.timeout.owner = c
	o.dialing--
	o.open++
	o.protocol = protocolHTTP2
	o.shared = append(o.shared, c)
	c.conn = h2.NewConn(c)
	c.serve()
	return c
}

// share finds a connection that can carry one more request. nil: there is none.
func (o *origin) share() *http2Connection {
	for _, c := range o.shared {
		if c.conn.CanOpen() {
			return c
		}
	}
	return nil
}

// serve takes requests that wait, as many as there may be, and notes whether there are any.
func (c *http2Connection) serve() {
	o := c.origin
	for !c.isRetired && c.transport != nil && o.first != nil && c.conn.CanOpen() {
		f := o.first
		o.unqueue(f)
		c.begin(f)
	}
	switch {
	case c.transport == nil || c.first != nil:
	case c.isRetired || !c.conn.IsUsable() || o.key.app.removal != nil:
		c.close()
	default:
		c.park()
	}
}

// park keeps an idle connection for a while.
func (c *http2Connection) park() {
	if c.isIdle {
		return
	}
	c.loop.startTimeout(&c.timeout, http2Idle)
	s := &c.loop.origins
	c.isIdle, c.older, c.newer = true, s.newestHTTP2, nil
	if c.older != nil {
		c.older.newer = c
	} else {
		s.oldestHTTP2 = c
	}
	s.newestHTTP2 = c
	if s.idleHTTP2++; s.idleHTTP2 > http2IdleMax {
		s.oldestHTTP2.close()
	}
}

// unpark takes a connection into use, or off the loop's books.
func (c *http2Connection) unpark() {
	c.timeout.stop()
	if !c.isIdle {
		return
	}
	s := &c.loop.origins
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		s.oldestHTTP2 = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		s.newestHTTP2 = c.older
	}
	c.isIdle, c.older, c.newer = false, nil, nil
	s.idleHTTP2--
}

// begin sends the request of a fetch.
func (c *http2Connection) begin(f *fetch) {
	l := c.loop
	head := &l.origins.head
	f.describe(head)
	head.Chunked = false
	// The lines are checked, and made, as those of HTTP/1.1 are.
	text := l.buffers.take(originHeadRoom + len(head.Method) + len(head.Target) + len(head.Host) + len(head.Head))
	text, err := http1.AppendRequestHead(text, head)
	if err != nil {
		l.buffers.give(text)
		f.fail(f.fault("the request cannot be sent: " + err.Error()))
		c.serve()
		return
	}
	const between = " " + " HTTP/1.1\r\nhost: " + "\r\n"
	request := h2.Request{
		Method: head.Method, Scheme: schemeHTTPS, Authority: head.Host, Path: head.Target,
		Lines: text[len(head.Method)+len(head.Target)+len(head.Host)+len(between) : len(text)-2],
	}
	c.unpark()
	s := c.take(f)
	hasBody := f.isStream || len(f.content) != 0
	c.conn.Hold()
	c.conn.Open(&s.stream, s, &request, !hasBody)
	l.buffers.give(text)
	if hasBody && !f.isStream && len(f.content) <= bodyWithHead {
		s.stream.Write(f.content)
		s.stream.End()
	}
	f.carried(s)
	c.conn.Release()
}

var schemeHTTPS = []byte("https")

// take gives a stream to a fetch.
func (c *http2Connection) take(f *fetch) *http2Stream {
	s := c.loop.origins.streams.take()
	if s == nil {
		s = new(http2Stream)
	}
	*s = http2Stream{
		stream: s.stream, serial: s.serial + 1, connection: c, fetch: f, next: c.first,
		missing: -1, isStale: c.isReused, begunAt: c.loop.now,
	}
	if c.first != nil {
		c.first.previous = s
	}
	c.first = s
	return s
}

// release takes a stream that is over off its connection, which may take another request then.
func (s *http2Stream) release() {
	c := s.connection
	if s.previous != nil {
		s.previous.next = s.next
	} else {
		c.first = s.next
	}
	if s.next != nil {
		s.next.previous = s.previous
	}
	s.unanswer()
	c.loop.buffers.give(s.head)
	s.head, s.fetch, s.connection = nil, nil, nil
	s.serial++
	c.loop.origins.streams.give(s, originSparesMax)
	c.serve()
}

// Send implements h2.Owner.
func (c *http2Connection) Send(frames []byte) {
	if c.transport != nil {
		c.transport.write(frames)
	}
}

// writeBody implements carrier.
func (s *http2Stream) writeBody(data []byte) (more bool) {
	more = s.stream.Write(data)
	if s.connection.transport.queued() >= originOutputMax {
		s.awaitsOutput = true
		return false
	}
	return more
}

// writeBodyBlock implements carrier.
func (s *http2Stream) writeBodyBlock(block Block, n int) (more bool) {
	l := s.connection.loop
	more = s.writeBody(l.options.Blocks.Memory(block, n)[isolates.HeadRoom:])
	l.freeBlock(block)
	return more
}

// endBody implements carrier.
func (s *http2Stream) endBody() { s.stream.End() }

// resume implements carrier.
func (s *http2Stream) resume() { s.stream.Resume() }

// abandon implements carrier.
func (s *http2Stream) abandon() {
	c := s.connection
	if silence := c.loop.now - max(s.begunAt, c.heardAt); !s.isAnswered && silence >= int64(http2Silence) {
		c.retire()
	}
	s.stream.Reset()
	s.release()
}

// Room implements h2.StreamOwner.
func (s *http2Stream) Room() {
	if s.awaitsOutput = s.connection.transport.queued() >= originOutputMax; !s.awaitsOutput {
		s.fetch.bodyRoom()
	}
}

// Responded implements h2.StreamOwner. A body that comes with the head is waited for, until all that was received
// has been looked at.
func (s *http2Stream) Responded(status int, lines []byte, isWhole bool) {
	l := s.connection.loop
	s.head = l.buffers.take(len("HTTP/1.1 200 \r\n\r\n") + len(lines))
	s.head = strconv.AppendInt(append(s.head, "HTTP/1.1 "...), int64(status), 10)
	s.head = append(append(append(s.head, " \r\n"...), lines...), "\r\n"...)
	if isWhole {
		s.respond(nil, true)
		return
	}
	s.nextAnswered = s.connection.answered
	s.connection.answered = s
}

// respond gives the head of the response to the fetch, and the body if it is whole. False: the stream is not that
// of the fetch any more.
func (s *http2Stream) respond(body []byte, isWhole bool) (goesOn bool) {
	c, f, serial := s.connection, s.fetch, s.serial
	l, head := c.loop, c.loop.head
	s.isAnswered, c.isReused = true, true
	if err := head.ParseResponse(s.head, originHeadMax); err != nil {
		s.lose("the origin's response is malformed: " + err.Error())
		return false
	}
	hasBody := !f.isHead() && !hasNullBody(head.Status)
	if hasBody {
		s.missing = head.ContentLength
	}
	if isWhole && hasBody && s.missing >= 0 && s.missing != int64(len(body)) {
		s.lose("the origin sent a body that is not as long as it had said")
		return false
	}
	text := s.head
	s.head = nil
	if isWhole {
		s.release()
	}
	f.responded(text, head, body, isWhole)
	l.buffers.give(text)
	return !isWhole && s.serial == serial
}

// Received implements h2.StreamOwner.
func (s *http2Stream) Received(data []byte, isLast bool) (more bool) {
	if s.head != nil {
		if isLast {
			s.respond(data, true)
			return true
		}
		s.unanswer()
		if !s.respond(nil, false) {
			return true
		}
	}
	if s.missing >= 0 {
		s.missing -= int64(len(data))
		if s.missing < 0 || isLast && s.missing > 0 {
			s.lose("the origin sent a body that is not as long as it had said")
			return true
		}
	}
	f, serial := s.fetch, s.serial
	more = true
	if len(data) != 0 {
		more = f.receive(data)
	}
	if isLast && s.serial == serial {
		s.release()
		f.received(nil)
	}
	return more
}

// unanswer takes a stream off those whose heads have to be told of.
func (s *http2Stream) unanswer() {
	for at := &s.connection.answered; *at != nil; at = &(*at).nextAnswered {
		if *at == s {
			*at = s.nextAnswered
			return
		}
	}
}

// Failed implements h2.StreamOwner.
func (s *http2Stream) Failed(why string, isUnprocessed bool) {
	f, isStale := s.fetch, s.isStale && !s.isAnswered && s.head == nil
	s.release()
	if isUnprocessed {
		f.unprocessed(f.fault(why))
	} else {
		f.lost(f.fault(why), isStale)
	}
}

// lose ends the stream because of what the origin has done.
func (s *http2Stream) lose(why string) {
	f := s.fetch
	s.stream.Reset()
	s.release()
	f.lost(f.fault(why), false)
}

// connected implements endpointHandler; it was connected before.
func (c *http2Connection) connected() {}

// received implements endpointHandler.
func (c *http2Connection) received(data []byte) {
	if c.transport == nil {
		return
	}
	if data == nil {
		c.fail("the origin closed the connection")
		return
	}
	c.heardAt = c.loop.now
	err := c.conn.Receive(data)
	for s := c.answered; s != nil; s = c.answered {
		c.answered = s.nextAnswered
		s.respond(nil, false)
	}
	switch {
	case err != nil:
		c.close()
	case !c.conn.IsUsable():
		c.retire()
		c.serve()
	default:
		c.serve() // it may allow more streams than before
	}
}

// sent implements endpointHandler.
func (c *http2Connection) sent() {
	for c.transport != nil && c.transport.queued() <= originOutputMax/2 {
		s := c.first
		for s != nil && !(s.awaitsOutput && !s.stream.IsWaiting()) {
			s = s.next
		}
		if s == nil {
			return
		}
		s.awaitsOutput = false
		s.fetch.bodyRoom()
	}
}

// failed implements endpointHandler.
func (c *http2Connection) failed(errno unix.Errno) {
	if c.transport != nil {
		c.fail(failureText(c.transport, errno))
	}
}

// fail closes the connection, under the requests on it.
func (c *http2Connection) fail(why string) {
	c.retire()
	c.conn.Fail(why)
	c.close()
}

// closed implements endpointHandler.
func (c *http2Connection) closed() {}

// timedOut implements waiter: it was idle for long enough.
func (c *http2Connection) timedOut(*timeoutNode) { c.close() }

// retire has the connection take no more requests.
func (c *http2Connection) retire() {
	if c.isRetired {
		return
	}
	c.isRetired = true
	o := c.origin
	for i, other := range o.shared {
		if other == c {
			o.shared = append(o.shared[:i], o.shared[i+1:]...)
			break
		}
	}
}

// close closes the connection, which carries nothing.
func (c *http2Connection) close() {
	t := c.transport
	if t == nil {
		return
	}
	c.retire()
	c.transport = nil
	c.unpark()
	t.close()
	c.origin.open--
	c.origin.dialMore()
}
