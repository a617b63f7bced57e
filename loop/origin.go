package loop

import (
	"time"

	"golang.org/x/sys/unix"

	"nano/http1"
	"nano/isolates"
)

// A transport carries the bytes of a connection that we opened: an endpoint, or TLS over one. What
// happens on it is told to an endpointHandler.
type transport interface {
	// write sends a copy of data, writeBuffer a buffer of the loop's pool and writeBlock the body of a
	// block, both of which are the transport's from then on.
	write(data []byte)
	writeBuffer(buffer []byte)
	writeBlock(block Block, n int)
	// queued is how many bytes wait to be sent.
	queued() int
	// pause and resume say whether to receive. A few more bytes may come after pause.
	pause()
	resume()
	// finish shuts our side once all is sent; close ends both at once; reset, visibly broken.
	finish()
	close()
	reset()
}

// A carrier carries one request to an origin and the response back: an HTTP/1.1 connection for as long as
// that takes, or a stream of a connection that has several. The fetch calls these methods; the carrier
// tells it what becomes of them by
//
//	responded   the head of the response, once
//	receive     a piece of its body; false: pause, until resume
//	received    the end of it. The carrier is not the fetch's any more, and may carry others already
//	bodyRoom    there is room for more of the request's body
//	lost        instead of all that is left: the connection failed
type carrier interface {
	// writeBody sends a piece of the request's body. False: wait for bodyRoom.
	writeBody(data []byte) (more bool)
	// writeBodyBlock is writeBody for the body of a block, which is the carrier's from then on.
	writeBodyBlock(block Block, n int) (more bool)
	// endBody ends the request's body.
	endBody()
	// resume goes on with the body of the response, which was paused.
	resume()
	// abandon says that nobody wants the rest: the carrier is not the fetch's any more.
	abandon()
}

// An originKey says which requests may share connections. Apps share none: what one of them sends must not
// be able to reach another, whatever an origin makes of it, and each has rules of its own about whom it
// may reach, and by which proxy.
type originKey struct {
	app    *appWorker
	secure bool
	http1  bool // HTTP/2 will not do: the connection is to go over to another protocol
	port   uint16
	host   string // as in the URL: lower case, IPv6 in brackets
}

// An origin is a server that an app on this loop talks to: the connections to it that wait for use, and the
// requests that wait for a connection. It is forgotten when it has none of either.
type origin struct {
	loop *Loop
	key  originKey

	protocol     originProtocol     // over TLS; unknown until there was a connection
	shared       []*http2Connection // that take requests
	idle         *originConnection  // used last, first
	open         int                // connections, in use or idle
	dialing      int
	first, last  *fetch // waiting for a connection
	waiting      int
	sequenceNext uint64 // of the fetch that waits next
}

// origins are those of a loop.
type origins struct {
	byKey                map[originKey]*origin
	oldestIdle, lastIdle *originConnection
	idle                 int

	oldestHTTP2, newestHTTP2 *http2Connection // idle
	idleHTTP2                int

	connections spares[originConnection]
	dials       spares[originDial]
	streams     spares[http2Stream]
	fetches     spares[fetch]
	decoders    decoders

	// Scratch, to be used again and again.
	head   http1.RequestHead
	chunks []byte
}

// Only tests change these.
var (
	// originConnectionsMax bounds the connections of a loop to one origin; further requests wait. It is
	// high, because a slow origin is no reason to make others wait, and below half of the ports that
	// Linux has for connections to one address by default (28,232): two loops may need them.
	originConnectionsMax = 12 << 10
	// handshakesMax bounds how many connections are made at once where each costs a handshake: more would
	// only have all of them wait for each other, and for longer than a handshake may take.
	handshakesMax = 64
	// originIdleMax bounds the idle connections of a loop; beyond it those go that were idle for longest.
	originIdleMax = 1024
)

// originSparesMax bounds what is kept for reuse after a burst.
const originSparesMax = 1024

// originIdle is for how long a connection is kept for reuse: an origin says how long it keeps it
// (Keep-Alive: timeout), and Node's five seconds are the shortest of the usual servers' where it says
// nothing. We must be first to close, or a request meets a connection that is closing: so it is the longest of these
// times that is at least a second less.
var originIdle = [...]time.Duration{
	1 * time.Second, 2 * time.Second, 4 * time.Second, 9 * time.Second, 14 * time.Second, 29 * time.Second, 59 * time.Second, 119 * time.Second,
	299 * time.Second, 599 * time.Second,
}

