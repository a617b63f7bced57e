package loop

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"

	"nano/isolates"
)

// A tcpSocket is a connection that an app has opened with connect(): the ioObject of its handle, the source
// of what the peer sends (as tcpInput) and the sink of what the app writes (as tcpOutput).
//
// Its life: opening, while it is dialed and TLS begins → open → lingering, when the app is done with both
// directions and the peer is given the time to read the last of it → over. With startTls() an open one goes
// back to opening, with another handle.
type tcpSocket struct {
	loop      *Loop
	handle    *handle // nil: JavaScript is done with it, or is gone
	app       *appWorker
	state     tcpState
	isSecure  bool           // TLS is wanted, or there
	mayBegin  bool           // TLS may begin later
	host      string         // for TLS, without brackets
	dialing   *dialing       // nil: not under way
	securing  *tlsConnection // nil: not under way
	endpoint  *endpoint      // while it is open; below TLS
	transport transport      // while it is open

	reader   jsReader
	isRead   bool    // by JavaScript
	isGiven  bool    // to another sink
	sink     sink    // of what comes; nil: none yet, or not any more
	hasRoom  bool    // the sink has
	held     []byte  // for a sink without room
	ending   *ending // that the sink is to hear after what is held
	hasEnded bool    // the peer has
	isInDone bool    // nothing more is to come, or nobody wants it

	writer    jsWriter
	isOutDone bool

	timeout timeoutNode // of lingering
}

type tcpState uint8

const (
	tcpOpening tcpState = iota
	tcpOpen
	tcpLingering
	tcpOver
)

// tcpOutputMax is how much may wait to be sent before the app has to wait.
const tcpOutputMax = 64 << 10

// openTCP begins to connect, from a KindOpen record, or to go on with TLS on a connection.
func (l *Loop) openTCP(h *handle, record *isolates.Record) ioObject {
	if h.worker.handlesOpen > handlesMax {
		h.fail(newFault(isolates.FaultLimit, "too many sockets at once"))
		return nil
	}
	host, port, ok := splitTarget(record.Target)
	if !ok {
		h.fail(newFault(isolates.FaultRefused, "malformed address"))
		return nil
	}
	if record.Source != 0 {
		return l.beginTLS(h, record.Source, host)
	}
	s := &tcpSocket{
		loop: l, handle: h, app: h.worker, host: host,
		isSecure: record.Flags&isolates.OpenTLS != 0, mayBegin: record.Flags&isolates.OpenStartTLS != 0,
	}
	s.timeout.owner = s
	s.join()
	s.dialing = l.dial(target{host: host, port: port, app: s.app}, s.app.shared.Egress, s)
	return s
}

// splitTarget takes "host:port" apart; a host in brackets loses them.
func splitTarget(text []byte) (host string, port uint16, ok bool) {
	i := bytes.LastIndexByte(text, ':')
	if i <= 0 {
		return "", 0, false
	}
	number, err := strconv.ParseUint(string(text[i+1:]), 10, 16)
	name := bytes.TrimSuffix(bytes.TrimPrefix(text[:i], []byte{'['}), []byte{']'})
	return string(name), uint16(number), err == nil && number != 0 && len(name) != 0
}

// beginTLS gives the connection of a socket another handle, and TLS.
func (l *Loop) beginTLS(h *handle, number int32, host string) ioObject {
	old := l.handles.byKey[handleKey{h.worker.life, number}]
	var s *tcpSocket
	if old != nil {
		s, _ = old.object.(*tcpSocket)
	}
	if s == nil || !s.mayBegin || s.state >= tcpLingering || s.isGiven || s.isInDone || s.isOutDone {
		h.fail(newFault(isolates.FaultRefused, "startTls() on a socket that has ended, or was not opened for it"))
		return nil
	}
	if s.state == tcpOpen {
		s.writer.resume() // what the app has written goes before
	}
	s.writer.cancel()
	old.release()
	s.handle, s.host, s.isSecure, s.mayBegin = h, host, true, false
	s.join()
	if s.state == tcpOpen {
		s.state = tcpOpening
		s.loop.buffers.give(s.held)
		s.held = nil
		s.secure()
	}
	return s
}

// join prepares both directions for what JavaScript says.
func (s *tcpSocket) join() {
	s.isRead, s.sink, s.hasRoom, s.ending = false, nil, false, nil
	s.reader = jsReader{}
	s.writer.open(s.handle, -1)
	s.writer.attach((*tcpOutput)(s))
}

