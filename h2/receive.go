package h2

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// Receive takes what the server has sent. On an error the connection is broken: what is to be sent then
// (GOAWAY) has been, all streams have failed, and it should be closed.
func (c *Conn) Receive(data []byte) *Error {
	if c.err != nil {
		return c.err
	}
	c.depth++
	input := data
	if len(c.in) != 0 {
		c.in = append(c.in, data...)
		input = c.in
	}
	used := c.readFrames(input)
	if rest := input[used:]; len(c.in) != 0 {
		c.in = c.in[:copy(c.in, rest)]
	} else if len(rest) != 0 {
		c.in = append(c.in, rest...)
	}
	c.depth--
	if len(c.in) == 0 && len(c.streams) == 0 && c.blockStream == 0 {
		c.in = nil
		if cap(c.fields.lines)+cap(c.block) > idleMax {
			c.fields.lines, c.block = nil, nil
		}
	}
	err := c.err
	if err != nil {
		c.in = nil
		c.Fail(err.Text)
	}
	c.flush()
	return err
}

// readFrames handles the frames that are whole, and returns how many bytes they have.
func (c *Conn) readFrames(input []byte) (used int) {
	var f frame
	for c.err == nil {
		n, tooLarge := readFrame(input[used:], &f)
		if tooLarge {
			c.fail(FrameSizeError, "a frame is larger than it may be")
		}
		if n == 0 || c.err != nil {
			break
		}
		used += n
		c.handle(&f)
	}
	return used
}

// fail breaks the connection.
func (c *Conn) fail(code Code, what string) {
	if c.err != nil {
		return
	}
	c.err = &Error{code, "the origin does not keep to HTTP/2: " + what}
	c.out = appendFrameHead(c.out, 8, frameGoAway, 0, 0)
	c.out = binary.BigEndian.AppendUint32(c.out, 0) // the server has opened no stream
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(code))
}

// annoyed counts a frame that was of no use.
func (c *Conn) annoyed() {
	if c.nuisance++; c.nuisance > nuisanceMax {
		c.fail(EnhanceYourCalm, "it sends frames that are of no use, and nothing else")
	}
}

func (c *Conn) handle(f *frame) {
	switch {
	case !c.hasSettings && (f.kind != frameSettings || f.has(flagAck)):
		c.fail(ProtocolError, "it does not begin with settings")
		return
	case c.blockStream != 0 && (f.kind != frameContinuation || f.stream != c.blockStream):
		c.fail(ProtocolError, "a frame is in the middle of a field block")
		return
	}
	switch f.kind {
	case frameData:
		c.handleData(f)
	case frameHeaders:
		c.handleHeaders(f)
	case frameContinuation:
		c.handleContinuation(f)
	case frameReset:
		c.handleReset(f)
	case frameSettings:
		c.handleSettings(f)
	case framePing:
		c.handlePing(f)
	case frameGoAway:
		c.handleGoAway(f)
	case frameWindowUpdate:
		c.handleWindowUpdate(f)
	case framePushPromise:
		c.fail(ProtocolError, "it pushes, which was not allowed")
	case framePriority:
		if f.stream == 0 {
			c.fail(ProtocolError, "a priority is for no stream")
		}
		c.annoyed()
	default: // to be ignored (RFC 9113 §4.1)
		c.annoyed()
	}
}

// find gives the stream of a frame. nil: there is none any more, or the connection is broken, because
// there never was one.
func (c *Conn) find(f *frame) *Stream {
	s := c.streams[f.stream]
	if s == nil && (f.stream%2 == 0 || f.stream >= c.nextID) {
		c.fail(ProtocolError, "a frame is for a stream that nobody has opened")
	}
	return s
}

func (c *Conn) handleData(f *frame) {
	s := c.find(f)
	if c.err != nil {
		return
	}
	data, ok := f.unpadded()
	size := int64(len(f.payload))
	switch {
	case !ok:
		c.fail(ProtocolError, "a frame has more padding than bytes")
		return
	case size > c.receiveWindow:
		c.fail(FlowControlError, "it sends more than it is allowed to")
		return
	}
	c.receiveWindow -= size
	if spent := connectionWindow - c.receiveWindow; spent >= connectionWindow/2 {
		c.updateWindow(0, spent)
		c.receiveWindow += spent
	}
	if len(data) != 0 && s != nil {
		c.nuisance = 0
	} else {
		c.annoyed()
	}
	if s != nil {
		s.received(data, size-int64(len(data)), f.has(flagEndStream))
	}
}

