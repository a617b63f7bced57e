package loop

import (
	cryptorand "crypto/rand"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/ws"
)

// A webSocket is a WebSocket connection of an app (RFC 6455), as server or as client: the ioObject of its
// handle, and the handler of its transport. Messages go to JavaScript whole; pings are answered here.
//
// Its life: joining, until the connection has gone over from HTTP → open → answering, when the other side has
// sent a close frame → closing, once we have sent one → lingering, with nothing more to say: the other side is
// given the time to read our last words and to close → over. Any step may be left out. JavaScript hears of the end, and the handle is gone, at the latest
// when it begins to linger.
//
// While JavaScript waits for nothing, and nothing is under way, it holds no memory but itself.
type webSocket struct {
	loop       *Loop
	handle     *handle   // nil: JavaScript has heard of the end, or is gone
	transport  transport // nil: joining, or over
	state      socketState
	isClient   bool
	isPaused   bool // nothing is received
	mustTell   bool // JavaScript waits to hear that what it wrote was taken
	isDeferred bool // the answer to its close frame was put off for a turn
	isDeaf     bool // JavaScript wants no more messages
	hasEnded   bool // the other side has shut its side, right after its close frame
	limit      int  // of messages that come, in bytes
	deflate    ws.Deflate
	parser     ws.Parser
	window     int64 // of messages that JavaScript is ready to take, in bytes; below 0: the last was larger
	in         []byte
	inStart    int // received and not used up, from there on in in
	timeout    timeoutNode

	protocol, extensions string    // that were agreed on
	goodbye              []byte    // payload of the close frame that is to be answered
	failure              *ws.Error // or why the connection is to be failed

	previous, next *webSocket // of those of the loop that are open or later
}

type socketState uint8

const (
	socketJoining socketState = iota
	socketOpen
	socketAnswering
	socketClosing
	socketLingering
	socketOver
)

const (
	// socketMessageMax is the default of App.WebSocketMessage: the limit of Workers.
	socketMessageMax = 1 << 20
	// socketCloseTime is for how long the other side may take to answer a close frame.
	socketCloseTime = 5 * time.Second
	// socketOutputMax is how much may wait to be sent before JavaScript has to wait.
	socketOutputMax = 64 << 10
	// socketPongMax is up to how much waiting output pings are answered: an answer to a later one does for
	// all (RFC 6455 §5.5.3).
	socketPongMax = 16 << 10
	// socketDeflateMin is from which size on messages are compressed: below, it hardly saves a packet.
	socketDeflateMin = 256
)

// webSockets are those of a loop, and what they share.
type webSockets struct {
	first     *webSocket
	answering []*webSocket
	inflater  ws.Inflater
	deflater  ws.Deflater
	scratch   []byte
	adopted   int           // connections of clients
	keys      *rand.ChaCha8 // of masks
}

// messageMemory is a loop's pool of buffers for parsers.
type messageMemory buffers

// Grow implements ws.Memory.
func (m *messageMemory) Grow(buffer []byte, n int) []byte { return (*buffers)(m).grow(buffer, n) }

// Give implements ws.Memory.
func (m *messageMemory) Give(buffer []byte) { (*buffers)(m).give(buffer) }

// newWebSocket makes the object of a handle.
func (l *Loop) newWebSocket(h *handle, isClient bool) *webSocket {
	s := &webSocket{loop: l, handle: h, isClient: isClient, isPaused: true, limit: int(h.worker.shared.WebSocketMessage)}
	s.timeout.owner = s
	return s
}

// open begins the life of a socket whose connection has gone over to the protocol. The transport is paused,
// and the socket its handler. s.in is what has come after the handshake; what that has settled is set.
func (s *webSocket) open(t transport) {
	l := s.loop
	s.transport, s.state = t, socketOpen
	s.parser = ws.Parser{Memory: (*messageMemory)(&l.buffers), Limit: s.limit, IsClient: s.isClient, KeepsContext: s.deflate.KeepsContext}
	if s.deflate.IsOn {
		s.parser.Inflater = &l.sockets.inflater
	}
	if s.next = l.sockets.first; s.next != nil {
		s.next.previous = s
	}
	l.sockets.first = s
	if s.handle != nil {
		l.scratch = append(append(append(l.scratch[:0], s.protocol...), '\n'), s.extensions...)
		s.handle.opened(l.scratch)
	}
	if s.handle == nil || l.draining {
		s.goAway()
	}
}

