// Package http1 parses HTTP/1.1 heads and chunked bodies, and formats heads, after RFC 9110 and
// RFC 9112: those of requests and responses, for a server and for a client. It is strict: what could
// be read in two ways is an error. It neither allocates nor does I/O.
//
// Where the RFCs leave a choice, or allow what only an attacker sends, the choice is the narrow one:
//
//   - CRLF ends a line; a bare CR or LF is refused (RFC 9112 §2.2 would allow a bare LF).
//   - One empty line before the request line is ignored, a second one is refused.
//   - A target is made of the bytes 0x21 to 0x7E without "#", a fragment.
//   - CONNECT is refused: 501 when its target is an authority with a port, else 400.
//   - A host has no percent-encoding: it would be one name to the router and another to a URL parser.
//   - A transfer coding is "chunked", alone and without parameters, or status 501.
//   - Equal repeated content-lengths are taken as one (RFC 9112 §6.3), differing ones refused.
//   - Together, content-length and transfer-encoding are refused, as is transfer-encoding in HTTP/1.0.
//
// That holds for responses, too, as with the strict parsers of other clients (llhttp in Node's fetch): a
// folded line, a bare LF, a blank before a colon, or both lengths are a network error, since whoever
// stands between an origin and us may have read them in another way.
package http1

import "errors"

// Method is the index of a request method in MethodNames; MethodOther is any other token.
type Method uint8

// The methods that have an index of their own.
const (
	MethodGet Method = iota
	MethodHead
	MethodPost
	MethodPut
	MethodDelete
	MethodOptions
	MethodPatch
	MethodTrace
	MethodConnect
	MethodOther
)

// MethodNames are the names of the indexed methods, by index.
var MethodNames = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}

// Field is one header field: offsets and lengths of its name and its value (outer whitespace
// removed), in bytes, into the head. A head is therefore at most 64 KiB - 1.
type Field struct {
	NameOffset, NameLength, ValueOffset, ValueLength uint16
}

// MaxHeadLength is the longest head, in bytes, that Parse accepts whatever its limit says: offsets
// are 16 bits wide.
const MaxHeadLength = 1<<16 - 1

// MaxFields is the number of header fields above which a head is refused with status 431.
const MaxFields = 256

// Head is a parsed head: of a request, filled by Parse, or of a response, filled by ParseResponse. It may
// be reused without allocating. Of a response, Method, Target, Host and Continue mean nothing.
//
// All offsets count from the first byte given to Parse. That byte is the first of the method, unless
// the client sent an empty line before the request line: then Length counts that line too, and
// MethodOffset is 2.
type Head struct {
	Length        int    // bytes of the head, its empty line included
	Method        Method //
	MethodOffset  uint16 // 0, or 2 after an ignored empty line
	MethodLength  uint16 // bytes of the method's name
	Minor         uint8  // HTTP/1.Minor: 0 or 1
	TargetOffset  uint16 // path and query; of an absolute-form target, what follows the authority
	TargetLength  uint16 // 0 for "*" and for an absolute form without a path
	HostOffset    uint16 // effective host[:port]: the authority of an absolute form, else the Host field
	HostLength    uint16 // 0: HTTP/1.0 without Host
	ContentLength int64  // -1: no content-length
	Chunked       bool
	KeepAlive     bool
	Continue      bool  // Expect: 100-continue
	Upgrade       bool  // Connection: upgrade
	Hops          uint8 // how often CDN-Loop (RFC 8586) says that the request has gone through NANO
	Traced        bool  // there is a traceparent (W3C Trace Context), be it well-formed or not
	Fields        []Field

	// Of a response only.
	Status           uint16 // 100 to 999
	ReasonOffset     uint16
	ReasonLength     uint16
	KeepAliveSeconds int32 // the timeout of a Keep-Alive field; -1: not given

	isResponse bool

	// What the fields seen so far said, until finish judges it.
	absolute        bool // the target is in absolute form, so HostOffset is settled
	hostSeen        bool
	hostEmpty       bool
	codingSeen      bool // there is a transfer-encoding
	codingUnknown   bool // and it is not "chunked", once
	closeAsked      bool
	keepAliveAsked  bool
	expectationElse bool // an expectation other than 100-continue

	// Where to go on when more bytes of the same head arrive.
	scanned   int // bytes known to hold neither the end of the head nor a forbidden control byte
	attempted int // bytes there were when the syntax was last looked at
}

// Error is a refusal of a request: the status to answer with, after which the connection must be
// closed, because where the next request starts is not known. All errors of this package but
// ErrIncomplete are of this type, and none is allocated.
type Error struct {
	Status int
	Reason string
}

// Error returns the reason, in words for the client.
func (e *Error) Error() string { return e.Reason }

// ErrIncomplete says that the bytes are the start of a head that may still become a good one.
var ErrIncomplete = errors.New("incomplete request head")