func (c *Conn) handleHeaders(f *frame) {
	c.find(f)
	if c.err != nil {
		return
	}
	block, ok := f.unpadded()
	if f.has(flagPriority) && ok {
		if ok = len(block) >= 5; ok {
			block = block[5:]
		}
	}
	if !ok {
		c.fail(ProtocolError, "a frame is shorter than what it should hold")
		return
	}
	c.blockIsEnd = f.has(flagEndStream)
	if f.has(flagEndHeaders) {
		c.handleBlock(f.stream, block)
		return
	}
	c.block = append(c.block[:0], block...)
	c.blockStream, c.blockFrames = f.stream, 1
}

func (c *Conn) handleContinuation(f *frame) {
	if c.blockStream == 0 {
		c.fail(ProtocolError, "a field block is continued that was not begun")
		return
	}
	c.blockFrames++
	if c.blockFrames > blockFramesMax || len(c.block)+len(f.payload) > blockMax {
		c.fail(EnhanceYourCalm, "a field block is too large")
		return
	}
	c.block = append(c.block, f.payload...)
	if f.has(flagEndHeaders) {
		c.blockStream = 0
		c.handleBlock(f.stream, c.block)
	}
}

// handleBlock handles a field block that is whole: the head of a response, or trailers.
func (c *Conn) handleBlock(stream uint32, block []byte) {
	d := &c.fields
	d.begin()
	// What it brings may be for nobody, but it is part of the state of the decoder.
	if _, err := c.decoder.Write(block); err != nil || c.decoder.Close() != nil {
		c.fail(CompressionError, "a field block is malformed")
		return
	}
	s := c.streams[stream]
	if s == nil {
		c.annoyed()
		return
	}
	isEnd := c.blockIsEnd
	switch {
	case d.problem != "":
		c.failStream(s, ProtocolError, "the origin's response is malformed: "+d.problem)
	case s.hasHead && (d.hasStatus || !isEnd):
		c.failStream(s, ProtocolError, "the origin's response is malformed: a second head")
	case s.hasHead: // trailers, which nobody gets to see
		owner := s.owner
		c.nuisance = 0
		c.over(s)
		owner.Received(nil, true)
	case !d.hasStatus:
		c.failStream(s, ProtocolError, "the origin's response is malformed: it has no status")
	case d.status < 200:
		c.handleInterim(s, isEnd)
	default:
		owner := s.owner
		c.nuisance = 0
		if s.hasHead = true; isEnd {
			c.over(s)
		}
		owner.Responded(d.status, d.lines, isEnd)
	}
}

func (c *Conn) handleInterim(s *Stream, isEnd bool) {
	c.annoyed()
	s.interim++
	switch {
	case isEnd || c.fields.status == 101:
		c.failStream(s, ProtocolError, fmt.Sprintf("the origin's response is malformed: status %d is none for it", c.fields.status))
	case s.interim > interimMax:
		c.failStream(s, EnhanceYourCalm, "the origin sent too many interim responses")
	}
}

func (c *Conn) handleReset(f *frame) {
	s := c.find(f)
	switch {
	case c.err != nil:
		return
	case len(f.payload) != 4:
		c.fail(FrameSizeError, "a reset has the wrong size")
		return
	case s == nil:
		c.annoyed()
		return
	}
	code := Code(binary.BigEndian.Uint32(f.payload))
	owner := s.owner
	isUnprocessed := code == RefusedStream && !s.hasHead
	c.forget(s)
	if isUnprocessed {
		// It counts streams otherwise than we do: those as well whose end it has sent, and not noted yet.
		c.concurrentMax = max(1, min(c.concurrentMax, len(c.streams)))
	}
	owner.Failed("the origin reset the stream ("+code.String()+")", isUnprocessed)
}

func (c *Conn) handleSettings(f *frame) {
	switch {
	case f.stream != 0:
		c.fail(ProtocolError, "settings are for a stream")
		return
	case f.has(flagAck):
		if len(f.payload) != 0 {
			c.fail(FrameSizeError, "an acknowledgement has settings")
		}
		c.annoyed()
		return
	case len(f.payload)%6 != 0:
		c.fail(FrameSizeError, "settings have the wrong size")
		return
	}
	if !c.hasSettings {
		c.concurrentMax = concurrentDefault
	}
	for p := f.payload; len(p) != 0; p = p[6:] {
		c.set(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:]))
	}
	if c.hasSettings {
		c.annoyed()
	}
	if c.err != nil {
		return
	}
	c.hasSettings = true
	c.out = appendFrameHead(c.out, 0, frameSettings, flagAck, 0)
	c.sendBlocked()
}

