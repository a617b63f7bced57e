package h2

import "encoding/binary"

// Frames (RFC 9113 §4.1).

type frameKind uint8

const (
	frameData frameKind = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePushPromise
	framePing
	frameGoAway
	frameWindowUpdate
	frameContinuation
)

const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// Settings (RFC 9113 §6.5.2).
const (
	settingHeaderTableSize      = 1
	settingEnablePush           = 2
	settingMaxConcurrentStreams = 3
	settingInitialWindowSize    = 4
	settingMaxFrameSize         = 5
	settingMaxHeaderListSize    = 6
)

const (
	frameHeadSize = 9
	// frameSizeMax bounds the payload of a frame, both ways: the least that is allowed, and enough.
	frameSizeMax = 16 << 10
	// windowSizeMax bounds a window (RFC 9113 §6.9.1).
	windowSizeMax = 1<<31 - 1
	// windowSizeDefault is the window of a connection, and that of streams until settings say otherwise.
	windowSizeDefault = 65535

	streamMask = 1<<31 - 1 // the highest bit is reserved
)

// preface is what a client begins with (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// A frame is one of a server's, whole.
type frame struct {
	kind    frameKind
	flags   uint8
	stream  uint32
	payload []byte
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// readFrame takes a frame off the start of input. used is 0 if it is not whole, and too large if what is
// announced may not be.
func readFrame(input []byte, f *frame) (used int, tooLarge bool) {
	if len(input) < frameHeadSize {
		return 0, false
	}
	n := int(input[0])<<16 | int(input[1])<<8 | int(input[2])
	if n > frameSizeMax {
		return 0, true
	}
	if len(input) < frameHeadSize+n {
		return 0, false
	}
	f.kind, f.flags = frameKind(input[3]), input[4]
	f.stream = binary.BigEndian.Uint32(input[5:]) & streamMask
	f.payload = input[frameHeadSize:][:n]
	return frameHeadSize + n, false
}

// appendFrameHead begins a frame whose payload has n bytes.
func appendFrameHead(dst []byte, n int, kind frameKind, flags uint8, stream uint32) []byte {
	dst = append(dst, byte(n>>16), byte(n>>8), byte(n), byte(kind), flags)
	return binary.BigEndian.AppendUint32(dst, stream)
}

func appendSetting(dst []byte, setting uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, setting), value)
}

// unpadded takes the padding off a payload, if it has any.
func (f *frame) unpadded() (payload []byte, ok bool) {
	if !f.has(flagPadded) {
		return f.payload, true
	}
	if len(f.payload) == 0 || int(f.payload[0]) >= len(f.payload) {
		return nil, false
	}
	return f.payload[1 : len(f.payload)-int(f.payload[0])], true
}

// A Code says why a stream or a connection ends (RFC 9113 §7).
type Code uint32

// Codes that are sent, or looked at.
const (
	NoError           Code = 0
	ProtocolError     Code = 1
	FlowControlError  Code = 3
	StreamClosed      Code = 5
	FrameSizeError    Code = 6
	RefusedStream     Code = 7
	Cancel            Code = 8
	CompressionError  Code = 9
	EnhanceYourCalm   Code = 11
	HTTP11Required    Code = 13
	codesKnown             = 14
	codeUnknownString      = "an unknown error"
)

var codeNames = [codesKnown]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String is the code's name.
func (c Code) String() string {
	if c < codesKnown {
		return codeNames[c]
	}
	return codeUnknownString
}
