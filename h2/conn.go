// Package h2 is the client's side of HTTP/2 (RFC 9113) for an event loop: a connection is given the bytes
// that were received, and gives those that are to be sent. It reads no clock and no socket, starts no
// goroutine, and never blocks.
package h2

import (
	"encoding/binary"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// A Conn is the client's end of a connection. All its methods, and those of its streams, are called on
// one thread.
type Conn struct {
	owner   Owner
	streams map[uint32]*Stream
	blocked []*Stream // they have something to send, and a window is closed
	nextID  uint32

	in    []byte // of a frame that is not whole
	out   []byte // to be sent
	depth int    // of Receive and what it calls, which flush when they are done

	hasSettings   bool // the server's have come
	isClosing     bool // by GOAWAY: no new streams
	err           *Error
	concurrentMax int
	initialWindow int64
	sendWindow    int64
	receiveWindow int64
	nuisance      int // frames since the last one that was of use

	// A field block that is not whole.
	block       []byte
	blockStream uint32
	blockFrames int
	blockIsEnd  bool
	decoder     *hpack.Decoder
	fields      fields
}

// An Owner is whom a connection belongs to.
type Owner interface {
	// Send takes frames that are to be sent, valid during the call.
	Send(frames []byte)
}

// An Error ends a connection. Its text says what the origin has done.
type Error struct {
	Code Code
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

const (
	// connectionWindow bounds what is under way on all streams together. It is opened as soon as something has come:
	// a stream that nobody reads must not stop others.
	connectionWindow = 4 << 20
	// How many streams there may be: before the server has said anything, if it does not say how many, and
	// however many it wants.
	concurrentAtFirst = 10
	concurrentDefault = 250
	concurrentMax     = 1000
	// fieldsMax bounds the fields of a response, in bytes as they are in lines, and blockMax those of
	// a block as it is sent.
	fieldsMax = 32 << 10
	blockMax  = 32 << 10
	// blockFramesMax bounds into how many frames a block is cut.
	blockFramesMax = 16
	// nuisanceMax bounds how many frames in a row may be of no use: pings, settings, empty ones.
	nuisanceMax = 2000
	// outMax is how much is gathered before it is sent.
	outMax = 32 << 10
	// idleMax is how much memory is kept for reuse by a connection that is idle, maybe for long.
	idleMax = 4 << 10
	// idMax is the last stream's number; a connection that has come there takes no more.
	idMax = 1<<31 - 1
)

// NewConn begins a connection.
func NewConn(owner Owner) *Conn {
	c := &Conn{
		owner: owner, streams: map[uint32]*Stream{}, nextID: 1,
		concurrentMax: concurrentAtFirst, initialWindow: windowSizeDefault,
		sendWindow: windowSizeDefault, receiveWindow: connectionWindow,
	}
	c.decoder = hpack.NewDecoder(4<<10, c.fields.add)
	c.decoder.SetMaxStringLength(fieldsMax)
	c.out = append(c.out, preface...)
	c.out = appendFrameHead(c.out, 3*6, frameSettings, 0, 0)
	c.out = appendSetting(c.out, settingEnablePush, 0)
	c.out = appendSetting(c.out, settingInitialWindowSize, streamWindow)
	c.out = appendSetting(c.out, settingMaxHeaderListSize, fieldsMax)
	c.updateWindow(0, connectionWindow-windowSizeDefault)
	c.flush()
	return c
}

// Streams is how many there are.
func (c *Conn) Streams() int { return len(c.streams) }

// CanOpen reports whether one more stream may be opened now.
func (c *Conn) CanOpen() bool { return c.IsUsable() && len(c.streams) < c.concurrentMax }

// IsUsable reports whether streams may be opened, once there are few enough.
func (c *Conn) IsUsable() bool { return !c.isClosing && c.err == nil && c.nextID <= idMax }

// Open sends a request on a stream, which carries nothing. CanOpen was asked before. isWhole: the request has no body.
func (c *Conn) Open(s *Stream, owner StreamOwner, request *Request, isWhole bool) {
	*s = Stream{
		conn: c, owner: owner, id: c.nextID, pending: s.pending[:0],
		sendWindow: c.initialWindow, receiveWindow: streamWindow, isEnding: isWhole, hasEnded: isWhole,
	}
	c.nextID += 2
	c.streams[s.id] = s
	c.block = appendRequest(c.block[:0], request)
	kind, flags := frameHeaders, uint8(0)
	if isWhole {
		flags = flagEndStream
	}
	for rest := c.block; ; kind, flags = frameContinuation, 0 {
		n := min(len(rest), frameSizeMax)
		if n == len(rest) {
			flags |= flagEndHeaders
		}
		c.out = appendFrameHead(c.out, n, kind, flags, s.id)
		c.out = append(c.out, rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
	}
	c.block = c.block[:0]
	c.flush()
}

// Hold has what is to be sent gathered until Release, so that it leaves in one piece.
func (c *Conn) Hold() { c.depth++ }

// Release ends Hold.
func (c *Conn) Release() {
	c.depth--
	c.flush()
}

// flush sends what was gathered, unless more is about to be.
func (c *Conn) flush() {
	if len(c.out) != 0 && (c.depth == 0 || len(c.out) > outMax) {
		out := c.out
		c.out = nil
		c.owner.Send(out)
		if c.out == nil && (cap(out) <= idleMax || len(c.streams) != 0 && cap(out) <= 2*outMax) {
			c.out = out[:0]
		}
	}
}

// over takes a stream off the connection.
func (c *Conn) over(s *Stream) {
	if !s.hasEnded { // a server that answers early does not want the rest of the request
		c.appendReset(s.id, Cancel)
	}
	c.forget(s)
}

func (c *Conn) forget(s *Stream) {
	delete(c.streams, s.id)
	if s.isBlocked {
		c.blocked = slices.DeleteFunc(c.blocked, func(other *Stream) bool { return other == s })
	}
	*s = Stream{pending: s.pending[:0]}
}

func (c *Conn) appendReset(stream uint32, code Code) {
	c.out = appendFrameHead(c.out, 4, frameReset, 0, stream)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(code))
}

// reset ends a stream on both sides.
func (c *Conn) reset(s *Stream, code Code) {
	c.appendReset(s.id, code)
	c.forget(s)
}

// failStream is reset, because of what the server has done.
func (c *Conn) failStream(s *Stream, code Code, why string) {
	owner := s.owner
	c.reset(s, code)
	owner.Failed(why, false)
}

// Fail ends all streams: the connection is lost, or ends.
func (c *Conn) Fail(why string) {
	if c.err == nil {
		c.err = &Error{NoError, why}
	}
	c.failAbove(0, why, false)
}

// failAbove ends the streams after one of that number.
func (c *Conn) failAbove(last uint32, why string, isUnprocessed bool) {
	var ended []*Stream
	for id, s := range c.streams {
		if id > last {
			ended = append(ended, s)
		}
	}
	slices.SortFunc(ended, func(a, b *Stream) int { return int(a.id) - int(b.id) })
	ids := make([]uint32, len(ended))
	for i, s := range ended {
		ids[i] = s.id
	}
	for i, id := range ids {
		if s := ended[i]; c.streams[id] == s { // still
			owner := s.owner
			c.forget(s)
			owner.Failed(why, isUnprocessed)
		}
	}
}

// updateWindow opens a window of ours by n bytes; stream 0: that of the connection.
func (c *Conn) updateWindow(stream uint32, n int64) {
	c.out = appendFrameHead(c.out, 4, frameWindowUpdate, 0, stream)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(n))
}