// set takes one setting of the server.
func (c *Conn) set(setting uint16, value uint32) {
	switch setting {
	case settingEnablePush:
		if value != 0 {
			c.fail(ProtocolError, "a server has nobody push")
		}
	case settingMaxConcurrentStreams:
		c.concurrentMax = int(min(value, concurrentMax))
	case settingInitialWindowSize:
		if value > windowSizeMax {
			c.fail(FlowControlError, "a window is too large")
			return
		}
		change := int64(value) - c.initialWindow
		c.initialWindow = int64(value)
		for _, s := range c.streams {
			if s.sendWindow += change; s.sendWindow > windowSizeMax {
				c.fail(FlowControlError, "a window is too large")
				return
			}
		}
	case settingMaxFrameSize:
		if value < frameSizeMax || value > 1<<24-1 {
			c.fail(ProtocolError, "the size of frames is out of its range")
		}
	}
}

func (c *Conn) handlePing(f *frame) {
	switch {
	case f.stream != 0:
		c.fail(ProtocolError, "a ping is for a stream")
	case len(f.payload) != 8:
		c.fail(FrameSizeError, "a ping has the wrong size")
	case !f.has(flagAck):
		c.out = appendFrameHead(c.out, 8, framePing, flagAck, 0)
		c.out = append(c.out, f.payload...)
	}
	c.annoyed()
}

func (c *Conn) handleGoAway(f *frame) {
	if f.stream != 0 || len(f.payload) < 8 {
		c.fail(ProtocolError, "an end of the connection is malformed")
		return
	}
	c.isClosing = true
	c.annoyed()
	last, code := binary.BigEndian.Uint32(f.payload)&streamMask, Code(binary.BigEndian.Uint32(f.payload[4:]))
	c.failAbove(last, "the origin ended the connection ("+code.String()+")", true)
}

func (c *Conn) handleWindowUpdate(f *frame) {
	if len(f.payload) != 4 {
		c.fail(FrameSizeError, "a window update has the wrong size")
		return
	}
	n := int64(binary.BigEndian.Uint32(f.payload) & windowSizeMax)
	if f.stream == 0 {
		if c.sendWindow += n; n == 0 || c.sendWindow > windowSizeMax {
			c.fail(FlowControlError, "a window is opened by nothing, or too far")
			return
		}
		c.sendBlocked()
		return
	}
	s := c.find(f)
	if s == nil {
		return
	}
	if s.sendWindow += n; n == 0 || s.sendWindow > windowSizeMax {
		c.failStream(s, FlowControlError, "the origin opened a window by nothing, or too far")
		return
	}
	if s.isBlocked {
		c.sendBlocked()
	}
}

// sendBlocked goes on with the streams that wait for a window, those first that have waited for longest.
func (c *Conn) sendBlocked() {
	var roomy []*Stream
	kept := c.blocked[:0]
	for _, s := range c.blocked {
		if !s.sendPending() {
			kept = append(kept, s)
			continue
		}
		s.isBlocked = false
		if s.isEnding && !s.hasEnded {
			s.sendEnd()
		}
		if s.wantsRoom {
			roomy = append(roomy, s)
		}
	}
	clear(c.blocked[len(kept):])
	c.blocked = kept
	for _, s := range roomy {
		if s.id != 0 && s.wantsRoom && len(s.pending) == 0 {
			s.wantsRoom = false
			s.owner.Room()
		}
	}
}

// fields are those of the block that is being decoded.
type fields struct {
	lines     []byte // "name: value\r\n"
	status    int
	hasStatus bool
	hasPlain  bool   // a field that is no pseudo-header field has come
	problem   string // "": none
}

func (d *fields) begin() { *d = fields{lines: d.lines[:0]} }

// isConnectionField reports whether a field is about a connection of HTTP/1.1, which is malformed here (RFC 9113 §8.2.2).
func isConnectionField(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

func isName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return name != ""
}

func isValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// add takes a field.
func (d *fields) add(f hpack.HeaderField) {
	switch {
	case d.problem != "":
	case !isValue(f.Value):
		d.problem = "a field has control characters"
	case f.IsPseudo():
		d.addStatus(f)
	case !isName(f.Name):
		d.problem = "a field has a malformed name"
	case isConnectionField(f.Name):
		d.problem = "the field " + f.Name + " belongs to HTTP/1.1"
	case len(d.lines)+len(f.Name)+len(f.Value)+4 > fieldsMax:
		d.problem = "its head is too long"
	default:
		d.hasPlain = true
		d.lines = append(append(append(append(d.lines, f.Name...), ": "...), f.Value...), "\r\n"...)
	}
}

func (d *fields) addStatus(f hpack.HeaderField) {
	if f.Name != ":status" || d.hasStatus || d.hasPlain || len(f.Value) != 3 {
		d.problem = "pseudo-header fields are wrong"
		return
	}
	for _, c := range []byte(f.Value) {
		if c < '0' || c > '9' {
			d.problem = "its status is no number"
			return
		}
		d.status = d.status*10 + int(c-'0')
	}
	if d.hasStatus = true; d.status < 100 {
		d.problem = "its status is too low"
	}
}