// In

// read implements ioObject.
func (s *webSocket) read(window int, _ bool) {
	s.window += int64(window)
	s.letInput()
}

// takesInput reports whether the next frame may be looked at. Once the close frame was sent only that of the
// other side matters, so that messages for which there is no window are dropped.
func (s *webSocket) takesInput() bool {
	return s.state == socketOpen && (s.window > 0 || s.isDeaf) || s.state == socketClosing
}

// letInput goes on with what has come and had to wait, and has more received if there is room.
func (s *webSocket) letInput() {
	if s.in != nil && s.takesInput() {
		kept, start := s.in, s.inStart
		s.in, s.inStart = nil, 0
		start += s.consume(kept[start:])
		if start == len(kept) || s.state >= socketLingering {
			s.loop.buffers.give(kept)
		} else {
			s.in, s.inStart = kept, start
		}
	}
	s.pace()
}

// pace has the transport receive, or the other side wait.
func (s *webSocket) pace() {
	wants := s.state == socketLingering || s.takesInput()
	if s.transport == nil || s.state == socketAnswering || wants == !s.isPaused {
		return
	}
	s.isPaused = !wants
	if wants {
		s.transport.resume()
	} else {
		s.transport.pause()
	}
}

// received implements endpointHandler.
func (s *webSocket) received(data []byte) {
	switch {
	case s.state == socketOver:
	case data == nil && s.state == socketLingering:
		s.over()
	case data == nil && s.state == socketAnswering:
		s.hasEnded = true
	case data == nil:
		s.lose()
	case s.state == socketLingering: // nobody wants to know
	case s.in != nil:
		if s.inStart > 0 {
			s.in, s.inStart = s.in[:copy(s.in, s.in[s.inStart:])], 0
		}
		s.in = s.loop.buffers.append(s.in, data)
		s.letInput()
	default:
		used := s.consume(data)
		if used < len(data) && s.state < socketLingering {
			s.in = s.loop.buffers.append(nil, data[used:])
		}
		s.pace()
	}
}

// consume uses up what it can of input, and returns how much that is.
func (s *webSocket) consume(input []byte) (used int) {
	for used < len(input) && s.takesInput() {
		n, what, payload, err := s.parser.Next(input[used:])
		used += n
		if err != nil {
			s.fail(err)
			break
		}
		switch what {
		case ws.Text:
			s.deliver(payload, isolates.DataText)
		case ws.Binary:
			s.deliver(payload, isolates.DataBinary)
		case ws.Ping:
			if s.transport.queued() < socketPongMax && s.state == socketOpen {
				s.send(ws.Pong, payload, false)
			}
		case ws.Close:
			s.takeClose(payload)
		}
	}
	if s.state != socketOver {
		s.parser.Release()
	}
	return used
}

// deliver gives a message to JavaScript.
func (s *webSocket) deliver(message []byte, kind isolates.DataKind) {
	if s.handle == nil || s.isDeaf || s.window <= 0 {
		return
	}
	s.window -= int64(len(message))
	s.handle.data(message, kind)
}

// Out

// write implements ioObject.
func (s *webSocket) write(record *isolates.Record) {
	if s.isSending() {
		opcode := ws.Opcode(ws.Text)
		if record.Flags&isolates.WriteBinary != 0 {
			opcode = ws.Binary
		}
		s.writeMessage(opcode, record)
	}
	if record.Flags&isolates.WriteAck != 0 {
		s.mustTell = true
		s.tell(socketOutputMax)
	}
}

// writeMessage sends a message, compressed if that was agreed on and makes it smaller.
func (s *webSocket) writeMessage(opcode ws.Opcode, record *isolates.Record) {
	l := s.loop
	if s.deflate.IsOn && len(record.Body) >= socketDeflateMin {
		if short := l.sockets.deflater.Deflate(record.Body, s.deflate.WindowBits); len(short) < len(record.Body) {
			s.send(opcode, short, true)
			return
		}
	}
	if record.Block == noBlock {
		s.send(opcode, record.Body, false)
		return
	}
	n := len(record.Body)
	var header [ws.HeaderMax]byte
	if s.isClient {
		key := s.key()
		s.transport.write(ws.AppendHeader(header[:0], opcode, false, n, &key))
		ws.Mask(l.options.Blocks.Memory(record.Block, n)[isolates.HeadRoom:], key)
	} else {
		s.transport.write(ws.AppendHeader(header[:0], opcode, false, n, nil))
	}
	s.transport.writeBlock(record.Block, n)
	record.Block = noBlock
}