// dialed implements dialer.
func (s *tcpSocket) dialed(e *endpoint) {
	s.dialing, s.endpoint, s.transport = nil, e, e
	e.handler = s
	if s.isSecure {
		s.secure()
		return
	}
	s.open()
}

// dialFailed implements dialer.
func (s *tcpSocket) dialFailed(f *fault) {
	s.dialing = nil
	s.fail(f)
}

// secure begins TLS.
func (s *tcpSocket) secure() {
	s.transport = nil
	s.securing = s.loop.secure(s.endpoint, s.app, s.host, nil, s)
}

// secured implements securer.
func (s *tcpSocket) secured(t *tlsConnection) {
	s.securing, s.transport = nil, t
	t.handler = s
	t.pause()
	s.open()
}

// secureFailed implements securer.
func (s *tcpSocket) secureFailed(f *fault) {
	s.securing = nil
	s.fail(f)
}

// open begins the flow in both directions.
func (s *tcpSocket) open() {
	l := s.loop
	s.state = tcpOpen
	text := append(l.scratch[:0], s.endpoint.remote.String()...)
	text = l.options.sockets.local(int(s.endpoint.fd), append(text, '\n'))
	text = append(text, '\n')
	l.scratch = text
	s.handle.opened(text)
	if s.isOutDone {
		s.transport.finish()
	}
	s.writer.resume()
	if s.state == tcpOpen && s.hasRoom {
		s.transport.resume()
	}
}

// In

// received implements endpointHandler.
func (s *tcpSocket) received(data []byte) {
	switch {
	case s.state == tcpLingering && data == nil:
		s.over()
	case data == nil && s.state == tcpOpen && s.isInDone:
		s.hasEnded = true
	case s.state != tcpOpen || s.isInDone:
	case data == nil && isTruncated(s.transport):
		s.fail(newFault(isolates.FaultNetwork, "the peer ended the connection without the close_notify of TLS"))
	case data == nil:
		s.hasEnded = true
		s.endInput(wholeEnding)
	case s.sink != nil && s.hasRoom && len(s.held) == 0:
		if s.hasRoom = s.sink.push(data); !s.hasRoom {
			s.transport.pause()
		}
	default:
		s.held = s.loop.buffers.append(s.held, data)
	}
}

// endInput ends what comes, after what is held.
func (s *tcpSocket) endInput(with *ending) {
	s.ending = with
	s.deliver()
}

// deliver gives the sink what is held, if it has room, and then the end.
func (s *tcpSocket) deliver() {
	if s.sink == nil {
		return
	}
	if s.hasRoom && len(s.held) != 0 {
		held := s.held
		s.held = nil
		s.hasRoom = s.loop.buffers.offer(s.sink, held)
	}
	if s.ending != nil && len(s.held) == 0 {
		to, with := s.sink, s.ending
		s.sink, s.ending = nil, nil
		to.end(with.fault)
		s.inputOver()
	}
}

// inputOver notes that nothing more is to come, or wanted.
func (s *tcpSocket) inputOver() {
	s.isInDone = true
	s.loop.buffers.give(s.held)
	s.held, s.sink = nil, nil
	if s.state == tcpOpen {
		s.transport.pause() // who goes on sending has to wait for ever
	}
	s.endIfDone()
}

// tcpInput is a tcpSocket as the source of what the peer sends.
type tcpInput tcpSocket

// attach implements source.
func (i *tcpInput) attach(to sink) { i.sink = to }

// resume implements source.
func (i *tcpInput) resume() {
	s := (*tcpSocket)(i)
	s.hasRoom = true
	s.deliver()
	if s.hasRoom && s.state == tcpOpen && !s.isInDone && s.ending == nil {
		s.transport.resume()
	}
}

// cancel implements source.
func (i *tcpInput) cancel() { (*tcpSocket)(i).inputOver() }

// length implements source.
func (i *tcpInput) length() int64 { return -1 }

// read implements ioObject.
func (s *tcpSocket) read(window int, _ bool) {
	switch {
	case s.isGiven || s.isInDone:
	case s.isRead:
		s.reader.read(window)
	default:
		s.isRead = true
		s.reader.window = int64(window)
		s.reader.start(s.handle, (*tcpInput)(s), &s.reader)
	}
}

// body implements ioObject.
func (s *tcpSocket) body(bool) source {
	if s.isGiven || s.isRead || s.isInDone || s.state >= tcpLingering {
		return nil
	}
	s.isGiven = true
	return (*tcpInput)(s)
}

