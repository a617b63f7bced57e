// Package ws is the WebSocket protocol (RFC 6455) with its compression extension (RFC 7692), without any
// input and output: frames are parsed from, and formatted to, byte slices. Both roles, server and client.
//
// A Parser is fed with what was received, in pieces of any size, and gives whole messages and control
// frames. AppendHeader and Mask make frames. The handshakes are in handshake.go, the compression in
// deflate.go.
package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcode is the kind of a frame (RFC 6455 §5.2).
type Opcode uint8

// Opcodes. Those from Close on are control frames.
const (
	Continuation Opcode = 0
	Text         Opcode = 1
	Binary       Opcode = 2
	Close        Opcode = 8
	Ping         Opcode = 9
	Pong         Opcode = 10
)

func (o Opcode) isControl() bool { return o >= Close }

// Close codes (RFC 6455 §7.4.1).
const (
	CodeNormal        = 1000
	CodeGoingAway     = 1001
	CodeProtocolError = 1002
	CodeNone          = 1005 // there was none in the close frame; never sent
	CodeAbnormal      = 1006 // there was no close frame; never sent
	CodeInvalidData   = 1007
	CodeTooBig        = 1009
	CodeInternalError = 1011
)

// ControlMax is the largest payload of a control frame, in bytes (RFC 6455 §5.5).
const ControlMax = 125

// ReasonMax is the longest reason of a close frame, in bytes.
const ReasonMax = ControlMax - 2

// An Error is why a connection has to be failed (RFC 6455 §7.1.7): the code for the close frame that says so,
// and the reason.
type Error struct {
	Code   uint16
	Reason string
}

// Error implements error.
func (e *Error) Error() string { return "websocket: " + e.Reason }

func protocolError(reason string) *Error { return &Error{CodeProtocolError, reason} }

// The errors of the parser.
var (
	errReserved     = protocolError("a reserved bit is set")
	errOpcode       = protocolError("unknown opcode")
	errFragmented   = protocolError("fragmented control frame")
	errControlSize  = protocolError("control frame of more than 125 bytes")
	errUnmasked     = protocolError("frame of a client without a mask")
	errMasked       = protocolError("frame of a server with a mask")
	errLength       = protocolError("length with the highest bit set")
	errContinuation = protocolError("continuation of no message")
	errInterleaved  = protocolError("message within another")
	errCloseSize    = protocolError("close frame with half a code")
	errCloseCode    = protocolError("invalid close code")
	errDeflate      = &Error{CodeInvalidData, "malformed compressed message"}
	errUTF8         = &Error{CodeInvalidData, "text is not UTF-8"}
	errTooBig       = &Error{CodeTooBig, "message too big"}
)

// IsCloseCode reports whether a close frame may carry a code (RFC 6455 §7.4, with the IANA registry).
func IsCloseCode(code uint16) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code == 1004 || code == CodeNone || code == CodeAbnormal:
		return false
	}
	return code >= 1000 && code <= 1014
}

// ParseClose takes the payload of a close frame apart; the code is CodeNone if there is none.
func ParseClose(payload []byte) (code uint16, reason []byte, err *Error) {
	switch {
	case len(payload) == 0:
		return CodeNone, nil, nil
	case len(payload) == 1:
		return 0, nil, errCloseSize
	}
	code, reason = binary.BigEndian.Uint16(payload), payload[2:]
	switch {
	case !IsCloseCode(code):
		return 0, nil, errCloseCode
	case !utf8.Valid(reason):
		return 0, nil, errUTF8
	}
	return code, reason, nil
}

// AppendClosePayload appends the payload of a close frame: nothing for the code 0, and of a reason that is too long
// the start.
func AppendClosePayload(dst []byte, code uint16, reason []byte) []byte {
	if code == 0 {
		return dst
	}
	if len(reason) > ReasonMax {
		n := ReasonMax
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	return append(binary.BigEndian.AppendUint16(dst, code), reason...)
}

// HeaderMax is the largest header of a frame, in bytes.
const HeaderMax = 14

const (
	bitFinal  = 0x80
	bitRSV1   = 0x40 // of a data frame: the message is compressed (RFC 7692 §6)
	bitsRSV   = 0x70
	bitMasked = 0x80

	length16 = 126 // the length follows in 16 bits
	length64 = 127 // or in 64
)

// AppendHeader appends the header of a frame that is a whole message or a control frame, with a payload of
// n bytes. key is nil, or points to the key that the payload has to be masked with, as frames of clients must
// be.
func AppendHeader(dst []byte, opcode Opcode, isCompressed bool, n int, key *uint32) []byte {
	first, mask := byte(opcode)|bitFinal, byte(0)
	if isCompressed {
		first |= bitRSV1
	}
	if key != nil {
		mask = bitMasked
	}
	switch {
	case n < length16:
		dst = append(dst, first, mask|byte(n))
	case n <= 0xffff:
		dst = append(dst, first, mask|length16, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, mask|length64), uint64(n))
	}
	if key != nil {
		dst = binary.LittleEndian.AppendUint32(dst, *key)
	}
	return dst
}