// originIdleDefault is what origins keep connections for that do not say so, in seconds.
const originIdleDefault = 5

// originIdleTime is for how long a connection to an origin may be kept that keeps it for so many seconds; -1: it
// did not say. 0: not at all.
func originIdleTime(seconds int32) time.Duration {
	if seconds < 0 {
		seconds = originIdleDefault
	}
	longest := time.Duration(0)
	for _, length := range originIdle {
		if length <= time.Duration(seconds-1)*time.Second {
			longest = length
		}
	}
	return longest
}

// originOf finds an app's origin, or makes it. isUpgrade: a connection is to be taken over by another protocol.
func (l *Loop) originOf(app *appWorker, to *location, isUpgrade bool) *origin {
	http1 := isUpgrade && to.secure
	o := l.origins.byKey[originKey{app, to.secure, http1, to.port, string(to.host)}]
	if o == nil {
		o = &origin{loop: l, key: originKey{app, to.secure, http1, to.port, string(to.host)}}
		if l.origins.byKey == nil {
			l.origins.byKey = make(map[originKey]*origin)
		}
		l.origins.byKey[o.key] = o
	}
	return o
}

// request gives f a connection, now or later.
func (o *origin) request(f *fetch) {
	f.origin = o
	if c := o.share(); c != nil {
		c.begin(f)
		return
	}
	if !f.isRetry {
		if c := o.takeIdle(); c != nil {
			if !c.begin(f) {
				o.park(c)
			}
			return
		}
	}
	o.enqueue(f)
	o.dialMore()
}

func (o *origin) enqueue(f *fetch) {
	f.sequence = o.sequenceNext
	o.sequenceNext++
	f.isWaiting = true
	f.previous, f.next = o.last, nil
	if o.last != nil {
		o.last.next = f
	} else {
		o.first = f
	}
	o.last = f
	o.waiting++
}

// unqueue takes out a fetch that waits.
func (o *origin) unqueue(f *fetch) {
	if f.previous != nil {
		f.previous.next = f.next
	} else {
		o.first = f.next
	}
	if f.next != nil {
		f.next.previous = f.previous
	} else {
		o.last = f.previous
	}
	f.previous, f.next, f.isWaiting = nil, nil, false
	o.waiting--
}

// leave takes out a fetch that does not want to wait any longer. The dial that was begun for it goes on:
// the next one may use what it brings.
func (o *origin) leave(f *fetch) {
	o.unqueue(f)
	o.forget()
}

// wanted is how many connections in the making the requests that wait call for. It is one where that one may serve
// them all.
func (o *origin) wanted() int {
	switch {
	case !o.key.secure:
		return o.waiting
	case o.key.http1 || o.protocol == protocolHTTP1:
		return min(o.waiting, handshakesMax)
	case len(o.shared) >= http2ConnectionsMax:
		return 0
	}
	return min(o.waiting, 1)
}

// dialMore begins to connect for requests that wait, unless that is under way.
func (o *origin) dialMore() {
	for o.dialing < o.wanted() && o.open+o.dialing < originConnectionsMax {
		o.dialing++
		o.loop.takeDial().begin(o)
	}
	o.forget()
}

// forget forgets an origin to which there is nothing any more.
func (o *origin) forget() {
	if o.open+o.dialing+o.waiting == 0 && o.loop.origins.byKey[o.key] == o {
		delete(o.loop.origins.byKey, o.key)
	}
}

// connected takes over a connection that was made, and returns whom to tell what happens on it.
func (o *origin) connected(t transport) endpointHandler {
	c := o.loop.takeOriginConnection()
	c.origin, c.transport = o, t
	o.dialing--
	o.open++
	o.protocol = protocolHTTP1
	c.expectHead(true) // nothing is known of it
	t.resume()
	o.serve(c)
	o.dialMore() // as many as are needed, now that it is known that none can be shared
	return c
}

// serve gives a free connection to the request that has waited for longest, or keeps it.
func (o *origin) serve(c *originConnection) {
	for f := o.first; f != nil; f = o.first {
		o.unqueue(f)
		if c.begin(f) {
			return
		}
	}
	o.park(c)
}