// send sends a frame.
func (s *webSocket) send(opcode ws.Opcode, payload []byte, isCompressed bool) {
	scratch := s.loop.sockets.scratch[:0]
	if s.isClient {
		key := s.key()
		scratch = ws.AppendHeader(scratch, opcode, isCompressed, len(payload), &key)
		start := len(scratch)
		scratch = append(scratch, payload...)
		ws.Mask(scratch[start:], key)
		s.transport.write(scratch)
	} else {
		scratch = ws.AppendHeader(scratch, opcode, isCompressed, len(payload), nil)
		s.transport.write(scratch)
		s.transport.write(payload)
	}
	if cap(scratch) <= socketMessageMax {
		s.loop.sockets.scratch = scratch
	}
}

// maskKeys is where the keys of masks come from.
func (l *Loop) maskKeys() *rand.ChaCha8 {
	if l.sockets.keys == nil {
		var seed [32]byte
		_, _ = cryptorand.Read(seed[:]) // it never fails
		l.sockets.keys = rand.NewChaCha8(seed)
	}
	return l.sockets.keys
}

// key is a new key for the mask of a frame, which nobody can foresee (RFC 6455 §5.3).
func (s *webSocket) key() uint32 { return uint32(s.loop.maskKeys().Uint64()) }

// sent implements endpointHandler.
func (s *webSocket) sent() {
	s.tell(socketOutputMax / 2)
	if s.state == socketLingering && s.transport.queued() == 0 {
		s.awaitEnd()
	}
}

// tell lets JavaScript go on if no more than so many bytes wait.
func (s *webSocket) tell(most int) {
	if s.mustTell && s.handle != nil && (s.transport == nil || s.transport.queued() <= most) {
		s.mustTell = false
		s.handle.written()
	}
}

// The end

// isSending reports whether frames may still be sent.
func (s *webSocket) isSending() bool { return s.state == socketOpen || s.state == socketAnswering }

// finish implements ioObject: it begins the closing handshake.
func (s *webSocket) finish(record *isolates.Record) {
	if s.isSending() {
		s.sendClose(record.Status, record.Target)
		s.awaitClose()
	}
}

// sendClose sends our close frame, after which nothing is sent.
func (s *webSocket) sendClose(code uint16, reason []byte) {
	var payload [ws.ControlMax]byte
	s.send(ws.Close, ws.AppendClosePayload(payload[:0], code, reason), false)
	s.state = socketClosing
	s.tell(1 << 62)
}

// awaitClose waits for the close frame of the other side.
func (s *webSocket) awaitClose() {
	s.loop.startTimeout(&s.timeout, socketCloseTime)
	s.letInput()
}

// goAway begins the closing handshake because the app or the server goes away.
func (s *webSocket) goAway() {
	if s.isSending() {
		s.sendClose(ws.CodeGoingAway, nil)
		s.awaitClose()
	}
}

// takeClose takes the close frame of the other side. If it was the first, it is answered after the app's turn:
// what that has to say to the messages before it goes out first.
func (s *webSocket) takeClose(payload []byte) {
	code, reason, err := ws.ParseClose(payload)
	switch {
	case err != nil:
		s.fail(err)
	case s.state == socketOpen:
		s.goodbye = append([]byte(nil), payload...)
		s.answer()
	default:
		s.ended(code, reason, true)
		s.linger()
	}
}

// fail ends a connection whose other side breaks the protocol (RFC 6455 §7.1.7), after the app's turn if
// anything can be sent.
func (s *webSocket) fail(err *ws.Error) {
	if s.state == socketOpen {
		s.failure = err
		s.answer()
		return
	}
	s.ended(err.Code, []byte(err.Reason), false)
	s.linger()
}

// answer has the close frame, or the failure, that has come answered at the end of the turns.
func (s *webSocket) answer() {
	s.state = socketAnswering
	s.loop.sockets.answering = append(s.loop.sockets.answering, s)
}

