// Package http1 parses HTTP/1.1 request heads and chunked bodies, and formats response heads, after
// RFC 9110 and RFC 9112. It is strict: what could be read in two ways is an error. It neither
// allocates nor does I/O.
package http1

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

// Head is a parsed request head. It is filled by Parse and may be reused without allocating.
type Head struct {
	Length        int    // bytes of the head, its empty line included
	Method        Method //
	MethodLength  uint16 // bytes of the method's name, at offset 0 of the head
	Minor         uint8  // HTTP/1.Minor: 0 or 1
	TargetOffset  uint16 // path and query; of an absolute-form target, what follows the authority
	TargetLength  uint16 // 0 for "*" and for an absolute form without a path
	HostOffset    uint16 // effective host[:port]: the authority of an absolute form, else the Host field
	HostLength    uint16
	ContentLength int64 // -1: no content-length
	Chunked       bool
	KeepAlive     bool
	Continue      bool // Expect: 100-continue
	Fields        []Field
}