// Out

// tcpOutput is a tcpSocket as the sink of what the app writes.
type tcpOutput tcpSocket

// push implements sink.
func (o *tcpOutput) push(data []byte) (more bool) {
	o.transport.write(data)
	return o.transport.queued() < tcpOutputMax
}

// pushBlock implements blockSink.
func (o *tcpOutput) pushBlock(block Block, n int) (more bool) {
	o.transport.writeBlock(block, n)
	return o.transport.queued() < tcpOutputMax
}

// end implements sink.
func (o *tcpOutput) end(f *fault) {
	s := (*tcpSocket)(o)
	s.isOutDone = true
	switch {
	case f != nil:
		s.abort()
	case s.state == tcpOpen:
		s.transport.finish()
		s.endIfDone()
	}
}

// sent implements endpointHandler.
func (s *tcpSocket) sent() {
	if s.transport == nil {
		return
	}
	switch queued := s.transport.queued(); {
	case s.state == tcpLingering && queued == 0 && s.hasEnded:
		s.over()
	case s.state == tcpLingering && queued == 0:
		s.loop.startTimeout(&s.timeout, s.loop.options.LingerTimeout)
	case s.state == tcpOpen && queued <= tcpOutputMax/2:
		s.writer.resume()
	}
}

// write implements ioObject.
func (s *tcpSocket) write(record *isolates.Record) { s.writer.write(record) }

// finish implements ioObject.
func (s *tcpSocket) finish(record *isolates.Record) { s.writer.finish(record) }

// The end

// endIfDone lets go of the handle when both directions have ended.
func (s *tcpSocket) endIfDone() {
	if !s.isInDone || !s.isOutDone || s.state != tcpOpen {
		return
	}
	s.letGo()
	s.state = tcpLingering
	s.transport.resume() // what comes is dropped, until the peer has closed
	s.sent()
}

// letGo releases the handle.
func (s *tcpSocket) letGo() {
	if h := s.handle; h != nil {
		s.handle, s.writer.handle = nil, nil
		h.release()
	}
}

// timedOut implements waiter: the peer did not close in time.
func (s *tcpSocket) timedOut(*timeoutNode) { s.over() }

// over closes the connection, about which nobody wants to know anything any more.
func (s *tcpSocket) over() {
	t := s.transport
	s.leave()
	t.close()
}

// leave has nothing left but the transport, on which closed follows.
func (s *tcpSocket) leave() {
	s.state, s.transport = tcpOver, nil
	s.timeout.stop()
	s.writer.cancel()
	s.loop.buffers.give(s.held)
	s.held = nil
}

// fail tells the app, or whoever takes what comes, that the connection has failed or never came to be.
func (s *tcpSocket) fail(f *fault) {
	h, to, t := s.handle, s.sink, s.transport
	s.handle, s.writer.handle, s.sink = nil, nil, nil
	s.leave()
	if t != nil {
		t.close()
	}
	if s.isGiven && to != nil {
		to.end(f)
	}
	if h != nil {
		h.fail(f)
	}
}

// failed implements endpointHandler.
func (s *tcpSocket) failed(errno unix.Errno) {
	if s.state == tcpOpen {
		why := failureText(s.transport, errno)
		s.transport = nil
		s.fail(newFault(isolates.FaultNetwork, why))
	} else if s.state == tcpLingering {
		s.leave()
	}
}

// abort ends the connection visibly.
func (s *tcpSocket) abort() {
	d, secured, t := s.dialing, s.securing, s.transport
	s.dialing, s.securing = nil, nil
	s.leave()
	switch {
	case d != nil:
		d.cancel()
	case secured != nil:
		secured.close()
	case t != nil:
		t.reset()
	}
	s.letGo()
}

// cancel implements ioObject.
func (s *tcpSocket) cancel(abort bool) {
	switch {
	case abort:
		s.abort()
	case !s.isInDone && !s.isGiven:
		s.reader.from = nil
		s.inputOver()
	}
}

// drop implements ioObject.
func (s *tcpSocket) drop() {
	s.handle, s.writer.handle = nil, nil
	to := s.sink
	s.sink = nil
	if s.isGiven && to != nil {
		to.end(faultGone)
	}
	s.abort()
}

// connected implements endpointHandler; the connection was made before.
func (s *tcpSocket) connected() {}

// closed implements endpointHandler.
func (s *tcpSocket) closed() {}
