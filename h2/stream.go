package h2

// A Stream carries one request and its response. It may be used again once it is over.
type Stream struct {
	conn  *Conn
	owner StreamOwner
	id    uint32 // 0: it carries nothing

	sendWindow int64
	pending    []byte // of the request's body: what no window is open for
	isEnding   bool   // the request's body ends after pending
	hasEnded   bool   // its end was sent
	isBlocked  bool   // on conn.blocked
	wantsRoom  bool

	receiveWindow int64
	unreturned    int64 // bytes that were received, and are not in the window again
	isPaused      bool
	hasHead       bool // the response's, of those that are not interim
	interim       uint8
}

// A StreamOwner is told what becomes of a stream. It may call any method of the stream and its connection.
type StreamOwner interface {
	// Responded brings the head of the response: its status, and its fields as lines "name: value\r\n", valid
	// during the call. isWhole: there is no body.
	Responded(status int, lines []byte, isWhole bool)
	// Received brings a piece of the body, valid during the call. isLast: the response is whole, and the
	// stream over. False: no more is wanted until Resume, though a window's worth may still come.
	Received(data []byte, isLast bool) (more bool)
	// Room says that a Write which answered false has been sent.
	Room()
	// Failed ends the stream. isUnprocessed: the server has done nothing with the request, which may
	// be sent again, elsewhere.
	Failed(why string, isUnprocessed bool)
}

const (
	// streamWindow is how much of a response may come before it is wanted.
	streamWindow = 256 << 10
	// interimMax bounds the interim responses (1xx) of a stream.
	interimMax = 32
)

// ID numbers the streams of a connection; 0: the stream carries nothing.
func (s *Stream) ID() uint32 { return s.id }

// Write sends a piece of the request's body. False: not all of it could be sent, and is kept; Room says
// when it has been.
func (s *Stream) Write(data []byte) (more bool) {
	if s.id == 0 || s.isEnding {
		return false
	}
	if len(s.pending) == 0 {
		data = data[s.send(data, false):]
	}
	s.pending = append(s.pending, data...)
	s.block()
	s.wantsRoom = len(s.pending) != 0
	s.conn.flush()
	return !s.wantsRoom
}

// IsWaiting reports whether something that was written has not been sent.
func (s *Stream) IsWaiting() bool { return len(s.pending) != 0 }

// End ends the request's body.
func (s *Stream) End() {
	if s.id == 0 || s.isEnding {
		return
	}
	s.isEnding = true
	if len(s.pending) == 0 {
		s.sendEnd()
		s.conn.flush()
	}
}

func (s *Stream) sendEnd() {
	s.hasEnded = true
	s.conn.out = appendFrameHead(s.conn.out, 0, frameData, flagEndStream, s.id)
}

// send sends as much of data as the windows are open for. isLast: the body ends with data.
func (s *Stream) send(data []byte, isLast bool) (n int) {
	c := s.conn
	for len(data) != 0 {
		size := min(int64(len(data)), s.sendWindow, c.sendWindow, frameSizeMax)
		if size <= 0 {
			return n
		}
		flags := uint8(0)
		if isLast && int(size) == len(data) {
			flags = flagEndStream
			s.hasEnded = true
		}
		c.out = appendFrameHead(c.out, int(size), frameData, flags, s.id)
		c.out = append(c.out, data[:size]...)
		data = data[size:]
		n += int(size)
		s.sendWindow -= size
		c.sendWindow -= size
		if len(c.out) > outMax {
			c.flush()
		}
	}
	return n
}

// block has the stream wait for a window, if it has something to send.
func (s *Stream) block() {
	if len(s.pending) != 0 && !s.isBlocked {
		s.isBlocked = true
		s.conn.blocked = append(s.conn.blocked, s)
	}
}

// sendPending goes on with what was waiting. True: it has all been sent.
func (s *Stream) sendPending() (done bool) {
	n := s.send(s.pending, s.isEnding)
	s.pending = s.pending[:copy(s.pending, s.pending[n:])]
	return len(s.pending) == 0
}

// Resume says that more of the response is wanted.
func (s *Stream) Resume() {
	s.isPaused = false
	if s.id != 0 {
		s.openWindow()
		s.conn.flush()
	}
}

// openWindow lets the server send as much again as was taken.
func (s *Stream) openWindow() {
	if !s.isPaused && s.unreturned >= streamWindow/2 {
		s.conn.updateWindow(s.id, s.unreturned)
		s.receiveWindow += s.unreturned
		s.unreturned = 0
	}
}

// Reset ends the stream: nobody wants the rest. Its owner is not told.
func (s *Stream) Reset() {
	if s.id == 0 {
		return
	}
	c := s.conn
	c.reset(s, Cancel)
	c.flush()
}

// received brings a part of the response's body. overhead is what the padding took up in the window.
func (s *Stream) received(data []byte, overhead int64, isLast bool) {
	c := s.conn
	switch size := int64(len(data)) + overhead; {
	case !s.hasHead:
		c.failStream(s, ProtocolError, "the origin sent a body before a head")
		return
	case size > s.receiveWindow:
		c.failStream(s, FlowControlError, "the origin sent more than it was allowed to")
		return
	default:
		s.receiveWindow -= size
		s.unreturned += size
	}
	owner := s.owner
	if isLast {
		c.over(s)
		owner.Received(data, true)
		return
	}
	if len(data) == 0 {
		return
	}
	id := s.id
	more := owner.Received(data, false)
	if s.id == id && s.conn == c { // it may carry something else by now
		s.isPaused = !more
		s.openWindow()
	}
}