// answerCloses completes the closing handshakes that others have begun in this tick, and tells those who
// have broken the protocol.
//
// One may come to light in a turn, because the app has read on: then the app's next one is waited for.
func (l *Loop) answerCloses() {
	kept := l.sockets.answering[:0]
	for _, s := range l.sockets.answering {
		switch {
		case s.state == socketOver:
			continue
		case s.handle != nil && s.handle.worker.isRunnable && !s.isDeferred:
			s.isDeferred = true
			kept = append(kept, s)
			continue
		}
		goodbye, failure := s.goodbye, s.failure
		s.goodbye, s.failure = nil, nil
		if failure != nil {
			goodbye = ws.AppendClosePayload(nil, failure.Code, []byte(failure.Reason))
		}
		code, reason, _ := ws.ParseClose(goodbye) // it was checked when it came
		if s.state == socketAnswering {
			s.send(ws.Close, goodbye, false)
		}
		s.ended(code, reason, failure == nil)
		s.linger()
	}
	clear(l.sockets.answering[len(kept):])
	l.sockets.answering = kept
}

// ended tells JavaScript of the end, and lets go of the handle.
func (s *webSocket) ended(code uint16, reason []byte, clean bool) {
	if h := s.handle; h != nil {
		s.handle = nil
		h.closed(code, reason, clean)
		h.release()
	}
}

// linger waits until our last words have left, and the other side has closed: if the connection was closed
// while bytes come that nobody reads, a reset could overtake them. The server closes first (RFC 6455
// §7.1.1).
func (s *webSocket) linger() {
	s.state = socketLingering
	s.dropInput()
	s.timeout.stop()
	if !s.isClient || s.hasEnded {
		s.transport.finish()
	}
	s.pace()
	if s.transport.queued() == 0 {
		s.awaitEnd()
	}
}

// awaitEnd gives the other side some time to close, if it has not.
func (s *webSocket) awaitEnd() {
	if s.hasEnded {
		s.over()
		return
	}
	s.loop.startTimeout(&s.timeout, s.loop.options.LingerTimeout)
}

// lose ends a connection that has broken, or was ended without a close frame.
func (s *webSocket) lose() {
	s.ended(ws.CodeAbnormal, nil, false)
	s.over()
}

// timedOut implements waiter: the other side did not close in time.
func (s *webSocket) timedOut(*timeoutNode) { s.lose() }

// failed implements endpointHandler.
func (s *webSocket) failed(unix.Errno) {
	if s.state != socketOver {
		s.leave()
		s.ended(ws.CodeAbnormal, nil, false)
	}
}

// over closes the connection.
func (s *webSocket) over() {
	t := s.transport
	s.leave()
	t.close()
}

// leave has nothing of the socket left but its transport, on which closed follows.
func (s *webSocket) leave() {
	s.state, s.transport = socketOver, nil
	s.timeout.stop()
	s.dropInput()
	if s.previous != nil {
		s.previous.next = s.next
	} else {
		s.loop.sockets.first = s.next
	}
	if s.next != nil {
		s.next.previous = s.previous
	}
	s.previous, s.next = nil, nil
}

// dropInput gives back what has been received. The parser is not used again.
func (s *webSocket) dropInput() {
	s.loop.buffers.give(s.in)
	s.in, s.inStart = nil, 0
	s.parser.Free()
}

// closed implements endpointHandler. A client's connection counts until here.
func (s *webSocket) closed() {
	if l := s.loop; !s.isClient {
		l.sockets.adopted--
		l.stats.Closed++
		l.options.open.Add(-1)
		l.acceptAgain()
	}
}

// connected implements endpointHandler; the connection was made before.
func (s *webSocket) connected() {}

// body implements ioObject: messages are no stream.
func (s *webSocket) body(bool) source { return nil }

// cancel implements ioObject.
func (s *webSocket) cancel(abort bool) {
	if !abort {
		s.isDeaf = true
		s.letInput()
		return
	}
	h := s.handle
	s.handle = nil
	h.release()
	if t := s.transport; t != nil {
		s.leave()
		t.reset()
	}
}

// drop implements ioObject.
func (s *webSocket) drop() {
	s.handle = nil
	s.goAway()
}

// closeWebSockets begins to close all: the loop drains.
func (l *Loop) closeWebSockets() {
	for s := l.sockets.first; s != nil; {
		next := s.next
		s.goAway()
		s = next
	}
}