// failed ends requests for which there was no connection to be had: all that waited when the dial began,
// unless others are being made, or are open and will be free. Each of those that came later gets its own
// attempt.
func (o *origin) failed(f *fault, until uint64) {
	o.dialing--
	if o.open+o.dialing == 0 || f.kind == isolates.FaultEgress {
		for waiting := o.first; waiting != nil && waiting.sequence < until; waiting = o.first {
			o.unqueue(waiting)
			waiting.notConnected(f)
		}
	} else if waiting := o.first; waiting != nil && o.waiting > o.dialing && !f.isExhaustion && len(o.shared) == 0 {
		o.unqueue(waiting)
		waiting.notConnected(f)
	}
	if o.dialing+o.open == 0 || o.key.secure && len(o.shared) == 0 && !f.isExhaustion {
		o.dialMore()
	}
	o.forget()
}

// park keeps a connection for the next request.
func (o *origin) park(c *originConnection) {
	l := o.loop
	length := originIdleTime(c.keepAliveSeconds)
	if length == 0 || o.key.app.removal != nil {
		c.close()
		return
	}
	c.isIdle = true
	c.previousIdle, c.nextIdle = nil, o.idle
	if o.idle != nil {
		o.idle.previousIdle = c
	}
	o.idle = c
	s := &l.origins
	c.older, c.newer = s.lastIdle, nil
	if s.lastIdle != nil {
		s.lastIdle.newer = c
	} else {
		s.oldestIdle = c
	}
	s.lastIdle = c
	l.startTimeout(&c.timeout, length)
	if s.idle++; s.idle > originIdleMax {
		s.oldestIdle.close()
	}
}

// takeIdle takes the connection that was used last, which is the one most likely to be open still. nil:
// there is none.
func (o *origin) takeIdle() *originConnection {
	c := o.idle
	if c != nil {
		o.unpark(c)
	}
	return c
}

func (o *origin) unpark(c *originConnection) {
	s := &o.loop.origins
	c.timeout.stop()
	c.isIdle = false
	if c.previousIdle != nil {
		c.previousIdle.nextIdle = c.nextIdle
	} else {
		o.idle = c.nextIdle
	}
	if c.nextIdle != nil {
		c.nextIdle.previousIdle = c.previousIdle
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		s.oldestIdle = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		s.lastIdle = c.older
	}
	c.previousIdle, c.nextIdle, c.older, c.newer = nil, nil, nil, nil
	s.idle--
}

// An originDial is a connection to an origin in the making.
type originDial struct {
	origin *origin
	until  uint64 // the fetches before this one waited when it began
}

func (l *Loop) takeDial() *originDial {
	if spare := l.origins.dials.take(); spare != nil {
		return spare
	}
	return new(originDial)
}

// begin starts to connect.
func (d *originDial) begin(o *origin) {
	d.origin, d.until = o, o.sequenceNext
	app := o.key.app
	if app.shared.Proxy != nil {
		d.dialProxy(app)
		return
	}
	o.loop.dial(target{host: o.key.host, port: o.key.port, app: app}, app.shared.Egress, d)
}

// dialed implements dialer.
func (d *originDial) dialed(e *endpoint) {
	o := d.origin
	proxy := o.key.app.shared.Proxy
	switch {
	case o.key.secure && proxy != nil:
		d.tunnel(e, proxy)
	case o.key.secure:
		d.secure(e)
	default:
		e.handler = d.end().connected(e)
	}
}

// secure begins TLS with the origin.
func (d *originDial) secure(e *endpoint) {
	o := d.origin
	protocols := protocolsHTTP2
	if o.key.http1 {
		protocols = protocolsHTTP1
	}
	o.loop.secure(e, o.key.app, o.key.host, protocols, d)
}

// secured implements securer.
func (d *originDial) secured(t *tlsConnection) {
	o := d.end()
	if t.conn.Protocol() == "h2" {
		t.handler = o.connectedHTTP2(t)
	} else {
		t.handler = o.connected(t)
	}
}

// secureFailed implements securer.
func (d *originDial) secureFailed(f *fault) { d.dialFailed(f) }

// dialFailed implements dialer.
func (d *originDial) dialFailed(f *fault) {
	until := d.until
	d.end().failed(f, until)
}

func (d *originDial) end() *origin {
	o := d.origin
	d.origin = nil
	o.loop.origins.dials.give(d, originSparesMax)
	return o
}

// errnoText describes an errno for a message.
func errnoText(errno unix.Errno) string {
	switch errno {
	case unix.ECONNRESET, unix.EPIPE:
		return "the origin reset the connection"
	case unix.ETIMEDOUT:
		return "the origin does not take what is sent to it"
	case unix.ECANCELED:
		return "the node is ending"
	}
	return errno.Error()
}
